/**
 * The bounds on one parameter: what each document's spec asks for, their meet, and the check of a request against it.
 * A bound remembers the document that set it, so that a refusal can name it.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type { RE2JS } from "re2js"
import { canonicalize, type Json, type JsonObject } from "../CanonicalJson.ts"
import type { Remedy, Violation, ViolationCode } from "../Decision.ts"
import { outputTokenCaps } from "../Operation.ts"
import { type Bounds, compileRegex, type Spec } from "./Mapl.ts"
import { type Found, type Parameter, read } from "./Parameter.ts"
import { globsMeet, isGlob, type Matcher, valueGlob } from "./Pattern.ts"

/**
 * One thing that is wrong with a request, and the edit that would put it right where policy asks for one.
 */
export interface Finding {
  readonly violation: Violation
  readonly remedy?: Remedy
}

/** Who set a bound; `rank` 0 is the most specific document that takes part. */
export interface Source {
  readonly policy: string
  readonly rank: number
}

/** A bound on a number or a length. `deny`: crossing it refuses; otherwise the request is edited. */
export interface Bound extends Source {
  readonly value: number
  readonly deny: boolean
  /** How the value came about, where it is not the document's own. */
  readonly note?: string
}

/** A document's list of allowed values. */
export interface Allowed extends Source {
  readonly deny: boolean
  readonly values: ReadonlyArray<Json>
  readonly matches: (value: Json) => boolean
}

type JsonType = NonNullable<Bounds["type"]>

/**
 * What all documents together ask of one parameter. Numeric bounds are the tightest; lists, types and patterns must all
 * hold.
 */
export interface Constraint {
  readonly parameter: Parameter
  /** The most specific document that asks for something. */
  readonly source: Source
  readonly required: Source | undefined
  readonly min: Bound | undefined
  readonly max: Bound | undefined
  readonly minLength: Bound | undefined
  readonly maxLength: Bound | undefined
  readonly minItems: Bound | undefined
  readonly maxItems: Bound | undefined
  readonly types: ReadonlyArray<Source & { readonly type: JsonType }>
  readonly lists: ReadonlyArray<Allowed>
  readonly patterns: ReadonlyArray<Source & { readonly pattern: string; readonly regex: RE2JS }>
  readonly downgrades: ReadonlyArray<Source & { readonly table: Readonly<Record<string, string>> }>
}

/** What a document's spec asks of a parameter; its `on_violation` stands where the spec has none of its own. */
export const fromSpec = (
  parameter: Parameter,
  spec: Spec,
  source: Source,
  onViolation: "rewrite" | "deny" | undefined
): Constraint => {
  const bounds: Bounds = isList(spec) ? { allowed_values: spec } : spec
  const mode = bounds.on_violation ?? onViolation
  const bound = (values: ReadonlyArray<number | undefined>, tightest: (...values: Array<number>) => number) => {
    const given = values.filter((value) => value !== undefined)
    return given.length === 0 ? undefined : { ...source, value: tightest(...given), deny: mode === "deny" }
  }
  const list = bounds.allowed_values
  return {
    parameter,
    source,
    required: bounds.required === true ? source : undefined,
    min: bound([bounds.min, bounds.range?.[0]], Math.max),
    max: bound([bounds.max, bounds.range?.[1]], Math.min),
    minLength: bound([bounds.min_length], Math.max),
    maxLength: bound([bounds.max_length], Math.min),
    minItems: bound([bounds.min_items], Math.max),
    maxItems: bound([bounds.max_items], Math.min),
    types: bounds.type === undefined ? [] : [{ ...source, type: bounds.type }],
    lists:
      list === undefined
        ? []
        : [
            {
              ...source,
              deny: parameter.canonical === "model" ? mode === "deny" : mode !== "rewrite",
              values: list,
              matches: valuesMatcher(list)
            }
          ],
    patterns:
      bounds.pattern === undefined
        ? []
        : [{ ...source, pattern: bounds.pattern, regex: Result.getOrThrow(compileRegex(bounds.pattern)) }],
    downgrades: bounds.downgrade === undefined ? [] : [{ ...source, table: bounds.downgrade }]
  }
}

