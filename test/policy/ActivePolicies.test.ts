import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { open } from "../../src/policy/ActivePolicies.ts"
import { empty } from "../../src/policy/PolicySet.ts"

let folder = ""
beforeEach(() => {
  folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "active-"))
})
afterEach(() => Fs.rmSync(folder, { recursive: true, force: true }))

const write = (text: string): void => Fs.writeFileSync(Path.join(folder, "a.json"), text)

const alice = JSON.stringify({ policy_id: "user:alice" })
const bob = JSON.stringify({ policy_id: "user:bob" })

describe("the set in force", () => {
  it.effect("is the empty one without a source", () =>
    Effect.gen(function* () {
      const active = yield* open(undefined, (set) => set)
      assert.isUndefined(active.current())
      assert.deepStrictEqual(active.status(), { revision: empty.revision, count: 0, loadedAt: 0 })
    })
  )

  it.effect("is replaced once a candidate is activated, and not before", () =>
    Effect.gen(function* () {
      write(alice)
      const active = yield* open(folder, (set) => [...(set?.ids() ?? [])])
      write(bob)
      const candidate = yield* active.prepare
      assert.deepStrictEqual(active.current(), ["user:alice"])
      yield* TestClock.setTime(5)
      yield* candidate.activate
      assert.deepStrictEqual(active.current(), ["user:bob"])
      assert.deepStrictEqual(active.status(), { revision: candidate.revision, count: 1, loadedAt: 5 })
    })
  )

  it.effect("stays where a change does not load, and its status says why until the files are right again", () =>
    Effect.gen(function* () {
      write(alice)
      const active = yield* open(folder, (set) => [...(set?.ids() ?? [])])
      const before = active.status()
      write("{")
      yield* TestClock.setTime(7)
      const { message } = yield* Effect.flip(active.prepare)
      assert.deepStrictEqual(active.current(), ["user:alice"])
      assert.deepStrictEqual(active.status(), { ...before, rejected: { reason: message, at: 7 } })
      write(alice)
      yield* active.prepare
      assert.deepStrictEqual(active.status(), before)
    })
  )

  it.effect("stays where the candidate is rejected, for the reason that is given", () =>
    Effect.gen(function* () {
      write(alice)
      const active = yield* open(folder, (set) => [...(set?.ids() ?? [])])
      write(bob)
      yield* (yield* active.prepare).reject("the log is full")
      assert.deepStrictEqual(active.current(), ["user:alice"])
      assert.strictEqual(active.status().rejected?.reason, "the log is full")
    })
  )
})
