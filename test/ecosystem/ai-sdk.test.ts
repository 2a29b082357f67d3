/** `@ai-sdk/openai` speaks HTTP itself; the pipeline stands behind the `fetch` that it is given. */
import { createOpenAI } from "@ai-sdk/openai"
import {
  APICallError,
  embedMany,
  generateText,
  NoObjectGeneratedError,
  Output,
  stepCountIs,
  streamText,
  tool
} from "ai"
import { describe, expect, it } from "vitest"
import { z } from "zod"
import { secureFetch, type SecureOpenAI } from "../../src/index.ts"
import * as Truncated from "./Truncated.ts"
import { waitless } from "./Waits.ts"
import { clients, expectCalls, expectRefused, refusedClients, useWorld } from "./World.ts"

const world = useWorld()
const openai = (client: SecureOpenAI) => createOpenAI({ apiKey: "unused", fetch: secureFetch(client) })
const asked = { prompt: "Hello", maxOutputTokens: 4000, maxRetries: 0 }

describe.each([
  ["chat completions", (client: SecureOpenAI) => openai(client).chat("gpt-4o")],
  ["the Responses API", (client: SecureOpenAI) => openai(client)("gpt-4o")]
])("the AI SDK over %s", (api, model) => {
  describe.each(clients)("with %s", (_name, who, cap) => {
    it("generates text", async () => {
      const { text } = await generateText({ ...asked, model: model(world()[who]) })
      expect(text).toBe("hi from gpt-4o-mini")
      await expectCalls(world(), 1, cap)
    })

    it("streams text", async () => {
      const { textStream } = streamText({ ...asked, model: model(world()[who]) })
      let text = ""
      for await (const part of textStream) text += part
      expect(text).toBe(api === "chat completions" ? "t0t1t2" : "hi from gpt-4o-mini")
      await expectCalls(world(), 1, cap)
    })

    it("gives structured output", async () => {
      const { output } = await generateText({
        ...asked,
        model: model(world()[who]),
        output: Output.object({ schema: z.object({ a: z.number() }) })
      })
      expect(output).toEqual({ a: 1 })
      await expectCalls(world(), 1, cap)
    })

    it("calls tools", async () => {
      world().provider.behave({ toolCalls: [{ name: "weather", arguments: '{"city":"Paris"}' }] })
      const weather = tool({
        inputSchema: z.object({ city: z.string() }),
        execute: async ({ city }) => `sunny in ${city}`
      })
      const { steps, text } = await generateText({
        ...asked,
        model: model(world()[who]),
        tools: { weather },
        stopWhen: stepCountIs(3)
      })
      expect(steps[0]?.toolResults[0]?.output).toBe("sunny in Paris")
      expect(text).toBe("hi from gpt-4o-mini")
      await expectCalls(world(), 2, cap)
    })
  })

  it.each(refusedClients)("shows a refusal of %s, once and at once", async (_name, who) => {
    const refused = generateText({ ...asked, maxRetries: 2, model: model(world()[who]) })
    const error = await refused.catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(APICallError)
    expect(error).toMatchObject({ statusCode: 403, message: expect.stringContaining("was refused") })
    let streamed: unknown
    const stream = streamText({
      ...asked,
      model: model(world()[who]),
      onError: ({ error: caught }) => {
        streamed = caught
      }
    })
    await stream.consumeStream()
    expect(streamed).toMatchObject({ statusCode: 403, message: expect.stringContaining("was refused") })
    await expectRefused(world())
    expect(await world().records()).toHaveLength(2)
  })

  it("gives a text that the cap cut short, and rejects an object", async () => {
    const truncated = api === "chat completions" ? Truncated.chat : Truncated.response
    const asking = { prompt: "Hello", model: model(world().service) }
    world().provider.behave(truncated("It is"))
    const { finishReason, text } = await generateText(asking)
    expect([finishReason, text]).toEqual(["length", "It is"])
    await expectCalls(world(), 1, 500)
    world().provider.behave(truncated('{"a":'))
    const rejected = generateText({ ...asking, output: Output.object({ schema: z.object({ a: z.number() }) }) })
    expect(
      NoObjectGeneratedError.isInstance(await rejected.then(({ output }) => output).catch((e: unknown) => e))
    ).toBe(true)
    expect(world().provider.hits).toHaveLength(1)
  })

  it("ends the request with the caller's signal", async () => {
    world().provider.behave({ chunks: 500, every: 1 })
    const abort = new AbortController()
    const { textStream } = streamText({ ...asked, model: model(world().service), abortSignal: abort.signal })
    for await (const _ of textStream) abort.abort()
    await expect.poll(() => world().provider.closed()).toBe(1)
    await expect.poll(async () => (await world().records()).at(-1)).toMatchObject({ result: "aborted" })
  })
})

it.each(clients)("embeds with %s", async (_name, who) => {
  const model = openai(world()[who]).embedding("text-embedding-3-small")
  expect((await embedMany({ model, values: ["Hello"] })).embeddings).toEqual([[1, 2]])
  await expectCalls(world(), 1)
})

describe("a 429 or 503 in the AI SDK", () => {
  const timers = /provider-utils|\/ai\//
  const told = { status: 429, times: 1 }
  it.each([
    ["retry-after-ms", { ...told, headers: { "retry-after-ms": "5500" } }, 5500],
    ["retry-after", { ...told, headers: { "retry-after": "30", "x-should-retry": "false" } }, 30_000],
    ["no header that it takes", { ...told, headers: { "retry-after": "61" } }, 2000],
    ["no header", { ...told, status: 503 }, 2000]
  ])("is tried again after what it says: %s", async (_name, behaviour, ms) => {
    world().provider.behave(behaviour)
    using waiting = waitless(timers)
    expect((await generateText({ model: openai(world().service)("gpt-4o"), prompt: "Hello" })).text).toBe(
      "hi from gpt-4o-mini"
    )
    expect(waiting.waits).toEqual([ms])
  })

  it("of our policy is waited for, and tried twice", async () => {
    using waiting = waitless(timers)
    const model = openai(world().slow)("gpt-4o")
    await generateText({ model, prompt: "Hello" })
    const error = await generateText({ model, prompt: "Hello" }).catch((caught: unknown) => caught)
    expect(error).toMatchObject({ lastError: { statusCode: 429 } })
    expect(waiting.waits).toHaveLength(2)
    for (const ms of waiting.waits) expect(ms > 4000 && ms < 60_000).toBe(true)
    expect(world().provider.hits).toHaveLength(1)
  })
})
