/**
 * The journal: the log in a folder, open in this process, boot after boot. A write that fails ends a boot (see `Writer.ts`); the
 * log is then opened anew by recovery, under the same lock, as soon as it can be written again. Until then every call is refused.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Path from "node:path"
import { newId } from "../../base/Id.ts"
import { EnforcementUnavailable } from "../../call/Errors.ts"
import { systemClock } from "../Clock.ts"
import type { Log } from "../Log.ts"
import type { LogStatus } from "../LogStatus.ts"
import { Refusals } from "../Refusals.ts"
import { hindered, LockLost } from "../Unavailable.ts"
import type { Claimant, ClaimantOptions } from "./Claimant.ts"
import type { Copies, CopyTarget } from "./Copies.ts"
import { type FileSystem, removeDrafts } from "./Disk.ts"
import { diskReader } from "./DiskReader.ts"
import { SpaceWatch } from "./FreeSpace.ts"
import * as Lock from "./Lock.ts"
import { create, type FirstCheckpoint } from "./NewLog.ts"
import { damaged } from "./FolderFault.ts"
import { addExit, removeExit } from "./ProcessExit.ts"
import { Damaged, examine, type TreeHead } from "./Recovery.ts"
import * as Renewal from "./Renewal.ts"
import { segmentsOf } from "./Segment.ts"
import { Writer, type WriterOptions } from "./Writer.ts"

/** How a journal is opened. */
export interface JournalOptions extends Omit<WriterOptions, "signed" | "failed" | "requireHeld">, ClaimantOptions {
  /** A path that was named is this path or none; a default path gives way to a sibling where another process has it. */
  readonly named: boolean
  /** A checkpoint of an empty log, for one that is made; needed where a key is held elsewhere and cannot sign at once. */
  readonly first?: FirstCheckpoint | undefined
  /** How long a log that could not be written is left alone before it is opened anew, in ms. Default 1000. */
  readonly retryDelay?: number | undefined
  /** Where checkpoints are copied to as they are signed. */
  readonly checkpoints?: CopyTarget | undefined
  /** The other logs of the same default path, by their folders. Default: none. */
  readonly siblings?: ((path: string) => ReadonlyArray<string>) | undefined
  /** Called where the log's disk is nearly full, with what to do about it. Absent: the free space is not watched. */
  readonly warn?: ((message: string) => void) | undefined
}

/** The log in a folder, open for writing. */
export interface Journal extends Log {
  readonly current: () => Writer
  /** Settles once a checkpoint of this process is signed, and rejects where the key cannot sign; undefined where one was at once. */
  readonly signed: Promise<void> | undefined
}

/** How long a log that could not be written is left alone, in ms. */
const retryDelay = 1000
/** A log that cannot be opened anew is tried again after so many times as long as the last attempt took. */
const patience = 20

