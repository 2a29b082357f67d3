import { assert, describe, it } from "@effect/vitest"
import type { JsonObject } from "../../src/base/Json.ts"
import { operations } from "../../src/call/Operation.ts"
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

  it("reads a field of every tool, wherever it stands and however it is spelled", () => {
    const tool = { type: "function", name: "a", description: "d" }
    const params: JsonObject = {
      tools: [
        { type: "function", function: { name: "b", description: "e" } },
        { type: "namespace", name: "n", tools: [tool] }
      ],
      functions: [{ name: "c", description: "f" }],
      input: [{ type: "additional_tools", tools: [tool] }]
    }
    const paths = (name: string) => reading(name, params).found.map(([path]) => path)
    for (const name of [
      "tools[].function.description",
      "tools[].custom.description",
      "tools[].description",
      "functions[].description"
    ])
      assert.deepStrictEqual(
        paths(name),
        [
          "tools[0].function.description",
          "tools[1].tools[0].description",
          "functions[0].description",
          "input[0].tools[0].description"
        ],
        name
      )
    assert.deepStrictEqual(paths("tools[].type"), [
      "tools[0].type",
      "tools[1].type",
      "tools[1].tools[0].type",
      "functions[0].type",
      "input[0].tools[0].type"
    ])
    assert.deepStrictEqual(paths("tools[].function"), [
      "tools[0].function",
      "tools[1].tools[0]",
      "functions[0]",
      "input[0].tools[0]"
    ])
    assert.deepStrictEqual(reading("tools[].server_url", params).lacking, [
      "tools[0]",
      "tools[1].tools[0]",
      "functions[0]",
      "input[0].tools[0]"
    ])
    const [[path, all] = []] = reading("functions", params).found
    assert.strictEqual(path, "tools")
    assert.strictEqual((all as ReadonlyArray<unknown>).length, 4)
    const choice: JsonObject = { function_call: { name: "c" }, tool_choice: { type: "function", name: "a" } }
    for (const name of ["tool_choice.function.name", "tool_choice.name", "function_call.name"])
      assert.deepStrictEqual(
        reading(name, choice).found,
        [
          ["tool_choice.name", "a"],
          ["function_call.name", "c"]
        ],
        name
      )
    assert.deepStrictEqual(reading("tool_choice.function.name", { tool_choice: "auto" }).misshapen, [
      ["tool_choice", "object"]
    ])
  })

  it("about tools has one canonical name for all its spellings, and none for a registered tool", () => {
    const canonical = (name: string) => parameter(name, operations.generate).canonical
    for (const [first, ...rest] of [
      ["tools", "functions"],
      ["tools[]", "functions[]"],
      ["tools[].type", "functions[].type"],
      ["tools[].function.name", "tools[].custom.name", "tools[].name", "functions[].name"],
      ["tools[].function.strict", "tools[].strict", "functions[].strict"],
      ["tool_choice", "function_call"],
      ["tool_choice.function.name", "tool_choice.custom.name", "tool_choice.name", "function_call.name"]
    ])
      for (const name of rest) assert.strictEqual(canonical(name), canonical(first!), name)
    assert.strictEqual(canonical("tools[].server_url"), "tools[].server_url")
    assert.strictEqual(parameter("functions", undefined).canonical, "functions")
  })

  it("keeps the input of an embedding apart from a conversation", () => {
    assert.deepStrictEqual(reading("messages", { input: "x" }, operations.embed), nothing)
    assert.deepStrictEqual(reading("input", { input: "x" }, operations.embed).found, [["input", "x"]])
  })
})
