/**
 * From verified claims to a principal: its name, its roles and groups, the policy documents that it comes under, and what
 * its login proved. Which claim means what is data: a preset of an identity provider, a mapping of one's own, or a preset
 * with changes.
 */
import * as Schema from "effect/Schema"
import type { JsonObject } from "../base/Json.ts"
import { IdentityInvalid } from "../call/Errors.ts"
import type { Principal } from "../call/Principal.ts"
import { isName, maximumName, namelessness } from "../call/Name.ts"
import { Preset, providers } from "./Provider.ts"
import { type ClaimField, fields, ownerOf, type IssuerBounds } from "./Within.ts"

const Path = Schema.NonEmptyArray(Schema.String)

/**
 * Where a claim is: text is the literal name of a top-level claim (`https://acme.example/roles` is one name, a dot reaches
 * nowhere); an array of texts is a way into objects, each step a literal name; an array of those ways takes all of them (the
 * first that is there, for the user).
 */
export const ClaimSource = Schema.Union([Schema.String, Path, Schema.NonEmptyArray(Path)])
export type ClaimSource = typeof ClaimSource.Type

/** Which claims mean what. A field that is not named is the preset's, else the claim of that name. */
export const ClaimMapping = Schema.Struct({
  preset: Schema.optional(Preset),
  /** The name that policies know the user by. Default: `preferred_username`, else `sub`. */
  user: Schema.optional(ClaimSource),
  company: Schema.optional(ClaimSource),
  bu: Schema.optional(ClaimSource),
  team: Schema.optional(ClaimSource),
  roles: Schema.optional(ClaimSource),
  groups: Schema.optional(ClaimSource),
  /** The roles that count; others are dropped. Default: all. */
  allowedRoles: Schema.optional(Schema.Array(Schema.String))
})
export type ClaimMapping = typeof ClaimMapping.Type

/** What the issuer's option `claims` takes. */
export const ClaimOptions = Schema.Union([Preset, ClaimMapping])
export type ClaimOptions = typeof ClaimOptions.Type

/** A mapping with every field settled. */
export type Mapping = Readonly<Record<ClaimField, ReadonlyArray<ReadonlyArray<string>>>> & {
  readonly preset?: Preset | undefined
  readonly allowedRoles?: ReadonlyArray<string> | undefined
  /** Which of these names the issuer may give; absent where it is the only one. */
  readonly within?: AllIssuerBounds | undefined
}

/** Where an issuer stands, and where the other ones do. */
export interface AllIssuerBounds {
  readonly place: IssuerBounds
  readonly others: ReadonlyArray<{ readonly issuer: string; readonly place: IssuerBounds }>
}

const defaults: Readonly<Record<ClaimField, ClaimSource>> = {
  company: "company",
  bu: "bu",
  team: "team",
  user: [["preferred_username"], ["sub"]],
  roles: "roles",
  groups: "groups"
}

/** The mapping that options describe. */
export const mapping = (options: ClaimOptions = {}): Mapping => {
  const { preset, ...own } = typeof options === "string" ? { preset: options } : options
  const given: Omit<ClaimMapping, "preset"> = {
    ...(preset === undefined ? {} : providers[preset].claims),
    ...defined(own)
  }
  const waysOf = (field: ClaimField) => ways(given[field] ?? defaults[field])
  return {
    preset,
    allowedRoles: given.allowedRoles,
    company: waysOf("company"),
    bu: waysOf("bu"),
    team: waysOf("team"),
    user: waysOf("user"),
    roles: waysOf("roles"),
    groups: waysOf("groups")
  }
}

const defined = <A extends object>(value: A): A =>
  Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as A

const ways = (source: ClaimSource): ReadonlyArray<ReadonlyArray<string>> =>
  typeof source === "string"
    ? [[source]]
    : source.flatMap((step) => (typeof step === "string" ? [] : [step])).length > 0
      ? source.filter((step) => typeof step !== "string")
      : [source.filter((step) => typeof step === "string")]

