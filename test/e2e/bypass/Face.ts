/**
 * The faces of the product, each as a way to send a request that is plain data. What a face lets through, and what it refuses, is
 * the same for all of them; a case that some face has no way to make says so.
 */
import type { OpenAI } from "openai"
import { type SecureOpenAI, secureFetch } from "../../../src/index.ts"
import type { Attempt } from "./lab.ts"

/** A request as somebody would send it: below the base URL, and as JSON. */
export interface RequestCase {
  /** Default: POST. */
  readonly method?: string
  /** Below the base URL. Default: `/chat/completions`. */
  readonly path?: string
  readonly query?: Readonly<Record<string, unknown>>
  readonly headers?: Readonly<Record<string, string>>
  /** An object is sent as its JSON, a text as it is. */
  readonly body?: object | string
}

/** One way into the product, for a client of the lab. */
export interface Face {
  readonly name: string
  readonly send: (request: RequestCase) => Attempt
}

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
      const answer = (await response.json()) as {
        readonly error?: { readonly code: string; readonly message: string } | null
      }
      if (answer.error !== undefined && answer.error !== null)
        throw Object.assign(new Error(answer.error.message), answer.error)
      return answer
    }
}

export const faces: ReadonlyArray<Face> = [client, fetched]
