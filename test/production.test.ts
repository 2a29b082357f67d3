/** docs/production.md: its programs run, and its figures are those of the code. */
import * as Fs from "node:fs"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { lowBelow } from "../src/audit/FreeSpace.ts"
import { type Health, SecureOpenAI, Workspace } from "../src/index.ts"

const root = Path.resolve(import.meta.dirname, "..")
const text = Fs.readFileSync(Path.join(root, "docs/production.md"), "utf8")
const blockOf = (opening: string): string =>
  new RegExp(`^\`\`\`${opening}\n(.*?)^\`\`\`$`, "msu").exec(text)?.[1] ?? expect.fail(`no block ${opening}`)

let folder = ""
beforeAll(() => {
  folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-production-"))
})
afterAll(() => Fs.rmSync(folder, { recursive: true, force: true }))

interface Probe {
  readonly healthz: (client: SecureOpenAI) => Http.RequestListener
}

/** Serves a client's health by the program of the page; gives what a probe gets. */
const serve = async (client: SecureOpenAI) => {
  const file = Path.join(folder, "healthz.ts")
  Fs.writeFileSync(file, blockOf("ts healthz\\.ts"))
  const { healthz } = (await import(pathToFileURL(file).href)) as Probe
  const path = /path: (\S+),/.exec(blockOf("yaml"))?.[1] ?? ""
  const handler = healthz(client)
  const server = Http.createServer((request, response) =>
    request.url === path ? handler(request, response) : response.writeHead(404).end()
  )
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const probe = async () => {
    const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`)
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
