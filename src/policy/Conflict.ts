/**
 * Whether two specs leave a value: for advice on policies. A decision meets all constraints that take part and says
 * `unsatisfiable` itself; this tells beforehand, of two documents at a time.
 *
 * @since 0.2.0
 */
import { canonicalize, type Json } from "../CanonicalJson.ts"
import { type Bounds, type Spec, showValue } from "./Mapl.ts"
import { globsMeet, isGlob } from "./Pattern.ts"

/** What each of two specs asks for, in words, where no value can be both. */
export interface Conflict {
  readonly left: string
  readonly right: string
}

/** A spec in its long form. */
export const boundsOf = (spec: Spec): Bounds => (isList(spec) ? { allowed_values: spec } : spec)

/** The conflict of two specs for one parameter, or of one with itself; `undefined` where a value is left. */
export const conflict = (left: Bounds, right: Bounds): Conflict | undefined =>
  between(limits(left), limits(right)) ??
  betweenTypes(left, right) ??
  betweenLists(left.allowed_values, right.allowed_values) ??
  outOfBounds(left.allowed_values, right) ??
  mirrored(outOfBounds(right.allowed_values, left))

const isList = (spec: Spec): spec is Exclude<Spec, Bounds> => Array.isArray(spec)

const mirrored = (found: Conflict | undefined): Conflict | undefined =>
  found && { left: found.right, right: found.left }

// ---------------------------------------------------------------------------------------------------------------------
// Numbers and sizes
// ---------------------------------------------------------------------------------------------------------------------

interface Limit {
  readonly low: number
  readonly high: number
  readonly unit: string
}

const limits = (bounds: Bounds): ReadonlyArray<Limit> => [
  numbers(bounds),
  { low: bounds.min_length ?? -Infinity, high: bounds.max_length ?? Infinity, unit: " characters long" },
  { low: bounds.min_items ?? -Infinity, high: bounds.max_items ?? Infinity, unit: " items long" }
]

/** The numbers that bounds allow. */
export const numbers = ({ max = Infinity, min = -Infinity, range = [-Infinity, Infinity] }: Bounds): Limit => ({
  low: Math.max(min, range[0]),
  high: Math.min(max, range[1]),
  unit: ""
})

const between = (left: ReadonlyArray<Limit>, right: ReadonlyArray<Limit>): Conflict | undefined => {
  for (const [i, { high, low, unit }] of left.entries()) {
    const other = right[i]!
    if (low > other.high) return { left: `at least ${low}${unit}`, right: `at most ${other.high}${unit}` }
    if (high < other.low) return { left: `at most ${high}${unit}`, right: `at least ${other.low}${unit}` }
  }
  return undefined
}

// ---------------------------------------------------------------------------------------------------------------------
// Types
// ---------------------------------------------------------------------------------------------------------------------

/** The types that bounds ask for, in so many words or by what they bound. */
const typesOf = (bounds: Bounds): ReadonlyArray<NonNullable<Bounds["type"]>> => [
  ...(bounds.type === undefined ? [] : [bounds.type]),
  ...([bounds.min, bounds.max, bounds.range].some(isGiven) ? (["number"] as const) : []),
  ...([bounds.pattern, bounds.min_length, bounds.max_length].some(isGiven) ? (["string"] as const) : []),
  ...([bounds.min_items, bounds.max_items].some(isGiven) ? (["array"] as const) : [])
]

const isGiven = (bound: unknown): boolean => bound !== undefined

const betweenTypes = (left: Bounds, right: Bounds): Conflict | undefined => {
  for (const type of typesOf(left))
    for (const other of typesOf(right))
      if (type !== other && !(isNumeric(type) && isNumeric(other)))
        return { left: withArticle(type), right: withArticle(other) }
  return undefined
}

const isNumeric = (type: string): boolean => type === "integer" || type === "number"

const withArticle = (type: string): string => `${/^[aeiou]/u.test(type) ? "an" : "a"} ${type}`

// ---------------------------------------------------------------------------------------------------------------------
// Lists
// ---------------------------------------------------------------------------------------------------------------------

const betweenLists = (
  left: ReadonlyArray<Json> | undefined,
  right: ReadonlyArray<Json> | undefined
): Conflict | undefined => {
  if (left === undefined || right === undefined) return undefined
  const literals = new Set(right.map(canonicalize))
  const globs = right.filter(isGlobValue)
  const leaves = (value: Json): boolean =>
    literals.has(canonicalize(value)) ||
    (typeof value === "string" && globs.some((glob) => globsMeet(value, glob))) ||
    (isGlobValue(value) && right.some((other) => typeof other === "string" && globsMeet(value, other)))
  return left.some(leaves) ? undefined : { left: `one of ${showValue(left)}`, right: `one of ${showValue(right)}` }
}

const isGlobValue = (value: Json): value is string => typeof value === "string" && isGlob(value)

/** A list of numbers of which none is within the other's bounds. */
const outOfBounds = (list: ReadonlyArray<Json> | undefined, bounds: Bounds): Conflict | undefined => {
  const { high, low } = numbers(bounds)
  if (list === undefined || list.length === 0) return undefined
  const given = list.filter((value) => typeof value === "number")
  if (given.length < list.length || given.some((value) => value >= low && value <= high)) return undefined
  const words = [
    ...(low === -Infinity ? [] : [`at least ${low}`]),
    ...(high === Infinity ? [] : [`at most ${high}`])
  ].join(" and ")
  return { left: `one of ${showValue(list)}`, right: words }
}
