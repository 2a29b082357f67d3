import { assert, describe, it } from "@effect/vitest"
import { check, makeSend, readDifferently, type Tally } from "./readers.ts"

/** The deep tests take more, with other seeds. */
const bodies = 2_000

describe("what is sent reads the same to every server, in every parameter that policy bounds", () => {
  it("in random bodies", { timeout: 300_000 }, () => {
    const send = makeSend()
    const tally: Tally = new Map()
    for (let seed = 0; seed < bodies; seed++) check(send, seed, tally)
    const rare = ["as it was", "edited", "refused", "refused, ambiguous"].filter(
      (word) => (tally.get(word) ?? 0) < bodies / 50
    )
    assert.deepStrictEqual(rare, [], JSON.stringify([...tally]))
  })

  it.each([
    ['{"model":"a","model":"b"}', "model"],
    ['{"model":"a","MODEL":"b"}', "model"],
    ['{"Model":"a"}', "model"],
    ['{"max_to\u212aens":1}', "max_tokens"],
    ['{"tools":[{"function":{"name":"a"}},{"Function":{"name":"b"}}]}', "tools.function.name"],
    ['{"metadata":{"model":"a","Model":"b"},"model":"a","x":1.0}', undefined]
  ])("the readers tell %s", (text, parameter) => {
    assert.strictEqual(readDifferently(text), parameter)
  })
})
