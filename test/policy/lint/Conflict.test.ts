import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import type { Json } from "../../../src/base/Json.ts"
import { conflict } from "../../../src/policy/lint/Conflict.ts"
import { boundsOf } from "../../../src/policy/mapl/Bounds.ts"
import { decide } from "../../../src/policy/Evaluate.ts"
import type { Document } from "../../../src/policy/Mapl.ts"
import type { Spec } from "../../../src/policy/mapl/Bounds.ts"
import { makeFind } from "../../../src/policy/Participants.ts"
import { load } from "../../../src/policy/PolicySource.ts"
import { Random } from "../random.ts"
import { user } from "../states.ts"

const spec = (random: Random): Spec =>
  random.pick<() => Spec>([
    () => random.some<Json>(["a", "b", "ab", "a*", 1, 5, true], 0.3),
    () => ({ min: random.pick([0, 2, 4]), max: random.pick([4, 5, 6]) }),
    () => ({ max: random.pick([0, 3]) }),
    () => ({ min_length: random.pick([0, 2]), max_length: random.pick([2, 3]) }),
    () => ({ min_items: random.pick([0, 2]) }),
    () => ({ max_items: random.pick([0, 1]) }),
    () => ({ min_length: 3 }),
    () => ({ type: random.pick(["integer", "number", "string", "boolean", "array", "object"] as const) }),
    () => ({ allowed_values: random.some<Json>([1, 2, 5, 7], 0.4), max: random.pick([4, 9]) })
  ])()

// An empty list has no element that is off a list of values.
const values: ReadonlyArray<Json> = [
  "a",
  "b",
  "ab",
  "abc",
  "",
  0,
  1,
  2,
  3,
  4,
  5,
  6,
  7,
  2.5,
  true,
  ["a"],
  ["a", "b"],
  {}
]

/** The values that a decision lets through where both specs hold. */
const allowed = (specs: ReadonlyArray<Spec>): ReadonlyArray<Json> => {
  const documents = specs.map((p, i): Document => ({
    policy_id: i === 0 ? "user:a" : "team:T",
    resources: ["tool:app/x"],
    on_violation: "deny",
    ...(i === 0 && specs.length > 1 && { extends: "team:T" }),
    constraints: { parameters: { "tool:*/x": { p } } }
  }))
  const set = Result.getOrThrow(load(documents))
  const rules = makeFind(set)({ principal: user("a"), app: "app", intents: [] }).rules("tool:app/x")
  return values.filter(
    (value) => decide(rules, { params: { p: value }, principal: user("a"), now: 0 }, "").verdict === "allow"
  )
}

describe("conflict", () => {
  it("is found only where a decision refuses every value", () => {
    const random = new Random(3)
    let found = 0
    for (let i = 0; i < 600; i++) {
      const [left, right] = [spec(random), spec(random)]
      if (conflict(boundsOf(left), boundsOf(right)) === undefined) continue
      found++
      assert.deepStrictEqual(allowed([left, right]), [], JSON.stringify([left, right]))
    }
    assert.isAbove(found, 100)
  })

  it("says what each asks for", () => {
    const said = (left: Spec, right: Spec) => conflict(boundsOf(left), boundsOf(right))
    assert.deepStrictEqual(said({ min: 5 }, { range: [0, 1] }), { left: "at least 5", right: "at most 1" })
    assert.deepStrictEqual(said({ max_length: 1 }, { min_length: 2 }), {
      left: "at most 1 characters long",
      right: "at least 2 characters long"
    })
    assert.deepStrictEqual(said({ type: "string" }, { max: 1 }), { left: "a string", right: "a number" })
    assert.deepStrictEqual(said(["a"], ["b*"]), { left: `one of ["a"]`, right: `one of ["b*"]` })
    assert.deepStrictEqual(said({ max: 1 }, [2, 3]), { left: "at most 1", right: "one of [2,3]" })
    assert.isUndefined(said({ type: "integer" }, { max: 1 }))
    assert.isUndefined(said(["a*"], ["*b"]))
    assert.isUndefined(said(["a*"], ["ab"]))
    assert.isUndefined(said(["ab"], ["a*"]))
    assert.isUndefined(said([1, "a"], { max: 0 }))
  })
})
