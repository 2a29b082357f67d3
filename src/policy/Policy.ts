/**
 * The decision. Policy promises that what goes on is allowed by every document that takes part, that a refusal names every
 * violation, and that what it cannot decide is refused.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Result from "effect/Result"
import {
  type Call,
  Decided,
  type IntentPolicy,
  type Judge,
  type PassThrough,
  type Permit,
  type Signed
} from "../Call.ts"
import type { Decision, Violation } from "../Decision.ts"
import {
  ApprovalPending,
  type Configuration,
  EnforcementUnavailable,
  type PolicyDenied,
  policyDenied,
  PolicyRateLimited
} from "../Errors.ts"
import { passedFamilies, toolResource } from "../Operation.ts"
import { type Principal, policyId } from "../Principal.ts"
import type { EffectivePolicy, RateLimit } from "./EffectivePolicy.ts"
import { decide, evaluate, evaluateResource, judge, verdictOf } from "./Evaluate.ts"
import { unknownKeys } from "./Mapl.ts"
import { makeFind } from "./Participants.ts"
import { empty, load, type PolicySet, type PolicySource } from "./PolicyStore.ts"

/** What {@link Policy.layer} takes. */
export interface PolicyOptions {
  /** Without it, every service allows its own tools for everybody, and intents restrict. */
  readonly policies?: PolicySource | undefined
}

/**
 * The policy stage.
 *
 * @category services
 */
export class Policy extends Context.Service<
  Policy,
  {
    /** The call with its decision, where that lets it go on. */
    readonly evaluate: (
      signed: Signed
    ) => Effect.Effect<Decided, PolicyDenied | ApprovalPending | PolicyRateLimited | EnforcementUnavailable>
    /** Whether a family may pass for this principal: its resource alone is judged. */
    readonly pass: (
      request: PassThrough,
      principal: Principal
    ) => Effect.Effect<void, PolicyDenied | EnforcementUnavailable>
    /** The policy set in force: digest, and how many documents it has (none configured: 0). */
    readonly revision: Effect.Effect<{ readonly revision: string; readonly count: number }>
  }
>()("secure-openai/Policy") {
  /** MAPL policies, with rate limits counted by the given limiter. @category layers */
  static readonly layerNoDeps = (
    options: PolicyOptions = {}
  ): Layer.Layer<Policy, Configuration, RateLimiter.RateLimiter> =>
    Layer.effect(
      Policy,
      Effect.gen(function* () {
        const set = options.policies === undefined ? undefined : yield* Effect.fromResult(load(options.policies))
        return make(set, yield* RateLimiter.RateLimiter)
      })
    )

  /** MAPL policies, with rate limits counted in this process. @category layers */
  static readonly layer = (options: PolicyOptions = {}): Layer.Layer<Policy, Configuration> =>
    Policy.layerNoDeps(options).pipe(Layer.provide(RateLimiter.layer), Layer.provide(RateLimiter.layerStoreMemory))
}

const make = (configured: PolicySet | undefined, limiter: RateLimiter.RateLimiter): Policy["Service"] => {
  const { count, revision } = configured ?? empty
  const find = makeFind(configured)
  const warn = makeWarn()

  /** What is thrown on the way to a decision is a reason to refuse. */
  const orRefuse = <A>(resource: string, principal: Principal, f: () => A): Result.Result<A, PolicyDenied> => {
    try {
      return Result.succeed(f())
    } catch (error) {
      return Result.fail(denial({ resource, principal, policies: [], revision }, [undecided(error)]))
    }
  }

  const judgeOf = (call: Call, policy: EffectivePolicy, principal: Principal, now: number): Judge => ({
    recheck: (params) =>
      Result.match(
        orRefuse(call.resource, principal, () => evaluate(policy.rules(call.resource), { params, principal, now })),
        {
          onFailure: ({ decision }) => decision.violations,
          onSuccess: (findings) => findings.map(({ violation }) => violation)
        }
      ),
    tool: (name, params) => {
      const resource = toolResource(call.app, name)
      const judged = orRefuse(resource, principal, () =>
        verdictOf(judge(policy.rules(resource), { params, principal, now }))
      )
      return Result.isSuccess(judged) ? judged.success : "deny"
    }
  })

  return Policy.of({
    revision: Effect.succeed({ revision, count }),

    evaluate: Effect.fnUntraced(function* (signed) {
      const { call, principal } = signed
      const { app, intents, params, resource } = call
      yield* warn(intents)
      const now = yield* Clock.currentTimeMillis
      const { decision, policy, rules } = yield* Effect.fromResult(
        orRefuse(resource, principal, () => {
          const policy = find({ principal, app, intents })
          const rules = policy.rules(resource)
          return { policy, rules, decision: decide(rules, { params, principal, now }, revision) }
        })
      )
      if (!isPermit(decision)) return yield* refused(decision)
      if (rules.rateLimits.length > 0) yield* countCall(limiter, rules.rateLimits, decision)
      return new Decided(signed, decision, judgeOf(call, policy, principal, now))
    }),

    pass: Effect.fnUntraced(function* ({ app, family, intents, resource }, principal) {
      yield* warn(intents)
      const now = yield* Clock.currentTimeMillis
      const isOpen = passedFamilies.has(family) || principal.kind === "app"
      const { policies, violations } = yield* Effect.fromResult(
        orRefuse(resource, principal, () => {
          const rules = find({ principal, app, intents }).rules(resource)
          return { policies: rules.policies, violations: isOpen ? rules.denied : evaluateResource(rules, now) }
        })
      )
      if (violations.length > 0) return yield* denial({ resource, principal, policies, revision }, violations)
    })
  })
}

