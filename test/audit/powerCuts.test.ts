import { assert, describe, it } from "@effect/vitest"
import { powerCuts } from "./powerCuts.ts"

describe("a power cut", () => {
  it("at any moment loses nothing that was acknowledged", { timeout: 120_000 }, async () => {
    const { states, wrong } = await powerCuts(1500, 1)
    assert.deepStrictEqual(wrong.slice(0, 10), [])
    assert.isAtLeast(states, 1500)
  })
})
