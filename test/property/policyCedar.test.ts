import { assert, describe, it } from "@effect/vitest"
import { compareWithCedar, setsFor } from "../policy/cedar.ts"

describe("policy", () => {
  it("decides as Cedar does, where Cedar can say the same", { timeout: 120_000 }, () => {
    const { allow, deny } = compareWithCedar(0, setsFor(500))
    assert.strictEqual(allow + deny, 500)
    assert.isAbove(Math.min(allow, deny), 100)
  })
})
