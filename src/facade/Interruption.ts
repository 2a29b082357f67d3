/**
 * What ends the HTTP requests of an exchange from outside: a closed client, an ended binding, a changed request.
 */

/** The interruption of one exchange. Its first reason counts. */
export class Interruption {
  #reason: Error | undefined
  #controller: AbortController | undefined

  /** Why the exchange was interrupted; undefined while it was not. */
  get reason(): Error | undefined {
    return this.#reason
  }

  /** Ends every later attempt; returns the reason that counts. */
  stop(reason: Error): Error {
    return (this.#reason ??= reason)
  }

  /** Ends the attempt that is under way, too. */
  interrupt(reason: Error): void {
    this.stop(reason)
    this.#controller?.abort(reason)
  }

  /** The signal of an attempt that begins. It ends with the SDK's signal (the caller's, the timeout, `stream.controller`), and with us. */
  attempt(theirs: AbortSignal | null | undefined): AbortSignal {
    const controller = (this.#controller = new AbortController())
    if (this.#reason !== undefined) controller.abort(this.#reason)
    else if (theirs?.aborted) controller.abort(theirs.reason)
    else theirs?.addEventListener("abort", () => controller.abort(theirs.reason), { once: true })
    return controller.signal
  }
}
