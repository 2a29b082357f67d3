/**
 * The SDK's face over the pipeline: `SecureOpenAI` is an `OpenAI` whose every request is tied to an identity, signed, judged,
 * rewritten where policy says so, and logged.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { AzureOpenAI, type ClientOptions, OpenAI, PagePromise } from "openai"
import type { APIPromise } from "openai/api-promise"
import { AgentClient, type AgentClientOptions, standingOf } from "../agents/AgentClient.ts"
import { Call, type Credentials, endpointOf, type Receipt } from "../call/Call.ts"
import { currentLineage } from "../call/CurrentCall.ts"
import type { Decision } from "../call/Decision.ts"
import {
  BindError,
  ClosedError,
  type Configuration,
  ConfigurationError,
  type EnforcementUnavailable,
  refusal,
  toSdkError,
  UnboundError
} from "../call/Errors.ts"
import { scheduler } from "../base/EventLoop.ts"
import { type Health, withProblem } from "../workspace/Health.ts"
import { newId } from "../base/Id.ts"
import { Life } from "../base/Life.ts"
import { Invocation } from "../invocation/Invocation.ts"
import { requireName } from "../call/Name.ts"
import { endpointFor, familyResource, isOperation, type OperationName, operations } from "../call/Operation.ts"
import { Pipeline } from "../workspace/Pipeline.ts"
import type { Limits } from "../policy/Limits.ts"
import { type Service, Workspace, type WorkspaceServices } from "../workspace/Workspace.ts"
import { answerPromise, type ResponseProps } from "./Answer.ts"
import {
  divide,
  isKeyless,
  type LayerOptions,
  ourOptions,
  requireDrain,
  type SecureOptions,
  workspaceOptions,
  type BuiltRequest,
  type RequestOptions
} from "./Options.ts"
import { doorOf } from "./Door.ts"
import { entriesOf, headersOf } from "./HeaderEntries.ts"
import { Exchange } from "./Exchange.ts"
import { defaultFetch } from "../http/transport/Transport.ts"
import { type ByHand, guard, unguarded } from "./Guard.ts"
import { pin, settled, wantedOf } from "./Holder.ts"
import { openSession } from "./Opening.ts"
import { receiptOf } from "./Receipts.ts"
import { judgeRunners } from "./Runners.ts"
import { serviceOf } from "./Serving.ts"
import { holdSeries } from "./Series.ts"
import { during, rememberSession, refuseHere, requireOpen, type Session } from "./Session.ts"
import { markCopy, otherCopy } from "../base/Shared.ts"
import { requirePrompts, type ToolHandler, type ToolOptions } from "./Tool.ts"
import { answerToolCall, judgeTools, type ToolCall, type ToolMessage } from "./Tools.ts"
import { noApiKey, withoutCloudCredentials, withoutCredentials } from "./Upstream.ts"
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
export type BoundSecureOpenAI<Client = SecureOpenAI> = Client & {
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

/** The default pipeline with its workspace. */
export type PipelineLayer = Layer.Layer<Pipeline | WorkspaceServices, Configuration | EnforcementUnavailable>

/** What a clone of a client is made with besides its options, which anyone may write: only the client itself says this. */
interface Heir {
  /** The class that is made. */
  readonly kind: unknown
  readonly session: Session
  /** What builds the requests of a user's client. */
  readonly maker?: OpenAI
}
let heir: Heir | undefined

/** Makes a clone; in its constructor, {@link claim} gives what it inherits. */
const bequeath = <Client>(given: Heir, make: () => Client): Client => {
  heir = given
  try {
    return make()
  } finally {
    heir = undefined
  }
}

const claim = (kind: unknown): Heir | undefined => {
  const claimed = heir?.kind === kind ? heir : undefined
  if (claimed !== undefined) heir = undefined
  return claimed
}

/** Stands in the options of every secure client. A client that is made of them by hand would be somebody else's. */
const madeKey = Symbol.for("secure-openai/client")

