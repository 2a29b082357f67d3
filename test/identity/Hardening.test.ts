/**
 * Hostile tokens, each by every algorithm that an issuer may use, against the identity layer itself: a row names the attack
 * and the reason that it must be refused with. The rows go the way of a verification: algorithm, what a header may not have,
 * key id, spelling and JSON, size, signature, audience, issuer, type, times, names. Key sets over sockets are in
 * Jwks.test.ts, clocks, revocation and what is kept between calls in Identity.test.ts.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Crypto from "node:crypto"
import type { IdentityInvalid } from "../../src/call/Errors.ts"
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
        assert.match(error.message, /\.$/)
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
/** A token whose header and payload have bits to spare in their last letter. */
const loose = ({ claims, header, sign }: Signer) => {
  const padded = (part: object) => {
    for (let pad = ""; ; pad += "x") {
      const text = JSON.stringify({ ...part, pad })
      if (text.length % 3 !== 0) return text
    }
  }
  return sign(padded(header), padded(claims)).split(".") as [string, string, string]
}
/** Another text that a tolerant decoder reads as the same bytes. */
const respelled = (part: string) => {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
  const other =
    part.length % 4 === 0 ? `${part}A` : part.slice(0, -1) + alphabet[alphabet.indexOf(part.at(-1) ?? "") ^ 1]
  assert.deepStrictEqual(Buffer.from(other, "base64url"), Buffer.from(part, "base64url"))
  return other
}
/** A token of so many characters. */
const long = (signer: Signer, length: number) => {
  for (let pad = 0; ; pad++) {
    const header = JSON.stringify({ ...signer.header, pad: "x".repeat(pad) })
    const body =
      Math.floor(((length - signer.sign(header, "").length) * 3) / 4) -
      JSON.stringify({ ...signer.claims, pad: "" }).length
    const token = signer.sign(header, JSON.stringify({ ...signer.claims, pad: "x".repeat(body) }))
    if (token.length === length) return token
  }
}

type Row = readonly [name: string, make: (signer: Signer) => string, reason: string]
const claim = (name: string, change: object, reason: string): Row => [name, ({ token }) => token(change), reason]
const head = (name: string, change: object, reason: string): Row => [name, ({ token }) => token({}, change), reason]
const { claims } = signers[0]!

