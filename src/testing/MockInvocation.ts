/**
 * An invocation for tests: it sends nothing, and answers as it is told.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { Committed } from "../call/States.ts"
import { Reply } from "../call/Reply.ts"
import type { JsonObject } from "../base/Json.ts"
import { EnforcementUnavailable, type PipelineError, ProviderFailed } from "../call/Errors.ts"
import { Invocation } from "../invocation/Invocation.ts"
import { chunks, type ModelOutput, whole } from "./MockAnswers.ts"

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
export type MockReply = ModelOutput | { readonly value: unknown } | Error | ((request: SentRequest) => MockReply)

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
      ? Reply.stream(Stream.fromIterable(chunks(reply, { ...request, n })))
      : Reply.json(whole(reply, { ...request, n }))
  )
}
