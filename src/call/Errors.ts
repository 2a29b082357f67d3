/**
 * What can go wrong on the way of a request: tagged errors for Effect users, and how each looks to a caller of the SDK.
 * A provider's own error is none of ours and passes unchanged.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { AuthenticationError, InternalServerError, OpenAIError, PermissionDeniedError, RateLimitError } from "openai"
import { Decision, maximumViolations, type Violation } from "./Decision.ts"
import { acrossCopies } from "../base/Shared.ts"

/** The stage that refused; a stage of one's own is `custom:<name>`. */
export type StageName =
  | "identity"
  | "signing"
  | "policy"
  | "rewriting"
  | "audit"
  | "egress"
  | "invocation"
  | "output"
  | `custom:${string}`

const Stage = Schema.declare((u: unknown): u is StageName => typeof u === "string")

/**
 * Policy, the egress guard or a stage of one's own said no. `decision.violations` lists everything that is wrong.
 *
 * @category errors
 */
export class PolicyDenied extends Schema.TaggedError<PolicyDenied>()("PolicyDenied", {
  decision: Decision,
  stage: Stage,
  message: Schema.String
}) {
  static {
    acrossCopies(this, "PolicyDenied")
  }
}

/**
 * Only an approval from outside is missing (mapl §6).
 *
 * @category errors
 */
export class ApprovalPending extends Schema.TaggedError<ApprovalPending>()("ApprovalPending", {
  decision: Decision,
  stage: Stage,
  message: Schema.String
}) {
  static {
    acrossCopies(this, "ApprovalPending")
  }
}

/**
 * A policy's `rate_limit` is spent. `retryAfter` is in milliseconds.
 *
 * @category errors
 */
export class PolicyRateLimited extends Schema.TaggedError<PolicyRateLimited>()("PolicyRateLimited", {
  decision: Decision,
  stage: Stage,
  retryAfter: Schema.Finite,
  message: Schema.String
}) {
  static {
    acrossCopies(this, "PolicyRateLimited")
  }
}

/** Why a token or envelope was not accepted. */
export const IdentityReason = Schema.Literals([
  "no_issuer",
  "missing",
  "malformed",
  "signature",
  "algorithm",
  "type",
  "issuer",
  "audience",
  "claim",
  "expired",
  "not_yet_valid",
  "unknown_key",
  "keys_unavailable",
  "name_mismatch",
  "subject_changed",
  "envelope",
  "replayed",
  "revoked"
])
export type IdentityReason = typeof IdentityReason.Type

/** What a token says of itself, where it says so as text; nobody signed it. */
const Claimed = Schema.Struct({ issuer: Schema.optionalKey(Schema.String), kid: Schema.optionalKey(Schema.String) })

/**
 * A credential is missing, forged, expired or cannot be checked. The message says what to set or do; it never quotes the
 * token. `unverified` is there where no signature of the token was verified, nor one of an earlier token of this
 * caller: it holds what the token says of itself.
 *
 * @category errors
 */
export class IdentityInvalid extends Schema.TaggedError<IdentityInvalid>()("IdentityInvalid", {
  reason: IdentityReason,
  message: Schema.String,
  unverified: Schema.optionalKey(Claimed),
  cause: Schema.optionalKey(Schema.Defect())
}) {
  static {
    acrossCopies(this, "IdentityInvalid")
  }
}

/**
 * What exactly does not work, where it is a state that lasts and not the fault of one call: of the log `disk_full`,
 * `unwritable` (its disk refuses), `held` (by another process), `damaged`, `checkpoints_overdue` (they are not signed),
 * `copies_overdue` (they are not copied) and `clock_behind` (the log's newest record); of users' tokens `clock_set_back`; of
 * agents' envelopes `replay_full` (no more can be remembered).
 */
export const UnavailableReason = Schema.Literals([
  "disk_full",
  "unwritable",
  "held",
  "damaged",
  "checkpoints_overdue",
  "copies_overdue",
  "clock_behind",
  "clock_set_back",
  "replay_full"
])
export type UnavailableReason = typeof UnavailableReason.Type

/**
 * Something that must work for a request to be let through does not: the log, the policy store, the signer, a stage that
 * threw, or the pipeline's own deadline. Nothing is sent. `unverified` is there where a user's token was not looked at for it,
 * and none of that user's was verified before.
 *
 * @category errors
 */
