/**
 * What a secure client can do besides the SDK's own: the public types of every face over the SDK.
 */
import type { OpenAI } from "openai"
import type { AgentClient, AgentClientOptions } from "../agents/AgentClient.ts"
import type { Receipt } from "../call/Reply.ts"
import type { Decision } from "../call/Decision.ts"
import type { Health } from "../workspace/Health.ts"
import type { OperationName } from "../call/Operation.ts"
import type { Limits } from "../policy/Limits.ts"
import type { Workspace } from "../workspace/Workspace.ts"
import type { SecureOptions } from "./Options.ts"
import type { ToolHandler, ToolOptions } from "./Tool.ts"
import type { ToolCall, ToolMessage } from "./Tools.ts"
import type { JsonObject } from "../base/Json.ts"

/** What a secure client can do besides the SDK's own. */
export interface SecureMembers {
  /** Agent id of this service in its workspace's directory. */
  readonly serverId: string
  /** `user` where the client itself carries a user's token. */
  readonly mode: "service" | "user"
  /** True for a client that was bound to a user, until the binding ends. */
  readonly isBound: boolean
  /** Policies, keys, log and agents. A bound client does not give them away. */
  readonly workspace: Workspace
  /** Settles when policies, keys, log, token and key sets are good; rejects with the error that a call would meet. */
  ready(): Promise<void>
  /**
   * How the client's workspace stands, for a probe: whether calls are let through, and its log, checkpoints, policies, issuers
   * and disk. A plain object, read from memory. It does not reject for what it reports on; after `close()` it rejects with a
   * `ClosedError`. A bound client does not tell.
   */
  health(): Promise<Health>
  /**
   * Registers a function that the model, or another agent, may ask for as `tool:<appName>/<name>`. `prompts` names the
   * arguments that hold a prompt, which the envelope of each call then authenticates.
   */
  registerTool<Args = JsonObject>(name: string, handler: ToolHandler<Args>, options?: ToolOptions): void
  /**
   * Runs a tool that the model asked for, judged as this client's caller, and gives the message that answers it. A refusal
   * is an answer to the model; what the handler throws is thrown.
   */
  invokeTool(toolCall: ToolCall, options?: { readonly signal?: AbortSignal }): Promise<ToolMessage>
  /**
   * What policy says of a request: `generate`, `complete`, `embed`, or a tool by its name, with its params. Nothing is sent,
   * counted or recorded. The decision's `verdict` is `allow`, with the `edits` that would be made, `deny` or `pending`. Rejects
   * with the error that the call would meet where what is allowed cannot be enforced.
   */
  can(operation: OperationName | (string & {}), params?: object): Promise<Decision>
  /** What may be asked at most: models, caps and other bounds, for a user interface that offers only what is allowed. */
  limits(operation?: OperationName | (string & {})): Promise<Limits>
  /** The same client under a registered user's identity. Throws a `BindError`. */
  bindToUser(user: AgentClient): BoundSecureOpenAI<this>
  /**
   * Registers a user by token and binds to it. The binding unbinds and unregisters when it is disposed, as the end of a block
   * does with `await using`: see {@link BoundSecureOpenAI}.
   */
  asUser(
    iamToken: string | (() => Promise<string>),
    options?: Pick<AgentClientOptions, "userName" | "intentPolicy"> & Pick<SecureOptions, "drain">
  ): Promise<BoundSecureOpenAI<this>>
  /**
   * Settles once the log has every record so far on the disk, the outcomes of calls that were answered among them: for a handler
   * whose process is frozen, or killed, once it has answered. Await it before the answer is handed over, and for a stream after
   * its end. It waits for the log alone, not for calls that are under way, and gives no insight into it: a bound client may call it.
   *
   * Rejects as {@link Workspace.flush} does.
   */
  flush(): Promise<void>
  /**
   * Takes no new calls (they throw a `ClosedError`), waits for what was begun, at most for the option `drain`, and ends this
   * client; a workspace of its own is closed. What is still under way then ends with a `ClosedError`, at once with `force`.
   *
   * A stream that is read counts as begun until its end. Do not await this where the stream is read: it would wait for itself.
   */
  close(options?: { readonly force?: boolean }): Promise<void>
  /** {@link close}: the block that owns a service's client ends once what was begun has. Return no stream out of it. */
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * A client bound to a user: the same API under the user's identity and limits. It is all that its holder gets of the service:
 * requests go to the service's provider with the service's credentials, as policy decided for the user. It knows neither key
 * nor service, and its base URL, `fetch`, account and headers are pinned.
 *
 * @category clients
 */
export type BoundSecureOpenAI<Client = OpenAI & SecureMembers> = Client & {
  readonly isBound: true
  /** Only the service's client gives its workspace: reading it here throws a `ConfigurationError`. */
  readonly workspace: never
  /** Only the service's client tells its health: calling this throws a `ConfigurationError`. */
  readonly health: never
  /** Only the service's client registers tools: calling this throws a `ConfigurationError`. */
  readonly registerTool: never
  /** The user, as `bindToUser` was given it or `asUser` made it. */
  readonly userClient: AgentClient
  /**
   * Ends the binding at once, as {@link AgentClient.unregister} and `close({ force: true })` do: later calls throw an
   * `UnboundError`, what was not sent yet is not sent, and streams that are being read end with it.
   */
  unbind(): void
  /**
   * Gives the binding back, as a connection to its pool: it takes no new calls, and what was begun runs on in the background, at
   * most for the option `drain`. Then it unbinds, and a user that `asUser` made is unregistered. Settles at once, so a block may
   * return a stream, or a call that it did not await.
   */
  [Symbol.asyncDispose](): Promise<void>
}

/** A secure client's class: the base's, with our options and members. */
export type Secured<Base extends typeof OpenAI> = Omit<Base, "prototype"> & {
  new (options?: ConstructorParameters<Base>[0] & SecureOptions): InstanceType<Base> & SecureMembers
  /** What was asked, decided and changed, and where that stands in the log; of any answer or stream of a secure client. */
  receipt(response: unknown): Receipt | undefined
}
