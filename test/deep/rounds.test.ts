import { assert, describe, it } from "@effect/vitest"
import { compare, rare, requestsPerSet, type Tally } from "../policy/rounds.ts"
import { shard, shards } from "./shard.ts"

const pairs = 10_000_000
const chunk = 250_000

/** Seeds that the tests of every day do not take. */
const firstSeed = 1_000_000 + (shard * pairs) / shards / requestsPerSet

describe(`policy decides as the naive evaluator does, shard ${shard + 1} of ${shards}`, () => {
  const total: Tally = new Map()
  const sets = chunk / requestsPerSet

  for (let index = 0; index < pairs / shards / chunk; index++) {
    const from = firstSeed + index * sets
    it(`in ${chunk} pairs, seeds ${from} to ${from + sets - 1}`, () => {
      for (const [what, count] of compare(from, from + sets)) total.set(what, (total.get(what) ?? 0) + count)
      process.stdout.write(`shard ${shard + 1}: ${(index + 1) * chunk} of ${pairs / shards} pairs\n`)
    })
  }

  it("and these reached each verdict, each kind of edit and each violation that evaluation can report", () => {
    assert.deepStrictEqual(rare(total, pairs / shards, 1_000), [], JSON.stringify([...total]))
    process.stdout.write(`shard ${shard + 1}: ${JSON.stringify(Object.fromEntries(total))}\n`)
  })
})
