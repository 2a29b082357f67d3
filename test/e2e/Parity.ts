/**
 * What can be seen of a call from outside, told in plain data: the value or the error that its caller gets, and what arrived
 * at the server. Two clients that tell the same cannot be told apart by it.
 */
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import type { OpenAI } from "openai"

/** Answers the nth request of a call, from 0; `text` is the body that arrived. */
export type Script = (response: Http.ServerResponse, n: number, request: Http.IncomingMessage, text: string) => unknown

/** A request as it arrived, without what differs from run to run, and without the client's own name. */
export interface Arrived {
  readonly request: string
  readonly headers: Record<string, unknown>
  readonly body: string
}

export interface ScriptedServer {
  readonly url: string
  /** Runs a call on a client against a script, and tells what was seen. */
  readonly run: (call: (client: OpenAI) => unknown, client: OpenAI, script: Script) => Promise<Seen>
  /** Settles when the first request of the call that runs has arrived. */
  readonly arrival: () => Promise<void>
  readonly close: () => void
}

export interface Seen {
  readonly outcome: unknown
  readonly arrived: ReadonlyArray<Arrived>
}

export const startScriptedServer = async (): Promise<ScriptedServer> => {
  let script: Script = (response) => response.end()
  let arrived: Array<Arrived> = []
  let first = Promise.withResolvers<void>()
  const server = Http.createServer(async (request, response) => {
    const parts: Array<Buffer> = []
    for await (const part of request) parts.push(part as Buffer)
    const text = Buffer.concat(parts).toString("latin1")
    const n = arrived.push(arrivedOf(request, text)) - 1
    first.resolve()
    await script(response, n, request, text)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    run: async (call, client, next) => {
      script = next
      arrived = []
      first = Promise.withResolvers()
      const mine = arrived
      let outcome: unknown
      try {
        outcome = { value: await told(await call(client)) }
      } catch (error) {
        outcome = { error: await told(error) }
      }
      return { outcome, arrived: mine }
    },
    arrival: () => first.promise,
    close: () => {
      server.closeAllConnections()
      server.close()
    }
  }
}

const arrivedOf = ({ headers, method, url }: Http.IncomingMessage, text: string): Arrived => {
  const { "user-agent": _agent, ...rest } = headers
  const boundary = /boundary=(\S+)/.exec(headers["content-type"] ?? "")?.[1]
  const body = boundary === undefined ? text : text.replaceAll(boundary, "BOUNDARY")
  if (boundary !== undefined) rest["content-type"] = "multipart/form-data; boundary=BOUNDARY"
  return { request: `${method} ${url}`, headers: rest, body }
}

/** A value, error, response or stream in plain data: class, own properties with their attributes, and what JSON makes of it. */
export const told = async (value: unknown): Promise<unknown> => {
  if (value instanceof Error) return errorTold(value)
  if (value instanceof Response) return responseTold(value)
  if (Array.isArray(value)) return Promise.all(value.map(told))
  if (typeof value === "function") return `function ${value.name}`
  if (typeof value !== "object" || value === null) return value
  const name = value.constructor?.name
  if (name === "Stream") return "a stream"
  return {
    class: name,
    properties: Object.getOwnPropertyNames(value).map((key) => {
      const { enumerable } = Object.getOwnPropertyDescriptor(value, key)!
      return `${key}${enumerable ? "" : " (hidden)"}`
    }),
    requestId: Reflect.get(value, "_request_id"),
    json: JSON.parse(JSON.stringify(value) ?? "null") as unknown
  }
}

const errorTold = async (error: Error): Promise<unknown> => ({
  class: ancestry(error),
  name: error.name,
  message: error.message,
  text: String(error),
  ...(await properties(error, ["status", "code", "type", "param", "requestID", "error"])),
  own: Object.keys(error).sort(),
  headers: headersTold(Reflect.get(error, "headers")),
  cause: causeTold(error.cause)
})

/** Errors of Node and of undici are told by what an app may look at. */
const causeTold = (cause: unknown): unknown =>
  cause instanceof Error
    ? { name: cause.name, message: cause.message, code: Reflect.get(cause, "code"), cause: causeTold(cause.cause) }
    : cause

const properties = async (of: object, names: ReadonlyArray<string>): Promise<Record<string, unknown>> =>
  Object.fromEntries(names.map((name) => [name, Reflect.get(of, name) as unknown]))

const ancestry = (value: object): string => {
  const names: Array<string> = []
  for (let o: object | null = Object.getPrototypeOf(value) as object | null; o !== null; o = Object.getPrototypeOf(o))
    names.push(o.constructor.name)
  return names.slice(0, -1).join(" < ")
}

export const responseTold = async (response: Response): Promise<unknown> => ({
  response: response instanceof Response,
  ...(await properties(response, ["status", "statusText", "ok", "redirected", "type", "url"])),
  headers: headersTold(response.headers)
})

const headersTold = (headers: unknown): unknown =>
  headers instanceof Headers ? Object.fromEntries([...headers].filter(([name]) => name !== "date")) : headers
