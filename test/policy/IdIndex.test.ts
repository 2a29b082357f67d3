import { assert, describe, it } from "@effect/vitest"
import { hash, IdIndex } from "../../src/policy/IdIndex.ts"
import { Random } from "./random.ts"

describe("an index of ids", () => {
  it("numbers each id once, and knows it before and after it is sealed", () => {
    const index = new IdIndex()
    const ids = Array.from({ length: 5000 }, (_, number) => `user:${"ü".repeat(number % 3)}${number * 7919}`)
    const check = () => {
      assert.deepStrictEqual([...index.ids()], ids)
      assert.deepStrictEqual(
        ids.map((id) => index.number(id)),
        ids.map((_, number) => number)
      )
      for (const absent of ["", "user:", `${ids[7]}x`, "user:x"]) assert.strictEqual(index.number(absent), -1)
    }
    for (const round of ["new", "known"])
      ids.forEach((id, number) => assert.strictEqual(index.add(id), number, `${round} ${id}`))
    check()
    index.seal()
    check()
    assert.strictEqual(index.size, ids.length)
  })

  it("keeps ids apart that have the same hash, as some of 200,000 have in 32 bits", () => {
    const index = new IdIndex()
    const random = new Random(1)
    const many = Array.from({ length: 200_000 }, (_, number) => `user:${random.next()}${number}`)
    assert.isBelow(new Set(many.map(hash)).size, many.length)
    assert.isTrue(many.every((id, number) => index.add(id) === number))
    assert.isTrue(many.every((id, number) => index.number(id) === number))
  })

  it("that is empty knows nothing", () => {
    assert.strictEqual(new IdIndex().seal().number("x"), -1)
  })
})
