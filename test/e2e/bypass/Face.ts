/**
 * The faces of the product, each as a way to send a request that is plain data. What a face lets through, and what it refuses, is
 * the same for all of them; a case that some face has no way to make says so.
 */
import type { OpenAI } from "openai"
import { type SecureOpenAI, secureFetch } from "../../../src/index.ts"
import type { Attempt, RequestCase, Tried } from "./lab.ts"

/** One way into the product, for a client of the lab. */
export interface Face {
  readonly name: string
  readonly send: (request: RequestCase) => Attempt
}

const isStreamed = (body: object | string | undefined): boolean =>
  typeof body === "object" && "stream" in body && body.stream === true

const json = { "content-type": "application/json" }
const chat = "/chat/completions"

/** The SDK's own way. */
const client: Face = {
  name: "the client",
  send:
    ({ body, headers, method = "POST", path = chat, query }) =>
    (c) =>
      c.request({
        method: method.toLowerCase() as "post",
        path,
        ...(body !== undefined && { body }),
        ...(isStreamed(body) && { stream: true }),
        ...(query !== undefined && { query: query as Record<string, string> }),
        headers: { ...(typeof body === "string" && json), ...headers }
      })
}

/** The way of libraries that build a client of their own. What its answer says of a refusal is thrown, as the SDK does. */
const fetched: Face = {
  name: "secureFetch",
  send:
    ({ body, headers, method = "POST", path = chat, query }) =>
    async (c: OpenAI) => {
      const url = new URL(`https://api.openai.com/v1${path}`)
      for (const [name, value] of Object.entries(query ?? {})) url.searchParams.append(name, String(value))
      const response = await secureFetch(c as SecureOpenAI)(url, {
        method,
        headers: { ...json, ...headers },
        ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) })
      })
      if (response.headers.get("content-type") === "text/event-stream") return response.text()
      const answer = (await response.json()) as {
        readonly error?: { readonly code: string; readonly message: string } | null
      }
      if (answer.error !== undefined && answer.error !== null)
        throw Object.assign(new Error(answer.error.message), answer.error, { status: response.status })
      return answer
    }
}

export const faces: ReadonlyArray<Face> = [client, fetched]

/** Has a test run for every face that can make a request; an error says through which one. */
export const through = async (tried: Tried, test: (run: Attempt) => Promise<void>): Promise<void> => {
  if (typeof tried === "function") return test(tried)
  for (const { name, send } of faces)
    try {
      await test(send(tried))
    } catch (error) {
      if (error instanceof Error) error.message = `through ${name}: ${error.message}`
      throw error
    }
}
