/**
 * The keys that others verify by, in the form in which they are published: a JWK Set for receipts and envelopes, and verifier
 * keys for checkpoints. Nothing private is in either.
 */
import { formatVerifierKey, verifierKey } from "../audit/proof/Checkpoint.ts"
import type { KeyEnd } from "../keys/KeyFolder.ts"
import type { AnyKey, Keys, KeyUse } from "../keys/Keys.ts"

/** A public Ed25519 key in a JWK Set (RFC 7517 section 4, RFC 8037 section 2, RFC 9864). */
export interface PublishedKey {
  readonly kty: "OKP"
  readonly crv: "Ed25519"
  /** Base64url of the 32 bytes of the key. */
  readonly x: string
  /** RFC 7638 SHA-256 thumbprint, base64url. */
  readonly kid: string
  readonly use: "sig"
  readonly alg: "Ed25519"
  /** `agent`: verifies receipts and envelopes. `log`: verifies checkpoints. */
  readonly "secure-openai/use": KeyUse
}

/** What a service publishes, for others to verify its receipts and its log by. JSON as it is. */
export interface PublicKeys {
  /**
   * RFC 7517, as `secure-openai keys export` prints it: the keys in use, a log key that takes over, and retired keys. None that
   * was revoked: only the log tells what such a key may have signed.
   */
  readonly jwks: { readonly keys: ReadonlyArray<PublishedKey> }
  /**
   * `<name>+<hash>+<key>` (c2sp.org/signed-note), one a log key that signs the checkpoints of this log; two while a log key
   * rotates, the newest last.
   */
  readonly verifierKeys: ReadonlyArray<string>
}

/** A key that may be published; `x` is absent where it has no public part. */
interface Known {
  readonly use: KeyUse | "salt"
  readonly kid: string
  readonly x?: string
  /** `revoked` is not published. */
  readonly state: string
}

/** The keys of a set that are published. */
export const published = (keys: ReadonlyArray<Known>): ReadonlyArray<PublishedKey> =>
  keys.flatMap(({ kid, state, use, x }) =>
    x === undefined || use === "salt" || state === "revoked"
      ? []
      : [{ kty: "OKP", crv: "Ed25519", x, kid, use: "sig", alg: "Ed25519", "secure-openai/use": use }]
  )

/** The keys of a service whose log has the name `origin`. */
export const publicKeysOf = (keys: Keys["Service"], origin: string): PublicKeys => {
  const { agent, ended = [], log, nextLog } = keys
  const current: ReadonlyArray<AnyKey> = [agent, log, ...(nextLog === undefined ? [] : [nextLog])]
  const inUse = new Set(current.map(({ kid }) => kid))
  const before = ended.filter(({ kid }: KeyEnd) => !inUse.has(kid))
  return {
    jwks: {
      keys: published([...current.map(({ jwk, kid, use }) => ({ use, kid, x: jwk.x, state: "active" })), ...before])
    },
    verifierKeys: current.flatMap(({ publicKey, use }) =>
      use === "log" ? [formatVerifierKey(verifierKey(origin, publicKey))] : []
    )
  }
}
