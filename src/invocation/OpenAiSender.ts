/**
 * Sends committed calls with the plain SDK, for programs that run the pipeline without the facade.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { APIError, type ClientOptions, OpenAI } from "openai"
import type { Committed } from "../call/States.ts"
import { type Meta, Reply } from "../call/Reply.ts"
import { EnforcementUnavailable, type PipelineError, ProviderFailed } from "../call/Errors.ts"
import { endpointAt, isOperation, operations, withoutSlashes } from "../call/Operation.ts"
import { ChunkStream } from "./Sse.ts"

/** Counts the HTTP requests of one call; travels in its fetch options. */
const attemptsKey = Symbol("secure-openai/attempts")
interface Attempts {
  count: number
}

/** A function that sends a committed call through a client of the SDK made with `options`. Throws as that client does. */
export const sender = (options: ClientOptions): ((committed: Committed) => Effect.Effect<Reply, PipelineError>) => {
  const fetch = options.fetch ?? globalThis.fetch
  const client = new OpenAI({
    ...options,
    fetch: (input, init) => {
      const attempts = (init as { readonly [attemptsKey]?: Attempts } | undefined)?.[attemptsKey]
      if (attempts !== undefined) attempts.count++
      return fetch(input, init)
    }
  })
  return (committed) =>
    Effect.suspend((): Effect.Effect<Reply, PipelineError> => {
      const { call, endpoint } = committed
      const url = isOperation(call.operation)
        ? `${withoutSlashes(client.baseURL)}${endpointAt(operations[call.operation], endpoint).path}`
        : ""
      if (endpoint !== `POST ${url}`)
        return Effect.fail(
          new EnforcementUnavailable({
            stage: "invocation",
            message: `The call is for ${endpoint}, but this sender serves ${client.baseURL}; make the call with the same baseURL.`
          })
        )
      const attempts: Attempts = { count: 0 }
      const failed = (cause: unknown) =>
        new ProviderFailed({
          cause,
          attempts: attempts.count,
          ...(cause instanceof APIError && cause.status !== undefined && { status: cause.status })
        })
      const request = (signal: AbortSignal) =>
        client.post<unknown>(url, {
          body: committed.bytes,
          headers: { "content-type": "application/json" },
          stream: call.stream,
          signal,
          fetchOptions: { [attemptsKey]: attempts } as NonNullable<ClientOptions["fetchOptions"]>,
          ...(call.stream && { __streamClass: ChunkStream })
        })
      const meta = (response: Response): Meta => ({
        status: response.status,
        headers: response.headers,
        requestId: response.headers.get("x-request-id"),
        attempts: attempts.count
      })
      return call.stream
        ? Effect.tryPromise({
            try: async (signal) => {
              const { data, response } = await request(signal).withResponse()
              const reads = (data as ChunkStream<unknown>).reads(committed.entry)
              return Reply.stream(Stream.flattenArray(Stream.fromAsyncIterable(reads, failed)), meta(response))
            },
            catch: failed
          })
        : Effect.tryPromise({
            try: async (signal) => {
              const response = await request(signal).asResponse()
              const text = await response.text()
              return Reply.json(text === "" ? undefined : (JSON.parse(text) as unknown), { ...meta(response), text })
            },
            catch: failed
          })
    })
}
