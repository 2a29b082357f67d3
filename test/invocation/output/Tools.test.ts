/** The tools that an answer asks for are judged as they may be read, and held back until then. `pay` is denied. */
import { assert, describe, it } from "@effect/vitest"
import { type Chunk, judged, run } from "./gate.ts"

const strict = { on_response: "deny" } as const

const chunk = (choice: object): Chunk => ({
  id: "c",
  model: "gpt-4o",
  choices: [{ index: 0, finish_reason: null, ...choice }]
})
const said = (delta: object) => chunk({ delta })
const call = (name: string | undefined, args?: unknown, more: object = { index: 0 }) =>
  said({ tool_calls: [{ ...more, function: { ...(name !== undefined && { name }), arguments: args } }] })
const over = chunk({ delta: {}, finish_reason: "tool_calls" })
const item = (type: string, more: object, done: object = more) => [
  { type: "response.output_item.added", output_index: 0, item: { type, ...more } },
  { type: "response.output_item.done", output_index: 0, item: { type, ...done } }
]
const args = (delta: string) => ({ type: "response.function_call_arguments.delta", output_index: 0, delta })

const whole = (more: object, type = "response.function_call_arguments.done") => ({ type, item_id: "fc_1", ...more })
const pay = { type: "function_call", id: "fc_1", call_id: "c", name: "pay", arguments: "{}" }
const opened = item("function_call", { id: "fc_1", name: "look", arguments: "" }).slice(0, 1)
const looked = item("function_call", { id: "fc_1", name: "look", arguments: "{}" }).slice(1)

