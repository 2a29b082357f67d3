import type { OpenAI } from "openai"
import { describe, expect, it } from "vitest"
import { ChunkReader, partsOf } from "../../src/ai/Parts.ts"

const completion = (message: object, more: object = {}): OpenAI.ChatCompletion =>
  ({
    id: "c",
    object: "chat.completion",
    created: 1,
    model: "m",
    choices: [
      { index: 0, message: { role: "assistant", content: null, refusal: null, ...message }, finish_reason: "stop" }
    ],
    ...more
  }) as OpenAI.ChatCompletion
const call = (args: string) => ({ id: "t", type: "function", function: { name: "f", arguments: args } })
const chunk = (delta: object, finish_reason: string | null = null): OpenAI.ChatCompletionChunk =>
  ({
    id: "c",
    object: "chat.completion.chunk",
    created: 1,
    model: "m",
    choices: [{ index: 0, delta, finish_reason }]
  }) as OpenAI.ChatCompletionChunk

describe("an answer as parts", () => {
  it("has its usage divided", () => {
    const usage = {
      prompt_tokens: 10,
      completion_tokens: 6,
      total_tokens: 16,
      prompt_tokens_details: { cached_tokens: 4 },
      completion_tokens_details: { reasoning_tokens: 5 }
    }
    expect(partsOf(completion({ content: "a" }, { usage })).at(-1)).toMatchObject({
      usage: {
        inputTokens: { total: 10, cacheRead: 4, uncached: 6 },
        outputTokens: { total: 6, reasoning: 5, text: 1 }
      }
    })
  })

  it("has a refusal of the model as text that is marked", () => {
    expect(partsOf(completion({ refusal: "I cannot." }))[1]).toEqual({
      type: "text",
      text: "I cannot.",
      metadata: { openai: { refusal: "I cannot." } }
    })
    const reader = new ChunkReader()
    const types = reader.read(chunk({ refusal: "I" })).map(({ type }) => type)
    expect(types).toEqual(["response-metadata", "text-start", "text-delta"])
  })

  it("takes no arguments for an empty object, and refuses what is no JSON or would poison a prototype", () => {
    expect(partsOf(completion({ tool_calls: [call("")] }))[1]).toMatchObject({ params: {} })
    for (const args of ["{", '{"__proto__":{"a":1}}'])
      expect(() => partsOf(completion({ tool_calls: [call(args)] }))).toThrow("f")
  })

  it("keeps two tools that are streamed at once apart", () => {
    const reader = new ChunkReader()
    const delta = (index: number, id: string | undefined, name: string | undefined, args: string) =>
      chunk({ tool_calls: [{ index, id, function: { name, arguments: args } }] })
    for (const one of [
      delta(0, "t0", "f", ""),
      delta(1, "t1", "g", '{"b"'),
      delta(0, undefined, undefined, '{"a":1}'),
      delta(1, undefined, undefined, ":2}"),
      chunk({}, "tool_calls")
    ])
      reader.read(one)
    expect(reader.end().filter(({ type }) => type === "tool-call")).toEqual([
      { type: "tool-call", id: "t0", name: "f", params: { a: 1 } },
      { type: "tool-call", id: "t1", name: "g", params: { b: 2 } }
    ])
  })

  it("is not taken for whole without a choice or a last chunk", () => {
    expect(() => partsOf(completion({}, { choices: [] }))).toThrow("no choice")
    expect(() => new ChunkReader().end()).toThrow("before its last chunk")
  })
})
