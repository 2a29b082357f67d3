/** Tools, content and roles: in whatever member, spelling or nesting they stand, policy's one rule finds them. */
import { describe, expect, it } from "vitest"
import { through } from "./Face.ts"
import { arrives, asked, attempt, kinds, messages, refused, type RequestCase, useLab } from "./lab.ts"

const lab = useLab()
const chat = (body: object): RequestCase => ({ body: { ...asked, ...body } })
const toResponses = { model: "gpt-4o-mini", input: "x", max_output_tokens: 10 }
const respond = (body: object): RequestCase => ({ path: "/responses", body: { ...toResponses, ...body } })

const user = (name: string, constraints: object) => [
  { policy_id: "app:lab", resources: ["tool:lab/**"] },
  { policy_id: `user:${name}`, resources: ["tool:lab/**"], constraints }
]
const under = (parameters: object) => user("alice", { parameters: { "tool:lab/generate": parameters } })
const without = (denied: object) => user("alice", { denied_parameters: { "tool:lab/generate": denied } })

const fn = (name: string, more: object = {}) => ({ type: "function", function: { name, parameters: {}, ...more } })
const flat = (name: string) => ({ type: "function", name, parameters: {}, strict: true })
const brought = { type: "additional_tools", role: "developer" }
const space = (name: string, ...tools: ReadonlyArray<object>) => ({ type: "namespace", name, description: "x", tools })
const said = (content: unknown, role = "user") => ({ messages: [{ role, content }] })

