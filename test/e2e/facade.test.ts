import { OpenAI, toFile } from "openai"
import { APIPromise } from "openai/api-promise"
import { zodResponseFormat } from "openai/helpers/zod"
import { Stream } from "openai/streaming"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { z } from "zod"
import {
  EnforcementUnavailableError,
  PolicyDeniedError,
  type ReadRecord,
  SecureOpenAI,
  type SecureOptions,
  Workspace
} from "../../src/index.ts"
import { type Provider, startProvider } from "./Provider.ts"

/** The sample of the specification, word for word. */
const sample = {
  constraints: {
    parameters: {
      "tool:my-app/generate": {
        model: { allowed_values: ["gpt-3.5-turbo", "gpt-4"] },
        max_tokens: { type: "integer", max: 2000 },
        temperature: { type: "number", range: [0.0, 1.0] }
      }
    }
  }
}

const user = (content: string) => [{ role: "user" as const, content }]
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

let provider: Provider
let bare: OpenAI
beforeAll(async () => {
  provider = await startProvider()
  bare = new OpenAI({ apiKey: "k", baseURL: provider.url, maxRetries: 0 })
})
afterAll(() => provider.close())

const opened: Array<{ close(options?: { readonly force: true }): Promise<void> }> = []
afterEach(async () => {
  provider.behave({})
  for (const client of opened.splice(0)) await client.close({ force: true })
})

const make = (options: SecureOptions & ConstructorParameters<typeof OpenAI>[0] = {}) => {
  const workspace = new Workspace({ audit: "memory" })
  const client = new SecureOpenAI({
    appName: "my-app",
    apiKey: "k",
    baseURL: provider.url,
    maxRetries: 0,
    intentPolicy: sample,
    workspace,
    ...options
  })
  opened.push(client, workspace)
  return { client, records: () => workspace.records() }
}

/** The kinds of the records of calls, in order, with what tells them apart. */
const story = (records: ReadonlyArray<ReadRecord>) =>
  records
    .filter((record) => record.call !== undefined)
    .map((record) =>
      [record.kind, record["verdict"] ?? record["result"] ?? record["reason"] ?? record["code"]]
        .filter(Boolean)
        .join(" ")
    )

