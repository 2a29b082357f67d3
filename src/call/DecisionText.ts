/**
 * A decision as text of a bounded length, for messages, error bodies and records: what a request may choose, such as a tool's
 * name, can be as long as the request.
 */
import { type Decision, maximumViolations, type Violation } from "./Decision.ts"

/** How many violations a message spells out, and how long each text of one may be. */
const spelledOut = 20
const longestText = 1000

/** A text of a message; what a request may choose, such as a tool's name, can be as long as the request. */
const cut = (text: string, length = longestText): string =>
  text.length > length ? `${text.slice(0, length - 1).replace(/[\ud800-\udbff]$/u, "")}…` : text

/** Reasons in one line: the first twenty of them, and how many more there are besides these and `more`. */
export const inWords = (reasons: ReadonlyArray<string>, more = 0): string => {
  const others = more + Math.max(0, reasons.length - spelledOut)
  return [
    ...reasons.slice(0, spelledOut).map((reason) => cut(reason)),
    ...(others === 0 ? [] : [`and ${others} more`])
  ].join("; ")
}

/** What became of a decision, in words of a bounded length: `tool:my-app/generate was refused for user:alice: …`. */
export const describe = ({ more, principal, resource, violations }: Decision, became: string): string => {
  const reasons = violations
    .slice(0, spelledOut)
    .map((v) => (v.hint === undefined ? cut(v.message) : `${cut(v.message)} (${cut(v.hint)})`))
  const who = principal === "" ? "" : ` for ${cut(principal)}`
  const what = resource === "" ? "The request" : cut(resource)
  return `${what} ${became}${who}: ${inWords(reasons, (more ?? 0) + violations.length - reasons.length)}`
}

/** The decision with a bounded list of violations, each of a bounded length: it goes into errors, bodies and records. */
export const bounded = (decision: Decision): Decision => {
  const { more = 0, violations } = decision
  const others = more + Math.max(0, violations.length - maximumViolations)
  return {
    ...decision,
    violations: violations.slice(0, maximumViolations).map(shortened),
    ...(others > 0 && { more: others })
  }
}

const shortened = (violation: Violation): Violation => ({
  ...violation,
  message: cut(violation.message),
  ...(violation.path !== undefined && { path: cut(violation.path) }),
  ...(violation.constraint !== undefined && { constraint: cut(violation.constraint) }),
  ...(violation.actual !== undefined && { actual: cut(violation.actual) }),
  ...(violation.absent !== undefined && { absent: violation.absent.map(cut) }),
  ...(violation.hint !== undefined && { hint: cut(violation.hint) })
})
