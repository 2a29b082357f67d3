/**
 * Where the pipeline meets the SDK. `request()` opens an exchange, `buildRequest()` has the final bytes and starts the
 * pipeline on them, the pipeline's invocation hands over what may be sent and waits for what the SDK gets back, and
 * `request()` answers with what the pipeline makes of it.
 *
 * An exchange is one logical call. The SDK's retries of the same bytes stay in one turn, that is one decision; a retry with
 * other bytes is a new turn, and a call of its own in the log.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { APIError, APIUserAbortError, type OpenAI, OpenAIError } from "openai"
import type { APIPromise } from "openai/api-promise"
import { Stream as OpenAIStream } from "openai/streaming"
import type { Outcome } from "../audit/Audit.ts"
import {
  Call,
  type Committed,
  type Credentials,
  type IntentPolicy,
  type Meta,
  type PassThrough,
  Reply
} from "../Call.ts"
import { parseStrictObject } from "../CanonicalJson.ts"
import {
  ConfigurationError,
  EnforcementUnavailable,
  type PipelineError,
  ProviderFailed,
  refusal,
  toSdkError
} from "../Errors.ts"
import { newId } from "../Id.ts"
import { Invocation } from "../invocation/Invocation.ts"
import { ChunkStream } from "../invocation/Sse.ts"
import { classify, familyResource, type Operation, type Target, toolResource } from "../Operation.ts"
import { Pipeline } from "../Pipeline.ts"
import { type Answer, eventStream, responseLike, type ResponseProps, withRequestId } from "./Answer.ts"
import { rememberReceipt } from "./Receipts.ts"
import { requireAlive, type Session } from "./Session.ts"

/** Options of one request, as the SDK's `request()` takes them. */
export type RequestOptions = Awaited<Parameters<OpenAI["request"]>[0]>
/** What the SDK's `buildRequest()` makes of them. */
export type BuiltRequest = Awaited<ReturnType<OpenAI["buildRequest"]>>

/** A call that arrived from another agent: in whose name, with which envelope. */
export interface Inbound {
  readonly credentials: Credentials
  readonly intents: ReadonlyArray<IntentPolicy>
  readonly invocation: string
}

/** Marks a request's options with its exchange, and a built request with the permit to be sent. */
const exchangeKey = Symbol("secure-openai/exchange")
const permitKey = Symbol("secure-openai/permit")
/** Carries an {@link Inbound} call in a request's options. */
export const inboundKey = Symbol("secure-openai/inbound")

type Marked = RequestOptions & { [exchangeKey]?: Exchange; [inboundKey]?: Inbound }

/** The answer was made without the network; stops the SDK. */
const answeredHere = new Error("answered without the network")

/** One decision: a pipeline under way, which stops inside `invoke` until the SDK has an answer. */
class Turn {
  readonly call: Call
  readonly body: string
  /** From `invoke` to `buildRequest`: this may be sent. */
  readonly permit = Promise.withResolvers<Committed>()
  /** From the SDK to `invoke`: this came back. */
  readonly answer = Deferred.makeUnsafe<Reply, ProviderFailed>()
  readonly exit = Promise.withResolvers<Exit.Exit<Reply, unknown>>()
  committed: Committed | undefined
  fiber: Fiber.Fiber<Reply, unknown> | undefined
  /** What went wrong, as the caller sees it; made once, so that everyone throws the same object. */
  error: unknown

  constructor(call: Call, body: string) {
    this.call = call
    this.body = body
    this.permit.promise.catch(() => {})
  }
}

const CurrentExchange = Context.Reference<{ readonly exchange: Exchange; readonly turn: Turn } | undefined>(
  "secure-openai/CurrentExchange",
  { defaultValue: () => undefined }
)

/** What runs a registered tool: the invocation of a call that stays in this process. */
export const CurrentHandler = Context.Reference<
  ((committed: Committed) => Effect.Effect<Reply, PipelineError>) | undefined
>("secure-openai/CurrentHandler", { defaultValue: () => undefined })

