/**
 * The check of a request against the constraint on one parameter.
 */
import { isArray, type Json, type JsonObject } from "../base/Json.ts"
import type { Remedy } from "../call/Decision.ts"
import { isTokenCount, outputTokenCaps } from "../call/Operation.ts"
import { effectiveValues, names } from "./AllowedValues.ts"
import { type Allowed, type Bound, type Constraint, type JsonType, none } from "./Constraint.ts"
import { type Finding, type Relation, type Source, unreadable } from "./Finding.ts"
import { inexactIn } from "./Inexact.ts"
import { type FoundValue, type Parameter, read, readText, valueAt } from "./Parameter.ts"
import { textsOf } from "./RequestTexts.ts"

/** Adds everything in which a request breaks a constraint that is no contradiction. */
export const checkConstraint = (constraint: Constraint, params: JsonObject, findings: Array<Finding>): void => {
  const { parameter, required, source } = constraint
  let isThere = false
  if (parameter.members === undefined) {
    const { found, lacking, misshapen, unread = none } = read(parameter, params)
    isThere = found.length + lacking.length + misshapen.length > 0
    if (unread.length > 0 && isBounding(constraint))
      checkUnread(constraint, unread, new Set(lacking.map(({ path }) => path)), findings)
    for (const each of found) checkValue(constraint, params, each, findings)
    for (const { expected, path, value } of misshapen)
      findings.push(broken("wrong_type", "mistyped", expected, path, value, source))
    for (const { path, value } of lacking) {
      const [list] = constraint.lists
      const code = list === undefined ? "required" : "value_not_allowed"
      const { policy } = list ?? source
      findings.push({
        _tag: "Missing",
        code,
        path,
        policy,
        lacking: { name: parameter.name, value, among: list?.values }
      })
    }
  } else
    for (const name of parameter.members) {
      const value = valueAt(params, name)
      if (value === undefined || value === null) continue
      isThere = true
      checkValue(constraint, params, { path: name, value }, findings)
    }
  if (constraint.patterns.length > 0 && parameter.inMessage !== undefined) checkTexts(constraint, params, findings)
  if (required !== undefined && !isThere)
    findings.push({ _tag: "Missing", code: "required", path: parameter.name, policy: required.policy })
}

/** True where the constraint asks for more than presence or a type. */
const isBounding = ({ lists, max, maxItems, maxLength, min, minItems, minLength, patterns }: Constraint): boolean =>
  lists.length + patterns.length > 0 ||
  [min, max, minLength, maxLength, minItems, maxItems].some((bound) => bound !== undefined)

/** Refuses members that may hold values out of sight; `reported` are paths that another finding refuses. */
const checkUnread = (
  { lists: [list], parameter: { name }, source }: Constraint,
  unread: ReadonlyArray<FoundValue>,
  reported: ReadonlySet<string>,
  findings: Array<Finding>
): void => {
  for (const { path, value } of unread)
    if (!reported.has(path)) findings.push(broken("value_not_allowed", "unread", name, path, value, list ?? source))
}

/** What else the model reads must match the patterns that messages must match. */
const checkTexts = ({ parameter, patterns }: Constraint, params: JsonObject, findings: Array<Finding>): void => {
  for (const text of textsOf(params)) {
    if (text.kind !== "prose") continue
    for (const value of readText(parameter, text))
      for (const each of typeof value === "string" ? patterns : none)
        if (!each.regex.matches(String(value)))
          findings.push(broken("pattern_mismatch", "unmatched", each.pattern, text.path, value, each))
  }
}

/** Whether a request gives a value for the parameter. */
export const isGiven = ({ parameter }: Constraint, params: JsonObject): boolean => {
  if (parameter.members === undefined) return read(parameter, params).found.length > 0
  return parameter.members.some((name) => (valueAt(params, name) ?? null) !== null)
}

/** One bound that one value breaks. */
export const broken = (
  code:
    | "above_maximum"
    | "below_minimum"
    | "wrong_type"
    | "pattern_mismatch"
    | "length"
    | "items"
    | "value_denied"
    | "value_not_allowed",
  relation: Relation,
  bound: Json,
  path: string,
  value: Json,
  { note, policy }: { readonly policy: string; readonly note?: string },
  remedy?: Remedy
): Finding => ({ _tag: "Broken", code, path, value, relation, bound, policy, note, remedy })

const checkValue = (constraint: Constraint, params: JsonObject, found: FoundValue, findings: Array<Finding>): void => {
  const { path, value } = found
  // A list compares what is inside of a value too; other isBounding are on a number itself, or on a length.
  const number = typeof value === "number" || constraint.lists.length > 0 ? inexactIn(params, found) : undefined
  if (number !== undefined) findings.push(unreadable(number, constraint.source))
  const mistyped = wrongType(constraint, value)
  if (mistyped !== undefined) findings.push(broken("wrong_type", "mistyped", mistyped.type, path, value, mistyped))
  if (typeof value === "number" && Number.isFinite(value)) checkNumber(constraint, path, value, findings)
  const { lists, patterns } = constraint
  if (lists.length > 0 && !lists.every((list) => allows(list, value, constraint.parameter.arrays)))
    findings.push(unlisted(constraint, path, value))
  if (typeof value === "string") {
    const { maxLength, minLength } = constraint
    for (const each of patterns)
      if (!each.regex.matches(value))
        findings.push(broken("pattern_mismatch", "unmatched", each.pattern, path, value, each))
    if (maxLength !== undefined && value.length > maxLength.value)
      findings.push(broken("length", "longer", maxLength.value, path, value, maxLength))
    if (minLength !== undefined && value.length < minLength.value)
      findings.push(broken("length", "shorter", minLength.value, path, value, minLength))
  } else if (isArray(value)) {
    const { maxItems, minItems } = constraint
    if (maxItems !== undefined && value.length > maxItems.value)
      findings.push(broken("items", "more", maxItems.value, path, value, maxItems))
    if (minItems !== undefined && value.length < minItems.value)
      findings.push(broken("items", "fewer", minItems.value, path, value, minItems))
  }
}

