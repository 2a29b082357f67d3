/**
 * Where an issuer's users stand among the names that policies know. Two issuers may both call somebody `alice`, or both know a
 * company `Acme`. An issuer's entry therefore says which names its tokens may give: a field is pinned to a name that no token
 * changes, or every name in it gets a prefix that no other issuer's names may begin with.
 */
import * as Schema from "effect/Schema"
import { isName, nameFault } from "../call/Name.ts"

/** The fields that a token gives names for, the widest first. */
export const fields = ["company", "bu", "team", "user", "roles", "groups"] as const
export type ClaimField = (typeof fields)[number]

/**
 * What the issuer's option `within` takes.
 *
 * - `"company:Beta"` (or `bu:`, `team:`) pins that field, and puts `Beta/` before every other name: `user:Beta/alice`,
 *   `role:Beta/admin`.
 * - An object says it field by field. `company`, `bu`, `team`, `user`, `roles` and `groups` are pinned to what stands there,
 *   whatever the token says (`roles: []` for none); `prefix` stands before the names of all other fields, or of those that it
 *   names. It ends with a character that is no letter and no digit: `beta/`.
 * - `{}` says that its names are meant to be those of the other issuers: nothing is warned of.
 */
export type WithinOptions =
  | `company:${string}`
  | `bu:${string}`
  | `team:${string}`
  | {
      readonly prefix?: string | { readonly [F in ClaimField]?: string | undefined } | undefined
      readonly company?: string | ReadonlyArray<string> | undefined
      readonly bu?: string | ReadonlyArray<string> | undefined
      readonly team?: string | ReadonlyArray<string> | undefined
      readonly user?: string | undefined
      readonly roles?: string | ReadonlyArray<string> | undefined
      readonly groups?: string | ReadonlyArray<string> | undefined
    }

const Text = Schema.String
const Names = Schema.optional(Schema.Union([Text, Schema.Array(Text)]))
const One = Schema.optional(Text)

/** The form of {@link WithinOptions}; {@link place} checks the names. */
export const WithinOptions = Schema.Union([
  Text,
  Schema.Struct({
    prefix: Schema.optional(
      Schema.Union([Text, Schema.Struct({ company: One, bu: One, team: One, user: One, roles: One, groups: One })])
    ),
    company: Names,
    bu: Names,
    team: Names,
    user: One,
    roles: Names,
    groups: Names
  })
])

/** Which names an issuer may give, by field: those that it is pinned to, or those with a prefix; else any. */
export interface IssuerBounds {
  readonly pinned: Readonly<Partial<Record<ClaimField, ReadonlyArray<string>>>>
  readonly prefix: Readonly<Partial<Record<ClaimField, string>>>
  /** Whether the option was given at all, and says nothing: any name, on purpose. */
  readonly isOpen?: true
}

/** The place that the option describes; text says what is wrong with it. */
export const place = (options: WithinOptions | undefined): IssuerBounds | string => {
  if (options === undefined) return { pinned: {}, prefix: {} }
  if (typeof options === "string") {
    const [, field, name] = /^(company|bu|team):(.+)$/su.exec(options) ?? []
    if ((field !== "company" && field !== "bu" && field !== "team") || name === undefined)
      return `within is "company:NAME", "bu:NAME", "team:NAME" or an object, not ${JSON.stringify(options)}`
    return place({ [field]: name, prefix: `${name}/` })
  }
  const { prefix: given, ...named } = options
  const pinned: { [F in ClaimField]?: ReadonlyArray<string> } = {}
  const prefix: { [F in ClaimField]?: string } = {}
  for (const field of fields) {
    const pin = named[field]
    const own = typeof given === "string" ? (pin === undefined ? given : undefined) : given?.[field]
    if (pin !== undefined && own !== undefined) return `within pins ${field} and gives it a prefix; leave one out`
    if (pin !== undefined) pinned[field] = [...new Set([pin].flat())]
    if (own !== undefined) prefix[field] = own
    const wrong = pinned[field]?.find((name) => !isName(name))
    if (wrong !== undefined) return `within pins ${field} to a name that ${nameFault(wrong)}`
    if (own !== undefined && (!isName(own) || /[\p{L}\p{N}]$/u.test(own)))
      return `the prefix of ${field} in within must be a name that ends with a character other than a letter or digit, such as "beta/": else names that only begin alike would be another issuer's`
  }
  const isOpen = Object.keys(pinned).length + Object.keys(prefix).length === 0
  return { pinned, prefix, ...(isOpen && { isOpen }) }
}

/** Of these nobody but the issuers that are pinned to a name may give it. A pinned role is granted, and others may grant it. */
const reserving: ReadonlySet<ClaimField> = new Set(["company", "bu", "team", "user"])

/**
 * The issuer whose name this is, where `own` must not give it: another issuer is pinned to it, or has a prefix that it begins
 * with and that is longer than one's own.
 */
export const ownerOf = (
  field: ClaimField,
  name: string,
  own: IssuerBounds,
  others: ReadonlyArray<{ readonly issuer: string; readonly place: IssuerBounds }>
): string | undefined => {
  if (own.pinned[field] !== undefined) return undefined
  return others.find(({ place }) => {
    if (reserving.has(field) && place.pinned[field]?.includes(name) === true) return true
    const prefix = place.prefix[field]
    return prefix !== undefined && name.startsWith(prefix) && !(own.prefix[field] ?? "").startsWith(prefix)
  })?.issuer
}

/** Issuers that may give the same names, and in which fields. */
export interface Collision {
  readonly issuers: ReadonlyArray<string>
  readonly fields: ReadonlyArray<ClaimField>
}

/** Which issuers may give the same names: neither pinned, nor told apart by a prefix, nor open on purpose. */
export const collisions = (
  places: ReadonlyArray<{ readonly issuer: string; readonly place: IssuerBounds }>
): ReadonlyArray<Collision> => {
  const found = new Map<string, { readonly issuers: ReadonlyArray<string>; readonly fields: Array<ClaimField> }>()
  for (const field of fields) {
    const byPrefix = new Map<string, Array<string>>()
    for (const { issuer, place } of places) {
      if (place.pinned[field] !== undefined || place.isOpen === true) continue
      const prefix = place.prefix[field] ?? ""
      byPrefix.set(prefix, [...(byPrefix.get(prefix) ?? []), issuer])
    }
    for (const issuers of byPrefix.values()) {
      if (issuers.length < 2) continue
      const key = JSON.stringify(issuers)
      const known = found.get(key)
      if (known === undefined) found.set(key, { issuers, fields: [field] })
      else known.fields.push(field)
    }
  }
  return [...found.values()]
}

/** What a collision means and what to do, in a sentence or two. */
export const collisionText = ({ fields: shared, issuers }: Collision): string => {
  const example = shared.includes("user")
    ? "user:alice of one is user:alice of the others, for every policy that names it"
    : `a name of one is the same name of the others, for every policy that names it`
  return `The issuers ${issuers.join(" and ")} may give the same names (${shared.join(", ")}): ${example}. Rate limits, agents and the log tell them apart by iss and sub. Give all of them but one the option within: "company:NAME" sets their names apart, and {} says that the same are meant.`
}
