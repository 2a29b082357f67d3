/** A log that gives a record its place late: what is read before, and what points at a record without a place. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { assert, it } from "vitest"
import { Audit } from "../../src/audit/Audit.ts"
import { memoryLog } from "../../src/audit/MemoryLog.ts"
import { RecordOrder } from "../../src/audit/proof/RecordOrder.ts"
import type { ReadRecord } from "../../src/audit/Record.ts"
import { Keys } from "../../src/keys/Keys.ts"
import { alice, answer, chat, prepare, runCall, withLayer } from "./calls.ts"

const assertSense = (records: ReadonlyArray<ReadRecord>): void => {
  const order = new RecordOrder(undefined)
  for (const record of records) assert.isUndefined(order.take(record), JSON.stringify(record))
  assert.strictEqual(order.open, 0)
}

it("names the decision in the outcome of a call that was aborted before it was durable", () =>
  Effect.runPromise(
    withLayer(Audit.layerMemory(), (audit) =>
      Effect.gen(function* () {
        const call = chat()
        const run = audit.observe(call)(Effect.map(audit.commit(prepare(call)), () => answer()))
        const passing = audit.passThrough(
          {
            id: "call-1",
            app: "shop",
            family: "models",
            use: "passes",
            resource: "api:shop/models",
            endpoint: "GET https://host/v1/models",
            credentials: { _tag: "App" },
            intents: []
          },
          alice
        )
        for (const effect of [run, passing] as const) {
          const fiber = Effect.runFork(effect as Effect.Effect<unknown, unknown>)
          fiber.interruptUnsafe()
          yield* Fiber.await(fiber)
        }
        const records = yield* audit.records
        assert.sameMembers(
          records.flatMap(({ kind, result }) => (kind === "outcome" ? [result] : [])),
          ["aborted", "aborted"]
        )
        assertSense(records)
      })
    )
  ))

it("makes a call wait for its place although nothing waits for the disk", () =>
  Effect.runPromise(
    Effect.gen(function* () {
      const audit = yield* Audit
      const replies = yield* Effect.all(
        Array.from({ length: 4 }, () => runCall(audit, chat())),
        { concurrency: 4 }
      )
      const records = yield* audit.records
      assert.sameMembers(
        replies.map(({ meta }) => meta.receipt?.index),
        records.flatMap(({ kind, seq }) => (kind === "decision" ? [seq] : []))
      )
      assertSense(records)
    }).pipe(Effect.provide(Audit.layerOf(memoryLog, { durability: "batched" }).pipe(Layer.provide(Keys.layerMemory))))
  ))
