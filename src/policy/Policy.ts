/**
 * The decision. Policy promises that what goes on is allowed by every document that takes part, that a refusal names every
 * violation, and that what it cannot decide is refused.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { behalfOf, narrowed } from "../call/Lineage.ts"
import type { Call } from "../call/Call.ts"
import { Decided, type Signed } from "../call/States.ts"
import type { Judge, Permit } from "../call/Judge.ts"
import type { PassThrough } from "../call/PassThrough.ts"
import type { Claim, Spent } from "../call/Claim.ts"
import type { Decision, Violation } from "../call/Decision.ts"
import { bounded, describe } from "../call/DecisionText.ts"
import {
  ApprovalPending,
  type Configuration,
  type EnforcementUnavailable,
  type PolicyDenied,
  policyDenied,
  PolicyRateLimited
} from "../call/Errors.ts"
import { toolResource } from "../call/Operation.ts"
import { identityOf, type Principal, policyId } from "../call/Principal.ts"
import { type ActivationStatus, type ActivePolicies, type Candidate, open, type Revision } from "./ActivePolicies.ts"
import { ambiguities } from "./Ambiguity.ts"
import { allConstraints, type RateLimit, type Rules } from "./Rules.ts"
import { decide, evaluate, evaluateFamily, judge, undecided, verdictOf } from "./Evaluate.ts"
import { showDiagnostic } from "./Diagnostic.ts"
import { lint } from "./Lint.ts"
import { type Limits, limitsOf } from "./Limits.ts"
import { outputOf } from "./Output.ts"
import { type PolicyScope, makeFind } from "./Participants.ts"
import { empty, type PolicySet } from "./PolicySet.ts"
import type { PolicySource } from "./PolicySource.ts"

/** What {@link Policy.layer} takes. */
export interface PolicyOptions {
  /** Without it, every service allows its own tools for everybody, and intents restrict. */
  readonly policies?: PolicySource | undefined
  /**
   * `observe`: calls go on as if there were no policies, and what these would have refused or changed is recorded.
   * Default `enforce`.
   */
  readonly mode?: PolicyMode | undefined
}

/** Whether policies decide calls, or the log only records what they would have decided. */
export type PolicyMode = "enforce" | "observe"

/** A decision on a call, and the judge that answers further questions about the call. */
export interface Judgement {
  readonly decision: Decision
  readonly judge: Judge
}

/** Which policies are in force, whether they are enforced, and whether the last change failed. Times are in ms since 1970. */
export interface PolicyStatus extends ActivationStatus {
  readonly mode: PolicyMode
}

/**
 * The policy stage.
 *
 * @category services
 */
export class Policy extends Context.Service<
  Policy,
  {
    /** The call with its decision, where that lets it go on. The log claims its rate limits later. */
    readonly evaluate: (
      signed: Signed
    ) => Effect.Effect<Decided, PolicyDenied | ApprovalPending | EnforcementUnavailable>
    /** The decision on a call, allowed or not. Claims no rate limit. */
    readonly judge: (call: Call, principal: Principal) => Effect.Effect<Judgement>
    /** What a principal may ask of a resource of a service at most. */
    readonly limits: (scope: PolicyScope & { readonly operation: string }) => Effect.Effect<Limits>
    /**
     * Whether a family may pass for this principal; only its resource is judged. Returns the decision of policies that
     * are only observed.
     */
    readonly pass: (
      request: PassThrough,
      principal: Principal
    ) => Effect.Effect<Decision | undefined, PolicyDenied | EnforcementUnavailable>
    /** The policy set in force. */
    readonly revision: Effect.Effect<Revision>
    /** The same, with its mode and the failure of the last change. */
    readonly status: Effect.Effect<PolicyStatus>
    /**
     * The ids of the first documents with a rate limit that is enforced, up to ten: none where policies are observed. Of a larger
     * set the first 10,000 documents are looked at.
     */
    readonly rateLimited: Effect.Effect<ReadonlyArray<string>>
    /** The linter's warnings about the set, one line each; none for a set of over 10,000 documents. */
    readonly warnings: Effect.Effect<ReadonlyArray<string>>
    /** Whether policies are enforced or observed. */
    readonly mode: PolicyMode
    /** Reads the policies again. The set in force stays until the candidate is activated. */
    readonly prepare: Effect.Effect<Candidate, Configuration>
  }