export class EnforcementUnavailable extends Schema.TaggedError<EnforcementUnavailable>()("EnforcementUnavailable", {
  stage: Stage,
  reason: Schema.optionalKey(UnavailableReason),
  unverified: Schema.optionalKey(Claimed),
  message: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  static {
    acrossCopies(this, "EnforcementUnavailable")
  }
}

/**
 * The provider answered with an error, or did not answer. `cause` is the SDK's own error object; `attempts` counts the
 * HTTP requests that were sent, `status` is the last HTTP status, `body` the text of its answer where that was read.
 *
 * @category errors
 */
export class ProviderFailed extends Schema.TaggedError<ProviderFailed>()("ProviderFailed", {
  cause: Schema.Unknown,
  attempts: Schema.Finite,
  status: Schema.optionalKey(Schema.Finite),
  body: Schema.optionalKey(Schema.String)
}) {
  static {
    acrossCopies(this, "ProviderFailed")
  }
}

/**
 * The set-up is wrong: an unknown option, a policy that does not load, a key that others can read.
 *
 * @category errors
 */
export class Configuration extends Schema.TaggedError<Configuration>()("Configuration", {
  message: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  static {
    acrossCopies(this, "Configuration")
  }
}

/** Everything that a pipeline may fail with. */
export type PipelineError =
  | PolicyDenied
  | ApprovalPending
  | PolicyRateLimited
  | IdentityInvalid
  | EnforcementUnavailable
  | ProviderFailed
  | Configuration

/** The refusal of a decision, with a message that spells out its first violations. */
export const policyDenied = (decision: Decision, stage: StageName): PolicyDenied =>
  new PolicyDenied({ decision: bounded(decision), stage, message: describe(decision, "was refused") })

/** A refusal for one reason that no document set, by the guard or by a stage of one's own. */
export const refusal = (
  stage: StageName,
  violation: Violation,
  about: { readonly resource: string; readonly principal: string } = { resource: "", principal: "" }
): PolicyDenied =>
  policyDenied(
    {
      verdict: "deny",
      resource: about.resource,
      principal: about.principal,
      policies: [],
      revision: "",
      violations: [violation],
      remedies: [],
      edits: [],
      enforced: true
    },
    stage
  )

/**
 * How a stage of one's own says no: `Refusal.make({ code: "closed", message: "Open from 9 to 5." })` fails with
 * {@link PolicyDenied}. `stage` names the stage in the log (`custom:<stage>`), the code where it is absent.
 *
 * @category constructors
 */
export const Refusal = {
  make: (options: {
    readonly code: string
    readonly message: string
    readonly stage?: string
  }): Effect.Effect<never, PolicyDenied> =>
    Effect.fail(refusal(`custom:${options.stage ?? options.code}`, { code: options.code, message: options.message }))
}

/** How many violations a message spells out, and how long each text of one may be. */
const spelledOut = 20
const longestText = 1000

/** A text of a message; what a request may choose, such as a tool's name, can be as long as the request. */
const cut = (text: string, length = longestText): string =>
  text.length > length ? `${text.slice(0, length - 1).replace(/[\ud800-\udbff]$/u, "")}…` : text

/** Reasons in one line: the first twenty of them, and how many more there are besides these and `more`. */
export const inWords = (reasons: ReadonlyArray<string>, more = 0): string => {
  const others = more + Math.max(0, reasons.length - spelledOut)
  return [
    ...reasons.slice(0, spelledOut).map((reason) => cut(reason)),
    ...(others === 0 ? [] : [`and ${others} more`])
  ].join("; ")
}

/** What became of a decision, in words of a bounded length: `tool:my-app/generate was refused for user:alice: …`. */
export const describe = ({ more, principal, resource, violations }: Decision, became: string): string => {
  const reasons = violations
    .slice(0, spelledOut)
    .map((v) => (v.hint === undefined ? cut(v.message) : `${cut(v.message)} (${cut(v.hint)})`))
  const who = principal === "" ? "" : ` for ${cut(principal)}`
  const what = resource === "" ? "The request" : cut(resource)
  return `${what} ${became}${who}: ${inWords(reasons, (more ?? 0) + violations.length - reasons.length)}`
}

/** The decision with a bounded list of violations, each of a bounded length: it goes into errors, bodies and records. */
export const bounded = (decision: Decision): Decision => {
  const { more = 0, violations } = decision
  const others = more + Math.max(0, violations.length - maximumViolations)
  return {
    ...decision,
    violations: violations.slice(0, maximumViolations).map(shortened),
    ...(others > 0 && { more: others })
  }
}

const shortened = (violation: Violation): Violation => ({
  ...violation,
  message: cut(violation.message),
  ...(violation.path !== undefined && { path: cut(violation.path) }),
  ...(violation.constraint !== undefined && { constraint: cut(violation.constraint) }),
  ...(violation.actual !== undefined && { actual: cut(violation.actual) }),
  ...(violation.absent !== undefined && { absent: violation.absent.map(cut) }),
  ...(violation.hint !== undefined && { hint: cut(violation.hint) })
})

// ---------------------------------------------------------------------------------------------------------------------
// As a caller of the SDK sees them
// ---------------------------------------------------------------------------------------------------------------------

/** What policy said stays so: a client of the SDK that gets this as a response does not try again. */
const final = { "x-should-retry": "false" }

const body = (code: string, message: string, param?: string) => ({ message, type: code, code, param: param ?? null })

/**
 * Policy, or a stage of one's own, said no: 403 `policy_denied`. `decision` holds every violation.
 *
 * @category SDK errors
 */
export class PolicyDeniedError extends PermissionDeniedError {
  static {
    acrossCopies(this, "PolicyDeniedError")
  }
  readonly decision: Decision
  constructor(decision: Decision, message: string, code = "policy_denied") {
    super(403, body(code, message, decision.violations[0]?.path), undefined, new Headers(final))
    this.decision = decision
  }
}

/**
 * An approval from outside is missing, and nothing else: 403 `approval_pending`.
 *
 * @category SDK errors
 */
export class ApprovalPendingError extends PolicyDeniedError {
  static {
    acrossCopies(this, "ApprovalPendingError")
  }
  constructor(decision: Decision, message: string) {
    super(decision, message, "approval_pending")
  }
}

/**
 * A policy's rate limit is spent: 429 `policy_rate_limit`. `retryAfter` is in milliseconds; `headers` say it too, as
 * `retry-after` in whole seconds (RFC 9110 section 10.2.3) and as `retry-after-ms`.
 *
 * @category SDK errors
 */
export class PolicyRateLimitError extends RateLimitError {
  static {
    acrossCopies(this, "PolicyRateLimitError")
  }
  readonly decision: Decision
  readonly retryAfter: number
  constructor(decision: Decision, message: string, retryAfter: number) {
    const headers = {
      "retry-after": String(Math.ceil(retryAfter / 1000)),
      "retry-after-ms": String(retryAfter),
      ...final
    }
    super(429, body("policy_rate_limit", message), undefined, new Headers(headers))
    this.decision = decision
    this.retryAfter = retryAfter
  }
}

/**
 * The token is missing, forged or expired, or its key set cannot be reached: 401 `identity_invalid`. `reason` tells
 * these apart.
 *
 * @category SDK errors
 */
export class IdentityError extends AuthenticationError {
  static {
    acrossCopies(this, "IdentityError")
  }
  readonly reason: IdentityReason
  constructor(reason: IdentityReason, message: string) {
    super(401, body("identity_invalid", message), undefined, new Headers())
    this.reason = reason
  }
}

/**
 * The log, the policy store or the signer is unavailable, or the pipeline's deadline passed: 503
 * `enforcement_unavailable`. Nothing was let through. `reason` names the state where it lasts; it is undefined where it was the
 * fault of this call alone.
 *
 * @category SDK errors
 */
export class EnforcementUnavailableError extends InternalServerError {
  static {
    acrossCopies(this, "EnforcementUnavailableError")
  }
  readonly reason: UnavailableReason | undefined
  constructor(message: string, cause?: unknown, reason?: UnavailableReason) {
    super(503, body("enforcement_unavailable", message), undefined, new Headers())
    this.reason = reason
    if (cause !== undefined) this.cause = cause
  }
}

/**
 * The set-up is wrong; the message says what to change.
 *
 * @category SDK errors
 */
export class ConfigurationError extends OpenAIError {
  static {
    acrossCopies(this, "ConfigurationError")
  }
  readonly code = "configuration"
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = "ConfigurationError"
  }
}

/**
 * A binding was refused: what was bound is no registered user of this workspace (`not_registered`, `other_workspace`), is
 * an agent of another type (`not_user`), or the client is bound or in user mode itself (`not_service`).
 *
 * @category SDK errors
 */
export class BindError extends OpenAIError {
  static {
    acrossCopies(this, "BindError")
  }
  readonly code: "not_registered" | "not_user" | "not_service" | "other_workspace"
  constructor(code: BindError["code"], message: string) {
    super(message)
    this.name = "BindError"
    this.code = code
  }
}

/**
 * The binding has ended: by `unbind()`, or because its user was unregistered.
 *
 * @category SDK errors
 */
export class UnboundError extends OpenAIError {
  static {
    acrossCopies(this, "UnboundError")
  }
  readonly code = "client_unbound"
  constructor() {
    super("This binding has ended, by unbind() or because its user was unregistered; bind the user again.")
    this.name = "UnboundError"
  }
}

/**
 * The client or its workspace was closed.
 *
 * @category SDK errors
 */
export class ClosedError extends OpenAIError {
  static {
    acrossCopies(this, "ClosedError")
  }
  readonly code = "client_closed"
  constructor() {
    super("This client was closed by close(); make a new one.")
    this.name = "ClosedError"
  }
}

/** A pipeline's error as a caller of the SDK sees it; anything else, a provider's error among them, as it is. */
export const toSdkError = (error: unknown): unknown => {
  if (error instanceof ProviderFailed) return error.cause
  if (error instanceof PolicyDenied) return new PolicyDeniedError(error.decision, error.message)
  if (error instanceof ApprovalPending) return new ApprovalPendingError(error.decision, error.message)
  if (error instanceof PolicyRateLimited)
    return new PolicyRateLimitError(error.decision, error.message, error.retryAfter)
  if (error instanceof IdentityInvalid) return new IdentityError(error.reason, error.message)
  if (error instanceof EnforcementUnavailable)
    return new EnforcementUnavailableError(error.message, error.cause, error.reason)
  if (error instanceof Configuration)
    return new ConfigurationError(error.message, error.cause === undefined ? undefined : { cause: error.cause })
  return error
}
