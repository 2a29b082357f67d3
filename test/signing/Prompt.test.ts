import { assert, describe, it } from "@effect/vitest"
import { Call } from "../../src/call/Call.ts"
import type { Json, JsonObject } from "../../src/base/Json.ts"
import { Prompt } from "../../src/index.ts"
import { generate } from "../../src/keys/Keys.ts"
import { app } from "../../src/call/Principal.ts"
import * as Envelope from "../../src/signing/Envelope.ts"
import * as Prompts from "../../src/signing/Prompt.ts"
import { Random } from "../policy/random.ts"

const key = generate()
const { jwk } = key
/** What a call with such params, of such an operation, is signed as. */
const envelopeOf = (operation: string, params: object, path = "", prompts: ReadonlyArray<string> = []): string => {
  const endpoint = path === "" ? undefined : `POST https://api.openai.com/v1/${path}`
  const call = Call.make(operation, params, { app: "shop", endpoint, prompts })
  return Envelope.sign({ ...Envelope.ofCall(call, app("shop")), key, iss: "a", aud: "b", now: 0 }).jws
}
const reason = (envelope: string, prompt: object): string | undefined => {
  const verified = Prompt.verify({ envelope, jwk }, prompt)
  return verified.valid ? undefined : verified.reason
}
const tokens = Array.from({ length: 500 }, (_, i) => i)
const kinds: ReadonlyArray<readonly [string, string, string, JsonObject, ReadonlyArray<string>]> = [
  ["chat messages", "generate", "chat/completions", { messages: [{ role: "user", content: "Hi" }] }, []],
  ["a response's text", "generate", "responses", { input: "Hi" }, []],
  ["a response's items", "generate", "responses", { input: [{ role: "user", content: "Hi" }] }, []],
  ["a completion's prompt", "complete", "completions", { prompt: "Hi" }, []],
  ["a completion's prompts", "complete", "completions", { prompt: ["Hi", "Ho"] }, []],
  ["an embedding's texts", "embed", "embeddings", { input: ["a", "b"] }, []],
  ["tokens", "embed", "embeddings", { input: tokens }, []],
  ["lists of tokens", "embed", "embeddings", { input: [tokens, [1, 2]] }, []],
  ["a tool's fields", "ask", "", { question: "q", parts: ["a", { b: 1 }] }, ["question", "parts"]]
]

