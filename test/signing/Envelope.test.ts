import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { compactVerify, decodeProtectedHeader, importJWK, jwtVerify } from "jose"
import * as Crypto from "node:crypto"
import { canonicalize } from "../../src/CanonicalJson.ts"
import { Call } from "../../src/Call.ts"
import { generate, type SigningKey } from "../../src/Keys.ts"
import { app } from "../../src/Principal.ts"
import * as Envelope from "../../src/signing/Envelope.ts"

const now = 1_800_000_000_000
const seconds = now / 1000
const key = generate()
const tokenHash = Crypto.hash("sha256", "token", "base64url")
const intent = { constraints: { parameters: { model: { allowed_values: ["gpt-4o"] } } } }
const messages = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Hello" }
]
const statement: Envelope.Statement & { readonly key: SigningKey<"agent"> } = {
  key,
  iss: "agent-1",
  aud: "service-1",
  sub: "alice",
  tool: "tool:shop/generate",
  bytes: JSON.stringify({ model: "gpt-4o", messages }),
  endpoint: "POST https://api.openai.com/v1/chat/completions",
  tokenHash,
  intents: [intent],
  prompts: { messages },
  now
}
const expected: Envelope.Expectation = {
  publicKey: (agentId, kid) => (agentId === "agent-1" && kid === key.kid ? key.publicKey : undefined),
  aud: "service-1",
  sub: "alice",
  tool: "tool:shop/generate",
  bytes: statement.bytes,
  endpoint: "POST https://api.openai.com/v1/chat/completions",
  tokenHash,
  intents: [intent],
  now
}
const sha256 = (text: string) => Crypto.createHash("sha256").update(text).digest("base64url")
const fault = (jws: string, change: Partial<Envelope.Expectation> = {}): string | undefined => {
  const verified = Envelope.verify(jws, { ...expected, ...change })
  return Result.isFailure(verified) ? verified.failure : undefined
}
const partsOf = (jws: string): ReadonlyArray<string> => jws.split(".")
/** Signs whatever it is given. */
const forge = (header: object | string, claims: object | string): string => {
  const text = (part: object | string) => (typeof part === "string" ? part : JSON.stringify(part))
  const input = [header, claims].map((part) => Buffer.from(text(part)).toString("base64url")).join(".")
  return `${input}.${Buffer.from(key.sign(Buffer.from(input))).toString("base64url")}`
}
const header = { alg: "Ed25519", kid: key.kid, typ: "soai-invoke+jwt" }

describe("Envelope.sign", () => {
  const envelope = Envelope.sign(statement)

  it("makes a JWS that jose verifies, with exactly alg, kid and typ", async () => {
    const { payload } = await jwtVerify(envelope.jws, await importJWK(key.jwk, "Ed25519"), {
      algorithms: ["Ed25519"],
      typ: "soai-invoke+jwt",
      issuer: "agent-1",
      audience: "service-1",
      subject: "alice",
      requiredClaims: ["iat", "exp", "jti"],
      currentDate: new Date(now)
    })
    assert.deepStrictEqual(Object.keys(decodeProtectedHeader(envelope.jws)).sort(), ["alg", "kid", "typ"])
    assert.strictEqual(decodeProtectedHeader(envelope.jws).kid, key.kid)
    assert.deepStrictEqual(payload, JSON.parse(JSON.stringify(envelope.claims)))
  })

  it("binds body, target, token, intents and each element of the prompt", () => {
    const { claims } = envelope
    assert.strictEqual(claims.bdh, `sha-256:${sha256(statement.bytes)}`)
    assert.strictEqual(claims.htm, "POST")
    assert.strictEqual(claims.htu, "https://api.openai.com/v1/chat/completions")
    assert.strictEqual(claims.ath, tokenHash)
    assert.deepStrictEqual(claims.int, [`sha-256:${sha256(canonicalize(intent))}`])
    assert.deepStrictEqual(claims.prm, {
      messages: messages.map((message) => `sha-256:${sha256(canonicalize(message))}`)
    })
    assert.strictEqual(envelope.digest, sha256(partsOf(envelope.jws).slice(0, 2).join(".")))
  })

  const found: ReadonlyArray<readonly [string, object, string, object | undefined, ReadonlyArray<string>]> = [
    ["generate", { messages: ["m"], input: "i" }, "chat/completions", { messages: ["m"] }, []],
    ["generate", { messages: ["m"], input: "i" }, "responses", { input: "i" }, []],
    ["generate", { input: [1, 2] }, "responses/compact", { input: [1, 2] }, []],
    ["generate", { model: "m" }, "chat/completions", undefined, []],
    ["complete", { prompt: "p", input: "i" }, "completions", { prompt: "p" }, []],
    ["embed", { input: ["a", "b"] }, "embeddings", { input: ["a", "b"] }, []],
    ["a_tool", { input: "i" }, "", undefined, []],
    ["a_tool", { input: "i", question: "q", b: 1 }, "", { question: "q", b: 1 }, ["question", "b", "absent"]]
  ]
  it.each(found)("finds the prompt of %s %j at %s", (operation, params, path, prompt, prompts) => {
    const where = path === "" ? {} : { endpoint: `POST https://api.openai.com/v1/${path}` }
    const call = Call.make(operation, params, { ...where, prompts })
    assert.deepStrictEqual(Envelope.ofCall(call, app("my-app")).prompts, prompt)
  })

  it("is good for at most 60 s and has a nonce of its own", () => {
    assert.strictEqual(envelope.claims.iat, seconds)
    assert.strictEqual(envelope.claims.exp, seconds + 60)
    const nonces = new Set(Array.from({ length: 1000 }, () => Envelope.sign(statement).claims.jti))
    assert.strictEqual(nonces.size, 1000)
    for (const nonce of nonces) assert.lengthOf(Buffer.from(nonce, "base64url"), 16)
  })

  it("leaves out what there is none of", () => {
    const { claims } = Envelope.sign({
      key,
      iss: "a",
      aud: "b",
      sub: "c",
      tool: "tool:shop/weather",
      bytes: "{}",
      endpoint: "local tool:shop/weather",
      now
    })
    assert.deepStrictEqual(Object.keys(claims).sort(), [
      "aud",
      "bdh",
      "dep",
      "exp",
      "iat",
      "iss",
      "jti",
      "sub",
      "tool",
      "txn"
    ])
  })

  it("starts a chain, or follows the parent: same root, one deeper, no longer than it", () => {
    const parent = envelope
    assert.strictEqual(parent.claims.txn, parent.claims.jti)
    assert.strictEqual(parent.claims.dep, 0)
    const child = Envelope.sign({
      ...statement,
      iss: "service-1",
      aud: "https://api.openai.com",
      parent,
      now: now + 20_000
    })
    assert.strictEqual(child.claims.txn, parent.claims.txn)
    assert.strictEqual(child.claims.prh, parent.digest)
    assert.strictEqual(child.claims.dep, 1)
    assert.strictEqual(child.claims.exp, parent.claims.exp)
    assert.deepStrictEqual(child.claims.act, { sub: "agent-1" })
    const grandchild = Envelope.sign({ ...statement, iss: "service-2", parent: child })
    assert.deepStrictEqual(grandchild.claims.act, { sub: "service-1", act: { sub: "agent-1" } })
  })
})

