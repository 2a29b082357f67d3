/**
 * The request as it will be sent. Rewriting promises that the edits that policy asked for are made and only narrow, that the
 * result passes the same policy unchanged, and that a request without edits keeps the caller's own bytes.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Decided, Prepared } from "../Call.ts"
import type { PolicyDenied } from "../Errors.ts"

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
>()("secure-openai/Rewriting") {}
