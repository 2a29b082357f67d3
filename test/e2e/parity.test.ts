/**
 * The same call on the SDK's client and on the secure one, against the same server: what the caller gets, and what arrives.
 * `is` says in short what the SDK does, so that a row that no longer shows what it is there for fails.
 */
import * as Zlib from "node:zlib"
import { inspect } from "node:util"
import { OpenAI, toFile } from "openai"
import { APIPromise } from "openai/api-promise"
import { zodResponseFormat } from "openai/helpers/zod"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { z } from "zod"
import { SecureOpenAI, Workspace } from "../../src/index.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"
import { responseTold, type Script, type ScriptedServer, startScriptedServer, told } from "./Parity.ts"

let server: ScriptedServer
const workspace = new Workspace({ audit: "memory" })
beforeAll(async () => {
  server = await startScriptedServer()
})
afterAll(async () => {
  server.close()
  await workspace.close()
})

type Options = NonNullable<ConstructorParameters<typeof OpenAI>[0]>

/** Runs a call on both clients; their stories must be the same. */
const compare = async (is: string, script: Script, call: (client: OpenAI) => unknown, options: Options = {}) => {
  const given = { apiKey: "k", baseURL: server.url, maxRetries: 0, ...options }
  const theirs = await server.run(call, new OpenAI(given), script)
  const ours = await server.run(call, new SecureOpenAI({ ...given, workspace }), script)
  expect(ours).toEqual(theirs)
  expect(inShort(theirs.outcome)).toBe(is)
}

/** `ok 2`: a value after two requests; `NotFoundError 404`: an error. */
const inShort = (outcome: unknown): string => {
  const { error } = outcome as { error?: { class?: string; status?: number } }
  if (error === undefined) return "ok"
  const name = (error.class ?? "").split(" < ")[0] ?? ""
  return error.status === undefined ? name : `${name} ${error.status}`
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const messages = [{ role: "user" as const, content: "é \u2028 🙂" }]
const params = { model: "gpt-4.1", messages }
const chat = (client: OpenAI) => client.chat.completions.create(params)

const json =
  (body: unknown, status = 200, headers: Record<string, string> = {}): Script =>
  (response) =>
    response
      .writeHead(status, { "content-type": "application/json", "x-request-id": "req_1", ...headers })
      .end(typeof body === "string" ? body : JSON.stringify(body))
const bytes =
  (body: string | Uint8Array, headers: Record<string, string> = {}, status = 200): Script =>
  (response) =>
    response.writeHead(status, headers).end(body)
const failing = (status: number) =>
  json({ error: { message: `no: ${status}`, type: "a_type", code: "a_code", param: "a.param" } }, status)
const completion = {
  id: "c1",
  object: "chat.completion",
  created: 1,
  model: "m",
  choices: [
    { index: 0, finish_reason: "stop", logprobs: null, message: { role: "assistant", content: "Hi", refusal: null } }
  ],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }
}

describe("an answer to a chat", () => {
  const rows: ReadonlyArray<readonly [what: string, is: string, script: Script]> = [
    ["200", "ok", json(completion)],
    ["201", "ok", json(completion, 201)],
    ["204", "ok", bytes("", {}, 204)],
    ["205", "ok", bytes("", {}, 205)],
    ["206", "ok", json(completion, 206)],
    ["299", "ok", json(completion, 299)],
    ["300", "APIError 300", json({}, 300)],
    ["304", "APIError 304", bytes("", {}, 304)],
    ["no request id", "ok", bytes('{"id":"x"}', { "content-type": "application/json" })],
    ["a request id of its own in the body", "ok", json('{"_request_id":"mine"}')],
    ["charset in the type", "ok", bytes('{"a":1}', { "content-type": "application/json; charset=utf-8" })],
    ["a type of +json", "ok", bytes('{"a":1}', { "content-type": "application/vnd.x+json" })],
    ["a type in capitals", "ok", bytes('{"a":1}', { "content-type": "Application/JSON" })],
    ["text/plain", "ok", bytes('{"a":1}', { "content-type": "text/plain" })],
    ["text/html", "ok", bytes("<p>hello</p>", { "content-type": "text/html" })],
    ["an event stream that nobody asked for", "ok", bytes("data: {}\n\n", { "content-type": "text/event-stream" })],
    ["no type", "ok", bytes('{"a":1}')],
    ["an empty body", "ok", json("")],
    ["an empty body of length 0", "ok", bytes("", { "content-type": "application/json", "content-length": "0" })],
    ["blanks", "SyntaxError", json("   ")],
    ["half of JSON", "SyntaxError", json('{"a":')],
    ["two documents", "SyntaxError", json("{} {}")],
    ["a string", "ok", json('"text"')],
    ["a number", "ok", json("12345678901234567890")],
    ["null", "ok", json("null")],
    ["true", "ok", json("true")],
    ["an array", "ok", json("[1,[2]]")],
    ["a byte order mark", "ok", json("\ufeff{}")],
    ["one key twice", "ok", json('{"a":1,"a":2}')],
    ["__proto__ as a key", "ok", json('{"__proto__":{"polluted":1},"a":1}')],
    [
      "bytes that are no UTF-8",
      "ok",
      bytes(Buffer.from([0x22, 0xff, 0xfe, 0x22]), { "content-type": "application/json" })
    ],
    ["lone surrogates", "ok", json('{"a":"\\ud800"}')],
    ["gzip", "ok", bytes(Zlib.gzipSync('{"a":1}'), { "content-type": "application/json", "content-encoding": "gzip" })],
    ["gzip that is none", "TypeError", bytes("{}", { "content-type": "application/json", "content-encoding": "gzip" })],
    ["an error in a good answer", "ok", json({ error: { message: "no", code: "c" } })],
    ["a body in pieces", "ok", pieces(["{", '"a"', ":1", "}"])],
    ["a body that is cut", "TypeError", cutAfter('{"a":1')],
    ["no answer", "APIConnectionError", (response) => response.socket?.destroy()],
    [
      "many headers of one name",
      "ok",
      (response) => response.writeHead(200, { "set-cookie": ["a=1", "b=2"], "x-a": ["1", "2"] }).end()
    ]
  ]
  it.each(rows)("%s", (_what, is, script) => compare(is, script, chat))

  it.each(rows)("%s, with its response", (_what, is, script) =>
    compare(is, script, async (client) => {
      const promise = chat(client)
      const { data, request_id, response } = await promise.withResponse()
      return [
        await told(data),
        request_id,
        await responseTold(response),
        response.bodyUsed,
        response === (await promise.asResponse()),
        data === (await promise)
      ]
    })
  )

  it.each(rows.filter(([, is]) => is !== "SyntaxError" && is !== "TypeError"))(
    "%s, as a response",
    (_what, is, script) =>
      compare(is, script, async (client) => {
        const response = await chat(client).asResponse()
        return [await responseTold(response), await response.text().catch((error: Error) => String(error))]
      })
  )
})

