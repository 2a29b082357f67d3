/**
 * Where the pipeline meets the SDK. `request()` opens an exchange, `buildRequest()` has the final bytes and starts the
 * pipeline on them, the pipeline's invocation hands over what may be sent and waits for what the SDK gets back, and
 * `request()` answers with what the pipeline makes of it.
 *
 * An exchange is one logical call. The SDK's retries of the same bytes stay in one turn, that is one decision; a retry with
 * other bytes is a new turn, and a call of its own in the log.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { OpenAI } from "openai"
import type { APIPromise } from "openai/api-promise"
import { isLarge } from "../base/Content.ts"
import { anotherTurn } from "../base/EventLoop.ts"
import { Life, type Task } from "../base/Life.ts"
import type { Call } from "../call/Call.ts"
import type { Violation } from "../call/Decision.ts"
import { currentLineage } from "../call/CurrentCall.ts"
import type { ProviderFailed } from "../call/Errors.ts"
import type { Lineage } from "../call/Lineage.ts"
import { type OperationName, urlOf } from "../call/Operation.ts"
import type { PassThrough } from "../call/PassThrough.ts"
import type { Reply } from "../call/Reply.ts"
import { EnforcementUnavailableError } from "../call/SdkErrors.ts"
import * as Admission from "../http/Admission.ts"
import { followHome, isRedirect } from "../http/transport/Redirect.ts"
import { leanTransport } from "../http/transport/Transport.ts"
import { ReceivedEvents } from "../invocation/ReceivedEvents.ts"
import { ChunkStream } from "../invocation/Sse.ts"
import { type SdkAnswer, plainAnswer, type ResponseProps } from "./SdkAnswer.ts"
import { rememberToolRequests } from "./ToolRequests.ts"
import { FamilyRequest } from "./FamilyRequest.ts"
import { foreignOption, mayBeSet } from "./UserRestrictions.ts"
import { inboundOf, textOf } from "./RequestMarks.ts"
import { Interruption } from "./Interruption.ts"
import { JudgedRequest } from "./JudgedRequest.ts"
import type { BuiltRequest, RequestOptions } from "./Options.ts"
import { decodeStream, parse, propsOf, replyOf, silent } from "./SdkParser.ts"
import { ProviderResponse } from "./ProviderResponse.ts"
import { refuseHere, type Session } from "./Session.ts"
import { streamAnswer } from "./StreamAnswer.ts"
import { makeTokens } from "./Tokens.ts"
import { answeredHere, PipelineRun, type RunOwner } from "./PipelineRun.ts"
import { requireApiKey } from "./SealedRequest.ts"

/**
 * Marks a request's options with its exchange, and a built request with the permit to be sent. What stands there is a token:
 * whoever finds it can hand it on, and nothing else.
 */
const exchangeKey = Symbol("secure-openai/exchange")
const permitKey = Symbol("secure-openai/permit")

const exchanges = makeTokens<Exchange>()

type Marked = RequestOptions & { [exchangeKey]?: object }

/** One logical call on its way through the SDK. */
export class Exchange implements RunOwner {
  readonly #session: Session
  /** What `request()` returns, until it settles: an exchange outlives its answer while a stream is read, and keeps none alive. */
  #answer: PromiseWithResolvers<SdkAnswer> | undefined
  #run: PipelineRun | undefined
  #options: RequestOptions | undefined
  /** Where the request is one of a family: it passes through, and there is no turn. */
  #family: FamilyRequest | undefined
  readonly #request = new JudgedRequest()
  readonly #interruption = new Interruption()
  #client: OpenAI | undefined
  #props: ResponseProps | undefined
  #value: unknown
  #attempts = 0
  #alone = false
  /** The call in whose course this one is made. */
  readonly #lineage: Lineage | undefined = currentLineage()
  readonly #response = new ProviderResponse()
  #life: Life
  /** What its client waits for when it is drained; undefined for a request that nobody waits for, and once it has ended. */
  #task: Task | undefined
  readonly #token = exchanges.standingFor(this)

  constructor(session: Session) {
    this.#session = session
    this.#life = session.life
  }

  /** A call begins, through `request()`: its client waits for it when it is drained. */
  begin(): this {
    this.#task = this.#life.begin()
    return this
  }

  static of(options: RequestOptions): Exchange | undefined {
    return exchanges.behind((options as Marked)[exchangeKey])
  }

  /** The exchange that a built request belongs to. */
  static ofRequest(request: object | undefined): Exchange | undefined {
    return exchanges.behind((request as { [permitKey]?: object } | undefined)?.[permitKey])
  }

