/**
 * A provider's server-sent events, decoded once and handed on by network read: the pipeline pays its price for each read and
 * not for each chunk. Keeps the raw `data` of each event for the log, and tells a finished answer from one that was cut.
 */
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import { createParser } from "eventsource-parser"
import { type OpenAI, APIError, APIUserAbortError, OpenAIError } from "openai"
import { Stream } from "openai/streaming"
import type { Listener } from "../call/Entry.ts"
import { codingsIn, unknownCoding, unreadable } from "./ContentCoding.ts"

/** A body as it comes in: each read what came since the last, undefined at the end. */
export interface Reads {
  readonly next: () => Promise<Uint8Array | undefined>
  /** Nobody will read on. */
  readonly cancel: () => void
}

/** Where a response gives its body by network reads, without a web stream in between; undefined once that was asked for. */
export const reads = Symbol("secure-openai/reads")
export interface ReadableResponse extends Response {
  readonly [reads]: () => Reads | undefined
}

const nobody: Listener = { begun: () => {}, received: () => {}, whole: () => {} }

/** UTF-16 code units that one event may hold: a response that ends with images in it is one event. */
export const maximumEventSize = 256 * 1024 * 1024

/**
 * The SDK's stream over {@link readChunks}. Give it to a request as its stream class; iterated as it is, it behaves as the
 * SDK's own.
 */
export class ChunkStream<Item> extends Stream<Item> {
  #response: Response | undefined
  #client: OpenAI | undefined

  static override fromSSEResponse<Item>(
    response: Response,
    controller: AbortController,
    client?: OpenAI
  ): Stream<Item> {
    const each = async function* () {
      for await (const read of readChunks<Item>(response, controller, nobody, client)) yield* read
    }
    const stream = new ChunkStream<Item>(each, controller, client)
    stream.#response = response
    stream.#client = client
    return stream
  }

