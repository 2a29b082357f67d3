/** What a library reads through secureFetch of a stream: what it would read through fetch, judged where policy judges it. */
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { Pipeline, Reply, secureFetch, SecureOpenAI, Workspace } from "../../src/index.ts"

let server: Http.Server
let baseURL: string
/** What the server sends, in these pieces, and as what. */
let pieces: ReadonlyArray<string | Buffer> = []
let type = "text/event-stream"
let cut = false
beforeAll(async () => {
  server = Http.createServer((request, response) => {
    request.resume().once("end", async () => {
      response.writeHead(200, { "content-type": type })
      for (const piece of pieces) {
        response.write(piece)
        await new Promise((resolve) => setImmediate(resolve))
      }
      if (cut) response.socket?.destroy()
      else response.end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})
afterEach(() => {
  type = "text/event-stream"
  cut = false
})

const opened: Array<{ close(): Promise<void> }> = []
afterEach(async () => {
  for (const one of opened.splice(0).toReversed()) await one.close()
})
const open = (output?: object) => {
  const constraints = output && { output: { "tool:lab/**": output } }
  const policies = [{ policy_id: "app:lab", resources: ["tool:lab/**"], ...(constraints && { constraints }) }]
  const workspace = new Workspace({ audit: "memory", policies })
  opened.push(workspace)
  return { workspace, client: new SecureOpenAI({ apiKey: "k", baseURL, appName: "lab", workspace, maxRetries: 0 }) }
}
const ask = (fetch: typeof globalThis.fetch, path = "/chat/completions", init: RequestInit = {}) =>
  fetch(`${baseURL}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "hi" }], input: "hi", stream: true }),
    ...init
  })

const chunk = (content: string, finish_reason: string | null = null) =>
  JSON.stringify({
    id: "c",
    object: "chat.completion.chunk",
    choices: [{ index: 0, delta: { content }, finish_reason }]
  })
const event = (type: string, more: object = {}) => `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`
const response = { id: "r", object: "response", status: "completed", output: [] }
const failed = event("response.failed", { response: { ...response, status: "failed" } })

/** Bodies of servers, and how the log says that they ended. */
const bodies: ReadonlyArray<readonly [what: string, body: string, path: string, result: string]> = [
  [
    "a plain stream",
    `data: ${chunk("a")}\n\ndata: ${chunk("b", "stop")}\n\ndata: [DONE]\n\n`,
    "/chat/completions",
    "complete"
  ],
  ["no sentinel", `data: ${chunk("a", "stop")}\n\n`, "/chat/completions", "complete"],
  [
    "other spellings of JSON",
    `data:{ "choices" : [{"index":0,"delta":{"content":"\\u0061"},"finish_reason":"stop"}], "n": 1.50 }\n\n`,
    "/chat/completions",
    "complete"
  ],
  [
    "events that are no JSON",
    `data: ${chunk("a")}\n\ndata: {"broken\n\ndata: hel\u2028lo\n\ndata: ${chunk("b", "stop")}\n\ndata: [DONE]\n\n`,
    "/chat/completions",
    "complete"
  ],
  [
    "empty events",
    `data:\n\ndata: \n\nevent: ping\n\ndata\n\ndata: ${chunk("b", "stop")}\n\ndata: [DONE]\n\n`,
    "/chat/completions",
    "complete"
  ],
  [
    "scalars and lists",
    `data: 5\n\ndata: null\n\ndata: [1]\n\ndata: ${chunk("b", "stop")}\n\ndata: [DONE]\n\n`,
    "/chat/completions",
    "complete"
  ],
  [
    "comments, ids, retries and other fields",
    `: OPENROUTER PROCESSING\n\n:\n\nid: 7\nretry: 10\nother: x\ndata: ${chunk("a")}\n\n\n\ndata: ${chunk("b", "stop")}\nid: 8\n\ndata: [DONE]\n\n`,
    "/chat/completions",
    "complete"
  ],
  [
    "other line ends",
    `data: ${chunk("a")}\r\n\r\ndata: ${chunk("b", "stop")}\r\rdata: [DONE]\n\r\n`,
    "/chat/completions",
    "complete"
  ],
  [
    "data in several lines",
    `data: {"choices":\ndata: [{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`,
    "/chat/completions",
    "complete"
  ],
  [
    "an error that others follow",
    `${event("response.created", { response })}event: error\ndata: {"type":"error","code":"x","message":"no","sequence_number":1}\n\n${failed}`,
    "/responses",
    "failed"
  ],
  [
    "an error without a type",
    `data: ${chunk("a")}\n\ndata: {"error":{"message":"no"}}\n\ndata: ${chunk("b", "stop")}\n\ndata: [DONE]\n\n`,
    "/chat/completions",
    "failed"
  ],
  [
    "an end without a blank line",
    `data: ${chunk("a")}\n\ndata: ${chunk("b", "stop")}`,
    "/chat/completions",
    "complete"
  ],
  [
    "text of several bytes",
    `: \u00e9\ud83d\ude00\n\ndata: ${chunk("\u00e9\ud83d\ude00", "stop")}\n\ndata: [DONE]\n\n`,
    "/chat/completions",
    "complete"
  ]
]

describe("a stream through secureFetch", () => {
  it.each(bodies)("that no rule judges comes to the byte, however it is cut: %s", async (_what, body, path, result) => {
    const { client, workspace } = open()
    const bytes = Buffer.from(body)
    const cuts = [bytes.length, 1, 7]
    for (const size of cuts) {
      pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.subarray(i * size, (i + 1) * size)
      )
      expect(await (await ask(secureFetch(client), path)).text()).toBe(body)
    }
    const outcomes = (await workspace.records()).filter(({ kind }) => kind === "outcome")
    expect(outcomes.map((record) => record["result"])).toEqual(cuts.map(() => result))
  })

  it.each(bodies)("that rules judge says the same events: %s", async (_what, body, path, result) => {
    const { client, workspace } = open({ denied: ["never said"] })
    pieces = [body]
    const text = await (await ask(secureFetch(client), path)).text()
    const dataOf = (stream: string) =>
      stream
        .split(/(?:\r\n|\r|\n){2}/)
        .map((block) => block.split(/\r\n|\r|\n/).filter((line) => /^data(:|$)/.test(line)))
        .filter((lines) => lines.length > 0)
        .map((lines) => lines.map((line) => line.replace(/^data:? ?/, "")).join("\n"))
        .map((data) => {
          try {
            return JSON.parse(data) as unknown
          } catch {
            return data
          }
        })
    // The texts of a rule's choice may be cut elsewhere; these streams give none cause to.
    expect(dataOf(text)).toEqual(dataOf(body))
    expect((await workspace.records()).at(-1)).toMatchObject({ kind: "outcome", result })
  })

  it.each([
    ["an event that is no JSON", `data: the secret\n\n`],
    ["two of them", `data: the sec\n\ndata: ret\n\n`],
    ["an error event", `data: {"error":{"message":"the secret"}}\n\n`],
    [
      "what follows an error",
      `event: error\ndata: {"type":"error","message":"no"}\n\ndata: ${chunk("the secret")}\n\n`
    ],
    ["the name of an event", `event: secret\ndata: ${chunk("x")}\n\n`],
    ["a second key of one name", `data: {"x":"the secret","x":1}\n\n`],
    ["HTML", `<html>\nthe secret\n</html>\n`],
    ["a comment", `: the secret\n\n`],
    ["an id and a field", `id: secret\nsecret: 1\ndata: ${chunk("x")}\n\n`]
  ])("keeps back what a rule denies in %s", async (_what, bad) => {
    const { client } = open({ denied: ["secret"] })
    pieces = [`data: ${chunk("fine")}\n\n`, bad, `data: ${chunk("after", "stop")}\n\ndata: [DONE]\n\n`]
    const text = await (await ask(secureFetch(client))).text()
    expect(text).toContain("fine")
    expect(text).not.toContain("secret")
    expect(text).not.toContain("ret\n")
  })

  it("gives the JSON that came in a stream's place, judged as JSON", async () => {
    type = "application/json"
    const completion = { id: "c", choices: [{ index: 0, message: { content: "the secret" }, finish_reason: "stop" }] }
    pieces = [JSON.stringify(completion, null, 1)]
    const free = await ask(secureFetch(open().client))
    expect([free.headers.get("content-type"), await free.text()]).toEqual(["application/json", pieces[0]])
    const judged = await ask(secureFetch(open({ denied: ["secret"] }).client))
    expect([judged.status, await judged.text()]).toEqual([403, expect.not.stringContaining("the secret")])
    pieces = [`data: ${chunk("a", "stop")}\n\ndata: [DONE]\n\n`]
    expect(await (await ask(secureFetch(open().client))).text()).toBe(pieces[0])
  })

  it("writes anew what a pipeline of one's own may have changed", async () => {
    const redacting = Layer.effect(
      Pipeline,
      Effect.map(Pipeline, (inner) =>
        Pipeline.of({
          run: (call) =>
            Effect.map(inner.run(call), (reply) =>
              reply._tag === "Json"
                ? reply
                : Reply.stream(
                    Stream.map(reply.stream, (one) => {
                      const { choices } = one as { readonly choices?: Array<{ delta: { content: string } }> }
                      if (choices?.[0] !== undefined) choices[0].delta.content = "***"
                      return one
                    }),
                    reply.meta
                  )
            )
        })
      )
    ).pipe(Layer.provide(Pipeline.layer))
    const { workspace } = open()
    const client = new SecureOpenAI({ apiKey: "k", baseURL, appName: "lab", workspace, layer: redacting })
    pieces = [`data: ${chunk("secret", "stop")}\n\ndata: [DONE]\n\n`]
    const text = await (await ask(secureFetch(client))).text()
    expect(text).toBe(`data: ${chunk("***", "stop")}\n\ndata: [DONE]\n\n`)
  })

  it("rejects as fetch does, and with nothing else", async () => {
    const { client } = open()
    const reason = new Error("enough")
    const fetch = secureFetch(client)
    await expect(ask(fetch, undefined, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const lost = secureFetch(client.withOptions({ baseURL: "http://127.0.0.1:9/v1" }))
    await expect(lost("https://api.openai.com/v1/chat/completions", { method: "POST" })).resolves.toMatchObject({
      status: 403
    })
    for (const path of ["chat/completions", "models"]) {
      const body = path === "models" ? {} : { body: '{"model":"gpt-4o","messages":[]}', method: "POST" }
      await expect(
        lost(`https://api.openai.com/v1/${path}`, { ...body, headers: { "content-type": "application/json" } })
      ).rejects.toThrow(TypeError)
    }
    // A call that takes longer than the client lets it: fetch has no such time, and says what else failed as its cause.
    const slow = secureFetch(client.withOptions({ timeout: 1, baseURL: "http://10.255.255.1/v1" }))
    const late: unknown = await slow("https://api.openai.com/v1/models").catch((e: unknown) => e)
    expect(late).toBeInstanceOf(TypeError)
    expect((late as Error).cause).toBeInstanceOf(Error)
    pieces = [`data: ${chunk("a")}\n\n`]
    cut = true
    await expect((await ask(fetch)).text()).rejects.toThrow(TypeError)
    await expect(fetch("no url at all")).rejects.toThrow(TypeError)
    const own: unknown = await secureFetch(
      new SecureOpenAI({ apiKey: () => Promise.reject(new Error("no key")), baseURL, workspace: open().workspace })
    )("https://api.openai.com/v1/models").catch((e: unknown) => e)
    expect(own).toBeInstanceOf(TypeError)
  })
})
