/**
 * A provider's event stream for a caller who reads bytes and not chunks. To `[DONE]` it goes on where a `fetch` would: past
 * events that are no JSON and past error events; and it keeps what comes between the events.
 *
 * Where nothing of the answer is judged, each item keeps its text, and the caller gets that. Where something is, the caller
 * gets only what was judged: an event is written anew from its JSON, what is no JSON is judged as text, a comment is left
 * without its text (it keeps the connection alive), and `id`, `retry` and unknown fields are left out.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { OpenAI } from "openai"
import { Stream } from "openai/streaming"
import type { Listener } from "../call/Entry.ts"
import { type Decoder, type Decoding, errorIn, maximumEventSize, readChunks, tooLarge } from "./Sse.ts"

/** A part of an event stream that is no JSON object. What a caller can read of it are its members, so that they are judged. */
export class RawEvent {
  readonly name: string | undefined
  readonly data: string | undefined
  /** Lines that are none of an event stream. */
  readonly foreign: string | undefined

  constructor({ data, foreign, name }: Partial<Pick<RawEvent, "name" | "data" | "foreign">>) {
    this.name = name
    this.data = data
    this.foreign = foreign
  }

  /** As it is written; a comment without its text where there is nothing else. */
  get text(): string {
    if (this.foreign !== undefined) return this.foreign
    const name = this.name === undefined ? "" : `event: ${this.name}\n`
    if (this.data !== undefined) return `${name}data: ${this.data.replaceAll("\n", "\ndata: ")}\n\n`
    return name === "" ? ":\n\n" : name
  }
}

/** The text that an item came as, where it may be handed on as it came. */
const frames = new WeakMap<object, string>()

/** What to write for an item instead of its JSON. */
export const frameOf = (item: unknown): string | undefined =>
  item instanceof RawEvent ? (frames.get(item) ?? item.text) : isObject(item) ? frames.get(item) : undefined

const sentinels = new WeakMap<Response, string>()

/** What a stream that was read here said last (`data: [DONE]`), `""` for nothing; undefined for one that was not. */
export const sentinelOf = (response: Response): string | undefined => sentinels.get(response)

const handedOn = new WeakSet<object>()

/** True for the error of an error event that the caller has already been given. */
export const isHandedOn = (error: unknown): boolean => isObject(error) && handedOn.has(error)

/** The class of a stream that is read so: give it to a request as its stream class. */
export class ReceivedEvents<Item> extends Stream<Item> {
  #response: Response | undefined
  #client: OpenAI | undefined

  static override fromSSEResponse<Item>(
    response: Response,
    controller: AbortController,
    client?: OpenAI
  ): Stream<Item> {
    const stream = new ReceivedEvents<Item>(() => never(), controller, client)
    stream.#response = response
    stream.#client = client
    return stream
  }

  /** True for a response that says it is JSON: nothing in it is an event. */
  get isJson(): boolean {
    return /^application\/([\w.+-]+\+)?json\s*(;|$)/i.test(this.#response?.headers.get("content-type") ?? "")
  }

  /** The items by network read; `asReceived` where they may be handed on as they came. */
  reads(listener: Listener, asReceived: boolean): AsyncGenerator<NonEmptyReadonlyArray<Item>> {
    return readChunks<Item>(
      this.#response ?? new Response(null),
      this.controller,
      listener,
      this.#client,
      (decoding) => new EventDecoder<Item>(decoding, asReceived)
    )
  }
}

const never = async function* (): AsyncGenerator<never> {}

class EventDecoder<Item> implements Decoder<Item> {
  readonly #decoding: Decoding
  readonly #asReceived: boolean
  readonly #blocks = new Blocks()
  #items: Array<Item> = []
  #error: Error | undefined
  #isDone = false
  #isLast = false

  constructor(decoding: Decoding, asReceived: boolean) {
    this.#decoding = decoding
    this.#asReceived = asReceived
    sentinels.set(decoding.response, "")
  }

