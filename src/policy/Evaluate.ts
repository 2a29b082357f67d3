/**
 * The decision, as one function over plain data: what a request breaks of the rules for its resource. It stops for nothing
 * and drops nothing; only at the end are its findings made a verdict.
 *
 * @since 0.1.0
 */
import type { Json, JsonObject } from "../CanonicalJson.ts"
import type { Decision, Violation } from "../Decision.ts"
import { operations } from "../Operation.ts"
import { type Principal, policyId } from "../Principal.ts"
import { type Bound, check, type Constraint, type Finding, meet, show, violated } from "./Constraint.ts"
import type { DeniedValues, NeededAttestation, Rules, Window } from "./EffectivePolicy.ts"
import { type Found, parameter, read, valueAt } from "./Parameter.ts"

/** What is judged: params for a resource, by a principal, at a time (milliseconds since 1970). */
export interface Request {
  readonly params: JsonObject
  readonly principal: Principal
  readonly now: number
}

/**
 * Everything that is wrong with a request, in the order of mapl §4: validity, denied resources, resources, parameters,
 * denied parameters, attestations. Rate limits are counted by whoever keeps the counters.
 */
export const evaluate = (rules: Rules, request: Request): ReadonlyArray<Finding> => [
  ...violations(evaluateResource(rules, request.now)),
  ...violations(rules.contradictions),
  ...rules.constraints.flatMap((constraint) => check(constraint, request.params)),
  ...checkCap(rules, request.params),
  ...rules.deniedValues.flatMap((denied) => checkDenied(denied, request.params)),
  ...violations(rules.attestations.flatMap((needed) => checkAttestation(needed, request)))
]

/** What is wrong whatever the params are: validity, denied resources, resources. */
export const evaluateResource = (rules: Rules, now: number): ReadonlyArray<Violation> => [
  ...rules.windows.flatMap((window) => outside(window, now)),
  ...rules.denied,
  ...rules.notAllowed
]

/**
 * The verdict. What no edit puts right refuses; where nothing but approvals from outside is missing, the call is pending;
 * otherwise it is allowed, with the edits to make.
 */
export const decide = (rules: Rules, request: Request, revision: string): Decision => {
  const findings = evaluate(rules, request)
  const refused = findings.filter(({ remedy }) => remedy === undefined).map(({ violation }) => violation)
  const hard = refused.filter(({ code }) => code !== "approval_pending")
  const about = { resource: rules.resource, principal: policyId(request.principal), policies: rules.policies, revision }
  const outcome = { ...about, edits: [], enforced: true }
  if (hard.length > 0) return { ...outcome, verdict: "deny", violations: hard, remedies: [] }
  if (refused.length > 0) return { ...outcome, verdict: "pending", violations: refused, remedies: [] }
  const remedies = findings.flatMap(({ remedy }) => (remedy === undefined ? [] : [remedy]))
  return { ...outcome, verdict: "allow", violations: [], remedies }
}

const violations = (list: ReadonlyArray<Violation>): ReadonlyArray<Finding> => list.map((violation) => ({ violation }))

// ---------------------------------------------------------------------------------------------------------------------
// Validity, denied values, attestations
// ---------------------------------------------------------------------------------------------------------------------

const outside = ({ notAfter, notBefore, policy, text }: Window, now: number): ReadonlyArray<Violation> =>
  now >= notBefore && now <= notAfter
    ? []
    : [
        {
          code: "outside_validity",
          policy,
          constraint: text,
          actual: new Date(now).toISOString(),
          message: `${policy} ${now < notBefore ? "does not apply yet" : "does not apply any more"}: it is valid ${text}`
        }
      ]

const checkDenied = (denied: DeniedValues, params: JsonObject): ReadonlyArray<Finding> => {
  const { found, misshapen } = read(denied.parameter, params)
  return [
    ...found
      .filter(({ value }) => anyPart(value, denied.matches))
      .map((each) => violated("value_denied", each, denied, show(denied.values), "is denied by")),
    ...misshapen.map((each) => violated("wrong_type", each, denied, `an ${each.expected}`, "is not"))
  ]
}

