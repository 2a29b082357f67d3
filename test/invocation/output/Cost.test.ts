/** What judging a stream costs, counted and not timed: it grows with the answer and with nothing else. */
import { assert, describe, it } from "@effect/vitest"
import type { OutputRules } from "../../../src/call/Judge.ts"
import { longestToolCall } from "../../../src/invocation/output/ChoiceGate.ts"
import { OutputJudge } from "../../../src/invocation/output/OutputJudge.ts"
import { StreamGate } from "../../../src/invocation/output/StreamGate.ts"
import { type Chunk, literalRules, make, run } from "./gate.ts"
import { visitsOf } from "./steps.ts"

/** Rules with a pattern that counts what it is asked to search, and a judge that counts the tools it judges. */
const counting = (holdBack: number) => {
  const counted = { searched: 0, tools: 0 }
  const rules: OutputRules = {
    denied: [
      {
        policy: "p",
        rule: "r",
        holdBack,
        sought: (text, from) => {
          counted.searched += text.length - from
          return undefined
        }
      }
    ],
    maxCharacters: undefined,
    onResponse: { policy: "p", rule: "r", does: "deny" }
  }
  const judge = new OutputJudge(rules, { models: [], tool: () => (counted.tools++, "allow") })
  const gate = new StreamGate(judge)
  return { counted, gate, judge }
}

const chunk = (choice: object): Chunk => ({ id: "c", choices: [{ index: 0, finish_reason: null, ...choice }] })
const word = " word"

describe("the characters that a pattern searches", () => {
  it.each<[string, (i: number) => Chunk]>([
    ["content", () => chunk({ delta: { content: word } })],
    [
      "content and log probabilities",
      () => chunk({ delta: { content: word }, logprobs: { content: [{ token: word }] } })
    ],
    [
      "tools in turn",
      (i) => chunk({ delta: { tool_calls: [{ index: i % 2, function: { name: "x", arguments: word } }] } })
    ],
    ["an output text", () => ({ type: "response.output_text.delta", output_index: 0, delta: word })],
    ["states", () => chunk({ delta: { content: word }, content_filter_results: { hate: { severity: "safe" } } })]
  ])("grow with the %s, whatever hold_back is", (_, piece) => {
    for (const holdBack of [16, 256, 4096]) {
      const { counted, gate } = counting(holdBack)
      const count = 6000
      for (let i = 0; i < count; i++) gate.push([piece(i)])
      gate.end()
      assert.isAtMost(counted.searched, 24 * count * word.length + 64 * holdBack + holdBack ** 2, String(holdBack))
    }
  })
})

describe("tools in turn", () => {
  const deltas = (args: string) => (i: number) =>
    chunk({ delta: { tool_calls: [{ index: i % 2, function: { arguments: args, ...(i < 2 && { name: "x" }) } }] } })

  it("are judged once more, however often they take turns", () => {
    const { counted, gate } = counting(16)
    for (let i = 0; i < 5000; i++) gate.push([deltas(i < 4998 ? " " : "{}")(i)])
    gate.end()
    assert.isAtMost(counted.tools, 4)
  })

  it("are refused once they are too long to be held back", () => {
    const part = "x".repeat(64 * 1024)
    const count = (2 * longestToolCall) / part.length
    const chunks = Array.from({ length: count }, (_, i) => deltas(part)(i))
    assert.match(run({ denied: ["secret"] }, chunks).refused?.message ?? "", /longer/)
    const events = chunks.map((_, i) => ({
      type: "response.function_call_arguments.delta",
      output_index: i % 2,
      delta: part
    }))
    assert.match(run({ denied: ["secret"] }, events).refused?.message ?? "", /longer/)
  })
})

describe("log probabilities under a pattern", () => {
  it("go on with their text, and are copied once", () => {
    const { gate } = counting(64)
    let most = 0
    let all = 0
    const count = 4000
    for (let i = 0; i < count; i++)
      for (const one of gate.push([
        chunk({ delta: { content: word }, logprobs: { content: [{ token: word }] } })
      ]) as ReadonlyArray<Chunk>)
        for (const { logprobs } of one.choices ?? []) {
          const tokens = (logprobs as { readonly content: ReadonlyArray<unknown> } | null)?.content.length ?? 0
          most = Math.max(most, tokens)
          all += tokens
        }
    assert.isAtMost(most, 64)
    assert.isAtLeast(all, count - 64)
  })
})

describe("the texts, choices and items that are visited", () => {
  const event = (type: string, i: number, more: object): Chunk => ({
    type: `response.${type}`,
    output_index: i,
    item_id: `m${i}`,
    content_index: 0,
    ...more
  })
  const usage = (i: number): Chunk => ({ id: "c", choices: [], usage: { total_tokens: i } })
  const content = (index: number, text: string): Chunk => ({
    id: "c",
    choices: [{ index, delta: { content: text }, finish_reason: null }]
  })

  it.each<[string, (i: number, count: number) => ReadonlyArray<Chunk>]>([
    [
      "items with a text each, each told to be done",
      (i) => [event("output_text.delta", i, { delta: "x sec" }), event("output_text.done", i, { text: "x sec" })]
    ],
    [
      "items with a text each, done once all have begun",
      (i, count) =>
        i < count / 2
          ? [event("output_text.delta", i, { delta: "x" })]
          : [event("output_text.done", i - count / 2, { text: "x" })]
    ],
    [
      "parts of one item, each told to be done once all have begun",
      (i, count) =>
        i < count / 2
          ? [{ ...event("output_text.delta", 0, { delta: "x" }), content_index: i }]
          : [{ ...event("content_part.done", 0, {}), content_index: i - count / 2 }]
    ],
    [
      "texts that another kind's end ends not",
      (i) => [event("output_text.delta", i, { delta: "x" }), event("x.done", 0, {})]
    ],
    [
      "items that are told to be done again and again",
      (i) => [event("output_text.delta", i, { delta: "x" }), { type: "response.output_item.done", output_index: i % 2 }]
    ],
    [
      "tools that are not complete, and ends of the response",
      (i) => [
        event("function_call_arguments.delta", i, { delta: "{" }),
        { type: "response.incomplete", response: { output: [] } }
      ]
    ],
    ["choices, with the usage after each", (i) => [content(i, "x"), usage(i)]],
    ["choices that hold something back, with the usage after each", (i) => [content(i, "sec"), usage(i)]],
    ["members of a delta", (i) => [chunk({ delta: { [`m${i}`]: "sec" } }), usage(i)]],
    [
      "members of log probabilities",
      (i) => [chunk({ delta: { [`m${i}`]: "sec" }, logprobs: { content: [{ token: "x" }] } })]
    ],
    [
      "lists of log probabilities at an odd place",
      (i) => [chunk({ delta: {}, note: { logprobs: { [`m${i}`]: ["x"] } } })]
    ]
  ])("grow with the %s, and no faster", (_, pieces) => {
    const visits = (count: number): number => {
      const judge = make(literalRules(["secret"]))
      const gate = new StreamGate(judge)
      const chunks = Array.from({ length: count }, (_each, i) => pieces(i, count)).flat()
      const all = visitsOf(() => {
        for (const one of chunks) gate.push([one])
        gate.end()
      })
      assert.isUndefined(judge.refused)
      return all
    }
    assert.isAtMost(visits(2000), 30 * 2000)
  })
})
