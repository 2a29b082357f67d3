/**
 * The log in memory: the same records, tree and checkpoints as in a folder, and nothing that outlives the process. It gives a record
 * its place only when the record's group is taken in, as a store that several processes share does.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { newId } from "../base/Id.ts"
import type { EnforcementUnavailable } from "../call/Errors.ts"
import { type AnyKey, Keys } from "../keys/Keys.ts"
import { type Clock, LogClock } from "./Clock.ts"
import { keysOf, newOrigin, verifierKeys } from "./folder/NewLog.ts"
import {
  type Appended,
  type AppendedBody,
  type Boot,
  type Log,
  type LogReader,
  placed,
  type Place,
  type Settled
} from "./Log.ts"
import type { LogStatus } from "./LogStatus.ts"
import { bootRecords, openingRecords, type SigningKeys } from "./OpeningRecords.ts"
import { signCheckpointBy } from "./proof/Checkpoint.ts"
import { Frontier, leafHash } from "./proof/MerkleTree.ts"
import { Quota } from "./Quota.ts"
import type { Body } from "./Record.ts"
import { encode } from "./RecordLine.ts"
import { Refusals } from "./Refusals.ts"
import { clockBehind, hindered, messageOf, unavailable, unsigned } from "./Unavailable.ts"

/** A log in memory, with the keys of the context, until the scope closes. Succeeds once its first checkpoint is signed. */
export const memoryLog: Effect.Effect<Log, EnforcementUnavailable, Keys | Scope.Scope> = Effect.gen(function* () {
  const keys = yield* Keys
  const clock = yield* LogClock
  return yield* Effect.acquireRelease(
    openMemoryLog({ key: keys.log, next: keys.nextLog, clock, opening: openingRecords(keys) }),
    (log) => Effect.promise(log.close)
  )
})

/** How a log in memory is opened. */
export interface MemoryLogOptions extends SigningKeys {
  readonly clock: Clock
  /** Records to write at once, after `log.open`. */
  readonly opening: ReadonlyArray<Body>
}

/** Opens a log in memory: at once, unless its key is held elsewhere. Fails where that cannot sign. */
export const openMemoryLog = (options: MemoryLogOptions): Effect.Effect<Log, EnforcementUnavailable> =>
  Effect.suspend(() => {
    const log = new MemoryLog(options)
    const signing = log.sign()
    return signing === undefined
      ? Effect.succeed(log)
      : Effect.as(Effect.tryPromise({ try: () => signing, catch: unsigned }), log)
  })

/** How long records may wait for a checkpoint, in ms. */
const checkpointDelay = 500
/** How long calls go on while a key signs nothing: in ms, and in records. */
const patience = { ms: 300_000, records: 100_000 }

interface Pending extends Appended {
  readonly body: AppendedBody
  readonly at: number | undefined
  place: Place | undefined
}

class MemoryLog implements Log, Boot {
  readonly path = "memory"
  readonly origin = newOrigin()
  readonly boot = newId()
  readonly closing = new Set<() => void>()
  readonly quota = new Quota()
  readonly now: () => number
  readonly refusals: Refusals
  readonly reader: LogReader
  fault: EnforcementUnavailable | undefined
  readonly #clock: Clock
  readonly #keys: ReadonlyArray<AnyKey<"log">>
  readonly #lines: Array<string> = []
  readonly #frontier = new Frontier()
  #pending: Array<Pending> = []
  #waiting: Array<Settled> = []
  #isScheduled = false
  #latest = 0
  #checkpoint = ""
  #signed: LogStatus["checkpoint"] = { size: 0 }
  /** Since when a key signs nothing, by the steady clock, and what it failed with. */
  #unsigned: { readonly since: number; readonly cause: unknown } | undefined
  #timer: NodeJS.Timeout | undefined
  #isSigning = false
  #closed: Promise<void> | undefined

