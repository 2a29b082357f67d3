/**
 * The decision. Policy promises that what goes on is allowed by every document that takes part, that a refusal names every
 * violation, and that what it cannot decide is refused.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Decided, PassThrough, Signed } from "../Call.ts"
import type { ApprovalPending, EnforcementUnavailable, PolicyDenied, PolicyRateLimited } from "../Errors.ts"
import type { Principal } from "../Principal.ts"

/**
 * The policy stage.
 *
 * @category services
 */
export class Policy extends Context.Service<
  Policy,
  {
    /** The call with its decision, where that lets it go on. */
    readonly evaluate: (
      signed: Signed
    ) => Effect.Effect<Decided, PolicyDenied | ApprovalPending | PolicyRateLimited | EnforcementUnavailable>
    /** Whether a family may pass for this principal: its resource alone is judged. */
    readonly pass: (
      request: PassThrough,
      principal: Principal
    ) => Effect.Effect<void, PolicyDenied | EnforcementUnavailable>
    /** The policy set in force: digest, and how many documents it has (none configured: 0). */
    readonly revision: Effect.Effect<{ readonly revision: string; readonly count: number }>
  }
>()("secure-openai/Policy") {}
