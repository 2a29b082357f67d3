/**
 * Answers of a growing size, for what judging them costs: `make(n)` gives the chunks of a stream of about `n`, and `run` lets
 * output rules judge them, without a network.
 */
import * as Result from "effect/Result"
import type { OutputRules } from "../../../src/call/Judge.ts"
import { OutputJudge } from "../../../src/invocation/output/OutputJudge.ts"
import { StreamGate } from "../../../src/invocation/output/StreamGate.ts"
import { compileRegex } from "../../../src/policy/mapl/Regex.ts"

type Chunk = Readonly<Record<string, unknown>>

const source = { policy: "app:lab", rule: "denied" }

const rules = (pattern: string, holdBack: number): OutputRules => {
  const regex = Result.getOrThrow(compileRegex(pattern))
  return {
    denied: [
      { ...source, sought: "Project Heron", holdBack: 12 },
      {
        ...source,
        holdBack,
        sought: (text, from) => {
          const matcher = regex.matcher(text)
          return from <= text.length && matcher.find(from) ? [matcher.start(), matcher.end()] : undefined
        }
      }
    ],
    maxCharacters: undefined,
    onResponse: { ...source, does: "deny" }
  }
}

const judging =
  (given: OutputRules) =>
  (chunks: ReadonlyArray<Chunk>): number => {
    const gate = new StreamGate(new OutputJudge(given, { models: [], tool: () => "allow" }))
    let free = 0
    for (const chunk of chunks) free += gate.push([chunk]).length
    return free + gate.end().length
  }

const stream = (n: number, choice: (i: number) => object): ReadonlyArray<Chunk> =>
  Array.from({ length: n }, (_, i) => ({ id: "c", choices: [{ index: 0, finish_reason: null, ...choice(i) }] }))

/** The cases: a name, what it is run on, and the run. */
export const answers = [
  {
    name: "tool calls in turn, chunks",
    make: (n: number) =>
      stream(n, (i) => ({
        delta: { tool_calls: [{ index: i % 2, function: { arguments: "12345678", ...(i < 2 && { name: "look" }) } }] }
      })),
    run: judging(rules("HX-[0-9]{4}", 16))
  },
  {
    name: "log probabilities under a pattern, chunks",
    make: (n: number) =>
      stream(n, () => ({
        delta: { content: " word" },
        logprobs: { content: [{ token: " word", logprob: 0, top_logprobs: [{ token: " word", logprob: 0 }] }] }
      })),
    run: judging(rules("HX-[0-9]{4}", 16))
  },
  {
    name: "content with hold_back 4096, chunks",
    make: (n: number) => stream(n, () => ({ delta: { content: " word" } })),
    run: judging(rules("HX-[0-9]{4}", 4096))
  },
  {
    name: "alternatives and bytes of tokens, chunks",
    make: (n: number) =>
      stream(n, (i) => ({
        delta: { content: " word" },
        logprobs: {
          content: [
            {
              token: " word",
              bytes: [32, 119, 111, 114, 100],
              top_logprobs: ["Proj", "ect", " Her", i % 2 === 0 ? "P" : "Project H"].map((token) => ({ token }))
            }
          ]
        }
      })),
    run: judging(rules("HX-[0-9]{4}", 16))
  },
  {
    name: "JSON text inside JSON text of escapes, chunks",
    make: (n: number) =>
      Array.from({ length: n }, () => ({
        type: "response.output_text.delta",
        output_index: 0,
        content_index: 0,
        delta: "\\\\\\u0050\\\\n\\u005cu0041"
      })),
    run: judging(rules("HX-[0-9]{4}", 256))
  },
  {
    name: "deltas and messages, chunks",
    make: (n: number) =>
      stream(n, () => ({ delta: { content: " word" }, message: { role: "assistant", content: " word" } })),
    run: judging(rules("HX-[0-9]{4}", 64))
  },
  {
    name: "items with a text and its end each, events",
    make: (n: number) =>
      Array.from({ length: n }, (_, i) => {
        const place = { output_index: i, item_id: `m${i}`, content_index: 0 }
        return [
          { type: "response.output_text.delta", ...place, delta: "x" },
          { type: "response.output_text.done", ...place, text: "x" }
        ]
      }).flat(),
    run: judging(rules("HX-[0-9]{4}", 16))
  },
  {
    name: "choices with the usage after each, chunks",
    make: (n: number) =>
      Array.from({ length: n }, (_, i) => [
        { id: "c", choices: [{ index: i, delta: { content: "x" }, finish_reason: null }] },
        { id: "c", choices: [], usage: { total_tokens: i } }
      ]).flat(),
    run: judging(rules("HX-[0-9]{4}", 16))
  },
  {
    name: "one output text of escapes, chunks",
    make: (n: number) =>
      Array.from({ length: n }, () => ({
        type: "response.output_text.delta",
        output_index: 0,
        content_index: 0,
        delta: "\\u0050\\n"
      })),
    run: judging(rules("HX-[0-9]{4}", 256))
  }
] as const
