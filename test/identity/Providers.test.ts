import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import { IdentityInvalid } from "../../src/call/Errors.ts"
import * as Claims from "../../src/identity/Claims.ts"
import { issuers, type IssuerOptions } from "../../src/identity/Issuer.ts"
import { providers } from "../../src/identity/Provider.ts"
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
  },
  {
    // docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html, read 2026-11-30
    name: "AWS Cognito, an access token: no typ, no aud",
    header: { typ: undefined },
    claims: {
      sub: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
      device_key: "eu-central-1_1",
      "cognito:groups": ["analysts"],
      iss: "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_example",
      version: 2,
      client_id: "1example23456789",
      origin_jti: "o",
      event_id: "e",
      token_use: "access",
      scope: "phone openid profile email",
      auth_time: seconds - 20,
      ...life,
      jti: "j",
      username: "alice"
    },
    options: { audience: "1example23456789", claims: "cognito" },
    becomes: { id: "alice", documents: ["group:analysts"] }
  },
  {
    // The same page, "resource binding": the resource that was asked for is the audience.
    name: "AWS Cognito, an access token for a resource",
    header: { typ: undefined },
    claims: {
      ...life,
      sub: "a1",
      iss: "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_example",
      aud: "https://api.acme.com",
      client_id: "1example23456789",
      token_use: "access",
      username: "alice"
    },
    options: { audience: "https://api.acme.com", claims: "cognito", clients: ["1example23456789"] },
    becomes: { id: "alice", documents: [] }
  },
  {
    // …/amazon-cognito-user-pools-using-the-id-token.html, read 2026-11-30
    name: "AWS Cognito, an id token where they are asked for",
    header: { typ: undefined },
    claims: {
      sub: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
      "cognito:groups": ["analysts"],
      email_verified: true,
      iss: "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_example",
      "cognito:username": "alice",
      "custom:company": "Acme",
      at_hash: "h",
      nonce: "n",
      origin_jti: "o",
      aud: "1example23456789",
      event_id: "e",
      token_use: "id",
      auth_time: seconds - 20,
      ...life,
      jti: "j",
      email: "alice@acme.com"
    },
    options: {
      audience: "1example23456789",
      tokens: "id",
      claims: { preset: "cognito", company: "custom:company" }
    },
    becomes: { id: "alice", documents: ["company:Acme", "group:analysts"] }
  },
  {
    // A token of a cluster as gist.github.com/tsaarni/79b8b51610c948562cfe5d2e1002cae4 shows it, with an audience of one's
    // own; kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin, read 2026-11-30
    name: "Kubernetes, a bound service account token",
    header: { typ: undefined },
    claims: {
      aud: ["assistant"],
      ...life,
      iss: "https://kubernetes.default.svc.cluster.local",
      jti: "e51f1fbc-4733-4b85-a59f-ba80c0523874",
      "kubernetes.io": {
        namespace: "payments",
        node: { name: "worker", uid: "517eb86e" },
        pod: { name: "shell", uid: "0d8b260e" },
        serviceaccount: { name: "batch", uid: "e6a8680e" },
        warnafter: seconds + 200
      },
      nbf: life.iat,
      sub: "system:serviceaccount:payments:batch"
    },
    options: { audience: "assistant", claims: "kubernetes" },
    becomes: { id: "system:serviceaccount:payments:batch", documents: ["team:payments"] }
  },
  {
    // ory.sh/docs/oauth2-oidc/jwt-access-token and ory/fosite token/jwt/claims_jwt.go, read 2026-11-30
    name: "Ory Hydra",
    header: { typ: "JWT" },
    claims: {
      aud: ["api"],
      client_id: "spa",
      ...life,
      ext: { roles: ["analyst"], company: "Acme" },
      roles: ["analyst"],
      iss: "https://acme.projects.oryapis.com",
      jti: "j",
      nbf: life.iat,
      scp: ["openid", "offline"],
      sub: "alice"
    },
    options: { audience: "api", claims: "hydra" },
    becomes: { id: "alice", documents: ["company:Acme", "role:analyst"] }
  },
  {
    // zitadel.com/docs/apis/openidoauth/claims, read 2026-11-30; the shape of aud and roles as in
    // questions.zitadel.com/m/1435721390941540623
    name: "Zitadel",
    header: { typ: "JWT" },
    claims: {
      iss: "https://acme.zitadel.cloud",
      sub: "345377791925026818",
      aud: ["344374183645413381", "344374183645413380"],
      ...life,
      nbf: life.iat,
      jti: "V2_1",
      client_id: "344374183645413381",
      "urn:zitadel:iam:user:resourceowner:id": "344373908297744388",
      "urn:zitadel:iam:org:project:roles": { analyst: { "344373908297744388": "acme.zitadel.cloud" } }
    },
    options: { audience: "344374183645413380", claims: "zitadel" },
    becomes: { id: "345377791925026818", documents: ["company:344373908297744388", "role:analyst"] }
  },
  {
    name: "Another issuer without typ, by a claim of its access tokens",
    header: { typ: undefined },
    claims: { ...life, iss: "https://id.acme.com", aud: ["api"], sub: "alice", at_use: "api" },
    options: { audience: "api", accessClaim: "at_use" },
    becomes: { id: "alice", documents: [] }
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
const refusal = async (name: string, change: object, header: object = {}, options: object = {}) => {
  const given = shape(name)
  const changed = { ...given, options: { ...given.options, ...options } }
  const error: unknown = await become(changed, change, header).catch((error: unknown) => error)
  assert.instanceOf(error, IdentityInvalid)
  return error
}
const refused = async (name: string, change: object, header: object = {}) =>
  (await refusal(name, change, header)).reason

/** The preset that an issuer's option names. */
const presetOf = ({ claims }: (typeof shapes)[number]["options"]): string | undefined =>
  typeof claims === "string" ? claims : claims?.preset

describe("each preset", () => {
  const page = (name: string) => Fs.readFileSync(new URL(`../../docs/${name}`, import.meta.url), "utf8")
  const identity = page("identity.md")
  const guide = page("guide.md")

  it.each(Object.keys(providers))("%s has a token here, and its place in the pages", (name) => {
    assert.include(
      shapes.map(({ options }) => presetOf(options)),
      name
    )
    assert.include(identity, `| \`"${name}"\` |`)
    assert.match(guide, new RegExp(`claims: "${name}"|\`${name}\``, "u"))
  })
})

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

  it("of AWS Cognito: client_id stands in place of aud alone, and further clients are named", async () => {
    const access = "AWS Cognito, an access token: no"
    assert.strictEqual(await refused(access, { client_id: "2" }), "audience")
    assert.strictEqual(await refused(access, { client_id: ["1example23456789"] }), "audience")
    assert.strictEqual(await refused(access, { aud: "https://other.example" }), "audience")
    const several = { ...shape(access), options: { ...shape(access).options, clients: ["2"] } }
    assert.strictEqual((await become(several, { client_id: "2" })).id, "alice")
    assert.strictEqual((await become(several)).id, "alice")
    const resource = "AWS Cognito, an access token for a resource"
    assert.strictEqual(await refused(resource, { client_id: "2" }), "audience")
    assert.strictEqual(await refused(resource, { aud: undefined, client_id: "2" }), "audience")
    assert.strictEqual(await refused("AWS Cognito, an id token", { aud: "2" }), "audience")
  })

  it("of Kubernetes: a token of a user, a legacy one or one for the API server is none", async () => {
    const name = "Kubernetes"
    for (const change of [
      { sub: "alice" },
      { sub: "system:serviceaccount:payments" },
      { "kubernetes.io": undefined },
      { "kubernetes.io": "x" }
    ])
      assert.strictEqual(await refused(name, change), "type")
    assert.strictEqual(await refused(name, { aud: ["https://kubernetes.default.svc"] }), "audience")
    assert.strictEqual(await refused(name, { aud: ["assistant", "vault"] }), "audience")
  })

  it("of Zitadel: its own client may stand beside the project, and no other one", async () => {
    assert.strictEqual(await refused("Zitadel", { client_id: "another" }), "audience")
    assert.strictEqual(await refused("Zitadel", { aud: ["344374183645413381"] }), "audience")
    const role = "urn:zitadel:iam:org:project:roles"
    assert.strictEqual(await refused("Zitadel", { [role]: { "": {} } }), "claim")
    assert.deepStrictEqual((await become(shape("Zitadel"), { [role]: ["a", "b"] })).roles, ["a", "b"])
  })

  it.each<readonly [string, object, object, object, RegExp]>([
    ["AWS Cognito, an access", { token_use: "id" }, {}, {}, /id token of AWS Cognito.*tokens: "id"/],
    ["AWS Cognito, an access", { token_use: undefined }, {}, {}, /token_use.*Send the access token/],
    ["AWS Cognito, an id", { token_use: "access" }, {}, {}, /token_use.*Send the id token/],
    ["AWS Cognito, an access", { client_id: "2" }, {}, {}, /client "2".*"audience".*"clients"/],
    ["AWS Cognito, an access", {}, {}, { claims: {} }, /claims to "cognito", "kubernetes" or "okta".*"accessClaim"/],
    ["AWS Cognito, an access", {}, { typ: "JWT" }, { claims: {} }, /no audience.*claims: "cognito"/],
    ["Kubernetes", {}, {}, { claims: {} }, /claims to "cognito", "kubernetes"/],
    ["Kubernetes", { aud: ["assistant", "vault"] }, {}, {}, /for \["vault"\] besides "assistant".*"otherAudiences"/],
    ["Ory Hydra", { aud: ["api", "b"] }, {}, {}, /for \["b"\] besides "api".*"otherAudiences"/],
    ["Ory Hydra", { aud: ["b"] }, {}, {}, /for \["b"\], not for "api".*"audience"/],
    ["Ory Hydra", { client_id: undefined }, {}, {}, /no client.*tokens: "id"/],
    ["Zitadel", { jti: undefined }, {}, {}, /no jti.*tokens: "id"/],
    ["Zitadel", { nonce: "n" }, {}, {}, /id token \(it has "nonce"\).*tokens: "id"/],
    ["Keycloak", { typ: "ID" }, {}, {}, /"Bearer".*tokens: "id"/],
    ["Microsoft", { azp: undefined }, {}, {}, /Microsoft Entra.*tokens: "id"/],
    ["Google", {}, { typ: "at+jwt" }, {}, /leave out the issuer's option tokens: "id"/],
    ["Another issuer", { at_use: undefined }, {}, {}, /"accessClaim"/],
    ["Another issuer", {}, {}, { algorithms: ["ES256"] }, /Allowed: ES256.*add RS256.*"algorithms"/],
    ["Another issuer", { exp: seconds + 90_000 }, {}, {}, /"maximumLifetime"/]
  ])("of %s with %j, header %j and options %j: the refusal names the option", async (...row) => {
    const [name, change, header, options, message] = row
    assert.match((await refusal(name, change, header, options)).message, message)
  })

  it("signed by RS384, RS512, PS384 and PS512, where the option algorithms allows it", async () => {
    for (const alg of ["RS384", "RS512", "PS384", "PS512"] as const) {
      const signer = makeSigner(alg)
      const { claims } = await Jwt.verify(signer.token(), issuers([signer.options]), time)
      assert.strictEqual(claims["sub"], "alice")
      const { algorithms: _, ...byDefault } = signer.options
      const error: unknown = await Jwt.verify(signer.token(), issuers([byDefault]), time).catch((e: unknown) => e)
      assert.strictEqual(error instanceof IdentityInvalid && error.reason, "algorithm")
    }
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
