/**
 * A `LanguageModel` of `effect/ai` over a secure client's chat completions.
 */
import * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
import { toCodecOpenAI } from "effect/ai/OpenAiStructuredOutput"
import type * as Response from "effect/ai/Response"
import * as Telemetry from "effect/ai/Telemetry"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { OpenAI } from "openai"
import type { SecureMembers } from "../facade/SecureMembers.ts"
import { failure, failureOf, requireOwn } from "./Failure.ts"
import { ChunkReader, partsOf } from "./Parts.ts"
import { requestOf } from "./Request.ts"

/** Parameters of a chat completion that a program may set: `max_tokens`, `temperature`, `reasoning_effort`, … */
export type ChatParams = Partial<
  Omit<
    OpenAI.ChatCompletionCreateParams,
    "messages" | "stream" | "stream_options" | "tools" | "tool_choice" | "response_format" | "n"
  >
>

/**
 * Parameters for one part of a program, over those of its layer:
 * `Effect.provideService(Params, { temperature: 0 })`.
 *
 * @category configuration
 */
export const Params = Context.Reference<ChatParams>("secure-openai/ai/Params", { defaultValue: () => ({}) })

/** What a model is made of. */
export interface ModelOptions {
  /** In whose name it is asked: a service's client, or one that is bound to a user. */
  readonly client: OpenAI & SecureMembers
  /** The model that is asked for; policy may send another. */
  readonly model: string
  /** Parameters of every request. */
  readonly params?: ChatParams
}

/**
 * The model as a layer. Every turn is one call of the client: judged, rewritten and logged as any other, with the client's
 * retries. Interrupting the fiber, or leaving a stream, ends the request.
 *
 * The handlers of a toolkit are the program's own and run unjudged; one that policy shall judge hands on to
 * `client.invokeTool`. The log has every tool that the model asked for.
 *
 * Fails with `AiError`; {@link refusalOf} tells a refusal from a failure of the provider. A policy's no is a
 * `ContentPolicyError`, its rate limit a `RateLimitError` with `retryAfter`, a bad token an `AuthenticationError`.
 *
 * @category layers
 */
export const layer = (options: ModelOptions): Layer.Layer<LanguageModel.LanguageModel> =>
  Layer.effect(LanguageModel.LanguageModel, make(options))

/**
 * The model as a value; see {@link layer}.
 *
 * @category constructors
 */
export const make = ({ client: given, model, params }: ModelOptions): Effect.Effect<LanguageModel.LanguageModel> => {
  const client = requireOwn(given)
  const bodyOf = (method: string, options: LanguageModel.ProviderOptions) =>
    Effect.flatMap(Params, (own) =>
      reading(method, () => {
        const body = { model, ...params, ...own, ...requestOf(options) }
        Telemetry.addGenAIAnnotations(options.span, {
          provider: { name: "openai" },
          operation: { name: "chat" },
          request: { model: body.model }
        })
        return body
      })
    )
  return LanguageModel.make({
    codecTransformer: toCodecOpenAI,
    generateText: Effect.fnUntraced(function* (options) {
      const body = yield* bodyOf("generateText", options)
      const answer = yield* Effect.tryPromise({
        try: (signal) => client.chat.completions.create({ ...body, stream: false }, { signal }),
        catch: failureOf("generateText", client)
      })
      const parts = yield* reading("generateText", () => partsOf(answer))
      annotate(options, parts)
      return parts
    }),
    streamText: (options) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const body = yield* bodyOf("streamText", options)
          const signal = yield* Effect.abortSignal
          const failed = failureOf("streamText", client)
          const asked = { ...body, stream: true as const, stream_options: { include_usage: true } }
          const chunks = yield* Effect.tryPromise({
            try: () => client.chat.completions.create(asked, { signal }),
            catch: failed
          })
          const reader = new ChunkReader()
          return Stream.fromAsyncIterable(chunks, failed).pipe(
            Stream.mapEffect((chunk) => reading("streamText", () => reader.read(chunk))),
            Stream.concat(Stream.fromEffect(Effect.suspend(() => reading("streamText", () => reader.end())))),
            Stream.tap((parts) => Effect.sync(() => annotate(options, parts))),
            Stream.flattenIterable
          )
        })
      )
  })
}

/** What a reader gives; what it throws is the reason of a failure. */
const reading = <A>(method: string, read: () => A): Effect.Effect<A, AiError.AiError> =>
  Effect.try({
    try: read,
    catch: (thrown) =>
      failure(
        method,
        AiError.isAiErrorReason(thrown) ? thrown : new AiError.InvalidOutputError({ description: String(thrown) })
      )
  })

/** Tells the span what came back. */
const annotate = (
  { span }: LanguageModel.ProviderOptions,
  parts: ReadonlyArray<Response.PartEncoded | Response.StreamPartEncoded>
): void => {
  for (const part of parts)
    if (part.type === "response-metadata")
      Telemetry.addGenAIAnnotations(span, { response: { id: part.id, model: part.modelId } })
    else if (part.type === "finish")
      Telemetry.addGenAIAnnotations(span, {
        response: { finishReasons: [part.reason] },
        usage: { inputTokens: part.usage.inputTokens.total, outputTokens: part.usage.outputTokens.total }
      })
}
