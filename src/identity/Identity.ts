/**
 * Who calls. Identity promises that a call goes on only with a principal that a verified credential gave, and that a
 * credential that has ended gives none.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Call, Credentials, Identified } from "../Call.ts"
import type { Configuration, IdentityInvalid } from "../Errors.ts"
import type { Principal } from "../Principal.ts"

/**
 * The identity stage.
 *
 * @category services
 */
export class Identity extends Context.Service<
  Identity,
  {
    /** The call with its verified principal. */
    readonly resolve: (call: Call) => Effect.Effect<Identified, IdentityInvalid>
    /** The principal that credentials give to a caller of `app`, outside a pipeline. */
    readonly principal: (credentials: Credentials, app: string) => Effect.Effect<Principal, IdentityInvalid>
    /** Succeeds when every configured issuer's key set can be used now. */
    readonly ready: Effect.Effect<void, IdentityInvalid | Configuration>
  }
>()("secure-openai/Identity") {}
