/**
 * What happens when something is missing, row by row of the table in docs/threat-model.md: through a client, against a
 * provider over a socket. A refused call sends nothing; what is mended is used again.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Fs from "node:fs"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { OpenAI } from "openai"
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest"
import {
  Audit,
  ConfigurationError,
  EnforcementUnavailable,
  EnforcementUnavailableError,
  Identity,
  IdentityError,
  Invocation,
  Pipeline,
  Policy,
  PolicyDeniedError,
  Rewriting,
  type SecureOpenAI,
  type SecureOptions,
  Signing,
  Workspace
} from "../../src/index.ts"
import { Disk } from "../../src/audit/folder/Disk.ts"
import { Committed } from "../../src/call/States.ts"
import { Keys } from "../../src/keys/Keys.ts"
import { makeIssuer, mintToken, testIssuer } from "../../src/testing/Tokens.ts"
import { FaultyDisk } from "../audit/FaultyDisk.ts"
import { openProvider } from "./fixture.ts"

const params = { model: "gpt-4", max_tokens: 10, messages: [{ role: "user" as const, content: "hi" }] }

const { openClient, opens, openWorkspace, provider } = await openProvider()
let folder: string
beforeEach(() => {
  folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-closed-"))
  opens({ close: async () => Fs.rmSync(folder, { recursive: true, force: true }) })
})

const client = (options: SecureOptions): SecureOpenAI => openClient({ appName: "app", ...options })
const ask = (c: SecureOpenAI): Promise<unknown> => c.chat.completions.create(params)
const stream = async (c: SecureOpenAI): Promise<unknown> =>
  Array.fromAsync(await c.chat.completions.create({ ...params, stream: true }))

type Refusing = abstract new (...args: never) => Error
/** A call and a stream are refused as they should be, and nothing has arrived; gives the refusal. */
const refused = async (c: SecureOpenAI, by: Refusing, code: string): Promise<Error & { readonly reason?: string }> => {
  const before = provider.hits.length
  for (const way of [stream, ask]) {
    const error = await way(c).then(
      () => new Error("it was answered"),
      (e: Error) => e
    )
    expect(error).toBeInstanceOf(by)
    expect(error).toMatchObject({ code })
    if (way === ask) {
      expect(provider.hits).toHaveLength(before)
      return error
    }
  }
  throw new Error("unreachable")
}
/** A call goes through, and arrives once. */
const answered = async (c: SecureOpenAI): Promise<void> => {
  const before = provider.hits.length
  await ask(c)
  expect(provider.hits).toHaveLength(before + 1)
}
const until = async (what: () => boolean | Promise<boolean>): Promise<void> => {
  for (let i = 0; i < 500; i++) {
    if (await what()) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error("it never came")
}

describe("keys of an issuer", () => {
  const issuer = makeIssuer("http://127.0.0.1/issuer", "app")
  const other = makeIssuer("http://127.0.0.1/issuer", "app")
  let up = true
  let fetches = 0
  let server: Http.Server
  beforeAll(async () => {
    server = Http.createServer((_request, response) => {
      fetches++
      if (up) response.setHeader("content-type", "application/json").end(JSON.stringify(issuer.options.jwks))
      else response.writeHead(500).end()
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  })
  afterAll(() => server.close())
  const issuers = () => ({
    issuer: issuer.options.issuer,
    audience: "app",
    jwksUri: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`
  })
  const user = (workspace: Workspace, token: string) => client({ workspace, jwtToken: token })
  const open = (): Workspace => {
    const workspace = openWorkspace({ issuers: issuers() })
    return workspace
  }

  it("none cached and none to be had: refused, by name; again once they can be fetched", async () => {
    up = false
    const workspace = open()
    const alice = user(workspace, issuer.mint())
    const error = await refused(alice, IdentityError, "identity_invalid")
    expect(error.reason).toBe("keys_unavailable")
    expect((await workspace.records()).at(-1)).toMatchObject({
      kind: "refused.many",
      codes: [{ code: "keys_unavailable", count: 2 }]
    })
    up = true
    // The back-off after the failures.
    await until(() =>
      ask(alice).then(
        () => true,
        () => false
      )
    )
  })

  it("cached and fresh: goes on while the issuer is down, for other tokens of the same key", async () => {
    up = true
    const workspace = open()
    await answered(user(workspace, issuer.mint()))
    up = false
    await answered(user(workspace, issuer.mint({ sub: "bob" })))
  })

  it("an id that nobody knows: refused, and a flood of them asks the issuer for nothing", async () => {
    up = true
    const workspace = open()
    await answered(user(workspace, issuer.mint()))
    const before = fetches
    const strangers = Array.from({ length: 40 }, () =>
      user(workspace, other.mint({}, { header: { kid: crypto.randomUUID() } }))
    )
    const errors = await Promise.all(strangers.map((c) => ask(c).catch((e: unknown) => e)))
    for (const error of errors) expect(error).toMatchObject({ code: "identity_invalid", reason: "unknown_key" })
    expect(fetches - before).toBeLessThanOrEqual(1)
    expect(provider.hits).toHaveLength(1)
  })

  it("no issuer at all: a token is refused, and the message says what to set", async () => {
    const error = await refused(client({ audit: "memory", jwtToken: issuer.mint() }), IdentityError, "identity_invalid")
    expect(error.message).toContain("SECURE_OPENAI_ISSUER")
  })
})

describe("policies", () => {
  const write = (name: string, document: unknown): void =>
    Fs.writeFileSync(Path.join(folder, name), typeof document === "string" ? document : JSON.stringify(document))
  const app = (extra: object = {}) => ({ policy_id: "app:app", resources: ["tool:app/**"], ...extra })

  it.each([
    ["a folder that is not there", () => Path.join(folder, "none")],
    ["a file that is not JSON", () => (write("app.json", "{"), folder)],
    ["a construct that nobody knows", () => [app({ constraints: { quantum: {} } })]],
    ["a parent that is not there", () => [app({ extends: "company:Gone" })]],
    ["a condition of an unknown kind", () => [app({ constraints: { conditions: [{ phase_of_moon: "full" }] } })]]
  ])("%s: nothing starts, and nothing is let through", async (_what, policies) => {
    const c = client({ audit: "memory", policies: policies() as never })
    await expect(c.ready()).rejects.toBeInstanceOf(ConfigurationError)
    await expect(ask(c)).rejects.toBeInstanceOf(ConfigurationError)
    expect(provider.hits).toHaveLength(0)
  })

  it("broken while running: the last good revision stays, whole, and the log says so; mended, it is used", async () => {
    write("app.json", app())
    write("company.json", { policy_id: "company:C", resources: ["tool:app/**"] })
    const workspace = opens(await Workspace.open({ audit: "memory", policies: folder }))
    const c = client({ workspace })
    await answered(c)
    // One file is good and says no, the other is broken: neither counts.
    write("company.json", "{ not json")
    write("app.json", app({ denied_resources: ["tool:app/generate"] }))
    await until(async () => (await workspace.records()).some(({ kind }) => kind === "policy.rejected"))
    await answered(c)
    write("company.json", { policy_id: "company:C", resources: ["tool:app/**"] })
    await until(() =>
      ask(c).then(
        () => false,
        (error: unknown) => error instanceof PolicyDeniedError
      )
    )
    await refused(c, PolicyDeniedError, "policy_denied")
  })

  it("gone while running: the last good revision stays", async () => {
    write("app.json", app())
    const workspace = opens(await Workspace.open({ audit: "memory", policies: folder }))
    const c = client({ workspace })
    Fs.rmSync(folder, { recursive: true })
    await expect(workspace.reload()).rejects.toBeInstanceOf(ConfigurationError)
    await answered(c)
  })

  it("none that allows: refused", async () => {
    const c = client({ audit: "memory", policies: [{ policy_id: "app:app", resources: ["tool:app/embed"] }] })
    await refused(c, PolicyDeniedError, "policy_denied")
  })
})

describe("a stage", () => {
  const broken = (): never => {
    throw new Error("no entropy")
  }
  const unavailable = (stage: "audit" | "signing") => () =>
    Effect.fail(new EnforcementUnavailable({ stage, message: "The disk is full; make room." }))
  const cases: ReadonlyArray<readonly [string, Layer.Layer<never>, RegExp]> = [
    ["identity throws", Layer.succeed(Identity, { resolve: broken } as never), /identity stage threw/],
    ["signing throws", Layer.succeed(Signing, { sign: broken }), /signing stage threw/],
    ["the signer does not answer", Layer.succeed(Signing, { sign: unavailable("signing") }), /make room/],
    ["policy throws", Layer.succeed(Policy, { evaluate: broken } as never), /policy stage threw/],
    ["policy dies", Layer.succeed(Policy, { evaluate: () => Effect.die("x") } as never), /policy stage threw/],
    ["rewriting throws", Layer.succeed(Rewriting, { apply: broken } as never), /rewriting stage threw/]
  ].map(([name, layer, says]) => [name, layer as Layer.Layer<never>, says] as const) as never
  const over = (layer: Layer.Layer<never>) => Pipeline.layer.pipe(Layer.provide(layer)) as never

  it.each(cases)("%s: refused, and the log names it", async (_what, layer, says) => {
    const workspace = openWorkspace()
    const error = await refused(
      client({ workspace, layer: over(layer) }),
      EnforcementUnavailableError,
      "enforcement_unavailable"
    )
    expect(error.message).toMatch(says)
    const records = (await workspace.records()).filter(({ call }) => call !== undefined)
    expect(records.map(({ kind }) => kind)).toEqual(["refused", "refused"])
    expect(records.at(-1)).toMatchObject({ status: 503, code: "enforcement_unavailable" })
  })

  /** The real log, but for one of its functions. */
  const logWith = (commit: Audit["Service"]["commit"]) =>
    Pipeline.layer.pipe(
      Layer.provide(
        Layer.effect(
          Audit,
          Effect.map(Audit, (audit) => ({ ...audit, commit }))
        )
      )
    ) as never

  const limited = [{ policy_id: "app:app", resources: ["tool:app/**"], constraints: { rate_limit: 100 } }]
  it("a log of one's own claims no rate limits: refused", async () => {
    const layer = Pipeline.layer.pipe(
      Layer.provide(
        Layer.effect(
          Audit,
          Effect.map(Audit, (audit) => ({
            ...audit,
            commit: (prepared) =>
              Effect.map(audit.commit(prepared), ({ entry }) => new Committed(prepared, { ...entry, claims: [] }))
          }))
        )
      )
    ) as never
    const error = await refused(
      client({ audit: "memory", policies: limited, layer }),
      EnforcementUnavailableError,
      "enforcement_unavailable"
    )
    expect(error.message).toMatch(/does not claim rate limits, and nothing was sent/)
  })

  it("the log fails: refused, nothing is sent", async () => {
    const error = await refused(
      client({ audit: "memory", layer: logWith(unavailable("audit")) }),
      EnforcementUnavailableError,
      "enforcement_unavailable"
    )
    expect(error.message).toContain("make room")
  })

  it("the log does not answer: refused at the deadline", async () => {
    const layer = Pipeline.layerFrom(
      (s) => (call) =>
        s.identity.resolve(call).pipe(
          Effect.flatMap(s.signing.sign),
          Effect.flatMap(s.policy.evaluate),
          Effect.flatMap(s.rewriting.apply),
          Effect.flatMap((prepared) => Effect.andThen(Effect.never, s.audit.commit(prepared))),
          Effect.flatMap(s.invocation.invoke)
        ),
      { deadline: 40 }
    )
    const error = await refused(
      client({ audit: "memory", layer }),
      EnforcementUnavailableError,
      "enforcement_unavailable"
    )
    expect(error.message).toMatch(/did not decide within 40 ms/)
  })

  it.each(["plain", "judged"])(
    "the log fails under a %s stream: its reader is told, and the provider is hung up on",
    async (kind) => {
      const disk = new FaultyDisk()
      const log = Audit.layer({ path: "/log", named: true }).pipe(
        Layer.provide([Layer.succeed(Disk, disk), Keys.layerMemory])
      )
      const policies = [
        {
          policy_id: "app:app",
          resources: ["tool:app/**"],
          constraints: kind === "judged" ? { output: { "tool:app/generate": { denied: ["Project Heron"] } } } : {}
        }
      ]
      const c = client({ audit: "memory", policies, layer: Pipeline.layer.pipe(Layer.provide(log)) as never })
      provider.behave({ chunks: 500, every: 5 })
      let chunks = 0
      const read = async (): Promise<void> => {
        for await (const _ of await c.chat.completions.create({ ...params, stream: true }))
          if (++chunks === 3) disk.failAt(disk.asked.length, "ENOSPC")
      }
      const error = await read().then(
        () => new Error("it came to its end"),
        (e: Error) => e
      )
      expect(error).toBeInstanceOf(EnforcementUnavailableError)
      expect(error.message).toMatch(/could not be written .*ENOSPC.*Make space on its disk/)
      expect(chunks).toBeGreaterThanOrEqual(3)
      expect(chunks).toBeLessThan(400)
      await until(() => provider.closed() === 1)
      // Nothing more is sent until the log can be written.
      await refused(c, EnforcementUnavailableError, "enforcement_unavailable")
      disk.heal()
      await until(() =>
        ask(c).then(
          () => true,
          () => false
        )
      )
    }
  )

  it("invocation throws: the decision has an outcome", async () => {
    const workspace = openWorkspace()
    const layer = over(Layer.succeed(Invocation, { invoke: broken }) as never)
    await refused(client({ workspace, layer }), EnforcementUnavailableError, "enforcement_unavailable")
    const kinds = (await workspace.records()).flatMap(({ call, kind }) => (call === undefined ? [] : [kind]))
    expect(kinds).toEqual(["decision", "outcome", "decision", "outcome"])
  })
})

describe("a caller that stops", () => {
  it("is recorded as such: before the decision, while the provider thinks, and in a stream", async () => {
    const workspace = openWorkspace()
    const c = client({ workspace })
    const gone = c.chat.completions.create(params, { signal: AbortSignal.abort() })
    await expect(gone).rejects.toBeInstanceOf(OpenAI.APIUserAbortError)
    expect(provider.hits).toHaveLength(0)
    provider.behave({ hang: true })
    const controller = new AbortController()
    const waiting = c.chat.completions.create(params, { signal: controller.signal })
    await until(() => provider.hits.length === 1)
    controller.abort()
    await expect(waiting).rejects.toBeInstanceOf(OpenAI.APIUserAbortError)
    provider.behave({ chunks: 100, every: 5 })
    const streamed = await c.chat.completions.create({ ...params, stream: true })
    const read = (async () => {
      for await (const _ of streamed) streamed.controller.abort()
    })()
    await read
    const ends = () => workspace.records().then((all) => all.filter(({ kind }) => kind === "outcome"))
    await until(async () => (await ends()).length === 2)
    expect((await ends()).map(({ result }) => result)).toEqual(["aborted", "aborted"])
  })
})

describe("a set-up that is wrong", () => {
  it.each<readonly [string, () => SecureOptions]>([
    ["an unknown option", () => ({ polices: [] }) as never],
    ["an issuer without audience", () => ({ issuers: { issuer: "https://issuer.test" } as never })],
    ["an issuer with an unknown option", () => ({ issuers: { ...testIssuer, audiance: "x" } as never })],
    ["an algorithm with a shared secret", () => ({ issuers: { ...testIssuer, algorithms: ["HS256"] as never } })],
    ["an empty token", () => ({ issuers: testIssuer, jwtToken: "" })],
    ["a name without a token", () => ({ issuers: testIssuer, userName: "alice" })],
    [
      "keys that others can read",
      () => {
        const keys = Path.join(folder, "home", "keys")
        Fs.mkdirSync(keys, { recursive: true, mode: 0o755 })
        Fs.chmodSync(keys, 0o755)
        const workspace = opens(new Workspace({ home: Path.join(folder, "home") }))
        return { workspace }
      }
    ]
  ])("%s: the constructor or ready() says so, and no call is let through", async (_what, options) => {
    const given = options()
    const run = async (): Promise<void> => {
      const c = client({ ...(given.workspace === undefined && { audit: "memory" }), ...given })
      await c.ready()
    }
    const error = await run().then(
      () => undefined,
      (e: unknown) => e
    )
    expect([ConfigurationError, IdentityError].some((one) => error instanceof one)).toBe(true)
    const call = async (): Promise<unknown> =>
      ask(client({ ...(given.workspace === undefined && { audit: "memory" }), ...given }))
    await expect(call()).rejects.toBeInstanceOf(OpenAI.OpenAIError)
    expect(provider.hits).toHaveLength(0)
  })

  it("a token of the right issuer still works beside all that", async () => {
    await answered(client({ audit: "memory", issuers: testIssuer, jwtToken: mintToken() }))
  })
})