  constructor({ clock, key, next, opening }: MemoryLogOptions) {
    this.#clock = clock
    this.now = clock.now
    this.#keys = keysOf({ key, next })
    this.refusals = new Refusals((body) => Result.isSuccess(this.append(body)), clock.now)
    this.reader = readerOf(this.#lines, () => this.#checkpoint, verifierKeys(this.origin, this.#keys))
    for (const body of bootRecords(this.origin, { key, next }, undefined, clock.now())) this.append(body)
    for (const body of opening) this.append(body)
    this.#takeIn()
  }

  readonly current = (): Boot => this

  readonly append = (body: AppendedBody, at?: number): Result.Result<Appended, EnforcementUnavailable> => {
    if (this.fault !== undefined) return Result.fail(this.fault)
    const appended: Pending = { body, at, place: undefined }
    this.#pending.push(appended)
    this.#schedule()
    return Result.succeed(appended)
  }

  readonly whenDurable = (settled: Settled): void => {
    if (this.fault !== undefined) return settled(this.fault)
    this.#waiting.push(settled)
    this.#schedule()
  }

  readonly blocked = (): EnforcementUnavailable | undefined => {
    const { cause, since } = this.#unsigned ?? {}
    const waiting = this.#lines.length - this.#signed.size
    return since !== undefined && (this.#clock.elapsed() - since > patience.ms || waiting > patience.records)
      ? hindered(
          "checkpoints_overdue",
          `The log in memory takes no more calls until its checkpoints are signed again. ${messageOf(cause)}`,
          cause
        )
      : clockBehind(this.#clock.now(), this.#latest, this.path)
  }

  readonly status = (): LogStatus => ({
    path: this.path,
    origin: this.origin,
    records: this.#lines.length + this.#pending.length,
    checkpoint: this.#signed,
    copies: [],
    refusal: this.fault ?? this.blocked()
  })

  readonly siblings = (): ReadonlyArray<string> => []

  readonly close = (): Promise<void> => (this.#closed ??= this.#close())

  async #close(): Promise<void> {
    for (const append of this.closing) append()
    this.refusals.end()
    this.append({ kind: "log.close" })
    this.#takeIn()
    this.fault = unavailable("The log in memory is closed.")
    clearTimeout(this.#timer)
    // The log has ended well all the same; its last records are not signed.
    await this.sign()?.catch(() => {})
  }

  /** Signs a checkpoint over all records: at once, or by a promise where a key is held elsewhere, which rejects if that cannot sign. */
  sign(): Promise<void> | undefined {
    const { size } = this.#frontier
    const text = signCheckpointBy({ origin: this.origin, size, root: this.#frontier.root() }, this.#keys)
    if (typeof text !== "string") return text.then((later) => this.#signedBy(size, later))
    this.#signedBy(size, text)
    return undefined
  }

  #signedBy(size: number, text: string): void {
    if (size < this.#signed.size) return
    this.#checkpoint = text
    this.#signed = { size, at: this.#clock.now() }
    this.#unsigned = undefined
  }

  /** Records of one moment are one group: they get their places together, in the order in which they were appended. */
  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    queueMicrotask(() => this.#takeIn())
  }

  #takeIn(): void {
    this.#isScheduled = false
    const pending = this.#pending
    const waiting = this.#waiting
    this.#pending = []
    this.#waiting = []
    try {
      for (const appended of pending) this.#place(appended)
    } catch (cause) {
      this.fault = unavailable(`The log in memory failed. ${messageOf(cause)}`, cause)
    }
    for (const settled of waiting) settled(this.fault)
    if (pending.length > 0) this.#signSoon()
  }

  #place(appended: Pending): void {
    const ts = appended.at ?? this.#clock.now()
    const seq = this.#lines.length
    const line = encode({ ...placed(appended.body), v: 1, seq, id: newId(ts), ts, boot: this.boot })
    const leaf = leafHash(line)
    this.#latest = Math.max(this.#latest, ts)
    this.#lines.push(line)
    this.#frontier.append(leaf)
    appended.place = { seq, leaf, ts }
  }

  #signSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      if (this.#isSigning || this.fault !== undefined || this.#signed.size === this.#lines.length) return
      this.#isSigning = true
      void (this.sign() ?? Promise.resolve())
        .catch((cause: unknown) => {
          this.#unsigned ??= { since: this.#clock.elapsed(), cause }
        })
        .finally(() => {
          this.#isSigning = false
          if (this.fault === undefined && this.#signed.size < this.#lines.length) this.#signSoon()
        })
    }, checkpointDelay).unref()
  }
}

/** How many lines a batch has at most. */
const batchSize = 1024

const readerOf = (lines: ReadonlyArray<string>, checkpoint: () => string, keys: string): LogReader => ({
  path: "memory",
  isThere: async () => true,
  checkpoint: async () => Result.succeed(checkpoint()),
  keys: async () => Result.succeed(keys),
  leaves: async () => Buffer.alloc(0),
  starts: async () => [0],
  records: async function* (from = 0, signal) {
    const { length } = lines
    for (let first = from; first < length && signal?.aborted !== true; first += batchSize)
      yield {
        first,
        lines: lines.slice(first, Math.min(first + batchSize, length)).map((line) => Buffer.from(line)),
        begins: first === 0 ? "memory" : undefined,
        torn: 0,
        last: true
      }
  }
})
