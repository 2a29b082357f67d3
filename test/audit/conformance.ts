/**
 * What every store of the log must do. A store runs the suite with a way to make it: the log in a folder, the log in memory, and
 * whatever comes next. Stores that cannot fail or outlive their process leave out `fail` and `crash`.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { afterEach, assert, describe, it } from "vitest"
import { Audit } from "../../src/audit/Audit.ts"
import { readLines } from "../../src/audit/Lines.ts"
import type { Appended, Boot, Line, Log } from "../../src/audit/Log.ts"
import { openingRecords } from "../../src/audit/OpeningRecords.ts"
import { parseNote, parseVerifierKeys, verifyNote } from "../../src/audit/proof/Checkpoint.ts"
import { checkProof, prove } from "../../src/audit/proof/InclusionProof.ts"
import { leafHash } from "../../src/audit/proof/MerkleTree.ts"
import { verifyInLog } from "../../src/audit/proof/Receipt.ts"
import { verify } from "../../src/audit/proof/Verify.ts"
import { recordClaims } from "../../src/audit/Quota.ts"
import type { Body, ReadRecord } from "../../src/audit/Record.ts"
import type { Claim } from "../../src/call/Claim.ts"
import { EnforcementUnavailable } from "../../src/call/Errors.ts"
import { identityOf } from "../../src/call/Principal.ts"
import { type AnyKey, Keys } from "../../src/keys/Keys.ts"
import { chat, runCall } from "./calls.ts"
import { decision, outcome } from "./logs.ts"

/** How a log is opened. */
export interface OpenOptions {
  readonly key: AnyKey<"log">
  /** Records after `log.open`. */
  readonly opening: ReadonlyArray<Body>
}

/** A place for one log, empty at first. */
export interface Store {
  /** Opens the log, for the first time or again. */
  readonly open: (options: OpenOptions) => Promise<Log>
  /** From here on no write succeeds. */
  readonly fail?: () => void
  /** Writes succeed again. */
  readonly heal?: () => void
  /** Leaves the open log as a process does that is killed. */
  readonly crash?: () => void
  /** Frees what the store has. */
  readonly dispose?: () => Promise<void>
}

const keys = Effect.runPromise(Effect.provide(Effect.flatMap(Keys, Effect.succeed), Keys.layerMemory))

const durable = (log: Pick<Boot, "whenDurable">): Promise<void> =>
  new Promise((resolve, reject) => log.whenDurable((fault) => (fault === undefined ? resolve() : reject(fault))))

const append = (log: Pick<Boot, "append">, body: Parameters<Boot["append"]>[0]): Appended =>
  Result.getOrThrowWith(log.append(body), (fault) => fault)

const linesOf = (log: Log, from = 0): Promise<ReadonlyArray<Line>> => Array.fromAsync(readLines(log.reader, from))

const recordsOf = async (log: Log): Promise<ReadonlyArray<ReadRecord>> =>
  (await linesOf(log)).map(({ record }) => {
    assert.isDefined(record)
    return record
  })

const holds = async (log: Log): Promise<void> => {
  const report = await Effect.runPromise(verify({ log: log.reader }))
  assert.deepStrictEqual(report.problems, [])
}

const eventually = async (holds: () => boolean): Promise<void> => {
  for (let i = 0; i < 500 && !holds(); i++) await new Promise((resolve) => setTimeout(resolve, 10))
  assert.isTrue(holds())
}