describe("a list of tool names holds for every way to bring a tool", () => {
  it.each<[string, RequestCase]>([
    ["tools", chat({ tools: [fn("rm")] })],
    ["tools, behind an allowed one", chat({ tools: [fn("get_weather"), fn("rm")] })],
    ["custom tools", chat({ tools: [{ type: "custom", custom: { name: "rm" } }] })],
    ["legacy functions", chat({ functions: [{ name: "rm", parameters: {} }] })],
    ["another case", chat({ tools: [fn("Get_Weather")] })],
    ["a trailing space", chat({ tools: [fn("get_weather ")] })],
    ["a look-alike", chat({ tools: [fn("get_wеather")] })],
    ["no name", chat({ tools: [{ type: "function", function: {} }] })],
    ["a null name", chat({ tools: [fn(null as never)] })],
    ["a list of names", chat({ tools: [fn(["get_weather", "rm"] as never)] })],
    ["an object of tools", chat({ tools: { "0": fn("rm"), length: 1 } })],
    ["a null tool", chat({ tools: [null] })],
    ["a nested list", chat({ tools: [[fn("rm")]] })],
    ["a tool of the Responses API", respond({ tools: [flat("rm")] })],
    ["a tool of the Responses API in a chat", chat({ tools: [flat("rm")] })],
    ["a chat tool on the Responses API", respond({ tools: [fn("rm")] })],
    ...[
      "web_search",
      "web_search_preview",
      "file_search",
      "code_interpreter",
      "computer_use_preview",
      "image_generation",
      "local_shell",
      "mcp",
      "unheard_of"
    ].map((type): [string, RequestCase] => [
      `hosted ${type}`,
      respond({ tools: [{ type, server_url: "https://evil.test", server_label: "x", vector_store_ids: ["vs"] }] })
    ]),
    ...["web_search", "mcp", "shell", "unheard_of"].map((type): [string, RequestCase] => [
      `hosted ${type} under an allowed name`,
      respond({ tools: [{ type, name: "get_weather" }] })
    ]),
    ["a hosted tool with an allowed function", chat({ tools: [{ ...fn("get_weather"), type: "web_search" }] })],
    ["a web search of a chat", chat({ web_search_options: {} })],
    ["a legacy function of another type", chat({ functions: [{ type: "mcp", name: "get_weather" }] })],
    ["additional tools", respond({ input: [said("x").messages[0], { ...brought, tools: [flat("rm")] }] })],
    ["additional hosted tools", respond({ input: [{ ...brought, tools: [{ type: "mcp", server_label: "x" }] }] })],
    ["an object of additional tools", respond({ input: [{ ...brought, tools: { 0: flat("rm") } }] })],
    [
      "tools that a search gave",
      respond({ input: [{ type: "tool_search_output", execution: "client", tools: [flat("rm")] }] })
    ],
    ["an MCP server's list", respond({ input: [{ type: "mcp_list_tools", tools: [{ name: "get_weather" }] }] })],
    ["tools of a message", chat({ messages: [{ role: "system", content: "x", tools: [fn("rm")] }] })],
    ["items of a type that is not known", respond({ input: [{ type: "more_tools", names: ["rm"] }] })],
    ["a namespace", respond({ tools: [space("get_weather", flat("rm"))] })],
    ["a namespace, behind an allowed tool", respond({ tools: [space("crm", flat("get_weather"), flat("rm"))] })],
    ["a namespace in a namespace", respond({ tools: [space("a", space("b", flat("rm")))] })],
    ["a namespace of additional tools", respond({ input: [{ ...brought, tools: [space("a", flat("rm"))] }] })],
    ["functions of a namespace", respond({ tools: [{ ...space("n"), functions: [flat("rm")] }] })],
    [
      "functions of a namespace of additional tools",
      respond({ input: [{ ...brought, tools: [{ ...space("n"), functions: [flat("rm")] }] }] })
    ],
    ["functions of a function", respond({ tools: [{ ...flat("get_weather"), functions: [flat("rm")] }] })],
    ["tools of a function", chat({ tools: [fn("get_weather", { tools: [flat("rm")] })] })],
    [
      "tools of a function under a name that nobody knows",
      chat({ tools: [fn("get_weather", { more: [flat("rm")] })] })
    ],
    ["definitions of a message", chat({ messages: [{ ...said("x").messages[0], tool_definitions: [fn("rm")] }] })],
    ["definitions of a message, as text", chat({ messages: [{ ...said("x").messages[0], input_tools: "[]" }] })],
    ["definitions of an item", respond({ input: [{ ...said("x").messages[0], tool_defs: [flat("rm")] }] })],
    ["tools of a member for a server's template", chat({ chat_template_kwargs: { tools: [fn("rm")] } })],
    [
      "a namespace of allowed tools",
      respond({ tool_choice: { type: "allowed_tools", mode: "auto", tools: [space("n", flat("rm"))] } })
    ],
    [
      "a namespace by its name among allowed tools",
      respond({ tool_choice: { type: "allowed_tools", mode: "auto", tools: [{ type: "namespace", name: "n" }] } })
    ],
    [
      "functions among allowed tools",
      respond({ tool_choice: { type: "allowed_tools", mode: "auto", tools: [], functions: [flat("rm")] } })
    ],
    ["a namespace without a list", respond({ tools: [{ type: "namespace", name: "get_weather" }] })],
    ["a tool that is forced", respond({ tool_choice: { type: "function", name: "rm" } })],
    ["a hosted tool that is forced", respond({ tool_choice: { type: "shell" } })],
    ["a server's tool that is forced", respond({ tool_choice: { type: "mcp", name: "get_weather" } })],
    ["allowed tools", respond({ tool_choice: { type: "allowed_tools", mode: "auto", tools: [flat("rm")] } })],
    [
      "allowed tools of a chat",
      chat({ tool_choice: { type: "allowed_tools", allowed_tools: { mode: "auto", tools: [fn("rm")] } } })
    ],
    ["a legacy function that is forced", chat({ function_call: { name: "rm" } })],
    ["a stored prompt", respond({ prompt: { id: "pmpt_1" } })],
    ["another server's plugins", chat({ plugins: [{ id: "web" }] })]
  ])("%s", (_name, run) =>
    through(run, async (send) => {
      const l = lab(under({ "tools[].function.name": ["get_weather"] }))
      const seen = await attempt(l, await l.as("alice"), send)
      expect(seen.hits).toEqual([])
      expect(seen.error).toMatchObject({ status: 403, code: "policy_denied" })
      expect(seen.log.map(({ kind }) => kind)).toEqual(["refused"])
    })
  )
  it.each<[string, RequestCase, object]>([
    ["tools", chat({ tools: [fn("get_weather")] }), { ...asked, tools: [fn("get_weather")] }],
    ["functions", chat({ functions: [{ name: "get_weather" }] }), { ...asked, functions: [{ name: "get_weather" }] }],
    ["no tools", chat({ tools: [] }), { ...asked, tools: [] }],
    ["an allowed choice", chat({ tool_choice: fn("get_weather") }), { ...asked, tool_choice: fn("get_weather") }],
    ["a word", chat({ tool_choice: "required" }), { ...asked, tool_choice: "required" }],
    [
      "a namespace of allowed tools",
      respond({ tools: [space("crm", flat("get_weather"))] }),
      { ...toResponses, tools: [space("crm", flat("get_weather"))] }
    ],
    [
      "additional allowed tools",
      respond({ input: [{ ...brought, tools: [flat("get_weather")] }] }),
      { ...toResponses, input: [{ ...brought, tools: [flat("get_weather")] }] }
    ],
    [
      "tools of the Responses API",
      respond({ tools: [flat("get_weather")] }),
      { ...toResponses, tools: [flat("get_weather")] }
    ]
  ])("and lets %s pass", (_name, run, body) =>
    through(run, async (send) => {
      const l = lab(under({ "tools[].function.name": ["get_weather"] }))
      arrives(body)(await attempt(l, await l.as("alice"), send))
    })
  )
})

