import { expect, it } from "vitest"
import { powerCuts } from "../audit/powerCuts.ts"
import { shard, shards } from "./shard.ts"

const states = 200_000

it(`${states} power cuts lose nothing that was acknowledged, shard ${shard + 1} of ${shards}`, async () => {
  const report = await powerCuts(states / shards, 1_000_000 * (shard + 1))
  process.stdout.write(`shard ${shard + 1}: ${report.states} states of the disk after a power cut\n`)
  expect(report.wrong).toEqual([])
})
