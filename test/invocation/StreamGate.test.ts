/** The gate of a stream: what it lets go, however a text is cut into chunks. */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import type { OutputRules } from "../../src/Call.ts"
import { OutputJudge } from "../../src/invocation/OutputJudge.ts"
import { StreamGate } from "../../src/invocation/StreamGate.ts"
import { app } from "../../src/Principal.ts"
import type { OutputRule } from "../../src/policy/Mapl.ts"
import { outputOf } from "../../src/policy/Output.ts"
import { makeFind } from "../../src/policy/Participants.ts"
import { load } from "../../src/policy/PolicyStore.ts"
import { Random } from "../policy/random.ts"

/** The rules that a document with this rule asks of a chat. */
const rulesOf = (rule: OutputRule): OutputRules => {
  const document = { policy_id: "app:a", resources: ["**"], constraints: { output: { "tool:a/*": rule } } }
  const set = Result.getOrThrow(load(document))
  return outputOf(makeFind(set)({ principal: app("a"), app: "a", intents: [] }).rules("tool:a/generate"))!
}

const tool = (name: string) => (name === "pay" ? "deny" : "allow")
const make = (rule: OutputRule) => new OutputJudge(rulesOf(rule), { models: ["gpt-4o"], tool })

/** As much of a chunk, or an event, as is looked at here. */
interface Chunk {
  readonly [key: string]: unknown
  readonly choices?: ReadonlyArray<Choice>
}
interface Choice {
  readonly index: number
  readonly delta?: Readonly<Record<string, unknown>>
  readonly text?: string
  readonly finish_reason: string | null
  readonly logprobs?: unknown
}

const run = (rule: OutputRule, chunks: ReadonlyArray<unknown>, reads = 1) => {
  const judge = make(rule)
  const gate = new StreamGate(judge)
  const free: Array<Chunk> = []
  for (let at = 0; at < chunks.length; at += reads)
    free.push(...(gate.push(chunks.slice(at, at + reads)) as Array<Chunk>))
  free.push(...(gate.end() as Array<Chunk>))
  return { free, refused: judge.refused, recorded: judge.recorded }
}

const chunk = (delta: Readonly<Record<string, unknown>>, more: object = {}, index = 0): Chunk => ({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1,
  model: "gpt-4o",
  choices: [{ index, delta, finish_reason: null, ...more }]
})
const over = (index = 0, reason = "stop") => chunk({}, { finish_reason: reason }, index)
const said = (free: ReadonlyArray<Chunk>, index = 0, key = "content"): string =>
  free
    .flatMap(({ choices = [] }) => choices)
    .filter((choice) => choice.index === index)
    .map((choice) => choice.delta?.[key] ?? "")
    .join("")

// ---------------------------------------------------------------------------------------------------------------------
// Any text, any rules, any cuts
// ---------------------------------------------------------------------------------------------------------------------

const between = (random: Random, low: number, high: number): number =>
  low + Math.floor(random.next() * (high - low + 1))

const letters = ["a", "b", "ab", "aab", "😀", "😁", "\ud83d", "c"]
const pieces = (random: Random, most: number): string =>
  Array.from({ length: between(random, 0, most) }, () => random.pick(letters)).join("")

/** Where a text must stop: the first end of a literal, less the longest end of it that begins one; or the limit, likewise. */
const naive = (text: string, literals: ReadonlyArray<string>, most = Infinity): { until: number; refused: boolean } => {
  const begins = (end: number): number => {
    for (let start = 0; start < end; start++)
      if (literals.some((literal) => literal.startsWith(text.slice(start, end)))) return start
    return end
  }
  const limit = Math.min(text.length, most)
  for (let end = 1; end <= limit; end++)
    if (literals.some((literal) => text.slice(0, end).endsWith(literal))) return { until: begins(end), refused: true }
  return text.length > most ? { until: begins(most), refused: true } : { until: text.length, refused: false }
}

const cut = (random: Random, text: string): Array<string> => {
  const parts: Array<string> = []
  for (let at = 0; at < text.length;) {
    const next = Math.min(text.length, at + between(random, 0, 4))
    parts.push(text.slice(at, next))
    at = next
  }
  return parts
}

