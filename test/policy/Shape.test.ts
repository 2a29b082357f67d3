import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import type { Json } from "../../src/base/Json.ts"
import { parse } from "../../src/policy/Mapl.ts"
import { countMembers, ordinary } from "../../src/policy/Shape.ts"
import suite from "./cases.json" with { type: "json" }
import { document, Random } from "./random.ts"

/** One of everything that a document may hold. */
const whole = {
  policy_id: "user:x",
  name: "n",
  version: "1",
  description: "d",
  scope: "s",
  purpose: "p",
  extends: "team:with blanks",
  resources: ["tool:*", "**"],
  denied_resources: ["*.pem"],
  constraints: {
    parameters: {
      "tool:*/generate": {
        model: {
          allowed_values: ["a", 1, true, null],
          downgrade: { "*": "a", "gpt-4": "b" },
          on_violation: "deny",
          required: true
        },
        max_tokens: { min: 1, max: 2.5, range: [0, 1e3], type: "integer" },
        "tools[].function.name": ["a"],
        text: { pattern: "[a-z]+", min_length: 1, max_length: 2 },
        tags: { min_items: 0, max_items: 1 }
      }
    },
    denied_parameters: { "tool:*": { text: ["x*"] } },
    rate_limit: 5,
    attestations: {
      boss: {
        approval_criteria: "role:boss",
        timeout: 1,
        time_to_live: 0.5,
        one_time: false,
        max_uses: 3,
        description: "d"
      }
    }
  },
  attestations: ["boss", "key::{params.amount > 100}", { key: "key", when: "params.a == 1", resources: ["tool:*"] }],
  validity: { not_before: "2026-01-10", not_after: "2026-01-11T09:00:00Z" },
  on_violation: "rewrite"
}

const { text, ...others } = whole.constraints.parameters["tool:*/generate"]
const parameters = { "tool:*/generate": { ...others, text: { min_length: text.min_length } } }
const plain = { ...whole, constraints: { ...whole.constraints, parameters } }
/** Little around the parameters, so that changes strike there. */
const narrow = { policy_id: "x", constraints: { parameters: { "tool:*": { n: [1], "a.b": { max: 1 } } } } }

const oddities: ReadonlyArray<Json> = [
  null,
  true,
  0,
  -1,
  1.5,
  1e300,
  2 ** 60,
  "",
  " ",
  "x",
  " x ",
  "a\u0000b",
  "tool:*",
  "[",
  "a..b",
  "key::{",
  "::{}",
  "deny",
  "2026-13-40",
  "(?=x)",
  [],
  ["x"],
  [1, 2],
  [[]],
  [{}],
  {},
  { x: 1 },
  { max: 1 },
  { a: ["b"] },
  { model: { max: "1" } },
  { "": [] },
  { n: { downgrade: { a: "b" } } },
  { model: { downgrade: { "a*": "b" } } }
]
const keys = [
  ...Object.keys(whole),
  ...Object.keys(whole.constraints),
  "min",
  "max",
  "pattern",
  "output",
  "downgrade",
  "x",
  "a.b",
  "a[",
  "a[0]",
  ".a",
  "tool:*",
  "",
  "one_time",
  "policy_id",
  "constructor",
  "toString"
]

/** A value with one thing in it changed. */
const mutated = (random: Random, value: Json): Json => {
  if (random.chance(0.15)) return random.pick(oddities)
  if (Array.isArray(value)) {
    if (value.length === 0 || random.chance(0.2)) return [...value, random.pick(oddities)]
    const at = Math.floor(random.next() * value.length)
    return value.map((each, index) => (index === at ? mutated(random, each) : each))
  }
  if (typeof value !== "object" || value === null) return random.pick(oddities)
  const names = Object.keys(value)
  if (names.length === 0 || random.chance(0.15)) return { ...value, [random.pick(keys)]: random.pick(oddities) }
  const name = random.pick(names)
  const { [name]: member = null, ...others } = value as Readonly<Record<string, Json>>
  if (random.chance(0.1)) return others
  if (random.chance(0.1)) return { ...others, [random.pick(keys)]: member }
  return { ...others, [name]: mutated(random, member) }
}

describe("the shape of ordinary documents", () => {
  it("knows what is right only where the schema says that it is", () => {
    const seeds: ReadonlyArray<Json> = [
      whole,
      plain,
      narrow,
      narrow,
      narrow,
      ...Object.values(suite.policies).flat()
    ] as ReadonlyArray<Json>
    const counts = { known: 0, wrong: 0 }
    for (let seed = 0; seed < 20_000; seed++) {
      const random = new Random(seed)
      const origin = random.chance(0.5)
        ? random.pick(seeds)
        : ({ policy_id: "user:x", ...document(random) } as unknown as Json)
      let value = origin
      for (let times = Math.floor(random.next() * 4); times > 0; times--) value = mutated(random, value)
      const isRight = Result.isSuccess(parse(value))
      const members = ordinary(value)
      if (Number.isNaN(members)) {
        if (!isRight) counts.wrong++
        continue
      }
      assert.isTrue(isRight, `seed ${seed}: ${JSON.stringify(value)}`)
      assert.strictEqual(members, countMembers(value))
      counts.known++
    }
    assert.isAbove(Math.min(counts.known, counts.wrong), 2000, JSON.stringify(counts))
  })

  it("knows one of everything but regular expressions", () => {
    assert.isNaN(ordinary(whole))
    assert.strictEqual(ordinary(plain), countMembers(plain))
  })

  it("does not know numbers that JSON spells and nobody means", () => {
    assert.isNaN(ordinary(JSON.parse(`{"policy_id":"x","constraints":{"parameters":{"t":{"n":{"max":1e999}}}}}`)))
    assert.isNaN(ordinary(JSON.parse(`{"policy_id":"x","constraints":{"parameters":{"t":{"n":[1e999]}}}}`)))
  })
})
