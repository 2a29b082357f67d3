/**
 * What a chat completion answers, whole or in chunks, as the parts of a response of `effect/ai`.
 *
 * @since 0.2.0
 */
import * as AiError from "effect/ai/AiError"
import type * as Response from "effect/ai/Response"
import * as Tool from "effect/ai/Tool"
import type { OpenAI } from "openai"

type Completion = OpenAI.ChatCompletion
type Chunk = OpenAI.ChatCompletionChunk

/** The parts of a whole answer; throws an `AiErrorReason` where it is not what was asked for. */
export const partsOf = (answer: Completion): Array<Response.PartEncoded> => {
  const [choice] = answer.choices
  if (choice === undefined) throw new AiError.InvalidOutputError({ description: "The answer has no choice." })
  const { content, refusal, tool_calls: calls = [] } = choice.message
  return [
    metadataOf(answer),
    ...(content ? [{ type: "text" as const, text: content }] : []),
    ...(refusal ? [{ type: "text" as const, text: refusal, metadata: { openai: { refusal } } }] : []),
    ...calls.flatMap((call) => (call.type === "function" ? [toolCall(call.id, call.function)] : [])),
    finish(choice.finish_reason, answer.usage)
  ]
}

/** Reads one answer's chunks: `read` gives the parts of one, `end` those that its end completes. */
export class ChunkReader {
  readonly #text = new Set<"text" | "refusal">()
  readonly #calls = new Map<number, { readonly id: string; readonly name: string; args: string }>()
  #started = false
  #reason: string | undefined
  #usage: Completion["usage"]

  read(chunk: Chunk): ReadonlyArray<Response.StreamPartEncoded> {
    const parts: Array<Response.StreamPartEncoded> = []
    if (!this.#started) parts.push(metadataOf(chunk))
    this.#started = true
    this.#usage = chunk.usage ?? this.#usage
    const [choice] = chunk.choices
    if (choice === undefined) return parts
    const { content, refusal, tool_calls: calls = [] } = choice.delta
    if (content) parts.push(...this.#said("text", content))
    if (refusal) parts.push(...this.#said("refusal", refusal))
    for (const call of calls) parts.push(...this.#called(call))
    this.#reason = choice.finish_reason ?? this.#reason
    return parts
  }

  end(): ReadonlyArray<Response.StreamPartEncoded> {
    if (this.#reason === undefined)
      throw new AiError.InternalProviderError({ description: "The stream ended before its last chunk." })
    return [
      ...[...this.#text].map((id) => ({ type: "text-end" as const, id })),
      ...[...this.#calls.values()].flatMap(({ args, id, name }) => [
        { type: "tool-params-end" as const, id },
        toolCall(id, { name, arguments: args })
      ]),
      finish(this.#reason, this.#usage)
    ]
  }

  #said(id: "text" | "refusal", delta: string): ReadonlyArray<Response.StreamPartEncoded> {
    const part = { type: "text-delta" as const, id, delta }
    if (this.#text.has(id)) return [part]
    this.#text.add(id)
    return [{ type: "text-start", id, ...(id === "refusal" && { metadata: { openai: { refusal: true } } }) }, part]
  }

  #called({
    function: f,
    id,
    index
  }: OpenAI.ChatCompletionChunk.Choice.Delta.ToolCall): ReadonlyArray<Response.StreamPartEncoded> {
    const parts: Array<Response.StreamPartEncoded> = []
    let call = this.#calls.get(index)
    if (call === undefined) {
      call = { id: id ?? `call_${index}`, name: f?.name ?? "", args: "" }
      this.#calls.set(index, call)
      parts.push({ type: "tool-params-start", id: call.id, name: call.name })
    }
    const delta = f?.arguments ?? ""
    call.args += delta
    if (delta !== "") parts.push({ type: "tool-params-delta", id: call.id, delta })
    return parts
  }
}

const metadataOf = ({ created, id, model }: Completion | Chunk): Response.ResponseMetadataPartEncoded => ({
  type: "response-metadata",
  id,
  modelId: model,
  timestamp: new Date((created ?? 0) * 1000).toISOString()
})

const toolCall = (
  id: string,
  { arguments: args, name }: { readonly name: string; readonly arguments: string }
): Response.ToolCallPartEncoded => {
  try {
    return { type: "tool-call", id, name, params: args === "" ? {} : Tool.unsafeSecureJsonParse(args) }
  } catch {
    throw new AiError.ToolParameterValidationError({ toolName: name, description: "The arguments are no JSON." })
  }
}

const finish = (reason: string | null, usage: Completion["usage"]): Response.FinishPartEncoded => {
  const cacheRead = usage?.prompt_tokens_details?.cached_tokens
  const reasoning = usage?.completion_tokens_details?.reasoning_tokens
  const { completion_tokens: output, prompt_tokens: input } = usage ?? {}
  return {
    type: "finish",
    reason: reasons.get(reason ?? "") ?? "unknown",
    usage: {
      inputTokens: {
        total: input,
        cacheRead,
        uncached: input === undefined ? undefined : input - (cacheRead ?? 0),
        cacheWrite: undefined
      },
      outputTokens: { total: output, reasoning, text: output === undefined ? undefined : output - (reasoning ?? 0) }
    },
    response: undefined
  }
}

const reasons: ReadonlyMap<string, Response.FinishReason> = new Map([
  ["stop", "stop"],
  ["length", "length"],
  ["content_filter", "content-filter"],
  ["tool_calls", "tool-calls"]
])
