import { assert, describe, it } from "@effect/vitest"
import { generateKeyPair, SignJWT } from "jose"
import * as Crypto from "node:crypto"
import { Configuration, IdentityInvalid, type IdentityReason } from "../../src/Errors.ts"
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
      { ...ec.publicKey.export({ format: "jwk" }), kid: "ec" },
      { ...publicKey.export({ format: "jwk" }), kid: "enc", use: "enc" },
      { ...publicKey.export({ format: "jwk" }), kid: "twice" },
      { ...publicKey.export({ format: "jwk" }), kid: "twice" }
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
const parts = (jwt: string) => jwt.split(".") as [string, string, string]

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

const [h, p, s] = parts(token())
const lastChanged = `${s.slice(0, -1)}_`
const spki = (key: Crypto.KeyObject) => key.export({ format: "pem", type: "spki" })
const hs256 = (secret: string | Buffer, kid: string) => {
  const input = `${base64url(JSON.stringify({ ...header, alg: "HS256", kid }))}.${p}`
  return `${input}.${Crypto.createHmac("sha256", secret).update(input).digest("base64url")}`
}

const refusals: ReadonlyArray<readonly [string, string, IdentityReason]> = [
  ["alg none", `${base64url(JSON.stringify({ ...header, alg: "none" }))}.${p}.`, "algorithm"],
  ["alg nOnE", `${base64url(JSON.stringify({ ...header, alg: "nOnE" }))}.${p}.${s}`, "algorithm"],
  ["no alg", token({}, { alg: undefined }), "algorithm"],
  ["alg as a number", token({}, { alg: 1 }), "algorithm"],
  ["HS256 keyed with the RSA public key", hs256(spki(rsa.publicKey), "rsa"), "algorithm"],
  ["HS256 keyed with the EC public key", hs256(spki(ec.publicKey), "ec"), "algorithm"],
  ["HS256 keyed with the Ed25519 bytes", hs256(spki(publicKey), "ed"), "algorithm"],
  ["EdDSA where only Ed25519 is allowed", token({}, { alg: "EdDSA" }), "algorithm"],
  ["an algorithm that does not fit the key", token({}, { alg: "ES256" }), "unknown_key"],
  ["an unknown key id", token({}, { kid: "other" }), "unknown_key"],
  ["no key id", token({}, { kid: undefined }), "unknown_key"],
  ["an empty key id", token({}, { kid: "" }), "unknown_key"],
  ["a key id with a line end", token({}, { kid: "ed\n" }), "unknown_key"],
  ["a key id of 10 KB", token({}, { kid: "e".repeat(5000) }), "unknown_key"],
  ["a key id of Object.prototype", token({}, { kid: "constructor" }), "unknown_key"],
  ["a key id that two keys have", token({}, { kid: "twice" }), "unknown_key"],
  ["a key for encryption", token({}, { kid: "enc" }), "unknown_key"],
  ...["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "cty"].map(
    (name) => [`header ${name}`, token({}, { [name]: [] }), "malformed"] as const
  ),
  ["typ dpop+jwt", token({}, { typ: "dpop+jwt" }), "type"],
  ["typ soai-invoke+jwt", token({}, { typ: "soai-invoke+jwt" }), "type"],
  ["typ logout+jwt", token({}, { typ: "logout+jwt" }), "type"],
  ["no typ", token({}, { typ: undefined }), "type"],
  ...["nonce", "at_hash", "c_hash"].map((name) => [`an id token's ${name}`, token({ [name]: "x" }), "type"] as const),
  ["an unknown issuer", token({ iss: "https://other.example" }), "issuer"],
  ["an issuer with a trailing slash", token({ iss: `${options.issuer}/` }), "issuer"],
  ["an issuer in an array", token({ iss: [options.issuer] }), "issuer"],
  ["no issuer", token({ iss: undefined }), "issuer"],
  ["another audience", token({ aud: "https://other.example" }), "audience"],
  ["our audience among others", token({ aud: [options.audience, "https://other.example"] }), "audience"],
  ["our audience alone in an array", token({ aud: [options.audience] }), "audience"],
  ["an audience of another case", token({ aud: "https://API.example" }), "audience"],
  ["no audience", token({ aud: undefined }), "audience"],
  ["no subject", token({ sub: undefined }), "claim"],
  ["an empty subject", token({ sub: "" }), "claim"],
  ["a subject that is a number", token({ sub: 7 }), "claim"],
  ["no end", token({ exp: undefined }), "claim"],
  ["an end as text", token({ exp: String(claims.exp) }), "claim"],
  [
    "an end beyond numbers",
    signed(JSON.stringify(header), JSON.stringify(claims).replace(/"exp":\d+/, '"exp":1e400')),
    "malformed"
  ],
  ["an end before it was issued", token({ iat: seconds + 5, exp: seconds + 5 }), "claim"],
  ["no time of issue", token({ iat: undefined }), "claim"],
  ["a time of issue as text", token({ iat: "now" }), "claim"],
  ["a start as text", token({ nbf: "now" }), "claim"],
  ["an end before its start", token({ nbf: claims.exp }), "claim"],
  ["issued in the future", token({ iat: seconds + 31 }), "not_yet_valid"],
  ["a start in the future", token({ nbf: seconds + 31 }), "not_yet_valid"],
  ["expired", token({ exp: seconds - 30, iat: seconds - 60 }), "expired"],
  ["a changed payload", `${h}.${base64url(JSON.stringify({ ...claims, sub: "root" }))}.${s}`, "signature"],
  ["a signature of zeros", `${h}.${p}.${base64url("\0".repeat(64))}`, "signature"],
  ["a signature that is too short", `${h}.${p}.${s.slice(0, 40)}`, "signature"],
  [
    "ES256 with r = s = 0",
    `${base64url(JSON.stringify({ ...header, alg: "ES256", kid: "ec" }))}.${p}.${base64url("\0".repeat(64))}`,
    "signature"
  ],
  ["unused bits set in the last character", `${h}.${p}.${lastChanged}`, "malformed"],
  ["a line end after it", `${token()}\n`, "malformed"],
  ["a space before it", ` ${token()}`, "malformed"],
  ["the word Bearer before it", `Bearer ${token()}`, "malformed"],
  ["padding", `${h}.${p}.${s}==`, "malformed"],
  ["two parts", `${h}.${p}`, "malformed"],
  ["five parts", `${h}.${p}.${s}.${s}.${s}`, "malformed"],
  ["nothing but dots", "..", "malformed"],
  ["ten thousand dots", ".".repeat(8000), "malformed"],
  ["more than 8 KiB", token({ filler: "x".repeat(8192) }), "malformed"],
  ["JSON instead of compact form", JSON.stringify({ protected: h, payload: p, signature: s }), "malformed"],
  [
    "a duplicate header",
    signed(`{"alg":"none",${JSON.stringify(header).slice(1)}`, JSON.stringify(claims)),
    "malformed"
  ],
  [
    "a duplicate claim",
    signed(JSON.stringify(header), `{"sub":"root",${JSON.stringify(claims).slice(1)}`),
    "malformed"
  ],
  [
    "a duplicate claim in another spelling",
    signed(JSON.stringify(header), `{"\\u0073ub":"root",${JSON.stringify(claims).slice(1)}`),
    "malformed"
  ],
  [
    "a claim named __proto__",
    signed(JSON.stringify(header), `{"__proto__":{},${JSON.stringify(claims).slice(1)}`),
    "malformed"
  ],
  ["claims nested 100 deep", signed(JSON.stringify(header), `{"a":${"[".repeat(100)}${"]".repeat(100)}}`), "malformed"],
  ["claims that are an array", signed(JSON.stringify(header), "[]"), "malformed"],
  ["claims that are text", signed(JSON.stringify(header), '"alice"'), "malformed"],
  ["a byte order mark", signed(JSON.stringify(header), `\ufeff${JSON.stringify(claims)}`), "malformed"],
  [
    "invalid UTF-8",
    signed(JSON.stringify(header), Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])),
    "malformed"
  ]
]

describe("Jwt.verify", () => {
  it("accepts a good access token and gives its claims", async () => {
    const verified = await Jwt.verify(token(), configured, { wall: () => now, steady: () => 0 })
    assert.deepStrictEqual(verified.claims, { ...claims })
    assert.strictEqual(verified.expiresAt, claims.exp)
    assert.strictEqual(verified.issuer.issuer, options.issuer)
  })

  it.each(refusals)("refuses %s", async (_, jwt, reason) => {
    assert.strictEqual(await outcome(jwt), reason)
  })

  it.each(["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])("accepts typ %s", async (typ) => {
    assert.strictEqual(await outcome(token({}, { typ })), "accepted")
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
    const input = `${base64url(JSON.stringify({ ...header, alg: "RS256", kid: "rsa3" }))}.${p}`
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