/** The client that builds the requests of a service's users, out of their reach, and all that the service's own was when it was made. */
interface Lent {
  readonly maker: OpenAI
  readonly door: Session["door"]
  readonly state: ReadonlyArray<unknown>
}

interface Binding {
  readonly user: AgentClient
  /** True where the binding made the user, and takes it away with it. */
  readonly owned: boolean
}
const bindings = new WeakMap<Session, Binding>()
/** What agents reach, for as long as a client of the session lives. */
const services = new WeakMap<Session, Service>()

/** The family of every WebSocket: which API it speaks is not known where its headers are made. */
const webSockets = "realtime"

type AnyClient = new (...args: ReadonlyArray<never>) => OpenAI

const onlyService = (does: string): ConfigurationError =>
  new ConfigurationError(
    `A bound client is all that its holder gets of a service: only the service's own client ${does}.`
  )

/** A session that was just opened; a user's has a client that builds its requests, and its base URL is pinned. */
const opened = (session: Session, makerFor: (service: Session) => OpenAI): Omit<Heir, "kind"> => {
  if (session.credentials._tag === "App") return { session }
  const service: Session = { ...session, credentials: { _tag: "App" } }
  const maker = makerFor(service)
  return { maker, session: { ...session, service, door: doorOf(maker, session.door) } }
}

/** Judges a request that no call is under way for, made by hand through a client of the service's own. */
const sendAlone = async (
  session: Session,
  maker: OpenAI,
  request: RequestInit,
  url: string,
  options: RequestOptions = { method: "get", path: url },
  credentials?: ReadonlyMap<string, string>
): Promise<RequestInit> => {
  const req = Object.assign(request, { headers: new Headers(request.headers) })
  await new Exchange(session).buildAlone(options, { req, url, timeout: maker.timeout }, maker, credentials)
  return req
}

/**
 * Makes the secure client of a client class of the SDK, or of a class of one's own that extends it: `SecureOpenAI` is
 * `secure(OpenAI)`, `SecureAzureOpenAI` is `secure(AzureOpenAI)`. The class's own options are taken beside ours.
 *
 * @category constructors
 */
