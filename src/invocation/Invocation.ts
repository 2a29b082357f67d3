/**
 * The way out. Invocation promises that exactly the committed bytes are sent, once a call, and tells the log of every chunk
 * that comes back.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ClientOptions } from "openai"
import type { Committed } from "../call/States.ts"
import type { Reply } from "../call/Reply.ts"
import { Configuration, type PipelineError } from "../call/Errors.ts"
import { sender } from "./OpenAiSender.ts"

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
>()("secure-openai/Invocation") {
  /** Sends with the plain SDK; takes its options. Calls are made with the same `baseURL`. @category layers */
  static readonly layerOpenAI = (options: ClientOptions = {}): Layer.Layer<Invocation, Configuration> =>
    Layer.effect(
      Invocation,
      Effect.try({
        try: () => ({ invoke: sender(options) }),
        catch: (cause) => new Configuration({ message: cause instanceof Error ? cause.message : String(cause), cause })
      })
    )
}
