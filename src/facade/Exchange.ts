/**
 * Where the pipeline meets the SDK. `request()` opens an exchange, `buildRequest()` has the final bytes and starts the
 * pipeline on them, the pipeline's invocation hands over what may be sent and waits for what the SDK gets back, and
 * `request()` answers with what the pipeline makes of it.
 *
 * An exchange is one logical call. The SDK's retries of the same bytes stay in one turn, that is one decision; a retry with
 * other bytes is a new turn, and a call of its own in the log.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { APIError, APIUserAbortError, type OpenAI } from "openai"
import type { APIPromise } from "openai/api-promise"
import { Stream as OpenAIStream } from "openai/streaming"
import type { Outcome } from "../audit/Audit.ts"
import { Call, type Committed, type Lineage, type Meta, Reply } from "../call/Call.ts"
import { isLarge } from "../base/Content.ts"
import { currentLineage } from "../call/CurrentCall.ts"
import type { Violation } from "../call/Decision.ts"
import {
  ConfigurationError,
  EnforcementUnavailableError,
  PolicyDenied,
  ProviderFailed,
  refusal
} from "../call/Errors.ts"
import { anotherTurn } from "../base/EventLoop.ts"
import * as Admission from "../http/Admission.ts"
import { newId } from "../base/Id.ts"
import { ReceivedEvents } from "../invocation/ReceivedEvents.ts"
import { Life, type Task } from "../base/Life.ts"
import { ChunkStream } from "../invocation/Sse.ts"
import { classify, type OperationName, type Target, urlOf } from "../call/Operation.ts"
import { type Answer, responseLike, type ResponseProps, withRequestId } from "./Answer.ts"
import { rememberErrorResponse } from "./ErrorResponses.ts"
import { foreignOption, mayBeSet } from "./Holder.ts"
import type { BuiltRequest, RequestOptions } from "./Options.ts"
import type { Message } from "../workspace/Workspace.ts"
import { rememberAsked } from "./Asked.ts"
import { refuseHere, type Session } from "./Session.ts"
import { streamAnswer } from "./StreamAnswer.ts"
import { followHome, isRedirect } from "../http/transport/Redirect.ts"
import { leanTransport } from "../http/transport/Transport.ts"
import { makeTokens } from "./Tokens.ts"
import { answeredHere, Turn, type TurnOwner } from "./Turn.ts"
import { noApiKey, seal, type Sealed, unseal } from "./Upstream.ts"

/** A call that arrived from another agent: in whose name, with which envelope. */
export type Inbound = Pick<Message, "credentials" | "intents" | "invocation" | "chain" | "behalf" | "parent" | "life">

/**
 * Marks a request's options with its exchange, and a built request with the permit to be sent. What stands there is a token:
 * whoever finds it can hand it on, and nothing else.
 */
const exchangeKey = Symbol("secure-openai/exchange")
const permitKey = Symbol("secure-openai/permit")
const inboundKey = Symbol("secure-openai/inbound")

/** Carries, in a request's options, the text that its body was parsed from: it is sent as it came. */
export const textKey = Symbol("secure-openai/text")

const exchanges = makeTokens<Exchange>()
const inbounds = makeTokens<Inbound>()

type Marked = RequestOptions & { [exchangeKey]?: object; [inboundKey]?: object; [textKey]?: string }

/** Options of a request that carry a call from another agent. */
export const inboundOptions = (inbound: Inbound): object => ({ [inboundKey]: inbounds.standingFor(inbound) })

const inboundOf = (options: RequestOptions): Inbound | undefined => inbounds.behind((options as Marked)[inboundKey])

