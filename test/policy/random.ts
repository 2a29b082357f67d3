/**
 * Random policies and requests, from a seed: small alphabets, so that they meet often, and mild documents, so that not
 * everything is refused.
 */
import type { Json, JsonObject } from "../../src/base/Json.ts"
import type { Principal } from "../../src/call/Principal.ts"
import type { Document, Intent } from "../../src/policy/Mapl.ts"
import type { ScopedAttestation } from "../../src/policy/mapl/Attestation.ts"
import type { Spec } from "../../src/policy/mapl/Bounds.ts"
import type { Asked } from "./oracle.ts"
import { principal } from "./states.ts"

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

const start = Date.parse("2026-01-01T00:00:00Z")
const day = 86_400_000

const operations = [
  "generate",
  "generate",
  "generate",
  "generate",
  "complete",
  "embed",
  "pay",
  "a.secret",
  "x/generate"
]
const grants = ["**", "**", "tool:**", "tool:*/**", "tool:app/**", "tool:app/*"]
const patterns = ["**", "tool:**", "tool:*/generate", "tool:app/*", "tool:app/generate", "tool:*/pay", "*gen*", "*pay*"]
const denials = [
  "*.secret",
  "*.secret",
  "data:**",
  "tool:other/*",
  "*x/gen*",
  "tool:*/pay",
  "api:*",
  "tool:app/**/generate"
]
const models = ["gpt-4", "gpt-4o", "gpt-4o-mini", "gpt-3.5-turbo", "o1", "llama-3"]
// Whether lists with several globs have a value in common is tested by pairs (see Constraint): here, pairs tell. All globs
// of these lists have one in common, and a list of `shade` holds one alone.
const modelValues = [...models, "gpt-*", "*-mini"]
const words = ["a", "b", "c", "ab", "bc", "a*", "*b", "a*ab", "*b*"]
const functionNames = ["get_weather", "get_mail", "send_mail", "get_*", "*_weather"]
const efforts = ["low", "medium", "high", "m*"]
const roles = ["user", "system", "assistant", "*er"]
const capNames = ["max_tokens", "max_completion_tokens", "max_output_tokens"]
const proofs = ["key", "boss", "chief"]

// ---------------------------------------------------------------------------------------------------------------------
// Documents
// ---------------------------------------------------------------------------------------------------------------------

const mode = (random: Random) => (random.chance(0.3) ? { on_violation: random.pick(["rewrite", "deny"] as const) } : {})

export const bounds = (random: Random, low: number, high: number): Spec => {
  const step = (high - low) / 4
  const from = low + Math.floor(random.next() * 2) * step
  const to = low + Math.floor(2 + random.next() * 3) * step
  return {
    ...(random.chance(0.2)
      ? { range: [from, to] as const }
      : { ...(random.chance(0.8) && { max: to }), ...(random.chance(0.3) && { min: from }) }),
    ...(random.chance(0.15) && { type: random.pick(["number", "number", "integer"] as const) }),
    ...(random.chance(0.02) && { required: true }),
    ...mode(random)
  }
}

export const list = (random: Random, values: ReadonlyArray<Json>): Spec => {
  const allowed = random.shuffled(random.some(values, 0.7))
  return random.chance(0.5)
    ? allowed
    : { allowed_values: allowed, ...mode(random), ...(random.chance(0.1) && { required: random.chance(0.3) }) }
}

const downgrade = (random: Random): Readonly<Record<string, string>> =>
  Object.fromEntries(random.some([...models, "*"], 0.4).map((from) => [from, random.pick(models)]))

