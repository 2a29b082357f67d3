import { assert, describe, it } from "@effect/vitest"
import type { Json, JsonObject } from "../../src/base/Json.ts"
import { bringingItems, choiceWords, hostedTypes, namedTypes, otherItems } from "../../src/call/ToolTypes.ts"
import { bringsTools, toolsOf } from "../../src/call/RequestTools.ts"
import { membersOf, type TypedMember } from "../sdkTypes.ts"

/** What each type of a request's body may hold, as the SDK declares it. */
const bodies = (
  [
    ["chat/completions/completions.d.ts", "ChatCompletionCreateParamsBase"],
    ["responses/responses.d.ts", "ResponseCreateParamsBase"],
    ["responses/responses.d.ts", "ResponseCompactParams"],
    ["beta/responses/responses.d.ts", "ResponseCreateParamsBase"],
    ["beta/responses/responses.d.ts", "ResponseCompactParams"]
  ] as const
).map(([file, type]) => membersOf(file, type))

const literalsAt = (path: string): ReadonlySet<string> =>
  new Set(bodies.flatMap((body) => [...(body.get(path)?.literals ?? [])]))

const sorted = (items: Iterable<string>): ReadonlyArray<string> => [...items].toSorted()

const rm = { type: "function", function: { name: "rm" } }
const flatRm = { type: "function", name: "rm" }
const item = (type: string) => ({ input: [{ type, tools: [flatRm] }] })
const namespace = { type: "namespace", name: "crm", tools: [flatRm] }

/** Where a request may bring or choose a tool: a request that does, with the path of the name `rm`. */
const bringing: Readonly<Record<string, ReadonlyArray<readonly [params: JsonObject, path: string]>>> = {
  tools: [
    [{ tools: [rm] }, "tools[0].function.name"],
    [{ tools: [{ type: "custom", custom: { name: "rm" } }] }, "tools[0].custom.name"],
    [{ tools: [flatRm] }, "tools[0].name"],
    [{ tools: [{ type: "custom", name: "rm" }] }, "tools[0].name"],
    [{ tools: [{ name: "rm" }] }, "tools[0].name"]
  ],
  "tools[].function": [
    [{ tools: [{ function: { name: "rm" } }] }, "tools[0].function.name"],
    [{ tools: [{ type: "function", function: { name: "x", tools: [flatRm] } }] }, "tools[0].function.tools[0].name"]
  ],
  "tools[].tools": [
    [{ tools: [namespace] }, "tools[0].tools[0].name"],
    [{ tools: [{ type: "namespace", name: "a", tools: [namespace] }] }, "tools[0].tools[0].tools[0].name"],
    [{ tools: [{ ...flatRm, name: "x", tools: [flatRm] }] }, "tools[0].tools[0].name"],
    [{ tools: [{ ...namespace, tools: [], functions: [flatRm] }] }, "tools[0].functions[0].name"],
    [{ tools: [{ type: "function", name: "x", functions: [flatRm] }] }, "tools[0].functions[0].name"],
    [{ tools: [{ type: "function", name: "x", extra: [{ tools: [flatRm] }] }] }, "tools[0].extra[0].tools[0].name"]
  ],
  functions: [[{ functions: [{ name: "rm" }] }, "functions[0].name"]],
  "input[].tools": [
    [item("additional_tools"), "input[0].tools[0].name"],
    [item("tool_search_output"), "input[0].tools[0].name"],
    [item("message"), "input[0].tools[0].name"],
    [item("not_known"), "input[0].tools[0].name"],
    [{ input: ["x", { role: "user", content: "x", tools: [rm] }] }, "input[1].tools[0].function.name"],
    [{ messages: [{ role: "system", content: "x", tools: [rm] }] }, "messages[0].tools[0].function.name"],
    [{ messages: [{ role: "system", functions: [{ name: "rm" }] }] }, "messages[0].functions[0].name"],
    ...["instructions", "input", "messages"].flatMap((list): ReadonlyArray<readonly [JsonObject, string]> => {
      const parts = [
        { type: "text", text: "x" },
        { type: "additional_tools", tools: [flatRm] }
      ]
      return [
        [{ [list]: parts }, `${list}[1].tools[0].name`],
        [{ [list]: [{ role: "user", content: parts }] }, `${list}[0].content[1].tools[0].name`],
        [{ [list]: [{ role: "user", content: parts[1]! }] }, `${list}[0].content.tools[0].name`],
        [
          { [list]: [{ role: "tool", content: [{ type: "tool_result", content: parts }] }] },
          `${list}[0].content[0].content[1].tools[0].name`
        ],
        [{ [list]: [{ type: "function_call_output", output: parts }] }, `${list}[0].output[1].tools[0].name`],
        [
          { [list]: [{ type: "message", content: [{ type: "text", text: "x", functions: [{ name: "rm" }] }] }] },
          `${list}[0].content[0].functions[0].name`
        ]
      ]
    })
  ],
  "input[].tools[].tools": [
    [{ input: [{ type: "additional_tools", tools: [namespace] }] }, "input[0].tools[0].tools[0].name"],
    [
      { input: [{ type: "additional_tools", tools: [{ ...namespace, tools: [], functions: [flatRm] }] }] },
      "input[0].tools[0].functions[0].name"
    ]
  ],
  tool_choice: [
    [{ tool_choice: flatRm }, "tool_choice.name"],
    [{ tool_choice: { type: "custom", custom: { name: "rm" } } }, "tool_choice.custom.name"]
  ],
  "tool_choice.function": [[{ tool_choice: rm }, "tool_choice.function.name"]],
  "tool_choice.tools": [
    [{ tool_choice: { type: "allowed_tools", tools: [flatRm] } }, "tool_choice.tools[0].name"],
    [{ tool_choice: { type: "allowed_tools", tools: [namespace] } }, "tool_choice.tools[0].tools[0].name"],
    [{ tool_choice: { type: "allowed_tools", tools: [], functions: [flatRm] } }, "tool_choice.functions[0].name"],
    [
      { tool_choice: { type: "function", function: { name: "x", tools: [flatRm] } } },
      "tool_choice.function.tools[0].name"
    ]
  ],
  "tool_choice.allowed_tools": [],
  "tool_choice.allowed_tools.tools": [
    [
      { tool_choice: { type: "allowed_tools", allowed_tools: { mode: "auto", tools: [rm] } } },
      "tool_choice.allowed_tools.tools[0].function.name"
    ]
  ],
  function_call: [[{ function_call: { name: "rm" } }, "function_call.name"]]
}

