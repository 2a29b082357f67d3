/**
 * What policy said of one request: the verdict, every violation, and the edits that would make it pass.
 */
import * as Schema from "effect/Schema"

/** Why a request was refused, in a word that programs may compare. */
export const ViolationCode = Schema.Literals([
  "resource_denied",
  "resource_not_allowed",
  "no_policy",
  "value_not_allowed",
  "above_maximum",
  "below_minimum",
  "wrong_type",
  "pattern_mismatch",
  "length",
  "items",
  "required",
  "value_denied",
  "rate_limit",
  "attestation_missing",
  "attestation_expired",
  "attestation_denied",
  "approval_pending",
  "outside_validity",
  "unsatisfiable",
  "output_denied",
  "invalid_body",
  "foreign_query",
  "foreign_header",
  "foreign_option",
  "policy_error"
])
export type ViolationCode = typeof ViolationCode.Type

/**
 * One thing that is wrong with a request. `path` is the dotted parameter (`max_tokens`), `policy` the document that set
 * the bound, `constraint` the bound, `actual` the value as JSON cut at 80 characters, `absent` what refuses because it is
 * not there (`max_tokens`; of a condition `params.amount` or `principal.tier`), `hint` what to do about it. A
 * stage of one's own may use a code of its own.
 */
export const Violation = Schema.Struct({
  code: Schema.Union([ViolationCode, Schema.String]),
  path: Schema.optionalKey(Schema.String),
  policy: Schema.optionalKey(Schema.String),
  constraint: Schema.optionalKey(Schema.String),
  actual: Schema.optionalKey(Schema.String),
  absent: Schema.optionalKey(Schema.Array(Schema.String)),
  message: Schema.String,
  hint: Schema.optionalKey(Schema.String)
})
export interface Violation extends Schema.Struct.Type<typeof Violation.fields> {}

/** How many violations a decision lists at most; {@link Decision} says how many more there are. */
export const maximumViolations = 100

/** A parameter that was changed: `from` is absent where it was injected. `policy` is the document that asked for it. */
export const Edit = Schema.Struct({
  path: Schema.String,
  from: Schema.optionalKey(Schema.Unknown),
  to: Schema.Unknown,
  policy: Schema.String
})
export interface Edit extends Schema.Struct.Type<typeof Edit.fields> {}

/**
 * A change that policy asks for; Rewriting turns it into an {@link Edit}.
 *
 * - `set`: the value at `path` becomes `to`.
 * - `cap`: the request gives no bound on output tokens; `to` is the one to inject, in the spelling that the model takes.
 * - `model`: the model is not on the effective list `allowed` (literals and globs, in the order of the most specific
 *   document); the catalogue picks the one to take its place. `downgrade` is the constraint's own table.
 */
export const Remedy = Schema.Union([
  Schema.Struct({
    kind: Schema.Literal("set"),
    path: Schema.String,
    from: Schema.Unknown,
    to: Schema.Unknown,
    policy: Schema.String
  }),
  Schema.Struct({ kind: Schema.Literal("cap"), path: Schema.String, to: Schema.Finite, policy: Schema.String }),
  Schema.Struct({
    kind: Schema.Literal("model"),
    path: Schema.String,
    from: Schema.String,
    allowed: Schema.Array(Schema.String),
    downgrade: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
    policy: Schema.String
  })
])
export type Remedy = typeof Remedy.Type

/**
 * An approval that a pending call waits for (mapl §6). `digest` is what the approval is bound to: `sha-256:` and the
 * base64url SHA-256 of the canonical JSON (RFC 8785) of `{"params", "principal", "resource"}`, without `params` where one
 * approval serves for several calls (`oneTime` false). `timeout` and `timeToLive` are in seconds.
 */
export const Approval = Schema.Struct({
  key: Schema.String,
  policy: Schema.String,
  approver: Schema.String,
  digest: Schema.String,
  oneTime: Schema.Boolean,
  timeout: Schema.optionalKey(Schema.Finite),
  timeToLive: Schema.optionalKey(Schema.Finite),
  maxUses: Schema.optionalKey(Schema.Finite),
  description: Schema.optionalKey(Schema.String)
})
export interface Approval extends Schema.Struct.Type<typeof Approval.fields> {}

/**
 * A decision (mapl §7). With `deny` and `pending`, `violations` holds what refuses and `remedies` is empty; `policies`
 * are the ids of the documents that took part, `revision` the digest of the policy set, and `enforced` is false where the
 * decision is only recorded. At most {@link maximumViolations} violations are listed, and `more` says how many are not. `edits` are the changes as made, known once the request was rewritten; `approvals` are what
 * a `pending` call waits for.
 */
export const Decision = Schema.Struct({
  verdict: Schema.Literals(["allow", "deny", "pending"]),
  resource: Schema.String,
  principal: Schema.String,
  policies: Schema.Array(Schema.String),
  revision: Schema.String,
  violations: Schema.Array(Violation),
  more: Schema.optionalKey(Schema.Finite),
  remedies: Schema.Array(Remedy),
  edits: Schema.Array(Edit),
  enforced: Schema.Boolean,
  approvals: Schema.optionalKey(Schema.Array(Approval))
})
export interface Decision extends Schema.Struct.Type<typeof Decision.fields> {}
