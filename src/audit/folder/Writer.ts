/**
 * One boot of a log: from its `log.open` until it is closed, or until a write fails. What clients say at one time is written
 * and synced together, acknowledged only when it is on the disk, and signed over soon after. A write that fails ends the
 * boot: a disk that failed once may say that it holds what it does not.
 */
import * as Result from "effect/Result"
import * as Path from "node:path"
import type { EnforcementUnavailable } from "../../call/Errors.ts"
import { nextTurn } from "../../base/EventLoop.ts"
import { newId } from "../../base/Id.ts"
import { type Done, type FileSystem, replace } from "./Disk.ts"
import { notWritten } from "./FolderFault.ts"
import { Group } from "./Group.ts"
import { type Clock, systemClock } from "../Clock.ts"
import { type Appended, type AppendedBody, type Boot, placed, type Settled } from "../Log.ts"
import type { LogStatus } from "../LogStatus.ts"
import { bootRecords, type SigningKeys } from "../OpeningRecords.ts"
import { leafHash } from "../proof/MerkleTree.ts"
import type { Body } from "../Record.ts"
import type { Quota } from "../Quota.ts"
import { encode } from "../RecordLine.ts"
import type { FoundLog, TreeHead } from "./Recovery.ts"
import { keysOf, verifierKeys } from "./NewLog.ts"
import { maximumText, segmentSize } from "./Segment.ts"
import { type SignedNote, SignedTree } from "./SignedTree.ts"
import { Tail } from "./Tail.ts"
import { clockBehind, unavailable } from "../Unavailable.ts"

/** What a boot is begun with. */
export interface WriterOptions extends SigningKeys {
  /** The log's folder. */
  readonly path: string
  /** How long calls go on while a key signs nothing: in ms, and in records. Default: 5 minutes, 100,000. */
  readonly unsigned?: { readonly ms: number; readonly records: number } | undefined
  readonly disk: FileSystem
  /** Throws where this process may write no more, because another has the log. */
  readonly requireHeld: () => void
  /** Records to write at once, after `log.open`. */
  readonly opening: ReadonlyArray<Body>
  /** Bytes of a segment. Default: {@link segmentSize}. */
  readonly segmentSize?: number | undefined
  /** How long a durable record may wait for a checkpoint, in ms. Default 500. */
  readonly checkpointDelay?: number | undefined
  /** Told of each checkpoint that was signed, once it is on the disk; `last` where the process may end at once after it. */
  readonly signed?: ((note: SignedNote, last: boolean) => void) | undefined
  /** Default: the system's clock. */
  readonly clock?: Clock | undefined
  /** Told when a write has failed. */
  readonly failed?: (() => void) | undefined
}

/** For how many turns of the event loop a group waits for more, as long as each brings some. */
const maximumTurns = 8
/** How long a record may wait for others to be written with, where no call waits for it, in ms. */
const writeDelay = 4
/** How long a record may wait for its sync where no call waits for it, in ms. */
const syncDelay = 80
/** How long a durable record may wait for a checkpoint, in ms, unless it is said. */
const usualCheckpointDelay = 500
/** How long calls go on while a key signs nothing, in ms and in records, unless it is said. */
const usualPatience = { ms: 300_000, records: 100_000 }

/** A boot of the log in a folder. */
export class Writer implements Boot {
  readonly boot: string
  /** What callers have claimed of their limits in this log. */
  readonly quota: Quota
  /** The log's clock, in ms since 1970: the time of a record that is appended now. */
  readonly now: () => number
  readonly #path: string
  readonly #options: WriterOptions
  readonly #tail: Tail
  readonly #tree: SignedTree
  /** Said, not yet being written. */
  #pending: Group
  #writing: Group | undefined
  /** Written, not synced: leaf hashes, and who waits for the sync. */
  #unsynced: Array<Uint8Array> = []
  #waiting: Array<Settled> = []
  /** The latest time that the log knows, in ms since 1970. */
  #latest: number
  #fault: EnforcementUnavailable | undefined
  #isClosed = false
  /** True while the journal is being written or synced. */
  #isBusy = false
  #isScheduled = false
  #mustWrite = false
  #mustSync = false
  #writeTimer: NodeJS.Timeout | undefined
  #syncTimer: NodeJS.Timeout | undefined