>()("secure-openai/Policy") {
  /**
   * MAPL policies. Rate limits are claimed from the log, with each decision's record.
   *
   * @category layers
   */
  static readonly layer = (options: PolicyOptions = {}): Layer.Layer<Policy, Configuration> =>
    Layer.effect(
      Policy,
      Effect.gen(function* () {
        return make(yield* open(options.policies, rulebook), options.mode ?? "enforce")
      })
    )
}

/** A policy set in force, ready for decisions. */
interface Rulebook {
  readonly revision: string
  /** What policy asks of a resource; the failure is what was thrown, and refuses. */
  readonly rules: (scope: PolicyScope, resource: string) => Result.Result<Rules, unknown>
  /** True where documents were configured, and not only the one that stands in for them. */
  readonly isConfigured: boolean
  readonly warnings: (now: number) => ReadonlyArray<string>
  readonly rateLimited: () => ReadonlyArray<string>
}

/** The linter reads at most this many documents while an app waits; the command reads any number. */
const mostLinted = 10_000

const rulebook = (set: PolicySet | undefined): Rulebook => {
  const { count, revision } = set ?? empty
  const warnings = (now: number) =>
    set === undefined || count > mostLinted
      ? []
      : lint(set, now)
          .filter(({ severity }) => severity !== "note")
          .map(showDiagnostic)
  const rateLimited = () => (set === undefined ? [] : limitedIn(set))
  const find = makeFind(set)
  const rules = (scope: PolicyScope, resource: string) => Result.try(() => find(scope).rules(resource))
  return { revision, rules, isConfigured: set !== undefined, warnings, rateLimited }
}

/** How many documents with a limit are named. */
const mostNamed = 10

const limitedIn = (set: PolicySet): ReadonlyArray<string> => {
  const limited: Array<string> = []
  let looked = 0
  for (const id of set.ids()) {
    if (++looked > mostLinted || limited.length === mostNamed) break
    if (set.find(id)?.constraints?.rate_limit !== undefined) limited.push(id)
  }
  return limited
}

const make = ({ current, prepare, status }: ActivePolicies<Rulebook>, mode: PolicyMode): Policy["Service"] => {
  /** The rules that hold while the configured policies are only observed: those of no policies. */
  const unrestricted = rulebook(undefined)

  /** A decision by one rulebook, with the limits that it counts. What is thrown on the way is a reason to refuse. */
  const judgement = (book: Rulebook, call: Call, principal: Principal, now: number): Judgement => {
    const { app, behalf, intents, isText, params, resource } = call
    const { revision } = book
    const scope = { principal, app, intents, behalf }
    const by = <A>(rules: Result.Result<Rules, unknown>, f: (rules: Rules) => A): Result.Result<A, unknown> =>
      Result.flatMap(rules, (found) => Result.try(() => f(found)))
    const rules = book.rules(scope, resource)
    const decision = Result.getOrElse(
      by(rules, (found) => {
        // Without documents and intents no rule depends on how the request is read.
        const unclear = book.isConfigured || intents.length > 0 ? ambiguities(call, found) : undefined
        return decide(found, { params, isText, principal, now, unclear }, revision)
      }),
      (error) => denialOf({ resource, principal, policies: [], revision }, [undecided(error)])
    )
    const known = Result.getOrUndefined(rules)
    const limits = known?.rateLimits ?? []
    return {
      decision,
      judge: {
        recheck: (given) =>
          Result.getOrElse(
            by(rules, (found) => evaluate(found, { params: given, principal, now })),
            (error) => [undecided(error)]
          ),
        tool: (name, args) =>
          Result.getOrElse(
            by(book.rules(scope, toolResource(app, name)), (found) =>
              verdictOf(judge(found, { params: args, principal, now }))
            ),
            () => "deny"
          ),
        bounded: known === undefined ? [] : boundedBy(known),
        output: known === undefined ? undefined : outputOf(known, params),
        wants: limits.length === 0 ? nothing : claimsOf(limits, identityOf(principal)),
        refuse: (spent) => rateLimited(decision, spent)
      }
    }
  }

  const judged = (book: Rulebook, call: Call, principal: Principal) =>
    Effect.map(Clock.currentTimeMillis, (now) => judgement(book, call, principal, now))

  const enforced = (): Rulebook => (mode === "observe" ? unrestricted : current())

  return Policy.of({
    mode,
    revision: Effect.sync(() => ({ revision: status().revision, count: status().count })),
    rateLimited: Effect.sync(() => (mode === "observe" ? [] : current().rateLimited())),
    warnings: Effect.map(Clock.currentTimeMillis, (now) => current().warnings(now)),
    status: Effect.sync(() => ({ ...status(), mode })),
    prepare,

    judge: (call, principal) => Effect.suspend(() => judged(enforced(), call, principal)),

    limits: ({ operation, ...scope }) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const resource = toolResource(scope.app, operation)
        return Result.match(enforced().rules(scope, resource), {
          onFailure: (error) => ({
            resource,
            allowed: false,
            reasons: [undecided(error)],
            ratesPerMinute: {},
            parameters: {}
          }),
          onSuccess: (rules) => limitsOf(rules, now)
        })
      }),

    evaluate: Effect.fnUntraced(function* (signed) {
      const { call, principal } = signed
      const observed = mode === "observe" ? current() : undefined
      const { decision, judge } = yield* judged(enforced(), call, principal)
      if (!isPermit(decision)) return yield* refused(decision)
      if (observed === undefined) return new Decided(signed, decision, judge)
      const seen = yield* judged(observed, call, principal)
      // What an intent limits is claimed already.
      const wants = seen.judge.wants.filter(({ counter }) => !judge.wants.some((claim) => claim.counter === counter))
      return new Decided(signed, decision, judge, {
        decision: { ...seen.decision, enforced: false },
        judge: { ...seen.judge, wants }
      })
    }),

    pass: Effect.fnUntraced(function* ({ app, family, lineage, resource, use, ...request }, principal) {
      const intents = narrowed(request.intents, lineage)
      const behalf = behalfOf(lineage)
      const now = yield* Clock.currentTimeMillis
      const passed = ({ revision, rules }: Rulebook): Decision => {
        const about = { resource, principal, policies: [], revision }
        return Result.match(rules({ principal, app, intents, behalf }, resource), {
          onFailure: (error) => denialOf(about, [undecided(error)]),
          onSuccess: (rules) => {
            const violations = evaluateFamily(rules, { family, use, callers: [principal, ...behalf], now })
            const decision = denialOf({ ...about, policies: rules.policies }, violations)
            return violations.length > 0 ? decision : { ...decision, verdict: "allow" }
          }
        })
      }
      const decision = passed(enforced())
      if (decision.verdict !== "allow") return yield* policyDenied(decision, "policy")
      return mode === "observe" ? { ...passed(current()), enforced: false } : undefined
    })
  })
}

