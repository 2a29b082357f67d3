/**
 * How a failure looks in the log: as a refusal before the decision was written, as an ending after it. Codes and class
 * names only; messages can quote a prompt, and stay out.
 */
import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import { APIConnectionTimeoutError, APIUserAbortError } from "openai"
import type { Usage } from "../answer/Usage.ts"
import type { Credentials } from "../call/Credentials.ts"
import type { CallResult } from "../call/CallEnd.ts"
import type { PipelineError, StageName } from "../call/Errors.ts"
import type { Decision } from "../call/Decision.ts"
import type { Principal } from "../call/Principal.ts"
import type { Kinds, RecordViolation } from "./Record.ts"
import type { Unverified } from "./Refusals.ts"

/** What a `refused` record says of the reason. */
export type Reason = Pick<Kinds["refused"], "stage" | "code" | "status" | "violations" | "policies">

/** A refusal. `unverified` is there where no signature of its caller's token was verified: it is counted with others. */
export interface RefusalFields extends Reason {
  readonly unverified?: Unverified | undefined
}

/** Who is refused: how it called, and who it is, where that was known by then. */
export interface RefusedCaller {
  readonly credentials: Credentials
  readonly principal: Principal | undefined
}

/** What an `outcome` record says of the end. */
export interface EndFields {
  readonly result: CallResult
  readonly attempts?: number | undefined
  readonly status?: number | undefined
  readonly error?: string | undefined
  readonly request?: string | undefined
  readonly response?: string | undefined
  readonly usage?: Usage | undefined
}

/** The refusal that a failure before the decision amounts to. */
export const refusalFields = (cause: Cause.Cause<PipelineError>, caller: RefusedCaller): RefusalFields => {
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  const reason = reasonOf(cause, error, caller.principal !== undefined)
  return { ...reason, unverified: unverifiedOf(error, reason, caller) }
}

/**
 * Whether, and by what, a refusal is counted with others: a user whom nothing identified has no name. Where identity refuses, it
 * says whether a signature was verified.
 */
const unverifiedOf = (
  error: PipelineError | undefined,
  { code }: Reason,
  { credentials, principal }: RefusedCaller
): Unverified | undefined => {
  if (credentials._tag !== "User" || principal !== undefined) return undefined
  if (
    error !== undefined &&
    "reason" in error &&
    (error._tag === "IdentityInvalid" || error.reason === "clock_set_back")
  )
    return error.unverified && { ...error.unverified, code: error.reason }
  return { code }
}

const reasonOf = (cause: Cause.Cause<PipelineError>, error: PipelineError | undefined, identified: boolean): Reason => {
  if (error === undefined)
    return Cause.hasDies(cause)
      ? { stage: "custom:sentence", code: "enforcement_unavailable", status: 503, violations: [] }
      : { stage: "egress", code: "aborted", status: 499, violations: [] }
  switch (error._tag) {
    case "PolicyDenied":
      return { ...decided(error), code: "policy_denied", status: 403 }
    case "ApprovalPending":
      return { ...decided(error), code: "approval_pending", status: 403 }
    case "PolicyRateLimited":
      return { ...decided(error), code: "policy_rate_limit", status: 429 }
    case "IdentityInvalid":
      return {
        stage: error.reason === "envelope" || error.reason === "replayed" ? "signing" : "identity",
        code: "identity_invalid",
        status: 401,
        violations: [{ code: error.reason }]
      }
    case "EnforcementUnavailable":
      return { stage: stageOf(error.stage), code: "enforcement_unavailable", status: 503, violations: [] }
    case "Configuration":
      return { stage: identified ? "policy" : "identity", code: "configuration", status: 500, violations: [] }
    case "ProviderFailed":
      return { stage: "egress", code: "provider_failed", status: error.status ?? 502, violations: [] }
  }
}

const decided = (
  error: Extract<PipelineError, { readonly _tag: "PolicyDenied" | "ApprovalPending" | "PolicyRateLimited" }>
): Pick<Reason, "stage" | "violations" | "policies"> => ({
  stage: stageOf(error.stage),
  violations: recordViolations(error.decision),
  policies: error.decision.policies
})

/** The parameters that a refusal is about: a policy put a bound on them. */
export const pathsOf = (cause: Cause.Cause<PipelineError>): ReadonlyArray<string> => {
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  return error !== undefined && "decision" in error
    ? error.decision.violations.flatMap(({ path }) => (path === undefined ? [] : [path]))
    : []
}

/** The violations of a decision as records tell them. */
export const recordViolations = ({ violations }: Pick<Decision, "violations">): ReadonlyArray<RecordViolation> =>
  violations.map(({ code, path, policy }) => ({ code, path, policy }))

/** The log knows the last stage by the way out, not by what is behind it. */
const stageOf = (stage: StageName): string => (stage === "invocation" ? "egress" : stage)

/** The end that a failure after the decision amounts to; `acknowledged` says whether the bytes could leave by then. */
export const endFields = (cause: Cause.Cause<PipelineError>, acknowledged: boolean): EndFields => {
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  if (error === undefined)
    return Cause.hasDies(cause) ? { result: "failed", error: className(Cause.squash(cause)) } : { result: "aborted" }
  switch (error._tag) {
    case "ProviderFailed":
      return {
        result:
          error.cause instanceof APIUserAbortError || error.cause instanceof APIConnectionTimeoutError
            ? "aborted"
            : "failed",
        attempts: error.attempts,
        status: error.status,
        error: className(error.cause)
      }
    case "EnforcementUnavailable":
    case "Configuration":
      return { result: acknowledged ? "failed" : "aborted", error: className(error) }
    case "PolicyDenied":
    case "ApprovalPending":
    case "PolicyRateLimited":
    case "IdentityInvalid":
      return { result: "refused", error: className(error) }
  }
}

/** The end of a stream that broke: one whose connection failed was cut, wherever the provider stood. */
export const streamEndFields = (cause: Cause.Cause<PipelineError>): EndFields => {
  const end = endFields(cause, true)
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  // `fetch` says "terminated" by a TypeError (Fetch standard, §5.6).
  return end.result === "failed" && error?._tag === "ProviderFailed" && error.cause instanceof TypeError
    ? { ...end, result: "cut" }
    : end
}

const className = (error: unknown): string =>
  error instanceof Error ? error.constructor.name : typeof error === "object" ? "Object" : typeof error
