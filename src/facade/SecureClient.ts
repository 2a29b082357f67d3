/**
 * The classes of secure clients: each extends a client class of the SDK, and takes its requests through the pipeline.
 */
import * as Effect from "effect/Effect"
import { type ClientOptions, OpenAI, PagePromise } from "openai"
import type { APIPromise } from "openai/api-promise"
import { AgentClient, type AgentClientOptions } from "../agents/AgentClient.ts"
import { Call, endpointOf } from "../call/Call.ts"
import type { Receipt } from "../call/Reply.ts"
import type { Decision } from "../call/Decision.ts"
import { ClosedError, ConfigurationError, toSdkError, UnboundError } from "../call/SdkErrors.ts"
import { scheduler } from "../base/EventLoop.ts"
import type { Health } from "../workspace/Health.ts"
import { requireName } from "../call/Name.ts"
import { endpointFor, isOperation, operations } from "../call/Operation.ts"
import type { Limits } from "../policy/Limits.ts"
import type { Workspace } from "../workspace/Workspace.ts"
import { answerPromise, type ResponseProps } from "./SdkAnswer.ts"
import {
  divide,
  isKeyless,
  ourOptions,
  requireDrain,
  type SecureOptions,
  type BuiltRequest,
  type RequestOptions
} from "./Options.ts"
import { settingsOf } from "./ServiceSettings.ts"
import { headersOf } from "./HeaderEntries.ts"
import { Exchange } from "./Exchange.ts"
import { defaultFetch } from "../http/transport/Transport.ts"
import { type ByHand, guard, unguarded } from "./GuardedFetch.ts"
import { pin, ownCopy, cloneOptionsOf } from "./UserRestrictions.ts"
import { newSession } from "./NewSession.ts"
import { receiptOf } from "./Receipts.ts"
import { judgeRunners } from "./Runners.ts"
import { serviceOf } from "./AgentService.ts"
import { holdRequestSeries } from "./RequestSeries.ts"
import { during, healthOf, rememberSession, requireOpen, type Session } from "./Session.ts"
import { markCopy } from "../base/Shared.ts"
import { requirePrompts, type ToolHandler, type ToolOptions } from "./Tool.ts"
import { answerToolCall, judgeTools, type ToolCall, type ToolMessage } from "./Tools.ts"
import { noApiKey, withoutCloudCredentials, withoutCredentials } from "./SealedRequest.ts"
import { withCloneContext, takeCloneContext } from "./CloneContext.ts"
import { judgeSocket, sendAlone } from "./ManualRequest.ts"
import { isSame, type RequestMaker, opened, stateOf } from "./RequestMaker.ts"
import { boundSession, giveBack, onlyService, requireUser } from "./Binding.ts"
import type { Secured } from "./SecureMembers.ts"

/** Stands in the options of every secure client. A client that is made of them by hand would be somebody else's. */
const madeKey = Symbol.for("secure-openai/client")

