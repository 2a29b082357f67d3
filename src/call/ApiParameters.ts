/**
 * The parameters of the API's protected operations, at every depth, as the SDK's types name them; and the keys of a request that
 * a reader without case takes for one of them.
 */
import { fold } from "../base/CaseFolding.ts"
import type { Json, JsonObject } from "../base/Json.ts"
import type { Violation } from "./Decision.ts"
import { modelChoosers, type OperationName } from "./Operation.ts"
import sdkOperations from "./openai-operations.json" with { type: "json" }
import sdkParameters from "./openai-parameters.json" with { type: "json" }

/**
 * What stands at a place of a request: an object with these members (lists are stepped through); a value, where there are none;
 * or what is the customer's own, `open`: metadata, a schema, the variables of a prompt, the arguments of a tool.
 */
export type Shape = "open" | Members

/** The members that an object may have, by their names. */
export interface Members {
  readonly [name: string]: Shape
}

/** A tool as `allowed_tools` names it; the types leave it open, and policies read it. */
const allowedTool: Shape = { type: {}, name: {}, server_label: {}, function: { name: {} }, custom: { name: {} } }

/** Members by which gateways choose where a request goes; no SDK knows them. */
const gatewayParameters: Shape = Object.fromEntries(modelChoosers.map((name) => [name, {}]))

/** Some servers read the tools of an item or of a part of one; the types leave them open, and policies read them. */
const bringing: Shape = {
  tools: { ...(sdkParameters.input.tools as Members), ...(sdkParameters.tools as Members) },
  functions: sdkParameters.functions as Shape
}
const item: Shape = {
  ...(sdkParameters.input as Members),
  ...bringing,
  content: { ...(sdkParameters.input.content as Members), ...bringing },
  output: { ...(sdkParameters.input.output as Members), ...bringing }
}

/** Every parameter of `chat.completions`, `responses`, `completions` and `embeddings`, all in one. */
export const apiParameters: Members = {
  ...(sdkParameters as Members),
  ...gatewayParameters,
  input: item,
  instructions: item,
  messages: {
    ...(sdkParameters.messages as Members),
    ...bringing,
    content: { ...(sdkParameters.messages.content as Members), ...bringing }
  },
  tool_choice: {
    ...(sdkParameters.tool_choice as Members),
    allowed_tools: { mode: {}, tools: allowedTool },
    tools: allowedTool
  }
}

/** The parameters at the top of each operation's requests, at any of its endpoints, as the SDK's types name them. */
export const operationParameters: Readonly<Record<OperationName, ReadonlySet<string>>> = {
  generate: new Set(sdkOperations.generate),
  complete: new Set(sdkOperations.complete),
  embed: new Set(sdkOperations.embed)
}

/** A shape with parameters that a policy names as well, `provider.order` or `x_items[].name`, where it does not know them. */
export const withNamed = (shape: Members, names: ReadonlyArray<string>): Members =>
  names.reduce(
    (known, name) =>
      added(
        known,
        name.split(/\.|\[\]/).filter((step) => step !== "")
      ),
    shape
  )

const added = (shape: Members, [step, ...rest]: ReadonlyArray<string>): Members => {
  if (step === undefined) return shape
  const known = Object.hasOwn(shape, step) ? shape[step] : undefined
  // A policy's odd spelling of a known name does not make it another one.
  if (known === "open" || (known === undefined && namesOf(shape).has(fold(step)))) return shape
  if (known !== undefined && rest.length === 0) return shape
  const below = added(known ?? {}, rest)
  return below === known ? shape : { ...shape, [step]: below }
}

/** How many keys a refusal names. */
const mostNamed = 16

/**
 * The keys of a request that are spelt otherwise than a parameter of the API, or than another key beside them, and that a reader
 * without case takes for it: at the top, and in every object that parameters of the API lead to. What is open is not looked at.
 */
export const ambiguousKeys = (params: JsonObject, shape: Shape = apiParameters): ReadonlyArray<Violation> => {
  const found: Array<Violation> = []
  look(params, shape, "", found)
  return found
}

const look = (value: Json, shape: Shape, path: string, found: Array<Violation>): void => {
  if (typeof value !== "object" || value === null || shape === "open") return
  if (Array.isArray(value)) {
    // A list of a million tokens has no keys, and needs no paths.
    for (let i = 0; i < value.length && found.length < mostNamed; i++)
      if (typeof value[i] === "object") look(value[i], shape, `${path}[${i}]`, found)
    return
  }
  const known = namesOf(shape)
  if (known.size === 0) return
  let others: Map<string, string> | undefined
  const members = value as JsonObject
  for (const key in members) {
    if (found.length >= mostNamed) return
    const below = Object.hasOwn(shape, key) ? shape[key] : undefined
    if (below !== undefined) {
      if (below !== "open" && typeof members[key] === "object")
        look(members[key], below, path === "" ? key : `${path}.${key}`, found)
      continue
    }
    const folded = fold(key)
    const meant = known.get(folded) ?? others?.get(folded)
    if (meant !== undefined) found.push(ambiguous(key, meant, path))
    others ??= new Map()
    others.set(folded, key)
  }
}

const ambiguous = (key: string, meant: string, path: string): Violation => {
  const [shown, other] = [shownKey(key), shownKey(meant)]
  return {
    code: "invalid_body",
    path: path === "" ? shown : `${path}.${shown}`,
    message: `the key ${JSON.stringify(shown)}${path === "" ? "" : ` in ${path}`} is ${JSON.stringify(other)} to a server that reads names without case`,
    hint: `spell it ${JSON.stringify(other)}, once`
  }
}

const shownKey = (key: string): string => (key.length > 80 ? `${key.slice(0, 80)}…` : key)

const names = new WeakMap<object, ReadonlyMap<string, string>>()
const noNames: ReadonlyMap<string, string> = new Map()

/** The members of a shape by what their names fold to. */
const namesOf = (shape: Shape): ReadonlyMap<string, string> => {
  if (shape === "open") return noNames
  const known = names.get(shape)
  if (known !== undefined) return known
  const made = new Map(Object.keys(shape).map((name) => [fold(name), name]))
  names.set(shape, made)
  return made
}
