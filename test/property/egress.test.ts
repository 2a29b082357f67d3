import { assert, describe, it } from "@effect/vitest"
import { fuzz, memoryWire, socketWire, type Tally } from "./egress.ts"

/** The deep tests take a million others. */
const calls = 5_000
const overSockets = 500
const chunks = 2

describe("what arrives is what was decided", () => {
  const total: Tally = new Map()

  for (let chunk = 0; chunk < chunks; chunk++) {
    const size = (calls - overSockets) / chunks
    it(`in random calls, part ${chunk + 1}`, { timeout: 300_000 }, () =>
      fuzz(chunk * size, (chunk + 1) * size, memoryWire, total)
    )
  }

  it("in random calls over a socket", { timeout: 300_000 }, () =>
    fuzz(500_000, 500_000 + overSockets, socketWire, total)
  )

  it("and these were sent, edited, refused, passed, retried, decided again and failed", () => {
    const rare = ["sent", "edited", "nothing", "passed", "retried", "decided again", "failed"].filter(
      (what) => (total.get(what) ?? 0) < calls / 1000
    )
    assert.deepStrictEqual(rare, [], JSON.stringify([...total]))
  })
})