type AnyClient = new (...args: ReadonlyArray<never>) => OpenAI

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
  /**
   * Options of the requests that are built here, with the headers that the client's credentials give them. A table, for anyone may
   * read and write what stands in the options.
   */
  const building = new WeakMap<object, ReadonlyMap<string, string>>()

  class SecuredClient extends (base as AnyClient as new (options: object) => OpenAI) {
    readonly #session: Session
    /** The client that builds this one's requests and has the credentials; undefined where it is this one. */
    readonly #maker: OpenAI | undefined
    readonly #kind: unknown
    readonly #byHand: ByHand
    #lent: RequestMaker | undefined

    constructor(options: ClientOptions & SecureOptions & { readonly [madeKey]?: true } = {}) {
      const inherited = takeCloneContext(new.target)
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
        opened(newSession(ours), (session) => {
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
      holdRequestSeries(this, session)
      if (inherited === undefined) {
        if (maker === undefined) session.settings = settingsOf(this, session.settings)
        session.serves = serviceOf(session, this, (operation, params) => this.#endpoint(operation, params))
        session.workspace.serve(session.serves)
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
      return this.#session.credentials._tag === "User" && this.#session.binding === undefined ? "user" : "service"
    }

    get workspace(): Workspace {
      if (this.#session.binding !== undefined) throw onlyService("gives its workspace")
      return this.#session.workspace
    }

    get isBound(): boolean {
      return this.#session.binding !== undefined && this.#session.life.refusal === undefined
    }

    get userClient(): AgentClient | undefined {
      return this.#session.binding?.user
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
      if (this.#session.binding !== undefined) throw onlyService("tells its health")
      return healthOf(this.#session)
    }

    registerTool(name: string, handler: ToolHandler, options: ToolOptions = {}): void {
      if (this.#session.binding !== undefined) throw onlyService("registers tools")
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
      if (this.#session.binding !== undefined) this.#session.life.end(new UnboundError())
    }

    async close({ force = false }: { readonly force?: boolean } = {}): Promise<void> {
      const { binding, drain, letGo, life, runtime } = this.#session
      if (binding !== undefined) return giveBack(this.#session, binding, { force })
      if (force) life.end(new ClosedError())
      await life.drain(() => new ClosedError(), drain)
      await runtime().dispose()
      await letGo?.()
    }

    async [Symbol.asyncDispose](): Promise<void> {
      const { binding } = this.#session
      if (binding === undefined) return this.close()
      // Nobody waits: what the log cannot take now, it says at the next call.
      void giveBack(this.#session, binding, { inBackground: true }).catch(() => {})
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
      const ownCopy = exchange.settlePassed(response, (props) => props.response)
      const page = new PagePromise<InstanceType<typeof Page>, unknown>(this, ownCopy, Page)
      // The SDK's own promise reads the body, once; a retry while it is read may change the response.
      page["parseResponse"] = () => inner
      page.withResponse = () => ownCopy.then(() => inner.withResponse())
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

    /** Builds a user's request out of the holder's reach, and gives back what the SDK carries to the guarded `fetch` in its place. */
    async #seal(
      options: RequestOptions,
      exchange: Exchange,
      retry?: { retryCount?: number },
      byHand?: RequestInit
    ): Promise<BuiltRequest> {
      const maker: OpenAI = this.#maker ?? this
      const given = ownCopy(options)
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
     * WebSockets do not leave through the guarded `fetch`: a user's are refused, and the service's are judged as a family and recorded
     * as the handshake begins.
     */
    override _buildWebSocketHeaders(...args: Parameters<OpenAI["_buildWebSocketHeaders"]>): Record<string, string> {
      judgeSocket(this.#session, this.baseURL)
      return super._buildWebSocketHeaders(...args)
    }

    /** The key goes to requests that are built here; libraries ask for it to open sockets of their own. */
    protected override async authHeaders(...[options, schemes]: Parameters<OpenAI["authHeaders"]>) {
      if (!building.has(options)) {
        requireOpen(this.#session)
        await this.#session.workspace.ready()
        judgeSocket(this.#session, this.baseURL)
      }
      const headers = await super.authHeaders(options, schemes)
      if (building.has(options)) building.set(options, headersOf(headers))
      return headers
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
      if (this.#maker === undefined) return withCloneContext({ kind, session }, () => super.withOptions(given))
      const { defaults, own } = cloneOptionsOf(given, this, this.#maker, session.settings)
      const maker =
        defaults === undefined
          ? this.#maker
          : withCloneContext({ kind, session: session.service ?? session }, () =>
              super.withOptions.call(this.#maker, defaults)
            )
      return pin(
        withCloneContext({ kind, session, maker }, () => super.withOptions(own)),
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
    #lend(): RequestMaker {
      const state = stateOf(this)
      const before = this.#lent
      if (before !== undefined && isSame(before.state, state)) return before
      const session = this.#session
      const maker = withCloneContext({ kind: this.#kind, session }, () => super.withOptions({}))
      return (this.#lent = { maker, settings: settingsOf(maker, session.settings), state })
    }

    #bind(user: AgentClient, ownsUser: boolean, drain: number): OpenAI {
      requireOpen(this.#session)
      const service = this.#session
      const standing = requireUser(service, user)
      const { settings, maker } = this.#lend()
      const session = boundSession(service, { settings, drain }, standing, { user, owned: ownsUser })
      const kind = this.#kind
      return pin(
        withCloneContext({ kind, session, maker }, () => super.withOptions({})),
        false
      )
    }
  }
  markCopy(SecuredClient.prototype)
  Object.defineProperty(SecuredClient, "name", { value: `Secure${base.name}` })
  Object.assign(SecuredClient, { OpenAI: SecuredClient })
  return SecuredClient as unknown as Secured<Base>
}
