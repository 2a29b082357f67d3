import * as Duration from "effect/Duration"
import { APIConnectionError, APIError, AuthenticationError, OpenAI, OpenAIError } from "openai"
import { describe, expect, it } from "vitest"
import { failureOf, refusalOf } from "../../src/ai/Failure.ts"
import {
  ApprovalPendingError,
  ClosedError,
  ConfigurationError,
  EnforcementUnavailableError,
  IdentityError,
  PolicyDeniedError,
  PolicyRateLimitError
} from "../../src/index.ts"

const decision = {
  verdict: "deny",
  resource: "r",
  principal: "p",
  policies: [],
  revision: "",
  violations: [{ code: "above_maximum", message: "too much" }],
  remedies: [],
  edits: [],
  enforced: true
} as const
const client = new OpenAI({ apiKey: "the-real-key", baseURL: "http://127.0.0.1:1/v1" })
const failed = failureOf("generateText", client)
const status = (code: number, error: object = {}) => APIError.generate(code, { error }, undefined, new Headers())

describe("a failure", () => {
  it.each<[string, Error]>([
    ["ContentPolicyError", new PolicyDeniedError(decision, "no")],
    ["ContentPolicyError", new ApprovalPendingError(decision, "wait")],
    ["RateLimitError", new PolicyRateLimitError(decision, "slow", 1500)],
    ["AuthenticationError", new IdentityError("expired", "old")],
    ["InternalProviderError", new EnforcementUnavailableError("down")]
  ])("of our own is a %s, and refusalOf finds it", (tag, thrown) => {
    const error = failed(thrown)
    expect(error.reason._tag).toBe(tag)
    expect(error.reason).toMatchObject({ metadata: { "secure-openai": { code: (thrown as APIError).code } } })
    expect([refusalOf(error), refusalOf(error.reason), refusalOf(thrown)]).toEqual([thrown, thrown, thrown])
    if (tag !== "RateLimitError") expect(error.message).toContain(thrown.message)
    else expect(error.retryAfter).toEqual(Duration.millis(1500))
  })

  it("lists every violation in its metadata", () => {
    expect(failed(new PolicyDeniedError(decision, "no")).reason).toMatchObject({
      metadata: { "secure-openai": { violations: [{ code: "above_maximum", message: "too much" }] } }
    })
  })

  it.each<[string, unknown]>([
    ["InvalidRequestError", status(400)],
    ["AuthenticationError", status(401)],
    ["AuthenticationError", status(403)],
    ["RateLimitError", status(429)],
    ["QuotaExhaustedError", status(429, { code: "insufficient_quota" })],
    ["InternalProviderError", status(500)],
    ["UnknownError", status(418)],
    ["InternalProviderError", new APIError(undefined, { message: "in a stream" }, undefined, new Headers())],
    ["NetworkError", new APIConnectionError({ message: "no network" })],
    ["NetworkError", new TypeError("terminated")],
    ["InvalidRequestError", new ConfigurationError("wrong")],
    ["InvalidRequestError", new ClosedError()],
    ["InvalidRequestError", new OpenAIError("odd")],
    ["UnknownError", new Error("odd")],
    ["UnknownError", "odd"]
  ])("of anything else is a %s, and no refusal", (tag, thrown) => {
    const error = failed(thrown)
    expect(error.reason._tag).toBe(tag)
    expect(refusalOf(error)).toBeUndefined()
    expect(JSON.stringify(error)).not.toContain("the-real-key")
  })

  it("has the SDK's error as its cause", () => {
    const thrown = status(401)
    expect(thrown).toBeInstanceOf(AuthenticationError)
    expect((failed(thrown).cause as Error).cause).toBe(thrown)
  })
})