describe("a denied tool in a stream", () => {
  it.each<[string, ReadonlyArray<Chunk>]>([
    ["as the API tells it", [call("pay", "", { index: 0, id: "a" }), call(undefined, "{}"), over]],
    ["with its name in each delta", [call("pay", "{"), call("pay", "}"), over]],
    [
      "on the index of another",
      [call("look", "{}", { index: 0, id: "a" }), call("pay", "{}", { index: 0, id: "b" }), over]
    ],
    ["without index", [call("look", "{}", { id: "a" }), call("pay", "{}", { id: "b" }), over]],
    ["without arguments", [call("pay"), over]],
    ["with null for arguments", [call("pay", null), over]],
    ["as a second name", [call("look", ""), call("pay", "{}"), over]],
    ["as a custom tool", [said({ tool_calls: [{ index: 0, custom: { name: "pay", input: "x" } }] }), over]],
    [
      "as a custom tool beside a function",
      [said({ tool_calls: [{ index: 0, function: { name: "look" }, custom: { name: "pay" } }] }), over]
    ],
    ["as function_call", [said({ function_call: { name: "pay", arguments: "{}" } }), over]],
    ["as an object", [said({ tool_calls: { function: { name: "pay", arguments: "{}" } } }), over]],
    ["after the end of the choice", [over, call("pay", "{}")]],
    ["in a message", [chunk({ message: { tool_calls: [{ function: { name: "pay" } }] } })]],
    ["in a choice", [chunk({ delta: {}, tool_calls: [{ function: { name: "pay" } }] })]],
    ["in a chunk", [{ ...said({}), tool_calls: [{ function: { name: "pay" } }] }]],
    ["in a part", [said({ content: [{ type: "text", text: "x", tool_calls: [{ function: { name: "pay" } }] }] })]],
    ["in an unknown member", [said({ more: { function_call: { name: "pay" } } })]],
    [
      "by a reader who merges by index",
      [call("look", '{"a":1}', { index: 0, id: "a" }), call("pay", "", { index: 0, id: "b" }), over]
    ],
    ["in an item", item("function_call", { name: "pay", arguments: "{}" })],
    [
      "in an item that begins as another",
      item("function_call", { name: "pay", arguments: "" }, { name: "look", arguments: "{}" })
    ],
    [
      "in an item that ends as no call",
      [
        ...item("function_call", { name: "pay", arguments: "" }).slice(0, 1),
        { type: "response.output_item.done", output_index: 0, item: { type: "message", content: [] } }
      ]
    ],
    [
      "in an event of its own",
      [
        ...item("function_call", { name: "look", arguments: "" }).slice(0, 1),
        { type: "response.function_call_arguments.done", output_index: 0, name: "pay", arguments: "{}" },
        ...item("function_call", { name: "look", arguments: "{}" }).slice(1)
      ]
    ],
    ["of a custom item", item("custom_tool_call", { name: "pay", input: "x" })],
    ["to be approved", item("mcp_approval_request", { name: "pay", server_label: "s", arguments: "{}" })],
    ["of tomorrow", item("pay_call", {})],
    ["in an unknown event", [{ type: "tomorrow", tool_calls: [{ name: "pay" }] }]],
    ["whose arguments are told without its item", [whole({ output_index: 0, name: "pay", arguments: "{}" })]],
    [
      "whose arguments are told at another place",
      [...opened, whole({ output_index: 1, name: "pay", arguments: "{}" }), ...looked]
    ],
    [
      "whose input is told without its item",
      [whole({ name: "pay", input: "x" }, "response.custom_tool_call_input.done")]
    ],
    ["in an item that never ends", [{ type: "response.output_item.added", output_index: 0, item: pay }]],
    ["in an item that begins without arguments", item("function_call", { name: "pay", arguments: "" }).slice(0, 1)],
    ["in an event of tomorrow", [{ type: "response.output_item.updated", output_index: 0, item: pay }]],
    [
      "in a list of an event",
      [
        { type: "response.items", item: [pay] },
        { type: "response.items", items: [pay] }
      ]
    ],
    ["in an annotation", [{ type: "response.output_text.annotation.added", output_index: 0, annotation: pay }]],
    ["in a part", [{ type: "response.content_part.added", output_index: 0, part: pay }]],
    ["in a delta that is an object", [{ type: "response.output_text.delta", output_index: 0, delta: pay }]],
    ["in a message that begins", item("message", { content: [{ type: "tool_use", name: "pay" }] }).slice(0, 1)],
    ["deep in an item", item("reasoning", { summary: [{ more: [{ name: "pay", arguments: "{}" }] }] }).slice(1)],
    ["beside an item that begins", [{ ...opened[0]!, more: { function: { name: "pay", arguments: "{}" } } }]],
    ["in a response that goes on", [{ type: "response.in_progress", response: { output: [pay] } }]],
    ["in a delta, as tool_call", [said({ tool_call: { function: { name: "pay", arguments: "{}" } } }), over]],
    ["in a delta, as toolCalls", [said({ toolCalls: [{ function: { name: "pay", arguments: "{}" } }] }), over]],
    ["in a delta, as toolUse", [said({ toolUse: { name: "pay" } }), over]],
    ["as Bedrock tells it", [said({ content: [{ toolUse: { toolUseId: "a", name: "pay", input: {} } }] }), over]],
    ["as Gemini tells it", [said({ content: [{ functionCall: { name: "pay", args: {} } }] }), over]],
    ["as a server_tool_use", [said({ content: [{ type: "server_tool_use", id: "a", name: "pay", input: {} }] }), over]],
    ["as a tool_use", [said({ content: [{ type: "tool_use", id: "a", name: "pay", input: { a: 1 } }] }), over]],
    ["as a tool_use that is no list", [said({ content: { type: "tool_use", name: "pay", input: {} } }), over]],
    [
      "as a tool_use in pieces",
      [
        said({ content: [{ type: "tool_use", id: "a", name: "pay", input: {} }] }),
        said({ content: [{ type: "input_json_delta", partial_json: "{}" }] }),
        over
      ]
    ],
    [
      "as a tool_use beside a text",
      [
        said({
          content: [
            { type: "text", text: "x" },
            { type: "tool_use", name: "pay" }
          ]
        }),
        over
      ]
    ],
    ["as a tool_use in a message", [chunk({ message: { content: [{ type: "tool_use", name: "pay" }] } })]],
    ["as a tool_use in an unknown member", [said({ more: [{ type: "tool_use", name: "pay" }] })]],
    ["as a tool_use in an item", item("message", { content: [{ type: "tool_use", name: "pay", input: {} }] }).slice(1)],
    ["as an item in an unknown member", [said({ more: { type: "function_call", name: "pay" } })]],
    [
      "as an output that is no list",
      [{ type: "response.completed", response: { output: item("function_call", { name: "pay" })[0]!.item } }]
    ]
  ])("%s does not come out", (_, chunks) => {
    const { free, refused } = run(strict, chunks)
    assert.strictEqual(refused?.code, "output_denied")
    assert.notInclude(JSON.stringify(free), "pay")
    const { recorded, refused: none } = run({ on_response: "record" }, chunks)
    assert.isUndefined(none)
    assert.isAbove(recorded.length, 0)
  })

  it("is no other arguments than those that are judged", () => {
    const broken = [...item("function_call", { name: "look", arguments: "" }).slice(0, 1), args("{"), args("x")]
    const whole = item("function_call", { name: "look", arguments: "{}" }).slice(1)
    assert.isDefined(run(strict, [...broken, ...whole]).refused)
    assert.isUndefined(run(strict, [...broken.slice(0, 1), args("{"), args("}"), ...whole]).refused)
  })
})

