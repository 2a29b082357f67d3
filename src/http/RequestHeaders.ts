/**
 * The headers of a request: which of them make another request of it than the one that is judged, and which of them the SDK
 * did not set. A protected body is one JSON text in UTF-8; no header may ask a server or a proxy for another method, path or
 * host; and a user's request goes with the service's own account and settings.
 */

/** Headers by which frameworks and proxies take another method or path for a request's own. */
const rerouting = ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"]

/** The header that makes of a request another one; undefined where none does. */
export const reroutedBy = (headers: Headers): string | undefined => rerouting.find((name) => headers.has(name))

/** True where the headers leave a request with the host that its URL names. */
export const isForHost = (headers: Headers, url: string): boolean => {
  const host = headers.get("host")
  return host === null || host.toLowerCase() === new URL(url).host
}

/** Why a body may be read as another text than the JSON that was judged; undefined where it may not. */
export const misread = (headers: Headers): string | undefined => {
  const coding = headers.get("content-encoding")
  if (coding !== null && coding.toLowerCase() !== "identity") return `its content-encoding is ${JSON.stringify(coding)}`
  const type = headers.get("content-type")
  return type === "application/json" || isJson(type ?? "") ? undefined : `its content-type is ${JSON.stringify(type)}`
}

const isJson = (contentType: string): boolean => {
  const [type = "", ...parameters] = contentType.toLowerCase().split(";")
  return /^application\/([\w.-]+\+)?json$/.test(type.trim()) && parameters.every((parameter) => !isForeign(parameter))
}

const isForeign = (parameter: string): boolean => {
  const [name = "", value = ""] = parameter.split("=")
  return name.trim() === "charset" && !/^"?utf-?8"?$/.test(value.trim())
}

/** Headers by which the SDK says what it is and how it waits; a test reads them from the installed SDK's source. */
export const telemetryHeaders: ReadonlySet<string> = new Set([
  "x-stainless-arch",
  "x-stainless-custom-poll-interval",
  "x-stainless-helper-method",
  "x-stainless-lang",
  "x-stainless-os",
  "x-stainless-package-version",
  "x-stainless-poll-helper",
  "x-stainless-retry-count",
  "x-stainless-runtime",
  "x-stainless-runtime-version",
  "x-stainless-timeout"
])

/** The other headers that the SDK sets on its own requests, whatever their values are. */
const sdkHeaders: ReadonlySet<string> = new Set([
  "accept",
  "content-type",
  "idempotency-key",
  "openai-beta",
  "user-agent"
])

/**
 * Headers that every caller may set: they correlate requests, and choose no account, host or route. `content-encoding` says how
 * the body is written, and {@link misread} judges it.
 */
const callersHeaders: ReadonlySet<string> = new Set([
  "baggage",
  "content-encoding",
  "traceparent",
  "tracestate",
  "x-client-request-id"
])

/** True for a header that the SDK sets itself. `name` is in lower case. */
const isSdk = (name: string): boolean => sdkHeaders.has(name) || telemetryHeaders.has(name)

/** True for a header that any caller may set: it chooses no account, host or route. `name` is in lower case. */
export const isOpen = (name: string): boolean => isSdk(name) || callersHeaders.has(name)

/** Names of the open headers that a library behind `secureFetch` may set; the client sets the SDK's others itself. */
export const libraryHeaders: ReadonlyArray<string> = [
  "accept",
  "baggage",
  "content-type",
  "idempotency-key",
  "openai-beta",
  "traceparent",
  "tracestate",
  "x-client-request-id"
]

/**
 * Names of the headers, in lower case, that the SDK does not send by itself: they are none of its own, and they have not the
 * value (`own`, by name) that the client's credentials and settings give them. `host` is judged by {@link isForHost}.
 */
export const addedTo = (headers: Headers, own: ReadonlyMap<string, string>): ReadonlyArray<string> => {
  const added: Array<string> = []
  for (const [name, value] of headers) if (!isSdk(name) && name !== "host" && own.get(name) !== value) added.push(name)
  return added
}

/** What of its headers a service lets its users send. */
export interface HeaderSettings {
  /** Headers that the service set itself, by name in lower case, with the values that they must have. */
  readonly headers: ReadonlyMap<string, string>
  /** Names, in lower case, that any caller may set: the option `allowedHeaders`. */
  readonly allowedHeaders: ReadonlySet<string>
}

/** Of the headers that were added to a request, the first one that is not for a user to choose; undefined where there is none. */
export const foreignIn = (
  headers: Headers,
  added: ReadonlyArray<string>,
  { allowedHeaders, headers: pinned }: HeaderSettings
): string | undefined =>
  added.find((name) => !isOpen(name) && !allowedHeaders.has(name) && pinned.get(name) !== headers.get(name))
