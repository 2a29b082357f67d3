/**
 * Verifies a JSON Web Token (RFC 7519) as an access token: parse, then check, then use. A strict reading comes before
 * `jose`, so that there is one reading of a token only; after it, every claim that decides is checked by type and value
 * (RFC 8725, RFC 9068).
 */
import * as Result from "effect/Result"
import { JOSEAlgNotAllowed, JOSENotSupported } from "jose/errors"
import { compactVerify } from "jose/jws/compact/verify"
import { parseExactObject } from "../base/CanonicalJson.ts"
import type { JsonObject } from "../base/Json.ts"
import { IdentityInvalid, type IdentityReason } from "../call/Errors.ts"
import { decode } from "../keys/Jws.ts"
import type { Issuer } from "./Issuer.ts"
import { algorithms, isKeyId, maximumKeyId } from "./Jwk.ts"
import { isName, maximumName, namelessness } from "../call/Name.ts"
import { visible } from "../base/Text.ts"
import { clientClaims, insteadOfId } from "./Provider.ts"
import type { Time } from "./Time.ts"

/**
 * What a token says, once it is verified. `expiresAt` is when it ends, in seconds since 1970: `exp`, or the issuer's
 * `maximumAge` after `iat` where that is sooner. `until`: how long its key counts, in ms of the steady clock.
 */
export interface Verified {
  readonly issuer: Issuer
  readonly claims: JsonObject
  readonly expiresAt: number
  readonly until: number
  readonly degraded: boolean
}

/** The checks of {@link verify}, in order. */
export const checks = ["form", "header", "issuer", "type", "algorithm", "key", "signature", "claims"] as const
export type TokenCheck = (typeof checks)[number]

/** How long a token may be, in characters, and how deep its JSON may nest. */
export const maximumLength = 8192
export const maximumDepth = 32

const known: ReadonlySet<string> = new Set(algorithms)

/** Headers that would choose a key, or another reading of the token, from inside the token. */
const refusedHeaders = "jwk,jku,x5u,x5c,crit,b64,zip,cty,enc,epk,p2c,p2s,iv,tag,apu,apv".split(",")

/** Claims that only an id token has (OpenID Connect Core 1.0 §2, §3.3.2.11). */
const idTokenClaims = ["nonce", "at_hash", "c_hash"] as const

/**
 * Verifies a token now. Rejects with {@link IdentityInvalid}; its message never quotes the token. `iss` is read before it is
 * verified only to find the configuration of its issuer. `passed` is told each check that holds.
 */
export const verify = async (
  token: string,
  configured: ReadonlyMap<string, Issuer>,
  time: Time,
  passed: (check: TokenCheck) => void = () => {}
): Promise<Verified> => {
  const read: Partial<Pick<Parsed, "header" | "claims">> = {}
  const signed = await verifySignature(token, configured, time, passed, read).catch((error: unknown) => {
    throw error instanceof IdentityInvalid ? error.claiming(claimed(read)) : error
  })
  const expiresAt = checkClaims(signed.claims, signed.issuer, seconds(time.wall()))
  passed("claims")
  return { ...signed, expiresAt }
}

/** The checks up to the signature. `read` takes what the token says before that is verified. */
const verifySignature = async (
  token: string,
  configured: ReadonlyMap<string, Issuer>,
  time: Time,
  passed: (check: TokenCheck) => void,
  read: Partial<Pick<Parsed, "header" | "claims">>
): Promise<Omit<Verified, "expiresAt">> => {
  const { claims, header, signature } = parse(token)
  Object.assign(read, { claims, header })
  passed("form")
  const alg = checkHeader(header)
  passed("header")
  const iss = claims["iss"]
  const issuer = typeof iss === "string" ? configured.get(iss) : undefined
  if (issuer === undefined)
    throw refused(
      "issuer",
      `The token is of an issuer that is not configured. Use a token of ${[...configured.keys()].join(" or ")}, or add its issuer to the option "issuers".`
    )
  passed("issuer")
  checkType(header, claims, issuer)
  passed("type")
  const allowed = issuer.algorithms.find((algorithm) => algorithm === alg)
  if (allowed === undefined)
    throw refused(
      "algorithm",
      `The token is signed with an algorithm that issuer ${issuer.issuer} may not use here. Allowed: ${issuer.algorithms.join(", ")}. Where it is right, add ${alg} to the issuer's option "algorithms".`
    )
  passed("algorithm")
  const { degraded, key, until } = await issuer.keys.key({ alg: allowed, kid: keyId(header) }, time.steady)
  passed("key")
  if (!isWhole(signature, key)) throw notSigned(issuer)
  try {
    await compactVerify(token, key, { algorithms: [allowed] })
  } catch (cause) {
    throw fault(cause, issuer)
  }
  passed("signature")
  return { issuer, claims, until, degraded }
}

