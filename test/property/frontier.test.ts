/** A frontier that was saved and restored goes on as the one that was never saved. */
import * as Result from "effect/Result"
import { assert, describe, it } from "vitest"
import { chanceOf } from "../audit/faults.ts"
import { Frontier, hashLength, leafHash } from "../../src/audit/proof/MerkleTree.ts"

const leaves = Array.from({ length: 600 }, (_, i) => leafHash(`leaf ${i}`))

const grown = (size: number, from = new Frontier()): Frontier => {
  for (const leaf of leaves.slice(from.size, size)) from.append(leaf)
  return from
}

const restored = (bytes: Uint8Array): Frontier =>
  Result.getOrThrowWith(Frontier.restore(bytes), (fault) => new Error(fault))

describe("a frontier", () => {
  it("is saved and restored at any size, and again later, without a difference to a fresh tree", () => {
    const chance = chanceOf(15)
    for (let round = 0; round < 300; round++) {
      const sizes = Array.from({ length: 1 + (round % 5) }, () => Math.floor(chance.next() * leaves.length))
      let frontier = new Frontier()
      for (const size of sizes.toSorted((a, b) => a - b)) {
        grown(size, frontier)
        const saved = frontier.save()
        const before = Buffer.from(saved)
        frontier = restored(saved)
        const fresh = grown(size)
        assert.strictEqual(frontier.size, size)
        assert.deepStrictEqual(frontier.save(), fresh.save())
        // What was saved is a copy: a later change of the bytes, or another frontier from them, changes nothing.
        saved.fill(0)
        grown(size + 1, restored(before))
        assert.deepStrictEqual([...frontier.root()], [...fresh.root()], sizes.join())
      }
    }
  })

  it("is refused, with the lengths, where a byte is missing or too many, at every size up to 70", () => {
    for (let size = 0; size <= 70; size++) {
      const saved = grown(size).save()
      const count = size.toString(2).replaceAll("0", "").length
      assert.strictEqual(saved.length, 8 + hashLength * count)
      for (const wrong of [
        saved.subarray(0, -1),
        Buffer.concat([saved, Uint8Array.of(0)]),
        saved.subarray(0, 7),
        saved.subarray(0, -hashLength)
      ]) {
        const refused = Frontier.restore(wrong)
        assert.isTrue(Result.isFailure(refused), `${size}: ${wrong.length} bytes`)
        assert.match(Result.isFailure(refused) ? refused.failure : "", new RegExp(`this has ${wrong.length}$`))
      }
    }
  })

  it("is refused where its size is no number of leaves, or is another one than its roots are of", () => {
    const saved = Buffer.from(grown(5).save())
    const of = (size: bigint) => {
      const bytes = Buffer.from(saved)
      bytes.writeBigUInt64BE(size)
      return Frontier.restore(bytes)
    }
    for (const size of [2n ** 53n, 2n ** 64n - 1n, 4n, 7n, 0n]) assert.isTrue(Result.isFailure(of(size)), String(size))
    assert.isTrue(Result.isSuccess(of(5n)))
  })
})
