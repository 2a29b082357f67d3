/**
 * Judges a stream by output rules (mapl §6a) while it is read. What it lets go is in order and as the provider sent it, but for
 * the end of a text in which a denied one may begin: that comes with the next piece of the same text, and at the latest
 * before its end is told. A tool call is let go once it is complete and judged.
 *
 * It keeps no more than a rule's `hold_back` of each text, and the tool calls that are not complete.
 *
 * @since 0.2.0
 */
import { ChatGate } from "./ChatGate.ts"
import { isFields, type OutputJudge } from "./OutputJudge.ts"
import { ResponseGate } from "./ResponseGate.ts"
import { type TextChannel, trackTexts } from "./TextChannel.ts"

/** See the file's first paragraph. */
export class StreamGate {
  readonly #judge: OutputJudge
  readonly #chat: ChatGate
  readonly #response: ResponseGate
  /** The texts of what is not known, by place. */
  readonly #others = new Map<string, TextChannel>()

  constructor(judge: OutputJudge) {
    this.#judge = judge
    this.#chat = new ChatGate(judge)
    this.#response = new ResponseGate(judge)
  }

  /** What may go on once these chunks have come. Where they break a rule, it ends before what does. */
  push(chunks: ReadonlyArray<unknown>): ReadonlyArray<unknown> {
    const free: Array<unknown> = []
    for (const chunk of chunks) {
      if (this.#judge.refused !== undefined) break
      if (isFields(chunk) && Array.isArray(chunk["choices"])) this.#chat.take(chunk, free)
      else if (isFields(chunk) && typeof chunk["type"] === "string") this.#response.take(chunk, free)
      else if (this.#isHarmless(chunk, "chunk")) free.push(chunk)
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

  /** A chunk of no known form is searched whole, and each text in it across chunks. */
  #isHarmless(value: unknown, path: string): boolean {
    this.#judge.search(value, path)
    trackTexts(value, path, this.#judge, this.#others)
    return this.#judge.refused === undefined
  }
}