/** A denied value is found wherever it stands: in an element of an array, in a content part of a message. */
const anyPart = (value: Json, matches: (value: Json) => boolean): boolean =>
  matches(value) ||
  (typeof value === "object" && value !== null && Object.values(value).some((part: Json) => anyPart(part, matches)))

const checkAttestation = (needed: NeededAttestation, request: Request): ReadonlyArray<Violation> => {
  const { approver, condition, key, policy, when } = needed
  // What cannot be decided is needed.
  if (condition !== undefined && condition(request) === false) return []
  if (request.principal.attestations.includes(key)) return []
  const about = { policy, path: key, ...(when !== undefined && { constraint: when }) }
  const where = when === undefined ? "" : ` where ${when}`
  return [
    approver === undefined
      ? {
          ...about,
          code: "attestation_missing",
          message: `${policy} needs the attestation ${key}${where}, and ${policyId(request.principal)} does not hold it`,
          hint:
            key === "phishing_resistant"
              ? "log in with a passkey or a security key"
              : `obtain the attestation ${key} before the call`
        }
      : {
          ...about,
          code: "approval_pending",
          message: `${policy} needs the approval ${key}${where}, given by ${approver}`,
          hint: `ask ${approver} to approve`
        }
  ]
}

// ---------------------------------------------------------------------------------------------------------------------
// The cap on output tokens
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The cap, which a request without one is given: an absent cap would be no limit at all. `n` and `best_of` multiply it; the
 * product stays within `total_tokens`.
 */
const checkCap = ({ cap, totalTokens }: Rules, params: JsonObject): ReadonlyArray<Finding> => {
  if (totalTokens === undefined) return boundCap(cap, params)
  const answers = countAnswers(params)
  return typeof answers === "number"
    ? boundCap(withTotal(cap, totalTokens, answers), params)
    : [violated("wrong_type", answers, totalTokens.source, "a count", "is not"), ...boundCap(cap, params)]
}

const boundCap = (constraint: Constraint | undefined, params: JsonObject): ReadonlyArray<Finding> => {
  if (constraint === undefined) return []
  const { max, min, parameter: named } = constraint
  if (max !== undefined && (max.value < 1 || (min !== undefined && min.value > max.value)))
    return [{ violation: noRoom(constraint, max) }]
  const findings = check(constraint, params)
  if (max === undefined || findings.length > 0 || read(named, params).found.length > 0) return findings
  return [
    {
      violation: {
        code: "above_maximum",
        path: named.name,
        policy: max.policy,
        constraint: `the maximum ${max.value}`,
        message: `${named.name} is absent, which means no limit; the maximum is ${max.value}${noted(max)}, set by ${max.policy}`
      },
      remedy: { kind: "cap", path: named.name, to: Math.floor(max.value), policy: max.policy }
    }
  ]
}

const outputTokens = parameter("max_tokens", operations.generate)

const noRoom = ({ min, parameter: { name } }: Constraint, max: Bound): Violation => ({
  code: "above_maximum",
  path: name,
  policy: max.policy,
  constraint: `the maximum ${max.value}`,
  message: `no ${name} fits: the maximum is ${max.value}${noted(max)}, set by ${max.policy}${min === undefined ? "" : `, the minimum ${min.value}, set by ${min.policy}`}`,
  hint: "ask for fewer answers (n, best_of)"
})

const noted = ({ note }: Bound): string => (note === undefined ? "" : ` (${note})`)

/**
 * How many answers a request asks for, or the value that is no count. What counts is what was asked, even where policy makes
 * it less: a document that bounds `n` must not make room under another one's `total_tokens`.
 */
const countAnswers = (params: JsonObject): number | Found => {
  let answers = 1
  for (const path of ["n", "best_of"]) {
    const value = valueAt(params, path) ?? 1
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1) return { path, value }
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