/** The facade's invocation: hands the committed bytes to the SDK, and waits for what it got back. */
export const layerInvocation = Layer.succeed(Invocation, {
  invoke: (committed) =>
    Effect.withFiber((fiber) => {
      const handler = fiber.getRef(CurrentHandler)
      if (handler !== undefined) return handler(committed)
      const here = fiber.getRef(CurrentExchange)
      if (here === undefined || committed.call.id !== here.turn.call.id)
        return Effect.die(new Error("a committed call is sent by its own exchange"))
      here.turn.committed = committed
      here.turn.permit.resolve(committed)
      return Effect.onInterrupt(Deferred.await(here.turn.answer), () =>
        Effect.sync(() => here.exchange.interrupt(new APIUserAbortError()))
      )
    })
})

/** One logical call on its way through the SDK. */
export class Exchange {
  readonly #session: Session
  readonly #kind = Promise.withResolvers<"judged" | "passed">()
  /** Settles when the pipeline is over before the SDK has an answer. */
  readonly #over = Promise.withResolvers<typeof answeredHere>()
  #turn: Turn | undefined
  #options: RequestOptions | undefined
  #finish: ((outcome: Outcome) => void) | undefined
  #endpoint = ""
  #interrupted: Error | undefined
  #attempt: AbortController | undefined
  #attempts = 0
  #alone = false
  #text: string | undefined

  constructor(session: Session) {
    this.#session = session
  }

  static of(options: RequestOptions): Exchange | undefined {
    return (options as Marked)[exchangeKey]
  }

  /** The exchange that a built request belongs to. */
  static ofRequest(request: object | undefined): Exchange | undefined {
    return (request as { [permitKey]?: Exchange } | undefined)?.[permitKey]
  }

  /** The same options object, marked; a copy only if another call marked it already. */
  mark(options: RequestOptions): RequestOptions {
    const marked: Marked = Object.hasOwn(options, exchangeKey) ? { ...options } : options
    Object.defineProperty(marked, exchangeKey, { value: this, enumerable: true, configurable: true, writable: true })
    return marked
  }

