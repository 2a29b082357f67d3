/**
 * The body of a response as a dispatcher receives it, read by read and only as fast as it is read, its content codings undone
 * (RFC 9110 §8.4). It ends once, or fails as `fetch` says it.
 */
import { pipeline, type Transform } from "node:stream"
import { decodersOf, unknownCoding, unreadable } from "../../invocation/ContentCoding.ts"
import type { Reads } from "../../invocation/Sse.ts"

/** How much may lie unread before the network has to wait, in bytes. */
const highWaterMark = 64 * 1024

/** A response's body: decoded from its content codings, read by network read, and paused while too much of it is unread. */
export class ReceivedBody implements Reads {
  /** The codings' streams, first to last; none where the body is not coded. */
  readonly #coders: ReadonlyArray<Transform>
  readonly #resume: () => void
  readonly #abort: () => void
  #parts: Array<Buffer> = []
  #size = 0
  #received = false
  #ended = false
  #fault: { readonly error: unknown } | undefined
  #wake: (() => void) | undefined

  /**
   * `resume` asks the network for more after a {@link ReceivedBody.receive} that was false; `abort` closes its connection. A body with
   * an unknown coding fails: its bytes would look like an answer without content.
   */
  constructor(codings: ReadonlyArray<string>, resume: () => void, abort: () => void) {
    this.#abort = abort
    const unknown = unknownCoding(codings)
    this.#coders = unknown === undefined ? decodersOf(codings) : []
    const last = this.#coders.at(-1)
    this.#resume = last === undefined ? resume : () => last.resume()
    if (last !== undefined) this.#decode(last, resume)
    if (unknown !== undefined) this.fail(unreadable(unknown))
  }

  /** Takes what came in from the network; false where it has to wait. */
  receive(bytes: Buffer): boolean {
    if (this.#fault !== undefined) {
      this.#abort()
      return true
    }
    const first = this.#coders[0]
    return first === undefined ? this.#push(bytes) : first.write(bytes)
  }

  /** All has come in. */
  complete(): void {
    this.#received = true
    const first = this.#coders[0]
    if (first === undefined) this.#end()
    else first.end()
  }

  /** Ends it from outside: what was not read yet is lost. */
  fail(error: unknown): void {
    this.#fault ??= { error }
    this.#wakeUp()
    for (const coder of this.#coders) coder.destroy()
  }

  /** What has come in since the last read; undefined at the end. Rejects with what the body failed with. */
  async next(): Promise<Buffer | undefined> {
    for (;;) {
      if (this.#fault !== undefined) throw this.#fault.error
      if (this.#parts.length > 0) return this.#shift()
      if (this.#ended) return undefined
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  /** Nobody will read on: a connection that holds nothing more is kept, any other closed. */
  cancel(): void {
    this.fail(new TypeError("terminated"))
    if (!this.#received) this.#abort()
  }

  #decode(last: Transform, resume: () => void): void {
    this.#coders[0]!.on("drain", resume)
    last.on("data", (bytes: Buffer) => {
      if (!this.#push(bytes)) last.pause()
    })
    last.once("end", () => this.#end())
    const failed = (cause: unknown): void => {
      if (this.#fault !== undefined || cause === null || cause === undefined) return
      this.fail(new TypeError("terminated", { cause }))
      if (!this.#received) this.#abort()
    }
    if (this.#coders.length === 1) last.on("error", failed)
    else pipeline(this.#coders, failed)
  }

  #push(bytes: Buffer): boolean {
    this.#parts.push(bytes)
    this.#size += bytes.length
    this.#wakeUp()
    return this.#size < highWaterMark
  }

  #shift(): Buffer {
    const [first] = this.#parts
    const all = this.#parts.length === 1 ? first! : Buffer.concat(this.#parts)
    const full = this.#size >= highWaterMark
    this.#parts = []
    this.#size = 0
    if (full) this.#resume()
    return all
  }

  #end(): void {
    this.#ended = true
    this.#wakeUp()
  }

  #wakeUp(): void {
    this.#wake?.()
    this.#wake = undefined
  }
}
