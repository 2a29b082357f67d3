/**
 * Whether calls are let through is one answer, whoever is asked: a call, `ready()`, `can()` and `health()` agree in every state
 * in which enforcement refuses calls, and agree again once it is over.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Fs from "node:fs"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { Disk, type FileSystem, nodeFileSystem } from "../../src/audit/folder/Disk.ts"
import * as FolderLog from "../../src/audit/folder/FolderLog.ts"
import type * as EventLoop from "../../src/base/EventLoop.ts"
import {
  AgentClient,
  ClosedError,
  Configuration,
  ConfigurationError,
  Pipeline,
  Replay,
  type SecureOpenAI,
  type SecureOptions,
  Signer,
  Signing,
  Workspace
} from "../../src/index.ts"
import { generate, Keys } from "../../src/keys/Keys.ts"
import { makeIssuer } from "../../src/testing/Tokens.ts"
import type { WorkspaceOptions } from "../../src/workspace/WorkspaceOptions.ts"
import { FaultyDisk } from "../audit/FaultyDisk.ts"
import { openProvider } from "./fixture.ts"

/** What our own clocks are ahead of the machine's, in ms: the log takes no time from a faked date. */
const skew = vi.hoisted(() => ({ ms: 0, elapsed: 0 }))
vi.mock("../../src/base/EventLoop.ts", async (original) => {
  const actual = await original<typeof EventLoop>()
  return { ...actual, now: () => actual.now() + skew.ms, elapsed: () => actual.elapsed() + skew.elapsed }
})

const { openClient, opens } = await openProvider()
let folder = ""
beforeEach(() => {
  folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-health-"))
  opens({ close: async () => Fs.rmSync(folder, { recursive: true, force: true }) })
})
afterEach(() => {
  skew.ms = 0
  vi.restoreAllMocks()
})

const params = { model: "gpt-4", messages: [{ role: "user" as const, content: "hi" }] }
/** How many requests each client has sent. */
const sent = new WeakMap<SecureOpenAI, number>()
const clientOf = (workspace: Workspace, options: SecureOptions = {}): SecureOpenAI => {
  const counted: typeof fetch = (...request) => {
    sent.set(client, (sent.get(client) ?? 0) + 1)
    return fetch(...request)
  }
  const client = openClient({ appName: "app", workspace, fetch: counted, ...options })
  return client
}
const ask = (client: SecureOpenAI): Promise<unknown> => client.chat.completions.create(params)

/** A workspace of these options, some of whose layers a test gives. */
const workspaceWith = (
  options: WorkspaceOptions,
  change: (layer: ReturnType<typeof Workspace.layer>) => ReturnType<typeof Workspace.layer>
): Workspace => {
  const workspace = new Workspace(options)
  const layer = change(Workspace.layer(options))
  const runtime = ManagedRuntime.make(Layer.provideMerge(layer, Layer.succeed(Logger.LogToStderr, true)))
  return opens(Object.defineProperty(workspace, "runtime", { value: runtime }))
}

/** A workspace whose log is on this disk. */
const workspaceOn = (disk: FileSystem, options: Partial<WorkspaceOptions> = {}): Workspace =>
  workspaceWith(
    {
      home: Path.join(folder, "home"),
      audit: { path: "/log", ...(options.audit as object) },
      ...withoutAudit(options)
    },
    (layer) => Layer.provide(layer, Layer.succeed(Disk, disk))
  )
const withoutAudit = ({ audit: _, ...others }: Partial<WorkspaceOptions>) => others

