/**
 * Judges a stream by output rules (mapl §8) while it is read. What it lets go is in order and as the provider sent it, but for
 * the end of a text in which a denied one may begin: that comes with the next piece of the same text, and at the latest
 * before its end is told. A tool call is let go once it is complete and judged.
 *
 * It keeps no more than a rule's `hold_back` of each text, and the tool calls that are not complete.
 */
import { type Fields, isFields } from "../../answer/Fields.ts"
import { toolCallsOf } from "../../answer/ToolCalls.ts"
import { ChatGate } from "./ChatGate.ts"
import type { OutputJudge } from "./OutputJudge.ts"
import { ResponseGate } from "./ResponseGate.ts"
import * as Texts from "./Texts.ts"

/** See the file's first paragraph. */
export class StreamGate {
  readonly #judge: OutputJudge
  readonly #chat: ChatGate
  readonly #response: ResponseGate
  /** The texts of what is not known, and of chunks beside their choices. */
  readonly #others: Texts.Follower

  constructor(judge: OutputJudge) {
    this.#judge = judge
    this.#others = new Texts.Follower(judge)
    this.#chat = new ChatGate(judge, this.#others)
    this.#response = new ResponseGate(judge)
  }

  /** What may go on once these chunks have come. Where they break a rule, it ends before what does. */
  push(chunks: ReadonlyArray<unknown>): ReadonlyArray<unknown> {
    const free: Array<unknown> = []
    for (const chunk of chunks) {
      if (this.#judge.refused !== undefined) break
      const hasChoices = isFields(chunk) && hasMembers(chunk["choices"])
      if (!isFields(chunk) || (typeof chunk["type"] !== "string" && !hasChoices && !Array.isArray(chunk["choices"]))) {
        // A chunk of no known form is searched whole, and each text in it across chunks.
        for (const call of toolCallsOf(chunk)) this.#judge.toolCall(call)
        this.#others.follow(chunk, "chunk", "chunk", Texts.unknown)
        if (this.#judge.refused === undefined) free.push(chunk)
      } else if (typeof chunk["type"] !== "string") this.#chat.take(chunk, free)
      else if (hasChoices) this.#both(chunk, free)
      else this.#event(chunk, chunk["type"], free)
    }
    return free
  }

  #event(event: Fields, type: string, free: Array<unknown>): void {
    const judge = this.#judge
    if ("choices" in event) judge.model(event["model"])
    // No event of a response: a reader of chunks may take it for one.
    if (!type.startsWith("response.")) this.#others.follow(event, "chunk", "chunk", Texts.unknownEvent)
    if (judge.refused === undefined) this.#response.take(event, free)
  }

  /** An event with choices is one to a reader of events and a chunk to a reader of chunks: each finds its own part in order. */
  #both(both: Fields, free: Array<unknown>): void {
    const { choices: _, ...event } = both
    const chunk: Record<string, unknown> = {}
    for (const name in both) if (!ofEvents.has(name)) chunk[name] = both[name]
    const ofChunk: Array<unknown> = []
    const ofEvent: Array<unknown> = []
    this.#chat.take(chunk, ofChunk)
    if (this.#judge.refused === undefined) this.#response.take(event, ofEvent)
    const isWhole = ofChunk.length === 1 && ofChunk[0] === chunk && ofEvent.length === 1 && ofEvent[0] === event
    if (isWhole) return void free.push(both)
    for (const one of [...ofChunk, ...ofEvent]) free.push(one)
  }

  /** What may go on once the stream is over. */
  end(): ReadonlyArray<unknown> {
    const free: Array<unknown> = []
    if (this.#judge.refused === undefined) this.#chat.end(free)
    if (this.#judge.refused === undefined) this.#response.end(free)
    return free
  }
}

/** True for a list, or an object, that is not empty. */
const hasMembers = (value: unknown): boolean =>
  typeof value === "object" && value !== null && Object.keys(value).length > 0

/** What only events have. */
const ofEvents: ReadonlySet<string> = new Set(
  (
    "type delta text refusal item part response annotation arguments input code name logprobs item_id output_index " +
    "content_index summary_index annotation_index sequence_number"
  ).split(" ")
)