/** The names of the parameters that rules bound. */
const boundedBy = (rules: Rules): ReadonlyArray<string> => [
  ...new Set(allConstraints(rules).map(({ parameter: { name } }) => name))
]

const isPermit = (decision: Decision): decision is Permit => decision.verdict === "allow"

const refused = (decision: Decision): PolicyDenied | ApprovalPending =>
  decision.verdict === "pending"
    ? new ApprovalPending({
        decision: bounded(decision),
        stage: "policy",
        message: describe(decision, "waits for approval")
      })
    : policyDenied(decision, "policy")

/** A decision to refuse. */
const denialOf = (
  about: Pick<Decision, "resource" | "policies" | "revision"> & { readonly principal: Principal },
  violations: ReadonlyArray<Violation>
): Decision => ({
  ...about,
  principal: policyId(about.principal),
  verdict: "deny",
  violations,
  remedies: [],
  edits: [],
  enforced: true
})

// ---------------------------------------------------------------------------------------------------------------------
// Rate limits
// ---------------------------------------------------------------------------------------------------------------------

/** The window of a rate limit, in ms. It slides: within any minute so many calls begin. */
const minute = 60_000

const nothing: ReadonlyArray<never> = []

/** What one call spends of its limits. A limit is that of a document and of one `caller`, an {@link identityOf}. */
const claimsOf = (limits: ReadonlyArray<RateLimit>, caller: string): ReadonlyArray<Claim> =>
  limits.map(({ counter, limit, policy }) => ({
    policy,
    counter,
    caller,
    unit: "calls",
    amount: 1,
    limit,
    window: minute
  }))

const rateLimited = (decision: Decision, spent: ReadonlyArray<Spent>): PolicyRateLimited => {
  const violations = spent.map(({ claim: { limit, policy }, retryAfter }) => ({
    code: "rate_limit",
    policy,
    constraint: `${limit} a minute`,
    message: `the ${limit} ${limit === 1 ? "call" : "calls"} a minute that ${policy} allows ${decision.principal} are spent`,
    hint: `try again in ${Math.ceil(retryAfter / 1000)} s`
  }))
  const refused: Decision = { ...decision, verdict: "deny", violations, remedies: [] }
  return new PolicyRateLimited({
    decision: bounded(refused),
    stage: "policy",
    retryAfter: Math.max(...spent.map(({ retryAfter }) => retryAfter)),
    message: describe(refused, "was refused")
  })
}
