/**
 * The tools that a model asks its caller to run: in a chat completion, in a response, and put together from the chunks of
 * a stream. The log, the output gates, the tool runners and `secure-openai/ai` all read them here, so that they agree.
 *
 * Servers differ in how they stream a call. A name may be repeated in each delta, several calls may share an index and
 * differ by id, and the index may be missing. The SDK merges by index and takes the last name; {@link ToolCallDeltas}
 * separates calls by id, and {@link GrowingToolCall.merged} gives the SDK's reading where that is another call.
 */
import * as Result from "effect/Result"
import { parseStrictObject } from "../base/CanonicalJson.ts"
import type { JsonObject } from "../base/Json.ts"
import { choicesOf, type Fields, indexKey, isFields, itemsOf, memberOf, textOf } from "./Fields.ts"

/** A tool that a model asked for. */
export interface ToolCall {
  /** By which the result is sent back (`id`, or `call_id` of a response's item); undefined where there is none. */
  readonly id: string | undefined
  /** The tool's name; that of the item's type where a call has none (`local_shell` of a `local_shell_call`). */
  readonly name: string
  /** The arguments as the model wrote them: JSON text, or the input of a custom tool. */
  readonly text: string
  /** The arguments, of a custom tool `{ input }`; undefined where they are no JSON object, or one that parsers read differently. */
  readonly args: JsonObject | undefined
  /** True for a tool that takes a text and no JSON: a custom tool, or a program. */
  readonly isText: boolean
  /** Where it stands in the answer: `choices[0].message.tool_calls[1]`, `output[2]`. */
  readonly path: string
  /** Why it is not one call (two names, no list of calls); nobody can know what its reader would run. */
  readonly fault?: string
}

/**
 * The one rule for a tool's arguments: missing, null and `""` are `{}`; a text is parsed strictly, and an object that a server
 * sends in place of its text counts as that text.
 */
export const argumentsOf = (given: unknown): Pick<ToolCall, "text" | "args"> => {
  if (given === undefined || given === null || given === "") return { text: "", args: {} }
  const text = typeof given === "string" ? given : JSON.stringify(given)
  const parsed = parseStrictObject(text)
  return { text, args: Result.isSuccess(parsed) ? parsed.success : undefined }
}

/** The input of a custom tool, as its arguments. */
const inputOf = (given: unknown): Pick<ToolCall, "text" | "args"> => {
  const text =
    typeof given === "string" || given === undefined || given === null ? textOf(given) : JSON.stringify(given)
  return { text, args: { input: text } }
}

/**
 * The tools that a whole answer asks for: of every choice of a chat completion, of a response's output, and of whatever else in
 * it reads as a call.
 */
export const toolCallsOf = (answer: unknown): ReadonlyArray<ToolCall> => {
  const found = new Found()
  itemsOf(memberOf(answer, "choices")).forEach((choice, i) =>
    found.message(memberOf(choice, "message"), `choices[${i}].message`)
  )
  found.response(answer)
  return found.all(answer, "answer")
}

/** The tools that a chunk of a chat completion asks for beside those that grow with its deltas. */
export const chunkToolCallsOf = (chunk: unknown): ReadonlyArray<ToolCall> => {
  const found = new Found()
  for (const choice of choicesOf(memberOf(chunk, "choices"))) {
    const index = memberOf(choice, "index")
    found.skip(memberOf(choice, "delta"), isToolPiece)
    found.message(memberOf(choice, "message"), `choices[${typeof index === "number" ? index : 0}].message`)
  }
  return found.all(chunk, "chunk")
}

/**
 * The tools that an event of a response asks for, beside an item that only begins: by its own `name` and arguments, by the
 * items that it holds whatever its type is, by a response.
 */
export const eventToolCallsOf = (event: Fields): ReadonlyArray<ToolCall> => {
  const found = new Found()
  const { arguments: args, call_id: call, input, item, item_id: id, name, output_index: index, response } = event
  const type = textOf(event["type"])
  const path = outputPath(index)
  const isHosted = hosted.has(/^response\.(\w+_call)/.exec(type)?.[1] ?? "")
  if (isHosted) found.read(event)
  else if (typeof name === "string" && name !== "" && !(isNothing(args) && isNothing(input))) {
    found.read(event)
    const kind = isNothing(args) ? "custom_tool_call" : "function_call"
    found.calls.push(...itemToolCalls({ type: kind, id, call_id: call, name, arguments: args, input }, path))
  }
  if (type === "response.output_item.added" && isToolItem(item)) found.read(item)
  else for (const one of Array.isArray(item) ? item : [item]) found.item(one, path)
  found.response(response)
  return found.all(event, "event")
}