/** Each parameter that a document may bound, with how often it does. */
const parameterSpecs: ReadonlyArray<readonly [string, number, (random: Random) => Spec]> = [
  ["model", 0.35, (random) => list(random, modelValues)],
  ["model", 0.08, (random) => ({ allowed_values: random.some(modelValues, 0.7), downgrade: downgrade(random) })],
  ...capNames.map((name) => [name, 0.15, (random: Random) => bounds(random, 0, 1000)] as const),
  ["provider", 0.05, (random) => random.pick<Spec>([{}, { type: "object" }])],
  ["models", 0.05, (random) => random.pick<Spec>([list(random, modelValues), {}])],
  ["route", 0.02, () => ["fallback"]],
  ["total_tokens", 0.12, (random) => ({ max: random.pick([2, 900, 1500]), ...mode(random) })],
  ["total_tokens", 0.04, (random) => ({ range: [random.pick([0, 30]), random.pick([901, 2000])], type: "number" })],
  ["temperature", 0.2, (random) => bounds(random, 0, 2)],
  ["n", 0.08, (random) => ({ max: random.pick([1, 2, 3]), ...mode(random) })],
  ["n", 0.03, (random) => list(random, [1, 2, 3])],
  [
    "count",
    0.08,
    (random) => ({ type: "integer", max: random.pick([2.5, 3]), min: random.pick([0, 0.5]), ...mode(random) })
  ],
  ["count", 0.01, () => ({ type: "string" })],
  ["word", 0.12, (random) => list(random, words)],
  ["shade", 0.06, (random) => [random.pick(["re*", "r*", "*d", "g*", "red"])]],
  ["note", 0.05, (random) => ({ pattern: random.pick(["[a-c]*", "a.*|x?", "^[abcx]+$"]) })],
  ["note", 0.1, (random) => ({ min_length: random.pick([0, 1, 2]), max_length: random.pick([2, 3, 4]) })],
  ["note", 0.01, () => ({ min_length: 5 })],
  ["tags", 0.1, (random) => ({ min_items: random.pick([0, 1]), max_items: random.pick([2, 3]) })],
  ["tags", 0.01, () => ({ min_items: 3 })],
  ["tags", 0.05, (random) => list(random, words)],
  ["tags[]", 0.04, (random) => random.pick<Spec>([list(random, words), { pattern: "[a-c]*" }, { max_length: 1 }])],
  ["flag", 0.06, (random) => random.pick<Spec>([{ type: "boolean" }, [true, false, "no"], [false]])],
  ["options", 0.06, (random) => list(random, [{ a: 1, b: [2] }, { a: 1 }, [1, 2], 1, "1"])],
  ["options.a", 0.04, (random) => random.pick<Spec>([{ max: 1 }, [1, 2], { required: true }, { type: "integer" }])],
  ["options", 0.02, () => ({ type: "object" })],
  ["reasoning_effort", 0.06, (random) => list(random, efforts)],
  ["reasoning.effort", 0.03, (random) => ({ pattern: random.pick(["low|high", "[a-z]+"]), ...mode(random) })],
  ["text.verbosity", 0.05, (random) => list(random, efforts)],
  ["text.format.type", 0.02, (random) => list(random, ["text", "json_object"])],
  ["text.format.name", 0.03, (random) => list(random, words)],
  ["safety_identifier", 0.02, () => ({ max_length: 2 })],
  ["response_format.type", 0.06, (random) => list(random, ["text", "json_object", "json_*"])],
  ["tools[].function.name", 0.06, (random) => list(random, functionNames)],
  ["tools[].name", 0.03, (random) => ({ max_length: 9, ...mode(random) })],
  ["functions[].name", 0.03, (random) => list(random, functionNames)],
  ["messages[].role", 0.05, (random) => list(random, roles)],
  ["input[].role", 0.03, (random) => ({ pattern: random.pick(["[a-z]+", "user|system"]) })],
  ["messages[].content", 0.02, () => ({ pattern: "[a-zA-Z .]*" })],
  ["input", 0.02, () => ({ pattern: "[a-z ]*" })],
  ["messages", 0.04, (random) => ({ max_items: random.pick([1, 2]) })],
  ["messages[].content[].type", 0.02, (random) => list(random, ["text", "image_url"])],
  ["owner", 0.02, () => ({ required: true })]
]

const specs = (random: Random): Readonly<Record<string, Spec>> =>
  Object.fromEntries(
    parameterSpecs
      .filter(([, probability]) => random.chance(probability * 0.8))
      .map(([name, , spec]) => [name, spec(random)])
  )