/** One logical call on its way through the SDK. */
export class Exchange implements TurnOwner {
  readonly #session: Session
  /** What `request()` hangs on, until it settles: an exchange outlives its answer while a stream is read, and keeps none alive. */
  #answer: PromiseWithResolvers<Answer> | undefined
  #turn: Turn | undefined
  #options: RequestOptions | undefined
  #finish: ((outcome: Outcome) => void) | undefined
  #passedTo: string | undefined
  #endpoint = ""
  /** What may be sent: method and URL as they were judged. */
  #method = ""
  #url = ""
  /** True once a request of a family was recorded, until it is sent. */
  #isPassed = false
  #interrupted: Error | undefined
  #client: OpenAI | undefined
  #controller: AbortController | undefined
  #props: ResponseProps | undefined
  #value: unknown
  #attempts = 0
  #alone = false
  /** The call in whose course this one is made. */
  readonly #lineage: Lineage | undefined = currentLineage()
  #text: string | undefined
  /** The provider's response, where it is an error. */
  #refused: Response | undefined
  /** What is sent in place of what arrives at the door, where the call is made through a user's client. */
  #sealed: Sealed | undefined
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
    const { app, door } = this.#session
    // Options of fetch may have put plain members in their place.
    if (!(built.req.headers instanceof Headers)) built.req.headers = new Headers(built.req.headers)
    const head = { method: built.req.method ?? "get", url: built.url, headers: built.req.headers }
    const inbound = inboundOf(options)
    if (inbound?.life !== undefined && this.#options === undefined)
      this.#life = new Life(this.#session.life, inbound.life)
    const isUser = (inbound?.credentials ?? this.#session.credentials)._tag !== "App"
    const own = door.account.size === 0 ? credentials : new Map([...door.account, ...credentials])
    const caller = { isUser, staysHome: isUser && this.#isUsers, own }
    const reading = Admission.read(head, door, caller, maker.baseURL)
    const { added, endpoint, query, target } = reading
    this.#endpoint = endpoint
    this.#options = options
    // The SDK looks at its signal next, and says so itself; the guard lets nothing through.
    if (options.signal?.aborted && !this.#alone) return built
    const refusal = this.#task === undefined ? this.#life.refusal : this.#life.over
    if (refusal !== undefined) throw refusal
    if (this.#interrupted !== undefined) throw this.#turn?.error ?? this.#interrupted
    this.#method = head.method.toUpperCase()
    this.#url = built.url
    Object.defineProperty(built.req, permitKey, { value: this.#token, enumerable: true, configurable: true })
    const resource = Admission.resourceOf(app, target)
    if (target._tag === "Protected" && this.#answer === undefined) return this.#nobodyWaits(resource)
    const fault = Admission.faultOf(head, reading, door, caller) ?? this.#foreignOption(options, maker, target._tag)
    if (fault !== undefined) return this.#refuse(resource, fault)
    if (target._tag === "Family") {
      await this.#pass(target, resource, added)
      this.#isPassed = true
      return built
    }
    const { [textKey]: text } = options as Marked
    if (text !== undefined) built.req.body = text
    if (!this.#turn?.decides(built.req.body, endpoint, query)) {
      // The SDK has just written it, in this turn of the event loop: reading it is for another one.
      if (typeof built.req.body === "string" && isLarge(built.req.body)) await anotherTurn()
      const body = Admission.readBody(built.req.body)
      if (Result.isFailure(body)) return this.#refuse(resource, body.failure)
      await this.#decide(target.operation.name, body.success, reading, options)
    }
    const committed = await this.#turn!.permit
    requireApiKey(built)
    // Another model may be served by another deployment, which the URL names.
    if (committed.endpoint !== endpoint) built.url = `${urlOf(committed.endpoint)}${new URL(built.url).search}`
    built.req.body = committed.bytes
    this.#url = built.url
    built.req.redirect = "manual"
    if (options.stream && options.__streamMode !== "events" && !options.__synthesizeEventData)
      decodeWith(options, ChunkStream)
    return built
  }

  /**
   * Judges a request that was built outside `request()`. A protected one is refused, since nobody would wait for its answer;
   * any other is recorded as it leaves.
   */
  async buildAlone(...args: Parameters<Exchange["build"]>): Promise<BuiltRequest> {
    this.#alone = true
    return this.build(...args)
  }

  /** Seals what was judged; gives back what the SDK carries to the door in its place. */
  seal(built: BuiltRequest, maker: OpenAI): BuiltRequest {
    this.#sealed = seal(built.req, maker)
    const req = Object.assign(this.#sealed.carried, { [permitKey]: this.#token })
    return { ...built, req: req as unknown as BuiltRequest["req"] }
  }

  /** A request of a user's client changes nothing that is the service's. */
  #foreignOption(options: RequestOptions, maker: OpenAI, kind: "Protected" | "Family") {
    if (!this.#isUsers) return undefined
    return foreignOption(options, maker, kind === "Protected" ? [ChunkStream, ReceivedEvents] : undefined)
  }

  /** A protected request that no call is under way for, or none any more. */
  async #nobodyWaits(resource: string): Promise<never> {
    if (this.#turn?.error !== undefined) throw this.#turn.error
    const message = "a protected request is made by the client's own methods"
    return this.#refuse(resource, { code: "no_exchange", message })
  }

  /** Starts a turn: a call of its own on the way through the pipeline. */
  async #decide(
    operation: OperationName,
    { content, params }: Admission.Body,
    { added, endpoint, query }: Admission.Reading,
    options: RequestOptions
  ): Promise<void> {
    const { app, credentials, deployments, intents, server } = this.#session
    const before = this.#turn
    const inbound = inboundOf(options)
    const call = await this.#made(() =>
      Call.fromParsed(operation, params, {
        bytes: content,
        app,
        server,
        endpoint,
        query,
        headers: added,
        deployments,
        credentials: inbound?.credentials ?? credentials,
        intents: inbound === undefined ? intents : [...intents, ...inbound.intents],
        ...(inbound === undefined
          ? { lineage: this.#lineage }
          : { invocation: inbound.invocation, chain: inbound.chain, behalf: inbound.behalf }),
        parent: before?.call.id ?? inbound?.parent
      })
    )
    const turn = new Turn(call, content.text)
    this.#moveOn(turn)
    turn.start(this.#session, this, options.signal)
  }

  /** A retry that is another request: what the exchange was about until now has failed. */
  #moveOn(turn: Turn | undefined): void {
    const before = this.#turn
    // The old pipeline may end synchronously, so the exchange has moved on before it is told.
    this.#turn = turn
    before?.answered(Effect.fail(this.#failed(new Error("retried as another request"))))
    this.#finish?.({ result: "failed", attempts: this.#attempts })
    this.#finish = undefined
  }

  /** Identity, policy on the resource, and the log, for a family that passes through. */
  async #pass(
    { family, use }: Target & { readonly _tag: "Family" },
    resource: string,
    headers: ReadonlyArray<string>
  ): Promise<void> {
    const endpoint = this.#endpoint
    if (this.#finish !== undefined && this.#passedTo === endpoint) return
    const { app, credentials, intents, workspace } = this.#session
    this.#moveOn(undefined)
    const lineage = this.#lineage
    const id = newId()
    const request = { id, app, family, use, resource, endpoint, headers, credentials, intents, lineage }
    this.#finish = await workspace.pass(request)
    this.#passedTo = endpoint
  }

  #refuse(resource: string, violation: Pick<Violation, "code" | "message" | "hint">): Promise<never> {
    return refuseHere(this.#session, refusal("egress", violation, { resource, principal: "" }))
  }

  /** The call, or the refusal of what cannot be one. */
  async #made(make: () => Call): Promise<Call> {
    try {
      return make()
    } catch (error) {
      if (error instanceof PolicyDenied) return refuseHere(this.#session, error)
      throw error
    }
  }

  /** Follows the SDK's own run of the call; settles with what the pipeline makes of it. */
  settle(inner: APIPromise<unknown>, client: OpenAI): Promise<Answer> {
    this.#client = client
    const { promise } = (this.#answer = Promise.withResolvers<Answer>())
    const response: Promise<ResponseProps> = inner["responsePromise"]
    response.then(
      (props) => this.#responded(inner, props, client),
      (error: unknown) => this.#stopped(error)
    )
    return promise
  }

  /** The SDK has a response: read at once, or a call that nobody awaits would have no outcome. */
  async #responded(inner: APIPromise<unknown>, props: ResponseProps, client: OpenAI): Promise<void> {
    const turn = this.#turn
    if (turn === undefined) {
      this.#passed(props.response)
      const value = async () => inner["parseResponse"](client, props)
      return this.#resolve({ props, value, raw: () => props.response, streamed: false })
    }
    this.#props = props
    try {
      // Who asks for the response as it is gets one; the pipeline judges and records what is in it.
      // Those of the attempt: a user's may tell another thing each time they are asked.
      const options = this.#sealed === undefined ? props.options : (this.#options ?? props.options)
      const parsed = { ...props, options: options.__binaryResponse ? { ...options, __binaryResponse: false } : options }
      const value = await this.#whole(await inner["parseResponse"](client, parsed), props)
      this.#value = value
      turn.answered(Effect.succeed(this.#reply(value, props, turn)))
    } catch (error) {
      rememberErrorResponse(error, props.response, this.#text)
      turn.answered(Effect.fail(this.#failed(error)))
    }
  }

  /** The value, or the JSON that came where a caller of {@link ReceivedEvents} asked for a stream: a `fetch` gives it as it is. */
  async #whole(value: unknown, { response }: ResponseProps): Promise<unknown> {
    if (!(value instanceof ReceivedEvents) || !value.isJson) return value
    const text = await response.text()
    try {
      return JSON.parse(text) as unknown
    } catch {
      return text
    }
  }

  /** The SDK has failed, or was stopped. */
  #stopped(error: unknown): void {
    if (this.#refused !== undefined) rememberErrorResponse(error, this.#refused, this.#text)
    if (this.#turn === undefined) {
      this.#passFailed(error)
      this.#reject(this.#interrupted ?? error)
    } else if (error !== answeredHere) this.#turn.answered(Effect.fail(this.#failed(error)))
  }

  /** The pipeline has ended. */
  ended(turn: Turn, end: Parameters<TurnOwner["ended"]>[1]): void {
    if (turn !== this.#turn) return
    if ("error" in end) return this.#reject(end.error)
    const { reply } = end
    const props = this.#props ?? this.#propsOf(reply)
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
    if (turn.committed !== undefined) rememberAsked(this.#session, reply.value, turn.committed)
    const own = this.#props !== undefined && this.#value === reply.value
    const raw = () =>
      own
        ? responseLike(props.response, this.#text ?? "")
        : responseLike(props.response, JSON.stringify(reply.value) ?? "", "application/json")
    this.#resolve({
      props,
      value: async () => (this.#options?.__binaryResponse ? raw() : withRequestId(reply.value, props.response)),
      raw,
      streamed: false,
      ...(reply.meta.receipt !== undefined && { receipt: reply.meta.receipt })
    })
  }

  #resolve(answer: Answer): void {
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

  /** Tells the log how a request that passed through ended. */
  async settlePassed<A>(answer: Promise<A>, responseOf: (answer: A) => Response): Promise<A> {
    try {
      const settled = await answer
      this.#passed(responseOf(settled))
      return settled
    } catch (error) {
      this.#passFailed(error)
      throw this.#interrupted ?? error
    } finally {
      this.#task?.end()
    }
  }

  #passed({ headers, status }: Response): void {
    const requestId = headers.get("x-request-id")
    this.#finish?.({
      result: "complete",
      attempts: this.#attempts,
      status,
      ...(requestId !== null && { requestId })
    })
  }

  #passFailed(error: unknown): void {
    this.#finish?.({
      result: error instanceof APIUserAbortError ? "aborted" : "failed",
      attempts: this.#attempts,
      error: error instanceof Error ? error.constructor.name : typeof error,
      ...(error instanceof APIError && error.status !== undefined && { status: error.status })
    })
  }

  /** One HTTP request, as the guard sends it: what was judged and nothing else. */
  async send(fetch: typeof globalThis.fetch, url: string, given: RequestInit): Promise<Response> {
    this.#attempts++
    if (this.#life.over !== undefined) throw this.#stop(this.#life.over)
    const init = this.#unseal(given)
    const turn = this.#turn
    const asBuilt =
      url === this.#url && [given, init].every(({ method = "GET" }) => method.toUpperCase() === this.#method)
    if (turn === undefined) {
      // What was recorded as it left leaves once.
      if (!asBuilt || (this.#alone && !this.#isPassed)) throw this.#stop(changed())
      this.#isPassed = false
      const response = fetch(url, init).then((r) => (r.ok ? r : this.#remember(r)))
      return this.#alone ? this.settlePassed(response, (r) => r) : response
    }
    // A permit ends with its call.
    const isDecided = asBuilt && init.body === turn.committed?.bytes && this.#answer !== undefined
    if (!isDecided) throw this.#stop(changed())
    const transport = leanTransport(fetch, turn.committed?.content)
    const sent = { ...init, signal: this.#attempt(init.signal) }
    const first = await transport(url, sent)
    if (!isRedirect(first)) return this.#remember(first)
    return this.#remember(await followHome(transport, first, this.#url, sent, (next) => this.#isSame(turn.call, next)))
  }

  /** True where a redirect leads to the same operation, at a place where the caller's requests may go. */
  #isSame(call: Call, url: string): boolean {
    const target = classify("POST", url, url)
    const staysHome = call.credentials._tag !== "App" && this.#isUsers
    return (
      target._tag === "Protected" &&
      target.operation.name === call.operation &&
      (!staysHome || Admission.isBelow(this.#session.door.baseURL, url))
    )
  }

  /** The sealed request in place of the one that was carried, where there is one. */
  #unseal(init: RequestInit): RequestInit {
    const sealed = this.#sealed
    if (sealed === undefined) return init
    const opened = unseal(sealed, init, mayBeSet(this.#session.door))
    if ("changed" in opened) throw this.#stop(changed(opened.changed))
    return opened.init
  }

  /** Ends a call before it is sent: now, for the SDK would try again. */
  #stop(error: Error): Error {
    this.#turn?.answered(Effect.fail(this.#failed(error)))
    return (this.#interrupted ??= error)
  }

  /**
   * What ends the HTTP request that begins: the signal of the SDK, in which the caller's, the timeout and `stream.controller`
   * end, and we.
   */
  #attempt(theirs: AbortSignal | null | undefined): AbortSignal {
    const controller = (this.#controller = new AbortController())
    if (this.#interrupted !== undefined) controller.abort(this.#interrupted)
    else if (theirs?.aborted) controller.abort(theirs.reason)
    else theirs?.addEventListener("abort", () => controller.abort(theirs.reason), { once: true })
    return controller.signal
  }

  /** Ends the request that is under way, if there is one, and every later attempt. */
  interrupt(reason: Error): void {
    this.#interrupted ??= reason
    this.#controller?.abort(reason)
    this.#props?.controller.abort(reason)
  }

  /** Keeps the text that the SDK's parser reads, for the log, for `asResponse()`, and for whoever wants the error's response. */
  #remember(response: Response): Response {
    const text = response.text
    response.text = async () => (this.#text = await text.call(response))
    if (!response.ok) this.#refused = response
    return response
  }

  #failed(error: unknown): ProviderFailed {
    const interrupted =
      this.#interrupted !== undefined && (error === this.#interrupted || error instanceof APIUserAbortError)
    const cause = interrupted ? Object.assign(new APIUserAbortError(), { cause: this.#interrupted }) : error
    return new ProviderFailed({
      cause,
      attempts: this.#attempts,
      ...(cause instanceof APIError && cause.status !== undefined ? { status: cause.status } : {}),
      ...(this.#refused !== undefined && this.#text !== undefined && { body: this.#text })
    })
  }

  #reply(value: unknown, props: ResponseProps, turn: Turn): Reply {
    const meta: Meta = {
      status: props.response.status,
      headers: props.response.headers,
      requestId: props.response.headers.get("x-request-id"),
      attempts: this.#attempts,
      ...(this.#text === undefined ? {} : { text: this.#text })
    }
    if (!(value instanceof OpenAIStream)) return Reply.json(value, meta)
    const failed = (cause: unknown) => this.#failed(cause)
    const reads = this.#reads(value, turn.committed!)
    return Reply.stream(
      reads === undefined
        ? Stream.fromAsyncIterable(value, failed)
        : Stream.flattenArray(Stream.fromAsyncIterable(reads, failed)),
      meta
    )
  }

  /** A stream's chunks by network read, which the log listens to; undefined of a class of the caller's own. */
  #reads(value: object, { entry, from }: Committed): AsyncIterable<NonEmptyReadonlyArray<unknown>> | undefined {
    if (value instanceof ChunkStream) return value.reads(entry)
    // A pipeline of one's own may change chunks, and a rule may keep some back.
    const asReceived = from.from.judge.output === undefined && !this.#session.hasOwnPipeline
    return value instanceof ReceivedEvents ? value.reads(entry, asReceived) : undefined
  }

  /** For an answer that was made without the network. */
  #propsOf(reply: Reply): ResponseProps {
    return {
      response: new Response(null, { status: reply.meta.status, headers: reply.meta.headers }),
      options: this.#options!,
      controller: new AbortController(),
      requestLogID: "log_local",
      retryOfRequestLogID: undefined,
      startTime: Date.now()
    }
  }
}

const changed = (what = "the request"): EnforcementUnavailableError =>
  new EnforcementUnavailableError(`The request was changed after it was decided on (${what}); nothing was sent.`)

/** Has the SDK decode a stream with a class of ours, where nobody asked for another. Its log of the options stays as it was. */
const decodeWith = (options: RequestOptions, streamClass: typeof ChunkStream): void => {
  if (options.__streamClass === undefined)
    Object.defineProperty(options, "__streamClass", { value: streamClass, configurable: true, writable: true })
}

const requireApiKey = ({ req: { headers } }: BuiltRequest): void => {
  if (headers.get("authorization") === `Bearer ${noApiKey}` || headers.get("api-key") === noApiKey)
    throw new ConfigurationError(
      "This request would go to the provider, but there is no API key: set OPENAI_API_KEY, pass apiKey, or give a layer with an Invocation of its own."
    )
}
