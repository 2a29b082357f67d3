/**
 * The way out. Invocation promises that exactly the committed bytes are sent, once a call, and tells the log of every chunk
 * that comes back.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Committed, Reply } from "../Call.ts"
import type { PipelineError } from "../Errors.ts"

/**
 * The invocation stage.
 *
 * @category services
 */
export class Invocation extends Context.Service<
  Invocation,
  {
    /** The answer to a committed call. */
    readonly invoke: (committed: Committed) => Effect.Effect<Reply, PipelineError>
  }
>()("secure-openai/Invocation") {}
