/** `@openai/agents` is given the client: as its default, by provider, or in a model. */
import {
  Agent,
  ModelBehaviorError,
  OpenAIChatCompletionsModel,
  OpenAIProvider,
  OpenAIResponsesModel,
  run,
  Runner,
  setDefaultOpenAIClient,
  setTracingDisabled,
  tool
} from "@openai/agents"
import { describe, expect, it } from "vitest"
import { z } from "zod"
import { PolicyDeniedError, type SecureOpenAI } from "../../src/index.ts"
import * as Truncated from "./Truncated.ts"
import { clients, expectCalls, expectRefused, refusedClients, useWorld } from "./World.ts"

setTracingDisabled(true)
const world = useWorld()
const weather = tool({
  name: "weather",
  description: "What the weather is.",
  parameters: z.object({ city: z.string() }),
  execute: ({ city }) => `sunny in ${city}`
})
const about = { name: "helper", instructions: "Help.", modelSettings: { maxTokens: 4000 } }

describe.each([
  ["OpenAIChatCompletionsModel", (client: SecureOpenAI) => new OpenAIChatCompletionsModel(client, "gpt-4o")],
  ["OpenAIResponsesModel", (client: SecureOpenAI) => new OpenAIResponsesModel(client, "gpt-4o")]
])("%s", (name, model) => {
  describe.each(clients)("with %s", (_name, who, cap) => {
    it("runs an agent", async () => {
      const { finalOutput } = await run(new Agent({ ...about, model: model(world()[who]) }), "Hello")
      expect(finalOutput).toBe("hi from gpt-4o-mini")
      await expectCalls(world(), 1, cap)
    })

    it("streams", async () => {
      const result = await run(new Agent({ ...about, model: model(world()[who]) }), "Hello", { stream: true })
      for await (const _ of result);
      await result.completed
      expect(result.finalOutput).toBe(name === "OpenAIResponsesModel" ? "hi from gpt-4o-mini" : "t0t1t2")
      await expectCalls(world(), 1, cap)
    })

    it("uses tools, a decision for each turn", async () => {
      world().provider.behave({ toolCalls: [{ name: "weather", arguments: '{"city":"Paris"}' }] })
      const agent = new Agent({ ...about, model: model(world()[who]), tools: [weather] })
      const { finalOutput } = await run(agent, "Weather?")
      expect(finalOutput).toBe("hi from gpt-4o-mini")
      const [, second] = await expectCalls(world(), 2, cap)
      expect(JSON.stringify(second)).toContain("sunny in Paris")
    })

    it("gives structured output", async () => {
      const agent = new Agent({ ...about, model: model(world()[who]), outputType: z.object({ a: z.number() }) })
      expect((await run(agent, "Hello")).finalOutput).toEqual({ a: 1 })
      await expectCalls(world(), 1, cap)
    })
  })

  it("rejects an answer that the cap cut short, but for the text of a chat", async () => {
    const isChat = name === "OpenAIChatCompletionsModel"
    const truncated = isChat ? Truncated.chat : Truncated.response
    const agent = new Agent({ ...about, model: model(world().service) })
    world().provider.behave(truncated("It is"))
    const answer = run(agent, "Hello")
    if (isChat) expect((await answer).finalOutput).toBe("It is")
    else await expect(answer).rejects.toBeInstanceOf(ModelBehaviorError)
    await expectCalls(world(), 1, 500)
    const structured = new Agent({ ...about, model: agent.model, outputType: z.object({ a: z.number() }) })
    for (const [asked, text] of [
      [agent, ""],
      [structured, '{"a":']
    ] as const) {
      world().provider.behave(truncated(text))
      await expect(run(asked, "Hello")).rejects.toBeInstanceOf(ModelBehaviorError)
      expect(world().provider.hits).toHaveLength(1)
    }
  })

  it.each(refusedClients)("throws the refusal of %s, and tries no other way", async (_name, who) => {
    const agent = new Agent({ ...about, model: model(world()[who]) })
    await expect(run(agent, "Hello")).rejects.toBeInstanceOf(PolicyDeniedError)
    const streamed = await run(agent, "Hello", { stream: true })
    await expect(streamed.completed).rejects.toBeInstanceOf(PolicyDeniedError)
    await expectRefused(world())
    expect(await world().records()).toHaveLength(2)
  })
})

it("takes a client as the default of the process, for good", async () => {
  setDefaultOpenAIClient(world().service)
  expect((await run(new Agent({ ...about, model: "gpt-4o" }), "Hello")).finalOutput).toBe("hi from gpt-4o-mini")
  await expectCalls(world(), 1, 500)
})

it.each(clients)("takes %s from a provider", async (_name, who, cap) => {
  for (const useResponses of [true, false]) {
    const runner = new Runner({ modelProvider: new OpenAIProvider({ openAIClient: world()[who], useResponses }) })
    const { finalOutput } = await runner.run(new Agent({ ...about, model: "gpt-4o" }), "Hello")
    expect(finalOutput).toBe("hi from gpt-4o-mini")
  }
  await expectCalls(world(), 2, cap)
  expect(world().provider.hits.map(({ path }) => path)).toEqual(["/responses", "/chat/completions"])
})

it("gets no key to open a WebSocket of its own for a user", async () => {
  const modelProvider = new OpenAIProvider({
    openAIClient: world().alice,
    useResponses: true,
    useResponsesWebSocket: true
  })
  const runner = new Runner({ modelProvider })
  const error = await runner.run(new Agent({ ...about, model: "gpt-4o" }), "Hello").catch((e: unknown) => e)
  expect(error).toBeInstanceOf(PolicyDeniedError)
  expect(world().provider.hits).toHaveLength(0)
  await modelProvider.close()
})
