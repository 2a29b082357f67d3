/**
 * Models that the catalogue does not know.
 */
import { editDistance } from "../../base/Nearest.ts"
import { showValue } from "../Notation.ts"
import { isGlob, valueGlob } from "../Pattern.ts"
import { tellingLength } from "./Parameters.ts"
import { reachesOperation } from "./Reach.ts"
import type { Check } from "./Survey.ts"
import { type Path, quoted } from "./Warning.ts"

/** The models that are known by name, for advice on lists of models; `asOf` is the day of that knowledge (`2026-11-17`). */
export interface KnownModels {
  readonly asOf: string
  readonly names: ReadonlyArray<string>
  /** Whether a name is known, dated and fine-tuned ones included. */
  readonly knows: (name: string) => boolean
}

/** Models that the catalogue does not know: probable slips, and one note for all that are newer or of another provider. */
export const unknownModels = (known: KnownModels): Check => {
  const slips = new Map<string, string | undefined>()
  const slipOf = (name: string): string | undefined => {
    if (!slips.has(name) && slips.size < maximumSlips) slips.set(name, nearModel(name, known))
    return slips.get(name)
  }
  const isKnownModel = (name: string): boolean => {
    if (!isGlob(name)) return known.knows(name)
    const matches = valueGlob(name)
    return known.names.some((one) => matches(one))
  }
  return function* ({ document, specs }, survey) {
    const lists: ReadonlyArray<readonly [Path, ReadonlyArray<readonly [Path, unknown]>]> = [
      ...(specs.get("model") ?? [])
        .filter(({ pattern }) => reachesOperation(pattern, survey))
        .map(({ bounds: { allowed_values: list = [], downgrade = {} }, listPath, path }) => {
          const values = list.map((value, index) => [[...listPath, index], value] as const)
          const targets = Object.entries(downgrade).flatMap(([from, to]) => [
            ...(from === "*" ? [] : [[[...path, "downgrade", from], from] as const]),
            ...(list.includes(to) ? [] : [[[...path, "downgrade", from], to] as const])
          ])
          return [path, [...values, ...targets]] as const
        }),
      ...Object.entries(document.constraints?.denied_parameters ?? {})
        .filter(([pattern, denied]) => denied["model"] !== undefined && reachesOperation(pattern, survey))
        .map(([pattern, { model = [] }]) => {
          const path = ["constraints", "denied_parameters", pattern, "model"]
          return [path, model.map((value, index) => [[...path, index], value] as const)] as const
        })
    ]
    for (const [path, values] of lists) {
      const strange: Array<string> = []
      for (const [at, name] of values) {
        if (typeof name !== "string" || isKnownModel(name)) continue
        const meant = slipOf(name)
        if (meant === undefined) strange.push(name)
        else
          yield {
            code: "unknown_model",
            path: at,
            message: `no model is called ${quoted(name)} in the catalogue of ${known.asOf}`,
            hint: `did you mean ${quoted(meant)}?`
          }
      }
      if (strange.length > 0)
        yield {
          severity: "note",
          code: "unknown_model",
          path,
          message: `the catalogue of ${known.asOf} does not know ${showValue(strange)}`,
          hint: "leave it, if the model is newer, of another provider or a deployment of your own: no model takes its place by rank"
        }
    }
  }
}

/** For so many names a near one is looked for. */
const maximumSlips = 1000

/** The known model that was meant: other digits make another model, and so does a part more (`gpt-4o-eu` of `gpt-4o`). */
const nearModel = (name: string, { names }: KnownModels): string | undefined => {
  const star = name.indexOf("*")
  const own = star === -1 ? name : name.slice(0, star)
  const among = star === -1 ? names : [...new Set(names.map((one) => one.slice(0, own.length)))]
  const digits = (text: string): string => text.replaceAll(/\D/gu, "")
  const [best] = among
    .filter((one) => digits(one) === digits(own) && !one.startsWith(`${own}-`) && !own.startsWith(`${one}-`))
    .map((one) => ({ one, distance: editDistance(own.toLowerCase(), one.toLowerCase()) }))
    .filter(({ distance }) => distance <= 2)
    .sort((a, b) => a.distance - b.distance)
  return best === undefined || own.length < tellingLength.alone - 1 ? undefined : best.one + name.slice(own.length)
}
