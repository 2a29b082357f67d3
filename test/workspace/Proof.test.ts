/** What a third party proves with public keys alone: through the SDK over a socket, then in another process. */
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Call } from "../../src/call/Call.ts"
import { canonicalize } from "../../src/base/CanonicalJson.ts"
import { Prompt, Receipt, SecureOpenAI, Workspace } from "../../src/index.ts"
import { generate } from "../../src/keys/Keys.ts"
import { app } from "../../src/call/Principal.ts"
import * as Envelope from "../../src/signing/Envelope.ts"
import { digest } from "../../src/signing/Prompt.ts"
import { type Provider, startProvider } from "../e2e/Provider.ts"

type Json = string | number | boolean | null | ReadonlyArray<Json> | { readonly [name: string]: Json }

let provider: Provider
let workspace: Workspace
let client: SecureOpenAI
beforeAll(async () => {
  provider = await startProvider()
  workspace = await Workspace.open({ audit: "memory" })
  client = new SecureOpenAI({ apiKey: "k", baseURL: provider.url, maxRetries: 0, workspace })
  client.registerTool("ask", () => ({ said: "yes" }), { prompts: ["question", "parts"] })
})
afterAll(async () => {
  await client.close()
  await workspace.close()
  await provider.close()
})

/** Runs a program that has nothing but its standard input. */
const outside = (program: string, input: unknown): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const child = ChildProcess.execFile(
      process.execPath,
      ["--input-type=module", "-e", program],
      { cwd: Path.join(import.meta.dirname, "../.."), maxBuffer: 1 << 26 },
      (error, out, err) => (error === null ? resolve(JSON.parse(out)) : reject(new Error(err)))
    )
    child.stdin?.end(JSON.stringify(input))
  })
const read = `
  const parts = []
  for await (const part of process.stdin) parts.push(part)
  const input = JSON.parse(Buffer.concat(parts).toString())`

/** Knows the public entry point and no more. */
const byPackage = `
  import { Prompt, Receipt } from ${JSON.stringify(new URL("../../src/index.ts", import.meta.url).href)}
  ${read}
  const told = input.map(({ proof, prompt, others }) => ({
    receipt: Receipt.verify(proof.receipt, proof.jwk),
    asked: Prompt.verify(proof, prompt),
    others: others.map((other) => Prompt.verify(proof, other))
  }))
  console.log(JSON.stringify(told))`

/** Knows jose and the documents: what keys-and-receipts.md says to do by hand. */
const byJose = `
  import { calculateJwkThumbprint, compactVerify, importJWK } from "jose"
  import canonicalize from "canonicalize"
  import { createHash } from "node:crypto"
  ${read}
  const sha256 = (text) => "sha-256:" + createHash("sha256").update(text).digest("base64url")
  const digests = (value) =>
    Array.isArray(value) && value.length <= 128 ? value.map((one) => sha256(canonicalize(one))) : sha256(canonicalize(value))
  const told = []
  for (const { proof: { envelope, jwk, receipt }, prompt, others } of input) {
    const key = await importJWK(jwk, "Ed25519")
    const open = async (jws, typ) => {
      const { payload, protectedHeader } = await compactVerify(jws, key, { algorithms: ["Ed25519"] })
      if (protectedHeader.typ !== typ || protectedHeader.kid !== (await calculateJwkThumbprint(jwk))) throw new Error(typ)
      return JSON.parse(Buffer.from(payload).toString())
    }
    const claims = await open(receipt, "soai-receipt+jwt")
    const { prm } = await open(envelope, "soai-invoke+jwt")
    if (claims.inv !== sha256(envelope.split(".").slice(0, 2).join("."))) throw new Error("another envelope")
    const holds = (given) =>
      canonicalize(prm) === canonicalize(Object.fromEntries(Object.entries(given).map(([name, value]) => [name, digests(value)])))
    told.push({ claims, asked: holds(prompt), others: others.map(holds) })
  }
  console.log(JSON.stringify(told))`

