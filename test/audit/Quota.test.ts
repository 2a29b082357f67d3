import { assert, describe, it } from "@effect/vitest"
import { systemClock } from "../../src/audit/Clock.ts"
import { memoryFileSystem } from "../../src/audit/folder/Disk.ts"
import type { Journal } from "../../src/audit/folder/Journal.ts"
import { claimLifetime, Quota, recordClaims } from "../../src/audit/Quota.ts"
import type { ReadRecord } from "../../src/audit/Record.ts"
import type { Claim } from "../../src/call/Claim.ts"
import { identityOf, type Principal } from "../../src/call/Principal.ts"
import { decision, durable, openLog } from "./logs.ts"
import { Random } from "../policy/random.ts"

const minute = 60_000

const principal = (id: string): Pick<Principal, "id" | "kind" | "issuer" | "subject"> =>
  id === "ana" ? { kind: "user", id, issuer: "https://a.example", subject: "ana-1" } : { kind: "app", id }

interface Claiming {
  readonly amount?: number
  readonly caller?: string
  readonly counter?: string
  readonly policy?: string
}

const claim = (
  limit: number,
  { amount = 1, caller = "ana", counter = "company:Acme", policy = counter }: Claiming = {}
): Claim => ({
  policy,
  counter,
  caller: identityOf(principal(caller)),
  unit: "calls",
  amount,
  limit,
  window: minute
})

const holds = (quota: Quota, wanted: ReadonlyArray<Claim>, at: number): boolean => "settle" in quota.reserve(wanted, at)
const spent = (quota: Quota, wanted: ReadonlyArray<Claim>, at: number) => {
  const found = quota.reserve(wanted, at)
  return "settle" in found ? [] : found.map(({ claim: { counter }, retryAfter }) => [counter, retryAfter])
}

describe("a claim", () => {
  it("holds where, with what was claimed within the window, it comes to the limit at most", () => {
    const quota = new Quota()
    assert.deepStrictEqual(
      [0, 1000, 1000, 59_999, 60_000, 60_000, 60_999, 61_000].map((at) => holds(quota, [claim(3)], at)),
      [true, true, true, false, true, false, false, true]
    )
  })

  it("that does not hold says after which time it does, and then it does", () => {
    const quota = new Quota()
    for (const at of [0, 500, 40_000]) assert.isTrue(holds(quota, [claim(3)], at))
    assert.deepStrictEqual(spent(quota, [claim(3)], 50_000), [["company:Acme", 10_000]])
    assert.deepStrictEqual(spent(quota, [claim(3, { amount: 2 })], 50_000), [["company:Acme", 10_500]])
    assert.isFalse(holds(quota, [claim(3)], 59_999))
    assert.isTrue(holds(quota, [claim(3)], 60_000))
  })

  it("beyond the whole limit never holds", () => {
    assert.deepStrictEqual(spent(new Quota(), [claim(3, { amount: 4 })], 5), [["company:Acme", minute]])
  })

  it("is made with all others, or none of them is", () => {
    const quota = new Quota()
    const both = [claim(1, { counter: "user:ana" }), claim(5)]
    assert.isTrue(holds(quota, both, 0))
    for (let i = 0; i < 3; i++) assert.deepStrictEqual(spent(quota, both, 1), [["user:ana", 59_999]])
    for (let i = 0; i < 4; i++) assert.isTrue(holds(quota, [claim(5)], 2))
    assert.isFalse(holds(quota, [claim(5)], 2))
  })

  it("counts with others of the same counter in one step", () => {
    const twice = [claim(1), claim(1)]
    assert.deepStrictEqual(spent(new Quota(), twice, 0), [
      ["company:Acme", minute],
      ["company:Acme", minute]
    ])
  })

  it("is of one caller and one counter", () => {
    const quota = new Quota()
    const others = [claim(1), claim(1, { caller: "ben" }), claim(1, { counter: "team:Lab" })]
    for (const one of others) assert.isTrue(holds(quota, [one], 0))
    for (const one of others) assert.isFalse(holds(quota, [one], 0))
  })

  it("is settled by what was used, once; never settled it counts whole", () => {
    const quota = new Quota()
    const reserved = quota.reserve([claim(10, { amount: 8 })], 0)
    assert.isFalse(holds(quota, [claim(10, { amount: 3 })], 0))
    if (!("settle" in reserved)) return assert.fail()
    reserved.settle([2])
    reserved.settle([0])
    assert.isTrue(holds(quota, [claim(10, { amount: 8 })], 0))
    assert.isFalse(holds(quota, [claim(10)], 0))
  })

  it("that nothing was sent for is given back", () => {
    const quota = new Quota()
    const reserved = quota.reserve([claim(1)], 0)
    if (!("settle" in reserved)) return assert.fail()
    reserved.settle([])
    assert.isTrue(holds(quota, [claim(1)], 0))
  })
})

