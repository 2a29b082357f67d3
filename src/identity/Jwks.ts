/**
 * The key set of an issuer: given in the configuration, or fetched from the issuer and kept for a while. A set is fetched
 * from https or from this machine only, without following redirects, and what cannot be fetched verifies nothing.
 *
 * @since 0.1.0
 */
import { createLocalJWKSet } from "jose/jwks/local"
import { createRemoteJWKSet, customFetch } from "jose/jwks/remote"
import { JWKSMultipleMatchingKeys, JWKSNoMatchingKey } from "jose/errors"
import { Configuration, IdentityInvalid } from "../Errors.ts"

/**
 * Where the keys of an issuer are. `jwks` is the set itself, `jwksUri` its address; without either the address comes from
 * `<issuer>/.well-known/openid-configuration` (OpenID Connect Discovery 1.0 §4).
 */
export interface KeySource {
  /** What `iss` says, to the byte. */
  readonly issuer: string
  readonly jwksUri?: string | undefined
  readonly jwks?: JsonWebKeySet | undefined
}

/** A JSON Web Key Set (RFC 7517 §5) of public keys. */
export interface JsonWebKeySet {
  readonly keys: ReadonlyArray<JsonWebKey & { readonly kid?: string }>
}

/** The keys of one issuer. Both functions reject with {@link IdentityInvalid} (`unknown_key`, `keys_unavailable`). */
export interface KeySet {
  /** The key of that id, fit for that algorithm. */
  readonly key: (header: { readonly alg: string; readonly kid: string }) => Promise<CryptoKey>
  /** Settles once the set can be used. */
  readonly ready: () => Promise<void>
}

/** How long a fetched set is used, in ms. A key that its issuer withdrew counts for at most that long. */
export const maximumAge = 300_000

/** How soon after a fetch an unknown key id may cause another, in ms. */
export const cooldown = 10_000

/** How many keys, and how many bytes, a fetched document may have. */
export const maximumKeys = 64
export const maximumBytes = 256 * 1024

const timeout = 5_000
const longestBackOff = 30_000

/** The key set of an issuer; nothing is fetched yet. Throws {@link Configuration} for an address that must not be used. */
export const make = (source: KeySource): KeySet =>
  source.jwks === undefined ? remote(source) : local(source, source.jwks)

const local = (source: KeySource, jwks: JsonWebKeySet): KeySet => {
  if (!Array.isArray(jwks.keys))
    throw new Configuration({ message: `The jwks of issuer ${source.issuer} is no key set: it has no array "keys".` })
  const find = createLocalJWKSet({ keys: usableKeys(jwks.keys) })
  return {
    key: (header) => find(header).catch((error: unknown) => Promise.reject(keyFault(source, error))),
    ready: () => Promise.resolve()
  }
}

const remote = (source: KeySource): KeySet => {
  const address = source.jwksUri ?? `${source.issuer.replace(/\/$/, "")}/.well-known/openid-configuration`
  const url = trusted(address, "loopback")
  if (typeof url === "string")
    throw new Configuration({
      message: `The keys of issuer ${source.issuer} cannot be fetched from ${address}: ${url}. Set jwksUri or jwks.`
    })
  const load = source.jwksUri === undefined ? (signal: AbortSignal) => discover(source, url, signal) : () => url
  const fetchSet = spaced(async (signal) => {
    const from = await load(signal)
    const document = await fetchJson(from, signal)
    if (!isRecord(document) || !Array.isArray(document["keys"])) throw new Error(`${from} holds no key set`)
    if (document["keys"].length > maximumKeys) throw new Error(`${from} holds more than ${maximumKeys} keys`)
    return { keys: usableKeys(document["keys"]) }
  })
  const find = createRemoteJWKSet(url, {
    timeoutDuration: timeout,
    cooldownDuration: cooldown,
    cacheMaxAge: maximumAge,
    [customFetch]: async (_url, { signal }) => Response.json(await fetchSet(signal))
  })
  return {
    key: (header) => find(header).catch((error: unknown) => Promise.reject(keyFault(source, error))),
    ready: () =>
      find.fresh ? Promise.resolve() : find.reload().catch((error: unknown) => Promise.reject(keyFault(source, error)))
  }
}

