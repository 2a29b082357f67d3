/**
 * The default transport of protected calls: the dispatcher under Node's `fetch`, called as `fetch` calls it and for a fifth of
 * the price. Connections, time limits, proxies, interceptors and what observes them are the same. It stands in only for Node's
 * own `fetch`, with nothing set that is `fetch`'s alone: a `fetch` that was given or patched, and any option that is not known
 * here, goes to `fetch` as it is.
 */
import type { Content } from "../../base/Content.ts"
import { ReceivedBody } from "./Body.ts"
import { codingsIn, maximumCodings } from "../../invocation/ContentCoding.ts"
import { bodiless, codingFieldsOf, type ResponseHead } from "./Head.ts"
import { ReceivedResponse } from "./ReceivedResponse.ts"

type Fetch = typeof globalThis.fetch

/** What a client without a `fetch` of its own uses: whatever `fetch` is when it is made. */
export const defaultFetch = (): Fetch => (isNodeFetch(globalThis.fetch) ? nodeFetch : globalThis.fetch)

/**
 * The transport of a protected call through `fetch`: a leaner one for {@link defaultFetch}'s, any other as it is. `content` is the
 * body that will be sent: a large one has its bytes already, and is not encoded anew.
 */
export const leanTransport = (fetch: Fetch, content?: Content): Fetch =>
  fetch === nodeFetch ? (input, init = {}) => lean(input, init, content) : fetch

const own: Fetch = globalThis.fetch

/** Node's own, told apart from one given by the user, even where that is the same function. */
const nodeFetch: Fetch = (input, init) => own(input, init)

/** True for Node's own implementation: a wrapper that observes or mocks has another source. */
const isNodeFetch = (fetch: Fetch): boolean =>
  fetch === own && Function.prototype.toString.call(fetch).includes("internal/deps/undici")

const lean = (input: Parameters<Fetch>[0], init: RequestInit, content: Content | undefined): Promise<Response> => {
  const plain = plainOf(input, init, content)
  return plain === undefined ? own(input, init) : send(plain, init)
}

/** Where a request goes, as a dispatcher takes it. */
interface Destination {
  readonly href: string
  readonly origin: string
  readonly path: string
}

/** What a request must be made of: anything else is `fetch`'s to understand. */
interface Plain {
  readonly dispatcher: Dispatcher
  readonly destination: Destination
  readonly body: string | Buffer
  /** Names and values of the header fields in turn. */
  readonly fields: Array<string>
}

const understood: ReadonlySet<string> = new Set(["method", "headers", "body", "signal", "redirect"])

const plainOf = (input: Parameters<Fetch>[0], init: RequestInit, content: Content | undefined): Plain | undefined => {
  const { body, headers, redirect } = init
  if (typeof input !== "string" || typeof body !== "string" || !(headers instanceof Headers) || redirect !== "manual")
    return undefined
  for (const key in init) if (!understood.has(key)) return undefined
  const dispatcher = globalDispatcher()
  const destination = destinationOf(input)
  const fields = destination && fieldsOf(destination, headers)
  // Whoever looks at what is dispatched expects a text, and gets one where that is cheap.
  const bytes = content?.isLarge === true && content.text === body ? content.bytes : body
  return dispatcher && destination && fields && { dispatcher, destination, body: bytes, fields }
}

const fieldsOf = ({ origin }: Destination, headers: Headers): Array<string> | undefined => {
  const fields: Array<string> = []
  const given = new Set<string>()
  let own = false
  headers.forEach((value, name) => {
    own ||= connectionHeaders.has(name)
    given.add(name)
    fields.push(name, value)
  })
  if (own) return undefined
  if (!given.has("accept-language")) fields.push("accept-language", "*")
  if (!given.has("sec-fetch-mode")) fields.push("sec-fetch-mode", "cors")
  if (!given.has("accept-encoding"))
    fields.push("accept-encoding", origin.startsWith("https:") ? "br, gzip, deflate" : "gzip, deflate")
  return fields
}

/** What `fetch` sets itself, refuses, or means something by. */
const connectionHeaders: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "transfer-encoding",
  "upgrade"
])

