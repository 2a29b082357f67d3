/**
 * What the SDK throws, as `effect/ai` names it. The thrown error stays readable as the reason's cause.
 */
import * as AiError from "effect/ai/AiError"
import * as Duration from "effect/Duration"
import { APIConnectionError, APIError, type OpenAI, OpenAIError } from "openai"
import {
  ConfigurationError,
  EnforcementUnavailableError,
  IdentityError,
  PolicyDeniedError,
  PolicyRateLimitError
} from "../call/SdkErrors.ts"
import { otherCopy } from "../base/Shared.ts"

/** What a secure client refuses with. */
export type Refused = PolicyDeniedError | PolicyRateLimitError | IdentityError | EnforcementUnavailableError

/**
 * The refusal that an `AiError`, or its reason, stands for; `undefined` where the failure is the provider's or the program's.
 * `ApprovalPendingError` is a `PolicyDeniedError`.
 *
 * @category errors
 */
export const refusalOf = (error: unknown): Refused | undefined => {
  for (let cause = error; cause instanceof Error; cause = cause.cause) if (isRefused(cause)) return cause
  return undefined
}

const isRefused = (error: Error): error is Refused =>
  error instanceof PolicyDeniedError ||
  error instanceof PolicyRateLimitError ||
  error instanceof IdentityError ||
  error instanceof EnforcementUnavailableError

/** The same client; throws a `ConfigurationError` for one of another copy of this library, whose errors have other classes. */
export const requireOwn = <Client extends OpenAI>(client: Client): Client => {
  const why = otherCopy(client)
  if (why !== undefined) throw new ConfigurationError(`A model takes a SecureOpenAI of this copy, and ${why}`)
  return client
}

/** The failure of a method of a model that `thrown` stands for. */
export const failureOf =
  (method: string, client: OpenAI) =>
  (thrown: unknown): AiError.AiError => {
    const reason = reasonOf(thrown, client)
    if (thrown instanceof Error && reason._tag !== "NetworkError")
      Object.defineProperty(reason, "cause", { value: thrown, configurable: true, writable: true })
    return failure(method, reason)
  }

/** A failure that no error stands for. */
export const failure = (method: string, reason: AiError.AiErrorReason): AiError.AiError =>
  AiError.make({ module: "SecureOpenAI", method, reason })

const reasonOf = (thrown: unknown, { baseURL: url }: OpenAI): AiError.AiErrorReason => {
  if (!(thrown instanceof Error)) return new AiError.UnknownError({ description: String(thrown) })
  const { message: description } = thrown
  // A body that breaks off is a `TypeError`, as `fetch` has it.
  if (thrown instanceof APIConnectionError || thrown instanceof TypeError)
    return new AiError.NetworkError({ reason: "TransportError", method: "POST", url, description, cause: thrown })
  if (thrown instanceof PolicyDeniedError)
    return new AiError.ContentPolicyError({ description, metadata: told(thrown, thrown.decision.violations) })
  if (thrown instanceof PolicyRateLimitError)
    return new AiError.RateLimitError({ retryAfter: Duration.millis(thrown.retryAfter), metadata: told(thrown) })
  if (thrown instanceof IdentityError)
    return new AiError.AuthenticationError({ kind: "Unknown", description, metadata: told(thrown) })
  if (thrown instanceof EnforcementUnavailableError)
    return new AiError.InternalProviderError({ description, metadata: told(thrown) })
  if (thrown instanceof APIError && thrown.code === "insufficient_quota")
    return new AiError.QuotaExhaustedError({ metadata: provided(thrown) })
  if (thrown instanceof APIError && thrown.status !== undefined)
    return AiError.reasonFromHttpStatus({ status: thrown.status, description, metadata: provided(thrown) })
  if (thrown instanceof APIError) return new AiError.InternalProviderError({ description, metadata: provided(thrown) })
  return thrown instanceof OpenAIError
    ? new AiError.InvalidRequestError({ description })
    : new AiError.UnknownError({ description })
}

const told = ({ code }: APIError, violations: PolicyDeniedError["decision"]["violations"] = []) => ({
  "secure-openai": { code: code ?? null, violations: violations.map(({ code, message }) => ({ code, message })) }
})

const provided = ({ code, requestID, type }: APIError) => ({
  openai: { code: code ?? null, type: type ?? null, requestId: requestID ?? null }
})
