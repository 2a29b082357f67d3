/**
 * What an evaluation finds, as plain data. A code or a verdict costs no sentence; {@link explain} makes sentences, for
 * findings that are reported.
 */
import type { Json, JsonObject } from "../base/Json.ts"
import { isExact } from "../base/JsonNumbers.ts"
import type { Remedy, Violation, ViolationCode } from "../call/Decision.ts"
import { type Principal, policyId } from "../call/Principal.ts"
import type { Inexact } from "./Inexact.ts"
import { shownWidth, showValue, withArticle } from "./Notation.ts"
import type { AttestationNeed } from "./mapl/Attestation.ts"

/** Who set a bound; the lower its `rank`, the more specific the document. */
export interface Source {
  readonly policy: string
  readonly rank: number
}

/**
 * A proof that a document asks for. With an `approver` it is given from outside; otherwise it must be held already. The
 * rest is how an approval is given: `timeout` is how long one is waited for and `time_to_live` how long it holds, in
 * seconds; `max_uses` is for one that is not `one_time`.
 */
export interface NeededAttestation extends AttestationNeed, Source {
  readonly approver: string | undefined
  readonly timeout: number | undefined
  readonly time_to_live: number | undefined
  readonly one_time: boolean
  readonly max_uses: number | undefined
  readonly description: string | undefined
}

/** How a value stands to a bound that it breaks. */
export type Relation =
  | "above"
  | "below"
  | "negative"
  | "mistyped"
  | "uncounted"
  | "unmatched"
  | "longer"
  | "shorter"
  | "more"
  | "fewer"
  | "unlisted"
  | "denied"
  | "unread"

/** A value that breaks a bound. `note` says how the bound came about, `by` names all who set it where there are several. */
interface Broken {
  readonly _tag: "Broken"
  readonly code: ViolationCode
  readonly path: string
  readonly value: Json
  readonly relation: Relation
  readonly bound: Json
  readonly policy: string
  readonly note?: string | undefined
  readonly by?: string | undefined
  readonly remedy?: Remedy | undefined
}

/** A required parameter that is not there, or an element of an array that lacks a field; `among` is what it must be. */
interface Missing {
  readonly _tag: "Missing"
  readonly code: "required" | "value_not_allowed"
  readonly path: string
  readonly policy: string
  readonly lacking?: { readonly name: string; readonly value: Json; readonly among: ReadonlyArray<Json> | undefined }
  readonly remedy?: undefined
}

/** A request without a cap on its output, where there must be one. */
interface Uncapped {
  readonly _tag: "Uncapped"
  readonly code: "above_maximum"
  readonly path: string
  readonly bound: number
  readonly policy: string
  readonly note: string | undefined
  readonly remedy: Remedy
}

/** An attestation that the principal does not hold. */
interface Unattested {
  readonly _tag: "Unattested"
  readonly code: "attestation_missing" | "approval_pending"
  readonly path: string
  readonly policy: string
  readonly needed: NeededAttestation
  readonly principal: Principal
  readonly params: JsonObject
  readonly remedy?: undefined
}

/** A number that a rule must compare, and that two parsers may read as different numbers. */
interface Unreadable extends Inexact {
  readonly _tag: "Unreadable"
  readonly code: "invalid_body"
  readonly policy: string
  readonly remedy?: undefined
}

/** A violation that does not depend on the params; its words exist already. */
interface Stated {
  readonly _tag: "Stated"
  readonly code: string
  readonly path?: string
  readonly policy?: string
  readonly violation: Violation
  readonly remedy?: undefined
}

/** One thing that is wrong with a request, and the edit that would put it right where policy asks for one. */
export type Finding = Broken | Missing | Uncapped | Unattested | Unreadable | Stated

/** A violation as a finding. */
export const stated = (violation: Violation): Finding => ({ ...violation, _tag: "Stated", violation })

/** The finding that a rule must compare a number that is not exact. */
export const unreadable = (number: Inexact, { policy }: Pick<Source, "policy">): Finding => ({
  ...number,
  _tag: "Unreadable",
  code: "invalid_body",
  policy
})