describe("what is no tool in a stream", () => {
  it.each<[string, ReadonlyArray<Chunk>]>([
    [
      "a tool that is offered",
      [{ type: "response.created", response: { tools: [{ type: "function", name: "pay" }] } }]
    ],
    [
      "a call that the request repeats",
      [{ type: "response.completed", response: { object: "response", instructions: [pay], output: [] } }]
    ],
    [
      "a call that the provider runs",
      [
        ...item("mcp_call", { id: "m", name: "pay", arguments: "{}" }),
        { type: "response.mcp_call_arguments.done", item_id: "m", output_index: 0, name: "pay", arguments: "{}" }
      ]
    ],
    ["a count", [{ ...said({}), usage: { server_tool_use: { web_search_requests: 1 }, tool_use: { count: 1 } } }]],
    ["what a tool is given", item("function_call", { name: "look", arguments: '{"name":"pay","arguments":"{}"}' })]
  ])("%s passes", (_, chunks) => {
    const { free, refused } = run(strict, chunks)
    assert.isUndefined(refused)
    assert.deepStrictEqual(free, chunks)
  })
})

it("arguments that are told at the place of another item are a violation", () => {
  const other = { type: "response.function_call_arguments.delta", output_index: 1, item_id: "fc_1", delta: "{}" }
  assert.include(run(strict, [...opened, other, ...looked]).refused?.message, "two items")
  const late = [...opened, ...looked, { ...args("x"), item_id: "fc_1" }]
  assert.isDefined(run(strict, late).refused)
})