/** Opens the log whose lock was taken. Throws what the disk throws, and {@link Damaged}; the lock is given back then. */
export const start = (options: JournalOptions, taken: Lock.Lock, claimant: Claimant, copies: Copies): Journal => {
  const { clock = systemClock, disk, path } = options
  const { elapsed } = clock
  if (options.checkpoints !== undefined) copies.add(options.checkpoints)
  const delay = options.retryDelay ?? retryDelay
  let lock = taken
  let retryAt = 0
  /** True once the log is damaged: it is not opened anew. */
  let isFinal = false
  let isTaking = false
  let closed = false
  const closing = new Set<() => void>()

  const requireHeld = (): void => {
    if (!lock.isHeld()) throw lost(options, lock)
  }

  const boot = (id: string, known?: TreeHead): { readonly writer: Writer; readonly origin: string } => {
    const folders = [path, Path.join(path, "journal")] as const
    for (const folder of folders) {
      removeDrafts(disk, folder)
      Effect.runSync(Renewal.restore(Renewal.folderOn(disk, folder)))
    }
    Effect.runSync(lock.renew(Effect.sync(() => renewFiles(disk, ...folders))))
    const found = examine(disk, path, options.key.publicKey, known) ?? create(options)
    const writer = new Writer(
      {
        ...options,
        requireHeld,
        signed: (note, last) => copies.offer(note, last),
        failed: () => void (retryAt = elapsed() + delay)
      },
      id,
      found
    )
    return { writer, origin: found.origin }
  }

  const first = (() => {
    try {
      return boot(lock.boot)
    } catch (error) {
      releaseQuietly(lock)
      throw error
    }
  })()
  const { warn } = options
  const space = warn && new SpaceWatch(disk, path, ({ free, total }) => warn(spaceWarning(path, free, total)), elapsed)
  let wasFull = false
  space?.look()
  let { writer } = first
  let known = writer.head

  /** Takes the lock again, which another had in the meantime: at once, or before the next call. */
  const takeAgain = (): void => {
    isTaking = true
    releaseQuietly(lock)
    Effect.runFork(claimant.take(path)).addObserver((exit) => {
      isTaking = false
      if (Exit.isFailure(exit) || exit.value._tag === "Held") return
      lock = exit.value
      if (closed) releaseQuietly(lock)
    })
  }

  /** The boot that takes records in; one that failed is followed by another, once it is time and nothing of it is under way. */
  const current = (): Writer => {
    space?.look()
    const failed = writer.fault
    if (failed === undefined || closed || isFinal || isTaking || elapsed() < retryAt || !writer.isIdle) return writer
    const began = elapsed()
    known = writer.head
    try {
      if (!lock.isHeld()) takeAgain()
      requireHeld()
      const next = boot(newId(), known).writer
      writer.release()
      writer = next
    } catch (error) {
      isFinal = error instanceof Damaged
      retryAt = elapsed() + Math.max(delay, patience * (elapsed() - began))
      writer.refuse(
        error instanceof Damaged ? damaged(path, error) : error instanceof EnforcementUnavailable ? error : failed
      )
    }
    return writer
  }

  const refusals = new Refusals((body) => {
    const taking = current()
    if (Result.isFailure(taking.append(body))) return false
    taking.whenDurable(() => {})
    return true
  }, clock.now)

  const blocked = (): EnforcementUnavailable | undefined => copies.overdue() ?? current().blocked

  const status = (): LogStatus => {
    const refusal = writer.fault ?? copies.overdue() ?? writer.blocked
    // A full disk is asked anew: a figure from before the write that failed would contradict it.
    const isFull = refusal?.reason === "disk_full"
    if (isFull && !wasFull) space?.lookAnew()
    else space?.look()
    wasFull = isFull
    return {
      path,
      origin: first.origin,
      ...writer.progress,
      copies: copies.status,
      refusal,
      ...(space?.known !== undefined && { disk: space.known })
    }
  }

  const sayLast = (): void => {
    for (const say of closing) say()
    refusals.end()
    closed = true
  }

  const letGo = (): void => {
    releaseQuietly(lock)
    removeExit(exit)
  }

  const exit = (): void => {
    if (closed) return
    sayLast()
    writer.exit()
    letGo()
  }
  addExit(exit)

  return {
    path,
    origin: first.origin,
    current,
    append: (body) => current().append(body),
    whenDurable: (settled) => current().whenDurable(settled),
    blocked,
    status,
    siblings: () => options.siblings?.(path) ?? [],
    signed: first.writer.signed,
    refusals,
    closing,
    reader: diskReader(disk, path),
    close: async () => {
      if (closed) return
      lock.closing()
      sayLast()
      await writer.close()
      letGo()
      await copies.settled()
    }
  }
}

const mebibytes = (bytes: number): string => (bytes / 1024 / 1024).toFixed(bytes < 10 * 1024 * 1024 ? 1 : 0)

const spaceWarning = (path: string, free: number, total: number): string =>
  `The disk of the log at ${path} has ${mebibytes(free)} MiB left of ${mebibytes(total)}. Make space on it: once it is full, every call is refused.`

/** Gives the lock back; one that cannot be removed names a process that is gone soon. */
const releaseQuietly = (lock: Lock.Lock): void => {
  try {
    Effect.runSync(lock.release)
  } catch {
    // The disk's failure is told by what failed before.
  }
}

const lost = ({ disk, path }: JournalOptions, lock: Lock.Lock): EnforcementUnavailable => {
  const holder = Effect.runSync(lock.holder)
  const message =
    holder === undefined
      ? `The log at ${path} has lost its lock`
      : `The log at ${path} was taken over by ${Lock.describe(holder, Lock.placeOf(disk))}`
  return hindered(
    "held",
    `${message}, and this process writes to it no more. It takes the log again once that is free.`,
    new LockLost(message)
  )
}

/** Gives the files that are written to new inodes: the newest segment, and the leaf hashes. */
const renewFiles = (disk: FileSystem, path: string, journal: string): void => {
  const last = segmentsOf(disk.list(journal)).at(-1)
  const files = [
    ...(disk.list(path).includes("leaves") ? [[path, "leaves"] as const] : []),
    ...(last === undefined ? [] : [[journal, last.name] as const])
  ]
  for (const [folder, name] of files)
    if (!Effect.runSync(Renewal.renew(Renewal.folderOn(disk, folder), name)))
      throw new Error(`another process took its ${name} at the same time`)
}
