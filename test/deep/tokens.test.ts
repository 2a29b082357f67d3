import { assert, describe, it } from "@effect/vitest"
import { mutate } from "../identity/mutations.ts"
import { shard, shards } from "./shard.ts"

const mutations = 5_000_000
const chunk = 250_000

describe(`no mutated token is accepted, shard ${shard + 1} of ${shards}`, () => {
  for (let index = 0; index < mutations / shards / chunk; index++)
    it(`in ${chunk} single-byte mutations, seed ${1000 + shard * 1000 + index}`, async () => {
      const { faults, reasons } = await mutate(chunk, 1000 + shard * 1000 + index)
      assert.deepStrictEqual(faults, [])
      assert.isAbove(reasons.get("signature") ?? 0, chunk / 5)
      process.stdout.write(`shard ${shard + 1}: ${(index + 1) * chunk} of ${mutations / shards} mutations\n`)
    })
})
