import { assert, describe, it } from "@effect/vitest"
import { generateKeyPair, SignJWT } from "jose"
import * as Crypto from "node:crypto"
import { Configuration, IdentityInvalid, type IdentityReason } from "../../src/call/Errors.ts"
import * as Issuer from "../../src/identity/Issuer.ts"
import * as Jwt from "../../src/identity/Jwt.ts"
import { makeIssuer } from "../../src/testing/Tokens.ts"

const now = 1_800_000_000_000
const seconds = now / 1000
const { privateKey, publicKey } = Crypto.generateKeyPairSync("ed25519")
const rsa = Crypto.generateKeyPairSync("rsa", { modulusLength: 2048 })
const rsa3 = Crypto.generateKeyPairSync("rsa", { modulusLength: 2048, publicExponent: 3 })
const ec = Crypto.generateKeyPairSync("ec", { namedCurve: "P-256" })

const options: Issuer.IssuerOptions = {
  issuer: "https://id.example",
  audience: "https://api.example",
  jwks: {
    keys: [
      { ...publicKey.export({ format: "jwk" }), kid: "ed" },
      { ...rsa.publicKey.export({ format: "jwk" }), kid: "rsa" },
      { ...rsa3.publicKey.export({ format: "jwk" }), kid: "rsa3" },
      { ...ec.publicKey.export({ format: "jwk" }), kid: "ec" }
    ]
  }
}
const configured = Issuer.issuers([options])
const claims = { iss: options.issuer, aud: options.audience, sub: "alice", iat: seconds - 10, exp: seconds + 3600 }
const header = { alg: "Ed25519", typ: "at+jwt", kid: "ed" }

const base64url = (text: string) => Buffer.from(text).toString("base64url")
const signed = (head: string, payload: string | Buffer) => {
  const input = `${base64url(head)}.${Buffer.from(payload).toString("base64url")}`
  return `${input}.${Crypto.sign(null, Buffer.from(input), privateKey).toString("base64url")}`
}
const token = (change: object = {}, changeHeader: object = {}) =>
  signed(JSON.stringify({ ...header, ...changeHeader }), JSON.stringify({ ...claims, ...change }))

const outcome = async (jwt: string, at = now, issuers = configured): Promise<IdentityReason | "accepted"> => {
  try {
    await Jwt.verify(jwt, issuers, { wall: () => at, steady: () => 0 })
    return "accepted"
  } catch (error) {
    assert.instanceOf(error, IdentityInvalid)
    for (const part of jwt.split(".").filter((text) => text.length > 9)) assert.notInclude(error.message, part)
    assert.match(error.message, /\.$/)
    return error.reason
  }
}

describe("Jwt.verify", () => {
  it("accepts a good access token and gives its claims", async () => {
    const verified = await Jwt.verify(token(), configured, { wall: () => now, steady: () => 0 })
    assert.deepStrictEqual(verified.claims, { ...claims })
    assert.strictEqual(verified.expiresAt, claims.exp)
    assert.strictEqual(verified.issuer.issuer, options.issuer)
  })

  it("refuses an algorithm that is allowed, but not one of the key", async () => {
    assert.strictEqual(await outcome(token({}, { alg: "ES256" })), "unknown_key")
  })

  it("holds exp, nbf and iat to the second, with a tolerance of 30", async () => {
    const short = token({ iat: seconds, nbf: seconds, exp: seconds + 60 })
    assert.strictEqual(await outcome(short, now - 30_000), "accepted")
    assert.strictEqual(await outcome(short, now - 31_000), "not_yet_valid")
    assert.strictEqual(await outcome(short, now + 89_999), "accepted")
    assert.strictEqual(await outcome(short, now + 90_000), "expired")
  })

  it("accepts ES256, RS256 and PS256 made by jose, and refuses RSA keys with a small exponent", async () => {
    const by = (alg: string, kid: string, key: Crypto.KeyObject | CryptoKey) =>
      new SignJWT(claims).setProtectedHeader({ alg, kid, typ: "at+jwt" }).sign(key)
    assert.strictEqual(await outcome(await by("ES256", "ec", ec.privateKey)), "accepted")
    assert.strictEqual(await outcome(await by("RS256", "rsa", rsa.privateKey)), "accepted")
    assert.strictEqual(await outcome(await by("PS256", "rsa", rsa.privateKey)), "accepted")
    assert.strictEqual(await outcome(await by("ES256", "ec", (await ecPair()).privateKey)), "signature")
    const input = `${base64url(JSON.stringify({ ...header, alg: "RS256", kid: "rsa3" }))}.${base64url(JSON.stringify(claims))}`
    const signature = Crypto.sign("sha256", Buffer.from(input), rsa3.privateKey).toString("base64url")
    assert.strictEqual(await outcome(`${input}.${signature}`), "unknown_key")
  })

  it("allows only the algorithms that the issuer's configuration names", async () => {
    const psOnly = Issuer.issuers([{ ...options, algorithms: ["PS256"] }])
    const rs = await new SignJWT(claims)
      .setProtectedHeader({ alg: "RS256", kid: "rsa", typ: "JWT" })
      .sign(rsa.privateKey)
    assert.strictEqual(await outcome(rs, now, psOnly), "algorithm")
  })

  it("does not let the key of one issuer sign for another", async () => {
    const other = makeIssuer("https://other.example", options.audience)
    const both = Issuer.issuers([options, other.options])
    const kid = other.options.jwks.keys[0]?.kid
    assert.strictEqual(await outcome(token({ iss: "https://other.example" }), now, both), "unknown_key")
    assert.strictEqual(await outcome(token({ iss: "https://other.example" }, { kid }), now, both), "signature")
    assert.strictEqual(await outcome(other.mint({}, { now }), now, both), "accepted")
  })
})

describe("Issuer.issuers", () => {
  const wrong: ReadonlyArray<readonly [string, object]> = [
    ["no audience", { audience: "" }],
    ["no issuer", { issuer: "" }],
    ["an algorithm with a shared secret", { algorithms: ["HS256"] }],
    ["no algorithm", { algorithms: [] }],
    ["a tolerance without end", { clockTolerance: Infinity }],
    ["a tolerance below zero", { clockTolerance: -1 }],
    ["a tolerance of more than five minutes", { clockTolerance: 301 }],
    ["a grace of more than an hour", { grace: 3601 }],
    ["a life of more than 30 days", { maximumLifetime: 30 * 86_400 + 1 }],
    ["a life of no time", { maximumLifetime: 0 }],
    ["an age of more than 30 days", { maximumAge: 30 * 86_400 + 1 }],
    ["an age of no time", { maximumAge: 0 }],
    ["a tolerance that is no number", { clockTolerance: NaN }],
    ["an option it does not know", { algorithm: "ES256" }],
    ["a claim it does not know", { claims: { role: "roles" } }],
    ["a key set that is none", { jwks: {} }],
    ["key sets over http", { jwks: undefined, jwksUri: "http://id.example/jwks" }],
    ["key sets of a file", { jwks: undefined, jwksUri: "file:///etc/passwd" }],
    ["credentials in an address", { jwks: undefined, jwksUri: "https://a:b@id.example/jwks" }],
    ["discovery of what is no URL", { jwks: undefined, issuer: "my issuer" }]
  ]
  it.each(wrong)("refuses %s", (_, change) => {
    assert.throws(() => Issuer.issuers([{ ...options, ...change }]), Configuration)
  })

  it("refuses one issuer twice", () => {
    assert.throws(() => Issuer.issuers([options, options]), Configuration, /twice/)
  })
})

const ecPair = () => generateKeyPair("ES256")