/** Where an item of a response stands. */
export const outputPath = (index: unknown): string => (typeof index === "number" ? `output[${index}]` : "output")

/** What a response repeats of its request, which asks for nothing. */
const requested = "instructions input tools tool_choice metadata prompt prompt_cache_options text reasoning".split(" ")

/** Members of a call that are its arguments, whatever stands in them. */
const argumentNames: ReadonlySet<string> = new Set("arguments input args action actions operation".split(" "))

/** Members of a call that hold its name and its arguments. */
const callHolders: ReadonlySet<string> = new Set("function custom functionCall toolUse".split(" "))

/** The tools that are found in a value: where the API has them, and then wherever else something reads as a call. */
class Found {
  readonly calls: Array<ToolCall> = []
  /** Calls that were read, or are read by somebody else. */
  readonly #read = new Set<unknown>()
  /** What holds the name and the arguments of one. */
  readonly #halves = new Set<unknown>()
  /** What the request says. */
  readonly #repeated = new Set<unknown>()

  message(message: unknown, path: string): void {
    this.calls.push(...messageToolCalls(message, path))
    this.skip(message, isToolPart)
  }

  /** Leaves out what a message or a delta has in the places that the API has for calls. */
  skip(message: unknown, isTool: (part: unknown) => boolean): void {
    const { content, function_call: legacy, tool_calls: calls } = isFields(message) ? message : ({} as Fields)
    for (const call of [calls, legacy, ...itemsOf(calls)]) this.read(call)
    for (const part of Array.isArray(content) ? content : [content]) if (isTool(part)) this.read(part)
  }

  /** Takes in that a call is read elsewhere. */
  read(call: unknown): void {
    if (typeof call === "object" && call !== null) this.#read.add(call)
  }

  item(item: unknown, path: string): void {
    this.calls.push(...itemToolCalls(item, path))
    if (isToolItem(item)) this.read(item)
    else this.skip({ content: memberOf(item, "content") }, isToolPart)
  }

  response(response: unknown): void {
    if (!isFields(response)) return
    const { object, output } = response
    if (!Array.isArray(output) && object !== "response") return
    itemsOf(output).forEach((item, i) => this.item(item, `output[${i}]`))
    for (const name of requested) this.#repeated.add(response[name])
  }

  /** All of them, once the rest of `root` was looked through. Nobody can tell what runs a call that stands in an odd place. */
  all(root: unknown, path: string): ReadonlyArray<ToolCall> {
    const waiting: Array<readonly [unknown, string]> = [[root, path]]
    for (const [value, where] of waiting) {
      if (Array.isArray(value)) {
        for (const item of value) if (typeof item === "object" && item !== null) waiting.push([item, where])
        continue
      }
      if (!isFields(value)) continue
      const own = this.#read.has(value) ? [] : readAsCall(value, where)
      this.#odd(own)
      const isCall = own.length > 0 || this.#read.has(value)
      for (const name in value) {
        const member = value[name]
        const isObject = typeof member === "object" && member !== null
        if (!isObject && typeof member !== "string") continue
        if (isObject && this.#repeated.has(member)) continue
        if (isCall && argumentNames.has(name)) continue
        if (isCall && callHolders.has(name) && !this.#halves.has(value) && isObject) {
          this.read(member)
          this.#halves.add(member)
        }
        if (isCallName(name) && !this.#read.has(member)) {
          const held = callsIn(name, member, placeOf(where, name))
          this.#odd(held)
          for (const one of held.length === 0 ? [] : [member, ...itemsOf(member)]) this.read(one)
        }
        if (isObject) waiting.push([member, placeOf(where, name)])
      }
    }
    return this.calls
  }

  #odd(calls: ReadonlyArray<ToolCall>): void {
    for (const call of calls) this.calls.push({ fault: "it stands where the API has no tools", ...call })
  }
}

/** A member's place as it may be told: that of what holds it, where its name may be content. */
const placeOf = (path: string, name: string): string =>
  /^[a-z_][a-z0-9_]{0,40}$/i.test(name) ? `${path}.${name}` : path

/** Names under which readers look for calls: `tool_calls`, `toolCall`, `function_call`, `functionCalls`, `toolUse`, … */
const isCallName = (name: string): boolean =>
  name.length >= 7 && name.length <= 14 && /^(?:tool|function)[_-]?(?:calls?|uses?)$/i.test(name)

/** The calls in a member of such a name. Counts and settings have that name too: only those of the API need name no tool. */
const callsIn = (name: string, value: unknown, path: string): ReadonlyArray<ToolCall> => {
  const isApi = name === "tool_calls" || name === "function_call"
  return (Array.isArray(value) ? value : [value])
    .filter((call) => !isNothing(call) && call !== "" && (isApi || namesTool(call)))
    .map((call) => toolCallOf(isFields(call) ? callOfPart(call) : call, path))
}