const deniedValues = (random: Random): Readonly<Record<string, ReadonlyArray<Json>>> =>
  Object.fromEntries(
    [
      ["word", random.some(words, 0.15)] as const,
      ["tags", random.some(words, 0.1)] as const,
      ["flag", [true]] as const,
      ["options", random.pick([[2], [{ a: 1 }], ["1"], ["*"]])] as const,
      ["options.b", [2]] as const,
      ["messages[].content", ["*SECRET*"]] as const,
      ["input", ["*SECRET*", "assistant"]] as const,
      ["messages", ["*SECRET*"]] as const,
      ["messages[].content[].text", ["*SECRET*"]] as const,
      ["messages[].role", ["developer"]] as const,
      ["prompt", ["*a SECRET"]] as const,
      ["tools[].function.name", ["send_*"]] as const,
      ["functions", ["get_mail"]] as const,
      ["max_tokens", [300, 500]] as const,
      ["reasoning", ["high"]] as const,
      ["text", ["b", "high"]] as const,
      ["user", ["*b"]] as const
    ].filter(() => random.chance(0.25))
  )

const atoms = [
  "params.n > 1",
  "1 < params.n",
  "params.n == 2",
  "params.n == '2'",
  "params.n IN (1, 2)",
  "params.max_tokens >= 500",
  "params.max_output_tokens != 300",
  "params.temperature < 1",
  "params.temperature <= 1",
  "params.word == 'a'",
  "params.word != 'a'",
  "params.word IN ('a', 'ab')",
  "params.note MATCHES 'a*'",
  "params.note MATCHES '*b*'",
  "params.tags MATCHES '*'",
  "params.tags == 'a'",
  "params.tags.x == 1",
  "params.flag == true",
  "params.flag IN (false)",
  "params.options.a >= 1",
  "params.response_format.type == 'text'",
  "params.reasoning_effort == 'high'",
  "params.text.verbosity IN ('low', 'high')",
  "params.input == 'hello'",
  "params.missing > 0",
  "params.missing == 'x'",
  "params.missing != 'x'",
  "principal.has_role('analyst')",
  "principal.has_group('eu')",
  "context.has_attestation('key')",
  "principal.id == 'ana'",
  "principal.kind != 'app'",
  "principal.tier >= 2",
  "principal.org.unit == 'lab'"
]

export const condition = (random: Random, depth = 2): string => {
  if (depth === 0 || random.chance(0.4)) return random.pick(atoms)
  const inner = (): string => {
    const text = condition(random, depth - 1)
    return text.includes(" AND ") || text.includes(" OR ") ? `(${text})` : text
  }
  switch (random.pick(["and", "or", "not", "mixed"])) {
    case "and":
      return `${inner()} AND ${inner()}`
    case "or":
      return `${inner()} OR ${inner()}`
    case "not":
      return `NOT ${inner()}`
    default:
      return `${random.pick(atoms)} OR NOT ${random.pick(atoms)} AND ${random.pick(atoms)}`
  }
}

/** The long form of a need, mostly for some resources only. */
const scoped = (random: Random, source: string): ScopedAttestation => {
  const [key = "", when] = source.split(/::\{(.*)\}$/su)
  return {
    key,
    ...(when !== undefined && { when }),
    ...(random.chance(0.8) && { resources: [random.pick(patterns), ...random.some(patterns, 0.1)] })
  }
}

const needs = (random: Random): NonNullable<Intent["attestations"]> => {
  const keys = random.some(proofs, 0.4).map((key) => (random.chance(0.2) ? key : `${key}::{${condition(random)}}`))
  if (random.chance(0.15)) return Object.fromEntries(keys.map((key) => [key, random.chance(0.7)]))
  return keys.map((source) => (random.chance(0.4) ? scoped(random, source) : source))
}

const metadata = (random: Random) =>
  Object.fromEntries(
    random
      .some(["boss", "boss", "chief", "key"], 0.4)
      .map((key) => [key, random.chance(0.8) ? { approval_criteria: "role:manager" } : { timeout: 60 }])
  )

const validity = (random: Random): NonNullable<Intent["validity"]> =>
  random.pick([
    { not_before: "2026-01-01T00:00:00Z", not_after: "2026-01-02T00:00:00Z" },
    { not_before: "2026-01-01T12:00:00+01:00" },
    { not_after: "2026-01-01" },
    { not_before: "2026-01-01", not_after: "2026-01-02" }
  ])

