/**
 * What a request has that a model does not take: pure, from the catalogue's word on the model.
 */
import { isArray, isObject, type Json, type JsonObject } from "../base/Json.ts"
import { itemLists } from "../call/ToolTypes.ts"
import { type Located, type RequestTool, toolsOf } from "../call/RequestTools.ts"
import type { Model, ModelParameters } from "./Models.ts"

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
    for (const [path, steps] of paths) {
      const value = valueAt(params, steps)
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
  readonly name: keyof ModelParameters
  /** Its spellings, with the steps of each. What holds another stands before it. */
  readonly paths: ReadonlyArray<readonly [path: string, steps: ReadonlyArray<string>]>
  readonly mayGo: boolean
}

const setting = ({ paths, ...rest }: Omit<Setting, "paths"> & { readonly paths: ReadonlyArray<string> }): Setting => ({
  ...rest,
  paths: paths.map((path) => [path, path.split(".")])
})

const settings: ReadonlyArray<Setting> = [
  setting({ name: "temperature", paths: ["temperature"], mayGo: true }),
  setting({ name: "top_p", paths: ["top_p"], mayGo: true }),
  setting({ name: "presence_penalty", paths: ["presence_penalty"], mayGo: true }),
  setting({ name: "frequency_penalty", paths: ["frequency_penalty"], mayGo: true }),
  setting({ name: "reasoning", paths: ["reasoning"], mayGo: true }),
  setting({ name: "reasoning_effort", paths: ["reasoning_effort", "reasoning.effort"], mayGo: true }),
  setting({ name: "verbosity", paths: ["verbosity", "text.verbosity"], mayGo: true }),
  setting({ name: "logprobs", paths: ["logprobs", "top_logprobs"], mayGo: false }),
  setting({ name: "logit_bias", paths: ["logit_bias"], mayGo: false }),
  setting({ name: "stop", paths: ["stop"], mayGo: false }),
  setting({ name: "prediction", paths: ["prediction"], mayGo: false }),
  setting({ name: "service_tier", paths: ["service_tier"], mayGo: false }),
  setting({ name: "prompt_cache_retention", paths: ["prompt_cache_retention"], mayGo: false }),
  setting({ name: "n", paths: ["n"], mayGo: false }),
  setting({ name: "parallel_tool_calls", paths: ["parallel_tool_calls"], mayGo: false }),
  setting({ name: "response_format", paths: ["response_format.type", "text.format.type"], mayGo: false })
]

/** Tools of a type that the model does not take. What brings tools out of sight (a stored prompt) is not looked for. */
const tools = (params: JsonObject, { tool_types: types }: ModelParameters): ReadonlyArray<Located> =>
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
const items = (params: JsonObject, { logprobs, reasoning, reasoning_effort: efforts }: ModelParameters) => {
  const found: Array<Located> = []
  for (const [at, value] of listOf(params["include"]).entries())
    if (
      (logprobs === false && value === "message.output_text.logprobs") ||
      (reasoning === false && value === "reasoning.encrypted_content")
    )
      found.push({ path: `include[${at}]`, value })
  if (reasoning !== false && efforts === undefined) return found
  for (const list of itemLists)
    for (const [at, item] of listOf(params[list]).entries()) {
      if (!isObject(item)) continue
      const effort = valueAt(item, ["reasoning", "effort"])
      if (
        (reasoning === false && (item["type"] === "reasoning" || valueAt(item, ["reasoning"]) !== null)) ||
        (effort !== null && (efforts === false || (efforts !== undefined && !efforts.includes(String(effort)))))
      )
        found.push({ path: `${list}[${at}]`, value: item })
    }
  return found
}

/** The value at the end of some steps; absent and inherited ones are `null`. */
const valueAt = (params: JsonObject, steps: ReadonlyArray<string>): Json => {
  let value: Json = params
  for (const key of steps) {
    if (!isObject(value) || !Object.hasOwn(value, key)) return null
    value = value[key] ?? null
  }
  return value
}

const listOf = (value: Json | undefined): ReadonlyArray<Json> => (isArray(value) ? value : [])