  /**
   * Begins a boot of a log as it was found: moves a torn tail aside, and has `log.open`, what recovery says, and `opening` on
   * the disk and signed when it returns. Throws what the disk throws.
   */
  constructor(options: WriterOptions, boot: string, found: FoundLog) {
    const { disk, path } = options
    this.boot = boot
    this.#path = path
    this.now = (options.clock ?? systemClock).now
    this.#options = options
    this.#latest = found.latest
    this.quota = found.quota
    this.#pending = new Group(found.frontier.size)
    this.#tail = new Tail(
      disk,
      Path.join(path, "journal"),
      options.segmentSize ?? segmentSize,
      found.segment,
      options.requireHeld
    )
    this.#tree = new SignedTree({
      path,
      disk,
      keys: keysOf(options),
      found,
      delay: options.checkpointDelay ?? usualCheckpointDelay,
      patience: options.unsigned ?? usualPatience,
      now: this.now,
      requireHeld: options.requireHeld,
      signed: (note, last) => options.signed?.(note, last),
      failed: (error) => this.#poison(error)
    })
    try {
      this.#open(found)
    } catch (error) {
      this.#poison(error)
      this.release()
      throw error
    }
  }

  /** Settles once a checkpoint of this boot is signed, and rejects where the key cannot sign; undefined where one is. */
  get signed(): Promise<void> | undefined {
    return this.#tree.first
  }

  /** Why nothing is taken in any more; undefined while the boot lasts. */
  get fault(): EnforcementUnavailable | undefined {
    return this.#fault
  }

  /** True where nothing of it is under way on the disk. */
  get isIdle(): boolean {
    return !this.#isBusy && this.#tree.isIdle
  }

  /** Size and root of what is on the disk. */
  get head(): TreeHead {
    return this.#tree.head
  }

  /** How many records were taken in, and the newest checkpoint. */
  get progress(): Pick<LogStatus, "records" | "checkpoint"> {
    return { records: this.#pending.next, checkpoint: this.#tree.checkpoint }
  }

  /** Why no call may begin although the log can be written: checkpoints are not signed, or the clock was set back. */
  get blocked(): EnforcementUnavailable | undefined {
    return this.#tree.overdue(this.#pending.next) ?? clockBehind(this.now(), this.#latest, this.#path)
  }

  /** Takes in a record; it is written with the next group or within 5 ms, and synced with the next or within 100 ms. */
  append(body: AppendedBody, ts = this.now()): Result.Result<Appended, EnforcementUnavailable> {
    if (this.#fault !== undefined) return Result.fail(this.#fault)
    const group = this.#pending
    const seq = group.next
    const line = encode({ ...placed(body), v: 1, seq, id: newId(ts), ts, boot: this.boot })
    const leaf = leafHash(line)
    this.#latest = Math.max(this.#latest, ts)
    group.lines.push(line)
    group.leaves.push(leaf)
    if (!this.#isBusy && !this.#isScheduled) this.#gather()
    return Result.succeed({ place: { seq, leaf, ts } })
  }

  /** Syncs everything taken in so far, then calls back. */
  whenDurable(settled: Settled): void {
    if (this.#fault !== undefined) return settled(this.#fault)
    this.#pending.settled.push(settled)
    this.#schedule()
  }

  /** From here on everything is refused, with this reason. */
  refuse(reason: EnforcementUnavailable): void {
    this.#fault = reason
    this.#stop()
    const settled = [...this.#waiting, ...this.#pending.settled]
    this.#waiting = []
    this.#pending = new Group(this.#pending.next)
    for (const done of settled) done(reason)
  }

  /** Ends well: `log.close`, and a checkpoint that covers it; waits for what is under way. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#sayLast()
    while (!this.isIdle) await new Promise((resolve) => setTimeout(resolve, 1))
    this.#finish(false)
    if (this.#fault === undefined) await this.#tree.signLast()
    this.#end()
    this.release()
  }

  /** As {@link close}, at once: for the end of the process. A write may still be under way: its file stays open. */
  exit(): void {
    if (this.#isClosed) return
    this.#sayLast()
    this.#finish(true)
    this.#end()
  }

  /** Lets go of the files of a boot that has ended and is idle. */
  release(): void {
    this.#tail.close()
    this.#tree.close()
  }

  #open(found: FoundLog): void {
    const { disk, opening, path } = this.#options
    const { crashed, open, origin, segment, torn } = found
    disk.syncFolderSync(path)
    if (segment !== undefined) this.#tail.mend(segment.name, torn, segment.unsigned)
    const vkeys = verifierKeys(origin, keysOf(this.#options))
    // Before the next checkpoint, which is signed by these.
    if (disk.read(Path.join(path, "vkey"), maximumText)?.toString("utf8") !== vkeys) replace(disk, path, "vkey", vkeys)
    const left = crashed === undefined ? undefined : { previous: crashed, dropped: torn.length, calls: open }
    for (const body of bootRecords(origin, this.#options, left, this.now())) this.append(body)
    for (const body of opening) this.append(body)
    this.#flush(false)
    this.#tree.sign()
  }

  /** Records that no call waits for (outcomes) ride on the next awaited write: at a busy time they cost no write of their own. */
  #gather(): void {
    this.#writeTimer ??= setTimeout(() => {
      this.#mustWrite = true
      this.#pump()
    }, writeDelay).unref()
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isBusy) return
    this.#isScheduled = true
    this.#collect(maximumTurns)
  }

  /**
   * What is appended in one turn of the event loop goes into one group, and while the loop is busy, and each turn brings more, that
   * too: a sync costs as much for one call as for many. A turn without a new record ends the wait.
   */
  #collect(turns: number): void {
    const { length } = this.#pending.lines
    nextTurn(() => {
      if (turns > 1 && this.#pending.lines.length > length) return this.#collect(turns - 1)
      this.#isScheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    if (this.#isBusy || this.#isClosed || this.#fault !== undefined) return
    const group = this.#pending
    const isAwaited = group.settled.length > 0 || this.#mustSync
    if (!isAwaited && !this.#mustWrite) {
      if (group.lines.length > 0) this.#gather()
      return
    }
    clearTimeout(this.#writeTimer)
    this.#writeTimer = undefined
    this.#mustWrite = false
    if (!isAwaited && group.lines.length === 0) return
    this.#pending = new Group(group.next)
    this.#waiting.push(...group.settled)
    if (group.lines.length === 0) this.#sync()
    else this.#write(group)
  }

  #write(group: Group): void {
    if (!this.#holds()) return
    this.#isBusy = true
    this.#writing = group
    this.#tail.write(
      group.bytes,
      group.first,
      this.#then(() => {
        this.#wrote()
        if (this.#waiting.length > 0 || this.#mustSync) return this.#sync()
        this.#syncTimer ??= setTimeout(() => {
          this.#syncTimer = undefined
          this.#mustSync = true
          this.#pump()
        }, syncDelay).unref()
        this.#pump()
      })
    )
  }

  #sync(): void {
    this.#isBusy = true
    this.#mustSync = false
    clearTimeout(this.#syncTimer)
    this.#syncTimer = undefined
    this.#tail.sync(
      this.#then(() => {
        // What was written while the log was another's is in no log.
        if (!this.#holds() || !this.#isWritten()) return
        this.#synced()
        const settled = this.#waiting
        this.#waiting = []
        if (this.#pending.settled.length > 0) this.#schedule()
        else this.#pump()
        for (const done of settled) done(undefined)
        this.#tree.signSoon()
      })
    )
  }

  /** False, and the end of the boot, where this process may write no more. */
  #holds(): boolean {
    try {
      this.#options.requireHeld()
      return true
    } catch (error) {
      this.#poison(error)
      return false
    }
  }

  /** False, and the end of the boot, where the segment has been moved from under its name. */
  #isWritten(): boolean {
    if (this.#tail.isThere) return true
    this.#poison(new Error("its newest segment was replaced"))
    return false
  }

  /** Goes on with `step` after a success, for as long as the boot lasts; a failure ends it. */
  #then(step: () => void): Done {
    return (error) => {
      this.#isBusy = false
      if (error !== null) return this.#poison(error)
      if (this.#isClosed || this.#fault !== undefined) return
      try {
        step()
      } catch (cause) {
        this.#isBusy = false
        this.#poison(cause)
      }
    }
  }

  #wrote(): void {
    for (const leaf of this.#writing?.leaves ?? []) this.#unsynced.push(leaf)
    this.#writing = undefined
  }

  /** What is on the disk is in the tree, and may be signed. */
  #synced(): void {
    this.#tree.add(this.#unsynced)
    this.#unsynced = []
  }

  /** Everything that was taken in is written, synced and signed when this returns. Throws what the disk throws. */
  #flush(last: boolean): void {
    this.#options.requireHeld()
    this.#tail.finishSync()
    this.#wrote()
    const group = this.#pending
    this.#pending = new Group(group.next)
    if (group.lines.length > 0) {
      this.#tail.writeSync(group.bytes, group.first)
      this.#writing = group
      this.#wrote()
    }
    this.#tail.syncSync()
    this.#options.requireHeld()
    if (!this.#tail.isThere) throw new Error("its newest segment was replaced")
    this.#synced()
    this.#tree.signSync(last)
    const settled = [...this.#waiting, ...group.settled]
    this.#waiting = []
    for (const done of settled) done(undefined)
  }

  #sayLast(): void {
    this.append({ kind: "log.close" })
    this.#isClosed = true
    this.#stop()
  }

  #finish(last: boolean): void {
    if (this.#fault !== undefined) return
    try {
      this.#flush(last)
    } catch (error) {
      this.#poison(error)
    }
  }

  #end(): void {
    this.refuse(this.#fault ?? unavailable(`The log at ${this.#path} is closed.`))
  }

  /** Nothing more is begun in the background. */
  #stop(): void {
    clearTimeout(this.#writeTimer)
    clearTimeout(this.#syncTimer)
    this.#tail.stop()
    this.#tree.stop()
  }

  #poison(error: unknown): void {
    this.#options.failed?.()
    this.refuse(this.#fault ?? notWritten(this.#path, error))
  }
}
