import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as Replay from "../../src/signing/Replay.ts"

const start = 1_800_000_000_000
const used = (jti: string, at = start, iss = "agent-1"): Replay.Used => ({
  iss,
  jti,
  iat: Math.floor(at / 1000),
  exp: Math.floor(at / 1000) + 60
})

describe("makeMemory", () => {
  it("says first once, and again ever after while the envelope is good", () => {
    const memory = Replay.makeMemory(10, start)
    assert.strictEqual(memory.use(used("a"), start), "first")
    for (let at = 0; at < 90_000; at += 500) assert.strictEqual(memory.use(used("a"), start + at), "again")
  })

  it("remembers across a rotation for as long as an envelope can be good", () => {
    for (let first = 0; first < 180_000; first += 7_000) {
      const memory = Replay.makeMemory(1000, start)
      for (let at = 0; at < first; at += 1000) memory.use(used(`x${at}`, start + at), start + at)
      // Issued 30 s ahead of this clock, it is good for 90 s.
      const envelope = used("a", start + first + 30_000)
      assert.strictEqual(memory.use(envelope, start + first), "first")
      for (let at = 0; at < 90_000; at += 3_000)
        assert.strictEqual(memory.use(envelope, start + first + at), "again", `${first} + ${at}`)
    }
  })

  it("tells agents apart", () => {
    const memory = Replay.makeMemory(10, start)
    assert.strictEqual(memory.use(used("a"), start), "first")
    assert.strictEqual(memory.use(used("a", start, "agent-2"), start), "first")
  })

  it("refuses when it is full, and makes room with time", () => {
    const memory = Replay.makeMemory(3, start)
    for (const jti of ["a", "b", "c"]) assert.strictEqual(memory.use(used(jti), start), "first")
    assert.strictEqual(memory.use(used("d"), start), "full")
    assert.strictEqual(memory.use(used("a"), start), "again")
    const later = start + 100_000
    assert.strictEqual(memory.use(used("e", later), later), "full")
    const muchLater = start + 200_000
    assert.strictEqual(memory.use(used("f", muchLater), muchLater), "first")
    // After a silence nothing is kept at all.
    const idle = Replay.makeMemory(1, start)
    assert.strictEqual(idle.use(used("a"), start), "first")
    assert.strictEqual(idle.use(used("b", muchLater), muchLater), "first")
  })

  it("refuses what was issued before it began to remember", () => {
    const memory = Replay.makeMemory(10, start)
    assert.strictEqual(memory.use(used("a", start - 1000), start), "again")
    assert.strictEqual(memory.use(used("a", start), start), "first")
  })

  it("refuses what it would have to remember for too long", () => {
    const memory = Replay.makeMemory(10, start)
    assert.strictEqual(memory.use({ ...used("a"), exp: start / 1000 + 91 }, start), "full")
  })

  it("does not forget when the clock goes back", () => {
    const memory = Replay.makeMemory(10, start)
    const at = start + 50_000
    assert.strictEqual(memory.use(used("a", at), at), "first")
    assert.strictEqual(memory.use(used("a", at), at - 40_000), "again")
  })
})

describe("Replay.layerMemory", () => {
  it.effect("fences off what was made before it, by the clock of the program", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(start)
      yield* Effect.gen(function* () {
        const replay = yield* Replay.Replay
        assert.isFalse(yield* replay.use(used("a", start - 5000)))
        assert.isTrue(yield* replay.use(used("b")))
        assert.isFalse(yield* replay.use(used("b")))
        const error = yield* Effect.flip(replay.use({ ...used("c"), exp: start }))
        assert.strictEqual(error.stage, "signing")
      }).pipe(Effect.provide(Replay.Replay.layerMemory))
    })
  )
})