/** What a token says of its issuer and its key. */
const claimed = ({ claims, header }: Partial<Pick<Parsed, "header" | "claims">>) => {
  const issuer = claims?.["iss"]
  const kid = header?.["kid"]
  return { ...(typeof issuer === "string" && { issuer }), ...(typeof kid === "string" && { kid }) }
}

/** True once a token that ends at `expiresAt` is over, by the rule that {@link verify} uses. */
export const isExpired = (expiresAt: number, clockTolerance: number, now: number): boolean =>
  expiresAt <= seconds(now) - clockTolerance

const expired = (): IdentityInvalid =>
  refused("expired", "The token has expired. Get a new one, or give the token as a function that gets a new one.")

/** A token as read. */
interface Parsed {
  readonly header: JsonObject
  readonly claims: JsonObject
  readonly signature: Uint8Array
}

/** The one reading of a token: canonical base64url, strict UTF-8, strict JSON. Nothing in it is verified. */
export const parse = (token: string): Parsed => {
  if (token.length > maximumLength)
    throw refused("malformed", `The token is longer than ${maximumLength} characters; have the issuer make it smaller.`)
  const parts = token.split(".")
  const [header, claims, last] = parts
  if (header === undefined || claims === undefined || last === undefined || parts.length !== 3)
    throw refused(
      "malformed",
      "The token is not a signed JSON Web Token: it must have three parts. Pass the access token itself, without the word Bearer; an encrypted or opaque token does not serve."
    )
  const signature = decode(last)
  if (signature === undefined)
    throw refused("malformed", "The signature of the token is not base64url; pass the token as the issuer gave it.")
  return { header: parsePart(header, "header"), claims: parsePart(claims, "payload"), signature }
}

/**
 * An RSA signature is as long as its modulus (RFC 8017 §8.1.2, §8.2.2). One in 256 begins with a zero byte, and with PS256 OpenSSL takes
 * it without that too: a second spelling of the same token.
 */
const isWhole = (signature: Uint8Array, { algorithm }: CryptoKey): boolean =>
  !("modulusLength" in algorithm) || signature.length === Math.ceil(Number(algorithm.modulusLength) / 8)

const parsePart = (part: string, name: string): JsonObject => {
  const bytes = decode(part)
  if (bytes === undefined)
    throw refused("malformed", `The ${name} of the token is not base64url; pass the token as the issuer gave it.`)
  const parsed = utf8(bytes)
  const read = parsed === undefined ? Result.fail("") : parseExactObject(parsed, maximumDepth)
  if (Result.isFailure(read))
    throw refused("malformed", `The ${name} of the token is not one unambiguous JSON object; get a token that is.`)
  return read.success
}