describe("any text, any literals, any cuts", () => {
  it("lets go exactly what comes before the first denied text", () => {
    const random = new Random(7)
    let refusals = 0
    for (let round = 0; round < 20_000; round++) {
      const literals = Array.from({ length: between(random, 1, 3) }, () => pieces(random, 3)).filter(
        (text) => text !== ""
      )
      const text = pieces(random, 14)
      const most = random.chance(0.2) ? between(random, 1, 12) : undefined
      const rule: OutputRule = { denied: literals, ...(most !== undefined && { max_characters: most }) }
      const parts = cut(random, text)
      const chunks = [...parts.map((content) => chunk({ content })), ...(random.chance(0.8) ? [over()] : [])]
      const { free, refused } = run(rule, chunks, between(random, 1, 4))
      const wanted = naive(text, literals, most)
      const given = said(free)
      const about = JSON.stringify({ rule, parts, given, wanted })
      if (wanted.refused) refusals++
      assert.strictEqual(refused !== undefined, wanted.refused, about)
      // A limit cuts no character in two that comes whole.
      const expected = [most, most && most - 1].map((limit) => text.slice(0, naive(text, literals, limit).until))
      assert.include(expected, given, about)
      assert.isFalse(
        literals.some((literal) => given.includes(literal)),
        about
      )
      if (!wanted.refused && chunks.length > parts.length)
        assert.strictEqual(free.at(-1)?.choices?.[0]?.finish_reason, "stop", about)
    }
    assert.isAbove(refusals, 5_000)
  })

  it("keeps the texts of several choices and members apart, and each in order", () => {
    const random = new Random(11)
    for (let round = 0; round < 5_000; round++) {
      const literals = Array.from({ length: between(random, 1, 3) }, () => pieces(random, 3)).filter(
        (text) => text !== ""
      )
      const texts = [0, 1].flatMap((index) =>
        ["content", "refusal"].map((key) => ({ index, key, text: pieces(random, 8), parts: [] as Array<string> }))
      )
      for (const one of texts) one.parts = cut(random, one.text)
      const chunks: Array<Chunk> = []
      const left = texts.map(({ index, key, parts }) => ({ index, key, parts: [...parts] }))
      while (left.some(({ parts }) => parts.length > 0)) {
        const { index, key, parts } = random.pick(left.filter((one) => one.parts.length > 0))
        const both = random.chance(0.2)
          ? left.find((one) => one.index === index && one.key !== key && one.parts.length > 0)
          : undefined
        chunks.push(
          chunk({ [key]: parts.shift(), ...(both !== undefined && { [both.key]: both.parts.shift() }) }, {}, index)
        )
      }
      chunks.push(over(0), over(1))
      const { free, refused } = run({ denied: literals }, chunks, between(random, 1, 4))
      const about = JSON.stringify({ literals, chunks })
      const bad = texts.some(({ text }) => naive(text, literals).refused)
      assert.strictEqual(refused !== undefined, bad, about)
      for (const { index, key, text } of texts) {
        const given = said(free, index, key)
        if (bad) assert.isTrue(text.startsWith(given), about)
        else assert.strictEqual(given, text, about)
        assert.isFalse(
          literals.some((literal) => given.includes(literal)),
          about
        )
      }
    }
  })

  it("finds a pattern that is no longer than hold_back, and lets go nothing of it", () => {
    const random = new Random(13)
    const sources = ["a+b", "(?i)AB", "\\bab\\b", "b$", "^ab", "c(a|b)c?", "😀a"]
    for (let round = 0; round < 6_000; round++) {
      const source = random.pick(sources)
      const text = [pieces(random, 8), random.pick(["", " ", " ab ", "AB"]), pieces(random, 3)].join("")
      if (!text.isWellFormed()) continue
      const rule: OutputRule = { denied: [{ pattern: source }, "cc"], hold_back: 64 }
      const chunks = [...cut(random, text).map((content) => chunk({ content })), over()]
      const { free, refused } = run(rule, chunks, between(random, 1, 4))
      const { denied } = rulesOf(rule)
      const sought = denied[0]!.sought
      const match = typeof sought === "string" ? undefined : sought(text, 0)
      const bad = match !== undefined || text.includes("cc")
      const about = JSON.stringify({ source, text, chunks: chunks.map((c) => c.choices?.[0]?.delta), free })
      assert.strictEqual(refused !== undefined, bad, about)
      if (bad) assert.isTrue(text.startsWith(said(free)) && !said(free).includes("cc"), about)
      else assert.strictEqual(said(free), text, about)
      if (match !== undefined) assert.isAtMost(said(free).length, match[0], about)
    }
  })
})