const namesTool = (call: unknown): boolean =>
  [call, memberOf(call, "function"), memberOf(call, "custom")].some(
    (one) => textOf(memberOf(one, "name")) !== "" || textOf(memberOf(one, "toolName")) !== ""
  )

/** The calls that an object is by itself: by its type, or as a name with arguments. A `program` is also a caller's type. */
const readAsCall = (value: Fields, path: string): ReadonlyArray<ToolCall> => {
  const { arguments: args, custom, function: f, name } = value
  const type = textOf(value["type"])
  const isCall = isFields(f) || isFields(custom)
  if (isToolPart(value) && (isCall || type !== "function_call")) return [toolCallOf(callOfPart(value), path)]
  if (isToolItem(value) && (type !== "program" || value["code"] !== undefined)) return itemToolCalls(value, path)
  if (hosted.has(type)) return []
  const isNamed = textOf(name) !== "" && isGiven(args)
  const isHeld = isGiven(memberOf(f, "arguments")) || typeof memberOf(custom, "input") === "string"
  return isNamed || (isHeld && namesTool(value)) ? [toolCallOf(value, path)] : []
}

const isGiven = (args: unknown): boolean => typeof args === "string" || isFields(args)

// ---------------------------------------------------------------------------------------------------------------------
// Chat completions
// ---------------------------------------------------------------------------------------------------------------------

/** The tools that a message of a chat completion asks for, its legacy `function_call` among them. */
export const messageToolCalls = (message: unknown, path: string): ReadonlyArray<ToolCall> => {
  const calls = memberOf(message, "tool_calls")
  const legacy = memberOf(message, "function_call")
  return [
    ...(Array.isArray(calls)
      ? calls.map((call, i) => toolCallOf(call, `${path}.tool_calls[${i}]`))
      : isNothing(calls)
        ? []
        : [{ ...toolCallOf(calls, `${path}.tool_calls`), fault: "its tool_calls are no list" }]),
    ...(isNothing(legacy) ? [] : [toolCallOf(legacy, `${path}.function_call`)]),
    ...partToolCalls(memberOf(message, "content"), `${path}.content`)
  ]
}

const toolParts: ReadonlySet<string> = new Set([
  "tool_use",
  "server_tool_use",
  "mcp_tool_use",
  "tool_call",
  "tool-call",
  "function_call"
])

/**
 * True for a part of content that asks for a tool, as a `tool_use` of Anthropic's messages does, a `{ toolUse }` of Bedrock's
 * and a `{ functionCall }` of Gemini's.
 */
export const isToolPart = (part: unknown): part is Fields =>
  isFields(part) && (toolParts.has(textOf(part["type"])) || heldIn(part) !== undefined)

/** The call that a part holds under a name of its own. */
const heldIn = ({ functionCall, toolUse }: Fields): Fields | undefined =>
  [toolUse, functionCall].find((held): held is Fields => isFields(held) && textOf(held["name"]) !== "")

/** True for such a part, and for one that brings a piece of its arguments. */
export const isToolPiece = (part: unknown): part is Fields =>
  isToolPart(part) || memberOf(part, "type") === "input_json_delta"

/** The calls that parts of a content ask for. */
const partToolCalls = (content: unknown, path: string): ReadonlyArray<ToolCall> =>
  Array.isArray(content)
    ? content.flatMap((part, i) => (isToolPart(part) ? [toolCallOf(callOfPart(part), `${path}[${i}]`)] : []))
    : isToolPart(content)
      ? [{ ...toolCallOf(callOfPart(content), path), fault: "its content is no list" }]
      : []

/** A part as a call of a chat message. An input that is empty yet may come in pieces. */
const callOfPart = (part: Fields): Fields => {
  const held = heldIn(part)
  if (held !== undefined) return { ...callOfPart(held), index: part["index"] }
  const { arguments: args, custom, function: f, id, index, input, name, partial_json: piece } = part
  if (isFields(custom) || isFields(f)) return part
  const given = input ?? args ?? part["args"] ?? piece
  const isEmpty = isFields(given) && Object.keys(given).length === 0
  return {
    id: id ?? part["toolUseId"] ?? part["toolCallId"],
    index,
    function: { name: name ?? part["toolName"], arguments: isEmpty ? "" : given }
  }
}