function pieces(
  parts: ReadonlyArray<string | Uint8Array>,
  headers: Record<string, string> = { "content-type": "application/json" }
): Script {
  return async (response) => {
    response.writeHead(200, { "x-request-id": "req_p", ...headers })
    for (const part of parts) {
      response.write(part)
      await wait(5)
    }
    response.end()
  }
}

function cutAfter(text: string, headers: Record<string, string> = { "content-type": "application/json" }): Script {
  return async (response) => {
    response.writeHead(200, headers)
    response.write(text)
    await wait(20)
    response.socket?.destroy()
  }
}

describe("a refusal of the provider", () => {
  const classes: Readonly<Record<number, string>> = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError"
  }
  const statuses = [400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 413, 415, 418, 422, 424, 425, 429, 431, 451, 499]
  const faults = [500, 501, 502, 503, 504, 507, 511, 520, 529, 599]
  it.each([...statuses, ...faults])("%i", (status) =>
    compare(
      `${classes[status] ?? (status >= 500 ? "InternalServerError" : "APIError")} ${status}`,
      failing(status),
      chat
    )
  )
  it.each([400, 429, 500])("%i of a stream, a list, a page and a response", async (status) => {
    const is = `${classes[status] ?? "InternalServerError"} ${status}`
    await compare(is, failing(status), (c) => c.chat.completions.create({ ...params, stream: true }))
    await compare(is, failing(status), (c) => c.models.list())
    await compare(is, failing(status), (c) => c.models.list().withResponse())
    await compare(is, failing(status), (c) => c.models.list().asResponse())
    await compare(is, failing(status), (c) => c.responses.create({ model: "m", input: "x" }))
    await compare(is, failing(status), (c) => chat(c).asResponse())
    await compare(is, failing(status), (c) => chat(c).withResponse())
    await compare(is, failing(status), (c) => c.chat.completions.stream(params).finalChatCompletion())
  })
  it.each([
    ["nothing", ""],
    ["a page", "<html>Bad Gateway</html>"],
    ["text", "it broke"],
    ["JSON without an error", '{"detail":"it broke"}'],
    ["an error that is text", '{"error":"it broke"}'],
    ["an error that is null", '{"error":null}'],
    ["an error without a message", '{"error":{"code":7,"inner":{"a":1}}}'],
    ["an error with a message that is no text", '{"error":{"message":{"a":1}}}'],
    ["an array", "[1]"],
    ["null", "null"],
    ["half of JSON", '{"error":{'],
    ["much", JSON.stringify({ error: { message: "x".repeat(100_000) } })]
  ])("that says %s", async (_what, body) => {
    await compare("BadRequestError 400", json(body, 400), chat)
    await compare("InternalServerError 502", bytes(body, {}, 502), chat)
  })
  it("that is cut while it is read", () =>
    compare(
      "BadRequestError 400",
      async (response) => {
        response.writeHead(400, { "content-type": "application/json", "content-length": "100" }).write('{"error":')
        await wait(20)
        response.socket?.destroy()
      },
      chat
    ))
})

