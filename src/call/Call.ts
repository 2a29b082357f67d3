/**
 * What travels through the pipeline: a {@link Call}, the state that each stage makes of it, and the {@link Reply}. States
 * are nominal: a spread, a literal, a skipped stage or another order does not compile, and each stage checks what it is
 * given at run time.
 */
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Stream from "effect/Stream"
import { contentOf, edited, jsonText, setContent, snapshot } from "../base/CanonicalJson.ts"
import type { Json, JsonObject } from "../base/Json.ts"
import { Content } from "../base/Content.ts"
import type { Claim, Spent } from "./Claim.ts"
import type { Decision, Edit, Violation } from "./Decision.ts"
import { type PipelineError, type PolicyDenied, type PolicyRateLimited, refusal } from "./Errors.ts"
import type { FamilyUse } from "./Families.ts"
import { newId } from "../base/Id.ts"
import { type Deployment, deploymentOf, type Deployments, redeployed } from "./Deployment.ts"
import { endpointFor, isOperation, type OperationName, operations, toolResource, withoutSlashes } from "./Operation.ts"
import type { Principal } from "./Principal.ts"
import type { RequestQuery } from "./Query.ts"

/** A token, or a function that gets a fresh one; it is asked again once the last one has expired. */
export type TokenSource = Redacted.Redacted<string> | (() => Promise<string>)

/**
 * In whose name a call is made, before anything is verified.
 *
 * - `App`: the application itself.
 * - `User`: the bearer of a token; `userName`, where given, must be the name that the token gives.
 * - `Agent`: an agent of this workspace without a token; its signed envelope is what is verified.
 */
export type Credentials =
  | { readonly _tag: "App" }
  | { readonly _tag: "User"; readonly token: TokenSource; readonly userName?: string }
  | { readonly _tag: "Agent"; readonly name: string }

/** A MAPL document that restricts a call: the service's, the caller's, or the call's own intent. Kept by reference. */
export type IntentPolicy = Readonly<Record<string, unknown>>

/**
 * The call that another is made because of, as that one carries it on: what it may do stays within what this one may.
 *
 * - `call`: its id, `principal`: in whose name it is, with the `credentials` that showed it, `intents`: what restricts it.
 * - `behalf`: those besides the principal whose policies take part, for the call went through them.
 * - `envelope`: its own, a compact JWS; `chain`: those before it, root first.
 */
export interface Lineage {
  readonly call: string
  readonly principal: Principal
  readonly credentials: Credentials
  readonly intents: ReadonlyArray<IntentPolicy>
  readonly behalf: ReadonlyArray<Principal>
  readonly envelope: string
  readonly chain: ReadonlyArray<string>
}

/** What a {@link Call} is made of besides its operation and params. */
export interface CallOptions {
  /** Name of the service that is called; policies know it as `app:<app>`. Default `secure-openai-app`. */
  readonly app?: string | undefined
  /** Agent id of the service: audience of the envelope. Default: `app`. */
  readonly server?: string | undefined
  /** Base URL of the provider. Default `https://api.openai.com/v1`. */
  readonly baseURL?: string | undefined
  /** Method and URL, `POST https://host/path`. Default: the endpoint that serves such params, below `baseURL`. */
  readonly endpoint?: string | undefined
  /** The query with which the request goes to `endpoint`. Default: none. */
  readonly query?: RequestQuery | undefined
  /** Names of headers, in lower case, that were set besides what the SDK sends by itself. Default: none. */
  readonly headers?: ReadonlyArray<string> | undefined
  /** The models that the provider's deployments serve; see {@link Call.deployment}. */
  readonly deployments?: Deployments | undefined
  readonly credentials?: Credentials | undefined
  readonly intents?: ReadonlyArray<IntentPolicy> | undefined
  /** Id of the call that this one was made because of. */
  readonly parent?: string | undefined
  /** The call of this process that this one was made because of. */
  readonly lineage?: Lineage | undefined
  /** Those besides the caller whose policies take part. Default: those of `lineage`. */
  readonly behalf?: ReadonlyArray<Principal> | undefined
  /** The compact JWS with which another agent made this call. */
  readonly invocation?: string | undefined
  /** The envelopes that `invocation` follows, root first. */
  readonly chain?: ReadonlyArray<string> | undefined
  /** Of a tool: its arguments that hold a prompt. */
  readonly prompts?: ReadonlyArray<string> | undefined
  /** Of a tool: true where its arguments are a text that is no JSON object. `params` is `{ input: text }` then. Default: false. */
  readonly isText?: boolean | undefined
  /** The text that `params` was parsed from, where there was one. */
  readonly bytes?: string | Content | undefined
  /** UUIDv7. Default: a new one. */
  readonly id?: string | undefined
}

