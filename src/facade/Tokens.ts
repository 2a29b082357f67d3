/**
 * Tokens: objects that stand in the open, in options and requests that anyone may read and copy, for something that only the
 * module that made them may have.
 */

/** Makes tokens for values of one kind, and reads them. */
export interface Tokens<A> {
  /** A token for a value. Nothing that can be reached from it is the value. */
  readonly standingFor: (value: A) => object
  /** The value that a token stands for; undefined for anything else, another kind's token among it. */
  readonly behind: (token: unknown) => A | undefined
}

/** Tokens of a kind of their own. */
export const makeTokens = <A>(): Tokens<A> => {
  let behind: Tokens<A>["behind"] = () => undefined
  class Token {
    readonly #value: A
    constructor(value: A) {
      this.#value = value
    }
    static {
      behind = (token) => (typeof token === "object" && token !== null && #value in token ? token.#value : undefined)
    }
  }
  return { standingFor: (value) => new Token(value), behind: (token) => behind(token) }
}
