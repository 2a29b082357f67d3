/**
 * A stream of the SDK over a stream of the pipeline: consumed once, ended with its client, and followed by the log even where
 * nobody reads it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import { Scheduler } from "effect/Scheduler"
import * as Stream from "effect/Stream"
import { APIUserAbortError, type OpenAI, OpenAIError } from "openai"
import { Stream as OpenAIStream } from "openai/streaming"
import type { Reply } from "../Call.ts"
import { scheduler } from "../EventLoop.ts"
import { toSdkError } from "../Errors.ts"
import { type Answer, eventStream, responseLike, type ResponseProps } from "./Answer.ts"
import { rememberChunk } from "./Receipts.ts"
import type { Session } from "./Session.ts"

/** The answer that a streamed reply gives; `end` ends it from outside, with the reason that its reader then sees. */
export const streamAnswer = (
  reply: Extract<Reply, { readonly _tag: "Stream" }>,
  props: ResponseProps,
  client: OpenAI,
  session: Session,
  end: (reason: Error) => void
): Answer => {
  const { consumed: tell = () => {}, receipt } = reply.meta
  session.ending.add(end)
  let consumed = false
  const open = (): AsyncGenerator<unknown> => {
    if (consumed) throw new OpenAIError("Cannot iterate over a consumed stream, use `.tee()` to split the stream.")
    consumed = true
    unread.unregister(props)
    return read()
  }
  const read = async function* (): AsyncGenerator<unknown> {
    let unknown = receipt !== undefined
    try {
      const context = Context.add(await session.runtime.context(), Scheduler, scheduler)
      for await (const chunk of Stream.toAsyncIterableWith(reply.stream, context)) {
        // What had arrived before its consumer aborted it is not handed on; the source ends the stream.
        if (props.controller.signal.aborted) continue
        if (unknown) rememberChunk(chunk, receipt!)
        unknown = false
        tell()
        yield chunk
      }
    } catch (error) {
      const cause = toSdkError(error)
      // As the SDK does, a stream that its consumer aborted just ends.
      if (!(cause instanceof APIUserAbortError)) throw cause
      if (cause.cause instanceof OpenAIError) throw cause.cause
    } finally {
      session.ending.delete(end)
    }
  }
  const stream = new OpenAIStream(open, props.controller, client)
  if (receipt !== undefined) unread.register(stream, { session, call: receipt.call, end }, props)
  return {
    props,
    value: async () => stream,
    raw: () => responseLike(props.response, eventStream(open), "text/event-stream"),
    streamed: true,
    ...(receipt !== undefined && { receipt })
  }
}

/**
 * Streams that nobody began to read are told to the log when they are collected, and their connections closed. What is held
 * here must not know them.
 */
const unread = new FinalizationRegistry<{
  readonly session: Session
  readonly call: string
  readonly end: (reason: Error) => void
}>(({ call, end, session }) => {
  session.ending.delete(end)
  session.workspace.abandon(call)
  end(new APIUserAbortError())
})