  feed(text: string, isLast: boolean): void {
    this.#isLast = isLast
    for (const block of this.#blocks.push(text, isLast)) this.#take(block)
    if (this.#blocks.size > maximumEventSize) {
      this.#error = tooLarge()
      this.#isLast = true
    }
  }

  take(): ReadonlyArray<Item> {
    const ready = this.#items
    this.#items = []
    return ready
  }

  /** An error event fails the stream for the log, at its end: what came after it is handed on. */
  failure(): Error | undefined {
    return this.#isLast || this.#isDone ? this.#error : undefined
  }

  isDone(): boolean {
    return this.#isDone
  }

  #take(block: string): void {
    if (this.#isDone) return
    const { listener, response } = this.#decoding
    const event = parse(block)
    if (event.data === "[DONE]") {
      this.#isDone = true
      listener.whole()
      sentinels.set(response, this.#asReceived ? block : "data: [DONE]\n\n")
      return
    }
    if (event.data !== undefined) listener.received(event.data)
    const chunk = event.data === undefined ? undefined : jsonObject(event.data)
    if (chunk === undefined) return this.#raw(event, block)
    const error = errorIn(chunk, event.name, response)
    if (error !== undefined) handedOn.add((this.#error = error))
    // A name that is not the event's own type is text of its own.
    if (event.name !== undefined && event.name !== chunk["type"] && !this.#asReceived)
      this.#hand(new RawEvent({ name: event.name }), "")
    this.#hand(chunk, block)
  }

  /** A block without a JSON object. Of one without data only a comment says something: that the connection lives. */
  #raw({ data, hasComment, isForeign, name }: Event, block: string): void {
    if (isForeign) this.#hand(new RawEvent({ foreign: block }), block)
    else if (data !== undefined) this.#hand(new RawEvent({ name, data }), block)
    else if (hasComment || this.#asReceived) this.#hand(new RawEvent({}), block)
  }

  #hand(item: object, frame: string): void {
    if (this.#asReceived) frames.set(item, frame)
    this.#items.push(item as Item)
  }
}

/** An event's fields (WHATWG HTML standard, §9.2.6). */
interface Event {
  readonly name: string | undefined
  readonly data: string | undefined
  readonly hasComment: boolean
  /** True where a line is none of an event stream. */
  readonly isForeign: boolean
}

const fields: ReadonlySet<string> = new Set(["data", "event", "id", "retry"])

const parse = (block: string): Event => {
  const data: Array<string> = []
  let name: string | undefined
  let hasComment = false
  let isForeign = false
  for (const line of block.replace(/^\ufeff/, "").split(/\r\n|\r|\n/)) {
    if (line === "") continue
    const colon = line.indexOf(":")
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1)
    if (colon === 0) hasComment = true
    else if (field === "data") data.push(value)
    else if (field === "event") name = value === "" ? undefined : value
    else if (!fields.has(field)) isForeign = true
  }
  return { name, data: data.length === 0 ? undefined : data.join("\n"), hasComment, isForeign }
}

const jsonObject = (text: string): Readonly<Record<string, unknown>> | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

const isObject = (u: unknown): u is Readonly<Record<string, unknown>> => typeof u === "object" && u !== null

/** Cuts text at its blank lines, each read looked at once. What is cut, put together, is the text. */
class Blocks {
  #held: Array<string> = []
  #isAtLineStart = true
  /** A return at the end of a read: a line feed may belong to it. */
  #return = ""
  /** How much is held of a block that has not ended. */
  size = 0

  push(text: string, isLast: boolean): ReadonlyArray<string> {
    const read = this.#return + text
    this.#return = !isLast && read.endsWith("\r") ? "\r" : ""
    const here = this.#return === "" ? read : read.slice(0, -1)
    const blocks: Array<string> = []
    let from = 0
    let line = this.#isAtLineStart ? 0 : -1
    for (const { 0: ending, index } of here.matchAll(/\r\n|\r|\n/g)) {
      const end = index + ending.length
      if (index === line) {
        blocks.push(this.#whole(here.slice(from, end)))
        from = end
      }
      line = end
    }
    this.#isAtLineStart = line === here.length || (here === "" && this.#isAtLineStart)
    this.#held.push(here.slice(from))
    this.size += here.length - from
    if (isLast && this.size > 0) blocks.push(this.#whole(""))
    return blocks
  }

  #whole(last: string): string {
    const block = this.#held.join("") + last
    this.#held = []
    this.size = 0
    return block
  }
}
