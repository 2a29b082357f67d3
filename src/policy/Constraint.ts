/**
 * The bounds on one parameter: what each document's spec asks for, their meet, and the check of a request against it.
 * A bound remembers the document that set it, so that a refusal can name it.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import { LRUCache } from "lru-cache"
import type { RE2JS } from "re2js"
import { canonicalize } from "../base/CanonicalJson.ts"
import { isArray, type Json, type JsonObject } from "../base/Json.ts"
import type { Remedy, Violation } from "../call/Decision.ts"
import { isTokenCount, outputTokenCaps } from "../call/Operation.ts"
import { type Finding, type Relation, show, type Source, unreadable, withArticle } from "./Finding.ts"
import { inexactIn } from "./Inexact.ts"
import { type Bounds, compileRegex, type Spec } from "./Mapl.ts"
import { type Found, type Parameter, read, readText, valueAt } from "./Parameter.ts"
import { globsMeet, isGlob, listsMeet, type Matcher, valueGlob } from "./Pattern.ts"
import { textsOf } from "./RequestTexts.ts"

/** A bound on a number or a length. */
export interface Bound extends Source {
  readonly value: number
  /** How the value came about, where it is not the document's own. */
  readonly note?: string
}

/** A document's list of allowed values. `edits`: a value off it may be edited, unless the constraint refuses. */
export interface Allowed extends Source {
  readonly edits: boolean
  readonly values: ReadonlyArray<Json>
  readonly matches: (value: Json) => boolean
}

type JsonType = NonNullable<Bounds["type"]>

/**
 * What all documents together ask of one parameter. Numeric bounds are the tightest; lists, types and patterns must all
 * hold. `denies`: some document's `on_violation` is `"deny"`, so that no bound of any kind, whoever's, is met by an edit.
 */
export interface Constraint {
  readonly parameter: Parameter
  /** The most specific document that asks for something. */
  readonly source: Source
  readonly denies: boolean
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
  const { policy, rank } = source
  const mode = bounds.on_violation ?? onViolation
  const atLeast = (one: number | undefined, other?: number): Bound | undefined =>
    one === undefined && other === undefined
      ? undefined
      : { policy, rank, value: Math.max(one ?? -Infinity, other ?? -Infinity) }
  const atMost = (one: number | undefined, other?: number): Bound | undefined =>
    one === undefined && other === undefined
      ? undefined
      : { policy, rank, value: Math.min(one ?? Infinity, other ?? Infinity) }
  const { allowed_values: values, downgrade, pattern, range, type } = bounds
  return {
    parameter,
    source,
    denies: mode === "deny",
    // A list of models is one of what may answer: a request that leaves the choice to the provider is not on it.
    required: (bounds.required ?? (parameter.isModel && values !== undefined)) ? source : undefined,
    min: atLeast(bounds.min, range?.[0]),
    max: atMost(bounds.max, range?.[1]),
    minLength: atLeast(bounds.min_length),
    maxLength: atMost(bounds.max_length),
    minItems: atLeast(bounds.min_items),
    maxItems: atMost(bounds.max_items),
    types: type === undefined ? none : [{ policy, rank, type }],
    lists:
      values === undefined
        ? none
        : [
            {
              policy,
              rank,
              edits: parameter.canonical === "model" || mode === "rewrite",
              values,
              matches: valuesMatcher(values)
            }
          ],
    patterns: pattern === undefined ? none : [{ policy, rank, pattern, regex: regexOf(pattern) }],
    downgrades: downgrade === undefined ? none : [{ policy, rank, table: downgrade }]
  }
}

const none: ReadonlyArray<never> = []

/** How many patterns are kept compiled; documents name the same ones. */
const maximumKept = 1024

const regexes = new LRUCache<string, RE2JS>({ max: maximumKept })

const regexOf = (pattern: string): RE2JS => {
  const kept = regexes.get(pattern)
  if (kept !== undefined) return kept
  const regex = Result.getOrThrow(compileRegex(pattern))
  regexes.set(pattern, regex)
  return regex
}

/** Both constraints at once. Commutative, associative and idempotent; never allows what either refuses. */
export const meet = (left: Constraint, right: Constraint): Constraint => ({
  parameter: left.source.rank <= right.source.rank ? left.parameter : right.parameter,
  source: left.source.rank <= right.source.rank ? left.source : right.source,
  denies: left.denies || right.denies,
  required: first(left.required, right.required),
  min: tighter(left.min, right.min, Math.max),
  max: tighter(left.max, right.max, Math.min),
  minLength: tighter(left.minLength, right.minLength, Math.max),
  maxLength: tighter(left.maxLength, right.maxLength, Math.min),
  minItems: tighter(left.minItems, right.minItems, Math.max),
  maxItems: tighter(left.maxItems, right.maxItems, Math.min),
  types: union(left.types, right.types, (item) => item.type),
  lists: union(left.lists, right.lists, (item) => `${item.edits} ${canonicalize(item.values)}`),
  patterns: union(left.patterns, right.patterns, (item) => item.pattern),
  downgrades: union(left.downgrades, right.downgrades, (item) => canonicalize(item.table))
})

const first = (left: Source | undefined, right: Source | undefined): Source | undefined =>
  left === undefined || (right !== undefined && right.rank < left.rank) ? right : left

