/**
 * The response that a provider's error came in, for those who speak HTTP and not the SDK's errors: the SDK reads it, and
 * keeps its status and headers but not its text.
 */
import { responseLike } from "./SdkAnswer.ts"

// A table, for the SDK makes these errors itself.
const responses = new WeakMap<object, { readonly response: Response; readonly text: string }>()

/** Remembers what an error was made of, for as long as the error lives; nothing where the text was not read to its end. */
export const rememberErrorResponse = (error: unknown, response: Response, text: string | undefined): void => {
  if (typeof error === "object" && error !== null && text !== undefined) responses.set(error, { response, text })
}

/** The response of a provider's error: its status, headers and text, untouched. A new one at each call. */
export const errorResponseOf = (error: unknown): Response | undefined => {
  const came = typeof error === "object" && error !== null ? responses.get(error) : undefined
  return came === undefined ? undefined : responseLike(came.response, came.text, "text/plain")
}
