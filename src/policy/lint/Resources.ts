/**
 * Resource patterns that match nothing, or nothing that can be allowed.
 */
import { showValue } from "../Notation.ts"
import { reachable } from "./Overlap.ts"
import { scheme } from "./IdlePattern.ts"
import type { Survey } from "./Survey.ts"
import { type Check, type SurveyedDocument, listsOf } from "./Survey.ts"
import { type Path, quoted, type Warning } from "./Warning.ts"

/** Patterns that match no resource, that can never be allowed, or that bound a resource that is not allowed. */
export const uselessPatterns: Check = function* (entry, survey) {
  const { denied, document, keys, resources } = entry
  const placed = (list: "resources" | "denied_resources") =>
    (document[list] ?? []).map((pattern, index) => ({ pattern, path: [list, index] }))
  for (const { path, pattern } of [...placed("resources"), ...placed("denied_resources"), ...keys]) {
    const warning = survey.idle(pattern)
    if (warning !== undefined) yield { ...warning, path }
  }
  // In `resources` another type may be a name that only another program asks about; elsewhere it protects nothing here.
  for (const { path, pattern } of [...placed("denied_resources"), ...keys]) {
    const [, type] = scheme.exec(pattern) ?? []
    if (type === undefined || type === "tool" || type === "api" || survey.idle(pattern) !== undefined) continue
    yield {
      code: "unknown_resource_type",
      path,
      message: `nothing here invokes resources of the type ${quoted(type)}: they are "tool" and "api"`,
      hint: "leave it out, unless another program asks about it"
    }
  }
  yield* unreachableResources(entry, survey)
  yield* unusedKeys(entry, survey)
  const spelled = new Map(resources.map((resource) => [resource.toLowerCase(), resource]))
  for (const [index, pattern] of denied.entries()) {
    const resource = spelled.get(pattern.toLowerCase())
    if (resource !== undefined && resource !== pattern)
      yield {
        code: "case_duplicate",
        path: ["denied_resources", index],
        message: `${quoted(pattern)} is denied, and ${quoted(resource)}, which differs in case only, is among the resources`,
        hint: "case counts: write it as the resource is written"
      }
  }
}

const unreachableResources = function* (entry: SurveyedDocument, survey: Survey): Iterable<Warning> {
  const { ancestors, resources } = entry
  const chain = [entry, ...ancestors]
  const limiting = ancestors.filter((ancestor) => ancestor.resources.length > 0)
  for (const [index, pattern] of resources.entries()) {
    if (survey.idle(pattern) !== undefined) continue
    const path: Path = ["resources", index]
    const denier = chain.find(({ denies }) => denies(pattern))
    if (denier !== undefined) {
      yield {
        code: "unreachable_resource",
        path,
        message: `${quoted(pattern)} can never be allowed: ${denier.id} denies it`,
        hint: "take it out, here or there"
      }
      continue
    }
    // The first document up the chain at which nothing is left.
    const last = limiting.findIndex(
      (_, at) =>
        reachable(
          [pattern],
          limiting.slice(0, at + 1).map((ancestor) => ancestor.resources),
          survey.meet
        ) === false
    )
    const by = limiting[last]
    if (by !== undefined)
      yield {
        code: "unreachable_resource",
        path,
        message: `${quoted(pattern)} can never be allowed: it is not among the resources of ${by.id}, ${showValue(by.resources)}`,
        hint: `a child only narrows: take it out, or add it to ${by.id}`
      }
  }
}

const unusedKeys = function* (entry: SurveyedDocument, survey: Survey): Iterable<Warning> {
  const lists = listsOf(entry)
  for (const { path, pattern } of entry.keys) {
    if (scheme.exec(pattern)?.[1] === "api") {
      yield {
        code: "unused_constraint",
        path,
        message: `of ${quoted(pattern)} only the name is judged: what passes through has no parameters to bound, and waits for no attestation`,
        hint: `allow or deny it by name, in "resources" or "denied_resources"`
      }
      continue
    }
    if (survey.idle(pattern) !== undefined || reachable([pattern], lists, survey.meet) !== false) continue
    yield {
      code: "unused_constraint",
      path,
      message: `${quoted(pattern)} matches none of the resources that are allowed: ${lists.map(showValue).join(" and ")}`,
      hint: "take it out, or add the resource"
    }
  }
}
