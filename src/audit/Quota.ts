/**
 * What callers have claimed of their limits within one log. The log is the ledger: a claim stands in the record of its
 * decision, and what counts against a limit at a record is what the records before it claim, by their own times.
 *
 * A record with the time `t` counts against a claim at the time `T` where `t > T − window`. Whoever reads the log reaches the same
 * verdict for each decision (audit format §5).
 */
import type { Claim, Spent } from "../call/Claim.ts"
import { identityOf, type Principal } from "../call/Principal.ts"
import type { ReadRecord, RecordClaim } from "./Record.ts"

/** The windows of limits that claims name, in ms and as records spell them (ISO 8601). */
const windows: ReadonlyMap<number, string> = new Map([[60_000, "PT1M"]])

/** How far the log's clock may go back while calls go on, in ms: what has run out is kept so much longer. */
const tolerance = 30_000

/** How long after its time a claim may count, in ms. */
export const claimLifetime = Math.max(...windows.keys()) + tolerance

/** How many counters are kept before those that have run out are looked for. */
const many = 10_000

/** What was claimed, to be settled at most once. */
export interface Reservation {
  /** Sets what was used of each claim, in their order: nothing of what was not sent. Never settled counts as spent. */
  readonly settle: (used: ReadonlyArray<number>) => void
}

/**
 * The counters of one boot of a log.
 *
 * @category models
 */
export class Quota {
  readonly #counters = new Map<string, Counter>()
  /** The latest time at which something was claimed, in ms since 1970. */
  #latest = 0
  #kept = 0

  /** The counters as the log's records leave them, oldest first. Records from {@link claimLifetime} before now on are enough. */
  static of(records: Iterable<ReadRecord>): Quota {
    const quota = new Quota()
    for (const record of records) for (const { amount, key } of claimedBy(record)) quota.#add(key, record.ts, amount)
    return quota
  }

