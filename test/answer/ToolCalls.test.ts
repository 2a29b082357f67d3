/** The one reading of what a model asks its caller to run. */
import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import { isFields } from "../../src/answer/Fields.ts"
import { StreamedToolCalls } from "../../src/answer/StreamedToolCalls.ts"
import { argumentsOf, isToolItem, itemToolCalls, type ToolCall } from "../../src/answer/ToolCall.ts"
import { ToolCallDeltas } from "../../src/answer/ToolCallDeltas.ts"
import { toolCallIdsOf, toolCallsOf } from "../../src/answer/ToolCalls.ts"

const brief = ({ args, fault, id, isText, name, path, text }: ToolCall) => ({
  ...(id !== undefined && { id }),
  name,
  text,
  args,
  ...(isText && { isText }),
  ...(fault !== undefined && { fault }),
  path
})

describe("arguments", () => {
  it.each<[unknown, object | undefined]>([
    [undefined, {}],
    [null, {}],
    ["", {}],
    ["{}", {}],
    ['{"a":1}', { a: 1 }],
    [{ a: 1 }, { a: 1 }],
    ["{", undefined],
    ["[1]", undefined],
    [[1], undefined],
    [7, undefined],
    ['{"a":1,"a":2}', undefined],
    ['{"__proto__":{}}', undefined]
  ])("%j", (given, args) => {
    assert.deepStrictEqual(argumentsOf(given).args, args)
  })
})

describe("a whole answer", () => {
  const chat = (...messages: ReadonlyArray<unknown>) => ({ choices: messages.map((message) => ({ message })) })

  it("tells every tool of every choice, in order", () => {
    const call = (name: string, args?: unknown) => ({
      id: `c_${name}`,
      type: "function",
      function: { name, arguments: args }
    })
    const answer = chat(
      { tool_calls: [call("a", ""), call("b", null), call("c")], function_call: null },
      { function_call: { name: "d", arguments: "1" } },
      { tool_calls: [{ id: "c_e", type: "custom", custom: { name: "e", input: "text" } }] },
      { content: "no tools" },
      1,
      null
    )
    assert.deepStrictEqual(toolCallsOf(answer).map(brief), [
      { id: "c_a", name: "a", text: "", args: {}, path: "choices[0].message.tool_calls[0]" },
      { id: "c_b", name: "b", text: "", args: {}, path: "choices[0].message.tool_calls[1]" },
      { id: "c_c", name: "c", text: "", args: {}, path: "choices[0].message.tool_calls[2]" },
      { name: "d", text: "1", args: undefined, path: "choices[1].message.function_call" },
      {
        id: "c_e",
        name: "e",
        text: "text",
        args: { input: "text" },
        isText: true,
        path: "choices[2].message.tool_calls[0]"
      }
    ])
    assert.deepStrictEqual(toolCallIdsOf(answer), ["c_a", "c_b", "c_c", "c_e"])
  })

  it("finds none in what is no answer of a chat", () => {
    for (const value of [undefined, null, 1, "x", [], {}, { choices: {} }, { choices: [null, { message: 1 }] }])
      assert.deepStrictEqual(toolCallsOf(value), [])
  })

  it.each<[string, unknown]>([
    ["two names", { function: { name: "a" }, name: "b" }],
    ["a function and a custom tool", { function: { name: "a" }, custom: { name: "a" } }],
    ["a text", "a"]
  ])("has a fault where a call is %s", (_, call) => {
    assert.isString(toolCallsOf(chat({ tool_calls: [call] }))[0]?.fault)
  })

  it("has a fault where tool_calls is an object", () => {
    const [call] = toolCallsOf(chat({ tool_calls: { function: { name: "pay", arguments: "{}" } } }))
    assert.strictEqual(call?.name, "pay")
    assert.isString(call?.fault)
  })

  it("tells the items of a response that ask the caller", () => {
    const action = { type: "exec", command: ["ls"] }
    const items: ReadonlyArray<[object, Array<[string, object | undefined, boolean?]>]> = [
      [{ type: "function_call", call_id: "c", name: "a", arguments: "" }, [["a", {}]]],
      [{ type: "function_call", call_id: "c", name: "a", arguments: "{" }, [["a", undefined]]],
      [{ type: "custom_tool_call", name: "b", input: "x" }, [["b", { input: "x" }, true]]],
      [{ type: "local_shell_call", action }, [["local_shell", action]]],
      [{ type: "shell_call", action: { commands: ["ls"] } }, [["shell", { commands: ["ls"] }]]],
      [
        { type: "apply_patch_call", operation: { type: "delete_file", path: "/x" } },
        [["apply_patch", { type: "delete_file", path: "/x" }]]
      ],
      [{ type: "computer_call", action: { type: "click" } }, [["computer", { type: "click" }]]],
      [
        { type: "computer_call", actions: [{ type: "wait" }, { type: "type", text: "x" }] },
        [
          ["computer", { type: "wait" }],
          ["computer", { type: "type", text: "x" }]
        ]
      ],
      [{ type: "tool_search_call", execution: "client", arguments: { q: 1 } }, [["tool_search", { q: 1 }]]],
      [{ type: "tool_search_call", execution: "server", arguments: { q: 1 } }, []],
      [{ type: "program", code: "pay()" }, [["program", { code: "pay()" }, true]]],
      [{ type: "mcp_approval_request", name: "pay", server_label: "s", arguments: '{"n":1}' }, [["pay", { n: 1 }]]],
      [{ type: "teleport_call", id: "t", target: "mars" }, [["teleport", { target: "mars" }]]],
      [{ type: "web_search_call", action: { query: "x" } }, []],
      [{ type: "mcp_call", name: "x", arguments: "{}" }, []],
      [{ type: "function_call_output", output: "x" }, []],
      [{ type: "message", content: [] }, []]
    ]
    for (const [item, calls] of items)
      assert.deepStrictEqual<unknown>(
        itemToolCalls(item, "output[0]").map(({ args, isText, name }) => [name, args, ...(isText ? [true] : [])]),
        calls,
        JSON.stringify(item)
      )
    assert.deepStrictEqual(
      toolCallsOf({ output: items.map(([item]) => item) }).length,
      items.flatMap(([, c]) => c).length
    )
  })

  it("knows every kind of call that the installed SDK has", () => {
    const types = Fs.readFileSync(
      new URL("../../node_modules/openai/resources/responses/responses.d.ts", import.meta.url),
      "utf8"
    )
    const kinds = new Set(
      [...types.matchAll(/type: '(\w+_call|program|mcp_approval_request)'/g)].map(([, kind]) => kind)
    )
    const hosted = ["code_interpreter_call", "file_search_call", "image_generation_call", "mcp_call", "web_search_call"]
    const ours = ["apply_patch_call", "computer_call", "custom_tool_call", "function_call", "local_shell_call"]
    const others = ["mcp_approval_request", "program", "shell_call", "tool_search_call"]
    assert.deepStrictEqual([...kinds].toSorted(), [...hosted, ...ours, ...others].toSorted())
    for (const type of [...ours, ...others]) assert.isTrue(isToolItem({ type }), type)
    for (const type of hosted) assert.isFalse(isToolItem({ type }), type)
  })
})

