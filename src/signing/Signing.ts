/**
 * The envelope. Signing promises that every call that goes on carries a signature over what was asked, by whom, of whom
 * and when, and that a call made by another agent is let through only if that agent's own envelope holds.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Identified, Signed } from "../Call.ts"
import type { EnforcementUnavailable, IdentityInvalid } from "../Errors.ts"

/**
 * The signing stage.
 *
 * @category services
 */
export class Signing extends Context.Service<
  Signing,
  {
    /** The call with its signed envelope; the invocation that it came with, if any, is verified first. */
    readonly sign: (identified: Identified) => Effect.Effect<Signed, IdentityInvalid | EnforcementUnavailable>
  }
>()("secure-openai/Signing") {}
