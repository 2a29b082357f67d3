/**
 * An `EmbeddingModel` of `effect/ai` over a secure client's embeddings.
 */
import * as EmbeddingModel from "effect/ai/EmbeddingModel"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { OpenAI } from "openai"
import type { SecureMembers } from "../facade/SecureMembers.ts"
import { failureOf, requireOwn } from "./Failure.ts"

/**
 * The embedding model as a layer: one call of the client for each batch, with `dimensions` where they are given. Fails as
 * {@link layer} does.
 *
 * @category layers
 */
export const layerEmbedding = ({
  client: given,
  dimensions,
  model
}: {
  readonly client: OpenAI & SecureMembers
  readonly model: string
  readonly dimensions?: number
}): Layer.Layer<EmbeddingModel.EmbeddingModel> => {
  const client = requireOwn(given)
  return Layer.effect(
    EmbeddingModel.EmbeddingModel,
    EmbeddingModel.make({
      embedMany: ({ inputs }) =>
        Effect.map(
          Effect.tryPromise({
            try: (signal) =>
              client.embeddings.create(
                { model, input: [...inputs], ...(dimensions !== undefined && { dimensions }) },
                { signal }
              ),
            catch: failureOf("embedMany", client)
          }),
          ({ data, usage }) => ({
            results: [...data].sort((a, b) => a.index - b.index).map(({ embedding }) => embedding),
            usage: { inputTokens: usage?.prompt_tokens }
          })
        )
    })
  )
}
