/**
 * The tools that a model asked for: read from a chat answer, or gathered from the deltas of a stream.
 *
 * @since 0.1.0
 */

/** A tool that the model asked for; `args` is the JSON text that the model wrote, perhaps not valid. */
export interface ToolCall {
  readonly name: string
  readonly args: string
}

/** The tools that a chat answer asks for, over all of its choices, the legacy `function_call` among them. */
export const toolCallsOf = (answer: unknown): ReadonlyArray<ToolCall> =>
  items(member(answer, "choices")).flatMap((choice) => {
    const message = member(choice, "message")
    const legacy = member(message, "function_call")
    const calls = items(member(message, "tool_calls")).map(functionOf)
    return [...calls, ...(isObject(legacy) ? [legacy] : [])].map((call) => ({
      name: text(member(call, "name")),
      args: text(member(call, "arguments"))
    }))
  })

/** A custom tool gives `input` where a function gives `arguments`. */
const functionOf = (call: unknown): unknown => {
  const custom = member(call, "custom")
  return isObject(custom)
    ? { name: member(custom, "name"), arguments: member(custom, "input") }
    : member(call, "function")
}

/** Gathers the tools that a stream of chat chunks asks for: names and arguments come in pieces. */
export class ToolCallDeltas {
  readonly #calls = new Map<string, { name: string; args: string }>()

  /** Takes in a chunk. */
  add(chunk: unknown): void {
    const choices = member(chunk, "choices")
    if (!Array.isArray(choices)) return
    for (const choice of choices) {
      const delta = member(choice, "delta")
      const calls = member(delta, "tool_calls")
      if (Array.isArray(calls))
        for (const call of calls)
          this.#append(`${String(member(choice, "index"))}/${String(member(call, "index"))}`, functionOf(call))
      const legacy = member(delta, "function_call")
      if (isObject(legacy)) this.#append(`${String(member(choice, "index"))}/function_call`, legacy)
    }
  }

  #append(place: string, delta: unknown): void {
    const call = this.#calls.get(place) ?? { name: "", args: "" }
    this.#calls.set(place, call)
    call.name += text(member(delta, "name"))
    call.args += text(member(delta, "arguments"))
  }

  /** The tools so far, in the order that the model began them. */
  get calls(): ReadonlyArray<ToolCall> {
    return [...this.#calls.values()].map(({ args, name }) => ({ name, args }))
  }
}

/** Tokens that an answer, or the last chunk of a stream, says were used; undefined where it does not say. */
export const usageOf = (answer: unknown): { readonly input: number; readonly output: number } | undefined => {
  const usage = member(answer, "usage")
  if (!isObject(usage)) return undefined
  const input = usage["prompt_tokens"] ?? usage["input_tokens"]
  const output = usage["completion_tokens"] ?? usage["output_tokens"] ?? 0
  return isCount(input) && isCount(output) ? { input, output } : undefined
}

const isCount = (u: unknown): u is number => Number.isSafeInteger(u)

const isObject = (u: unknown): u is Readonly<Record<string, unknown>> =>
  typeof u === "object" && u !== null && !Array.isArray(u)

const member = (holder: unknown, name: string): unknown => (isObject(holder) ? holder[name] : undefined)

const items = (u: unknown): ReadonlyArray<unknown> => (Array.isArray(u) ? u : [])

const text = (u: unknown): string => (typeof u === "string" ? u : "")
