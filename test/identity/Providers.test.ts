import { assert, describe, it } from "@effect/vitest"
import { IdentityInvalid } from "../../src/Errors.ts"
import * as Claims from "../../src/identity/Claims.ts"
import { issuers, type IssuerOptions } from "../../src/identity/Issuer.ts"
import * as Jwt from "../../src/identity/Jwt.ts"
import { makeSigner, now, seconds } from "./tokens.ts"

const time = { wall: () => now, steady: () => 0 }
const life = { iat: seconds - 10, exp: seconds + 300 }

/** A token as a provider makes it, and what it must become. */
const shapes: ReadonlyArray<{
  readonly name: string
  readonly header: object
  readonly claims: { readonly iss: string; readonly [claim: string]: unknown }
  readonly options: Omit<Partial<IssuerOptions>, "issuer"> & { readonly audience: string }
  readonly becomes: { readonly id: string; readonly documents: ReadonlyArray<string> }
}> = [
  {
    name: "Keycloak, with account beside the audience",
    header: { typ: "JWT" },
    claims: {
      ...life,
      iss: "https://sso.acme.com/realms/acme",
      aud: ["assistant", "account"],
      sub: "f1c2",
      typ: "Bearer",
      azp: "spa",
      sid: "s1",
      acr: "1",
      "allowed-origins": ["https://acme.com"],
      realm_access: { roles: ["analyst", "offline_access"] },
      resource_access: { assistant: { roles: ["editor"] }, account: { roles: ["view-profile"] } },
      scope: "email profile",
      preferred_username: "alice",
      groups: ["/emea/risk"],
      email: "alice@acme.com",
      email_verified: true
    },
    options: {
      audience: "assistant",
      claims: {
        preset: "keycloak",
        roles: [
          ["realm_access", "roles"],
          ["resource_access", "assistant", "roles"]
        ],
        allowedRoles: ["analyst", "editor"]
      }
    },
    becomes: { id: "alice", documents: ["role:analyst", "role:editor", "group:/emea/risk"] }
  },
  {
    name: "Auth0, with userinfo beside the audience and roles of an Action",
    header: { typ: "JWT" },
    claims: {
      ...life,
      iss: "https://acme.eu.auth0.com/",
      aud: ["https://api.acme.com", "https://acme.eu.auth0.com/userinfo"],
      sub: "auth0|65a1",
      azp: "spa",
      scope: "openid profile",
      org_id: "org_9",
      "https://example.com/roles": ["analyst"],
      permissions: ["read:reports"]
    },
    options: { audience: "https://api.acme.com", claims: { preset: "auth0", roles: "https://example.com/roles" } },
    becomes: { id: "auth0|65a1", documents: ["company:org_9", "role:analyst"] }
  },
  {
    name: "Auth0, RFC 9068 profile",
    header: { typ: "at+jwt" },
    claims: {
      ...life,
      iss: "https://acme.eu.auth0.com/",
      aud: "https://api.acme.com",
      sub: "auth0|65a1",
      client_id: "spa",
      jti: "j"
    },
    options: { audience: "https://api.acme.com", claims: "auth0", clients: ["spa"] },
    becomes: { id: "auth0|65a1", documents: [] }
  },
  {
    name: "Okta, which sends no typ",
    header: { typ: undefined },
    claims: {
      ...life,
      ver: 1,
      jti: "AT.x",
      iss: "https://acme.okta.com/oauth2/default",
      aud: "api://default",
      cid: "0oa1",
      uid: "00u1",
      scp: ["openid"],
      auth_time: seconds - 20,
      sub: "alice@acme.com",
      groups: ["Everyone", "Risk"]
    },
    options: { audience: "api://default", claims: "okta" },
    becomes: { id: "alice@acme.com", documents: ["group:Everyone", "group:Risk"] }
  },
  {
    name: "Microsoft Entra, v2",
    header: { typ: "JWT" },
    claims: {
      ...life,
      nbf: life.iat,
      iss: "https://login.microsoftonline.com/t-1/v2.0",
      aud: "api-guid",
      azp: "spa-guid",
      azpacr: "0",
      oid: "o-1",
      sub: "pairwise",
      tid: "t-1",
      uti: "u",
      ver: "2.0",
      scp: "access_as_user",
      preferred_username: "alice@acme.com",
      roles: ["Analyst"],
      groups: ["g-1"]
    },
    options: { audience: "api-guid", claims: "entra" },
    becomes: { id: "o-1", documents: ["company:t-1", "role:Analyst", "group:g-1"] }
  },
  {
    name: "Google, an id token",
    header: { typ: "JWT" },
    claims: {
      ...life,
      iss: "https://accounts.google.com",
      azp: "1.apps.googleusercontent.com",
      aud: "1.apps.googleusercontent.com",
      sub: "110",
      hd: "acme.com",
      email: "alice@acme.com",
      email_verified: true,
      at_hash: "h",
      nonce: "n"
    },
    options: { audience: "1.apps.googleusercontent.com", claims: "google" },
    becomes: { id: "alice@acme.com", documents: ["company:acme.com"] }
  }
]

