/**
 * The decision, as one function over plain data: what a request breaks of the rules for its resource. It stops at
 * nothing and drops nothing. At the end its findings become a verdict, and sentences where they are reported.
 */
import type { Json, JsonObject } from "../base/Json.ts"
import { type Approval, type Decision, maximumViolations, type Remedy, type Violation } from "../call/Decision.ts"
import { readingsOf } from "../base/JsonEscapes.ts"
import { type FamilyUse, mustBeNamed, passedFamilies } from "../call/Families.ts"
import { isTokenCount, operations } from "../call/Operation.ts"
import { type Principal, policyId } from "../call/Principal.ts"
import { approvalOf } from "./Approval.ts"
import { type Bound, type Constraint, meet } from "./Constraint.ts"
import { broken, checkConstraint, isGiven } from "./ConstraintCheck.ts"
import { allConstraints, type ClosedMembers, type DeniedValues, type Rules, type Window } from "./Rules.ts"
import { explain, type Finding, type NeededAttestation, noted, stated, unreadable } from "./Finding.ts"
import { showValue } from "./Notation.ts"
import { inexactIn } from "./Inexact.ts"
import { type FoundValue, parameter, read, readText, valueAt } from "./Parameter.ts"
import { textsOf } from "./RequestTexts.ts"

/** What is judged: params for a resource, by a principal, at a time (milliseconds since 1970). */
export interface Request {
  readonly params: JsonObject
  /** True where the params hold a text in place of a tool's named arguments. */
  readonly isText?: boolean
  /** What in the request may be read in two ways. */
  readonly unclear?: ReadonlyArray<Violation> | undefined
  readonly principal: Principal
  readonly now: number
}

/**
 * Everything that is wrong with a request, in the order of mapl §4: validity, denied resources, resources, what may be read
 * in two ways, parameters, denied parameters, attestations. The log counts rate limits.
 */
export const judge = (rules: Rules, request: Request): ReadonlyArray<Finding> => {
  const findings: Array<Finding> = []
  for (const window of rules.windows) checkWindow(window, request.now, findings)
  for (const violation of rules.denied) findings.push(stated(violation))
  for (const violation of rules.notAllowed) findings.push(stated(violation))
  for (const violation of rules.contradictions) findings.push(stated(violation))
  for (const violation of request.unclear ?? []) findings.push(stated(violation))
  if (request.isText === true && namesParameters(rules)) findings.push(stated(unnamed))
  for (const constraint of rules.constraints) checkConstraint(constraint, request.params, findings)
  for (const closed of rules.closed) checkClosed(closed, request.params, findings)
  checkCap(rules, request.params, findings)
  for (const denied of rules.deniedValues) checkDenied(denied, request.params, findings)
  for (const needed of rules.attestations) checkAttestation(needed, request, findings)
  return findings
}

/** A text has no named arguments, so no bound on a name can be checked. */
const unnamed: Violation = {
  code: "invalid_body",
  message: "policy bounds the arguments by name, and these are no JSON object"
}

const namesParameters = (rules: Rules): boolean => rules.deniedValues.length > 0 || allConstraints(rules).length > 0

/** What {@link judge} finds, in words. */
export const evaluate = (rules: Rules, request: Request): ReadonlyArray<Violation> =>
  judge(rules, request).map((finding) => explain(finding))

/** The violation for a request that cannot be decided: `error` is what the evaluation threw. */
export const undecided = (error: unknown): Violation => ({
  code: "policy_error",
  message: `policy cannot decide, so the call is refused: ${error instanceof Error ? error.message : String(error)}`
})

/** Violations that do not depend on the params: validity, denied resources, resources. */
export const evaluateResource = (rules: Rules, now: number): ReadonlyArray<Violation> => {
  const findings: Array<Finding> = []
  for (const window of rules.windows) checkWindow(window, now, findings)
  return [...findings.map((finding) => explain(finding)), ...rules.denied, ...rules.notAllowed]
}

/**
 * What is wrong with a request of a family that passes through. A family that is open to all callers
 * is refused only where a document denies it; any other family must be among the resources.
 */
export const evaluateFamily = (
  rules: Rules,
  {
    callers,
    family,
    now,
    use
  }: {
    readonly family: string
    readonly use: FamilyUse
    readonly callers: ReadonlyArray<Principal>
    readonly now: number
  }
): ReadonlyArray<Violation> => {
  if (!mustBeNamed(family, use) || callers.every(({ kind }) => kind === "app")) return rules.denied
  const violations = evaluateResource(rules, now)
  return passedFamilies.has(family) ? violations.map((violation) => withUse(violation, use)) : violations
}

