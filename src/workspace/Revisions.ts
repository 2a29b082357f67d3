/**
 * Which policies are in force: the ones at the start, and each set that takes their place while the workspace lives. The log
 * says so before a call is decided by them.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { Audit } from "../audit/Audit.ts"
import type { Configuration, EnforcementUnavailable } from "../call/Errors.ts"
import type { Revision } from "../policy/ActivePolicies.ts"
import { Policy } from "../policy/Policy.ts"
import { changesOf, type PolicySource } from "../policy/PolicySource.ts"

/** Writes into the log which policies are in force, and follows a folder or file from then on. */
export const layer = <A, E, R>(
  source: PolicySource | undefined,
  stages: Layer.Layer<A | Policy | Audit, E, R>
): Layer.Layer<A | Policy | Audit, E | EnforcementUnavailable, R> =>
  Layer.provideMerge(
    Layer.effectDiscard(
      Effect.gen(function* () {
        const audit = yield* Audit
        const policy = yield* Policy
        yield* audit.policyActivated({ ...(yield* policy.revision), mode: policy.mode })
        yield* tellLimits([])
        if (typeof source === "string") {
          const inForce = Effect.map(policy.revision, ({ revision }) => revision)
          yield* Effect.forkScoped(follow(changesOf(source, inForce)))
        }
      })
    ),
    stages
  )

/**
 * Reads the policies anew and puts them in force in one step. What does not load, or cannot be written into the log, is not
 * put in force: the failure says why, and the policies that are in force stay.
 */
export const reload: Effect.Effect<Revision, Configuration | EnforcementUnavailable, Policy | Audit> = Effect.gen(
  function* () {
    const audit = yield* Audit
    const policy = yield* Policy
    const { revision: previous } = yield* policy.revision
    const candidate = yield* Effect.tapError(policy.prepare, ({ message }) =>
      audit.policyRejected({ revision: previous, reason: message })
    )
    const { count, revision } = candidate
    if (revision === previous) return { count, revision }
    yield* Effect.tapError(audit.policyActivated({ count, revision, previous, mode: policy.mode }), ({ message }) =>
      candidate.reject(message)
    )
    const limited = yield* policy.rateLimited
    yield* candidate.activate
    yield* tellLimits(limited)
    yield* Effect.logDebug(`The policies have changed: the set ${revision} is in force.`)
    // Who has just changed them is there to look again; at the start of an app nobody may be.
    yield* tellWarnings(yield* policy.warnings)
    return { count, revision }
  }
)

const follow = (changes: Stream.Stream<void, Error>): Effect.Effect<void, never, Policy | Audit> =>
  Stream.runForEach(changes, () =>
    reload.pipe(
      Effect.catch(({ message }) =>
        Effect.logError(`The policies have changed, and the old ones stay in force. ${message}`)
      )
    )
  ).pipe(
    Effect.catch(({ message }) =>
      Effect.logWarning(`The policies are not watched (${message}); call reload() of the workspace after a change.`)
    )
  )

/**
 * Warns that rate limits are each process's own where other processes share the home: their logs lie beside this one. `before` are
 * the documents whose limits were in force already, of which that was told.
 */
const tellLimits = (before: ReadonlyArray<string>): Effect.Effect<void, never, Policy | Audit> =>
  Effect.gen(function* () {
    const audit = yield* Audit
    const siblings = yield* audit.siblings
    if (siblings.length === 0 || before.length > 0) return
    const limited = yield* (yield* Policy).rateLimited
    if (limited.length === 0) return
    const { path } = yield* audit.status
    yield* Effect.logWarning(
      `Rate limits are counted in each log by itself (${limited.join(", ")}). Beside the log at ${path} there ${siblings.length === 1 ? "is a log of another process" : `are logs of ${siblings.length} other processes`}, now or earlier: together they allow that many times as much. Divide the limits, or enforce them at a gateway as well.`
    )
  })

/** How many warnings are told; a linter lists all. */
const most = 10

const tellWarnings = (warnings: ReadonlyArray<string>): Effect.Effect<void> =>
  warnings.length === 0
    ? Effect.void
    : Effect.logWarning(
        [
          `The policies hold, but look again (${warnings.length === 1 ? "1 warning" : `${warnings.length} warnings`}):`,
          ...warnings.slice(0, most).map((warning) => `  ${warning}`),
          ...(warnings.length > most ? [`  and more: secure-openai policy lint lists all`] : [])
        ].join("\n")
      )