/** Members that speak of tools otherwise, and what they are. */
const others: Readonly<Record<string, string>> = {
  web_search_options: "a tool of the provider, without a name",
  multi_agent: "a tool of the provider, without a name",
  prompt: "may bring tools: unread",
  "tools[].allowed_tools": "names at an MCP server: decoys",
  "tools[].allowed_tools.tool_names": "names at an MCP server: decoys",
  "input[].tools[].allowed_tools": "names at an MCP server: decoys",
  "input[].tools[].allowed_tools.tool_names": "names at an MCP server: decoys",
  "tools[].require_approval.always.tool_names": "when to ask",
  "tools[].require_approval.never.tool_names": "when to ask",
  "input[].tools[].require_approval.always.tool_names": "when to ask",
  "input[].tools[].require_approval.never.tool_names": "when to ask",
  "tools[].environment.skills": "what a hosted shell has",
  "tools[].environment.skills[].skill_id": "what a hosted shell has",
  "input[].tools[].environment.skills": "what a hosted shell has",
  "input[].tools[].environment.skills[].skill_id": "what a hosted shell has",
  "input[].environment.skills": "where a call ran",
  "input[].namespace": "of a call, and not of a tool",
  "input[].agent": "who wrote an item",
  "input[].agent.agent_name": "who wrote an item",
  "multi_agent.max_concurrent_subagents": "a number",
  "messages[].tool_calls": "calls that were made",
  "messages[].tool_calls[].function": "calls that were made",
  "messages[].tool_call_id": "calls that were made",
  "messages[].function_call": "calls that were made",
  max_tool_calls: "a number",
  parallel_tool_calls: "how to call"
}

const speaksOfTools = /(?:^prompt|(?:tool|function|mcp|plugin|search_options|agent|skill|namespace)[^.]*)$/u

const namesOf = (params: JsonObject) => toolsOf(params).tools.flatMap(({ names }) => names)

