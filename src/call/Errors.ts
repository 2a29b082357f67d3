/**
 * The tagged errors of the pipeline. `SdkErrors.ts` makes of each the error that a caller of the SDK
 * receives.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Decision, type Violation } from "./Decision.ts"
import { bounded, describe } from "./DecisionText.ts"
import { acrossCopies } from "../base/Shared.ts"
import type { ResponseHead } from "./ResponseHead.ts"

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

  /** The same refusal of a token that says this of itself, with no signature verified; undefined for a token whose user is known. */
  claiming(unverified: typeof Claimed.Type | undefined): IdentityInvalid {
    const { cause, message, reason } = this
    return new IdentityInvalid({
      reason,
      message,
      ...(unverified !== undefined && { unverified }),
      ...(cause !== undefined && { cause })
    })
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
 * HTTP requests that were sent, `status` is the last HTTP status, `body` the text of its answer where that was read, `head` the
 * rest of that response.
 *
 * @category errors
 */
export class ProviderFailed extends Schema.TaggedError<ProviderFailed>()("ProviderFailed", {
  cause: Schema.Unknown,
  attempts: Schema.Finite,
  status: Schema.optionalKey(Schema.Finite),
  body: Schema.optionalKey(Schema.String),
  head: Schema.optionalKey(Schema.declare((u: unknown): u is ResponseHead => typeof u === "object" && u !== null))
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
