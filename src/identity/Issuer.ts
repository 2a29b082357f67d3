/**
 * Whose tokens are accepted, for whom they must be, and what they may look like: the option `issuers`, as data.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { JsonObject } from "../base/Json.ts"
import { Configuration } from "../call/Errors.ts"
import * as Claims from "./Claims.ts"
import { type Algorithm, algorithms } from "./Jwk.ts"
import * as Jwks from "./Jwks.ts"
import { type Provider, providers, type TokenUse } from "./Provider.ts"
import * as Within from "./Within.ts"

/** What a revocation hook is told of a token that verified. `tokenHash` is the base64url SHA-256 of the token. */
export interface Presented {
  readonly claims: JsonObject
  readonly issuer: string
  readonly tokenHash: string
}

/** True where a token, or its user, must not be served any more. Asked at every call; a failure refuses the call. */
export type Revoked = (token: Presented) => boolean | Promise<boolean>

/** Whose tokens are accepted, and for whom they must be. Times are in seconds. */
export interface IssuerOptions extends Jwks.KeySource {
  /** The one audience that a token must be for. There is no default. */
  readonly audience: string
  /**
   * Audiences that may stand beside it in a list. Presets: `<issuer>userinfo` for `auth0`, `account` for `keycloak`; of
   * `zitadel` the token's own `client_id` always may.
   */
  readonly otherAudiences?: ReadonlyArray<string> | undefined
  /** Default: Ed25519, ES256, RS256, PS256. Besides these: EdDSA, ES384, ES512, RS384, RS512, PS384, PS512. */
  readonly algorithms?: ReadonlyArray<Algorithm> | undefined
  /** `id`: id tokens, for issuers whose access tokens are opaque (the preset `google`). Default `access`. */
  readonly tokens?: TokenUse | undefined
  /**
   * A claim that access tokens of this issuer have, and its other tokens do not. A token must have it, and then needs no
   * header `typ`. For issuers without a preset whose access tokens have no `typ`.
   */
  readonly accessClaim?: string | undefined
  /** The clients that may present tokens, as `azp`, `client_id`, `cid` or `appid` names them. Default: any. */
  readonly clients?: ReadonlyArray<string> | undefined
  /** How far the clocks may be apart: 0 to 300, default 30. */
  readonly clockTolerance?: number | undefined
  /** The longest time from `iat` to `exp`: at most 30 days, default 86,400 (a day). */
  readonly maximumLifetime?: number | undefined
  /** How old a token may get, whatever its `exp`. Default: no bound of its own. */
  readonly maximumAge?: number | undefined
  /** Which claims mean what. */
  readonly claims?: Claims.ClaimOptions | undefined
  /**
   * Which names its tokens may give, so that no other issuer's users are meant: `"company:Beta"` pins the company and makes
   * `alice` the user `Beta/alice`.
   */
  readonly within?: Within.WithinOptions | undefined
  readonly revoked?: Revoked | undefined
}

/** A configured issuer, with its keys. */
export interface Issuer {
  readonly issuer: string
  readonly audience: string
  readonly otherAudiences: ReadonlyArray<string> | undefined
  readonly algorithms: ReadonlyArray<Algorithm>
  readonly tokens: TokenUse
  readonly accessClaim: string | undefined
  /** What is known of its provider. */
  readonly provider: Provider | undefined
  readonly clients: ReadonlyArray<string> | undefined
  readonly clockTolerance: number
  readonly maximumLifetime: number
  readonly maximumAge: number
  readonly claims: Claims.Mapping
  readonly revoked: Revoked | undefined
  readonly keys: Jwks.KeySet
}

const between = (minimum: number, maximum: number) =>
  Schema.optional(Schema.Finite.check(Schema.isBetween({ minimum, maximum })))
const Text = Schema.NonEmptyString
const Hook = Schema.declare((u: unknown): u is Revoked => typeof u === "function", { expected: "a function" })

/** The option `issuers`: one of these, or several. */
export const IssuerOptions = Schema.Struct({
  issuer: Text,
  audience: Text,
  jwksUri: Schema.optional(Text),
  jwks: Schema.optional(Schema.Struct({ keys: Schema.Array(Schema.Unknown) })),
  grace: between(0, 3600),
  otherAudiences: Schema.optional(Schema.Array(Text)),
  algorithms: Schema.optional(Schema.NonEmptyArray(Schema.Literals(algorithms))),
  tokens: Schema.optional(Schema.Literals(["access", "id"])),
  accessClaim: Schema.optional(Text),
  clients: Schema.optional(Schema.NonEmptyArray(Text)),
  clockTolerance: between(0, 300),
  maximumLifetime: between(1, 30 * 86_400),
  maximumAge: between(1, 30 * 86_400),
  claims: Schema.optional(Claims.ClaimOptions),
  within: Schema.optional(Within.WithinOptions),
  revoked: Schema.optional(Hook)
})

const decode = Schema.decodeUnknownResult(IssuerOptions, { errors: "all", onExcessProperty: "error" })

const defaultAlgorithms: ReadonlyArray<Algorithm> = ["Ed25519", "ES256", "RS256", "PS256"]

/** The issuers by name, ready to verify. Throws {@link Configuration} for options that would accept too much. */
export const issuers = (options: ReadonlyArray<IssuerOptions>): ReadonlyMap<string, Issuer> => {
  const configured = new Map<string, Issuer>()
  const places: Array<{ readonly issuer: string; readonly place: Within.IssuerBounds }> = []
  for (const option of options) {
    const checked = decode(option)
    if (Result.isFailure(checked))
      throw misconfigured(
        `${String(checked.failure.message).replaceAll("\n", " ")}. Every issuer needs issuer and audience`
      )
    const { audience, issuer } = option
    if (configured.has(issuer)) throw misconfigured(`issuer ${issuer} is there twice`)
    const place = Within.place(option.within)
    if (typeof place === "string") throw misconfigured(place)
    places.push({ issuer, place })
    const claims = Claims.mapping(option.claims)
    const provider = claims.preset === undefined ? undefined : providers[claims.preset]
    const tokens = option.tokens ?? provider?.tokens ?? "access"
    if (tokens === "id" && option.accessClaim !== undefined)
      throw misconfigured(`accessClaim is of access tokens, and tokens is "id"; leave one of them out`)
    configured.set(issuer, {
      issuer,
      audience,
      otherAudiences: option.otherAudiences ?? provider?.besides?.(issuer),
      algorithms: option.algorithms ?? defaultAlgorithms,
      tokens,
      accessClaim: option.accessClaim,
      provider,
      clients: option.clients,
      clockTolerance: option.clockTolerance ?? 30,
      maximumLifetime: option.maximumLifetime ?? 86_400,
      maximumAge: option.maximumAge ?? Infinity,
      claims,
      revoked: option.revoked,
      keys: Jwks.make(option)
    })
  }
  for (const { issuer, place } of places) {
    const found = configured.get(issuer)
    const others = places.filter((other) => other.issuer !== issuer)
    if (found !== undefined)
      configured.set(issuer, { ...found, claims: { ...found.claims, within: { place, others } } })
  }
  return configured
}

/** What several issuers may mix up, a sentence each; none where `within` tells their names apart. */
export const warnings = (configured: ReadonlyMap<string, Issuer>): ReadonlyArray<string> =>
  Within.collisions(
    [...configured.values()].flatMap(({ claims: { within }, issuer }) =>
      within === undefined ? [] : [{ issuer, place: within.place }]
    )
  ).map(Within.collisionText)

const misconfigured = (what: string): Configuration =>
  new Configuration({ message: `The option "issuers" is wrong: ${what}.` })
