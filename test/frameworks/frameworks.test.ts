/** The handlers of the page on frameworks, as it shows them, with a browser that reads, is refused, and leaves. */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Url from "node:url"
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { makeIssuer } from "../../src/testing/index.ts"
import { linesOf } from "../audit/kills.ts"
import { type Provider, startProvider } from "../e2e/Provider.ts"
import { eventually } from "../e2e/StreamServer.ts"

const root = Path.resolve(import.meta.dirname, "../..")
const page = Fs.readFileSync(Path.join(root, "docs/frameworks.md"), "utf8")
const programs = [...page.matchAll(/^```ts (\S+)\n(.*?)^```$/gmsu)].map(([, file, text]) => ({
  file: file!,
  text: text!
}))

const generate = "tool:my-app/generate"
const user = (name: string, constraints: object = {}) => ({
  policy_id: `user:${name}`,
  resources: [generate],
  constraints
})
const policies = [
  { policy_id: "app:my-app", resources: ["tool:my-app/**"] },
  user("alice"),
  user("rita", { rate_limit: 1 }),
  user("otto", { output: { [generate]: { denied: ["t3"] } } }),
  { policy_id: "user:mallory", resources: ["tool:other/**"] }
]

let folder: string
let provider: Provider
let jwks: Http.Server
let server: ChildProcess
let ports: Readonly<Record<string, number>>
let ask: (
  url: string,
  token: string,
  content: string,
  onText: (text: string) => void,
  signal?: AbortSignal
) => Promise<string | null>
const issuer = makeIssuer("https://login.acme.test", "my-app")
const token = (sub: string) => issuer.mint({ sub })

const portOf = (listening: Http.Server) => (listening.address() as AddressInfo).port

beforeAll(async () => {
  provider = await startProvider()
  jwks = Http.createServer((_request, response) =>
    response.setHeader("content-type", "application/json").end(JSON.stringify(issuer.options.jwks))
  ).listen(0, "127.0.0.1")
  await once(jwks, "listening")
  folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-frameworks-"))
  Fs.symlinkSync(Path.join(root, "node_modules"), Path.join(folder, "node_modules"))
  Fs.writeFileSync(Path.join(folder, "package.json"), '{ "type": "module" }')
  Fs.writeFileSync(Path.join(folder, "policies.json"), JSON.stringify(policies))
  const ours = JSON.stringify(Url.pathToFileURL(Path.join(root, "src/index.ts")).href)
  for (const { file, text } of programs)
    Fs.writeFileSync(Path.join(folder, file), text.replaceAll('"secure-openai"', ours))
  ;({ ask } = await import(Url.pathToFileURL(Path.join(folder, "browser.ts")).href))
  server = fork(Path.join(import.meta.dirname, "serve.ts"), [], {
    cwd: folder,
    env: {
      ...process.env,
      OPENAI_API_KEY: "sk-service",
      OPENAI_BASE_URL: provider.url,
      SECURE_OPENAI_HOME: Path.join(folder, "home"),
      SECURE_OPENAI_POLICIES: Path.join(folder, "policies.json"),
      SECURE_OPENAI_ISSUER: issuer.options.issuer,
      SECURE_OPENAI_AUDIENCE: issuer.options.audience,
      SECURE_OPENAI_JWKS_URI: `http://127.0.0.1:${portOf(jwks)}/`
    }
  })
  ;[{ ports }] = await once(server, "message")
})
afterAll(async () => {
  server.kill("SIGKILL")
  jwks.close()
  await provider.close()
  Fs.rmSync(folder, { recursive: true, force: true })
})

interface State {
  readonly registered: number
  readonly users: number
  readonly unhandled: ReadonlyArray<string>
}
const told = async (message: object | string): Promise<unknown> => {
  server.send(message)
  const [answer] = await once(server, "message")
  return answer
}
const state = () => told("state") as Promise<State>

