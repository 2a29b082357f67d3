/** Random documents and requests, from a seed: small alphabets, so that they meet often. */
import type { Json, JsonObject } from "../../src/CanonicalJson.ts"
import type { Principal } from "../../src/Principal.ts"
import type { Intent, Spec } from "../../src/policy/Mapl.ts"
import { user } from "./states.ts"

/** Mulberry32. */
export class Random {
  #state: number
  constructor(seed: number) {
    this.#state = seed
  }
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
  chance(probability: number): boolean {
    return this.next() < probability
  }
  pick<A>(items: ReadonlyArray<A>): A {
    return items[Math.floor(this.next() * items.length)]!
  }
  some<A>(items: ReadonlyArray<A>, probability = 0.4): ReadonlyArray<A> {
    return items.filter(() => this.chance(probability))
  }
  shuffled<A>(items: ReadonlyArray<A>): ReadonlyArray<A> {
    return items
      .map((item) => ({ item, key: this.next() }))
      .sort((a, b) => a.key - b.key)
      .map(({ item }) => item)
  }
}

const resources = ["tool:app/generate", "tool:app/pay", "tool:app/a.secret", "tool:other/generate", "data:x/y"]
const patterns = ["tool:app/generate", "tool:*/generate", "tool:app/*", "tool:**", "**", "data:*", "*pay*"]
const models = ["gpt-4", "gpt-4o", "gpt-4o-mini", "gpt-3.5-turbo", "o1", "llama-3", "gpt-*", "*-mini"]
const words = ["a", "b", "c", "ab", "bc", "a*", "*b"]
const start = Date.parse("2026-01-01T00:00:00Z")

const mode = (random: Random) => (random.chance(0.3) ? { on_violation: random.pick(["rewrite", "deny"] as const) } : {})

export const bounds = (random: Random, low: number, high: number): Spec => {
  const step = (high - low) / 4
  const from = low + Math.floor(random.next() * 3) * step
  const to = low + Math.floor(2 + random.next() * 3) * step
  return {
    ...(random.chance(0.1)
      ? { range: [from, to] as const }
      : { ...(random.chance(0.8) && { max: to }), ...(random.chance(0.3) && { min: from }) }),
    ...(random.chance(0.2) && { type: "number" as const }),
    ...(random.chance(0.05) && { required: true }),
    ...mode(random)
  }
}

export const list = (random: Random, values: ReadonlyArray<string>): Spec => {
  const allowed = random.some(values, 0.5)
  return random.chance(0.5) ? allowed : { allowed_values: allowed, ...mode(random) }
}

const specs = (random: Random): Readonly<Record<string, Spec>> => ({
  ...(random.chance(0.6) && { model: list(random, models) }),
  ...(random.chance(0.6) && {
    [random.pick(["max_tokens", "max_completion_tokens"])]: bounds(random, 0, 1000)
  }),
  ...(random.chance(0.15) && { total_tokens: { max: random.pick([2, 900, 1500]), ...mode(random) } }),
  ...(random.chance(0.3) && { temperature: bounds(random, 0, 2) }),
  ...(random.chance(0.2) && { n: { max: random.pick([1, 2, 3]), ...mode(random) } }),
  ...(random.chance(0.2) && { word: list(random, words) }),
  ...(random.chance(0.2) && { text: { pattern: random.pick(["[a-c]+", "a.*", "b?"]) } }),
  ...(random.chance(0.2) && { text: { min_length: random.pick([1, 2]), max_length: random.pick([2, 3]) } }),
  ...(random.chance(0.2) && { tags: { min_items: random.pick([0, 1]), max_items: random.pick([1, 2]) } }),
  ...(random.chance(0.05) && { owner: { required: true } })
})

/** A document; most are mild, so that not everything is refused. */
export const document = (random: Random): Intent => ({
  ...(random.chance(0.6) && { resources: [...random.some(patterns), random.pick(["**", "tool:**"])] }),
  ...(random.chance(0.1) && { resources: random.some(patterns) }),
  ...(random.chance(0.2) && { denied_resources: random.some(["*.secret", "data:**", "tool:other/*"], 0.5) }),
  ...(random.chance(0.15) && mode(random)),
  ...(random.chance(0.1) && {
    validity: { not_before: "2026-01-01T00:00:00Z", not_after: "2026-01-02T00:00:00Z" }
  }),
  ...(random.chance(0.1) && { attestations: [random.pick(["key", "key::{params.n > 1}", "boss::{params.n > 1}"])] }),
  constraints: {
    ...(random.chance(0.8) && {
      parameters: Object.fromEntries(random.some(patterns, 0.3).map((pattern) => [pattern, specs(random)]))
    }),
    ...(random.chance(0.15) && {
      denied_parameters: { [random.pick(patterns)]: { word: random.some(words), tags: random.some(words, 0.2) } }
    }),
    ...(random.chance(0.6) && { attestations: { boss: { approval_criteria: "role:manager" } } })
  }
})

export interface Asked {
  readonly resource: string
  readonly params: JsonObject
  readonly principal: Principal
  readonly now: number
}

export const request = (random: Random): Asked => {
  const number = (high: number): Json =>
    random.chance(0.05) ? String(high) : Math.floor(random.next() * 12 - 1) * (high / 10)
  return {
    resource: random.chance(0.7) ? "tool:app/generate" : random.pick(resources),
    params: {
      ...(random.chance(0.9) && { model: random.pick(models.slice(0, 6)) }),
      ...(random.chance(0.5) && { max_tokens: number(1000) }),
      ...(random.chance(0.1) && { max_completion_tokens: number(1000) }),
      ...(random.chance(0.5) && { temperature: number(2) }),
      ...(random.chance(0.4) && { n: random.pick([1, 2, 3]) }),
      ...(random.chance(0.4) && { word: random.pick(["a", "b", "c", "ab", "bc"]) }),
      ...(random.chance(0.4) && { text: random.pick(["a", "ab", "abc", "abcd", "", "x"]) }),
      ...(random.chance(0.4) && { tags: random.some(["a", "b", "c"]) })
    },
    principal: user("someone", { attestations: random.some(["key", "boss"]) }),
    now: start + Math.floor(random.next() * 3) * 43_200_000
  }
}