  /** The chunks by network read; the listener is told of each event's `data` before it is handed on. */
  reads(listener: Listener): AsyncGenerator<NonEmptyReadonlyArray<Item>> {
    return readChunks(this.#response ?? new Response(null), this.controller, listener, this.#client)
  }
}

/** Makes items of the text of a body. */
export interface Decoder<Item> {
  /** Takes in the text of a read; `isLast` at the body's end. */
  readonly feed: (text: string, isLast: boolean) => void
  /** The items since it was last asked. */
  readonly take: () => ReadonlyArray<Item>
  /** What the stream fails with once its items are handed on. */
  readonly failure: () => Error | undefined
  /** True once the rest of the body says nothing more. */
  readonly isDone: () => boolean
}

/** What a decoder is made for. */
export interface Decoding {
  readonly response: Response
  readonly listener: Listener
  readonly client: OpenAI | undefined
}

/**
 * The parsed chunks of an event stream, one array for each network read. Ends at `[DONE]` or the body's end; throws
 * `APIError` for an error event, `SyntaxError` for data that is no JSON, `APIUserAbortError` when `controller` was aborted,
 * and whatever the body fails with. Stopping early aborts `controller`. Another `decoder` makes other items of the text.
 */
export async function* readChunks<Item>(
  response: Response,
  controller: AbortController,
  listener: Listener,
  client?: OpenAI,
  decoder: (decoding: Decoding) => Decoder<Item> = chunkDecoder
): AsyncGenerator<NonEmptyReadonlyArray<Item>> {
  const body = readsOf(response)
  if (body === undefined) {
    controller.abort()
    throw new OpenAIError("Attempted to iterate over a response with no body")
  }
  listener.begun()
  const utf8 = new TextDecoder()
  const decoding = decoder({ response, listener, client })
  let done = false
  try {
    while (!done) {
      const read = await body.next()
      if (controller.signal.aborted) throw new APIUserAbortError()
      decoding.feed(read === undefined ? utf8.decode() : utf8.decode(read, { stream: true }), read === undefined)
      const ready = decoding.take()
      if (isReadonlyArrayNonEmpty(ready)) yield ready
      const failure = decoding.failure()
      if (failure !== undefined) throw failure
      done = read === undefined || decoding.isDone()
    }
  } catch (error) {
    throw controller.signal.aborted && !(error instanceof APIUserAbortError) ? new APIUserAbortError() : error
  } finally {
    if (done) drain(body)
    else {
      controller.abort()
      body.cancel()
    }
  }
}

/**
 * The data of each event as JSON, to `[DONE]`. The events are the WHATWG HTML standard's, §9.2; an event that the body's end
 * cuts off is still delivered, as the SDK does.
 */
const chunkDecoder = <Item>({ client, listener, response }: Decoding): Decoder<Item> => {
  let items: Array<Item> = []
  let failure: Error | undefined
  let done = false
  const parser = createParser({
    maxBufferSize: maximumEventSize,
    onError: (error) => {
      if (error.type === "max-buffer-size-exceeded") failure = tooLarge()
    },
    onEvent: ({ data, event }) => {
      if (done || failure !== undefined) return
      if (data === "[DONE]") {
        done = true
        listener.whole()
        return
      }
      listener.received(data)
      let chunk: unknown
      try {
        chunk = JSON.parse(data)
      } catch {
        tellMalformed(client)
        failure = new SyntaxError("Error reading response: malformed server-sent event JSON.")
        return
      }
      failure = errorIn(chunk, event, response)
      if (failure === undefined) items.push(chunk as Item)
    }
  })
  return {
    feed: (text, isLast) => parser.feed(isLast ? `${text}\n\n` : text),
    take: () => {
      const ready = items
      items = []
      return ready
    },
    failure: () => failure,
    isDone: () => done
  }
}

/** What a stream fails with whose event does not end. */
export const tooLarge = (): Error =>
  new OpenAIError(`A server-sent event is larger than ${maximumEventSize} characters.`)

/** The SDK's error of an error event; undefined of any other event. */
export const errorIn = (chunk: unknown, event: string | undefined, { headers }: Response): APIError | undefined =>
  event === "error" || hasError(chunk)
    ? new APIError(undefined, hasError(chunk) ? chunk.error : Object(chunk), undefined, headers)
    : undefined

const readsOf = (response: Response): Reads | undefined => {
  const direct = (response as Partial<ReadableResponse>)[reads]?.()
  if (direct !== undefined || response.body === null) return direct
  // Whatever `fetch` it came through: bytes that were not decoded hold no event, and would be a stream without any.
  const unknown = unknownCoding(codingsIn([response.headers.get("content-encoding") ?? ""]))
  if (unknown !== undefined) {
    void response.body.cancel().catch(() => {})
    return { next: () => Promise.reject(unreadable(unknown)), cancel: () => {} }
  }
  const reader = response.body.getReader()
  return {
    next: async () => (await reader.read()).value,
    cancel: () => void reader.cancel().catch(() => {})
  }
}

/** How long the end of a body may take after `[DONE]`, in ms. */
const patience = 1000

/** Reads to the end, which should be near: a connection is used again only where a body was read whole. */
const drain = (body: Reads): void => {
  const late = setTimeout(() => body.cancel(), patience).unref()
  const rest = async (): Promise<void> => {
    while ((await body.next()) !== undefined);
  }
  void rest()
    .catch(() => {})
    .finally(() => clearTimeout(late))
}

/** What the SDK says in its client's log, without the data. */
const tellMalformed = (client: OpenAI | undefined): void => {
  if (client?.logger === undefined || (client.logLevel ?? "off") === "off") return
  client.logger.error("Could not parse message into JSON:")
  client.logger.error("From chunk:")
}

const hasError = (chunk: unknown): chunk is { readonly error: object } =>
  typeof chunk === "object" && chunk !== null && "error" in chunk && Boolean(chunk.error)