const become = async (shape: (typeof shapes)[number], change: object = {}, header: object = {}) => {
  const signer = makeSigner("RS256", shape.claims.iss)
  const options = { ...signer.options, ...shape.options }
  const token = signer.sign(
    JSON.stringify({ ...signer.header, ...shape.header, ...header }),
    JSON.stringify({ ...shape.claims, ...change })
  )
  const { claims, expiresAt, issuer } = await Jwt.verify(token, issuers([options]), time)
  return Claims.principal(claims, issuer.claims, { issuer: issuer.issuer, expiresAt, tokenHash: "" })
}
const shape = (name: string) => shapes.find((shape) => shape.name.startsWith(name))!
const refused = async (name: string, change: object, header: object = {}) => {
  const error: unknown = await become(shape(name), change, header).catch((error: unknown) => error)
  assert.instanceOf(error, IdentityInvalid)
  return error.reason
}

describe("tokens as providers make them", () => {
  it.each(shapes.map((shape) => [shape.name, shape] as const))("%s", async (_, shape) => {
    const { documents, id } = await become(shape)
    assert.deepStrictEqual({ id, documents }, shape.becomes)
  })

  it("of Keycloak: an id, refresh or logout token is none, nor one for a third party", async () => {
    for (const typ of ["ID", "Refresh", "Logout", undefined])
      assert.strictEqual(await refused("Keycloak", { typ }), "type")
    const ids = { ...shape("Keycloak"), options: { ...shape("Keycloak").options, tokens: "id" as const } }
    assert.strictEqual((await become(ids, { typ: "ID", azp: "assistant", at_hash: "h" })).id, "alice")
    const error: unknown = await become(ids, { azp: "assistant" }).catch((error: unknown) => error)
    assert.strictEqual(error instanceof IdentityInvalid && error.reason, "type")
    assert.strictEqual(await refused("Keycloak", { aud: ["assistant", "account", "other"] }), "audience")
    assert.strictEqual(await refused("Keycloak", { aud: ["account"] }), "audience")
    assert.strictEqual(await refused("Keycloak", { aud: ["assistant", "assistant"] }), "audience")
  })

  it("of Auth0: userinfo of another tenant does not count", async () => {
    assert.strictEqual(
      await refused("Auth0, with", { aud: ["https://api.acme.com", "https://evil.auth0.com/userinfo"] }),
      "audience"
    )
    assert.strictEqual(await refused("Auth0, RFC", { client_id: "evil" }), "audience")
  })

  it("of Okta: no typ is forgiven to an access token alone", async () => {
    assert.strictEqual(await refused("Okta", { cid: undefined }), "type")
    assert.strictEqual(await refused("Okta", { nonce: "n" }), "type")
  })

  it("of Microsoft Entra: an id token for the same audience is none", async () => {
    assert.strictEqual(await refused("Microsoft", { azp: undefined }), "type")
    const { id } = await become(shape("Microsoft"), { azp: undefined, appid: "spa-guid" })
    assert.strictEqual(id, "o-1")
  })

  it("of Microsoft Entra: groups that are elsewhere are missed, not ignored", async () => {
    assert.strictEqual(await refused("Microsoft", { groups: undefined, _claim_names: { groups: "src1" } }), "claim")
  })

  it("of Google: an address counts where Google runs its domain", async () => {
    assert.strictEqual(await refused("Google", { hd: undefined }), "claim")
    assert.strictEqual(await refused("Google", { hd: undefined, email: "gmail.com@acme.com" }), "claim")
    const own = await become(shape("Google"), { hd: undefined, email: "alice@gmail.com" })
    assert.deepStrictEqual([own.id, own.documents], ["alice@gmail.com", []])
  })

  it("of Google: an address that is not verified, an access token or another client names nobody", async () => {
    assert.strictEqual(await refused("Google", { email_verified: false }), "claim")
    assert.strictEqual(await refused("Google", { email_verified: "true" }), "claim")
    assert.strictEqual(await refused("Google", { azp: "2.apps.googleusercontent.com" }), "audience")
    assert.strictEqual(await refused("Google", {}, { typ: "at+jwt" }), "type")
  })

  it("says which role was dropped, and where each name came from", () => {
    const { claims, options } = shape("Keycloak")
    const mapped = Claims.map(claims as never, Claims.mapping(options.claims))
    const roles = mapped.find(({ field }) => field === "roles")
    assert.deepStrictEqual(roles?.dropped, ["offline_access"])
    assert.deepStrictEqual(roles?.from.map(Claims.wayText), [
      "realm_access → roles",
      "resource_access → assistant → roles"
    ])
  })

  it("ends a token at the maximum age, whatever its exp", async () => {
    const signer = makeSigner("Ed25519")
    const configured = issuers([{ ...signer.options, maximumAge: 60 }])
    const at = (ms: number) => Jwt.verify(signer.token({ iat: seconds }), configured, { ...time, wall: () => now + ms })
    assert.strictEqual((await at(89_999)).expiresAt, seconds + 60)
    const error: unknown = await at(90_000).catch((error: unknown) => error)
    assert.instanceOf(error, IdentityInvalid)
    assert.strictEqual(error.reason, "expired")
  })
})