/** Why a family that passes must be named for this request. */
const withUse = (violation: Violation, use: FamilyUse): Violation =>
  violation.code === "resource_not_allowed"
    ? {
        ...violation,
        message: `this request ${use === "changes_models" ? "changes models" : "can reach a model"}, so its family must be among the resources: ${violation.message}`
      }
    : violation

/**
 * The verdict of findings. If no edit can correct a finding, the call is refused; if only approvals from outside are missing,
 * it is pending; otherwise it is allowed, with the edits to make.
 */
export const verdictOf = (findings: ReadonlyArray<Finding>): Decision["verdict"] => {
  let verdict: Decision["verdict"] = "allow"
  for (const { code, remedy } of findings)
    if (remedy === undefined) {
      if (code !== "approval_pending") return "deny"
      verdict = "pending"
    }
  return verdict
}

/** The decision, with every violation that refuses in words. */
export const decide = (rules: Rules, request: Request, revision: string): Decision =>
  decisionOf(judge(rules, request), rules, request, revision)

/** The decision that findings about a request amount to. */
export const decisionOf = (
  findings: ReadonlyArray<Finding>,
  rules: Rules,
  request: Request,
  revision: string
): Decision => {
  const verdict = verdictOf(findings)
  const violations: Array<Violation> = []
  const remedies: Array<Remedy> = []
  let more = 0
  for (const finding of findings)
    if (verdict === "allow") remedies.push(finding.remedy!)
    else if (finding.remedy === undefined && (verdict === "pending" || finding.code !== "approval_pending")) {
      if (violations.length < maximumViolations) violations.push(explain(finding))
      else more++
    }
  return {
    verdict,
    resource: rules.resource,
    principal: policyId(request.principal),
    policies: rules.policies,
    revision,
    violations,
    ...(more > 0 && { more }),
    remedies,
    edits: [],
    enforced: true,
    ...(verdict === "pending" && { approvals: approvals(findings, request, rules.resource) })
  }
}

const approvals = (findings: ReadonlyArray<Finding>, request: Request, resource: string): ReadonlyArray<Approval> =>
  findings.flatMap((finding) =>
    finding._tag === "Unattested" && finding.code === "approval_pending"
      ? [approvalOf(finding.needed, request, resource)]
      : []
  )

// ---------------------------------------------------------------------------------------------------------------------
// Validity, denied values, attestations
// ---------------------------------------------------------------------------------------------------------------------

const checkWindow = (window: Window, now: number, findings: Array<Finding>): void => {
  const { notAfter, notBefore, policy, text } = window
  if (now >= notBefore && now <= notAfter) return
  findings.push(
    stated({
      code: "outside_validity",
      policy,
      constraint: text,
      actual: new Date(now).toISOString(),
      message: `${policy} ${now < notBefore ? "does not apply yet" : "does not apply any more"}: it is valid ${text}`
    })
  )
}

const checkDenied = (denied: DeniedValues, params: JsonObject, findings: Array<Finding>): void => {
  const { decoys = [], found, misshapen, unread = [] } = read(denied.parameter, params)
  const comparesNumbers = denied.values.some((value) => typeof value !== "string")
  const matches = matcherOf(denied)
  for (const each of [...found, ...decoys]) {
    const { path, value } = each
    const number = comparesNumbers ? inexactIn(params, each) : undefined
    if (number !== undefined) findings.push(unreadable(number, denied))
    if (anyPart(value, matches)) findings.push(broken("value_denied", "denied", denied.values, path, value, denied))
  }
  for (const { path, value } of unread)
    findings.push(broken("value_denied", "unread", denied.parameter.name, path, value, denied))
  for (const { expected, path, value } of misshapen)
    findings.push(broken("wrong_type", "mistyped", expected, path, value, denied))
  if (denied.forbids || denied.parameter.inMessage === undefined) return
  // A request may have as many texts as it is long, and each of them may be denied.
  const reported = new Set(findings.flatMap(({ code, path }) => (code === "value_denied" ? [path] : [])))
  for (const text of textsOf(params)) {
    const { path } = text
    if (reported.has(path) || !readText(denied.parameter, text).some((value) => anyPart(value, matches))) continue
    reported.add(path)
    findings.push(broken("value_denied", "denied", denied.values, path, text.text, denied))
  }
}

/** A message may hold JSON text, such as a call's arguments. A denied text is found behind JSON escapes too. */
const matcherOf = ({ matches, parameter: { inMessage } }: DeniedValues): ((value: Json) => boolean) =>
  inMessage === undefined
    ? matches
    : (value) => (typeof value === "string" ? readingsOf(value).some((reading) => matches(reading)) : matches(value))