  /** Judges a built request, and gives it back as it may be sent. Called once an attempt. */
  async build(options: RequestOptions, built: BuiltRequest, baseURL: string): Promise<BuiltRequest> {
    const { endpoint, target } = targetOf(built.req.method ?? "get", built.url, baseURL)
    this.#endpoint = endpoint
    this.#options = options
    if (options.signal?.aborted) throw new APIUserAbortError()
    requireAlive(this.#session)
    Object.defineProperty(built.req, permitKey, { value: this, enumerable: true })
    if (target._tag === "Family") {
      await this.#pass(target.family, built.url)
      this.#kind.resolve("passed")
      return built
    }
    this.#kind.resolve("judged")
    if (this.#interrupted !== undefined) throw this.#turn?.error ?? this.#interrupted
    const body = built.req.body
    if (this.#turn === undefined || this.#turn.body !== body) await this.#decide(target.operation, built, options)
    const committed = await this.#turn!.permit.promise
    requireApiKey(built)
    built.req.body = committed.bytes
    if (options.__streamMode !== "events" && !options.__synthesizeEventData) options.__streamClass ??= ChunkStream
    return built
  }

  /**
   * Judges a request that was built outside `request()`. A protected one is refused, since nobody would wait for its answer;
   * any other is recorded as it leaves.
   */
  async buildAlone(options: RequestOptions, built: BuiltRequest, baseURL: string): Promise<BuiltRequest> {
    const { target } = targetOf(built.req.method ?? "get", built.url, baseURL)
    if (target._tag === "Protected")
      await this.#refuse(
        toolResource(this.#session.app, target.operation.name),
        "no_exchange",
        "a protected request is made by the client's own methods"
      )
    this.#alone = true
    return this.build(options, built, baseURL)
  }

  /** Starts a turn: a call of its own on the way through the pipeline. */
  async #decide(operation: Operation, built: BuiltRequest, options: RequestOptions): Promise<void> {
    const before = this.#turn
    const inbound = (options as Marked)[inboundKey]
    const credentials = inbound?.credentials ?? this.#session.credentials
    const body = built.req.body
    const resource = toolResource(this.#session.app, operation.name)
    await this.#keepHome(built.url, credentials, resource)
    if (typeof body !== "string") return this.#refuse(resource, "invalid_body", "the body is not JSON text")
    const parsed = parseStrictObject(body)
    if (Result.isFailure(parsed))
      return this.#refuse(resource, "invalid_body", `the body cannot be judged: ${parsed.failure}`)
    const call = Call.fromParsed(operation.name, parsed.success, {
      bytes: body,
      app: this.#session.app,
      server: this.#session.server,
      endpoint: this.#endpoint,
      credentials,
      intents: inbound === undefined ? this.#session.intents : [...this.#session.intents, ...inbound.intents],
      invocation: inbound?.invocation,
      parent: before?.call.id
    })
    const turn = (this.#turn = new Turn(call, body))
    // The old fiber may end synchronously, so the turn has moved on before it is told.
    if (before !== undefined)
      Deferred.doneUnsafe(before.answer, Effect.fail(this.#failed(new Error("retried with other bytes"))))
    turn.fiber = this.#session.runtime.runFork(
      Effect.provideService(
        Effect.flatMap(Pipeline, (pipeline) => pipeline.run(call)),
        CurrentExchange,
        { exchange: this, turn }
      )
    )
    const interrupt = () => turn.fiber?.interruptUnsafe()
    options.signal?.addEventListener("abort", interrupt, { once: true })
    const release = () => options.signal?.removeEventListener("abort", interrupt)
    turn.permit.promise.then(release, release)
    turn.fiber.addObserver((exit) => {
      if (Exit.isFailure(exit)) turn.error = callerError(exit.cause)
      turn.exit.resolve(exit)
      if (turn === this.#turn) this.#over.resolve(answeredHere)
      turn.permit.reject(Exit.isFailure(exit) ? turn.error : answeredHere)
    })
  }

  /** Identity, policy on the resource, and the log, for a family that passes through. */
  async #pass(family: string, url: string): Promise<void> {
    if (this.#finish !== undefined) return
    const { app, credentials, intents, workspace } = this.#session
    const request: PassThrough = {
      id: newId(),
      app,
      family,
      resource: familyResource(app, family),
      endpoint: this.#endpoint,
      credentials,
      intents
    }
    await this.#keepHome(url, credentials, request.resource)
    this.#finish = await workspace.pass(request)
  }

  /** A user's request stays with the service's own base URL. */
  async #keepHome(url: string, credentials: Credentials, resource: string): Promise<void> {
    const { pinned } = this.#session
    if (credentials._tag === "App" || pinned === undefined || url === pinned || url.startsWith(`${pinned}/`)) return
    await this.#refuse(resource, "foreign_url", `a user's requests stay below ${pinned}`)
  }

  async #refuse(resource: string, code: string, message: string): Promise<never> {
    const denied = refusal("egress", { code, message }, { resource, principal: "" })
    await this.#session.workspace.refuse({
      call: newId(),
      tool: resource,
      app: this.#session.app,
      stage: "egress",
      code,
      status: 403,
      violations: [{ code }]
    })
    throw toSdkError(denied)
  }

  /** The SDK's own run of the call, given back to the pipeline; what the pipeline makes of it, given to the caller. */
  async settle(inner: APIPromise<unknown>, client: OpenAI): Promise<Answer> {
    inner["responsePromise"].catch(() => this.#kind.resolve("passed"))
    if ((await this.#kind.promise) === "passed") {
      const props = await this.settlePassed(inner["responsePromise"])
      return {
        props,
        value: async () => inner["parseResponse"](client, props),
        raw: () => props.response,
        streamed: false
      }
    }
    const got = await Promise.race([inner._thenUnwrap((value, props) => ({ value, props })), this.#over.promise]).catch(
      (error: unknown) => ({ error })
    )
    const turn = this.#turn
    if (turn === undefined) throw "error" in got ? got.error : answeredHere
    if (!(got instanceof Error))
      Deferred.doneUnsafe(
        turn.answer,
        "error" in got ? Effect.fail(this.#failed(got.error)) : Effect.succeed(this.#reply(got.value, got.props, turn))
      )
    const exit = await turn.exit.promise
    if (Exit.isFailure(exit)) throw turn.error
    const reply = exit.value
    const props = "props" in got ? got.props : this.#propsOf(reply)
    const receipt = reply.meta.receipt === undefined ? {} : { receipt: reply.meta.receipt }
    if (reply._tag === "Stream") return { ...this.#streamed(reply, props, client), ...receipt }
    const text = "value" in got && got.value === reply.value ? this.#text : undefined
    return {
      props,
      value: async () => withRequestId(reply.value, props.response),
      raw: () => responseLike(props.response, text ?? JSON.stringify(reply.value), "application/json"),
      streamed: false,
      ...receipt
    }
  }

  /** Tells the log how a request that passed through ended. */
  async settlePassed(response: Promise<ResponseProps>): Promise<ResponseProps> {
    return this.#settleOutcome(response, (props) => props.response)
  }

  #settleAlone(response: Promise<Response>): Promise<Response> {
    return this.#settleOutcome(response, (r) => r)
  }

  async #settleOutcome<A>(under: Promise<A>, responseOf: (a: A) => Response): Promise<A> {
    try {
      const answer = await under
      const { headers, status } = responseOf(answer)
      const requestId = headers.get("x-request-id")
      this.#finish?.({
        result: "complete",
        attempts: this.#attempts,
        status,
        ...(requestId === null ? {} : { requestId })
      })
      return answer
    } catch (error) {
      this.#finish?.({
        result: error instanceof APIUserAbortError ? "aborted" : "failed",
        attempts: this.#attempts,
        error: error instanceof Error ? error.constructor.name : typeof error,
        ...(error instanceof APIError && error.status !== undefined ? { status: error.status } : {})
      })
      throw error
    }
  }

  /** One HTTP request, as the guard sends it: the permitted bytes and nothing else. */
  async send(fetch: typeof globalThis.fetch, input: string | URL | Request, init: RequestInit): Promise<Response> {
    this.#attempts++
    const turn = this.#turn
    if (turn === undefined) {
      const response = fetch(input, init)
      return this.#alone ? this.#settleAlone(response) : response
    }
    if (turn.committed === undefined || init.body !== turn.committed.bytes)
      throw new EnforcementUnavailable({ stage: "egress", message: "These are not the bytes that were decided on." })
    // One controller below the SDK's own: the caller's signal, the timeout and `stream.controller` flow into it, and so do
    // the pipeline's interruption and the end of a binding.
    const attempt = (this.#attempt = new AbortController())
    const own = init.signal
    if (own?.aborted) attempt.abort(own.reason)
    else own?.addEventListener("abort", () => attempt.abort(own.reason), { once: true })
    if (this.#interrupted !== undefined) attempt.abort(this.#interrupted)
    const response = await followHome(fetch, input, { ...init, signal: attempt.signal, redirect: "manual" })
    if (!turn.call.stream) this.#remember(response)
    return response
  }

  /** Ends the request that is under way, if there is one, and every later attempt. */
  interrupt(reason: Error): void {
    this.#interrupted ??= reason
    this.#attempt?.abort(reason)
  }

  /** Keeps the text that the SDK's parser reads, for the log and for `asResponse()`. */
  #remember(response: Response): void {
    const text = response.text
    response.text = async () => (this.#text = await text.call(response))
  }

  #failed(error: unknown): ProviderFailed {
    const cause = error === this.#interrupted ? Object.assign(new APIUserAbortError(), { cause: error }) : error
    return new ProviderFailed({
      cause,
      attempts: this.#attempts,
      ...(cause instanceof APIError && cause.status !== undefined ? { status: cause.status } : {})
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
    return Reply.stream(
      value instanceof ChunkStream
        ? Stream.flattenArray(Stream.fromAsyncIterable(value.reads(turn.committed!.entry.received), failed))
        : Stream.fromAsyncIterable(value, failed),
      meta
    )
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

  /** A genuine stream of the SDK over the pipeline's, which can be consumed once, and which the log follows to its end. */
  #streamed(reply: Extract<Reply, { readonly _tag: "Stream" }>, props: ResponseProps, client: OpenAI): Answer {
    const { ending, runtime, workspace } = this.#session
    const { receipt } = reply.meta
    const end = (reason: Error) => this.interrupt(reason)
    ending.add(end)
    let consumed = false
    const open = (): AsyncGenerator<unknown> => {
      if (consumed) throw new OpenAIError("Cannot iterate over a consumed stream, use `.tee()` to split the stream.")
      consumed = true
      unread.unregister(props)
      return read()
    }
    const read = async function* (this: void): AsyncGenerator<unknown> {
      const chunks = Stream.toAsyncIterableWith(reply.stream, await runtime.context())
      let first = receipt !== undefined
      try {
        for await (const chunk of chunks) {
          if (first) {
            rememberReceipt(chunk, receipt!)
            first = false
          }
          yield chunk
        }
      } catch (error) {
        const cause = toSdkError(error)
        // As the SDK does, a stream that its consumer aborted just ends.
        if (!(cause instanceof APIUserAbortError)) throw cause
        if (cause.cause instanceof OpenAIError) throw cause.cause
      } finally {
        ending.delete(end)
      }
    }
    const stream = new OpenAIStream(open, props.controller, client)
    if (receipt !== undefined) unread.register(stream, () => workspace.abandon(receipt.call), props)
    return {
      props,
      value: async () => stream,
      raw: () => responseLike(props.response, eventStream(open), "text/event-stream"),
      streamed: true
    }
  }
}

/** Streams that nobody began to read are told to the log when they are collected. */
const unread = new FinalizationRegistry<() => void>((abandon) => abandon())

/** Stands in for an API key where nothing may ever be sent. */
export const noApiKey = "no-api-key"

const requireApiKey = (built: BuiltRequest): void => {
  if (built.req.headers.get("authorization") === `Bearer ${noApiKey}`)
    throw new ConfigurationError(
      "This request would go to the provider, but there is no API key: set OPENAI_API_KEY, pass apiKey, or give a layer with an Invocation of its own."
    )
}

/** What a request is for, and its endpoint without the query. An app asks for few URLs, again and again. */
const targetOf = (
  method: string,
  url: string,
  baseURL: string
): { readonly target: Target; readonly endpoint: string } => {
  const key = `${method} ${url} ${baseURL}`
  const known = targets.get(key)
  if (known !== undefined) return known
  const { origin, pathname } = new URL(url)
  const found = { target: classify(method, url, baseURL), endpoint: `${method.toUpperCase()} ${origin}${pathname}` }
  if (targets.size === 256) targets.clear()
  targets.set(key, found)
  return found
}
const targets = new Map<string, ReturnType<typeof targetOf>>()

const callerError = (cause: Cause.Cause<unknown>): unknown =>
  Cause.hasInterruptsOnly(cause) ? new APIUserAbortError() : toSdkError(Cause.squash(cause))

/** Follows redirects that keep method, body and origin (RFC 9110 §15.4.8, §15.4.9); any other is answered as it came. */
const followHome = async (
  fetch: typeof globalThis.fetch,
  input: string | URL | Request,
  init: RequestInit
): Promise<Response> => {
  let url = input instanceof Request ? input.url : String(input)
  for (let hops = 0; ; hops++) {
    const response = await fetch(url, init)
    if (response.status !== 307 && response.status !== 308) return response
    const location = response.headers.get("location")
    const next = location === null ? undefined : new URL(location, url)
    if (next === undefined || hops === 5 || next.origin !== new URL(url).origin) return response
    await response.body?.cancel()
    url = next.href
  }
}
