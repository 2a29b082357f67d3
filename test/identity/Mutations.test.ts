import { assert, it } from "@effect/vitest"
import { mutate } from "./mutations.ts"

it("accepts none of 20,000 single-byte mutations of valid tokens", { timeout: 180_000 }, async () => {
  const { faults, reasons } = await mutate(20_000, 1)
  assert.deepStrictEqual(faults, [])
  assert.strictEqual(
    [...reasons.values()].reduce((sum, n) => sum + n, 0),
    20_000
  )
  // Many pass the gate and are refused by the signature alone.
  assert.isAbove(reasons.get("signature") ?? 0, 4_000)
  assert.isAbove(reasons.get("malformed") ?? 0, 4_000)
})