const checkClosed = ({ members, policy }: ClosedMembers, params: JsonObject, findings: Array<Finding>): void => {
  for (const path of members) {
    const value = valueAt(params, path) ?? null
    if (value === null) continue
    const actual = showValue(value)
    findings.push(
      stated({
        code: "value_not_allowed",
        path,
        policy,
        constraint: "the list of models",
        actual,
        message: `${path} is ${actual}, which may choose a model that is not on the list of ${policy}`,
        hint: `leave it out, or say what it may be beside the list: ${JSON.stringify(path)} under the parameters of ${policy}`
      })
    )
  }
}

/** Whether a value, or anything inside it, matches: an element of an array, a content part of a message. */
const anyPart = (value: Json, matches: (value: Json) => boolean): boolean =>
  matches(value) ||
  (typeof value === "object" && value !== null && Object.values(value).some((part: Json) => anyPart(part, matches)))

const checkAttestation = (needed: NeededAttestation, request: Request, findings: Array<Finding>): void => {
  const { approver, condition, key, policy } = needed
  const { principal } = request
  if (principal.attestations.includes(key)) return
  // An undecided condition counts as true.
  if (condition !== undefined && condition.truth(request) === false) return
  const code = approver === undefined ? "attestation_missing" : "approval_pending"
  // An approval is bound to what was asked, and that must be one thing.
  const number = approver === undefined ? undefined : inexactIn(request.params, { path: "", value: request.params })
  if (number !== undefined) findings.push(unreadable(number, { policy }))
  findings.push({ _tag: "Unattested", code, path: key, policy, needed, principal, params: request.params })
}

// ---------------------------------------------------------------------------------------------------------------------
// The cap on output tokens
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The cap, which a request without one is given: an absent cap would be no limit at all. `n` and `best_of` multiply it; the
 * product stays within `total_tokens`.
 */
const checkCap = ({ cap, totalTokens }: Rules, params: JsonObject, findings: Array<Finding>): void => {
  if (totalTokens === undefined) return boundCap(cap, params, findings)
  const answers = countAnswers(params)
  if (typeof answers === "number") return boundCap(withTotal(cap, totalTokens, answers), params, findings)
  const number = inexactIn(params, answers)
  findings.push(
    number === undefined
      ? broken("wrong_type", "uncounted", "a count", answers.path, answers.value, totalTokens.source)
      : unreadable(number, totalTokens.source)
  )
  boundCap(cap, params, findings)
}

const boundCap = (constraint: Constraint | undefined, params: JsonObject, findings: Array<Finding>): void => {
  if (constraint === undefined) return
  const { max, min, parameter: named } = constraint
  if (max !== undefined && (max.value < 1 || (min !== undefined && min.value > max.value))) {
    findings.push(stated(noRoom(constraint, max)))
    return
  }
  const before = findings.length
  checkConstraint(constraint, params, findings)
  if (max === undefined || findings.length > before || isGiven(constraint, params)) return
  const { note, policy } = max
  findings.push({
    _tag: "Uncapped",
    code: "above_maximum",
    path: named.name,
    bound: max.value,
    policy,
    note,
    remedy: { kind: "cap", path: named.name, to: Math.floor(max.value), policy }
  })
}

const outputTokens = parameter("max_tokens", operations.generate)

const noRoom = ({ min, parameter: { name } }: Constraint, max: Bound): Violation => ({
  code: "above_maximum",
  path: name,
  policy: max.policy,
  constraint: `the maximum ${max.value}`,
  message: `no ${name} fits: the maximum is ${max.value}${noted(max.note)}, set by ${max.policy}${min === undefined ? "" : `, the minimum ${min.value}, set by ${min.policy}`}`,
  hint: "ask for fewer answers (n, best_of)"
})

/**
 * How many answers a request asks for, or the value that is no count. What counts is what was asked, even where policy makes
 * it less: a document that bounds `n` must not make room under another one's `total_tokens`.
 */
const countAnswers = (params: JsonObject): number | FoundValue => {
  let answers = 1
  for (const path of ["n", "best_of"]) {
    const value = valueAt(params, path) ?? 1
    if (typeof value !== "number" || !isTokenCount(value) || inexactIn(params, { path, value }) !== undefined)
      return { path, value }
    answers = Math.max(answers, value)
  }
  return answers
}

/** The cap's constraint with the bounds that `total_tokens` leaves to each answer. */
const withTotal = (cap: Constraint | undefined, total: Constraint, answers: number): Constraint => {
  const share = (bound: Bound | undefined, round: (value: number) => number): Bound | undefined =>
    bound && {
      ...bound,
      value: round(bound.value / answers),
      note: `total_tokens ${bound.value} over ${answers} ${answers === 1 ? "answer" : "answers"}`
    }
  const shared: Constraint = {
    ...total,
    parameter: cap?.parameter ?? outputTokens,
    max: share(total.max, Math.floor),
    min: share(total.min, Math.ceil)
  }
  return cap === undefined ? shared : meet(cap, shared)
}