describe("retries", () => {
  const soon = { "retry-after-ms": "1" }
  const thenGood =
    (times: number, status: number, headers: Record<string, string> = soon): Script =>
    (response, n, ...rest) =>
      n < times ? json({ error: {} }, status, headers)(response, n, ...rest) : json(completion)(response, n, ...rest)
  it.each<readonly [what: string, is: string, script: Script]>([
    ["408", "ok", thenGood(1, 408)],
    ["409", "ok", thenGood(1, 409)],
    ["429", "ok", thenGood(2, 429)],
    ["500", "ok", thenGood(2, 500)],
    ["503, too often", "InternalServerError 503", thenGood(3, 503)],
    ["400, which is final", "BadRequestError 400", thenGood(1, 400)],
    ["400 that should be tried again", "ok", thenGood(1, 400, { ...soon, "x-should-retry": "true" })],
    ["500 that should not be tried again", "InternalServerError 500", thenGood(1, 500, { "x-should-retry": "false" })],
    ["seconds to wait", "ok", thenGood(1, 429, { "retry-after": "0" })],
    ["a date in the past to wait for", "ok", thenGood(1, 429, { "retry-after": "Thu, 01 Jan 1970 00:00:00 GMT" })],
    ["a cut connection", "ok", (r, n, ...rest) => (n === 0 ? r.socket?.destroy() : json(completion)(r, n, ...rest))]
  ])("after %s", async (_what, is, script) => {
    await compare(is, script, chat, { maxRetries: 2 })
    await compare(is, script, (c) => c.models.retrieve("m"), { maxRetries: 2 })
    await compare(is, script, (c) => c.chat.completions.create(params, { maxRetries: 2 }))
  })
  it("of a stream", () =>
    compare(
      "ok",
      (r, n, ...rest) => (n === 0 ? failingSoon(r, n, ...rest) : sse(["data: {}\n\n"])(r, n, ...rest)),
      async (c) => Array.fromAsync(await c.chat.completions.create({ ...params, stream: true })),
      { maxRetries: 1 }
    ))
  const failingSoon = json({ error: {} }, 500, soon)
})

function sse(parts: ReadonlyArray<string | Uint8Array>, headers: Record<string, string> = {}): Script {
  return pieces(parts, { "content-type": "text/event-stream", ...headers })
}