/** A call of a chat message: `{ id, function: { name, arguments } }`, `{ id, custom: { name, input } }`, or a bare function. */
export const toolCallOf = (call: unknown, path = "tool_calls[0]"): ToolCall => {
  const said = partsOf(call)
  const [name = "", ...others] = new Set(said.names)
  const fault =
    others.length > 0 || (said.isText && said.hasFunction)
      ? "it names two tools"
      : isFields(call)
        ? undefined
        : "it is no object"
  return {
    id: said.id,
    name,
    ...(said.isText ? inputOf(said.text) : argumentsOf(said.text)),
    isText: said.isText,
    path,
    ...(fault !== undefined && { fault })
  }
}

/** What a call, or a delta of one, says. */
interface Said {
  readonly id: string | undefined
  /** Every name in it, none empty. */
  readonly names: ReadonlyArray<string>
  readonly text: unknown
  readonly isText: boolean
  readonly hasFunction: boolean
}

const partsOf = (call: unknown): Said => {
  const { custom, function: f, id } = isFields(call) ? call : ({} as Fields)
  const holder = isFields(custom) ? custom : isFields(f) ? f : call
  const names = [memberOf(custom, "name"), memberOf(f, "name"), memberOf(call, "name")]
  return {
    id: typeof id === "string" && id !== "" ? id : undefined,
    names: names.map(textOf).filter((name) => name !== ""),
    text: memberOf(holder, isFields(custom) ? "input" : "arguments"),
    isText: isFields(custom),
    hasFunction: isFields(f)
  }
}

const isNothing = (value: unknown): boolean => value === undefined || value === null

// ---------------------------------------------------------------------------------------------------------------------
// Items of a response
// ---------------------------------------------------------------------------------------------------------------------

/** Calls that the provider's side runs. `tool_search_call` is one only where it says so. */
const hosted: ReadonlySet<string> = new Set([
  "web_search_call",
  "file_search_call",
  "code_interpreter_call",
  "image_generation_call",
  "mcp_call"
])

/**
 * True for an item of a response that asks its caller to run something, or to agree that it is run: every `*_call` that the
 * provider does not run itself, those of tomorrow among them, `program` and `mcp_approval_request`.
 */
export const isToolItem = (item: unknown): item is Fields => {
  const type = textOf(memberOf(item, "type"))
  if (type === "tool_search_call") return memberOf(item, "execution") !== "server"
  return type === "program" || type === "mcp_approval_request" || (type.endsWith("_call") && !hosted.has(type))
}

