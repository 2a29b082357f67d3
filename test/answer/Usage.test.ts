import { assert, describe, it } from "@effect/vitest"
import { usageOf } from "../../src/answer/Usage.ts"

describe("usage", () => {
  it.each<[string, unknown, object | undefined]>([
    ["a chat", { usage: { prompt_tokens: 1, completion_tokens: 2 } }, { input: 1, output: 2 }],
    ["an embedding, which has no output", { usage: { prompt_tokens: 1, total_tokens: 1 } }, { input: 1 }],
    ["a response", { usage: { input_tokens: 1, output_tokens: 2 } }, { input: 1, output: 2 }],
    [
      "an event",
      { response: { usage: { input_tokens: 1, output_tokens: 2 }, service_tier: "flex" } },
      { input: 1, output: 2, tier: "flex" }
    ],
    [
      "every part of a chat's",
      {
        service_tier: "priority",
        usage: {
          prompt_tokens: 10,
          completion_tokens: 8,
          prompt_tokens_details: { cached_tokens: 4, cache_write_tokens: 2, audio_tokens: 3 },
          completion_tokens_details: { reasoning_tokens: 5, audio_tokens: 1 }
        }
      },
      { input: 10, output: 8, cached: 4, cacheWrite: 2, audioInput: 3, reasoning: 5, audioOutput: 1, tier: "priority" }
    ],
    [
      "every part of a response's",
      {
        usage: {
          input_tokens: 10,
          output_tokens: 8,
          input_tokens_details: { cached_tokens: 4 },
          output_tokens_details: { reasoning_tokens: 0 }
        }
      },
      { input: 10, output: 8, cached: 4, reasoning: 0 }
    ],
    ["Groq's", { x_groq: { usage: { prompt_tokens: 1, completion_tokens: 2 } } }, { input: 1, output: 2 }],
    [
      "DeepSeek's",
      { usage: { prompt_tokens: 9, completion_tokens: 2, prompt_cache_hit_tokens: 8 } },
      { input: 9, output: 2, cached: 8 }
    ],
    [
      "parts that are larger than the whole",
      { usage: { prompt_tokens: 1, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 4 } } },
      { input: 1, output: 2 }
    ],
    ["a tier that is no name", { service_tier: "what a day", usage: { prompt_tokens: 1 } }, { input: 1 }],
    ["nothing", {}, undefined],
    ["null", { usage: null }, undefined],
    ["text for a number", { usage: { prompt_tokens: "1" } }, undefined],
    ["half a token", { usage: { prompt_tokens: 0.5 } }, undefined],
    ["less than nothing", { usage: { prompt_tokens: -1 } }, undefined]
  ])("of %s", (_, answer, usage) => {
    assert.deepStrictEqual<object | undefined>(usageOf(answer), usage)
  })

  it("stands in the order of canonical JSON", () => {
    const usage = usageOf({
      service_tier: "default",
      usage: {
        prompt_tokens: 10,
        completion_tokens: 8,
        prompt_tokens_details: { cached_tokens: 4, cache_write_tokens: 2, audio_tokens: 3 },
        completion_tokens_details: { reasoning_tokens: 5, audio_tokens: 1 }
      }
    })
    assert.deepStrictEqual(Object.keys(usage ?? {}), Object.keys(usage ?? {}).toSorted())
  })
})
