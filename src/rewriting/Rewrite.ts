/**
 * The edits that make a request pass: pure functions from what policy asks for to the params that will be sent. The caller's
 * params are never touched.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type { Call } from "../Call.ts"
import { type Json, type JsonObject, snapshot } from "../CanonicalJson.ts"
import type { Edit, Remedy, Violation } from "../Decision.ts"
import { isOperation, operations, outputTokenCaps } from "../Operation.ts"
import type { Modality, Model } from "./Models.ts"

/** Params with their edits, or why there are none. */
export type Rewritten =
  | { readonly _tag: "Rewritten"; readonly params: JsonObject; readonly edits: ReadonlyArray<Edit> }
  | { readonly _tag: "Refused"; readonly violations: ReadonlyArray<Violation> }

type Find = (model: string) => Model | undefined

type ModelRemedy = Extract<Remedy, { kind: "model" }>

/**
 * Makes the edits that `remedies` ask for: the model first, since it decides how a cap is spelled; then values; then the
 * cap, which is injected or respelled where policy needs one (`recheck` tells).
 */
export const rewrite = (
  call: Call,
  remedies: ReadonlyArray<Remedy>,
  recheck: (params: JsonObject) => ReadonlyArray<Violation>,
  find: Find
): Rewritten => {
  const edits: Array<Edit> = []
  let { params } = call
  for (const remedy of remedies) {
    if (remedy.kind !== "model") continue
    const target = pickModel(remedy, call, find)
    if (target === undefined) return { _tag: "Refused", violations: [noModel(remedy)] }
    params = replaced(params, remedy.path, target)
    edits.push({ path: remedy.path, from: remedy.from, to: target, policy: remedy.policy })
  }
  for (const remedy of remedies) {
    if (remedy.kind !== "set") continue
    params = replaced(params, remedy.path, jsonOf(remedy.to))
    edits.push({ path: remedy.path, from: remedy.from, to: remedy.to, policy: remedy.policy })
  }
  const spellings = capSpellings(call, params, find)
  const [preferred] = spellings
  if (preferred === undefined) return { _tag: "Rewritten", params, edits }
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

/**
 * The model that takes the place of one that is not allowed: the constraint's own choice, else the best allowed one of the
 * same provider and modality that ranks at or below it, else, for a model that nobody knows, the first one allowed. Only
 * one that can serve the request.
 */
const pickModel = ({ allowed, downgrade = {}, from }: ModelRemedy, call: Call, find: Find): string | undefined => {
  const asked = find(from)
  const modality = asked?.modality ?? modalityOf(call.operation)
  const literals = allowed.filter((name) => !name.includes("*"))
  const serves = (name: string): boolean => {
    const target = find(name)
    if (target === undefined) return true
    return (
      (modality === undefined || target.modality === modality) &&
      (target.tools || !wantsTools(call.params)) &&
      (target.images || !hasImages(call.params))
    )
  }
  const own = Object.hasOwn(downgrade, from) ? downgrade[from] : downgrade["*"]
  if (own !== undefined && literals.includes(own) && serves(own)) return own
  if (asked === undefined) return literals.find(serves)
  return literals
    .flatMap((name) => {
      const target = find(name)
      const fits = target?.provider === asked.provider && target.rank <= asked.rank && serves(name)
      return fits ? [{ name, rank: target.rank, sibling: target.family === asked.family ? 1 : 0 }] : []
    })
    .sort((a, b) => b.rank - a.rank || b.sibling - a.sibling)[0]?.name
}

const modalityOf = (operation: string): Modality | undefined =>
  isOperation(operation)
    ? ({ generate: "chat", complete: "completion", embed: "embedding" } as const)[operation]
    : undefined

const wantsTools = (params: JsonObject): boolean =>
  [params["tools"], params["functions"]].some((tools) => isArray(tools) && tools.length > 0)

const hasImages = ({ messages }: JsonObject): boolean =>
  isArray(messages) &&
  messages.some((message) => {
    const content = isObject(message) ? message["content"] : undefined
    return isArray(content) && content.some((part) => isObject(part) && imageParts.has(part["type"] ?? null))
  })

const imageParts = new Set<Json>(["image_url", "input_image", "image_file"])

const noModel = ({ allowed, from, path, policy }: ModelRemedy): Violation => {
  const list = JSON.stringify(allowed)
  return {
    code: "value_not_allowed",
    path,
    policy,
    constraint: list,
    actual: JSON.stringify(from),
    message: `${path} is ${JSON.stringify(from)}, which is not among ${list}, set by ${policy}, and none of these can take its place for this request`,
    hint: `ask for one of ${allowed.join(", ")}`
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Cap
// ---------------------------------------------------------------------------------------------------------------------

/** The spellings of the cap that both the endpoint and the model take, the one to inject first. */
const capSpellings = (call: Call, params: JsonObject, find: Find): ReadonlyArray<string> => {
  const endpoint = isOperation(call.operation) ? operations[call.operation].caps : []
  const model = params["model"]
  const known = typeof model === "string" ? find(model) : undefined
  // The older spelling is the one that every server knows.
  return (known?.caps ?? outputTokenCaps).filter((spelling) => endpoint.includes(spelling))
}

/** Gives a cap that policy needs, and that would not be understood as it is spelled, the spelling that is. */
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
  const uncapped = Object.fromEntries(Object.entries(params).filter(([key]) => !given.includes(key)))
  const needed = recheck(uncapped).find(({ path }) => outputTokenCaps.includes(path ?? ""))
  if (needed === undefined) return { _tag: "Rewritten", params, edits }
  // Of several, the smallest: nobody asked for more.
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

const smallest = (caps: ReadonlyArray<readonly [string, Json]>): readonly [string, Json] =>
  caps.reduce((least, cap) => (Number(cap[1]) < Number(least[1]) ? cap : least))

const isPresent = (value: Json | undefined): boolean => value !== undefined && value !== null

// ---------------------------------------------------------------------------------------------------------------------
// Params
// ---------------------------------------------------------------------------------------------------------------------

/** A copy with another value at a path such as `tools[0].function.name`; keys keep their order. */
const replaced = (params: JsonObject, path: string, to: Json): JsonObject => {
  const [key = "", ...rest] = path.split(/[.[]/u).map((step) => (step.endsWith("]") ? step.slice(0, -1) : step))
  return { ...params, [key]: replacedIn(params[key] ?? null, rest, to) }
}

const replacedIn = (value: Json, [step, ...rest]: ReadonlyArray<string>, to: Json): Json => {
  if (step === undefined) return to
  if (isArray(value)) return value.map((element, at) => (String(at) === step ? replacedIn(element, rest, to) : element))
  return isObject(value) ? { ...value, [step]: replacedIn(value[step] ?? null, rest, to) } : value
}

const isArray = (value: Json | undefined): value is ReadonlyArray<Json> => Array.isArray(value)

const isObject = (value: Json): value is JsonObject => typeof value === "object" && value !== null && !isArray(value)

/** What policy sets is a literal or a bound of a document, and so JSON. */
const jsonOf = (value: unknown): Json => Result.getOrThrow(snapshot(value))
