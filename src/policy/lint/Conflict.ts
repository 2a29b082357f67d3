/**
 * Whether two specs leave a value: for advice on policies. A decision meets all constraints and finds
 * `unsatisfiable` itself; this finds it beforehand, for two documents at a time.
 */
import { canonicalize } from "../../base/CanonicalJson.ts"
import type { Json } from "../../base/Json.ts"
import { showValue, withArticle } from "../Notation.ts"
import type { Bounds } from "../mapl/Bounds.ts"
import { isNumeric } from "../Constraint.ts"
import { globsMeet } from "../Pattern.ts"
import { isGlobValue } from "../ValueMatcher.ts"

/** What each of two specs asks for, in words, where no value can be both. */
export interface Conflict {
  readonly left: string
  readonly right: string
}

/** The conflict of two specs for one parameter, or of one with itself; `undefined` where a value is left. */
export const conflict = (left: Bounds, right: Bounds): Conflict | undefined =>
  apart(lowest(left), highest(left), lowest(right), highest(right), "") ??
  apart(left.min_length, left.max_length, right.min_length, right.max_length, " characters long") ??
  apart(left.min_items, left.max_items, right.min_items, right.max_items, " items long") ??
  betweenTypes(left, right) ??
  betweenLists(left.allowed_values, right.allowed_values) ??
  outOfBounds(left.allowed_values, right) ??
  mirrored(outOfBounds(right.allowed_values, left))

const mirrored = (found: Conflict | undefined): Conflict | undefined =>
  found && { left: found.right, right: found.left }

// ---------------------------------------------------------------------------------------------------------------------
// Numbers and sizes
// ---------------------------------------------------------------------------------------------------------------------

/** The lowest number that bounds allow. */
export const lowest = ({ min, range }: Bounds): number => Math.max(min ?? -Infinity, range?.[0] ?? -Infinity)

/** The highest number that bounds allow. */
export const highest = ({ max, range }: Bounds): number => Math.min(max ?? Infinity, range?.[1] ?? Infinity)

const apart = (
  low = -Infinity,
  high = Infinity,
  otherLow = -Infinity,
  otherHigh = Infinity,
  unit: string
): Conflict | undefined =>
  low > otherHigh
    ? { left: `at least ${low}${unit}`, right: `at most ${otherHigh}${unit}` }
    : high < otherLow
      ? { left: `at most ${high}${unit}`, right: `at least ${otherLow}${unit}` }
      : undefined

// ---------------------------------------------------------------------------------------------------------------------
// Types
// ---------------------------------------------------------------------------------------------------------------------

/** The types that bounds ask for, in so many words or by what they bound. */
const typesOf = (bounds: Bounds): ReadonlyArray<NonNullable<Bounds["type"]>> => {
  const types: Array<NonNullable<Bounds["type"]>> = []
  if (bounds.type !== undefined) types.push(bounds.type)
  if ((bounds.min ?? bounds.max ?? bounds.range) !== undefined) types.push("number")
  if ((bounds.pattern ?? bounds.min_length ?? bounds.max_length) !== undefined) types.push("string")
  if ((bounds.min_items ?? bounds.max_items) !== undefined) types.push("array")
  return types
}

const betweenTypes = (left: Bounds, right: Bounds): Conflict | undefined => {
  for (const type of typesOf(left))
    for (const other of typesOf(right))
      if (type !== other && !(isNumeric(type) && isNumeric(other)))
        return { left: withArticle(type), right: withArticle(other) }
  return undefined
}

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

/** A list of numbers of which none is within the other's bounds. */
const outOfBounds = (list: ReadonlyArray<Json> | undefined, bounds: Bounds): Conflict | undefined => {
  if (list === undefined || list.length === 0) return undefined
  const low = lowest(bounds)
  const high = highest(bounds)
  const given = list.filter((value) => typeof value === "number")
  if (given.length < list.length || given.some((value) => value >= low && value <= high)) return undefined
  const words = [
    ...(low === -Infinity ? [] : [`at least ${low}`]),
    ...(high === Infinity ? [] : [`at most ${high}`])
  ].join(" and ")
  return { left: `one of ${showValue(list)}`, right: words }
}