/** Every change of one thing in a value: of a text, a number, an order, an element, a member, a kind. */
const changesOf = (value: Json): ReadonlyArray<Json> => {
  const others: Array<Json> = [null, [value], { value }, JSON.stringify(value)]
  if (typeof value === "string")
    others.push(
      ...["NFC", "NFD", "NFKC", "NFKD"].map((form) => value.normalize(form)),
      ...[" ", "\t", "\n", "\r\n", "\u00a0", "\u200b", "\ufeff", "\u0000"].flatMap((space) => [
        `${value}${space}`,
        `${space}${value}`
      ]),
      value.trim(),
      value.toUpperCase(),
      value.replaceAll("\n", "\r\n"),
      `${value}${value}`,
      "",
      value.slice(1)
    )
  else if (typeof value === "number") others.push(value + 1, -value, value + 2 ** -30, String(value), true)
  else if (Array.isArray(value)) {
    const list = value as ReadonlyArray<Json>
    list.forEach((element, i) => {
      others.push(
        list.toSpliced(i, 1),
        list.toSpliced(i, 0, element),
        list.toSpliced(i, 2, ...list.slice(i, i + 2).toReversed())
      )
      if (Array.isArray(element)) others.push(list.toSpliced(i, 1, ...(element as ReadonlyArray<Json>)))
      for (const change of changesOf(element)) others.push(list.with(i, change))
    })
    others.push(list.toReversed(), [...list, ...list], [...list, ""], [])
  } else if (typeof value === "object" && value !== null)
    for (const [name, member] of Object.entries(value)) {
      const { [name]: _, ...rest } = value as { readonly [name: string]: Json }
      others.push(rest, { ...rest, [`${name} `]: member }, { ...value, more: "" })
      for (const change of changesOf(member)) others.push({ ...value, [name]: change })
    }
  return others.filter((other) => canonicalize(other) !== canonicalize(value))
}

const messages: Json = [
  { role: "system", content: "Be brief." },
  { role: "user", content: [{ type: "text", text: "Caf\u00e9 \ufb01n\n1.0" }] },
  { role: "user", content: "Cafe\u0301 \u{1f600}" }
]
const texts: Json = ["a", "a b", "\u00c5"]
const tokens: Json = [1, 2, 3, 2]
const lists: Json = [[1, 2], [3], [2, 1]]
const many: Json = Array.from({ length: 200 }, (_, i) => i)
const model = "gpt-4o"
const fields = { question: "Caf\u00e9?", parts: ["a", { b: 1 }, "a"] }
type Ask = (value: never) => Promise<unknown>
const chat: Ask = (value) => client.chat.completions.create({ model, messages: value })
const respond: Ask = (input) => client.responses.create({ model, input })
const complete: Ask = (prompt) => client.completions.create({ model, prompt })
const embed: Ask = (input) => client.embeddings.create({ model, input })
const kinds: ReadonlyArray<readonly [string, string, Json, Ask]> = [
  ["chat.completions, messages", "messages", messages, chat],
  ["responses, a text", "input", "Caf\u00e9", respond],
  ["responses, a list", "input", messages, respond],
  ["completions, a text", "prompt", "Caf\u00e9\n", complete],
  ["completions, texts", "prompt", texts, complete],
  ["completions, tokens", "prompt", tokens, complete],
  ["completions, lists of tokens", "prompt", lists, complete],
  ["embeddings, a text", "input", "Caf\u00e9", embed],
  ["embeddings, texts", "input", texts, embed],
  ["embeddings, tokens", "input", tokens, embed],
  ["embeddings, more tokens than have a digest each", "input", many, embed],
  ["embeddings, lists of tokens", "input", lists, embed]
]

const proofOf = async (answer: unknown) => {
  const receipt = SecureOpenAI.receipt(answer)
  if (receipt === undefined) throw new Error("there is no receipt")
  const active = (await workspace.records()).find((r) => r.kind === "key.active" && r["use"] === "agent")
  return { envelope: receipt.envelope, receipt: receipt.jws, jwk: active?.["jwk"] as object }
}

/** What was asked, how, and what else it might have been. */
interface Asked {
  readonly name: string
  readonly prompt: { readonly [field: string]: Json }
  readonly others: ReadonlyArray<object>
  readonly ask: () => Promise<unknown>
}
const asked: ReadonlyArray<Asked> = [
  ...kinds.map(([name, field, value, ask]): Asked => {
    const changes = value === many ? [[...many, 1], many.slice(1), many.with(7, 8), [many]] : changesOf(value)
    return {
      name,
      prompt: { [field]: value },
      others: [
        ...changes.map((change) => ({ [field]: change })),
        {},
        { [`${field}s`]: value },
        { [field]: value, more: "" }
      ],
      ask: () => ask(value as never)
    }
  }),
  {
    name: "a tool's fields",
    prompt: fields,
    others: [
      ...Object.entries(fields).flatMap(([name, value]) =>
        changesOf(value).map((change) => ({ ...fields, [name]: change }))
      ),
      { ...fields, other: 1 },
      { question: fields.question },
      { parts: fields.parts }
    ],
    ask: () => {
      const ask = { name: "ask", arguments: JSON.stringify({ ...fields, other: 1 }) }
      return client.invokeTool({ id: "1", type: "function", function: ask })
    }
  }
]

