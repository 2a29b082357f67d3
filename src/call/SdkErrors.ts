/**
 * The errors that a caller of the SDK receives. Each extends the class of the `openai` package that a caller would handle it as.
 * A provider's own error passes unchanged.
 */
import { AuthenticationError, InternalServerError, OpenAIError, PermissionDeniedError, RateLimitError } from "openai"
import { acrossCopies } from "../base/Shared.ts"
import type { Decision } from "./Decision.ts"
import {
  ApprovalPending,
  Configuration,
  EnforcementUnavailable,
  IdentityInvalid,
  type IdentityReason,
  PolicyDenied,
  PolicyRateLimited,
  ProviderFailed,
  type UnavailableReason
} from "./Errors.ts"

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
 * an agent of another type (`not_user`) or of another copy of this library (`other_copy`), or the client is bound or in user mode itself
 * (`not_service`).
 *
 * @category SDK errors
 */
export class BindError extends OpenAIError {
  static {
    acrossCopies(this, "BindError")
  }
  readonly code: "not_registered" | "not_user" | "not_service" | "other_workspace" | "other_copy"
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