describe("a stream", () => {
  const gather = (...deltas: ReadonlyArray<object>): ReadonlyArray<ToolCall> => {
    const calls = new ToolCallDeltas("choices[0]")
    for (const delta of deltas) if (isFields(delta)) calls.add(delta)
    return calls.all.map(({ call }) => call)
  }
  const f = (more: object, name?: string, args?: string | null) => ({
    tool_calls: [
      { ...more, function: { ...(name !== undefined && { name }), ...(args !== undefined && { arguments: args }) } }
    ]
  })
  const oslo = { name: "look", args: { city: "Oslo" } }
  const rome = { name: "look", args: { city: "Rome" } }

  it.each<[string, ReadonlyArray<object>, ReadonlyArray<object>]>([
    [
      "as the API does",
      [
        f({ index: 0, id: "a" }, "look", ""),
        f({ index: 0 }, undefined, '{"city":'),
        f({ index: 0 }, undefined, '"Oslo"}')
      ],
      [oslo]
    ],
    [
      "with the name in each delta",
      [f({ index: 0, id: "a" }, "look", '{"city":'), f({ index: 0, id: "a" }, "look", '"Oslo"}')],
      [oslo]
    ],
    [
      "with an id of its own in each delta",
      [f({ index: 0, id: "a" }, "look", '{"city":'), f({ index: 0, id: "b" }, undefined, '"Oslo"}')],
      [oslo]
    ],
    [
      "with an id of its own and the name in each delta",
      [f({ index: 0, id: "a" }, "look", '{"city":'), f({ index: 0, id: "b" }, "look", '"Oslo"}')],
      [oslo]
    ],
    [
      "with several calls on one index",
      [f({ index: 0, id: "a" }, "look", '{"city":"Oslo"}'), f({ index: 0, id: "b" }, "look", '{"city":"Rome"}')],
      [oslo, rome]
    ],
    [
      "with several calls on one index, and no ids",
      [f({ index: 0, id: "" }, "look", '{"city":"Oslo"}'), f({ index: 0, id: "" }, "see", '{"city":"Rome"}')],
      [oslo, { name: "see", args: { city: "Rome" } }]
    ],
    [
      "with the name in each delta, cut after an inner object",
      [f({ index: 0 }, "look", '{"a":{"b":1}'), f({ index: 0 }, "look", ',"c":2}')],
      [{ name: "look", args: { a: { b: 1 }, c: 2 } }]
    ],
    [
      "with several calls on one index, taken up again by id",
      [
        f({ index: 0, id: "a" }, "look", '{"city":'),
        f({ index: 0, id: "b" }, "see", '{"city":'),
        f({ index: 0, id: "a" }, undefined, '"Oslo"}'),
        f({ index: 0, id: "b" }, undefined, '"Rome"}')
      ],
      [oslo, { name: "see", args: { city: "Rome" } }]
    ],
    [
      "without indexes",
      [f({ id: "a" }, "look", '{"city":'), f({}, undefined, '"Oslo"}'), f({ id: "b" }, "look", '{"city":"Rome"}')],
      [oslo, rome]
    ],
    [
      "whole, without indexes, in one delta",
      [
        {
          tool_calls: [
            { id: "a", function: { name: "look", arguments: '{"city":"Oslo"}' } },
            { id: "b", function: { name: "look", arguments: '{"city":"Rome"}' } }
          ]
        }
      ],
      [oslo, rome]
    ],
    ["with null for arguments", [f({ index: 0, id: "a" }, "look", null)], [{ name: "look", args: {} }]],
    ["without arguments", [f({ index: 0, id: "a" }, "look")], [{ name: "look", args: {} }]],
    [
      "with an object for arguments",
      [{ tool_calls: [{ index: 0, function: { name: "look", arguments: { city: "Oslo" } } }] }],
      [oslo]
    ],
    [
      "of a custom tool",
      [
        { tool_calls: [{ index: 0, id: "a", type: "custom", custom: { name: "sh", input: "l" } }] },
        { tool_calls: [{ index: 0, custom: { input: "s" } }] }
      ],
      [{ name: "sh", args: { input: "ls" }, isText: true }]
    ],
    [
      "by function_call",
      [{ function_call: { name: "look", arguments: "" } }, { function_call: { arguments: '{"city":"Oslo"}' } }],
      [oslo]
    ],
    [
      "of indexes in turn",
      [
        f({ index: 0, id: "a" }, "look", ""),
        f({ index: 1, id: "b" }, "look", ""),
        f({ index: 0 }, undefined, '{"city":"Oslo"}'),
        f({ index: 1 }, undefined, '{"city":"Rome"}')
      ],
      [oslo, rome]
    ]
  ])("tells calls %s", (_, deltas, calls) => {
    assert.deepStrictEqual(
      gather(...deltas).map(({ args, fault, isText, name }) => ({
        name,
        args,
        ...(isText && { isText }),
        ...(fault !== undefined && { fault })
      })),
      calls as never
    )
  })

  it.each<[string, ReadonlyArray<object>]>([
    ["two names", [f({ index: 0, id: "a" }, "look", ""), f({ index: 0 }, "pay", "{}")]],
    ["a name in two pieces", [f({ index: 0, id: "a" }, "pa", ""), f({ index: 0 }, "y", "{}")]],
    ["two kinds", [f({ index: 0 }, "look", ""), { tool_calls: [{ index: 0, custom: { input: "x" } }] }]],
    ["an object of calls", [{ tool_calls: { function: { name: "pay", arguments: "{}" } } }]],
    ["a text", [{ tool_calls: ["pay"] }]],
    ["a text for a function_call", [{ function_call: "pay" }]]
  ])("has a fault with %s", (_, deltas) => {
    assert.isString(gather(...deltas)[0]?.fault)
  })

  it("tells the call that a reader sees who merges by index", () => {
    const calls = new ToolCallDeltas("choices[0]")
    calls.add(f({ index: 0, id: "a" }, "look", '{"amount":9}'))
    calls.add(f({ index: 0, id: "b" }, "pay", ""))
    assert.deepInclude(calls.all[1]?.merged, { name: "pay", args: { amount: 9 } })
    calls.add(f({ index: 0, id: "b" }, undefined, "{}"))
    assert.isUndefined(calls.all[1]?.merged)
  })

  it("gathers over choices and items", () => {
    const calls = new StreamedToolCalls()
    const said = (index: number, delta: unknown) => calls.add({ choices: [{ index, delta }] })
    said(0, f({ index: 0, id: "a" }, "first", ""))
    said(1, f({ index: 0, id: "b" }, "second", ""))
    said(0, f({ index: 0 }, undefined, "{}"))
    for (const chunk of [null, {}, { choices: [] }, { choices: [{}] }, { choices: [{ delta: null }] }]) calls.add(chunk)
    calls.add({ type: "response.output_item.done", output_index: 2, item: { type: "local_shell_call", action: {} } })
    assert.deepStrictEqual(
      calls.calls.map(({ name, path, text }) => [name, text, path]),
      [
        ["first", "{}", "choices[0].tool_calls[0]"],
        ["second", "", "choices[1].tool_calls[0]"],
        ["local_shell", "{}", "output[2]"]
      ]
    )
  })
})

