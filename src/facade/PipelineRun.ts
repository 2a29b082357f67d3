/**
 * One decision: a pipeline under way on one call, which stops inside its invocation until the SDK has an answer.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { APIUserAbortError } from "openai"
import type { Call } from "../call/Call.ts"
import type { Committed } from "../call/States.ts"
import type { Reply } from "../call/Reply.ts"
import { inNextTurn, scheduler } from "../base/EventLoop.ts"
import type { PipelineError, ProviderFailed } from "../call/Errors.ts"
import { toSdkError } from "../call/SdkErrors.ts"
import { Invocation } from "../invocation/Invocation.ts"
import { Pipeline } from "../workspace/Pipeline.ts"
import type { RequestQuery } from "../call/Query.ts"
import { requireAlive, type Session } from "./Session.ts"

/** Stops the SDK where the pipeline's answer was made without the network. */
export const answeredHere = new Error("answered without the network")

/** Callbacks of an exchange for its pipeline's runs. */
export interface RunOwner {
  /** The pipeline was interrupted while the SDK was at work. */
  readonly interrupt: (reason: Error) => void
  /** The pipeline has ended: with its reply, or with the error that its caller sees. */
  readonly ended: (turn: PipelineRun, end: { readonly reply: Reply } | { readonly error: unknown }) => void
}

/** The pipeline under way on one call. It stops inside its invocation until {@link PipelineRun.answered} gives it the SDK's answer. */
export class PipelineRun {
  readonly call: Call
  /** The bytes that this turn was decided on. */
  readonly body: string
  committed: Committed | undefined
  /** What went wrong, as the caller sees it; made once, so that everyone throws the same object. */
  error: unknown
  readonly #permit = Promise.withResolvers<Committed>()
  readonly #answer = Deferred.makeUnsafe<Reply, ProviderFailed>()

  constructor(call: Call, body: string) {
    this.call = call
    this.body = body
    this.#permit.promise.catch(() => {})
  }

  /** True where this decision is on the same bytes for the same endpoint and query: the SDK's retry, and no other call. */
  decides(body: unknown, endpoint: string, query: RequestQuery | undefined): boolean {
    return body === this.body && endpoint === this.call.endpoint && query?.text === this.call.query?.text
  }

  /** Settles when the bytes may be sent; rejects where they may not. */
  get permit(): Promise<Committed> {
    return this.#permit.promise
  }

  /**
   * Starts the pipeline on the call, with those of other calls that came in this turn of the event loop; `signal` interrupts it
   * until the bytes may be sent, when the SDK takes over.
   */
  start(session: Session, owner: RunOwner, signal: AbortSignal | null | undefined): void {
    inNextTurn(() => {
      try {
        // It may have ended in the meantime.
        requireAlive(session)
        this.#run(session, owner, signal)
      } catch (error) {
        this.#failed(owner, error)
      }
    })
  }

  #run(session: Session, owner: RunOwner, signal: AbortSignal | null | undefined): void {
    const fiber = session.runtime().runFork(
      Effect.provideService(
        Effect.flatMap(Pipeline, (pipeline) => pipeline.run(this.call)),
        CurrentRun,
        { owner, turn: this }
      ),
      { scheduler }
    )
    if (signal !== null && signal !== undefined) {
      const interrupt = () => fiber.interruptUnsafe()
      const release = () => signal.removeEventListener("abort", interrupt)
      if (signal.aborted) interrupt()
      else signal.addEventListener("abort", interrupt, { once: true })
      this.#permit.promise.then(release, release)
    }
    fiber.addObserver((exit) => {
      if (Exit.isFailure(exit)) return this.#failed(owner, callerError(exit.cause, signal, session.life.over))
      owner.ended(this, { reply: exit.value })
      this.#permit.reject(answeredHere)
    })
  }

  #failed(owner: RunOwner, error: unknown): void {
    this.error = error
    owner.ended(this, { error })
    this.#permit.reject(error)
  }

  /** The pipeline lets the bytes go. */
  permitted(committed: Committed): void {
    this.committed = committed
    this.#permit.resolve(committed)
  }

  /** The SDK has an answer, or has failed. */
  answered(answer: Effect.Effect<Reply, ProviderFailed>): void {
    Deferred.doneUnsafe(this.#answer, answer)
  }

  /** What the SDK got back. */
  get answer(): Effect.Effect<Reply, ProviderFailed> {
    return Deferred.await(this.#answer)
  }
}

const CurrentRun = Context.Reference<{ readonly owner: RunOwner; readonly turn: PipelineRun } | undefined>(
  "secure-openai/CurrentTurn",
  { defaultValue: () => undefined }
)

/** What runs a registered tool: the invocation of a call that stays in this process. */
export const CurrentHandler = Context.Reference<
  ((committed: Committed) => Effect.Effect<Reply, PipelineError>) | undefined
>("secure-openai/CurrentHandler", { defaultValue: () => undefined })

/** The facade's invocation: hands the committed bytes to the SDK, and waits for what it got back. */
export const layerInvocation = Layer.succeed(Invocation, {
  invoke: (committed) =>
    Effect.withFiber((fiber) => {
      const handler = fiber.getRef(CurrentHandler)
      if (handler !== undefined) return handler(committed)
      const current = fiber.getRef(CurrentRun)
      if (current === undefined || committed.call.id !== current.turn.call.id)
        return Effect.die(new Error("a committed call is sent by its own exchange"))
      current.turn.permitted(committed)
      return Effect.onInterrupt(current.turn.answer, () =>
        Effect.sync(() => current.owner.interrupt(new APIUserAbortError()))
      )
    })
})

const callerError = (
  cause: Cause.Cause<unknown>,
  signal: AbortSignal | null | undefined,
  over: Error | undefined
): unknown => {
  if (!Cause.hasInterruptsOnly(cause)) return toSdkError(Cause.squash(cause))
  return signal?.aborted === true ? userAbort(signal) : (over ?? userAbort(signal))
}

/** The SDK's error for a call that its caller gave up, with the signal's reason where the SDK has it. */
const userAbort = (signal: AbortSignal | null | undefined): APIUserAbortError => {
  const error = new APIUserAbortError()
  return signal?.aborted
    ? Object.defineProperty(error, "cause", { value: signal.reason, writable: true, configurable: true })
    : error
}