/** What a document says, without its name. */
export const document = (random: Random): Intent => ({
  ...(random.chance(0.8) && { resources: [random.pick(grants), ...random.some(patterns, 0.2)] }),
  ...(random.chance(0.03) && { resources: random.some([...patterns, "data:*"], 0.2) }),
  ...(random.chance(0.15) && { denied_resources: random.some(denials, 0.3) }),
  ...(random.chance(0.15) && mode(random)),
  ...(random.chance(0.06) && { validity: validity(random) }),
  ...(random.chance(0.15) && { attestations: needs(random) }),
  constraints: {
    ...(random.chance(0.6) && {
      parameters: Object.fromEntries(random.some(patterns, 0.2).map((pattern) => [pattern, specs(random)]))
    }),
    ...(random.chance(0.06) && { [random.pick(["tool:app/generate", "tool:**", "**"])]: specs(random) }),
    ...(random.chance(0.12) && { denied_parameters: { [random.pick(patterns)]: deniedValues(random) } }),
    ...(random.chance(0.3) && { attestations: metadata(random) })
  }
})

// ---------------------------------------------------------------------------------------------------------------------
// Policies
// ---------------------------------------------------------------------------------------------------------------------

/** Configured policies (`undefined`: none), and the callers and intents that requests under them choose from. */
export interface World {
  readonly documents: ReadonlyArray<Document> | undefined
  readonly callers: ReadonlyArray<Principal>
  readonly intents: ReadonlyArray<Intent>
}

/** Who may be there, with how often, and what they may extend. */
const cast: ReadonlyArray<readonly [string, number, ReadonlyArray<string>]> = [
  ["company:Acme", 0.6, []],
  ["bu:Research", 0.4, ["company:Acme"]],
  ["team:Lab", 0.5, ["company:Acme", "bu:Research"]],
  ["role:analyst", 0.4, ["company:Acme", "group:eu"]],
  ["group:eu", 0.3, []],
  ["user:ana", 0.95, ["team:Lab", "bu:Research", "company:Acme", "role:analyst"]],
  ["user:ben", 0.8, ["team:Lab", "user:ana"]],
  ["app:app", 0.75, ["company:Acme", "group:eu"]],
  ["app:other", 0.3, []],
  ["agent:bot", 0.5, ["app:app", "company:Acme"]]
]