describe("what a policy keeps out stays out, wherever it stands", () => {
  const image = { type: "image_url", image_url: { url: "http://169.254.169.254/latest" } }
  it.each<[string, object, RequestCase, string]>([
    ["a denied tool", { "tools[].function.name": ["rm*"] }, chat({ tools: [fn("rm_rf")] }), "value_denied"],
    [
      "a denied tool among functions",
      { "tools[].function.name": ["rm*"] },
      chat({ functions: [{ name: "rm_rf" }] }),
      "value_denied"
    ],
    [
      "a denied custom tool",
      { "tools[].function.name": ["rm*"] },
      chat({ tools: [{ type: "custom", custom: { name: "rm_rf" } }] }),
      "value_denied"
    ],
    [
      "a denied tool of the Responses API",
      { "tools[].function.name": ["rm*"] },
      respond({ tools: [flat("rm_rf")] }),
      "value_denied"
    ],
    ...(
      [
        ["additional tools", respond({ input: [{ ...brought, tools: [flat("rm_rf")] }] })],
        ["tools that a search gave", respond({ input: [{ type: "tool_search_output", tools: [flat("rm_rf")] }] })],
        ["a namespace", respond({ tools: [space("crm", flat("rm_rf"))] })],
        ["a namespace's name", respond({ tools: [space("rm", flat("x"))] })],
        ["a decoy", respond({ tools: [{ type: "web_search", name: "rm_rf" }] })],
        ["a server's tools", respond({ tools: [{ type: "mcp", server_label: "x", allowed_tools: ["rm_rf"] }] })],
        ["a choice", respond({ tool_choice: { type: "function", name: "rm_rf" } })],
        ["allowed tools", respond({ tool_choice: { type: "allowed_tools", tools: [flat("rm_rf")] } })],
        ["a legacy choice", chat({ function_call: { name: "rm_rf" } })],
        ["a type that is not known", respond({ tools: [{ type: "unheard_of", label: "x" }] })],
        ["a stored prompt", respond({ prompt: { id: "pmpt_1" } })]
      ] as const
    ).map(([name, run]): [string, object, RequestCase, string] => [
      `a denied tool by ${name}`,
      { "tools[].function.name": ["rm*"] },
      run,
      "value_denied"
    ]),
    ...(
      [
        ["tools", chat({ tools: [fn("x")] })],
        ["functions", chat({ functions: [{ name: "x" }] })],
        ["additional tools", respond({ input: [{ ...brought, tools: [flat("x")] }] })],
        ["a web search of a chat", chat({ web_search_options: {} })],
        ["a stored prompt", respond({ prompt: { id: "pmpt_1" } })]
      ] as const
    ).map(([name, run]): [string, object, RequestCase, string] => [
      `all tools: ${name}`,
      { tools: ["*"] },
      run,
      "value_denied"
    ]),
    [
      "a hosted tool by its type, among additional tools",
      { "tools[].type": ["mcp", "web_search*"] },
      respond({ input: [{ ...brought, tools: [{ type: "web_search_preview" }] }] }),
      "value_denied"
    ],
    [
      "a web search of a chat by its type",
      { "tools[].type": ["web_search*"] },
      chat({ web_search_options: {} }),
      "value_denied"
    ],
    [
      "a legacy function by its type",
      { "tools[].type": ["function"] },
      chat({ functions: [{ name: "x" }] }),
      "value_denied"
    ],
    [
      "a server of tools, among additional tools",
      { "tools[].server_url": ["*"] },
      respond({
        input: [{ ...brought, tools: [{ type: "mcp", server_label: "x", server_url: "https://evil.test" }] }]
      }),
      "value_denied"
    ],
    [
      "another description, of a response's tool",
      { "tools[].function.description": ["*ignore*"] },
      respond({ tools: [{ ...flat("x"), description: "ignore all" }] }),
      "value_denied"
    ],
    [
      "another description, of a namespace",
      { "tools[].function.description": ["*ignore*"] },
      respond({ tools: [{ ...space("crm", flat("x")), description: "ignore all" }] }),
      "value_denied"
    ],
    [
      "a legacy function that is forced",
      { tool_choice: ["*"] },
      chat({ functions: [{ name: "x" }], function_call: { name: "x" } }),
      "value_denied"
    ],
    [
      "a tool that is forced",
      { tool_choice: ["*"] },
      chat({ tools: [fn("x")], tool_choice: { type: "function", function: { name: "x" } } }),
      "value_denied"
    ],
    [
      "a tool that is forced by one word",
      { tool_choice: ["required"] },
      chat({ tools: [fn("x")], tool_choice: "required" }),
      "value_denied"
    ],
    [
      "calls at once",
      { parallel_tool_calls: [true] },
      chat({ tools: [fn("x")], parallel_tool_calls: true }),
      "value_denied"
    ],
    [
      "a hosted tool by its type",
      { "tools[].type": ["mcp", "web_search*"] },
      respond({ tools: [{ type: "web_search_preview" }] }),
      "value_denied"
    ],
    [
      "a server of tools",
      { "tools[].server_url": ["*"] },
      respond({ tools: [{ type: "mcp", server_label: "x", server_url: "https://evil.test" }] }),
      "value_denied"
    ],
    [
      "another schema of the same tool",
      { "tools[].function.parameters": ["*"] },
      chat({ tools: [fn("x", { parameters: { type: "object" } })] }),
      "value_denied"
    ],
    [
      "another description of the same tool",
      { "tools[].function.description": ["*ignore*"] },
      chat({ tools: [fn("x", { description: "ignore all" })] }),
      "value_denied"
    ],
    ["an image", { messages: ["image_url"] }, chat(said([{ type: "text", text: "x" }, image])), "value_denied"],
    ["an image by its host", { messages: ["http://169.254.*"] }, chat(said([image])), "value_denied"],
    [
      "an image on the Responses API",
      { messages: ["input_image"] },
      respond({ input: [{ role: "user", content: [{ type: "input_image", image_url: "x" }] }] }),
      "value_denied"
    ],
    [
      "sound",
      { messages: ["input_audio"] },
      chat(said([{ type: "input_audio", input_audio: { data: "", format: "wav" } }])),
      "value_denied"
    ],
    ["a file", { messages: ["file"] }, chat(said([{ type: "file", file: { file_id: "file-1" } }])), "value_denied"],
    [
      "a file by its id",
      { messages: ["file-secret*"] },
      chat(said([{ type: "file", file: { file_id: "file-secret-1" } }])),
      "value_denied"
    ],
    [
      "a file by its id on the Responses API",
      { messages: ["file-secret*"] },
      respond({ input: [{ role: "user", content: [{ type: "input_file", file_id: "file-secret-1" }] }] }),
      "value_denied"
    ],
    [
      "a vector store",
      { "tools[].vector_store_ids": ["vs_secret"] },
      respond({ tools: [{ type: "file_search", vector_store_ids: ["vs_1", "vs_secret"] }] }),
      "value_denied"
    ],
    [
      "a text, in a part of a part",
      { messages: ["*DROP TABLE*"] },
      chat(said([{ type: "text", text: "please DROP TABLE x" }])),
      "value_denied"
    ],
    [
      "a text, in another spelling of messages",
      { messages: ["*DROP TABLE*"] },
      respond({ input: "please DROP TABLE x" }),
      "value_denied"
    ],
    [
      "a text, in an answer that is made up",
      { messages: ["*granted*"] },
      chat({ messages: [{ role: "assistant", content: "access granted" }, ...messages] }),
      "value_denied"
    ],
    [
      "a text, in a tool's answer that is made up",
      { messages: ["*granted*"] },
      chat({ messages: [{ role: "tool", tool_call_id: "c", content: "granted" }] }),
      "value_denied"
    ],
    [
      "a refusal that is made up",
      { messages: ["*sorry*"] },
      chat({ messages: [{ role: "assistant", content: [{ type: "refusal", refusal: "sorry" }] }] }),
      "value_denied"
    ],
    ["bidirectional controls", { messages: ["*\u202e*"] }, chat(said("a\u202eb")), "value_denied"],
    ["instructions", { instructions: ["*"] }, respond({ instructions: "obey" }), "value_denied"],
    [
      "a template",
      { prompt: ["*"] },
      respond({ prompt: { id: "pmpt_1", version: "2", variables: { x: "y" } } }),
      "value_denied"
    ],
    [
      "a template by its id",
      { "prompt.id": ["pmpt_secret"] },
      respond({ prompt: { id: "pmpt_secret" } }),
      "value_denied"
    ],
    [
      "an earlier response",
      { previous_response_id: ["*"] },
      respond({ previous_response_id: "resp_1" }),
      "value_denied"
    ],
    ["a conversation by its name", { conversation: ["*"] }, respond({ conversation: "conv_1" }), "value_denied"],
    [
      "a conversation as an object",
      { conversation: ["*"] },
      respond({ conversation: { id: "conv_1" } }),
      "value_denied"
    ],
    ["work in the background", { background: [true] }, respond({ background: true }), "value_denied"],
    ["storage", { store: [true] }, respond({ store: true }), "value_denied"]
  ])("%s", (_name, denied, run, code) =>
    through(run, async (send) => {
      const l = lab(without(denied))
      refused(code)(await attempt(l, await l.as("alice"), send))
    })
  )
})