/**
 * One request, before any stage has seen it. `params` is plain JSON, parsed from `bytes`; `resource` is what policies name
 * (`tool:<app>/<operation>`). Made by the facade, by an agent, or by `Call.generate`, `complete`, `embed` and `tool`.
 *
 * @category models
 */
export class Call {
  readonly #state = "Call"
  readonly id: string
  /** `generate`, `complete`, `embed`, or the name of a registered tool. */
  readonly operation: string
  readonly params: JsonObject
  /** The text of the request, as it came or as `JSON.stringify` writes the params. */
  readonly content: Content
  readonly app: string
  readonly server: string
  readonly endpoint: string
  readonly query: RequestQuery | undefined
  readonly headers: ReadonlyArray<string>
  /** Where the provider knows the model by another name; `params` then has the model that is served there. */
  readonly deployment: Deployment | undefined
  readonly deployments: Deployments | undefined
  readonly credentials: Credentials
  readonly intents: ReadonlyArray<IntentPolicy>
  readonly parent: string | undefined
  readonly lineage: Lineage | undefined
  readonly behalf: ReadonlyArray<Principal>
  readonly invocation: string | undefined
  readonly chain: ReadonlyArray<string>
  readonly prompts: ReadonlyArray<string>
  /** True where a tool's arguments are a text: a policy that bounds arguments by name refuses them, for they have no names. */
  readonly isText: boolean
  /** What `content` says: the params, with a deployment's name where the provider knows the model so. */
  readonly #written: JsonObject

  private constructor(operation: string, params: JsonObject, options: CallOptions) {
    this.id = options.id ?? newId()
    this.operation = operation
    this.app = options.app ?? "secure-openai-app"
    this.server = options.server ?? this.app
    this.endpoint = options.endpoint ?? endpointOf(this.app, operation, params, options.baseURL)
    this.query = options.query
    this.headers = options.headers ?? none
    this.deployments = options.deployments
    this.deployment = isOperation(operation) ? deployed(this, params["model"]) : undefined
    const { bytes = jsonText(params) } = options
    this.content = typeof bytes === "string" ? new Content(bytes) : bytes
    this.#written = params
    this.params = this.deployment === undefined ? params : { ...params, model: this.deployment.model }
    setContent(this.params, options.bytes === undefined ? contentOf(params) : this.content)
    this.credentials = options.credentials ?? { _tag: "App" }
    const { lineage } = options
    this.intents = narrowed(options.intents ?? none, lineage)
    this.parent = options.parent ?? lineage?.call
    this.lineage = lineage
    this.behalf = options.behalf ?? behalfOf(lineage)
    this.invocation = options.invocation
    this.chain = options.chain ?? none
    this.prompts = options.prompts ?? none
    this.isText = options.isText === true
  }

  /** The text of {@link content}. */
  get bytes(): string {
    return this.content.text
  }

  /** The resource that policies judge. */
  get resource(): string {
    return toolResource(this.app, this.operation)
  }

  /** True where the caller asked for a stream of chunks. */
  get stream(): boolean {
    return this.params["stream"] === true
  }