describe("Envelope.verify", () => {
  const { claims, digest, jws } = Envelope.sign(statement)

  it("gives what was signed", () => {
    const verified = Result.getOrThrow(Envelope.verify(jws, expected))
    assert.deepStrictEqual(verified, { jws, kid: key.kid, digest, claims })
  })

  it("accepts what signInvocation makes of a call", () => {
    const call = Call.generate({ messages }, { app: "shop", server: "service-1", intents: [intent] })
    const invocation = Envelope.signInvocation({
      key,
      agentId: "agent-1",
      principal: { ...app("alice"), kind: "user", tokenHash },
      call,
      now
    })
    assert.isUndefined(fault(invocation, { bytes: call.bytes, endpoint: call.endpoint }))
  })

  it.each<readonly [string, Partial<Envelope.Expectation>, RegExp]>([
    ["for another agent", { aud: "service-2" }, /another agent/],
    ["of an agent that is not registered", { publicKey: () => undefined }, /not by an agent/],
    ["signed by another key", { publicKey: () => generate().publicKey }, /not signed/],
    ["for other bytes", { bytes: `${statement.bytes} ` }, /other params/],
    ["for another resource", { tool: "tool:shop/complete" }, /another resource/],
    ["for another URL", { endpoint: "POST https://evil.example/v1/chat/completions" }, /another endpoint/],
    ["for another method", { endpoint: "PUT https://api.openai.com/v1/chat/completions" }, /another endpoint/],
    ["for another token", { tokenHash: sha256("other") }, /another token/],
    ["with a token where the call has none", { tokenHash: undefined }, /another token/],
    ["for another principal", { sub: "bob" }, /another principal/],
    ["whose intent was dropped", { intents: [] }, /intent/],
    ["whose intent was replaced", { intents: [{ constraints: {} }] }, /intent/],
    ["that has expired", { now: now + 60_000 }, /expired/],
    ["that is from the future", { now: now - 31_000 }, /future/]
  ])("refuses one %s", (_, change, message) => {
    assert.match(fault(jws, change) ?? "accepted", message)
  })

  it("holds the time to the second", () => {
    assert.isUndefined(fault(jws, { now: now + 59_999 }))
    assert.isUndefined(fault(jws, { now: now - 30_000 }))
  })

  it("lets the receiver add intents of its own", () => {
    assert.isUndefined(fault(jws, { intents: [{ constraints: { denied_resources: [] } }, structuredClone(intent)] }))
  })

  const shape: ReadonlyArray<readonly [string, string]> = [
    ["alg EdDSA", forge({ ...header, alg: "EdDSA" }, claims)],
    ["alg none", forge({ ...header, alg: "none" }, claims)],
    ["typ at+jwt", forge({ ...header, typ: "at+jwt" }, claims)],
    ["no typ", forge({ alg: "Ed25519", kid: key.kid }, claims)],
    ["a header jwk", forge({ ...header, jwk: key.jwk }, claims)],
    ["a header crit", forge({ ...header, crit: [] }, claims)],
    ["a kid that is no text", forge({ ...header, kid: 7 }, claims)],
    ["a claim that is not known", forge(header, { ...claims, admin: true })],
    ["audiences in an array", forge(header, { ...claims, aud: [claims.aud] })],
    ["no exp", forge(header, { ...claims, exp: undefined })],
    ["exp as text", forge(header, { ...claims, exp: String(claims.exp) })],
    ["a life of 61 s", forge(header, { ...claims, exp: claims.iat + 61 })],
    ["a life of nothing", forge(header, { ...claims, exp: claims.iat })],
    ["a nonce of 8 bytes", forge(header, { ...claims, jti: "AAAAAAAAAAA", txn: "AAAAAAAAAAA" })],
    ["no body digest", forge(header, { ...claims, bdh: undefined })],
    ["a body digest of another hash", forge(header, { ...claims, bdh: claims.bdh.replace("sha-256", "md5") })],
    ["a root that names a parent", forge(header, { ...claims, prh: tokenHash })],
    ["a root of another chain", forge(header, { ...claims, txn: "A".repeat(22) })],
    ["a link without a parent", forge(header, { ...claims, dep: 1, txn: "A".repeat(22) })],
    ["a depth of nine", forge(header, { ...claims, dep: 9, txn: "A".repeat(22), prh: tokenHash })],
    ["a negative depth", forge(header, { ...claims, dep: -1 })],
    ["a duplicate claim", forge(header, `{"sub":"root",${JSON.stringify(claims).slice(1)}`)],
    ["claims that are an array", forge(header, [])],
    ["four parts", `${jws}.x`],
    ["two parts", partsOf(jws).slice(0, 2).join(".")],
    ["no signature", `${partsOf(jws).slice(0, 2).join(".")}.`],
    ["a line end", `${jws}\n`],
    ["unused bits in its signature", `${jws.slice(0, -1)}_`],
    ["64 KiB", "x".repeat(65_537)],
    ["nothing", ""]
  ]
  it.each(shape)("refuses one with %s", (_, forged) => {
    assert.isDefined(fault(forged))
  })

  it("checks in its order: of several faults the first is told", () => {
    const later = { ...claims, iat: claims.iat + 100, exp: claims.exp + 100, jti: "B".repeat(22) }
    const good = forge(header, claims)
    const steps: ReadonlyArray<readonly [string, Partial<Envelope.Expectation>, RegExp]> = [
      ["x".repeat(65_537), {}, /longer/],
      ["x.y", {}, /compact/],
      [`${good}=`, {}, /canonical/],
      [forge({ ...header, alg: "none" }, {}), {}, /header/],
      [forge(header, { ...later, exp: "1" }), { publicKey: () => undefined }, /claim/],
      [forge(header, later), { publicKey: () => undefined, aud: "other" }, /not by an agent/],
      [forge(header, later), { publicKey: () => generate().publicKey, aud: "other" }, /not signed/],
      [forge(header, later), { aud: "other" }, /another agent/],
      [forge(header, later), { tool: "other", bytes: "" }, /future/],
      [good, { tool: "other", endpoint: "POST https://evil.example", bytes: "" }, /another resource/],
      [good, { endpoint: "POST https://evil.example", bytes: "", tokenHash: undefined }, /another endpoint/],
      [good, { bytes: "", tokenHash: undefined, sub: "bob" }, /other params/],
      [good, { tokenHash: undefined, sub: "bob", intents: [] }, /another token/],
      [good, { sub: "bob", intents: [] }, /another principal/],
      [forge(header, { ...claims, dep: 1 }), { intents: [] }, /intent/],
      [forge(header, { ...claims, dep: 1 }), {}, /chain/]
    ]
    for (const [envelope, change, message] of steps) assert.match(fault(envelope, change) ?? "accepted", message)
    assert.isUndefined(fault(good))
  })

  it("refuses every change of a single character", () => {
    const accepted: Array<string> = []
    for (let at = 0; at < jws.length; at++) {
      for (const character of ["A", "Q", "_", ".", "=", "\n"]) {
        const changed = jws.slice(0, at) + character + jws.slice(at + 1)
        if (changed !== jws && fault(changed) === undefined) accepted.push(`${character} at ${at}`)
      }
    }
    assert.deepStrictEqual(accepted, [])
  })

  it("is no access token: jose refuses it as one", async () => {
    const publicKey = await importJWK(key.jwk, "Ed25519")
    await compactVerify(jws, publicKey)
    let refused = false
    await jwtVerify(jws, publicKey, { typ: "at+jwt", currentDate: new Date(now) }).catch(() => (refused = true))
    assert.isTrue(refused)
  })
})
