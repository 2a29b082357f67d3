/**
 * What a parameter's name reaches in a request: dotted paths, `[]` for every element, and every spelling of the same thing
 * (mapl §3).
 */
import { LRUCache } from "lru-cache"
import { isArray, isObject, type Json, type JsonObject } from "../base/Json.ts"
import { type Operation, outputTokenCaps, spellingsOf } from "../call/Operation.ts"
import { type Located, type RequestTool, type RequestTools, toolsOf } from "../call/RequestTools.ts"
import type { RequestText } from "./RequestTexts.ts"

/**
 * A parameter that a policy names. `name` is the policy's spelling; parameters with the same `canonical` are one thing.
 * `members` are the members of the request that it is, where it reaches no deeper.
 */
export interface Parameter {
  readonly name: string
  readonly canonical: string
  readonly places: ReadonlyArray<Place>
  readonly members: ReadonlyArray<string> | undefined
  /** Reads it where it is about the tools of a request, which stand in many places. */
  readonly inTools?: (tools: RequestTools, params: JsonObject) => ReadValues
  /** Of the messages, the input or the prompt of a generation: what leads on from one message. */
  readonly inMessage: Path | undefined
  /** True for the cap on output tokens of an operation that takes one. */
  readonly isCap: boolean
  /** True for the model of an operation. */
  readonly isModel: boolean
  /**
   * The arrays that a list of allowed values can hold for, element by element: of an operation those that have elements, and none
   * where the API takes one text (a model, a tool's name); of a registered tool any.
   */
  readonly arrays: "any" | "filled" | "none"
}

/** A value in a request. `parts`: what it is made of, where it is several values that count as one. */
export interface FoundValue extends Located {
  readonly parts?: ReadonlyArray<Located>
}

/**
 * Everything that a parameter reaches: the values that are there, the elements of an array that lack the field, and the
 * values that stand where another shape should.
 */
export interface ReadValues {
  readonly found: ReadonlyArray<FoundValue>
  readonly lacking: ReadonlyArray<FoundValue>
  readonly misshapen: ReadonlyArray<FoundValue & { readonly expected: "array" | "object" }>
  /** What may bring tools that cannot be seen: it is refused where tools are bounded. */
  readonly unread?: ReadonlyArray<FoundValue>
  /** What a denied value is looked for in, beside `found`: names that name no tool. */
  readonly decoys?: ReadonlyArray<FoundValue>
}

/** How many parameters are kept for each operation; documents name the same ones. */
const maximumKept = 1024

const kept = new Map<Operation | undefined, LRUCache<string, Parameter>>()

/** The parameter that `name` means for an operation (none for a registered tool). */
export const parameter = (name: string, operation: Operation | undefined): Parameter => {
  const known = kept.get(operation) ?? new LRUCache<string, Parameter>({ max: maximumKept })
  kept.set(operation, known)
  const found = known.get(name)
  if (found !== undefined) return found
  const made = make(name, operation)
  known.set(name, made)
  return made
}

const make = (name: string, operation: Operation | undefined): Parameter => {
  const inTools = operation?.name === "generate" ? toolParameter(name) : undefined
  if (inTools !== undefined)
    return {
      name,
      places: [],
      members: undefined,
      inMessage: undefined,
      isCap: false,
      isModel: false,
      arrays: arraysOf(inTools.canonical, operation),
      ...inTools
    }
  const names = spellingsOf(name, operation?.name)
  const fields = new Map<string, Array<Path>>()
  for (const spelling of names) {
    const holder = /^.*\[\]\??/u.exec(spelling)?.[0] ?? ""
    // Spellings below the same array are alternatives: an element lacks the field only where it has none of them.
    fields.set(holder, [...(fields.get(holder) ?? []), steps(spelling.slice(holder.length))])
  }
  const canonical = names[0] ?? name
  return {
    name,
    canonical,
    inMessage: inMessageOf(name, operation),
    isModel: canonical === "model" && operation !== undefined,
    arrays: arraysOf(canonical, operation),
    isCap: canonical === outputTokenCaps[0] && isCapped(operation),
    places: [...fields].map(([holder, below]) => ({
      holder: steps(holder.replace("?", "")),
      isOptional: holder.endsWith("?"),
      fields: below
    })),
    members: names.every(isMember) ? names : undefined
  }
}

/**
 * What a parameter of messages reaches in a text that the model reads as it reads a message: the text itself, or what leads
 * there from a message with that content. None for any other parameter.
 */
export const readText = ({ inMessage }: Parameter, { role, text }: RequestText): ReadonlyArray<Json> => {
  if (inMessage === undefined) return []
  if (inMessage.length === 0) return [text]
  const draft: Draft = { found: [], lacking: [], misshapen: [] }
  const said = role === undefined ? {} : { role }
  for (const content of [text, [{ text }]]) reach({ ...said, content }, inMessage, 0, "", draft)
  return [...new Set(draft.found.map(({ value }) => value))]
}

/** Whether an operation takes a cap on output tokens, at one of its endpoints. */
export const isCapped = (operation: Operation | undefined): boolean =>
  operation?.endpoints.some(({ caps }) => caps.length > 0) ?? false

