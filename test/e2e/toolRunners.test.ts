import * as Fs from "node:fs"
import * as Http from "node:http"
import { createRequire } from "node:module"
import type { AddressInfo } from "node:net"
import * as Path from "node:path"
import { functionTool } from "openai/lib/beta/agents/function-tool"
import { BrowserToolset } from "openai/helpers/browser"
import { ComputerToolset } from "openai/helpers/computer"
import { DecisionsToolRunner } from "openai/helpers/decisions-tool-runner"
import { ResponsesToolRunner, runnerFunction } from "openai/helpers/responses-tool-runner"
import { standardResponsesFunction } from "openai/helpers/standard-schema"
import { zodFunction, zodResponsesFunction } from "openai/helpers/zod"
import { OpenAI } from "openai"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { z } from "zod"
import { PolicyDeniedError, SecureOpenAI, Workspace } from "../../src/index.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"

/** A provider that answers with what a test has left to answer, and keeps what it was asked. */
let server: Http.Server
let baseURL: string
let answers: Array<(stream: boolean) => unknown> = []
const asked: Array<{ readonly path: string; readonly body: Record<string, unknown> }> = []
beforeAll(async () => {
  server = Http.createServer(async (request, response) => {
    const parts: Array<Buffer> = []
    for await (const part of request) parts.push(part as Buffer)
    const text = Buffer.concat(parts).toString()
    const body = text === "" ? {} : (JSON.parse(text) as Record<string, unknown>)
    const path = (request.url ?? "").replace("/v1", "")
    asked.push({ path: `${request.method} ${path}`, body })
    const isStream = body["stream"] === true || String(request.headers.accept).includes("event-stream")
    const answer = answers.shift()?.(isStream) ?? {}
    if (!Array.isArray(answer)) {
      response.writeHead(200, { "content-type": "application/json" })
      return response.end(JSON.stringify(answer))
    }
    response.writeHead(200, { "content-type": "text/event-stream" })
    for (const event of answer as Array<{ type: string }>)
      response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
    response.end()
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

let workspace: Workspace
beforeAll(() => {
  const tool = (name: string) => `tool:lab/${name}`
  workspace = new Workspace({
    audit: "memory",
    issuers: testIssuer,
    policies: [
      { policy_id: "app:lab", resources: ["tool:lab/**", "api:lab/**"] },
      {
        policy_id: "user:carol",
        resources: ["generate", "get_weather", "nothing", "browser_find", "computer", "lookup", "walk"]
          .map(tool)
          .concat("api:lab/**"),
        constraints: {
          parameters: {
            [tool("get_weather")]: { days: { max: 3 } },
            [tool("computer")]: { type: ["wait", "screenshot"] }
          }
        }
      }
    ]
  })
})
afterAll(() => workspace.close())
afterEach(() => {
  answers = []
  asked.length = 0
})

const openService = () => new SecureOpenAI({ apiKey: "k", baseURL, appName: "lab", workspace, maxRetries: 0 })
const open = () => openService().asUser(mintToken({ sub: "carol" }))

let made = 0
const responseOf = (output: ReadonlyArray<object>) => ({
  id: `resp_${++made}`,
  object: "response",
  created_at: 1,
  model: "gpt-4o",
  status: "completed",
  error: null,
  output,
  usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 }
})
/** A response, as JSON or as events. */
const responds = (...output: ReadonlyArray<object>) => {
  const response = responseOf(output)
  return (stream: boolean): unknown =>
    stream
      ? [
          { type: "response.created", response: { ...response, status: "in_progress", output: [] } },
          ...output.flatMap((item, output_index) => [
            { type: "response.output_item.added", output_index, item },
            { type: "response.output_item.done", output_index, item }
          ]),
          { type: "response.completed", response }
        ].map((event, sequence_number) => ({ ...event, sequence_number }))
      : response
}
const done = () =>
  responds({
    type: "message",
    id: `msg_${++made}`,
    role: "assistant",
    status: "completed",
    content: [{ type: "output_text", text: "done", annotations: [], logprobs: [] }]
  })
const call = (name: string, args: string | object, call_id = `call_${++made}`) => ({
  type: "function_call",
  id: `fc_${++made}`,
  call_id,
  name,
  arguments: typeof args === "string" ? args : JSON.stringify(args),
  status: "completed"
})
/** What the model was told, by the last request's outputs. */
const told = (): ReadonlyArray<unknown> =>
  ((asked.at(-1)?.body["input"] ?? []) as ReadonlyArray<Record<string, unknown>>)
    .filter((item) => String(item["type"]).endsWith("_output") || item["type"] === "mcp_approval_response")
    .map((item) => item["output"] ?? item["approve"])

const declare = (name: string) => ({ type: "function" as const, name, parameters: {}, strict: false })
const params = { model: "gpt-4o", input: "hi" }

describe.each([
  ["a whole answer", {}],
  ["a stream", { stream: true }],
  ["a stream, eagerly", { stream: true, eager: true }]
])("the SDK's ResponsesToolRunner, over %s", (_what, options) => {
  it("runs functions as policy lets the caller, and tells the model of a refusal", async () => {
    const carol = await open()
    const ran: Array<unknown> = []
    const runner = new ResponsesToolRunner({
      functions: [
        { tool: declare("get_weather"), execute: (args) => (ran.push(args), `sunny for ${String(args["days"])}`) },
        { tool: declare("wire_money"), execute: (args) => (ran.push(args), "wired") }
      ]
    })
    answers = [
      responds(
        call("get_weather", '{"days":2,"at":12345678901}'),
        call("wire_money", { to: "eve" }),
        call("get_weather", { days: 30 })
      ),
      done()
    ]
    const final = await runner.run(carol, params, options)
    expect(final.output_text).toBe("done")
    expect(ran).toEqual([{ days: 2, at: 12345678901 }, { days: 3 }])
    expect(told()).toEqual([
      "sunny for 2",
      '{"error":{"code":"policy_denied","message":"policy does not let this caller use the tool"}}',
      "sunny for 3"
    ])
    const log = await workspace.records()
    const [asking] = log.filter((r) => r.kind === "decision" && r["tool"] === "tool:lab/generate").slice(-2)
    const tools = log.filter((r) => ["tool:lab/get_weather", "tool:lab/wire_money"].includes(String(r["tool"])))
    expect(tools.filter((r) => r.kind === "refused").map((r) => r["tool"])).toContain("tool:lab/wire_money")
    for (const { parent } of tools.filter((r) => r.kind === "decision").slice(-2)) expect(parent).toBe(asking?.["call"])
  })

  it("parses with zod's and other schemas, before and after policy changed the arguments", async () => {
    const carol = await open()
    const ran: Array<unknown> = []
    const schema = z.object({ days: z.number() })
    const run = ({ days }: { days: number }) => (ran.push(days), `${days} days`)
    for (const tool of [
      zodResponsesFunction({ name: "get_weather", parameters: schema, function: run }),
      standardResponsesFunction({ name: "get_weather", parameters: schema, function: run } as never)
    ]) {
      answers = [responds(call("get_weather", { days: 1 }), call("get_weather", { days: 9 })), done()]
      await new ResponsesToolRunner({ functions: [runnerFunction(tool as never)] }).run(carol, params, options)
      expect(told()).toEqual(["1 days", "3 days"])
    }
    expect(ran).toEqual([1, 3, 1, 3])
  })

  it("runs what no policy knows for the service, and what the plain client runs for the plain client", async () => {
    const service = openService()
    for (const client of [service, new OpenAI({ apiKey: "k", baseURL, maxRetries: 0 })]) {
      const ran: Array<unknown> = []
      answers = [responds(call("wire_money", { to: "eve" })), done()]
      const functions = [{ tool: declare("wire_money"), execute: (args: object) => (ran.push(args), "wired") }]
      await new ResponsesToolRunner({ functions }).run(client, params, options)
      expect(ran).toEqual([{ to: "eve" }])
      expect(told()).toEqual(["wired"])
    }
  })

  it("ends a run as the SDK does: of a tool that throws, that gives nothing, or whose arguments are none", async () => {
    const ends = async (client: OpenAI, execute: () => never, args = "{}") => {
      answers = [responds(call("nothing", args)), done()]
      const runner = new ResponsesToolRunner({ functions: [{ tool: declare("nothing"), execute }] })
      const error: unknown = await runner.run(client, params, options).catch((e: unknown) => e)
      return [(error as Error).name, (error as Error).message]
    }
    const carol = await open()
    const plain = new OpenAI({ apiKey: "k", baseURL, maxRetries: 0 })
    const throws = () => {
      throw new Error("broken")
    }
    for (const [execute, args] of [
      [throws, "{}"],
      [() => undefined as never, "{}"],
      [() => "x" as never, "no JSON"]
    ] as const)
      expect(await ends(carol, execute, args)).toEqual(await ends(plain, execute, args))
  })

  it("judges members of a browser, each action of a computer, and approvals of an MCP server's tools", async () => {
    const carol = await open()
    const ran: Array<string> = []
    const browser = new BrowserToolset(
      {
        state: () => Promise.resolve({ tabs: [{ id: "t", title: "", url: "https://a.example", active: true }] }),
        find: () => (ran.push("find"), Promise.resolve("nothing found") as never),
        get_page_text: () => (ran.push("text"), Promise.resolve({ text: "secret" }) as never)
      } as never,
      { members: ["find", "get_page_text"] } as never
    )
    const find = call("browser_find", { query: "x", tab_id: null })
    // As where the app declines one, those after it were planned for another page.
    const after = { ...find, id: "fc_after", call_id: "call_after" }
    answers = [responds(find, call("browser_get_page_text", { tab_id: null }), after), done()]
    await new ResponsesToolRunner({ browser }).run(carol, params, options)
    expect(ran.splice(0)).toEqual(["find"])
    const [found, refused, skipped] = told().map((output) => JSON.stringify(output))
    expect(found).toContain('ok\\":true')
    expect(refused).toContain("policy_denied")
    expect(skipped).toContain("earlier browser call failed")

    const act =
      (name: string) =>
      (...args: ReadonlyArray<unknown>): Promise<never> => {
        ran.push(name)
        void args
        return Promise.resolve(
          (name === "screenshot"
            ? { type: "computer_screenshot", image_url: "data:image/png;base64,AA==" }
            : undefined) as never
        )
      }
    const computer = () =>
      new ComputerToolset(
        Object.fromEntries(
          ["click", "double_click", "drag", "keypress", "move", "screenshot", "scroll", "type", "wait"].map((name) => [
            name,
            act(name)
          ])
        ) as never
      )
    const acts = (...actions: ReadonlyArray<object>) => ({
      type: "computer_call",
      id: `cc_${++made}`,
      call_id: `call_${++made}`,
      status: "completed",
      actions
    })
    const tools = [{ type: "computer" as const }]
    const approving = { ...options, computerOptions: { beforeAction: () => true as never } }
    answers = [responds(acts({ type: "wait" }, { type: "screenshot" })), done()]
    await new ResponsesToolRunner({ computer: computer() }).run(carol, { ...params, tools }, approving)
    expect(ran.splice(0)).toEqual(["wait", "screenshot"])
    answers = [responds(acts({ type: "wait" }, { type: "click", button: "left", x: 1, y: 1 })), done()]
    await expect(
      new ResponsesToolRunner({ computer: computer() }).run(carol, { ...params, tools }, approving)
    ).rejects.toThrow(/stopped/)
    expect(ran).toEqual([])
    answers = [responds(acts({ type: "wait" }, { type: "click", button: "left", x: 1, y: 1 })), done()]
    await expect(computer().run(carol, { ...params, tools }, { beforeAction: () => true as never })).rejects.toThrow(
      PolicyDeniedError
    )
    expect(ran).toEqual([])

    const wants = (name: string) => ({
      type: "mcp_approval_request",
      id: `mcpr_${++made}`,
      name,
      arguments: "{}",
      server_label: "far"
    })
    answers = [responds(wants("lookup"), wants("erase")), done()]
    const agreed: Array<string> = []
    await new ResponsesToolRunner({}).run(
      carol,
      { ...params, tools: [{ type: "mcp", server_label: "far", server_url: "https://far.example" }] },
      { ...options, ...("eager" in options ? { eager: false } : {}), approveMcp: ({ name }) => agreed.push(name) > 0 }
    )
    expect(agreed).toEqual(["lookup"])
    expect(told()).toEqual([true, false])
  })
})

describe("the SDK's other runners", () => {
  it("its DecisionsToolRunner takes no candidate that policy refuses", async () => {
    const carol = await open()
    const ran: Array<string> = []
    const choice = (value: string) => () => ({
      model: "m",
      answers: [{ name: "next_action", type: "choice", choice: value, confidence: 1, probabilities: [] }],
      usage: {
        input_tokens: 1,
        output_tokens: 1,
        total_tokens: 2,
        input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
        output_tokens_details: { reasoning_tokens: 0 }
      }
    })
    class Runs {
      readonly #id: string
      constructor(id: string) {
        this.#id = id
      }
      get id() {
        return this.#id
      }
      readonly description = "moves"
      execute() {
        ran.push(this.#id)
      }
    }
    const runner = () =>
      new DecisionsToolRunner({
        observe: () => "here",
        candidates: () => [new Runs("walk"), new Runs("burn"), { id: "end", description: "ends", done: true }]
      })
    answers = [choice("walk"), choice("end")]
    expect(await runner().run(carol, { model: "m", input: "go" })).toMatchObject({ completedCandidateIds: ["walk"] })
    answers = [choice("burn"), choice("end")]
    await expect(runner().run(carol, { model: "m", input: "go" })).rejects.toMatchObject({
      attemptedCandidateIds: ["burn"],
      completedCandidateIds: []
    })
    expect(ran).toEqual(["walk"])
  })

  const turn = (...calls: ReadonlyArray<readonly [name: string, args: string]>) => [
    { type: "agent.session.created", event_id: "e0", session: { id: "s1" } },
    { type: "agent.session.turn.created", event_id: "e1", turn_id: "t1", turn: { subagent_id: null } },
    ...calls.map(([name, args], i) => ({
      type: "agent.session.turn.item.added",
      event_id: `c${i}`,
      item: { type: "function_call", turn_id: "t1", call_id: `call_${i}`, name, arguments: args }
    })),
    { type: "agent.session.turn.completed", event_id: "e2", turn_id: "t1" },
    { type: "agent.session.idle", event_id: "e3", session: { id: "s1" } }
  ]
  it.each(["create", "stream"] as const)("tool handlers of an agent's session are judged: %s", async (way) => {
    const carol = await open()
    const ran: Array<unknown> = []
    const weather = functionTool(
      zodResponsesFunction({
        name: "get_weather",
        parameters: z.object({ days: z.number() }),
        function: ({ days }) => (ran.push(days), undefined)
      }) as never
    )
    const toolHandlers = {
      get_weather: weather.handler,
      wire_money: () => (ran.push("wired"), "wired"),
      nothing: () => undefined as never
    }
    const events = turn(["get_weather", '{"days":7}'], ["wire_money", "{}"], ["nothing", "{}"])
    answers = way === "stream" ? [() => ({ id: "s1", status: "idle" }), () => events] : [() => events]
    const sessions = carol.beta.agents.sessions
    const stream =
      way === "stream"
        ? sessions.stream("s1", { input: "hi", toolHandlers })
        : await sessions.create({ agent: {}, input: "hi", stream: true, toolHandlers } as never)
    const seen = await Array.fromAsync(stream as AsyncIterable<{ type: string }>)
    expect(seen.map(({ type }) => type)).toContain("agent.session.turn.completed")
    expect(ran).toEqual([3])
    const results = asked.flatMap(({ body }) =>
      ((body["events"] ?? []) as ReadonlyArray<Record<string, unknown>>).filter((e) =>
        String(e["type"]).endsWith("result")
      )
    )
    expect(results.map(({ output, success }) => [success, output])).toEqual([
      [true, "undefined"],
      [true, expect.stringContaining("policy_denied")],
      [false, undefined]
    ])
  })

  it.each([false, true])(
    "runTools tells the model of a tool that gives nothing as the SDK does (stream: %s)",
    async (stream) => {
      const carol = await open()
      const plain = new OpenAI({ apiKey: "k", baseURL, maxRetries: 0 })
      const contents: Array<unknown> = []
      for (const client of [carol, plain])
        for (const value of [undefined, null, 0, "", { a: [1] }]) {
          const tool_calls = [
            { index: 0, id: `c${++made}`, type: "function", function: { name: "nothing", arguments: '{"a":1}' } }
          ]
          const chat = (message: object, finish_reason: string) => (isStream: boolean) => {
            const whole = { id: "c", object: "chat.completion", created: 1, model: "m" }
            return isStream
              ? [
                  {
                    ...whole,
                    object: "chat.completion.chunk",
                    choices: [{ index: 0, delta: message, finish_reason: null }]
                  },
                  { ...whole, object: "chat.completion.chunk", choices: [{ index: 0, delta: {}, finish_reason }] }
                ]
              : { ...whole, choices: [{ index: 0, message, finish_reason }] }
          }
          answers = [
            chat({ role: "assistant", content: null, tool_calls }, "tool_calls"),
            chat({ role: "assistant", content: "done" }, "stop")
          ]
          const tool = zodFunction({
            name: "nothing",
            parameters: z.object({ a: z.number() }),
            function: () => value as never
          })
          const runner = client.chat.completions.runTools({
            model: "gpt-4o",
            stream,
            messages: [{ role: "user", content: "hi" }],
            tools: [tool]
          } as never)
          await runner.done()
          const messages = (asked.at(-1)?.body["messages"] ?? []) as ReadonlyArray<Record<string, unknown>>
          contents.push(messages.at(-1)?.["content"])
        }
      expect(contents.slice(0, 5)).toEqual(contents.slice(5))
      expect(contents[0]).toBe("undefined")
    }
  )

  it("invokeTool tells of a tool that gives nothing as the SDK does", async () => {
    const service = openService()
    service.registerTool("nothing", () => undefined)
    const carol = await service.asUser(mintToken({ sub: "carol" }))
    const message = await carol.invokeTool({
      id: "c",
      type: "function",
      function: { name: "nothing", arguments: "{}" }
    })
    expect(message.content).toBe("undefined")
  })

  it("a runner of CommonJS that is loaded after the client was made is judged as one of the ES module is", async () => {
    const carol = await open()
    const require = createRequire(import.meta.url)
    const { ResponsesToolRunner: CommonJs } = require("openai/helpers/responses-tool-runner") as {
      ResponsesToolRunner: typeof ResponsesToolRunner
    }
    expect(CommonJs).not.toBe(ResponsesToolRunner)
    answers = [responds(call("wire_money", {})), done()]
    const functions = [{ tool: declare("wire_money"), execute: () => "wired" }]
    await new CommonJs({ functions }).run(carol, params)
    expect(String(told()[0])).toContain("policy_denied")
  })

  it("a client that a tracer wrapped is judged too, and a runner that is built in another way runs nothing", async () => {
    const carol = await open()
    const wrapped = new Proxy(carol, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key)
        return typeof value === "object" && value !== null ? new Proxy(value, {}) : value
      }
    })
    const functions = [{ tool: declare("wire_money"), execute: () => "wired" }]
    answers = [responds(call("wire_money", {})), done()]
    await new ResponsesToolRunner({ functions }).run(wrapped, params)
    expect(String(told()[0])).toContain("policy_denied")
    const other = new ResponsesToolRunner({ functions })
    Reflect.deleteProperty(other, "computer")
    await expect(other.run(carol, params)).rejects.toThrow(/not known to secure-openai/)
  })
})

describe("what of the SDK runs tools", () => {
  /** Files that call, or hand on, what an app gave the SDK for a tool; with what becomes of it here. */
  const known: Readonly<Record<string, string>> = {
    "helpers/browser.mjs": "runs members for ResponsesToolRunner, and where the app itself asks for it",
    "helpers/computer.mjs": "ComputerToolset.run is judged",
    "helpers/decisions-tool-runner.mjs": "judged",
    "helpers/responses-tool-runner.mjs": "judged",
    "lib/AbstractChatCompletionRunner.mjs": "runTools is judged",
    "lib/ChatCompletionStream.mjs": "keeps the callback out of what is sent",
    "lib/ResponsesParser.mjs": "makes tools for runnerFunction and functionTool, runs none",
    "lib/agents/agent-session-stream.mjs": "toolHandlers of sessions.stream are judged",
    "lib/beta/agents/agent-session-create-stream.mjs": "toolHandlers of sessions.create are judged",
    "lib/beta/agents/function-tool.mjs": "makes a handler for toolHandlers, runs none",
    "lib/beta/agents/tool-dispatcher.mjs": "runs toolHandlers",
    "lib/parser.mjs": "makes tools for runTools, runs none"
  }
  const folders = ["helpers", "lib", "resources", "core", "internal", "auth", "beta"]
  const root = Path.dirname(createRequire(import.meta.url).resolve("openai"))
  const files = folders
    .filter((folder) => Fs.existsSync(Path.join(root, folder)))
    .flatMap((folder) =>
      Fs.readdirSync(Path.join(root, folder), { recursive: true, encoding: "utf8" }).map((name) => `${folder}/${name}`)
    )
    .filter((name) => name.endsWith(".mjs"))

  it("is known: an update of openai that adds something turns this red", () => {
    const runs = /\$callback\b|toolHandlers|functionsByName|\.execute\b|\bexecute\(|handler\[/
    const found = files.filter((file) => runs.test(Fs.readFileSync(Path.join(root, file), "utf8")))
    expect(found.sort()).toEqual(Object.keys(known).sort())
  })

  it("is known: an update of openai that adds a helper which takes a client turns this red", () => {
    const takes = /^\s*(async )?\*?(run|iterate|stream|runTools|dispatch|execute)\w*\(client\b/m
    const helpers = files.filter((file) => file.startsWith("helpers/"))
    expect(helpers).toHaveLength(12)
    const found = helpers.filter((file) => takes.test(Fs.readFileSync(Path.join(root, file), "utf8")))
    expect(found.sort()).toEqual([
      "helpers/computer.mjs",
      "helpers/decisions-tool-runner.mjs",
      "helpers/responses-tool-runner.mjs"
    ])
  })
})
