import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Net from "node:net"
import { afterEach, describe, expect, it, vi } from "vitest"
import {
  Audit,
  Call,
  Pipeline,
  type Policy,
  PolicyDeniedError,
  type Rewriting,
  SecureOpenAI,
  Workspace,
  type Workspace as WorkspaceType
} from "../../src/index.ts"
import * as Testing from "../../src/testing/index.ts"

const messages = [{ role: "user" as const, content: "Hello" }]

/** The app that is tested: it knows the SDK, and nothing of us. */
const summarise = async (client: SecureOpenAI, text: string) => {
  const answer = await client.chat.completions.create({
    model: "gpt-4o",
    messages: [{ role: "user", content: `Summarise: ${text}` }]
  })
  return answer.choices[0]?.message.content
}

const policies = [
  { policy_id: "app:test-app", resources: ["tool:test-app/**"] },
  {
    policy_id: "user:alice",
    resources: ["tool:test-app/generate", "tool:test-app/get_weather"],
    constraints: { parameters: { "tool:test-app/generate": { model: ["gpt-4o-mini"], max_tokens: { max: 500 } } } }
  }
]

afterEach(() => vi.restoreAllMocks())

describe("testClient", () => {
  it("runs a whole app without a socket", async () => {
    const connect = vi.spyOn(Net.Socket.prototype, "connect")
    const fetch = vi.spyOn(globalThis, "fetch")
    const { client, records, requests } = Testing.testClient({ replies: ["A short one."], policies, user: "alice" })
    expect(await summarise(client, "War and Peace")).toBe("A short one.")
    expect(requests).toEqual([
      {
        operation: "generate",
        endpoint: "POST https://api.openai.com/v1/chat/completions",
        principal: "user:alice",
        params: {
          model: "gpt-4o-mini",
          max_tokens: 500,
          messages: [{ role: "user", content: "Summarise: War and Peace" }]
        }
      }
    ])
    expect((await records()).filter((r) => r.call !== undefined).map((r) => r.kind)).toEqual(["decision", "outcome"])
    expect(connect).not.toHaveBeenCalled()
    expect(fetch).not.toHaveBeenCalled()
    await client.close()
  })

  it("streams what the SDK's helpers read to their end", async () => {
    const { client } = Testing.testClient({ replies: ["Hello there", { tool: "dig", arguments: {} }, "Hello again"] })
    const read = () => client.chat.completions.stream({ model: "gpt-4", messages }).finalChatCompletion()
    expect((await read()).choices[0]?.message).toMatchObject({ role: "assistant", content: "Hello there" })
    expect((await read()).choices[0]?.message.tool_calls).toHaveLength(1)
    const response = await client.responses.stream({ model: "gpt-4", input: "Hello" }).finalResponse()
    expect(response.output_text).toBe("Hello again")
  })

  it("answers in turn: texts, tools, values, errors, functions", async () => {
    const { client } = Testing.testClient({
      replies: [
        "one",
        { tool: "get_weather", arguments: { city: "Paris" } },
        { value: { choices: [] } },
        new RangeError("out of tokens"),
        (request) => `you asked ${String(request.params["model"])}`
      ]
    })
    const ask = () => client.chat.completions.create({ model: "gpt-4", messages })
    expect((await ask()).choices[0]?.message.content).toBe("one")
    const call = (await ask()).choices[0]?.message.tool_calls?.[0]
    expect(call?.type === "function" && call.function).toEqual({ name: "get_weather", arguments: '{"city":"Paris"}' })
    expect((await ask()).choices).toEqual([])
    await expect(ask()).rejects.toThrow(RangeError)
    expect((await ask()).choices[0]?.message.content).toBe("you asked gpt-4")
    expect((await ask()).choices[0]?.message.content).toBe("you asked gpt-4")
  })

  it("streams, completes and embeds", async () => {
    const { client } = Testing.testClient({ replies: ["two little words"] })
    const chat = await client.chat.completions.create({ model: "gpt-4", messages, stream: true })
    expect((await Array.fromAsync(chat)).map((c) => c.choices[0]?.delta.content ?? "").join("")).toBe(
      "two little words"
    )
    const text = await client.completions.create({ model: "gpt-3.5-turbo-instruct", prompt: "x" })
    expect(text.choices[0]?.text).toBe("two little words")
    const embedding = await client.embeddings.create({
      model: "text-embedding-3-small",
      input: "x",
      encoding_format: "float"
    })
    expect(embedding.data[0]?.embedding).toEqual([0.5, -0.5])
  })

  it("binds users whose tokens are really verified", async () => {
    const { client, requests, token } = Testing.testClient({ policies })
    await using alice = await client.asUser(token("alice"))
    await alice.chat.completions.create({ model: "gpt-4o", messages })
    expect(requests[0]?.params["model"]).toBe("gpt-4o-mini")
    await expect(client.asUser(`${token("alice")}x`)).rejects.toMatchObject({ code: "identity_invalid" })
    const nobody = await client.asUser(token("nobody"))
    await expect(nobody.chat.completions.create({ model: "gpt-4o", messages })).rejects.toBeInstanceOf(
      PolicyDeniedError
    )
    expect(requests).toHaveLength(1)
  })
})

describe("mocked layers", () => {
  it("make a pipeline with no key, socket, clock or folder", async () => {
    const requests: Array<Testing.SentRequest> = []
    const mocked = Pipeline.layer.pipe(
      Layer.provide(Testing.Invocation.layer(["mocked"], requests)),
      Layer.provide(Testing.Identity.layer({ kind: "user", id: "alice" })),
      Layer.provide(Testing.Signing.layer),
      Layer.provideMerge(Testing.Audit.layer)
    )
    // Policy and rewriting are the real ones.
    const real: Layer.Layer<Policy | Rewriting, unknown> = Workspace.layer({ audit: "memory", policies })
    const program = Effect.gen(function* () {
      const pipeline = yield* Pipeline
      const reply = yield* pipeline.run(Call.generate({ model: "gpt-4o", messages }, { app: "test-app" }))
      const audit = yield* Audit
      return { reply, records: yield* audit.records }
    })
    const { records, reply } = await Effect.runPromise(Effect.provide(program, Layer.provide(mocked, real)))
    expect(reply).toMatchObject({ _tag: "Json", value: { choices: [{ message: { content: "mocked" } }] } })
    expect(requests[0]).toMatchObject({ principal: "user:alice", params: { model: "gpt-4o-mini", max_tokens: 500 } })
    expect(records.filter((r) => r.call !== undefined).map((r) => [r.kind, r["kid"]])).toEqual([
      ["decision", "test"],
      ["outcome", undefined]
    ])
  })

  it("go behind the facade too", async () => {
    const workspace: WorkspaceType = new Workspace({ audit: "memory" })
    const client = new SecureOpenAI({
      appName: "test-app",
      workspace,
      layer: Pipeline.layer.pipe(
        Layer.provide(Testing.Invocation.layer(["mocked"])),
        Layer.provide(Testing.Identity.layer({ kind: "user", id: "alice" }))
      )
    })
    expect(await summarise(client, "x")).toBe("mocked")
    await client.close()
    await workspace.close()
  })
})
