/**
 * Verifies a JSON Web Token (RFC 7519) as an access token: parse, then check, then use. A strict reading comes before
 * `jose`, so that there is one reading of a token only; after it, every claim that decides is checked by type and value
 * (RFC 8725, RFC 9068).
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import { JOSEAlgNotAllowed, JOSENotSupported, JWTClaimValidationFailed, JWTExpired, JWTInvalid } from "jose/errors"
import { jwtVerify } from "jose/jwt/verify"
import { type JsonObject, parseStrictObject } from "../CanonicalJson.ts"
import { Configuration, IdentityInvalid, type IdentityReason } from "../Errors.ts"
import type { ClaimNames } from "./Claims.ts"
import * as Jwks from "./Jwks.ts"

/** Signature algorithms that an issuer may use: asymmetric ones (RFC 7518 §3.1, RFC 9864). */
export type Algorithm = "Ed25519" | "EdDSA" | "ES256" | "ES384" | "ES512" | "RS256" | "PS256"

/** Whose tokens are accepted, and for whom they must be. */
export interface IssuerOptions extends Jwks.KeySource {
  /** The one audience that a token must be for. There is no default. */
  readonly audience: string
  /** Default: Ed25519, ES256, RS256, PS256. */
  readonly algorithms?: ReadonlyArray<Algorithm> | undefined
  /** How far the clocks may be apart, in seconds: 0 to 300, default 30. */
  readonly clockTolerance?: number | undefined
  readonly claims?: ClaimNames | undefined
}

/** A configured issuer, with its keys. */
export interface Issuer {
  readonly issuer: string
  readonly audience: string
  readonly algorithms: ReadonlyArray<Algorithm>
  /** Seconds. */
  readonly clockTolerance: number
  readonly claims: ClaimNames
  readonly keys: Jwks.KeySet
}

/** What a token says, once it is verified. `expiresAt` is `exp`, in seconds since 1970. */
export interface Verified {
  readonly issuer: Issuer
  readonly claims: JsonObject
  readonly expiresAt: number
}

/** How long a token may be, in characters. */
export const maximumLength = 8192

const known: ReadonlySet<string> = new Set<Algorithm>(["Ed25519", "EdDSA", "ES256", "ES384", "ES512", "RS256", "PS256"])
const defaultAlgorithms: ReadonlyArray<Algorithm> = ["Ed25519", "ES256", "RS256", "PS256"]

const optionNames: ReadonlySet<string> = new Set<keyof IssuerOptions>([
  "issuer",
  "audience",
  "jwksUri",
  "jwks",
  "algorithms",
  "clockTolerance",
  "claims"
])
const claimOptionNames: ReadonlySet<string> = new Set<keyof ClaimNames>([
  "name",
  "roles",
  "groups",
  "company",
  "bu",
  "team"
])