/** How the calls so far ended, by the log on the disk. */
const ends = () =>
  linesOf(Path.join(folder, "home/audit"))
    .map((line) => JSON.parse(line) as { readonly kind: string; readonly result?: string })
    .filter(({ kind }) => kind === "outcome")
    .map(({ result }) => result)

let before = 0
beforeEach(async () => {
  before = ends().length
  provider.behave({})
})

/** The end of the one call of a test, once the log has it; and everybody has gone home. */
const end = async (): Promise<string | undefined> => {
  const [result, ...others] = (await eventually(ends, (all) => all.length > before)).slice(before)
  expect(others).toEqual([])
  const left = await eventually(state, ({ registered }) => registered === 0)
  expect(left.unhandled).toEqual([])
  expect(left.users).toBeGreaterThan(0)
  return result
}

const post = (url: string, bearer: string | undefined, signal?: AbortSignal) =>
  fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...(bearer && { authorization: `Bearer ${bearer}` }) },
    body: JSON.stringify({ messages: [{ role: "user", content: "Hello" }] }),
    ...(signal && { signal })
  })
const refusalOf = async (response: Response) => ({
  status: response.status,
  type: response.headers.get("content-type"),
  code: ((await response.json()) as { readonly error: { readonly code: string } }).error.code
})
const json = expect.stringMatching(/^application\/json/)

