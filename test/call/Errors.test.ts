import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Sdk from "openai"
import type { Decision } from "../../src/call/Decision.ts"
import * as Errors from "../../src/call/Errors.ts"
import * as SdkErrors from "../../src/call/SdkErrors.ts"

const decision: Decision = {
  verdict: "deny",
  resource: "tool:shop/generate",
  principal: "user:alice",
  policies: ["user:alice"],
  revision: "r",
  violations: [
    { code: "above_maximum", path: "max_tokens", message: "max_tokens is 4000, at most 2000", hint: "ask for less" },
    { code: "value_not_allowed", path: "model", message: 'model is "gpt-5"' }
  ],
  remedies: [],
  edits: [],
  enforced: true
}
const stage = "policy"
const message = "no"

type Class = abstract new (...args: ReadonlyArray<never>) => Error
/** Each cause with its class, the SDK's class, status and code. */
const rows: ReadonlyArray<readonly [unknown, Class, Class, number | undefined, string]> = [
  [Errors.policyDenied(decision, stage), SdkErrors.PolicyDeniedError, Sdk.PermissionDeniedError, 403, "policy_denied"],
  [
    Errors.refusal("custom:hours", { code: "closed", message: "Open from 9 to 5." }),
    SdkErrors.PolicyDeniedError,
    Sdk.PermissionDeniedError,
    403,
    "policy_denied"
  ],
  [
    new Errors.ApprovalPending({ decision, stage, message }),
    SdkErrors.ApprovalPendingError,
    SdkErrors.PolicyDeniedError,
    403,
    "approval_pending"
  ],
  [
    new Errors.PolicyRateLimited({ decision, stage, retryAfter: 1500, message }),
    SdkErrors.PolicyRateLimitError,
    Sdk.RateLimitError,
    429,
    "policy_rate_limit"
  ],
  [
    new Errors.IdentityInvalid({ reason: "expired", message }),
    SdkErrors.IdentityError,
    Sdk.AuthenticationError,
    401,
    "identity_invalid"
  ],
  [
    new Errors.EnforcementUnavailable({ stage: "audit", message }),
    SdkErrors.EnforcementUnavailableError,
    Sdk.InternalServerError,
    503,
    "enforcement_unavailable"
  ],
  [new Errors.Configuration({ message }), SdkErrors.ConfigurationError, Sdk.OpenAIError, undefined, "configuration"],
  [new SdkErrors.BindError("not_user", message), SdkErrors.BindError, Sdk.OpenAIError, undefined, "not_user"],
  [new SdkErrors.UnboundError(), SdkErrors.UnboundError, Sdk.OpenAIError, undefined, "client_unbound"],
  [new SdkErrors.ClosedError(), SdkErrors.ClosedError, Sdk.OpenAIError, undefined, "client_closed"]
]

describe("toSdkError", () => {
  it.each(rows.map((row) => [row[1].name, row] as const))("gives %s its class, status and code", (_, row) => {
    const [cause, own, sdk, status, code] = row
    const error = SdkErrors.toSdkError(cause)
    assert.isTrue(error instanceof own)
    assert.isTrue(error instanceof sdk)
    assert.instanceOf(error, Sdk.OpenAIError)
    assert.strictEqual(Reflect.get(Object(error), "status"), status)
    assert.strictEqual(Reflect.get(Object(error), "code"), code)
    if (cause instanceof Error) assert.include(String(error), cause.message)
  })

  it("lists every violation, with its hint, and keeps the decision", () => {
    const error = SdkErrors.toSdkError(Errors.policyDenied(decision, stage))
    assert.instanceOf(error, SdkErrors.PolicyDeniedError)
    assert.deepStrictEqual(error.decision, decision)
    assert.strictEqual(error.param, "max_tokens")
    for (const part of ["tool:shop/generate", "user:alice", "at most 2000", "ask for less", '"gpt-5"'])
      assert.include(error.message, part)
  })

  it("keeps the reason of an identity and of what is unavailable, and when to try again", () => {
    for (const reason of Errors.IdentityReason.literals) {
      const error = SdkErrors.toSdkError(new Errors.IdentityInvalid({ reason, message }))
      assert.strictEqual(error instanceof SdkErrors.IdentityError && error.reason, reason)
    }
    for (const reason of Errors.UnavailableReason.literals) {
      const error = SdkErrors.toSdkError(new Errors.EnforcementUnavailable({ stage: "audit", reason, message }))
      assert.strictEqual(error instanceof SdkErrors.EnforcementUnavailableError && error.reason, reason)
    }
    const once = SdkErrors.toSdkError(new Errors.EnforcementUnavailable({ stage: "audit", message }))
    assert.instanceOf(once, SdkErrors.EnforcementUnavailableError)
    assert.isUndefined(once.reason)
    const limited = SdkErrors.toSdkError(new Errors.PolicyRateLimited({ decision, stage, retryAfter: 1500, message }))
    assert.instanceOf(limited, SdkErrors.PolicyRateLimitError)
    assert.strictEqual(limited.retryAfter, 1500)
    assert.strictEqual(limited.headers.get("retry-after-ms"), "1500")
    assert.strictEqual(limited.headers.get("retry-after"), "2", "whole seconds, none too few")
    assert.strictEqual(limited.headers.get("x-should-retry"), "false")
  })

  it("leaves a provider's error, and anyone else's, as it is", () => {
    const provider = new Sdk.RateLimitError(429, { message: "slow down" }, undefined, new Headers())
    assert.strictEqual(SdkErrors.toSdkError(new Errors.ProviderFailed({ cause: provider, attempts: 3 })), provider)
    const other = new TypeError("bug")
    assert.strictEqual(SdkErrors.toSdkError(other), other)
    assert.isUndefined(SdkErrors.toSdkError(undefined))
  })

  it("hands no cause of an identity to the caller, where a token might stand", () => {
    const error = SdkErrors.toSdkError(
      new Errors.IdentityInvalid({ reason: "missing", message, cause: new Error("eyJ…") })
    )
    assert.notInclude(JSON.stringify(error), "eyJ")
    assert.isUndefined(error instanceof Error ? error.cause : "")
  })
})

describe("Refusal.make", () => {
  it.effect("is how a stage of one's own says no", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Errors.Refusal.make({ code: "closed", message: "Open from 9 to 5.", stage: "hours" })
      )
      assert.strictEqual(error._tag, "PolicyDenied")
      assert.strictEqual(error.stage, "custom:hours")
      assert.strictEqual(error.decision.violations[0]?.code, "closed")
      assert.include(error.message, "Open from 9 to 5.")
      assert.strictEqual((yield* Effect.flip(Errors.Refusal.make({ code: "closed", message }))).stage, "custom:closed")
    })
  )
})
