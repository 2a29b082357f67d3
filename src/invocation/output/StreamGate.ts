/**
 * Judges a stream by output rules (mapl §8) while it is read. What it lets go is in order and as the provider sent it, but for
 * the end of a text in which a denied one may begin: that comes with the next piece of the same text, and at the latest
 * before its end is told. A tool call is let go once it is complete and judged.
 *
 * It keeps no more than a rule's `hold_back` of each text, and the tool calls that are not complete.
 *
 * @since 0.2.0
 */
import { isFields } from "../../answer/Fields.ts"
import { ChatGate } from "./ChatGate.ts"
import type { OutputJudge } from "./OutputJudge.ts"
import { ResponseGate } from "./ResponseGate.ts"
import * as Texts from "./Texts.ts"

/** See the file's first paragraph. */
export class StreamGate {
  readonly #judge: OutputJudge
  readonly #chat: ChatGate
  readonly #response: ResponseGate
  /** The texts of what is not known. */
  readonly #others: Texts.Follower

  constructor(judge: OutputJudge) {
    this.#judge = judge
    this.#chat = new ChatGate(judge)
    this.#response = new ResponseGate(judge)
    this.#others = new Texts.Follower(judge)
  }

  /** What may go on once these chunks have come. Where they break a rule, it ends before what does. */
  push(chunks: ReadonlyArray<unknown>): ReadonlyArray<unknown> {
    const free: Array<unknown> = []
    for (const chunk of chunks) {
      if (this.#judge.refused !== undefined) break
      if (isFields(chunk) && Array.isArray(chunk["choices"])) this.#chat.take(chunk, free)
      else if (isFields(chunk) && typeof chunk["type"] === "string") this.#response.take(chunk, free)
      else {
        // A chunk of no known form is searched whole, and each text in it across chunks.
        this.#others.follow(chunk, "chunk", "chunk", Texts.unknown)
        if (this.#judge.refused === undefined) free.push(chunk)
      }
    }
    return free
  }

  /** What may go on once the stream is over. */
  end(): ReadonlyArray<unknown> {
    const free: Array<unknown> = []
    if (this.#judge.refused === undefined) this.#chat.end(free)
    if (this.#judge.refused === undefined) this.#response.end(free)
    return free
  }
}
