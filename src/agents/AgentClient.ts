/**
 * A registered agent: a user or another agent with a key of its own in the directory. It calls the services of its workspace
 * under its own identity, by an envelope that the service verifies.
 */
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { APIUserAbortError, type OpenAI } from "openai"
import { snapshot } from "../base/CanonicalJson.ts"
import { behalfOf, type IntentPolicy, type Lineage } from "../call/Lineage.ts"
import { Call } from "../call/Call.ts"
import type { Credentials, TokenSource } from "../call/Credentials.ts"
import type { Message } from "../call/Delivery.ts"
import { BindError, ConfigurationError, toSdkError, UnboundError } from "../call/SdkErrors.ts"
import { IdentityInvalid, refusal } from "../call/Errors.ts"
import { newId } from "../base/Id.ts"
import { generate, type SigningKey } from "../keys/Keys.ts"
import { Life } from "../base/Life.ts"
import { requireName } from "../call/Name.ts"
import { parseIntent } from "../policy/Mapl.ts"
import { agent as agentPrincipal, type Principal } from "../call/Principal.ts"
import { currentLineage } from "../call/CurrentCall.ts"
import { lifetime, type Link, linkOf, signInvocation } from "../signing/Envelope.ts"
import { markCopy } from "../base/Shared.ts"
import { requireWorkspace, Workspace } from "../workspace/Workspace.ts"
import { requireKnownOptions } from "../call/UnknownOption.ts"

/** What an agent is made of. */
export interface AgentClientOptions {
  /** `user` (default) calls with a token; `agent` is known by its key in the directory alone. */
  readonly agentType?: "user" | "agent"
  /** The user's token, or a function that gets a fresh one of the same user once the last has expired. */
  readonly iamToken?: string | (() => Promise<string>)
  /** Where given, the name that the token must give. */
  readonly userName?: string
  /** Name of the agent's app; policies know an agent as `agent:<appName>`. Default `secure-openai-app`. */
  readonly appName?: string
  /** Default: the workspace of this process. */
  readonly workspace?: Workspace
  /** MAPL; restricts every call of this agent, and never widens. */
  readonly intentPolicy?: IntentPolicy
}

/** How one call to a service is made. */
export interface InvokeOptions {
  /** Agent id of the service, its `serverId`. */
  readonly targetAgent: string
  /** True for an AsyncIterable of raw chunks. */
  readonly stream?: boolean
  /** MAPL; restricts this call. */
  readonly intentPolicy?: IntentPolicy
  readonly signal?: AbortSignal
}

/** What a tool of a service answers with, by its name; `generate` by whether its params have `messages` or an `input`. */
export type InvokeResult<Tool extends string, Params = unknown> = Tool extends `${string}/generate`
  ? Params extends { readonly input: unknown }
    ? OpenAI.Responses.Response
    : OpenAI.Chat.Completions.ChatCompletion
  : Tool extends `${string}/complete`
    ? OpenAI.Completions.Completion
    : Tool extends `${string}/embed`
      ? OpenAI.Embeddings.CreateEmbeddingResponse
      : unknown

/** The chunks that a tool of a service streams, as {@link InvokeResult} tells them apart. */
export type InvokeChunk<Tool extends string, Params = unknown> = Tool extends `${string}/generate`
  ? Params extends { readonly input: unknown }
    ? OpenAI.Responses.ResponseStreamEvent
    : OpenAI.Chat.Completions.ChatCompletionChunk
  : Tool extends `${string}/complete`
    ? OpenAI.Completions.Completion
    : unknown

interface About {
  readonly agentId: string
  readonly agentType: "user" | "agent"
  readonly appName: string
  readonly userName: string | undefined
}

/** What an agent is to its workspace: whoever holds the agent may use it, and cannot read it. */
export interface Standing {
  readonly workspace: Workspace
  /** In whose name the agent calls. */
  readonly credentials: Credentials
  /** What restricts it, by reference: policies know an intent that they met before. */
  readonly intentPolicy: IntentPolicy | undefined
  /** Of the registration; undefined while there is none. */
  readonly life: Life | undefined
}

/** What an agent is to its workspace; undefined for anything that is no {@link AgentClient}. */
export let standingOf: (agent: object) => Standing | undefined

/**
 * A registered agent. Whoever holds one calls in its name; it gives away neither its token nor its workspace.
 *
 * @category clients
 */
export class AgentClient {
  readonly #about: About
  #standing: Standing
  /** What signs its calls: made, and entered into directory and log, when it is first needed. */
  #key: Promise<SigningKey<"agent">> | undefined