/**
 * One field as a token gives it: `from` says where each name came from, `dropped` what was not taken over. `pinned`: the
 * values are the issuer's option `within`, whatever the token says; `prefix`: what that option put before each name.
 */
export interface Mapped {
  readonly field: ClaimField
  readonly values: ReadonlyArray<string>
  readonly from: ReadonlyArray<ReadonlyArray<string>>
  readonly dropped: ReadonlyArray<string>
  readonly pinned?: true
  readonly prefix?: string
}

/** Authentication methods (RFC 8176 `amr`, and what identity providers add) that phishing does not defeat. */
const phishingResistant: ReadonlySet<string> = new Set(["fido", "fido2", "hwk", "ngcmfa", "phr", "phrh"])

/**
 * What a mapping makes of verified claims, field by field. Throws {@link IdentityInvalid} (`claim`) for a claim that is
 * there and says something else than names: one text, or an array of texts, each of 1 to 256 characters without any that is
 * not seen, and without white space at its ends; and for a name that is another issuer's. Names are compared to the byte,
 * never trimmed, folded or normalised.
 */
export const map = (claims: JsonObject, mapping: Mapping): ReadonlyArray<Mapped> => {
  const { within } = mapping
  const read = readers(claims, mapping)
  return fields.map((field) => {
    const pinned = within?.place.pinned[field]
    if (pinned === undefined) return placed(read(field), within)
    const names = mapping[field].flatMap((way) => [at(claims, way)].flat()).filter(isName)
    return { field, from: [], values: pinned, dropped: names.filter((name) => !pinned.includes(name)), pinned: true }
  })
}

/** The names of a field as the issuer may give them. */
const placed = (mapped: Mapped, within: AllIssuerBounds | undefined): Mapped => {
  if (within === undefined) return mapped
  const { field, from } = mapped
  const prefix = within.place.prefix[field]
  const values = mapped.values.map((name) => `${prefix ?? ""}${name}`)
  for (const name of values) {
    if (!isName(name)) throw invalid(from[0] ?? [field], `and the prefix of the option within must be a name together`)
    const owner = ownerOf(field, name, within.place, within.others)
    if (owner !== undefined)
      throw invalid(
        from[0] ?? [field],
        `says ${JSON.stringify(name)}, which only issuer ${owner} gives, by the option within`
      )
  }
  return { ...mapped, values, ...(prefix !== undefined && { prefix }) }
}

const readers =
  (claims: JsonObject, mapping: Mapping) =>
  (field: ClaimField): Mapped => {
    if (field === "user") return userIn(claims, mapping)
    const from = mapping[field].filter((way) => at(claims, way) !== undefined)
    const { allowedRoles, preset } = mapping
    const isKeyed = field === "roles" && preset !== undefined && providers[preset].hasKeyedRoles === true
    const names = [...new Set(mapping[field].flatMap((way) => namesIn(claims, way, isKeyed)))]
    const counts = (name: string) => field !== "roles" || allowedRoles === undefined || allowedRoles.includes(name)
    return { field, from, values: names.filter(counts), dropped: names.filter((name) => !counts(name)) }
  }

/** The principal that verified claims describe, frozen. Throws as {@link map}. */
export const principal = (
  claims: JsonObject,
  mapping: Mapping,
  credential: {
    readonly issuer: string
    readonly expiresAt: number
    readonly tokenHash: string
    readonly validUntil?: number
    readonly degraded?: boolean
  }
): Principal => {
  const mapped = map(claims, mapping)
  const named = (field: ClaimField) => mapped.find((entry) => entry.field === field)?.values ?? []
  const documents = [
    ...named("company").map((name) => `company:${name}`),
    ...named("bu").map((name) => `bu:${name}`),
    ...named("team").map((name) => `team:${name}`),
    ...named("roles").map((name) => `role:${name}`),
    ...named("groups").map((name) => `group:${name}`)
  ]
  const { sub } = claims
  return deepFreeze({
    kind: "user",
    id: named("user")[0] ?? "",
    issuer: credential.issuer,
    ...(typeof sub === "string" && { subject: sub }),
    roles: named("roles"),
    groups: named("groups"),
    documents,
    attestations: isPhishingResistant(claims["amr"]) ? ["phishing_resistant"] : [],
    claims,
    expiresAt: credential.expiresAt,
    tokenHash: credential.tokenHash,
    ...(credential.validUntil !== undefined && { validUntil: credential.validUntil }),
    ...(credential.degraded === true && { degraded: true })
  })
}

