/**
 * The tools that a model asks its caller to run, in a whole answer, a chunk or an event: where the API has them, and wherever else
 * something reads as a call. The log, the output gates, the tool runners and `secure-openai/ai` all read them here, so that
 * they agree.
 */
import { choicesOf, type Fields, isFields, itemsOf, memberOf, textOf } from "./Fields.ts"
import {
  callOfPart,
  hosted,
  isNothing,
  isToolItem,
  isToolPart,
  isToolPiece,
  itemToolCalls,
  messageToolCalls,
  type ToolCall,
  toolCallOf
} from "./ToolCall.ts"

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
