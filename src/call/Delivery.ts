/**
 * How one agent calls the service of another: the message that it sends, and what receives it. A message is plain data, apart from
 * the caller's credentials: it is what will travel between processes.
 */
import type { JsonObject } from "../base/Json.ts"
import type { Life } from "../base/Life.ts"
import type { Credentials } from "./Credentials.ts"
import type { IntentPolicy } from "./Lineage.ts"
import type { Principal } from "./Principal.ts"

/** A call from one agent to another. */
export interface Message {
  /** `generate`, `complete`, `embed`, or the name of a registered tool. */
  readonly operation: string
  readonly params: JsonObject
  /** The text that the envelope was signed over. */
  readonly bytes: string
  readonly stream: boolean
  readonly credentials: Credentials
  readonly intents: ReadonlyArray<IntentPolicy>
  /** The caller's signed envelope, a compact JWS, and the envelopes that it follows, root first. */
  readonly invocation: string
  readonly chain: ReadonlyArray<string>
  /** The principals besides the caller whose policies apply. */
  readonly behalf: ReadonlyArray<Principal>
  /** Id of the call that caused this one. */
  readonly parent: string | undefined
}

/** What ends a delivery in this process, before its answer is complete. */
export interface Cancellation {
  /** The caller's registration. */
  readonly life: Life
  readonly signal: AbortSignal | undefined
}

/** A service that other agents may call. */
export interface Service {
  /** Its agent id. */
  readonly id: string
  /** Its name in policies, `app:<app>`. */
  readonly app: string
  /** Method and URL of an operation, `POST https://host/path`; part of what a caller signs. */
  readonly endpoint: (operation: string, params: object) => Promise<string>
  /** The arguments of a tool that hold a prompt. */
  readonly prompts: (operation: string) => ReadonlyArray<string>
  /** Runs the call. Resolves with raw JSON, or with an `AsyncIterable` of raw chunks. */
  readonly deliver: (message: Message, cancellation: Cancellation) => Promise<unknown>
}