describe("a stream", () => {
  const chunk = (content: string) =>
    JSON.stringify({
      id: "c",
      object: "chat.completion.chunk",
      created: 1,
      model: "m",
      choices: [{ index: 0, delta: { role: "assistant", content }, finish_reason: null }]
    })
  const end = `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta: {}, finish_reason: "stop" }] })}\n\ndata: [DONE]\n\n`
  const [a, b] = [chunk("a"), chunk("é🙂")]
  const split = Buffer.from(`data: ${b}\n\n${end}`)
  const rows: ReadonlyArray<readonly [what: string, is: string, script: Script]> = [
    ["in one piece", "ok", sse([`data: ${a}\n\ndata: ${b}\n\n${end}`])],
    ["in many pieces", "ok", sse([...`data: ${a}\n\n`].map(String).concat(end))],
    [
      "split in a character",
      "ok",
      sse(
        Array.from(split, (_, i) => split.subarray(i, i + 1))
          .slice(0, 200)
          .concat(split.subarray(200))
      )
    ],
    ["CRLF", "ok", sse([`data: ${a}\r\n\r\ndata: ${b}\r\n\r\n${end}`])],
    ["CRLF split between CR and LF", "ok", sse([`data: ${a}\r`, `\n\r`, `\ndata: ${b}\r\n\r\n`, end])],
    ["CR", "ok", sse([`data: ${a}\r\rdata: ${b}\r\r`, end])],
    ["a byte order mark", "ok", sse([`\ufeffdata: ${a}\n\n`, end])],
    ["comments", "ok", sse([`: hello\n\n:\ndata: ${a}\n: more\n\n`, end])],
    ["data over many lines", "ok", sse([`data: {"id":"x",\ndata: "choices":[]}\n\n`, end])],
    ["no blank after the colon", "ok", sse([`data:${a}\n\n`, end])],
    ["event, id and retry", "ok", sse([`event: message\nid: 7\nretry: 5\ndata: ${a}\n\n`, end])],
    ["an unknown field", "ok", sse([`what: x\ndata: ${a}\n\n`, end])],
    ["empty data", "SyntaxError", sse([`data:\n\ndata: ${a}\n\n`, end])],
    ["no [DONE]", "ok", sse([`data: ${a}\n\n`])],
    ["a last event without its blank line", "ok", sse([`data: ${a}\n\ndata: ${b}`])],
    ["more after [DONE]", "ok", sse([end, `data: ${a}\n\n`])],
    ["a [DONE] that goes on", "SyntaxError", sse([`data: [DONE] and more\n\n`, `data: ${a}\n\n`])],
    [
      "an error",
      "APIError",
      sse([`data: ${a}\n\ndata: {"error":{"message":"no","type":"t","code":"c","param":"p"}}\n\n`, end])
    ],
    ["an error event", "APIError", sse([`data: ${a}\n\nevent: error\ndata: {"message":"no"}\n\n`, end])],
    [
      "an error event with an error",
      "APIError",
      sse([`event: error\ndata: {"error":{"message":"no","code":"c"}}\n\n`])
    ],
    ["an error that is text", "APIError", sse([`data: {"error":"it broke"}\n\n`])],
    ["an error that is null", "ok", sse([`data: {"error":null,"choices":[]}\n\n`, end])],
    ["JSON that breaks off", "SyntaxError", sse([`data: ${a}\n\ndata: {"a":\n\n`, end])],
    ["scalars", "ok", sse(["data: 5\n\ndata: null\n\n", end])],
    ["a cut", "TypeError", cutAfter(`data: ${a}\n\ndata: {"a"`, { "content-type": "text/event-stream" })],
    ["nothing", "ok", sse([])],
    ["204", "OpenAIError", bytes("", {}, 204)],
    ["a document in its place", "ok", json(completion)],
    ["an error in a good answer", "ok", json({ error: { message: "no" } })],
    ["another type", "ok", sse([`data: ${a}\n\n`, end], { "content-type": "text/plain" })],
    [
      "gzip",
      "ok",
      bytes(Zlib.gzipSync(`data: ${a}\n\n${end}`), { "content-type": "text/event-stream", "content-encoding": "gzip" })
    ],
    [
      "a finish reason that is missing",
      "ok",
      sse([`data: {"id":"c","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n`, end])
    ]
  ]
  const open = (client: OpenAI) => client.chat.completions.create({ ...params, stream: true })
  /** What was read before the end, and how it ended: without that an error would hide the chunks. */
  const read = async (stream: AsyncIterable<unknown>) => {
    const seen: Array<unknown> = []
    try {
      for await (const item of stream) seen.push(item)
      return { seen }
    } catch (error) {
      return { seen, thrown: await told(error) }
    }
  }
  it.each(rows)("of %s", async (_what, is, script) => {
    await compare(is, script, async (c) => Array.fromAsync(await open(c)))
    await compare("ok", script, async (c) => read(await open(c)))
  })
  it.each(rows)("of %s, of text", (_what, _is, script) =>
    compare("ok", script, async (c) => read(await c.completions.create({ model: "m", prompt: "x", stream: true })))
  )
  it.each(rows)("of %s, of a response", (_what, _is, script) =>
    compare("ok", script, async (c) => read(await c.responses.create({ model: "m", input: "x", stream: true })))
  )
  it.each(rows)("of %s, by the helper", (_what, _is, script) =>
    compare("ok", script, async (c) => {
      const runner = c.chat.completions.stream(params)
      const events: Array<unknown> = []
      for (const name of ["connect", "content", "message", "finalContent", "abort", "error", "end"] as const)
        runner.on(name as "end", (...args: ReadonlyArray<unknown>) => void events.push([name, args.map(String)]))
      const final = await runner.finalChatCompletion().then(told, told)
      return [final, events]
    })
  )
  it.each<readonly [what: string, use: (client: OpenAI) => unknown]>([
    [
      "with its response",
      async (c) => {
        const { data, request_id, response } = await open(c).withResponse()
        return [request_id, await responseTold(response), await read(data)]
      }
    ],
    [
      "split in two",
      async (c) => {
        const [left, right] = (await open(c)).tee()
        return [await read(left), await read(right)]
      }
    ],
    ["as a readable stream", async (c) => new Response((await open(c)).toReadableStream() as ReadableStream).text()],
    ["as a response", async (c) => responseTold(await open(c).asResponse())],
    [
      "read twice",
      async (c) => {
        const stream = await open(c)
        return [await read(stream), await read(stream)]
      }
    ],
    [
      "left early",
      async (c) => {
        const stream = await open(c)
        for await (const _ of stream) break
        return [stream.controller.signal.aborted, await read(stream)]
      }
    ],
    [
      "aborted by its controller",
      async (c) => {
        const stream = await open(c)
        const seen: Array<unknown> = []
        for await (const item of stream) {
          seen.push(item)
          stream.controller.abort()
        }
        return [seen.length, stream.controller.signal.aborted]
      }
    ],
    [
      "a promise of it, as text",
      async (c) => {
        const promise = open(c)
        await promise
        return [Object.prototype.toString.call(promise), promise.constructor.name, promise instanceof APIPromise]
      }
    ]
  ])("%s", (_what, use) => compare("ok", sse([`data: ${a}\n\ndata: ${b}\n\n`, end]), use))
})

