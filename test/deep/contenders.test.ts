import { afterAll, expect, it } from "vitest"
import { Arena, contend, noNamespaces } from "../audit/contenders.ts"
import { places, schedules } from "../audit/lockModel.ts"
import { shard, shards } from "./shard.ts"

const rounds = Number(process.env["ROUNDS"] ?? 500)
const orders = Number(process.env["ORDERS"] ?? 100_000)

const arena = new Arena()
afterAll(() => arena.end())

it.skipIf(noNamespaces !== undefined)(
  `${rounds} rounds of containers on one home lose nothing, shard ${shard + 1} of ${shards}`,
  async () => {
    const report = await contend(arena, Math.ceil(rounds / shards), 1000 + shard)
    process.stdout.write(`shard ${shard + 1}: ${JSON.stringify(report)}\n`)
    expect(report.rounds).toBe(Math.ceil(rounds / shards))
    expect(report.acknowledged).toBeGreaterThan(report.rounds)
  }
)

it.each(places)(`the lock loses nothing in ${orders} orders of what its takers do, %s`, (_, kernels) => {
  const count = Math.ceil(orders / shards)
  expect(schedules(1 + shard * count, count, kernels).lost).toEqual([])
})
