/** What the log says of answers, and what a caller gets of a provider's error: read once, the same for everybody. */
import type { OpenAI } from "openai"
import { describe, expect, it } from "vitest"
import { PolicyDeniedError, secureFetch, SecureOpenAI, type WorkspaceOptions } from "../../src/index.ts"
import { verifyInLog } from "../../src/audit/proof/Receipt.ts"
import { openProvider } from "./fixture.ts"

const { openClient, openWorkspace } = await openProvider()

const messages = [{ role: "user" as const, content: "Hello" }]
const chat = { model: "gpt-4o", messages }
const request = { model: "gpt-4o", input: "Hello" }

/** A client whose provider answers with these bytes. */
const answering = (
  body: string,
  options: WorkspaceOptions = {},
  status = 200,
  type = "application/json",
  more: Record<string, string> = {}
) => {
  const workspace = openWorkspace(options)
  const client = openClient({
    appName: "lab",
    workspace,
    fetch: async () => new Response(body, { status, headers: { "content-type": type, ...more } })
  })
  const records = async (kind: string) => (await workspace.records()).filter((record) => record.kind === kind)
  return { all: () => workspace.records(), client, records }
}
const json = (value: unknown, options?: WorkspaceOptions, status?: number) =>
  answering(JSON.stringify(value), options, status)
const streaming = (body: string, options?: WorkspaceOptions) => answering(body, options, 200, "text/event-stream")
const events = (...all: ReadonlyArray<unknown>) => all.map((one) => `data: ${JSON.stringify(one)}\n\n`).join("")

const read = async (stream: PromiseLike<AsyncIterable<unknown>>) => {
  const seen: Array<unknown> = []
  try {
    for await (const chunk of await stream) seen.push(chunk)
    return { seen, error: undefined }
  } catch (error) {
    return { seen, error }
  }
}

const chunk = (delta: object, finish_reason: string | null = null) => ({
  id: "c",
  object: "chat.completion.chunk",
  created: 1,
  model: "gpt-4o",
  choices: [{ index: 0, delta, finish_reason }]
})
const completion = (message: object, more: object = {}) => ({
  id: "c",
  object: "chat.completion",
  created: 1,
  model: "gpt-4o",
  choices: [
    { index: 0, message: { role: "assistant", content: null, refusal: null, ...message }, finish_reason: "stop" }
  ],
  ...more
})
const response = (...output: ReadonlyArray<object>) => ({
  id: "r",
  object: "response",
  created_at: 1,
  model: "gpt-4o",
  status: "completed",
  output
})

/** Rules for what is answered. */
const denied = (more: object = { denied: ["secret"] }): WorkspaceOptions => ({
  policies: [{ policy_id: "app:lab", resources: ["tool:lab/**"], constraints: { output: { "tool:**": more } } }]
})