describe("allowed tools in a stream", () => {
  it.each<[string, ReadonlyArray<Chunk>]>([
    ["as the API tells them", [call("look", "", { index: 0, id: "a" }), call(undefined, "{}"), over]],
    ["with their name in each delta", [call("look", "{"), call("look", "}"), over]],
    ["on one index", [call("look", "{}", { index: 0, id: "a" }), call("look", "{}", { index: 0, id: "b" }), over]],
    ["without index or arguments", [call("look", undefined, {}), over]],
    [
      "of indexes in turn",
      [
        call("look", "{"),
        call("see", "{", { index: 1 }),
        call(undefined, "}"),
        call(undefined, "}", { index: 1 }),
        over
      ]
    ],
    ["custom", [said({ tool_calls: [{ index: 0, custom: { name: "look", input: "x" } }] }), over]],
    ["as a tool_use", [said({ content: [{ type: "tool_use", id: "a", name: "look", input: { a: "x" } }] }), over]],
    [
      "as a tool_use in pieces",
      [
        said({ content: [{ type: "tool_use", index: 0, id: "a", name: "look", input: {} }] }),
        said({ content: [{ type: "input_json_delta", index: 0, partial_json: '{"a":' }] }),
        said({ content: [{ type: "input_json_delta", index: 0, partial_json: "1}" }] }),
        over
      ]
    ],
    ["with an empty list beside them", [said({ content: "x", tool_calls: [] }), said({ tool_calls: null }), over]],
    ["in an item", item("function_call", { name: "look", arguments: "" }, { name: "look", arguments: "{}" })],
    ["of a computer", item("computer_call", { actions: [{ type: "wait" }] })],
    ["a program", item("program", { code: "x" })],
    ["a hosted search", item("tool_search_call", { execution: "server" })]
  ])("%s come out as they came", (_, chunks) => {
    for (const rule of [strict, { denied: ["secret"], on_response: "deny" as const }])
      assert.deepStrictEqual(run(rule, chunks), { free: [...chunks], refused: undefined, recorded: [] })
  })
})

describe("a denied text in the arguments of a tool", () => {
  const denied = { denied: ["secret"] }
  it.each<[string, ReadonlyArray<Chunk>]>([
    ["in pieces", [call("look", '{"a":"sec'), call(undefined, 'ret"}'), over]],
    ["escaped", [call("look", '{"a":"s\\u00'), call(undefined, '65cret"}'), over]],
    [
      "over calls of one index",
      [call("look", '{"a":"sec', { index: 0, id: "a" }), call("see", 'ret"}', { index: 0, id: "b" }), over]
    ],
    ["in what is no JSON", [call("look", '{"a":"s\\u0065cret'), over]],
    [
      "beside the call of a part",
      [
        said({ content: [{ type: "tool_use", function: { name: "look", arguments: "{}" }, input: { a: "secret" } }] }),
        over
      ]
    ],
    [
      "in a second place for arguments",
      [said({ tool_calls: [{ index: 0, arguments: "secret", function: { name: "look", arguments: "{}" } }] }), over]
    ],
    [
      "in a name that is no text",
      [said({ tool_calls: [{ index: 0, function: { name: { a: "secret" }, arguments: "{}" } }] }), over]
    ],
    [
      "in a member of its own",
      [said({ tool_calls: [{ index: 0, note: "secret", function: { name: "look", arguments: "{}" } }] }), over]
    ],
    [
      "in deltas of an item",
      [
        ...item("function_call", { name: "look", arguments: "" }).slice(0, 1),
        args('{"a":"sec'),
        args('ret"}'),
        ...item("function_call", { name: "look", arguments: "{}" }).slice(1)
      ]
    ]
  ])("%s does not come out", (_, chunks) => {
    const { free, refused } = run(denied, chunks)
    assert.strictEqual(refused?.code, "output_denied")
    assert.deepStrictEqual(free, [])
  })
})

