/** `@langchain/openai` builds its own client; the pipeline stands behind the `fetch` that it is given. */
import { tool } from "@langchain/core/tools"
import { ChatOpenAI, OpenAI as TextModel, OpenAIEmbeddings } from "@langchain/openai"
import { LengthFinishReasonError } from "openai/core/error"
import { describe, expect, it } from "vitest"
import { z } from "zod"
import { secureFetch, type SecureOpenAI } from "../../src/index.ts"
import * as Truncated from "./Truncated.ts"
import { waitless } from "./Waits.ts"
import { clients, expectCalls, expectRefused, refusedClients, useWorld } from "./World.ts"

const world = useWorld()

const chatModel = (client: SecureOpenAI, options: object = {}) =>
  new ChatOpenAI({
    model: "gpt-4o",
    maxTokens: 4000,
    maxRetries: 0,
    apiKey: "unused",
    ...options,
    configuration: { fetch: secureFetch(client) }
  })

describe.each([
  ["chat completions", {}],
  ["the Responses API", { useResponsesApi: true }]
])("ChatOpenAI over %s", (_api, options) => {
  describe.each(clients)("with %s", (_name, who, cap) => {
    it("invokes", async () => {
      const answer = await chatModel(world()[who], options).invoke("Hello")
      expect(answer.text).toBe("hi from gpt-4o-mini")
      await expectCalls(world(), 1, cap)
    })

    it("streams", async () => {
      let text = ""
      for await (const chunk of await chatModel(world()[who], options).stream("Hello")) text += chunk.text
      expect(text).toBe("useResponsesApi" in options ? "hi from gpt-4o-mini" : "t0t1t2")
      await expectCalls(world(), 1, cap)
    })

    it("gives structured output", async () => {
      const structured = chatModel(world()[who], options).withStructuredOutput(z.object({ a: z.number() }), {
        name: "answer",
        method: "jsonSchema"
      })
      expect(await structured.invoke("Hello")).toEqual({ a: 1 })
      await expectCalls(world(), 1, cap)
    })

    it("calls tools", async () => {
      world().provider.behave({ toolCalls: [{ name: "weather", arguments: '{"city":"Paris"}' }] })
      const weather = tool(({ city }) => `sunny in ${city}`, {
        name: "weather",
        schema: z.object({ city: z.string() })
      })
      const model = chatModel(world()[who], options).bindTools([weather])
      const asked = await model.invoke("Weather?")
      const called = await weather.invoke(asked.tool_calls![0]!)
      const answer = await model.invoke([["user", "Weather?"], asked, called])
      expect([called.content, answer.text]).toEqual(["sunny in Paris", "hi from gpt-4o-mini"])
      await expectCalls(world(), 2, cap)
    })
  })

  it.each(refusedClients)("shows a refusal of %s, once and at once", async (_name, who) => {
    const refused = { status: 403, code: "policy_denied", message: expect.stringContaining("was refused") }
    const model = chatModel(world()[who], { ...options, maxRetries: 6 })
    await expect(model.invoke("Hello")).rejects.toMatchObject(refused)
    await expect(model.stream("Hello")).rejects.toMatchObject(refused)
    await expectRefused(world())
    expect(await world().records()).toHaveLength(2)
  })
})

describe.each(clients)("with %s", (_name, who) => {
  it("embeds", async () => {
    const embeddings = new OpenAIEmbeddings({
      model: "text-embedding-3-small",
      apiKey: "unused",
      configuration: { fetch: secureFetch(world()[who]) }
    })
    expect(await embeddings.embedQuery("Hello")).toEqual([1, 2])
    await expectCalls(world(), 1)
  })

  it("completes", async () => {
    const model = new TextModel({
      model: "gpt-3.5-turbo-instruct",
      apiKey: "unused",
      streaming: false,
      configuration: { fetch: secureFetch(world()[who]) }
    })
    expect(await model.invoke("Hello")).toBe("hello")
    await expectCalls(world(), 1)
  })
})

it("makes a decision for each of LangChain's own retries, which the client does not multiply", async () => {
  world().provider.behave({ status: 503, times: 1 })
  expect((await chatModel(world().service, { maxRetries: 1 }).invoke("Hello")).text).toBe("hi from gpt-4o-mini")
  expect(world().provider.hits).toHaveLength(2)
  expect((await world().records()).map(({ kind, result }) => result ?? kind)).toEqual([
    "decision",
    "failed",
    "decision",
    "complete"
  ])
})

