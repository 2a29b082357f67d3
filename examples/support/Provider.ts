/**
 * An OpenAI-compatible server on this machine, so that every example runs without a key and without the network. It is
 * a real server behind a real socket; only the model's wit is missing.
 */
import { type ChatCompletionRequest, LLMock } from "@copilotkit/aimock"
import type { OpenAI } from "openai"

/** What the model says, or the functions that it asks for. */
export type Answer =
  | string
  | { readonly calls: ReadonlyArray<{ readonly name: string; readonly arguments: Readonly<Record<string, unknown>> }> }

/** A request as it arrived at the server: what was really sent. */
export type Received = Pick<OpenAI.ChatCompletionCreateParams, "model" | "messages" | "tools"> & {
  readonly max_tokens?: number
  readonly temperature?: number
}

export interface Provider extends AsyncDisposable {
  /** For the option `baseURL` of a client. */
  readonly url: string
  /** Every chat completion that arrived so far, in order. */
  readonly received: () => ReadonlyArray<Received>
}

/** The model's part in a conversation: it says which model it is, and what it was asked. */
const echo = (request: ChatCompletionRequest): Answer => `${request.model} here. You said: ${lastText(request)}`

/** The last message's text. */
export const lastText = (request: ChatCompletionRequest): string => {
  const content = request.messages.at(-1)?.content
  return typeof content === "string" ? content : ""
}

/** Starts a server that answers by `answer`. A stream arrives a few letters at a time, as it does from a real model. */
export const startProvider = async (answer: (request: ChatCompletionRequest) => Answer = echo): Promise<Provider> => {
  const server = new LLMock({ port: 0, host: "127.0.0.1", logLevel: "silent", latency: 20, chunkSize: 6 })
  server.addFixture({
    match: { predicate: () => true },
    response: (request) => {
      if (request._endpointType === "embedding") return { embedding: [0.25, -0.5, 0.75] }
      const said = answer(request)
      if (typeof said === "string") return { content: said }
      return { toolCalls: said.calls.map((call) => ({ ...call, arguments: JSON.stringify(call.arguments) })) }
    }
  })
  await server.start()
  return {
    url: `${server.url}/v1`,
    received: () =>
      server
        .getRequests()
        .filter(({ path }) => path.endsWith("/chat/completions"))
        .map(({ body }) => body as unknown as Received),
    [Symbol.asyncDispose]: () => server.stop()
  }
}
