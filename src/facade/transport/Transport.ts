/**
 * The default transport of protected calls: `node:http` where `fetch` would do the same for two and a half times the price.
 * It stands in only for Node's own `fetch`, with nothing set that is `fetch`'s alone: a `fetch` that was given or patched, a
 * dispatcher, a proxy from the environment, or any option that is not known here goes to `fetch` as it is.
 *
 * @since 0.1.0
 */
import * as Http from "node:http"
import * as Https from "node:https"
import { types } from "node:util"
import { asFetch, Body } from "./Body.ts"
import { ReceivedResponse } from "./ReceivedResponse.ts"

type Fetch = typeof globalThis.fetch

/** What a client without a `fetch` of its own uses: whatever `fetch` is when it is made. */
export const defaultFetch = (): Fetch => (isNodeFetch(globalThis.fetch) ? nodeFetch : globalThis.fetch)

/** The transport of a protected call through `fetch`: a leaner one for {@link defaultFetch}'s, any other as it is. */
export const leanTransport = (fetch: Fetch): Fetch => (fetch === nodeFetch ? lean : fetch)

const own: Fetch = globalThis.fetch

/** Node's own, told apart from one given by the user, even where that is the same function. */
const nodeFetch: Fetch = (input, init) => own(input, init)

/** True for Node's own implementation: a wrapper that observes or mocks has another source. */
const isNodeFetch = (fetch: Fetch): boolean =>
  fetch === own && Function.prototype.toString.call(fetch).includes("internal/deps/undici")

const lean: Fetch = (input, init = {}) => {
  const plain = plainOf(input, init)
  return plain === undefined ? own(input, init) : send(plain, init)
}

/** Where a request goes, as `node:http` takes it. */
interface Target {
  readonly href: string
  readonly hostname: string
  readonly port: string
  readonly path: string
  /** The `host` header. */
  readonly host: string
  readonly secure: boolean
}

/** What a request must be made of: anything else is `fetch`'s to understand. */
interface Plain {
  readonly target: Target
  readonly body: string
  /** The header fields as they are sent, name after name, so that `node:http` has nothing to look up. */
  readonly fields: Array<string>
}

const understood: ReadonlySet<string> = new Set(["method", "headers", "body", "signal", "redirect"])

const plainOf = (input: Parameters<Fetch>[0], init: RequestInit): Plain | undefined => {
  const { body, headers, redirect } = init
  if (typeof input !== "string" || typeof body !== "string" || !(headers instanceof Headers) || redirect !== "manual")
    return undefined
  for (const key in init) if (!understood.has(key)) return undefined
  if (!dispatchesByDefault() || proxied) return undefined
  const target = targetOf(input)
  const fields = target && fieldsOf(target, headers, body)
  return target && fields && { target, body, fields }
}

const fieldsOf = ({ host, secure }: Target, headers: Headers, body: string): Array<string> | undefined => {
  const fields = ["host", host, "connection", "keep-alive"]
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
  if (!given.has("accept-encoding")) fields.push("accept-encoding", secure ? "br, gzip, deflate" : "gzip, deflate")
  fields.push("content-length", String(Buffer.byteLength(body)))
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

/** The target of a URL that any `fetch` would send to. An app asks for few URLs, again and again. */
const targetOf = (input: string): Target | undefined => {
  const known = targets.get(input)
  if (known !== undefined) return known
  const { host, hostname, href, password, pathname, port, protocol, search, username } = new URL(input)
  if ((protocol !== "http:" && protocol !== "https:") || username !== "" || password !== "" || !isOpen(port))
    return undefined
  const target = {
    href: href.split("#", 1)[0] ?? href,
    // An IPv6 address stands in brackets in a URL, and without in a socket's address.
    hostname: hostname.startsWith("[") ? hostname.slice(1, -1) : hostname,
    port,
    path: pathname + search,
    host,
    secure: protocol === "https:"
  }
  if (targets.size === 256) targets.clear()
  targets.set(input, target)
  return target
}
const targets = new Map<string, Target>()

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
  const dispatcher: unknown = Reflect.get(globalThis, dispatcherKey)
  if (dispatcher === known) return true
  if (!isPlainAgent(dispatcher)) return false
  known = dispatcher
  return true
}
const dispatcherKey = Symbol.for("undici.globalDispatcher.1")
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
  http: new Http.Agent({ keepAlive: true, timeout: 4000 }),
  https: new Https.Agent({ keepAlive: true, timeout: 4000 })
}

const send = ({ body, fields, target }: Plain, { method = "GET", signal }: RequestInit): Promise<Response> =>
  new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const { hostname, path, port, secure } = target
    const options = { method, hostname, port, path, headers: fields }
    const request = secure
      ? Https.request({ ...options, agent: agents.https })
      : Http.request({ ...options, agent: agents.http })
    let received: Body | undefined
    const abort = (): void => {
      received?.fail(signal?.reason)
      request.destroy()
      reject(signal?.reason)
    }
    const release = (): void => signal?.removeEventListener("abort", abort)
    signal?.addEventListener("abort", abort, { once: true })
    request.on("error", (cause) => {
      release()
      reject(new TypeError("fetch failed", { cause: asFetch(cause) }))
    })
    request.once("response", (message) => {
      message.once("close", release)
      received = new Body(message)
      resolve(new ReceivedResponse(target.href, message, received))
    })
    request.end(body)
  })
