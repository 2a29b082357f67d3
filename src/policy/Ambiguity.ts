/**
 * What in a request may be read in two ways: by policy in one, and by a server in another. Where documents judge, that refuses.
 */
import { ambiguousKeys, apiParameters, type Shape, withNamed } from "../call/ApiParameters.ts"
import type { Call } from "../call/Call.ts"
import type { Violation } from "../call/Decision.ts"
import { isOperation } from "../call/Operation.ts"
import { foreignQuery } from "../call/Query.ts"
import { allConstraints, type Rules } from "./Rules.ts"

/**
 * Parameters of a query that is not the service's own, a model in the body that is not the one in an engine's URL, and keys that
 * servers may take for a parameter of the API or one that the rules name. A registered tool's arguments are its own.
 */
export const ambiguities = (call: Call, rules: Rules): ReadonlyArray<Violation> =>
  isOperation(call.operation)
    ? [
        ...(call.query?.foreign ?? []).slice(0, mostNamed).map(foreignQuery),
        ...engineOf(call),
        ...ambiguousKeys(call.params, shapeOf(rules))
      ]
    : []

/** A provider of engines may go by the URL, or by the body. */
const engineOf = ({ deployment }: Call): ReadonlyArray<Violation> => {
  const { asked, model, name, segment } = deployment ?? {}
  if (segment?.startsWith("engines/") !== true || typeof asked !== "string" || asked === name || asked === model)
    return []
  return [
    {
      code: "invalid_body",
      path: "model",
      actual: JSON.stringify(asked.slice(0, 80)),
      message: `the URL asks for the engine ${JSON.stringify(name)}, and the body for the model ${JSON.stringify(asked.slice(0, 80))}`,
      hint: "ask for one model"
    }
  ]
}

const mostNamed = 16

const shapes = new WeakMap<Rules, Exclude<Shape, "open">>()

/** The parameters of the API, and those that the rules name besides. */
const shapeOf = (rules: Rules): Exclude<Shape, "open"> => {
  const known = shapes.get(rules)
  if (known !== undefined) return known
  const named = [...allConstraints(rules), ...rules.deniedValues]
  const shape = withNamed(
    apiParameters,
    named.map(({ parameter }) => parameter.name)
  )
  shapes.set(rules, shape)
  return shape
}
