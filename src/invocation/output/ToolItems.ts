/**
 * The tools that an answer asks its caller to run: as a chat completion names them, and as the items of a response do.
 *
 * @since 0.2.0
 */
import { type Fields, isFields, itemsOf, type OutputJudge, textOf } from "./OutputJudge.ts"

/** A tool call; `args` is JSON text. */
export interface AskedTool {
  readonly name: string
  readonly args: string
}

/** A tool call of a chat message: a function, a custom tool, or the older `function_call`. */
export const toolOf = (call: unknown): AskedTool => {
  const { custom, function: f } = isFields(call) ? call : ({} as Fields)
  if (isFields(custom))
    return { name: textOf(custom["name"]), args: JSON.stringify({ input: textOf(custom["input"]) }) }
  const named = isFields(f) ? f : isFields(call) ? call : {}
  return { name: textOf(named["name"]), args: textOf(named["arguments"]) }
}

/** Judges the tool calls of a chat message. */
export const judgeMessageTools = (message: Fields, path: string, judge: OutputJudge): void => {
  itemsOf(message["tool_calls"]).forEach((call, i) => {
    const { args, name } = toolOf(call)
    judge.toolCall(name, args, `${path}.tool_calls[${i}]`)
  })
  if (!isFields(message["function_call"])) return
  const { args, name } = toolOf(message["function_call"])
  judge.toolCall(name, args, `${path}.function_call`)
}

/** Items of a response that the provider's own side runs. */
const hosted: ReadonlySet<string> = new Set([
  "web_search_call",
  "file_search_call",
  "code_interpreter_call",
  "image_generation_call",
  "mcp_call",
  "tool_search_call"
])

/** True for an item that asks the caller to run something. An unknown kind of call is one. */
export const isToolItem = (item: unknown): item is Fields =>
  isFields(item) && typeof item["type"] === "string" && item["type"].endsWith("_call") && !hosted.has(item["type"])

/**
 * Judges an item of a response that {@link isToolItem}. One without a name is known by its type: `local_shell_call` is
 * judged as the tool `local_shell`.
 */
export const judgeToolItem = (item: Fields, path: string, judge: OutputJudge): void => {
  const type = textOf(item["type"])
  const name = typeof item["name"] === "string" ? item["name"] : type.slice(0, -"_call".length)
  const args =
    type === "function_call"
      ? textOf(item["arguments"])
      : type === "custom_tool_call"
        ? JSON.stringify({ input: textOf(item["input"]) })
        : JSON.stringify(
            isFields(item["action"]) ? item["action"] : isFields(item["operation"]) ? item["operation"] : {}
          )
  judge.toolCall(name, args, path)
}
