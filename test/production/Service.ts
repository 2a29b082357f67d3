/**
 * The service of docs/production.md in processes of its own, started by the environment of its manifest, whose mounts are folders
 * here: the home, Secrets and ConfigMaps as Kubernetes makes them, and a provider on the loopback.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { afterAll, beforeAll, expect } from "vitest"
import { Workspace } from "../../src/index.ts"
import { linesOf } from "../audit/kills.ts"
import { type Provider, startProvider } from "../e2e/Provider.ts"
import { eventually } from "../e2e/StreamServer.ts"
import { fileOf, manifest, programs } from "./page.ts"

/** One service for a test file. */
export const useService = () => {
  let folder = ""
  let model: Provider
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
    model = await startProvider()
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
  afterAll(async () => {
    for (const child of children) child.kill("SIGKILL")
    await model.close()
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
      env: { ...process.env, OPENAI_BASE_URL: model.url, PORT: String(port), ...environment(), ...more }
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

  return { at, change, here, holder, logs, policies, provider: () => model, records, start, until, watchesFiles }
}
