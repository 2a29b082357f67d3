/**
 * The key set of an issuer: given in the configuration, or fetched from the issuer and kept for a while. A set is fetched
 * from https or from this machine only, without following redirects, and what cannot be fetched verifies nothing. However
 * many tokens arrive, an issuer is asked at most once in ten seconds, and less often while it fails.
 */
import * as Result from "effect/Result"
import { parseExactObject } from "../base/CanonicalJson.ts"
import { Configuration, IdentityInvalid } from "../call/Errors.ts"
import { type Algorithm, vet, type VettedKey } from "./Jwk.ts"

/**
 * Where the keys of an issuer are. `jwks` is the set itself, `jwksUri` its address; without either the address comes from
 * `<issuer>/.well-known/openid-configuration` (OpenID Connect Discovery 1.0 §4).
 */
export interface KeySource {
  /** What `iss` says, to the byte. */
  readonly issuer: string
  readonly jwksUri?: string | undefined
  readonly jwks?: JsonWebKeySet | undefined
  /** How long known keys count beyond their five minutes while the issuer cannot be reached, in seconds. Default 0. */
  readonly grace?: number | undefined
}

/** A JSON Web Key Set (RFC 7517 §5) of public keys. */
export interface JsonWebKeySet {
  readonly keys: ReadonlyArray<JsonWebKey & { readonly kid?: string }>
}

/** A key, until when (ms of the steady clock) what it verified counts, and whether it counts by grace alone. */
export interface FoundKey {
  readonly key: CryptoKey
  readonly until: number
  readonly degraded: boolean
}

/** The keys of one issuer. Both functions reject with {@link IdentityInvalid} (`unknown_key`, `keys_unavailable`). */
export interface KeySet {
  /** The key of that id, fit for that algorithm, at a time of the steady clock. */
  readonly key: (header: { readonly alg: Algorithm; readonly kid: string }, steady: () => number) => Promise<FoundKey>
  /** Settles once the set can be used, if only by grace. */
  readonly ready: (steady: () => number) => Promise<void>
  /** How it stands at a time of the steady clock. Asks nobody. */
  readonly status: (now: number) => KeySetStatus
}

/**
 * How a key set stands; `until` is a time of the steady clock, in ms. `given`: it came with the configuration. `unasked`: no
 * token has needed it yet. `fresh`: it is used without asking. `due`: the next token has the issuer asked; `reason` is why it
 * could not be asked before, if so. `grace`: it is too old, and known keys count by grace alone. `unavailable`: tokens are
 * refused, and the issuer is not asked again before `until`; `refusal` is what they are refused with.
 */
export type KeySetStatus =
  | { readonly state: "given" | "unasked" }
  | { readonly state: "fresh"; readonly until: number }
  | { readonly state: "due"; readonly reason?: string }
  | { readonly state: "grace"; readonly until: number; readonly reason: string }
  | {
      readonly state: "unavailable"
      readonly until: number
      readonly reason: string
      readonly refusal: IdentityInvalid
    }

/** How long a fetched set is used, in ms. A key that its issuer withdrew counts for at most that long. */
export const maximumAge = 300_000

/** How soon after a fetch an unknown key id may cause another, in ms. */
export const cooldown = 10_000

/** How long a key id that a fetch did not bring causes no other, in ms, and how many are remembered. */
export const absence = 20_000
export const maximumAbsent = 256

/** How many keys, and how many bytes, a document may have. */
export const maximumKeys = 64
export const maximumBytes = 256 * 1024

const timeout = 5_000
const longestBackOff = 30_000

/** The key set of an issuer; nothing is fetched yet. Throws {@link Configuration} for an address that must not be used. */
export const make = (source: KeySource): KeySet =>
  source.jwks === undefined ? remote(source) : local(source, source.jwks)

const local = (source: KeySource, jwks: JsonWebKeySet): KeySet => {
  const read = Result.map(keysIn(jwks), vetted)
  if (Result.isFailure(read))
    throw new Configuration({ message: `The jwks of issuer ${source.issuer} is no key set: it ${read.failure}.` })
  return {
    key: async ({ alg, kid }) => {
      const key = await keyIn(source, read.success, alg, kid)
      return { key, until: Infinity, degraded: false }
    },
    ready: () => Promise.resolve(),
    status: () => ({ state: "given" })
  }
}