export const secure = <Base extends typeof OpenAI>(base: Base): Secured<Base> => {
  if (base !== OpenAI && !(base.prototype instanceof OpenAI))
    throw new ConfigurationError(
      "secure() takes OpenAI, or a class that extends it, of the copy of openai that this library has: import openai where secure-openai is imported, and require it where that is required."
    )
  /** Options of the requests that are built here, with the headers that the client's credentials give them. */
  const building = new WeakMap<object, ReadonlyMap<string, string>>()

  class SecuredClient extends (base as AnyClient as new (options: object) => OpenAI) {
    readonly #session: Session
    /** The client that builds this one's requests and has the credentials; undefined where it is this one. */
    readonly #maker: OpenAI | undefined
    readonly #kind: unknown
    readonly #byHand: ByHand
    #lent: Lent | undefined

    constructor(options: ClientOptions & SecureOptions & { readonly [madeKey]?: true } = {}) {
      const inherited = claim(new.target)
      if (inherited === undefined && options[madeKey] !== undefined)
        throw new ConfigurationError(
          "These are the options of a secure client. Clone it by its own withOptions, or make a client of options of your own."
        )
      const { ours, theirs } = divide(options, base)
      const given = {
        ...theirs,
        ...(ours.layer !== undefined && isKeyless(base, theirs) && { apiKey: noApiKey }),
        [madeKey]: true
      }
      const fetch = theirs.fetch ?? defaultFetch()
      const { maker, session } =
        inherited ??
        opened(openSession(ours), (session) => {
          const byHand: ByHand = (request, url) => sendAlone(session, maker, request, url)
          const maker: OpenAI = Reflect.construct(
            base,
            [{ ...given, fetch: guard(fetch, session, byHand) }],
            new.target
          )
          return maker
        })
      const byHand: ByHand = (request, url) => this.#alone(request, url, { method: "get", path: url })
      super(
        maker === undefined
          ? { ...given, fetch: guard(fetch, session, byHand) }
          : {
              ...given,
              ...withoutCredentials(maker),
              ...((base as unknown) !== OpenAI && withoutCloudCredentials),
              fetch: guard(unguarded(maker["fetch"]), session, byHand)
            }
      )
      this.#session = session
      this.#maker = maker
      this.#kind = new.target
      this.#byHand = byHand
      rememberSession(this, session)
      judgeTools(this.chat.completions, session)
      judgeRunners(this, session)
      holdSeries(this, session)
      if (inherited === undefined) {
        if (maker === undefined) session.door = doorOf(this, session.door)
        const service = serviceOf(session, this, (operation, params) => this.#endpoint(operation, params))
        services.set(session, service)
        session.workspace.serve(service)
        if (maker !== undefined) pin(this, new.target !== (SecuredClient as unknown))
      }
    }

    static receipt(response: unknown): Receipt | undefined {
      return receiptOf(response)
    }

    get serverId(): string {
      return this.#session.server
    }

    get mode(): "service" | "user" {
      return this.#session.credentials._tag === "User" && !bindings.has(this.#session) ? "user" : "service"
    }

    get workspace(): Workspace {
      if (bindings.has(this.#session)) throw onlyService("gives its workspace")
      return this.#session.workspace
    }

    get isBound(): boolean {
      return bindings.has(this.#session) && this.#session.life.refusal === undefined
    }

    get userClient(): AgentClient | undefined {
      return bindings.get(this.#session)?.user
    }

    async ready(): Promise<void> {
      requireOpen(this.#session)
      const { app, credentials, runtime, workspace } = this.#session
      await workspace.ready()
      await workspace.principal(credentials, app)
      await runtime()
        .runPromise(Effect.void, { scheduler })
        .catch((error: unknown) => Promise.reject(toSdkError(error)))
    }

    health(): Promise<Health> {
      if (bindings.has(this.#session)) throw onlyService("tells its health")
      return this.#health()
    }

    async #health(): Promise<Health> {
      requireOpen(this.#session)
      const { runtime, workspace } = this.#session
      const health = await workspace.health()
      if (health.log.path === undefined) return health
      // A pipeline of one's own may not come up in a workspace that did.
      const exit = await runtime().runPromiseExit(Effect.void, { scheduler })
      return Exit.isSuccess(exit) ? health : withProblem(health, Cause.squash(exit.cause))
    }

    registerTool(name: string, handler: ToolHandler, options: ToolOptions = {}): void {
      if (bindings.has(this.#session)) throw onlyService("registers tools")
      if (isOperation(name))
        throw new ConfigurationError(`A tool cannot be named "${name}": that is one of the service's own operations.`)
      requireName("A tool's name", name)
      this.#session.tools.set(name, { handler, prompts: requirePrompts(options) })
    }

    invokeTool(toolCall: ToolCall, options?: { readonly signal?: AbortSignal }): Promise<ToolMessage> {
      return answerToolCall(this.#session, toolCall, options?.signal)
    }

    async can(operation: string, params: object = {}): Promise<Decision> {
      requireOpen(this.#session)
      const { app, credentials, deployments, intents, server, workspace } = this.#session
      try {
        const endpoint = await this.#endpoint(operation, params)
        return await workspace.foresee(
          Call.make(operation, params, { app, credentials, deployments, intents, server, endpoint })
        )
      } catch (error) {
        throw toSdkError(error)
      }
    }

    async limits(operation = "generate"): Promise<Limits> {
      requireOpen(this.#session)
      const { app, credentials, intents, workspace } = this.#session
      return workspace.limits({ app, operation, credentials, intents })
    }

    bindToUser(user: AgentClient): OpenAI {
      return this.#bind(user, false, this.#session.drain)
    }

    asUser(
      iamToken: string | (() => Promise<string>),
      { drain, ...options }: Pick<AgentClientOptions, "userName" | "intentPolicy"> & Pick<SecureOptions, "drain"> = {}
    ): Promise<OpenAI> {
      return during(this.#session, async () => {
        const { app: appName, workspace } = this.#session
        const wait = requireDrain(drain, this.#session.drain)
        const user = await new AgentClient({ ...options, iamToken, appName, workspace }).register()
        return this.#bind(user, true, wait)
      })
    }

    flush(): Promise<void> {
      return this.#session.workspace.flush()
    }

    unbind(): void {
      if (bindings.has(this.#session)) this.#session.life.end(new UnboundError())
    }

    async close({ force = false }: { readonly force?: boolean } = {}): Promise<void> {
      const { drain, letGo, life, runtime } = this.#session
      const binding = bindings.get(this.#session)
      if (binding !== undefined) return this.#giveBack(binding, { force })
      if (force) life.end(new ClosedError())
      await life.drain(() => new ClosedError(), drain)
      await runtime().dispose()
      await letGo?.()
    }

    async [Symbol.asyncDispose](): Promise<void> {
      const binding = bindings.get(this.#session)
      if (binding === undefined) return this.close()
      // Nobody waits: what the log cannot take now, it says at the next call.
      void this.#giveBack(binding, { inBackground: true }).catch(() => {})
    }

    /** Ends a binding once what was begun has ended; its service waits until its user has left. */
    async #giveBack({ owned, user }: Binding, { force = false, inBackground = false }): Promise<void> {
      const { drain, life, service, workspace } = this.#session
      const leaving = service?.life.begin()
      try {
        if (force) this.unbind()
        await life.drain(() => new UnboundError(), drain, { inBackground })
        if (owned && user.registered && !workspace.closed) await user.unregister()
      } finally {
        leaving?.end()
      }
    }

    override request<Rsp>(
      options: RequestOptions | Promise<RequestOptions>,
      remainingRetries: number | null = null
    ): APIPromise<Rsp> {
      const exchange = new Exchange(this.#session).begin()
      const marked = Promise.resolve(options).then((o) => exchange.mark(o))
      const inner = super.request<unknown>(marked, remainingRetries)
      return answerPromise<Rsp>(this, exchange.settle(inner, this))
    }

    override requestAPIList(...[Page, options]: Parameters<OpenAI["requestAPIList"]>): PagePromise<never, never> {
      const exchange = new Exchange(this.#session).begin()
      const marked = Promise.resolve(options).then((o) => exchange.mark(o))
      const inner = super.requestAPIList<unknown>(Page, marked)
      const response: Promise<ResponseProps> = inner["responsePromise"]
      const settled = exchange.settlePassed(response, (props) => props.response)
      const page = new PagePromise<InstanceType<typeof Page>, unknown>(this, settled, Page)
      // The SDK's own promise reads the body, once; a retry while it is read may change the response.
      page["parseResponse"] = () => inner
      page.withResponse = () => settled.then(() => inner.withResponse())
      return page as PagePromise<never, never>
    }

    override async buildRequest(options: RequestOptions, retry?: { retryCount?: number }): Promise<BuiltRequest> {
      const exchange = Exchange.of(options)
      if (this.#maker !== undefined) return this.#seal(options, exchange ?? new Exchange(this.#session), retry)
      building.set(options, new Map())
      const built = await super.buildRequest(options, retry)
      // Assigned since, or put in its place by the SDK: a fetch is only used through the guard.
      Object.assign(this, { fetch: guard(this["fetch"], this.#session, this.#byHand) })
      // Built by hand, it is judged when it is sent.
      return exchange === undefined ? built : exchange.build(options, built, this, building.get(options))
    }

    /** Builds a user's request out of the holder's reach, and gives back what the SDK carries to the door in its place. */
    async #seal(
      options: RequestOptions,
      exchange: Exchange,
      retry?: { retryCount?: number },
      byHand?: RequestInit
    ): Promise<BuiltRequest> {
      const maker: OpenAI = this.#maker ?? this
      const given = settled(options)
      const before = { ...given }
      building.set(given, new Map())
      const made = await super.buildRequest.call(maker, given, retry)
      for (const name in given) {
        const value: unknown = Reflect.get(given, name)
        if (Reflect.get(before, name) !== value) Reflect.set(options, name, value)
      }
      if (byHand !== undefined) {
        made.url = given.path
        if (byHand.body !== undefined && byHand.body !== null)
          Object.assign(made.req, { duplex: "half", body: byHand.body })
      }
      const judging = [given, made, maker, building.get(given)] as const
      const built = await (Exchange.of(options) === undefined
        ? exchange.buildAlone(...judging)
        : exchange.build(...judging))
      const about = { url: built.url, options: given }
      await super.prepareRequest.call(maker, built.req, about)
      await maker["_provider"]?.prepareRequest?.(built.req, { ...about, timeout: built.timeout })
      const timeout = given.timeout ?? this.timeout
      return exchange.seal({ ...built, timeout }, maker)
    }

    protected override async prepareRequest(...[request, made]: Parameters<OpenAI["prepareRequest"]>): Promise<void> {
      if (this.#maker === undefined) await super.prepareRequest(request, made)
      // Without an exchange nobody waits for the answer: what the log must follow to its end is refused.
      const exchange = Exchange.of(made.options) ?? Exchange.ofRequest(request)
      if (exchange === undefined) await this.#alone(request, made.url, made.options)
    }

    /** Judges a request that no call is under way for. */
    async #alone(request: RequestInit, url: string, options: RequestOptions): Promise<RequestInit> {
      if (this.#maker === undefined) return sendAlone(this.#session, this, request, url, options, building.get(options))
      const { headers, method: verb = options.method, signal } = request
      const given: RequestOptions = {
        method: verb.toLowerCase() as RequestOptions["method"],
        path: url,
        headers: headers as RequestOptions["headers"],
        ...(signal !== undefined && { signal })
      }
      const { req } = await this.#seal(given, new Exchange(this.#session), undefined, request)
      return Object.assign(request, req)
    }

    /**
     * WebSockets leave by a door that has no guard: a user's do not, and the service's are judged as a family and recorded
     * as the handshake begins.
     */
    override _buildWebSocketHeaders(...args: Parameters<OpenAI["_buildWebSocketHeaders"]>): Record<string, string> {
      this.#judgeSocket()
      return super._buildWebSocketHeaders(...args)
    }

    /** The key goes to requests that are built here; libraries ask for it to open sockets of their own. */
    protected override async authHeaders(...[options, schemes]: Parameters<OpenAI["authHeaders"]>) {
      if (!building.has(options)) {
        requireOpen(this.#session)
        await this.#session.workspace.ready()
        this.#judgeSocket()
      }
      const headers = await super.authHeaders(options, schemes)
      if (building.has(options)) building.set(options, headersOf(headers))
      return headers
    }

    #judgeSocket(): void {
      const { app, credentials, intents, workspace } = this.#session
      requireOpen(this.#session)
      const id = newId()
      const resource = familyResource(app, webSockets)
      if (credentials._tag === "App") {
        const endpoint = `GET ${this.baseURL.replace(/^http/, "ws")}`
        const lineage = currentLineage()
        const family = { family: webSockets, use: "reaches_model" as const }
        return workspace.passAtOnce({ id, app, ...family, resource, endpoint, credentials, intents, lineage })
      }
      const code = "resource_not_allowed"
      const message = "WebSocket APIs are not judged, and so not for users"
      const denied = refusal("egress", { code, message }, { resource, principal: "" })
      void refuseHere(this.#session, denied).catch(() => {})
      throw toSdkError(denied)
    }

    override withOptions(options: Partial<ClientOptions>): this {
      const given = { ...options }
      for (const key of Object.keys(given))
        if (ourOptions.has(key))
          throw new ConfigurationError(
            `withOptions takes the SDK's options only; make a new client for another "${key}".`
          )
      const kind = this.#kind
      const session = this.#session
      if (this.#maker === undefined) return bequeath({ kind, session }, () => super.withOptions(given))
      const { defaults, own } = wantedOf(given, this, this.#maker, session.door)
      const maker =
        defaults === undefined
          ? this.#maker
          : bequeath({ kind, session: session.service ?? session }, () => super.withOptions.call(this.#maker, defaults))
      return pin(
        bequeath({ kind, session, maker }, () => super.withOptions(own)),
        false
      )
    }

    /** Where params of an operation would go: a client that names deployments builds its URLs by itself. */
    async #endpoint(operation: string, params: object): Promise<string> {
      const maker = this.#maker ?? this
      const endpoint = endpointOf(this.#session.app, operation, params, maker.baseURL)
      if (base === OpenAI || !isOperation(operation)) return endpoint
      await maker._callApiKey()
      const { path } = endpointFor(operations[operation], params)
      const options: RequestOptions = { method: "post", path, body: params }
      building.set(options, new Map())
      const { url } = await super.buildRequest.call(maker, options)
      const { origin, pathname } = new URL(url)
      return `POST ${origin}${pathname}`
    }

    /** What builds the requests of this client's users: made anew where the client was changed since. */
    #lend(): Lent {
      const options = this["_options"]
      const { defaultHeaders, defaultQuery = {} } = options
      const state = [
        ...Object.values(this),
        ...Object.values(options),
        // These may be changed in their place.
        ...entriesOf(defaultHeaders).flat(),
        ...Object.entries(defaultQuery).flat()
      ]
      const before = this.#lent
      if (before?.state.length === state.length && before.state.every((value, i) => Object.is(value, state[i])))
        return before
      const session = this.#session
      const maker = bequeath({ kind: this.#kind, session }, () => super.withOptions({}))
      return (this.#lent = { maker, door: doorOf(maker, session.door), state })
    }

    #bind(user: AgentClient, ownsUser: boolean, drain: number): OpenAI {
      requireOpen(this.#session)
      const service = this.#session
      const { app, workspace } = service
      const refuse = (code: BindError["code"], message: string, caller: Credentials = service.credentials): never => {
        const refused = { call: newId(), tool: "identity:register", app, stage: "identity", code, status: 403 }
        void workspace.refuse({ ...refused, violations: [{ code }] }, caller).catch(() => {})
        throw new BindError(code, message)
      }
      if (this.isBound || this.mode === "user")
        return refuse("not_service", "Only a client in service mode can be bound; this one already acts for a user.")
      const standing = standingOf(user)
      if (standing === undefined)
        return refuse(
          "not_registered",
          `bindToUser takes a registered AgentClient, and ${otherCopy(user) ?? "this is none."}`
        )
      if (standing.workspace !== workspace)
        return refuse(
          "other_workspace",
          `${user.agentId} is registered in another workspace; make it with { workspace: client.workspace }.`
        )
      if (user.agentType !== "user")
        return refuse("not_user", `${user.agentId} is an agent of type "${user.agentType}"; only a user can be bound.`)
      const { credentials, intentPolicy, life } = standing
      if (life === undefined)
        return refuse("not_registered", `${user.agentId} is not registered; await register() first.`, credentials)
      const kind = this.#kind
      const { door, maker } = this.#lend()
      const session: Session = {
        ...service,
        credentials,
        intents: intentPolicy === undefined ? service.intents : [...service.intents, intentPolicy],
        life: new Life(service.life, life),
        drain,
        service,
        door
      }
      bindings.set(session, { user, owned: ownsUser })
      return pin(
        bequeath({ kind, session, maker }, () => super.withOptions({})),
        false
      )
    }
  }
  markCopy(SecuredClient.prototype)
  Object.defineProperty(SecuredClient, "name", { value: `Secure${base.name}` })
  Object.assign(SecuredClient, { OpenAI: SecuredClient })
  return SecuredClient as unknown as Secured<Base>
}

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
