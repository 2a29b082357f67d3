import { assert, describe, it } from "@effect/vitest"
import type { JsonObject } from "../../src/CanonicalJson.ts"
import { operations } from "../../src/Operation.ts"
import { parameter, read } from "../../src/policy/Parameter.ts"

const reading = (name: string, params: JsonObject, operation = operations.generate) => {
  const { found, lacking, misshapen } = read(parameter(name, operation), params)
  return {
    found: found.map(({ path, value }) => [path, value]),
    lacking: lacking.map(({ path }) => path),
    misshapen: misshapen.map(({ expected, path }) => [path, expected])
  }
}

const nothing = { found: [], lacking: [], misshapen: [] }

describe("a parameter", () => {
  it("reaches inside objects and arrays, and says where", () => {
    assert.deepStrictEqual(reading("a.b", { a: { b: 1 } }).found, [["a.b", 1]])
    assert.deepStrictEqual(reading("a[].b", { a: [{ b: 1 }, { b: 2 }] }).found, [
      ["a[0].b", 1],
      ["a[1].b", 2]
    ])
    assert.deepStrictEqual(reading("a[]", { a: ["x"] }).found, [["a[0]", "x"]])
    assert.deepStrictEqual(reading("a[].b[].c", { a: [{ b: [{ c: 1 }] }] }).found, [["a[0].b[0].c", 1]])
  })

  it("is absent where it is null, missing, or only inherited", () => {
    for (const params of [{}, { a: null }, { a: { b: null } }, { a: {} }])
      assert.deepStrictEqual(reading("a.b", params), nothing, JSON.stringify(params))
    assert.deepStrictEqual(reading("constructor", {}), nothing)
    assert.deepStrictEqual(reading("a[].b", { a: [] }), nothing)
  })

  it("tells of elements that lack it, and of other shapes", () => {
    assert.deepStrictEqual(reading("a[].b", { a: [{}, null, { b: 1 }] }), {
      found: [["a[2].b", 1]],
      lacking: ["a[1]", "a[0]"],
      misshapen: []
    })
    assert.deepStrictEqual(reading("a[].b", { a: { b: 1 } }).misshapen, [["a", "array"]])
    assert.deepStrictEqual(reading("a.b", { a: [1] }).misshapen, [["a", "object"]])
    assert.deepStrictEqual(reading("a.b", { a: "x" }).misshapen, [["a", "object"]])
  })

  it("has one meaning under all its names", () => {
    assert.deepStrictEqual(reading("max_output_tokens", { max_tokens: 1, max_completion_tokens: 2 }).found, [
      ["max_tokens", 1],
      ["max_completion_tokens", 2]
    ])
    assert.deepStrictEqual(reading("messages[].role", { input: [{ role: "user" }] }).found, [["input[0].role", "user"]])
    assert.strictEqual(
      parameter("max_output_tokens", undefined).canonical,
      parameter("max_tokens", undefined).canonical
    )
  })

  it("keeps the input of an embedding apart from a conversation", () => {
    assert.deepStrictEqual(reading("messages", { input: "x" }, operations.embed), nothing)
    assert.deepStrictEqual(reading("input", { input: "x" }, operations.embed).found, [["input", "x"]])
  })
})