const userIn = (claims: JsonObject, { preset, user }: Mapping): Mapped => {
  const way = user.find((way) => valueOf(claims, way) !== undefined) ?? user[0] ?? ["sub"]
  const name = at(claims, way)
  if (!isName(name))
    throw invalid(
      way,
      `must be a name of 1 to ${maximumName} characters, for policies know the user by it (${namelessness(name)})`
    )
  if (way.join() === "email" && Object.hasOwn(claims, "email_verified") && claims["email_verified"] !== true)
    throw invalid(["email_verified"], "is not true, so the e-mail address names nobody")
  // For any other address Google only knows that somebody could once read its mail.
  if (preset === "google" && way.join() === "email" && claims["hd"] === undefined && !name.endsWith("@gmail.com"))
    throw invalid(way, "is of a domain that Google does not vouch for (there is no hd)")
  return { field: "user", values: [name], from: [way], dropped: [] }
}

const namesIn = (claims: JsonObject, way: ReadonlyArray<string>, isKeyed: boolean): ReadonlyArray<string> => {
  const value = valueOf(claims, way)
  if (value === undefined) return []
  const isMap = isKeyed && typeof value === "object" && value !== null && !Array.isArray(value)
  const names: ReadonlyArray<unknown> = isMap ? Object.keys(value) : Array.isArray(value) ? value : [value]
  if (!names.every(isName))
    throw invalid(
      way,
      `must be a name or an array of names, each of 1 to ${maximumName} characters (${namelessness(names.find((one) => !isName(one)))})`
    )
  return names
}

/** What the token says there. Throws where it only says that there is something: a restriction would be missed. */
const valueOf = (claims: JsonObject, way: ReadonlyArray<string>): unknown => {
  if (isElsewhere(claims, way[0] ?? ""))
    throw invalid(way, "is not in the token but elsewhere; have the issuer put it into the token")
  return at(claims, way)
}

/** The value at the end of a way of literal names; `undefined` where a step is not there. */
const at = (claims: JsonObject, way: ReadonlyArray<string>): unknown => {
  let value: unknown = claims
  for (const step of way) {
    if (typeof value !== "object" || value === null || Array.isArray(value) || !Object.hasOwn(value, step))
      return undefined
    value = Reflect.get(value, step)
  }
  return value
}

/** A claim that the token only points to: OpenID Connect Core 1.0 §5.6.2, and `hasgroups` of Microsoft Entra. */
const isElsewhere = (claims: JsonObject, claim: string): boolean => {
  const elsewhere = claims["_claim_names"]
  return (
    (typeof elsewhere === "object" && elsewhere !== null && Object.hasOwn(elsewhere, claim)) ||
    (claim === "groups" && Object.hasOwn(claims, "hasgroups") && !Object.hasOwn(claims, "groups"))
  )
}

const isPhishingResistant = (amr: unknown): boolean =>
  (Array.isArray(amr) ? amr : [amr]).some(
    (method) => typeof method === "string" && phishingResistant.has(method.toLowerCase())
  )

/** A way as people write it: `realm_access → roles`. */
export const wayText = (way: ReadonlyArray<string>): string => way.join(" → ")

const invalid = (way: ReadonlyArray<string>, what: string): IdentityInvalid =>
  new IdentityInvalid({
    reason: "claim",
    message: `The token's claim "${wayText(way)}" ${what}. Correct it at the issuer, or map another claim with the issuer's option "claims".`
  })

const deepFreeze = <A>(value: A): A => {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    Object.values(value).forEach(deepFreeze)
  }
  return value
}