describe("the places of tools", () => {
  it("are those of the SDK's types", () => {
    const places = new Set(bodies.flatMap((body) => [...body.keys()]).filter((path) => speaksOfTools.test(path)))
    assert.deepStrictEqual(sorted(places), sorted([...Object.keys(bringing), ...Object.keys(others)]))
  })

  it("have the types of tools that the SDK names", () => {
    const known = (path: string) =>
      assert.deepStrictEqual(
        [...literalsAt(path)].filter(
          (type) => !namedTypes.has(type) && !hostedTypes.has(type) && !["namespace", "allowed_tools"].includes(type)
        ),
        [],
        path
      )
    for (const path of ["tools[].type", "tools[].tools[].type", "input[].tools[].type", "tool_choice.type"]) known(path)
    assert.isAtLeast(literalsAt("tools[].type").size, 18)
    assert.deepStrictEqual(sorted(literalsAt("tools[].tools[].type")), ["custom", "function"])
    assert.includeMembers([...literalsAt("tool_choice.type")], ["allowed_tools", "custom", "function", "mcp", "shell"])
    const named = new Set([...literalsAt("tools[].type"), ...literalsAt("tool_choice.type")])
    assert.deepStrictEqual(
      [...hostedTypes].filter((type) => !named.has(type)),
      [],
      "types that the SDK no longer names"
    )
  })

  it("have the words and the items that the SDK names", () => {
    assert.deepStrictEqual(
      sorted(new Set([...literalsAt("tool_choice"), ...literalsAt("function_call")])),
      sorted(choiceWords)
    )
    assert.deepStrictEqual(sorted(literalsAt("input[].type")), sorted([...bringingItems, ...otherItems]))
  })

  const rows = Object.entries(bringing).flatMap(([place, all]) =>
    all.map(([params, path]): [string, string, JsonObject] => [place, path, params])
  )
  it.each(rows)("%s is read: %s", (_place, path, params) => {
    assert.deepInclude(namesOf(params), { path, value: "rm" })
    const choosesOnly = Object.keys(params).every((key) => key === "tool_choice" || key === "function_call")
    assert.strictEqual(bringsTools(params), !choosesOnly)
  })
})

describe("a name", () => {
  it.each<[string, Json]>([
    ["a hosted tool", { type: "web_search", name: "get_weather" }],
    ["a hosted tool, nested", { type: "web_search", function: { name: "get_weather" } }],
    ["a server's tool", { type: "mcp", allowed_tools: ["get_weather"] }],
    ["a server's tool, filtered", { type: "mcp", allowed_tools: { tool_names: ["get_weather"] } }],
    ["a type that is not known", { type: "unheard_of", name: "get_weather" }],
    ["a type that is no text", { type: ["function"], name: "get_weather" }],
    ["another case of a type", { type: "Function", name: "get_weather" }]
  ])("on %s is a decoy", (_name, tool) => {
    const [read] = toolsOf({ tools: [tool] }).tools
    assert.deepStrictEqual(read?.names, [])
    assert.deepStrictEqual(
      read?.decoys.map(({ value }) => value),
      ["get_weather"]
    )
  })

  it("of a namespace is a decoy, and its tools have their own", () => {
    const { tools } = toolsOf({ tools: [namespace] })
    assert.deepStrictEqual(
      tools.map(({ decoys, names, path, role }) => [path, role, names.length, decoys.length]),
      [
        ["tools[0]", "group", 0, 1],
        ["tools[0].tools[0]", "definition", 1, 0]
      ]
    )
  })

  it("may stand in several places of one tool: all of them are told", () => {
    const both = { type: "function", name: "a", function: { name: "b" }, custom: { name: "c" } }
    assert.deepStrictEqual(
      namesOf({ tools: [both] }).map(({ value }) => value),
      ["b", "c", "a"]
    )
  })

  it("of a legacy function with a type of its own is a decoy", () => {
    const [read] = toolsOf({ functions: [{ type: "web_search", name: "x" }] }).tools
    assert.deepStrictEqual(read?.names, [])
    assert.deepStrictEqual(
      read?.types.map(({ value }) => value),
      ["function", "web_search"]
    )
  })
})