/** Headers that would choose a key, or another reading of the token, from inside the token. */
const refusedHeaders = ["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "cty"] as const

/** Claims that only an id token has (OpenID Connect Core 1.0 §2, §3.3.2.11). */
const idTokenClaims = ["nonce", "at_hash", "c_hash"] as const

/** The issuers by name, ready to verify. Throws {@link Configuration} for options that would accept too much. */
export const issuers = (options: ReadonlyArray<IssuerOptions>): ReadonlyMap<string, Issuer> => {
  const configured = new Map<string, Issuer>()
  for (const option of options) {
    const unknown = [
      ...Object.keys(option).filter((name) => !optionNames.has(name)),
      ...Object.keys(option.claims ?? {}).filter((name) => !claimOptionNames.has(name))
    ]
    if (unknown.length > 0) throw misconfigured(`issuer ${option.issuer} has the unknown option ${unknown.join(", ")}`)
    const { algorithms = defaultAlgorithms, audience, claims = {}, clockTolerance = 30, issuer } = option
    if (typeof issuer !== "string" || issuer === "") throw misconfigured("an issuer needs its name, as `iss` gives it")
    if (typeof audience !== "string" || audience === "")
      throw misconfigured(`issuer ${issuer} needs the audience that its tokens must be for`)
    if (algorithms.length === 0 || !algorithms.every((algorithm) => known.has(algorithm)))
      throw misconfigured(`issuer ${issuer}: algorithms must be some of ${[...known].join(", ")}`)
    if (!(clockTolerance >= 0 && clockTolerance <= 300))
      throw misconfigured(`issuer ${issuer}: clockTolerance must be 0 to 300 seconds`)
    if (configured.has(issuer)) throw misconfigured(`issuer ${issuer} is there twice`)
    configured.set(issuer, { issuer, audience, algorithms, clockTolerance, claims, keys: Jwks.make(option) })
  }
  return configured
}

/**
 * Verifies a token at a time (ms since 1970). Rejects with {@link IdentityInvalid}; its message never quotes the token.
 * `iss` is read before it is verified only to find the configuration of its issuer.
 */
export const verify = async (
  token: string,
  configured: ReadonlyMap<string, Issuer>,
  clock: () => number
): Promise<Verified> => {
  const { claims, header } = parse(token)
  const alg = checkHeader(header)
  const marker = idTokenClaims.find((claim) => Object.hasOwn(claims, claim))
  if (marker !== undefined)
    throw refused("type", `The token is an id token (it has "${marker}"). Send the access token instead.`)
  const iss = claims["iss"]
  const issuer = typeof iss === "string" ? configured.get(iss) : undefined
  if (issuer === undefined)
    throw refused(
      "issuer",
      `The token is of an issuer that is not configured. Use a token of ${[...configured.keys()].join(" or ")}, or add its issuer to the option "issuers".`
    )
  const allowed = issuer.algorithms.find((algorithm) => algorithm === alg)
  if (allowed === undefined)
    throw refused(
      "algorithm",
      `The token is signed with an algorithm that issuer ${issuer.issuer} may not use here. Allowed: ${issuer.algorithms.join(", ")}.`
    )
  const key = await issuer.keys.key({ alg: allowed, kid: keyId(header) })
  const now = clock()
  try {
    await jwtVerify(token, key, {
      algorithms: [allowed],
      issuer: issuer.issuer,
      audience: issuer.audience,
      clockTolerance: issuer.clockTolerance,
      currentDate: new Date(now),
      requiredClaims: ["iss", "sub", "aud", "exp", "iat"]
    })
  } catch (cause) {
    throw fault(cause, issuer)
  }
  return { issuer, claims, expiresAt: checkClaims(claims, issuer, seconds(now)) }
}

/** True once a token that ends at `expiresAt` is over, by the rule that {@link verify} uses. */
export const isExpired = (expiresAt: number, clockTolerance: number, now: number): boolean =>
  expiresAt <= seconds(now) - clockTolerance

/** The refusal of a token that is over. */
export const expired = (): IdentityInvalid =>
  refused("expired", "The token has expired. Get a new one, or give the token as a function that gets a new one.")

/** The one reading of a token: canonical base64url, strict UTF-8, strict JSON. Nothing in it is verified. */
const parse = (token: string): { readonly header: JsonObject; readonly claims: JsonObject } => {
  if (token.length > maximumLength)
    throw refused("malformed", `The token is longer than ${maximumLength} characters; have the issuer make it smaller.`)
  const parts = token.split(".")
  const [header, claims, signature] = parts
  if (header === undefined || claims === undefined || signature === undefined || parts.length !== 3)
    throw refused(
      "malformed",
      "The token is not a signed JSON Web Token: it must have three parts. Pass the access token itself, without the word Bearer; an encrypted or opaque token does not serve."
    )
  if (decode(signature) === undefined)
    throw refused("malformed", "The signature of the token is not base64url; pass the token as the issuer gave it.")
  return { header: parsePart(header, "header"), claims: parsePart(claims, "payload") }
}

const parsePart = (part: string, name: string): JsonObject => {
  const bytes = decode(part)
  if (bytes === undefined)
    throw refused("malformed", `The ${name} of the token is not base64url; pass the token as the issuer gave it.`)
  const parsed = utf8(bytes)
  const read = parsed === undefined ? Result.fail("") : parseStrictObject(parsed)
  if (Result.isFailure(read))
    throw refused("malformed", `The ${name} of the token is not one unambiguous JSON object; get a token that is.`)
  return read.success
}

/** The bytes, if the text is the one base64url spelling of them (RFC 7515 §2, RFC 4648 §3.5). */
const decode = (text: string): Buffer | undefined => {
  const bytes = Buffer.from(text, "base64url")
  return bytes.toString("base64url") === text ? bytes : undefined
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
  const { alg, typ } = header
  if (typeof alg !== "string" || !known.has(alg))
    throw refused(
      "algorithm",
      "The token is not signed with an asymmetric algorithm; have the issuer use ES256 or Ed25519."
    )
  if (typeof typ !== "string" || !/^(application\/)?(at\+jwt|jwt)$/i.test(typ))
    throw refused("type", `The token's typ must be "at+jwt" or "JWT"; send an access token (RFC 9068).`)
  return alg
}

const keyId = (header: JsonObject): string => {
  const { kid } = header
  if (typeof kid !== "string" || !/^[\x21-\x7e]{1,128}$/.test(kid))
    throw refused("unknown_key", "The token does not say which key signed it; have the issuer set the header kid.")
  return kid
}

/** What `jose` leaves open. Gives `exp`. */
const checkClaims = (claims: JsonObject, issuer: Issuer, now: number): number => {
  const { aud, exp, iat, nbf, sub } = claims
  if (aud !== issuer.audience) throw wrongAudience(issuer)
  if (typeof sub !== "string" || sub === "") throw badClaim("sub", "must be text that is not empty")
  if (!isTime(exp)) throw badClaim("exp", "must be a time in seconds")
  if (!isTime(iat)) throw badClaim("iat", "must be a time in seconds")
  if (nbf !== undefined && !isTime(nbf)) throw badClaim("nbf", "must be a time in seconds")
  if (exp <= Math.max(iat, nbf ?? iat)) throw badClaim("exp", "must be later than iat and nbf")
  if (iat > now + issuer.clockTolerance) throw notYetValid()
  return exp
}

const isTime = (value: unknown): value is number =>
  typeof value === "number" && value >= 0 && value <= Number.MAX_SAFE_INTEGER

const fault = (cause: unknown, issuer: Issuer): IdentityInvalid => {
  if (cause instanceof JWTExpired) return expired()
  if (cause instanceof JWTClaimValidationFailed) {
    if (cause.claim === "aud") return wrongAudience(issuer)
    if (cause.claim === "nbf" && cause.reason === "check_failed") return notYetValid()
    return badClaim(cause.claim, cause.reason === "missing" ? "is missing" : "is not what it must be")
  }
  if (cause instanceof JOSEAlgNotAllowed || cause instanceof JOSENotSupported)
    return refused("algorithm", "The token's algorithm is refused; have the issuer use ES256 or Ed25519.")
  if (cause instanceof JWTInvalid) return refused("malformed", "The token's payload is not a JSON object.")
  return refused(
    "signature",
    `The token was not signed by the key of issuer ${issuer.issuer} that it names. Get a new token from the issuer.`
  )
}

const wrongAudience = (issuer: Issuer): IdentityInvalid =>
  refused(
    "audience",
    `The token's audience is not the one text ${JSON.stringify(issuer.audience)}. Ask ${issuer.issuer} for a token with this audience, or correct the option "audience".`
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

const misconfigured = (what: string): Configuration =>
  new Configuration({ message: `The option "issuers" is wrong: ${what}.` })

const seconds = (milliseconds: number): number => Math.floor(milliseconds / 1000)
