/**
 * Lists of values, of which strings may be globs.
 */
import { canonicalize } from "../base/CanonicalJson.ts"
import type { Json } from "../base/Json.ts"
import { isGlob, type Matcher, valueGlob } from "./Pattern.ts"

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

/** True for a string with a `*`. */
export const isGlobValue = (value: Json): value is string => typeof value === "string" && isGlob(value)

/** True for an array or an object, which is compared by its canonical JSON. */
export const isComposite = (value: Json): boolean => typeof value === "object" && value !== null