describe("Prompt.verify", () => {
  it.each(kinds)("proves %s, and shows every other shape of it", (_, operation, path, prompt, fields) => {
    const envelope = envelopeOf(operation, { model: "gpt-4o", ...prompt }, path, fields)
    assert.isUndefined(reason(envelope, prompt))
    const [field = "", value] = Object.entries(prompt)[0] ?? []
    const others: ReadonlyArray<JsonObject> = [
      {},
      { ...prompt, extra: "x" },
      { [`${field}s`]: value as Json },
      { ...prompt, [field]: [value as Json] },
      { ...prompt, [field]: JSON.stringify(value) },
      { ...prompt, [field]: null },
      { ...prompt, [field]: [] },
      { ...prompt, [field]: {} }
    ]
    for (const other of others) assert.isDefined(reason(envelope, other), JSON.stringify(other).slice(0, 200))
  })

  it("tells a text from a list of it, and a list of tokens from a list of one such list", () => {
    for (const [one, other] of [
      ["Hi", ["Hi"]],
      [tokens, [tokens]],
      [[], ""],
      [[[]], []]
    ] as const) {
      assert.isDefined(reason(envelopeOf("embed", { input: one }), { input: other }))
      assert.isDefined(reason(envelopeOf("embed", { input: other }), { input: one }))
    }
  })

  it("names the element that was changed", () => {
    const envelope = envelopeOf("generate", { messages: ["a", "b"] })
    assert.strictEqual(reason(envelope, { messages: ["a", "c"] }), "messages[1] is not what was asked")
    assert.strictEqual(reason(envelope, { messages: ["a"] }), "messages[1] is not what was asked")
    assert.match(reason(envelope, { messages: ["a", "b", "c"] }) ?? "", /3 elements, and 2 were asked/)
  })

  it("has no prompt where the call had none", () => {
    assert.isUndefined(reason(envelopeOf("weather", { city: "Rome" }), {}))
    assert.isDefined(reason(envelopeOf("weather", { city: "Rome" }), { city: "Rome" }))
  })

  it("counts for nothing under another key, of another kind or of no kind", () => {
    const envelope = envelopeOf("generate", { messages: ["a"] })
    const prompt = { messages: ["a"] }
    for (const other of [generate().jwk, {}, { ...jwk, crv: "X25519" }, { ...jwk, x: 7 }])
      assert.isFalse(Prompt.verify({ envelope, jwk: other }, prompt).valid)
    for (let at = 0; at < envelope.length; at += 7) {
      const changed = envelope.slice(0, at) + (envelope[at] === "A" ? "B" : "A") + envelope.slice(at + 1)
      assert.isFalse(Prompt.verify({ envelope: changed, jwk }, prompt).valid)
    }
  })

  const changes = ["text", "role", "field", "order", "add", "remove", "twice"]
  it("notices any single change: of a text, an order, a role, an addition, a removal", () => {
    const noticed = new Map<string, number>()
    for (let seed = 0; seed < 2000; seed++) {
      const random = new Random(seed)
      const below = (n: number): number => Math.floor(random.next() * n)
      const element = () => ({
        role: random.pick(["user", "system", "assistant"]),
        content: random.pick(["", "Hi", "\u00e9", "e\u0301", "\u{1f600}", "a\nb", `n${below(5)}`])
      })
      // Now and then more than have a digest each.
      const count = 1 + below(below(20) === 0 ? 200 : 6)
      const messages = Array.from({ length: count }, element)
      const envelope = envelopeOf("generate", { messages })
      assert.isUndefined(reason(envelope, { messages }))
      const change = changes[seed % changes.length] ?? ""
      const i = below(count)
      const one = messages[i]!
      const changed: Array<object> = [...messages]
      if (change === "text") changed[i] = { ...one, content: `${one.content} ` }
      if (change === "role") changed[i] = { ...one, role: one.role === "user" ? "system" : "user" }
      if (change === "field") changed[i] = { ...one, name: "x" }
      if (change === "add") changed.splice(below(count + 1), 0, element())
      if (change === "remove") changed.splice(i, 1)
      if (change === "twice") changed.splice(i, 0, one)
      if (change === "order") changed.splice(below(count), 0, ...changed.splice(i, 1))
      if (JSON.stringify(changed) === JSON.stringify(messages)) continue
      assert.isDefined(reason(envelope, { messages: changed }), `${change} of ${JSON.stringify(messages)}`)
      noticed.set(change, (noticed.get(change) ?? 0) + 1)
    }
    for (const change of changes) assert.isAbove(noticed.get(change) ?? 0, 100, change)
  })

  it("has a digest for each of 128 elements, and one for a longer list", () => {
    const list = (length: number) => Prompts.digests({ input: Array.from({ length }, (_, i) => i) })["input"]
    assert.lengthOf(list(128) as ReadonlyArray<string>, 128)
    assert.match(String(list(129)), /^sha-256:[\w-]{43}$/)
  })

  it("takes an element for what it says, however its members are ordered", () => {
    const envelope = envelopeOf("generate", { messages: [{ role: "user", content: "Hi" }] })
    assert.isUndefined(reason(envelope, { messages: [{ content: "Hi", role: "user" }] }))
    assert.isUndefined(reason(envelopeOf("ask", { q: { b: 1, a: 2 } }, "", ["q"]), { q: { a: 2, b: 1 } }))
    assert.deepStrictEqual(Prompts.digests({ a: [] }), { a: [] })
  })
})
