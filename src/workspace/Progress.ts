/**
 * The calls and families' requests that are under way in a pipeline: which stage each is in, and until when it has to be decided.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { EnforcementUnavailable, type PipelineError, type StageName } from "../call/Errors.ts"

/** What is under way, by its id. */
interface Identifiable {
  readonly id: string
}

interface UnderWay {
  stage: StageName
  readonly traced: boolean
  readonly deadline: NodeJS.Timeout
}

/** Follows what is under way. */
export interface Progress {
  /** A stage as a pipeline calls it: its name stands in the refusal if it throws, and it has a span where calls are traced. */
  readonly stage: <A extends { readonly call: Identifiable } | Identifiable, B, E>(
    name: StageName,
    f: (a: A) => Effect.Effect<B, E>
  ) => (a: A) => Effect.Effect<B, E>
  /** Ends the deadline: the bytes may leave, and how long the provider takes is not the pipeline's to bound. */
  readonly met: (call: Identifiable) => void
  /** Runs a call to its end; fails with `EnforcementUnavailable` if a stage throws, or if the deadline passes. */
  readonly watch: <B>(
    call: Identifiable,
    traced: boolean,
    run: Effect.Effect<B, PipelineError>
  ) => Effect.Effect<B, PipelineError>
}

/** Follows calls whose pipeline has to decide within `milliseconds`. */
export const makeProgress = (milliseconds: number): Progress => {
  const calls = new Map<string, UnderWay>()

  // A span costs more than a stage: there are some only where a tracer was given.
  const stage: Progress["stage"] = (name, f) => (a) =>
    Effect.suspend(() => {
      const progress = calls.get("call" in a ? a.call.id : a.id)
      if (progress === undefined) return f(a)
      progress.stage = name
      return progress.traced ? Effect.withSpan(f(a), `secure_openai.${name}`) : f(a)
    })

  const met: Progress["met"] = (call) => clearTimeout(calls.get(call.id)?.deadline)

  const threw = (call: Identifiable) => (cause: Cause.Cause<unknown>) => {
    const error = Cause.squash(cause)
    const name = calls.get(call.id)?.stage ?? "identity"
    const message = `The ${name} stage threw: ${String(error)}`
    return Effect.fail(new EnforcementUnavailable({ stage: name, message, cause: error }))
  }

  const late = Effect.suspend(() =>
    Effect.fail(
      new EnforcementUnavailable({
        stage: "invocation",
        message: `The pipeline did not decide within ${milliseconds} ms; nothing was sent.`
      })
    )
  )

  const watch = <B>(
    call: Identifiable,
    traced: boolean,
    run: Effect.Effect<B, PipelineError>
  ): Effect.Effect<B, PipelineError> => {
    // One fiber for the call, and a timer beside it: a race of two fibers costs three times as much.
    return Effect.withFiber((parent) =>
      Effect.callback((resume) => {
        const deadline = setTimeout(() => {
          resume(late)
          fiber.interruptUnsafe()
        }, milliseconds).unref()
        // The stages look it up.
        calls.set(call.id, { stage: "identity", traced, deadline })
        const fiber = Effect.runForkWith(parent.context)(Effect.catchCauseIf(run, Cause.hasDies, threw(call)))
        fiber.addObserver((exit) => {
          met(call)
          calls.delete(call.id)
          resume(exit)
        })
        return Fiber.interrupt(fiber)
      })
    )
  }

  return { met, stage, watch }
}