/** The keys of a set by id; a text in a key's place says why there is none. */
type Keys = ReadonlyMap<string, VettedKey | string>

const remote = (source: KeySource): KeySet => {
  const grace = (source.grace ?? 0) * 1000
  const load = loader(source)
  const absent = new Map<string, number>()
  let set: { readonly keys: Keys; readonly at: number } | undefined
  let failures = 0
  let notBefore = 0
  let failure: unknown
  let loading: Promise<void> | undefined

  /** Fetches the set; within the back-off after a failure, fails as it did. Who asks meanwhile shares the answer. */
  const refresh = (steady: () => number): Promise<void> => {
    if (loading !== undefined) return loading
    if (failures > 0 && steady() < notBefore) return Promise.reject(failure)
    loading = load(AbortSignal.timeout(timeout))
      .then(
        (keys) => {
          set = { keys, at: steady() }
          failures = 0
        },
        (error: unknown) => {
          failure = error
          notBefore = steady() + Math.min(longestBackOff, 1000 * 2 ** failures++)
          throw error
        }
      )
      .finally(() => {
        loading = undefined
      })
    return loading
  }

  const isFresh = (now: number) => set !== undefined && now - set.at < maximumAge

  /** True while keys that are known count although the issuer cannot be reached. */
  const isInGrace = (now: number) => set !== undefined && now - set.at < maximumAge + grace

  /** True where an unknown key id may cause a fetch. */
  const mayAsk = (kid: string, now: number): boolean =>
    set === undefined || (now - set.at >= cooldown && !(now < (absent.get(kid) ?? -Infinity)))

  const missed = (kid: string, now: number): void => {
    absent.delete(kid)
    absent.set(kid, now + absence)
    const oldest = absent.size > maximumAbsent ? absent.keys().next().value : undefined
    if (oldest !== undefined) absent.delete(oldest)
  }

  return {
    key: async ({ alg, kid }, steady) => {
      let degraded = false
      const before = set?.at
      if (!isFresh(steady()))
        await refresh(steady).catch((error: unknown) => {
          degraded = set?.keys.has(kid) === true && isInGrace(steady())
          if (!degraded) throw unavailable(source, error)
        })
      else if (set?.keys.has(kid) === false && mayAsk(kid, steady()))
        await refresh(steady).catch((error: unknown) => Promise.reject(unavailable(source, error)))
      const keys = set?.keys ?? new Map()
      // A key id that is asked for again must not put off its own fetch.
      if (set?.at !== before && !keys.has(kid)) missed(kid, steady())
      const key = await keyIn(source, keys, alg, kid)
      const now = steady()
      return { key, degraded, until: degraded ? now + cooldown : (set?.at ?? now) + maximumAge }
    },
    ready: (steady) =>
      isFresh(steady())
        ? Promise.resolve()
        : refresh(steady).catch((error: unknown) =>
            isInGrace(steady()) ? undefined : Promise.reject(unavailable(source, error))
          ),
    status: (now) => {
      if (set !== undefined && isFresh(now)) return { state: "fresh", until: set.at + maximumAge }
      if (failures === 0) return { state: set === undefined ? "unasked" : "due" }
      const reason = reasonOf(failure)
      if (set !== undefined && isInGrace(now)) return { state: "grace", until: set.at + maximumAge + grace, reason }
      return now < notBefore
        ? { state: "unavailable", until: notBefore, reason, refusal: unavailable(source, failure) }
        : { state: "due", reason }
    }
  }
}

const keyIn = async (source: KeySource, keys: Keys, alg: Algorithm, kid: string): Promise<CryptoKey> => {
  const found = keys.get(kid)
  if (found === undefined) throw unknownKey(source, "has no public key for the token's kid")
  if (typeof found === "string")
    throw unknownKey(source, `has a key for the token's kid that must not be used: ${found}`)
  return found
    .for(alg)
    .catch(() => Promise.reject(unknownKey(source, "has a key for the token's kid, but not one for the token's alg")))
}

