/**
 * Requests that leave the choice of the model to a provider or gateway, where a document limits models.
 */
import { modelChoosers } from "../../call/Operation.ts"
import type { Bounds } from "../mapl/Bounds.ts"
import { reachesOperation } from "./Reach.ts"
import type { Check } from "./Survey.ts"
import { quoted } from "./Warning.ts"

/** Whether bounds on the model refuse a request that names none: a list does, unless it has `"required": false`. */
export const asksForModel = ({ allowed_values: list, required }: Bounds): boolean => required ?? list !== undefined

/** Requests that name no model, or let a gateway choose one, although a document bounds models. */
export const openModelChoice: Check = function* (entry, survey) {
  const { ancestors, document, specs } = entry
  const reaches = (pattern: string): boolean => reachesOperation(pattern, survey)
  const own = (specs.get("model") ?? []).filter(({ pattern }) => reaches(pattern))
  const chain = [entry, ...ancestors].flatMap((one) => one.specs.get("model") ?? [])
  if (!chain.some(({ bounds }) => asksForModel(bounds))) {
    const denying = Object.entries(document.constraints?.denied_parameters ?? {})
      .filter(([pattern, parameters]) => "model" in parameters && reaches(pattern))
      .map(([pattern]) => ({ path: ["constraints", "denied_parameters", pattern, "model"], what: "a denied model" }))
    const matching = own
      .filter(({ bounds }) => bounds.pattern !== undefined && bounds.required === undefined)
      .map(({ path }) => ({ path: [...path, "pattern"], what: "a pattern" }))
    for (const { path, what } of [...denying, ...matching])
      yield {
        code: "model_not_required",
        path,
        message: `${what} does not refuse a request without a model: the provider, or a stored prompt, then chooses one`,
        hint: `add "model": {"required": true} to the parameters, or list the models that are allowed`
      }
  }
  const lists = own.filter(({ bounds }) => bounds.allowed_values !== undefined)
  for (const { bounds, path } of lists)
    if (bounds.required === false)
      yield {
        code: "model_left_open",
        path: [...path, "required"],
        message: `a request without a model is let through, and the provider or a stored prompt chooses: the list judges only the answer, which is made and paid for by then`,
        hint: `take out "required": false, so that every request names a model of the list`
      }
  if (lists.length > 0)
    for (const name of modelChoosers)
      for (const { path, pattern } of specs.get(name) ?? [])
        if (reaches(pattern))
          yield {
            code: "model_left_open",
            path,
            message: `${quoted(name)} lets a gateway choose another model or place: the list judges only the answer, which is made and paid for by then`,
            hint: `take it out, so that a request with ${quoted(name)} is refused`
          }
}
