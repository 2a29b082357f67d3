import { assert, describe, it } from "@effect/vitest"
import { check, makeSend, readDifferently, type Tally } from "./readers.ts"

/** As many bodies as fit this time, in ms; the deep tests take a number. */
const time = 15_000

describe("what is sent reads the same to every server, in every parameter that policy bounds", () => {
  it("in random bodies", { timeout: 300_000 }, () => {
    const send = makeSend()
    const tally: Tally = new Map()
    const end = Date.now() + time
    let seed = 0
    while (seed < 2_000 || Date.now() < end) check(send, seed++, tally)
    const rare = ["as it was", "edited", "refused", "refused, ambiguous"].filter(
      (word) => (tally.get(word) ?? 0) < seed / 50
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
