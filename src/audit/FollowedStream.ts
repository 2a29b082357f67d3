/**
 * The stream of a call that the log follows: each chunk is counted, and the end is the call's outcome.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import type { PipelineError } from "../call/Errors.ts"
import { streamEndFields } from "./FailureFields.ts"
import type { Trail } from "./Trail.ts"
import { unavailable } from "./Unavailable.ts"

/** The stream, followed to its end; it can be read once. It fails where the log does: nothing is handed on unrecorded. */
export const followed = (
  trail: Trail,
  stream: Stream.Stream<unknown, PipelineError>
): Stream.Stream<unknown, PipelineError> => {
  let begun = false
  return Stream.suspend(() => {
    if (begun || trail.over) return Stream.fail(unavailable("This stream was read before, or its client is closed."))
    begun = true
    let whole = false
    let broken: Cause.Cause<PipelineError> | undefined
    const recorded = Stream.transformPull(stream, (pull) =>
      Effect.succeed(
        Effect.flatMap(pull, (chunks) => {
          const fault = trail.handed(chunks)
          return fault === undefined ? Effect.succeed(chunks) : Effect.fail(fault)
        })
      )
    )
    return recorded.pipe(
      Stream.onEnd(Effect.sync(() => void (whole = true))),
      Stream.tapCause((cause) => Effect.sync(() => void (broken = cause))),
      Stream.onExit((exit) =>
        Effect.sync(() => {
          // A reader that stops early, or fails by itself, ends a stream that is neither whole nor broken.
          const stopped = Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? "aborted" : "abandoned"
          trail.end(broken === undefined ? { result: whole ? "complete" : stopped } : streamEndFields(broken))
        })
      )
    )
  })
}
