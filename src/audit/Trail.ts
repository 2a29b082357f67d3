/**
 * What the log knows of one call, from its decision to its outcome: plain bookkeeping over the log. Whatever happens to a call, its
 * trail ends once.
 */
import * as Result from "effect/Result"
import { endOf } from "../answer/Finish.ts"
import { toolCallsOf } from "../answer/ToolCalls.ts"
import type { ToolCall } from "../answer/ToolCall.ts"
import { usageOf } from "../answer/Usage.ts"
import { Content } from "../base/Content.ts"
import type { Call } from "../call/Call.ts"
import type { Entry, JudgedAnswer } from "../call/Entry.ts"
import type { Meta, Receipt, Reply } from "../call/Reply.ts"
import type { PassThrough } from "../call/PassThrough.ts"
import type { Prepared } from "../call/States.ts"
import type { CallEnd } from "../call/CallEnd.ts"
import type { Claim } from "../call/Claim.ts"
import type { Decision, Edit } from "../call/Decision.ts"
import type { EnforcementUnavailable, PolicyRateLimited } from "../call/Errors.ts"
import { isOperation, toolResource } from "../call/Operation.ts"
import type { Principal } from "../call/Principal.ts"
import { namesIn } from "../call/Query.ts"
import type { AnyKey } from "../keys/Keys.ts"
import { claim } from "./Claims.ts"
import type { Clock } from "./Clock.ts"
import { digests, salted, type Salts } from "./Digest.ts"
import type { EndFields } from "./FailureFields.ts"
import type { Appended, AppendedBody, Boot, Place } from "./Log.ts"
import { makeReceipt, type Out } from "./proof/Receipt.ts"
import { recordClaims } from "./Quota.ts"
import type { RecordEdit } from "./Record.ts"
import {
  httpOf,
  longestName,
  recordEdit,
  recordEndpoint,
  recordFound,
  recordHeaders,
  recordObserved,
  recordPrincipal,
  quantitiesOf,
  saltedFields,
  toolVerdict,
  userOf
} from "./RecordFields.ts"
import { StreamTrail } from "./StreamTrail.ts"
import { unavailable } from "./Unavailable.ts"

/** What the trails of one client have in common. */
export interface TrailContext {
  /** Origin of the log. */
  readonly origin: string
  readonly salts: Salts
  /** Signs receipts. */
  readonly agent: AnyKey<"agent">
  /** Issuer of receipts; where absent, the service that was called. */
  readonly server: string | undefined
  readonly clock: Clock
  /** Reports what a subscriber of a call's end threw. */
  readonly subscriberFailed: (cause: unknown) => void
}

/** What a receipt repeats of a decision. */
interface DecisionFields {
  readonly claims: ReadonlyArray<Claim>
  readonly call: Call
  readonly prepared: Prepared
  readonly verdict: "allow" | "rewrite"
  readonly edits: ReadonlyArray<Edit>
  readonly changes: ReadonlyArray<RecordEdit>
  readonly requested: string
  readonly effective: string
  readonly invocation: string
}

/** A call under way. */
export class Trail {
  /** The call, as the log names it. */
  readonly id: string
  /** Set as soon as it is known, for a refusal to name. */
  principal: Principal | undefined
  /** True once the decision is durable. */
  acknowledged = false
  readonly #context: TrailContext
  readonly #parent: string | undefined
  /** Called once, at the end. */
  readonly #ended: (trail: Trail) => void
  #opened: Appended | undefined
  /** The boot that has the decision. Once it failed the call is over: the next boot records its end as unknown. */
  #boot: Boot | undefined
  #prepared: Prepared | undefined
  /** What the decision record says, for the receipt. */
  #decision: DecisionFields | undefined
  #entry: Entry | undefined
  #out: Out | undefined
  #over = false
  /** When the decision was appended, by the steady clock. */
  #began = 0
  #end: CallEnd | undefined
  #subscribers: Array<(end: CallEnd) => void> = []
  #stream: StreamTrail | undefined
  #streaming = false
  /** What output rules found, and the outcome's fields of an answer that they refuse. */
  #found: JudgedAnswer | undefined
  #answer: Partial<EndFields> = {}

