/**
 * What a caller may ask of a resource at most, without a request at hand: for a user interface that offers only what is
 * allowed.
 */
import type { Json } from "../base/Json.ts"
import type { Violation } from "../call/Decision.ts"
import { effectiveValues } from "./AllowedValues.ts"
import type { Constraint } from "./Constraint.ts"
import type { Rules } from "./Rules.ts"
import { evaluateResource } from "./Evaluate.ts"

/** The bounds on one parameter; `values` may hold globs (`gpt-4o*`). */
export interface ParameterLimits {
  readonly min?: number
  readonly max?: number
  readonly values?: ReadonlyArray<Json>
  readonly required?: true
  /** Ids of the documents that set them. */
  readonly policies: ReadonlyArray<string>
}

/**
 * What is allowed at most.
 *
 * - `allowed`: false where every request is refused; `reasons` says why.
 * - `models`: literals and globs that every document allows, the most specific document's order; absent where any model is.
 * - `maxOutputTokens`: the cap on output tokens of one answer; absent where there is none.
 * - `ratesPerMinute`: the calls a minute that each document allows, by its id.
 * - `parameters`: the bounds on every other parameter, by its name.
 */
export interface Limits {
  readonly resource: string
  readonly allowed: boolean
  readonly reasons: ReadonlyArray<Violation>
  readonly models?: ReadonlyArray<string>
  readonly maxOutputTokens?: number
  readonly ratesPerMinute: Readonly<Record<string, number>>
  readonly parameters: Readonly<Record<string, ParameterLimits>>
}

/** The limits that rules amount to at a time (milliseconds since 1970). */
export const limitsOf = (rules: Rules, now: number): Limits => {
  const reasons = [...evaluateResource(rules, now), ...rules.contradictions]
  const model = rules.constraints.find(({ parameter }) => parameter.canonical === "model")
  const models = model === undefined || model.lists.length === 0 ? undefined : valuesOf(model)
  const cap = lowest(rules.cap?.max?.value, rules.totalTokens?.max?.value)
  const others = rules.constraints.filter(({ parameter }) => parameter.canonical !== "model")
  return {
    resource: rules.resource,
    allowed: reasons.length === 0,
    reasons,
    ...(models !== undefined && { models: models.filter((name) => typeof name === "string") }),
    ...(cap !== undefined && { maxOutputTokens: Math.floor(cap) }),
    ratesPerMinute: Object.fromEntries(rules.rateLimits.map(({ limit, policy }) => [policy, limit])),
    parameters: Object.fromEntries(others.map((constraint) => [constraint.parameter.name, parameterLimits(constraint)]))
  }
}

const valuesOf = (constraint: Constraint): ReadonlyArray<Json> => {
  const { globs, literals } = effectiveValues(constraint)
  return [...literals, ...globs]
}

const parameterLimits = (constraint: Constraint): ParameterLimits => {
  const { lists, max, min, required, source } = constraint
  const sources = [min, max, required, ...lists].flatMap((each) => (each === undefined ? [] : [each.policy]))
  return {
    ...(min !== undefined && { min: min.value }),
    ...(max !== undefined && { max: max.value }),
    ...(lists.length > 0 && { values: valuesOf(constraint) }),
    ...(required !== undefined && { required: true }),
    policies: [...new Set(sources.length === 0 ? [source.policy] : sources)]
  }
}

const lowest = (...values: ReadonlyArray<number | undefined>): number | undefined => {
  const given = values.filter((value) => value !== undefined)
  return given.length === 0 ? undefined : Math.min(...given)
}
