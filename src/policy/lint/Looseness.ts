/**
 * What of a child's bounds never holds, because what it extends is stricter: for advice on policies. A child only narrows, so a
 * looser bound does nothing, and its author probably believes otherwise.
 */
import * as Result from "effect/Result"
import { canonicalize } from "../../base/CanonicalJson.ts"
import type { Json } from "../../base/Json.ts"
import { highest, lowest } from "./Conflict.ts"
import { showValue } from "../Notation.ts"
import type { Bounds } from "../mapl/Bounds.ts"
import { compileRegex } from "../mapl/Regex.ts"
import { globsMeet, isGlob } from "../Pattern.ts"

/** A field of a child's bounds that its parent's bounds make void, and both bounds in words. */
export interface Loose {
  /** Where it stands below the spec, `max` or an element of `allowed_values`. */
  readonly path: ReadonlyArray<string | number>
  readonly says: string
  readonly parent: string
}

/** What bounds a document's spec comes to: `denies` where what is outside of them is refused, `asks` where it must be there. */
export interface SpecBounds {
  readonly bounds: Bounds
  readonly denies: boolean
  readonly asks: boolean
}

/** Everything of a child's bounds that a parent's bounds on the same parameter make void. */
export const looser = (child: SpecBounds, parent: SpecBounds): ReadonlyArray<Loose> => [
  ...numbers(child.bounds, parent.bounds),
  ...sizes(child.bounds, parent.bounds),
  ...values(child.bounds, parent.bounds),
  ...others(child, parent)
]

const numbers = function* (child: Bounds, parent: Bounds): Iterable<Loose> {
  const [low, high] = [lowest(parent), highest(parent)]
  if (child.max !== undefined && child.max > high)
    yield { path: ["max"], says: `at most ${child.max}`, parent: `at most ${high}` }
  if (child.min !== undefined && child.min < low)
    yield { path: ["min"], says: `at least ${child.min}`, parent: `at least ${low}` }
  if (child.range === undefined) return
  const [from, to] = child.range
  if (to > high) yield { path: ["range", 1], says: `at most ${to}`, parent: `at most ${high}` }
  if (from < low) yield { path: ["range", 0], says: `at least ${from}`, parent: `at least ${low}` }
}

const sizes = function* (child: Bounds, parent: Bounds): Iterable<Loose> {
  for (const [low, high, unit] of [
    ["min_length", "max_length", "characters"],
    ["min_items", "max_items", "items"]
  ] as const) {
    const [most, least] = [child[high], child[low]]
    if (most !== undefined && most > (parent[high] ?? Infinity))
      yield { path: [high], says: `at most ${most} ${unit}`, parent: `at most ${parent[high]}` }
    if (least !== undefined && least < (parent[low] ?? 0))
      yield { path: [low], says: `at least ${least} ${unit}`, parent: `at least ${parent[low]}` }
  }
}

/** How many elements of a list get a warning each. */
const mostValues = 20

const values = function* ({ allowed_values: list = [] }: Bounds, parent: Bounds): Iterable<Loose> {
  let reported = 0
  const admits = admitter(parent)
  for (const [index, value] of list.entries()) {
    const why = admits(value)
    if (why === undefined) continue
    if (++reported > mostValues) return
    yield { path: ["allowed_values", index], says: showValue(value), parent: why }
  }
}

/** The bound that excludes a value of a list; `undefined` where none does. A glob needs room for one text only. */
const admitter = (bounds: Bounds): ((value: Json) => string | undefined) => {
  const { allowed_values: list, max_length: longest, min_length: shortest, pattern } = bounds
  const [low, high] = [lowest(bounds), highest(bounds)]
  const literals = new Set(list?.map(canonicalize))
  const globs = list?.filter((one) => typeof one === "string" && isGlob(one)) ?? []
  const isListed = (value: Json): boolean =>
    literals.has(canonicalize(value)) ||
    (typeof value === "string" &&
      (isGlob(value) ? (list ?? []) : globs).some((one) => typeof one === "string" && globsMeet(value, one)))
  const regex = pattern === undefined ? undefined : Result.getOrUndefined(compileRegex(pattern))
  return (value) => {
    if (list !== undefined && !isListed(value)) return `one of ${showValue(list)}`
    if (typeof value === "number") return value > high ? `at most ${high}` : value < low ? `at least ${low}` : undefined
    if (typeof value !== "string" || isGlob(value)) return undefined
    if (value.length > (longest ?? Infinity)) return `at most ${longest} characters`
    if (value.length < (shortest ?? 0)) return `at least ${shortest} characters`
    return regex === undefined || regex.matcher(value).matches() ? undefined : `a match of ${pattern}`
  }
}

const others = function* (child: SpecBounds, parent: SpecBounds): Iterable<Loose> {
  if (child.bounds.type === "number" && parent.bounds.type === "integer")
    yield { path: ["type"], says: "a number", parent: "an integer" }
  if (child.bounds.required === false && parent.asks)
    yield { path: ["required"], says: "not required", parent: "required" }
  if (child.bounds.on_violation === "rewrite" && parent.denies)
    yield { path: ["on_violation"], says: "rewritten where it breaks a bound", parent: "refused" }
}