  /** Throws `ConfigurationError` for an option that is unknown or missing. Nothing is verified before {@link register}. */
  constructor(options: AgentClientOptions) {
    requireKnown(options)
    const { agentType = "user", appName = "secure-openai-app", iamToken, intentPolicy, userName, workspace } = options
    this.#about = {
      agentId: `${agentType}:${userName ?? appName}:${newId()}`,
      agentType,
      appName,
      userName
    }
    this.#standing = {
      workspace: workspace === undefined ? Workspace.default() : requireWorkspace(workspace),
      credentials:
        agentType === "agent"
          ? { _tag: "Agent", name: appName }
          : { _tag: "User", token: tokenSource(iamToken), ...(userName === undefined ? {} : { userName }) },
      intentPolicy: intentPolicy === undefined ? undefined : requireIntent(intentPolicy),
      life: undefined
    }
  }

  static {
    standingOf = (agent) => (#standing in agent ? agent.#standing : undefined)
    markCopy(AgentClient.prototype)
  }

  get agentId(): string {
    return this.#about.agentId
  }

  get agentType(): "user" | "agent" {
    return this.#about.agentType
  }

  get appName(): string {
    return this.#about.appName
  }

  get userName(): string | undefined {
    return this.#about.userName
  }

  /** A copy. */
  get intentPolicy(): IntentPolicy | undefined {
    return structuredClone(this.#standing.intentPolicy)
  }

  /** True between {@link register} and {@link unregister}. */
  get registered(): boolean {
    return this.#standing.life !== undefined
  }

  /**
   * Verifies the token. An agent of type `agent` is entered into its workspace's directory with a key of its own, a user at the
   * first {@link invokeTool}: calls through a bound client need no key. Rejects with an `IdentityError` for a token that is
   * missing, forged, expired or another's; the log records that.
   */
  async register(): Promise<this> {
    if (this.registered) return this
    const principal = await this.#principal()
    if (this.agentType === "agent") await this.#keyFor(principal)
    if (!this.registered) this.#standing = { ...this.#standing, life: new Life() }
    return this
  }

  /** The agent's key, by which the directory knows it from now on. */
  #keyFor(principal: Principal): Promise<SigningKey<"agent">> {
    return (this.#key ??= this.#enter(principal))
  }

  async #enter(principal: Principal): Promise<SigningKey<"agent">> {
    const { agentId: id, agentType: kind, appName: app } = this.#about
    const key = generate()
    try {
      await this.#standing.workspace.enter({ id, kind, app, key, principal })
    } catch (error) {
      this.#key = undefined
      throw error
    }
    return key
  }

  /**
   * Takes the agent out of the directory. Its bindings end with an `UnboundError` and its own calls are refused from now on:
   * what was not sent yet is not sent, and streams that are being read end. Registered again, it has to be bound again.
   */
  async unregister(): Promise<void> {
    const { life, workspace } = this.#standing
    const key = this.#key
    this.#key = undefined
    this.#standing = { ...this.#standing, life: undefined }
    life?.end(() => new UnboundError())
    // One that is being entered has nothing to leave before.
    await key?.catch(() => {})
    await workspace.leave(this.#about.agentId)
  }

  /**
   * Calls a tool of a service, `tool:<app>/<name>`: `generate`, `complete`, `embed`, or a function that the service
   * registered. Both sides' policies judge the call. Gives raw JSON, or raw chunks with `stream: true`.
   *
   * Rejects as the service's own client would; a target that is unknown, and an agent that is not registered, are a
   * `BindError`, an unknown option and an intent policy that does not hold a `ConfigurationError`.
   */
  invokeTool<Tool extends `tool:${string}/${string}`, Params extends object>(
    tool: Tool,
    params: Params,
    options: InvokeOptions & { readonly stream: true }
  ): Promise<AsyncIterable<InvokeChunk<Tool, Params>>>
  invokeTool<Tool extends `tool:${string}/${string}`, Params extends object>(
    tool: Tool,
    params: Params,
    options: InvokeOptions
  ): Promise<InvokeResult<Tool, Params>>
  async invokeTool(tool: string, params: object, options: InvokeOptions): Promise<unknown> {
    requireOptions(options)
    const { credentials: ownCredentials, intentPolicy, life, workspace } = this.#standing
    if (life === undefined)
      throw new BindError("not_registered", `${this.agentId} is not registered; await register() first.`)
    const service = workspace.service(options.targetAgent)
    if (service === undefined)
      throw new BindError("not_registered", `No service with the id ${options.targetAgent} lives in this workspace.`)
    if (options.signal?.aborted) throw new APIUserAbortError()
    const operation = operationOf(tool, service.app)
    const intents = [
      intentPolicy,
      options.intentPolicy === undefined ? undefined : requireIntent(options.intentPolicy)
    ].filter((intent) => intent !== undefined)
    const lineage = currentLineage()
    // An agent that is asked by somebody acts for that one, with its own limits beside his.
    const delegated = this.agentType === "agent" && lineage !== undefined && lineage.principal.kind !== "app"
    const own = await this.#principal()
    if (life.over !== undefined) throw life.over
    const key = await this.#keyFor(own)
    const principal = delegated ? lineage.principal : own
    const credentials = delegated ? lineage.credentials : ownCredentials
    const behalf = [...behalfOf(lineage), ...(delegated ? [own] : [])]
    const parent = lineage && parentOf(lineage)
    const asked = options.stream === true ? { ...params, stream: true } : params
    const endpoint = await service.endpoint(operation, asked)
    const call = made(() =>
      Call.make(operation, asked, {
        app: service.app,
        server: service.id,
        endpoint,
        credentials,
        intents,
        lineage,
        behalf,
        prompts: service.prompts(operation)
      })
    )
    const message: Message = {
      operation,
      params: call.params,
      bytes: call.bytes,
      stream: call.stream,
      credentials,
      intents: call.intents,
      behalf,
      parent: call.parent,
      invocation: signInvocation({ key, agentId: this.agentId, principal, call, parent }),
      chain: parent === undefined || lineage === undefined ? [] : [...lineage.chain, lineage.envelope]
    }
    return service.deliver(message, { life, signal: options.signal })
  }

  async #principal(): Promise<Principal> {
    const { credentials, workspace } = this.#standing
    return credentials._tag === "Agent" ? agentPrincipal(this.appName) : workspace.verify(credentials, this.appName)
  }
}

