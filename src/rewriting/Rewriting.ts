/**
 * The request as it will be sent. Rewriting promises that the edits that policy asked for are made and only narrow, that the
 * result passes the same policy unchanged, and that a request without edits keeps the caller's own bytes.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type { Call } from "../call/Call.ts"
import { type Decided, Prepared } from "../call/States.ts"
import type { Judge } from "../call/Judge.ts"
import type { Decision, Violation } from "../call/Decision.ts"
import { type PolicyDenied, policyDenied } from "../call/Errors.ts"
import { Models } from "./Models.ts"
import { plan } from "./Rewrite.ts"

/**
 * The rewriting stage.
 *
 * @category services
 */
export class Rewriting extends Context.Service<
  Rewriting,
  {
    /** The call with its final params and bytes, or a refusal where no edit makes it pass. */
    readonly apply: (decided: Decided) => Effect.Effect<Prepared, PolicyDenied>
    /** What a decision comes to: with its edits as they would be made, or refused where they cannot be. Nothing is sent. */
    readonly foresee: (call: Call, decision: Decision, judge: Judge) => Decision
  }
>()("secure-openai/Rewriting") {
  /** Rewriting with the catalogue's ranks and spellings. @category layers */
  static readonly layer: Layer.Layer<Rewriting, never, Models> = Layer.effect(
    Rewriting,
    Effect.map(Models, (models) => {
      const foresee = (call: Call, decision: Decision, judge: Judge): Decision =>
        decision.verdict === "allow"
          ? Result.match(plan(call, decision, judge, models), {
              onFailure: (violations) => denialOf(decision, violations),
              onSuccess: ({ edits }) => ({ ...decision, remedies: [], edits })
            })
          : decision
      return Rewriting.of({
        foresee,
        apply: (decided) => {
          const { call, decision, judge, observed } = decided
          const planned = plan(call, decision, judge, models)
          if (Result.isFailure(planned))
            return Effect.fail(policyDenied(denialOf(decision, planned.failure), "rewriting"))
          const { edits, params } = planned.success
          const sent = edits.length === 0 ? call : call.sent(params)
          const prepared = new Prepared(decided, {
            params,
            edits,
            bytes: sent.content,
            endpoint: sent.endpoint,
            observed: observed && foresee(call, observed.decision, observed.judge)
          })
          return sent.content.isLarge
            ? Effect.as(
                Effect.promise(() => sent.content.hash()),
                prepared
              )
            : Effect.succeed(prepared)
        }
      })
    })
  )
}

const denialOf = (decision: Decision, violations: ReadonlyArray<Violation>): Decision => ({
  ...decision,
  verdict: "deny",
  violations,
  remedies: [],
  edits: []
})