it("has no program that is not run", () => {
  expect(programs.map(({ file }) => file).toSorted()).toEqual(
    ["browser", "client", "express", "fastify", "flushed", "function", "hono", "next.config", "route"].map(
      (name) => `${name}.ts`
    )
  )
  expect(page.match(/^```/gm)).toHaveLength(2 * programs.length)
})

describe.each(["Hono", "Express", "Fastify", "Next"])("%s", (name) => {
  const url = () => `http://127.0.0.1:${ports[name]}/chat`
  const read = (bearer: string, onText: (text: string) => void = () => {}, signal?: AbortSignal) =>
    ask(url(), bearer, "Hello", onText, signal)

  it("streams to the browser as it comes", async () => {
    provider.behave({ chunks: 5, every: 5 })
    const texts: Array<string> = []
    expect(await read(token("alice"), (text) => texts.push(text))).toBe("t0t1t2t3t4")
    expect(texts).toEqual(["t0", "t1", "t2", "t3", "t4"])
    expect(provider.hits.map(({ headers }) => headers["authorization"])).toEqual(["Bearer sk-service"])
    expect(await end()).toBe("complete")
  })

  it("answers 500 to what is no error of the API, and goes on", async () => {
    const answer = await fetch(url(), { method: "POST", headers: { authorization: `Bearer ${token("alice")}` } })
    expect(answer.status).toBe(500)
    expect(await state()).toMatchObject({ unhandled: [] })
  })

  it.each([
    ["a forged token", () => `${token("alice").slice(0, -8)}AAAAAAAA`],
    ["an expired token", () => issuer.mint({ sub: "alice" }, { expiresIn: -3600 })],
    ["no token", () => undefined]
  ])("answers 401 to %s, before the first byte", async (_what, bearer) => {
    expect(await refusalOf(await post(url(), bearer()))).toEqual({ status: 401, type: json, code: "identity_invalid" })
    expect(provider.hits).toEqual([])
    expect(await state()).toMatchObject({ registered: 0, unhandled: [] })
  })

  it("answers 403 to a user whose policy says no, and 429 with the time to wait where a limit is spent", async () => {
    expect(await refusalOf(await post(url(), token("mallory")))).toEqual({
      status: 403,
      type: json,
      code: "policy_denied"
    })
    const rita = issuer.mint({ sub: "rita" })
    const once = await post(url(), rita)
    if (once.ok) await once.text()
    const again = await post(url(), rita)
    expect(Number(again.headers.get("retry-after"))).toBeGreaterThan(0)
    expect(await refusalOf(again)).toEqual({ status: 429, type: json, code: "policy_rate_limit" })
    expect(await eventually(state, ({ registered }) => registered === 0)).toMatchObject({ unhandled: [] })
  })

  it("does not tell the browser what the provider has against the service", async () => {
    provider.behave({ status: 401 })
    expect(await refusalOf(await post(url(), token("alice")))).toEqual({ status: 503, type: json, code: "unavailable" })
    expect(await end()).toBe("failed")
  })

  it("ends the provider's request where the browser leaves in mid-stream", async () => {
    provider.behave({ chunks: 100_000, every: 2 })
    const leaving = new AbortController()
    await expect(read(token("alice"), () => leaving.abort(), leaving.signal)).rejects.toThrow(/abort|terminated/)
    await eventually(provider.closed, (closed) => closed === 1)
    expect(await end()).toMatch(/^(aborted|abandoned)$/)
  })

  it("ends it where the provider is silent before the first byte", async () => {
    provider.behave({ hang: true })
    const leaving = new AbortController()
    const reading = post(url(), token("alice"), leaving.signal)
    await eventually(
      () => provider.hits.length,
      (hits) => hits === 1
    )
    leaving.abort()
    await expect(reading).rejects.toThrow(/abort/)
    await eventually(provider.closed, (closed) => closed === 1)
    expect(await end()).toBe("aborted")
  })

  it("has handed on what came before the provider fell silent, and ends it there", async () => {
    provider.behave({ chunks: 2, every: 1_000_000 })
    const leaving = new AbortController()
    const texts: Array<string> = []
    const reading = read(
      token("alice"),
      (text) => {
        texts.push(text)
        leaving.abort()
      },
      leaving.signal
    )
    await expect(reading).rejects.toThrow(/abort/)
    await eventually(provider.closed, (closed) => closed === 1)
    expect([texts, await end()]).toEqual([["t0"], expect.stringMatching(/^(aborted|abandoned)$/)])
  })

  it("hands an error on that comes in mid-stream", async () => {
    provider.behave({ chunks: 5, errorAfter: 2 })
    const texts: Array<string> = []
    await expect(read(token("alice"), (text) => texts.push(text))).rejects.toThrow("The model cannot be asked.")
    expect([texts.join(""), await end()]).toEqual(["t0t1", "failed"])
  })

  it("says why an answer that a rule refuses ends", async () => {
    provider.behave({ chunks: 5 })
    const texts: Array<string> = []
    await expect(read(token("otto"), (text) => texts.push(text))).rejects.toMatchObject({ code: "policy_denied" })
    expect([texts.join(""), await end()]).toEqual(["t0t1t2", "refused"])
  })

  it("lets no answer look whole that broke off at the provider", async () => {
    provider.behave({ chunks: 5, every: 5, cutAfter: 2 })
    await expect(read(token("alice"))).rejects.toThrow("The model cannot be asked.")
    expect(await end()).toBe("cut")
  })
})

describe("a handler that is frozen after its answer", () => {
  const event = (bearer: string) => ({
    headers: { authorization: `Bearer ${bearer}` },
    body: JSON.stringify({ messages: [] })
  })

  it("has the outcome on the disk once it has answered", async () => {
    expect(await told(event(token("alice")))).toMatchObject({ answer: { statusCode: 200 } })
    expect(ends().slice(before)).toEqual(["complete"])
    expect(await told(event("a.b.c"))).toMatchObject({ answer: { statusCode: 401 } })
  })

  it("has it there at the end of a stream, and of one that the browser left", async () => {
    const url = `http://127.0.0.1:${ports["Next, flushed"]}/chat`
    expect(await ask(url, token("alice"), "Hello", () => {})).toBe("t0t1t2")
    expect(ends().slice(before)).toEqual(["complete"])
    before++
    provider.behave({ chunks: 100_000, every: 2 })
    const leaving = new AbortController()
    await expect(ask(url, token("alice"), "Hello", () => leaving.abort(), leaving.signal)).rejects.toThrow(
      /abort|terminated/
    )
    expect(await end()).toMatch(/^(aborted|abandoned)$/)
  })
})