/**
 * A copy of an intent policy that nobody can change any more. Throws `ConfigurationError` for one that does not parse.
 */
export const requireIntent = (policy: IntentPolicy): IntentPolicy => {
  const plain = Result.flatMap(snapshot(policy), (copy) => Result.map(parseIntent(copy), () => copy as IntentPolicy))
  if (Result.isFailure(plain)) throw new ConfigurationError(`The intentPolicy does not hold: ${plain.failure}`)
  return plain.success
}

/** The envelope that a call follows. Throws an `IdentityError` where it is too late for that. */
const parentOf = ({ envelope }: Lineage): Link | undefined => {
  const parent = linkOf(envelope)
  if (parent !== undefined && parent.claims.exp <= Date.now() / 1000)
    throw toSdkError(
      new IdentityInvalid({
        reason: "envelope",
        message: `The call that this one is made because of expired: its chain of agents is good for ${lifetime} s from its first call. Call other agents sooner, or begin a chain of its own outside of the tool's handler.`
      })
    )
  return parent
}

/**
 * A token as the pipeline takes it; an empty one stays a user's, and is refused as missing. Each time a source of its own: the
 * user of a function is pinned, and two agents may share a function.
 */
export const tokenSource = (token: string | (() => Promise<string>) | undefined): TokenSource =>
  typeof token === "function" ? () => token() : Redacted.make(token ?? "")

const operationOf = (tool: string, app: string): string => {
  const prefix = `tool:${app}/`
  const name = tool.slice(prefix.length)
  if (tool.startsWith(prefix) && name !== "") return name
  throw toSdkError(
    refusal(
      "egress",
      {
        code: "resource_not_allowed",
        message: `${tool} is no tool of the service "${app}"`,
        hint: `its tools are named ${prefix}<name>`
      },
      { resource: tool, principal: "" }
    )
  )
}

const made = (make: () => Call): Call => {
  try {
    return make()
  } catch (error) {
    throw toSdkError(error)
  }
}

const known: ReadonlySet<string> = new Set([
  "agentType",
  "iamToken",
  "userName",
  "appName",
  "workspace",
  "intentPolicy"
])

const ofCalls: ReadonlySet<string> = new Set(["targetAgent", "stream", "intentPolicy", "signal"])

/** A misspelled `intentPolicy` would restrict nothing. */
const requireOptions = (options: InvokeOptions): void => requireKnownOptions(options, "invokeTool", ofCalls)

const requireKnown = (options: AgentClientOptions): void => {
  requireKnownOptions(options, "an agent", known)
  requireName("appName", options.appName)
  requireName("userName", options.userName)
  if (options.agentType === "agent" && options.iamToken !== undefined)
    throw new ConfigurationError(
      'An agent of type "agent" is known by its key and takes no iamToken; use agentType: "user".'
    )
}
