/**
 * What the log knows of one stream: pure bookkeeping for each chunk, and a `stream.segment` record every so many chunks.
 */
import { StreamFinish } from "../answer/Finish.ts"
import { StreamedToolCalls } from "../answer/StreamedToolCalls.ts"
import type { ToolCall } from "../answer/ToolCall.ts"
import { usageOf } from "../answer/Usage.ts"
import type { Meta } from "../call/Reply.ts"
import { Chain, type Salts } from "./Digest.ts"
import type { EndFields } from "./FailureFields.ts"
import type { AppendedBody } from "./Log.ts"
import { httpOf } from "./RecordFields.ts"

/** A segment record follows after so many chunks, or so many ms after its first one. */
const segmentChunks = 64
const segmentDelay = 250

/** The chunks of one stream: their chain, their count, and the tools, usage and end that they report. */
export class StreamTrail {
  readonly #append: (body: AppendedBody) => void
  readonly #call: string
  readonly #chain: Chain
  readonly #tools = new StreamedToolCalls()
  readonly #finish = new StreamFinish()
  #open = false
  /** True once a provider's stream began to be read: the chunks of a mock are not received. */
  #isReceived = false
  #whole = false
  /** True where output rules keep some chunks back, and report what came; else what came is what is handed on. */
  #isKeptBack = false
  #came = 0
  #received = 0
  #handed = 0
  /** Of what was handed on, what the reader reports that it gave to the caller. */
  #consumed: number | undefined
  /** First chunk that no segment covers yet. */
  #from = 0
  #timer: NodeJS.Timeout | undefined
  /** What the answer's head and chunks reported, for the outcome. */
  known: Partial<EndFields> = {}

  constructor(append: (body: AppendedBody) => void, salts: Salts, call: string) {
    this.#append = append
    this.#call = call
    this.#chain = new Chain(salts(call, "stream"))
  }

  get toolCalls(): ReadonlyArray<ToolCall> {
    return this.#tools.calls
  }

  opened(meta: Meta): void {
    this.#open = true
    this.known = httpOf(meta)
    if (this.#received > 0) this.#arm()
  }

  /** How a stream that came to its end ended: the provider may have failed, or stopped before its answer was whole. */
  get ending(): "complete" | "failed" | "cut" {
    if (this.#finish.hasFailed) return "failed"
    const isWhole = this.#finish.isWhole || (this.#whole && this.#finish.hasSaid)
    return this.#isReceived && !isWhole ? "cut" : "complete"
  }

  begun(): void {
    this.#isReceived = true
  }

  whole(): void {
    this.#isReceived = true
    this.#whole = true
  }

  received(data: string): void {
    this.#isReceived = true
    this.#take(data)
  }

  #take(data: string): void {
    this.#chain.add(data)
    this.#received++
    if (!this.#open) return
    if (this.#received - this.#from >= segmentChunks) this.#segment()
    else this.#arm()
  }

  came(chunks: ReadonlyArray<unknown>): void {
    this.#isKeptBack = true
    this.#read(chunks)
  }

  handed(chunks: ReadonlyArray<unknown>): void {
    if (!this.#isKeptBack) this.#read(chunks)
    this.#handed += chunks.length
  }

  #read(chunks: ReadonlyArray<unknown>): void {
    for (const chunk of chunks) {
      // A chunk that was not received (a mock's) counts by its text.
      if (this.#received <= this.#came++) this.#take(JSON.stringify(chunk) ?? "null")
      this.#tools.add(chunk)
      this.#finish.add(chunk)
      const usage = usageOf(chunk)
      if (usage !== undefined) this.known = { ...this.known, usage }
    }
  }

  consumed(): void {
    this.#consumed = (this.#consumed ?? 0) + 1
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  close(reason: EndFields["result"]): void {
    if (this.#received > this.#from) this.#segment()
    this.#append({
      kind: "stream.close",
      call: this.#call,
      reason,
      // What was held back may come in a chunk of its own.
      chunks: Math.min(this.#consumed ?? this.#handed, this.#received),
      received: this.#received,
      digest: this.#chain.digest
    })
  }

  #arm(): void {
    this.#timer ??= setTimeout(() => this.#segment(), segmentDelay).unref()
  }

  #segment(): void {
    this.stop()
    this.#append({
      kind: "stream.segment",
      call: this.#call,
      from: this.#from,
      count: this.#received - this.#from,
      digest: this.#chain.digest
    })
    this.#from = this.#received
  }
}