const loader = (source: KeySource): ((signal: AbortSignal) => Promise<Keys>) => {
  const address = source.jwksUri ?? `${source.issuer.replace(/\/$/, "")}/.well-known/openid-configuration`
  const url = trusted(address, "loopback")
  if (typeof url === "string")
    throw new Configuration({
      message: `The keys of issuer ${source.issuer} cannot be fetched from ${address}: ${url}. Set jwksUri or jwks.`
    })
  return async (signal) => {
    const from = source.jwksUri === undefined ? await discover(source, url, signal) : url
    const read = Result.map(keysIn(await fetchJson(from, signal)), vetted)
    if (Result.isFailure(read)) throw new Error(`${from} is no key set: it ${read.failure}`)
    return read.success
  }
}

const discover = async (source: KeySource, url: URL, signal: AbortSignal): Promise<URL> => {
  const document = await fetchJson(url, signal)
  if (document["issuer"] !== source.issuer)
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

const fetchJson = async (url: URL, signal: AbortSignal): Promise<Readonly<Record<string, unknown>>> => {
  // The API server of Kubernetes gives its key set as application/jwk-set+json (RFC 7517 §8.5.2) and nothing else.
  const headers = { accept: "application/json, application/jwk-set+json" }
  const response = await fetch(url, { redirect: "manual", signal, headers }).catch((cause: unknown) =>
    Promise.reject(new Error(`${url} did not answer`, { cause }))
  )
  const refuse = async (why: string) => {
    await response.body?.cancel()
    throw new Error(`${url} ${why}`)
  }
  if (response.status !== 200 || response.body === null) return refuse(`answered ${response.status}`)
  const type = response.headers.get("content-type") ?? "none"
  if (!/^application\/([\w.+-]+\+)?json\s*(;|$)/i.test(type))
    return refuse(`answered with content-type ${JSON.stringify(type.slice(0, 60))}, which is not JSON`)
  const parts: Array<Uint8Array> = []
  let size = 0
  for await (const part of response.body) {
    size += part.length
    if (size > maximumBytes) throw new Error(`${url} is longer than ${maximumBytes} bytes`)
    parts.push(part)
  }
  const read = parseExactObject(Buffer.concat(parts).toString("utf8"), 32)
  if (Result.isFailure(read)) throw new Error(`${url} holds no unambiguous JSON object: ${read.failure}`)
  return read.success
}

const keysIn = (document: object): Result.Result<ReadonlyArray<unknown>, string> => {
  const keys: unknown = "keys" in document ? document.keys : undefined
  if (!Array.isArray(keys)) return Result.fail(`has no array "keys"`)
  return keys.length > maximumKeys ? Result.fail(`holds more than ${maximumKeys} keys`) : Result.succeed(keys)
}

/** The keys by id. An id that two keys for signatures share belongs to none of them. */
const vetted = (values: ReadonlyArray<unknown>): Keys => {
  const keys = new Map<string, VettedKey | string>()
  for (const value of values) {
    const kid: unknown = typeof value === "object" && value !== null && "kid" in value ? value.kid : undefined
    if (typeof kid !== "string") continue
    const key = vet(value)
    const other = keys.get(kid)
    if (Result.isFailure(key)) {
      if (other === undefined) keys.set(kid, key.failure)
    } else keys.set(kid, other === twice || typeof other === "object" ? twice : key.success)
  }
  return keys
}

const twice = "more than one key has this id; key ids must be unique"

const unknownKey = (source: KeySource, what: string): IdentityInvalid =>
  new IdentityInvalid({
    reason: "unknown_key",
    message: `Issuer ${source.issuer} ${what}. Get a new token, or check that the issuer's key set holds the key that it signs with.`
  })

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

const unavailable = (source: KeySource, cause: unknown): IdentityInvalid =>
  new IdentityInvalid({
    reason: "keys_unavailable",
    message: `The keys of issuer ${source.issuer} cannot be had: ${reasonOf(cause)}. Tokens are refused until they can; check issuer and jwksUri, or give the set as jwks.`,
    cause
  })
