/** The SDK's own zod helpers: schemas in, parsed values out, and the schema's bytes untouched. */
import { LengthFinishReasonError } from "openai/core/error"
import { zodFunction, zodResponseFormat, zodResponsesFunction, zodTextFormat } from "openai/helpers/zod"
import { describe, expect, it } from "vitest"
import { z } from "zod"
import { PolicyDeniedError } from "../../src/index.ts"
import * as Truncated from "./Truncated.ts"
import { clients, expectCalls, expectRefused, refusedClients, useWorld } from "./World.ts"

const world = useWorld()
const schema = z.object({ a: z.number() })
const response_format = zodResponseFormat(schema, "answer")
const format = zodTextFormat(schema, "answer")
const parameters = z.object({ city: z.string() })
const chat = { model: "gpt-4o", max_tokens: 4000, messages: [{ role: "user" as const, content: "Hello" }] }
const response = { model: "gpt-4o", max_output_tokens: 4000, input: "Hello" }
const call = { name: "weather", arguments: '{"city":"Paris"}' }

describe.each(clients)("with %s", (_name, who, cap) => {
  it("chat.completions.parse gives what the schema says", async () => {
    const answer = await world()[who].chat.completions.parse({ ...chat, response_format })
    expect(answer.choices[0]?.message.parsed).toEqual({ a: 1 })
    const [body] = await expectCalls(world(), 1, cap)
    expect(JSON.stringify(body?.["response_format"])).toBe(JSON.stringify(response_format))
  })

  it("chat.completions.parse gives a function's arguments parsed", async () => {
    world().provider.behave({ toolCalls: [call] })
    const tools = [zodFunction({ name: "weather", parameters })]
    const answer = await world()[who].chat.completions.parse({ ...chat, tools })
    expect(answer.choices[0]?.message.tool_calls?.[0]).toMatchObject({
      function: { parsed_arguments: { city: "Paris" } }
    })
    const [body] = await expectCalls(world(), 1, cap)
    expect(JSON.stringify(body?.["tools"])).toBe(JSON.stringify(tools))
  })

  it("chat.completions.stream gives a function's arguments parsed, and events on the way", async () => {
    world().provider.behave({ toolCalls: [call] })
    const tools = [zodFunction({ name: "weather", parameters })]
    const stream = world()[who].chat.completions.stream({ ...chat, tools })
    const deltas: Array<string> = []
    stream.on("tool_calls.function.arguments.delta", ({ arguments_delta }) => deltas.push(arguments_delta))
    const message = await stream.finalMessage()
    expect(message.tool_calls?.[0]).toMatchObject({ function: { parsed_arguments: { city: "Paris" } } })
    expect(deltas.join("")).toBe(call.arguments)
    await expectCalls(world(), 1, cap)
  })

  it("runTools runs the function, a decision for each turn", async () => {
    world().provider.behave({ toolCalls: [call] })
    world().service.registerTool("weather", ({ city }: { city: string }) => `sunny in ${city}`)
    const runner = world()[who].chat.completions.runTools({
      ...chat,
      tools: [zodFunction({ name: "weather", parameters, function: ({ city }) => `sunny in ${city}` })]
    })
    expect(await runner.finalContent()).toBe("hi from gpt-4o-mini")
    expect(JSON.stringify(world().provider.hits[1]?.body)).toContain("sunny in Paris")
    expect(world().provider.hits.map(({ body }) => [body["model"], body["max_tokens"]])).toEqual([
      ["gpt-4o-mini", cap],
      ["gpt-4o-mini", cap]
    ])
    const decisions = (await world().records()).filter(({ kind }) => kind === "decision")
    expect(decisions.map(({ tool }) => tool)).toEqual([
      "tool:assistant/generate",
      "tool:assistant/weather",
      "tool:assistant/generate"
    ])
  })

  it("responses.parse gives what the schema says, and a function's arguments", async () => {
    const answer = await world()[who].responses.parse({ ...response, text: { format } })
    expect(answer.output_parsed).toEqual({ a: 1 })
    world().provider.behave({ toolCalls: [call] })
    const tools = [zodResponsesFunction({ name: "weather", parameters })]
    const asked = await world()[who].responses.parse({ ...response, tools })
    expect(asked.output[0]).toMatchObject({ type: "function_call", parsed_arguments: { city: "Paris" } })
  })

  it("responses.stream gives what the schema says", async () => {
    const stream = world()[who].responses.stream({ ...response, text: { format } })
    expect((await stream.finalResponse()).output_parsed).toEqual({ a: 1 })
    const [body] = await expectCalls(world(), 1, cap)
    expect(JSON.stringify(body?.["text"])).toBe(JSON.stringify({ format }))
  })
})

it.each(refusedClients)("each helper rejects with the refusal of %s", async (_name, who) => {
  const client = world()[who]
  const tools = [zodFunction({ name: "weather", parameters, function: () => "" })]
  const outcomes = await Promise.allSettled([
    client.chat.completions.parse({ ...chat, response_format }),
    client.chat.completions.stream({ ...chat, response_format }).finalMessage(),
    client.chat.completions.runTools({ ...chat, tools }).finalContent(),
    client.responses.parse({ ...response, text: { format } }),
    client.responses.stream({ ...response, text: { format } }).finalResponse()
  ])
  expect(outcomes).toEqual(
    Array.from({ length: 5 }, () => ({ status: "rejected", reason: expect.any(PolicyDeniedError) }))
  )
  await expectRefused(world())
  expect(await world().records()).toHaveLength(5)
})

describe("an answer that the cap of a policy cut short", () => {
  const { messages, model } = chat
  const ask = { messages, model }

  it("is what create gives, and a stream without a schema", async () => {
    const { completions } = world().service.chat
    world().provider.behave(Truncated.chat("It is"))
    const [choice] = (await completions.create(ask)).choices
    expect([choice?.finish_reason, choice?.message.content]).toEqual(["length", "It is"])
    await expectCalls(world(), 1, 500)
    world().provider.behave(Truncated.chatStream("It is"))
    expect(await completions.stream(ask).finalContent()).toBe("It is")
    world().provider.behave(Truncated.response("It is"))
    const { output_text, status } = await world().service.responses.create({ model, input: "Hello" })
    expect([status, output_text]).toEqual(["incomplete", "It is"])
  })

  it("makes parse, runTools and a stream with a schema throw, for chats", async () => {
    const { completions } = world().service.chat
    world().provider.behave(Truncated.chat('{"a":'))
    await expect(completions.parse({ ...ask, response_format })).rejects.toBeInstanceOf(LengthFinishReasonError)
    await expectCalls(world(), 1, 500)
    world().provider.behave(Truncated.chat("It is"))
    await expect(completions.parse(ask)).rejects.toBeInstanceOf(LengthFinishReasonError)
    await expect(completions.runTools({ ...ask, tools: [] }).finalContent()).rejects.toBeInstanceOf(
      LengthFinishReasonError
    )
    world().provider.behave(Truncated.chatStream('{"a":'))
    await expect(completions.stream({ ...ask, response_format }).finalContent()).rejects.toBeInstanceOf(
      LengthFinishReasonError
    )
  })

  it("makes parse give null, for responses", async () => {
    world().provider.behave(Truncated.response('{"a":'))
    const answer = await world().service.responses.parse({ model, input: "Hello", text: { format } })
    expect([answer.status, answer.output_parsed]).toEqual(["incomplete", null])
    await expectCalls(world(), 1, 500)
  })
})
