/**
 * Which tools a request brings, wherever they stand in it: one pure reading of chat completions and responses, for policy
 * and for downgrades. It knows the places and types of the `openai` package 7.59 (a test compares them with its types). A
 * place that it cannot read is reported as such, so that who bounds tools can refuse it.
 *
 * @since 0.2.0
 */
import type { Json, JsonObject } from "./CanonicalJson.ts"
import { isArray, isObject } from "./Json.ts"

/** A value of a request and the path that leads to it: `tools[0].function.name`. */
export interface Located {
  readonly path: string
  readonly value: Json
}

/**
 * A tool of a request.
 *
 * - `role`: `definition` makes a tool available; `group` is a namespace, whose own tools follow as definitions; `choice` is
 *   an entry of `tool_choice`, `allowed_tools` or `function_call`, which names a tool and defines none.
 * - `types`: its `type`, and the one that its place implies (`function` for an element of `functions`).
 * - `names`: what the model calls it by. Empty where nothing says so: for a tool that the provider runs, for a type that is
 *   not known, and for a function without a name.
 * - `decoys`: names that name no callable tool: a `name` on a hosted tool, a namespace's name, the tools of an MCP server.
 * - `misshapen`: members on the way to a name that are no object.
 */
export interface RequestTool extends Located {
  readonly role: "definition" | "group" | "choice"
  readonly types: ReadonlyArray<Located>
  readonly names: ReadonlyArray<Located>
  readonly decoys: ReadonlyArray<Located>
  readonly misshapen: ReadonlyArray<Located>
  readonly isKnown: boolean
}

/**
 * The tools of a request.
 *
 * - `lists`: the members that bring tools, each as a list: `tools`, `functions`, `input[2].tools`,
 *   `messages[0].content[1].tools`, `web_search_options`.
 * - `misshapen`: what stands in the place of such a list and is none.
 * - `unread`: what may bring tools that this module cannot see, such as a stored prompt.
 */
export interface RequestTools {
  readonly lists: ReadonlyArray<Located & { readonly value: ReadonlyArray<Json> }>
  readonly tools: ReadonlyArray<RequestTool>
  readonly misshapen: ReadonlyArray<Located>
  readonly unread: ReadonlyArray<Located>
}

/** Types of tools that are called by their own name. */
export const namedTypes: ReadonlySet<string> = new Set(["function", "custom"])

/** Types of tools that are called by their type, or that the provider runs; a `name` on one of them means nothing. */
export const hostedTypes: ReadonlySet<string> = new Set([
  "apply_patch",
  "code_interpreter",
  "computer",
  "computer_use",
  "computer_use_preview",
  "file_search",
  "image_generation",
  "local_shell",
  "mcp",
  "programmatic_tool_calling",
  "shell",
  "tool_search",
  "web_search",
  "web_search_2025_08_26",
  "web_search_preview",
  "web_search_preview_2025_03_11"
])

/** Types of input items that bring tools. */
export const bringingItems: ReadonlySet<string> = new Set(["additional_tools", "tool_search_output", "mcp_list_tools"])

/** Types of input items that bring none: messages, calls, what calls returned, and references. */
export const otherItems: ReadonlySet<string> = new Set([
  "agent_message",
  "apply_patch_call",
  "apply_patch_call_output",
  "code_interpreter_call",
  "compaction",
  "compaction_trigger",
  "computer_call",
  "computer_call_output",
  "configuration_update",
  "custom_tool_call",
  "custom_tool_call_output",
  "file_search_call",
  "function_call",
  "function_call_output",
  "image_generation_call",
  "item_reference",
  "local_shell_call",
  "local_shell_call_output",
  "mcp_approval_request",
  "mcp_approval_response",
  "mcp_call",
  "message",
  "multi_agent_call",
  "multi_agent_call_output",
  "program",
  "program_output",
  "reasoning",
  "shell_call",
  "shell_call_output",
  "tool_search_call",
  "web_search_call"
])

/** Texts that `tool_choice` and `function_call` may be; they choose how to call, and no tool. */
export const choiceWords: ReadonlySet<string> = new Set(["none", "auto", "required"])

/** The members of a request whose elements are messages and other items; a text in their place is one message. */
export const itemLists: ReadonlyArray<string> = ["input", "messages", "instructions"]