describe("one import changed", () => {
  it("is an OpenAI, and answers as one", async () => {
    const { client, records } = make()
    expect(client).toBeInstanceOf(OpenAI)
    const answer = await client.chat.completions.create({ model: "gpt-4", max_tokens: 10, messages: user("Hello") })
    expect(answer.choices[0]?.message.content).toBe("hi from gpt-4")
    expect(answer._request_id).toBe("req_1")
    expect(Object.keys(answer)).not.toContain("_request_id")
    expect(story(await records())).toEqual(["decision allow", "outcome complete"])
  })

  it("sends the caller's own bytes when nothing is edited", async () => {
    const { client } = make()
    const params = { model: "gpt-4", max_tokens: 10, messages: user("é\u2028 z") }
    await client.chat.completions.create(params)
    expect(provider.hits[0]?.text).toBe(JSON.stringify(params))
  })

  it("completes and embeds", async () => {
    const { client, records } = make()
    const completion = await client.completions.create({ model: "gpt-3.5-turbo-instruct", prompt: "x", max_tokens: 5 })
    expect(completion.choices[0]?.text).toBe("hello")
    const embedding = await client.embeddings.create({ model: "text-embedding-3-small", input: "x" })
    expect(embedding.data[0]?.embedding).toEqual([1, 2])
    expect((await records()).filter((r) => r.kind === "decision").map((r) => r["tool"])).toEqual([
      "tool:my-app/complete",
      "tool:my-app/embed"
    ])
  })

  it("streams chat and text completions", async () => {
    const { client, records } = make()
    const chat = await client.chat.completions.create({
      model: "gpt-4",
      max_tokens: 9,
      messages: user("x"),
      stream: true
    })
    expect(chat).toBeInstanceOf(Stream)
    let text = ""
    for await (const chunk of chat) text += chunk.choices[0]?.delta.content ?? ""
    expect(text).toBe("t0t1t2")
    const plain = await client.completions.create({
      model: "gpt-3.5-turbo-instruct",
      prompt: "x",
      max_tokens: 9,
      stream: true
    })
    let count = 0
    for await (const _ of plain) count++
    expect(count).toBe(4)
    const closes = (await records()).filter((r) => r.kind === "stream.close")
    expect(closes.map((r) => [r["reason"], r["chunks"], r["received"]])).toEqual([
      ["complete", 4, 4],
      ["complete", 4, 4]
    ])
  })

  it("gives the response with withResponse() and asResponse()", async () => {
    const { client } = make()
    const params = { model: "gpt-4", max_tokens: 10, messages: user("x") }
    const both = await client.chat.completions.create(params).withResponse()
    expect(both.request_id).toBe("req_1")
    expect(both.data.choices).toHaveLength(1)
    const raw = await client.chat.completions.create(params).asResponse()
    provider.hits.length = 1
    const plain = await bare.chat.completions.create(params).asResponse()
    expect(raw.url).toBe(plain.url)
    expect(await raw.text()).toBe(await plain.text())
    const promise = client.chat.completions.create(params)
    expect(promise).toBeInstanceOf(APIPromise)
    await promise
  })

  it("parses, streams with helpers, and runs tools", async () => {
    const { client } = make({ intentPolicy: {} })
    const format = zodResponseFormat(z.object({ a: z.number() }), "x")
    const parsed = await client.chat.completions.parse({ model: "gpt-4", messages: user("x"), response_format: format })
    expect(parsed.choices[0]?.message.parsed).toEqual({ a: 1 })
    const final = await client.chat.completions.stream({ model: "gpt-4", messages: user("x") }).finalChatCompletion()
    expect(final.choices[0]?.message.content).toBe("t0t1t2")
  })

  it("gives streams tee(), toReadableStream(), asResponse() and one consumption", async () => {
    const { client } = make()
    const open = () =>
      client.chat.completions.create({ model: "gpt-4", max_tokens: 9, messages: user("x"), stream: true })
    const [left, right] = (await open()).tee()
    const counts = await Promise.all([left, right].map(async (s) => (await Array.fromAsync(s)).length))
    expect(counts).toEqual([4, 4])
    const lines = (await new Response((await open()).toReadableStream() as ReadableStream).text()).trim().split("\n")
    expect(lines).toHaveLength(4)
    const raw = await client.chat.completions
      .create({ model: "gpt-4", max_tokens: 9, messages: user("x"), stream: true })
      .asResponse()
    expect(await raw.text()).toMatch(/t2[^]*data: \[DONE\]\n\n$/)
    const once = await open()
    await Array.fromAsync(once)
    await expect(Array.fromAsync(once)).rejects.toThrow(/consumed/)
  })

  it("passes the other families on, recorded", async () => {
    const { client, records } = make()
    const models = await client.models.list()
    expect(models.data[0]?.id).toBe("m1")
    const ids: Array<string> = []
    for await (const model of client.models.list()) ids.push(model.id)
    expect(ids).toEqual(["m1"])
    await client.files.retrieve("f")
    await client.moderations.create({ input: "x" })
    await client.images.generate({ prompt: "x" })
    await client.batches.list()
    await client.fineTuning.jobs.list()
    await client.beta.threads.create({})
    const passed = (await records()).filter((r) => r.kind === "passthrough").map((r) => r["tool"])
    expect(passed).toEqual(
      ["models", "models", "files", "moderations", "images", "batches", "fine_tuning", "threads"].map(
        (f) => `api:my-app/${f}`
      )
    )
    expect((await records()).filter((r) => r.kind === "outcome").map((r) => r["result"])).toEqual(
      Array(8).fill("complete")
    )
  })

  it("passes uploads and binary answers on as they are", async () => {
    const { client, records } = make()
    const file = await toFile(Buffer.from('{"a":1}'), "batch.jsonl")
    await client.files.create({ file, purpose: "batch" })
    expect(provider.hits[0]?.headers["content-type"]).toContain("multipart/form-data")
    expect(provider.hits[0]?.text).toContain('{"a":1}')
    const speech = await client.audio.speech.create({ model: "tts-1", voice: "alloy", input: "x" })
    expect(speech).toBeInstanceOf(Response)
    expect(await speech.text()).toContain("x1")
    expect((await records()).filter((r) => r.kind === "passthrough").map((r) => r["tool"])).toEqual([
      "api:my-app/files",
      "api:my-app/audio"
    ])
  })

  it("keeps its guard and its policy in clones", async () => {
    const { client } = make()
    let fetched = 0
    const clone = client.withOptions({
      timeout: 9999,
      fetch: (input, init) => {
        fetched++
        return fetch(input, init)
      }
    })
    expect(clone).toBeInstanceOf(SecureOpenAI)
    await clone.chat.completions.create({ model: "gpt-4o", messages: user("x") })
    expect(fetched).toBe(1)
    expect(provider.hits[0]?.body).toMatchObject({ model: "gpt-4", max_tokens: 2000 })
    expect(() => client.withOptions({ appName: "other" } as object)).toThrow(/SDK's options only/)
  })
})

describe("policy acts", () => {
  it("downgrades, reduces, injects and clamps, and the receipt tells", async () => {
    const { client, records } = make()
    const answer = await client.chat.completions.create({
      model: "gpt-4o",
      max_tokens: 4000,
      temperature: 1.5,
      messages: user("x")
    })
    expect(provider.hits[0]?.body).toMatchObject({ model: "gpt-4", max_tokens: 2000, temperature: 1 })
    const receipt = SecureOpenAI.receipt(answer)
    expect(receipt?.verdict).toBe("rewrite")
    expect(receipt?.changes.map((c) => [c.path, c.from, c.to])).toEqual(
      expect.arrayContaining([
        ["model", '"gpt-4o"', '"gpt-4"'],
        ["max_tokens", "4000", "2000"],
        ["temperature", "1.5", "1"]
      ])
    )
    const decision = (await records()).find((r) => r.kind === "decision")
    expect(receipt?.index).toBe(decision?.seq)
    await client.chat.completions.create({ model: "gpt-4", messages: user("x") })
    expect(provider.hits[1]?.body["max_tokens"]).toBe(2000)
  })

  it("refuses what no edit makes right, before anything is sent", async () => {
    const { client, records } = make()
    const refused = await client.chat.completions
      .create({ model: "gpt-4", max_tokens: "400" as never, temperature: "hot" as never, messages: user("x") })
      .catch((e: unknown) => e)
    expect(refused).toBeInstanceOf(PolicyDeniedError)
    expect(refused).toBeInstanceOf(OpenAI.PermissionDeniedError)
    const denied = refused as PolicyDeniedError
    expect([denied.status, denied.code]).toEqual([403, "policy_denied"])
    expect(denied.decision.violations.map((v) => [v.code, v.path]).sort()).toEqual([
      ["wrong_type", "max_tokens"],
      ["wrong_type", "temperature"]
    ])
    expect(provider.hits).toHaveLength(0)
    expect(story(await records())).toEqual(["refused policy_denied"])
  })

  it("refuses a stream before it yields a chunk", async () => {
    const { client } = make()
    await expect(
      client.chat.completions.create({ model: "gpt-4", max_tokens: 1.5, messages: user("x"), stream: true })
    ).rejects.toBeInstanceOf(PolicyDeniedError)
    expect(provider.hits).toHaveLength(0)
  })

  it("finds receipts of streams, parsed answers and helpers", async () => {
    const { client } = make({ intentPolicy: {} })
    const stream = await client.chat.completions.create({ model: "gpt-4", messages: user("x"), stream: true })
    expect(SecureOpenAI.receipt(stream)?.verdict).toBe("allow")
    await Array.fromAsync(stream)
    const parsed = await client.chat.completions.parse({
      model: "gpt-4",
      messages: user("x"),
      response_format: zodResponseFormat(z.object({ a: z.number() }), "x")
    })
    expect(SecureOpenAI.receipt(parsed)?.verdict).toBe("allow")
    const final = await client.chat.completions.stream({ model: "gpt-4", messages: user("x") }).finalChatCompletion()
    expect(SecureOpenAI.receipt(final)?.verdict).toBe("allow")
    expect(SecureOpenAI.receipt({})).toBeUndefined()
  })

  it("finds no receipt by an empty id, as Azure's first chunk has one", async () => {
    const { client } = make({ intentPolicy: {} })
    const first = { id: "", object: "chat.completion.chunk", model: "", choices: [], prompt_filter_results: [] }
    const last = { ...first, choices: [{ index: 0, delta: { content: "Hi" }, finish_reason: "stop" }] }
    provider.behave({ events: [first, last].map((chunk) => JSON.stringify(chunk)) })
    const stream = await client.chat.completions.create({ model: "gpt-4", messages: user("x"), stream: true })
    await Array.fromAsync(stream)
    expect(SecureOpenAI.receipt(stream)?.verdict).toBe("allow")
    for (const other of [{}, { id: "" }, new Response()]) expect(SecureOpenAI.receipt(other)).toBeUndefined()
  })
})

describe("what is decided is what is sent", () => {
  const params = { model: "gpt-4", max_tokens: 10, messages: user("x") }

  it("judges the bytes, whatever the object does", async () => {
    const { client } = make()
    let reads = 0
    const shifty = {
      ...params,
      get model() {
        return reads++ === 0 ? "gpt-4" : "gpt-5-pro"
      }
    }
    await client.chat.completions.create(shifty)
    const mutated = { ...params }
    const pending = client.chat.completions.create(mutated)
    mutated.model = "gpt-5-pro"
    await pending
    await client.chat.completions.create({ ...params, toJSON: () => ({ ...params, model: "gpt-5-pro" }) } as never)
    expect(provider.hits.map((h) => h.body["model"])).toEqual(["gpt-4", "gpt-4", "gpt-4"])
  })

  it("judges per-call options: body, path, method, query", async () => {
    const { client } = make()
    await client.chat.completions.create(params, { body: { ...params, model: "gpt-5-pro" } } as never)
    await client.post("//chat//Completions/", { body: { ...params, model: "gpt-5-pro" } })
    await client.post(`${provider.url}/chat/completions?api-version=1`, { body: { ...params, model: "gpt-5-pro" } })
    await client.chat.completions.create(params, {
      fetchOptions: { body: JSON.stringify({ ...params, model: "gpt-5-pro" }) } as never
    })
    expect(provider.hits.map((h) => h.body["model"])).toEqual(Array(4).fill("gpt-4"))
  })

  it("refuses a body that is not one strict JSON object", async () => {
    const { client, records } = make()
    const headers = { "content-type": "application/json" }
    const deep = `{"model":"gpt-4","messages":${"[".repeat(70)}${"]".repeat(70)}}`
    for (const body of [
      '{"model":"gpt-4","model":"gpt-5"}',
      '{"__proto__":{},"model":"gpt-4"}',
      "[]",
      "nonsense",
      deep
    ])
      await expect(client.post("/chat/completions", { body, headers })).rejects.toBeInstanceOf(PolicyDeniedError)
    await expect(client.post("/chat/completions", { body: new Uint8Array([123, 125]) })).rejects.toBeInstanceOf(
      PolicyDeniedError
    )
    expect(provider.hits).toHaveLength(0)
    expect((await records()).filter((r) => r.kind === "refused").map((r) => [r["stage"], r["code"]])).toEqual(
      Array.from({ length: 6 }, () => ["egress", "invalid_body"])
    )
  })

  it("decides once for retries of the same bytes, and again for other bytes", async () => {
    const { client, records } = make({ maxRetries: 2 })
    provider.behave({ status: 503, times: 2, headers: { "retry-after-ms": "1" } })
    await client.chat.completions.create(params)
    expect(provider.hits).toHaveLength(3)
    expect(story(await records())).toEqual(["decision allow", "outcome complete"])
    expect((await records()).find((r) => r.kind === "outcome")?.["attempts"]).toBe(3)
    provider.behave({ status: 503, times: 1, headers: { "retry-after-ms": "1" } })
    let n = 0
    await client.post("/chat/completions", { body: { toJSON: () => ({ ...params, max_tokens: ++n }) } })
    const calls = (await records()).filter((r) => r.kind === "decision").slice(1)
    expect(calls).toHaveLength(2)
    expect(calls[1]?.["parent"]).toBe(calls[0]?.call)
    expect(story(await records()).slice(2)).toEqual([
      "decision allow",
      "outcome failed",
      "decision allow",
      "outcome complete"
    ])
  })

  it("decides again where a retry would go elsewhere", async () => {
    const { client, records } = make({ maxRetries: 1 })
    provider.behave({ status: 503, times: 1, headers: { "retry-after-ms": "1" } })
    const body = { model: "gpt-4", prompt: "x", messages: user("x"), max_tokens: 5 }
    let n = 0
    await client.request({
      method: "post",
      body,
      get path() {
        return n++ === 0 ? "/chat/completions" : "/completions"
      }
    })
    expect(provider.hits.map((h) => h.path)).toEqual(["/chat/completions", "/completions"])
    expect((await records()).filter((r) => r.kind === "decision").map((r) => r["tool"])).toEqual([
      "tool:my-app/generate",
      "tool:my-app/complete"
    ])
  })

  it("refuses a protected request that was not made by the client's own methods", async () => {
    const { client, records } = make()
    await expect(
      OpenAI.prototype.request.call(client, { method: "post", path: "/chat/completions", body: params })
    ).rejects.toBeInstanceOf(PolicyDeniedError)
    const fetch = (client as unknown as { readonly fetch: typeof globalThis.fetch }).fetch
    await expect(fetch(`${provider.url}/chat/completions`, { method: "POST", body: "{}" })).rejects.toThrow(
      /made by the client's own methods/
    )
    expect(provider.hits).toHaveLength(0)
    expect(story(await records())).toEqual(["refused no_exchange", "refused no_exchange"])
  })
})

describe("below the decision", () => {
  const params = { model: "gpt-4", max_tokens: 10, messages: user("x") }

  it("sends nothing where a subclass changes the bytes after they were decided on", async () => {
    class Meddling extends SecureOpenAI {
      protected override async prepareRequest(request: RequestInit): Promise<void> {
        request.body = String(request.body).replace("gpt-4", "gpt-5-pro")
      }
    }
    const workspace = new Workspace({ audit: "memory" })
    const client = new Meddling({ appName: "my-app", apiKey: "k", baseURL: provider.url, workspace })
    opened.push(client, workspace)
    await expect(client.chat.completions.create(params)).rejects.toBeInstanceOf(EnforcementUnavailableError)
    expect(provider.hits).toHaveLength(0)
    expect(story(await workspace.records())).toEqual(["decision allow", "outcome failed"])
  })

  it.each([
    ["the URL", (url: string, init: RequestInit) => [`${url}?more`, init] as const],
    ["the path", (url: string, init: RequestInit) => [url.replace("/chat", ""), init] as const],
    ["the method", (url: string, init: RequestInit) => [url, { ...init, method: "put" }] as const]
  ])("sends nothing where a subclass changes %s after it was decided on", async (_what, change) => {
    class Meddling extends SecureOpenAI {
      override fetchWithTimeout(...[url, init, ...rest]: Parameters<OpenAI["fetchWithTimeout"]>): Promise<Response> {
        const [to, changed] = change(String(url), init ?? {})
        return super.fetchWithTimeout(to, changed, ...rest)
      }
    }
    const workspace = new Workspace({ audit: "memory" })
    const client = new Meddling({ appName: "my-app", apiKey: "k", baseURL: provider.url, workspace })
    opened.push(client, workspace)
    await expect(client.chat.completions.create(params)).rejects.toThrow(/changed after it was decided on/)
    expect(provider.hits).toHaveLength(0)
    expect(story(await workspace.records())).toEqual(["decision allow", "outcome failed"])
  })

  it("follows no redirect to another origin, and one at home with the same bytes", async () => {
    const { client } = make()
    provider.behave({ status: 307, times: 1, headers: { location: "/v1/chat/completions?again" } })
    await client.chat.completions.create(params)
    expect(provider.hits.map((h) => [h.path, h.text])).toEqual([
      ["/chat/completions", JSON.stringify(params)],
      ["/chat/completions?again", JSON.stringify(params)]
    ])
    const elsewhere = await startProvider()
    provider.behave({ status: 307, headers: { location: `${elsewhere.url}/chat/completions` } })
    await expect(client.chat.completions.create(params)).rejects.toMatchObject({ status: 307 })
    expect(elsewhere.hits).toHaveLength(0)
    await elsewhere.close()
  })
})

describe("the provider's trouble is the provider's", () => {
  const params = { model: "gpt-4", max_tokens: 10, messages: user("x") }

  it.each([400, 401, 404, 429, 500])("answers %i as the SDK does", async (status) => {
    const { client, records } = make()
    provider.behave({ status })
    const ours = await client.chat.completions
      .create(params)
      .catch((e: unknown) => e as InstanceType<typeof OpenAI.APIError>)
    provider.behave({ status })
    const theirs = await bare.chat.completions
      .create(params)
      .catch((e: unknown) => e as InstanceType<typeof OpenAI.APIError>)
    if (!(ours instanceof OpenAI.APIError) || !(theirs instanceof OpenAI.APIError)) throw new Error("no error")
    expect(ours.constructor).toBe(theirs.constructor)
    expect([ours.status, ours.code, ours.message, ours.requestID]).toEqual([
      theirs.status,
      theirs.code,
      theirs.message,
      theirs.requestID
    ])
    expect(story(await records())).toEqual(["decision allow", "outcome failed"])
    expect((await records()).at(-1)).toMatchObject({ status, attempts: 1, error: theirs.constructor.name })
  })

  it("throws what the SDK throws for rubbish and for a cut stream", async () => {
    const { client, records } = make()
    provider.behave({ rubbish: true })
    const ours = await client.chat.completions.create(params).catch((e: unknown) => String(e))
    const theirs = await bare.chat.completions.create(params).catch((e: unknown) => String(e))
    expect(ours).toBe(theirs)
    provider.behave({ cutAfter: 2, every: 5 })
    const read = async (c: OpenAI) => Array.fromAsync(await c.chat.completions.create({ ...params, stream: true }))
    const cut = await read(client).catch((e: unknown) => String(e))
    expect(cut).toBe(await read(bare).catch((e: unknown) => String(e)))
    expect(story(await records())).toEqual([
      "decision allow",
      "outcome failed",
      "decision allow",
      "stream.open",
      "stream.segment",
      "stream.close cut",
      "outcome cut"
    ])
  })

  it("throws an error event of a stream as the SDK does", async () => {
    const { client, records } = make()
    provider.behave({ errorAfter: 2 })
    const read = async (c: OpenAI, seen: Array<unknown>) => {
      for await (const chunk of await c.chat.completions.create({ ...params, stream: true })) seen.push(chunk)
    }
    const seen: Array<unknown> = []
    const ours = await read(client, seen).catch((e: unknown) => e)
    expect(seen).toHaveLength(2)
    expect(ours).toBeInstanceOf(OpenAI.APIError)
    expect(String(ours)).toBe(String(await read(bare, []).catch((e: unknown) => e)))
    expect((await records()).at(-1)?.["result"]).toBe("failed")
  })
})

describe("giving up", () => {
  const params = { model: "gpt-4", max_tokens: 10, messages: user("x") }
  const streaming = { ...params, stream: true as const }

  it("sends nothing for a signal that is aborted already", async () => {
    const { client, records } = make()
    await expect(client.chat.completions.create(params, { signal: AbortSignal.abort() })).rejects.toBeInstanceOf(
      OpenAI.APIUserAbortError
    )
    expect(provider.hits).toHaveLength(0)
    expect(story(await records())).toEqual([])
  })

  it("aborts while the provider thinks", async () => {
    const { client, records } = make()
    provider.behave({ hang: true })
    const controller = new AbortController()
    const pending = client.chat.completions.create(params, { signal: controller.signal })
    setTimeout(() => controller.abort(), 40)
    await expect(pending).rejects.toBeInstanceOf(OpenAI.APIUserAbortError)
    await wait(30)
    expect(provider.closed()).toBe(1)
    expect(story(await records())).toEqual(["decision allow", "outcome aborted"])
  })

  it("times out as the SDK does", async () => {
    const { client, records } = make({ timeout: 50 })
    provider.behave({ hang: true })
    await expect(client.chat.completions.create(params)).rejects.toBeInstanceOf(OpenAI.APIConnectionTimeoutError)
    expect(story(await records())).toEqual(["decision allow", "outcome aborted"])
  })

  it.each([
    [
      "break",
      "abandoned",
      async (s: AsyncIterable<unknown>) => {
        let n = 0
        for await (const _ of s) if (++n === 3) break
      }
    ],
    [
      "controller.abort()",
      "aborted",
      async (s: AsyncIterable<unknown> & { controller: AbortController }) => {
        let n = 0
        for await (const _ of s) if (++n === 3) s.controller.abort()
      }
    ]
  ])("ends a stream by %s", async (_how, reason, consume) => {
    const { client, records } = make()
    provider.behave({ chunks: 200, every: 5 })
    const stream = await client.chat.completions.create(streaming)
    await consume(stream)
    await wait(60)
    expect(provider.closed()).toBe(1)
    const close = (await records()).find((r) => r.kind === "stream.close")
    expect(close).toMatchObject({ reason, chunks: 3 })
    expect((await records()).at(-1)?.["result"]).toBe(reason)
  })

  it("counts the chunks that the caller got, however many came in one read", async () => {
    const { client, records } = make()
    provider.behave({ chunks: 50 })
    let n = 0
    for await (const _ of await client.chat.completions.create(streaming)) if (++n === 7) break
    await wait(30)
    const close = (await records()).find((r) => r.kind === "stream.close")
    expect(close).toMatchObject({ reason: "abandoned", chunks: 7 })
    expect(close?.["received"]).toBeGreaterThanOrEqual(7)
  })

  it("ends a stream by the caller's signal, as the SDK does", async () => {
    const { client, records } = make()
    const read = async (c: OpenAI) => {
      provider.behave({ chunks: 200, every: 5 })
      const controller = new AbortController()
      let n = 0
      for await (const _ of await c.chat.completions.create(streaming, { signal: controller.signal }))
        if (++n === 3) controller.abort()
      return n
    }
    expect(await read(client)).toBe(await read(bare))
    await wait(30)
    expect((await records()).at(-1)?.["result"]).toBe("aborted")
  })

  it("records a call that nobody awaits, and a stream that nobody reads", async () => {
    const { client, records } = make()
    void client.chat.completions.create(params)
    await wait(60)
    expect(story(await records())).toEqual(["decision allow", "outcome complete"])
    await client.chat.completions.create(streaming)
    await client.close({ force: true })
  })

  it("leaves no rejection unhandled that the caller handled", async () => {
    const { client } = make()
    const unhandled: Array<unknown> = []
    const listen = (error: unknown) => unhandled.push(error)
    process.on("unhandledRejection", listen)
    try {
      provider.behave({ status: 400 })
      await client.chat.completions
        .create(params)
        .asResponse()
        .catch(() => {})
      await client.chat.completions
        .create(params)
        .withResponse()
        .catch(() => {})
      await client.chat.completions.create(params).catch(() => {})
      await client.models.list().catch(() => {})
      await client.models
        .list()
        .withResponse()
        .catch(() => {})
      await client.chat.completions.create({ ...params, max_tokens: "4" as never }).catch(() => {})
      await wait(50)
      expect(unhandled).toEqual([])
    } finally {
      process.off("unhandledRejection", listen)
    }
  })
})
