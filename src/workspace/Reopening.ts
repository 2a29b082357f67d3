/**
 * A runtime that is built anew where it could not be built: a log that another process has, or a disk that is full, is not for
 * ever. Effect's own keeps the first failure.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { EnforcementUnavailable } from "../call/Errors.ts"
import { elapsed } from "../base/EventLoop.ts"

/** For how long a failure stands, in ms. */
const delay = 1000

/**
 * Gives the runtime of a layer: the same one, until its build fails with {@link EnforcementUnavailable}; a second after that
 * whoever asks gets another, which is built anew, and the one before is disposed.
 */
export const reopening = <R, E>(layer: Layer.Layer<R, E>): (() => ManagedRuntime.ManagedRuntime<R, E>) => {
  let failedAt: number | undefined
  const watched = Layer.tapError(layer, (error) =>
    Effect.sync(() => {
      if (error instanceof EnforcementUnavailable) failedAt = elapsed()
    })
  )
  let runtime = ManagedRuntime.make(watched)
  return () => {
    if (failedAt !== undefined && elapsed() - failedAt >= delay) {
      failedAt = undefined
      void runtime.dispose()
      runtime = ManagedRuntime.make(watched)
    }
    return runtime
  }
}