/** The tools of a request to an operation that takes tools. Linear in its size; the same params are read once. */
export const toolsOf = (params: JsonObject): RequestTools => {
  const known = kept.get(params)
  if (known !== undefined) return known
  const draft: Draft = { lists: [], tools: [], misshapen: [], unread: [] }
  readList(at(params, "tools"), draft)
  readList(at(params, "functions"), draft, "function")
  for (const [member, type] of impliedBy) readImplied(at(params, member), type, draft)
  for (const member of itemLists) readItems(at(params, member), draft)
  readChoice(at(params, "tool_choice"), draft)
  readChoice(at(params, "function_call"), draft, "function")
  for (const path of Object.keys(params))
    if (path === "prompt" || (soundsLikeTools.test(path) && !members.has(path))) unread(at(params, path), draft)
  kept.set(params, draft)
  return draft
}

/** True where a request makes a tool available to the model. */
export const bringsTools = (params: JsonObject): boolean =>
  toolsOf(params).lists.some(({ value }) => value.length > 0) || toolsOf(params).misshapen.length > 0

// ---------------------------------------------------------------------------------------------------------------------
// Internal
// ---------------------------------------------------------------------------------------------------------------------

const kept = new WeakMap<JsonObject, RequestTools>()

interface Draft extends RequestTools {
  readonly lists: Array<Located & { readonly value: ReadonlyArray<Json> }>
  readonly tools: Array<RequestTool>
  readonly misshapen: Array<Located>
  readonly unread: Array<Located>
}

/** Members that make one tool available by being there. */
const impliedBy: ReadonlyArray<readonly [member: string, type: string]> = [
  ["web_search_options", "web_search"],
  ["multi_agent", "multi_agent"]
]

/** Members of a request whose names speak of tools, and that are read here or bring none. */
const members: ReadonlySet<string> = new Set([
  "tools",
  "functions",
  "tool_choice",
  "function_call",
  "parallel_tool_calls",
  "max_tool_calls"
])

/** Any other member of such a name may bring tools: servers have their own ways (`plugins`, `mcp_servers`). */
const soundsLikeTools = /tool|function|plugin|mcp/iu

/** Types of parts that speak of tools: of items, of calls that were made, and of who may make one. */
const callTypes: ReadonlySet<string> = new Set([
  ...bringingItems,
  ...otherItems,
  ...namedTypes,
  "mcp",
  "tool_result",
  "tool_use"
])

const at = (holder: JsonObject, path: string): Located => ({ path, value: memberOf(holder, path) })

const below = ({ path, value }: Located, name: string): Located => ({
  path: `${path}.${name}`,
  value: isObject(value) ? memberOf(value, name) : null
})

/** A member of an object; absent and inherited ones are `null`. */
const memberOf = (holder: JsonObject, name: string): Json =>
  Object.hasOwn(holder, name) ? (holder[name] ?? null) : null

const elementsOf = ({ path, value }: Located): ReadonlyArray<Located> =>
  isArray(value) ? value.map((element, index) => ({ path: `${path}[${index}]`, value: element })) : []

const unread = (member: Located, draft: Draft): void => {
  if (member.value !== null) draft.unread.push(member)
}

/** A list of definitions; `implied` is the type that the place gives to its elements. */
const readList = ({ path, value }: Located, draft: Draft, implied?: string): void => {
  if (value === null) return
  if (!isArray(value)) {
    draft.misshapen.push({ path, value })
    return
  }
  draft.lists.push({ path, value })
  for (const element of elementsOf({ path, value })) readDefinition(element, draft, implied)
}

const readDefinition = (element: Located, draft: Draft, implied?: string): void => {
  const inner = below(element, "tools")
  const own = below(element, "type").value
  const isGroup = own === "namespace" && isArray(inner.value)
  draft.tools.push(toolAt(element, isGroup ? "group" : "definition", implied))
  if (isArray(inner.value)) for (const each of elementsOf(inner)) readDefinition(each, draft)
  else if (inner.value !== null) draft.misshapen.push(inner)
}

