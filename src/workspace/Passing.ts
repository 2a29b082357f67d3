/**
 * The way of a family's request through the pipeline: identity, policy on its resource, the log. Its body is not parsed and not
 * rewritten.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Tracer from "effect/Tracer"
import { Audit, type Outcome } from "../audit/Audit.ts"
import { refusalFields } from "../audit/FailureFields.ts"
import type { Decision } from "../call/Decision.ts"
import {
  type ApprovalPending,
  type EnforcementUnavailable,
  IdentityInvalid,
  type PipelineError,
  policyDenied,
  type PolicyDenied
} from "../call/Errors.ts"
import type { PassThrough } from "../call/PassThrough.ts"
import type { Principal } from "../call/Principal.ts"
import { Identity } from "../identity/Identity.ts"
import { Policy } from "../policy/Policy.ts"
import type { Progress } from "./Progress.ts"

/** Records how a request that passed through ended. Returns at once; the record follows. */
export type Finish = (outcome: Outcome) => void

/**
 * Judges and records a request of a family. Succeeds once the record is on the disk; for a request that is `atOnce` it succeeds
 * before that, without waiting for anything, and its end is recorded as unknown.
 */
export type Passing = (request: PassThrough) => Effect.Effect<Finish, PipelineError>

/** The way of families' requests through the stages of the context. `check` may refuse one before policy judges it. */
export const makePassing = Effect.fnUntraced(function* (
  progress: Progress,
  check?: (
    request: PassThrough,
    principal: Principal
  ) => Effect.Effect<void, PolicyDenied | ApprovalPending | EnforcementUnavailable>
) {
  const audit = yield* Audit
  const identity = yield* Identity
  const policy = yield* Policy

  const write = (request: PassThrough, { observed, principal }: Judged) =>
    progress.stage("audit", (passed: PassThrough) => audit.passThrough(passed, principal, observed))(request)

  const pass = (request: PassThrough): Effect.Effect<Finish, PipelineError> =>
    Effect.withFiber((fiber) => {
      const { app, credentials, id: call, resource: tool } = request
      let principal: Principal | undefined
      let isJudged = false
      const judged = Effect.gen(function* () {
        const who = (principal = yield* progress.stage("identity", (_: PassThrough) =>
          identity.principal(credentials, app)
        )(request))
        if (check !== undefined)
          yield* progress.stage("custom:families", (_: PassThrough) => check(request, who))(request)
        const observed = yield* progress.stage("policy", (passed: PassThrough) => policy.pass(passed, who))(request)
        yield* stillValid(who)
        isJudged = true
        return { observed, principal: who }
      }).pipe(Effect.mapError((error) => (error._tag === "PolicyDenied" ? about(error, request) : error)))
      const finishing = Effect.flatMap(judged, (found): Effect.Effect<Finish, PipelineError> =>
        request.atOnce === true
          ? Effect.as(started(Effect.flatMap(write(request, found), (finish) => finish(unknown))), ignored)
          : Effect.map(write(request, found), (finish) => (outcome: Outcome) => {
              Effect.runForkWith(fiber.context)(finish(outcome))
            })
      )
      const refuse = (cause: Cause.Cause<PipelineError>) =>
        audit.refuse({ call, tool, app, principal, ...refusalFields(cause, { credentials, principal }) })
      const traced = fiber.context.mapUnsafe.has(Tracer.TracerKey)
      const passed = Effect.catchCause(progress.watch(request, traced, finishing), (cause) => {
        // The log records the end of what it has begun to record.
        if (isJudged || Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause)
        const refused = request.atOnce === true ? Effect.ignore(started(Effect.ignore(refuse(cause)))) : refuse(cause)
        return Effect.andThen(refused, Effect.failCause(cause))
      })
      return traced ? familySpan(request, passed) : passed
    })
  return pass
})

interface Judged {
  readonly observed: Decision | undefined
  readonly principal: Principal
}

const unknown: Outcome = { result: "unknown", attempts: 1 }
const ignored: Finish = () => {}

/** Starts an effect in the background; fails with what it failed with before it had to wait. */
const started = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<void, E, R> =>
  Effect.flatMap(Effect.forkDetach(effect, { startImmediately: true }), (fiber): Effect.Effect<void, E> => {
    const exit = fiber.pollUnsafe()
    return exit !== undefined && Exit.isFailure(exit) ? Effect.failCause(exit.cause) : Effect.void
  })

const familySpan = <A, E>({ family, id, resource }: PassThrough, run: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.withSpan(run, `pass ${family}`, {
    attributes: { "secure_openai.call.id": id, "secure_openai.resource": resource }
  })

/** The token may have ended while stages waited. Asked before anything leaves, also before a stream starts. */
export const stillValid = ({ validUntil }: Principal): Effect.Effect<void, IdentityInvalid> =>
  validUntil === undefined
    ? Effect.void
    : Effect.withFiber((fiber) =>
        fiber.getRef(Clock.Clock).currentTimeMillisUnsafe() < validUntil * 1000
          ? Effect.void
          : Effect.fail(
              new IdentityInvalid({
                reason: "expired",
                message: "The token expired while the call waited, and nothing was sent. Get a new one and call again."
              })
            )
      )

/** The refusal with the resource that it is about: a stage of one's own does not know it. */
export const about = (error: PolicyDenied, { resource }: { readonly resource: string }): PolicyDenied =>
  error.decision.resource === "" ? policyDenied({ ...error.decision, resource }, error.stage) : error
