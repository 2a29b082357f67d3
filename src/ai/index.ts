/**
 * Secure clients as models of `effect/ai`: programs written for its `LanguageModel` and `EmbeddingModel` run under identity,
 * policy and the log by a layer.
 *
 * `effect/ai` is marked unstable by its makers; this entry point follows it.
 */
import "../base/NodeVersion.ts"
export { refusalOf, type Refused } from "./Failure.ts"
export { layerEmbedding } from "./Embedding.ts"
export { type ChatParams, layer, make, Params } from "./Model.ts"