describe("a member that the API does not have", () => {
  const definition = { name: "rm", description: "x", input_schema: { type: "object", properties: {} } }
  /** Where a member may stand: each with the path of the place. */
  const places: ReadonlyArray<readonly [path: string, put: (members: JsonObject) => JsonObject]> = [
    ["tools[0].", (members) => ({ tools: [{ type: "function", name: "x", ...members }] })],
    ["tools[0].function.", (members) => ({ tools: [{ type: "function", function: { name: "x", ...members } }] })],
    ["tools[0].format.", (members) => ({ tools: [{ type: "custom", name: "x", format: members }] })],
    ["tools[0].tools[0].", (members) => ({ tools: [{ ...namespace, tools: [{ ...flatRm, ...members }] }] })],
    ["functions[0].", (members) => ({ functions: [{ name: "x", ...members }] })],
    ["tool_choice.", (members) => ({ tool_choice: { ...flatRm, ...members } })],
    [
      "tool_choice.tools[0].",
      (members) => ({ tool_choice: { type: "allowed_tools", tools: [{ ...flatRm, ...members }] } })
    ],
    ["messages[0].", (members) => ({ messages: [{ role: "user", content: "x", ...members }] })],
    [
      "messages[0].content[0].",
      (members) => ({ messages: [{ role: "user", content: [{ type: "text", ...members }] }] })
    ],
    [
      "messages[0].tool_calls[0].function.",
      (members) => ({
        messages: [{ tool_calls: [{ type: "function", function: { name: "x", arguments: "{}", ...members } }] }]
      })
    ],
    ["input[0].", (members) => ({ input: [{ type: "message", role: "user", ...members }] })],
    ["input[0].", (members) => ({ input: [{ type: "reasoning", ...members }] })],
    [
      "input[0].tools[0].",
      (members) => ({ input: [{ type: "additional_tools", tools: [{ ...flatRm, ...members }] }] })
    ],
    ["text.format.", (members) => ({ text: { format: { type: "text", ...members } } })],
    ["extra_body.", (members) => ({ extra_body: members })],
    ["", (members) => members]
  ]

  it.each<[string, JsonObject]>([
    ["a name that speaks of tools", { tool_definitions: "[]" }],
    ["another one", { tool_defs: [] }],
    ["another one", { input_tools: [flatRm] }],
    ["another one", { Tools: [flatRm] }],
    ["another one", { mcp_servers: {} }],
    ["another one", { custom: { name: "rm" } }],
    ["a tool by its type", { extra: flatRm }],
    ["a tool of the provider", { extra: [{ type: "web_search" }] }],
    ["a tool by its schema", { extra: [definition] }],
    ["tools by their names", { extra: { rm: { input_schema: definition.input_schema } } }],
    ["a tool deeper down", { extra: { more: [[{ deep: [rm] }]] } }]
  ])("that may bring tools is told wherever it stands: %s", (_name, members) => {
    for (const [path, put] of places) {
      const { tools, unread } = toolsOf(put(members))
      const told = [...unread, ...tools.flatMap(({ names }) => names)].map((each) => each.path)
      assert.isTrue(
        told.some((each) => each === path.slice(0, -1) || each.startsWith(`${path}${Object.keys(members)[0]!}`)),
        `${path} ${JSON.stringify(members)}: ${told.join(", ")}`
      )
    }
  })

  it("and that brings none is left alone, as what belongs to the customer is", () => {
    const schema: JsonObject = {
      type: "object",
      properties: { tools: { type: "array" }, function: { type: "function", name: "x" }, mcp_servers: {} }
    }
    for (const [path, put] of places) {
      const plain = {
        extra: { a: [{ b: 1, name: "x", description: "y", type: "text" }] },
        cache_control: { type: "x" }
      }
      assert.deepStrictEqual(toolsOf(put(plain)).unread, [], path)
    }
    for (const params of [
      { tools: [{ type: "function", function: { name: "x", parameters: schema } }] },
      { tools: [{ type: "function", name: "x", parameters: schema, output_schema: schema }] },
      {
        tools: [{ type: "mcp", server_label: "x", headers: { "x-tools": "a" }, allowed_tools: { tool_names: ["a"] } }]
      },
      { functions: [{ name: "x", parameters: schema }] },
      { input: [{ type: "mcp_list_tools", tools: [{ name: "x", input_schema: schema, annotations: { tools: [] } }] }] },
      { input: [{ type: "tool_search_call", arguments: { tools: ["x"], function: "y" } }] },
      {
        messages: [
          { role: "assistant", tool_calls: [{ ...rm, id: "c", function: { name: "x", arguments: { tools: [1] } } }] },
          { role: "assistant", function_call: { name: "x", arguments: { functions: 1 } } },
          { role: "assistant", content: [{ type: "tool_use", id: "c", name: "x", input: { tools: [rm] } }] },
          {
            role: "user",
            content: [{ type: "tool_result", tool_use_id: "c", content: [{ type: "text", text: "x" }] }]
          },
          { role: "tool", tool_name: "x", tool_call_id: "c", content: "x" }
        ]
      },
      { metadata: { tools: "x" }, response_format: { type: "json_schema", json_schema: { name: "x", schema } } },
      { text: { format: { type: "json_schema", name: "x", schema } } },
      { data_sources: [{ type: "azure_search", parameters: { endpoint: "x" } }] }
    ] satisfies ReadonlyArray<JsonObject>)
      assert.deepStrictEqual(toolsOf(params).unread, [], JSON.stringify(params))
  })

  it("a namespace by its name alone is no tool that a choice may name", () => {
    const choices = (tools: Json) => toolsOf({ tool_choice: { type: "allowed_tools", tools } }).tools
    for (const tools of [[{ type: "namespace", name: "n" }], [{ type: "namespace", name: "n", tools: [] }]])
      assert.deepStrictEqual(
        choices(tools).map(({ names, role }) => [role, names]),
        [["choice", []]]
      )
    assert.deepStrictEqual(
      choices([namespace]).map(({ names, role }) => [role, names.length]),
      [
        ["group", 0],
        ["choice", 1]
      ]
    )
  })
})

