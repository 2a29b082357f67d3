/**
 * The SDK's face over the pipeline: `SecureOpenAI` is an `OpenAI` whose every request is tied to an identity, signed, judged,
 * rewritten where policy says so, and logged.
 */
import * as Layer from "effect/Layer"
import { AzureOpenAI, type ClientOptions, OpenAI } from "openai"
import type { Configuration, EnforcementUnavailable } from "../call/Errors.ts"
import { Invocation } from "../invocation/Invocation.ts"
import { Pipeline } from "../workspace/Pipeline.ts"
import { Workspace, type WorkspaceServices } from "../workspace/Workspace.ts"
import { divide, type LayerOptions, workspaceOptions } from "./Options.ts"
import { secure } from "./SecureClient.ts"
import type { Secured } from "./SecureMembers.ts"

/** The default pipeline with its workspace. */
export type PipelineLayer = Layer.Layer<Pipeline | WorkspaceServices, Configuration | EnforcementUnavailable>

/**
 * The SDK's client, secured: change the import, keep the code.
 *
 * @category clients
 */
export const SecureOpenAI: Secured<typeof OpenAI> & {
  /** The default pipeline as an Effect layer, without a client: calls are sent with the plain SDK, made with its options. */
  readonly layer: (options?: ClientOptions & LayerOptions) => PipelineLayer
} = Object.assign(secure(OpenAI), {
  layer: (options: ClientOptions & LayerOptions = {}): PipelineLayer => {
    const { ours, theirs } = divide(options)
    return Pipeline.layer.pipe(
      Layer.provide(Invocation.layerOpenAI(theirs)),
      Layer.provideMerge(Workspace.layer(workspaceOptions(ours)))
    )
  }
})
export type SecureOpenAI = InstanceType<typeof SecureOpenAI>

/**
 * The SDK's client for Azure, secured. Policies speak of models: where a deployment has another name than its model, the
 * option `deployments` says which one it serves.
 *
 * @category clients
 */
export const SecureAzureOpenAI: Secured<typeof AzureOpenAI> = secure(AzureOpenAI)
export type SecureAzureOpenAI = InstanceType<typeof SecureAzureOpenAI>
