/**
 * A stream of the SDK over a stream of the pipeline: consumed once, ended with its client, and followed by the log even where
 * nobody reads it.
 */
import * as Context from "effect/Context"
import { Scheduler } from "effect/Scheduler"
import * as Stream from "effect/Stream"
import { APIUserAbortError, type OpenAI, OpenAIError } from "openai"
import { Stream as OpenAIStream } from "openai/streaming"
import type { Lineage } from "../call/Lineage.ts"
import type { Reply } from "../call/Reply.ts"
import { scheduler } from "../base/EventLoop.ts"
import { toSdkError } from "../call/SdkErrors.ts"
import { RawEvent } from "../invocation/ReceivedEvents.ts"
import type { Life, Task } from "../base/Life.ts"
import { type SdkAnswer, eventStream, responseLike, type ResponseProps } from "./SdkAnswer.ts"
import { rememberToolRequests } from "./ToolRequests.ts"
import { rememberChunk } from "./Receipts.ts"
import type { Session } from "./Session.ts"

/** Ends a stream from outside, with the reason that its reader then sees. */
type End = (reason: Error) => void

/** The answer that a streamed reply gives; `end` is to end it, at the latest when `life` does, and `task` ends with it. */
export const streamAnswer = (
  reply: Extract<Reply, { readonly _tag: "Stream" }>,
  props: ResponseProps,
  client: OpenAI,
  session: Session,
  life: Life,
  committed: { readonly lineage: Lineage } | undefined,
  end: End,
  task: Task | undefined
): SdkAnswer => {
  const { consumed: tell = () => {}, receipt } = reply.meta
  const reading = { begun: false }
  const stop = stopOf(session, receipt?.call, end, reading)
  const release = releaseOf(life.onEnd(stop), task)
  const open = (): AsyncIterator<unknown> => {
    if (reading.begun) throw new OpenAIError("Cannot iterate over a consumed stream, use `.tee()` to split the stream.")
    reading.begun = true
    if (life.over !== undefined) throw life.over
    unread.unregister(props)
    let first = receipt !== undefined
    return new Chunks(
      async () => {
        const context = Context.add(await session.runtime().context(), Scheduler, scheduler)
        return Stream.toAsyncIterableWith(Stream.chunks(reply.stream), context)
      },
      props.controller.signal,
      {
        handed: (chunk) => {
          if (first && !(chunk instanceof RawEvent)) {
            rememberChunk(chunk, receipt!)
            first = false
          }
          if (committed !== undefined) rememberToolRequests(session, chunk, committed)
          tell()
        },
        over: release,
        left: () => leave({ session, call: receipt?.call, end: stop, release })
      }
    )
  }
  const stream = new OpenAIStream(open, props.controller, client)
  if (receipt !== undefined) unread.register(open, { session, call: receipt.call, end: stop, release }, props)
  return {
    props,
    value: async () => stream,
    raw: () => responseLike(props.response, eventStream(open, props.response), "text/event-stream"),
    streamed: true,
    ...(receipt !== undefined && { receipt })
  }
}

/**
 * Streams that nobody began to read end when they are collected: the log is told, and their connection is closed. What is
 * held here must not know them.
 */
const unread = new FinalizationRegistry<Unread>((stream) => leave(stream))

/** Ends a stream; where nobody reads it, nobody else would tell the log. Made here, so as to hold no more than it needs. */
const stopOf =
  (session: Session, call: string | undefined, end: End, reading: { readonly begun: boolean }): End =>
  (reason) => {
    end(reason)
    if (!reading.begun && call !== undefined) session.workspace.abandon(call)
  }

/** Says that a stream has ended. Made here for the same reason. */
const releaseOf = (giveUp: () => void, task: Task | undefined) => (): void => {
  giveUp()
  task?.end()
}

interface Unread {
  readonly session: Session
  readonly call: string | undefined
  readonly end: End
  readonly release: () => void
}

const leave = ({ call, end, release, session }: Unread): void => {
  if (call !== undefined) session.workspace.abandon(call)
  release()
  end(new APIUserAbortError())
}

/** Callbacks of a reader of chunks. */
interface Told {
  /** Of each chunk that the caller is given. */
  readonly handed: (chunk: unknown) => void
  /** Of the end, once. */
  readonly over: () => void
  /** That it was left before anything was read. */
  readonly left: () => void
}

/**
 * Chunks one by one out of arrays, each a network read: one promise a chunk, where a generator over generators makes
 * several. Whoever asks for many at once is given them in order.
 */
class Chunks implements AsyncIterator<unknown> {
  readonly #open: () => Promise<AsyncIterable<ReadonlyArray<unknown>>>
  readonly #told: Told
  readonly #signal: AbortSignal
  #arrays: AsyncIterator<ReadonlyArray<unknown>> | undefined
  #array: ReadonlyArray<unknown> = []
  #at = 0
  #over = false
  /** Settles with the read that is under way, and never rejects. */
  #reading: Promise<void> | undefined

  constructor(open: () => Promise<AsyncIterable<ReadonlyArray<unknown>>>, signal: AbortSignal, told: Told) {
    this.#open = open
    this.#signal = signal
    this.#told = told
  }

  next(): Promise<IteratorResult<unknown>> {
    if (this.#reading !== undefined) return this.#reading.then(() => this.next())
    // What had arrived before its consumer aborted it is not handed on; the source ends the stream.
    if (this.#at < this.#array.length && !this.#signal.aborted) return Promise.resolve(this.#hand())
    if (this.#over) return Promise.resolve({ done: true, value: undefined })
    const read = this.#read()
    this.#reading = read.then(ignore, ignore)
    return read
  }

  async return(value?: unknown): Promise<IteratorResult<unknown>> {
    this.#array = []
    if (!this.#over) {
      this.#end()
      if (this.#arrays === undefined) await this.#reading
      if (this.#arrays === undefined) this.#told.left()
      else await this.#arrays.return?.()
    }
    return { done: true, value }
  }

  #hand(): IteratorResult<unknown> {
    const value = this.#array[this.#at++]
    this.#told.handed(value)
    return { done: false, value }
  }

  async #read(): Promise<IteratorResult<unknown>> {
    let last = true
    try {
      this.#arrays ??= (await this.#open())[Symbol.asyncIterator]()
      const read = await this.#arrays.next()
      if (read.done !== true && !this.#over) {
        last = false
        this.#array = read.value
        this.#at = 0
        return this.#hand()
      }
    } catch (error) {
      const cause = toSdkError(error)
      // As the SDK does, a stream that its consumer aborted just ends.
      if (!(cause instanceof APIUserAbortError)) throw cause
      if (cause.cause instanceof OpenAIError) throw cause.cause
    } finally {
      this.#reading = undefined
      if (last) this.#end()
    }
    return { done: true, value: undefined }
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    this.#told.over()
  }
}

const ignore = (): void => {}