describe("what cannot be read", () => {
  it.each<[string, JsonObject, ReadonlyArray<string>]>([
    ["a stored prompt", { prompt: { id: "pmpt_1" } }, ["prompt"]],
    ["an item of a type that is not known", { input: [{ type: "more_tools", names: ["rm"] }] }, ["input[0]"]],
    [
      "a part of a message of a type that speaks of tools",
      { messages: [{ role: "user", content: [{ type: "more_tools", names: ["rm"] }] }] },
      ["messages[0].content[0]"]
    ],
    ["an item of instructions of a type that is not known", { instructions: [{ type: "more" }] }, ["instructions[0]"]],
    ["an item that is a list", { input: [[{ type: "additional_tools" }]] }, ["input[0]"]],
    ["an input that is an object", { input: { type: "additional_tools", tools: [rm] } }, ["input"]],
    ["a choice by a word that is not known", { tool_choice: "rm" }, ["tool_choice"]],
    ["a choice that is a list", { tool_choice: [rm] }, ["tool_choice"]],
    ["allowed tools without a list", { tool_choice: { type: "allowed_tools" } }, ["tool_choice"]],
    ["another server's way", { plugins: [{ id: "web" }], mcp_servers: {} }, ["plugins", "mcp_servers"]]
  ])("is told: %s", (_name, params, paths) => {
    assert.deepStrictEqual(
      toolsOf(params).unread.map(({ path }) => path),
      paths
    )
  })

  it("has the wrong shape otherwise", () => {
    const paths = (params: JsonObject) => toolsOf(params).misshapen.map(({ path }) => path)
    assert.deepStrictEqual(paths({ tools: { 0: rm } }), ["tools"])
    assert.deepStrictEqual(paths({ input: [{ type: "additional_tools", tools: rm }] }), ["input[0].tools"])
    assert.deepStrictEqual(paths({ tools: [{ type: "namespace", tools: {} }] }), ["tools[0].tools"])
    assert.deepStrictEqual(paths({ tool_choice: { type: "allowed_tools", tools: {} } }), ["tool_choice.tools"])
  })
})

it("an ordinary request brings nothing, and nothing in it is unread", () => {
  const items = [...otherItems].map((type): Json => ({ type }))
  for (const params of [
    {},
    { tools: null, functions: null, prompt: null, tool_choice: null, input: null },
    { tools: [], tool_choice: "auto", parallel_tool_calls: true, max_tool_calls: 3 },
    { input: "x" },
    { input: [{ role: "user", content: "x" }, ...items] },
    { input: [{ role: "user", content: items }], instructions: [{ role: "developer", content: "x" }, "y"] },
    { messages: [{ role: "user", content: [{ type: "video_url" }, { type: "text", text: "x" }] }], instructions: "x" },
    { messages: [{ role: "assistant", tool_calls: [{ id: "c", type: "function", function: { name: "rm" } }] }] }
  ] satisfies ReadonlyArray<JsonObject>) {
    assert.deepStrictEqual(toolsOf(params).tools, [])
    assert.deepStrictEqual(toolsOf(params).unread, [])
    assert.isFalse(bringsTools(params))
  }
})

it("what a request inherits is not its own", () => {
  const inherited: JsonObject = Object.create({ tools: [rm], prompt: { id: "x" } })
  assert.deepStrictEqual(toolsOf(inherited), { lists: [], tools: [], misshapen: [], unread: [] })
})

it("the SDK's declarations are read as they are written", () => {
  const [chat, responses] = bodies as unknown as readonly [
    ReadonlyMap<string, TypedMember>,
    ReadonlyMap<string, TypedMember>
  ]
  assert.isAbove(chat.size, 100)
  assert.isAbove(responses.size, 400)
  for (const path of ["messages[].role", "reasoning_effort", "web_search_options.user_location.approximate.city"])
    assert.isTrue(chat.has(path), path)
  for (const path of ["reasoning.effort", "text.format.schema", "input[].content[].text"])
    assert.isTrue(responses.has(path), path)
  assert.deepStrictEqual([...(responses.get("truncation")?.literals ?? [])], ["auto", "disabled"])
})