const checkNumber = (constraint: Constraint, path: string, value: number, findings: Array<Finding>): void => {
  const { max, min, parameter } = constraint
  const isCap = parameter.isCap && max !== undefined
  if (max !== undefined && value > max.value) {
    const remedy = clamp(constraint, max, path, value, Math.floor)
    findings.push(broken("above_maximum", "above", max.value, path, value, max, remedy))
  } else if (isCap && !isTokenCount(value)) {
    const code = value < 1 ? "below_minimum" : "wrong_type"
    const remedy = clamp(constraint, max, path, value, Math.floor)
    findings.push(broken(code, "uncounted", `a whole number from 1 to ${max.value}`, path, value, max, remedy))
  }
  // What is below 1 may mean "no limit"; but where a minimum alone refuses it, a maximum beside it must not let it pass.
  if (min !== undefined && value < min.value) {
    // A cap is never raised: that would ask for more than the caller did.
    const remedy = outputTokenCaps.includes(path) ? undefined : clamp(constraint, min, path, value, Math.ceil)
    findings.push(broken("below_minimum", "below", min.value, path, value, min, remedy))
  }
  if (
    value < 0 &&
    !isCap &&
    max !== undefined &&
    (min === undefined || value >= min.value) &&
    outputTokenCaps.includes(path)
  )
    findings.push(broken("below_minimum", "negative", 0, path, value, max))
}

const clamp = (
  { denies, types }: Constraint,
  bound: Bound,
  path: string,
  from: number,
  whole: (value: number) => number
): Remedy | undefined => {
  const isWhole = outputTokenCaps.includes(path) || types.some(({ type }) => type === "integer")
  const to = isWhole ? whole(bound.value) : bound.value
  return denies || !Number.isFinite(to) ? undefined : { kind: "set", path, from, to, policy: bound.policy }
}

const unlisted = (constraint: Constraint, path: string, value: Json): Finding => {
  const broken = constraint.lists.filter((list) => !allows(list, value, constraint.parameter.arrays))
  const { globs, literals } = effectiveValues(constraint)
  const { policy } = broken[0]!
  const finding: Finding = {
    _tag: "Broken",
    code: "value_not_allowed",
    path,
    value,
    relation: "unlisted",
    bound: globs.length === 0 ? literals : [...literals, ...globs],
    policy,
    by: broken.length === 1 ? policy : [...new Set(broken.map((list) => list.policy))].join(" and ")
  }
  // A list that is broken must itself name what takes the value's place: another document's literal that only fits this
  // one's glob would turn this one's refusal into a permission.
  const substitutes = literals.filter((literal) => broken.every(({ values }) => names(values, literal)))
  const [to] = substitutes
  if (to === undefined || isArray(value) || constraint.denies || !broken.every(({ edits }) => edits)) return finding
  if (constraint.parameter.canonical !== "model")
    return { ...finding, remedy: { kind: "set", path, from: value, to, policy } }
  if (typeof value !== "string") return finding
  const allowed = [...substitutes.filter((literal) => typeof literal === "string"), ...globs]
  const tables = constraint.downgrades.toReversed().flatMap(({ table }) => Object.entries(table))
  const downgrade = tables.length === 0 ? {} : { downgrade: Object.fromEntries(tables) }
  return { ...finding, remedy: { kind: "model", path, from: value, allowed, ...downgrade, policy } }
}

/** The list holds for a value, or for every element of an array that it can hold for. */
const allows = (list: Allowed, value: Json, arrays: Parameter["arrays"]): boolean =>
  list.matches(value) ||
  (isArray(value) &&
    arrays !== "none" &&
    (arrays === "any" || value.length > 0) &&
    value.every((element) => list.matches(element)))

/** The first bound that asks for another JSON type than the value's. */
const wrongType = (constraint: Constraint, value: Json): (Source & { readonly type: JsonType }) | undefined => {
  for (const each of constraint.types) if (!isOfType(value, each.type)) return each
  const number = constraint.max ?? constraint.min
  if (number !== undefined && !isOfType(value, "number")) return { ...number, type: "number" }
  const string = constraint.patterns[0] ?? constraint.maxLength ?? constraint.minLength
  if (string !== undefined && typeof value !== "string") return { ...string, type: "string" }
  const array = constraint.maxItems ?? constraint.minItems
  return array !== undefined && !isArray(value) ? { ...array, type: "array" } : undefined
}

const isOfType = (value: Json, type: JsonType): boolean => {
  switch (type) {
    case "integer":
      return Number.isSafeInteger(value)
    case "number":
      return Number.isFinite(value)
    case "array":
      return isArray(value)
    case "object":
      return typeof value === "object" && value !== null && !isArray(value)
    default:
      return typeof value === type
  }
}
