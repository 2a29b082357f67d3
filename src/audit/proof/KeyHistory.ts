/**
 * What a log says of the agent keys: a signature is judged by the state of its key at its place in the log, not by today's.
 */
import type { ReadRecord } from "../Record.ts"

/** What a key was at a place: named by no record before it, in use, out of use, or known to others. */
export type KeyState = "unknown" | "active" | "retired" | "revoked"

/** Takes records in order; those that are about no agent key pass. */
export class KeyHistory {
  readonly #states = new Map<string, Array<{ readonly index: number; readonly state: KeyState }>>()
  readonly #keys = new Map<string, Readonly<Record<string, unknown>>>()

  /** The history that records tell, oldest first. */
  static of(records: Iterable<ReadRecord>): KeyHistory {
    const history = new KeyHistory()
    for (const record of records) history.take(record)
    return history
  }

  take(record: ReadRecord): void {
    const { jwk, kid, kind, seq, use } = record
    const state = states.get(kind)
    if (state === undefined || use !== "agent" || typeof kid !== "string") return
    let known = this.#states.get(kid)
    if (known === undefined) this.#states.set(kid, (known = []))
    // What ended stays ended: a key comes back only under another id.
    const last = known.at(-1)?.state
    if (last === "revoked" || (last === "retired" && state === "active")) return
    known.push({ index: seq, state })
    if (typeof jwk === "object" && jwk !== null) this.#keys.set(kid, jwk as Readonly<Record<string, unknown>>)
  }

  /** What a key was for the record with this index: what the records before it, and itself, say. */
  stateAt(kid: string, index: number): KeyState {
    return this.#states.get(kid)?.findLast((one) => one.index <= index)?.state ?? "unknown"
  }

  /** The public JWK of a key. */
  jwk(kid: string): Readonly<Record<string, unknown>> | undefined {
    return this.#keys.get(kid)
  }
}

const states: ReadonlyMap<string, KeyState> = new Map([
  ["key.active", "active"],
  ["key.retired", "retired"],
  ["key.revoked", "revoked"]
])