/** Both constraints at once. Commutative, associative and idempotent; never allows what either refuses. */
export const meet = (left: Constraint, right: Constraint): Constraint => ({
  parameter: left.source.rank <= right.source.rank ? left.parameter : right.parameter,
  source: left.source.rank <= right.source.rank ? left.source : right.source,
  required: first(left.required, right.required),
  min: tighter(left.min, right.min, Math.max),
  max: tighter(left.max, right.max, Math.min),
  minLength: tighter(left.minLength, right.minLength, Math.max),
  maxLength: tighter(left.maxLength, right.maxLength, Math.min),
  minItems: tighter(left.minItems, right.minItems, Math.max),
  maxItems: tighter(left.maxItems, right.maxItems, Math.min),
  types: union(left.types, right.types, (item) => item.type),
  lists: union(left.lists, right.lists, (item) => `${item.deny} ${canonicalize(item.values)}`),
  patterns: union(left.patterns, right.patterns, (item) => item.pattern),
  downgrades: union(left.downgrades, right.downgrades, (item) => canonicalize(item.table))
})

const first = (left: Source | undefined, right: Source | undefined): Source | undefined =>
  left === undefined || (right !== undefined && right.rank < left.rank) ? right : left

/** The tighter bound, named after the most specific document that sets it. A bound that refuses stays one that refuses. */
const tighter = (
  left: Bound | undefined,
  right: Bound | undefined,
  tightest: (...values: Array<number>) => number
): Bound | undefined => {
  if (left === undefined || right === undefined) return left ?? right
  const value = tightest(left.value, right.value)
  const [bound] = [left, right].filter((each) => each.value === value).sort((a, b) => a.rank - b.rank)
  return { ...bound!, deny: left.deny || right.deny }
}

/** Every item of both, the most specific document's first, each once. */
const union = <A extends Source>(
  left: ReadonlyArray<A>,
  right: ReadonlyArray<A>,
  identity: (item: A) => string
): ReadonlyArray<A> => {
  if (right.length === 0) return left
  if (left.length === 0) return right
  const items = new Map([...left, ...right].map((item) => [`${item.rank} ${item.policy} ${identity(item)}`, item]))
  return [...items]
    .sort(([a, { rank }], [b, other]) => rank - other.rank || (a < b ? -1 : a > b ? 1 : 0))
    .map(([, item]) => item)
}

// ---------------------------------------------------------------------------------------------------------------------
// Values
// ---------------------------------------------------------------------------------------------------------------------

/** Whether a value equals one of `values`, or matches one that is a glob. */
export const valuesMatcher = (values: ReadonlyArray<Json>): ((value: Json) => boolean) => {
  const scalars = new Set<Json>(values)
  const globs: ReadonlyArray<Matcher> = values
    .filter((value) => typeof value === "string" && isGlob(value))
    .map((glob) => valueGlob(String(glob)))
  const composites = new Set(values.filter(isComposite).map(canonicalize))
  return (value) =>
    isComposite(value)
      ? composites.size > 0 && composites.has(canonicalize(value))
      : scalars.has(value) || (typeof value === "string" && globs.some((matches) => matches(value)))
}

/**
 * The literals that every list allows, in the order of the most specific one, and the globs of that one that the others do
 * not exclude.
 */
export const effectiveValues = ({
  lists
}: Constraint): { readonly literals: ReadonlyArray<Json>; readonly globs: ReadonlyArray<string> } => {
  const values = lists.flatMap((list) => list.values)
  const literals = values.filter((value) => !isGlobValue(value) && lists.every((list) => list.matches(value)))
  const globs = (lists[0]?.values ?? [])
    .filter(isGlobValue)
    .filter((glob) => lists.every((list) => meetsList(glob, list)))
  return { literals: uniqueValues(literals), globs }
}

const names = (values: ReadonlyArray<Json>, literal: Json): boolean =>
  isComposite(literal)
    ? values.some((value) => isComposite(value) && canonicalize(value) === canonicalize(literal))
    : values.includes(literal)

/** Why no request can satisfy a constraint; `undefined` where one can. */
export const contradiction = (constraint: Constraint): Violation | undefined => {
  const { lists, parameter, types } = constraint
  for (const [low, high] of [
    [constraint.min, constraint.max],
    [constraint.minLength, constraint.maxLength],
    [constraint.minItems, constraint.maxItems]
  ] as const)
    if (low !== undefined && high !== undefined && low.value > high.value)
      return unsatisfiable(parameter, [low, high], `must be at least ${low.value} and at most ${high.value}`)
  for (const type of types)
    for (const other of types)
      if (type.type !== other.type && !(isNumeric(type.type) && isNumeric(other.type)))
        return unsatisfiable(
          parameter,
          [type, other],
          `must be ${withArticle(type.type)} and ${withArticle(other.type)}`
        )
  return lists.length > 0 && allowsNothing(constraint)
    ? unsatisfiable(parameter, lists, `must be one of ${lists.map((list) => show(list.values)).join(" and one of ")}`)
    : undefined
}

