import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { calculateJwkThumbprint, compactVerify, importJWK, type JWK } from "jose"
import * as Crypto from "node:crypto"
import { KeyHistory, type KeyState, Receipt, type ReceiptClaims, SecureOpenAI, Workspace } from "../../../src/index.ts"
import { makeReceipt, verifyInLog } from "../../../src/audit/proof/Receipt.ts"
import type { ReadRecord } from "../../../src/audit/Record.ts"
import { canonicalize } from "../../../src/base/CanonicalJson.ts"
import { generate, type SigningKey } from "../../../src/keys/Keys.ts"
import { testClient } from "../../../src/testing/index.ts"

const key = generate()
const claims: ReceiptClaims = {
  iss: "app:shop:1",
  sub: "alice",
  iat: 1_800_000_000,
  jti: "0190",
  call: "0191",
  tool: "tool:shop/generate",
  dec: "rewrite",
  chg: ["max_tokens"],
  req: "sha-256:r",
  eff: "sha-256:e",
  inv: "sha-256:i",
  log: "secure-openai/0123456789abcdef",
  leaf: 7,
  lh: "L",
  out: { result: "complete", status: 200, rdh: "sha-256:o", usage: { input: 1, output: 2 } }
}
const header = { alg: "Ed25519", kid: key.kid, typ: "soai-receipt+jwt" }
const sign = (by: SigningKey, head: object, body: object | string): string => {
  const text = typeof body === "string" ? body : JSON.stringify(body)
  const signed = [JSON.stringify(head), text].map((part) => Buffer.from(part).toString("base64url")).join(".")
  return `${signed}.${Buffer.from(by.sign(Buffer.from(signed))).toString("base64url")}`
}
const payloadOf = (jws: string) => JSON.parse(Buffer.from(jws.split(".")[1] ?? "", "base64url").toString())

describe("Receipt.verify", () => {
  const jws = sign(key, header, claims)

  it("gives what a receipt says, by the public key alone", () => {
    assert.deepStrictEqual(Receipt.verify(jws, key.jwk), { valid: true, claims })
  })

  it("refuses any claim that was edited, added or left out", () => {
    const [head, , signature] = jws.split(".")
    const edits: Array<object> = []
    for (const name of Object.keys(claims) as ReadonlyArray<keyof ReceiptClaims>) {
      const value = claims[name]
      edits.push({
        ...claims,
        [name]: typeof value === "number" ? value + 1 : typeof value === "string" ? `${value}x` : []
      })
      const { [name]: _, ...rest } = claims
      edits.push(rest)
    }
    edits.push({ ...claims, dec: "allow" }, { ...claims, more: 1 }, { ...claims, out: { result: "failed" } })
    for (const edit of edits) {
      const payload = Buffer.from(JSON.stringify(edit)).toString("base64url")
      assert.isFalse(Receipt.verify(`${head}.${payload}.${signature}`, key.jwk).valid, JSON.stringify(edit))
    }
    assert.isAbove(edits.length, 30)
  })

  it("refuses every change of a single character", () => {
    for (let at = 0; at < jws.length; at++)
      for (const character of ["A", "Q", "_", ".", "="]) {
        const changed = jws.slice(0, at) + character + jws.slice(at + 1)
        if (changed !== jws) assert.isFalse(Receipt.verify(changed, key.jwk).valid, `${character} at ${at}`)
      }
  })

  const other = generate()
  const forms: ReadonlyArray<readonly [string, string, object]> = [
    ["by another key", sign(other, header, claims), key.jwk],
    ["by another key that it names", sign(other, { ...header, kid: other.kid }, claims), key.jwk],
    ["under another key", jws, other.jwk],
    ["under a key of another curve", jws, { ...key.jwk, crv: "X25519" }],
    ["under a key that is none", jws, {}],
    ["of another type", sign(key, { ...header, typ: "soai-invoke+jwt" }, claims), key.jwk],
    ["with another alg", sign(key, { ...header, alg: "EdDSA" }, claims), key.jwk],
    ["with alg none", sign(key, { ...header, alg: "none" }, claims), key.jwk],
    ["with a key in its header", sign(key, { ...header, jwk: key.jwk }, claims), key.jwk],
    ["with a duplicate claim", sign(key, header, `{"sub":"root",${JSON.stringify(claims).slice(1)}`), key.jwk],
    ["with a claim that is not known", sign(key, header, { ...claims, admin: true }), key.jwk],
    ["with a claim of another form", sign(key, header, { ...claims, leaf: -1 }), key.jwk],
    ["without a claim", sign(key, header, { ...claims, inv: undefined }), key.jwk],
    ["of more than 64 KiB", "x".repeat(65_537), key.jwk],
    ["that is nothing", "", key.jwk]
  ]
  it.each(forms)("refuses one %s", (_, forged, jwk) => {
    assert.isFalse(Receipt.verify(forged, jwk).valid)
  })

  it("is signed by an agent key only, whatever the types say", () => {
    const receipt = makeReceipt({
      ...({} as Parameters<typeof makeReceipt>[0]),
      key: generate("log") as never,
      edits: [],
      leaf: new Uint8Array(),
      out: () => undefined
    })
    assert.throws(() => receipt.jws, /key for log signs no soai-receipt/)
  })
})

