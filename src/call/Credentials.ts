/**
 * What a caller shows to be identified by, before anything is verified.
 */
import type * as Redacted from "effect/Redacted"

/** A token, or a function that returns a fresh one. The function is called again once the last token has expired. */
export type TokenSource = Redacted.Redacted<string> | (() => Promise<string>)

/**
 * In whose name a call is made. Nothing in it is verified yet.
 *
 * - `App`: the application itself.
 * - `User`: the bearer of a token; `userName`, where given, must be the name that the token gives.
 * - `Agent`: an agent of this workspace without a token; its signed envelope is what is verified.
 */
export type Credentials =
  | { readonly _tag: "App" }
  | { readonly _tag: "User"; readonly token: TokenSource; readonly userName?: string }
  | { readonly _tag: "Agent"; readonly name: string }