  /**
   * Claims all of `wanted` at a time (ms since 1970), or nothing: then it returns those that do not hold. Claims of one counter
   * count together.
   */
  reserve(wanted: ReadonlyArray<Claim>, at: number): Reservation | ReadonlyArray<Spent> {
    const spent: Array<Spent> = []
    const asked = new Map<string, number>()
    for (const { amount, caller, counter } of wanted) {
      const key = keyOf(counter, caller)
      asked.set(key, (asked.get(key) ?? 0) + amount)
    }
    for (const claim of wanted) {
      const key = keyOf(claim.counter, claim.caller)
      const amount = asked.get(key) ?? 0
      const retryAfter = amount > claim.limit ? claim.window : (this.#counters.get(key)?.wait(amount, claim, at) ?? 0)
      if (retryAfter > 0) spent.push({ claim, retryAfter })
    }
    if (spent.length > 0) return spent
    const added = wanted.map(({ amount, caller, counter }) => this.#add(keyOf(counter, caller), at, amount))
    let isSettled = false
    return {
      settle: (used) => {
        if (!isSettled) added.forEach((settle, i) => settle(used[i] ?? 0))
        isSettled = true
      }
    }
  }

  #add(key: string, at: number, amount: number): (used: number) => void {
    this.#latest = Math.max(this.#latest, at)
    const counter = this.#counters.get(key) ?? new Counter()
    this.#counters.set(key, counter)
    const settle = counter.add(at, amount, this.#latest - claimLifetime)
    this.#forget()
    return settle
  }

  /** Forgets callers whose claims have all run out, once there are twice as many counters as the last time. */
  #forget(): void {
    if (this.#counters.size < Math.max(many, this.#kept * 2)) return
    for (const [key, counter] of this.#counters)
      if (counter.latest <= this.#latest - claimLifetime) this.#counters.delete(key)
    this.#kept = this.#counters.size
  }
}

/** What was claimed within one millisecond. */
interface Slot {
  readonly at: number
  amount: number
}

/** What one principal claimed of one counter. A claim takes the same time however many came before it. */
class Counter {
  /** By time: the clock may have gone back between two claims. */
  readonly #slots: Array<Slot> = []
  /** The first slot of the window that was looked at last, and what is claimed from there on. */
  #start = 0
  #sum = 0

  /** The time of the latest slot. */
  get latest(): number {
    return this.#slots.at(-1)?.at ?? 0
  }

  /** How long, in ms, until an amount fits below a limit that it does not exceed by itself; 0 where it does. */
  wait(amount: number, { limit, window }: Pick<Claim, "limit" | "window">, at: number): number {
    this.#move(at - window)
    let over = this.#sum + amount - limit
    for (let i = this.#start; over > 0; i++) {
      const slot = this.#slots[i]
      if (slot === undefined) return window
      over -= slot.amount
      if (over <= 0) return slot.at + window - at
    }
    return 0
  }

  /** Adds an amount, forgets what came no later than `past`, and returns the way to say how much of it was used. */
  add(at: number, amount: number, past: number): (used: number) => void {
    this.#prune(past)
    let i = this.#slots.length
    while (i > 0 && this.#slots[i - 1]!.at > at) i--
    const before = this.#slots[i - 1]
    const slot = before?.at === at ? before : { at, amount: 0 }
    if (slot !== before) {
      this.#slots.splice(i, 0, slot)
      if (i < this.#start) this.#start++
    }
    this.#change(slot, amount)
    return (used) => this.#change(slot, used - amount)
  }

  #change(slot: Slot, amount: number): void {
    slot.amount += amount
    const start = this.#slots[this.#start]
    if (start !== undefined && slot.at >= start.at) this.#sum += amount
  }

  /** Has the window begin after a time. */
  #move(after: number): void {
    for (let slot; (slot = this.#slots[this.#start]) !== undefined && slot.at <= after; this.#start++)
      this.#sum -= slot.amount
    for (let slot; (slot = this.#slots[this.#start - 1]) !== undefined && slot.at > after; this.#start--)
      this.#sum += slot.amount
  }

  /** Drops the slots that no window reaches any more, half of them at a time. */
  #prune(past: number): void {
    let count = 0
    while (count < this.#start && this.#slots[count]!.at <= past) count++
    if (count <= this.#slots.length / 2) return
    this.#slots.splice(0, count)
    this.#start -= count
  }
}

const keyOf = (counter: string, caller: string): string => JSON.stringify([counter, caller])

/** Claims as a decision's record has them: `per` says that each principal has its own share. */
export const recordClaims = (claims: ReadonlyArray<Claim>): ReadonlyArray<RecordClaim> | undefined =>
  claims.length === 0
    ? undefined
    : claims.map(({ amount, counter, limit, policy, unit, window }) => ({
        amount,
        counter: counter === policy ? undefined : counter,
        limit,
        per: "principal",
        policy,
        unit,
        window: windows.get(window) ?? `PT${window / 1000}S`
      }))

/** What a record claims, those of observed policies included; nothing where it is of another kind, or of an earlier version. */
const claimedBy = (record: ReadRecord): ReadonlyArray<{ readonly key: string; readonly amount: number }> => {
  if (record.kind !== "decision") return []
  const { claims, observed, principal } = record as unknown as DecisionRecord
  const all = [...(claims ?? []), ...(observed?.claims ?? [])]
  if (all.length === 0) return []
  const { id, iss, kind, sub } = principal
  const caller = identityOf({
    kind,
    id,
    ...(iss !== undefined && { issuer: iss }),
    ...(sub !== undefined && { subject: sub })
  })
  return all.map(({ amount, counter, policy }) => ({ key: keyOf(counter ?? policy, caller), amount }))
}

interface DecisionRecord {
  readonly claims?: ReadonlyArray<RecordClaim>
  readonly observed?: { readonly claims?: ReadonlyArray<RecordClaim> }
  readonly principal: Pick<Principal, "kind" | "id"> & { readonly iss?: string; readonly sub?: string }
}
