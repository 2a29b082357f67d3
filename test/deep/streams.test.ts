import { describe, expect, it } from "vitest"
import { soak } from "../e2e/streamSoak.ts"
import { shard, shards } from "./shard.ts"

const streams = 50_000

describe(`streams leave nothing behind, shard ${shard + 1} of ${shards}`, () => {
  it(`after ${streams / shards} of them, ended in every way`, async () => {
    const report = await soak({ streams: streams / shards, seed: 1000 + shard })
    process.stdout.write(
      `shard ${shard + 1}: heap grew by ${(report.growth / 2 ** 20).toFixed(1)} MB from a fifth of the way on, ${JSON.stringify(Object.fromEntries(report.ways))}\n`
    )
    expect(report.wrong).toEqual([])
    expect(report.left).toEqual({ connections: 0, exchanges: 0, turns: 0, streams: 0, fibers: 0, open: 0 })
    expect(report.growth).toBeLessThan(8 * 1024 * 1024)
  })
})
