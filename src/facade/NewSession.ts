/**
 * Opens the session of a client: in whose name it calls, in which workspace, through which pipeline.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { requireIntent, tokenSource } from "../agents/AgentClient.ts"
import type { Credentials } from "../call/Credentials.ts"
import { ClosedError, ConfigurationError } from "../call/SdkErrors.ts"
import { newId } from "../base/Id.ts"
import { Life } from "../base/Life.ts"
import { requireName } from "../call/Name.ts"
import { Pipeline, withFamilies } from "../workspace/Pipeline.ts"
import { reopening } from "../workspace/Reopening.ts"
import { requireWorkspace, Workspace, type WorkspaceServices } from "../workspace/Workspace.ts"
import { noSettings } from "./ServiceSettings.ts"
import { requireDeployments, requireDrain, requireNames, type SecureOptions, workspaceOptions } from "./Options.ts"
import { ownWorkspace } from "./OwnWorkspace.ts"
import type { Session } from "./Session.ts"
import { layerInvocation } from "./PipelineRun.ts"

/** The session of a new client. Throws `ConfigurationError` for options that do not go together. */
export const newSession = (options: SecureOptions): Session => {
  requireName("appName", options.appName)
  requireName("userName", options.userName)
  const app = options.appName ?? "secure-openai-app"
  const own = Object.keys(workspaceOptions(options)).length > 0
  if (own && options.workspace !== undefined)
    throw new ConfigurationError(
      "Give either a workspace, or policies, policyMode, models, issuers and audit; not both."
    )
  const given = {
    app,
    server: `app:${app}:${newId()}`,
    credentials: credentialsOf(options),
    intents: options.intentPolicy === undefined ? [] : [requireIntent(options.intentPolicy)],
    deployments: options.deployments && requireDeployments(options.deployments),
    settings: {
      ...noSettings,
      allowedQuery: requireNames("allowedQuery", options.allowedQuery),
      allowedHeaders: new Set(
        [...requireNames("allowedHeaders", options.allowedHeaders)].map((name) => name.toLowerCase())
      )
    },
    drain: requireDrain(options.drain)
  }
  const owned = own ? ownWorkspace(workspaceOptions(options)) : undefined
  const workspace =
    owned?.workspace ?? (options.workspace === undefined ? Workspace.default() : requireWorkspace(options.workspace))
  const stages = Layer.provideMerge(layerInvocation, layerOf(workspace))
  return {
    ...given,
    workspace,
    letGo: owned?.letGo,
    runtime: reopening(
      Layer.provide(options.layer === undefined ? Pipeline.layer : withFamilies(options.layer), stages)
    ),
    hasOwnPipeline: options.layer !== undefined,
    tools: new Map(),
    asked: new Map(),
    life: new Life()
  }
}

/** The stages that a workspace has built, or builds now. */
const layerOf = (workspace: Workspace) =>
  Layer.effectContext<WorkspaceServices, unknown, never>(
    Effect.suspend((): Effect.Effect<Context.Context<WorkspaceServices>, unknown> =>
      workspace.closed ? Effect.fail(new ClosedError()) : workspace.runtime.contextEffect
    )
  )

const credentialsOf = (options: SecureOptions): Credentials => {
  if (!("jwtToken" in options)) {
    if (options.userName !== undefined)
      throw new ConfigurationError("userName needs a jwtToken: a name alone proves nothing.")
    return { _tag: "App" }
  }
  if (options.jwtToken === undefined)
    throw new ConfigurationError("jwtToken is undefined. Leave it out for service mode, or give the user's token.")
  return {
    _tag: "User",
    token: tokenSource(options.jwtToken),
    ...(options.userName !== undefined && { userName: options.userName })
  }
}
