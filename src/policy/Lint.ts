/**
 * Advice on policies that load: what matches nothing, can never be allowed, or does not do what its author probably means.
 * It only warns, and avoids false alarms.
 */
import { otherNameOf } from "../call/Operation.ts"
import type { Diagnostic } from "./Diagnostic.ts"
import { showPath } from "./Notation.ts"
import { unmetAttestations, undecidedConditions } from "./lint/Attestations.ts"
import { contradictions } from "./lint/Contradictions.ts"
import { repeatedItems } from "./lint/Lists.ts"
import { looserThanParent } from "./lint/LooserThanParent.ts"
import { openModelChoice } from "./lint/ModelChoice.ts"
import { waysAround } from "./lint/ModelWays.ts"
import { noEffect } from "./lint/NoEffect.ts"
import { olderForms } from "./lint/OlderForms.ts"
import { weakOutputRules } from "./lint/Outputs.ts"
import { unknownParameters } from "./lint/Parameters.ts"
import { limitsPerProcess } from "./lint/RateLimits.ts"
import { uselessPatterns } from "./lint/Resources.ts"
import { unknownScope, misspeltOperations, caseDifferences } from "./lint/Spellings.ts"
import { type Check, Survey } from "./lint/Survey.ts"
import { type KnownModels, unknownModels } from "./lint/UnknownModels.ts"
import { spentValidity } from "./lint/Validity.ts"
import type { LintCode, Warning } from "./lint/Warning.ts"
import { isResourceKey } from "./Mapl.ts"
import { resourcePattern } from "./Pattern.ts"
import type { PolicySet } from "./PolicySet.ts"

/** Limits advice to these documents, and to the constraints that match a resource. */
export interface About {
  readonly ids: ReadonlyArray<string>
  readonly resource: string
}

/**
 * Every warning and note about a set, in the order of its documents, at the time `now` (milliseconds since 1970), by which
 * a validity may be over. Without `models` there is no warning about unknown models.
 */
export const lint = (
  set: PolicySet,
  now: number,
  { about, models }: { readonly about?: About | undefined; readonly models?: KnownModels | undefined } = {}
): ReadonlyArray<Diagnostic> => {
  const survey = new Survey(set)
  const all = [
    ...checks,
    waysAround(survey),
    ...(models === undefined ? [] : [unknownModels(models)]),
    ...(about === undefined ? [limitsPerProcess()] : [])
  ]
  const isAbout = about === undefined ? () => true : concerns(resourcePatternsOf(about.resource))
  return [...(about?.ids ?? set.ids())].flatMap((id) => {
    const entry = survey.entry(id)
    if (entry === undefined) return []
    const warnings = all.flatMap((check) => [...check(entry, survey, now)]).filter(isAbout)
    if (warnings.length === 0) return []
    return warnings
      .map(({ code, hint, message, path, severity }): Diagnostic => {
        const place = set.locate(id, path)
        return { severity: severity ?? "warning", code, message, path: showPath(path), policy: id, hint, place }
      })
      .sort((a, b) => a.place.line - b.place.line || a.place.column - b.place.column)
  })
}

/** Which patterns match a resource, under any of its names. */
const resourcePatternsOf = (resource: string): ((pattern: string) => boolean) => {
  const names = [resource, otherNameOf(resource)].filter((name) => name !== undefined)
  return (pattern) => names.some(resourcePattern(pattern))
}

/** Warnings about patterns that do not match, although their author probably meant them to. */
const misses: ReadonlySet<LintCode> = new Set([
  "matches_nothing",
  "case_differs",
  "unknown_resource_type",
  "llm_name",
  "operation_misspelt"
])

/** Whether a warning concerns a resource; a warning about constraints of other resources does not. */
const concerns =
  (matches: (pattern: string) => boolean) =>
  ({ code, path: [root, place, pattern] }: Warning): boolean => {
    // A request for the resource does not depend on the ways around it.
    if (code === "models_open") return false
    if (root !== "constraints" || place === "attestations" || misses.has(code)) return true
    const key = typeof place === "string" && isResourceKey(place) ? place : pattern
    return typeof key !== "string" || matches(key)
  }

const checks: ReadonlyArray<Check> = [
  unknownScope,
  caseDifferences,
  misspeltOperations,
  olderForms,
  uselessPatterns,
  contradictions,
  looserThanParent,
  unknownParameters,
  repeatedItems,
  weakOutputRules,
  noEffect,
  unmetAttestations,
  undecidedConditions,
  spentValidity,
  openModelChoice
]