const arraysOf = (canonical: string, operation: Operation | undefined): Parameter["arrays"] =>
  operation === undefined ? "any" : texts.has(canonical) ? "none" : "filled"

/** Where the API takes one text. */
const texts: ReadonlySet<string> = new Set([
  "model",
  "tools[].function.name",
  "tools[].type",
  "tool_choice.function.name"
])

/** Reads a parameter's values. `null` counts as absent. */
export const read = ({ inTools, places }: Parameter, params: JsonObject): ReadValues => {
  if (inTools !== undefined) return inTools(toolsOf(params), params)
  const reading: Draft = { found: [], lacking: [], misshapen: [] }
  for (const { fields, holder, isOptional } of places) {
    if (holder.length === 0) for (const field of fields) reach(params, field, 0, "", reading)
    else if (isOptional) readOptional(holder, fields, params, reading)
    else {
      const elements: Draft = { found: [], lacking: [], misshapen: reading.misshapen }
      reach(params, holder, 0, "", elements)
      reading.lacking.push(...elements.lacking)
      for (const element of elements.found) {
        const before = reading.found.length + reading.misshapen.length
        for (const field of fields) reach(element.value, field, 0, element.path, reading)
        if (reading.found.length + reading.misshapen.length === before) reading.lacking.push(element)
      }
    }
  }
  return reading
}

/** Of the elements that are objects what some of them have; a text in the place of the array has none. */
const readOptional = (holder: Path, fields: ReadonlyArray<Path>, params: JsonObject, reading: Draft): void => {
  const elements: Draft = { found: [], lacking: [], misshapen: [] }
  reach(params, holder, 0, "", elements)
  for (const { path, value } of elements.found)
    if (isObject(value)) for (const field of fields) reach(value, field, 0, path, reading)
  for (const one of elements.misshapen) if (isObject(one.value)) reading.misshapen.push(one)
}

/** A member of an object; what it inherits is none. */
export const valueAt = (params: JsonObject, name: string): Json | undefined =>
  Object.hasOwn(params, name) ? params[name] : undefined

// ---------------------------------------------------------------------------------------------------------------------
// Internal
// ---------------------------------------------------------------------------------------------------------------------

const each: unique symbol = Symbol("[]")
type Path = ReadonlyArray<string | typeof each>

interface Place {
  /** Leads to the elements of an array; empty where the fields start at the top. */
  readonly holder: Path
  /** True where elements need not have the fields. */
  readonly isOptional: boolean
  readonly fields: ReadonlyArray<Path>
}

interface Draft {
  readonly found: Array<FoundValue>
  readonly lacking: Array<FoundValue>
  readonly misshapen: Array<FoundValue & { readonly expected: "array" | "object" }>
}

