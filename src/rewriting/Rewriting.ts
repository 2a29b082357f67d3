/**
 * The request as it will be sent. Rewriting promises that the edits that policy asked for are made and only narrow, that the
 * result passes the same policy unchanged, and that a request without edits keeps the caller's own bytes.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { type Call, type Decided, type Judge, type Permit, Prepared } from "../Call.ts"
import type { Violation } from "../Decision.ts"
import { type PolicyDenied, policyDenied } from "../Errors.ts"
import { Models } from "./Models.ts"
import { type Plan, plan } from "./Rewrite.ts"

/**
 * The rewriting stage.
 *
 * @category services
 */
export class Rewriting extends Context.Service<
  Rewriting,
  {
    /**
     * The call with its final params and bytes, or a refusal where no edit makes it pass. Where the decision is only
     * recorded, nothing is changed.
     */
    readonly apply: (decided: Decided) => Effect.Effect<Prepared, PolicyDenied>
    /** What `apply` would make of a call, or the violations that no edit puts right. Whether it is enforced plays no part. */
    readonly plan: (call: Call, decision: Permit, judge: Judge) => Result.Result<Plan, ReadonlyArray<Violation>>
  }
>()("secure-openai/Rewriting") {
  /** Rewriting with the catalogue's ranks and spellings. @category layers */
  static readonly layer: Layer.Layer<Rewriting, never, Models> = Layer.effect(
    Rewriting,
    Effect.map(Models, ({ find }) =>
      Rewriting.of({
        plan: (call, decision, judge) => plan(call, decision, judge, find),
        apply: (decided) => {
          const { call, decision, judge } = decided
          const planned = decision.enforced ? plan(call, decision, judge, find) : Result.succeed(unchanged(call))
          if (Result.isFailure(planned)) return refuse(decided, planned.failure)
          const { edits, params } = planned.success
          const bytes = edits.length === 0 ? call.bytes : JSON.stringify(params)
          return Effect.succeed(new Prepared(decided, { params, bytes, edits }))
        }
      })
    )
  )
}

const unchanged = ({ params }: Call): Plan => ({ params, edits: [] })

const refuse = (decided: Decided, violations: ReadonlyArray<Violation>): Effect.Effect<never, PolicyDenied> =>
  Effect.fail(policyDenied({ ...decided.decision, verdict: "deny", violations, remedies: [], edits: [] }, "rewriting"))