  constructor(
    context: TrailContext,
    options: { readonly id: string; readonly parent?: string | undefined; readonly ended: (trail: Trail) => void }
  ) {
    this.#context = context
    this.id = options.id
    this.#parent = options.parent
    this.#ended = options.ended
  }

  /** True once its decision was appended; an outcome must follow. */
  get decided(): boolean {
    return this.#opened !== undefined
  }

  /** True once it has its outcome. */
  get over(): boolean {
    return this.#over
  }

  /** Appends the decision, once. The call has its {@link entry} when the decision is durable. */
  decide(prepared: Prepared, boot: Boot): Result.Result<Appended, EnforcementUnavailable | PolicyRateLimited> {
    if (this.#opened !== undefined) return Result.fail(unavailable(`The call ${this.id} was committed before.`))
    const at = boot.now()
    const claimed = claim(prepared, boot.quota, at)
    if (Result.isFailure(claimed)) return Result.fail(claimed.failure)
    const { claims, observed } = claimed.success
    const { salts } = this.#context
    const { call, edits, from } = prepared
    const verdict = edits.length === 0 ? "allow" : "rewrite"
    const requested = salted(salts(this.id, "requested"), call.content)
    const effective = salted(salts(this.id, "effective"), prepared.content)
    const changes = edits.map((edit) => recordEdit(edit, salts, this.id))
    const invocation = `sha-256:${from.from.digest}`
    const model = isOperation(call.operation) ? prepared.params["model"] : undefined
    const body: AppendedBody = {
      kind: "decision",
      call: this.id,
      tool: call.resource,
      app: call.app,
      principal: recordPrincipal(prepared.principal),
      verdict,
      policies: from.decision.policies,
      rev: from.decision.revision,
      claims: recordClaims(claims),
      edits: changes,
      digests,
      requested,
      effective,
      model: typeof model === "string" ? model.slice(0, longestName) : undefined,
      stream: prepared.params["stream"] === true,
      endpoint: recordEndpoint(prepared.endpoint),
      kid: from.from.kid,
      inv: invocation,
      parent: this.#parent ?? call.parent,
      query: call.query && {
        digest: salted(salts(this.id, "query"), new Content(call.query.text)),
        names: namesIn(call.query)
      },
      headers: recordHeaders(call.headers),
      asked: quantitiesOf(call, from.judge.bounded, from.observed?.judge.bounded),
      observed: observed && {
        claims: recordClaims(observed.claims),
        ...recordObserved(observed.decision, salts, this.id)
      }
    }
    const appended = boot.append(body, at)
    if (Result.isFailure(appended)) {
      claimed.success.release()
      return Result.fail(appended.failure)
    }
    this.#opened = appended.success
    this.#began = this.#context.clock.elapsed()
    this.#boot = boot
    this.#prepared = prepared
    this.#decision = { claims, verdict, changes, edits, requested, effective, invocation, call, prepared }
    return appended
  }

  /**
   * The acknowledgement of a decision that is durable, or whose place is known because the log makes no call wait. Its receipt
   * names the record's place.
   */
  entry(): Entry {
    if (this.#entry !== undefined) return this.#entry
    const place = this.#opened?.place
    const decision = this.#decision
    if (place === undefined || decision === undefined)
      throw new Error(`The decision of the call ${this.id} has no place yet.`)
    this.#decision = undefined
    return (this.#entry = {
      seq: place.seq,
      claims: decision.claims,
      receipt: this.#receipt(decision, place),
      received: (data) => this.#received(data),
      begun: () => this.#streamTrail().begun(),
      whole: () => this.#streamTrail().whole(),
      came: (chunks) => {
        if (!this.#over) this.#streamTrail().came(chunks)
      },
      judged: (found) => this.#judged(found),
      onEnd: (subscriber) => this.#onEnd(subscriber)
    })
  }

  #receipt(decision: DecisionFields, { leaf, seq }: Place): Receipt {
    const { agent, origin, server } = this.#context
    const { call, changes, edits, effective, invocation, prepared, requested, verdict } = decision
    return makeReceipt({
      call: this.id,
      tool: call.resource,
      index: seq,
      leaf,
      verdict,
      edits: changes,
      requested,
      effective,
      digests,
      invocation,
      log: origin,
      issuer: server ?? call.server,
      subject: prepared.principal.id,
      user: userOf(prepared.principal),
      key: agent,
      envelope: prepared.from.from.envelope,
      salts: () => this.#salts(edits, call),
      out: () => this.#out,
      now: this.#context.clock.now
    })
  }

  /** Appends that a request passes through, once. */
  pass(
    request: PassThrough,
    principal: Principal,
    observed: Decision | undefined,
    boot: Boot
  ): Result.Result<Appended, EnforcementUnavailable> {
    this.#boot = boot
    this.#began = this.#context.clock.elapsed()
    const appended = boot.append({
      kind: "passthrough",
      call: this.id,
      tool: request.resource,
      app: request.app,
      principal: recordPrincipal(principal),
      endpoint: recordEndpoint(request.endpoint),
      headers: recordHeaders(request.headers),
      parent: this.#parent,
      observed: observed && recordObserved(observed, this.#context.salts, this.id)
    })
    if (Result.isSuccess(appended)) this.#opened = appended.success
    return appended
  }

  /** Records a JSON answer: the tools it asks for, then the outcome. */
  answered(reply: Extract<Reply, { readonly _tag: "Json" }>): Result.Result<Reply, EnforcementUnavailable> {
    const ended = this.end({ result: this.#isOfModel ? endOf(reply.value) : "complete", ...this.#answerFields(reply) })
    return Result.map(ended, () => ({ ...reply, meta: this.#withReceipt(reply.meta) }))
  }

  /** True where a provider answers, and no registered tool. */
  get #isOfModel(): boolean {
    return this.#prepared !== undefined && isOperation(this.#prepared.call.operation)
  }

  /** What the outcome says of a JSON answer; the tools that it asks for are records of their own. */
  #answerFields({ meta, value }: Extract<Reply, { readonly _tag: "Json" }>): Omit<EndFields, "result"> {
    if (this.#prepared?.call.operation === "generate") this.#tools(toolCallsOf(value))
    return {
      ...httpOf(meta),
      response: salted(
        this.#context.salts(this.id, "response"),
        new Content(meta.text ?? JSON.stringify(value) ?? "null")
      ),
      usage: usageOf(value)
    }
  }

  /** Records that a stream begins. {@link handed} takes its chunks, {@link end} its end. */
  streamed(meta: Meta): Result.Result<Meta, EnforcementUnavailable> {
    const opened = this.#opened
    if (opened === undefined) return Result.fail(this.#undecided)
    const decision = opened.place?.seq ?? opened
    return Result.map(this.#append({ kind: "stream.open", call: this.id, decision, status: meta.status }), () => {
      this.#streaming = true
      const stream = this.#streamTrail()
      stream.opened(meta)
      return { ...this.#withReceipt(meta), consumed: () => stream.consumed() }
    })
  }

  /** Counts chunks that are about to be handed on; returns why they may not be, where the boot failed. */
  handed(chunks: ReadonlyArray<unknown>): EnforcementUnavailable | undefined {
    if (!this.#over) this.#streamTrail().handed(chunks)
    return this.#boot?.fault
  }

  /** Records the outcome. Later calls are ignored. */
  end(end: EndFields): Result.Result<void, EnforcementUnavailable> {
    if (this.#over || this.#opened === undefined) return Result.void
    this.#over = true
    const stream = this.#streaming ? this.#stream : undefined
    const result = end.result === "complete" ? (stream?.ending ?? "complete") : end.result
    this.#stream?.stop()
    const known = stream?.known ?? this.#answer
    const response = end.response ?? known.response
    const status = end.status ?? known.status
    const usage = end.usage ?? known.usage
    if (stream !== undefined) {
      this.#tools(stream.toolCalls)
      stream.close(result)
    }
    this.#out = { result, status, rdh: response, usage }
    this.#ended(this)
    const attempts = end.attempts ?? known.attempts ?? 0
    const ms = Math.max(0, Math.round(this.#context.clock.elapsed() - this.#began))
    const said = this.#append({
      kind: "outcome",
      call: this.id,
      decision: this.#opened.place?.seq ?? this.#opened,
      result,
      attempts,
      status,
      error: end.error,
      request: end.request ?? known.request,
      response,
      digests: response === undefined ? undefined : digests,
      usage,
      output: recordFound(this.#found?.violations),
      observed: recordFound(this.#found?.observed),
      ms
    })
    // A receipt lives as long as its answer does, and holds its trail: it need not hold the prompt.
    this.#prepared = undefined
    this.#stream = undefined
    this.#notify({ call: this.id, result, status, attempts, usage, error: end.error, ms })
    return Result.map(said, () => undefined)
  }

  #notify(end: CallEnd): void {
    this.#end = end
    const subscribers = this.#subscribers
    this.#subscribers = []
    for (const subscriber of subscribers) this.#call(subscriber, end)
  }

  #onEnd(subscriber: (end: CallEnd) => void): void {
    if (this.#end === undefined) this.#subscribers.push(subscriber)
    else this.#call(subscriber, this.#end)
  }

  /** A subscriber that throws stops neither the other subscribers nor the log. */
  #call(subscriber: (end: CallEnd) => void, end: CallEnd): void {
    try {
      subscriber(end)
    } catch (cause) {
      this.#context.subscriberFailed(cause)
    }
  }

  #judged(found: JudgedAnswer): void {
    if (this.#over) return
    this.#found = found
    if (found.answer !== undefined) this.#answer = this.#answerFields(found.answer)
  }

  #received(data: string): void {
    if (!this.#over) this.#streamTrail().received(data)
  }

  #streamTrail(): StreamTrail {
    return (this.#stream ??= new StreamTrail((body) => this.#append(body), this.#context.salts, this.id))
  }

  #append(body: AppendedBody): Result.Result<Appended, EnforcementUnavailable> {
    return this.#boot?.append(body) ?? Result.fail(this.#undecided)
  }

  get #undecided(): EnforcementUnavailable {
    return unavailable(`The call ${this.id} has no decision in the log.`)
  }

  #tools(calls: ReadonlyArray<ToolCall>): void {
    const prepared = this.#prepared
    if (prepared === undefined) return
    for (const call of calls)
      this.#append({
        kind: "tool_call",
        call: this.id,
        tool: toolResource(prepared.call.app, call.name.slice(0, longestName)),
        arguments: salted(this.#context.salts(this.id, "arguments"), new Content(call.text)),
        digests,
        verdict: toolVerdict(prepared, call)
      })
  }

  #withReceipt(meta: Meta): Meta {
    return this.#entry === undefined ? meta : { ...meta, receipt: this.#entry.receipt }
  }

  #salts(edits: ReadonlyArray<Edit>, { query }: Call): Readonly<Record<string, string>> {
    const fields = ["requested", "effective", "response", "stream", "arguments", ...edits.flatMap(saltedFields)]
    if (query !== undefined) fields.push("query")
    return Object.fromEntries(
      fields.map((field) => [field, Buffer.from(this.#context.salts(this.id, field)).toString("base64url")])
    )
  }
}