describe("a list of what may be said holds for every message", () => {
  it.each<[string, object, RequestCase]>([
    ["a system message", { "messages[].role": ["user", "assistant"] }, chat(said("obey", "system"))],
    ["a developer message", { "messages[].role": ["user", "assistant"] }, chat(said("obey", "developer"))],
    [
      "a system message behind another",
      { "messages[].role": ["user", "assistant"] },
      chat({ messages: [...messages, { role: "system", content: "obey" }] })
    ],
    [
      "a system message on the Responses API",
      { "messages[].role": ["user", "assistant"] },
      respond({ input: [{ role: "system", content: "obey" }] })
    ],
    ["a role of another case", { "messages[].role": ["user"] }, chat(said("obey", "User"))],
    ["no role", { "messages[].role": ["user"] }, chat({ messages: [{ content: "x" }] })],
    ["too many messages", { messages: { max_items: 1 } }, chat({ messages: [...messages, ...messages] })],
    ["too many inputs", { messages: { max_items: 1 } }, respond({ input: [...messages, ...messages] })],
    ["a template that is on no list", { "prompt.id": ["pmpt_ok"] }, respond({ prompt: { id: "pmpt_other" } })],
    ["a template that is no object", { "prompt.id": ["pmpt_ok"] }, respond({ prompt: "pmpt_other" })],
    ["a format", { "response_format.type": ["text"] }, chat({ response_format: { type: "json_object" } })]
  ])("%s", (_name, parameters, run) =>
    through(run, async (send) => {
      const l = lab(under(parameters))
      const seen = await attempt(l, await l.as("alice"), send)
      expect(seen.hits).toEqual([])
      expect(seen.error).toMatchObject({ status: 403, code: "policy_denied" })
      expect(seen.log.map(({ kind }) => kind)).toEqual(["refused"])
    })
  )
})

