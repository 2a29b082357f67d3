/**
 * What policy and rewriting make of one request, without a workspace: for commands that explain and test. Rate limits are
 * not counted.
 */
import * as Result from "effect/Result"
import { Call } from "../../call/Call.ts"
import type { IntentPolicy } from "../../call/Lineage.ts"
import type { JsonObject } from "../../base/Json.ts"
import type { Approval, Decision, Edit, Violation } from "../../call/Decision.ts"
import type { FamilyUse } from "../../call/Families.ts"
import { toolResource } from "../../call/Operation.ts"
import { decisionOf, evaluateFamily, judge as findingsOf, undecided } from "../../policy/Evaluate.ts"
import { explain, type Finding } from "../../policy/Finding.ts"
import { makeFind } from "../../policy/Participants.ts"
import type { PolicySet } from "../../policy/PolicySet.ts"
import { type Principal, policyId } from "../../call/Principal.ts"
import type { Models } from "../../rewriting/Models.ts"
import { plan } from "../../rewriting/Rewrite.ts"

/** A request to judge. `operation` is an operation, a tool's name, or a whole resource (`api:my-app/files`). */
export interface DryRunRequest {
  readonly principal: Principal
  readonly app: string
  readonly operation: string
  readonly params: JsonObject
  readonly intents: ReadonlyArray<IntentPolicy>
  /** Milliseconds since 1970. */
  readonly now: number
  /** What a request of a family does about models. Default: `passes`, as to read does. */
  readonly use?: FamilyUse
  /** Where not all of a request is known: whether a parameter is. What is missing of others is not missing. */
  readonly isKnown?: (path: string) => boolean
}

/** What policy and rewriting make of a request (mapl §7). */
export interface DryRun extends Pick<
  Decision,
  "verdict" | "resource" | "principal" | "policies" | "violations" | "edits" | "approvals"
> {}

/** Runs a request without sending it. Never throws: a request that cannot be decided is refused. */
export type DryRunner = (request: DryRunRequest) => DryRun

/** The resource that an operation names. */
export const resourceOf = (app: string, operation: string): string =>
  /[:/]/u.test(operation) ? operation : toolResource(app, operation)

/** Runs requests by a set of policies and a catalogue of models. A caller who looks up policies too passes its `find`. */
export const makeDryRunner = (
  set: PolicySet,
  models: Models["Service"],
  find: ReturnType<typeof makeFind> = makeFind(set)
): DryRunner => {
  return (request) => {
    try {
      return judge(find, set.revision, models, request)
    } catch (error) {
      return outcomeOf(request, [], { verdict: "deny", violations: [undecided(error)] })
    }
  }
}

const judge = (
  policyFor: ReturnType<typeof makeFind>,
  revision: string,
  models: Models["Service"],
  request: DryRunRequest
): DryRun => {
  const { app, intents, now, params, principal } = request
  const resource = resourceOf(app, request.operation)
  const rules = policyFor({ principal, app, intents }).rules(resource)
  if (resource.startsWith("api:")) {
    const family = resource.slice(resource.lastIndexOf("/") + 1)
    const violations = evaluateFamily(rules, { family, use: request.use ?? "passes", callers: [principal], now })
    return outcomeOf(request, rules.policies, { verdict: violations.length === 0 ? "allow" : "deny", violations })
  }
  const { isKnown = () => true } = request
  const find = (given: JsonObject): ReadonlyArray<Finding> =>
    findingsOf(rules, { params: given, principal, now }).filter(
      ({ code, path }) => code !== "required" || isKnown(path ?? "")
    )
  const decision = decisionOf(find(params), rules, { params, principal, now }, revision)
  if (decision.verdict !== "allow") return outcomeOf(request, rules.policies, decision)
  const recheck = (changed: JsonObject): ReadonlyArray<Violation> => find(changed).map((finding) => explain(finding))
  const call = Call.make(request.operation.replace(/^tool:[^/]*\//u, ""), params, { app })
  return Result.match(plan(call, decision, { recheck }, models), {
    onFailure: (violations) => outcomeOf(request, rules.policies, { verdict: "deny", violations }),
    onSuccess: ({ edits }) => outcomeOf(request, rules.policies, { verdict: "allow", violations: [], edits })
  })
}

const outcomeOf = (
  { app, operation, principal }: DryRunRequest,
  policies: ReadonlyArray<string>,
  outcome: {
    readonly verdict: Decision["verdict"]
    readonly violations: ReadonlyArray<Violation>
    readonly edits?: ReadonlyArray<Edit>
    readonly approvals?: ReadonlyArray<Approval>
  }
): DryRun => ({
  verdict: outcome.verdict,
  resource: resourceOf(app, operation),
  principal: policyId(principal),
  policies,
  violations: outcome.violations,
  edits: outcome.edits ?? [],
  ...(outcome.approvals !== undefined && { approvals: outcome.approvals })
})
