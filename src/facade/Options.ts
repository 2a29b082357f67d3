/**
 * The options of a secure client: ours, and the SDK's. Anything else is a mistake, and is refused as one.
 *
 * @since 0.1.0
 */
import type * as Layer from "effect/Layer"
import type { ClientOptions } from "openai"
import type { IntentPolicy } from "../Call.ts"
import { ConfigurationError } from "../Errors.ts"
import type { Pipeline, Stage } from "../Pipeline.ts"
import type { Workspace, WorkspaceOptions } from "../Workspace.ts"

/** What a secure client takes besides the SDK's own options. */
export interface SecureOptions {
  /** Name of this service; policies know it as `app:<appName>`, and its tools as `tool:<appName>/…`. Default `secure-openai-app`. */
  readonly appName?: string
  /** MAPL; restricts every call of this client, and never widens. */
  readonly intentPolicy?: IntentPolicy
  /** User mode: every call carries the identity that this token gives. A function is asked again once the last has expired. */
  readonly jwtToken?: string | (() => Promise<string>)
  /** User mode: the name that the token must give. */
  readonly userName?: string
  /** MAPL policies: directory, file, document, or documents. */
  readonly policies?: WorkspaceOptions["policies"]
  /** `observe`: policies refuse and change nothing, and the log says what they would have done. Default `enforce`. */
  readonly policyMode?: WorkspaceOptions["policyMode"]
  /** What is known of models, for downgrades and caps. Default: the models of the OpenAI API. */
  readonly models?: WorkspaceOptions["models"]
  /** Issuers whose tokens are trusted: `{ issuer, audience }`, one or several. */
  readonly issuers?: WorkspaceOptions["issuers"]
  /** Where the log is: `{ path }`, or `"memory"`. */
  readonly audit?: WorkspaceOptions["audit"]
  /** Shares a workspace, in place of `policies`, `policyMode`, `models`, `issuers` and `audit`. */
  readonly workspace?: Workspace
  /** A pipeline of one's own. It may require any stage; the workspace's, and this client's invocation, are provided. */
  readonly layer?: Layer.Layer<Pipeline, unknown, Stage>
}

/** Of our options, those that make a workspace. */
export type LayerOptions = Pick<SecureOptions, "policies" | "policyMode" | "models" | "issuers" | "audit">

/** What a workspace is made with, of what was given. */
export const workspaceOptions = ({
  audit,
  issuers,
  models,
  policies,
  policyMode
}: SecureOptions): WorkspaceOptions => ({
  ...(audit !== undefined && { audit }),
  ...(issuers !== undefined && { issuers }),
  ...(models !== undefined && { models }),
  ...(policies !== undefined && { policies }),
  ...(policyMode !== undefined && { policyMode })
})

/** Names of our options. */
export const ourOptions: ReadonlySet<string> = new Set([
  "appName",
  "intentPolicy",
  "jwtToken",
  "userName",
  "policies",
  "policyMode",
  "models",
  "issuers",
  "audit",
  "workspace",
  "layer"
] satisfies ReadonlyArray<keyof SecureOptions>)

/** Names of the SDK's options, as of openai 7.57. */
export const sdkOptionNames = [
  "apiKey",
  "adminAPIKey",
  "organization",
  "project",
  "webhookSecret",
  "workloadIdentity",
  "x509Transport",
  "credential",
  "provider",
  "dataResidency",
  "baseURL",
  "timeout",
  "fetchOptions",
  "fetch",
  "maxRetries",
  "defaultHeaders",
  "defaultQuery",
  "dangerouslyAllowBrowser",
  "logLevel",
  "logger"
] as const satisfies ReadonlyArray<keyof ClientOptions>
const sdkOptions: ReadonlySet<string> = new Set(sdkOptionNames)

/** The options that are ours, and the SDK's; anything else is a mistake. */
export const divide = (
  options: ClientOptions & SecureOptions
): { readonly ours: SecureOptions; readonly theirs: ClientOptions } => {
  const ours: Record<string, unknown> = {}
  const theirs: Record<PropertyKey, unknown> = {}
  for (const key of Reflect.ownKeys(options)) {
    const value = Reflect.get(options, key)
    if (typeof key === "symbol" || sdkOptions.has(key)) theirs[key] = value
    else if (ourOptions.has(key)) ours[key] = value
    else
      throw new ConfigurationError(
        `Unknown option "${key}". SecureOpenAI takes ${[...ourOptions].join(", ")}, and the options of OpenAI.`
      )
  }
  return { ours, theirs }
}
