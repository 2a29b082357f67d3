/**
 * The state that each stage makes of a {@link Call}. States are nominal: a spread, a literal, a skipped stage or another order does
 * not compile, and each stage checks its input at run time.
 */
import { Content } from "../base/Content.ts"
import type { JsonObject } from "../base/Json.ts"
import type { Call } from "./Call.ts"
import type { Decision, Edit } from "./Decision.ts"
import type { Entry } from "./Entry.ts"
import type { Judge, Observed, Permit } from "./Judge.ts"
import type { Lineage } from "./Lineage.ts"
import type { Principal } from "./Principal.ts"

const none: ReadonlyArray<never> = []

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
