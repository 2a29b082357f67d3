/**
 * Logged calls, decided again by policies of today, each call at its own time: as far as the log tells what was asked.
 *
 * @since 0.2.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Call, type PassThrough } from "../../Call.ts"
import type { Decision } from "../../Decision.ts"
import type { Configuration, EnforcementUnavailable } from "../../Errors.ts"
import { isOperation, quantities } from "../../Operation.ts"
import { Policy } from "../../policy/Policy.ts"
import type { PolicySource } from "../../policy/PolicyStore.ts"
import { Models } from "../../rewriting/Models.ts"
import { Rewriting } from "../../rewriting/Rewriting.ts"
import type { LoggedCall } from "./LoggedCalls.ts"

/** A logged call as it would be decided. */
export interface Replayed {
  readonly decision: Pick<Decision, "verdict" | "violations" | "edits">
  /** Parameters that policy bounds and that the log does not tell: nothing is known of them. */
  readonly untold: ReadonlyArray<string>
}

/** Decides logged calls by a set of policies, as a client that has them would; nothing is counted. */
export const replayBy = (
  policies: PolicySource
): Effect.Effect<(logged: LoggedCall) => Effect.Effect<Replayed, EnforcementUnavailable>, Configuration> =>
  Effect.gen(function* () {
    const policy = yield* Policy
    const rewriting = yield* Rewriting
    const clock = yield* Clock.Clock
    return (logged: LoggedCall) =>
      Effect.provideService(
        logged.resource.startsWith("api:") ? replayPass(policy, logged) : replayCall(policy, rewriting, logged),
        Clock.Clock,
        { ...clock, currentTimeMillisUnsafe: () => logged.at, currentTimeMillis: Effect.succeed(logged.at) }
      )
  }).pipe(Effect.provide(Layer.merge(Policy.layer({ policies }), Rewriting.layer.pipe(Layer.provide(Models.layer)))))

const replayCall = (
  policy: Policy["Service"],
  rewriting: Rewriting["Service"],
  { app, params, principal, resource }: LoggedCall
): Effect.Effect<Replayed> => {
  const call = Call.make(resource.slice(`tool:${app}/`.length), params, { app })
  return Effect.map(policy.judge(call, principal), ({ decision, judge }) => {
    const isTold = (name: string): boolean =>
      name in params || (isOperation(call.operation) && (name === "model" || quantities.has(name)))
    return {
      decision: told(rewriting.foresee(call, decision, judge), isTold),
      untold: judge.bounded.filter((name) => !isTold(name))
    }
  })
}

/** What is missing only in the log is not missing. */
const told = (decision: Decision, isTold: (name: string) => boolean): Replayed["decision"] => {
  const violations = decision.violations.filter(({ code, path = "" }) => code !== "required" || isTold(path))
  return violations.length === 0 && decision.verdict === "deny"
    ? { verdict: "allow", violations, edits: [] }
    : { ...decision, violations }
}

const replayPass = (
  policy: Policy["Service"],
  { app, principal, resource }: LoggedCall
): Effect.Effect<Replayed, EnforcementUnavailable> => {
  const request: PassThrough = {
    id: "",
    app,
    family: resource.slice(resource.lastIndexOf("/") + 1),
    resource,
    endpoint: "",
    credentials: { _tag: "App" },
    intents: []
  }
  return policy.pass(request, principal).pipe(
    Effect.as<Replayed["decision"]>({ verdict: "allow", violations: [], edits: [] }),
    Effect.catchTag("PolicyDenied", ({ decision }) => Effect.succeed(decision)),
    Effect.map((decision) => ({ decision, untold: [] }))
  )
}
