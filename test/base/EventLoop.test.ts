import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { AsyncLocalStorage } from "node:async_hooks"
import { makeBatch } from "../../src/base/EventLoop.ts"

describe("a batch", () => {
  it.live("does all that was asked for in one go before anything goes on", () =>
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

  it.live("does the work of each in the async context that it was asked in, and goes on there", () =>
    Effect.promise(async () => {
      const together = makeBatch()
      const user = new AsyncLocalStorage<string>()
      const seen = (name: string) =>
        user.run(name, () =>
          Effect.runPromise(
            Effect.map(
              together(() => Effect.succeed(user.getStore())),
              (inWork) => [inWork, user.getStore()]
            )
          )
        )
      assert.deepStrictEqual(await Promise.all([seen("alice"), seen("bob")]), [
        ["alice", "alice"],
        ["bob", "bob"]
      ])
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

  it("does not begin the work of one that was given up before it: nobody would see it fail", async () => {
    const together = makeBatch()
    const begun: Array<string> = []
    const work = (name: string) =>
      together(() => {
        begun.push(name)
        return Effect.succeed(name)
      })
    const given = Effect.runFork(work("given up"))
    const kept = Effect.runFork(work("kept"))
    given.interruptUnsafe()
    assert.deepStrictEqual(await Effect.runPromise(Fiber.await(kept)), Exit.succeed("kept"))
    assert.deepStrictEqual(begun, ["kept"])
  })
})
