/** The pipeline behind a `fetch`: whose request it is, where it goes, and what comes back, by HTTP alone. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { OpenAI } from "openai"
import { describe, expect, it } from "vitest"
import {
  ApprovalPending,
  Configuration,
  ConfigurationError,
  EnforcementUnavailable,
  IdentityInvalid,
  Pipeline,
  type PipelineError,
  PolicyDenied,
  PolicyRateLimited,
  Reply,
  SecureOpenAI,
  secureFetch,
  UnboundError
} from "../../src/index.ts"
import { expectCalls, expectRefused, useWorld } from "../ecosystem/World.ts"

const world = useWorld()
const usual = "https://api.openai.com/v1"
const chat = { model: "gpt-4", max_tokens: 4000, messages: [{ role: "user", content: "Hello" }] }
const post = (body: unknown, init: RequestInit = {}): RequestInit => ({
  method: "POST",
  body: JSON.stringify(body),
  ...init,
  headers: { "content-type": "application/json", ...init.headers }
})

describe("secureFetch", () => {
  it("sends below the client's base URL, under the client's name, what policy allows", async () => {
    const fetch = secureFetch(world().alice)
    for (const base of [usual, world().provider.url]) {
      const response = await fetch(`${base}/chat/completions`, post(chat))
      expect([response.status, response.headers.get("x-request-id")]).toEqual([
        200,
        `req_${world().provider.hits.length}`
      ])
      expect(await response.json()).toMatchObject({ object: "chat.completion", model: "gpt-4o-mini" })
      expect(SecureOpenAI.receipt(response)).toMatchObject({ verdict: "rewrite" })
    }
    await expectCalls(world(), 2, 300)
    expect((await world().records())[0]).toMatchObject({ principal: { id: "alice" } })
  })

  it("lets no key, organization or cookie of the library pass", async () => {
    await secureFetch(world().service)(
      `${usual}/chat/completions`,
      post(chat, {
        headers: {
          authorization: "Bearer the-library's",
          "api-key": "the-library's",
          cookie: "a=1",
          "openai-organization": "org",
          "openai-project": "project",
          "idempotency-key": "once",
          "openai-beta": "assistants=v2",
          accept: "application/json",
          "x-other": "1"
        }
      })
    )
    const { headers } = world().provider.hits[0]!
    expect(headers).toMatchObject({
      authorization: "Bearer the-real-key",
      "idempotency-key": "once",
      "openai-beta": "assistants=v2"
    })
    for (const name of ["api-key", "cookie", "openai-organization", "openai-project", "x-other"])
      expect(headers).not.toHaveProperty(name)
  })

  it.each([
    "https://evil.test/v1/chat/completions",
    "https://api.openai.com.evil.test/v1/chat/completions",
    "https://api.openai.com/v2/chat/completions",
    "https://api.openai.com/v1/../chat/completions",
    "http://api.openai.com/v1/chat/completions",
    "https://api.openai.com:8443/v1/chat/completions",
    "https://api.openai.com/v1"
  ])("refuses %s, and writes it down", async (url) => {
    const response = await secureFetch(world().service)(url, post(chat))
    expect([response.status, response.headers.get("x-should-retry")]).toEqual([403, "false"])
    const { error } = (await response.json()) as { readonly error: { readonly message: string; readonly code: string } }
    expect(error.code).toBe("policy_denied")
    expect(error.message).toContain(`give the library ${world().provider.url} as its base URL`)
    await expectRefused(world())
    expect((await world().records()).at(-1)).toMatchObject({ kind: "refused", stage: "egress", code: "foreign_url" })
  })

  it.each([
    ["a path that climbs", "/v1/x/%2e%2e/chat/completions"],
    ["doubled slashes", "/v1//chat//completions"],
    ["another case", "/v1/Chat/Completions"]
  ])("judges %s", async (_name, path) => {
    await secureFetch(world().mallory)(`https://api.openai.com${path}`, post(chat))
    await expectRefused(world())
  })

  it.each<[string, (url: string) => Parameters<typeof fetch>]>([
    ["a string", (url) => [url, post(chat)]],
    ["bytes", (url) => [new URL(url), post(chat, { body: new TextEncoder().encode(JSON.stringify(chat)) })]],
    ["a Request", (url) => [new Request(url, post(chat))]],
    ["a Request and an init that replaces its body", (url) => [new Request(url, post({ model: "x" })), post(chat)]],
    [
      "a stream",
      (url) => [url, post(chat, { body: new Blob([JSON.stringify(chat)]).stream(), duplex: "half" } as RequestInit)]
    ]
  ])("takes the body as %s", async (_name, args) => {
    const response = await secureFetch(world().service)(...args(`${usual}/chat/completions`))
    expect(response.status).toBe(200)
    await expectCalls(world(), 1, 500)
  })

  it.each([
    ["two meanings", '{"model":"gpt-4o-mini","model":"gpt-4"}'],
    ["no JSON", "hello"],
    ["no body", ""],
    ["bytes that are no text", new Uint8Array([0x7b, 0xff, 0x7d])]
  ])("refuses a protected request of %s", async (_name, body) => {
    const response = await secureFetch(world().service)(`${usual}/chat/completions`, post(chat, { body }))
    expect(response.status).toBe(403)
    expect(await response.text()).toContain("the body")
    await expectRefused(world())
  })

  it("refuses a protected request that does not say what its body is", async () => {
    const body = new TextEncoder().encode(JSON.stringify(chat))
    const response = await secureFetch(world().service)(`${usual}/chat/completions`, { method: "POST", body })
    expect([response.status, await response.text()]).toEqual([403, expect.stringContaining("its content-type is null")])
    await expectRefused(world())
  })

  it("streams as the API does, a read at a time", async () => {
    world().provider.behave({ chunks: 3, every: 1 })
    const fetch = secureFetch(world().service)
    const response = await fetch(`${usual}/chat/completions`, post({ ...chat, stream: true }))
    expect(response.headers.get("content-type")).toBe("text/event-stream")
    const events = (await response.text()).trim().split("\n\n")
    expect(events).toHaveLength(5)
    expect(JSON.parse(events[0]!.slice("data: ".length))).toMatchObject({ object: "chat.completion.chunk" })
    expect(events.at(-1)).toBe("data: [DONE]")
    const named = await fetch(`${usual}/responses`, post({ model: "gpt-4", input: "Hello", stream: true }))
    const lines = (await named.text()).trim().split("\n\n")
    expect(lines[0]).toMatch(/^event: response\.created\ndata: \{"type":"response\.created"/)
    expect(lines.at(-1)).toMatch(/^event: response\.completed\n/)
    expect(SecureOpenAI.receipt(named)).toMatchObject({ verdict: "rewrite" })
    await expectCalls(world(), 2)
  })

  it("pulls nothing that nobody reads", async () => {
    let pulled = 0
    const chunks = async function* () {
      for (;;) yield { object: "chat.completion.chunk", choices: [], n: pulled++ }
    }
    const run = () => Effect.succeed(Reply.stream(Stream.fromAsyncIterable(chunks(), (e) => e as never)))
    const client = new SecureOpenAI({ audit: "memory", layer: Layer.succeed(Pipeline, { run }) })
    const response = await secureFetch(client)(`${usual}/chat/completions`, post({ ...chat, stream: true }))
    const reader = response.body!.getReader()
    for (const most of [0, 3]) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      expect(pulled).toBeLessThanOrEqual(most)
      await reader.read()
    }
    await reader.cancel()
    await client.close()
  })

  it("ends the request where its reader stops", async () => {
    world().provider.behave({ chunks: 500, every: 1 })
    const response = await secureFetch(world().service)(`${usual}/chat/completions`, post({ ...chat, stream: true }))
    const reader = response.body!.getReader()
    expect((await reader.read()).done).toBe(false)
    await reader.cancel()
    await expect.poll(() => world().provider.closed()).toBe(1)
    await expect.poll(async () => (await world().records()).at(-1)).toMatchObject({ result: "abandoned" })
  })

  it("rejects with the signal's reason, before the request, in it, and in the body", async () => {
    const fetch = secureFetch(world().service)
    const reason = new Error("enough")
    await expect(fetch(`${usual}/chat/completions`, post(chat, { signal: AbortSignal.abort(reason) }))).rejects.toBe(
      reason
    )
    expect(world().provider.hits).toHaveLength(0)
    world().provider.behave({ hang: true })
    const hung = new AbortController()
    const waiting = fetch(`${usual}/chat/completions`, post(chat, { signal: hung.signal }))
    await expect.poll(() => world().provider.hits.length).toBe(1)
    hung.abort(reason)
    await expect(waiting).rejects.toBe(reason)
    world().provider.behave({ chunks: 500, every: 1 })
    const running = new AbortController()
    const init = post({ ...chat, stream: true }, { signal: running.signal })
    const reader = (await fetch(`${usual}/chat/completions`, init)).body!.getReader()
    await reader.read()
    running.abort(reason)
    const rest = async () => {
      while (!(await reader.read()).done);
    }
    await expect(rest()).rejects.toBe(reason)
    await expect.poll(() => world().provider.closed()).toBe(1)
  })

  it.each([
    [429, { "retry-after": "7", "x-custom": "1" }],
    [503, { "x-should-retry": "true" }],
    [400, {}],
    [404, {}]
  ])("hands on the provider's own %s, once and untouched", async (status, headers) => {
    world().provider.behave({ status, headers })
    const fetch = secureFetch(world().service)
    const text = `{"error":{"message":"told to answer ${status}","type":"test","code":"told"}}`
    for (const [path, init] of [
      ["/chat/completions", post(chat)],
      ["/chat/completions", post({ ...chat, stream: true })],
      ["/models", {}]
    ] as const) {
      const response = await fetch(`${usual}${path}`, init)
      expect([response.status, await response.text()]).toEqual([status, text])
      expect(response.headers.get("content-type")).toBe("application/json")
      expect(Object.fromEntries(response.headers)).toMatchObject(headers)
    }
    expect(world().provider.hits).toHaveLength(3)
  })

  it("hands on an answer that is no JSON", async () => {
    world().provider.behave({ rubbish: true })
    const response = await secureFetch(world().service)(`${usual}/chat/completions`, post(chat))
    expect([response.status, await response.text()]).toEqual([200, "{ this is no JSON"])
  })

  it("rejects with a TypeError where there is no network", async () => {
    const closed = world().service.withOptions({ baseURL: "http://127.0.0.1:1/v1" })
    await expect(secureFetch(closed)(`${usual}/chat/completions`, post(chat))).rejects.toBeInstanceOf(TypeError)
    await expect(secureFetch(closed)(`${usual}/models`)).rejects.toBeInstanceOf(TypeError)
  })

  it("gives a provider's error in a stream as the event that it was", async () => {
    world().provider.behave({ errorAfter: 2 })
    const response = await secureFetch(world().service)(`${usual}/chat/completions`, post({ ...chat, stream: true }))
    const events = (await response.text()).trim().split("\n\n")
    expect(events).toHaveLength(5)
    expect(events[4]).toBe("data: [DONE]")
    expect(events[2]).toBe('data: {"error":{"message":"the model fell over","type":"server_error","code":null}}')
  })

  it("errors the body of a stream that was cut", async () => {
    world().provider.behave({ cutAfter: 2, every: 5 })
    const response = await secureFetch(world().service)(`${usual}/chat/completions`, post({ ...chat, stream: true }))
    await expect(response.text()).rejects.toBeInstanceOf(TypeError)
  })

  it("reaches embeddings, completions, models with a query, and uploads", async () => {
    const fetch = secureFetch(world().service)
    const embedded = await fetch(`${usual}/embeddings`, post({ model: "text-embedding-3-small", input: "a" }))
    expect(await embedded.json()).toMatchObject({ data: [{ embedding: [1, 2] }] })
    const completed = await fetch(`${usual}/completions`, post({ model: "gpt-3.5-turbo-instruct", prompt: "a" }))
    expect(await completed.json()).toMatchObject({ choices: [{ text: "hello" }] })
    const models = await fetch(`${usual}/models?limit=2&include[]=a&include[]=b`)
    expect(await models.json()).toMatchObject({ data: [{ id: "m1" }] })
    const form = new FormData()
    form.set("purpose", "batch")
    form.set("file", new Blob([new Uint8Array([1, 255, 2])]), "a.bin")
    expect((await fetch(`${usual}/files`, { method: "POST", body: form })).status).toBe(200)
    const [, , asked, upload] = world().provider.hits
    expect(decodeURIComponent(asked!.path)).toBe("/models?limit=2&include[]=a&include[]=b")
    expect(upload?.headers["content-type"]).toMatch(/^multipart\/form-data; boundary=/)
    expect(upload?.text).toContain('name="file"; filename="a.bin"')
    expect((await world().records()).filter(({ kind }) => kind === "decision" || kind === "passthrough")).toHaveLength(
      4
    )
  })

  it("answers a refusal as the API would", async () => {
    const fetch = secureFetch(world().mallory)
    const response = await fetch(`${usual}/chat/completions`, post(chat))
    expect([response.status, response.headers.get("x-should-retry")]).toEqual([403, "false"])
    expect(await response.json()).toEqual({
      error: {
        code: "policy_denied",
        type: "policy_denied",
        param: null,
        message: expect.stringMatching(/^tool:assistant\/generate was refused for user:mallory: /)
      }
    })
    await expectRefused(world())
    const theirs = new OpenAI({ apiKey: "unused", fetch })
    await expect(theirs.chat.completions.create({ model: "gpt-4", messages: [] })).rejects.toBeInstanceOf(
      OpenAI.PermissionDeniedError
    )
    expect((await world().records()).filter(({ kind }) => kind === "refused")).toHaveLength(2)
  })

  it("answers 403 once the binding has ended, also in a stream", async () => {
    world().provider.behave({ chunks: 500, every: 1 })
    const { alice } = world()
    const fetch = secureFetch(alice)
    const running = await fetch(`${usual}/chat/completions`, post({ ...chat, stream: true }))
    const reader = running.body!.getReader()
    await reader.read()
    alice.unbind()
    const rest = async () => {
      while (!(await reader.read()).done);
    }
    await expect(rest()).rejects.toBeInstanceOf(UnboundError)
    for (const url of [`${usual}/models`, "https://evil.test/"]) {
      const response = await fetch(url)
      expect(response.status).toBe(403)
      expect(await response.json()).toMatchObject({ error: { code: "client_unbound" } })
    }
  })

  const about = { verdict: "deny", resource: "r", principal: "p", policies: [], revision: "" } as const
  const decision = { ...about, violations: [], remedies: [], edits: [], enforced: true }
  const stage = "custom:test" as const
  it.each<[number, string, PipelineError]>([
    [403, "policy_denied", new PolicyDenied({ decision, stage, message: "no" })],
    [403, "approval_pending", new ApprovalPending({ decision, stage, message: "no" })],
    [429, "policy_rate_limit", new PolicyRateLimited({ decision, stage, retryAfter: 1500, message: "no" })],
    [401, "identity_invalid", new IdentityInvalid({ reason: "expired", message: "no" })],
    [503, "enforcement_unavailable", new EnforcementUnavailable({ stage, message: "no" })],
    [400, "configuration", new Configuration({ message: "no" })]
  ])("answers %s %s", async (status, code, error) => {
    const answering = async (run: Pipeline["Service"]["run"]) => {
      const client = new SecureOpenAI({ audit: "memory", layer: Layer.succeed(Pipeline, { run }) })
      const response = await secureFetch(client)(`${usual}/chat/completions`, post({ ...chat, stream: true }))
      const text = await response.text()
      await client.close()
      return { response, text }
    }
    const { response, text } = await answering(() => Effect.fail(error))
    expect([response.status, response.headers.get("x-should-retry")]).toEqual([status, "false"])
    expect(response.headers.get("retry-after-ms")).toBe(status === 429 ? "1500" : null)
    const body = { error: { message: expect.stringContaining("no"), type: code, code, param: null } }
    expect(JSON.parse(text)).toEqual(body)
    if (status === 400) return
    const chunk = { object: "chat.completion.chunk", choices: [] }
    const late = await answering(() =>
      Effect.succeed(Reply.stream(Stream.concat(Stream.make(chunk), Stream.fail(error))))
    )
    const events = late.text.trim().split("\n\n")
    expect(late.response.status).toBe(200)
    expect(events.map((event) => JSON.parse(event.slice("data: ".length)))).toEqual([chunk, body])
  })

  it("takes secure clients only", () => {
    for (const client of [new OpenAI({ apiKey: "k" }), {}, new Proxy(world().service, {})])
      expect(() => secureFetch(client as SecureOpenAI)).toThrow(ConfigurationError)
  })
})
