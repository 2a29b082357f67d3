import { assert, describe, it } from "@effect/vitest"
import type { Bounds } from "../../../src/policy/mapl/Bounds.ts"
import { looser, type SpecBounds } from "../../../src/policy/lint/Looseness.ts"

const said = (bounds: Bounds): SpecBounds => ({
  bounds,
  denies: bounds.on_violation === "deny",
  asks: bounds.required === true
})

const paths = (child: Bounds, parent: Bounds): ReadonlyArray<string> =>
  looser(said(child), said(parent)).map(({ path }) => path.join("."))

describe("a child's bound that never holds", () => {
  it.each<readonly [child: Bounds, parent: Bounds, ReadonlyArray<string>]>([
    [{ max: 5 }, { max: 4 }, ["max"]],
    [{ max: 5 }, { range: [0, 4] }, ["max"]],
    [{ max: 4 }, { max: 4 }, []],
    [{ max: 3 }, { max: 4 }, []],
    [{ max: 5 }, { min: 4 }, []],
    [{ min: 1 }, { min: 2 }, ["min"]],
    [{ min: 2 }, { min: 2 }, []],
    [{ range: [1, 5] }, { min: 2, max: 4 }, ["range.1", "range.0"]],
    [{ range: [2, 5] }, { range: [1, 5] }, []],
    [{ max_length: 5, min_length: 1 }, { max_length: 4, min_length: 2 }, ["max_length", "min_length"]],
    [{ max_items: 5, min_items: 0 }, { max_items: 4, min_items: 1 }, ["max_items", "min_items"]],
    [{ max_length: 4, max_items: 4 }, { max_length: 5, max_items: 5 }, []],
    [{ allowed_values: ["a", "b", "c"] }, { allowed_values: ["b"] }, ["allowed_values.0", "allowed_values.2"]],
    [{ allowed_values: ["gpt-4o", "o1"] }, { allowed_values: ["gpt-*"] }, ["allowed_values.1"]],
    [{ allowed_values: ["gpt-*", "o*"] }, { allowed_values: ["gpt-4o"] }, ["allowed_values.1"]],
    [{ allowed_values: ["a*"] }, { allowed_values: ["*b"] }, []],
    [{ allowed_values: [1, 2, 9] }, { max: 8, min: 2 }, ["allowed_values.0", "allowed_values.2"]],
    [
      { allowed_values: ["aa", "a", "aaaa"] },
      { max_length: 3, min_length: 2 },
      ["allowed_values.1", "allowed_values.2"]
    ],
    [{ allowed_values: ["a1", "b"] }, { pattern: "a[0-9]" }, ["allowed_values.1"]],
    [{ allowed_values: [{ b: 1, a: 2 }] }, { allowed_values: [{ a: 2, b: 1 }] }, []],
    [{ type: "number" }, { type: "integer" }, ["type"]],
    [{ type: "integer" }, { type: "number" }, []],
    [{ required: false }, { required: true }, ["required"]],
    [{ required: true }, { required: true }, []],
    [{ max: 1, on_violation: "rewrite" }, { max: 2, on_violation: "deny" }, ["on_violation"]],
    [{ max: 1, on_violation: "deny" }, { max: 2, on_violation: "rewrite" }, []]
  ])("%j under %j", (child, parent, expected) => {
    assert.deepStrictEqual(paths(child, parent), expected)
  })

  it("is none of bounds that the parent's own bounds", () => {
    const all: ReadonlyArray<Bounds> = [
      { max: 5, min: 1, range: [2, 4] },
      { allowed_values: ["a*", "b", 3], max_length: 2 },
      { min_items: 1, max_items: 2, required: true, on_violation: "deny" }
    ]
    for (const bounds of all.slice(2)) assert.deepStrictEqual(paths(bounds, bounds), [])
    for (const bounds of all) assert.deepStrictEqual(paths(bounds, {}), [])
  })

  it("says what both ask, and of a long list no more than twenty values", () => {
    assert.deepStrictEqual(looser(said({ max: 5 }), said({ max: 4 })), [
      { path: ["max"], says: "at most 5", parent: "at most 4" }
    ])
    const many = { allowed_values: Array.from({ length: 100 }, (_, i) => i) }
    assert.lengthOf(paths(many, { allowed_values: ["a"] }), 20)
  })
})
