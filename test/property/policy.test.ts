import { assert, describe, it } from "@effect/vitest"
import { compare, rare, requestsPerSet, type Tally } from "../policy/rounds.ts"

/** The deep tests take ten million others. */
const pairs = 16_000
const chunks = 2

describe("policy decides as the naive evaluator does", () => {
  const total: Tally = new Map()

  for (let chunk = 0; chunk < chunks; chunk++) {
    const sets = pairs / chunks / requestsPerSet
    it(`in pairs of policies and requests ${chunk + 1} of ${chunks}`, { timeout: 300_000 }, () => {
      const tally = compare(chunk * sets, (chunk + 1) * sets)
      for (const [what, count] of tally) total.set(what, (total.get(what) ?? 0) + count)
    })
  }

  it("and these reached each verdict, each kind of edit and each violation that evaluation can report", () => {
    assert.strictEqual((total.get("allow") ?? 0) + (total.get("deny") ?? 0) + (total.get("pending") ?? 0), pairs)
    assert.deepStrictEqual(rare(total, pairs, 1_000), [], JSON.stringify([...total]))
  })
})
