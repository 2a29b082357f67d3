import { describe, it } from "@effect/vitest"
import { answers, type Tally } from "../property/answers.ts"
import { shard, shards } from "./shard.ts"

const count = 1_000_000
const chunk = 50_000

/** Seeds that the tests of every day do not take. */
const firstSeed = 1_000_000 + (shard * count) / shards

describe(`of a random answer nothing denied comes out, and all that is allowed does, shard ${shard + 1} of ${shards}`, () => {
  const tally: Tally = new Map()
  for (let index = 0; index < count / shards / chunk; index++) {
    const from = firstSeed + index * chunk
    it(`in ${chunk} answers, seeds ${from} to ${from + chunk - 1}`, async () => {
      await answers(from, from + chunk, tally)
      process.stdout.write(`shard ${shard + 1}: ${JSON.stringify(Object.fromEntries(tally))}\n`)
    })
  }
})