const rows: ReadonlyArray<Row> = [
  ["alg none, no signature (CVE-2015-9235)", (s) => unsigned(s, { alg: "none" }), "algorithm"],
  ...["nOnE", "NONE", "none "].map((alg): Row => [`alg ${alg}`, (s) => unsigned(s, { alg }), "algorithm"]),
  ...[undefined, 1, ["ES256"], null, ""].map((alg): Row => head(`alg ${JSON.stringify(alg)}`, { alg }, "algorithm")),
  ["HS256 keyed with the public PEM (CVE-2016-10555)", (s) => hmac(s, pem(s)), "algorithm"],
  ["HS256 keyed with the PEM after a space (CVE-2026-34950)", (s) => hmac(s, ` ${pem(s)}`), "algorithm"],
  ["HS256 keyed with the JWK", (s) => hmac(s, JSON.stringify(s.jwk)), "algorithm"],
  [
    "an algorithm of another issuer",
    (s) =>
      s.token(
        {},
        { alg: s.alg === "Ed25519" ? "EdDSA" : s.alg === "PS256" ? "RS256" : s.alg === "RS256" ? "PS256" : "Ed25519" }
      ),
    "algorithm"
  ],
  [
    "a key of its own in the header, which signed it (CVE-2018-0114)",
    (s) => {
      const { jwk, sign } = makeSigner(s.alg)
      return sign(JSON.stringify({ ...s.header, jwk }), JSON.stringify(s.claims))
    },
    "malformed"
  ],
  ...["jwk", "jku", "x5u", "x5c"].map((name): Row => head(`header ${name}`, { [name]: "x" }, "malformed")),
  ...["../../../dev/null", "a\0", "a\r\n", "' OR 1=1 --", "public:hydra", "k".repeat(513), 7].map((kid): Row =>
    head(`kid ${JSON.stringify(kid).slice(0, 20)}`, { kid }, "unknown_key")
  ),
  head("no kid", { kid: undefined }, "unknown_key"),
  ...["__proto__", "constructor", ""].map((kid): Row => head(`kid "${kid}"`, { kid }, "unknown_key")),
  head("crit", { crit: ["exp"] }, "malformed"),
  head("crit empty", { crit: [] }, "malformed"),
  head("crit twice", { crit: ["b64", "b64"], b64: true }, "malformed"),
  head("b64 false with crit", { crit: ["b64"], b64: false }, "malformed"),
  head("b64 false", { b64: false }, "malformed"),
  ["alg twice", (s) => raw(s, (text) => `{"alg":"none",${text.slice(1)}`), "malformed"],
  ["sub twice", (s) => body(s, (text) => `{"sub":"root",${text.slice(1)}`), "malformed"],
  ["sub twice, escaped", (s) => body(s, (text) => `{"\\u0073ub":"root",${text.slice(1)}`), "malformed"],
  ["claim __proto__", (s) => body(s, (text) => `{"__proto__":{},${text.slice(1)}`), "malformed"],
  [
    "invalid UTF-8",
    (s) => body(s, (text) => Buffer.concat([Buffer.from(text.slice(0, -1)), Buffer.from(',"a":"\xff"}', "latin1")])),
    "malformed"
  ],
  ["a byte order mark", (s) => body(s, (text) => `\ufeff${text}`), "malformed"],
  ...["[]", '"alice"', "7", "null"].map((text): Row => [`payload ${text}`, (s) => body(s, () => text), "malformed"]),
  ["a line end behind", (s) => `${s.token()}\n`, "malformed"],
  ["a line end within", (s) => s.token().replace(/.{20}/, "$&\n"), "malformed"],
  ["the word Bearer before it", (s) => `Bearer ${s.token()}`, "malformed"],
  ["nothing but dots", () => "..", "malformed"],
  ["a space within", (s) => s.token().replace(".", ". "), "malformed"],
  [
    "another spelling of the payload",
    (s) => {
      const [h, p, sig] = loose(s)
      return `${h}.${respelled(p)}.${sig}`
    },
    "malformed"
  ],
  [
    "another spelling of the header",
    (s) => {
      const [h, p, sig] = loose(s)
      return `${respelled(h)}.${p}.${sig}`
    },
    "malformed"
  ],
  [
    "another spelling of the signature",
    (s) => {
      const [h, p, sig] = split(s)
      return `${h}.${p}.${respelled(sig)}`
    },
    "malformed"
  ],
  ["padding", (s) => `${s.token()}=`, "malformed"],
  [
    "the alphabet of base64",
    (s) => {
      const [h, p, sig] = split(s)
      return `${h}.${p}.+${sig.slice(1)}`
    },
    "malformed"
  ],
  ["two parts", (s) => split(s).slice(0, 2).join("."), "malformed"],
  ["four parts", (s) => `${s.token()}.x`, "malformed"],
  ["five parts", (s) => `${s.token()}.x.y`, "malformed"],
  ["a million dots (CVE-2025-30204)", () => ".".repeat(1_000_000), "malformed"],
  ["five megabytes", (s) => `${s.token()}${"A".repeat(5_000_000)}`, "malformed"],
  ["8,192 characters", (s) => long(s, 8192), "accepted"],
  ["8,193 characters", (s) => long(s, 8193), "malformed"],
  [
    "claims 32 deep",
    (s) => body(s, (text) => `${text.slice(0, -1)},"a":${"[".repeat(31)}${"]".repeat(31)}}`),
    "accepted"
  ],
  [
    "claims 33 deep",
    (s) => body(s, (text) => `${text.slice(0, -1)},"a":${"[".repeat(32)}${"]".repeat(32)}}`),
    "malformed"
  ],
  [
    "the key of another issuer",
    (s) => {
      const input = unsigned(s, {}).slice(0, -1)
      return `${input}.${signBy(other.alg, other.privateKey, input)}`
    },
    "signature"
  ],
  [
    "a signature of zeros (CVE-2022-21449)",
    (s) => {
      const [h, p, sig] = split(s)
      return `${h}.${p}.${base64url(Buffer.alloc(Buffer.from(sig, "base64url").length))}`
    },
    "signature"
  ],
  [
    "a DER or other signature",
    (s) => {
      const [h, p] = split(s)
      return `${h}.${p}.${base64url(Buffer.from("3006020101020101", "hex"))}`
    },
    "signature"
  ],
  [
    "a signature cut short",
    (s) => {
      const [h, p, sig] = split(s)
      return `${h}.${p}.${base64url(Buffer.from(sig, "base64url").subarray(1))}`
    },
    "signature"
  ],
  [
    "no signature",
    (s) => {
      const [h, p] = split(s)
      return `${h}.${p}.`
    },
    "signature"
  ],
  [
    "another payload under the same signature",
    (s) => {
      const [h, , sig] = split(s)
      return `${h}.${base64url(JSON.stringify({ ...s.claims, sub: "root" }))}.${sig}`
    },
    "signature"
  ],
  claim("our audience among others", { aud: [claims.aud, "https://x.example"] }, "audience"),
  claim("our audience alone in an array", { aud: [claims.aud] }, "accepted"),
  claim("our audience twice in an array", { aud: [claims.aud, claims.aud] }, "audience"),
  claim("no audience in an array", { aud: [] }, "audience"),
  ...[[[claims.aud]], { a: claims.aud }, 7, undefined, null].map((aud): Row =>
    claim(`aud ${JSON.stringify(aud)}`, { aud }, "audience")
  ),
  ...[[claims.iss], `${claims.iss}/`, "https://ID.example", "https://іd.example", undefined].map((iss): Row =>
    claim(`iss ${JSON.stringify(iss)}`, { iss }, "issuer")
  ),
  ...["nonce", "at_hash", "c_hash"].map((name): Row => claim(`an id token's ${name}`, { [name]: "x" }, "type")),
  claim("a token for another API", { aud: "https://other.example" }, "audience"),
  claim("our audience in another case", { aud: "https://API.example" }, "audience"),
  ...["soai-invoke+jwt", "soai-receipt+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt", undefined, 1, ["JWT"]].map(
    (typ): Row => head(`typ ${JSON.stringify(typ)}`, { typ }, "type")
  ),
  ...["application/AT+JWT", "at+jwt", "AT+JWT", "JWT", "jwt"].map((typ): Row =>
    head(`typ ${typ}`, { typ }, "accepted")
  ),
  ["no typ, but a client as Okta names it", (s) => s.token({ cid: "spa" }, { typ: undefined }), "type"],
  claim("no exp", { exp: undefined }, "claim"),
  ...[String(claims.exp), -1, -0.5, 9e15, null].map((exp): Row => claim(`exp ${exp}`, { exp }, "claim")),
  ["exp 1e400", (s) => body(s, (text) => text.replace(/"exp":\d+/, '"exp":1e400')), "malformed"],
  ["exp NaN", (s) => body(s, (text) => text.replace(/"exp":\d+/, '"exp":NaN')), "malformed"],
  // RFC 7519 §2: a NumericDate may have a fraction. Each counts as the whole second on the stricter side.
  claim("an end with a fraction", { exp: claims.exp + 0.5 }, "accepted"),
  claim("an end with a fraction, within the second of its end", { exp: seconds - 29.5, iat: seconds - 90 }, "expired"),
  claim("an end with a fraction, a second before", { exp: seconds - 28.5, iat: seconds - 90 }, "accepted"),
  claim("a life of a day and a fraction", { exp: claims.iat + 86_400.5 }, "claim"),
  claim("a day from a beginning with a fraction", { iat: claims.iat + 0.5, exp: claims.iat + 86_400.5 }, "claim"),
  claim("iat with a fraction past the tolerance", { iat: seconds + 30.001 }, "not_yet_valid"),
  claim("iat with a fraction within the tolerance", { iat: seconds + 29.001 }, "accepted"),
  claim("nbf with a fraction past the tolerance", { nbf: seconds + 30.001 }, "not_yet_valid"),
  claim("an end in the second of its beginning", { iat: seconds + 5.2, exp: seconds + 5.8 }, "claim"),
  claim("an end in the second after its beginning", { iat: seconds + 5.8, exp: seconds + 6.9 }, "claim"),
  claim("a life longer than a day", { exp: claims.iat + 86_401 }, "claim"),
  claim("a life of a day", { exp: claims.iat + 86_400 }, "accepted"),
  claim("nbf in the future", { nbf: seconds + 31 }, "not_yet_valid"),
  claim("nbf just within the tolerance", { nbf: seconds + 30 }, "accepted"),
  claim("nbf as text", { nbf: String(seconds) }, "claim"),
  claim("nbf null", { nbf: null }, "claim"),
  claim("nbf at exp", { nbf: claims.exp }, "claim"),
  claim("a hundred years from nbf to exp", { nbf: 0 }, "claim"),
  claim("iat in the future", { iat: seconds + 31 }, "not_yet_valid"),
  claim("iat just within the tolerance", { iat: seconds + 30 }, "accepted"),
  claim("no iat", { iat: undefined }, "claim"),
  claim("iat as text", { iat: String(seconds) }, "claim"),
  claim("iat at exp", { iat: seconds + 5, exp: seconds + 5 }, "claim"),
  claim("at its end and the tolerance", { exp: seconds - 30, iat: seconds - 90 }, "expired"),
  claim("a second before", { exp: seconds - 29, iat: seconds - 90 }, "accepted"),
  ...["zip", "enc", "p2c", "p2s", "epk"].map((name): Row => head(`header ${name}`, { [name]: 1 }, "malformed")),
  head("cty JWT", { cty: "JWT" }, "malformed"),
  [
    "JSON form",
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
    "a\u200b",
    "a\u00ad",
    "\ufeffa",
    "a\u{e0001}b",
    "a\u115f",
    "a ",
    " a",
    "a\u3000",
    "\u00a0a",
    "a\ud800".toWellFormed().replace("\ufffd", "\u2028"),
    7,
    null,
    undefined
  ].map((sub, i): Row =>
    claim(`sub ${i}: ${JSON.stringify(sub)?.slice(0, 12)}`, { sub, preferred_username: "alice" }, "claim")
  ),
  claim("sub of 256 characters", { sub: "a".repeat(256) }, "accepted"),
  claim("sub with a space in it", { sub: "alice b" }, "accepted"),
  ...[{ admin: true }, [["admin"]], 7, null, [7], [""]].map((roles): Row =>
    claim(`roles ${JSON.stringify(roles)}`, { roles }, "claim")
  ),
  claim("roles as one text", { roles: "admin" }, "accepted"),
  claim("none: a good token", {}, "accepted")
]

