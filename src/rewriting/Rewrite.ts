/**
 * The edits that make a request pass: pure functions from what policy asks for to the params that will be sent. The caller's
 * params are never touched.
 */
import * as Result from "effect/Result"
import type { Call } from "../call/Call.ts"
import type { Judge } from "../call/Judge.ts"
import { snapshot } from "../base/CanonicalJson.ts"
import { isArray, isObject, type Json, type JsonObject } from "../base/Json.ts"
import type { Decision, Edit, Remedy, Violation } from "../call/Decision.ts"
import { type Endpoint, endpointAt, isOperation, isTokenCount, operations, outputTokenCaps } from "../call/Operation.ts"
import { bringsTools, type Located } from "../call/RequestTools.ts"
import { itemLists } from "../call/ToolTypes.ts"
import { capsOf, type Modality, type Model, type Models } from "./Models.ts"
import { unsupported } from "./Support.ts"

/** Params with their edits, or why there are none. */
export type Rewritten =
  | { readonly _tag: "Rewritten"; readonly params: JsonObject; readonly edits: ReadonlyArray<Edit> }
  | { readonly _tag: "Refused"; readonly violations: ReadonlyArray<Violation> }

/** A request as it would be sent: its params, and the edits made to them. */
export interface Plan {
  readonly params: JsonObject
  readonly edits: ReadonlyArray<Edit>
}

type Known = Models["Service"]

type ModelRemedy = Extract<Remedy, { kind: "model" }>
type SetRemedy = Extract<Remedy, { kind: "set" }>

/**
 * What becomes of a call that policy lets go on: its params with the edits that policy asks for, which pass the same policy
 * unchanged; or what keeps them from it.
 */
export const plan = (
  call: Call,
  { remedies }: Pick<Decision, "remedies">,
  { recheck }: Pick<Judge, "recheck">,
  models: Known
): Result.Result<Plan, ReadonlyArray<Violation>> => {
  const rewritten = rewrite(call, remedies, recheck, models)
  if (rewritten._tag === "Refused") return Result.fail(rewritten.violations)
  const { edits, params } = rewritten
  // Policy has already passed a request without edits.
  const left = remedies.length === 0 && edits.length === 0 ? [] : recheck(params)
  return left.length > 0 ? Result.fail(left) : Result.succeed({ params, edits })
}

/**
 * Makes the edits that `remedies` ask for: the model first, since it decides how a cap is spelled and which settings are left
 * out, because it does not take them; then values; then the cap, which is injected or respelled where policy needs one (by `recheck`).
 */
export const rewrite = (
  call: Call,
  remedies: ReadonlyArray<Remedy>,
  recheck: (params: JsonObject) => ReadonlyArray<Violation>,
  models: Known
): Rewritten => {
  const edits: Array<Edit> = []
  let { params } = call
  for (const remedy of remedies) {
    if (remedy.kind !== "model") continue
    const picked = pickModel(remedy, call, recheck, models)
    if (picked === undefined) return { _tag: "Refused", violations: [noModel(remedy, call, models)] }
    const { path, policy } = remedy
    const { name, removable } = picked
    params = leftOut(replaced(params, path, name), removable)
    edits.push({ path, from: remedy.from, to: name, policy })
    for (const { path: gone, value } of removable)
      if (!edits.some((edit) => edit.path === gone)) edits.push({ path: gone, from: value, to: null, policy })
  }
  for (const remedy of remedies) {
    if (remedy.kind !== "set" || edits.some(({ path, to }) => to === null && isWithin(remedy.path, path))) continue
    if (isOperation(call.operation) && raises(remedy))
      return { _tag: "Refused", violations: [noRaise(remedy, recheck(call.params))] }
    params = replaced(params, remedy.path, jsonOf(remedy.to))
    edits.push({ path: remedy.path, from: remedy.from, to: remedy.to, policy: remedy.policy })
  }
  const spellings = capSpellings(call, params, models)
  const [preferred] = spellings
  if (preferred === undefined) {
    const uncapped = capViolation(without(params, outputTokenCaps), recheck)
    return uncapped === undefined
      ? { _tag: "Rewritten", params, edits }
      : { _tag: "Refused", violations: [noCap(uncapped, call)] }
  }
  for (const remedy of remedies) {
    if (remedy.kind !== "cap") continue
    params = { ...params, [preferred]: remedy.to }
    edits.push({ path: preferred, to: remedy.to, policy: remedy.policy })
  }
  return respell(params, edits, spellings, preferred, recheck)
}

// ---------------------------------------------------------------------------------------------------------------------
// Model
// ---------------------------------------------------------------------------------------------------------------------

/** A model that takes another's place, and what is left out of the request because it does not take it. */
interface Picked {
  readonly name: string
  readonly removable: ReadonlyArray<Located>
}

/**
 * The model that takes the place of one that is not allowed: the constraint's own choice, else the best allowed one of the
 * same provider and modality that ranks at or below it, else, for an unknown model, the first one allowed. Only
 * one that can serve the request.
 */