/** The tighter bound, named after the most specific document that sets it. */
const tighter = (
  left: Bound | undefined,
  right: Bound | undefined,
  tightest: (one: number, other: number) => number
): Bound | undefined => {
  if (left === undefined || right === undefined) return left ?? right
  if (left.value === right.value) return left.rank <= right.rank ? left : right
  return tightest(left.value, right.value) === left.value ? left : right
}

/** Every item of both, the most specific document's first, each once. */
const union = <A extends Source>(
  left: ReadonlyArray<A>,
  right: ReadonlyArray<A>,
  identity: (item: A) => string
): ReadonlyArray<A> => {
  if (right.length === 0) return left
  if (left.length === 0) return right
  // Documents of other ranks have nothing in common.
  if (left.at(-1)!.rank < right[0]!.rank) return [...left, ...right]
  if (right.at(-1)!.rank < left[0]!.rank) return [...right, ...left]
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
  let matches: ((value: Json) => boolean) | undefined
  return (value) => (matches ??= makeMatcher(values))(value)
}

const makeMatcher = (values: ReadonlyArray<Json>): ((value: Json) => boolean) => {
  const scalars = new Set<Json>(values)
  const globs: ReadonlyArray<Matcher> = values.filter(isGlobValue).map(valueGlob)
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
export const effectiveValues = (constraint: Constraint): EffectiveValues => {
  const kept = effective.get(constraint)
  if (kept !== undefined) return kept
  const { lists } = constraint
  const values = lists.flatMap((list) => list.values)
  const literals = values.filter((value) => !isGlobValue(value) && lists.every((list) => list.matches(value)))
  const globs = (lists[0]?.values ?? [])
    .filter(isGlobValue)
    .filter((glob) => lists.every((list) => meetsList(glob, list)))
  const made = { literals: uniqueValues(literals), globs }
  effective.set(constraint, made)
  return made
}

interface EffectiveValues {
  readonly literals: ReadonlyArray<Json>
  readonly globs: ReadonlyArray<string>
}

const effective = new WeakMap<Constraint, EffectiveValues>()

const names = (values: ReadonlyArray<Json>, literal: Json): boolean =>
  isComposite(literal)
    ? values.some((value) => isComposite(value) && canonicalize(value) === canonicalize(literal))
    : scalarsOf(values).has(literal)

const scalarsOf = (values: ReadonlyArray<Json>): ReadonlySet<Json> => {
  const kept = scalars.get(values)
  if (kept !== undefined) return kept
  const made = new Set(values)
  scalars.set(values, made)
  return made
}

const scalars = new WeakMap<ReadonlyArray<Json>, ReadonlySet<Json>>()

/** Why no request can satisfy a constraint; `undefined` where one can. */
export const contradiction = (constraint: Constraint): Violation | undefined => {
  const { lists, parameter, types } = constraint
  const crossed =
    crossing(parameter, constraint.min, constraint.max) ??
    crossing(parameter, constraint.minLength, constraint.maxLength) ??
    crossing(parameter, constraint.minItems, constraint.maxItems)
  if (crossed !== undefined) return crossed
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

const crossing = (parameter: Parameter, low: Bound | undefined, high: Bound | undefined): Violation | undefined =>
  low !== undefined && high !== undefined && low.value > high.value
    ? unsatisfiable(parameter, [low, high], `must be at least ${low.value} and at most ${high.value}`)
    : undefined

/** Whether no value is on every list. */
const allowsNothing = ({ lists }: Constraint): boolean => {
  const isLeft = (value: Json): boolean => !isGlobValue(value) && lists.every((list) => list.matches(value))
  if (lists.length === 1) return lists[0]!.values.length === 0
  if (lists.some(({ values }) => values.some(isLeft))) return false
  return !listsMeet(lists.map(({ values }) => values.filter(isGlobValue)))
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

/** Adds everything in which a request breaks a constraint that is no contradiction. */
export const check = (constraint: Constraint, params: JsonObject, findings: Array<Finding>): void => {
  const { parameter, required, source } = constraint
  let isThere = false
  if (parameter.members === undefined) {
    const { found, lacking, misshapen, unread = none } = read(parameter, params)
    isThere = found.length + lacking.length + misshapen.length > 0
    if (unread.length > 0 && bounds(constraint))
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
const bounds = ({ lists, max, maxItems, maxLength, min, minItems, minLength, patterns }: Constraint): boolean =>
  lists.length + patterns.length > 0 ||
  [min, max, minLength, maxLength, minItems, maxItems].some((bound) => bound !== undefined)

/** Refuses what may hold values out of sight; `told` are paths that are refused for another reason. */
const checkUnread = (
  { lists: [list], parameter: { name }, source }: Constraint,
  unread: ReadonlyArray<Found>,
  told: ReadonlySet<string>,
  findings: Array<Finding>
): void => {
  for (const { path, value } of unread)
    if (!told.has(path)) findings.push(broken("value_not_allowed", "unread", name, path, value, list ?? source))
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

const checkValue = (constraint: Constraint, params: JsonObject, found: Found, findings: Array<Finding>): void => {
  const { path, value } = found
  // A list compares what is inside of a value too; other bounds are on a number itself, or on a length.
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

const isNumeric = (type: JsonType): boolean => type === "integer" || type === "number"

const isList = (spec: Spec): spec is Exclude<Spec, Bounds> => Array.isArray(spec)

const isComposite = (value: Json): boolean => typeof value === "object" && value !== null