/** Whether no value is on every list. Exact, except where every list has globs: there each two are compared. */
const allowsNothing = (constraint: Constraint): boolean => {
  const { lists } = constraint
  if (effectiveValues(constraint).literals.length > 0) return false
  if (lists.some((list) => !list.values.some(isGlobValue))) return true
  return lists.some((list) => lists.some((other) => !list.values.some((value) => meetsList(value, other))))
}

const unsatisfiable = (parameter: Parameter, sources: ReadonlyArray<Source>, demand: string): Violation => ({
  code: "unsatisfiable",
  path: parameter.name,
  policy: sources[0]!.policy,
  constraint: demand,
  message: `${parameter.name} ${demand}, which nothing is; set by ${[...new Set(sources.map(({ policy }) => policy))].join(" and ")}`,
  hint: "change one of the policies so that a value is left"
})

const meetsList = (value: Json, list: Allowed): boolean =>
  isGlobValue(value)
    ? list.values.some((other) => typeof other === "string" && globsMeet(value, other))
    : list.matches(value)

const isGlobValue = (value: Json): value is string => typeof value === "string" && isGlob(value)

const uniqueValues = (values: ReadonlyArray<Json>): ReadonlyArray<Json> => [
  ...new Map(values.map((value) => [canonicalize(value), value])).values()
]

// ---------------------------------------------------------------------------------------------------------------------
// Check
// ---------------------------------------------------------------------------------------------------------------------

/** Everything in which a request breaks a constraint that is no contradiction. */
export const check = (constraint: Constraint, params: JsonObject): ReadonlyArray<Finding> => {
  const { found, lacking, misshapen } = read(constraint.parameter, params)
  const findings = found.flatMap((each) => checkValue(constraint, each))
  for (const { expected, path, value } of misshapen)
    findings.push(violated("wrong_type", { path, value }, constraint.source, withArticle(expected), "is not"))
  for (const element of lacking) findings.push(lacks(constraint, element))
  const { required } = constraint
  if (required !== undefined && found.length + lacking.length + misshapen.length === 0)
    findings.push({
      violation: {
        code: "required",
        path: constraint.parameter.name,
        policy: required.policy,
        constraint: "required",
        message: `${constraint.parameter.name} is missing; ${required.policy} requires it`,
        hint: `pass ${constraint.parameter.name}`
      }
    })
  return findings
}

/**
 * The violation of one bound by one value. `note` says how the bound came about, `by` names all who set it where there are
 * several.
 */
export const violated = (
  code: ViolationCode,
  { path, value }: Found,
  source: { readonly policy: string; readonly note?: string; readonly by?: string },
  constraint: string,
  relation: string,
  remedy?: Remedy
): Finding => {
  const actual = show(value)
  const violation = {
    code,
    path,
    policy: source.policy,
    constraint,
    actual,
    message: `${path} is ${actual}, which ${relation} ${constraint}${source.note === undefined ? "" : ` (${source.note})`}, set by ${source.by ?? source.policy}`
  }
  return remedy === undefined ? { violation } : { violation, remedy }
}

/** A value as JSON, cut at 80 characters. */
export const show = (value: Json): string => {
  const text = JSON.stringify(typeof value === "string" ? value.slice(0, 81) : value)
  return text.length > 80 ? `${text.slice(0, 79)}…` : text
}

const checkValue = (constraint: Constraint, found: Found): ReadonlyArray<Finding> => {
  const findings: Array<Finding> = []
  const { path, value } = found
  const mistyped = wrongType(constraint, value)
  if (mistyped !== undefined)
    findings.push(violated("wrong_type", found, mistyped, withArticle(mistyped.type), "is not"))
  if (typeof value === "number" && Number.isFinite(value)) findings.push(...checkNumber(constraint, path, value))
  const unlisted = constraint.lists.filter((list) => !allows(list, value))
  if (unlisted.length > 0) findings.push(notAllowed(constraint, found, unlisted))
  if (typeof value === "string") {
    for (const pattern of constraint.patterns)
      if (!pattern.regex.matches(value))
        findings.push(violated("pattern_mismatch", found, pattern, `the pattern ${pattern.pattern}`, "does not match"))
    findings.push(...checkSize("length", "characters", found, value.length, constraint.minLength, constraint.maxLength))
  }
  if (isArray(value))
    findings.push(...checkSize("items", "items", found, value.length, constraint.minItems, constraint.maxItems))
  return findings
}