describe("receipts of calls", () => {
  it("are verified with jose and node:crypto, and nothing of ours", async () => {
    const { client, records } = testClient({ replies: ["Hi"] })
    const answer = await client.chat.completions.create({
      model: "gpt-4o",
      messages: [{ role: "user", content: "Hello" }]
    })
    const receipt = SecureOpenAI.receipt(answer)
    if (receipt === undefined) throw new Error("there is no receipt")
    const log = (await records()) as ReadonlyArray<ReadRecord>
    const decision = log.find(({ kind }) => kind === "decision")!
    const active = log.find((r) => r.kind === "key.active" && r["kid"] === decision["kid"])!
    const jwk = active["jwk"] as JWK
    const { payload, protectedHeader } = await compactVerify(receipt.jws, await importJWK(jwk, "Ed25519"), {
      algorithms: ["Ed25519"]
    })
    assert.deepStrictEqual(protectedHeader, {
      alg: "Ed25519",
      kid: await calculateJwkThumbprint(jwk),
      typ: "soai-receipt+jwt"
    })
    const said = JSON.parse(Buffer.from(payload).toString()) as ReceiptClaims
    const leaf = Crypto.createHash("sha256").update(Buffer.of(0)).update(canonicalize(decision)).digest("base64url")
    assert.deepInclude(said, {
      call: decision["call"],
      leaf: decision.seq,
      lh: leaf,
      dec: "allow",
      sub: "test-app"
    } as never)
    const [head, body] = receipt.envelope.split(".")
    assert.strictEqual(said.inv, `sha-256:${Crypto.hash("sha256", `${head}.${body}`, "base64url")}`)
    assert.strictEqual(said.out?.result, "complete")
    assert.strictEqual(said.out?.rdh, log.find(({ kind }) => kind === "outcome")?.["response"])
    assert.strictEqual(await receipt.sign(), receipt.jws)
  })

  it("say who gave them, when, and what was changed", async () => {
    const parameters = { "tool:*/generate": { max_tokens: { max: 5 } } }
    const { client, records } = testClient({
      replies: ["Hi"],
      policies: { policy_id: "app:test-app", resources: ["tool:**"], constraints: { parameters } }
    })
    const before = Math.floor(Date.now() / 1000)
    const answer = await client.chat.completions.create({ model: "gpt-4o", max_tokens: 9, messages: [] })
    const { jws } = SecureOpenAI.receipt(answer)!
    const { chg, dec, iat, iss } = payloadOf(jws)
    assert.deepStrictEqual([iss, dec, chg], [client.serverId, "rewrite", ["max_tokens"]])
    assert.isTrue(iat >= before && iat <= Date.now() / 1000)
    assert.isTrue(Receipt.verifyInLog(jws, await records()).valid)
  })

  it("of a stream know its end once it has one; what was refused has none", async () => {
    const { client, records } = testClient({
      replies: ["Hi there"],
      policies: { policy_id: "app:test-app", resources: ["tool:test-app/generate"] }
    })
    const ask = { model: "gpt-4o", messages: [{ role: "user" as const, content: "Hello" }], stream: true as const }
    const stream = await client.chat.completions.create(ask)
    const early = SecureOpenAI.receipt(stream)
    assert.isDefined(early)
    let last: unknown
    for await (const chunk of stream) last = chunk
    const receipt = SecureOpenAI.receipt(last)!
    const verified = Receipt.verifyInLog(receipt.jws, await records())
    assert.isTrue(verified.valid)
    assert.strictEqual(payloadOf(receipt.jws).out.result, "complete")
    const error: unknown = await client.embeddings
      .create({ model: "text-embedding-3-small", input: "x" })
      .catch((e: unknown) => e)
    assert.instanceOf(error, Error)
    assert.isUndefined(SecureOpenAI.receipt(error))
  })
})

