/**
 * One tool call of a model, read from where the APIs have it: a message of a chat completion, a part of a content, or an item of a
 * response.
 */
import * as Result from "effect/Result"
import { parseStrictObject } from "../base/CanonicalJson.ts"
import type { JsonObject } from "../base/Json.ts"
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
export const inputOf = (given: unknown): Pick<ToolCall, "text" | "args"> => {
  const text =
    typeof given === "string" || given === undefined || given === null ? textOf(given) : JSON.stringify(given)
  return { text, args: { input: text } }
}

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
export const callOfPart = (part: Fields): Fields => {
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
export interface ToolCallText {
  readonly id: string | undefined
  /** Every name in it, none empty. */
  readonly names: ReadonlyArray<string>
  readonly text: unknown
  readonly isText: boolean
  readonly hasFunction: boolean
}

/** What a call, or a delta of one, names and brings, wherever it has that. */
export const partsOf = (call: unknown): ToolCallText => {
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

/** True for undefined and null. */
export const isNothing = (value: unknown): boolean => value === undefined || value === null

// ---------------------------------------------------------------------------------------------------------------------
// Items of a response
// ---------------------------------------------------------------------------------------------------------------------

/** Calls that the provider's side runs. `tool_search_call` is one only where it says so. */
export const hosted: ReadonlySet<string> = new Set([
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
