import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { makeBatch } from "../src/EventLoop.ts"

describe("a batch", () => {
  it.live("does what one turn asks for in the next, all of it before anything goes on", () =>
    Effect.gen(function* () {
      const together = makeBatch()
      const seen: Array<string> = []
      const of = (name: string) =>
        Effect.map(
          together(() => {
            seen.push(`work ${name}`)
            return Effect.succeed(name)
          }),
          (result) => void seen.push(`on with ${result}`)
        )
      const both = yield* Effect.forkChild(Effect.all([of("a"), of("b")], { concurrency: "unbounded" }))
      seen.push("asked")
      yield* Fiber.join(both)
      yield* of("c")
      const inOrder = ["work a", "work b", "on with a", "on with b", "work c", "on with c"]
      assert.deepStrictEqual(seen, ["asked", ...inOrder])
    })
  )

  it.live("fails for one alone", () =>
    Effect.gen(function* () {
      const together = makeBatch()
      const thrown = together((): Effect.Effect<number> => {
        throw new Error("no")
      })
      const work = [
        together(() => Effect.succeed(1)),
        thrown,
        together(() => Effect.fail("late")),
        together(() => Effect.succeed(2))
      ]
      const exits = yield* Effect.all(
        work.map((one) => Effect.exit(one)),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(exits, [Exit.succeed(1), Exit.die(new Error("no")), Exit.fail("late"), Exit.succeed(2)])
    })
  )

  it.live("is not held up by one that was given up", () =>
    Effect.gen(function* () {
      const together = makeBatch()
      const given = yield* Effect.forkChild(together(() => Effect.succeed(1)))
      const kept = yield* Effect.forkChild(together(() => Effect.succeed(2)))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(given)
      assert.strictEqual(yield* Fiber.join(kept), 2)
    })
  )
})