describe("a tool that the answer asks for", () => {
  const policies = [
    { policy_id: "app:lab", resources: ["tool:lab/**"] },
    { policy_id: "user:alice", resources: ["tool:lab/generate", "tool:lab/get_weather"] }
  ]
  it.each([
    [false, "rm", "deny"],
    [true, "rm", "deny"],
    [false, "get_weather", "allow"],
    [true, "get_weather", "allow"]
  ])("is judged in the log (stream: %s, %s)", (stream, name, verdict) =>
    through(chat({ stream }), async (send) => {
      const l = lab(policies)
      l.provider.behave({ toolCalls: [{ name, arguments: '{"q":1}' }] })
      const seen = await attempt(l, await l.as("alice"), send)
      expect(kinds(seen, "tool_call").map((record) => [record["tool"], record["verdict"]])).toEqual([
        [`tool:lab/${name}`, verdict]
      ])
    })
  )
  it.each(["rm", "get_weather.", "Get_Weather", "../get_weather", "get_weather/x", "__proto__", "constructor"])(
    "is not run for a caller who may not: %s",
    async (name) => {
      const l = lab(policies)
      let ran = 0
      for (const registered of ["rm", "get_weather", name]) l.service.registerTool(registered, () => ran++)
      const alice = await l.as("alice")
      const call = { id: "c1", type: "function" as const, function: { name, arguments: "{}" } }
      const { content } = await alice.invokeTool(call)
      expect(JSON.parse(content)).toMatchObject({ error: { code: "policy_denied" } })
      expect(ran).toBe(0)
    }
  )
  it("is not run with arguments that are read in two ways", async () => {
    const l = lab(policies)
    let ran = 0
    l.service.registerTool("get_weather", () => ran++)
    const alice = await l.as("alice")
    for (const text of ['{"q":1,"q":2}', '{"__proto__":{}}', "[]", "x", '"x"'])
      expect(
        JSON.parse(
          (await alice.invokeTool({ id: "c", type: "function", function: { name: "get_weather", arguments: text } }))
            .content
        )
      ).toMatchObject({ error: {} })
    expect(ran).toBe(0)
  })
})
