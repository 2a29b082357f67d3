/**
 * The SDK's parser as an exchange uses it: it reads each response at once, into the reply that the pipeline judges.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Stream from "effect/Stream"
import type { OpenAI } from "openai"
import type { APIPromise } from "openai/api-promise"
import { Stream as OpenAIStream } from "openai/streaming"
import type { ProviderFailed } from "../call/Errors.ts"
import { type Meta, Reply } from "../call/Reply.ts"
import type { Committed } from "../call/States.ts"
import { ReceivedEvents } from "../invocation/ReceivedEvents.ts"
import { ChunkStream } from "../invocation/Sse.ts"
import type { ResponseProps } from "./SdkAnswer.ts"
import type { RequestOptions } from "./Options.ts"

/** Has the SDK decode a stream with {@link ChunkStream}, unless its caller chose a class. The SDK's log of the options stays the same. */
export const decodeStream = (options: RequestOptions): void => {
  if (!options.stream || options.__streamMode === "events" || options.__synthesizeEventData) return
  if (options.__streamClass === undefined)
    Object.defineProperty(options, "__streamClass", { value: ChunkStream, configurable: true, writable: true })
}

/** The same client with its log off: the SDK's parser logs answers before output rules judge them. */
export const silent = (client: OpenAI): OpenAI => Object.create(client, { logLevel: { value: "off" } }) as OpenAI

/**
 * What the SDK makes of a response; `client` is the one that its parser logs by. A response that a caller wants as it is
 * (`__binaryResponse`) is read all the same, for the pipeline to judge. JSON that came in place of {@link ReceivedEvents} is read as
 * JSON, as a `fetch` would give it.
 */
export const parse = async (inner: APIPromise<unknown>, client: OpenAI, props: ResponseProps): Promise<unknown> => {
  const { options, response } = props
  const read = options.__binaryResponse ? { ...props, options: { ...options, __binaryResponse: false } } : props
  const value = await inner["parseResponse"](client, read)
  if (!(value instanceof ReceivedEvents) || !value.isJson) return value
  const text = await response.text()
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

/** The reply that a parsed value is; a stream of ours reports each chunk to the log. `failed` wraps what a stream throws. */
export const replyOf = (
  value: unknown,
  meta: Meta,
  failed: (cause: unknown) => ProviderFailed,
  committed: Committed,
  hasOwnPipeline: boolean
): Reply => {
  if (!(value instanceof OpenAIStream)) return Reply.json(value, meta)
  const reads = readsOf(value, committed, hasOwnPipeline)
  return Reply.stream(
    reads === undefined
      ? Stream.fromAsyncIterable(value, failed)
      : Stream.flattenArray(Stream.fromAsyncIterable(reads, failed)),
    meta
  )
}

/** A stream's chunks by network read; undefined of a class of the caller's own. */
const readsOf = (
  value: object,
  { entry, from }: Committed,
  hasOwnPipeline: boolean
): AsyncIterable<NonEmptyReadonlyArray<unknown>> | undefined => {
  if (value instanceof ChunkStream) return value.reads(entry)
  // A pipeline of one's own may change chunks, and a rule may keep some back.
  const asReceived = from.from.judge.output === undefined && !hasOwnPipeline
  return value instanceof ReceivedEvents ? value.reads(entry, asReceived) : undefined
}

/** The SDK's properties of an answer that was made without the network. */
export const propsOf = ({ meta: { headers, status } }: Reply, options: RequestOptions): ResponseProps => ({
  response: new Response(null, { status, headers }),
  options,
  controller: new AbortController(),
  requestLogID: "log_local",
  retryOfRequestLogID: undefined,
  startTime: Date.now()
})
