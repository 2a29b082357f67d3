/**
 * A request of a family (`models`, `files`, …) on its way through the SDK: judged and recorded before it leaves, and its end recorded
 * once the SDK has an answer. An operation's request is a call, which {@link Exchange} takes through the pipeline.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { APIError, APIUserAbortError } from "openai"
import { scheduler } from "../base/EventLoop.ts"
import type { PassThrough } from "../call/PassThrough.ts"
import { ClosedError, EnforcementUnavailableError, toSdkError } from "../call/SdkErrors.ts"
import type { Finish, Passing } from "../workspace/Passing.ts"
import { Pipeline } from "../workspace/Pipeline.ts"
import type { Session } from "./Session.ts"

/** One request of a family, the SDK's retries of it included. */
export class FamilyRequest {
  readonly endpoint: string
  readonly #finish: Finish
  #mayLeave = false

  private constructor(endpoint: string, finish: Finish) {
    this.endpoint = endpoint
    this.#finish = finish
  }

  /** Judges and records a request. Rejects with the SDK's errors. */
  static async pass(session: Session, request: PassThrough): Promise<FamilyRequest> {
    return new FamilyRequest(request.endpoint, await run(session, (pass) => pass(request)))
  }

  /** One attempt may leave. */
  permit(): void {
    this.#mayLeave = true
  }

  /** True once for each attempt that {@link permit} let leave. */
  leave(): boolean {
    const may = this.#mayLeave
    this.#mayLeave = false
    return may
  }

  /** Records the provider's answer, after `attempts` HTTP requests. */
  answered({ headers, status }: Response, attempts: number): void {
    const requestId = headers.get("x-request-id")
    this.#finish({ result: "complete", attempts, status, ...(requestId !== null && { requestId }) })
  }

  /** Records that the SDK gave up. */
  failed(error: unknown, attempts: number): void {
    this.#finish({
      result: error instanceof APIUserAbortError ? "aborted" : "failed",
      attempts,
      error: error instanceof Error ? error.constructor.name : typeof error,
      ...(error instanceof APIError && error.status !== undefined && { status: error.status })
    })
  }

  /** Records that the SDK's next attempt is another request. */
  replaced(attempts: number): void {
    this.#finish({ result: "failed", attempts })
  }
}

/**
 * Judges and records a family's request that cannot wait: at once, in order, and on the disk a moment later; how it ends is not
 * known. A pipeline that is not open yet is opened. Throws what {@link FamilyRequest.pass} rejects with, and an
 * `EnforcementUnavailableError` if the pipeline cannot open without waiting, as with a key that is held elsewhere.
 */
export const passAtOnce = (session: Session, request: PassThrough): void => {
  if (session.workspace.closed) throw new ClosedError()
  const runtime = session.runtime()
  if (runtime.cachedContext === undefined) {
    const opened = runtime.runSyncExit(Effect.void)
    if (Exit.isFailure(opened)) {
      const error = Cause.squash(opened.cause)
      throw Cause.isAsyncFiberError(error)
        ? new EnforcementUnavailableError(
            "The log is not open yet, and nothing leaves unrecorded: await client.ready() before a WebSocket is opened."
          )
        : toSdkError(error)
    }
  }
  const exit = runtime.runSyncExit(Effect.flatMap(Pipeline, ({ pass }) => required(pass)({ ...request, atOnce: true })))
  if (Exit.isFailure(exit)) throw toSdkError(Cause.squash(exit.cause))
}

const run = async (session: Session, use: (pass: Passing) => ReturnType<Passing>): Promise<Finish> => {
  const { workspace } = session
  if (workspace.closed) throw new ClosedError()
  const exit = await session.runtime().runPromiseExit(
    Effect.flatMap(Pipeline, ({ pass }) => use(required(pass))),
    { scheduler }
  )
  if (Exit.isSuccess(exit)) return exit.value
  if (Cause.hasInterruptsOnly(exit.cause)) throw workspace.closed ? new ClosedError() : new APIUserAbortError()
  throw toSdkError(Cause.squash(exit.cause))
}

const required = (pass: Passing | undefined): Passing => {
  if (pass === undefined) throw new Error("a session's pipeline passes families")
  return pass
}
