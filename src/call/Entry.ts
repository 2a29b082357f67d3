/**
 * The connection between a call and its record in the log.
 */
import type { CallEnd } from "./CallEnd.ts"
import type { Claim } from "./Claim.ts"
import type { Violation } from "./Decision.ts"
import type { Receipt, Reply } from "./Reply.ts"

/** Callbacks through which the decoder of a provider's stream reports to the log. */
export interface Listener {
  /** The stream begins to be read. */
  readonly begun: () => void
  /** A chunk's `data`, as received, in order, before it is handed on. */
  readonly received: (data: string) => void
  /** The provider ended the stream properly (`[DONE]`). */
  readonly whole: () => void
}

/** The log's durable acknowledgement of a decision: the index of its record, the receipt, and callbacks for the answer. */
export interface Entry extends Listener {
  readonly seq: number
  /** What was claimed for the call, in one step with that record. */
  readonly claims: ReadonlyArray<Claim>
  readonly receipt: Receipt
  /** The chunks that arrived, before output rules hold any of them back. */
  readonly came: (chunks: ReadonlyArray<unknown>) => void
  /** What output rules found in the answer, before it is handed on. */
  readonly judged: (found: JudgedAnswer) => void
  /** Calls `subscriber` once with how the call ended: at its end, or at once where it has ended. */
  readonly onEnd: (subscriber: (end: CallEnd) => void) => void
}

/**
 * What output rules found: `violations` by rules that hold, `observed` by those of policies that are only observed. `answer`
 * is the whole answer where that is refused, for the log to digest.
 */
export interface JudgedAnswer {
  readonly violations: ReadonlyArray<Violation>
  readonly observed: ReadonlyArray<Violation>
  readonly answer?: Extract<Reply, { readonly _tag: "Json" }>
}