/** Runs the suite for a store. */
export const conformance = (name: string, makeStore: () => Store): void => {
  describe(`the log in ${name}`, () => {
    let stores: Array<Store> = []
    const closing: Array<Log> = []
    afterEach(async () => {
      for (const log of closing.splice(0)) await log.close()
      for (const store of stores) await store.dispose?.()
      stores = []
    })
    const begin = async () => {
      const store = makeStore()
      stores.push(store)
      const { log: key } = await keys
      const options: OpenOptions = { key, opening: openingRecords(await keys) }
      const open = async (): Promise<Log> => {
        const log = await store.open(options)
        closing.push(log)
        return log
      }
      return { store, open, log: await open() }
    }
    const possible = makeStore()

    it("begins with log.open and the records of its opening, signed", async () => {
      const { log } = await begin()
      const records = await recordsOf(log)
      assert.deepStrictEqual(
        records.map(({ kind, seq }) => [seq, kind]),
        [
          [0, "log.open"],
          [1, "key.active"],
          [2, "key.active"]
        ]
      )
      assert.deepInclude(records[0], { origin: log.origin, boot: log.current().boot })
      await holds(log)
    })

    it("gives every record its place by the time that it is durable, in the order of appending", async () => {
      const { log } = await begin()
      const appended: Array<Appended> = []
      for (let i = 0; i < 5; i++) {
        for (let j = 0; j < 3; j++) appended.push(append(log, decision()))
        if (i % 2 === 0) await durable(log)
      }
      await durable(log)
      const lines = await linesOf(log)
      assert.deepStrictEqual(
        appended.map(({ place }) => place?.seq),
        Array.from({ length: 15 }, (_, i) => 3 + i)
      )
      for (const { place } of appended) {
        assert.isDefined(place)
        const { record, text = "" } = lines[place.seq] ?? {}
        assert.deepInclude(record, { seq: place.seq, ts: place.ts })
        assert.deepStrictEqual(Buffer.from(leafHash(text)), Buffer.from(place.leaf))
      }
    })

    it("puts the index of a record that has no place yet into one that points at it", async () => {
      const { log } = await begin()
      const [one, two] = [decision(), decision()]
      const first = append(log, one)
      const second = append(log, two)
      append(log, { kind: "stream.open", call: two.call, decision: second, status: 200 })
      append(log, { kind: "stream.close", call: two.call, reason: "complete", chunks: 0, received: 0, digest: "d" })
      append(log, outcome(two.call, second))
      append(log, outcome(one.call, first))
      await durable(log)
      const pointing = (await recordsOf(log)).flatMap(({ decision }) => (decision === undefined ? [] : [decision]))
      assert.deepStrictEqual(
        pointing,
        [second, second, first].map(({ place }) => place?.seq ?? -1)
      )
      await log.close()
      await holds(log)
    })

    it("calls everyone back once who waits, in order and never within the call", async () => {
      const { log } = await begin()
      const called: Array<number> = []
      for (let i = 0; i < 20; i++) {
        append(log, decision())
        log.whenDurable((fault) => {
          assert.isUndefined(fault)
          called.push(i)
        })
        if (i === 9) assert.deepStrictEqual(called, [])
      }
      await durable(log)
      assert.deepStrictEqual(
        called,
        Array.from({ length: 20 }, (_, i) => i)
      )
      // Nothing new is durable at once, too.
      await durable(log)
      assert.lengthOf(called, 20)
    })

    it("reads from any record on, also while it is written, and stops where it is told to", async () => {
      const { log } = await begin()
      for (let i = 0; i < 40; i++) append(log, decision())
      await durable(log)
      const all = await linesOf(log)
      assert.deepStrictEqual(
        all.map(({ index, record }) => [index, record?.seq]),
        all.map((_, i) => [i, i])
      )
      for (const from of [1, 7, 42, 43, 1000]) assert.deepStrictEqual(await linesOf(log, from), all.slice(from))
      for (const start of await log.reader.starts()) assert.deepStrictEqual((await linesOf(log, start))[0], all[start])
      append(log, decision())
      await durable(log)
      const more = await linesOf(log, all.length)
      assert.deepStrictEqual([more.length, more[0]?.index], [1, all.length])
      const aborted = AbortSignal.abort()
      assert.isEmpty(await Array.fromAsync(readLines(log.reader, 0, aborted)))
    })

    it("signs a checkpoint over its records soon, by its key, and never over fewer than before", async () => {
      const { log } = await begin()
      const sizeNow = async (): Promise<number> => {
        const text = await log.reader.checkpoint()
        const vkeys = await log.reader.keys()
        assert.isDefined(text)
        assert.isDefined(vkeys)
        const note = Result.getOrThrow(parseNote(Result.getOrThrow(text)))
        assert.isTrue(verifyNote(note, Result.getOrThrow(parseVerifierKeys(Result.getOrThrow(vkeys)))))
        assert.strictEqual(note.origin, log.origin)
        return note.size
      }
      let last = await sizeNow()
      for (let i = 0; i < 2; i++) {
        append(log, decision())
        await durable(log)
        await eventually(() => log.status().checkpoint.size === log.status().records)
        const size = await sizeNow()
        assert.isAbove(size, last)
        last = size
        await holds(log)
      }
    })

    it("gives receipts that hold in the log, and proofs that hold without it", async () => {
      const { log } = await begin()
      const { agent } = await keys
      const provided = Layer.provide(Audit.layerOf(Effect.succeed(log)), Layer.succeed(Keys, await keys))
      const replies = await Effect.runPromise(
        Effect.provide(
          Effect.flatMap(Audit, (audit) =>
            Effect.all(
              Array.from({ length: 6 }, () => runCall(audit, chat(), undefined, { kid: agent.kid })),
              { concurrency: 3 }
            )
          ),
          provided
        )
      )
      await log.close()
      await holds(log)
      const records = await recordsOf(log)
      const lines = await linesOf(log)
      const vkeys = Result.getOrThrow(
        parseVerifierKeys(Result.getOrThrow((await log.reader.keys()) ?? Result.fail("")))
      )
      for (const { meta } of replies) {
        const { receipt } = meta
        assert.isDefined(receipt)
        assert.deepInclude(verifyInLog(receipt.jws, records), { valid: true })
        const proof = await Effect.runPromise(prove(log.reader, receipt.index))
        const proven = checkProof(proof, Buffer.from(lines[receipt.index]?.text ?? ""), vkeys)
        assert.isTrue(Result.isSuccess(proven))
      }
      assert.lengthOf(new Set(replies.map(({ meta }) => meta.receipt?.index)), 6)
    })

    it("counts its records, and what it signed, in its status", async () => {
      const { log } = await begin()
      append(log, decision())
      assert.deepInclude(log.status(), { origin: log.origin, path: log.path, records: 4, refusal: undefined })
      assert.isUndefined(log.blocked())
      assert.deepStrictEqual(log.siblings(), [])
    })

    it("writes the refusals that it counts, as one record", async () => {
      const { log } = await begin()
      for (let i = 0; i < 7; i++) log.refusals.add({ code: "signature" })
      log.refusals.write()
      await durable(log)
      assert.deepInclude((await recordsOf(log)).at(-1), { kind: "refused.many", count: 7 })
    })

    it("counts claims with the records that they stand in, and again after it was opened anew", async () => {
      const { log, open, store } = await begin()
      const caller = identityOf({ kind: "user", id: "alice" })
      const wanted: ReadonlyArray<Claim> = [
        { unit: "calls", policy: "user:alice", counter: "user:alice", caller, amount: 1, limit: 2, window: 60_000 }
      ]
      const claimed = (to: Log): boolean => {
        const boot = to.current()
        const at = boot.now()
        const holds = "settle" in boot.quota.reserve(wanted, at)
        if (holds) Result.getOrThrow(boot.append({ ...decision(), claims: recordClaims(wanted) }, at))
        return holds
      }
      assert.deepStrictEqual([claimed(log), claimed(log), claimed(log)], [true, true, false])
      await durable(log)
      const times = (await recordsOf(log)).filter(({ kind }) => kind === "decision").map(({ ts }) => ts)
      assert.lengthOf(times, 2)
      if (store.crash === undefined) return
      store.crash()
      assert.isFalse(claimed(await open()))
    })

    it("closes once: what must still be recorded comes before log.close, and nothing after it", async () => {
      const { log } = await begin()
      const body = decision()
      const decided = append(log, body)
      let called = 0
      log.closing.add(() => {
        called++
        append(log, outcome(body.call, decided))
      })
      log.refusals.add({ code: "signature" })
      await Promise.all([log.close(), log.close()])
      await log.close()
      assert.strictEqual(called, 1)
      const refused = log.append(decision())
      assert.isTrue(Result.isFailure(refused) && refused.failure instanceof EnforcementUnavailable)
      assert.instanceOf(await durable(log).catch((fault: unknown) => fault), EnforcementUnavailable)
      const kinds = (await recordsOf(log)).map(({ kind }) => kind)
      assert.deepStrictEqual(kinds.slice(3), ["decision", "outcome", "refused.many", "log.close"])
      const report = await Effect.runPromise(verify({ log: log.reader }))
      assert.deepInclude(report, { ok: true, open: 0, unsigned: 0, records: 7 })
    })

    it.skipIf(possible.fail === undefined)(
      "refuses while it cannot be written, keeps what was acknowledged, and goes on with a new boot",
      async () => {
        const { log, store } = await begin()
        const kept = append(log, decision("kept"))
        await durable(log)
        const before = log.current()
        store.fail?.()
        append(log, decision("lost"))
        const fault = await durable(log).catch((error: unknown) => error)
        assert.instanceOf(fault, EnforcementUnavailable)
        assert.strictEqual(before.fault, fault)
        assert.isTrue(Result.isFailure(before.append(decision())))
        assert.strictEqual(log.status().refusal, fault)
        store.heal?.()
        await eventually(() => log.current().fault === undefined)
        assert.notStrictEqual(log.current().boot, before.boot)
        // Whatever belongs to a call of the boot that failed is not taken in any more: its end is recorded.
        assert.isTrue(Result.isFailure(before.append(outcome("kept", kept))))
        append(log, decision("later"))
        await durable(log)
        const records = await recordsOf(log)
        assert.deepInclude(records[kept.place?.seq ?? -1], { kind: "decision", call: "kept" })
        const ends = records.filter(({ kind, result }) => kind === "outcome" && result === "unknown")
        assert.include(
          ends.map(({ call }) => call),
          "kept"
        )
        assert.isTrue(records.some(({ kind, previous }) => kind === "log.recovered" && previous === before.boot))
        await holds(log)
      }
    )

    it.skipIf(possible.crash === undefined)(
      "is recovered after a crash: open calls end as unknown, once, and acknowledged records keep their places",
      async () => {
        const { log, open, store } = await begin()
        const [closed, left] = [decision(), decision()]
        append(log, outcome(closed.call, append(log, closed)))
        const kept = append(log, left)
        await durable(log)
        const lines = await linesOf(log)
        store.crash?.()
        const again = await open()
        assert.strictEqual(again.origin, log.origin)
        await durable(again)
        const after = await linesOf(again)
        assert.deepStrictEqual(after.slice(0, lines.length), lines)
        const ends = after.flatMap(({ record }) => (record?.["result"] === "unknown" ? [record] : []))
        assert.deepStrictEqual(
          ends.map(({ boot, call, decision }) => [boot, call, decision]),
          [[again.current().boot, left.call, kept.place?.seq]]
        )
        await holds(again)
        store.crash?.()
        const third = await open()
        assert.lengthOf(
          (await recordsOf(third)).filter(({ result }) => result === "unknown"),
          1
        )
        await holds(third)
      }
    )
  })
}