describe("a call that a stream tells several times is one", () => {
  const item = { type: "function_call", id: "fc_1", call_id: "c_1", name: "look", arguments: '{"a":1}' }
  const begun = { type: "response.output_item.added", output_index: 0, item: { ...item, arguments: "" } }
  const delta = { type: "response.function_call_arguments.delta", output_index: 0, item_id: "fc_1", delta: '{"a":1}' }
  const args = { type: "response.function_call_arguments.done", output_index: 0, name: "look", arguments: '{"a": 1}' }
  const done = { type: "response.output_item.done", output_index: 0, item }
  const whole = { type: "response.completed", response: { object: "response", output: [item] } }
  const chat = (choice: object) => ({ choices: [{ index: 0, ...choice }] })
  const call = { index: 0, id: "c_1", type: "function", function: { name: "look", arguments: '{"a":1}' } }
  it.each<[string, ReadonlyArray<object>]>([
    ["as the API tells it", [begun, delta, { ...args, item_id: "fc_1" }, done, whole]],
    ["without the item's id", [begun, delta, args, done, whole]],
    ["with arguments that are empty at first", [{ ...begun, item: { ...item, arguments: "{}" } }, delta, done]],
    ["by its deltas", [begun, delta]],
    ["by its arguments alone", [args]],
    ["by the response alone", [whole]],
    [
      "by events of tomorrow",
      [
        { ...done, type: "response.output_item.updated" },
        { ...whole, type: "x" }
      ]
    ],
    ["by deltas and a message", [chat({ delta: { tool_calls: [call] } }), chat({ message: { tool_calls: [call] } })]]
  ])("%s", (_, events) => {
    const calls = new StreamedToolCalls()
    for (const event of events) calls.add(event)
    assert.deepStrictEqual(
      calls.calls.map(({ args, name }) => ({ args, name })),
      [{ args: { a: 1 }, name: "look" }]
    )
  })

  it("but one with other arguments, and one of another id, are others", () => {
    const calls = new StreamedToolCalls()
    for (const one of [item, { ...item, arguments: "{}" }, { ...item, id: "fc_2", call_id: "c_2" }])
      calls.add({ ...done, item: one })
    assert.strictEqual(calls.calls.length, 3)
  })
})

describe("a choice whose index is spelled in two ways", () => {
  it("is one choice, as the gates read it", () => {
    const calls = new StreamedToolCalls()
    const delta = (index: unknown, call: object) =>
      calls.add({ choices: [{ index, delta: { tool_calls: [{ index: 0, ...call }] } }] })
    delta(1, { id: "call_1", type: "function", function: { name: "look", arguments: '{"city":' } })
    delta("1", { function: { arguments: '"Oslo"}' } })
    assert.deepStrictEqual(
      calls.calls.map(({ args, name }) => [name, args]),
      [["look", { city: "Oslo" }]]
    )
  })
})
