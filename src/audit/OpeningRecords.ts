/**
 * What every boot of a log records first: that it is open, how it recovers from the boot before, and which keys are in use.
 */
import { version } from "../base/Version.ts"
import * as Redacted from "effect/Redacted"
import { saltId } from "../keys/KeyFolder.ts"
import type { AnyKey, Keys } from "../keys/Keys.ts"
import { formatVerifierKey, verifierKey } from "./proof/Checkpoint.ts"
import type { Body } from "./Record.ts"

/** The program's name and version, as `log.open` records it. */
export const software = `secure-openai/${version}`

/** The keys that sign a log. */
export interface SigningKeys {
  /** Signs checkpoints. */
  readonly key: AnyKey<"log">
  /** The key that takes its place: until then both sign. */
  readonly next?: AnyKey<"log"> | undefined
}

/** What a boot that did not close has left. */
export interface Left {
  /** The boot. */
  readonly previous: string
  /** Bytes after the last whole line, which were moved aside. */
  readonly dropped: number
  /** Its open calls: id, index of the record that opened the call, and when that was written, in ms since 1970. */
  readonly calls: ReadonlyArray<{ readonly call: string; readonly decision: number; readonly ts: number }>
}

/** The first records of a boot: `log.open`, what recovery records, and a key that takes the log key's place. `now`: in ms since 1970. */
export const bootRecords = (
  origin: string,
  { key, next }: SigningKeys,
  left: Left | undefined,
  now: number
): ReadonlyArray<Body> => {
  const vkeyOf = ({ publicKey }: AnyKey<"log">): string => formatVerifierKey(verifierKey(origin, publicKey))
  const records: Array<Body> = [{ kind: "log.open", origin, vkey: vkeyOf(key), software }]
  if (left !== undefined) {
    const { calls, dropped, previous } = left
    records.push({ kind: "log.recovered", previous, dropped, open: calls.length })
    for (const { call, decision, ts } of calls)
      records.push({ kind: "outcome", call, decision, result: "unknown", attempts: 0, ms: Math.max(0, now - ts) })
  }
  if (next !== undefined)
    records.push({ kind: "key.active", use: "log", kid: next.kid, jwk: next.jwk, vkey: vkeyOf(next) })
  return records
}

/** What a boot records of the keys: which are in use no more, then which are. */
export const openingRecords = ({ agent, ended = [], log, salt }: Keys["Service"]): ReadonlyArray<Body> => [
  ...ended.map(({ kid, state, use, x }): Body => ({
    kind: state === "revoked" ? "key.revoked" : "key.retired",
    use,
    kid,
    jwk: x === undefined ? undefined : { kty: "OKP", crv: "Ed25519", x }
  })),
  keyRecord("log", log),
  keyRecord("agent", agent),
  ...(ended.some(({ use }) => use === "salt")
    ? [{ kind: "key.active", use: "salt", kid: saltId(Redacted.value(salt)) } as const]
    : [])
]

/** The record that a key is in use. */
export const keyRecord = (use: "agent" | "log", key: { readonly kid: string; readonly jwk: JsonWebKey }): Body => ({
  kind: "key.active",
  use,
  kid: key.kid,
  jwk: publicMembers(key.jwk)
})

/** The members of a JWK that are public; everything else stays out of the log. */
const publicMembers = (jwk: JsonWebKey): Record<string, string> =>
  Object.fromEntries(
    (["kty", "crv", "x", "y", "n", "e"] as const).flatMap((name) => {
      const value = jwk[name]
      return value === undefined ? [] : [[name, value]]
    })
  )
