/**
 * How the audit stage uses a log: it waits until records are durable, and has a log that failed opened anew.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { EnforcementUnavailable } from "../call/Errors.ts"
import type { Appended, Boot, Log } from "./Log.ts"

/** Access of one audit stage to its log. */
export interface LogAccess {
  /**
   * Appends, and succeeds once that is durable; `known` is called just before. Where the log makes no call wait (`batched`), it
   * succeeds at once, provided that the record has its place.
   */
  readonly durable: <E = never>(
    append: (boot: Boot) => Result.Result<Appended, E | EnforcementUnavailable>,
    known?: () => void
  ) => Effect.Effect<void, E | EnforcementUnavailable>
  /** Has a log that failed opened anew soon, without a call that asks for it. */
  readonly reopen: () => void
}

/** How long after a failure a log is opened anew without a call, in ms; as long again after each further failure. */
const reopenDelay = 1000

/** Access to a log, until the scope closes. */
export const makeAccess = (log: Log, isBatched: boolean): Effect.Effect<LogAccess, never, Scope.Scope> => {
  let timer: NodeJS.Timeout | undefined
  let isOver = false
  const reopen = (): void => {
    if (timer !== undefined || isOver) return
    timer = setTimeout(() => {
      timer = undefined
      if (log.current().fault !== undefined) reopen()
    }, reopenDelay).unref()
  }
  const durable: LogAccess["durable"] = (append, known) =>
    Effect.callback((resume) => {
      const boot = log.current()
      const appended = append(boot)
      if (Result.isFailure(appended)) {
        if (boot.fault !== undefined) reopen()
        return resume(Effect.fail(appended.failure))
      }
      const settled = (fault: EnforcementUnavailable | undefined): void => {
        if (fault !== undefined) return resume(Effect.fail(fault))
        known?.()
        resume(Effect.void)
      }
      if (isBatched && appended.success.place !== undefined) settled(undefined)
      else boot.whenDurable(settled)
    })
  return Effect.as(
    Effect.addFinalizer(() =>
      Effect.sync(() => {
        isOver = true
        clearTimeout(timer)
      })
    ),
    { durable, reopen }
  )
}