describe("the log says of each tool that a model asks for what policy says", () => {
  const policies = [{ policy_id: "app:lab", resources: ["tool:lab/**"], denied_resources: ["tool:lab/pay"] }]
  const call = (name: string, args?: string | null) => ({
    id: `c_${name}`,
    type: "function",
    function: { name, arguments: args }
  })

  it("in a chat completion, and runs those that it lets run", async () => {
    const calls = [call("none", ""), call("null", null), call("missing"), call("broken", "{"), call("pay", "{}")]
    const custom = { id: "c_custom", type: "custom", custom: { name: "custom", input: "x" } }
    const { client, records } = json(completion({ tool_calls: [...calls, custom] }), { policies })
    await client.chat.completions.create(chat)
    const said = new Map((await records("tool_call")).map(({ tool, verdict }) => [tool, verdict]))
    expect(Object.fromEntries(said)).toEqual({
      "tool:lab/none": "allow",
      "tool:lab/null": "allow",
      "tool:lab/missing": "allow",
      "tool:lab/broken": "deny",
      "tool:lab/pay": "deny",
      "tool:lab/custom": "allow"
    })
    for (const { function: f } of calls) client.registerTool(f.name, () => "ran")
    for (const one of calls) {
      const { content } = await client.invokeTool(one as OpenAI.ChatCompletionMessageFunctionToolCall)
      expect([one.function.name, content === "ran" ? "allow" : "deny"]).toEqual([
        one.function.name,
        said.get(`tool:lab/${one.function.name}`)
      ])
    }
  })

  it("in a response, whole and streamed", async () => {
    const items = [
      { id: "1", type: "function_call", call_id: "1", name: "none", arguments: "" },
      { id: "2", type: "custom_tool_call", call_id: "2", name: "custom", input: "x" },
      { id: "3", type: "local_shell_call", call_id: "3", action: { type: "exec", command: ["ls"], env: {} } },
      { id: "4", type: "apply_patch_call", call_id: "4", operation: { type: "delete_file", path: "/x" } },
      { id: "5", type: "computer_call", call_id: "5", actions: [{ type: "wait" }, { type: "screenshot" }] },
      { id: "6", type: "tool_search_call", call_id: "6", execution: "client", arguments: {} },
      { id: "7", type: "program", call_id: "7", code: "x", fingerprint: "" },
      { id: "8", type: "mcp_approval_request", name: "pay", server_label: "s", arguments: "{}" },
      { id: "9", type: "web_search_call", status: "completed" }
    ]
    const expected = [
      ["none", "allow"],
      ["custom", "allow"],
      ["local_shell", "allow"],
      ["apply_patch", "allow"],
      ["computer", "allow"],
      ["computer", "allow"],
      ["tool_search", "allow"],
      ["program", "allow"],
      ["pay", "deny"]
    ].map(([name, verdict]) => ({ tool: `tool:lab/${name}`, verdict }))
    const plain = json(response(...items), { policies })
    await plain.client.responses.create(request)
    expect(await plain.records("tool_call")).toMatchObject(expected)
    const done = items.map((item, output_index) => ({ type: "response.output_item.done", output_index, item }))
    const whole = { type: "response.completed", response: response(...items) }
    const streamed = streaming(events(...done, whole), { policies })
    await read(streamed.client.responses.create({ ...request, stream: true }))
    expect(await streamed.records("tool_call")).toMatchObject(expected)
  })
})

describe("the log says what was used", () => {
  const usage = {
    prompt_tokens: 10,
    completion_tokens: 8,
    total_tokens: 18,
    prompt_tokens_details: { cached_tokens: 4, cache_write_tokens: 2, audio_tokens: 3 },
    completion_tokens_details: { reasoning_tokens: 5, audio_tokens: 1 }
  }
  const told = {
    input: 10,
    output: 8,
    cached: 4,
    cacheWrite: 2,
    audioInput: 3,
    audioOutput: 1,
    reasoning: 5,
    tier: "flex"
  }

  it("with its parts and its tier, in the outcome and in the receipt", async () => {
    const { all, client, records } = json(completion({ content: "x" }, { usage, service_tier: "flex" }))
    const answer = await client.chat.completions.create(chat)
    expect((await records("outcome"))[0]?.["usage"]).toEqual(told)
    const receipt = SecureOpenAI.receipt(answer)!
    const jws = await receipt.sign()
    expect(verifyInLog(jws, await all())).toMatchObject({ valid: true, claims: { out: { usage: told } } })
  })

  it("and nothing that the provider does not say", async () => {
    const { client, records } = json({ object: "list", data: [], usage: { prompt_tokens: 2, total_tokens: 2 } })
    await client.embeddings.create({ model: "text-embedding-3-small", input: "x", encoding_format: "float" })
    expect((await records("outcome"))[0]?.["usage"]).toEqual({ input: 2 })
  })
})