describe("a log", () => {
  const record = (
    seq: number,
    ts: number,
    caller: string,
    claims: ReadonlyArray<Claim>,
    observed: ReadonlyArray<Claim>
  ) => {
    const { id, issuer, kind, subject } = principal(caller)
    // As the journal has it: members that are undefined are not there.
    return JSON.parse(
      JSON.stringify({
        v: 1,
        seq,
        id: String(seq),
        boot: "b",
        ts,
        kind: "decision",
        principal: { kind, id, iss: issuer, sub: subject === id ? undefined : subject },
        claims: recordClaims(claims),
        observed: observed.length === 0 ? undefined : { claims: recordClaims(observed) }
      })
    ) as ReadRecord
  }

  /** The rule as the format's page words it, over all records that came before. */
  const naive = (records: ReadonlyArray<ReadRecord>, caller: string, wanted: Claim, at: number): boolean => {
    const { id } = principal(caller)
    let sum = wanted.amount
    for (const { claims = [], observed, principal, ts } of records as unknown as ReadonlyArray<{
      readonly ts: number
      readonly claims?: ReadonlyArray<Claim>
      readonly observed?: { readonly claims?: ReadonlyArray<Claim> }
      readonly principal: { readonly id: string }
    }>)
      if (principal.id === id && ts > at - minute)
        for (const each of [...claims, ...(observed?.claims ?? [])])
          if ((each.counter ?? each.policy) === wanted.counter) sum += each.amount
    return sum <= wanted.limit
  }

  it("gives each verdict again: by a naive reading of the records before it, and by counters made of them at any place", () => {
    let refusals = 0
    for (let seed = 1; seed <= 60; seed++) {
      const random = new Random(seed)
      const below = (n: number) => Math.floor(random.next() * n)
      const records: Array<ReadRecord> = []
      let quota = new Quota()
      let now = 1_000_000
      let latest = now
      for (let i = 0; i < 120; i++) {
        // A clock that jumps, but is never further behind the log than a log lets calls go on.
        now = Math.max(now + below(4000) - (below(10) === 0 ? below(40_000) : 0), latest - 30_000)
        latest = Math.max(latest, now)
        const caller = below(3) === 0 ? "app" : "ana"
        const wanted = [claim(1 + below(12), { caller }), claim(1 + below(8), { caller, counter: "team:Lab" })]
        const amount = 1 + below(2)
        const asked = wanted.slice(below(2)).map((each) => ({ ...each, amount }))
        const expected = asked.every((each) => naive(records, caller, each, now))
        assert.strictEqual(holds(quota, asked, now), expected, `seed ${seed}, call ${i}`)
        if (expected) {
          const isObserved = below(4) === 0
          records.push(record(i, now, caller, isObserved ? [] : asked, isObserved ? asked : []))
        } else refusals++
        // Opened anew: from all records, or from those that may still count.
        if (below(15) === 0) quota = Quota.of(records.filter(({ ts }) => below(2) === 0 || ts > latest - claimLifetime))
      }
    }
    assert.isAbove(refusals, 500)
  })

  it("is read back over its segments, as far as claims may count, where it is opened anew", async () => {
    const disk = memoryFileSystem()
    let now = Date.parse("2026-01-01T00:00:00Z")
    const open = () => openLog(disk, { clock: { ...systemClock, now: () => now }, segmentSize: 1500 })
    const wanted: ReadonlyArray<Claim> = [{ ...claim(4), caller: identityOf({ kind: "user", id: "alice" }) }]
    const call = (journal: Journal, claims: ReadonlyArray<Claim>) => {
      const writer = journal.current()
      const at = writer.now()
      const held = "settle" in writer.quota.reserve(claims, at)
      if (held) writer.append({ ...decision(), claims: recordClaims(claims) }, at)
      return held
    }
    let journal = open()
    const reopen = async () => {
      await journal.close()
      journal = open()
    }
    assert.deepStrictEqual([call(journal, wanted), call(journal, wanted)], [true, true])
    now += 50_000
    for (let i = 0; i < 20; i++) {
      call(journal, [])
      await durable(journal)
    }
    assert.isAbove(disk.list("/log/journal").length, 5)
    await reopen()
    assert.deepStrictEqual([call(journal, wanted), call(journal, wanted), call(journal, wanted)], [true, true, false])
    now += 10_000
    await reopen()
    assert.deepStrictEqual([call(journal, wanted), call(journal, wanted), call(journal, wanted)], [true, true, false])
    await journal.close()
  })

  it("of another version, or of other kinds of record, claims nothing", () => {
    const old = { ...record(0, 0, "ana", [], []), kind: "decision" }
    const quota = Quota.of([old, { ...record(1, 0, "ana", [claim(1)], []), kind: "outcome" }])
    assert.isTrue(holds(quota, [claim(1)], 0))
  })

  it("names a counter that is not the document's own", () => {
    const own = claim(2, { counter: "intent sha-256:abc", policy: "the intent policy" })
    assert.deepStrictEqual(JSON.parse(JSON.stringify(recordClaims([claim(3), own]))), [
      { amount: 1, limit: 3, per: "principal", policy: "company:Acme", unit: "calls", window: "PT1M" },
      {
        amount: 1,
        counter: "intent sha-256:abc",
        limit: 2,
        per: "principal",
        policy: "the intent policy",
        unit: "calls",
        window: "PT1M"
      }
    ])
  })

  it("takes as long for a claim with many before it as with few", () => {
    const quota = new Quota()
    // A quadratic count of these would take minutes.
    for (let i = 0; i < 300_000; i++) quota.reserve([claim(1_000_000)], 1_000_000 + Math.floor(i / 4))
    assert.isTrue(holds(quota, [claim(1_000_000)], 1_100_000))
  })
})