it.each(signers.filter(({ alg }) => alg === "RS256" || alg === "PS256"))(
  "refuses an RSA signature without its leading zero, by $alg",
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
    assert.strictEqual(
      await outcome(make(signer), [signer.options, { ...other.options, within: "company:Other" }]),
      reason
    )
  })

  it("a key id that two keys have", async () => {
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
  ])("a key with %s", async (_, change) => {
    const keys = [{ ...signer.jwk, ...change } as never]
    assert.strictEqual(await outcome(signer.token(), [{ ...signer.options, jwks: { keys } }]), "unknown_key")
  })

  it("a key of another curve or kind", async () => {
    for (const { jwk } of signers.filter(({ jwk }) => jwk.kty !== signer.jwk.kty || jwk.crv !== signer.jwk.crv))
      assert.strictEqual(await outcome(signer.token(), [{ ...signer.options, jwks: { keys: [jwk] } }]), "unknown_key")
  })

  it("a key that is cut short, or no point of its curve", async () => {
    const first = (part = "") => Buffer.from(part, "base64url")[0]
    const cut = (part = "") => Buffer.from(part, "base64url").subarray(1).toString("base64url")
    // The number that a coordinate says is the same without its leading zero.
    let { jwk, token } = signer
    while (jwk.kty === "EC" && first(jwk.x) !== 0) ({ jwk, token } = makeSigner(signer.alg))
    const by = (change: object) =>
      outcome(token(), [{ ...signer.options, jwks: { keys: [{ ...jwk, ...change } as never] } }])
    assert.strictEqual(await by({}), "accepted")
    assert.strictEqual(await by(jwk.kty === "RSA" ? { n: cut(jwk.n) } : { x: cut(jwk.x) }), "unknown_key")
    if (jwk.kty === "EC") assert.strictEqual(await by({ x: jwk.y, y: jwk.x }), "unknown_key")
  })

  it("a token of another client, where clients are configured", async () => {
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

describe("a key id", () => {
  // RFC 7517 §4.5 leaves its text to the issuer.
  const odd = [
    "public:hydra.openid.id-token",
    "did:web:acme.example#key-1",
    "signer@acme.example",
    "key 1",
    " key-1 ",
    "a'b\"c\\\\d",
    "../../../dev/null",
    "a\u0000b\r\n\u001b[31m",
    "\u202eabc\u200b",
    "schl\u00fcssel \ud83d\udd11",
    "__proto__",
    "constructor",
    "Zm9v+/8=",
    "k".repeat(512)
  ]

  it.each(odd)("may be %j: the key of that very id verifies, and no other", async (kid) => {
    const signer = makeSigner("Ed25519")
    const by = (id: string, asked: string) =>
      outcome(signer.token({}, { kid: asked }), [{ ...signer.options, jwks: { keys: [{ ...signer.jwk, kid: id }] } }])
    assert.strictEqual(await by(kid, kid), "accepted")
    for (const other of [`${kid}x`, kid.slice(1), `${kid}\u0000`, kid.toUpperCase(), kid.normalize("NFD")])
      if (other !== kid) assert.strictEqual(await by(kid, other), "unknown_key", JSON.stringify(other))
  })

  it("is text, neither empty nor longer than 512", () => {
    for (const kid of ["", "k".repeat(513), 7, null, undefined, ["a"], {}]) assert.isFalse(isKeyId(kid))
  })
})

describe("weak keys", () => {
  const weak = (key: Crypto.KeyObject, alg: "RS256" | "PS256") => {
    const signer = makeSigner(alg)
    const jwk = { ...key.export({ format: "jwk" }), kid: "key-1" }
    return outcome(signer.token(), [{ ...signer.options, jwks: { keys: [jwk] } }])
  }
  it.each(["RS256", "PS256"] as const)(
    "RSA of 1024 or 2047 bits, exponent 3, 1, an even modulus or zeros before a short one: %s",
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
      const short = Crypto.generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ format: "jwk" })
      const padded = Buffer.concat([Buffer.alloc(129), Buffer.from(short.n ?? "", "base64url")])
      const signer = makeSigner(alg)
      const n = Buffer.from(String(signer.jwk.n), "base64url")
      n[n.length - 1] = (n.at(-1) ?? 0) & 0xfe
      for (const change of [
        { e: "AQ" },
        { e: "AAEAAQ" },
        { n: n.toString("base64url") },
        { n: padded.toString("base64url") }
      ])
        assert.strictEqual(
          await outcome(signer.token(), [{ ...signer.options, jwks: { keys: [{ ...signer.jwk, ...change }] } }]),
          "unknown_key"
        )
    }
  )

  it("RSA of more than 8192 bits", async () => {
    const signer = makeSigner("RS256")
    const by = (n: Buffer) =>
      outcome(signer.token(), [{ ...signer.options, jwks: { keys: [{ ...signer.jwk, n: n.toString("base64url") }] } }])
    assert.strictEqual(await by(Buffer.alloc(1024, 0xff)), "signature")
    assert.strictEqual(await by(Buffer.concat([Buffer.of(1), Buffer.alloc(1024, 0xff)])), "unknown_key")
  })

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
  it("Ed25519 keys of small order, also in encodings that are not reduced", async () => {
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

it("keeps names apart that only look the same", async () => {
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