export const world = (random: Random): World => {
  const documents: Array<Document> = []
  for (const [policy_id, probability, parents] of cast) {
    if (!random.chance(probability)) continue
    const possible = parents.filter((parent) => documents.some((other) => other.policy_id === parent))
    documents.push({
      policy_id,
      ...(possible.length > 0 && random.chance(0.7) && { extends: random.pick(possible) }),
      ...document(random)
    })
  }
  const intents = Array.from({ length: 3 }, (_, index): Intent => {
    const parents = [...documents.slice(0, 4).map(({ policy_id }) => policy_id), ...(index === 2 ? ["team:Gone"] : [])]
    return {
      ...(random.chance(0.3) && { policy_id: random.pick(["user:ana", "session"]) }),
      ...(parents.length > 0 && random.chance(0.15) && { extends: random.pick(parents) }),
      ...document(random)
    }
  })
  return {
    documents: documents.length === 0 || random.chance(0.03) ? undefined : random.shuffled(documents),
    callers: Array.from({ length: 4 }, () => caller(random)),
    intents
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Requests
// ---------------------------------------------------------------------------------------------------------------------

const caller = (random: Random): Principal => {
  const kind = random.pick(["user", "user", "user", "user", "user", "app", "agent"] as const)
  const id = {
    user: random.pick(["ana", "ana", "ana", "ana", "ana", "ben", "zoe"]),
    app: "app",
    agent: random.pick(["bot", "bot", "ghost"])
  }
  return principal(kind, id[kind], {
    documents:
      kind === "app" || random.chance(0.6)
        ? []
        : random.some(["company:Acme", "team:Lab", "role:analyst", "group:eu", "team:Gone"], 0.25),
    roles: random.some(["analyst"]),
    groups: random.some(["eu"]),
    attestations: random.some(["key", "boss"]),
    claims: {
      ...(random.chance(0.5) && { tier: random.pick<Json>([1, 2, "2"]) }),
      ...(random.chance(0.3) && { org: random.pick<Json>([{ unit: "lab" }, "lab", { unit: null }]) })
    }
  })
}

const number = (random: Random, high: number): Json =>
  random.chance(0.02)
    ? random.pick<Json>([String(high), null, Infinity, NaN, true])
    : Math.floor(random.next() * 11 - (random.chance(0.1) ? 1 : 0)) * (high / 10)

const tool = (random: Random): Json => {
  const name = random.pick(functionNames.slice(0, 3))
  if (random.chance(0.05))
    return random.pick<Json>([
      { type: "namespace", name, tools: some(random, tool) },
      { type: "namespace", name },
      { type: "web_search", name },
      { type: "unheard_of", name },
      { type: "custom", name }
    ])
  return random.chance(0.9)
    ? { type: "function", function: { name } }
    : random.pick<Json>([{ name }, { custom: { name } }, { function: name }, { type: "web_search" }, null, { name: 7 }])
}

const message = (random: Random): Json =>
  random.chance(0.03)
    ? random.pick<Json>([{ content: "x" }, null, "hello", { role: "user" }, { role: 1, content: "x" }])
    : {
        role: random.pick(["user", "user", "user", "system", "assistant"]),
        content: random.pick<Json>([
          "hello",
          "hello",
          "hello",
          "a SECRET",
          [{ type: "text", text: "hello" }],
          [{ type: "text", text: "a SECRET" }],
          [{ type: "text", text: "a SE" }, { type: "image_url" }, { type: "text", text: "CRET" }],
          [{ type: "image_url" }, { text: "no type" }],
          null
        ])
      }

const said = (random: Random): string => random.pick(["hello", "hello", "a SECRET", "É 1"])

const text = (random: Random): Json => ({
  ...(random.chance(0.6) && { verbosity: random.pick(efforts.slice(0, 3)) }),
  ...(random.chance(0.5) && {
    format: random.pick<Json>([{ type: "text" }, { type: "json_schema", name: random.pick(words.slice(0, 5)) }])
  })
})

/** An item that changes settings in the midst of an input. */
const update = (random: Random): Json => ({
  type: "configuration_update",
  ...(random.chance(0.7) && { reasoning: { effort: random.pick(efforts.slice(0, 3)) } }),
  ...(random.chance(0.5) && { text: text(random) })
})

const item = (random: Random): Json =>
  random.chance(0.7)
    ? message(random)
    : random.pick<Json>([
        { type: "additional_tools", tools: some(random, tool) },
        { type: "tool_search_output", tools: some(random, tool) },
        { type: "message", role: "user", content: "hello" },
        update(random),
        update(random),
        { type: "not_known", role: "user" },
        { type: "additional_tools", role: "user", tools: {} }
      ])

const some = <A>(random: Random, make: (random: Random) => A): ReadonlyArray<A> =>
  Array.from({ length: 1 + Math.floor(random.next() * 2) }, () => make(random))

const parameters = (random: Random): JsonObject => ({
  ...(random.chance(0.95) && { model: random.chance(0.99) ? random.pick(models) : random.pick<Json>([4, ["gpt-4"]]) }),
  ...(random.chance(0.05) && {
    ...random.pick<JsonObject>([
      { provider: { order: ["a"] } },
      { models: ["gpt-4", "o1"] },
      { fallbacks: [] },
      { route: "fallback", api_base: null },
      { api_base: "https://other.test" }
    ])
  }),
  ...(random.chance(0.4) && { [random.pick(capNames)]: number(random, 1000) }),
  ...(random.chance(0.1) && { [random.pick(capNames)]: number(random, 1000) }),
  ...(random.chance(0.05) && { [random.pick(capNames)]: random.pick([0, 0.5, -3, 250.5]) }),
  ...(random.chance(0.4) && { temperature: number(random, 2) }),
  ...(random.chance(0.3) && { n: random.chance(0.92) ? random.pick([1, 2, 3]) : random.pick<Json>(["2", 0, 1.5]) }),
  ...(random.chance(0.1) && { best_of: random.chance(0.96) ? random.pick([1, 2, 4]) : null }),
  ...(random.chance(0.2) && { count: random.pick([0, 1, 2, 3, 4, 0.3, 2.7]) }),
  ...(random.chance(0.3) && { word: random.chance(0.97) ? random.pick(words.slice(0, 5)) : ["a", "b"] }),
  ...(random.chance(0.2) && { shade: random.pick(["red", "reed", "green", "r"]) }),
  ...(random.chance(0.3) && { note: random.pick<Json>(["a", "ab", "abc", "abcd", "", "x", "é\n", 1]) }),
  ...(random.chance(0.3) && {
    tags: random.chance(0.97) ? random.some(["a", "b", "c"], 0.5) : random.pick<Json>(["a", [null], { x: 1 }])
  }),
  ...(random.chance(0.2) && { flag: random.pick<Json>([true, false, false, "no", null]) }),
  ...(random.chance(0.2) && {
    options: random.pick<Json>([{ a: 1 }, { b: [2], a: 1 }, [1, 2], 1, "1", { a: 2 }, { b: 2 }])
  }),
  ...(random.chance(0.3) && {
    response_format: random.chance(0.95)
      ? { type: random.pick(["text", "json_object"]) }
      : random.pick<Json>(["text", {}, []])
  }),
  ...(random.chance(0.15) && { reasoning_effort: random.pick(efforts.slice(0, 3)) }),
  ...(random.chance(0.15) && {
    reasoning: random.chance(0.95) ? { effort: random.pick(efforts.slice(0, 3)) } : random.pick<Json>(["high", {}, []])
  }),
  ...(random.chance(0.1) && { verbosity: random.pick(efforts.slice(0, 3)) }),
  ...(random.chance(0.1) && { [random.pick(["user", "safety_identifier"])]: random.pick(["a", "ab", "abc"]) }),
  ...(random.chance(0.15) && { text: random.chance(0.95) ? text(random) : random.pick<Json>(["text", {}, []]) }),
  ...(random.chance(0.3) && { tools: random.chance(0.97) ? some(random, tool) : random.pick<Json>([{}, null, []]) }),
  ...(random.chance(0.05) && { functions: [{ name: random.pick(functionNames.slice(0, 3)) }] }),
  ...(random.chance(0.5) && {
    messages: random.chance(0.97) ? some(random, message) : random.pick<Json>(["hi", { role: "user" }])
  }),
  ...(random.chance(0.15) && { input: random.chance(0.4) ? "hello" : some(random, item) }),
  ...(random.chance(0.05) && {
    tool_choice: random.pick<Json>(["auto", "none", "other", { type: "function", name: random.pick(functionNames) }])
  }),
  ...(random.chance(0.02) && { function_call: random.pick<Json>(["auto", { name: random.pick(functionNames) }]) }),
  ...(random.chance(0.02) && { prompt: { id: "pmpt_1" } }),
  ...(random.chance(0.02) && { web_search_options: {} }),
  ...(random.chance(0.1) && {
    ...random.pick<JsonObject>([
      { instructions: said(random) },
      { instructions: [{ role: "developer", content: [{ type: "input_text", text: said(random) }] }] },
      { prediction: { type: "content", content: said(random) } },
      { prediction: { type: "content", content: [{ text: "a SE" }, { text: "CRET" }] } },
      { prompt: { id: "pmpt", variables: { type: said(random), b: { type: "input_text", text: said(random) } } } },
      { suffix: said(random), prompt: said(random) },
      { response_format: { type: "json_schema", json_schema: { name: "a", description: said(random) } } },
      {
        text: { format: { type: "json_schema", name: "a", schema: { properties: { [said(random)]: { title: "é" } } } } }
      },
      { tools: [{ type: "function", function: { name: "get_mail", description: said(random) } }] },
      { tools: [{ type: "web_search", user_location: { city: said(random) } }] },
      { functions: [{ name: "get_mail", parameters: { properties: { a: { enum: ["x", said(random)] } } } }] },
      { input: [{ type: "additional_tools", tools: [{ type: "custom", description: said(random) }] }] }
    ])
  }),
  ...(random.chance(0.1) && { total_tokens: random.pick([1, 1000, 3000]) }),
  ...(random.chance(0.05) && { owner: "x" })
})

/** A request under these policies. */
export const request = (random: Random, { callers, intents }: World): Asked => {
  const app = random.chance(0.95) ? "app" : "other"
  return {
    app,
    resource: random.chance(0.96)
      ? `tool:${random.chance(0.97) ? app : "other"}/${random.pick(operations)}`
      : random.pick(["data:x/y", "api:app/images"]),
    principal: random.pick(callers),
    intents: random.chance(0.7) ? [] : random.some(intents, 0.3),
    ...again(random)
  }
}

/** What differs when the same caller asks for the same resource once more. */
export const again = (random: Random): Pick<Asked, "params" | "now"> => ({
  params: parameters(random),
  now: random.pick([start - 1, start, start + day / 2, start + day - 1, start + day, start + day + 1, start + 2 * day])
})
