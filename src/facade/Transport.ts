/**
 * The default transport of JSON calls: `node:http` where `fetch` would do the same for two and a half times the price. It
 * stands in only for Node's own `fetch`, with nothing set that is `fetch`'s alone: a `fetch` that was given or patched, a
 * dispatcher, a proxy from the environment, or any option that is not known here goes to `fetch` as it is.
 *
 * @since 0.1.0
 */
import * as Http from "node:http"
import * as Https from "node:https"
import { promisify, types } from "node:util"
import * as Zlib from "node:zlib"

type Fetch = typeof globalThis.fetch

/** What a client without a `fetch` of its own uses: whatever `fetch` is when it is made. */
export const defaultFetch = (): Fetch => (isNodeFetch(globalThis.fetch) ? nodeFetch : globalThis.fetch)

/** The transport of a JSON call through `fetch`: a leaner one for {@link defaultFetch}'s, any other as it is. */
export const jsonTransport = (fetch: Fetch): Fetch => (fetch === nodeFetch ? lean : fetch)

const own: Fetch = globalThis.fetch

/** Node's own, told apart from one given by the user, even where that is the same function. */
const nodeFetch: Fetch = (input, init) => own(input, init)

/** True for Node's own implementation: a wrapper that observes or mocks has another source. */
const isNodeFetch = (fetch: Fetch): boolean =>
  fetch === own && Function.prototype.toString.call(fetch).includes("internal/deps/undici")

const lean: Fetch = (input, init = {}) => {
  const target = targetOf(input, init)
  return target === undefined ? own(input, init) : send(target, init)
}

/** What a request must be made of: anything else is `fetch`'s to understand. */
interface Plain {
  readonly url: URL
  readonly body: string
  readonly headers: Headers
}

const understood: ReadonlySet<string> = new Set(["method", "headers", "body", "signal", "redirect"])

/** Headers by which a request says where it ends or how its connection goes on: `fetch` refuses or replaces them. */
const framing = [
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
] as const

const targetOf = (input: Parameters<Fetch>[0], init: RequestInit): Plain | undefined => {
  const { body, headers, redirect } = init
  if (typeof input !== "string" || typeof body !== "string" || !(headers instanceof Headers) || redirect !== "manual")
    return undefined
  for (const key in init) if (!understood.has(key)) return undefined
  if (framing.some((name) => headers.has(name))) return undefined
  if (!dispatchesByDefault() || proxied) return undefined
  const url = new URL(input)
  const { password, port, protocol, username } = url
  const plain = (protocol === "http:" || protocol === "https:") && username === "" && password === "" && isOpen(port)
  return plain ? { url, body, headers } : undefined
}

/** False for a port that `fetch` may refuse (Fetch standard, §2.9): it says so itself. */
const isOpen = (port: string): boolean => port === "" || (Number(port) > 1023 && !refusedPorts.has(Number(port)))

const refusedPorts: ReadonlySet<number> = new Set([
  1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080
])

/** Node 24 can be told to take proxies from the environment. */
const proxied =
  Boolean(process.env["NODE_USE_ENV_PROXY"]) ||
  [...process.execArgv, process.env["NODE_OPTIONS"] ?? ""].some((option) => option.includes("use-env-proxy"))

/** True while `fetch` dispatches as it does where nobody set anything: by no dispatcher yet, or by a plain agent. */
const dispatchesByDefault = (): boolean => {
  const dispatcher: unknown = Reflect.get(globalThis, Symbol.for("undici.globalDispatcher.1"))
  if (dispatcher === known) return true
  if (!isPlainAgent(dispatcher)) return false
  known = dispatcher
  return true
}
let known: unknown

/** True for an agent without options, interceptors or methods of its own. */
const isPlainAgent = (dispatcher: unknown): boolean => {
  if (typeof dispatcher !== "object" || dispatcher === null || types.isProxy(dispatcher)) return false
  const symbol = Object.getOwnPropertySymbols(dispatcher).find(({ description }) => description === "options")
  const options: unknown = symbol === undefined ? undefined : Reflect.get(dispatcher, symbol)
  return (
    dispatcher.constructor.name === "Agent" &&
    !Object.hasOwn(dispatcher, "dispatch") &&
    typeof options === "object" &&
    options !== null &&
    Object.values(options).every((option) => option === undefined || option === Infinity)
  )
}

// Idle connections are dropped after as long as `fetch` would.
const agents = {
  "http:": new Http.Agent({ keepAlive: true, timeout: 4000 }),
  "https:": new Https.Agent({ keepAlive: true, timeout: 4000 })
}

