/**
 * What a chat completion answers, whole or in chunks, as the parts of a response of `effect/ai`.
 */
import * as AiError from "effect/ai/AiError"
import type * as Response from "effect/ai/Response"
import type { OpenAI } from "openai"
import { isReason } from "../answer/Finish.ts"
import { messageToolCalls, type ToolCall } from "../answer/ToolCall.ts"
import { type GrowingToolCall, type GrownToolCall, ToolCallDeltas } from "../answer/ToolCallDeltas.ts"
import { usageOf } from "../answer/Usage.ts"

type Completion = OpenAI.ChatCompletion
type Chunk = OpenAI.ChatCompletionChunk

/** The parts of a whole answer; throws an `AiErrorReason` where it is not what was asked for. */
export const partsOf = (answer: Completion): Array<Response.PartEncoded> => {
  const [choice] = answer.choices
  if (choice === undefined) throw new AiError.InvalidOutputError({ description: "The answer has no choice." })
  const { content, refusal } = choice.message
  return [
    metadataOf(answer),
    ...(content ? [{ type: "text" as const, text: content }] : []),
    ...(refusal ? [{ type: "text" as const, text: refusal, metadata: { openai: { refusal } } }] : []),
    ...messageToolCalls(choice.message, "message").flatMap((call) => (call.isText ? [] : [toolCall(call)])),
    finish(choice.finish_reason, answer)
  ]
}

/** Reads one answer's chunks: `read` gives the parts of one, `end` those that its end completes. */
export class ChunkReader {
  readonly #text = new Set<"text" | "refusal">()
  readonly #calls = new ToolCallDeltas("choice")
  /** The ids of the calls that have begun. */
  readonly #begun = new Map<GrowingToolCall, string>()
  #started = false
  #reason: string | undefined
  #last: Chunk | undefined

  read(chunk: Chunk): ReadonlyArray<Response.StreamPartEncoded> {
    const parts: Array<Response.StreamPartEncoded> = []
    if (!this.#started) parts.push(metadataOf(chunk))
    this.#started = true
    if (usageOf(chunk) !== undefined) this.#last = chunk
    const [choice] = chunk.choices
    if (choice === undefined) return parts
    const { content, refusal } = choice.delta
    if (content) parts.push(...this.#said("text", content))
    if (refusal) parts.push(...this.#said("refusal", refusal))
    for (const call of this.#calls.add({ ...choice.delta })) parts.push(...this.#called(call))
    if (isReason(choice.finish_reason)) this.#reason = choice.finish_reason
    return parts
  }

  end(): ReadonlyArray<Response.StreamPartEncoded> {
    if (this.#reason === undefined)
      throw new AiError.InternalProviderError({ description: "The stream ended before its last chunk." })
    return [
      ...[...this.#text].map((id) => ({ type: "text-end" as const, id })),
      ...[...this.#begun].flatMap(([{ call }, id]) => [
        { type: "tool-params-end" as const, id },
        toolCall({ ...call, id })
      ]),
      finish(this.#reason, this.#last)
    ]
  }

  #said(id: "text" | "refusal", delta: string): ReadonlyArray<Response.StreamPartEncoded> {
    const part = { type: "text-delta" as const, id, delta }
    if (this.#text.has(id)) return [part]
    this.#text.add(id)
    return [{ type: "text-start", id, ...(id === "refusal" && { metadata: { openai: { refusal: true } } }) }, part]
  }

  #called({ growing, piece }: GrownToolCall): ReadonlyArray<Response.StreamPartEncoded> {
    const parts: Array<Response.StreamPartEncoded> = []
    let id = this.#begun.get(growing)
    if (id === undefined) {
      id = growing.id ?? `call_${this.#begun.size}`
      this.#begun.set(growing, id)
      parts.push({ type: "tool-params-start", id, name: growing.name })
    }
    if (piece !== "") parts.push({ type: "tool-params-delta", id, delta: piece })
    return parts
  }
}

const metadataOf = ({ created, id, model }: Completion | Chunk): Response.ResponseMetadataPartEncoded => ({
  type: "response-metadata",
  id,
  modelId: model,
  timestamp: new Date((created ?? 0) * 1000).toISOString()
})

const toolCall = ({ args, fault, id = "", name }: ToolCall): Response.ToolCallPartEncoded => {
  if (args === undefined || fault !== undefined)
    throw new AiError.ToolParameterValidationError({
      toolName: name,
      description: fault ?? "The arguments are no JSON object."
    })
  return { type: "tool-call", id, name, params: args }
}

const finish = (reason: string | null, answer: Completion | Chunk | undefined): Response.FinishPartEncoded => {
  const { cacheWrite, cached, input, output, reasoning } = usageOf(answer) ?? {}
  return {
    type: "finish",
    reason: reasons.get(reason ?? "") ?? "unknown",
    usage: {
      inputTokens: {
        total: input,
        cacheRead: cached,
        uncached: input === undefined ? undefined : input - (cached ?? 0),
        cacheWrite
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
