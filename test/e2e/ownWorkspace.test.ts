/** Clients of equal options, one for each request for instance: what they share, and until when. */
import * as Fs from "node:fs"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { ClosedError, ConfigurationError, SecureOpenAI, type SecureOptions } from "../../src/index.ts"
import { makeIssuer, type TokenClaims } from "../../src/testing/index.ts"
import { openProvider } from "./fixture.ts"

const { openClient, provider } = await openProvider()
const asked = { model: "gpt-4o", messages: [{ role: "user" as const, content: "Hello" }] }

const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "own-workspace-"))
const issuer = makeIssuer("https://issuer.example", "app")
let fetches = 0
const keys = Http.createServer((_, response) => {
  fetches++
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(issuer.options.jwks))
})
await new Promise<void>((listening) => keys.listen(0, "127.0.0.1", listening))
afterAll(() => {
  keys.close()
  Fs.rmSync(folder, { recursive: true })
})

const jwksUri = `http://127.0.0.1:${(keys.address() as AddressInfo).port}`
let logs = 0
/** Options of a request's client, made anew for each. */
const optionsFor = (path: string, more: SecureOptions = {}): SecureOptions => ({
  appName: "lab",
  policies: [
    { policy_id: "app:lab", resources: ["tool:lab/**"] },
    { policy_id: "user:alice", resources: ["tool:lab/**"], constraints: { rate_limit: 3 } }
  ],
  issuers: { issuer: "https://issuer.example", audience: "app", jwksUri },
  audit: { path },
  ...more
})
const newLog = () => Path.join(folder, `audit-${++logs}`)
const tokenOf = (claims: TokenClaims) => issuer.mint(claims)

describe("clients of equal options", () => {
  it("read policies and ask for keys once a process, and share one log and its limits", async () => {
    const path = newLog()
    const before = fetches
    const clients = Array.from({ length: 4 }, () =>
      openClient(optionsFor(path, { jwtToken: tokenOf({ sub: "alice" }) }))
    )
    expect(new Set(clients.map(({ workspace }) => workspace)).size).toBe(1)
    const outcomes = await Promise.all(
      clients.map((client) =>
        client.chat.completions.create(asked).then(
          () => 200,
          (error: { readonly status: number }) => error.status
        )
      )
    )
    expect(outcomes.sort()).toEqual([200, 200, 200, 429])
    expect(fetches - before).toBe(1)
    const kinds = (await clients[0]!.workspace.records()).map(({ kind }) => kind)
    expect(kinds.filter((kind) => kind === "policy.activated")).toHaveLength(1)
  })

  it("keep it until the last of them is closed; the next one opens it anew", async () => {
    const path = newLog()
    const one = openClient(optionsFor(path))
    const two = openClient(optionsFor(path))
    await one.chat.completions.create(asked)
    await one.close()
    await one.close()
    await expect(one.chat.completions.create(asked)).rejects.toBeInstanceOf(ClosedError)
    await two.chat.completions.create(asked)
    await two.close()
    expect(two.workspace.closed).toBe(true)
    const three = openClient(optionsFor(path))
    await three.chat.completions.create(asked)
    expect(provider.hits).toHaveLength(3)
  })

  it("get another one where somebody closed theirs", async () => {
    const path = newLog()
    const one = openClient(optionsFor(path))
    await one.ready()
    await one.workspace.close()
    const two = openClient(optionsFor(path))
    await two.chat.completions.create(asked)
    await one.close()
    await two.chat.completions.create(asked)
  })

  it("are not held by a client that could not be made", async () => {
    const path = newLog()
    const one = openClient(optionsFor(path))
    expect(() => new SecureOpenAI(optionsFor(path, { drain: -1 }))).toThrow(ConfigurationError)
    expect(() => new SecureOpenAI(optionsFor(path, { intentPolicy: { x: 1 } as never }))).toThrow(ConfigurationError)
    await one.close()
    expect(one.workspace.closed).toBe(true)
  })

  it.each<readonly [string, SecureOptions, SecureOptions]>([
    ["in memory", { audit: "memory" }, { audit: "memory" }],
    ["of other policies", { policies: [] }, {}],
    ["that only observe", { policyMode: "observe" }, {}],
    [
      "of another hook",
      { issuers: { issuer: "https://a.example", audience: "a", revoked: () => false } },
      { issuers: { issuer: "https://a.example", audience: "a", revoked: () => false } }
    ],
    ["of another place for checkpoints", { audit: { path: Path.join(folder, "x"), checkpoints: () => {} } }, {}]
  ])("share nothing %s", (_what, first, second) => {
    const path = newLog()
    const one = openClient(optionsFor(path, first))
    const two = openClient(optionsFor(path, second))
    expect(one.workspace).not.toBe(two.workspace)
  })
})
