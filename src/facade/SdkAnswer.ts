/**
 * What a caller of the SDK gets: a genuine `APIPromise` over what the pipeline answered, with `asResponse()`,
 * `withResponse()` and `_thenUnwrap()` as the SDK has them. Everything hangs on one promise, so that a failure that was
 * handled anywhere counts as handled.
 */
import { APIError, type OpenAI } from "openai"
import { APIPromise } from "openai/api-promise"
import type { Receipt, Reply } from "../call/Reply.ts"
import { frameOf, isHandedOn, sentinelOf } from "../invocation/ReceivedEvents.ts"
import { rememberReceipt } from "./Receipts.ts"
import { bodiless } from "../http/transport/Head.ts"

/** What the SDK knows of a response. */
export type ResponseProps = Awaited<ConstructorParameters<typeof APIPromise>[1]>

/** An answer: its value, made when it is asked for, its raw response, and the SDK's properties of it. */
export interface SdkAnswer {
  readonly props: ResponseProps
  readonly value: () => Promise<unknown>
  /** Makes a response that can be read. */
  readonly raw: () => Response
  readonly streamed: boolean
  readonly receipt?: Receipt
  /** The response that callers were given. */
  given?: Response
}

/**
 * The answer that a reply of JSON gives. `text` is the provider's own, where the pipeline left the value as it came; `isBinary` says
 * that the caller gets a response and no value.
 */
export const plainAnswer = (
  { meta: { receipt }, value }: Extract<Reply, { readonly _tag: "Json" }>,
  props: ResponseProps,
  text: string | undefined,
  isBinary: boolean
): SdkAnswer => {
  const raw = () =>
    text === undefined
      ? responseLike(props.response, JSON.stringify(value) ?? "", "application/json")
      : responseLike(props.response, text)
  return {
    props,
    value: async () => (isBinary ? raw() : withRequestId(value, props.response)),
    raw,
    streamed: false,
    ...(receipt !== undefined && { receipt })
  }
}

/** The one response of an answer: it can be read where it was asked for before the value, or where the value is a stream. */
const responseOf = (answer: SdkAnswer, parsed: boolean): Response =>
  (answer.given ??= parsed && !answer.streamed ? answer.props.response : answer.raw())

type Parse<T> = (answer: SdkAnswer) => Promise<T>

/** The promise of an answer, as the SDK's own resources expect it. */
export const answerPromise = <T>(
  client: OpenAI,
  answer: Promise<SdkAnswer>,
  parse: Parse<T> = (answer) => answer.value() as Promise<T>
): APIPromise<T> => {
  const parsed: Parse<T> = async (answer) => {
    const value = await parse(answer)
    if (answer.receipt !== undefined) rememberReceipt(value, answer.receipt)
    return value
  }
  let once: Promise<T> | undefined
  const promise = new APIPromise<T>(
    client,
    // The SDK looks at nothing here but at what its parser is given, which is ours.
    answer as Promise<never>,
    (_client, given) => (once ??= parsed(given as unknown as SdkAnswer)) as Promise<never>
  )
  promise.asResponse = async () => {
    const settled = await answer
    const response = responseOf(settled, false)
    if (settled.receipt !== undefined) rememberReceipt(response, settled.receipt)
    return response
  }
  promise.withResponse = async () => {
    const data = await promise
    const response = responseOf(await answer, true)
    return { data, response, request_id: response.headers.get("x-request-id") }
  }
  promise._thenUnwrap = <U>(transform: (data: T, props: ResponseProps) => U) =>
    answerPromise<U>(client, answer, async (a) => withRequestId(transform(await parsed(a), a.props), a.props.response))
  return promise
}

/** The property that the SDK puts on every object it answers with, with the SDK's own attributes. */
export const withRequestId = <T>(value: T, response: Response): T =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !Object.hasOwn(value, "_request_id")
    ? Object.defineProperty(value, "_request_id", {
        value: response.headers.get("x-request-id"),
        enumerable: false
      })
    : value

/**
 * A response that can be read: all but the body is that of `from`. Without a `contentType` the body is the provider's own,
 * and every header stays true of it.
 */
export const responseLike = (from: Response, body: string | ReadableStream, contentType?: string): Response => {
  const { redirected, status, statusText, type, url } = from
  const headers = new Headers(from.headers)
  if (contentType !== undefined) {
    headers.delete("content-encoding")
    headers.delete("content-length")
    if (!headers.has("content-type")) headers.set("content-type", contentType)
  }
  // A body of text would bring a content type with it.
  const content = typeof body === "string" ? utf8.encode(body) : body
  const response = new Response(bodiless.has(status) ? null : content, { status, statusText, headers })
  return Object.defineProperties(response, {
    redirected: { value: redirected },
    type: { value: type },
    url: { value: url }
  })
}

/**
 * Chunks as server-sent events, as the API sends them: those that have a `type` are named and end without a sentinel, all
 * others are followed by `[DONE]`. An error event of the API is the last event; any other failure is the body's. What was
 * received for a reader of bytes is written as it came, and followed by what it was followed by ({@link sentinelOf}).
 * Nothing is pulled before somebody reads.
 */
export const eventStream = (open: () => AsyncIterator<unknown>, from: Response): ReadableStream<Uint8Array> => {
  let iterator: AsyncIterator<unknown> | undefined
  let sent = 0
  let isNamed = false
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        iterator ??= open()
        const write = (text: string) => {
          // Bytes of none are no bytes: a reader that asked for some waits for the next.
          if (text !== "") controller.enqueue(utf8.encode(text))
        }
        try {
          for (;;) {
            const next = await iterator.next()
            if (next.done) break
            const name = typeOf(next.value)
            isNamed = name !== undefined
            sent++
            const text =
              frameOf(next.value) ?? `${isNamed ? `event: ${name}\n` : ""}data: ${JSON.stringify(next.value)}\n\n`
            if (text !== "") return write(text)
          }
          write(sentinelOf(from) ?? (isNamed ? "" : "data: [DONE]\n\n"))
        } catch (error) {
          if (isHandedOn(error)) write(sentinelOf(from) ?? "")
          else if (!(error instanceof APIError) || error.status !== undefined || typeof error.error !== "object")
            throw error
          else write(errorEvent(error.error, isNamed || sent === 0 ? sent : undefined))
        }
        controller.close()
      },
      async cancel() {
        await (iterator ?? open()).return?.()
      }
    },
    { highWaterMark: 0 }
  )
}

/** `number` is the event's place in a stream of named events. */
export const errorEvent = (error: object, number: number | undefined): string => {
  if (number === undefined) return `data: ${JSON.stringify({ error })}\n\n`
  const event = typeOf(error) === "error" ? error : { type: "error", sequence_number: number, error }
  return `event: error\ndata: ${JSON.stringify(event)}\n\n`
}

const typeOf = (chunk: unknown): string | undefined =>
  typeof chunk === "object" && chunk !== null && "type" in chunk && typeof chunk.type === "string"
    ? chunk.type
    : undefined

const utf8 = new TextEncoder()
