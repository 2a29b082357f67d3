/**
 * What every boot of a log records about its keys.
 *
 * @since 0.1.0
 */
import * as Redacted from "effect/Redacted"
import { saltId } from "../keys/KeyFolder.ts"
import type { Keys } from "../keys/Keys.ts"
import type { Body } from "./Record.ts"

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
