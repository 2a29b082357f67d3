/**
 * Answers for tests: what a mocked model says, in the shapes of the API, plain and streamed.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { type Committed, Reply } from "../Call.ts"
import type { JsonObject } from "../CanonicalJson.ts"
import { EnforcementUnavailable, type PipelineError, ProviderFailed } from "../Errors.ts"
import { Invocation } from "../invocation/Invocation.ts"

/** A request as the provider would have got it. */
export interface SentRequest {
  readonly operation: string
  readonly endpoint: string
  /** The params after policy: what was sent. */
  readonly params: JsonObject
  readonly principal: string
}

/**
 * One answer: a text, a tool that the model asks for, a whole value in the API's own shape, an `Error` to fail with, or a
 * function of the request.
 */
export type MockReply =
  | string
  | { readonly tool: string; readonly arguments: JsonObject }
  | { readonly value: unknown }
  | Error
  | ((request: SentRequest) => MockReply)

/**
 * An invocation that sends nothing: it answers with `replies` in turn (the last one again and again), and keeps what would
 * have been sent in `requests`.
 */
export const layer = (replies: ReadonlyArray<MockReply>, requests: Array<SentRequest> = []): Layer.Layer<Invocation> =>
  Layer.succeed(Invocation, {
    invoke: (committed) =>
      Effect.suspend(() => {
        const request = requestOf(committed)
        requests.push(request)
        const reply = replies[Math.min(requests.length, replies.length) - 1]
        return reply === undefined ? Effect.fail(noReply) : answer(reply, request, requests.length)
      })
  })

const noReply = new EnforcementUnavailable({ stage: "invocation", message: "The mock was given no replies." })

const requestOf = ({ call, params, principal }: Committed): SentRequest => ({
  operation: call.operation,
  endpoint: call.endpoint,
  params,
  principal: `${principal.kind}:${principal.id}`
})

const answer = (reply: MockReply, request: SentRequest, n: number): Effect.Effect<Reply, PipelineError> => {
  if (typeof reply === "function") return Effect.suspend(() => answer(reply(request), request, n))
  if (reply instanceof Error) return Effect.fail(new ProviderFailed({ cause: reply, attempts: 1 }))
  if (typeof reply === "object" && "value" in reply) return Effect.succeed(Reply.json(reply.value))
  return Effect.succeed(
    request.params["stream"] === true
      ? Reply.stream(Stream.fromIterable(chunks(reply, request, n)))
      : Reply.json(whole(reply, request, n))
  )
}

type Said = string | { readonly tool: string; readonly arguments: JsonObject }

const whole = (said: Said, { operation, params }: SentRequest, n: number): unknown => {
  const model = params["model"]
  const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }
  if (operation === "embed")
    return { object: "list", model, data: [{ object: "embedding", index: 0, embedding: [0.5, -0.5] }], usage }
  if (operation === "complete")
    return {
      id: `cmpl-test-${n}`,
      object: "text_completion",
      created: 0,
      model,
      choices: [{ index: 0, text: said, finish_reason: "stop", logprobs: null }],
      usage
    }
  const message =
    typeof said === "string"
      ? { role: "assistant", content: said, refusal: null }
      : { role: "assistant", content: null, refusal: null, tool_calls: [toolCall(said, n)] }
  const finish_reason = typeof said === "string" ? "stop" : "tool_calls"
  return {
    id: `chatcmpl-test-${n}`,
    object: "chat.completion",
    created: 0,
    model,
    choices: [{ index: 0, message, finish_reason, logprobs: null }],
    usage
  }
}

const toolCall = (said: Exclude<Said, string>, n: number) => ({
  id: `call_test_${n}`,
  type: "function",
  function: { name: said.tool, arguments: JSON.stringify(said.arguments) }
})

/** A text comes word by word, a tool call in one chunk. */
const chunks = (said: Said, { operation, params }: SentRequest, n: number): ReadonlyArray<unknown> => {
  const chat = operation === "generate"
  const chunk = (content: object, finish_reason: string | null) => ({
    id: `${chat ? "chatcmpl" : "cmpl"}-test-${n}`,
    object: chat ? "chat.completion.chunk" : "text_completion",
    created: 0,
    model: params["model"],
    choices: [{ index: 0, ...content, finish_reason, logprobs: null }]
  })
  if (typeof said !== "string")
    return [
      chunk({ delta: { role: "assistant", tool_calls: [{ index: 0, ...toolCall(said, n) }] } }, null),
      chunk({ delta: {} }, "tool_calls")
    ]
  const words = said.match(/\S+\s*/g) ?? [said]
  const content = (text: string) => (chat ? { delta: { content: text } } : { text })
  return [...words.map((word) => chunk(content(word), null)), chunk(chat ? { delta: {} } : { text: "" }, "stop")]
}