describe("giving up", () => {
  const never: Script = () => {}
  const slow = pieces(
    Array.from({ length: 400 }, () => " "),
    { "content-type": "application/json" }
  )
  /** Aborted as soon as the provider has the request. */
  const abortedThen = (reason?: unknown) => {
    const controller = new AbortController()
    void server.arrival().then(() => controller.abort(reason))
    return controller.signal
  }
  it.each<[string, string, Script, (client: OpenAI) => unknown, Options?]>([
    ["by a timeout", "APIConnectionTimeoutError", never, chat, { timeout: 400 }],
    [
      "by a call's timeout",
      "APIConnectionTimeoutError",
      never,
      (c) => c.chat.completions.create(params, { timeout: 400 })
    ],
    ["by a timeout, of a list", "APIConnectionTimeoutError", never, (c) => c.models.list(), { timeout: 400 }],
    [
      "by a timeout, of a stream",
      "APIConnectionTimeoutError",
      never,
      (c) => c.chat.completions.create({ ...params, stream: true }),
      { timeout: 400 }
    ],
    ["by a timeout in a body", "APIConnectionTimeoutError", slow, chat, { timeout: 400 }],
    ["before", "APIUserAbortError", never, (c) => c.chat.completions.create(params, { signal: AbortSignal.abort() })],
    ["before, of a list", "APIUserAbortError", never, (c) => c.models.list({ signal: AbortSignal.abort() })],
    [
      "before, for a reason",
      "APIUserAbortError",
      never,
      (c) => c.chat.completions.create(params, { signal: AbortSignal.abort(new Error("mine")) })
    ],
    [
      "while the provider thinks",
      "APIUserAbortError",
      never,
      (c) => c.chat.completions.create(params, { signal: abortedThen() })
    ],
    [
      "while the provider thinks, for a reason",
      "APIUserAbortError",
      never,
      (c) => c.chat.completions.create(params, { signal: abortedThen("mine") })
    ],
    [
      "while the provider thinks, of a list",
      "APIUserAbortError",
      never,
      (c) => c.models.list({ signal: abortedThen() })
    ],
    [
      "by AbortSignal.timeout",
      "APIUserAbortError",
      never,
      (c) => c.chat.completions.create(params, { signal: AbortSignal.timeout(400) })
    ],
    ["in a body", "APIUserAbortError", slow, (c) => c.chat.completions.create(params, { signal: abortedThen() })],
    [
      "before a stream",
      "APIUserAbortError",
      never,
      (c) => c.chat.completions.create({ ...params, stream: true }, { signal: AbortSignal.abort() })
    ],
    [
      "of a helper",
      "APIUserAbortError",
      never,
      async (c) => {
        const runner = c.chat.completions.stream(params)
        void server.arrival().then(() => runner.abort())
        await runner.done()
      }
    ],
    [
      "too late",
      "ok",
      json(completion),
      async (c) => {
        const controller = new AbortController()
        const answer = await c.chat.completions.create(params, { signal: controller.signal })
        controller.abort()
        return answer
      }
    ],
    [
      "where nobody listens",
      "APIConnectionError",
      never,
      (c) => c.chat.completions.create(params),
      { baseURL: "http://127.0.0.1:9/v1" }
    ],
    ["where there is no URL", "TypeError", never, (c) => c.chat.completions.create(params), { baseURL: "nonsense" }]
  ])("%s", (_what, is, script, call, options) => compare(is, script, call, options))

  it("with a timeout, again and again", () =>
    compare("APIConnectionTimeoutError", never, chat, { timeout: 400, maxRetries: 1 }))
})

