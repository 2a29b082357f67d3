/** `@langchain/openai` builds its own client; the pipeline stands behind the `fetch` that it is given. */
import { tool } from "@langchain/core/tools"
import { ChatOpenAI, OpenAI as TextModel, OpenAIEmbeddings } from "@langchain/openai"
import { describe, expect, it } from "vitest"
import { z } from "zod"
import { secureFetch, type SecureOpenAI } from "../../src/index.ts"
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
