/**
 * The pipeline behind a `fetch`, for libraries that build a client of their own and let one replace nothing else. The
 * library's request goes out as the secure client's: to its base URL, with its credentials, in its identity's name.
 */
import * as Result from "effect/Result"
import { APIConnectionError, APIError, APIUserAbortError, AzureOpenAI, type OpenAI, OpenAIError } from "openai"
import { parseStrictObject } from "../base/CanonicalJson.ts"
import { ConfigurationError } from "../call/SdkErrors.ts"
import { refusal } from "../call/Errors.ts"
import { resourceOf } from "../http/Admission.ts"
import { libraryHeaders } from "../http/RequestHeaders.ts"
import { ReceivedEvents } from "../invocation/ReceivedEvents.ts"
import { classify, withoutSlashes } from "../call/Operation.ts"
import { errorEvent, responseLike } from "./SdkAnswer.ts"
import { errorResponseOf } from "./ErrorResponses.ts"
import { textOptions } from "./RequestMarks.ts"
import type { RequestOptions } from "./Options.ts"
import { otherCopy } from "../base/Shared.ts"
import { receiptOf, rememberReceipt } from "./Receipts.ts"
import type { SecureMembers } from "./SecureMembers.ts"
import { refuseHere, requireOpen, type Session, sessionOf } from "./Session.ts"

/**
 * A `fetch` that sends through a secure client, bound or not: `new ChatOpenAI({ model, apiKey: "unused", configuration: {
 * fetch: secureFetch(client) } })`, `createOpenAI({ apiKey: "unused", fetch: secureFetch(client) })`.
 *
 * - The library keeps its default base URL (`https://api.openai.com/v1`) or is given the client's; what follows it is sent
 *   below the client's `baseURL`. A request for anywhere else is refused, and the log says so (`foreign_url`).
 * - Of its headers, `accept`, `content-type`, `idempotency-key`, `openai-beta`, `x-client-request-id`, those that trace a
 *   request (`traceparent`, `tracestate`, `baggage`) and the client's `allowedHeaders` pass; key, organization, project and
 *   cookies are the client's own, so the library never holds them.
 * - One call is one decision and one HTTP request: the client does not retry. A retry by the library is a new call.
 * - A provider's answer is given as it came, errors too; a stream to `[DONE]`, whatever its events hold. Where policy judges
 *   the answer, a stream is written anew from what was judged. A refusal is a `Response` of its status (403, 429, 401, 503; 400
 *   for a wrong set-up) with the API's error JSON and `x-should-retry: false`; in a stream that runs, it is its last event.
 * - Rejects as `fetch` does: with the signal's reason, or with a `TypeError` whose `cause` says what failed. So does a body that
 *   breaks off; that of a stream whose client was closed or unbound fails with that client's error.
 *
 * Throws a `ConfigurationError` for anything but a secure client. `SecureOpenAI.receipt` knows the responses.
 *
 * @category clients
 */
export const secureFetch = (client: OpenAI & SecureMembers): typeof globalThis.fetch => {
  const session = sessionOf(client)
  if (session === undefined)
    throw new ConfigurationError(
      `secureFetch takes a SecureOpenAI, bound or not, and ${otherCopy(client) ?? "this is none: nobody would judge it."}`
    )
  return async (input, init) => {
    const request = new Request(input, init)
    request.signal.throwIfAborted()
    try {
      requireOpen(session)
      const options = await optionsOf(request, client, session)
      const response = await client.request(options).asResponse()
      return options.stream === true ? cutWith(request.signal, response) : response
    } catch (error) {
      if (request.signal.aborted) throw request.signal.reason
      return responseOf(error)
    }
  }
}

/** Where libraries send what they are told nothing about. */
const usualBase = "https://api.openai.com/v1"

const optionsOf = async (request: Request, client: OpenAI, session: Session): Promise<RequestOptions> => {
  const url = new URL(request.url)
  const path = pathBelow(url, client.baseURL) ?? pathBelow(url, usualBase)
  if (path === undefined) return refuseForeign(request, client.baseURL, session)
  const body = await bodyOf(request)
  const json = typeof body === "string" ? objectOf(body) : undefined
  const headers: Record<string, string> = {}
  // All others are the client's own.
  for (const name of [...libraryHeaders, ...session.settings.allowedHeaders]) {
    const value = request.headers.get(name)
    if (value !== null) headers[name] = value
  }
  return {
    method: request.method.toLowerCase() as RequestOptions["method"],
    path,
    query: queryOf(url),
    headers,
    stream: json?.["stream"] === true,
    __streamClass: ReceivedEvents,
    signal: request.signal,
    maxRetries: 0,
    // The client for Azure reads the deployment's name in the object.
    ...(body !== undefined && { body: client instanceof AzureOpenAI ? (json ?? body) : body }),
    ...(typeof body === "string" && textOptions(body))
  }
}

