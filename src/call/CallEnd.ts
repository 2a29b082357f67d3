/**
 * How a call ended: what the audit log records as its outcome, and what subscribers of `Entry.onEnd` receive.
 */
import type { Usage } from "../answer/Usage.ts"

/**
 * How a call ended (audit format, "Records"): `complete`; `failed` (the provider, or the network before an answer began); `cut`
 * (a stream that ended before its answer did); `abandoned` (the caller stopped reading); `aborted` (a signal, a timeout, an
 * interruption); `refused` (after the decision); `unknown` (the process died).
 */
export type CallResult = "complete" | "failed" | "cut" | "abandoned" | "aborted" | "refused" | "unknown"

/** The end of a call whose decision is in the log. */
export interface CallEnd {
  /** The call's id, as the log names it. */
  readonly call: string
  readonly result: CallResult
  /** HTTP status of the answer; absent where none came. */
  readonly status?: number | undefined
  /** How many HTTP requests were made; 0 where none is known. */
  readonly attempts: number
  /** What the provider reports that the call used, in tokens; absent where it reports nothing. */
  readonly usage?: Usage | undefined
  /** Class name of the error that the call ended with. */
  readonly error?: string | undefined
  /** From the decision to the end, in ms. */
  readonly ms: number
}
