import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { compactVerify, decodeProtectedHeader, importJWK, jwtVerify } from "jose"
import * as Crypto from "node:crypto"
import { canonicalize } from "../../src/base/CanonicalJson.ts"
import { Call } from "../../src/call/Call.ts"
import { Content } from "../../src/base/Content.ts"
import { generate, type SigningKey } from "../../src/keys/Keys.ts"
import { app } from "../../src/call/Principal.ts"
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
  content: new Content(JSON.stringify({ model: "gpt-4o", messages })),
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
  content: statement.content,
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
const forge = (header: object, claims: object | string, by: SigningKey = key): string => {
  const bytes = (part: object | string) =>
    Buffer.isBuffer(part) ? part : Buffer.from(typeof part === "string" ? part : JSON.stringify(part))
  const input = [header, claims].map((part) => bytes(part).toString("base64url")).join(".")
  return `${input}.${Buffer.from(by.sign(Buffer.from(input))).toString("base64url")}`
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
    assert.strictEqual(claims.bdh, `sha-256:${sha256(statement.content.text)}`)
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
      content: new Content("{}"),
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
    assert.isUndefined(fault(invocation, { content: call.content, endpoint: call.endpoint }))
  })

  it.each<readonly [string, Partial<Envelope.Expectation>, RegExp]>([
    ["for another agent", { aud: "service-2" }, /another agent/],
    ["of an agent that is not registered", { publicKey: () => undefined }, /not by an agent/],
    ["signed by another key", { publicKey: () => generate().publicKey }, /not signed/],
    ["for other bytes", { content: new Content(`${statement.content.text} `) }, /other params/],
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

  const canonical = /canonical base64url of unambiguous JSON/
  const form = /lacks a claim, or has one of another form/
  const place = /where in its chain it stands/
  const shape: ReadonlyArray<readonly [string, string, RegExp]> = [
    ["alg EdDSA", forge({ ...header, alg: "EdDSA" }, claims), /header/],
    ["alg none", forge({ ...header, alg: "none" }, claims), /header/],
    ["typ at+jwt", forge({ ...header, typ: "at+jwt" }, claims), /header/],
    ["the typ of a receipt", forge({ ...header, typ: "soai-receipt+jwt" }, claims), /header/],
    ["no typ", forge({ alg: "Ed25519", kid: key.kid }, claims), /header/],
    ...["jwk", "jku", "x5u", "x5c", "x5t", "crit", "b64", "zip", "cty"].map(
      (name) => [`a header ${name}`, forge({ ...header, [name]: [] }, claims), /header/] as const
    ),
    ["a kid that is no text", forge({ ...header, kid: 7 }, claims), /header/],
    ["a claim that is not known", forge(header, { ...claims, admin: true }), form],
    ["audiences in an array", forge(header, { ...claims, aud: [claims.aud] }), form],
    ["an audience without a letter", forge(header, { ...claims, aud: "" }), form],
    ["a subject of 513 characters", forge(header, { ...claims, sub: "a".repeat(513) }), form],
    ["no exp", forge(header, { ...claims, exp: undefined }), form],
    ["exp as text", forge(header, { ...claims, exp: String(claims.exp) }), form],
    ["half a second in exp", forge(header, { ...claims, exp: claims.exp - 0.5 }), form],
    ["half a second in iat", forge(header, { ...claims, iat: claims.iat + 0.5 }), form],
    ["a life of 61 s", forge(header, { ...claims, exp: claims.iat + 61 }), /1 to 60 seconds/],
    ["a life of nothing", forge(header, { ...claims, exp: claims.iat }), /1 to 60 seconds/],
    [
      "an end before its beginning",
      forge(header, { ...claims, iat: seconds + 30, exp: seconds + 1 }),
      /1 to 60 seconds/
    ],
    ["a nonce of 8 bytes", forge(header, { ...claims, jti: "AAAAAAAAAAA", txn: "AAAAAAAAAAA" }), form],
    ["no body digest", forge(header, { ...claims, bdh: undefined }), form],
    ["a body digest of another hash", forge(header, { ...claims, bdh: claims.bdh.replace("sha-256", "md5") }), form],
    ["a token hash of another length", forge(header, { ...claims, ath: "A" }), form],
    ["no method", forge(header, { ...claims, htm: undefined }), /another endpoint/],
    ["no URL", forge(header, { ...claims, htu: undefined }), /another endpoint/],
    ["neither method nor URL", forge(header, { ...claims, htm: undefined, htu: undefined }), /another endpoint/],
    ["no token", forge(header, { ...claims, ath: undefined }), /another token/],
    ["a root that names a parent", forge(header, { ...claims, prh: tokenHash }), place],
    ["a root of another chain", forge(header, { ...claims, txn: "A".repeat(22) }), place],
    ["a root for which others acted", forge(header, { ...claims, act: { sub: "agent-0" } }), place],
    ["a link without a parent", forge(header, { ...claims, dep: 1 }), place],
    ["a depth of nine", forge(header, { ...claims, dep: 9, txn: "A".repeat(22), prh: tokenHash }), form],
    ["a negative depth", forge(header, { ...claims, dep: -1 }), form],
    ["a duplicate claim", forge(header, `{"sub":"root",${JSON.stringify(claims).slice(1)}`), canonical],
    [
      "a byte that is no UTF-8",
      forge(header, Buffer.from(JSON.stringify({ ...claims, sub: "\xff" }), "latin1")),
      canonical
    ],
    ["a byte order mark", forge(header, `\ufeff${JSON.stringify(claims)}`), canonical],
    ["claims that are an array", forge(header, []), canonical],
    ["four parts", `${jws}.x`, /compact JWS/],
    ["two parts", partsOf(jws).slice(0, 2).join("."), /compact JWS/],
    ["no signature", `${partsOf(jws).slice(0, 2).join(".")}.`, /not signed/],
    ["a line end", `${jws}\n`, canonical],
    ["unused bits in its signature", `${jws.slice(0, -1)}_`, canonical],
    ["64 KiB", "x".repeat(65_537), /longer/],
    ["nothing", "", /compact JWS/]
  ]
  it.each(shape)("refuses one with %s", (_, forged, message) => {
    assert.match(fault(forged) ?? "accepted", message)
  })

  it("asks for every intent that is declared", () => {
    const other = { constraints: { denied_resources: ["tool:**"] } }
    const two = Envelope.sign({ ...statement, intents: [intent, other] }).jws
    assert.isUndefined(fault(two, { intents: [intent, other] }))
    for (const intents of [[intent], [other], []]) assert.match(fault(two, { intents }) ?? "accepted", /intent/)
  })

  interface Making {
    readonly header: object
    readonly claims: object
    readonly by: SigningKey
    readonly spelled: (jws: string) => string
    readonly expected: Partial<Envelope.Expectation>
  }
  const expecting =
    (change: Partial<Envelope.Expectation>) =>
    (making: Making): Making => ({ ...making, expected: { ...making.expected, ...change } })
  const spelling =
    (change: (jws: string) => string) =>
    (making: Making): Making => ({ ...making, spelled: (text) => change(making.spelled(text)) })
  const claiming =
    (change: object) =>
    (making: Making): Making => ({ ...making, claims: { ...making.claims, ...change } })
  /** What may be wrong, in the order in which it is looked at. */
  const order: ReadonlyArray<readonly [RegExp, (making: Making) => Making]> = [
    [/longer than/, spelling((text) => `${text}${"x".repeat(65_536)}`)],
    [/compact JWS/, spelling((text) => `${text}.x`)],
    [canonical, spelling((text) => text.replace(".", "=."))],
    [/header/, (making) => ({ ...making, header: { ...making.header, alg: "none" } })],
    [form, claiming({ admin: true })],
    [/not by an agent/, expecting({ publicKey: () => undefined })],
    [/not signed/, (making) => ({ ...making, by: generate() })],
    [/another agent/, expecting({ aud: "service-2" })],
    [/future/, claiming({ iat: claims.iat + 100, exp: claims.exp + 100 })],
    [/another resource/, expecting({ tool: "tool:shop/complete" })],
    [/another endpoint/, expecting({ endpoint: "POST https://evil.example/v1/chat/completions" })],
    [/other params/, expecting({ content: new Content("{}") })],
    [/another token/, expecting({ tokenHash: undefined })],
    [/another principal/, expecting({ sub: "bob" })],
    [/intent/, expecting({ intents: [] })],
    [place, claiming({ dep: 1 })]
  ]
  const told = (...faults: ReadonlyArray<(making: Making) => Making>): string | undefined => {
    const made = faults.reduce((making, change) => change(making), {
      header,
      claims,
      by: key,
      spelled: (text: string) => text,
      expected: {}
    } as Making)
    return fault(made.spelled(forge(made.header, made.claims, made.by)), made.expected)
  }
  it.each(order.map(([message], i) => [i, message] as const))(
    "checks in its order: %i, %s, is told before all that follow",
    (i, message) => {
      assert.isUndefined(told())
      const [, first] = order[i]!
      assert.match(told(first) ?? "accepted", message)
      for (const [, later] of order.slice(i + 1)) assert.match(told(first, later) ?? "accepted", message)
      assert.match(told(...order.slice(i).map(([, change]) => change)) ?? "accepted", message)
    }
  )

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
