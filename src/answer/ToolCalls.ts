/**
 * The tools that a model asks its caller to run: in a chat completion, in a response, and put together from the chunks of
 * a stream. The log, the output gates, the tool runners and `secure-openai/ai` all read them here, so that they agree.
 *
 * Servers differ in how they stream a call. A name may be repeated in each delta, several calls may share an index and
 * differ by id, and the index may be missing. The SDK merges by index and takes the last name; {@link ToolCallDeltas}
 * separates calls by id, and {@link GrowingToolCall.merged} gives the SDK's reading where that is another call.
 *
 * @since 0.2.0
 */
import * as Result from "effect/Result"
import { type JsonObject, parseStrictObject } from "../CanonicalJson.ts"
import { type Fields, isFields, itemsOf, memberOf, textOf } from "./Fields.ts"

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

/** The tools that a whole answer asks for: of every choice of a chat completion, or of a response's output. */
export const toolCallsOf = (answer: unknown): ReadonlyArray<ToolCall> => [
  ...itemsOf(memberOf(answer, "choices")).flatMap((choice, i) =>
    messageToolCalls(memberOf(choice, "message"), `choices[${i}].message`)
  ),
  ...itemsOf(memberOf(answer, "output")).flatMap((item, i) => itemToolCalls(item, `output[${i}]`))
]

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

const toolParts: ReadonlySet<string> = new Set(["tool_use", "tool_call", "tool-call", "function_call"])

/** True for a part of content that asks its caller to run a tool, as a `tool_use` of Anthropic's messages does. */
export const isToolPart = (part: unknown): part is Fields => toolParts.has(textOf(memberOf(part, "type")))

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
  const { arguments: args, custom, function: f, id, index, input, name, partial_json: piece } = part
  if (isFields(custom) || isFields(f)) return part
  const given = input ?? args ?? part["args"] ?? piece
  const isEmpty = isFields(given) && Object.keys(given).length === 0
  return { id, index, function: { name: name ?? part["toolName"], arguments: isEmpty ? "" : given } }
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

/** Gathers the tools that a stream asks for: of all choices of a chat completion, or of the items of a response. */
export class StreamedToolCalls {
  readonly #choices = new Map<unknown, ToolCallDeltas>()
  readonly #items: Array<ToolCall> = []

  /** Takes in a chunk, or an event. */
  add(chunk: unknown): void {
    if (!isFields(chunk)) return
    if (chunk["type"] === "response.output_item.done") {
      const index = chunk["output_index"]
      this.#items.push(...itemToolCalls(chunk["item"], typeof index === "number" ? `output[${index}]` : "output"))
    }
    const choices = chunk["choices"]
    if (!Array.isArray(choices)) return
    for (const choice of choices as ReadonlyArray<unknown>) {
      const delta = memberOf(choice, "delta")
      if (!isFields(delta) || !hasToolCalls(delta)) continue
      const index = memberOf(choice, "index")
      let deltas = this.#choices.get(index)
      if (deltas === undefined)
        this.#choices.set(index, (deltas = new ToolCallDeltas(`choices[${typeof index === "number" ? index : 0}]`)))
      deltas.add(delta)
    }
  }

  /** The tools so far: of each choice in the order that the model began them. */
  get calls(): ReadonlyArray<ToolCall> {
    return [...[...this.#choices.values()].flatMap(({ all }) => all.map(({ call }) => call)), ...this.#items]
  }
}

const none: ReadonlyArray<string> = []

/** The ids of the tool calls in an answer, a chunk, or an event; without reading the calls. */
export const toolCallIdsOf = (answer: unknown): ReadonlyArray<string> => {
  if (!isFields(answer)) return none
  const { choices, item, output } = answer
  if (Array.isArray(choices))
    return choices.flatMap((choice: unknown) => {
      const calls = memberOf(memberOf(choice, "message") ?? memberOf(choice, "delta"), "tool_calls")
      return Array.isArray(calls) ? calls.flatMap((call) => idOf(call, "id")) : none
    })
  if (Array.isArray(output)) return output.flatMap((one) => idOf(one, "call_id"))
  return item === undefined ? none : idOf(item, "call_id")
}

const idOf = (call: unknown, name: string): ReadonlyArray<string> => {
  const id = memberOf(call, name)
  return typeof id === "string" ? [id] : none
}
