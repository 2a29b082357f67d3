/**
 * The bounds on one parameter: what each document's spec asks for, and their meet. A bound remembers the document that set it, so
 * that a refusal can name it.
 */
import type { RE2JS } from "re2js"
import { canonicalize } from "../base/CanonicalJson.ts"
import type { Json } from "../base/Json.ts"
import type { Violation } from "../call/Decision.ts"
import { type Source } from "./Finding.ts"
import { showValue, withArticle } from "./Notation.ts"
import { boundsOf, type Bounds, type Spec } from "./mapl/Bounds.ts"
import { regexOf } from "./mapl/Regex.ts"
import type { Parameter } from "./Parameter.ts"
import { listsMeet } from "./Pattern.ts"
import { isGlobValue, valuesMatcher } from "./ValueMatcher.ts"

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

/** The JSON types that a document may ask for. */
export type JsonType = NonNullable<Bounds["type"]>

/**
 * What all documents together ask of one parameter. Numeric bounds are the tightest; lists, types and patterns must all
 * hold. `denies`: some document's `on_violation` is `"deny"`, so that no edit corrects a broken bound, of any kind and any document.
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
  const bounds = boundsOf(spec)
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

/** The empty list, shared by all constraints. */
export const none: ReadonlyArray<never> = []

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
    ? unsatisfiable(
        parameter,
        lists,
        `must be one of ${lists.map((list) => showValue(list.values)).join(" and one of ")}`
      )
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

/** Whether a JSON type is one of numbers. */
export const isNumeric = (type: JsonType): boolean => type === "integer" || type === "number"
