/**
 * The values that are left where several lists of allowed values hold together.
 */
import { canonicalize } from "../base/CanonicalJson.ts"
import type { Json } from "../base/Json.ts"
import type { Allowed, Constraint } from "./Constraint.ts"
import { globsMeet } from "./Pattern.ts"
import { isComposite, isGlobValue } from "./ValueMatcher.ts"

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

/** Whether a list has a value as a literal. */
export const names = (values: ReadonlyArray<Json>, literal: Json): boolean =>
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

const meetsList = (value: Json, list: Allowed): boolean =>
  isGlobValue(value)
    ? list.values.some((other) => typeof other === "string" && globsMeet(value, other))
    : list.matches(value)

const uniqueValues = (values: ReadonlyArray<Json>): ReadonlyArray<Json> => [
  ...new Map(values.map((value) => [canonicalize(value), value])).values()
]