/** What stands below a base URL, with its leading slash. */
const pathBelow = ({ origin, pathname }: URL, baseURL: string): string | undefined => {
  const base = new URL(baseURL)
  const root = withoutSlashes(base.pathname)
  return origin === base.origin && pathname.startsWith(`${root}/`) ? pathname.slice(root.length) : undefined
}

const refuseForeign = ({ method, url }: Request, baseURL: string, session: Session): Promise<never> => {
  const resource = resourceOf(session.app, classify(method, url, url))
  const message = `a request through secureFetch goes to ${baseURL}, and this one was for ${new URL(url).origin}; give the library ${baseURL} as its base URL, or none`
  return refuseHere(session, refusal("egress", { code: "foreign_url", message }, { resource, principal: "" }))
}

/** The SDK writes the query: a parameter that is repeated is an array to it. */
const queryOf = ({ searchParams }: URL): Record<string, string | Array<string>> => {
  const query: Record<string, string | Array<string>> = {}
  for (const name of new Set(searchParams.keys())) {
    const [first = "", ...others] = searchParams.getAll(name)
    if (others.length > 0) query[name.replace(/\[\]$/, "")] = [first, ...others]
    else query[name] = first
  }
  return query
}

/** The body, read whole: text where it says that it is and is, for that can be judged, and bytes otherwise. */
const bodyOf = async (request: Request): Promise<string | ArrayBuffer | undefined> => {
  if (request.body === null) return undefined
  const bytes = await request.arrayBuffer()
  if (request.headers.get("content-type")?.startsWith("multipart/") ?? true) return bytes
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return bytes
  }
}

const objectOf = (text: string): Record<string, unknown> | undefined => {
  const parsed = parseStrictObject(text)
  return Result.isSuccess(parsed) ? parsed.success : undefined
}

/**
 * The same response, as those expect it who speak HTTP: a refusal is the stream's last event, and an abort fails the body with
 * the signal's reason, where the SDK's just ends.
 */
const cutWith = (signal: AbortSignal, response: Response): Response => {
  if (response.body === null) return response
  const reader = response.body.getReader()
  let sent = 0
  let isNamed = true
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read()
          signal.throwIfAborted()
          if (done) return controller.close()
          sent++
          if (value[0] !== 0x3a) isNamed = value[0] === 0x65 // the first letter of "event:", and no comment
          controller.enqueue(value)
        } catch (error) {
          if (signal.aborted || !(error instanceof APIError) || typeof error.error !== "object") throw error
          controller.enqueue(new TextEncoder().encode(errorEvent(error.error, isNamed ? sent : undefined)))
          controller.close()
        }
      },
      cancel: (reason) => reader.cancel(reason)
    },
    { highWaterMark: 0 }
  )
  const cut = responseLike(response, body, "text/event-stream")
  const receipt = receiptOf(response)
  if (receipt !== undefined) rememberReceipt(cut, receipt)
  return cut
}

/** What went wrong, as an answer of the API; throws what a `fetch` would reject with. */
const responseOf = (error: unknown): Response => {
  const came = errorResponseOf(error)
  if (came !== undefined) return came
  if (error instanceof APIUserAbortError && error.cause instanceof OpenAIError) return responseOf(error.cause)
  if (error instanceof APIConnectionError && error.cause instanceof TypeError) throw error.cause
  if (error instanceof APIError && error.status !== undefined) return refused(error.status, error.error, error.headers)
  if (error instanceof OpenAIError && "code" in error && !(error instanceof APIError)) {
    const { code, message } = error
    return refused(error instanceof ConfigurationError ? 400 : 403, { message, type: code, code, param: null })
  }
  throw error instanceof TypeError ? error : new TypeError("fetch failed", { cause: error })
}

const refused = (status: number, error: unknown, given?: Headers): Response => {
  const headers = new Headers(given)
  headers.set("content-type", "application/json")
  headers.set("x-should-retry", "false")
  return new Response(JSON.stringify({ error }), { status, headers })
}
