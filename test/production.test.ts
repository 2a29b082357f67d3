/** docs/production.md: its programs run, and its figures are those of the code. */
import { execFile, execFileSync, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Net from "node:net"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import * as Util from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { lowBelow } from "../src/audit/folder/FreeSpace.ts"
import { segmentSize } from "../src/audit/folder/Segment.ts"
import { type Health, SecureOpenAI, Workspace, type WorkspaceOptions } from "../src/index.ts"
import { mintToken, testIssuer } from "../src/testing/index.ts"
import { check } from "./audit/logs.ts"
import { startProvider } from "./e2e/Provider.ts"
import { useService } from "./production/Service.ts"
import { blockOf, fileOf, files, manifest, programs, root, script, text } from "./production/page.ts"

let folder = ""
beforeAll(() => {
  folder = programs()
})
afterAll(() => Fs.rmSync(folder, { recursive: true, force: true }))

interface Probe {
  readonly healthz: (client: SecureOpenAI) => Http.RequestListener
}

/** Serves a client's health by the program of the page; gives what a probe gets. */
const serve = async (client: SecureOpenAI) => {
  const { healthz } = (await import(pathToFileURL(Path.join(folder, "healthz.ts")).href)) as Probe
  const { path } = manifest().spec.template.spec.containers[0].readinessProbe.httpGet
  const handler = healthz(client)
  const server = Http.createServer((request, response) =>
    request.url === path ? handler(request, response) : response.writeHead(404).end()
  )
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const probe = async () => {
    const response = await fetch(`http://127.0.0.1:${(server.address() as Net.AddressInfo).port}${path}`)
    return { status: response.status, body: await response.json() }
  }
  return { probe, [Symbol.asyncDispose]: async () => void server.close() }
}

describe("the probe of the page", () => {
  it("answers 200 while calls are let through, and 503 once the client is closed", async () => {
    const client = new SecureOpenAI({ apiKey: "k", audit: "memory" })
    await using served = await serve(client)
    expect(await served.probe()).toEqual({ status: 200, body: { ok: true, reasons: [] } })
    await client.close()
    expect(await served.probe()).toEqual({ status: 503, body: { ok: false, reasons: [] } })
  })

  it("answers 503 with reasons, and no path or message, while they are refused", async () => {
    Fs.writeFileSync(Path.join(folder, "file"), "")
    await using workspace = new Workspace({ home: folder, audit: { path: Path.join(folder, "file", "audit") } })
    await using client = new SecureOpenAI({ apiKey: "k", workspace })
    await using served = await serve(client)
    const { body, status } = await served.probe()
    expect(status).toBe(503)
    expect(body).toEqual({
      ok: false,
      reasons: [{ code: "enforcement_unavailable", reason: "unwritable", refuses: "everybody" }]
    })
  })
})

describe("the page", () => {
  it("shows a health as it is", async () => {
    const shown: Health = JSON.parse(blockOf("json"))
    await using workspace = new Workspace({ home: Path.join(folder, "home") })
    await using client = new SecureOpenAI({ apiKey: "k", workspace })
    let health = await client.health()
    for (let i = 0; i < 100 && health.disk === undefined; i++) {
      await new Promise((resolve) => setTimeout(resolve, 10))
      health = await client.health()
    }
    const { copies, ...always } = shown
    expect(Object.keys(health)).toEqual(Object.keys(always))
    for (const part of ["log", "policies", "disk"] as const)
      expect(Object.keys(health[part] ?? {}).toSorted()).toEqual(Object.keys(shown[part] ?? {}).toSorted())
    expect(copies).toHaveLength(1)
  })

  it("says when a disk is low", () => {
    expect(text).toContain(`less than ${lowBelow(2 ** 50) / 2 ** 20} MiB is free`)
    expect(text).toContain("less than a twentieth of a smaller disk")
    expect(lowBelow(2 ** 30)).toBe(2 ** 30 / 20)
  })
})

const answered = (): Response =>
  Response.json({
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1,
    model: "gpt-4o",
    choices: [{ index: 0, message: { role: "assistant", content: "Hi" }, finish_reason: "stop", logprobs: null }],
    usage: { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 }
  })
const streamed = (): Response => {
  const chunk = (i: number) => ({
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1,
    model: "gpt-4o",
    choices: [{ index: 0, delta: { content: "word" }, finish_reason: i === 199 ? "stop" : null }]
  })
  const events = Array.from({ length: 200 }, (_, i) => `data: ${JSON.stringify(chunk(i))}\n\n`)
  return new Response(`${events.join("")}data: [DONE]\n\n`, { headers: { "content-type": "text/event-stream" } })
}

const policies = [
  { policy_id: "app:my-app", resources: ["tool:my-app/**"] },
  {
    policy_id: "user:alice",
    resources: ["tool:my-app/generate"],
    constraints: { parameters: { "tool:my-app/generate": { max_tokens: { max: 500 } } } }
  }
]

/** A service on a home, whose model answers at once. */
const serviceAt = (home: string, more: Partial<WorkspaceOptions> = {}) => {
  const workspace = new Workspace({ home, policies, issuers: testIssuer, ...more })
  const client = new SecureOpenAI({
    appName: "my-app",
    apiKey: "k",
    workspace,
    fetch: async (url, init) => {
      if (String(url).endsWith("/models")) return Response.json({ object: "list", data: [] })
      return String(init?.body).includes('"stream":true') ? streamed() : answered()
    }
  })
  const close = async () => {
    await client.close()
    await workspace.close()
  }
  return { client, workspace, close, [Symbol.asyncDispose]: close }
}

const chat = { model: "gpt-4o", max_tokens: 1000, messages: [{ role: "user" as const, content: "Hello" }] }
const newHome = (): string => Fs.mkdtempSync(Path.join(folder, "home-"))
const journalOf = (home: string): string => Path.join(home, "audit/journal", `${"0".repeat(20)}.jsonl`)
const sizeOf = (home: string): number => Fs.statSync(journalOf(home)).size

/** The cells of a table of the page, by its header row. */
const table = (header: string): ReadonlyArray<ReadonlyArray<string>> => {
  const lines = text.split("\n")
  const at = lines.indexOf(header)
  expect(at).toBeGreaterThan(0)
  return lines.slice(at + 2, lines.indexOf("", at)).map((row) => row.slice(2, -2).split(" | "))
}

describe("sizes", () => {
  const rows = table("| in the log | bytes |").map(([what = "", bytes = ""]) => [what, bytes.replace(",", "")] as const)

  it("are those of the page, to a twentieth", async () => {
    const home = newHome()
    await using service = serviceAt(home)
    const alice = await service.client.asUser(mintToken({ sub: "alice" }))
    const asks: Readonly<Record<string, () => Promise<unknown>>> = {
      "a call by the service": () => service.client.chat.completions.create(chat),
      "a call by a user, with one edit": () => alice.chat.completions.create(chat),
      "a stream of 200 chunks": async () => {
        for await (const _ of await service.client.chat.completions.create({ ...chat, stream: true }));
      },
      "a refusal by policy": () => alice.embeddings.create({ model: "e", input: "a" }).catch(() => {}),
      "a request that passes through (`models.list`)": () => service.client.models.list(),
      "all refusals within one second of tokens without a verified signature (2,500 bytes at most)": async () => {
        await service.client.asUser("no token").catch(() => {})
        await service.client.flush()
      }
    }
    expect(rows.map(([what]) => what)).toEqual(Object.keys(asks))
    for (const [what, bytes] of rows) {
      await service.client.flush()
      const before = sizeOf(home)
      for (let i = 0; i < 10; i++) await asks[what]?.()
      await service.client.flush()
      const size = (sizeOf(home) - before) / 10
      expect(Math.abs(size / Number(bytes) - 1), `${what}: ${size}`).toBeLessThan(0.05)
    }
  })

  it("come to what it says a day", () => {
    const [, a] = /by users is (\d+) MB a day/.exec(text) ?? []
    expect(Math.round((Number(rows[1]?.[1]) * 86_400) / 1e6)).toBe(Number(a))
    expect(text).toContain(`A segment is ${segmentSize / 2 ** 20} MiB`)
  })

  it.skipIf(process.platform !== "linux")("are 4 open files for a log", async () => {
    const home = newHome()
    await using service = serviceAt(home)
    const before = Fs.readdirSync("/proc/self/fd").length
    await service.client.ready()
    const links = Fs.readdirSync("/proc/self/fd").flatMap((fd) => {
      try {
        return [Fs.readlinkSync(`/proc/self/fd/${fd}`)]
      } catch {
        return []
      }
    })
    expect(text).toContain("| open files | 4 for a log, 1 to watch policies")
    // And a socket, which has no name.
    expect(links.filter((link) => link.startsWith(home))).toHaveLength(3)
    expect(Fs.readdirSync("/proc/self/fd").length).toBe(before + 4)
  })
})

it("drain cuts what is still open, and the log says what it was", async () => {
  const provider = await startProvider()
  const home = newHome()
  const workspace = new Workspace({ home })
  const client = new SecureOpenAI({ appName: "my-app", apiKey: "k", workspace, baseURL: provider.url, drain: 1 })
  const stream = async () => {
    for await (const _ of await client.chat.completions.create({ ...chat, stream: true }));
  }
  provider.behave({ chunks: 100_000, every: 10 })
  const asked: Array<Promise<unknown>> = [stream()]
  await client.ready()
  await expect.poll(() => Fs.readFileSync(journalOf(home), "utf8")).toContain('"stream.open"')
  provider.behave({ hang: true })
  asked.push(client.chat.completions.create(chat))
  const ended = Promise.allSettled(asked)
  await expect.poll(() => provider.hits.length).toBe(1)
  await client.close()
  expect((await ended).map(({ status }) => status)).toEqual(["rejected", "rejected"])
  await workspace.close()
  await provider.close()
  const results = [...Fs.readFileSync(journalOf(home), "utf8").matchAll(/"result":"(\w+)"/gu)].map(
    ([, result]) => result
  )
  expect(results).toHaveLength(2)
  for (const result of results) expect(["aborted", "abandoned"]).toContain(result)
  expect(text).toContain("the log records `aborted` or `abandoned`")
})

const service = useService()
it("the service of the page stops on SIGTERM once what was begun has ended, and is followed on its log", async () => {
  const { at, change, here, holder, logs, policies, records, start, until, watchesFiles } = service
  const provider = service.provider()
  const first = await start()
  await until(first.probe, ({ status }) => status === 200)
  // The next one comes while the first is still there. Its files are on a network file system, say.
  const second = await start({ CHOKIDAR_USEPOLLING: "1" })
  await until(second.probe, ({ status }) => status === 200)
  expect(logs()).toEqual(["audit", "audit-2"])
  expect([holder("audit"), holder("audit-2")]).toEqual([first.child.pid, second.child.pid])
  if (process.platform === "linux")
    expect([first, second].map(({ child }) => watchesFiles(child))).toEqual([true, false])
  // And one that names the path is refused for as long.
  await using named = here(at("data", "audit"))
  expect(await named.health()).toMatchObject({ ok: false, problems: [{ reason: "held", refuses: "everybody" }] })

  const chunk = (finish_reason: string | null) => ({
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1,
    model: "gpt-4o",
    choices: [{ index: 0, delta: { content: "word " }, finish_reason }]
  })
  let isOver = false
  const events = function* () {
    while (!isOver) yield chunk(null)
    yield chunk("stop")
  }
  provider.behave({ events: events(), every: 20 })
  const kept = Net.connect(first.port, "127.0.0.1").setEncoding("utf8")
  let answer = ""
  kept.on("data", (data: string) => (answer += data))
  kept.write("POST / HTTP/1.1\r\nhost: assistant\r\ncontent-length: 5\r\n\r\nHello")
  await until(
    () => answer,
    (text) => text.includes("word")
  )
  const end = once(first.child, "exit")
  first.child.kill("SIGTERM")
  await until(first.probe, ({ status }) => status !== 200)
  // A connection that is kept alive is told to go elsewhere, once its response is over.
  kept.write("POST / HTTP/1.1\r\nhost: assistant\r\ncontent-length: 5\r\n\r\nAgain")
  await new Promise((resolve) => setTimeout(resolve, 100))
  isOver = true
  await once(kept, "close")
  expect(answer).toMatch(/^HTTP\/1.1 200 .*"finish_reason":"stop".*\r\nHTTP\/1.1 503 [^]*connection: close\r\n/su)
  expect(await end).toEqual([0, null])
  expect(records("audit").slice(-2)).toMatchObject([{ kind: "outcome", result: "complete" }, { kind: "log.close" }])
  expect(Fs.readdirSync(at("data", "audit")).filter((name) => name.startsWith("lock"))).toEqual([])
  await until(
    () => named.health(),
    ({ ok }) => ok
  )
  await named.close()

  const third = here()
  expect((await third.health()).log.path).toBe(at("data", "audit"))
  expect(logs()).toEqual(["audit", "audit-2"])
  // While both are written.
  const verified = await Util.promisify(execFile)(
    "sh",
    ["-e", "-c", script("verify.sh").replace("/checkpoints", at("checkpoints"))],
    { env: { ...process.env, SECURE_OPENAI_HOME: at("data"), NO_COLOR: "1" } }
  )
  expect(verified.stdout.match(/: intact$/gmu)).toHaveLength(2)
  await third.close()

  provider.behave({})
  expect((await second.ask()).status).toBe(200)
  change(policies(["tool:my-app/complete"]))
  await until(second.ask, ({ status }) => status === 403)
  change(policies(["tool:my-app/**"]))
  await until(second.ask, ({ status }) => status === 200)

  // A second signal ends it as a process without a handler ends.
  provider.behave({ hang: true })
  const asked = second.ask().catch(() => {})
  await until(
    () => provider.hits.length,
    (n) => n === 1
  )
  const killed = once(second.child, "exit")
  second.child.kill("SIGTERM")
  await until(second.probe, ({ status }) => status !== 200)
  second.child.kill("SIGTERM")
  expect(await killed).toEqual([null, "SIGTERM"])
  await asked
  await using next = here(at("data", "audit-2"))
  await next.ready()
  expect(
    records("audit-2").filter(({ kind, result }) => kind === "log.recovered" || result === "unknown")
  ).toMatchObject([{ open: 1 }, { kind: "outcome", result: "unknown" }])
})

describe("a backup", () => {
  it("is intact by the page's script while the log is written, in its order, and cut in another", async () => {
    const home = newHome()
    await using service = serviceAt(home)
    let isOver = false
    const writing = (async () => {
      while (!isOver) {
        await service.client.chat.completions.create(chat)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    })()
    await service.client.ready()
    const backup = Path.join(home, "backup")
    // The copies of a large log take a while, in which it is written and signed.
    const slow = Path.join(home, "bin")
    Fs.mkdirSync(slow)
    Fs.writeFileSync(Path.join(slow, "cp"), '#!/bin/sh\nPATH=${PATH#*:}\ncp "$@"\nsleep 0.8\n', { mode: 0o755 })
    const { stdout } = await Util.promisify(execFile)("sh", ["-e", "-c", script("backup.sh")], {
      env: {
        ...process.env,
        PATH: `${slow}:${process.env["PATH"]}`,
        SECURE_OPENAI_HOME: home,
        BACKUP: backup,
        NO_COLOR: "1"
      }
    })
    isOver = true
    await writing
    expect(stdout).toContain(`${backup}/audit: intact\n`)

    const log = Path.join(home, "audit")
    const wrong = Path.join(home, "wrong")
    Fs.cpSync(Path.join(log, "journal"), Path.join(wrong, "journal"), { recursive: true })
    await service.client.chat.completions.create(chat)
    await service.close()
    for (const name of ["vkey", "checkpoint"]) Fs.copyFileSync(Path.join(log, name), Path.join(wrong, name))
    expect((await check({ path: wrong })).problems.map(({ code }) => code)).toEqual(["too_short"])
    expect(text).toContain("`audit verify` reports `too_short` and exits with 1")

    // Restored, it opens and goes on; whoever has a newer checkpoint sees it.
    const copy = Path.join(backup, "audit")
    const since = Fs.readFileSync(Path.join(log, "checkpoint"), "utf8")
    const codes = async () => (await check({ path: copy, since })).problems.map(({ code }) => code)
    expect(await codes()).toEqual(["rolled_back"])
    await using restored = serviceAt(home, { audit: { path: copy } })
    while (((await restored.client.health()).log.records ?? 0) <= Number(since.split("\n")[1]))
      await Promise.all(Array.from({ length: 20 }, () => restored.client.chat.completions.create(chat)))
    await restored.close()
    expect(await codes()).toEqual(["forked"])
  })

  it("of a log that is retired leaves a home that begins another", async () => {
    const home = newHome()
    const log = Path.join(home, "audit")
    const originAt = async () => {
      await using service = serviceAt(home)
      await service.client.chat.completions.create(chat)
      return (await service.client.health()).log.origin
    }
    const before = await originAt()
    execFileSync("sh", ["-e", "-c", fileOf("retire.sh")], { env: { ...process.env, SECURE_OPENAI_HOME: home } })
    expect(Fs.existsSync(log)).toBe(false)
    const after = await originAt()
    expect(after).not.toBe(before)
    const [retired = ""] = Fs.readdirSync(home).filter((name) => name.startsWith("audit-"))
    for (const [path, origin] of [
      [log, after],
      [Path.join(home, retired), before]
    ] as const)
      expect(await check({ path })).toMatchObject({ ok: true, origin })
  })
})

describe("a home", () => {
  it("whose keys are lost refuses its old log until that is moved away", async () => {
    const home = newHome()
    await using before = serviceAt(home)
    await before.client.ready()
    await before.close()
    Fs.rmSync(Path.join(home, "keys"), { recursive: true })
    await using after = serviceAt(home)
    await expect(after.client.ready()).rejects.toMatchObject({ message: expect.stringContaining("another log key") })
    await after.close()
    Fs.renameSync(Path.join(home, "audit"), Path.join(home, "old"))
    await using anew = serviceAt(home)
    expect(await anew.client.health()).toMatchObject({ ok: true })
  })

  // A change of mode means nothing there.
  it.skipIf(process.platform === "win32")(
    "that fsGroup made readable refuses its keys, and not those of a mount",
    async () => {
      const home = newHome()
      const keys = Path.join(folder, "mounted")
      {
        await using service = serviceAt(home)
        await service.client.ready()
        Fs.cpSync(Path.join(home, "keys"), keys, { recursive: true })
      }
      // What Kubernetes does at a mount: the group may do what the owner may, and folders hand their group on.
      for (const path of [
        home,
        ...Fs.readdirSync(home, { recursive: true, encoding: "utf8" }).map((name) => Path.join(home, name))
      ])
        Fs.chmodSync(path, Fs.statSync(path).isDirectory() ? 0o2770 : 0o660)
      await using refused = serviceAt(home)
      await expect(refused.client.ready()).rejects.toMatchObject({
        message: expect.stringContaining("can be read by others")
      })
      await using served = serviceAt(home, { keys })
      expect(await served.client.health()).toMatchObject({ ok: true })
    }
  )

  it("of a function has a log for each instance", async () => {
    const home = newHome()
    const set = { SECURE_OPENAI_HOME: home, AUDIT_LOGS: Path.join(home, "mnt"), OPENAI_API_KEY: "k" }
    const before = { ...process.env }
    Object.assign(process.env, set)
    try {
      const { client } = (await import(pathToFileURL(Path.join(folder, "instance.ts")).href)) as {
        client: SecureOpenAI
      }
      const { log, ok } = await client.health()
      expect([ok, Path.dirname(log.path ?? "")]).toEqual([true, set.AUDIT_LOGS])
      await client.close()
    } finally {
      process.env = before
    }
  })
})

describe("the manifests of the page", () => {
  const { spec } = manifest()
  const pod = spec.template.spec
  const [container] = pod.containers

  it("give each replica of the StatefulSet a home of its own, and keys that are only read", () => {
    expect([manifest().kind, manifest().apiVersion]).toEqual(["StatefulSet", "apps/v1"])
    expect(spec.template.metadata.labels).toEqual(spec.selector.matchLabels)
    const volumes = [...pod.volumes, ...spec.volumeClaimTemplates.map(({ metadata }) => metadata)].map(
      ({ name }) => name
    )
    expect(container.volumeMounts.map(({ name }) => name).toSorted()).toEqual(volumes.toSorted())
    const env = new Map(container.env.map(({ name, value }) => [name, value]))
    const mountOf = (name: string) => container.volumeMounts.find(({ mountPath }) => mountPath === env.get(name))
    expect(mountOf("SECURE_OPENAI_HOME")?.name).toBe(spec.volumeClaimTemplates[0]?.metadata.name)
    expect(spec.volumeClaimTemplates[0]?.spec.accessModes).toEqual(["ReadWriteOncePod"])
    expect(mountOf("SECURE_OPENAI_KEYS")).toMatchObject({ readOnly: true })
    expect(pod.volumes.find(({ name }) => name === mountOf("SECURE_OPENAI_KEYS")?.name)?.secret?.defaultMode).toBe(
      0o400
    )
    expect(mountOf("SECURE_OPENAI_CHECKPOINTS")).toMatchObject({ subPathExpr: "$(POD_NAME)" })
    expect(mountOf("SECURE_OPENAI_POLICIES")).toMatchObject({ readOnly: true })
    expect(pod.securityContext).toMatchObject({
      runAsNonRoot: true,
      fsGroup: 1000,
      fsGroupChangePolicy: "OnRootMismatch"
    })
    expect(container.command).toEqual(["node", "server.ts"])
    expect(container.readinessProbe.httpGet.port).toBe(container.ports[0]?.containerPort)
    expect(fileOf("server.ts")).toContain(`?? ${container.ports[0]?.containerPort})`)
    expect(fileOf("server.ts")).toContain(`"${container.readinessProbe.httpGet.path}"`)
  })

  const patience = Number(/patience = ([\d_]+)/.exec(fileOf("server.ts"))?.[1]?.replace("_", "")) / 1000
  const unit = fileOf("assistant.service")
    .split("\n")
    .flatMap((line) => (line.includes("=") ? [line.split(/=(.*)/s).slice(0, 2) as [string, string]] : []))
  const all = (name: string) => unit.filter(([key]) => key === name).map(([, value]) => value)

  it("wait longer for a process than that takes to stop", () => {
    const { seconds } = container.lifecycle.preStop.sleep
    expect(text).toContain(`(${seconds} + ${patience} + ${patience} s below)`)
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(seconds + 2 * patience)
    expect(Number(all("TimeoutStopSec")[0])).toBeGreaterThan(2 * patience)
  })

  it("give a unit of systemd the credentials that a folder of keys has, and a home that it may write", () => {
    expect(all("LoadCredential").map((line) => line.split(":")[0])).toEqual(["agent.pem", "log.pem", "salt"])
    const env = new Map(all("Environment").map((line) => line.split("=") as [string, string]))
    expect(env.get("SECURE_OPENAI_KEYS")).toBe("%d")
    expect(env.get("SECURE_OPENAI_HOME")).toBe(`%S/${all("StateDirectory")[0]}`)
    expect(all("ProtectSystem")).toEqual(["strict"])
  })

  const analyze = spawnSync("systemd-analyze", ["--version"]).status === 0
  it.skipIf(!analyze)("are a unit that systemd takes", () => {
    const path = Path.join(folder, "assistant.service")
    Fs.writeFileSync(path, fileOf("assistant.service").replace("/usr/bin/node", process.execPath))
    const { status, stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", path], { encoding: "utf8" })
    expect([status, stderr.split("\n").filter((line) => line.includes("assistant.service"))]).toEqual([0, []])
  })
})

describe("what the page says", () => {
  const sources = new Map(
    Fs.readdirSync(Path.join(root, "src"), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => [name, Fs.readFileSync(Path.join(root, "src", name), "utf8")])
  )
  const source = [...sources.values()].join("\n")

  it("names variables of the environment, reasons and commands that there are", () => {
    for (const [, name = ""] of text.matchAll(/SECURE_OPENAI_([A-Z_]*[A-Z])/gu))
      expect(source).toMatch(new RegExp(`"SECURE_OPENAI_${name}"|(env|secret)\\("${name}"\\)`))
    for (const reason of [
      "held",
      "replay_full",
      "checkpoints_overdue",
      "copies_overdue",
      "clock_set_back",
      "clock_behind"
    ]) {
      expect(text).toContain(`\`${reason}\``)
      expect(source).toContain(`"${reason}"`)
    }
  })

  it("says that a restart ends clock_set_back, and not clock_behind", () => {
    const words = text.replaceAll(/\s+/gu, " ")
    expect(words).toMatch(/a restart ends `clock_set_back`\. It does not end `clock_behind`:[^.]*passed that time\./u)
    expect(words).toMatch(/another audit path; or stop the process and move the log's folder away/u)
    expect(words).toMatch(
      /`clock_set_back`, which ends with a restart[^.]*\. [^.]*`clock_behind` follows, which no restart ends/u
    )
    for (const page of ["identity.md", "threat-model.md"])
      expect(Fs.readFileSync(Path.join(root, "docs", page), "utf8")).toMatch(
        /restart\s+does not help where the log took records|or after a restart; where the log has records of a later time/u
      )
  })

  it.each([
    ["262,144", "signing/Replay.ts", "defaultCapacity = 262_144"],
    ["`audit-64`", "audit/folder/FolderLog.ts", "maximumSiblings = 64"],
    ["| 10 s (signer", "workspace/Pipeline.ts", "usualDeadline = 10_000"],
    ["default 60,000 ms", "facade/Options.ts", "otherwise = 60_000"],
    ["each second", "audit/folder/Lock.ts", "{ beat: 1000, old: 15_000, still: 5000 }"],
    ["A start watches for 5 s", "audit/folder/Claimant.ts", "usualHolderDelay = 5000"],
    ["5 minutes or 100,000 records", "audit/folder/Writer.ts", "ms: 300_000, records: 100_000"],
    [
      "5 minutes or 100,000 records",
      "audit/folder/Copies.ts",
      "withinMinutes ?? 5, withinRecords: withinRecords ?? 100_000"
    ],
    ["30 s behind", "audit/Unavailable.ts", "clockTolerance = 30_000"],
    ["back** by more than 30 s", "identity/Time.ts", "tolerance = 30_000"]
  ])("has a figure of the code: %s", (said, file, code) => {
    expect(text).toContain(said)
    expect(sources.get(file)).toContain(code)
  })

  it.each(table("| on standard error | what it means |"))("has a warning of the code: %s", (said = "") => {
    for (const [, words = ""] of said.matchAll(/`([^`]+)`/gu)) expect(source).toContain(words)
  })

  it("leads to headings that there are", () => {
    const slugs = (page: string) =>
      [...page.matchAll(/^#+ (.+)$/gmu)].map(([, title = ""]) =>
        title
          .toLowerCase()
          .replaceAll(/[^\w\s-]/gu, "")
          .replaceAll(" ", "-")
      )
    for (const [, page = "", slug = ""] of text.matchAll(/\]\(([\w-]+\.md)?#([^)]+)\)/gu))
      expect(slugs(page === "" ? text : Fs.readFileSync(Path.join(root, "docs", page), "utf8"))).toContain(slug)
  })

  it("has no block that does not run", () => {
    const openings = [...text.matchAll(/^```(.+)$/gmu)].map(([, opening = ""]) => opening.split(" ")[1] ?? opening)
    expect(openings.toSorted()).toEqual([...files.keys(), "json"].toSorted())
  })
})
