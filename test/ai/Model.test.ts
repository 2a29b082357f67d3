/** `secure-openai/ai` over a real socket: what `effect/ai` asks, what arrives at the provider, and what comes back. */
import { describe, expect, it } from "vitest"
import * as EmbeddingModel from "effect/ai/EmbeddingModel"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { layer, layerEmbedding, Params, refusalOf } from "../../src/ai/index.ts"
import { PolicyDeniedError } from "../../src/index.ts"
import { clients, expectCalls, expectRefused, refusedClients, useWorld } from "../ecosystem/World.ts"

const world = useWorld()
const Weather = Tool.make("weather", {
  description: "What the weather is.",
  parameters: Schema.Struct({ city: Schema.String }),
  success: Schema.Struct({ sky: Schema.String })
})
const Tools = Toolkit.make(Weather)
const ToolsLive = Tools.toLayer({ weather: ({ city }) => Effect.succeed({ sky: `sunny in ${city}` }) })
const call = { name: "weather", arguments: '{"city":"Paris"}' }
const ended = () =>
  Effect.promise(async () => {
    await expect.poll(() => world().provider.closed()).toBe(1)
    await expect.poll(async () => (await world().records()).at(-1)?.["result"]).toMatch(/aborted|abandoned/)
  })
const expectAll = (...args: Parameters<typeof expectCalls>) => Effect.promise(() => expectCalls(...args))

describe.each(clients)("with %s", (_name, who, cap) => {
  const model = () => layer({ client: world()[who], model: "gpt-4o", params: { max_tokens: 4000, temperature: 0.5 } })

  it("generateText", () =>
    Effect.gen(function* () {
      const answer = yield* LanguageModel.generateText({
        prompt: [
          { role: "system", content: "Be short." },
          { role: "user", content: "Hello" }
        ]
      })
      expect([answer.text, answer.finishReason]).toEqual(["hi from gpt-4o-mini", "stop"])
      expect(answer.usage).toMatchObject({ inputTokens: { total: 5 }, outputTokens: { total: 3 } })
      const [body] = yield* expectAll(world(), 1, cap)
      expect(body).toEqual({
        model: "gpt-4o-mini",
        max_tokens: cap,
        temperature: 0.5,
        stream: false,
        messages: [
          { role: "system", content: "Be short." },
          { role: "user", content: "Hello" }
        ]
      })
    }).pipe(Effect.provide(model()), Effect.runPromise))

  it("generateObject", () =>
    Effect.gen(function* () {
      const { value } = yield* LanguageModel.generateObject({
        prompt: "Hello",
        schema: Schema.Struct({ a: Schema.Finite, b: Schema.optional(Schema.String) }),
        objectName: "the answer"
      })
      expect(value).toEqual({ a: 1 })
      const [body] = yield* expectAll(world(), 1, cap)
      expect(body?.["response_format"]).toMatchObject({
        type: "json_schema",
        json_schema: {
          name: "the_answer",
          strict: true,
          schema: { type: "object", required: ["a", "b"], additionalProperties: false }
        }
      })
    }).pipe(Effect.provide(model()), Effect.runPromise))

  it("streamText", () =>
    Effect.gen(function* () {
      const parts = yield* Stream.runCollect(LanguageModel.streamText({ prompt: "Hello" }))
      expect(parts.map(({ type }) => type)).toEqual([
        "response-metadata",
        "text-start",
        "text-delta",
        "text-delta",
        "text-delta",
        "text-end",
        "finish"
      ])
      expect(parts.flatMap((part) => (part.type === "text-delta" ? [part.delta] : [])).join("")).toBe("t0t1t2")
      expect(parts.at(-1)).toMatchObject({ reason: "stop", usage: { outputTokens: { total: 3 } } })
      const [body] = yield* expectAll(world(), 1, cap)
      expect(body).toMatchObject({ stream: true, stream_options: { include_usage: true } })
    }).pipe(Effect.provide(model()), Effect.runPromise))

  it("a toolkit, whole and streamed", () =>
    Effect.gen(function* () {
      world().provider.behave({ toolCalls: [call] })
      const first = yield* LanguageModel.generateText({ prompt: "Weather?", toolkit: Tools, toolChoice: "required" })
      expect(first.toolCalls).toMatchObject([{ name: "weather", params: { city: "Paris" } }])
      expect(first.toolResults).toMatchObject([{ result: { sky: "sunny in Paris" } }])
      const parts = yield* Stream.runCollect(
        LanguageModel.streamText({
          prompt: "Weather?",
          toolkit: Tools,
          toolChoice: "required"
        })
      )
      const types = parts.map(({ type }) => type)
      expect(types).toContain("tool-result")
      expect(types.filter((type) => type !== "tool-result")).toEqual([
        "response-metadata",
        "tool-params-start",
        "tool-params-delta",
        "tool-params-delta",
        "tool-params-end",
        "tool-call",
        "finish"
      ])
      const [body, streamed] = yield* expectAll(world(), 2, cap)
      expect(body?.["tool_choice"]).toBe("required")
      expect(streamed?.["tool_choice"]).toBe("required")
      expect(body?.["tools"]).toEqual([
        {
          type: "function",
          function: {
            name: "weather",
            description: "What the weather is.",
            strict: true,
            parameters: {
              type: "object",
              properties: { city: { type: "string" } },
              required: ["city"],
              additionalProperties: false
            }
          }
        }
      ])
    }).pipe(Effect.provide([model(), ToolsLive]), Effect.runPromise))

  it("parameters of one part of a program", () =>
    Effect.gen(function* () {
      yield* LanguageModel.generateText({ prompt: "Hello" }).pipe(
        Effect.provideService(Params, { temperature: 0, seed: 7 })
      )
      const [body] = yield* expectAll(world(), 1, cap)
      expect(body).toMatchObject({ temperature: 0, seed: 7 })
    }).pipe(Effect.provide(model()), Effect.runPromise))

  it("embeddings, one request for many", () =>
    Effect.gen(function* () {
      const embedding = yield* EmbeddingModel.EmbeddingModel
      expect((yield* embedding.embed("Hello")).vector).toEqual([1, 2])
      yield* expectAll(world(), 1)
      expect(world().provider.hits[0]?.body).toMatchObject({ input: ["Hello"], dimensions: 2 })
    }).pipe(
      Effect.provide(layerEmbedding({ client: world()[who], model: "text-embedding-3-small", dimensions: 2 })),
      Effect.runPromise
    ))
})

