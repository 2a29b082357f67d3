/**
 * Which tools a request brings, wherever they stand in it: one pure reading of chat completions and responses, for policy
 * and for downgrades. It knows the places, types and members of the `openai` package 7.59 (tests compare them with its types). A
 * place that it cannot read is reported as such, so that who bounds tools can refuse it: a member that those types do not
 * know and that speaks of tools, and whatever reads as the definition of a tool where none belongs.
 */
import { apiParameters, type Members } from "./ApiParameters.ts"
import { bringingItems, choiceWords, hostedTypes, itemLists, namedTypes, otherItems } from "./ToolTypes.ts"
import { isArray, isObject, type Json, type JsonObject } from "../base/Json.ts"

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

/** The tools of a request to an operation that takes tools. Linear in its size; the same params are read once. */
export const toolsOf = (params: JsonObject): RequestTools => {
  const known = kept.get(params)
  if (known !== undefined) return known
  const draft: Draft = { lists: [], tools: [], misshapen: [], unread: [] }
  for (const [member, read] of readers) if (Object.hasOwn(params, member)) read(at(params, member), draft)
  const request = { path: "", value: params }
  for (const name of Object.keys(params))
    if (name === "prompt") unread(below(request, name), draft)
    else if (!places.has(name) && !isScalar(params, name)) readMember(request, name, apiParameters, "request", draft)
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

/** The members of a request that are read as what they are, and as the members that they are known to be. */
const places: ReadonlySet<string> = new Set(["tools", "functions", "tool_choice", "function_call", ...itemLists])

/** What reads a member of a request, in the order in which tools are told. */
const readers: ReadonlyArray<readonly [member: string, read: (member: Located, draft: Draft) => void]> = [
  ["tools", (member, draft) => readList(member, draft)],
  ["functions", (member, draft) => readList(member, draft, "function")],
  ...impliedBy.map(
    ([member, type]) => [member, (found: Located, draft: Draft) => readImplied(found, type, draft)] as const
  ),
  ...itemLists.map((member) => [member, (found: Located, draft: Draft) => readItems(found, draft)] as const),
  ["tool_choice", (member, draft) => readChoice(member, draft)],
  ["function_call", (member, draft) => readChoice(member, draft, "function")]
]

/** A member of such a name that the API does not have may bring tools: servers have their own ways (`plugins`, `mcp_servers`). */
const soundsLikeTools = /tool|function|plugin|mcp/iu

/** Texts in messages of other servers that say which call they are about. */
const callReferences: ReadonlySet<string> = new Set(["tool_use_id", "tool_name"])

/** Types of parts that speak of tools: of items, of calls that were made, and of who may make one. */
const callTypes: ReadonlySet<string> = new Set([...bringingItems, ...otherItems, "tool_result", "tool_use"])

const at = (params: JsonObject, name: string): Located => below({ path: "", value: params }, name)

const below = ({ path, value }: Located, name: string): Located => ({
  path: path === "" ? name : `${path}.${name}`,
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
  const isGroup = below(element, "type").value === "namespace" && isArray(below(element, "tools").value)
  draft.tools.push(toolAt(element, isGroup ? "group" : "definition", implied))
  readInside(element, toolShape, "tool", draft)
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
  for (const [index, value] of items.value.entries()) {
    if (isPlainMessage(value)) continue
    const item = { path: `${items.path}[${index}]`, value }
    if (isArray(value)) draft.unread.push(item)
    if (!isObject(item.value)) continue
    const type = memberOf(item.value, "type") ?? "message"
    if (typeof type !== "string" || !(bringingItems.has(type) || otherItems.has(type)) || readsAsTool(item.value))
      draft.unread.push(item)
    const shape = typeof type === "string" && otherItems.has(type) && !messages.has(type) ? itemShape : messageShape
    readInside(item, shape, "item", draft)
  }
}

/** A message of texts alone, as most are, brings no tools. */
const isPlainMessage = (item: Json): boolean => {
  if (!isObject(item)) return false
  for (const name in item) if (typeof item[name] !== "string" || !plainMembers.has(name)) return false
  return true
}

const plainMembers: ReadonlySet<string> = new Set(["role", "content", "name"])

/** Types of items that are messages. */
const messages: ReadonlySet<string> = new Set(["message", "agent_message"])

// Which members the API has, and which of them are the customer's own (`open`): nothing is looked for in those.

const membersAt = (...path: ReadonlyArray<string>): Members =>
  path.reduce<Members>((shape, name) => {
    const inner = Object.hasOwn(shape, name) ? shape[name] : undefined
    return inner === undefined || inner === "open" ? {} : inner
  }, apiParameters)

const toolShape: Members = {
  ...membersAt("functions"),
  ...membersAt("input", "tools"),
  ...membersAt("tools"),
  filters: { ...membersAt("tools", "filters"), filters: membersAt("tools", "filters") }
}

const itemShape: Members = membersAt("input")

const messageShape: Members = {
  ...membersAt("messages"),
  content: { ...membersAt("input", "content"), ...membersAt("messages", "content") },
  // Some servers take the arguments of a call as the object that they are.
  function_call: { name: {}, arguments: "open" },
  tool_calls: {
    ...membersAt("messages", "tool_calls"),
    function: { name: {}, arguments: "open" },
    custom: { name: {}, input: "open" }
  }
}

const usedToolShape: Members = { input: "open" }

/** What an object is inside of. In an `item` there may be calls, which look like tools. */
type Inside = "request" | "tool" | "choice" | "item" | "call"

/** True for a parameter of the API that is no object and no list here: nothing is in it. */
const isScalar = (params: JsonObject, name: string): boolean =>
  typeof params[name] !== "object" && Object.hasOwn(apiParameters, name)

/** What brings tools below an object or a list, however deep. */
const readInside = (holder: Located, shape: Members, inside: Inside, draft: Draft): void => {
  if (isObject(holder.value))
    for (const name of Object.keys(holder.value)) readMember(holder, name, shape, inside, draft)
}

const readMember = (holder: Located, name: string, shape: Members, inside: Inside, draft: Draft): void => {
  const known = Object.hasOwn(shape, name) ? shape[name] : undefined
  const value = isObject(holder.value) ? memberOf(holder.value, name) : null
  if (value === null || known === "open" || (typeof value !== "object" && isNoTool(name, value, known))) return
  const member = { path: holder.path === "" ? name : `${holder.path}.${name}`, value }
  if (name === "tools")
    readBrought(member, below(holder, "type").value === "mcp_list_tools" ? "mcp" : undefined, inside, draft)
  else if (name === "functions") readBrought(member, "function", inside, draft)
  else if (known === undefined && speaksOfTools(name, value)) draft.unread.push(member)
  else if (isObject(value)) readObject(member, known ?? {}, known === undefined ? undefined : name, inside, draft)
  else if (isArray(value)) readElements(member, known ?? {}, known === undefined ? undefined : name, inside, draft)
}

/** True for a member that is no object and no list, and that brings no tools by its name. */
const isNoTool = (name: string, value: Json, known: unknown): boolean =>
  name !== "tools" && name !== "functions" && (known !== undefined || !speaksOfTools(name, value))

const readElements = (list: Located, shape: Members, name: string | undefined, inside: Inside, draft: Draft): void => {
  if (!isArray(list.value)) return
  // A list of a million texts needs no paths.
  const elements = list.value
  for (let index = 0; index < elements.length; index++) {
    const value = elements[index]
    if (typeof value !== "object" || value === null) continue
    const element = { path: `${list.path}[${index}]`, value }
    if (isObject(value)) readObject(element, shape, name, inside, draft)
    else readElements(element, shape, name, inside, draft)
  }
}

/** An object below a member that the API knows by `name`, or below one that it does not know. */
const readObject = (object: Located, shape: Members, name: string | undefined, inside: Inside, draft: Draft): void => {
  const isBody = name !== undefined && nested.includes(name)
  if ((inside === "tool" || inside === "choice") && isBody) readInside(object, shape, inside, draft)
  else if (inside === "item" && name !== undefined && calls.has(name)) readCall(object, shape, draft)
  else if (inside === "call" && isBody) readCall(object, shape, draft)
  else if (readsAsTool(object.value)) draft.unread.push(object)
  else if (inside === "item") readPart(object, shape, draft)
  else readInside(object, shape, inside, draft)
}

/** Members of a message that hold calls which were made. */
const calls: ReadonlySet<string> = new Set(["tool_calls", "function_call"])

/** A call has the name of a tool and arguments; with a schema it is a tool. */
const readCall = (call: Located, shape: Members, draft: Draft): void => {
  if (hasSchema(call.value)) draft.unread.push(call)
  else readInside(call, shape, "call", draft)
}

/**
 * A part of an item, however deep: some servers read the tools of a message, and an item as a part of it. Parts have many types
 * that bring none; one that speaks of tools and that nobody knows may bring some.
 */
const readPart = (part: Located, shape: Members, draft: Draft): void => {
  const type = below(part, "type").value
  if (typeof type === "string" && soundsLikeTools.test(type) && !callTypes.has(type)) draft.unread.push(part)
  readInside(part, type === "tool_use" ? { ...shape, ...usedToolShape } : shape, "item", draft)
}

/** `tools` and `functions` are read as such wherever they stand, known there or not. */
const readBrought = (list: Located, implied: string | undefined, inside: Inside, draft: Draft): void => {
  if (inside === "choice") readChoices(list, draft)
  else if (inside !== "tool") readList(list, draft, implied)
  else if (isArray(list.value)) for (const each of elementsOf(list)) readDefinition(each, draft, implied)
  else draft.misshapen.push(list)
}

/** Whether a member that the API does not have may bring tools, by its name. */
const speaksOfTools = (name: string, value: Json): boolean =>
  (soundsLikeTools.test(name) && !(callReferences.has(name) && typeof value === "string")) ||
  (name === "custom" && isObject(value) && memberOf(value, "name") !== null)

/** Whether a value is the type of a tool that openai names. */
const isToolType = (type: Json): boolean =>
  typeof type === "string" && (namedTypes.has(type) || hostedTypes.has(type) || type === "namespace")

/** Whether an object looks like the definition of a tool, in any spelling that servers have. */
const readsAsTool = (value: Json): boolean => {
  if (!isObject(value)) return false
  if (isToolType(memberOf(value, "type"))) return true
  return hasSchema(value) || nested.some((name) => isObject(memberOf(value, name)))
}

/** Whether an object has a schema of arguments: beside a name, or one that says what properties there are. */
const hasSchema = (value: Json): boolean =>
  isObject(value) &&
  schemas.some((name) => {
    const schema = memberOf(value, name)
    return (
      schema !== null && (memberOf(value, "name") !== null || (isObject(schema) && Object.hasOwn(schema, "properties")))
    )
  })

/** What servers call the schema of a tool's arguments. */
const schemas: ReadonlyArray<string> = ["parameters", "input_schema", "inputSchema"]

const readChoice = (choice: Located, draft: Draft, implied?: string): void => {
  const { value } = choice
  if (value === null || (typeof value === "string" && choiceWords.has(value))) return
  if (!isObject(value)) {
    draft.unread.push(choice)
    return
  }
  const isList = memberOf(value, "type") === "allowed_tools"
  if (!isList) draft.tools.push(toolAt(choice, "choice", implied))
  else if (below(choice, "tools").value === null && below(below(choice, "allowed_tools"), "tools").value === null)
    draft.unread.push(choice)
  readInside(choice, choiceShape, "choice", draft)
}

const choiceShape: Members = { ...toolShape, ...membersAt("tool_choice"), ...membersAt("function_call") }

/** Entries of a choice. A namespace by its name alone chooses tools that nobody sees; with tools inside, those. */
const readChoices = (list: Located, draft: Draft): void => {
  if (!isArray(list.value)) draft.misshapen.push(list)
  for (const each of elementsOf(list)) {
    const inner = below(each, "tools").value
    const isGroup = below(each, "type").value === "namespace" && isArray(inner) && inner.length > 0
    draft.tools.push(toolAt(each, isGroup ? "group" : "choice"))
    readInside(each, choiceShape, "choice", draft)
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
  const isKnown = types.every(({ value }) => isToolType(value))
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