/** The calls that an item of a response asks for: none, one, or one for each action of a `computer_call`. */
export const itemToolCalls = (item: unknown, path: string): ReadonlyArray<ToolCall> => {
  if (!isToolItem(item)) return partToolCalls(memberOf(item, "content"), `${path}.content`)
  const type = textOf(item["type"])
  const id = [item["call_id"], item["id"]].find((one): one is string => typeof one === "string")
  const name = typeof item["name"] === "string" ? item["name"] : type.replace(/_call$/, "")
  const call = (said: Pick<ToolCall, "text" | "args">, isText = false, at = path): ToolCall => ({
    id,
    name,
    ...said,
    isText,
    path: at
  })
  switch (type) {
    case "function_call":
    case "tool_search_call":
    case "mcp_approval_request":
      return [call(argumentsOf(item["arguments"]))]
    case "custom_tool_call":
      return [call(inputOf(item["input"]), true)]
    case "program": {
      const code = textOf(item["code"])
      return [call({ text: code, args: { code } }, true)]
    }
    case "computer_call": {
      const actions = itemsOf(item["actions"])
      return [
        ...(isFields(item["action"]) || actions.length === 0
          ? [call(argumentsOf(item["action"] ?? item["actions"]))]
          : []),
        ...actions.map((action, i) => call(argumentsOf(action), false, `${path}.actions[${i}]`))
      ]
    }
    case "local_shell_call":
    case "shell_call":
      return [call(argumentsOf(item["action"]))]
    case "apply_patch_call":
      return [call(argumentsOf(item["operation"]))]
    default: {
      const {
        arguments: args,
        call_id: _call,
        id: _id,
        input,
        name: _name,
        status: _status,
        type: _type,
        ...others
      } = item
      if (args !== undefined) return [call(argumentsOf(args))]
      return [typeof input === "string" ? call(inputOf(input), true) : call(argumentsOf(others))]
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Streams
// ---------------------------------------------------------------------------------------------------------------------

/** A call that grows with the deltas of a stream. */
export class GrowingToolCall {
  readonly path: string
  readonly #place: Place
  #id: string | undefined
  #name = ""
  #kind: "function" | "custom" | undefined
  #text = ""
  /** The last piece of the text: what has grown is not read until it is whole. */
  #last = ""
  #fault: string | undefined

  constructor(path: string, place: Place) {
    this.path = path
    this.#place = place
  }

  get id(): string | undefined {
    return this.#id
  }

  get name(): string {
    return this.#name
  }

  /** The call as far as it has come. */
  get call(): ToolCall {
    const isText = this.#kind === "custom"
    return {
      id: this.#id,
      name: this.#name,
      ...(isText ? inputOf(this.#text) : argumentsOf(this.#text)),
      isText,
      path: this.path,
      ...(this.#fault !== undefined && { fault: this.#fault })
    }
  }

  /**
   * The call that a reader sees who merges by index, where this is the last of several at its index and only another one has
   * arguments: those arguments under this name.
   */
  get merged(): ToolCall | undefined {
    const { calls, filled } = this.#place
    const [only] = filled
    if (filled.length !== 1 || only === undefined || only === this || calls.at(-1) !== this) return undefined
    return { ...only.call, name: this.#name, path: this.path }
  }

  /**
   * True where a delta begins the next call: it has a name, and a new id or an object of its own after a whole one. Without a
   * name it is a server that gives each delta an id; one that repeats the name with a new id has begun the next call once this
   * one has no arguments, or seems to have all.
   */
  isFollowedBy({ id, names, text }: Said): boolean {
    if (names.length === 0) return false
    const isClosed = this.#last.trimEnd().endsWith("}")
    if (isClosed && (isFields(text) || (typeof text === "string" && text.trimStart().startsWith("{")))) return true
    const isOther = id !== undefined && this.#id !== undefined && id !== this.#id
    return isOther && (names[0] !== this.#name || this.#text === "" || isClosed)
  }

  /** Takes in what a delta says; gives its piece of the arguments. */
  grow({ hasFunction, id, isText, names, text }: Said, isObject: boolean): string {
    if (!isObject) this.blame("it is no object")
    this.#id ??= id
    for (const name of names) {
      if (name === this.#name) continue
      if (this.#name !== "") this.blame("it names two tools")
      this.#name += name
    }
    const kind = isText ? "custom" : hasFunction || names.length > 0 || !isNothing(text) ? "function" : undefined
    if ((isText && hasFunction) || (kind !== undefined && this.#kind !== undefined && kind !== this.#kind))
      this.blame("it names two tools")
    this.#kind ??= kind
    if (isNothing(text) || text === "") return ""
    const piece = typeof text === "string" ? text : JSON.stringify(text)
    this.#text += piece
    this.#last = piece
    const { filled } = this.#place
    if (filled.length < 2 && !filled.includes(this) && piece.trim() !== "") filled.push(this)
    return piece
  }

  /** Says why it is not one call. */
  blame(fault: string): void {
    this.#fault ??= fault
  }
}

/** What a delta says of a call: a piece of its arguments, perhaps an empty one. */
export interface GrownToolCall {
  readonly growing: GrowingToolCall
  readonly piece: string
}

/** The calls that came at one index. */
interface Place {
  readonly calls: Array<GrowingToolCall>
  readonly byId: Map<string, GrowingToolCall>
  /** The first two that have arguments. */
  readonly filled: Array<GrowingToolCall>
}

/** Puts together the tool calls of one choice of a streamed chat completion. */
export class ToolCallDeltas {
  readonly #path: string
  readonly #places = new Map<string, Place>()

  /** `path` is that of the choice: `choices[0]`. */
  constructor(path: string) {
    this.#path = path
  }

  /** Takes in a delta; gives the calls that it says something of, in its order. */
  add(delta: Fields): ReadonlyArray<GrownToolCall> {
    const calls = delta["tool_calls"]
    const legacy = delta["function_call"]
    const grown: Array<GrownToolCall> = []
    if (Array.isArray(calls))
      calls.forEach((call: unknown, i) => {
        const index = memberOf(call, "index")
        const place = typeof index === "number" || typeof index === "string" ? index : i
        grown.push(this.#grow(`tool_calls[${place}]`, call))
      })
    else if (!isNothing(calls)) {
      const call = this.#grow("tool_calls", calls)
      call.growing.blame("its tool_calls are no list")
      grown.push(call)
    }
    if (!isNothing(legacy)) grown.push(this.#grow("function_call", legacy))
    const { content } = delta
    ;(Array.isArray(content) ? content : [content]).forEach((part: unknown, i) => {
      if (!isToolPiece(part)) return
      const call = callOfPart(part)
      const index = typeof call["index"] === "number" ? call["index"] : i
      grown.push(this.#grow(`content[${index}]`, call))
    })
    return grown
  }

  #grow(place: string, delta: unknown): GrownToolCall {
    const said = partsOf(delta)
    const growing = this.#callAt(place, said)
    return { growing, piece: growing.grow(said, isFields(delta)) }
  }

  /** The call that a delta is of. */
  #callAt(at: string, said: Said): GrowingToolCall {
    const { id } = said
    let place = this.#places.get(at)
    if (place === undefined) this.#places.set(at, (place = { calls: [], byId: new Map(), filled: [] }))
    const latest = place.calls.at(-1)
    const known = id === undefined ? latest : (place.byId.get(id) ?? latest)
    const isNext = known === undefined || (known === latest && known.isFollowedBy(said))
    const call = isNext ? new GrowingToolCall(`${this.#path}.${at}`, place) : known
    if (isNext) place.calls.push(call)
    if (id !== undefined) place.byId.set(id, call)
    return call
  }

  /** The calls so far: by index, and of one index in the order that they began. */
  get all(): ReadonlyArray<GrowingToolCall> {
    return [...this.#places.values()].flatMap(({ calls }) => calls)
  }
}

const hasToolCalls = ({ content, function_call: legacy, tool_calls: calls }: Fields): boolean =>
  !isNothing(calls) || !isNothing(legacy) || isToolPiece(content) || itemsOf(content).some(isToolPiece)

/** True for an event that brings a part of a tool call of the caller's, or all of its arguments. */
export const isToolText = (type: string): boolean =>
  type.startsWith("response.function_call_arguments.") ||
  type.startsWith("response.custom_tool_call_input.") ||
  type.startsWith("response.shell_call")

/** An item of a response that asks for a tool, and grows with the events of a stream. */
export class GrowingItem {
  readonly path: string
  /** The item as it began. */
  #begun: Fields | undefined
  /** Its arguments as the deltas tell them, and the events that tell them whole. */
  #deltas = ""
  readonly #whole: Array<Fields> = []
  #fault: string | undefined

  /** `path` is that of the item: `output[0]`. */
  constructor(path: string) {
    this.path = path
  }

  /** Takes in an event, and the text of its delta. */
  take(event: Fields, text: string): void {
    const { item } = event
    if (text !== "") this.#deltas += text
    else if (isFields(item)) this.#begun ??= item
    else if (textOf(event["type"]).endsWith(".done")) this.#whole.push(event)
  }

  /** Says why it is not one call. */
  blame(fault: string): void {
    this.#fault ??= fault
  }

  /** What somebody has who adds the deltas to what the item began with. */
  get text(): string {
    const member = argumentsIn(this.#begun)
    return (member === undefined ? "" : textOf(memberOf(this.#begun, member))) + this.#deltas
  }

  /**
   * The calls that its events say beside `item`, which is the item as it ended, if it did: a reader may put the deltas together,
   * or take either.
   */
  readings(item: unknown): ReadonlyArray<ToolCall> {
    const { path } = this
    const begun = this.#begun
    const said = [item, begun, ...this.#whole]
    const [name = "", ...others] = new Set(said.map((one) => textOf(memberOf(one, "name"))).filter((one) => one !== ""))
    const fault = others.length > 0 ? "it names two tools" : this.#fault
    const calls: Array<ToolCall> =
      fault === undefined ? [] : [{ id: undefined, name, text: "", args: {}, isText: false, path, fault }]
    const holder = isToolItem(item) ? item : isToolItem(begun) ? begun : {}
    const member = argumentsIn(holder)
    const begunText = member === undefined ? "" : textOf(memberOf(begun, member))
    const texts = new Set(
      member === undefined
        ? []
        : [this.#deltas, ...[item, ...this.#whole].map((one) => textOf(memberOf(one, member)))].filter(
            (one) => one !== ""
          )
    )
    // An item that has just begun has no arguments yet; some servers write that as `{}`.
    const isBlank = /^\s*(?:\{\s*\}\s*)?$/.test(begunText)
    const isBegun = holder !== item && (member === undefined || !isBlank || texts.size === 0)
    if (begunText !== "" && !(isBlank && texts.size > 0)) texts.add(begunText)
    if (isBegun) calls.push(...itemToolCalls(holder, path))
    if (member === undefined) return calls
    for (const text of texts)
      if (text !== holder[member]) calls.push(...itemToolCalls({ ...holder, [member]: text }, path))
    const added = begunText + this.#deltas
    if (added !== "" && !texts.has(added))
      calls.push(...itemToolCalls({ ...holder, [member]: added }, path).filter(({ args }) => args !== undefined))
    return calls
  }

  /** It is over, as `item` where that is known: what comes all the same is of it. Its arguments are not kept. */
  end(item: unknown): void {
    const last = isToolItem(item) ? item : this.#begun
    const member = argumentsIn(last)
    this.#begun = last === undefined || member === undefined ? undefined : { ...last, [member]: "" }
    this.#deltas = ""
    this.#whole.length = 0
  }
}

/** Which member of an item is a text that its deltas tell. */
const argumentsIn = (item: Fields | undefined): "arguments" | "input" | undefined =>
  (["arguments", "input"] as const).find((name) => typeof memberOf(item, name) === "string")

/** Tells of each event of a response which growing item it is of: by its index, and by the item's id. */
export class GrowingItems {
  readonly #byIndex = new Map<string, GrowingItem>()
  readonly #byId = new Map<string, GrowingItem>()
  readonly #open = new Set<GrowingItem>()

  /** Takes in an event; gives the growing item that it is of, if there is one. The event that ends an item is of none. */
  take(event: Fields, text = textOf(event["delta"])): GrowingItem | undefined {
    const { item, item_id: given, output_index: index } = event
    const type = textOf(event["type"])
    const isOfItem = type === "response.output_item.added" || isToolText(type)
    if (type === "response.output_item.done" || (isFields(event["response"]) && !isOfItem)) return undefined
    const id = textOf(given) || textOf(memberOf(item, "id"))
    const named = id === "" ? undefined : this.#byId.get(id)
    const isText = isToolText(type)
    const place = indexKey(index)
    const there = this.#byIndex.get(place)
    let growing = index === undefined ? (named ?? there) : (there ?? named)
    if (growing !== undefined && !this.#open.has(growing) && !isText) growing = undefined
    if (growing === undefined) {
      // Arguments that are told whole, without an item, are judged by themselves.
      if (type === "response.output_item.added" ? !isToolItem(item) : !isText || !type.endsWith(".delta"))
        return undefined
      growing = new GrowingItem(outputPath(index))
      this.#byIndex.set(place, growing)
    }
    if (type === "response.output_item.added") {
      if (id !== "") this.#byId.set(id, growing)
    } else if (named !== undefined && (named !== growing || (index !== undefined && there !== named)))
      growing.blame("its events are of two items")
    this.#open.add(growing)
    growing.take(event, text)
    return growing
  }

  /** The growing item at an index. */
  at(index: unknown): GrowingItem | undefined {
    const growing = this.#byIndex.get(indexKey(index))
    return growing !== undefined && this.#open.has(growing) ? growing : undefined
  }

  /** Ends an item: as `item`, where it is known how. */
  end(growing: GrowingItem, item: unknown): void {
    if (this.#open.delete(growing)) growing.end(item)
  }

  /** Those that did not end. */
  get open(): ReadonlySet<GrowingItem> {
    return this.#open
  }
}

/** True for a chunk of text alone, as most are: none of its members holds anything, or has a name that a call's has. */
const isTextChunk = (chunk: unknown): boolean =>
  hasOnly(chunk, chunkMembers, "choices", (choices) => Array.isArray(choices) && choices.every(isTextChoice))

const isTextChoice = (choice: unknown): boolean =>
  hasOnly(choice, choiceMembers, "delta", (delta) => hasOnly(delta, deltaMembers))

/** True for an object of these members alone, none of which holds anything but `inner`, which is judged by itself. */
const hasOnly = (
  value: unknown,
  names: ReadonlySet<string>,
  inner?: string,
  isInner: (member: unknown) => boolean = () => false
): boolean => {
  if (!isFields(value)) return false
  for (const name in value) {
    const member = value[name]
    if (name === inner ? !isInner(member) : !names.has(name) || (typeof member === "object" && member !== null))
      return false
  }
  return true
}

const chunkMembers: ReadonlySet<string> = new Set(
  "id object created model system_fingerprint service_tier obfuscation usage".split(" ")
)
const choiceMembers: ReadonlySet<string> = new Set("index finish_reason logprobs text".split(" "))
const deltaMembers: ReadonlySet<string> = new Set("role content refusal".split(" "))

/**
 * Gathers the tools that a stream asks for, each once: of all choices of a chat completion, or of a response. A call is often told
 * several times: by its deltas, by an event of its own, and by the answer as a whole.
 */
export class StreamedToolCalls {
  readonly #choices = new Map<string, ToolCallDeltas>()
  readonly #items = new GrowingItems()
  /** What was told at once, each time by itself. */
  readonly #told: Array<ReadonlyArray<ToolCall>> = []
  /** By which the call of an item is known, by the item's own id, and by its place. */
  readonly #ids = new Map<string, string>()
  readonly #places = new Map<string, string>()

  /** Takes in a chunk, or an event. */
  add(chunk: unknown): void {
    if (!isFields(chunk) || isTextChunk(chunk)) return
    const { choices, type } = chunk
    const list = choicesOf(choices)
    const isEvent = typeof type === "string"
    // What has choices and a type is a chunk to one reader, and an event to another.
    const isChunk = list.length > 0 || (Array.isArray(choices) && !isEvent)
    if (isChunk) this.#chat({ ...chunk, item: undefined, response: undefined }, list)
    if (isEvent) {
      const { choices: _, ...event } = chunk
      this.#event(event)
    } else if (!isChunk) this.#tell(toolCallsOf(chunk))
  }

  #chat(chunk: Fields, choices: ReadonlyArray<unknown>): void {
    for (const choice of choices) {
      const delta = memberOf(choice, "delta")
      if (!isFields(delta) || !hasToolCalls(delta)) continue
      const index = memberOf(choice, "index")
      const key = indexKey(index)
      let deltas = this.#choices.get(key)
      if (deltas === undefined)
        this.#choices.set(key, (deltas = new ToolCallDeltas(`choices[${typeof index === "number" ? index : 0}]`)))
      deltas.add(delta)
    }
    this.#tell(chunkToolCallsOf(chunk))
  }

  #event(event: Fields): void {
    const { item, output_index: index, response } = event
    this.#know(item, outputPath(index))
    itemsOf(memberOf(response, "output")).forEach((one, i) => this.#know(one, outputPath(i)))
    this.#tell(eventToolCallsOf(event))
    this.#items.take(event)
    const growing = event["type"] === "response.output_item.done" ? this.#items.at(index) : undefined
    if (growing === undefined) return
    for (const call of growing.readings(item)) this.#tell([call])
    this.#items.end(growing, item)
  }

  #know(item: unknown, path: string): void {
    const { call_id: call, id } = isFields(item) ? item : ({} as Fields)
    const known = textOf(call) || textOf(id)
    if (known === "") return
    if (typeof id === "string") this.#ids.set(id, known)
    this.#places.set(path, known)
  }

  #tell(calls: ReadonlyArray<ToolCall>): void {
    if (calls.length > 0) this.#told.push(calls)
  }

  /** The tools so far: of each choice in the order that the model began them. */
  get calls(): ReadonlyArray<ToolCall> {
    const counts = new Map<string, number>()
    const calls: Array<ToolCall> = []
    const growing = [...this.#choices.values()].map(({ all }) => all.map(({ call }) => call))
    const open = [...this.#items.open].flatMap((item) => item.readings(undefined).map((call) => [call]))
    for (const told of [...growing, ...this.#told, ...open]) {
      // A list that says a call twice asks for two.
      const mine = new Map<string, number>()
      for (const call of told) {
        const key = this.#keyOf(call)
        const count = (mine.get(key) ?? 0) + 1
        mine.set(key, count)
        if (count <= (counts.get(key) ?? 0)) continue
        counts.set(key, count)
        calls.push(call)
      }
    }
    return calls
  }

  /** What two tellings of one call have in common: its id, or else its place; and what a reader would run. */
  #keyOf({ args, fault, id, name, path, text }: ToolCall): string {
    const known = id === undefined ? this.#places.get(path) : (this.#ids.get(id) ?? id)
    const place = known ?? path.replace(".message.", ".")
    return JSON.stringify([known === undefined, place, name, fault, args === undefined ? text : sorted(args)])
  }
}

/** A value with the members of each object in one order. */
const sorted = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(sorted)
    : isFields(value)
      ? Object.entries(value)
          .toSorted(([one], [other]) => (one < other ? -1 : 1))
          .map(([name, member]) => [name, sorted(member)])
      : value

const none: ReadonlyArray<string> = []

/** The ids of the tool calls in an answer, a chunk, or an event; without reading the calls. */
export const toolCallIdsOf = (answer: unknown): ReadonlyArray<string> => {
  if (!isFields(answer)) return none
  const { choices, item, output } = answer
  if (Array.isArray(choices)) {
    let ids: Array<string> | undefined
    for (const choice of choices) {
      const calls = memberOf(memberOf(choice, "message") ?? memberOf(choice, "delta"), "tool_calls")
      if (Array.isArray(calls)) for (const call of calls) (ids ??= []).push(...idOf(call, "id"))
    }
    return ids ?? none
  }
  if (Array.isArray(output)) return output.flatMap((one) => idOf(one, "call_id"))
  return item === undefined ? none : idOf(item, "call_id")
}

const idOf = (call: unknown, name: string): ReadonlyArray<string> => {
  const id = memberOf(call, name)
  return typeof id === "string" ? [id] : none
}
