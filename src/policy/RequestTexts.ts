/**
 * The texts of a request that a model reads besides its messages (mapl §3): what is denied in messages, or must match a
 * pattern there, holds for these too. Bounds on shape and length see messages only.
 */
import { isArray, isObject, type Json, type JsonObject } from "../base/Json.ts"
import { itemLists } from "../call/ToolTypes.ts"
import { toolsOf } from "../call/RequestTools.ts"

/**
 * A text and where it stands.
 *
 * - `prose`: written for the model, as a message is. `role` is the one that the API gives it.
 * - `name`: a name or a keyword of a tool or a schema, which a pattern for prose cannot be asked of.
 * - `joined`: the text parts of one message, as the model reads them.
 */
export interface RequestText {
  readonly path: string
  readonly text: string
  readonly kind: "prose" | "name" | "joined"
  readonly role?: string
}

/**
 * The texts of a request: instructions, the variables of a stored prompt, a prediction, the suffix of a completion, what
 * tools and schemas say, wherever they stand, and the parts of each message joined. Read once for the same params.
 */
export const textsOf = (params: JsonObject): ReadonlyArray<RequestText> => {
  const kept = read.get(params)
  if (kept !== undefined) return kept
  const texts: Array<RequestText> = []
  const { functions, instructions, prediction, prompt, response_format, suffix, text, tools } = params
  prose(instructions, "instructions", texts, "developer")
  const variables = isObject(prompt) && isObject(prompt["variables"]) ? prompt["variables"] : {}
  // Their names are the customer's, `type` among them.
  for (const [name, value] of Object.entries(variables)) prose(value, `prompt.variables.${name}`, texts)
  prose(prediction, "prediction", texts)
  prose(suffix, "suffix", texts)
  schema(tools, "tools", "tools", texts)
  schema(functions, "functions", "functions", texts)
  schema(response_format, "response_format", "response_format", texts)
  if (isObject(text)) schema(text["format"], "text.format", "format", texts)
  // Items bring tools and formats as well.
  const { lists, misshapen } = toolsOf(params)
  for (const { path, value } of [...lists, ...misshapen])
    if (/\.(?:tools|functions)$/u.test(path)) schema(value, path, "tools", texts)
  for (const list of itemLists)
    for (const [at, item] of itemsOf(params[list]).entries())
      if (isObject(item) && isObject(item["text"]))
        schema(item["text"]["format"], `${list}[${at}].text.format`, "format", texts)
  for (const list of itemLists) join(params[list], list, texts)
  for (const [name, value] of Object.entries(variables)) join(value, `prompt.variables.${name}`, texts)
  join(prediction, "prediction", texts)
  read.set(params, texts)
  return texts
}

const read = new WeakMap<JsonObject, ReadonlyArray<RequestText>>()

/** Every string, but for what the API calls its parts. */
const prose = (value: Json | undefined, path: string, texts: Array<RequestText>, role?: string): void => {
  if (typeof value === "string") texts.push({ path, text: value, kind: "prose", ...(role !== undefined && { role }) })
  else if (isArray(value)) for (const [at, one] of value.entries()) prose(one, `${path}[${at}]`, texts, role)
  else if (isObject(value))
    for (const [key, one] of Object.entries(value)) if (!labels.has(key)) prose(one, `${path}.${key}`, texts, role)
}

const labels: ReadonlySet<string> = new Set(["type", "role", "id"])

/** Every string of tools and schemas, and the names of properties; `key` is the one that leads to `value`. */
const schema = (value: Json | undefined, path: string, key: string, texts: Array<RequestText>): void => {
  if (typeof value === "string") {
    if (key !== "type") texts.push({ path, text: value, kind: said.has(key) ? "prose" : "name" })
  } else if (isArray(value)) for (const [at, one] of value.entries()) schema(one, `${path}[${at}]`, key, texts)
  else if (isObject(value))
    for (const [name, one] of Object.entries(value)) {
      if (naming.has(key)) texts.push({ path, text: name, kind: "name" })
      schema(one, `${path}.${name}`, name, texts)
    }
}

/** Members of tools and of JSON Schema that say something in words. */
const said: ReadonlySet<string> = new Set([
  "$comment",
  "const",
  "default",
  "definition",
  "description",
  "enum",
  "examples",
  "server_description",
  "title"
])

/** Members whose own members have names that their author chose. */
const naming: ReadonlySet<string> = new Set(["properties", "patternProperties", "$defs", "definitions"])

const itemsOf = (value: Json | undefined): ReadonlyArray<Json> => (isArray(value) ? value : [])

/** The parts of a message joined, where there are several. What tools and schemas list are no parts. */
const join = (value: Json | undefined, path: string, texts: Array<RequestText>): void => {
  if (isArray(value)) {
    const parts = value.map(partOf).filter((part) => part !== undefined)
    if (parts.length > 1) texts.push({ path, text: parts.join(""), kind: "joined" })
    for (const [at, one] of value.entries()) join(one, `${path}[${at}]`, texts)
  } else if (isObject(value))
    for (const [key, one] of Object.entries(value)) if (!listing.has(key)) join(one, `${path}.${key}`, texts)
}

const listing: ReadonlySet<string> = new Set(["tools", "functions", "format"])

const partOf = (part: Json): string | undefined => {
  if (typeof part === "string") return part
  if (!isObject(part)) return undefined
  const text = part["text"] ?? part["refusal"]
  return typeof text === "string" ? text : undefined
}
