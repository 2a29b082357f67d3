/**
 * The options of a secure client: ours, and the SDK's. Anything else is a mistake, and is refused as one.
 */
import type * as Layer from "effect/Layer"
import process from "node:process"
import { AzureOpenAI, type ClientOptions, OpenAI } from "openai"
import type { IntentPolicy } from "../call/Lineage.ts"
import type { Deployments } from "../call/Deployment.ts"
import { ConfigurationError } from "../call/SdkErrors.ts"
import type { Pipeline, Stage } from "../workspace/Pipeline.ts"
import type { Workspace } from "../workspace/Workspace.ts"
import type { WorkspaceOptions } from "../workspace/WorkspaceOptions.ts"
import { unknownOption } from "../call/UnknownOption.ts"

/** Options of one request, as the SDK's `request()` takes them. */
export type RequestOptions = Awaited<Parameters<OpenAI["request"]>[0]>

/** What the SDK's `buildRequest()` makes of them. */
export type BuiltRequest = Awaited<ReturnType<OpenAI["buildRequest"]>>

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
  /**
   * The model that each deployment of the provider serves, `{ "prod-4o": "gpt-4o" }`: where requests name deployments (Azure),
   * policies speak of these models. Default: a deployment has its model's name.
   */
  readonly deployments?: Deployments
  /**
   * Names of query parameters that callers may set, whatever their values are; `"include"` is `include[]` too. Others, but
   * `api-version` and the client's own `defaultQuery`, are refused to users, and wherever policies judge the call.
   */
  readonly allowedQuery?: ReadonlyArray<string>
  /**
   * Names of headers that users of a bound client, and a client with a `jwtToken`, may set by call. Others, but those that the
   * SDK sets, the client's own `defaultHeaders` and headers that correlate requests (`traceparent`), are refused.
   */
  readonly allowedHeaders?: ReadonlyArray<string>
  /** Issuers whose tokens are trusted: `{ issuer, audience }`, one or several. */
  readonly issuers?: WorkspaceOptions["issuers"]
  /** The log: `{ path, durability, checkpoints }`, or `"memory"`. */
  readonly audit?: WorkspaceOptions["audit"]
  /**
   * How long what was begun, a call or a stream that is read, may run on once the client is closed or its binding disposed, in ms.
   * Default 60,000.
   */
  readonly drain?: number
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
  "deployments",
  "allowedQuery",
  "allowedHeaders",
  "issuers",
  "audit",
  "drain",
  "workspace",
  "layer"
] satisfies ReadonlyArray<keyof SecureOptions>)

/** Names of the SDK's options, as of openai 7.59. */
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
/** Names of the options that `AzureOpenAI` takes besides. */
export const azureOptionNames = ["apiVersion", "endpoint", "deployment", "azureADTokenProvider"] as const

const sdkOptions: ReadonlyMap<unknown, ReadonlySet<string>> = new Map<unknown, ReadonlySet<string>>([
  [OpenAI, new Set(sdkOptionNames)],
  [AzureOpenAI, new Set([...sdkOptionNames, ...azureOptionNames])]
])

/**
 * The options that are ours, and those of the client class that is secured; anything else is a mistake. Which options a class
 * of the user's own takes is its own affair.
 */
export const divide = (
  options: ClientOptions & SecureOptions,
  base: unknown = OpenAI
): { readonly ours: SecureOptions; readonly theirs: ClientOptions } => {
  const ours: Record<string, unknown> = {}
  const theirs: Record<PropertyKey, unknown> = {}
  const known = sdkOptions.get(base)
  for (const key of Reflect.ownKeys(options)) {
    const value = Reflect.get(options, key)
    if (typeof key === "string" && ourOptions.has(key)) ours[key] = value
    else if (typeof key === "symbol" || known === undefined || known.has(key)) theirs[key] = value
    else
      throw unknownOption(key, "SecureOpenAI", ourOptions, {
        of: base === AzureOpenAI ? "AzureOpenAI" : "OpenAI",
        names: known
      })
  }
  return { ours, theirs }
}

/** True where options and environment give no key: none is needed until something is really sent. */
export const isKeyless = (base: unknown, theirs: ClientOptions): boolean =>
  theirs.apiKey === undefined &&
  !("azureADTokenProvider" in theirs) &&
  !process.env[base === AzureOpenAI ? "AZURE_OPENAI_API_KEY" : "OPENAI_API_KEY"]

/** The models of deployments as they were given; throws `ConfigurationError` for what is none. */
export const requireDeployments = (deployments: Deployments): Deployments => {
  const isNamed = ([name, model]: readonly [string, unknown]) =>
    name !== "" && typeof model === "string" && model !== ""
  if (typeof deployments !== "object" || deployments === null || !Object.entries(deployments).every(isNamed))
    throw new ConfigurationError(
      'The option "deployments" gives the model of each deployment: { "prod-4o": "gpt-4o" }.'
    )
  return { ...deployments }
}

/** The names of a list of names, as an option gives them. Throws `ConfigurationError` for what is none. */
export const requireNames = (option: "allowedQuery" | "allowedHeaders", names: unknown = []): ReadonlySet<string> => {
  if (!Array.isArray(names) || !names.every((name) => typeof name === "string" && name.trim() !== ""))
    throw new ConfigurationError(
      `The option "${option}" is a list of names: ${option}: [${option === "allowedQuery" ? '"include"' : '"x-team"'}].`
    )
  return new Set<string>(names)
}

/** The option `drain` as it was given, or its default. Throws `ConfigurationError` for what is no time. */
export const requireDrain = (drain: unknown, otherwise = 60_000): number => {
  if (drain === undefined) return otherwise
  if (typeof drain !== "number" || !(drain >= 0 && drain <= longestTimer))
    throw new ConfigurationError(
      `The option "drain" is a time in milliseconds, 0 to ${longestTimer}: drain: 60_000 lets calls that were begun run on for a minute.`
    )
  return drain
}

/** A timer of Node's for longer than this, in ms, goes off at once. */
const longestTimer = 2 ** 31 - 1