describe("what is sent", () => {
  const good = json(completion)
  const twoFiles = async () => [
    await toFile(Buffer.from("one"), "one.png", { type: "image/png" }),
    await toFile(Buffer.from("two"), "two.png")
  ]
  it.each<[what: string, call: (client: OpenAI) => unknown, options?: Options]>([
    ["a chat", chat],
    ["headers of the client", chat, { defaultHeaders: { "X-A": "1", "x-b": null, Authorization: "Bearer other" } }],
    ["a query of the client", chat, { defaultQuery: { "api-version": "1", a: "b c" } }],
    ["organization and project", chat, { organization: "o", project: "p" }],
    ["a key from a function", chat, { apiKey: async () => "later" }],
    [
      "headers of a call",
      (c) =>
        c.chat.completions.create(params, {
          headers: { "X-A": "1", accept: "x/y", "content-type": "application/json; x=1" }
        })
    ],
    ["a query of a call", (c) => c.chat.completions.create(params, { query: { a: [1, 2], b: { c: "d" } } })],
    ["an idempotency key", (c) => c.chat.completions.create(params, { idempotencyKey: "idem" })],
    [
      "a body of a call",
      (c) => c.post("/chat/completions", { body: { ...params, extra: { nested: [1, null, true] } } })
    ],
    [
      "text for a body",
      (c) => c.post("/chat/completions", { body: '{ "model" : "m" }', headers: { "content-type": "application/json" } })
    ],
    [
      "odd values",
      (c) =>
        c.chat.completions.create({
          ...params,
          temperature: -0,
          seed: 1.5e-7,
          stop: undefined as never,

          metadata: { a: new Date(0) as never }
        })
    ],
    ["a longer base", chat, { baseURL: undefined as never }],
    ["get", (c) => c.get("/anything", { query: { a: 1 } })],
    ["put", (c) => c.put("/anything", { body: { a: 1 } })],
    ["patch", (c) => c.patch("/anything", { body: { a: 1 } })],
    ["delete", (c) => c.delete("/anything")],
    ["a model's name in a path", (c) => c.models.retrieve("a/b c?")],
    ["embeddings", (c) => c.embeddings.create({ model: "m", input: ["x", "y"] })],
    ["embeddings as floats", (c) => c.embeddings.create({ model: "m", input: "x", encoding_format: "float" })],
    ["a completion", (c) => c.completions.create({ model: "m", prompt: ["a", "b"] })],
    ["a response", (c) => c.responses.create({ model: "m", input: [{ role: "user", content: "x" }] })],
    ["a moderation", (c) => c.moderations.create({ input: "x" })],
    ["an image", (c) => c.images.generate({ prompt: "x" })],
    ["images to edit", async (c) => c.images.edit({ prompt: "x", image: await twoFiles() })],
    ["a file", async (c) => c.files.create({ purpose: "batch", file: (await twoFiles())[0]! })],
    ["a transcription", async (c) => c.audio.transcriptions.create({ model: "m", file: (await twoFiles())[0]! })],
    [
      "a batch",
      (c) => c.batches.create({ completion_window: "24h", endpoint: "/v1/chat/completions", input_file_id: "f" })
    ],
    ["a thread", (c) => c.beta.threads.create({ messages: [{ role: "user", content: "x" }] })],
    ["a thread to run", (c) => c.beta.threads.createAndRun({ assistant_id: "a" })],
    ["a conversation", (c) => c.conversations.create({})],
    [
      "through a clone",
      (c) =>
        c
          .withOptions({ timeout: 5000, maxRetries: 1, defaultHeaders: { "x-clone": "1" } })
          .chat.completions.create(params)
    ],
    [
      "through a clone of a clone",
      (c) => c.withOptions({ project: "p" }).withOptions({ organization: "o" }).models.retrieve("m")
    ]
  ])("%s", (_what, call, options = {}) => {
    const { baseURL, ...rest } = options
    return compare(
      "ok",
      good,
      call,
      "baseURL" in options && baseURL === undefined ? { ...rest, baseURL: `${server.url}/proxy/openai/v1/` } : rest
    )
  })

  it("bytes of speech", () =>
    compare("ok", bytes(Buffer.from([1, 2, 255]), { "content-type": "audio/mpeg" }), async (c) => {
      const response = await c.audio.speech.create({ model: "m", input: "x", voice: "alloy" })
      return [await responseTold(response), [...new Uint8Array(await response.arrayBuffer())]]
    }))

  it("nothing, for a redirect that keeps the request: it is followed", () =>
    compare(
      "ok",
      (r, n, ...rest) =>
        n === 0 ? r.writeHead(307, { location: "/v1//chat/completions" }).end() : good(r, n, ...rest),
      chat
    ))

  it("by a fetch of one's own, with the SDK's arguments", async () => {
    const script = json(completion)
    const call = async (client: OpenAI) => {
      const seen: Array<unknown> = []
      const fetch: typeof globalThis.fetch = (input, init = {}) => {
        seen.push([
          typeof input,
          Object.keys(init).sort(),
          init.method,
          typeof init.body,
          init.headers instanceof Headers
        ])
        return globalThis.fetch(input, init)
      }
      await client.withOptions({ fetch }).models.retrieve("m")
      return seen
    }
    await compare("ok", script, call)
  })
})

describe("pages", () => {
  const page: Script = (response, n, ...rest) =>
    json({
      object: "list",
      data: [{ id: `m${2 * n}` }, { id: `m${2 * n + 1}` }],
      has_more: n < 2,
      first_id: "a",
      last_id: "b"
    })(response, n, ...rest)
  it.each<readonly [what: string, call: (client: OpenAI) => unknown]>([
    ["one", (c) => c.files.list()],
    ["all, by item", (c) => Array.fromAsync(c.files.list({ limit: 2 }))],
    ["all, by page", async (c) => Array.fromAsync((await c.files.list()).iterPages(), (p) => p.data)],
    [
      "the next",
      async (c) => {
        const first = await c.files.list()
        return [first.hasNextPage(), told(await first.getNextPage())]
      }
    ],
    [
      "none next",
      async (c) => {
        const list = await c.models.list()
        return [list.hasNextPage(), await list.getNextPage().catch(told)]
      }
    ],
    [
      "with its response, again and again",
      async (c) => {
        const promise = c.files.list()
        const raw = await promise.asResponse()
        const value = await promise
        const { data, request_id, response } = await promise.withResponse()
        return [
          raw === response,
          value === data,
          (await promise) === data,
          request_id,
          await responseTold(response),
          response.bodyUsed
        ]
      }
    ],
    ["unwrapped", async (c) => c.files.list()._thenUnwrap((list, props) => [list.data.length, props.response.status])],
    [
      "a promise of one",
      async (c) => {
        const promise = c.files.list()
        await promise
        return [
          promise.constructor.name,
          promise instanceof APIPromise,
          Symbol.asyncIterator in promise,
          Object.prototype.toString.call(promise)
        ]
      }
    ]
  ])("%s", (_what, call) => compare("ok", page, call))
})

