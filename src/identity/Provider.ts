/**
 * What is known of identity providers, by the name of a preset: which claims mean what, and how their access tokens are told
 * from the other tokens that they sign with the same key. Most say it by the header `typ` (RFC 9068); some have no `typ`.
 */
import * as Schema from "effect/Schema"
import type { JsonObject } from "../base/Json.ts"
import type { ClaimField } from "./Within.ts"

/** Identity providers whose tokens are known. */
export const Preset = Schema.Literals([
  "auth0",
  "cognito",
  "entra",
  "google",
  "hydra",
  "keycloak",
  "kubernetes",
  "okta",
  "zitadel"
])
export type Preset = typeof Preset.Type

/** What an issuer's tokens are: access tokens, or id tokens. */
export type TokenUse = "access" | "id"

/** Where a claim is: a name, a way into objects, or several ways. */
type Source =
  | string
  | readonly [string, ...Array<string>]
  | readonly [readonly [string, ...Array<string>], ...Array<readonly [string, ...Array<string>]>]

/** What is known of a provider. */
export interface Provider {
  /** Where its tokens have names, where that is not the claim of that name. */
  readonly claims: Readonly<Partial<Record<ClaimField, Source>>>
  /** Which tokens it is used with, where that is not access tokens. */
  readonly tokens?: TokenUse
  /** Audiences that it puts beside one's own by itself. */
  readonly besides?: (issuer: string) => ReadonlyArray<string>
  /** An audience beside one's own that depends on the token. */
  readonly ownAudience?: (claims: JsonObject) => unknown
  /**
   * The client, where that stands in place of the audience: then the option `audience` is a client's id, and `clients` names
   * further ones.
   */
  readonly clientAsAudience?: (claims: JsonObject, use: TokenUse) => unknown
  /** True for claims that only such tokens have, of a provider whose tokens have no `typ`. */
  readonly isUntyped?: (claims: JsonObject, use: TokenUse) => boolean
  /** Why a token is of another use, and what to do, in a sentence; undefined where it may be of this one. */
  readonly fault?: (claims: JsonObject, use: TokenUse) => string | undefined
  /** True where the names of roles are the keys of an object. */
  readonly hasKeyedRoles?: true
}

/** The claims with which issuers name the client that a token was issued to. */
export const clientClaims = ["azp", "client_id", "cid", "appid"] as const

/** What to do with an id token. */
export const insteadOfId = `Send the access token instead, or set the issuer's option tokens: "id" to accept id tokens`

const isText = (value: unknown): boolean => typeof value === "string" && value !== ""

export const providers: Readonly<Record<Preset, Provider>> = {
  keycloak: {
    claims: { user: [["preferred_username"], ["sub"]], roles: ["realm_access", "roles"] },
    besides: () => ["account"],
    fault: ({ typ }, use) => {
      if (typ === (use === "id" ? "ID" : "Bearer")) return undefined
      if (use === "id") return `The claim typ of this token of Keycloak is not "ID". Send the id token.`
      return `The claim typ of this token of Keycloak is not "Bearer". ${insteadOfId}.`
    }
  },
  // Roles of Auth0 come by an Action of one's own, under a name of one's own.
  auth0: { claims: { user: "sub", company: "org_id" }, besides: (issuer) => [`${issuer}userinfo`] },
  // Access tokens of custom authorization servers have no typ; a claim that only they have tells them apart.
  okta: { claims: { user: "sub" }, isUntyped: ({ cid }, use) => use === "access" && isText(cid) },
  entra: {
    // preferred_username, upn and email change hands; oid and tid do not.
    claims: { user: "oid", company: "tid" },
    // There an id token and an access token may have the same audience; only the latter names a client.
    fault: (claims, use) =>
      use === "id" || clientClaims.some((claim) => Object.hasOwn(claims, claim))
        ? undefined
        : `The token names no client (azp, appid), so it is no access token of Microsoft Entra. ${insteadOfId}.`
  },
  // Not sub: nobody writes policies for numbers. Whose addresses count: Claims.
  google: { claims: { user: "email", company: "hd" }, tokens: "id" },
  // "Understanding the access token", "… the identity (ID) token", docs.aws.amazon.com/cognito/latest/developerguide, read
  // 2026-11: neither has typ, token_use tells them apart, and an access token has client_id in place of aud, but for one
  // that was asked for with a resource.
  cognito: {
    claims: { user: [["username"], ["cognito:username"]], groups: "cognito:groups" },
    clientAsAudience: ({ aud, client_id }, use) => (use === "id" ? aud : aud === undefined ? client_id : undefined),
    isUntyped: (claims, use) => claims["token_use"] === use,
    fault: ({ token_use }, use) => {
      if (token_use === use) return undefined
      if (use === "id") return `The claim token_use of this token of AWS Cognito is not "id". Send the id token.`
      return token_use === "id"
        ? `This is an id token of AWS Cognito (token_use is "id"). ${insteadOfId}.`
        : `The claim token_use of this token of AWS Cognito is not "access". Send the access token.`
    }
  },
  // kubernetes/pkg/serviceaccount/claims.go and "Managing Service Accounts", kubernetes.io, read 2026-11: alg and kid alone
  // in the header, aud a list, the private claim "kubernetes.io" in every bound token.
  kubernetes: {
    claims: { user: "sub", team: ["kubernetes.io", "namespace"] },
    isUntyped: (claims) => isBound(claims),
    fault: (claims) =>
      isBound(claims)
        ? undefined
        : `The token has no claim "kubernetes.io" or another sub than system:serviceaccount:NAMESPACE:NAME, so it is no bound token of a Kubernetes service account. Mount one with serviceAccountToken { audience }.`
  },
  // "Opaque and JWT access tokens", ory.sh/docs/oauth2-oidc, and ory/fosite token/jwt/claims_jwt.go, read 2026-11: aud and
  // scp are lists, claims of the consent app are under ext, and at the top too where they are allowed there.
  hydra: {
    claims: {
      user: "sub",
      company: [["ext", "company"], ["company"]],
      bu: [["ext", "bu"], ["bu"]],
      team: [["ext", "team"], ["team"]],
      roles: [["ext", "roles"], ["roles"]],
      groups: [["ext", "groups"], ["groups"]]
    },
    fault: ({ client_id }, use) =>
      use === "id" || isText(client_id)
        ? undefined
        : `The token names no client (client_id), so it is no access token of Ory Hydra. ${insteadOfId}.`
  },
  // "Claims in ZITADEL", zitadel.com/docs/apis/openidoauth/claims, and zitadel/oidc pkg/oidc/token.go, read 2026-11: aud
  // lists the project and its clients, access tokens alone have jti, roles are { ROLE: { ORGANIZATION: DOMAIN } }.
  zitadel: {
    claims: {
      user: "sub",
      company: "urn:zitadel:iam:user:resourceowner:id",
      roles: "urn:zitadel:iam:org:project:roles"
    },
    ownAudience: ({ client_id }) => client_id,
    hasKeyedRoles: true,
    fault: ({ jti }, use) =>
      use === "id" || isText(jti)
        ? undefined
        : `The token has no jti, so it is no access token of Zitadel. ${insteadOfId}.`
  }
}

const isBound = (claims: JsonObject): boolean => {
  const { sub } = claims
  const about = claims["kubernetes.io"]
  return (
    typeof about === "object" &&
    about !== null &&
    typeof sub === "string" &&
    /^system:serviceaccount:[^:]+:[^:]+$/.test(sub)
  )
}