const pickModel = (
  { allowed, downgrade = {}, from, path: place }: ModelRemedy,
  call: Call,
  recheck: (params: JsonObject) => ReadonlyArray<Violation>,
  { find, like }: Known
): Picked | undefined => {
  const asked = find(from)
  const modality = asked?.modality ?? modalityOf(call.operation)
  const endpoint = endpointOf(call)
  const path = endpoint?.servedAs ?? endpoint?.path
  const literals = allowed.filter((name) => !name.includes("*"))
  /** What the target does not take may be left out, unless policy asks for it. */
  const taken = (name: string): Picked | undefined => {
    const { blocking, removable } = unsupported(call.params, like(name))
    if (blocking.length > 0) return undefined
    if (removable.length === 0) return { name, removable }
    const params = replaced(call.params, place, name)
    const before = new Set(recheck(params).map(textOf))
    const holds = recheck(leftOut(params, removable)).every((violation) => before.has(textOf(violation)))
    return holds ? { name, removable } : undefined
  }
  const served = (name: string): Picked | undefined => {
    if (call.deployment !== undefined && call.deployment.serving(name) === undefined) return undefined
    const target = find(name)
    const serves =
      target === undefined ||
      ((modality === undefined || target.modality === modality) &&
        (path === undefined || target.endpoints.has(path)) &&
        (target.tools || !bringsTools(call.params)) &&
        (target.images || !hasImages(call.params)))
    return serves ? taken(name) : undefined
  }
  const own = Object.hasOwn(downgrade, from) ? downgrade[from] : downgrade["*"]
  const order = asked === undefined ? literals : inOrder(literals, asked, find)
  for (const name of own !== undefined && literals.includes(own) ? [own, ...order] : order) {
    const picked = served(name)
    if (picked !== undefined) return picked
  }
  return undefined
}

/** Of these models those that may take another's place, the best first. */
const inOrder = (names: ReadonlyArray<string>, asked: Model, find: Known["find"]): ReadonlyArray<string> =>
  names
    .flatMap((name) => {
      const target = find(name)
      return target?.provider === asked.provider && target.rank <= asked.rank
        ? [{ name, rank: target.rank, sibling: target.family === asked.family ? 1 : 0 }]
        : []
    })
    .sort((a, b) => b.rank - a.rank || b.sibling - a.sibling)
    .map(({ name }) => name)

const textOf = ({ code, path, policy }: Violation): string => JSON.stringify([code, path, policy])

const modalityOf = (operation: string): Modality | undefined =>
  isOperation(operation)
    ? ({ generate: "chat", complete: "completion", embed: "embedding" } as const)[operation]
    : undefined

/** Where a call goes; nowhere for a registered tool. */
const endpointOf = ({ endpoint, operation }: Call): Endpoint | undefined =>
  isOperation(operation) ? endpointAt(operations[operation], endpoint) : undefined

/** Images stand in messages, in what tools gave back, and in the variables of a stored prompt. */
const hasImages = (params: JsonObject): boolean => [...itemLists, "prompt"].some((name) => holdsImage(params[name]))

const holdsImage = (value: Json | undefined): boolean =>
  isArray(value)
    ? value.some(holdsImage)
    : isObject(value) && (imageParts.has(value["type"] ?? null) || Object.values(value).some(holdsImage))

const imageParts = new Set<Json>(["image_url", "input_image", "image_file", "computer_screenshot"])