describe("the log says how a stream ended", () => {
  const stop = chunk({}, "stop")
  it.each<[string, string, string]>([
    ["complete", "a choice that is over", events(chunk({ content: "x" }), stop)],
    ["complete", "a sentinel", `${events(chunk({ content: "x" }))}data: [DONE]\n\n`],
    [
      "complete",
      "usage after the end",
      events(chunk({ content: "x" }), stop, { ...chunk({}), usage: { prompt_tokens: 1 } })
    ],
    ["cut", "nothing", ""],
    ["cut", "comments", ": ping\n\n: ping\n\n"],
    ["cut", "a page", "<!doctype html><html><body>Bad gateway</body></html>"],
    ["cut", "a whole JSON answer", JSON.stringify(completion({ content: "x" }))],
    ["cut", "no end", events(chunk({ content: "x" }))],
    ["cut", "a sentinel alone", "data: [DONE]\n\n"],
    ["cut", "ends that are empty", `${events(chunk({}, ""), chunk({ content: "" }, ""))}data: [DONE]\n\n`],
    [
      "failed",
      "a response that was cancelled",
      events({ type: "response.completed", response: { ...response(), status: "cancelled" } })
    ],
    ["failed", "an error", events(chunk({ content: "x" }), { error: { message: "x" } })],
    ["failed", "a named error event", `event: error\ndata: {"message":"x"}\n\n`],
    ["failed", "an object that is an error", events({ object: "error", message: "x", code: 500 })],
    [
      "failed",
      "a choice with an error",
      events({ choices: [{ index: 0, finish_reason: "stop", error: { code: 502 } }] })
    ],
    [
      "failed",
      "a response with an error",
      events({ type: "response.completed", response: { ...response(), error: { message: "x" } } })
    ],
    ["failed", "an error event without a name", events({ type: "error", code: "x", message: "x" })],
    [
      "failed",
      "a response that failed",
      events({ type: "response.failed", response: { ...response(), status: "failed" } })
    ]
  ])("%s: %s", async (result, _, body) => {
    for (const options of [{}, denied()]) {
      const { client, records } = streaming(body, options)
      await read(client.chat.completions.create({ ...chat, stream: true }))
      expect((await records("outcome"))[0]).toMatchObject({ result })
      expect((await records("stream.close"))[0]).toMatchObject({ reason: result })
    }
  })

  it.each<[string, unknown, string]>([
    ["an error", { error: { message: "x" } }, "failed"],
    ["a response that failed", { ...response(), status: "failed", error: { code: "x", message: "x" } }, "failed"],
    ["a response that was cancelled", { ...response(), status: "cancelled" }, "failed"],
    ["an object that is an error", { object: "error", message: "x", code: 400 }, "failed"],
    ["an answer", completion({ content: "x" }), "complete"],
    ["a response", { ...response(), error: null }, "complete"]
  ])("and a plain answer that is %s", async (_, value, result) => {
    const { client, records } = json(value)
    await client.post("/chat/completions", { body: chat })
    expect((await records("outcome"))[0]).toMatchObject({ result, status: 200 })
  })
})

it("and of a plain answer that is a page, or nothing, that it failed", async () => {
  for (const [body, type] of [
    ["<html></html>", "text/html"],
    ["", "application/json"]
  ] as const) {
    const { client, records } = answering(body, {}, 200, type)
    await client.chat.completions.create(chat)
    expect((await records("outcome"))[0]).toMatchObject({ result: "failed", status: 200 })
  }
})

describe("a provider's error", () => {
  const failed = (generation: string) => ({ error: { message: "no JSON", failed_generation: generation } })

  it.each<[string, object]>([
    ["in what was generated", failed("a secret")],
    ["escaped", failed('{"a":"s\\u0065cret"}')],
    ["in its message", { error: { message: "a secret" } }],
    ["beside the error", { error: { message: "x" }, detail: ["a secret"] }]
  ])("that holds a denied text %s is refused", async (_, body) => {
    const { client, records } = json(body, denied(), 400)
    const error = await client.chat.completions.create(chat).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(PolicyDeniedError)
    expect(JSON.stringify([error, String(error)])).not.toMatch(/secret|0065/)
    expect((await records("outcome"))[0]).toMatchObject({ result: "refused", output: [{ code: "output_denied" }] })
    const raw = await secureFetch(client)("https://api.openai.com/v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(chat)
    })
    expect(raw.status).toBe(403)
    expect(await raw.text()).not.toMatch(/secret|0065/)
  })

  it("that holds none is the provider's own", async () => {
    for (const rules of [denied(), denied({ max_characters: 1 }), {}]) {
      const { client, records } = json(failed("a word"), rules, 400)
      const error = await client.chat.completions.create(chat).catch((e: unknown) => e)
      expect(error).toMatchObject({ status: 400, error: failed("a word").error })
      expect((await records("outcome"))[0]).toMatchObject({ result: "failed", status: 400 })
    }
    const { client } = json(failed("a secret"), denied({ on_response: "deny" }), 400)
    expect(await client.chat.completions.create(chat).catch((e: unknown) => e)).toMatchObject({ status: 400 })
  })

  it("in a stream is judged too, after what came before it", async () => {
    const body = events(chunk({ content: "well" }), failed("a secret"))
    const { client, records } = streaming(body, denied())
    const { error, seen } = await read(client.chat.completions.create({ ...chat, stream: true }))
    expect(seen).toEqual([chunk({ content: "well" })])
    expect(error).toBeInstanceOf(PolicyDeniedError)
    expect(JSON.stringify(error)).not.toContain("secret")
    expect((await records("outcome"))[0]).toMatchObject({ result: "refused" })
    const other = streaming(events(chunk({ content: "well" }), failed("a word")), denied())
    expect((await read(other.client.chat.completions.create({ ...chat, stream: true }))).error).toMatchObject({
      error: failed("a word").error
    })
  })

  it("is told to the log where policies are only observed", async () => {
    const { client, records } = json(failed("a secret"), { ...denied(), policyMode: "observe" }, 400)
    expect(await client.chat.completions.create(chat).catch((e: unknown) => e)).toMatchObject({ status: 400 })
    expect((await records("outcome"))[0]).toMatchObject({ result: "failed", observed: [{ code: "output_denied" }] })
  })
})

