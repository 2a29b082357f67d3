/**
 * What an exchange keeps of the provider's last response: its text, its head, and whether it is an error. The SDK logs responses
 * before output rules judge them, and the holder of a user's client may give the logger, so denied texts are hidden meanwhile.
 */
import { APIError, APIUserAbortError } from "openai"
import { ProviderFailed } from "../call/Errors.ts"
import type { OutputRules } from "../call/Judge.ts"
import type { ResponseHead } from "../call/ResponseHead.ts"
import { holdsDenied, veil } from "../invocation/output/HeadGate.ts"
import { rememberErrorResponse } from "./ErrorResponses.ts"

/** The responses of one exchange; of several attempts the last counts. */
export class ProviderResponse {
  #text: string | undefined
  #error: Response | undefined
  #redirectedTo: string | undefined
  #unveil: (() => void) | undefined

  /** The text of the last body that was read as one, as received. */
  get text(): string | undefined {
    return this.#text
  }

  /**
   * Takes in the response to a request that went to `url`, and returns it as the SDK may have it. Where there are `rules`, denied
   * texts are hidden from the SDK in its head, and in an error's text that is no JSON: the SDK logs these.
   */
  receive(response: Response, url: string, rules: OutputRules | undefined): Response {
    const seeks = rules !== undefined && rules.denied.length > 0 ? rules : undefined
    this.#redirectedTo = response.url === url || response.url === "" ? undefined : response.url
    this.#unveil = seeks && veil(response, url, seeks)
    if (!response.ok) this.#error = response
    const text = response.text
    response.text = async () => {
      const read = (this.#text = await text.call(response))
      return seeks !== undefined && !response.ok && !isJson(read) && holdsDenied(read, seeks) ? "" : read
    }
    return response
  }

  /** Shows the last head as it was received: the SDK has logged what it logs. */
  unveil(): void {
    this.#unveil?.()
  }

  /** The head of a response, with the URL where a redirect led. */
  headOf({ headers, statusText }: Response): ResponseHead {
    return { headers, statusText, ...(this.#redirectedTo !== undefined && { url: this.#redirectedTo }) }
  }

  /** Remembers the response that an error of the SDK was made of: the last error, or the one that is given. */
  remember(error: unknown, response = this.#error): void {
    if (response !== undefined) rememberErrorResponse(error, response, this.#text)
  }

  /**
   * The failure of a call: of the SDK's `error`, or the `interruption` in whose course it came. It carries the text and the head of
   * the provider's last error, for output rules to judge. `attempts` counts HTTP requests.
   */
  failed(error: unknown, interruption: Error | undefined, attempts: number): ProviderFailed {
    const isInterrupted = interruption !== undefined && (error === interruption || error instanceof APIUserAbortError)
    const cause = isInterrupted ? Object.assign(new APIUserAbortError(), { cause: interruption }) : error
    return new ProviderFailed({
      cause,
      attempts,
      ...(cause instanceof APIError && cause.status !== undefined ? { status: cause.status } : {}),
      ...(this.#error !== undefined && {
        head: this.headOf(this.#error),
        ...(this.#text !== undefined && { body: this.#text })
      })
    })
  }
}

/** True for a text of which the SDK makes an error's body: it logs any other. */
const isJson = (text: string): boolean => {
  try {
    return Boolean(JSON.parse(text))
  } catch {
    return false
  }
}
