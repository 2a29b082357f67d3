/**
 * What a log's records say of the keys that sign it: which were named, and which had ended by a place in the log (audit
 * format, "Keys of the log"). A signature is judged by the state of its key at the size that it is over.
 */
import * as Result from "effect/Result"
import { thumbprint } from "../../keys/Keys.ts"
import { parseVerifierKey, type VerifierKey } from "./Checkpoint.ts"
import type { ReadRecord } from "../Record.ts"

/** Takes records in order; those that are not about a log key pass. */
export class LogKeys {
  readonly #named = new Map<string, { readonly index: number; readonly key: VerifierKey }>()
  readonly #ends = new Map<string, number>()

  /** Takes the record at its place. */
  take(record: ReadRecord): void {
    if (record.kind === "log.open") return this.#name(record.seq, record["vkey"])
    if (record["use"] !== "log") return
    if (record.kind === "key.active") return this.#name(record.seq, record["vkey"])
    const { kid, kind, seq } = record
    if (kind !== "key.retired" && kind !== "key.revoked") return
    // What ended stays ended; what is said of it again later changes nothing.
    if (typeof kid === "string" && !this.#ends.has(kid)) this.#ends.set(kid, seq)
  }

  #name(index: number, vkey: unknown): void {
    if (typeof vkey !== "string" || this.#named.has(vkey)) return
    const key = Result.getOrUndefined(parseVerifierKey(vkey))
    if (key !== undefined) this.#named.set(vkey, { index, key })
  }

  /** The keys that the first `size` records name: the `vkey` of a `log.open`, or of a `key.active` for the log. */
  namedBy(size: number): ReadonlyArray<VerifierKey> {
    return [...this.#named.values()].flatMap(({ index, key }) => (index < size ? [key] : []))
  }

  /** The record that ended the key, where it is among the first `size`. */
  endOf(key: VerifierKey, size: number): number | undefined {
    const end = this.#ends.get(thumbprint(Buffer.from(key.publicKey).toString("base64url")))
    return end !== undefined && end < size ? end : undefined
  }
}

/** True where both are one key under one name. */
export const isSameKey = (a: VerifierKey, b: VerifierKey): boolean =>
  a.name === b.name && Buffer.compare(a.publicKey, b.publicKey) === 0