const until = async (what: () => boolean | Promise<boolean>): Promise<void> => {
  for (let i = 0; i < 500; i++) {
    if (await what()) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error("it never came")
}

/** What something rejects with, as `health()` says it; undefined where it does not. */
const refusalOf = (run: Promise<unknown>) =>
  run.then(
    () => undefined,
    ({ code, message, reason }: Error & { code?: string; reason?: string }) => said(code, reason, message)
  )
/** Without the status that the SDK puts before it, and the time of the moment. */
const said = (code: string | undefined, reason: string | undefined, message: string) => ({
  code,
  reason,
  message: message.replace(/^\d{3} /, "").replace(/(?<=clock says )\S+/, "now")
})

/** What every way of asking says now. */
const answersOf = async (client: SecureOpenAI, call: () => Promise<unknown> = () => ask(client)) => {
  const before = sent.get(client) ?? 0
  const called = await refusalOf(call())
  if (called !== undefined) expect(sent.get(client) ?? 0).toBe(before)
  const { ok, problems } = await client.health()
  const [problem] = problems
  expect(ok).toBe(problems.length === 0)
  return {
    call: called,
    ready: await refusalOf(client.ready()),
    can: await refusalOf(client.can("generate", params)),
    health: problem && said(problem.code, problem.reason, problem.message)
  }
}
const well = { call: undefined, ready: undefined, can: undefined, health: undefined }

/** An issuer's key set over HTTP, while it is up. */
const issuerServer = async (jwks: unknown, isUp: () => boolean): Promise<{ readonly jwksUri: string }> => {
  const server = Http.createServer((_request, response) => {
    if (isUp()) response.setHeader("content-type", "application/json").end(JSON.stringify(jwks))
    else response.writeHead(500).end()
  })
  opens({ close: async () => void server.close() })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return { jwksUri: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks` }
}

/** A state: how it begins and ends, and what it is. */
interface State {
  readonly client: SecureOpenAI
  /** Of another than the client's own call. */
  readonly call?: () => Promise<unknown>
  readonly begin: () => unknown
  /** True where it has begun before the workspace. */
  readonly isFirst?: boolean
  /** Undefined where a restart ends it. */
  readonly end?: () => unknown
  readonly reason?: string
  readonly says: RegExp
  readonly refuses?: "users" | "agents"
  /** Of the log, where that takes no calls. */
  readonly log?: string
}

const ofDisk = (code: string, reason: string, says: RegExp) => (): State => {
  const disk = new FaultyDisk()
  return {
    client: clientOf(workspaceOn(disk)),
    begin: () => {
      disk.before = (operation) => {
        if (/^(write|sync|rename|create|truncate)/.test(disk.asked[operation] ?? ""))
          throw Object.assign(new Error(`${code}: made by the test`), { code })
      }
    },
    end: () => (disk.before = () => {}),
    reason,
    says,
    log: reason
  }
}

type States = Record<string, () => State | Promise<State>>

/** States that need time, and no clock of their own. */
const sideBySide: States = {
  "the disk is full": ofDisk("ENOSPC", "disk_full", /ENOSPC.*Make space on its disk/),
  "the disk fails": ofDisk("EIO", "unwritable", /EIO.*See to its disk/),
  "the disk may not be written": ofDisk("EROFS", "unwritable", /EROFS.*Let this process write there again/),

  "another holds the log": async () => {
    const home = Path.join(folder, "held")
    const path = Path.join(home, "audit")
    const keys = await run(Effect.orDie(Effect.provide(Keys, Keys.layerDirectory(Path.join(home, "keys")))))
    const holder = await run(
      Effect.orDie(FolderLog.open({ path, named: true, key: keys.log, disk: nodeFileSystem, opening: [] }))
    )
    return {
      client: clientOf(opens(new Workspace({ home, audit: { path } }))),
      begin: () => {},
      isFirst: true,
      end: () => holder.close(),
      reason: "held",
      says: /is open in/,
      log: "held"
    }
  },

  "checkpoints are not signed": () => {
    let isDown = false
    let refused = 0
    const key = generate("log")
    const signer = Signer.layer({
      log: {
        kid: key.kid,
        jwk: key.jwk,
        sign: (bytes) => (isDown ? Effect.fail(`down ${++refused}`) : Effect.sync(() => key.sign(bytes)))
      }
    })
    const client = clientOf(workspaceOn(new FaultyDisk(), { signer }))
    return {
      client,
      begin: async () => {
        isDown = true
        await ask(client)
        await until(() => refused > 0)
        skew.ms = 301_000
      },
      end: () => (isDown = false),
      reason: "checkpoints_overdue",
      says: /until its checkpoints are signed again/,
      log: "checkpoints_overdue"
    }
  },

  "checkpoints are not copied": () => {
    let isDown = false
    const to = (): void => {
      if (isDown) throw new Error("no route")
    }
    const client = clientOf(workspaceOn(new FaultyDisk(), { audit: { checkpoints: { to, withinMinutes: 1e-6 } } }))
    return {
      client,
      begin: async () => {
        isDown = true
        await ask(client)
        await until(async () => (await client.health()).copies?.[0]?.error !== undefined)
      },
      end: () => (isDown = false),
      reason: "copies_overdue",
      says: /have not been copied .*no route/,
      log: "copies_overdue"
    }
  }
}

const oneByOne: States = {
  "the clock is behind the log": () => ({
    client: clientOf(workspaceOn(new FaultyDisk())),
    begin: () => (skew.ms = -31_000),
    end: () => (skew.ms = 0),
    reason: "clock_behind",
    says: /Set the clock right/,
    log: "clock_behind"
  }),

  "an issuer's keys are out of reach": async () => {
    let isUp = true
    const issuer = makeIssuer("http://127.0.0.1/issuer", "app")
    const { jwksUri } = await issuerServer(issuer.options.jwks, () => isUp)
    const workspace = opens(
      new Workspace({ audit: "memory", issuers: { issuer: issuer.options.issuer, audience: "app", jwksUri } })
    )
    const client = clientOf(workspace, { jwtToken: issuer.mint() })
    return {
      client,
      begin: async () => {
        isUp = false
        // Longer than a key set is fresh; then the back-off grows until it outlasts the questions.
        for (let i = 0; i < 5; i++) {
          vi.spyOn(Date, "now").mockImplementation(later(310_000 + i * 40_000))
          await refusalOf(ask(client))
        }
      },
      end: () => {
        isUp = true
        vi.spyOn(Date, "now").mockImplementation(later(600_000))
      },
      reason: "keys_unavailable",
      says: /cannot be had: .* answered 500/,
      refuses: "users"
    }
  },

  "the clock was set back against the monotonic one": () => {
    const issuer = makeIssuer("http://127.0.0.1/issuer", "app")
    const client = clientOf(opens(new Workspace({ audit: "memory", issuers: issuer.options })), {
      jwtToken: issuer.mint()
    })
    return {
      client,
      begin: () => vi.spyOn(Date, "now").mockImplementation(later(-31_000)),
      end: () => vi.restoreAllMocks(),
      reason: "clock_set_back",
      says: /clock of this machine was set back/,
      refuses: "users"
    }
  },

  "the agent key's signer does not sign": () => {
    let isDown = false
    const key = generate("agent")
    const signer = Signer.layer({
      agent: {
        kid: key.kid,
        jwk: key.jwk,
        sign: (bytes) => (isDown ? Effect.fail("down") : Effect.sync(() => key.sign(bytes)))
      }
    })
    const client = clientOf(opens(new Workspace({ audit: "memory", signer })))
    return {
      client,
      begin: () => (isDown = true),
      end: () => {
        isDown = false
        // Nobody asks the signer; after a while the next call does.
        skew.elapsed += 10_000
      },
      says: /could not be signed; nothing was sent.*did not sign/
    }
  },

  "no more envelopes can be remembered": async () => {
    const { layer, fill } = fillable()
    const workspace = workspaceWith({ audit: "memory" }, (base) =>
      Layer.provideMerge(Signing.layer.pipe(Layer.provide(layer)), base)
    )
    const client = clientOf(workspace)
    client.registerTool("look", () => "seen")
    const agent = new AgentClient({ agentType: "agent", appName: "app", workspace })
    await agent.register()
    return {
      client,
      call: () => agent.invokeTool("tool:app/look", {}, { targetAgent: client.serverId }),
      begin: fill,
      end: () => vi.spyOn(Date, "now").mockImplementation(later(200_000)),
      reason: "replay_full",
      says: /No more invocations can be remembered/,
      refuses: "agents"
    }
  },

  "the policies do not load at the start": () => ({
    client: clientOf(opens(new Workspace({ audit: "memory", policies: Path.join(folder, "none") }))),
    begin: () => {},
    says: /policies at .* cannot be read/
  }),

  "the log is damaged": async () => {
    const home = Path.join(folder, "home")
    const options = { home, audit: { path: Path.join(home, "audit") } }
    await (await Workspace.open(options)).close()
    Fs.writeFileSync(Path.join(home, "audit", "checkpoint"), "not a checkpoint\n")
    return {
      client: clientOf(opens(new Workspace(options))),
      begin: () => {},
      reason: "damaged",
      says: /cannot be continued/,
      log: "damaged"
    }
  },

  "the log's folder cannot be made": () => {
    Fs.writeFileSync(Path.join(folder, "file"), "")
    return {
      client: clientOf(opens(new Workspace({ home: folder, audit: { path: Path.join(folder, "file", "audit") } }))),
      begin: () => {},
      reason: "unwritable",
      says: /cannot be opened/,
      log: "unwritable"
    }
  }
}

const realNow = Date.now
const later = (ms: number) => () => realNow() + ms

const run = <A>(effect: Effect.Effect<A>): Promise<A> => Effect.runPromise(effect)

/** The memory of used envelopes, as it is, and the way to fill it. */
const fillable = () => {
  let fill: () => Promise<void> = async () => {}
  const layer = Layer.effect(
    Replay,
    Effect.gen(function* () {
      const replay = yield* Replay
      const seconds = Math.floor(realNow() / 1000)
      const filled = Effect.gen(function* () {
        for (let i = 0; i < 262_144; i++)
          yield* replay.use({ iss: "x", jti: String(i), iat: seconds + 1, exp: seconds + 60 })
      })
      fill = () => run(Effect.ignore(filled))
      return replay
    })
  ).pipe(Layer.provide(Replay.layerMemory))
  return { layer, fill: () => fill() }
}

/** Asserts that all agree before, while and after. */
const agree = async (make: States[string]): Promise<void> => {
  const { begin, call, client, end, isFirst = false, log, reason, refuses = "everybody", says } = await make()
  const calls = call ?? (() => ask(client))
  const others = async () => ({ ...(await answersOf(client)), health: undefined })
  if (end !== undefined && !isFirst) {
    expect(await refusalOf(calls())).toBeUndefined()
    expect(await answersOf(client)).toEqual(well)
  }
  await begin()
  // A disk is met by a call alone.
  await refusalOf(calls())
  const { can, ...answers } = await answersOf(client, calls)
  expect(answers.call?.message).toMatch(says)
  expect(answers).toEqual({ call: answers.call, ready: answers.call, health: answers.call })
  // What the client itself may do does not depend on its agents.
  expect(can).toEqual(refuses === "agents" ? undefined : answers.call)
  if (refuses === "agents") expect(await others()).toEqual({ ...well, ready: answers.call })
  const health = await client.health()
  expect(health).toMatchObject({
    ok: false,
    problems: [{ refuses, ...(reason !== undefined && { reason }) }],
    log: { writable: log === undefined && health.log.path !== undefined, ...(log !== undefined && { reason: log }) }
  })
  expect(JSON.parse(JSON.stringify(health))).toEqual(health)
  if (end === undefined) return
  await end()
  // Nobody calls: it is over by itself, or an answer of the issuer is due.
  await until(async () => (await client.health()).ok)
  expect(await refusalOf(calls())).toBeUndefined()
  expect(await answersOf(client)).toEqual(well)
}

describe("a call, ready(), can() and health() agree", () => {
  it.each(Object.entries(oneByOne))("while %s, and once it is over", (_name, make) => agree(make))

  it(`while ${Object.keys(sideBySide).join(", or ")}, and once it is over`, () =>
    Promise.all(
      Object.entries(sideBySide).map(([name, make]) =>
        agree(make).catch((cause: unknown) => Promise.reject(new Error(`while ${name}`, { cause })))
      )
    ))
})

describe("health()", () => {
  it("tells how the workspace stands, in plain data", async () => {
    const home = Path.join(folder, "home")
    const copies = Path.join(folder, "copies")
    const before = realNow()
    const workspace = opens(
      new Workspace({
        home,
        policies: [{ policy_id: "app:app", resources: ["tool:app/**"] }],
        policyMode: "observe",
        audit: { checkpoints: copies },
        issuers: [
          makeIssuer("https://given.test", "app").options,
          { issuer: "https://unasked.test", audience: "app", jwksUri: "https://unasked.test/jwks" }
        ]
      })
    )
    const client = clientOf(workspace)
    await ask(client)
    await until(async () => {
      const { copies: there, disk, log } = await client.health()
      return disk !== undefined && there?.[0]?.size === log.records
    })
    const health = await client.health()
    const records = (await workspace.records()).length
    const recent = expect.closeTo(before, -5)
    expect(health).toEqual({
      ok: true,
      problems: [],
      since: recent,
      log: {
        writable: true,
        path: Fs.realpathSync(Path.join(home, "audit")),
        origin: expect.stringMatching(/^secure-openai\/[0-9a-f]{16}$/),
        records
      },
      checkpoint: { size: records, at: recent },
      copies: [{ to: copies, size: records, at: recent }],
      policies: { revision: (await workspace.reload()).revision, count: 1, mode: "observe", loadedAt: recent },
      issuers: [
        { issuer: "https://given.test", state: "given" },
        { issuer: "https://unasked.test", state: "unasked" }
      ],
      disk: { free: expect.any(Number), total: expect.any(Number), low: false }
    })
    expect(JSON.parse(JSON.stringify(health))).toEqual(health)
    expect(health).toEqual(await workspace.health())
    expect(health.disk!.total).toBeGreaterThan(health.disk!.free)
  })

  it("shows no free space of before a write found the disk full", async () => {
    const disk = new FaultyDisk()
    const workspace = workspaceOn(disk)
    const client = clientOf(workspace)
    await ask(client)
    await until(async () => (await workspace.health()).disk !== undefined)
    disk.room = { ...disk.room, free: 0 }
    disk.before = (operation) => {
      if (/^(write|sync|rename|create|truncate)/.test(disk.asked[operation] ?? ""))
        throw Object.assign(new Error("ENOSPC: made by the test"), { code: "ENOSPC" })
    }
    await refusalOf(ask(client))
    const health = await workspace.health()
    expect(health.problems).toMatchObject([{ reason: "disk_full" }])
    expect(health.disk?.free ?? 0).toBe(0)
    await until(async () => (await workspace.health()).disk?.low === true)
    disk.before = () => {}
  })

  it("of a log in memory tells no disk, and writes nothing", async () => {
    const workspace = opens(new Workspace({ audit: "memory" }))
    const first = await workspace.health()
    for (let i = 0; i < 20; i++) await workspace.health()
    expect(await workspace.health()).toMatchObject({ ok: true, log: { path: "memory", records: first.log.records } })
    expect(await workspace.health()).not.toHaveProperty("disk")
    expect(await workspace.health()).not.toHaveProperty("copies")
    expect((await workspace.records()).length).toBe(first.log.records)
  })

  it("asks the disk for nothing but its free space, at most once a second", async () => {
    const disk = new FaultyDisk()
    const workspace = workspaceOn(disk)
    await ask(clientOf(workspace))
    await until(async () => (await workspace.health()).checkpoint?.size === (await workspace.health()).log.records)
    const asked = disk.asked.length
    const spaces = () => disk.asked.filter((operation) => operation.startsWith("space")).length
    const before = spaces()
    for (let i = 0; i < 200; i++) await workspace.health()
    expect(disk.asked.length - asked).toBe(spaces() - before)
    expect(spaces() - before).toBeLessThan(200)
  })

  it("tells a change of the policies that was rejected, until a later one loads", async () => {
    const write = (text: string): void => Fs.writeFileSync(Path.join(folder, "app.json"), text)
    const good = JSON.stringify({ policy_id: "app:app", resources: ["tool:app/**"] })
    write(good)
    const workspace = opens(new Workspace({ audit: "memory", policies: folder }))
    const { policies } = await workspace.health()
    expect(policies).not.toHaveProperty("rejected")
    write("{")
    await refusalOf(workspace.reload())
    expect(await workspace.health()).toMatchObject({
      ok: true,
      policies: { ...policies, rejected: { reason: expect.stringMatching(/app\.json/), at: expect.any(Number) } }
    })
    // Back to what is in force: nothing is rejected any more.
    write(good)
    await workspace.reload()
    expect((await workspace.health()).policies).toEqual(policies)
    write("[")
    await refusalOf(workspace.reload())
    write(JSON.stringify({ policy_id: "app:app", resources: ["tool:app/generate"] }))
    await workspace.reload()
    const after = (await workspace.health()).policies
    expect(after).not.toHaveProperty("rejected")
    expect(after?.revision).not.toBe(policies?.revision)
  })

  it("tells a change of the policies that the log could not take in", async () => {
    const write = (resource: string): void =>
      Fs.writeFileSync(Path.join(folder, "app.json"), JSON.stringify({ policy_id: "app:app", resources: [resource] }))
    write("tool:app/**")
    const disk = new FaultyDisk()
    const workspace = workspaceOn(disk, { policies: Path.join(folder, "app.json") })
    const { policies } = await workspace.health()
    disk.failAt(disk.asked.length, "ENOSPC")
    write("tool:app/generate")
    await refusalOf(workspace.reload())
    expect((await workspace.health()).policies).toMatchObject({
      revision: policies?.revision,
      rejected: { reason: expect.stringContaining("ENOSPC") }
    })
  })

  it("tells a disk that is low before it is full, and the workspace warns once", async () => {
    const printed: Array<string> = []
    vi.spyOn(console, "error").mockImplementation((...line) => void printed.push(line.join(" ")))
    const disk = new FaultyDisk()
    disk.room = { free: 255 * 2 ** 20, total: 100_000 * 2 ** 20 }
    const client = clientOf(workspaceOn(disk))
    await until(async () => (await client.health()).disk !== undefined)
    for (let i = 0; i < 5; i++) await ask(client)
    expect(await client.health()).toMatchObject({ ok: true, disk: { ...disk.room, low: true } })
    const warnings = printed.filter((line) => line.includes("MiB left of"))
    expect(warnings).toEqual([
      expect.stringMatching(/WARN.*disk of the log at \/log has 255 MiB left of 100000\. Make/)
    ])
  })

  it("is the service's: a bound client does not tell, and a closed one rejects", async () => {
    const issuer = makeIssuer("http://127.0.0.1/issuer", "app")
    const workspace = opens(new Workspace({ audit: "memory", issuers: issuer.options }))
    const client = clientOf(workspace)
    const bound = await client.asUser(issuer.mint())
    expect(() => (bound as unknown as SecureOpenAI).health()).toThrow(ConfigurationError)
    await client.close()
    await expect(client.health()).rejects.toBeInstanceOf(ClosedError)
    await workspace.close()
    await expect(workspace.health()).rejects.toBeInstanceOf(ClosedError)
  })

  it("of a pipeline of one's own that does not come up says why", async () => {
    const layer = Layer.effect(Pipeline, Effect.fail(new Configuration({ message: "no such stage" })))
    const client = clientOf(opens(new Workspace({ audit: "memory" })), { layer })
    expect(await client.health()).toMatchObject({
      ok: false,
      problems: [{ code: "configuration", message: "no such stage", refuses: "everybody" }]
    })
    expect((await refusalOf(client.ready()))?.message).toBe("no such stage")
  })
})

describe("ready() settles", () => {
  it("while an issuer is out of reach and its keys count by grace, as calls do", async () => {
    let isUp = true
    const issuer = makeIssuer("http://127.0.0.1/issuer", "app")
    const { jwksUri } = await issuerServer(issuer.options.jwks, () => isUp)
    const workspace = opens(
      new Workspace({
        audit: "memory",
        issuers: { issuer: issuer.options.issuer, audience: "app", jwksUri, grace: 3600 }
      })
    )
    const client = clientOf(workspace, { jwtToken: issuer.mint() })
    await ask(client)
    expect((await client.health()).issuers).toMatchObject([{ state: "fresh", until: expect.any(Number) }])
    isUp = false
    vi.spyOn(Date, "now").mockImplementation(later(310_000))
    expect((await client.health()).issuers).toEqual([{ issuer: issuer.options.issuer, state: "due" }])
    expect(await answersOf(client)).toEqual(well)
    expect((await client.health()).issuers).toMatchObject([{ state: "grace", reason: expect.stringContaining("500") }])
  })

  it("where nobody's token is looked at, whatever the clock does", async () => {
    const client = clientOf(opens(new Workspace({ audit: "memory" })))
    expect(await answersOf(client)).toEqual(well)
    vi.spyOn(Date, "now").mockImplementation(later(-3_600_000))
    expect(await answersOf(client)).toEqual(well)
  })
})

describe("can()", () => {
  it("says no while the log lets no call begin: what is denied is denied by policy, as the call is", async () => {
    const workspace = workspaceOn(new FaultyDisk(), {
      policies: [{ policy_id: "app:app", resources: ["tool:app/generate"] }]
    })
    const client = clientOf(workspace)
    await client.ready()
    skew.ms = -31_000
    expect((await refusalOf(client.can("generate", params)))?.code).toBe("enforcement_unavailable")
    expect((await client.can("embed", { model: "m", input: "x" })).verdict).toBe("deny")
    expect((await refusalOf(client.embeddings.create({ model: "m", input: "x" })))?.code).toBe("policy_denied")
  })
})