const discover = async (source: KeySource, url: URL, signal: AbortSignal): Promise<URL> => {
  const document = await fetchJson(url, signal)
  if (!isRecord(document) || document["issuer"] !== source.issuer)
    throw new Error(`${url} is the discovery document of another issuer; the configured one must be equal to the byte`)
  const address = document["jwks_uri"]
  const found =
    typeof address === "string" ? trusted(address, url.protocol === "https:" ? "https" : "loopback") : "is not text"
  if (typeof found === "string") throw new Error(`the jwks_uri in ${url} ${found}`)
  return found
}

/** The address, or why it must not be asked. This machine counts only where the issuer itself is here. */
const trusted = (address: string, scope: "https" | "loopback"): URL | string => {
  if (!URL.canParse(address)) return "is not a URL"
  const url = new URL(address)
  if (url.username !== "" || url.password !== "") return "holds credentials"
  if (url.protocol === "https:") return url
  if (scope === "loopback" && url.protocol === "http:" && isLoopback(url.hostname)) return url
  return "is not https"
}

const isLoopback = (hostname: string): boolean =>
  hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname)

const fetchJson = async (url: URL, signal: AbortSignal): Promise<unknown> => {
  const response = await fetch(url, { redirect: "manual", signal, headers: { accept: "application/json" } }).catch(
    (cause: unknown) => Promise.reject(new Error(`${url} did not answer`, { cause }))
  )
  if (response.status !== 200 || response.body === null) {
    await response.body?.cancel()
    throw new Error(`${url} answered ${response.status}`)
  }
  const parts: Array<Uint8Array> = []
  let size = 0
  for await (const part of response.body) {
    size += part.length
    if (size > maximumBytes) throw new Error(`${url} is longer than ${maximumBytes} bytes`)
    parts.push(part)
  }
  return JSON.parse(Buffer.concat(parts).toString("utf8"))
}

/** After a failure, the same failure for 1, 2, 4 … 30 s, and no request: an issuer that is down is not flooded. */
const spaced = <A>(load: (signal: AbortSignal) => Promise<A>): ((signal: AbortSignal) => Promise<A>) => {
  let failures = 0
  let notBefore = 0
  let last: unknown
  return async (signal) => {
    if (failures > 0 && performance.now() < notBefore) throw last
    try {
      const loaded = await load(signal)
      failures = 0
      return loaded
    } catch (error) {
      last = error
      notBefore = performance.now() + Math.min(longestBackOff, 1000 * 2 ** failures++)
      throw error
    }
  }
}

/** The public, asymmetric keys with an id; RSA ones only with exponent 65537. */
const usableKeys = (keys: ReadonlyArray<unknown>): Array<JsonWebKey & { kty: string; kid: string }> =>
  keys.filter((key): key is JsonWebKey & { kty: string; kid: string } => {
    if (!isRecord(key) || typeof key["kid"] !== "string" || "d" in key) return false
    return key["kty"] === "OKP" || key["kty"] === "EC" || (key["kty"] === "RSA" && key["e"] === "AQAB")
  })

const keyFault = (source: KeySource, cause: unknown): IdentityInvalid => {
  if (cause instanceof JWKSNoMatchingKey)
    return new IdentityInvalid({
      reason: "unknown_key",
      message: `Issuer ${source.issuer} has no public key for the token's kid and alg. Get a new token, or check that the issuer's key set holds the key that it signs with.`
    })
  if (cause instanceof JWKSMultipleMatchingKeys)
    return new IdentityInvalid({
      reason: "unknown_key",
      message: `Issuer ${source.issuer} has more than one key for the token's kid and alg; key ids must be unique.`
    })
  const why = cause instanceof Error ? cause.message : String(cause)
  return new IdentityInvalid({
    reason: "keys_unavailable",
    message: `The keys of issuer ${source.issuer} cannot be had: ${why}. Tokens are refused until they can; check issuer and jwksUri, or give the set as jwks.`,
    cause
  })
}

const isRecord = (u: unknown): u is Record<string, unknown> => typeof u === "object" && u !== null && !Array.isArray(u)
