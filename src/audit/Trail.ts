/**
 * What the log knows of one call, from its decision to its outcome: plain bookkeeping over the journal, with nothing but
 * pure code for each chunk of a stream. Whatever happens to a call, its trail ends once.
 */
import * as Result from "effect/Result"
import { endOf, StreamFinish } from "../answer/Finish.ts"
import { StreamedToolCalls } from "../answer/StreamedToolCalls.ts"
import type { ToolCall } from "../answer/ToolCall.ts"
import { toolCallsOf } from "../answer/ToolCalls.ts"
import { usageOf } from "../answer/Usage.ts"
import type { Call, Entry, JudgedAnswer, Meta, PassThrough, Prepared, Reply } from "../call/Call.ts"
import type { Decision, Edit, Violation } from "../call/Decision.ts"
import type { Claim } from "../call/Claim.ts"
import type { EnforcementUnavailable, PolicyRateLimited } from "../call/Errors.ts"
import type { AnyKey } from "../keys/Keys.ts"
import { isOperation, quantities, toolResource } from "../call/Operation.ts"
import type { Principal } from "../call/Principal.ts"
import { namesIn } from "../call/Query.ts"
import { Content } from "../base/Content.ts"
import { Chain, digests, salted, type Salts } from "./Digest.ts"
import { type End, recordViolations } from "./Failure.ts"
import type { Journal } from "./folder/Journal.ts"
import { unavailable } from "./Unavailable.ts"
import type { Appended, Writer } from "./folder/Writer.ts"
import { makeReceipt, type Out } from "./proof/Receipt.ts"
import { type Quota, recordClaims } from "./Quota.ts"
import type { Body, RecordEdit, RecordObserved, RecordPrincipal, RecordQuantity, RecordViolation } from "./Record.ts"

/** What the trails of one client have in common. */
export interface Ground {
  readonly journal: Journal
  readonly salts: Salts
  /** Signs receipts. */
  readonly agent: AnyKey<"agent">
  /** Issuer of receipts; where absent, the service that was called. */
  readonly server: string | undefined
}

/** A segment record follows after so many chunks, or so many ms after its first one. */
const segmentChunks = 64
const segmentDelay = 250

/** A name that a model or a caller gave is told up to here: what is longer is no name, and may be content. */
const longestName = 128

/** A call under way. */
export class Trail {
  /** The call, as the log names it. */
  readonly id: string
  /** Set as soon as it is known, for a refusal to name. */
  principal: Principal | undefined
  /** True once the decision is on the disk. */
  acknowledged = false
  readonly #ground: Ground
  readonly #parent: string | undefined
  /** Told once, at the end. */
  readonly #ended: (trail: Trail) => void
  #opened: Appended | undefined
  /** The boot that took the decision in. After it the call is over: the next one has recorded its end as unknown. */
  #writer: Writer | undefined
  #prepared: Prepared | undefined
  #entry: Entry | undefined
  #out: Out | undefined
  #over = false
  #stream: StreamTrail | undefined
  #streaming = false
  /** What output rules found, and what the outcome of an answer that they refuse has to tell. */
  #found: JudgedAnswer | undefined
  #answer: Partial<End> = {}

  constructor(
    ground: Ground,
    options: { readonly id: string; readonly parent?: string | undefined; readonly ended: (trail: Trail) => void }
  ) {
    this.#ground = ground
    this.id = options.id
    this.#parent = options.parent
    this.#ended = options.ended
  }

  /** True once its decision was taken in; it is owed an outcome from then on. */
  get decided(): boolean {
    return this.#opened !== undefined
  }

  /** True once it has its outcome. */
  get over(): boolean {
    return this.#over
  }