describe("Receipt.verifyInLog", () => {
  const other = generate()
  const key1 = { use: "agent", kid: key.kid, jwk: key.jwk }
  const decision = {
    kind: "decision",
    call: claims.call,
    tool: claims.tool,
    verdict: claims.dec,
    requested: claims.req,
    effective: claims.eff,
    inv: claims.inv,
    kid: key.kid,
    edits: [{ path: "max_tokens" }],
    principal: { kind: "user", id: "alice" }
  }
  const outcome = { kind: "outcome", call: claims.call, result: "complete", status: 200, response: "sha-256:o" }
  const ended = { ...outcome, usage: { input: 1, output: 2 }, ms: 5 }
  const log = (...records: ReadonlyArray<object>): ReadonlyArray<ReadRecord> =>
    [{ kind: "log.open", origin: claims.log }, ...records].map(
      (record, seq) => ({ ...record, v: 1, seq, id: "i", ts: 1, boot: "b" }) as ReadRecord
    )
  const receiptAt = (
    records: ReadonlyArray<ReadRecord>,
    leaf: number,
    out = records.some(({ kind }) => kind === "outcome") ? claims.out : undefined,
    more: object = {}
  ): string => {
    const lh = Crypto.createHash("sha256")
      .update(Buffer.of(0))
      .update(canonicalize(records[leaf] ?? {}))
      .digest("base64url")
    return sign(key, header, { ...claims, out, leaf, lh, ...more })
  }
  const active = { kind: "key.active", ...key1 }
  const cases: ReadonlyArray<readonly [string, ReadonlyArray<object>, number, RegExp | undefined]> = [
    ["by a key in use", [active, decision], 2, undefined],
    ["by a key that was retired later", [active, decision, { kind: "key.retired", ...key1 }], 2, undefined],
    ["by a key that was revoked later", [active, decision, { kind: "key.revoked", ...key1 }], 2, undefined],
    [
      "by a key that was retired before",
      [active, { kind: "key.retired", ...key1 }, decision],
      3,
      /retired at record 3/
    ],
    [
      "by a key that was revoked before",
      [active, { kind: "key.revoked", ...key1 }, decision],
      3,
      /revoked at record 3/
    ],
    ["by a key that came into use later", [decision, active], 1, /unknown at record 1/],
    [
      "by a retired key that is named again",
      [active, { kind: "key.retired", ...key1 }, active, decision],
      4,
      /retired/
    ],
    [
      "by a retired key that is revoked",
      [active, { kind: "key.retired", ...key1 }, { kind: "key.revoked", ...key1 }, decision],
      4,
      /revoked/
    ],
    ["by a key for the log", [{ ...active, use: "log" }, decision], 2, /no agent key/],
    [
      "by a key that the log does not name",
      [{ ...active, kid: other.kid, jwk: other.jwk }, decision],
      2,
      /no agent key/
    ],
    ["of a call that is over", [active, decision, ended], 2, undefined],
    [
      "of a call that is over, judged without what came of another",
      [active, decision, ended, { ...ended, call: "x" }],
      2,
      undefined
    ],
    ...(
      [
        { result: "failed" },
        { status: 500 },
        { response: "sha-256:x" },
        { usage: { input: 1, output: 3 } },
        { usage: undefined },
        { call: "another" }
      ] as const
    ).map(
      (change) =>
        [
          `of a call that ended with ${JSON.stringify(change)}`,
          [active, decision, { ...ended, ...change }],
          2,
          /another end of the call/
        ] as const
    ),
    ["by another key in use than the call's", [active, { ...decision, kid: other.kid }], 2, /another key/],
    ["of a record with other changes", [active, { ...decision, edits: [{ path: "model" }] }], 2, /list of changes/],
    ["of a record without changes", [active, { ...decision, edits: [] }], 2, /list of changes/],
    [
      "of a record with more changes",
      [active, { ...decision, edits: [{ path: "max_tokens" }, null] }],
      2,
      /list of changes/
    ],
    ["of a record that was shortened", [active, { ...decision, edits: [], shortened: 1 }], 2, undefined],
    ["of a record that is not there", [active], 9, /no record 9/],
    ["of a record of another kind", [active, { ...decision, kind: "outcome" }], 2, /another kind/],
    [
      "of a record whose digests are of another rule",
      [active, { ...decision, digests: 2 }],
      2,
      /another rule of digests/
    ],
    ["of a call of another", [active, { ...decision, principal: { kind: "user", id: "bob" } }], 2, /another principal/],
    ...(["call", "tool", "verdict", "requested", "effective", "inv"] as const).map(
      (name) =>
        [
          `of a record with another ${name}`,
          [active, { ...decision, [name]: "x" }],
          2,
          new RegExp(`another ${name}`)
        ] as const
    )
  ]
  it.each(cases)("judges one %s", (_, records, leaf, message) => {
    const all = log(...records)
    const verified = verifyInLog(receiptAt(all, leaf), all)
    if (message === undefined) assert.isTrue(verified.valid, verified.valid ? "" : verified.reason)
    else assert.match(verified.valid ? "valid" : verified.reason, message)
  })

  it.each<readonly [object, object | undefined, boolean]>([
    [{ iss: "a", sub: "7" }, { iss: "a", sub: "7" }, true],
    [{ iss: "a" }, { iss: "a", sub: "alice" }, true],
    // Receipts of earlier versions do not say it.
    [{ iss: "a", sub: "7" }, undefined, true],
    [{ iss: "b", sub: "7" }, { iss: "a", sub: "7" }, false],
    [{ iss: "a", sub: "8" }, { iss: "a", sub: "7" }, false],
    [{ iss: "a" }, { iss: "a", sub: "7" }, false],
    [{}, { iss: "a", sub: "alice" }, false]
  ])("holds the user of a record with %j against usr %j", (user, usr, holds) => {
    const all = log(active, { ...decision, principal: { ...decision.principal, ...user } })
    const verified = verifyInLog(receiptAt(all, 2, undefined, { usr }), all)
    assert.strictEqual(verified.valid ? "valid" : verified.reason, holds ? "valid" : "record 2 has another user")
  })

  it("refuses another leaf hash, and another log", () => {
    const all = log(active, decision)
    assert.match(reasonOf(verifyInLog(sign(key, header, { ...claims, leaf: 2 }), all)), /leaf hash/)
    const moved = all.map((r) => (r.seq === 0 ? { ...r, origin: "secure-openai/other" } : r))
    assert.match(reasonOf(verifyInLog(receiptAt(all, 2), moved)), /another log/)
    assert.match(reasonOf(verifyInLog(receiptAt(all, 2, claims.out), all)), /another end/)
    // A log that was opened again still has its first origin.
    assert.isTrue(
      verifyInLog(receiptAt(all, 2), log(active, decision, { kind: "log.open", origin: "secure-openai/other" })).valid
    )
  })

  it("is no wiser for a key that the log names wrongly", () => {
    const wrong = { ...active, jwk: other.jwk }
    assert.match(reasonOf(verifyInLog(receiptAt(log(wrong, decision), 2), log(wrong, decision))), /by the key/)
    for (const jwk of [null, "x", 7]) {
      const without = log({ ...active, jwk }, decision)
      assert.match(reasonOf(verifyInLog(receiptAt(without, 2), without)), /no agent key/)
    }
  })

  const reasonOf = (verified: ReturnType<typeof verifyInLog>): string => (verified.valid ? "valid" : verified.reason)

  it("tells a key's state at each place", () => {
    const history = KeyHistory.of(
      log(active, decision, { kind: "key.retired", ...key1 }, { kind: "key.revoked", ...key1 })
    )
    const states = [0, 1, 2, 3, 4, 5].map((index): KeyState => history.stateAt(key.kid, index))
    assert.deepStrictEqual(states, ["unknown", "active", "active", "retired", "revoked", "revoked"])
  })

  it.effect("judges the key of an agent that has left", () =>
    Effect.promise(async () => {
      const { AgentClient } = await import("../../../src/index.ts")
      await using workspace = new Workspace({ audit: "memory" })
      const agent = await new AgentClient({ agentType: "agent", appName: "bot", workspace }).register()
      const kid = (await workspace.records()).findLast(({ kind }) => kind === "key.active")?.["kid"] as string
      await agent.unregister()
      const records = await workspace.records()
      const history = KeyHistory.of(records)
      assert.deepStrictEqual(
        [records.length - 2, records.length - 1].map((i) => history.stateAt(kid, i)),
        ["active", "retired"]
      )
    })
  )
})