  /**
   * How params of this call go over the wire, and where to: what they have in common with the call's own keeps its text, and a
   * deployment's name stands in the model's place where the provider knows it so. Throws {@link PolicyDenied}
   * (`unknown_deployment`) for a model that no deployment serves.
   */
  sent(params: JsonObject): { readonly params: JsonObject; readonly content: Content; readonly endpoint: string } {
    const { content, deployment, endpoint } = this
    if (deployment === undefined) return { params, content: edited(content, this.#written, params), endpoint }
    const { model } = params
    const name = typeof model === "string" ? deployment.serving(model) : undefined
    if (name === undefined) throw notDeployed(this, `no deployment serves the model ${JSON.stringify(model)}`)
    const written = { ...params, model: name }
    return {
      params: written,
      content: edited(content, this.#written, written),
      endpoint: redeployed(endpoint, deployment, name)
    }
  }

  /**
   * A call of any operation. `params` must be plain JSON: throws {@link PolicyDenied} (`invalid_body`) with the path of
   * what is not.
   *
   * @category constructors
   */
  static make(operation: string, params: unknown, options: CallOptions = {}): Call {
    return new Call(operation, plainObject(operation, params, options), options)
  }

  /**
   * A call whose params were parsed by {@link parseStrictObject} from `options.bytes`: no second snapshot is taken. Throws
   * {@link PolicyDenied} (`unknown_deployment`) where what would be run is not known.
   *
   * @category constructors
   */
  static fromParsed(
    operation: OperationName,
    params: JsonObject,
    options: CallOptions & { bytes: string | Content }
  ): Call {
    return new Call(operation, params, options)
  }

  /** A chat completion, or a response where `params` has an `input`. @category constructors */
  static generate(params: unknown, options?: CallOptions): Call {
    return Call.make("generate", params, options)
  }

  /** A text completion. @category constructors */
  static complete(params: unknown, options?: CallOptions): Call {
    return Call.make("complete", params, options)
  }

  /** An embedding. @category constructors */
  static embed(params: unknown, options?: CallOptions): Call {
    return Call.make("embed", params, options)
  }

  /** A registered tool. @category constructors */
  static tool(name: string, args: unknown, options?: CallOptions): Call {
    return Call.make(name, args, options)
  }

  /**
   * The same call, by id, with other params: of a deployment's call, with a model in the terms of policies. Members that stay
   * as they were keep their text.
   */
  static withParams(call: Call, params: unknown): Call {
    const { content, endpoint, params: sent } = call.sent(plainObject(call.operation, params, call))
    return new Call(call.operation, sent, { ...call, endpoint, bytes: content })
  }

  static is(u: unknown): u is Call {
    return typeof u === "object" && u !== null && #state in u
  }
}

const none: ReadonlyArray<never> = []

/** Those besides its principal because of whom a call is made that is made because of another. */
export const behalfOf = (lineage: Lineage | undefined): ReadonlyArray<Principal> =>
  lineage === undefined ? none : [...lineage.behalf, lineage.principal]

/** Every intent that restricts the call before restricts this one. */
export const narrowed = (
  intents: ReadonlyArray<IntentPolicy>,
  lineage: Lineage | undefined
): ReadonlyArray<IntentPolicy> =>
  lineage === undefined || lineage.intents.every((intent) => intents.includes(intent))
    ? intents
    : [...new Set([...lineage.intents, ...intents])]

const deployed = (call: Call, model: Json | undefined): Deployment | undefined => {
  const found = deploymentOf(call.endpoint, model, call.deployments)
  if (Result.isSuccess(found)) return found.success
  throw notDeployed(call, found.failure)
}

const notDeployed = ({ app, operation }: Call, message: string): PolicyDenied =>
  refusal(
    "egress",
    { code: "unknown_deployment", message, hint: "name it in the option `deployments`" },
    { resource: toolResource(app, operation), principal: "" }
  )

/** Where such params are served: method and URL, or `local` and the resource for a registered tool. */
export const endpointOf = (
  app: string,
  operation: string,
  params: object,
  baseURL = "https://api.openai.com/v1"
): string =>
  isOperation(operation)
    ? `POST ${withoutSlashes(baseURL)}${endpointFor(operations[operation], params).path}`
    : `local ${toolResource(app, operation)}`

const plainObject = (operation: string, params: unknown, options: CallOptions): JsonObject => {
  const plain = snapshot(params)
  const fault = Result.isFailure(plain)
    ? plain.failure
    : typeof plain.success !== "object" || plain.success === null || Array.isArray(plain.success)
      ? "$ is not an object"
      : undefined
  if (fault !== undefined)
    throw refusal(
      "egress",
      {
        code: "invalid_body",
        message: `the params are not plain JSON: ${fault}`,
        hint: "pass plain objects and values"
      },
      { resource: toolResource(options.app ?? "secure-openai-app", operation), principal: "" }
    )
  return Result.getOrThrow(plain) as JsonObject
}

/**
 * A request of a family that passes through: judged by resource, not parsed, not rewritten.
 *
 * @category models
 */
export interface PassThrough {
  readonly id: string
  readonly app: string
  readonly family: string
  /** What it does about models. */
  readonly use: FamilyUse
  /** `api:<app>/<family>`. */
  readonly resource: string
  readonly endpoint: string
  /** Names of headers, in lower case, that were set besides what the SDK sends by itself. */
  readonly headers?: ReadonlyArray<string> | undefined
  readonly credentials: Credentials
  readonly intents: ReadonlyArray<IntentPolicy>
  /** The call of this process that it is made because of: what restricts that one restricts it. */
  readonly lineage?: Lineage | undefined
}

// ---------------------------------------------------------------------------------------------------------------------
// States
// ---------------------------------------------------------------------------------------------------------------------

/**
 * A call whose principal is verified. Made by Identity.
 *
 * @category states
 */
export class Identified {
  readonly #state = "Identified"
  readonly call: Call
  readonly principal: Principal
  constructor(call: Call, principal: Principal) {
    this.call = call
    this.principal = principal
  }
  static is(u: unknown): u is Identified {
    return typeof u === "object" && u !== null && #state in u
  }
}

/**
 * A call with its signed envelope, a compact JWS (RFC 7515); `kid` is its signer's key id and `digest` the SHA-256 of its
 * `header.payload`, base64url. Made by Signing.
 *
 * @category states
 */
export class Signed {
  readonly #state = "Signed"
  readonly from: Identified
  readonly envelope: string
  readonly kid: string
  readonly digest: string
  /** The envelopes that it follows, root first. */
  readonly chain: ReadonlyArray<string>
  constructor(
    from: Identified,
    envelope: {
      readonly jws: string
      readonly kid: string
      readonly digest: string
      readonly chain?: ReadonlyArray<string>
    }
  ) {
    this.from = from
    this.envelope = envelope.jws
    this.kid = envelope.kid
    this.digest = envelope.digest
    this.chain = envelope.chain ?? none
  }
  get call(): Call {
    return this.from.call
  }
  get principal(): Principal {
    return this.from.principal
  }
  static is(u: unknown): u is Signed {
    return typeof u === "object" && u !== null && #state in u
  }
}

/** A decision that lets the call go on. */
export type Permit = Decision & { readonly verdict: "allow" }

/** Something that an output rule says: the document that set it, and where in it (`constraints.output["tool:*"].denied[0]`). */
export interface OutputRule {
  readonly policy: string
  readonly rule: string
}

/**
 * A text that an answer must not hold: a literal, or what `find` finds at or after a place in a text. `holdBack` is the
 * length, in UTF-16 units, up to which a stream can keep a found text back whole.
 */
export interface DeniedText extends OutputRule {
  readonly holdBack: number
  readonly sought: string | ((text: string, from: number) => readonly [start: number, end: number] | undefined)
}

/**
 * What policy asks of an answer (mapl §8). `maxCharacters` is for the text of each choice, in UTF-16 units; `onResponse`
 * says what happens to an answer that names a tool that policy does not allow, or another model than the one asked.
 * `models` is there where the request left the choice of the model to others: what answers must be on the list.
 */
export interface OutputRules {
  readonly denied: ReadonlyArray<DeniedText>
  readonly maxCharacters: (OutputRule & { readonly value: number }) | undefined
  readonly onResponse: OutputRule & { readonly does: "record" | "deny" }
  readonly models?: (OutputRule & { readonly allows: (model: string) => boolean }) | undefined
}

/**
 * What later stages may ask of the policy that decided, without knowing it: pure, and bound to the decision's revision,
 * principal and time.
 */
export interface Judge {
  /** Every violation of this call's own resource with other params; none when they pass unchanged. */
  readonly recheck: (params: JsonObject) => ReadonlyArray<Violation>
  /** Whether the principal may use a tool of this app, with these arguments. */
  readonly tool: (name: string, args: JsonObject) => "allow" | "deny" | "pending"
  /** The parameters that policy puts a bound on: by naming one it says that its numbers may be told in the log. */
  readonly bounded: ReadonlyArray<string>
  /** What holds for the answer; absent where nothing is asked of it. */
  readonly output?: OutputRules | undefined
  /** What the call spends of limits: all of it is claimed in one step with the decision's record, or the call is refused. */
  readonly wants: ReadonlyArray<Claim>
  /** The refusal of the call where some of that is spent. */
  readonly refuse: (spent: ReadonlyArray<Spent>) => PolicyRateLimited
}

/** What policies that are only observed say of a call: nothing follows from it but a word in the log. */
export interface Observed {
  readonly decision: Decision
  readonly judge: Judge
}

/**
 * A call that policy lets go on, perhaps with edits to make. Made by Policy.
 *
 * @category states
 */
export class Decided {
  readonly #state = "Decided"
  readonly from: Signed
  readonly decision: Permit
  readonly judge: Judge
  readonly observed: Observed | undefined
  constructor(from: Signed, decision: Permit, judge: Judge, observed?: Observed) {
    this.from = from
    this.decision = decision
    this.judge = judge
    this.observed = observed
  }
  get call(): Call {
    return this.from.call
  }
  get principal(): Principal {
    return this.from.principal
  }
  static is(u: unknown): u is Decided {
    return typeof u === "object" && u !== null && #state in u
  }
}

/**
 * A call as it will be sent: `params`, their text `bytes` (the caller's own where nothing changed), and the edits made.
 * `observed` is what policies that are only observed would have made of it. Made by Rewriting.
 *
 * @category states
 */
export class Prepared {
  readonly #state = "Prepared"
  readonly from: Decided
  readonly params: JsonObject
  readonly content: Content
  /** Method and URL: the call's own, but for the deployment of another model. */
  readonly endpoint: string
  readonly edits: ReadonlyArray<Edit>
  readonly observed: Decision | undefined
  constructor(
    from: Decided,
    sent: {
      readonly params: JsonObject
      readonly bytes: string | Content
      readonly endpoint?: string | undefined
      readonly edits: ReadonlyArray<Edit>
      readonly observed?: Decision | undefined
    }
  ) {
    this.from = from
    this.params = sent.params
    this.content = typeof sent.bytes === "string" ? new Content(sent.bytes) : sent.bytes
    this.endpoint = sent.endpoint ?? from.call.endpoint
    this.edits = sent.edits
    this.observed = sent.observed
  }
  /** The text of {@link content}. */
  get bytes(): string {
    return this.content.text
  }
  get call(): Call {
    return this.from.call
  }
  get principal(): Principal {
    return this.from.principal
  }
  static is(u: unknown): u is Prepared {
    return typeof u === "object" && u !== null && #state in u
  }
}

/** The ear that the log lends to a stream. */
export interface Listener {
  /** To be told that a provider's stream begins to be read. */
  readonly begun: () => void
  /** To be told of each chunk's `data`, as received, in order, before it is handed on. */
  readonly received: (data: string) => void
  /** To be told when the provider says that its answer is whole (`[DONE]`). */
  readonly whole: () => void
}

/** The log's durable acknowledgement of a decision: the index of its record, and an ear for the answer. */
export interface Entry extends Listener {
  readonly seq: number
  /** What was claimed for the call, in one step with that record. */
  readonly claims: ReadonlyArray<Claim>
  readonly receipt: Receipt
  /** To be told of the chunks that came, by whoever may keep some back. */
  readonly came: (chunks: ReadonlyArray<unknown>) => void
  /** To be told what output rules found in the answer, before it is handed on. */
  readonly judged: (found: JudgedAnswer) => void
}

/**
 * What output rules found: `violations` by rules that hold, `observed` by those of policies that are only observed. `answer`
 * is the whole answer where that is refused, for the log to digest.
 */
export interface JudgedAnswer {
  readonly violations: ReadonlyArray<Violation>
  readonly observed: ReadonlyArray<Violation>
  readonly answer?: Extract<Reply, { readonly _tag: "Json" }>
}

/**
 * A call whose decision is in the log. Only this is invoked, once. Made by Audit.
 *
 * @category states
 */
export class Committed {
  readonly #state = "Committed"
  #spent = false
  readonly from: Prepared
  readonly entry: Entry
  constructor(from: Prepared, entry: Entry) {
    this.from = from
    this.entry = entry
  }
  get call(): Call {
    return this.from.call
  }
  get principal(): Principal {
    return this.from.principal
  }
  get params(): JsonObject {
    return this.from.params
  }
  get content(): Content {
    return this.from.content
  }
  get bytes(): string {
    return this.from.bytes
  }
  get endpoint(): string {
    return this.from.endpoint
  }
  /** As a call that is made because of this one carries it. */
  get lineage(): Lineage {
    const { call, principal } = this
    const { chain, envelope } = this.from.from.from
    const { behalf, credentials, id, intents } = call
    return { call: id, principal, credentials, intents, behalf, envelope, chain }
  }
  /** True the first time, false ever after. */
  spend(): boolean {
    const first = !this.#spent
    this.#spent = true
    return first
  }
  static is(u: unknown): u is Committed {
    return typeof u === "object" && u !== null && #state in u
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Reply
// ---------------------------------------------------------------------------------------------------------------------

/**
 * What the log says of one call, for the caller to keep (audit format §6). `index` and `leaf` (base64url) are those of the
 * decision record, `salts` (base64url, by field) open its salted digests, `jws` is signed by the agent key.
 *
 * @category models
 */
export interface Receipt {
  readonly call: string
  readonly index: number
  readonly leaf: string
  readonly verdict: "allow" | "rewrite"
  readonly changes: ReadonlyArray<Edit>
  readonly requested: string
  readonly effective: string
  /** The rule by which the digests were taken: SHA-256(salt ‖ SHA-256(bytes)). Absent from receipts of before, which have SHA-256(salt ‖ text). */
  readonly digests?: 2
  readonly salts: Readonly<Record<string, string>>
  /**
   * Signed on first use. Throws an `EnforcementUnavailableError` where the agent key is with a signer of its own: then
   * {@link sign} is the way.
   */
  readonly jws: string
  /** The same, by any signer: resolves with the compact JWS. */
  readonly sign: () => Promise<string>
  /** The call's envelope, the compact JWS whose digest is the claim `inv`: proves what was asked, and holds no prompt. */
  readonly envelope: string
}

/**
 * What came with an answer: `attempts` counts HTTP requests, `text` is a JSON answer's body as received, `consumed` is to be
 * told of each chunk as it is handed to the caller, by a reader that takes more at a time than it hands on.
 */
export interface Meta {
  readonly status: number
  readonly headers: Headers
  readonly requestId: string | null
  readonly attempts: number
  readonly text?: string
  readonly receipt?: Receipt
  readonly consumed?: () => void
}

/**
 * An answer: a JSON value, or a stream of chunks (each a parsed JSON value).
 *
 * @category models
 */
export type Reply =
  | { readonly _tag: "Json"; readonly value: unknown; readonly meta: Meta }
  | { readonly _tag: "Stream"; readonly stream: Stream.Stream<unknown, PipelineError>; readonly meta: Meta }

const madeHere = (): Meta => ({ status: 200, headers: new Headers(), requestId: null, attempts: 0 })

/**
 * Makes replies. Without `meta` the reply says that it was made here: status 200, no request sent.
 *
 * @category constructors
 */
export const Reply = {
  json: (value: unknown, meta: Meta = madeHere()): Reply => ({ _tag: "Json", value, meta }),
  stream: (stream: Stream.Stream<unknown, PipelineError>, meta: Meta = madeHere()): Reply => ({
    _tag: "Stream",
    stream,
    meta
  })
}