/** A finding in words. */
export const explain = (finding: Finding): Violation => {
  switch (finding._tag) {
    case "Broken":
      return explainBroken(finding)
    case "Missing":
      return explainMissing(finding)
    case "Uncapped":
      return {
        code: finding.code,
        path: finding.path,
        policy: finding.policy,
        constraint: `the maximum ${finding.bound}`,
        message: `${finding.path} is absent, which means no limit; the maximum is ${finding.bound}${noted(finding.note)}, set by ${finding.policy}`
      }
    case "Unattested":
      return explainUnattested(finding)
    case "Unreadable": {
      const { code, path, policy, text } = finding
      const actual = text.slice(0, shownWidth)
      const number = Number(text)
      const holds = isExact(number)
      return {
        code,
        path,
        policy,
        actual,
        message: `${path} is ${actual}, which not every reader takes for the same number (${holds ? "it has more digits than a double" : "an integer of 2^53 or more"}), and ${policy} sets a bound that would judge it`,
        hint: holds ? `send ${String(number)}` : "send a smaller number, or a text"
      }
    }
    case "Stated":
      return finding.violation
  }
}

/** What stands between a value and its bound, and the bound. */
const relations: Readonly<Record<Relation, readonly [words: string, bound: (bound: Json) => string]>> = {
  above: ["is above", (bound) => `the maximum ${String(bound)}`],
  below: ["is below", (bound) => `the minimum ${String(bound)}`],
  negative: ["is below", String],
  mistyped: ["is not", (type) => withArticle(String(type))],
  uncounted: ["is not", String],
  unmatched: ["does not match", (pattern) => `the pattern ${String(pattern)}`],
  longer: ["has more than", (bound) => `${String(bound)} characters`],
  shorter: ["has fewer than", (bound) => `${String(bound)} characters`],
  more: ["has more than", (bound) => `${String(bound)} items`],
  fewer: ["has fewer than", (bound) => `${String(bound)} items`],
  unlisted: ["is not among", (values) => showValue(values)],
  denied: ["is denied by", (values) => showValue(values)],
  unread: ["may bring tools out of sight of", (name) => `the bound on ${String(name)}`]
}

const explainBroken = ({ bound, by, code, note, path, policy, relation, value }: Broken): Violation => {
  const actual = showValue(value)
  const [words, inWords] = relations[relation]
  const constraint = inWords(bound)
  return {
    code,
    path,
    policy,
    constraint,
    actual,
    message: `${path} is ${actual}, which ${words} ${constraint}${noted(note)}, set by ${by ?? policy}`
  }
}

const explainMissing = ({ code, lacking, path, policy }: Missing): Violation => {
  if (lacking === undefined) {
    const message = `${path} is missing; ${policy} requires it`
    return { code, path, policy, constraint: "required", absent: [path], message, hint: `pass ${path}` }
  }
  const { among, name, value } = lacking
  const [actual, list] = [showValue(value), among === undefined ? undefined : showValue(among)]
  return {
    code,
    path,
    policy,
    constraint: list ?? "required",
    actual,
    message: `${path} is ${actual}, which has no ${name}; ${policy} requires one${list === undefined ? "" : ` among ${list}`}`
  }
}

const explainUnattested = ({ code, needed, params, path, policy, principal }: Unattested): Violation => {
  const { approver, condition, key, when } = needed
  const absent = condition?.absent({ params, principal }) ?? []
  const about = {
    code,
    path,
    policy,
    ...(when !== undefined && { constraint: when }),
    ...(absent.length > 0 && { absent })
  }
  const where = when === undefined ? "" : ` where ${when}`
  const without =
    absent.length === 0
      ? ""
      : `; ${absent.join(" and ")} ${absent.length === 1 ? "is" : "are"} absent, and without ${absent.length === 1 ? "it" : "them"} it is needed`
  const parameters = absent.flatMap((name) => (name.startsWith("params.") ? [name.slice("params.".length)] : []))
  const pass = parameters.length === 0 ? "" : `pass ${parameters.join(" and ")}, or `
  return approver === undefined
    ? {
        ...about,
        message: `${policy} needs the attestation ${key}${where}, and ${policyId(principal)} does not hold it${without}`,
        hint: `${pass}${
          key === "phishing_resistant"
            ? "log in with a passkey or a security key"
            : `obtain the attestation ${key} before the call`
        }`
      }
    : {
        ...about,
        message: `${policy} needs the approval ${key}${where}, given by ${approver}${without}`,
        hint: `${pass}ask ${approver} to approve`
      }
}

/** ` (total_tokens 900 over 2 answers)`: how a bound came about. */
export const noted = (note: string | undefined): string => (note === undefined ? "" : ` (${note})`)