describe("a denied tool in a plain answer", () => {
  const chat = (message: object, more: object = {}) => ({
    choices: [{ message: { role: "assistant", ...message }, ...more }]
  })
  it.each<[string, object]>([
    ["a function", chat({ tool_calls: [{ function: { name: "pay", arguments: "" } }] })],
    ["a custom tool", chat({ tool_calls: [{ custom: { name: "pay", input: "" } }] })],
    ["two names", chat({ tool_calls: [{ name: "pay", function: { name: "look" } }] })],
    ["an object of calls", chat({ tool_calls: { function: { name: "look" } } })],
    ["calls of a choice", chat({}, { tool_calls: [{ function: { name: "look" } }] })],
    ["calls of a delta", chat({}, { delta: { tool_calls: [{ function: { name: "look" } }] } })],
    ["calls of a part", chat({ content: [{ tool_calls: [{ function: { name: "look" } }] }] })],
    ["one to be approved", { output: [{ type: "mcp_approval_request", name: "pay", arguments: "{}" }] }],
    ["one of tomorrow", { output: [{ type: "pay_call" }] }],
    ["calls in an item", { output: [{ type: "message", tool_calls: [{ name: "look" }] }] }],
    ["a tool_use", chat({ content: [{ type: "tool_use", id: "a", name: "pay", input: { a: 1 } }] })],
    ["a tool_use that is no list", chat({ content: { type: "tool_use", name: "look" } })],
    ["a tool_use of an item", { output: [{ type: "message", content: [{ type: "tool_use", name: "pay" }] }] }],
    ["an output that is no list", { object: "response", output: { type: "function_call", name: "look" } }]
  ])("as %s is refused", (_, answer) => {
    assert.strictEqual(judged(strict, answer).refused?.code, "output_denied")
    assert.strictEqual(judged({ on_response: "record" }, answer).recorded.length, 1)
  })

  it("as one action of several is refused", () => {
    const answer = { output: [{ type: "computer_call", actions: [{ type: "wait" }, "click", { type: "wait" }] }] }
    assert.strictEqual(judged(strict, answer).refused?.path, "output[0].actions[1]")
  })

  it("is none where no argument is asked for", () => {
    for (const given of ["", null, undefined, {}])
      assert.isUndefined(
        judged(strict, chat({ tool_calls: [{ function: { name: "look", arguments: given } }] })).refused
      )
  })
})

describe("a stream that ends before its tool calls do", () => {
  const begun = (name: string, args = "") => ({
    type: "response.output_item.added",
    output_index: 0,
    item: { type: "function_call", id: "fc_1", name, arguments: args }
  })
  const whole = (args: string) => ({ type: "response.function_call_arguments.done", output_index: 0, arguments: args })
  const rules = [strict, { denied: ["secret"] }, { denied: ["secret"], on_response: "deny" as const }]

  it.each<[string, ReadonlyArray<Chunk>]>([
    ["an item", [begun("look"), args('{"a":'), args("1}")]],
    ["an item whose arguments are told whole", [begun("look"), args('{"a":1}'), whole('{"a":1}')]],
    ["an item that began with all of it", [begun("look", '{"a":1}')]],
    ["an item without arguments", [begun("look")]],
    ["a call", [call("look", '{"a":'), call(undefined, "1}")]],
    ["function_call", [said({ function_call: { name: "look", arguments: "{}" } })]]
  ])("hands on %s, judged", (_, chunks) => {
    for (const rule of rules)
      assert.deepStrictEqual(run(rule, chunks), { free: [...chunks], refused: undefined, recorded: [] })
  })

  it.each<[string, ReadonlyArray<Chunk>]>([
    ["an item", [begun("pay"), args("{}")]],
    ["an item of another name", [begun("look"), { ...whole("{}"), name: "pay" }]],
    ["an item that is not whole", [begun("look"), args('{"a":')]],
    ["a call", [call("pay", "{}")]],
    ["a call that is not whole", [call("look", '{"a":')]]
  ])("is refused for %s that is denied", (_, chunks) => {
    const { free, refused } = run(strict, chunks)
    assert.strictEqual(refused?.code, "output_denied")
    assert.deepStrictEqual(free, [])
    const { free: recorded } = run({ denied: ["secret"] }, chunks)
    assert.deepStrictEqual(recorded, [...chunks])
  })

  it.each<[string, ReadonlyArray<Chunk>]>([
    ["in deltas", [begun("look"), args('{"a":"sec'), args('ret"')]],
    ["escaped", [begun("look"), args('{"a":"s\\u0065c'), args('ret"}')]],
    ["in what it began with", [begun("look", '{"a":"sec'), args('ret"}')]],
    ["in a call", [call("look", '{"a":"sec'), call(undefined, "ret")]]
  ])("is refused for a denied text %s", (_, chunks) => {
    const { free, refused } = run({ denied: ["secret"] }, chunks)
    assert.strictEqual(refused?.code, "output_denied")
    assert.deepStrictEqual(free, [])
  })
})