  /** Takes in the decision, once. */
  decide(prepared: Prepared, writer: Writer): Result.Result<Entry, EnforcementUnavailable | PolicyRateLimited> {
    if (this.#opened !== undefined) return Result.fail(unavailable(`The call ${this.id} was committed before.`))
    const at = writer.now()
    const claimed = claim(prepared, writer.quota, at)
    if (Result.isFailure(claimed)) return Result.fail(claimed.failure)
    const { claims, observed } = claimed.success
    const { agent, journal, salts, server } = this.#ground
    const { call, edits, from } = prepared
    const verdict = edits.length === 0 ? "allow" : "rewrite"
    const requested = salted(salts(this.id, "requested"), call.content)
    const effective = salted(salts(this.id, "effective"), prepared.content)
    const changes = edits.map((edit) => recordEdit(edit, salts, this.id))
    const invocation = `sha-256:${from.from.digest}`
    const model = isOperation(call.operation) ? prepared.params["model"] : undefined
    const body: Body = {
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
    const appended = writer.append(body, at)
    if (Result.isFailure(appended)) {
      claimed.success.release()
      return Result.fail(appended.failure)
    }
    this.#opened = appended.success
    this.#writer = writer
    this.#prepared = prepared
    const receipt = makeReceipt({
      call: this.id,
      tool: call.resource,
      index: appended.success.seq,
      leaf: appended.success.leaf,
      verdict,
      edits: changes,
      requested,
      effective,
      digests,
      invocation,
      log: journal.origin,
      issuer: server ?? call.server,
      subject: prepared.principal.id,
      user: userOf(prepared.principal),
      key: agent,
      envelope: from.from.envelope,
      salts: () => this.#salts(edits, call),
      out: () => this.#out
    })
    const entry: Entry = {
      seq: appended.success.seq,
      claims,
      receipt,
      received: (data) => this.#received(data),
      begun: () => this.#streamTrail().begun(),
      whole: () => this.#streamTrail().whole(),
      came: (chunks) => {
        if (!this.#over) this.#streamTrail().came(chunks)
      },
      judged: (found) => this.#judged(found)
    }
    this.#entry = entry
    return Result.succeed(entry)
  }

  /** Takes in that a request passes through, once. */
  pass(
    request: PassThrough,
    principal: Principal,
    observed: Decision | undefined,
    writer: Writer
  ): Result.Result<void, EnforcementUnavailable> {
    this.#writer = writer
    return Result.map(
      writer.append({
        kind: "passthrough",
        call: this.id,
        tool: request.resource,
        app: request.app,
        principal: recordPrincipal(principal),
        endpoint: recordEndpoint(request.endpoint),
        headers: recordHeaders(request.headers),
        parent: this.#parent,
        observed: observed && recordObserved(observed, this.#ground.salts, this.id)
      }),
      (opened) => void (this.#opened = opened)
    )
  }

  /** Takes in a JSON answer: the tools it asks for, then the outcome. */
  answered(reply: Extract<Reply, { readonly _tag: "Json" }>): Result.Result<Reply, EnforcementUnavailable> {
    const ended = this.end({ result: this.#isOfModel ? endOf(reply.value) : "complete", ...this.#told(reply) })
    return Result.map(ended, () => ({ ...reply, meta: this.#withReceipt(reply.meta) }))
  }

  /** True where a provider answers, and no registered tool. */
  get #isOfModel(): boolean {
    return this.#prepared !== undefined && isOperation(this.#prepared.call.operation)
  }

  /** What a JSON answer tells; the tools that it asks for are records of their own. */
  #told({ meta, value }: Extract<Reply, { readonly _tag: "Json" }>): Omit<End, "result"> {
    if (this.#prepared?.call.operation === "generate") this.#tools(toolCallsOf(value))
    return {
      ...httpOf(meta),
      response: salted(
        this.#ground.salts(this.id, "response"),
        new Content(meta.text ?? JSON.stringify(value) ?? "null")
      ),
      usage: usageOf(value)
    }
  }

  /** Takes in that a stream begins. Its chunks are told by {@link handed}, its end by {@link end}. */
  streamed(meta: Meta): Result.Result<Meta, EnforcementUnavailable> {
    const decision = this.#opened?.seq ?? 0
    return Result.map(this.#append({ kind: "stream.open", call: this.id, decision, status: meta.status }), () => {
      this.#streaming = true
      const stream = this.#streamTrail()
      stream.opened(meta)
      return { ...this.#withReceipt(meta), consumed: () => stream.consumed() }
    })
  }

  /** Takes in chunks that are about to be handed on; tells why they may not be. */
  handed(chunks: ReadonlyArray<unknown>): EnforcementUnavailable | undefined {
    if (!this.#over) this.#streamTrail().handed(chunks)
    return this.#writer?.fault
  }

  /** Takes in the end, once; whoever comes second is not heard. */
  end(end: End): Result.Result<void, EnforcementUnavailable> {
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
    const said = this.#append({
      kind: "outcome",
      call: this.id,
      decision: this.#opened.seq,
      result,
      attempts: end.attempts ?? known.attempts ?? 0,
      status,
      error: end.error,
      request: end.request ?? known.request,
      response,
      digests: response === undefined ? undefined : digests,
      usage,
      output: recordFound(this.#found?.violations),
      observed: recordFound(this.#found?.observed),
      ms: Math.max(0, Date.now() - this.#opened.ts)
    })
    // A receipt lives as long as its answer does, and holds its trail: it need not hold the prompt.
    this.#prepared = undefined
    this.#stream = undefined
    return Result.map(said, () => undefined)
  }

  #judged(found: JudgedAnswer): void {
    if (this.#over) return
    this.#found = found
    if (found.answer !== undefined) this.#answer = this.#told(found.answer)
  }

  #received(data: string): void {
    if (!this.#over) this.#streamTrail().received(data)
  }

  #streamTrail(): StreamTrail {
    return (this.#stream ??= new StreamTrail((body) => this.#append(body), this.#ground.salts, this.id))
  }

  #append(body: Body): Result.Result<Appended, EnforcementUnavailable> {
    return this.#writer?.append(body) ?? Result.fail(unavailable(`The call ${this.id} has no decision in the log.`))
  }

  #tools(calls: ReadonlyArray<ToolCall>): void {
    const prepared = this.#prepared
    if (prepared === undefined) return
    for (const call of calls)
      this.#append({
        kind: "tool_call",
        call: this.id,
        tool: toolResource(prepared.call.app, call.name.slice(0, longestName)),
        arguments: salted(this.#ground.salts(this.id, "arguments"), new Content(call.text)),
        digests,
        verdict: judge(prepared, call)
      })
  }

  #withReceipt(meta: Meta): Meta {
    return this.#entry === undefined ? meta : { ...meta, receipt: this.#entry.receipt }
  }

  #salts(edits: ReadonlyArray<Edit>, { query }: Call): Readonly<Record<string, string>> {
    const fields = ["requested", "effective", "response", "stream", "arguments", ...edits.flatMap(saltedFields)]
    if (query !== undefined) fields.push("query")
    return Object.fromEntries(
      fields.map((field) => [field, Buffer.from(this.#ground.salts(this.id, field)).toString("base64url")])
    )
  }
}

/** The chunks of one stream: their chain, their count, and the tools, usage and end that they tell of. */
class StreamTrail {
  readonly #append: (body: Body) => void
  readonly #call: string
  readonly #chain: Chain
  readonly #tools = new StreamedToolCalls()
  readonly #finish = new StreamFinish()
  #open = false
  /** True once a provider's stream began to be read: a mock's chunks come from nowhere. */
  #heard = false
  #whole = false
  /** What came is told by whoever keeps some of it back, or else known by what is handed on. */
  #isKeptBack = false
  #came = 0
  #received = 0
  #handed = 0
  /** Of what was handed on, what the reader says that it gave to the caller. */
  #consumed: number | undefined
  /** First chunk that no segment covers yet. */
  #from = 0
  #timer: NodeJS.Timeout | undefined
  /** What the answer's beginning told, for the outcome. */
  known: Partial<End> = {}

  constructor(append: (body: Body) => void, salts: Salts, call: string) {
    this.#append = append
    this.#call = call
    this.#chain = new Chain(salts(call, "stream"))
  }

  get toolCalls(): ReadonlyArray<ToolCall> {
    return this.#tools.calls
  }

  opened(meta: Meta): void {
    this.#open = true
    this.known = httpOf(meta)
    if (this.#received > 0) this.#arm()
  }

  /** How it ended that came to its end: the provider may have failed, or stopped before it said that its answer is whole. */
  get ending(): "complete" | "failed" | "cut" {
    if (this.#finish.hasFailed) return "failed"
    const isWhole = this.#finish.isWhole || (this.#whole && this.#finish.hasSaid)
    return this.#heard && !isWhole ? "cut" : "complete"
  }

  begun(): void {
    this.#heard = true
  }

  whole(): void {
    this.#heard = true
    this.#whole = true
  }

  received(data: string): void {
    this.#heard = true
    this.#take(data)
  }

  #take(data: string): void {
    this.#chain.add(data)
    this.#received++
    if (!this.#open) return
    if (this.#received - this.#from >= segmentChunks) this.#segment()
    else this.#arm()
  }

  came(chunks: ReadonlyArray<unknown>): void {
    this.#isKeptBack = true
    this.#read(chunks)
  }

  handed(chunks: ReadonlyArray<unknown>): void {
    if (!this.#isKeptBack) this.#read(chunks)
    this.#handed += chunks.length
  }

  #read(chunks: ReadonlyArray<unknown>): void {
    for (const chunk of chunks) {
      // What nobody told as received (a mock's chunk) counts by its text.
      if (this.#received <= this.#came++) this.#take(JSON.stringify(chunk) ?? "null")
      this.#tools.add(chunk)
      this.#finish.add(chunk)
      const usage = usageOf(chunk)
      if (usage !== undefined) this.known = { ...this.known, usage }
    }
  }

  consumed(): void {
    this.#consumed = (this.#consumed ?? 0) + 1
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  close(reason: End["result"]): void {
    if (this.#received > this.#from) this.#segment()
    this.#append({
      kind: "stream.close",
      call: this.#call,
      reason,
      // What was held back may come in a chunk of its own.
      chunks: Math.min(this.#consumed ?? this.#handed, this.#received),
      received: this.#received,
      digest: this.#chain.digest
    })
  }

  #arm(): void {
    this.#timer ??= setTimeout(() => this.#segment(), segmentDelay).unref()
  }

  #segment(): void {
    this.stop()
    this.#append({
      kind: "stream.segment",
      call: this.#call,
      from: this.#from,
      count: this.#received - this.#from,
      digest: this.#chain.digest
    })
    this.#from = this.#received
  }
}

/** What a call has claimed of limits, and what observed policies say of it once theirs are claimed too. */
interface Claimed {
  readonly claims: ReadonlyArray<Claim>
  readonly observed: { readonly decision: Decision; readonly claims: ReadonlyArray<Claim> } | undefined
  /** Gives all of it back: nothing is sent. */
  readonly release: () => void
}

/** Claims what a call spends, all or nothing. Limits that are only observed refuse nothing; the record says that they would. */
const claim = (prepared: Prepared, quota: Quota, at: number): Result.Result<Claimed, PolicyRateLimited> => {
  const { judge, observed: observing } = prepared.from
  const claimed = quota.reserve(judge.wants, at)
  if (!("settle" in claimed)) return Result.fail(judge.refuse(claimed))
  const decision = prepared.observed
  if (decision === undefined || observing === undefined || decision.verdict !== "allow")
    return Result.succeed({
      claims: judge.wants,
      observed: decision && { decision, claims: [] },
      release: () => claimed.settle([])
    })
  const { refuse, wants } = observing.judge
  const seen = quota.reserve(wants, at)
  return Result.succeed(
    "settle" in seen
      ? {
          claims: judge.wants,
          observed: { decision, claims: wants },
          release: () => {
            claimed.settle([])
            seen.settle([])
          }
        }
      : {
          claims: judge.wants,
          observed: { decision: { ...refuse(seen).decision, edits: [], enforced: false }, claims: [] },
          release: () => claimed.settle([])
        }
  )
}

const judge = (prepared: Prepared, { args, fault, name }: ToolCall): "allow" | "deny" | "pending" => {
  if (args === undefined || fault !== undefined) return "deny"
  try {
    return prepared.from.judge.tool(name, args)
  } catch {
    return "deny"
  }
}

/** How many policy ids a record repeats of its principal's claims. */
const mostDocuments = 32

/** A caller as records name it: no claims but the names that policies are bound to, no token. */
export const recordPrincipal = (principal: Principal): RecordPrincipal => ({
  attestations: principal.attestations.length === 0 ? undefined : principal.attestations,
  degraded: principal.degraded,
  documents: principal.documents.length === 0 ? undefined : principal.documents.slice(0, mostDocuments),
  id: principal.id,
  iss: principal.issuer,
  kind: principal.kind,
  roles: principal.roles.length === 0 ? undefined : principal.roles,
  sub: principal.subject === principal.id ? undefined : principal.subject
})

/** The user whom a receipt names, by issuer and subject. */
const userOf = ({ id, issuer, subject = id }: Principal): { readonly iss: string; readonly sub: string } | undefined =>
  issuer === undefined ? undefined : { iss: issuer, sub: subject }

/** Method and URL without what may hold a secret: user info, query and fragment. */
const recordEndpoint = (endpoint: string): string => endpoint.replace(/[?#].*$/s, "").replace(/\/\/[^/@]*@/, "//")

/** Names of headers, as a record has them; absent where there are none. */
const recordHeaders = (names: ReadonlyArray<string> = []): ReadonlyArray<string> | undefined =>
  names.length === 0 ? undefined : names.slice(0, 64).map((name) => name.slice(0, longestName))

const httpOf = (meta: Meta): Pick<End, "attempts" | "status" | "request"> => ({
  attempts: meta.attempts,
  status: meta.status,
  request: meta.requestId ?? undefined
})

/** A number, a boolean, a model's name, and that something was taken out are told; anything else may be content. */
const isTold = (path: string, value: unknown): boolean =>
  value === null || isNumberOrBoolean(value) || (path === "model" && typeof value === "string")

const isNumberOrBoolean = (value: unknown): value is number | boolean =>
  typeof value === "number" || typeof value === "boolean"

/** The quantities that a call asks for: what the API counts in, and what a policy puts a bound on. */
export const quantitiesOf = (
  call: Call,
  ...bounded: ReadonlyArray<ReadonlyArray<string> | undefined>
): ReadonlyArray<RecordQuantity> | undefined => {
  const { content, operation, params } = call
  const told: Array<RecordQuantity> = []
  for (const path in params) {
    const value = params[path]
    const isBounded = bounded.some((names) => names?.includes(path))
    // A tool may have an argument of that name, which is then no model.
    if (path === "model" && isOperation(operation) && typeof value === "string")
      told.push({ path, value: JSON.stringify(value.slice(0, longestName)) })
    else if ((isBounded || (isOperation(operation) && quantities.has(path))) && isNumberOrBoolean(value))
      told.push({ path, value: content.inexactAt(path)?.slice(0, longestName) ?? JSON.stringify(value) })
  }
  return told.length === 0 ? undefined : told
}

const recordObserved = (decision: Decision, salts: Salts, call: string): RecordObserved => ({
  edits: decision.edits.map((edit) => recordEdit(edit, salts, call)),
  policies: decision.policies,
  rev: decision.revision,
  verdict: decision.verdict === "allow" && decision.edits.length > 0 ? "rewrite" : decision.verdict,
  violations: recordViolations(decision)
})

const recordFound = (found: ReadonlyArray<Violation> = []): ReadonlyArray<RecordViolation> | undefined =>
  found.length === 0 ? undefined : recordViolations({ violations: found })

const recordEdit = (edit: Edit, salts: Salts, call: string): RecordEdit => {
  const tell = (value: unknown, side: "from" | "to"): string | undefined =>
    value === undefined
      ? undefined
      : isTold(edit.path, value)
        ? JSON.stringify(value)
        : salted(salts(call, editField(edit, side)), new Content(JSON.stringify(value)))
  return { from: tell(edit.from, "from"), path: edit.path, policy: edit.policy, to: tell(edit.to, "to") }
}

const editField = (edit: Edit, side: "from" | "to"): string => `edits/${edit.path}/${side}`

const saltedFields = (edit: Edit): ReadonlyArray<string> =>
  (["from", "to"] as const).flatMap((side) =>
    edit[side] === undefined || isTold(edit.path, edit[side]) ? [] : [editField(edit, side)]
  )