const send = ({ body, headers, url }: Plain, { method = "GET", signal }: RequestInit): Promise<Response> =>
  new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const secure = url.protocol === "https:"
    const fields: Record<string, string> = { "accept-encoding": secure ? "br, gzip, deflate" : "gzip, deflate" }
    headers.forEach((value, name) => (fields[name] = value))
    fields["content-length"] = String(Buffer.byteLength(body))
    const options = { method, headers: fields, agent: secure ? agents["https:"] : agents["http:"] }
    const request = secure ? Https.request(url, options) : Http.request(url, options)
    const abort = (): void => {
      request.destroy()
      reject(signal?.reason)
    }
    signal?.addEventListener("abort", abort, { once: true })
    request.on("error", (cause) => {
      signal?.removeEventListener("abort", abort)
      reject(new TypeError("fetch failed", { cause }))
    })
    request.once("response", (message) => resolve(responseOf(url, message, signal, abort)))
    request.end(body)
  })

/** A `Response` whose body is read at once, so that no connection waits for a reader. */
const responseOf = (
  url: URL,
  message: Http.IncomingMessage,
  signal: AbortSignal | null | undefined,
  abort: () => void
): Response => {
  const { rawHeaders, statusCode: status = 0, statusMessage: statusText = "" } = message
  const headers = new Headers()
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) headers.append(rawHeaders[i] ?? "", rawHeaders[i + 1] ?? "")
  const bytes = new Promise<Buffer>((resolve, reject) => {
    const parts: Array<Buffer> = []
    message.on("data", (part: Buffer) => parts.push(part))
    message.once("end", () => {
      signal?.removeEventListener("abort", abort)
      resolve(parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts))
    })
    let broken: Error | undefined
    message.on("error", (error) => (broken = error))
    message.once("close", () => {
      if (message.complete) return
      signal?.removeEventListener("abort", abort)
      reject(signal?.aborted ? signal.reason : new TypeError("terminated", { cause: broken }))
    })
  })
  const decoded = headers.has("content-encoding") ? bytes.then((all) => decode(all, headers)) : bytes
  // Whoever reads it is told of its failure; nobody has to read it.
  decoded.catch(() => {})
  return new BodiedResponse({ status, statusText, headers }, url.href, decoded)
}

/** A response with a body that has been asked for already: read once, as any, and genuine otherwise. */
class BodiedResponse extends Response {
  readonly #init: ResponseInit
  readonly #url: string
  readonly #bytes: Promise<Buffer>
  #used = false
  #stream: ReadableStream<Uint8Array<ArrayBuffer>> | undefined

  constructor(init: ResponseInit, url: string, bytes: Promise<Buffer>) {
    super(null, init)
    this.#init = init
    this.#url = url
    this.#bytes = bytes
  }

  override get url(): string {
    return this.#url
  }
  override get type(): ResponseType {
    return "basic"
  }
  override get bodyUsed(): boolean {
    return this.#used
  }
  override get body(): ReadableStream<Uint8Array<ArrayBuffer>> {
    const pull = async (controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>) => {
      controller.enqueue(await this.bytes())
      controller.close()
    }
    // The SDK looks at the body without reading it.
    return (this.#stream ??= new ReadableStream({ pull }, { highWaterMark: 0 }))
  }
  override async text(): Promise<string> {
    return utf8.decode(await this.#take())
  }
  override async json(): Promise<unknown> {
    return JSON.parse(await this.text())
  }
  override async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return Uint8Array.from(await this.#take())
  }
  override async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.bytes()).buffer
  }
  override async blob(): Promise<Blob> {
    return new Blob([await this.bytes()], { type: this.headers.get("content-type") ?? "" })
  }
  override clone(): Response {
    return new BodiedResponse(this.#init, this.#url, this.#bytes)
  }

  #take(): Promise<Buffer> {
    if (this.#used) return Promise.reject(new TypeError("Body is unusable: Body has already been read"))
    this.#used = true
    return this.#bytes
  }
}
Object.defineProperty(BodiedResponse, "name", { value: "Response" })

const utf8 = new TextDecoder()

const decoders: Readonly<Record<string, (bytes: Buffer) => Promise<Buffer>>> = {
  gzip: promisify(Zlib.gunzip),
  "x-gzip": promisify(Zlib.gunzip),
  deflate: promisify(Zlib.inflate),
  br: promisify(Zlib.brotliDecompress)
}

/** Undoes the content codings, the last one first (RFC 9110 §8.4); one that nobody asked for stays. */
const decode = async (bytes: Buffer, headers: Headers): Promise<Buffer> => {
  const codings = (headers.get("content-encoding") ?? "").toLowerCase().split(",")
  let content = bytes
  for (const coding of codings.map((name) => name.trim()).toReversed()) {
    const undo = decoders[coding]
    if (undo === undefined || content.length === 0) return content
    content = await undo(content).catch((cause: unknown) => Promise.reject(new TypeError("terminated", { cause })))
  }
  return content
}