describe("a 429 or 503 in LangChain", () => {
  const told = { status: 429, times: 1 }
  const attempts = async () => {
    using waiting = waitless(/p-retry/)
    const model = chatModel(world().service, { maxRetries: 6 })
    const answer = await model.invoke("Hello").then(
      ({ text }) => text,
      ({ status }: { readonly status: number }) => status
    )
    return [answer, world().provider.hits.length, waiting.waits.length]
  }

  it.each([
    ["with retry-after of up to a minute", { ...told, headers: { "retry-after": "60" } }, 2],
    ["with x-should-retry beside it", { ...told, headers: { "retry-after": "2", "x-should-retry": "false" } }, 2],
    ["503, whatever its headers say", { ...told, status: 503, headers: { "x-should-retry": "false" } }, 2],
    ["with retry-after of more than a minute", { ...told, headers: { "retry-after": "61" } }, 1],
    ["with retry-after-ms alone", { ...told, headers: { "retry-after-ms": "2000" } }, 1],
    ["without a header", told, 1]
  ])("is tried again or given up: %s", async (_name, behaviour, hits) => {
    world().provider.behave(behaviour)
    expect(await attempts()).toEqual(hits === 2 ? ["hi from gpt-4o-mini", 2, 1] : [429, 1, 0])
  })

  it("is read from its message, too, where no header says it", async () => {
    using waiting = waitless(/p-retry/)
    const message = "Rate limit reached. Please try again in 7s."
    const fetch = async () => Response.json({ error: { message, type: "requests", code: "limit" } }, { status: 429 })
    const model = new ChatOpenAI({ model: "gpt-4o", maxRetries: 1, apiKey: "unused", configuration: { fetch } })
    await expect(model.invoke("Hello")).rejects.toMatchObject({ status: 429 })
    expect(waiting.waits).toEqual([7000])
  })

  it("of our policy is waited for as long as it says", async () => {
    const client = world().slow
    using waiting = waitless(/p-retry/)
    await chatModel(client).invoke("Hello")
    const limited = await chatModel(client, { maxRetries: 2 })
      .invoke("Hello")
      .catch((error: unknown) => error)
    expect(limited).toMatchObject({ status: 429, code: "policy_rate_limit" })
    expect((limited as { readonly headers: Headers }).headers.get("retry-after")).toMatch(/^\d+$/)
    // The header is in whole seconds, and the window is a minute.
    expect(waiting.waits).toHaveLength(2)
    for (const ms of waiting.waits) expect(ms % 1000 === 0 && ms <= 60_000 && ms > 2000).toBe(true)
    expect(world().provider.hits).toHaveLength(1)
  })
})

describe("an answer that the cap of a policy cut short", () => {
  const structured = (method: "jsonSchema" | "functionCalling" | "jsonMode", options: object = {}) =>
    chatModel(world().service, options)
      .withStructuredOutput(z.object({ a: z.number() }), { name: "answer", method })
      .invoke("Hello")

  it("is what invoke gives", async () => {
    world().provider.behave(Truncated.chat("It is"))
    const chat = await chatModel(world().service).invoke("Hello")
    expect([chat.text, chat.response_metadata["finish_reason"]]).toEqual(["It is", "length"])
    await expectCalls(world(), 1, 500)
    world().provider.behave(Truncated.response("It is"))
    const response = await chatModel(world().service, { useResponsesApi: true }).invoke("Hello")
    expect([response.text, response.response_metadata["incomplete_details"]]).toEqual([
      "It is",
      { reason: "max_output_tokens" }
    ])
  })

  it("is asked for again by structured output, each a call that is paid, until it gives up", async () => {
    using waiting = waitless(/p-retry/)
    world().provider.behave(Truncated.chat('{"a":'))
    // The default of maxRetries is 6.
    await expect(structured("jsonSchema", { maxRetries: undefined })).rejects.toBeInstanceOf(LengthFinishReasonError)
    await expectCalls(world(), 7, 500)
    expect(waiting.waits).toHaveLength(6)
    world().provider.behave(Truncated.chat('{"a":'))
    await expect(structured("jsonSchema", { maxRetries: 0 })).rejects.toBeInstanceOf(LengthFinishReasonError)
    expect(world().provider.hits).toHaveLength(1)
  })

  it("is no structured output over the Responses API, or by other methods", async () => {
    world().provider.behave(Truncated.chat('{"a":'))
    await expect(structured("jsonMode")).rejects.toMatchObject({ lc_error_code: "OUTPUT_PARSING_FAILURE" })
    expect(await structured("functionCalling")).toBeUndefined()
    world().provider.behave(Truncated.response('{"a":'))
    await expect(structured("jsonSchema", { useResponsesApi: true })).rejects.toMatchObject({
      lc_error_code: "OUTPUT_PARSING_FAILURE"
    })
    expect(world().provider.hits).toHaveLength(1)
  })
})
