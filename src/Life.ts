/**
 * How long something lives, and what ends with it: a client, a binding, a registration. What depends on a life ends when it
 * does, for the same reason; a life does not keep what depends on it.
 *
 * @since 0.2.0
 */

/**
 * A life, which ends once.
 *
 * @category models
 */
export class Life {
  #over: Error | undefined
  /** What ends with this one, held weakly: a long life may see many short ones. */
  readonly #dependents = new Set<WeakRef<Life>>()
  readonly #listeners = new Set<(reason: Error) => void>()
  readonly #left: Array<() => void> = []

  /** A life that ends with the first of `others` at the latest; over at once where one of them is. */
  constructor(...others: ReadonlyArray<Life>) {
    const self = new WeakRef(this)
    for (const other of others) {
      if (other.#over !== undefined) this.#over ??= other.#over
      const leave = (): void => void other.#dependents.delete(self)
      other.#dependents.add(self)
      this.#left.push(leave)
      collected.register(this, leave, this)
    }
    if (this.#over !== undefined) this.#leave()
  }

  /** Why it is over; undefined while it is not. */
  get over(): Error | undefined {
    return this.#over
  }

  /** Ends it, and what depends on it, for a reason that each of them keeps. Later calls do nothing. */
  end(reason: Error): void {
    if (this.#over !== undefined) return
    this.#over = reason
    this.#leave()
    for (const listener of this.#listeners) listener(reason)
    this.#listeners.clear()
    for (const dependent of this.#dependents) dependent.deref()?.end(reason)
    this.#dependents.clear()
  }

  /** Calls back once with the reason of the end, at once where it is over already; gives the way to give that up. */
  onEnd(listener: (reason: Error) => void): () => void {
    if (this.#over !== undefined) {
      listener(this.#over)
      return () => {}
    }
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  #leave(): void {
    collected.unregister(this)
    for (const leave of this.#left.splice(0)) leave()
  }
}

const collected = new FinalizationRegistry<() => void>((leave) => leave())
