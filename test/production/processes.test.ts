/** The service of docs/production.md in processes of its own: it starts by the manifest, stops on SIGTERM, and is followed. */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import * as Util from "node:util"
import { afterAll, afterEach, beforeAll, expect, it } from "vitest"
import { Workspace } from "../../src/index.ts"
import { linesOf } from "../audit/kills.ts"
import { type Provider, startProvider } from "../e2e/Provider.ts"
import { eventually } from "../e2e/StreamServer.ts"
import { fileOf, manifest, programs, script } from "./page.ts"

let folder = ""
let provider: Provider
let where: Readonly<Record<string, string>> = {}
const children: Array<ChildProcess> = []

const at = (...names: ReadonlyArray<string>): string => Path.join(folder, ...names)

/** A folder as Kubernetes mounts a Secret or a ConfigMap: each name is a link by way of `..data`. */
const mount = (name: string, entries: Readonly<Record<string, string>>): string => {
  const path = at(name)
  Fs.mkdirSync(Path.join(path, "..v1"), { recursive: true })
  Fs.symlinkSync("..v1", Path.join(path, "..data"))
  for (const [entry, content] of Object.entries(entries)) {
    Fs.writeFileSync(Path.join(path, "..v1", entry), content, { mode: 0o400 })
    Fs.symlinkSync(Path.join("..data", entry), Path.join(path, entry))
  }
  return path
}

const policies = (resources: ReadonlyArray<string>): string => JSON.stringify({ policy_id: "app:my-app", resources })

beforeAll(async () => {
  provider = await startProvider()
  folder = programs()
  Fs.mkdirSync(at("made"))
  execFileSync("sh", ["-e", "-c", fileOf("keys.sh")], { cwd: at("made"), stdio: "ignore" })
  const made = ["agent.pem", "log.pem", "salt"].map(
    (name) => [name, Fs.readFileSync(at("made", name), "utf8")] as const
  )
  where = {
    keys: mount("keys", Object.fromEntries(made)),
    policies: mount("policies", { "app.json": policies(["tool:my-app/**"]) }),
    data: at("data"),
    checkpoints: at("checkpoints")
  }
  Fs.mkdirSync(at("checkpoints"))
})
afterEach(() => {
  for (const child of children) child.kill("SIGKILL")
})
afterAll(async () => {
  await provider.close()
  Fs.rmSync(folder, { recursive: true, force: true })
})

/** Asks until it is so, and leaves the processor to the processes meanwhile. */
const until = <A>(read: () => A | Promise<A>, holds: (seen: A) => boolean): Promise<A> =>
  eventually(
    async () => {
      await new Promise((resolve) => setTimeout(resolve, 100))
      return read()
    },
    holds,
    30_000
  )

/** What the manifest sets, with its mounts where they are in this test. */
const environment = (): Record<string, string> => {
  const [{ env, volumeMounts }] = manifest().spec.template.spec.containers
  return Object.fromEntries(
    env.map(({ name, value }) => {
      if (value === undefined) return [name, "sk-service"]
      const mounted = volumeMounts.find(({ mountPath }) => mountPath === value)
      return [name, where[mounted?.name ?? ""] ?? expect.fail(`${name} is no mount`)]
    })
  )
}

const freePort = async (): Promise<number> => {
  const server = Net.createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as Net.AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** A process of the service. */
const start = async (more: Readonly<Record<string, string>> = {}) => {
  const port = await freePort()
  const [{ command }] = manifest().spec.template.spec.containers
  const child = spawn(process.execPath, command.slice(1), {
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, OPENAI_BASE_URL: provider.url, PORT: String(port), ...environment(), ...more }
  })
  children.push(child)
  const url = `http://127.0.0.1:${port}`
  const probe = () =>
    fetch(`${url}/healthz`).then(
      async (response) => ({ status: response.status, body: await response.text() }),
      () => ({ status: 0, body: "" })
    )
  return { child, port, probe, ask: () => fetch(url, { method: "POST", body: "Hello" }) }
}

const records = (log: string) =>
  linesOf(at("data", log)).map(
    (line) => JSON.parse(line) as { readonly kind: string; readonly result?: string; readonly open?: number }
  )
const logs = () => Fs.readdirSync(at("data")).filter((name) => name.startsWith("audit"))
const holder = (log: string): number => JSON.parse(Fs.readFileSync(at("data", log, "lock"), "utf8")).pid
/** A workspace of this process on the same home. */
const here = (path?: string) =>
  new Workspace({ home: at("data"), keys: where["keys"]!, ...(path !== undefined && { audit: { path } }) })
const watchesFiles = ({ pid }: ChildProcess): boolean =>
  Fs.readdirSync(`/proc/${pid}/fd`).some((fd) => {
    try {
      return Fs.readlinkSync(`/proc/${pid}/fd/${fd}`) === "anon_inode:inotify"
    } catch {
      return false
    }
  })
let version = 1
/** A change of the ConfigMap, as Kubernetes makes it: the link `..data` is exchanged, then the old folder goes. */
const change = (content: string): void => {
  const path = (name: string) => Path.join(where["policies"]!, name)
  const before = Fs.readlinkSync(path("..data"))
  const after = `..v${++version}`
  Fs.mkdirSync(path(after))
  Fs.writeFileSync(path(`${after}/app.json`), content)
  Fs.symlinkSync(after, path("..data_tmp"))
  Fs.renameSync(path("..data_tmp"), path("..data"))
  Fs.rmSync(path(before), { recursive: true })
}

it("the service of the page stops on SIGTERM once what was begun has ended, and is followed on its log", async () => {
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
