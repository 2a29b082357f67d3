/** Twenty processes that are killed right behind an answer: with `flush()` no outcome is lost, without it every one is. */
import { describe, expect, it } from "vitest"
import { answerAndKill } from "../e2e/answerKills.ts"
import { kinds } from "../e2e/answerKinds.ts"
import { shard, shards } from "./shard.ts"

const names = Object.keys(kinds)
/** This shard's part of twenty. */
const mine = Array.from({ length: 20 }, (_, i) => names[i % names.length]!).filter((_, i) => i % shards === shard)

describe("a process that is killed right behind its answer", () => {
  it.each([
    [true, "complete"],
    [false, "unknown"]
  ])("each time of 20, flush %s: %s", { timeout: 600_000 }, async (flush, ending) => {
    const left: Array<unknown> = []
    for (const kind of mine) left.push([kind, ...(await answerAndKill(kind, flush))])
    expect(left).toEqual(mine.map((kind) => [kind, ending]))
  })
})
