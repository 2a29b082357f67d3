import { assert, describe, it } from "@effect/vitest"
import { ToolCallDeltas, toolCallsOf, usageOf } from "../../src/audit/Answers.ts"

describe("ToolCalls", () => {
  it("reads every tool of every choice, in order", () => {
    const call = (name: string) => ({ id: name, type: "function", function: { name, arguments: "{}" } })
    assert.deepStrictEqual(
      toolCallsOf({
        choices: [
          { message: { tool_calls: [call("a"), call("b")], function_call: null } },
          { message: { function_call: { name: "c", arguments: "1" } } },
          { message: { tool_calls: [{ type: "custom", custom: { name: "d", input: "text" } }] } },
          { message: { content: "no tools" } }
        ]
      }),
      [
        { name: "a", args: "{}" },
        { name: "b", args: "{}" },
        { name: "c", args: "1" },
        { name: "d", args: "text" }
      ]
    )
  })

  it("finds none in what is no chat answer", () => {
    for (const value of [undefined, null, 1, "x", [], {}, { choices: {} }, { choices: [null, { message: 1 }] }])
      assert.deepStrictEqual(toolCallsOf(value), [])
  })

  it("puts the pieces of a stream together, by choice and place", () => {
    const deltas = new ToolCallDeltas()
    const piece = (choice: number, index: number, call: object) =>
      deltas.add({ choices: [{ index: choice, delta: { tool_calls: [{ index, function: call }] } }] })
    piece(0, 0, { name: "get_", arguments: "" })
    piece(0, 1, { name: "other", arguments: "[" })
    piece(1, 0, { name: "second choice", arguments: "{}" })
    piece(0, 0, { name: "weather", arguments: '{"city":' })
    piece(0, 1, { arguments: "]" })
    piece(0, 0, { arguments: '"Rome"}' })
    deltas.add({ choices: [{ index: 0, delta: { function_call: { name: "old", arguments: "{" } } }] })
    deltas.add({ choices: [{ index: 0, delta: { function_call: { arguments: "}" } } }] })
    for (const chunk of [null, {}, { choices: [] }, { choices: [{}] }, { choices: [{ delta: null }] }])
      deltas.add(chunk)
    assert.deepStrictEqual(deltas.calls, [
      { name: "get_weather", args: '{"city":"Rome"}' },
      { name: "other", args: "[]" },
      { name: "second choice", args: "{}" },
      { name: "old", args: "{}" }
    ])
  })

  it("reads the usage of chat, completion, embedding and response", () => {
    assert.deepStrictEqual(usageOf({ usage: { prompt_tokens: 1, completion_tokens: 2 } }), { input: 1, output: 2 })
    assert.deepStrictEqual(usageOf({ usage: { prompt_tokens: 1, total_tokens: 1 } }), { input: 1, output: 0 })
    assert.deepStrictEqual(usageOf({ usage: { input_tokens: 1, output_tokens: 2 } }), { input: 1, output: 2 })
    for (const value of [{}, { usage: null }, { usage: { prompt_tokens: "1" } }, { usage: { prompt_tokens: 0.5 } }])
      assert.isUndefined(usageOf(value))
  })
})