describe("a promise", () => {
  it.each<readonly [what: string, is: string, call: (client: OpenAI) => unknown]>([
    [
      "gives one object",
      "ok",
      async (c) => {
        const promise = chat(c)
        return (await promise) === (await promise) && (await promise.withResponse()).data === (await promise)
      }
    ],
    [
      "gives one response",
      "ok",
      async (c) => {
        const promise = chat(c)
        const raw = await promise.asResponse()
        return [raw === (await promise.asResponse()), raw === (await promise.withResponse()).response]
      }
    ],
    [
      "is an APIPromise",
      "ok",
      async (c) => {
        const promise = chat(c)
        const own = [promise.constructor.name, promise instanceof Promise, Object.prototype.toString.call(promise)]
        const derived = [promise.then(() => 1), promise.catch(() => 1), promise.finally(() => 1)].map(
          (p) => p.constructor.name
        )
        await promise
        return [own, derived]
      }
    ],
    [
      "is unwrapped",
      "ok",
      (c) => chat(c)._thenUnwrap((answer, { response }) => ({ id: answer.id, status: response.status }))
    ],
    [
      "throws what its unwrapping throws",
      "RangeError",
      (c) =>
        chat(c)._thenUnwrap(() => {
          throw new RangeError("mine")
        })
    ],
    [
      "is raced and gathered",
      "ok",
      async (c) => {
        const [first, second] = await Promise.all([chat(c), chat(c)])
        return [first, second, await Promise.race([chat(c), wait(5000)]), await Promise.allSettled([chat(c), 1])]
      }
    ]
  ])("%s", (_what, is, call) => compare(is, json(completion), call))

  it("is parsed", () =>
    compare(
      "ok",
      json({
        ...completion,
        choices: [
          { index: 0, finish_reason: "stop", message: { role: "assistant", content: '{"a":1}', refusal: null } }
        ]
      }),
      (c) =>
        c.chat.completions.parse({ ...params, response_format: zodResponseFormat(z.object({ a: z.number() }), "x") })
    ))

  it("that nobody awaits fails as loudly", async () => {
    const before = process.listeners("unhandledRejection")
    const loud: Array<unknown> = []
    process.removeAllListeners("unhandledRejection")
    process.on("unhandledRejection", (error: unknown) => loud.push(error))
    try {
      for (const call of [chat, (c: OpenAI) => c.models.list(), (c: OpenAI) => c.models.retrieve("m")])
        await compare("ok", failing(400), async (client) => {
          loud.length = 0
          void call(client)
          await wait(80)
          return Promise.all(loud.map(told))
        })
    } finally {
      process.removeAllListeners("unhandledRejection")
      for (const listener of before) process.on("unhandledRejection", listener)
    }
  })
})

describe("the log of the client", () => {
  /** A line as a console would show it, without what differs from run to run, and without the client's own name. */
  const steady = (line: unknown): string =>
    inspect(line, { depth: 9, breakLength: Infinity })
      .replaceAll(/log_[0-9a-f]+/g, "log_x")
      .replaceAll(/\d+ms|durationMs: \d+/g, "Nms")
      .replaceAll(/'user-agent': '[^']*'/g, "user agent")
      .replaceAll(/date: '[^']*'/g, "date")
  const streamed = async (c: OpenAI) => Array.fromAsync(await c.chat.completions.create({ ...params, stream: true }))
  it.each(["debug", "info", "warn", "off"] as const)("tells the same at %s", async (logLevel) => {
    for (const script of [json(completion), failing(400), json({ error: {} }, 500, { "retry-after-ms": "1" })])
      for (const call of [chat, streamed, (c: OpenAI) => c.models.list(), (c: OpenAI) => c.models.retrieve("m")]) {
        const lines: Array<unknown> = []
        const write =
          (level: string) =>
          (...args: ReadonlyArray<unknown>) =>
            void lines.push([level, ...args.map(steady)])
        const logger = { error: write("error"), warn: write("warn"), info: write("info"), debug: write("debug") }
        await compare(
          "ok",
          script,
          async (client) => {
            lines.length = 0
            await Promise.resolve(call(client)).catch(() => {})
            return lines.slice()
          },
          { logger, logLevel, maxRetries: 1 }
        )
      }
  })
})

