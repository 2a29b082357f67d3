/**
 * The request as it will be sent. Rewriting promises that the edits that policy asked for are made and only narrow, that the
 * result passes the same policy unchanged, and that a request without edits keeps the caller's own bytes.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Decided, Prepared } from "../Call.ts"
import type { Violation } from "../Decision.ts"
import { type PolicyDenied, policyDenied } from "../Errors.ts"
import { Models } from "./Models.ts"
import { rewrite } from "./Rewrite.ts"

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
  }
>()("secure-openai/Rewriting") {
  /** Rewriting with the catalogue's ranks and spellings. @category layers */
  static readonly layer: Layer.Layer<Rewriting, never, Models> = Layer.effect(
    Rewriting,
    Effect.map(Models, ({ find }) =>
      Rewriting.of({
        apply: (decided) => {
          const { call, decision, judge } = decided
          const result = rewrite(call, decision.remedies, judge.recheck, find)
          if (result._tag === "Refused") return refuse(decided, result.violations)
          if (result.edits.length === 0)
            return Effect.succeed(new Prepared(decided, { params: call.params, bytes: call.bytes, edits: [] }))
          const { edits, params } = result
          const left = judge.recheck(params)
          if (left.length > 0) return refuse(decided, left)
          return Effect.succeed(new Prepared(decided, { params, bytes: JSON.stringify(params), edits }))
        }
      })
    )
  )
}

const refuse = (decided: Decided, violations: ReadonlyArray<Violation>): Effect.Effect<never, PolicyDenied> =>
  Effect.fail(policyDenied({ ...decided.decision, verdict: "deny", violations, remedies: [], edits: [] }, "rewriting"))