it.each(refusedClients)("fails with the refusal of %s, and nothing is sent", (_name, who) =>
  Effect.gen(function* () {
    const whole = yield* Effect.flip(LanguageModel.generateText({ prompt: "Hello" }))
    const streamed = yield* Effect.flip(Stream.runCollect(LanguageModel.streamText({ prompt: "Hello" })))
    for (const error of [whole, streamed]) {
      expect([error._tag, error.reason._tag, error.isRetryable]).toEqual(["AiError", "ContentPolicyError", false])
      expect(error.message).toContain("was refused")
      expect(error.reason).toMatchObject({ metadata: { "secure-openai": { code: "policy_denied" } } })
      expect(refusalOf(error)).toBeInstanceOf(PolicyDeniedError)
      expect(refusalOf(error.reason)).toBe(refusalOf(error))
    }
    yield* Effect.promise(() => expectRefused(world()))
  }).pipe(Effect.provide(layer({ client: world()[who], model: "gpt-4o" })), Effect.runPromise)
)

it("a provider's error is no refusal", () =>
  Effect.gen(function* () {
    world().provider.behave({ status: 400 })
    const error = yield* Effect.flip(LanguageModel.generateText({ prompt: "Hello" }))
    expect(error.reason).toMatchObject({ _tag: "InvalidRequestError", metadata: { openai: { code: "told" } } })
    expect(error.message).toContain("told to answer 400")
    expect(refusalOf(error)).toBeUndefined()
  }).pipe(Effect.provide(layer({ client: world().service, model: "gpt-4o" })), Effect.runPromise))

it("a stream that is cut, that fails, or that has no last chunk, fails", () =>
  Effect.gen(function* () {
    for (const [behaviour, tag] of [
      [{ cutAfter: 2 }, "NetworkError"],
      [{ errorAfter: 2 }, "InternalProviderError"],
      [{ endless: true }, "InternalProviderError"]
    ] as const) {
      world().provider.behave({ ...behaviour, every: 5 })
      const error = yield* Effect.flip(Stream.runDrain(LanguageModel.streamText({ prompt: "Hello" })))
      expect(error.reason._tag).toBe(tag)
    }
  }).pipe(Effect.provide(layer({ client: world().service, model: "gpt-4o" })), Effect.runPromise))

describe("ends the request", () => {
  const model = () => layer({ client: world().service, model: "gpt-4o" })
  it("where a fiber that waits is interrupted", () =>
    Effect.gen(function* () {
      world().provider.behave({ hang: true })
      const fiber = yield* Effect.forkChild(LanguageModel.generateText({ prompt: "Hello" }))
      yield* Effect.promise(() => expect.poll(() => world().provider.hits.length).toBe(1))
      yield* Fiber.interrupt(fiber)
      yield* ended()
    }).pipe(Effect.provide(model()), Effect.runPromise))

  it("where a stream is left", () =>
    Effect.gen(function* () {
      world().provider.behave({ chunks: 500, every: 1 })
      yield* LanguageModel.streamText({ prompt: "Hello" }).pipe(Stream.take(4), Stream.runDrain)
      yield* ended()
    }).pipe(Effect.provide(model()), Effect.runPromise))

  it("where a fiber that reads is interrupted", () =>
    Effect.gen(function* () {
      world().provider.behave({ chunks: 500, every: 1 })
      let read = 0
      const fiber = yield* LanguageModel.streamText({ prompt: "Hello" }).pipe(
        Stream.runForEach(() => Effect.sync(() => read++)),
        Effect.forkChild
      )
      yield* Effect.promise(() => expect.poll(() => read).toBeGreaterThan(3))
      yield* Fiber.interrupt(fiber)
      yield* ended()
    }).pipe(Effect.provide(model()), Effect.runPromise))
})