const noModel = ({ allowed, from, path, policy }: ModelRemedy, { params }: Call, { like }: Known): Violation => {
  const list = JSON.stringify(allowed)
  const reasons = allowed.flatMap((name) => {
    const [first] = unsupported(params, like(name)).blocking
    return first === undefined ? [] : [`${name} does not take ${first.path}`]
  })
  return {
    code: "value_not_allowed",
    path,
    policy,
    constraint: list,
    actual: JSON.stringify(from),
    message: `${path} is ${JSON.stringify(from)}, which is not among ${list}, set by ${policy}, and none of these can take its place for this request${reasons.length === 0 ? "" : `: ${reasons.join(", ")}`}`,
    hint: `ask for one of ${allowed.join(", ")}`
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Counts
// ---------------------------------------------------------------------------------------------------------------------

/** What asks for more answers or tokens the higher it is. */
const costs: ReadonlySet<string> = new Set(["n", "best_of", ...outputTokenCaps])

/** A cap that is no positive integer may mean "no limit": any cap in its place narrows. */
const raises = ({ from, path, to }: SetRemedy): boolean =>
  costs.has(path) && Number(to) > Number(from) && !(outputTokenCaps.includes(path) && !isTokenCount(from))

/** What policy holds against a value that only more would put right. */
const noRaise = ({ from, path, policy, to }: SetRemedy, found: ReadonlyArray<Violation>): Violation => ({
  ...(found.find((violation) => violation.path === path) ?? {
    code: "value_not_allowed",
    path,
    policy,
    message: `${path} is ${JSON.stringify(from)}, which ${policy} does not allow`
  }),
  hint: `ask for ${JSON.stringify(to)}: no edit asks for more than the caller did`
})

// ---------------------------------------------------------------------------------------------------------------------
// Cap
// ---------------------------------------------------------------------------------------------------------------------

/** The spellings of the cap that the model takes where the call goes, the one to inject first. */
const capSpellings = (call: Call, params: JsonObject, { like }: Known): ReadonlyArray<string> => {
  const path = endpointOf(call)?.path
  const model = params["model"]
  return path === undefined ? [] : capsOf(typeof model === "string" ? like(model) : undefined, path)
}

/**
 * Gives a cap that would not be understood as it is spelled the spelling that is: where policy needs one, and where another
 * model than the asked one would not heed it.
 */
const respell = (
  params: JsonObject,
  edits: ReadonlyArray<Edit>,
  spellings: ReadonlyArray<string>,
  preferred: string,
  recheck: (params: JsonObject) => ReadonlyArray<Violation>
): Rewritten => {
  const given = outputTokenCaps.filter((spelling) => isPresent(params[spelling]))
  if (given.length === 0 || given.some((spelling) => spellings.includes(spelling)))
    return { _tag: "Rewritten", params, edits }
  const needed = capViolation(without(params, given), recheck) ?? edits.find(({ path }) => path === "model")
  if (needed === undefined) return { _tag: "Rewritten", params, edits }
  // Of several caps the smallest: an edit never asks for more than the caller did.
  const [place, to] = smallest(given.map((spelling) => [spelling, params[spelling] ?? null]))
  const policy = needed.policy ?? ""
  const asked = (path: string): unknown => edits.find((edit) => edit.path === path)?.from ?? params[path]
  return {
    _tag: "Rewritten",
    params: Object.fromEntries(
      Object.entries(params)
        .filter(([key]) => key === place || (key !== preferred && !given.includes(key)))
        .map(([key, value]) => (key === place ? [preferred, to] : [key, value]))
    ),
    edits: [
      ...edits.filter(({ path }) => !given.includes(path)),
      ...given.map((path) => ({ path, from: asked(path), to: null, policy })),
      { path: preferred, to, policy }
    ]
  }
}

/** What policy holds against a cap, or against there being none. */
const capViolation = (
  params: JsonObject,
  recheck: (params: JsonObject) => ReadonlyArray<Violation>
): Violation | undefined => recheck(params).find(({ path }) => outputTokenCaps.includes(path ?? ""))

/** Nothing keeps the answer of an endpoint that takes no cap within one. */
const noCap = (violation: Violation, call: Call): Violation => ({
  ...violation,
  message: `${endpointOf(call)?.path} takes no cap on output tokens, and ${violation.policy ?? "policy"} sets one`,
  hint: "leave the call out, or ask for an operation that can be capped"
})

const without = (params: JsonObject, keys: ReadonlyArray<string>): JsonObject =>
  Object.fromEntries(Object.entries(params).filter(([key]) => !keys.includes(key)))

const smallest = (caps: ReadonlyArray<readonly [string, Json]>): readonly [string, Json] =>
  caps.reduce((least, cap) => (Number(cap[1]) < Number(least[1]) ? cap : least))

const isPresent = (value: Json | undefined): boolean => value !== undefined && value !== null

// ---------------------------------------------------------------------------------------------------------------------
// Params
// ---------------------------------------------------------------------------------------------------------------------

/** A copy with another value at a path such as `tools[0].function.name`; keys keep their order. */
const replaced = (params: JsonObject, path: string, to: Json): JsonObject => {
  if (!/[.[]/u.test(path)) return { ...params, [path]: to }
  const [key = "", ...rest] = path.split(/[.[]/u).map((step) => (step.endsWith("]") ? step.slice(0, -1) : step))
  return { ...params, [key]: replacedIn(params[key] ?? null, rest, to) }
}

const replacedIn = (value: Json, [step, ...rest]: ReadonlyArray<string>, to: Json): Json => {
  if (step === undefined) return to
  if (isArray(value)) return value.map((element, at) => (String(at) === step ? replacedIn(element, rest, to) : element))
  return isObject(value) ? { ...value, [step]: replacedIn(value[step] ?? null, rest, to) } : value
}

/** A copy without the members at some dotted paths; what held them stays. */
const leftOut = (params: JsonObject, gone: ReadonlyArray<Located>): JsonObject =>
  gone.reduce((left, { path }) => leftOutAt(left, path.split(".")), params)

const leftOutAt = (holder: JsonObject, [key = "", ...rest]: ReadonlyArray<string>): JsonObject => {
  if (rest.length === 0) return without(holder, [key])
  const inner = holder[key]
  return isObject(inner) ? { ...holder, [key]: leftOutAt(inner, rest) } : holder
}

const isWithin = (path: string, holder: string): boolean => path === holder || path.startsWith(`${holder}.`)

/** What policy sets is a literal or a bound of a document, and so JSON. */
const jsonOf = (value: unknown): Json => Result.getOrThrow(snapshot(value))