describe("a key that is there twice", () => {
  const twice = (first: string) =>
    JSON.stringify(completion({ content: "x" })).replace('"content":', `"content":${JSON.stringify(first)},"content":`)

  it("hides no denied text from the caller of the raw answer", async () => {
    for (const first of ["a secret", "a s\\u0065cret"]) {
      const { client } = answering(twice(first), denied())
      const error = await client.chat.completions
        .create(chat)
        .asResponse()
        .catch((e: unknown) => e)
      expect(error).toBeInstanceOf(PolicyDeniedError)
    }
    const { client } = answering(twice("a word"), denied())
    expect(await (await client.chat.completions.create(chat).asResponse()).text()).toBe(twice("a word"))
  })
})

describe("the headers of an answer", () => {
  const usual = {
    date: "Mon, 30 Nov 2026 17:48:44 GMT",
    "set-cookie": "__cf_bm=x1234567; path=/; expires=Mon, 30-Nov-26 18:18:44 GMT; HttpOnly",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "x-ratelimit-remaining-tokens": "149984",
    "x-request-id": "req_1234567"
  }
  const rules = denied({ denied: ["secret", { pattern: "[0-9]{6}" }], hold_back: 6 })
  const answers: ReadonlyArray<readonly [string, string, number, string, boolean]> = [
    ["an error", JSON.stringify({ error: { message: "x" } }), 400, "application/json", false],
    ["an error of no JSON", "x", 400, "text/plain", false],
    ["a plain answer", JSON.stringify(completion({ content: "x" })), 200, "application/json", false],
    ["a stream", events(chunk({ content: "x" }), chunk({}, "stop")), 200, "text/event-stream", true]
  ]

  it.each(answers)("are judged: of %s", async (_, body, status, type, stream) => {
    for (const more of [
      { "x-said": "a secret" },
      { "x-said": '{"a":"s\\u0065cret"}' },
      { server: "the secret server" }
    ]) {
      const { client, records } = answering(body, rules, status, type, { ...usual, ...more } as Record<string, string>)
      const error = await client.chat.completions
        .create({ ...chat, stream })
        .withResponse()
        .catch((e: unknown) => e)
      expect(error).toBeInstanceOf(PolicyDeniedError)
      const { headers } = error as PolicyDeniedError
      expect(JSON.stringify([error, String(error), [...(headers ?? [])]])).not.toContain("secret")
      expect((await records("outcome"))[0]).toMatchObject({ result: "refused", output: [{ path: "headers" }] })
    }
  })

  it.each(answers)("pass where they hold nothing that is denied: of %s", async (_, body, status, type, stream) => {
    const { client } = answering(body, rules, status, type, { ...usual, "x-said": "a word" })
    const told = await client.chat.completions
      .create({ ...chat, stream })
      .withResponse()
      .catch((e: unknown) => e)
    const { headers } =
      "response" in Object(told) ? (told as { response: Response }).response : (told as { headers: Headers })
    expect(headers.get("x-said")).toBe("a word")
    expect(headers.get("x-request-id")).toBe("req_1234567")
  })
})
