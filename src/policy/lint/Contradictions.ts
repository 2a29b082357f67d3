/**
 * Bounds that leave no value.
 */
import { outputTokenCaps } from "../../call/Operation.ts"
import { conflict, highest } from "./Conflict.ts"
import { showPath, showValue } from "../Notation.ts"
import { reachable } from "./Overlap.ts"
import { isGlob } from "../Pattern.ts"
import { type Check, type SurveyedDocument, listsOf, maximumCompared, type PlacedSpec } from "./Survey.ts"
import { inParentheses, quoted, type Warning } from "./Warning.ts"

/** Bounds on one parameter that leave no value, alone or together with other bounds that hold for the same requests. */
export const contradictions: Check = function* (entry, survey) {
  for (const [canonical, specs] of entry.specs) {
    let compared = 0
    for (const [index, spec] of specs.entries()) {
      yield* alone(spec)
      for (const { other, owner } of others(entry, canonical, index)) {
        if (++compared > maximumCompared) break
        const clash = conflict(spec.bounds, other.bounds)
        // A spec that leaves no value by itself gets its own warning.
        if (clash === undefined || conflict(other.bounds, other.bounds) !== undefined) continue
        if (conflict(spec.bounds, spec.bounds) !== undefined) break
        const both = spec.pattern === other.pattern ? [spec.pattern] : [spec.pattern, other.pattern]
        if (reachable(both, listsOf(entry), survey.meet) !== true || isDenied(entry, both)) continue
        yield {
          code: "unsatisfiable",
          path: spec.path,
          message: `${spec.name} must be ${clash.left} by ${entry.id} and ${clash.right} by ${owner.id}${inParentheses(survey.set.locate(owner.id, other.path), showPath(other.path))}, which nothing is`,
          hint: `every request for ${both.map(quoted).join(" and ")} that has it is refused: change one of the two`
        }
      }
    }
  }
}

/** What is wrong with one spec by itself. */
const alone = function* ({ bounds, canonical, name, path }: PlacedSpec): Iterable<Warning> {
  const clash = conflict(bounds, bounds)
  if (bounds.allowed_values?.length === 0)
    yield {
      code: "unsatisfiable",
      path,
      message: `the list of ${name} is empty, so that no value is allowed`,
      hint: "list a value, or leave the parameter out"
    }
  else if (clash !== undefined)
    yield {
      code: "unsatisfiable",
      path,
      message: `${name} must be ${clash.left} and ${clash.right}, which nothing is`,
      hint: "change one of the two"
    }
  if (outputTokenCaps.includes(canonical) && highest(bounds) < 1)
    yield {
      code: "unsatisfiable",
      path,
      message: `${name} of at most ${highest(bounds)} leaves no room for an answer: every request is refused`,
      hint: `to refuse altogether use "denied_resources"`
    }
  const list = bounds.allowed_values
  for (const [from, to] of Object.entries(bounds.downgrade ?? {}))
    if (list !== undefined && (isGlob(to) || !list.includes(to)))
      yield {
        code: "downgrade_not_allowed",
        path: [...path, "downgrade", from],
        message: `${quoted(to)} takes no model's place: it is not on the list ${showValue(list)}`,
        hint: "name a literal of the list"
      }
}

/** The specs of the same parameter that hold together with the one at `index`. */
const others = function* (
  entry: SurveyedDocument,
  canonical: string,
  index: number
): Iterable<{ readonly owner: SurveyedDocument; readonly other: PlacedSpec }> {
  for (const [at, other] of (entry.specs.get(canonical) ?? []).entries()) {
    if (at === index) break
    yield { owner: entry, other }
  }
  for (const owner of entry.ancestors) for (const other of owner.specs.get(canonical) ?? []) yield { owner, other }
}

const isDenied = (entry: SurveyedDocument, both: ReadonlyArray<string>): boolean =>
  [entry, ...entry.ancestors].some(({ denies }) => both.some(denies))