const checkNumber = (constraint: Constraint, path: string, value: number): ReadonlyArray<Finding> => {
  const isCap = outputTokenCaps.includes(path)
  const whole = isCap || constraint.types.some(({ type }) => type === "integer")
  const { max, min } = constraint
  const clamped = (bound: Bound, to: number): Remedy | undefined =>
    bound.deny || !Number.isFinite(to) ? undefined : { kind: "set", path, from: value, to, policy: bound.policy }
  const findings: Array<Finding> = []
  if (max !== undefined && value > max.value)
    findings.push(
      violated(
        "above_maximum",
        { path, value },
        max,
        `the maximum ${max.value}`,
        "is above",
        clamped(max, whole ? Math.floor(max.value) : max.value)
      )
    )
  if (min !== undefined && value < min.value)
    findings.push(
      // A cap is never raised: that would ask for more than the caller did.
      violated(
        "below_minimum",
        { path, value },
        min,
        `the minimum ${min.value}`,
        "is below",
        isCap ? undefined : clamped(min, whole ? Math.ceil(min.value) : min.value)
      )
    )
  // Servers that speak this API read a negative cap as "no limit".
  if (isCap && max !== undefined && value < 0 && (min === undefined || value >= min.value))
    findings.push(violated("below_minimum", { path, value }, max, "0", "is below"))
  return findings
}

const checkSize = (
  code: "length" | "items",
  unit: string,
  found: Found,
  size: number,
  min: Bound | undefined,
  max: Bound | undefined
): ReadonlyArray<Finding> => {
  const findings: Array<Finding> = []
  if (max !== undefined && size > max.value)
    findings.push(violated(code, found, max, `${max.value} ${unit}`, `has more than`))
  if (min !== undefined && size < min.value)
    findings.push(violated(code, found, min, `${min.value} ${unit}`, `has fewer than`))
  return findings
}

const notAllowed = (constraint: Constraint, found: Found, unlisted: ReadonlyArray<Allowed>): Finding => {
  const { globs, literals } = effectiveValues(constraint)
  const { policy } = unlisted[0]!
  const by = [...new Set(unlisted.map((list) => list.policy))].join(" and ")
  const finding = violated("value_not_allowed", found, { policy, by }, show([...literals, ...globs]), "is not among")
  // A list that is broken must itself name what takes the value's place: another document's literal that only fits this
  // one's glob would turn this one's refusal into a permission.
  const substitutes = literals.filter((literal) => unlisted.every(({ values }) => names(values, literal)))
  const [to] = substitutes
  if (to === undefined || isArray(found.value) || unlisted.some(({ deny }) => deny)) return finding
  const { path, value: from } = found
  if (constraint.parameter.canonical !== "model") return { ...finding, remedy: { kind: "set", path, from, to, policy } }
  if (typeof from !== "string") return finding
  const allowed = substitutes.filter((literal) => typeof literal === "string")
  const tables = constraint.downgrades.toReversed().flatMap(({ table }) => Object.entries(table))
  const downgrade = tables.length === 0 ? {} : { downgrade: Object.fromEntries(tables) }
  return { ...finding, remedy: { kind: "model", path, from, allowed: [...allowed, ...globs], ...downgrade, policy } }
}

const lacks = (constraint: Constraint, element: Found): Finding => {
  const [list] = constraint.lists
  const source = list ?? constraint.source
  return {
    violation: {
      code: list === undefined ? "required" : "value_not_allowed",
      path: element.path,
      policy: source.policy,
      constraint: list === undefined ? "required" : show(list.values),
      actual: show(element.value),
      message: `${element.path} is ${show(element.value)}, which has no ${constraint.parameter.name}; ${source.policy} requires one${list === undefined ? "" : ` among ${show(list.values)}`}`
    }
  }
}

/** The list holds for a value, or for every element of it. */
const allows = (list: Allowed, value: Json): boolean =>
  list.matches(value) || (isArray(value) && value.every((element) => list.matches(element)))

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

const isNumeric = (type: JsonType): boolean => type === "integer" || type === "number"

const withArticle = (type: JsonType): string => `${/^[aeiou]/u.test(type) ? "an" : "a"} ${type}`

const isList = (spec: Spec): spec is Exclude<Spec, Bounds> => Array.isArray(spec)

const isArray = (value: Json): value is ReadonlyArray<Json> => Array.isArray(value)

const isComposite = (value: Json): boolean => typeof value === "object" && value !== null
