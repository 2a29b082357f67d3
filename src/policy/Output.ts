/**
 * What documents ask of an answer (mapl §8): the output rules that match a resource, and their meet. All of them hold
 * together: every denied text, the lowest `max_characters`, and `deny` before `record`.
 */
import type { DeniedText, OutputRules } from "../call/Judge.ts"
import type { JsonObject } from "../base/Json.ts"
import { isSameModel, modelChoosers } from "../call/Operation.ts"
import type { Allowed } from "./Constraint.ts"
import type { PlacedOutputRule, Rules } from "./Rules.ts"
import { showPath } from "./Notation.ts"
import { regexOf } from "./mapl/Regex.ts"
import { valueAt } from "./Parameter.ts"

/**
 * The output rules for the answer to a request; `undefined` where there are none. Where the model is not known before the call,
 * the list of models judges the model that answers.
 */
export const outputOf = (rules: Pick<Rules, "output" | "constraints">, params: JsonObject): OutputRules | undefined => {
  const output = ofPlaced(rules.output)
  const model = rules.constraints.find(({ parameter }) => parameter.isModel)
  if (model === undefined || model.lists.length === 0 || !isOpen(params)) return output
  const kept = open.get(rules)
  if (kept !== undefined) return kept
  const { policy } = model.lists[0]!
  const models = { policy, rule: "model", allows: (name: string) => model.lists.every((list) => includes(list, name)) }
  const onResponse = { policy, rule: "model", does: "record" as const }
  const made: OutputRules = { denied: [], maxCharacters: undefined, onResponse, ...output, models }
  open.set(rules, made)
  return made
}

const open = new WeakMap<object, OutputRules>()

/** Whether something else than the parameter `model` may choose the model. */
const isOpen = (params: JsonObject): boolean =>
  (valueAt(params, "model") ?? null) === null ||
  modelChoosers.some((member) => (valueAt(params, member) ?? null) !== null)

/** Providers answer with the dated snapshot of what was asked. */
const includes = (list: Allowed, name: string): boolean =>
  list.matches(name) || list.values.some((value) => typeof value === "string" && isSameModel(value, name))

/** The meet of the output rules for a resource; `undefined` where there is none. Made once for the same rules. */
const ofPlaced = (placed: ReadonlyArray<PlacedOutputRule>): OutputRules | undefined => {
  if (placed.length === 0) return undefined
  const kept = met.get(placed)
  if (kept !== undefined) return kept
  const made = meet(placed)
  met.set(placed, made)
  return made
}

const met = new WeakMap<ReadonlyArray<PlacedOutputRule>, OutputRules>()

const meet = (placed: ReadonlyArray<PlacedOutputRule>): OutputRules => {
  const denied: Array<DeniedText> = []
  let maxCharacters: OutputRules["maxCharacters"]
  let onResponse: OutputRules["onResponse"] | undefined
  for (const one of placed) {
    const { denied: sought = [], hold_back = 0, max_characters, on_response } = one.rule
    sought.forEach((text, index) =>
      denied.push(
        typeof text === "string"
          ? { ...sourceOf(one, "denied", index), sought: text, holdBack: text.length - 1 }
          : { ...sourceOf(one, "denied", index), sought: finderOf(text.pattern), holdBack: hold_back }
      )
    )
    if (max_characters !== undefined && max_characters < (maxCharacters?.value ?? Infinity))
      maxCharacters = { ...sourceOf(one, "max_characters"), value: max_characters }
    if (on_response === "deny" && onResponse?.does !== "deny")
      onResponse = { ...sourceOf(one, "on_response"), does: "deny" }
    onResponse ??= { ...sourceOf(one, "on_response"), does: "record" }
  }
  // There is at least one rule, and each sets `onResponse`.
  return { denied, maxCharacters, onResponse: onResponse! }
}

const sourceOf = ({ pattern, policy }: PlacedOutputRule, ...keys: ReadonlyArray<string | number>) => ({
  policy,
  rule: showPath(["constraints", "output", pattern, ...keys])
})

/** Where a text matches a pattern, from an offset on. */
const finderOf = (pattern: string): Exclude<DeniedText["sought"], string> => {
  const regex = regexOf(pattern)
  return (text, from) => {
    const matcher = regex.matcher(text)
    return from <= text.length && matcher.find(from) ? [matcher.start(), matcher.end()] : undefined
  }
}