const isPermit = (decision: Decision): decision is Permit => decision.verdict === "allow"

const refused = (decision: Decision): PolicyDenied | ApprovalPending =>
  decision.verdict === "pending"
    ? new ApprovalPending({
        decision,
        stage: "policy",
        message: `${decision.resource} waits for approval for ${decision.principal}: ${decision.violations.map(({ message }) => message).join("; ")}`
      })
    : policyDenied(decision, "policy")

const denial = (
  about: Pick<Decision, "resource" | "policies" | "revision"> & { readonly principal: Principal },
  violations: ReadonlyArray<Violation>
): PolicyDenied => {
  const principal = policyId(about.principal)
  return policyDenied(
    { ...about, principal, verdict: "deny", violations, remedies: [], edits: [], enforced: true },
    "policy"
  )
}

const undecided = (error: unknown): Violation => ({
  code: "policy_error",
  message: `policy cannot decide, so the call is refused: ${error instanceof Error ? error.message : String(error)}`
})

/** Says once of each intent which of its keys mean nothing. */
const makeWarn = (): ((intents: ReadonlyArray<IntentPolicy>) => Effect.Effect<void>) => {
  const seen = new WeakSet<IntentPolicy>()
  return (intents) => {
    const fresh = intents.filter((intent) => !seen.has(intent))
    if (fresh.length === 0) return Effect.void
    fresh.forEach((intent) => seen.add(intent))
    return Effect.forEach(
      fresh.flatMap(unknownKeys),
      (key) => Effect.logWarning(`An intent policy was read without a part of it: ${key}`),
      {
        discard: true
      }
    )
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Rate limits
// ---------------------------------------------------------------------------------------------------------------------

/** Counts a call against every limit, or against none where one of them is spent. */
const countCall = Effect.fnUntraced(function* (
  limiter: RateLimiter.RateLimiter,
  limits: ReadonlyArray<RateLimit>,
  decision: Decision
) {
  const take = (tokens: number) => (rate: RateLimit) =>
    limiter
      .consume({
        key: JSON.stringify([rate.counter, decision.principal]),
        limit: rate.limit,
        window: "1 minute",
        tokens
      })
      .pipe(
        Effect.map(({ remaining, resetAfter }) => (tokens > 0 || remaining > 0 ? undefined : resetAfter)),
        Effect.catchReason("RateLimiterError", "RateLimitExceeded", ({ retryAfter }) => Effect.succeed(retryAfter)),
        Effect.mapError(
          (cause) =>
            new EnforcementUnavailable({ stage: "policy", message: "The rate limits cannot be counted.", cause })
        ),
        Effect.map((wait) => (wait === undefined ? undefined : { rate, wait: Duration.toMillis(wait) }))
      )
  for (const tokens of [0, 1]) {
    const spent = (yield* Effect.forEach(limits, take(tokens))).filter((each) => each !== undefined)
    if (spent.length > 0) return yield* rateLimited(decision, spent)
  }
})

const rateLimited = (
  decision: Decision,
  spent: ReadonlyArray<{ readonly rate: RateLimit; readonly wait: number }>
): PolicyRateLimited => {
  const violations = spent.map(({ rate: { limit, policy }, wait }) => ({
    code: "rate_limit",
    policy,
    constraint: `${limit} a minute`,
    message: `the ${limit} ${limit === 1 ? "call" : "calls"} a minute that ${policy} allows ${decision.principal} are spent`,
    hint: `try again in ${Math.ceil(wait / 1000)} s`
  }))
  return new PolicyRateLimited({
    decision: { ...decision, verdict: "deny", violations, remedies: [] },
    stage: "policy",
    retryAfter: Math.max(...spent.map(({ wait }) => wait)),
    message: `${decision.resource} was refused for ${decision.principal}: ${violations.map(({ message }) => message).join("; ")}`
  })
}
