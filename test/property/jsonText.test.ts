import { assert, describe, it } from "@effect/vitest"
import { fuzzTexts, type Tally } from "./jsonText.ts"

const texts = 1500

describe("JSON text", () => {
  const total: Tally = new Map()

  it("is read as JSON.parse, momoa and canonicalize read it", { timeout: 60_000 }, () => fuzzTexts(0, texts, total))

  it("and these were read, spliced, inexact and refused for each reason", () => {
    const rare = [
      "read",
      "spliced",
      "inexact",
      "inexact kept",
      "twice",
      "__proto__",
      "surrogate",
      "number",
      "depth"
    ].filter((what) => (total.get(what) ?? 0) < 3)
    assert.deepStrictEqual(rare, [], JSON.stringify([...total]))
  })
})