const utf8 = (bytes: Uint8Array): string | undefined => {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

const checkHeader = (header: JsonObject): string => {
  const present = refusedHeaders.find((name) => Object.hasOwn(header, name))
  if (present !== undefined)
    throw refused(
      "malformed",
      `The token's header has "${present}", which is refused; keys come from the issuer alone.`
    )
  const { alg } = header
  if (typeof alg !== "string" || !known.has(alg))
    throw refused(
      "algorithm",
      "The token is not signed with an asymmetric algorithm; have the issuer use ES256 or Ed25519."
    )
  return alg
}

/** A token of another use, which the same issuer signs with the same key, is none. */
const checkType = ({ typ }: JsonObject, claims: JsonObject, issuer: Issuer): void => {
  const { accessClaim, provider, tokens } = issuer
  const fault = provider?.fault?.(claims, tokens)
  if (fault !== undefined) throw refused("type", fault)
  const isMarked = accessClaim !== undefined && Object.hasOwn(claims, accessClaim)
  if (accessClaim !== undefined && !isMarked)
    throw refused(
      "type",
      `The token does not have the claim that the issuer's option "accessClaim" names, so it is no access token. Send the access token, or correct the option.`
    )
  const isUntyped = typ === undefined && (isMarked || provider?.isUntyped?.(claims, tokens) === true)
  const wanted = tokens === "id" ? /^(application\/)?jwt$/i : /^(application\/)?(at\+jwt|jwt)$/i
  if (!isUntyped && (typeof typ !== "string" || !wanted.test(typ))) throw refused("type", typeText(typ, tokens))
  const marker = tokens === "id" ? undefined : idTokenClaims.find((claim) => Object.hasOwn(claims, claim))
  if (marker !== undefined) throw refused("type", `The token is an id token (it has "${marker}"). ${insteadOfId}.`)
}

const typeText = (typ: unknown, tokens: Issuer["tokens"]): string => {
  if (tokens === "id")
    return `The token's typ must be "JWT". Send the id token, or leave out the issuer's option tokens: "id" to accept access tokens.`
  return typ === undefined
    ? `The token has no typ. Access tokens of AWS Cognito, Kubernetes and Okta have none: set the issuer's option claims to "cognito", "kubernetes" or "okta". For another issuer name a claim that only its access tokens have in the option "accessClaim", or have it set typ to "at+jwt" (RFC 9068).`
    : `The token's typ must be "at+jwt" or "JWT"; send an access token (RFC 9068).`
}

const keyId = (header: JsonObject): string => {
  const { kid } = header
  if (!isKeyId(kid))
    throw refused(
      "unknown_key",
      `The token does not say which key signed it: its header kid is missing, or not text of 1 to ${maximumKeyId} characters.`
    )
  return kid
}

/**
 * Every claim that decides, after the signature. Gives when the token ends, in whole seconds. A time with a fraction (RFC 7519
 * §2, NumericDate) counts as the whole second on the stricter side: the end as the one before it, the beginning as the one
 * after it, and a life is as long as both leave it at most.
 */
const checkClaims = (claims: JsonObject, issuer: Issuer, now: number): number => {
  const { exp, iat, nbf, sub } = claims
  if (!isClientAudience(claims, issuer)) {
    checkAudience(claims, issuer)
    checkClient(claims, issuer)
  }
  if (!isName(sub)) throw badClaim("sub", `must be a name of 1 to ${maximumName} characters (${namelessness(sub)})`)
  if (!isTime(exp)) throw badClaim("exp", "must be a time in seconds since 1970")
  if (!isTime(iat)) throw badClaim("iat", "must be a time in seconds since 1970")
  if (nbf !== undefined && !isTime(nbf)) throw badClaim("nbf", "must be a time in seconds since 1970")
  const end = Math.floor(exp)
  const begin = Math.ceil(Math.max(iat, nbf ?? iat))
  if (end <= begin) throw badClaim("exp", "must be later than iat and nbf")
  if (Math.ceil(exp) - Math.floor(Math.min(iat, nbf ?? iat)) > issuer.maximumLifetime)
    throw refused(
      "claim",
      `The token lives for longer than ${issuer.maximumLifetime} seconds. Have ${issuer.issuer} issue shorter ones, or raise the issuer's option "maximumLifetime".`
    )
  if (begin > now + issuer.clockTolerance) throw notYetValid()
  const expiresAt = Math.min(end, Math.floor(iat) + issuer.maximumAge)
  if (expiresAt <= now - issuer.clockTolerance) throw expired()
  return expiresAt
}

/** Whether the token names its client in place of an audience, and that is one that may present tokens. */
const isClientAudience = (claims: JsonObject, issuer: Issuer): boolean => {
  const client = issuer.provider?.clientAsAudience?.(claims, issuer.tokens)
  if (client === undefined) return false
  const allowed = [issuer.audience, ...(issuer.clients ?? [])]
  if (typeof client === "string" && allowed.includes(client)) return true
  throw refused(
    "audience",
    `The token was issued to the client ${quoted(client)}, not to ${allowed.join(" or ")}. Set the issuer's option "audience" to the id of the app client, and name further ones in "clients".`
  )
}

const checkAudience = (claims: JsonObject, issuer: Issuer): void => {
  const { audience, otherAudiences = [], provider } = issuer
  const { aud } = claims
  const named: ReadonlyArray<unknown> = Array.isArray(aud) ? aud : [aud]
  const beside = named.filter((name) => name !== audience)
  const own = provider?.ownAudience?.(claims)
  const others = beside.filter((name) => !(typeof name === "string" && (otherAudiences.includes(name) || name === own)))
  if (!named.includes(audience)) throw wrongAudience(aud, issuer)
  if (others.length > 0)
    throw refused(
      "audience",
      `The token is for ${quoted(others)} besides ${JSON.stringify(audience)}. Where that is right, name what else it may be for in the issuer's option "otherAudiences".`
    )
  if (new Set(named).size < named.length)
    throw refused("audience", "The token names an audience twice. Get one that names each once.")
}

const checkClient = (claims: JsonObject, { audience, clients, tokens }: Issuer): void => {
  const allowed = clients ?? (tokens === "id" ? [audience] : undefined)
  if (allowed === undefined) return
  const named = clientClaims.filter((claim) => Object.hasOwn(claims, claim)).map((claim) => claims[claim])
  const isAllowed = named.every((client) => typeof client === "string" && allowed.includes(client))
  if (!isAllowed || (clients !== undefined && named.length === 0))
    throw refused(
      "audience",
      `The token was issued to another client than the issuer's option "clients" allows, or names none. Allowed: ${allowed.join(", ")}.`
    )
}

/** What a verified token says, for a message: JSON, at most 200 characters. */
const quoted = (value: unknown): string => visible((JSON.stringify(value) ?? "nobody").slice(0, 200))

/** Seconds from 1970 to 9999, with a fraction or without. */
const isTime = (value: unknown): value is number =>
  typeof value === "number" && Number.isFinite(value) && value >= 0 && value <= 253_402_300_799

const fault = (cause: unknown, issuer: Issuer): IdentityInvalid => {
  if (cause instanceof JOSEAlgNotAllowed || cause instanceof JOSENotSupported)
    return refused("algorithm", "The token's algorithm is refused; have the issuer use ES256 or Ed25519.")
  return notSigned(issuer)
}

const notSigned = ({ issuer }: Issuer): IdentityInvalid =>
  refused(
    "signature",
    `The token was not signed by the key of issuer ${issuer} that it names. Get a new token from the issuer.`
  )

const wrongAudience = (aud: unknown, issuer: Issuer): IdentityInvalid =>
  refused(
    "audience",
    aud === undefined
      ? `The token has no audience (aud). Ask ${issuer.issuer} for a token with the audience ${JSON.stringify(issuer.audience)}. Access tokens of AWS Cognito have none: set the issuer's option claims: "cognito", and "audience" to the id of the app client.`
      : `The token is for ${quoted(aud)}, not for ${JSON.stringify(issuer.audience)}. Ask ${issuer.issuer} for a token with this audience, or correct the option "audience".`
  )

const notYetValid = (): IdentityInvalid =>
  refused(
    "not_yet_valid",
    "The token is not valid yet: its iat or nbf is in the future. Check the clocks of both machines."
  )

const badClaim = (claim: string, what: string): IdentityInvalid =>
  refused(
    "claim",
    `The token's claim "${claim}" ${what}. An access token needs iss, sub, aud, exp and iat (RFC 9068 §2.2).`
  )

const refused = (reason: IdentityReason, message: string): IdentityInvalid => new IdentityInvalid({ reason, message })

const seconds = (milliseconds: number): number => Math.floor(milliseconds / 1000)
