/**
 * Which names of parameters mean something for an operation of the API, and which one was meant by a name that does not: for
 * advice on policies. A bound on a parameter that no request has restricts nothing.
 */
import { apiParameters, operationParameters, type Shape } from "../call/ApiParameters.ts"
import { editDistance, spelled } from "../base/Nearest.ts"
import { modelChoosers, type OperationName, operations, spellingsOf } from "../call/Operation.ts"
import { nearest } from "./Fault.ts"
import { isCapped } from "./Parameter.ts"

/** The parameter that stands for the product of a cap and the number of answers (mapl §3). */
const totalTokens = "total_tokens"

/** Whether a request of an operation can have a parameter under this name, in any of its spellings. */
export const isKnown = (name: string, operation: OperationName): boolean =>
  (name === totalTokens && isCapped(operations[operation])) ||
  spellings(name, operation).some((path) => lostAt(path, operation) === -1)

/**
 * The name that was probably meant by one that is not known to an operation: with the first part that is not known replaced by
 * one that stands there, and `undefined` where none is near or the rest is not known either.
 */
export const meantBy = (name: string, operation: OperationName): string | undefined => {
  const steps = name.split(".")
  const at = lostAt(steps, operation)
  if (at === -1) return undefined
  const [, own = "", brackets = ""] = /^([^[]*)(.*)$/u.exec(steps[at] ?? "") ?? []
  const among = [
    ...membersAt(steps.slice(0, at), operation),
    ...(at === 0 && isCapped(operations[operation]) ? [totalTokens] : [])
  ]
  const meant = nearest(own, among)
  if (meant === undefined) return undefined
  const better = [...steps.slice(0, at), meant + brackets, ...steps.slice(at + 1)].join(".")
  return isKnown(better, operation) ? better : meantBy(better, operation)
}

/** The operations that have a parameter of this name. */
export const operationsWith = (name: string): ReadonlyArray<OperationName> =>
  Object.values(operations)
    .map((operation) => operation.name)
    .filter((operation) => isKnown(name, operation))

/**
 * Whether a name of at least so many characters is so near to another one that it is a slip, and not a name of its own: servers
 * have parameters that the API has not (`top_k`), and tools have arguments of any name.
 */
export const isSlip = (name: string, meant: string, least: number): boolean =>
  name.length >= least && editDistance(spelled(name), spelled(meant)) <= 2

// ---------------------------------------------------------------------------------------------------------------------
// Internal
// ---------------------------------------------------------------------------------------------------------------------

type Steps = ReadonlyArray<string>

/** Every path that the parameter of this name is read at. A field of a tool stands in one of three places (mapl §3). */
const spellings = (name: string, operation: OperationName): ReadonlyArray<Steps> => {
  const [, list, own] = /^(tools|functions)\[\](?:\.(?:function|custom)(?=[.[]|$))?\.?(.*)$/u.exec(name) ?? []
  const names =
    operation === "generate" && list !== undefined && own !== undefined && own !== ""
      ? [`tools[].function.${own}`, `tools[].custom.${own}`, `tools[].${own}`]
      : operation === "generate" && /^(?:tool_choice|function_call)\./u.test(name)
        ? [name.replace(/^[^.]+/u, "tool_choice"), name.replace(/^[^.]+/u, "function_call")]
        : spellingsOf(name, operation)
  return names.map((path) => path.replaceAll("?", "").split("."))
}

/** Where a path leaves what is known, -1 where it does not. Below what is the customer's own any name is right. */
const lostAt = (path: Steps, operation: OperationName): number => {
  let shape: Shape = apiParameters
  for (const [at, step] of path.entries()) {
    const name = step.replaceAll("[]", "")
    if (at === 0 && modelChoosers.includes(name)) return -1
    if (shape === "open") return -1
    if (at === 0 && !operationParameters[operation].has(name)) return 0
    const below: Shape | undefined = Object.hasOwn(shape, name) ? shape[name] : undefined
    if (below === undefined) return at
    shape = below
  }
  return -1
}

/** The names that may stand below a path. */
const membersAt = (path: Steps, operation: OperationName): ReadonlyArray<string> => {
  if (path.length === 0) return [...operationParameters[operation]]
  const shape = path.reduce<Shape | undefined>(
    (holder, step) => (holder === undefined || holder === "open" ? undefined : holder[step.replaceAll("[]", "")]),
    apiParameters
  )
  return shape === undefined || shape === "open" ? [] : Object.keys(shape)
}
