/**
 * What a child only seems to loosen.
 */
import { conflict } from "./Conflict.ts"
import { looser, type SpecBounds } from "./Looseness.ts"
import { instant } from "../mapl/Validity.ts"
import { covers } from "./Overlap.ts"
import { asksForModel } from "./ModelChoice.ts"
import { type Check, type SurveyedDocument, maximumCompared, type PlacedSpec } from "./Survey.ts"
import { inParentheses, type Path, type Warning } from "./Warning.ts"

const boundsIn = ({ bounds, canonical }: PlacedSpec, { document }: SurveyedDocument): SpecBounds => ({
  bounds,
  denies: (bounds.on_violation ?? document.on_violation) === "deny",
  asks: canonical === "model" ? asksForModel(bounds) : bounds.required === true
})

/** Bounds, limits, validities and needs of a child that never hold, because a document that it extends is stricter. */
export const looserThanParent: Check = function* (entry, survey) {
  const { ancestors, document, needs, specs } = entry
  if (ancestors.length === 0) return
  const loose = (path: Path, what: string, says: string, owner: SurveyedDocument, parent: string): Warning => ({
    code: "looser_than_parent",
    path,
    message: `${what} ${says} never applies: ${owner.id} sets ${parent}, and a child only narrows`,
    hint: `take it out, or change ${owner.id}`
  })
  for (const placed of specs.values()) {
    let compared = 0
    for (const spec of placed) {
      const reported = new Set<string>()
      for (const owner of ancestors)
        for (const other of owner.specs.get(spec.canonical) ?? []) {
          if (++compared > maximumCompared) break
          if (!covers(other.pattern, spec.pattern) || conflict(spec.bounds, other.bounds) !== undefined) continue
          for (const { parent, path, says } of looser(boundsIn(spec, entry), boundsIn(other, owner))) {
            if (reported.has(path.join())) continue
            reported.add(path.join())
            const [field, ...below] = path
            const at = field === "allowed_values" ? [...spec.listPath, ...below] : [...spec.path, ...path]
            yield loose(
              at,
              spec.name,
              says,
              owner,
              `${parent}${inParentheses(survey.set.locate(owner.id, other.path))}`
            )
          }
        }
    }
  }
  const rate = document.constraints?.rate_limit
  const slower = ancestors.find(({ document: { constraints } }) => (constraints?.rate_limit ?? Infinity) < (rate ?? 0))
  if (rate !== undefined && slower !== undefined)
    yield loose(
      ["constraints", "rate_limit"],
      "a rate of",
      `${rate} calls a minute`,
      slower,
      `${slower.document.constraints?.rate_limit}`
    )
  yield* looseValidity(entry, loose)
  for (const [pattern, rule] of Object.entries(document.constraints?.output ?? {}))
    for (const owner of ancestors)
      for (const [wide, other] of Object.entries(owner.document.constraints?.output ?? {})) {
        if (!covers(wide, pattern)) continue
        const path = ["constraints", "output", pattern]
        if ((rule.max_characters ?? 0) > (other.max_characters ?? Infinity))
          yield loose(
            [...path, "max_characters"],
            "a length of",
            `${rule.max_characters} characters`,
            owner,
            `at most ${other.max_characters}`
          )
        if (rule.on_response === "record" && other.on_response === "deny")
          yield loose([...path, "on_response"], "on_response", `"record"`, owner, `"deny"`)
      }
  for (const { key, path, resources, when } of needs) {
    if (resources === undefined && when === undefined) continue
    const owner = ancestors.find((ancestor) =>
      ancestor.needs.some(
        (need) =>
          need.key === key &&
          need.when === undefined &&
          (need.resources === undefined ||
            resources?.every((pattern) => need.resources?.some((wide) => covers(wide, pattern))))
      )
    )
    if (owner !== undefined)
      yield loose(path, `that ${key} is needed`, "only here", owner, "that it is always needed of these resources")
  }
}

const looseValidity = function* (
  { ancestors, document }: SurveyedDocument,
  loose: (path: Path, what: string, says: string, owner: SurveyedDocument, parent: string) => Warning
): Iterable<Warning> {
  for (const [field, day, sign] of [
    ["not_before", "first", -1],
    ["not_after", "last", 1]
  ] as const) {
    const written = document.validity?.[field]
    const own = written === undefined ? undefined : instant(written, day)
    if (own === undefined) continue
    const owner = ancestors.find((ancestor) => {
      const other = ancestor.document.validity?.[field]
      const at = other === undefined ? undefined : instant(other, day)
      return at !== undefined && (own - at) * sign > 0
    })
    if (owner !== undefined)
      yield loose(["validity", field], field, `${written}`, owner, `${owner.document.validity?.[field]}`)
  }
}
