/**
 * A provider on the loopback that speaks as much of the OpenAI API as the tests need, and misbehaves when it is told to. It
 * keeps every request as it arrived.
 */
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { chunks as mockChunks, whole as mockWhole } from "../../src/testing/MockAnswers.ts"

export interface Hit {
  readonly method: string
  readonly path: string
  readonly headers: Http.IncomingHttpHeaders
  readonly text: string
  readonly body: Record<string, unknown>
}

/** What the provider does with the next requests: `then` answers normally once `times` are used up. */
export interface Behaviour {
  readonly status?: number
  readonly times?: number
  readonly headers?: Record<string, string>
  readonly rubbish?: boolean
  readonly hang?: boolean
  /** Streams: how many chunks, cut the socket after so many, an error event after so many, ms between chunks. */
  readonly chunks?: number
  readonly cutAfter?: number
  readonly errorAfter?: number
  /** Ends the answer properly, but without a last chunk. */
  readonly endless?: boolean
  readonly every?: number
  readonly toolCalls?: ReadonlyArray<{ readonly name: string; readonly arguments: string }>
  /** Answers with these very events, or with this very JSON. */
  readonly events?: Iterable<unknown>
  readonly json?: unknown
}

export interface Provider {
  readonly url: string
  readonly hits: Array<Hit>
  /** How many requests were closed by the client before their answer was over. */
  readonly closed: () => number
  readonly behave: (behaviour: Behaviour) => void
  readonly close: () => Promise<void>
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

export const startProvider = async (): Promise<Provider> => {
  const hits: Array<Hit> = []
  let behaviour: Behaviour = {}
  let failures = 0
  let closed = 0
  const server = Http.createServer(async (request, response) => {
    const parts: Array<Buffer> = []
    for await (const part of request) parts.push(part as Buffer)
    const text = Buffer.concat(parts).toString("utf8")
    const path = (request.url ?? "").replace(/^\/v1/, "")
    // Azure serves the same below its own prefixes.
    const served = path.replace(/^\/openai(\/v1)?/, "").replace(/^\/deployments\/[^/]+/, "")
    const json = request.headers["content-type"]?.includes("json") === true && text !== ""
    const body = json ? (JSON.parse(text) as Record<string, unknown>) : {}
    hits.push({ method: request.method ?? "", path, headers: request.headers, text, body })
    const told = behaviour
    response.on("close", () => {
      if (!response.writableFinished && told === behaviour) closed++
    })
    if (behaviour.hang) return
    response.setHeader("x-request-id", `req_${hits.length}`)
    if (behaviour.status !== undefined && failures < (behaviour.times ?? Infinity)) {
      failures++
      for (const [name, value] of Object.entries(behaviour.headers ?? {})) response.setHeader(name, value)
      response.writeHead(behaviour.status, { "content-type": "application/json" })
      response.end(
        JSON.stringify({ error: { message: `told to answer ${behaviour.status}`, type: "test", code: "told" } })
      )
      return
    }
    if (behaviour.rubbish) {
      response.writeHead(200, { "content-type": "application/json" })
      response.end("{ this is no JSON")
      return
    }
    if (body["stream"] === true) return stream(response, served, body)
    response.writeHead(200, { "content-type": "application/json" })
    if (behaviour.json !== undefined) return response.end(JSON.stringify(behaviour.json))
    response.end(JSON.stringify(answer(served, request.method ?? "", body)))
  })

  const stream = async (response: Http.ServerResponse, path: string, body: Record<string, unknown>) => {
    const { chunks = 3, cutAfter, errorAfter, events, every = 0, toolCalls } = behaviour
    response.writeHead(200, { "content-type": "text/event-stream" })
    const send = (value: unknown) =>
      response.write(`data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`)
    for (const event of events ?? []) {
      if (response.destroyed) return
      if (!send(event))
        await new Promise<void>((resolve) => {
          const go = () => {
            response.off("drain", go).off("close", go)
            resolve()
          }
          response.on("drain", go).on("close", go)
        })
      if (every > 0) await wait(every)
    }
    if (events !== undefined) return response.end("data: [DONE]\n\n")
    if (path.startsWith("/responses")) return respond(response, path, body)
    const parts = toolCalls === undefined ? [] : toolDeltas(toolCalls)
    for (let i = 0; i < (parts.length || chunks) && !response.destroyed; i++) {
      if (i === cutAfter) {
        response.socket?.destroy()
        return
      }
      if (i === errorAfter) {
        send({ error: { message: "the model fell over", type: "server_error", code: null } })
        break
      }
      const model = body["model"]
      send(
        path.includes("chat")
          ? {
              id: `chatcmpl-s${hits.length}`,
              object: "chat.completion.chunk",
              created: 1,
              model,
              choices: [{ index: 0, delta: parts[i] ?? { role: "assistant", content: `t${i}` }, finish_reason: null }]
            }
          : {
              id: `cmpl-s${hits.length}`,
              object: "text_completion",
              created: 1,
              model,
              choices: [{ index: 0, text: `t${i}`, finish_reason: null }]
            }
      )
      if (every > 0) await wait(every)
    }
    if (response.destroyed) return
    if (behaviour.endless) return response.end()
    send({
      id: `chatcmpl-s${hits.length}`,
      object: "chat.completion.chunk",
      created: 1,
      model: body["model"],
      choices: [{ index: 0, delta: {}, finish_reason: parts.length > 0 ? "tool_calls" : "stop" }],
      usage: { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 }
    })
    send("[DONE]")
    response.end()
  }

  /** A streamed response: named events, and no sentinel after the last one. */
  const respond = async (response: Http.ServerResponse, path: string, body: Record<string, unknown>) => {
    const { cutAfter, endless, every = 0 } = behaviour
    const events = mockChunks(said(body), asked(path, body)) as ReadonlyArray<{ readonly type: string }>
    for (const [i, event] of (endless ? events.slice(0, -1) : events).entries()) {
      if (i === cutAfter) return response.socket?.destroy()
      response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
      if (every > 0) await wait(every)
    }
    return response.end()
  }

  const said = (body: Record<string, unknown>) => {
    const input = body["input"]
    const isAnswered = Array.isArray(input) && input.some((item) => item.type === "function_call_output")
    const [call] = isAnswered ? [] : (behaviour.toolCalls ?? [])
    return call === undefined ? contentFor(body) : { tool: call.name, arguments: JSON.parse(call.arguments) as {} }
  }

  const asked = (path: string, body: Record<string, unknown>) => ({
    operation: "generate",
    endpoint: `POST http://127.0.0.1${path}`,
    params: body as {},
    n: hits.length
  })

  const answer = (path: string, method: string, body: Record<string, unknown>): unknown => {
    const id = hits.length
    const usage = { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 }
    if (method === "POST" && path.startsWith("/chat/completions")) {
      const messages = body["messages"] as ReadonlyArray<{ readonly role: string }> | undefined
      const asked = messages?.at(-1)?.role !== "tool" ? behaviour.toolCalls : undefined
      const message = asked
        ? {
            role: "assistant",
            content: null,
            refusal: null,
            tool_calls: asked.map((f, i) => ({ id: `call_${i}`, type: "function", function: f }))
          }
        : { role: "assistant", content: contentFor(body), refusal: null }
      return {
        id: `chatcmpl-${id}`,
        object: "chat.completion",
        created: 1,
        model: body["model"],
        choices: [{ index: 0, message, finish_reason: asked ? "tool_calls" : "stop", logprobs: null }],
        usage
      }
    }
    if (method === "POST" && /^\/responses(\/compact)?(\?|$)/.test(path))
      return mockWhole(said(body), asked(path, body))
    if (method === "POST" && path.startsWith("/completions"))
      return {
        id: `cmpl-${id}`,
        object: "text_completion",
        created: 1,
        model: body["model"],
        choices: [{ index: 0, text: "hello", finish_reason: "stop", logprobs: null }],
        usage
      }
    if (method === "POST" && path.startsWith("/embeddings")) {
      const floats = new Float32Array([1, 2])
      const embedding = body["encoding_format"] === "base64" ? Buffer.from(floats.buffer).toString("base64") : [1, 2]
      return {
        object: "list",
        model: body["model"],
        data: [{ object: "embedding", index: 0, embedding }],
        usage: { prompt_tokens: 2, total_tokens: 2 }
      }
    }
    if (path.startsWith("/models"))
      return { object: "list", data: [{ id: "m1", object: "model", created: 1, owned_by: "test" }] }
    return { object: "list", data: [{ id: "x1" }], id: "x1", has_more: false }
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    hits,
    closed: () => closed,
    behave: (next) => {
      behaviour = next
      failures = 0
      closed = 0
      hits.length = 0
    },
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  }
}

const contentFor = (body: Record<string, unknown>): string => {
  const text = body["text"] as { readonly format?: object } | undefined
  const format = (body["response_format"] ?? text?.format) as { readonly type?: string } | undefined
  return format?.type === "json_schema" ? '{"a":1}' : `hi from ${String(body["model"])}`
}

const toolDeltas = (toolCalls: NonNullable<Behaviour["toolCalls"]>): Array<object> =>
  toolCalls.flatMap(({ arguments: args, name }, index) => [
    {
      role: "assistant",
      tool_calls: [{ index, id: `call_${index}`, type: "function", function: { name, arguments: "" } }]
    },
    { tool_calls: [{ index, function: { arguments: args.slice(0, 3) } }] },
    { tool_calls: [{ index, function: { arguments: args.slice(3) } }] }
  ])
