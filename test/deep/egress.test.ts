import { describe, it } from "@effect/vitest"
import { fuzz, memoryWire, type Tally } from "../property/egress.ts"
import { shard, shards } from "./shard.ts"

const calls = 1_000_000
const chunk = 50_000

/** Seeds that the tests of every day do not take. */
const firstSeed = 1_000_000 + (shard * calls) / shards

describe(`what arrives is what was decided, shard ${shard + 1} of ${shards}`, () => {
  const total: Tally = new Map()
  for (let index = 0; index < calls / shards / chunk; index++) {
    const from = firstSeed + index * chunk
    it(`in ${chunk} calls, seeds ${from} to ${from + chunk - 1}`, async () => {
      await fuzz(from, from + chunk, memoryWire, total)
      process.stdout.write(`shard ${shard + 1}: ${JSON.stringify(Object.fromEntries(total))}\n`)
    })
  }
})
