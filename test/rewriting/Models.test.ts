import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import { lookup, openai } from "../../src/rewriting/Models.ts"

const declared = (file: string, type: RegExp): ReadonlyArray<string> => {
  const source = Fs.readFileSync(new URL(`../../node_modules/openai/resources/${file}.d.ts`, import.meta.url), "utf8")
  return [...(type.exec(source)?.[1] ?? "").matchAll(/'([^']+)'/g)].map(([, name]) => name!)
}

const find = (name: string) => lookup(openai, name)

describe("the catalogue", () => {
  it("knows every chat, completion and embedding model that the SDK names", () => {
    const chat = declared("shared", /type ChatModel = ([^;]+);/)
    const completion = declared("completions", /model: \(string & \{\}\) \| ([^;]+);/)
    const embedding = declared("embeddings", /type EmbeddingModel = ([^;]+);/)
    assert.isAbove(Math.min(chat.length - 50, completion.length, embedding.length), 2)
    assert.deepStrictEqual(
      [...chat, ...completion, ...embedding].filter((name) => find(name) === undefined),
      []
    )
    assert.deepStrictEqual([...new Set(completion.map((name) => find(name)?.modality))], ["completion"])
    assert.deepStrictEqual([...new Set(embedding.map((name) => find(name)?.modality))], ["embedding"])
  })

  it("knows a dated snapshot and a fine-tuned model by its family", () => {
    assert.strictEqual(find("gpt-4-0613")?.family, "gpt-4")
    assert.strictEqual(find("gpt-4o-2030-01-01")?.family, "gpt-4o")
    assert.strictEqual(find("ft:gpt-4o-mini-2024-07-18:acme::id")?.family, "gpt-4o-mini")
    assert.isUndefined(find("llama-3"))
    assert.deepInclude(find("gpt-4-0314"), { family: "gpt-4", tools: false })
    assert.isUndefined(find("constructor"))
  })

  it("ranks what does more higher", () => {
    const ranks = ["gpt-3.5-turbo", "gpt-4o-mini", "gpt-4", "gpt-4-turbo", "gpt-4o", "gpt-4.1", "o1", "gpt-5"].map(
      (name) => find(name)?.rank ?? 0
    )
    assert.deepStrictEqual(
      ranks,
      ranks.toSorted((a, b) => a - b)
    )
  })

  it("gives reasoning models the newer spelling of the cap only", () => {
    for (const name of ["o1", "o3-mini", "gpt-5", "gpt-5-mini-2025-08-07"])
      assert.notInclude(find(name)?.caps ?? [], "max_tokens", name)
    for (const name of ["gpt-4", "gpt-4o-mini"]) assert.strictEqual(find(name)?.caps[0], "max_tokens", name)
  })
})
