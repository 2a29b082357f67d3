/**
 * Items that a list repeats, or that differ in case only.
 */
import { showValue } from "../Notation.ts"
import type { Check } from "./Survey.ts"
import { type Path, quoted, type Warning } from "./Warning.ts"

/** Items that a list of a document repeats, and denied values that differ in case only. */
export const repeatedItems: Check = function* ({ document, specs }) {
  const { attestations = [], constraints = {}, denied_resources: denied = [], resources = [] } = document
  yield* repeated(resources, ["resources"])
  yield* repeated(denied, ["denied_resources"])
  yield* sameButForCase(denied, ["denied_resources"])
  if (Array.isArray(attestations)) yield* repeated(attestations, ["attestations"])
  for (const placed of specs.values())
    for (const { bounds, listPath } of placed) yield* repeated(bounds.allowed_values ?? [], listPath)
  for (const [pattern, parameters] of Object.entries(constraints.denied_parameters ?? {}))
    for (const [name, forbidden] of Object.entries(parameters)) {
      const path = ["constraints", "denied_parameters", pattern, name]
      yield* repeated(forbidden, path)
      yield* sameButForCase(forbidden, path)
    }
}

/** A warning for each item that stood in the list before. */
export const repeated = function* (list: ReadonlyArray<unknown>, path: Path): Iterable<Warning> {
  if (list.length < 2) return
  const seen = new Set<string>()
  for (const [index, value] of list.entries()) {
    const key = JSON.stringify(value)
    if (seen.has(key))
      yield {
        code: "duplicate_item",
        path: [...path, index],
        message: `duplicate item ${showValue(value)}`,
        hint: "keep one"
      }
    seen.add(key)
  }
}

const sameButForCase = function* (list: ReadonlyArray<unknown>, path: Path): Iterable<Warning> {
  if (list.length < 2) return
  const seen = new Map<string, string>()
  for (const [index, value] of list.entries()) {
    if (typeof value !== "string") continue
    const folded = value.toLowerCase()
    const before = seen.get(folded)
    if (before !== undefined && before !== value)
      yield {
        code: "case_duplicate",
        path: [...path, index],
        message: `${quoted(value)} and ${quoted(before)} differ in case only, and any third way to write it passes`,
        hint: "case counts: a list of spellings is no protection; allow what is wanted instead"
      }
    seen.set(folded, before ?? value)
  }
}
