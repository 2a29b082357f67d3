/**
 * The port between the audit stage and the store of the log: records are appended, become durable in groups, and are read back.
 * The log in a folder and the log in memory implement it; `test/audit/conformance.ts` holds what every implementation must do.
 *
 * A record's place is the store's to give. One writer knows it at once; where several processes write one log, it is known only
 * when the record's group is durable. Code that uses this port reads a place only after `whenDurable` has called back.
 */
import type * as Result from "effect/Result"
import type { EnforcementUnavailable } from "../call/Errors.ts"
import type { LogStatus } from "./LogStatus.ts"
import type { Quota } from "./Quota.ts"
import type { Body, ReadRecord } from "./Record.ts"
import type { Unverified } from "./Refusals.ts"

/** Where a record stands in the log. */
export interface Place {
  /** How many records stand before it. */
  readonly seq: number
  /** Leaf hash of its line, 32 bytes. */
  readonly leaf: Uint8Array
  /** When it was written by the log's clock, in ms since 1970. */
  readonly ts: number
}

/** A record that was appended. */
export interface Appended {
  /** Undefined until the log knows it; always known once the record is durable. */
  readonly place: Place | undefined
}

type Pointing = "stream.open" | "outcome"

/** A body as it is appended: it may point at a record of the same boot that has no place yet. The log puts its index there. */
export type AppendedBody =
  | Exclude<Body, { readonly kind: Pointing }>
  | {
      readonly [K in Pointing]: Omit<Extract<Body, { readonly kind: K }>, "decision"> & {
        readonly decision: number | Appended
      }
    }[Pointing]

/** Called once: with undefined when everything that was appended before is durable, or with the reason why it never will be. */
export type Settled = (fault: EnforcementUnavailable | undefined) => void

/**
 * A boot: from its `log.open` until it closes, or until a write fails. Everything about one call is appended to one boot; the
 * next boot records the calls that this one leaves open as `unknown`.
 */
export interface Boot {
  /** Its id, as in its records. */
  readonly boot: string
  /** Why it takes no more records; undefined while it does. */
  readonly fault: EnforcementUnavailable | undefined
  /** What callers have claimed of their limits in this log. A decision claims in one step with its record. */
  readonly quota: Quota
  /** The log's clock, in ms since 1970: the time of a record that is appended now. */
  readonly now: () => number
  /**
   * Takes in a record after those that were appended before, or fails with {@link fault}. Does not wait for the store. `at` is the
   * record's time where it was asked for before.
   */
  readonly append: (body: AppendedBody, at?: number) => Result.Result<Appended, EnforcementUnavailable>
  /** Makes everything durable that was appended so far, then calls back; never within the call, unless there is a fault. */
  readonly whenDurable: (settled: Settled) => void
}

/** A log that is open for writing. */
export interface Log extends Pick<Boot, "append" | "whenDurable"> {
  /** Where it is, for messages and status: a folder, `memory`, or an address without its secrets. */
  readonly path: string
  /** Which log: `secure-openai/` and 16 hex digits. */
  readonly origin: string
  /** The boot that takes records now. A log that failed is opened anew by this, once it is time. */
  readonly current: () => Boot
  /** Why no call may begin although records are taken: checkpoints are overdue, or the clock was set back. */
  readonly blocked: () => EnforcementUnavailable | undefined
  /** How the log stands. Reads memory alone, and opens nothing anew. */
  readonly status: () => LogStatus
  /** The other logs of the same default path, by their folders. */
  readonly siblings: () => ReadonlyArray<string>
  /** Counts refusals that are not worth a record each, and writes them together. */
  readonly refusals: { readonly add: (refusal: Unverified) => void; readonly write: () => void }
  /** Called before the log closes, to append what must still be recorded. */
  readonly closing: Set<() => void>
  readonly reader: LogReader
  /** Ends well: `log.close`, and a checkpoint that covers it. Closing twice does no more than closing once. */
  readonly close: () => Promise<void>
}

/** Some whole lines of a log, without their newlines, in order. Of a line that is too long there is only the beginning. */
export interface Batch {
  /** Index of its first line, by the store's own count. */
  readonly first: number
  readonly lines: ReadonlyArray<Buffer>
  /** The part of the store whose first lines these are, by its name; undefined for a batch that goes on with a part. */
  readonly begins: string | undefined
  /** How many bytes come after the last whole line of the part; 0 but in the part's last batch. */
  readonly torn: number
  /** True for a batch of the last part. */
  readonly last: boolean
}

/** Reads a log from the outside, also while it is written. Methods reject with what the store fails with. */
export interface LogReader {
  /** Where the log is, for messages. */
  readonly path: string
  /** True where there is anything of a log. */
  readonly isThere: () => Promise<boolean>
  /** Text of the newest checkpoint; undefined where there is none. The failure is why it is no text. */
  readonly checkpoint: () => Promise<Result.Result<string, string> | undefined>
  /** Text of the verifier keys, likewise. */
  readonly keys: () => Promise<Result.Result<string, string> | undefined>
  /** Leaf hashes that the store kept, 32 bytes each: a hint, which may be missing or wrong. */
  readonly leaves: () => Promise<Uint8Array>
  /** Indices from which reading is cheap, ascending: where the parts of the store begin. */
  readonly starts: () => Promise<ReadonlyArray<number>>
  /** The lines from record `from` on, as far as they are written now; a batch may begin before. Ends early where `signal` aborts. */
  readonly records: (from?: number, signal?: AbortSignal) => AsyncIterable<Batch>
}

/** A line of a log. */
export interface Line {
  readonly index: number
  readonly text: string
  /** Undefined where the line is not valid. */
  readonly record: ReadRecord | undefined
}

/** The body with the index of the record that it points at. Requires that record to have its place. */
export const placed = (body: AppendedBody): Body => {
  if (body.kind !== "outcome" && body.kind !== "stream.open") return body
  const { decision } = body
  // The usual case, on the way of every call: no copy.
  if (typeof decision !== "object") return body as Body
  if (decision.place === undefined) throw new Error("a record points at one that has no place yet")
  return { ...body, decision: decision.place.seq }
}
