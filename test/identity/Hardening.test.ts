/**
 * Hostile tokens, each by every algorithm that an issuer may use, against the identity layer itself. Ids are those of the
 * threat table: J1 to J66. Key sets over sockets (J31 to J36) are in Jwks.test.ts, clocks and calls (J63, J67 to J69) in
 * Identity.test.ts. Two rows do not apply as they stand: J5 (a key handed over as PEM bytes) because keys come from JWKs
 * alone, so its token is tried as J4's are; J68 (a token that ends during a stream) because a stream that runs may end.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Crypto from "node:crypto"
import type { IdentityInvalid } from "../../src/Errors.ts"
import { Identity } from "../../src/identity/Identity.ts"
import type { IssuerOptions } from "../../src/identity/Issuer.ts"
import { isKeyId } from "../../src/identity/Jwk.ts"
import { base64url, makeSigner, now, seconds, signBy } from "./tokens.ts"

const algorithms = ["Ed25519", "EdDSA", "ES256", "ES384", "ES512", "RS256", "PS256"] as const
const signers = algorithms.map((alg) => makeSigner(alg))
const other = makeSigner("Ed25519", "https://other.example")
type Signer = (typeof signers)[number]

const clockAt = (at: number): Clock.Clock => ({
  currentTimeMillisUnsafe: () => at,
  currentTimeMillis: Effect.sync(() => at),
  currentTimeNanosUnsafe: () => BigInt(at) * 1_000_000n,
  currentTimeNanos: Effect.sync(() => BigInt(at) * 1_000_000n),
  monotonicTimeNanosUnsafe: () => 0n,
  monotonicTimeNanos: Effect.succeed(0n),
  sleep: () => Effect.void
})

const outcome = (token: string, options: ReadonlyArray<IssuerOptions>, at = now): Promise<string> =>
  Effect.flatMap(Identity, (identity) => identity.principal({ _tag: "User", token: Redacted.make(token) }, "app")).pipe(
    Effect.provide(Identity.layer({ issuers: options })),
    Effect.match({
      onSuccess: () => "accepted",
      onFailure: (error) => {
        assert.strictEqual(error._tag, "IdentityInvalid")
        for (const part of token.split(".").filter((text) => text.length > 9)) assert.notInclude(error.message, part)
        return (error as IdentityInvalid).reason
      }
    }),
    Effect.provideService(Clock.Clock, clockAt(at)),
    Effect.runPromise
  )

const raw = (
  { claims, header, sign }: Signer,
  head: (text: string) => string | Buffer,
  body = (text: string): string | Buffer => text
) => sign(head(JSON.stringify(header)), body(JSON.stringify(claims)))
const keep = (text: string) => text
const body = (signer: Signer, change: (text: string) => string | Buffer) => raw(signer, keep, change)
const unsigned = ({ claims, header }: Signer, change: object, signature = "") =>
  `${base64url(JSON.stringify({ ...header, ...change }))}.${base64url(JSON.stringify(claims))}.${signature}`
const hmac = (signer: Signer, secret: string | Buffer) => {
  const input = unsigned(signer, { alg: "HS256" }).slice(0, -1)
  return `${input}.${Crypto.createHmac("sha256", secret).update(input).digest("base64url")}`
}
const pem = ({ publicKey }: Signer) => publicKey.export({ format: "pem", type: "spki" }).toString()
const split = (signer: Signer) => signer.token().split(".") as [string, string, string]
const nextInAlphabet = (letter: string) => {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
  return alphabet[alphabet.indexOf(letter) ^ 1] ?? ""
}

type Row = readonly [name: string, make: (signer: Signer) => string, reason: string]
const claim = (name: string, change: object, reason: string): Row => [name, ({ token }) => token(change), reason]
const head = (name: string, change: object, reason: string): Row => [name, ({ token }) => token({}, change), reason]
const { claims } = signers[0]!

const rows: ReadonlyArray<Row> = [
  ["J1 alg none, no signature", (s) => unsigned(s, { alg: "none" }), "algorithm"],
  ...["nOnE", "NONE", "none "].map((alg): Row => [`J2 alg ${alg}`, (s) => unsigned(s, { alg }), "algorithm"]),
  ...[undefined, 1, ["ES256"], null, ""].map((alg): Row => head(`J3 alg ${JSON.stringify(alg)}`, { alg }, "algorithm")),
  ["J4 HS256 keyed with the public PEM", (s) => hmac(s, pem(s)), "algorithm"],
  ["J5 HS256 keyed with the PEM after a space", (s) => hmac(s, ` ${pem(s)}`), "algorithm"],
  ["J6 HS256 keyed with the JWK", (s) => hmac(s, JSON.stringify(s.jwk)), "algorithm"],
  [
    "J7, J8 an algorithm of another issuer",
    (s) =>
      s.token(
        {},
        { alg: s.alg === "Ed25519" ? "EdDSA" : s.alg === "PS256" ? "RS256" : s.alg === "RS256" ? "PS256" : "Ed25519" }
      ),
    "algorithm"
  ],
  ...["jwk", "jku", "x5u", "x5c"].map((name): Row => head(`J9 to J11 header ${name}`, { [name]: "x" }, "malformed")),
  ...["../../../dev/null", "a\0", "a\r\n", "' OR 1=1 --", "k".repeat(129), 7].map((kid): Row =>
    head(`J12 kid ${JSON.stringify(kid).slice(0, 20)}`, { kid }, "unknown_key")
  ),
  head("J13 no kid", { kid: undefined }, "unknown_key"),
  ...["__proto__", "constructor", ""].map((kid): Row => head(`J14 kid "${kid}"`, { kid }, "unknown_key")),
  head("J15 crit", { crit: ["exp"] }, "malformed"),
  head("J16 crit empty", { crit: [] }, "malformed"),
  head("J16 crit twice", { crit: ["b64", "b64"], b64: true }, "malformed"),
  head("J17 b64 false with crit", { crit: ["b64"], b64: false }, "malformed"),
  head("J18 b64 false", { b64: false }, "malformed"),
  ["J19 alg twice", (s) => raw(s, (text) => `{"alg":"none",${text.slice(1)}`), "malformed"],
  ["J20 sub twice", (s) => body(s, (text) => `{"sub":"root",${text.slice(1)}`), "malformed"],
  ["J20 sub twice, escaped", (s) => body(s, (text) => `{"\\u0073ub":"root",${text.slice(1)}`), "malformed"],
  ["J21 claim __proto__", (s) => body(s, (text) => `{"__proto__":{},${text.slice(1)}`), "malformed"],
  [
    "J22 invalid UTF-8",
    (s) => body(s, (text) => Buffer.concat([Buffer.from(text.slice(0, -1)), Buffer.from(',"a":"\xff"}', "latin1")])),
    "malformed"
  ],
  ["J23 a byte order mark", (s) => body(s, (text) => `\ufeff${text}`), "malformed"],
  ...["[]", '"alice"', "7", "null"].map((text): Row => [
    `J24 payload ${text}`,
    (s) => body(s, () => text),
    "malformed"
  ]),
  ["J25 a line end behind", (s) => `${s.token()}\n`, "malformed"],
  ["J25 a space within", (s) => s.token().replace(".", ". "), "malformed"],
  [
    "J26 another spelling of the payload",
    (s) => {
      const claimed = { ...s.claims, pad: "" }
      while (JSON.stringify(claimed).length % 3 === 0) claimed.pad += "x"
      const [h, p, sig] = s.sign(JSON.stringify(s.header), JSON.stringify(claimed)).split(".") as [
        string,
        string,
        string
      ]
      return `${h}.${p.slice(0, -1)}${nextInAlphabet(p.at(-1) ?? "")}.${sig}`
    },
    "malformed"
  ],
  ["J27 padding", (s) => `${s.token()}=`, "malformed"],
  [
    "J27 the alphabet of base64",
    (s) => {
      const [h, p, sig] = split(s)
      return `${h}.${p}.+${sig.slice(1)}`
    },
    "malformed"
  ],
  ["J28 two parts", (s) => split(s).slice(0, 2).join("."), "malformed"],
  ["J28 four parts", (s) => `${s.token()}.x`, "malformed"],
  ["J28, J59 five parts", (s) => `${s.token()}.x.y`, "malformed"],
  ["J28 a million dots", () => ".".repeat(1_000_000), "malformed"],
  ["J29 five megabytes", (s) => `${s.token()}${"A".repeat(5_000_000)}`, "malformed"],
  ["J29 one character more than allowed", (s) => s.token().padEnd(8193, "A"), "malformed"],
  [
    "J30 claims 33 deep",
    (s) => body(s, (text) => `${text.slice(0, -1)},"a":${"[".repeat(32)}${"]".repeat(32)}}`),
    "malformed"
  ],
  [
    "J38 the key of another issuer",
    (s) => {
      const input = unsigned(s, {}).slice(0, -1)
      return `${input}.${signBy(other.alg, other.privateKey, input)}`
    },
    "signature"
  ],
  [
    "J40 a signature of zeros",
    (s) => {
      const [h, p, sig] = split(s)
      return `${h}.${p}.${base64url(Buffer.alloc(Buffer.from(sig, "base64url").length))}`
    },
    "signature"
  ],
  [
    "J41 a DER or other signature",
    (s) => {
      const [h, p] = split(s)
      return `${h}.${p}.${base64url(Buffer.from("3006020101020101", "hex"))}`
    },
    "signature"
  ],
  [
    "J41 a signature cut short",
    (s) => {
      const [h, p, sig] = split(s)
      return `${h}.${p}.${base64url(Buffer.from(sig, "base64url").subarray(1))}`
    },
    "signature"
  ],
  [
    "J41 no signature",
    (s) => {
      const [h, p] = split(s)
      return `${h}.${p}.`
    },
    "signature"
  ],
  claim("J45 our audience among others", { aud: [claims.aud, "https://x.example"] }, "audience"),
  claim("J45 our audience alone in an array", { aud: [claims.aud] }, "audience"),
  ...[[[claims.aud]], { a: claims.aud }, 7, undefined, null].map((aud): Row =>
    claim(`J46 aud ${JSON.stringify(aud)}`, { aud }, "audience")
  ),
  ...[[claims.iss], `${claims.iss}/`, "https://ID.example", "https://іd.example", undefined].map((iss): Row =>
    claim(`J47 iss ${JSON.stringify(iss)}`, { iss }, "issuer")
  ),
  ...["nonce", "at_hash", "c_hash"].map((name): Row => claim(`J49 an id token's ${name}`, { [name]: "x" }, "type")),
  claim("J50 a token for another API", { aud: "https://other.example" }, "audience"),
  ...["soai-invoke+jwt", "soai-receipt+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt", undefined, 1, ["JWT"]].map(
    (typ): Row => head(`J51, J52 typ ${JSON.stringify(typ)}`, { typ }, "type")
  ),
  head("J53 typ application/AT+JWT", { typ: "application/AT+JWT" }, "accepted"),
  claim("J54 no exp", { exp: undefined }, "claim"),
  ...[String(claims.exp), -1, 9e15, seconds + 0.5 + 1e12].map((exp): Row => claim(`J55 exp ${exp}`, { exp }, "claim")),
  ["J55 exp 1e400", (s) => body(s, (text) => text.replace(/"exp":\d+/, '"exp":1e400')), "malformed"],
  ["J55 exp NaN", (s) => body(s, (text) => text.replace(/"exp":\d+/, '"exp":NaN')), "malformed"],
  claim("J55 a life longer than a day", { exp: claims.iat + 86_401 }, "claim"),
  claim("J55 a life of a day", { exp: claims.iat + 86_400 }, "accepted"),
  claim("J56 nbf in the future", { nbf: seconds + 31 }, "not_yet_valid"),
  claim("J56 nbf just within the tolerance", { nbf: seconds + 30 }, "accepted"),
  claim("J56 nbf as text", { nbf: "0" }, "claim"),
  claim("J56 nbf at exp", { nbf: claims.exp }, "claim"),
  claim("J56 a hundred years from nbf to exp", { nbf: 0 }, "claim"),
  claim("J57 iat in the future", { iat: seconds + 31 }, "not_yet_valid"),
  claim("J57 iat just within the tolerance", { iat: seconds + 30 }, "accepted"),
  claim("J57 no iat", { iat: undefined }, "claim"),
  claim("J58 at its end and the tolerance", { exp: seconds - 30, iat: seconds - 90 }, "expired"),
  claim("J58 a second before", { exp: seconds - 29, iat: seconds - 90 }, "accepted"),
  ...["zip", "enc", "p2c", "p2s", "epk"].map((name): Row =>
    head(`J59, J60 header ${name}`, { [name]: 1 }, "malformed")
  ),
  head("J61 cty JWT", { cty: "JWT" }, "malformed"),
  [
    "J62 JSON form",
    (s) => {
      const [h, p, sig] = split(s)
      return JSON.stringify({ protected: h, payload: p, signature: sig })
    },
    "malformed"
  ],
  ...[
    "",
    "a".repeat(257),
    "a\n",
    "a\u0085",
    "a\u202e",
    "a\u2066",
    "a\ud800".toWellFormed().replace("\ufffd", "\u2028"),
    7,
    null,
    undefined
  ].map((sub, i): Row =>
    claim(`J64 sub ${i}: ${JSON.stringify(sub)?.slice(0, 12)}`, { sub, preferred_username: "alice" }, "claim")
  ),
  claim("J64 sub of 256 characters", { sub: "a".repeat(256) }, "accepted"),
  claim("J64 sub with a space before it", { sub: " alice" }, "accepted"),
  ...[{ admin: true }, [["admin"]], 7, null, [7], [""]].map((roles): Row =>
    claim(`J65 roles ${JSON.stringify(roles)}`, { roles }, "claim")
  ),
  claim("J65 roles as one text", { roles: "admin" }, "accepted"),
  claim("none: a good token", {}, "accepted")
]

it.each(signers.filter(({ alg }) => alg === "RS256" || alg === "PS256"))(
  "J41 refuses an RSA signature without its leading zero, by $alg",
  async (signer) => {
    for (let jti = 0; ; jti++) {
      const token = signer.token({ jti })
      const [h, p, sig] = token.split(".") as [string, string, string]
      const signature = Buffer.from(sig, "base64url")
      if (signature[0] !== 0) continue
      assert.strictEqual(await outcome(token, [signer.options]), "accepted")
      assert.strictEqual(await outcome(`${h}.${p}.${base64url(signature.subarray(1))}`, [signer.options]), "signature")
      return
    }
  }
)

describe.each(signers.map((signer) => [signer.alg, signer] as const))("by %s", (_, signer) => {
  it.each(rows)("%s", async (_, make, reason) => {
    assert.strictEqual(await outcome(make(signer), [signer.options, other.options]), reason)
  })

  it("J37 a key id that two keys have", async () => {
    const keys = [signer.jwk, { ...makeSigner(signer.alg).jwk }]
    assert.strictEqual(await outcome(signer.token(), [{ ...signer.options, jwks: { keys } }]), "unknown_key")
  })

  it.each([
    ["use enc", { use: "enc" }],
    ["key_ops without verify", { key_ops: ["sign"] }],
    ["another alg", { alg: "HS256" }],
    ["a private member", { d: "AQAB" }],
    ["another kty", { kty: "oct", k: "AQAB" }],
    ["no kid", { kid: undefined }]
  ])("J39 a key with %s", async (_, change) => {
    const keys = [{ ...signer.jwk, ...change } as never]
    assert.strictEqual(await outcome(signer.token(), [{ ...signer.options, jwks: { keys } }]), "unknown_key")
  })

  it("J42 a key of another curve or kind", async () => {
    const wrong = makeSigner(signer.alg === "ES256" ? "ES384" : "ES256").jwk
    assert.strictEqual(await outcome(signer.token(), [{ ...signer.options, jwks: { keys: [wrong] } }]), "unknown_key")
  })

  it("J48 a token of another client, where clients are configured", async () => {
    const options = [{ ...signer.options, clients: ["spa"] }]
    assert.strictEqual(await outcome(signer.token({ azp: "spa" }), options), "accepted")
    for (const change of [
      {},
      { azp: "evil" },
      { client_id: "evil" },
      { azp: "spa", client_id: "evil" },
      { azp: ["spa"] }
    ])
      assert.strictEqual(await outcome(signer.token(change), options), "audience")
  })
})

it("J12 takes no path, quote or space for a key id, and takes what providers use", () => {
  for (const kid of ["../../../dev/null", "a..b", "a b", "a'b", "a\n", "", "k".repeat(129)])
    assert.isFalse(isKeyId(kid), kid)
  for (const kid of ["Zm9v+/8=", "2024-01_a.b~c", "k".repeat(128)]) assert.isTrue(isKeyId(kid), kid)
})

describe("weak keys", () => {
  const weak = (key: Crypto.KeyObject, alg: "RS256" | "PS256") => {
    const signer = makeSigner(alg)
    const jwk = { ...key.export({ format: "jwk" }), kid: "key-1" }
    return outcome(signer.token(), [{ ...signer.options, jwks: { keys: [jwk] } }])
  }
  it.each(["RS256", "PS256"] as const)(
    "J43 RSA of 1024 or 2047 bits, exponent 3, 1 or an even modulus: %s",
    async (alg) => {
      for (const [modulusLength, publicExponent] of [
        [1024, 65537],
        [2047, 65537],
        [2048, 3]
      ] as const)
        assert.strictEqual(
          await weak(Crypto.generateKeyPairSync("rsa", { modulusLength, publicExponent }).publicKey, alg),
          "unknown_key"
        )
      const signer = makeSigner(alg)
      const n = Buffer.from(String(signer.jwk.n), "base64url")
      n[n.length - 1] = (n.at(-1) ?? 0) & 0xfe
      for (const change of [{ e: "AQ" }, { e: "AAEAAQ" }, { n: n.toString("base64url") }])
        assert.strictEqual(
          await outcome(signer.token(), [{ ...signer.options, jwks: { keys: [{ ...signer.jwk, ...change }] } }]),
          "unknown_key"
        )
    }
  )

  const p = 2n ** 255n - 19n
  const inverse = (a: bigint): bigint => power(a, p - 2n)
  const mod = (a: bigint) => ((a % p) + p) % p
  const power = (base: bigint, exponent: bigint): bigint => {
    let result = 1n
    for (let b = mod(base), e = exponent; e > 0n; e >>= 1n, b = (b * b) % p) if (e & 1n) result = (result * b) % p
    return result
  }
  /** The y of every point with 8P = 0, by halving: of order 4 y = 0; of order 8 x² = y² and −x² + y² = 1 + d x² y². */
  const smallOrder = (): ReadonlyArray<bigint> => {
    const d = mod(-121665n * inverse(121666n))
    // x² = ∓y² gives d y⁴ ± 2y² … only x² = −y² (over −1 twist) has a solution: 1 − d y⁴ − 2 y² = 0.
    const root = (a: bigint): ReadonlyArray<bigint> => {
      let x = power(a, (p + 3n) / 8n)
      if (mod(x * x - a) !== 0n) x = mod(x * power(2n, (p - 1n) / 4n))
      return mod(x * x - a) === 0n ? [x, mod(-x)] : []
    }
    const eighth = root(mod(1n + d)).flatMap((r) => root(mod((-1n + r) * inverse(d))))
    return [0n, 1n, p - 1n, ...eighth]
  }
  it("J44 Ed25519 keys of small order, also in encodings that are not reduced", async () => {
    const ys = smallOrder()
    assert.strictEqual(ys.length, 5)
    const signer = makeSigner("Ed25519")
    for (const y of [...ys, ...ys.filter((y) => y < 19n).map((y) => y + p)])
      for (const sign of [0n, 1n]) {
        const hex = (y | (sign << 255n)).toString(16).padStart(64, "0")
        const x = Buffer.from(hex, "hex").reverse().toString("base64url")
        const zeros = Buffer.concat([Buffer.from(x, "base64url"), Buffer.alloc(32)])
        const [h, payload] = signer.token().split(".")
        const options = [{ ...signer.options, jwks: { keys: [{ ...signer.jwk, x }] } }]
        const refusal = Effect.runPromise(
          Effect.flatMap(Identity, (identity) =>
            identity.principal({ _tag: "User", token: Redacted.make(`${h}.${payload}.${base64url(zeros)}`) }, "app")
          ).pipe(Effect.provide(Identity.layer({ issuers: options })), Effect.flip)
        )
        assert.include((await refusal).message, "small order")
      }
  })
})

it("J66 keeps names apart that only look the same", async () => {
  const signer = signers[0]!
  const nameOf = (sub: string) =>
    Effect.flatMap(Identity, (identity) =>
      identity.principal({ _tag: "User", token: Redacted.make(signer.token({ sub })) }, "app")
    ).pipe(
      Effect.provide(Identity.layer({ issuers: [signer.options] })),
      Effect.provideService(Clock.Clock, clockAt(now)),
      Effect.runPromise
    )
  assert.strictEqual((await nameOf("\u00e9")).id, "\u00e9")
  assert.strictEqual((await nameOf("e\u0301")).id, "e\u0301")
})
