import { expect, it } from "vitest"
import { killWriters } from "../audit/kills.ts"
import { shard, shards } from "./shard.ts"

const kills = Number(process.env["KILLS"] ?? 10_000)

it(`${kills} kills lose nothing that was acknowledged, shard ${shard + 1} of ${shards}`, async () => {
  const report = await killWriters(Math.ceil(kills / shards), 1000 + shard)
  process.stdout.write(`shard ${shard + 1}: ${JSON.stringify(report)}\n`)
  expect(report.kills).toBe(Math.ceil(kills / shards))
  expect(report.acknowledged).toBeGreaterThan(report.kills)
})
