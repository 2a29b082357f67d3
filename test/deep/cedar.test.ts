import { assert, describe, it } from "@effect/vitest"
import { compareWithCedar, setsFor } from "../policy/cedar.ts"
import { shard, shards } from "./shard.ts"

const pairs = 40_000

describe(`policy, shard ${shard + 1} of ${shards}`, () => {
  it(`decides as Cedar does, in ${pairs / shards} pairs of policies and requests`, () => {
    const sets = setsFor(pairs / shards)
    const first = 1_000_000 + shard * sets
    const { allow, deny } = compareWithCedar(first, first + sets)
    assert.strictEqual(allow + deny, pairs / shards)
    assert.isAbove(Math.min(allow, deny), pairs / shards / 10)
  })
})
