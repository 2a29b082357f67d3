/**
 * What the log reads in answers, whole ones and streamed: the tools that a model asked for, the tokens that were used, and
 * whether a stream came to its end. Chat completions, text completions and the Responses API.
 *
 * @since 0.1.0
 */

/** A tool that the model asked for; `args` is the JSON text that the model wrote, perhaps not valid. */
export interface ToolCall {
  readonly name: string
  readonly args: string
}

/**
 * The tools that an answer asks for: over all choices of a chat, the legacy `function_call` among them, or over the output
 * of a response.
 */
export const toolCallsOf = (answer: unknown): ReadonlyArray<ToolCall> => [
  ...items(member(answer, "choices")).flatMap((choice) => {
    const message = member(choice, "message")
    const legacy = member(message, "function_call")
    const calls = items(member(message, "tool_calls")).map(functionOf)
    return [...calls, ...(isObject(legacy) ? [legacy] : [])].map((call) => ({
      name: text(member(call, "name")),
      args: text(member(call, "arguments"))
    }))
  }),
  ...items(member(answer, "output")).flatMap(outputCall)
]

/** The call that an item of a response's output is, if it is one of the caller's tools: hosted ones run at the provider. */
const outputCall = (item: unknown): ReadonlyArray<ToolCall> => {
  const argument = callItems.get(text(member(item, "type")))
  return argument === undefined ? [] : [{ name: text(member(item, "name")), args: text(member(item, argument)) }]
}

/** A custom tool gives `input` where a function gives `arguments`. */
const functionOf = (call: unknown): unknown => {
  const custom = member(call, "custom")
  return isObject(custom)
    ? { name: member(custom, "name"), arguments: member(custom, "input") }
    : member(call, "function")
}

const callItems: ReadonlyMap<string, string> = new Map([
  ["function_call", "arguments"],
  ["custom_tool_call", "input"]
])

/**
 * Gathers the tools that a stream asks for: in chat chunks names and arguments come in pieces, in the events of a response
 * there is one for each finished item of its output.
 */
export class ToolCallDeltas {
  readonly #calls = new Map<string, { name: string; args: string }>()

  /** Takes in a chunk. */
  add(chunk: unknown): void {
    if (member(chunk, "type") === "response.output_item.done")
      for (const call of outputCall(member(chunk, "item"))) this.#calls.set(`item/${this.#calls.size}`, { ...call })
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

/**
 * Whether a stream said that its answer is whole: an event that ends a response, or a `finish_reason` for each choice that
 * began.
 */
export class Finish {
  readonly #unfinished = new Set<unknown>()
  #finished = false

  /** Takes in a chunk. */
  add(chunk: unknown): void {
    if (lastEvents.has(text(member(chunk, "type")))) this.#finished = true
    const choices = member(chunk, "choices")
    if (!Array.isArray(choices)) return
    for (const choice of choices) {
      const index = member(choice, "index")
      const isLast = typeof member(choice, "finish_reason") === "string"
      if (isLast) this.#unfinished.delete(index)
      else this.#unfinished.add(index)
      this.#finished ||= isLast
    }
  }

  get isWhole(): boolean {
    return this.#finished && this.#unfinished.size === 0
  }
}

const lastEvents: ReadonlySet<string> = new Set(["response.completed", "response.failed", "response.incomplete"])

/** Tokens that an answer, or the last chunk of a stream, says were used; undefined where it does not say. */
export const usageOf = (answer: unknown): { readonly input: number; readonly output: number } | undefined => {
  const usage = member(answer, "usage") ?? member(member(answer, "response"), "usage")
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
