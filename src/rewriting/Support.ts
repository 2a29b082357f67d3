/**
 * What a request has that a model does not take: pure, from the catalogue's word on the model.
 *
 * @since 0.2.0
 */
import type { Json, JsonObject } from "../CanonicalJson.ts"
import { isArray, isObject } from "../Json.ts"
import { itemLists, type Located, type RequestTool, toolsOf } from "../RequestTools.ts"
import type { Model, Parameters } from "./Models.ts"

/**
 * What keeps a request from a model.
 *
 * - `removable`: settings of taste, which may be left out: the answer changes in manner, and asks for nothing more.
 * - `blocking`: what a caller relies on, which may not.
 */
export interface Unsupported {
  readonly removable: ReadonlyArray<Located>
  readonly blocking: ReadonlyArray<Located>
}

/** What of a request a model does not take. Nothing is known against a model that is not known. */
export const unsupported = (params: JsonObject, model: Model | undefined): Unsupported => {
  const removable: Array<Located> = []
  const blocking: Array<Located> = []
  if (model === undefined) return { removable, blocking }
  for (const { mayGo, name, paths } of settings) {
    const taken = model.parameters[name]
    if (taken === undefined) continue
    for (const path of paths) {
      const value = valueAt(params, path)
      if (name === "n" && value === 1) continue
      if (value === null || (typeof taken === "object" && typeof value === "string" && taken.includes(value))) continue
      if (removable.some((holder) => path.startsWith(`${holder.path}.`))) continue
      ;(mayGo ? removable : blocking).push({ path, value })
    }
  }
  blocking.push(...items(params, model.parameters), ...tools(params, model.parameters))
  return { removable, blocking }
}

// ---------------------------------------------------------------------------------------------------------------------
// Internal
// ---------------------------------------------------------------------------------------------------------------------

interface Setting {
  readonly name: keyof Parameters
  /** Its spellings. What holds another stands before it. */
  readonly paths: ReadonlyArray<string>
  readonly mayGo: boolean
}

const settings: ReadonlyArray<Setting> = [
  { name: "temperature", paths: ["temperature"], mayGo: true },
  { name: "top_p", paths: ["top_p"], mayGo: true },
  { name: "presence_penalty", paths: ["presence_penalty"], mayGo: true },
  { name: "frequency_penalty", paths: ["frequency_penalty"], mayGo: true },
  { name: "reasoning", paths: ["reasoning"], mayGo: true },
  { name: "reasoning_effort", paths: ["reasoning_effort", "reasoning.effort"], mayGo: true },
  { name: "verbosity", paths: ["verbosity", "text.verbosity"], mayGo: true },
  { name: "logprobs", paths: ["logprobs", "top_logprobs"], mayGo: false },
  { name: "logit_bias", paths: ["logit_bias"], mayGo: false },
  { name: "stop", paths: ["stop"], mayGo: false },
  { name: "prediction", paths: ["prediction"], mayGo: false },
  { name: "service_tier", paths: ["service_tier"], mayGo: false },
  { name: "prompt_cache_retention", paths: ["prompt_cache_retention"], mayGo: false },
  { name: "n", paths: ["n"], mayGo: false },
  { name: "parallel_tool_calls", paths: ["parallel_tool_calls"], mayGo: false },
  { name: "response_format", paths: ["response_format.type", "text.format.type"], mayGo: false }
]

/** Tools of a type that the model does not take. What brings tools out of sight (a stored prompt) is not looked for. */
const tools = (params: JsonObject, { tool_types: types }: Parameters): ReadonlyArray<Located> =>
  types === undefined
    ? []
    : toolsOf(params).tools.filter(
        (tool) =>
          tool.role !== "choice" &&
          typesOf(tool).some((type) => type !== "function" && !(types !== false && types.includes(String(type))))
      )

/** What the provider runs for a member of the request is known by that member. */
const typesOf = ({ path, types }: RequestTool): ReadonlyArray<Json> =>
  path.endsWith("]") ? types.map(({ value }) => value) : [path]

/** Members of lists that ask for what the model does not take. */
const items = (params: JsonObject, { logprobs, reasoning, reasoning_effort: efforts }: Parameters) => {
  const found: Array<Located> = []
  for (const [at, value] of listOf(params["include"]).entries())
    if (
      (logprobs === false && value === "message.output_text.logprobs") ||
      (reasoning === false && value === "reasoning.encrypted_content")
    )
      found.push({ path: `include[${at}]`, value })
  for (const list of itemLists)
    for (const [at, item] of listOf(params[list]).entries()) {
      if (!isObject(item)) continue
      const effort = valueAt(item, "reasoning.effort")
      if (
        (reasoning === false && (item["type"] === "reasoning" || valueAt(item, "reasoning") !== null)) ||
        (effort !== null && (efforts === false || (efforts !== undefined && !efforts.includes(String(effort)))))
      )
        found.push({ path: `${list}[${at}]`, value: item })
    }
  return found
}

/** The value at a dotted path; absent and inherited ones are `null`. */
const valueAt = (params: JsonObject, path: string): Json => {
  let value: Json = params
  for (const key of path.split(".")) {
    if (!isObject(value) || !Object.hasOwn(value, key)) return null
    value = value[key] ?? null
  }
  return value
}

const listOf = (value: Json | undefined): ReadonlyArray<Json> => (isArray(value) ? value : [])
