import { describe, it } from "@effect/vitest"
import { fuzzTexts, type Tally } from "../property/jsonText.ts"
import { shard, shards } from "./shard.ts"

const texts = 1_000_000
const chunk = 50_000

/** Seeds that the tests of every day do not take. */
const firstSeed = 1_000_000 + (shard * texts) / shards

describe(`JSON text, shard ${shard + 1} of ${shards}`, () => {
  const total: Tally = new Map()
  for (let index = 0; index < texts / shards / chunk; index++) {
    const from = firstSeed + index * chunk
    it(`of ${chunk} seeds from ${from} is read as others read it`, () => {
      fuzzTexts(from, from + chunk, total)
      process.stdout.write(`shard ${shard + 1}: ${JSON.stringify(Object.fromEntries(total))}\n`)
    })
  }
})