const inMessageOf = (name: string, operation: Operation | undefined): Path | undefined => {
  if (operation?.name !== "generate" && operation?.name !== "complete") return undefined
  const [, rest] = /^(?:messages|input|prompt)(?:\[\])?((?:[.[].*)?)$/u.exec(name) ?? []
  return rest === undefined ? undefined : steps(rest)
}

const isMember = (name: string): boolean => name !== "" && !/[.[\]]/u.test(name)

const steps = (path: string): Path =>
  path
    .split(".")
    .filter((part) => part !== "")
    .flatMap((part) => {
      const [key = "", ...rest] = part.split("[]")
      return [...(key === "" ? [] : [key]), ...rest.map((): typeof each => each)]
    })

const reach = (value: Json | undefined, path: Path, at: number, where: string, draft: Draft): void => {
  if (value === undefined || value === null) {
    if (path[at - 1] === each) draft.lacking.push({ path: where, value: null })
    return
  }
  const step = path[at]
  if (step === undefined) draft.found.push({ path: where, value })
  else if (step === each)
    if (isArray(value)) value.forEach((element, index) => reach(element, path, at + 1, `${where}[${index}]`, draft))
    else draft.misshapen.push({ path: where, value, expected: "array" })
  else if (typeof value !== "object" || isArray(value)) draft.misshapen.push({ path: where, value, expected: "object" })
  else reach(valueAt(value, step), path, at + 1, where === "" ? step : `${where}.${step}`, draft)
}

// ---------------------------------------------------------------------------------------------------------------------
// Tools
// ---------------------------------------------------------------------------------------------------------------------

/** What a parameter about tools means, under one name for all its spellings; `undefined` for any other parameter. */
const toolParameter = (name: string): Pick<Parameter, "canonical" | "inTools"> | undefined => {
  if (name === "tools" || name === "functions") return { canonical: "tools", inTools: readLists }
  const [, choice, deeper] = /^(tool_choice|function_call)(?:\.(.+))?$/u.exec(name) ?? []
  if (choice !== undefined) return choiceParameter(deeper)
  const [, list, field = ""] = /^(tools|functions)\[\](.*)$/u.exec(name) ?? []
  if (list === undefined) return undefined
  const [, spelling = list === "functions" ? "function" : undefined, own = ""] =
    /^(?:\.(function|custom)(?=[.[]|$))?\.?(.*)$/u.exec(field) ?? []
  if (own === "name") return { canonical: "tools[].function.name", inTools: readNames }
  if (own === "type" && (spelling === undefined || list === "functions"))
    return { canonical: "tools[].type", inTools: readTypes }
  if (own === "" && spelling !== undefined && list === "tools")
    return { canonical: `tools[].${spelling}`, inTools: readFields([[spelling]], spelling) }
  const isSpelled = spelling !== undefined || /^(?:name|description|parameters|strict|format)(?=[.[]|$)/u.test(own)
  const paths = isSpelled && own !== "" ? [`function.${own}`, `custom.${own}`, own] : [own]
  const prefix = own === "" || own.startsWith("[") ? "tools[]" : isSpelled ? "tools[].function." : "tools[]."
  return { canonical: prefix + own, inTools: readFields(paths.map(steps)) }
}

/** `tools` as a whole: every list that brings some. Several count as one list, so that a bound on its length holds. */
const readLists = ({ lists, misshapen, tools, unread }: RequestTools): ReadValues => {
  const [first, ...others] = lists
  const joined =
    first && (others.length === 0 ? first : { ...first, value: lists.flatMap(({ value }) => value), parts: lists })
  const decoys = tools.filter(({ role }) => role !== "choice").flatMap(({ types }) => types)
  return {
    found: joined === undefined ? misshapen : [joined, ...misshapen],
    lacking: [],
    misshapen: [],
    unread,
    decoys
  }
}

const readNames = (request: RequestTools): ReadValues => {
  const { tools, unread } = request
  return {
    found: tools.flatMap(({ names }) => names),
    lacking: tools.filter((tool) => tool.role !== "group" && tool.names.length + tool.misshapen.length === 0),
    misshapen: shapes(request, tools),
    unread: [...unread, ...unknown(tools)],
    decoys: tools.flatMap(({ decoys }) => decoys)
  }
}

const readTypes = (request: RequestTools): ReadValues => ({
  found: request.tools.flatMap(({ types }) => types),
  lacking: request.tools.filter(({ types, value }) => types.length === 0 && (value === null || isObject(value))),
  misshapen: shapes(request, request.tools),
  unread: request.unread
})

/**
 * A field of every definition, under one of these paths. With `spelling`, the definition as a whole: of a chat completion it
 * is that member, of a response it is the element itself.
 */
const readFields =
  (fields: ReadonlyArray<Path>, spelling?: string) =>
  (request: RequestTools): ReadValues => {
    const draft: Draft = { found: [], lacking: [], misshapen: [] }
    const definitions = request.tools.filter(({ role }) => role !== "choice")
    draft.misshapen.push(...shapes(request, []))
    for (const tool of definitions) {
      const before = draft.found.length + draft.misshapen.length
      if (tool.value === null) draft.lacking.push(tool)
      else for (const field of fields) reach(tool.value, field, 0, tool.path, draft)
      if (draft.found.length + draft.misshapen.length > before || tool.value === null) continue
      if (tool.types.some(({ value }) => value === spelling)) draft.found.push(tool)
      else if (tool.role === "definition") draft.lacking.push(tool)
    }
    return { ...draft, unread: [...request.unread, ...unknown(definitions)] }
  }

/** Tools of a type that is not known: nothing can be said of their names and fields. */
const unknown = (tools: ReadonlyArray<RequestTool>): ReadonlyArray<FoundValue> =>
  tools.filter(({ isKnown, misshapen, value }) => !isKnown && misshapen.length === 0 && value !== null)

const choiceParameter = (deeper: string | undefined): Pick<Parameter, "canonical" | "inTools"> => {
  const members = ["tool_choice", "function_call"]
  const isName = deeper !== undefined && /^(?:(?:function|custom)\.)?name$/u.test(deeper)
  const paths = members.map((member) => steps(deeper === undefined ? member : `${member}.${deeper}`))
  return {
    canonical: isName ? "tool_choice.function.name" : ["tool_choice", deeper].filter(Boolean).join("."),
    inTools: (request, params) => {
      const draft: Draft = { found: [], lacking: [], misshapen: [] }
      const stored = request.unread.filter(({ path }) => path === "prompt")
      if (!isName) {
        for (const path of paths) reach(params, path, 0, "", draft)
        return { ...draft, unread: stored }
      }
      const choices = request.tools.filter(({ role }) => role === "choice")
      for (const member of members) {
        const value = valueAt(params, member) ?? null
        if (value !== null && !isObject(value)) draft.misshapen.push({ path: member, value, expected: "object" })
      }
      return { ...readNames({ ...request, tools: choices, misshapen: [], unread: stored }), misshapen: draft.misshapen }
    }
  }
}

/** What stands where a list of tools should, or an object on the way to a name. */
const shapes = (request: RequestTools, tools: ReadonlyArray<RequestTool>): Draft["misshapen"] => [
  ...request.misshapen.map((each: Located) => ({ ...each, expected: "array" as const })),
  ...tools.flatMap(({ misshapen }) => misshapen.map((each) => ({ ...each, expected: "object" as const })))
]