  /** True for a call through a user's client, whoever it is for. */
  get #isUsers(): boolean {
    return this.#session.credentials._tag !== "App"
  }

  /** True for a call through a client of this session. */
  isOf(session: object): boolean {
    return this.#session === session
  }

  /** The same options object, marked; a copy if another call marked it already, or if it takes no mark. */
  mark(options: RequestOptions): RequestOptions {
    const marked: Marked =
      Object.hasOwn(options, exchangeKey) || !Object.isExtensible(options) ? { ...options } : options
    Object.defineProperty(marked, exchangeKey, {
      value: this.#token,
      enumerable: true,
      configurable: true,
      writable: true
    })
    return marked
  }

  /**
   * Judges a request that `maker` has built, and gives it back as it may be sent. Called once an attempt. `credentials` are the
   * headers that the service's own credentials gave it.
   */
  async build(
    options: RequestOptions,
    built: BuiltRequest,
    maker: OpenAI,
    credentials: ReadonlyMap<string, string> = new Map()
  ): Promise<BuiltRequest> {
    const { app, settings } = this.#session
    // Options of fetch may have put plain members in their place.
    if (!(built.req.headers instanceof Headers)) built.req.headers = new Headers(built.req.headers)
    const head = { method: built.req.method ?? "get", url: built.url, headers: built.req.headers }
    const inbound = inboundOf(options)
    if (inbound !== undefined && this.#options === undefined) this.#life = new Life(this.#session.life, inbound.life)
    const isUser = (inbound?.credentials ?? this.#session.credentials)._tag !== "App"
    const own = settings.account.size === 0 ? credentials : new Map([...settings.account, ...credentials])
    const caller = { isUser, staysHome: isUser && this.#isUsers, own }
    const reading = Admission.read(head, settings, caller, maker.baseURL)
    const { endpoint, query, target } = reading
    this.#options = options
    // The SDK looks at its signal next and throws for it.
    if (options.signal?.aborted && !this.#alone) return built
    const refusal = this.#task === undefined ? this.#life.refusal : this.#life.over
    if (refusal !== undefined) throw refusal
    if (this.#interruption.reason !== undefined) throw this.#run?.error ?? this.#interruption.reason
    this.#request.judged(head.method, built.url)
    Object.defineProperty(built.req, permitKey, { value: this.#token, enumerable: true, configurable: true })
    const resource = Admission.resourceOf(app, target)
    if (target._tag === "Protected" && this.#answer === undefined) return this.#refuseAlone(resource)
    const fault =
      Admission.faultOf(head, reading, settings, caller) ??
      (this.#isUsers ? foreignOption(options, maker, target._tag === "Protected" ? readers : undefined) : undefined)
    if (fault !== undefined) return this.#refuse(resource, fault)
    if (target._tag === "Family") {
      await this.#pass(Admission.passThroughOf(target, reading, { ...this.#session, lineage: this.#lineage }))
      return built
    }
    const text = textOf(options)
    if (text !== undefined) built.req.body = text
    if (!this.#run?.decides(built.req.body, endpoint, query)) {
      // The SDK has just written it, in this turn of the event loop: reading it is for another one.
      if (typeof built.req.body === "string" && isLarge(built.req.body)) await anotherTurn()
      const body = Admission.readBody(built.req.body)
      if (Result.isFailure(body)) return this.#refuse(resource, body.failure)
      await this.#decide(target.operation.name, body.success, reading, options)
    }
    const committed = await this.#run!.permit
    requireApiKey(built.req)
    // Another model may be served by another deployment, which the URL names.
    if (committed.endpoint !== endpoint) built.url = `${urlOf(committed.endpoint)}${new URL(built.url).search}`
    built.req.body = committed.bytes
    this.#request.judged(head.method, built.url)
    built.req.redirect = "manual"
    decodeStream(options)
    return built
  }

  /** Judges a request that was built outside `request()`: a protected one is refused, any other is recorded as it leaves. */
  async buildAlone(...args: Parameters<Exchange["build"]>): Promise<BuiltRequest> {
    this.#alone = true
    return this.build(...args)
  }

  /** Seals what was judged; gives back what the SDK carries to the guarded `fetch` in its place. */
  seal(built: BuiltRequest, maker: OpenAI): BuiltRequest {
    const req = Object.assign(this.#request.seal(built.req, maker), { [permitKey]: this.#token })
    return { ...built, req: req as unknown as BuiltRequest["req"] }
  }

  /** A protected request that no call is under way for, or none any more. */
  async #refuseAlone(resource: string): Promise<never> {
    if (this.#run?.error !== undefined) throw this.#run.error
    const message = "a protected request is made by the client's own methods"
    return this.#refuse(resource, { code: "no_exchange", message })
  }

  /** Starts a turn: a call of its own on the way through the pipeline. */
  async #decide(
    operation: OperationName,
    body: Admission.RequestBody,
    reading: Admission.RequestReading,
    options: RequestOptions
  ): Promise<void> {
    const { app, credentials, deployments, intents, server } = this.#session
    const inbound = inboundOf(options)
    const parent = this.#run?.call.id ?? inbound?.parent
    const call = Admission.callOf(operation, reading, body, {
      app,
      server,
      deployments,
      parent,
      credentials: inbound?.credentials ?? credentials,
      intents: inbound === undefined ? intents : [...intents, ...inbound.intents],
      ...(inbound === undefined
        ? { lineage: this.#lineage }
        : { invocation: inbound.invocation, chain: inbound.chain, behalf: inbound.behalf })
    })
    if (Result.isFailure(call)) return refuseHere(this.#session, call.failure)
    const turn = new PipelineRun(call.success, body.content.text)
    this.#moveOn(turn)
    turn.start(this.#session, this, options.signal)
  }

  /** A retry that is another request: what the exchange was about until now has failed. */
  #moveOn(turn: PipelineRun | undefined): void {
    const before = this.#run
    // The old pipeline may end synchronously, so the exchange has moved on before it is told.
    this.#run = turn
    before?.answered(Effect.fail(this.#failed(new Error("retried as another request"))))
    this.#family?.replaced(this.#attempts)
    this.#family = undefined
  }

  /** Lets a request of a family pass: judged once for all attempts at one endpoint. */
  async #pass(request: PassThrough): Promise<void> {
    if (this.#family?.endpoint !== request.endpoint) {
      this.#moveOn(undefined)
      this.#family = await FamilyRequest.pass(this.#session, request)
    }
    this.#family.permit()
  }

  #refuse(resource: string, fault: Violation): Promise<never> {
    return refuseHere(this.#session, Admission.refusalFor(resource, fault))
  }

  /** Follows the SDK's own run of the call; settles with what the pipeline makes of it. */
  settle(inner: APIPromise<unknown>, client: OpenAI): Promise<SdkAnswer> {
    this.#client = client
    const { promise } = (this.#answer = Promise.withResolvers<SdkAnswer>())
    const response: Promise<ResponseProps> = inner["responsePromise"]
    response.then(
      (props) => this.#responded(inner, props, client),
      (error: unknown) => this.#stopped(error)
    )
    return promise
  }

  /** The SDK has a response: read at once, or a call that nobody awaits would have no outcome. */
  async #responded(inner: APIPromise<unknown>, props: ResponseProps, client: OpenAI): Promise<void> {
    const turn = this.#run
    if (turn === undefined) {
      this.#family?.answered(props.response, this.#attempts)
      const value = async () => inner["parseResponse"](client, props)
      return this.#resolve({ props, value, raw: () => props.response, streamed: false })
    }
    this.#props = props
    this.#response.unveil()
    try {
      const judged = turn.committed?.from.from.judge.output !== undefined
      this.#value = await parse(inner, this.#isUsers && judged ? silent(client) : client, {
        ...props,
        // Those of the attempt: a user's may answer differently each time they are asked.
        options: this.#request.isSealed ? (this.#options ?? props.options) : props.options
      })
      turn.answered(Effect.succeed(this.#reply(this.#value, props, turn)))
    } catch (error) {
      this.#response.remember(error, props.response)
      turn.answered(Effect.fail(this.#failed(error)))
    }
  }

  /** The SDK has failed, or was stopped. */
  #stopped(error: unknown): void {
    this.#response.unveil()
    this.#response.remember(error)
    if (this.#run === undefined) {
      this.#family?.failed(error, this.#attempts)
      this.#reject(this.#interruption.reason ?? error)
    } else if (error !== answeredHere) this.#run.answered(Effect.fail(this.#failed(error)))
  }

  /** The pipeline has ended. */
  ended(turn: PipelineRun, end: Parameters<RunOwner["ended"]>[1]): void {
    if (turn !== this.#run) return
    if ("error" in end) return this.#reject(end.error)
    const { reply } = end
    const props = this.#props ?? propsOf(reply, this.#options!)
    if (reply._tag === "Stream")
      return this.#resolve(
        streamAnswer(
          reply,
          props,
          this.#client!,
          this.#session,
          this.#life,
          turn.committed && { lineage: turn.committed.lineage },
          (reason) => this.interrupt(reason),
          this.#task
        )
      )
    if (turn.committed !== undefined) rememberToolRequests(this.#session, reply.value, turn.committed)
    const text = this.#props !== undefined && this.#value === reply.value ? (this.#response.text ?? "") : undefined
    this.#resolve(plainAnswer(reply, props, text, this.#options?.__binaryResponse === true))
  }

  #resolve(answer: SdkAnswer): void {
    this.#answer?.resolve(answer)
    this.#answer = undefined
    // A stream ends later, and tells so itself.
    if (!answer.streamed) this.#task?.end()
  }

  #reject(error: unknown): void {
    this.#answer?.reject(error)
    this.#answer = undefined
    this.#task?.end()
  }

  /** Follows a request that passes through to its end. */
  async settlePassed<A>(answer: Promise<A>, responseOf: (answer: A) => Response): Promise<A> {
    try {
      const settled = await answer
      this.#family?.answered(responseOf(settled), this.#attempts)
      return settled
    } catch (error) {
      this.#family?.failed(error, this.#attempts)
      throw this.#interruption.reason ?? error
    } finally {
      this.#task?.end()
    }
  }

  /** One HTTP request, as the guard sends it: what was judged and nothing else. */
  async send(fetch: typeof globalThis.fetch, url: string, given: RequestInit): Promise<Response> {
    this.#attempts++
    if (this.#life.over !== undefined) throw this.#stop(this.#life.over)
    const opened = this.#request.open(url, given, mayBeSet(this.#session.settings))
    if ("changed" in opened) throw this.#stop(changed(opened.changed))
    const { init } = opened
    const turn = this.#run
    if (turn === undefined) {
      // What was recorded as it left leaves once.
      if (this.#alone && this.#family?.leave() !== true) throw this.#stop(changed())
      const response = fetch(url, init).then((r) => (r.ok ? r : this.#response.receive(r, url, undefined)))
      return this.#alone ? this.settlePassed(response, (r) => r) : response
    }
    // A permit ends with its call.
    const isDecided = init.body === turn.committed?.bytes && this.#answer !== undefined
    if (!isDecided) throw this.#stop(changed())
    const transport = leanTransport(fetch, turn.committed?.content)
    const sent = { ...init, signal: this.#interruption.attempt(init.signal) }
    const first = await transport(url, sent)
    const response = isRedirect(first)
      ? await followHome(transport, first, this.#request.url, sent, (next) => this.#isSame(turn.call, next))
      : first
    const hidden = this.#isUsers ? turn.committed?.from.from.judge.output : undefined
    return this.#response.receive(response, this.#request.url, hidden)
  }

  /** True where a redirect leads to the same operation, at a place where the caller's requests may go. */
  #isSame({ credentials, operation }: Call, url: string): boolean {
    const staysHome = credentials._tag !== "App" && this.#isUsers
    return (
      Admission.isOperationAt(operation, url) && (!staysHome || Admission.isBelow(this.#session.settings.baseURL, url))
    )
  }

  /** Ends a call before it is sent: now, for the SDK would try again. */
  #stop(error: Error): Error {
    this.#run?.answered(Effect.fail(this.#failed(error)))
    return this.#interruption.stop(error)
  }

  /** Ends the request that is under way, if there is one, and every later attempt. */
  interrupt(reason: Error): void {
    this.#interruption.interrupt(reason)
    this.#props?.controller.abort(reason)
  }

  #failed(error: unknown): ProviderFailed {
    return this.#response.failed(error, this.#interruption.reason, this.#attempts)
  }

  #reply(value: unknown, props: ResponseProps, turn: PipelineRun): Reply {
    const meta = {
      status: props.response.status,
      ...this.#response.headOf(props.response),
      requestId: props.response.headers.get("x-request-id"),
      attempts: this.#attempts,
      ...(this.#response.text === undefined ? {} : { text: this.#response.text })
    }
    return replyOf(value, meta, (cause) => this.#failed(cause), turn.committed!, this.#session.hasOwnPipeline)
  }
}

/** The classes that may read the answer of a protected request of a user's client. */
const readers = [ChunkStream, ReceivedEvents]

const changed = (what = "the request"): EnforcementUnavailableError =>
  new EnforcementUnavailableError(`The request was changed after it was decided on (${what}); nothing was sent.`)
