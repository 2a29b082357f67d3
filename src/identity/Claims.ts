/**
 * From verified claims to a principal: its name, its roles and groups, the policy documents that it comes under, and what
 * its login proved.
 *
 * @since 0.1.0
 */
import type { JsonObject } from "../CanonicalJson.ts"
import { IdentityInvalid } from "../Errors.ts"
import type { Principal } from "../Principal.ts"

/**
 * Which claims mean what: each is the literal name of a top-level claim (`https://acme.example/roles` is one name, a dot
 * reaches nowhere). `name` has no single default: it is `preferred_username`, else `sub`.
 */
export interface ClaimNames {
  readonly name?: string | undefined
  /** Default `roles`. */
  readonly roles?: string | undefined
  /** Default `groups`. */
  readonly groups?: string | undefined
  /** Default `company`. */
  readonly company?: string | undefined
  /** Default `bu`. */
  readonly bu?: string | undefined
  /** Default `team`. */
  readonly team?: string | undefined
}

/** Authentication methods (RFC 8176 `amr`, and what identity providers add) that phishing does not defeat. */
const phishingResistant: ReadonlySet<string> = new Set(["fido", "fido2", "hwk", "ngcmfa", "phr", "phrh"])

const maximumName = 256

/**
 * The principal that verified claims describe, frozen. Throws {@link IdentityInvalid} (`claim`) for a claim that is there
 * and says something else than names: one text, or an array of texts, each of 1 to 256 characters without control or
 * bidirectional ones. Names are compared to the byte, never trimmed, folded or normalised.
 */
export const principal = (
  claims: JsonObject,
  names: ClaimNames,
  credential: { readonly issuer: string; readonly expiresAt: number; readonly tokenHash: string }
): Principal => {
  const named = (claim: string) => namesIn(claims, claim)
  const roles = named(names.roles ?? "roles")
  const groups = named(names.groups ?? "groups")
  const documents = [
    ...named(names.company ?? "company").map((name) => `company:${name}`),
    ...named(names.bu ?? "bu").map((name) => `bu:${name}`),
    ...named(names.team ?? "team").map((name) => `team:${name}`),
    ...roles.map((name) => `role:${name}`),
    ...groups.map((name) => `group:${name}`)
  ]
  return deepFreeze({
    kind: "user",
    id: nameOf(claims, names.name),
    issuer: credential.issuer,
    roles,
    groups,
    documents,
    attestations: isPhishingResistant(claims["amr"]) ? ["phishing_resistant"] : [],
    claims,
    expiresAt: credential.expiresAt,
    tokenHash: credential.tokenHash
  })
}

const nameOf = (claims: JsonObject, mapped: string | undefined): string => {
  const claim = mapped ?? (has(claims, "preferred_username") ? "preferred_username" : "sub")
  const name = has(claims, claim) ? claims[claim] : undefined
  if (!isName(name))
    throw invalid(claim, `must be a name of 1 to ${maximumName} characters, for policies know the user by it`)
  return name
}

const namesIn = (claims: JsonObject, claim: string): ReadonlyArray<string> => {
  if (isElsewhere(claims, claim))
    throw invalid(claim, "is not in the token but elsewhere (_claim_names); have the issuer put it into the token")
  const value = has(claims, claim) ? claims[claim] : []
  const names = Array.isArray(value) ? value : [value]
  if (!names.every(isName))
    throw invalid(claim, `must be a name or an array of names, each of 1 to ${maximumName} characters`)
  return [...new Set(names)]
}

/** A claim that the token only points to (OpenID Connect Core 1.0 §5.6.2): without it a restriction would be missed. */
const isElsewhere = (claims: JsonObject, claim: string): boolean => {
  const elsewhere = claims["_claim_names"]
  return typeof elsewhere === "object" && elsewhere !== null && Object.hasOwn(elsewhere, claim)
}

const isName = (value: unknown): value is string =>
  typeof value === "string" &&
  value.length >= 1 &&
  value.length <= maximumName &&
  !/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/u.test(value)

const isPhishingResistant = (amr: unknown): boolean =>
  (Array.isArray(amr) ? amr : [amr]).some(
    (method) => typeof method === "string" && phishingResistant.has(method.toLowerCase())
  )

const has = (claims: JsonObject, claim: string): boolean => Object.hasOwn(claims, claim)

const invalid = (claim: string, what: string): IdentityInvalid =>
  new IdentityInvalid({
    reason: "claim",
    message: `The token's claim "${claim}" ${what}. Correct it at the issuer, or map another claim with the issuer's option "claims".`
  })

const deepFreeze = <A>(value: A): A => {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    Object.values(value).forEach(deepFreeze)
  }
  return value
}