/** The destination of a URL that any `fetch` would send to. An app asks for few URLs, again and again. */
const destinationOf = (input: string): Destination | undefined => {
  const known = destinations.get(input)
  if (known !== undefined) return known
  const { href, origin, password, pathname, port, protocol, search, username } = new URL(input)
  if ((protocol !== "http:" && protocol !== "https:") || username !== "" || password !== "" || !isOpen(port))
    return undefined
  const destination = { href: href.split("#", 1)[0] ?? href, origin, path: pathname + search }
  if (destinations.size === 256) destinations.clear()
  destinations.set(input, destination)
  return destination
}
const destinations = new Map<string, Destination>()

/** False for a port that `fetch` may refuse (Fetch standard, §2.9): it says so itself. */
const isOpen = (port: string): boolean => port === "" || (Number(port) > 1023 && !refusedPorts.has(Number(port)))

const refusedPorts: ReadonlySet<number> = new Set([
  1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080
])

/** What a dispatcher of undici 6 and 7 is here; undici 8 leaves one of this kind in the same place. */
interface Dispatcher {
  readonly dispatch: (
    request: {
      readonly origin: string
      readonly path: string
      readonly method: string
      readonly headers: ReadonlyArray<string>
      readonly body: string | Buffer
    },
    handler: Receiver
  ) => unknown
}

/** What `fetch` sends by; undefined before it was first loaded. */
const globalDispatcher = (): Dispatcher | undefined => Reflect.get(globalThis, dispatcherKey) as Dispatcher | undefined
const dispatcherKey = Symbol.for("undici.globalDispatcher.1")

const send = (
  { body, dispatcher, fields, destination }: Plain,
  { method = "GET", signal }: RequestInit
): Promise<Response> =>
  new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const receiver = new Receiver(destination.href, signal ?? undefined, resolve, reject)
    dispatcher.dispatch({ origin: destination.origin, path: destination.path, method, headers: fields, body }, receiver)
  })

/** What a dispatcher tells of one request: the response, or why there is none. */
class Receiver {
  readonly #url: string
  readonly #signal: AbortSignal | undefined
  readonly #resolve: (response: Response) => void
  readonly #reject: (error: unknown) => void
  #abort: ((error: unknown) => void) | undefined
  #body: ReceivedBody | undefined

  constructor(
    url: string,
    signal: AbortSignal | undefined,
    resolve: (response: Response) => void,
    reject: (error: unknown) => void
  ) {
    this.#url = url
    this.#signal = signal
    this.#resolve = resolve
    this.#reject = reject
    signal?.addEventListener("abort", this.#aborted, { once: true })
  }

  readonly #aborted = (): void => {
    this.#body?.fail(this.#signal?.reason)
    this.#reject(this.#signal?.reason)
    this.#abort?.(this.#signal?.reason)
  }

  onConnect(abort: (error: unknown) => void): void {
    this.#abort = abort
    if (this.#signal?.aborted === true) abort(this.#signal.reason)
  }

  onHeaders(status: number, fields: ResponseHead["fields"], resume: () => void, statusText: string): boolean {
    if (status < 200) return true
    const head = { status, statusText, fields }
    const codings = bodiless.has(status) ? [] : codingFieldsOf(head)
    const count = codings.join().split(",").length
    if (count > maximumCodings) return this.#tooMany(count)
    this.#body = new ReceivedBody(codingsIn(codings), resume, () => this.#abort?.(left()))
    this.#resolve(new ReceivedResponse(this.#url, head, this.#body))
    return true
  }

  /** Each coding may multiply the size of a body; `fetch` has the same bound and says it so. */
  #tooMany(count: number): boolean {
    const cause = new Error(`too many content-encodings in response: ${count}, maximum allowed is ${maximumCodings}`)
    this.#reject(new TypeError("fetch failed", { cause }))
    this.#abort?.(left())
    return true
  }

  onData(bytes: Buffer): boolean {
    return this.#body!.receive(bytes)
  }

  onComplete(): void {
    this.#release()
    this.#body!.complete()
  }

  onError(cause: unknown): void {
    this.#release()
    if (this.#body === undefined) this.#reject(new TypeError("fetch failed", { cause }))
    else this.#body.fail(new TypeError("terminated", { cause }))
  }

  #release(): void {
    this.#signal?.removeEventListener("abort", this.#aborted)
  }
}

/** With what a connection is closed whose answer nobody wants any more. */
const left = (): DOMException => new DOMException("The operation was aborted.", "AbortError")
