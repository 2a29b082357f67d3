import { describe, it } from "@effect/vitest"
import { check, makeSend, type Tally } from "../property/readers.ts"
import { shard, shards } from "./shard.ts"

const bodies = 5_000_000
const chunk = 250_000

/** Seeds that the tests of every day do not take. */
const firstSeed = 10_000_000 + (shard * bodies) / shards

describe(`what is sent reads the same to every server, shard ${shard + 1} of ${shards}`, () => {
  const total: Tally = new Map()
  for (let index = 0; index < bodies / shards / chunk; index++) {
    const from = firstSeed + index * chunk
    it(`in ${chunk} bodies, seeds ${from} to ${from + chunk - 1}`, () => {
      const send = makeSend()
      for (let seed = from; seed < from + chunk; seed++) check(send, seed, total)
      process.stdout.write(`shard ${shard + 1}: ${JSON.stringify(Object.fromEntries(total))}\n`)
    })
  }
})