const readImplied = ({ path, value }: Located, type: string, draft: Draft): void => {
  if (value === null) return
  draft.lists.push({ path, value: [value] })
  draft.tools.push({
    path,
    value,
    role: "definition",
    types: [{ path: `${path}.type`, value: type }],
    names: [],
    decoys: [],
    misshapen: [],
    isKnown: true
  })
}

const readItems = (items: Located, draft: Draft): void => {
  if (items.value === null || typeof items.value === "string") return
  if (!isArray(items.value)) {
    draft.unread.push(items)
    return
  }
  for (const item of elementsOf(items)) {
    if (isArray(item.value)) draft.unread.push(item)
    if (!isObject(item.value)) continue
    const type = memberOf(item.value, "type")
    if (type !== null && !(typeof type === "string" && (bringingItems.has(type) || otherItems.has(type))))
      draft.unread.push(item)
    readInside(item, draft)
  }
}

/**
 * What an item or a part of one brings, however deep: some servers read the tools of a message, and an item as a part of it.
 * Parts have many types that bring none; one that speaks of tools and that nobody knows may bring some.
 */
const readInside = (holder: Located, draft: Draft): void => {
  const { value } = holder
  if (isArray(value)) for (const part of elementsOf(holder)) readPart(part, draft)
  if (!isObject(value)) return
  readList(below(holder, "tools"), draft, memberOf(value, "type") === "mcp_list_tools" ? "mcp" : undefined)
  readList(below(holder, "functions"), draft, "function")
  for (const name of Object.keys(value))
    if (name !== "tools" && name !== "functions") readPart(below(holder, name), draft)
}

const readPart = (part: Located, draft: Draft): void => {
  const type = isObject(part.value) ? memberOf(part.value, "type") : null
  if (typeof type === "string" && soundsLikeTools.test(type) && !callTypes.has(type)) draft.unread.push(part)
  readInside(part, draft)
}

const readChoice = (choice: Located, draft: Draft, implied?: string): void => {
  const { value } = choice
  if (value === null || (typeof value === "string" && choiceWords.has(value))) return
  if (!isObject(value)) {
    draft.unread.push(choice)
    return
  }
  const lists = [below(choice, "tools"), below(below(choice, "allowed_tools"), "tools")].filter(
    (list) => list.value !== null
  )
  if (memberOf(value, "type") !== "allowed_tools") draft.tools.push(toolAt(choice, "choice", implied))
  else if (lists.length === 0) draft.unread.push(choice)
  for (const list of lists) {
    if (!isArray(list.value)) draft.misshapen.push(list)
    for (const each of elementsOf(list))
      draft.tools.push(toolAt(each, below(each, "type").value === "namespace" ? "group" : "choice"))
  }
}

/** The ways to spell a tool's name: of chat completions, of responses, and of legacy functions. */
const nested = ["function", "custom"]

const toolAt = (element: Located, role: RequestTool["role"], implied?: string): RequestTool => {
  const own = below(element, "type")
  const types = [
    ...(implied === undefined ? [] : [{ path: own.path, value: implied }]),
    ...(own.value === null || own.value === implied ? [] : [own])
  ]
  const holders = nested.map((name) => below(element, name)).filter(({ value }) => value !== null)
  const given = [...holders.filter(({ value }) => isObject(value)), element]
    .map((holder) => below(holder, "name"))
    .filter(({ value }) => value !== null)
  // A tool of two types, or of a type that is not known, may be called by any name.
  const isNamed = types.every(({ value }) => typeof value === "string" && namedTypes.has(value))
  const isKnown = types.every(
    ({ value }) =>
      typeof value === "string" && (namedTypes.has(value) || hostedTypes.has(value) || value === "namespace")
  )
  const isMember = isObject(element.value)
  return {
    ...element,
    role,
    types,
    names: isNamed ? given : [],
    decoys: isNamed ? [] : [...given, ...allowedNames(element)],
    misshapen: isMember ? holders.filter(({ value }) => !isObject(value)) : element.value === null ? [] : [element],
    isKnown: isKnown && isMember
  }
}

/** The tools of an MCP server that a definition asks for by name. */
const allowedNames = (element: Located): ReadonlyArray<Located> => {
  const list = below(element, "allowed_tools")
  return [list, below(list, "tool_names")].flatMap(elementsOf)
}