describe("a third party with the public key", () => {
  let told: ReadonlyArray<{
    readonly receipt: { readonly valid: boolean; readonly claims: object }
    readonly asked: object
    readonly others: ReadonlyArray<{ readonly valid: boolean; readonly reason?: string }>
  }>
  let toldByJose: ReadonlyArray<{
    readonly claims: object
    readonly asked: boolean
    readonly others: ReadonlyArray<boolean>
  }>
  beforeAll(async () => {
    const input: Array<object> = []
    for (const { ask, others, prompt } of asked) input.push({ proof: await proofOf(await ask()), prompt, others })
    told = (await outside(byPackage, input)) as typeof told
    toldByJose = (await outside(byJose, input)) as typeof toldByJose
  })

  it.each(asked.map(({ name }, i) => [name, i] as const))("proves %s, and sees every change", (_, i) => {
    const { others } = asked[i]!
    expect(told[i]?.receipt).toMatchObject({ valid: true })
    expect(told[i]?.asked).toMatchObject({ valid: true })
    expect(others.filter((_, j) => told[i]?.others[j]?.valid !== false)).toEqual([])
    for (const { reason } of told[i]!.others) expect(reason).toMatch(/is not what was asked|elements|field/)
    expect(toldByJose[i]).toMatchObject({ claims: told[i]?.receipt.claims, asked: true })
    expect(toldByJose[i]?.others.filter(Boolean)).toEqual([])
    expect(others.length).toBeGreaterThan(6)
  })
})

describe("proofs", () => {
  const key = generate()
  const { jwk } = key
  const envelopeOf = (bytes: string): Envelope.Envelope => {
    const call = Call.make("embed", JSON.parse(bytes), { bytes })
    return Envelope.sign({ ...Envelope.ofCall(call, app("shop")), key, iss: "a", aud: "b", now: 0 })
  }

  it("take a number for its value; the digest of the body tells how it was spelled", () => {
    const [one, other] = ['{"input":[1,100]}', '{"input":[1.0,1e2]}'].map(envelopeOf)
    expect(one?.claims.prm).toEqual(other?.claims.prm)
    expect(one?.claims.bdh).toBe(digest('{"input":[1,100]}'))
    expect(other?.claims.bdh).toBe(digest('{"input":[1.0,1e2]}'))
  })

  it("of one call do not go with the receipt of another", async () => {
    const ask = () => client.chat.completions.create({ model, messages: [{ role: "user", content: "hi" }] })
    const [one, other] = [await proofOf(await ask()), await proofOf(await ask())]
    const prompt = { messages: [{ role: "user", content: "hi" }] }
    expect(Prompt.verify(one, prompt).valid).toBe(true)
    expect(Prompt.verify({ ...one, receipt: other.receipt }, prompt)).toEqual({
      valid: false,
      reason: "the receipt is of another envelope"
    })
  })

  it("say what is wrong with what is no prompt, no key and no receipt, and never throw", () => {
    const { jws: envelope } = envelopeOf('{"input":["x"]}')
    const nothing = undefined as never
    for (const prompt of [
      null,
      undefined,
      7,
      "input",
      ["x"],
      { input: ["\ud800"] },
      { input: [new Date()] },
      { input: [() => 1] }
    ])
      expect(Prompt.verify({ envelope, jwk }, prompt as never)).toMatchObject({
        valid: false,
        reason: expect.any(String)
      })
    for (const key of [null, undefined, 7, {}, { ...jwk, kty: "EC" }, { ...jwk, x: "AA" }, { ...jwk, x: null }]) {
      expect(Prompt.verify({ envelope, jwk: key as never }, { input: ["x"] }).valid).toBe(false)
      expect(Receipt.verify("a.b.c", key as never).valid).toBe(false)
    }
    expect(Prompt.verify({ envelope: nothing, jwk }, {}).valid).toBe(false)
    expect(Prompt.verify({ envelope, jwk, receipt: null as never }, { input: ["x"] }).valid).toBe(false)
    expect(Receipt.verify(nothing, jwk)).toMatchObject({ valid: false, reason: "the receipt is no text" })
    expect(Receipt.verifyInLog(nothing, [])).toMatchObject({ valid: false, reason: "the receipt is no text" })
    // An envelope is no receipt, though one key signs both.
    expect(Receipt.verify(envelope, jwk).valid).toBe(false)
    expect(Prompt.verify({ envelope, jwk, receipt: envelope }, { input: ["x"] }).valid).toBe(false)
  })
})