describe("what differs on purpose", () => {
  /** What each client makes of the same. */
  const each = async (script: Script, call: (client: OpenAI) => unknown, options: Options = {}) => {
    const given = { apiKey: "k", baseURL: server.url, maxRetries: 0, ...options }
    const seen: Array<readonly [is: string, requests: ReadonlyArray<string>]> = []
    for (const client of [new OpenAI(given), new SecureOpenAI({ ...given, workspace })]) {
      const { arrived, outcome } = await server.run(call, client, script)
      seen.push([inShort(outcome), arrived.map(({ request }) => request)])
    }
    return { theirs: seen[0], ours: seen[1] }
  }
  const chatted = "POST /v1/chat/completions"

  it.each([
    ["half of JSON", json('{"a":')],
    ["a body that is cut", cutAfter('{"a":1')],
    ["gzip that is none", bytes("{}", { "content-type": "application/json", "content-encoding": "gzip" })]
  ])("asResponse() waits for the body, and rejects where there is no whole one: %s", async (_what, script) => {
    const { ours, theirs } = await each(script, (c) => chat(c).asResponse())
    expect(theirs).toEqual(["ok", [chatted]])
    expect(ours).toEqual([expect.stringMatching(/^(SyntaxError|TypeError)$/), [chatted]])
  })

  it("an answer with an unknown content coding is an error, whatever its bytes look like", async () => {
    const script = bytes("{}", { "content-type": "application/json", "content-encoding": "x-own" })
    const { ours, theirs } = await each(script, chat)
    expect(theirs).toEqual(["ok", [chatted]])
    expect(ours).toEqual(["TypeError", [chatted]])
  })

  it("a response asked for first can still be read after its value", async () => {
    const { ours, theirs } = await each(json(completion), async (c) => {
      const promise = chat(c)
      const response = await promise.asResponse()
      await promise
      return response.text()
    })
    expect(theirs?.[0]).toBe("TypeError")
    expect(ours?.[0]).toBe("ok")
  })

  it("a server-sent event without data is no event", async () => {
    const { ours, theirs } = await each(sse(["event: ping\n\ndata: {}\n\ndata: [DONE]\n\n"]), async (c) =>
      Array.fromAsync(await c.chat.completions.create({ ...params, stream: true }))
    )
    expect(theirs?.[0]).toBe("SyntaxError")
    expect(ours?.[0]).toBe("ok")
  })

  it.each([
    ["one that drops the body", 302, "/v1/models"],
    ["one to another origin", 307, "http://localhost:1/v1/chat/completions"]
  ])("a redirect of a chat is not followed: %s", async (_what, status, location) => {
    const script: Script = (response, n, ...rest) =>
      n === 0 ? response.writeHead(status, { location }).end() : json(completion)(response, n, ...rest)
    const { ours, theirs } = await each(script, chat)
    expect(ours).toEqual([`APIError ${status}`, [chatted]])
    expect(theirs).toEqual(status === 302 ? ["ok", [chatted, "GET /v1/models"]] : ["APIConnectionError", [chatted]])
  })

  it.each([
    ["a key twice", '{"model":"m","model":"n","messages":[]}'],
    ["half of a surrogate pair", JSON.stringify({ ...params, user: "cut \ud83d" })],
    ["a body that is no JSON", "hello"]
  ])("what every parser would not read the same is not sent: %s", async (_what, body) => {
    const headers = { "content-type": "application/json" }
    const { ours, theirs } = await each(json(completion), (c) => c.post("/chat/completions", { body, headers }))
    expect(theirs).toEqual(["ok", [chatted]])
    expect(ours).toEqual(["PolicyDeniedError 403", []])
  })

  it("a redirect to another operation is not followed", async () => {
    const script: Script = (r, n, ...rest) =>
      n === 0 ? r.writeHead(307, { location: "/v1/elsewhere" }).end() : json(completion)(r, n, ...rest)
    const { ours, theirs } = await each(script, chat)
    expect(theirs).toEqual(["ok", [chatted, "POST /v1/elsewhere"]])
    expect(ours).toEqual(["APIError 307", [chatted]])
  })

  it("a request that a user's client built by hand is not sent by hand; a service's is", async () => {
    const byHand = async (c: OpenAI) => {
      const { req, url } = await c.buildRequest({ method: "post", path: "/chat/completions", body: params })
      return (await fetch(url, req as RequestInit)).json()
    }
    const service = await each(json(completion), byHand)
    expect(service.ours).toEqual(service.theirs)
    const trusting = new Workspace({ audit: "memory", issuers: testIssuer })
    const given = { apiKey: "k", baseURL: server.url, jwtToken: mintToken(), workspace: trusting }
    const { arrived, outcome } = await server.run(byHand, new SecureOpenAI(given), json(completion))
    expect([inShort(outcome), arrived]).toEqual(["PolicyDeniedError 403", []])
    await trusting.close()
  })

  it("the client says its name", () => {
    expect([SecureOpenAI.name, new SecureOpenAI({ apiKey: "k", workspace })["getUserAgent"]()]).toEqual([
      "SecureOpenAI",
      expect.stringMatching(/^SecureOpenAI\/JS 7\./)
    ])
  })
})
