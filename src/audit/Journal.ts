/**
 * The journal: a log that is open in this process, boot after boot. A write that fails ends a boot (see `Writer.ts`); the log
 * is then opened anew by recovery, under the same lock, as soon as it can be written again. Until then every call is refused.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Crypto from "node:crypto"
import * as Path from "node:path"
import process from "node:process"
import { EnforcementUnavailable } from "../Errors.ts"
import { newId } from "../Id.ts"
import type { AnyKey } from "../Keys.ts"
import { parseVerifierKeys, signCheckpointBy } from "./Checkpoint.ts"
import { Copies, type Target } from "./Copies.ts"
import { shared } from "../Shared.ts"
import { type FileSystem, nodeFileSystem, replace } from "./Disk.ts"
import * as Lock from "./Lock.ts"
import { Frontier } from "./MerkleTree.ts"
import type { Body, ReadRecord } from "./Record.ts"
import { Damaged, examine, type Found, type Head } from "./Recovery.ts"
import { decodeLine, linesOf, maximumSegment, maximumText, recordAt, segmentsOf } from "./Segment.ts"
import { messageOf, unavailable } from "./Unavailable.ts"
import { keysOf, verifierKeys, Writer, type WriterOptions } from "./Writer.ts"

export { software } from "./Writer.ts"

/** How a journal is opened. */
export interface JournalOptions extends Omit<WriterOptions, "signed" | "failed"> {
  /** A path that was named is this path or none; a default path gives way to a sibling where another process has it. */
  readonly named: boolean
  /** A checkpoint of an empty log, for one that is made; needed where a key is held elsewhere and cannot sign at once. */
  readonly first?: { readonly origin: string; readonly note: string } | undefined
  /** How long a log that could not be written is left alone before it is opened anew, in ms. Default 1000. */
  readonly retryDelay?: number | undefined
  /** Where checkpoints are copied to as they are signed. */
  readonly checkpoints?: Target | undefined
}

/** A log that is open for writing. */
export interface Journal extends Pick<Writer, "append" | "whenDurable"> {
  readonly path: string
  readonly origin: string
  /** The boot that takes records in. What belongs to one call is told to one boot. */
  readonly current: () => Writer
  /** Why no call may begin although the log can be written: checkpoints are overdue, or the clock was set back. */
  readonly hindrance: () => EnforcementUnavailable | undefined
  /** Settles once a checkpoint of this process is signed, and rejects where the key cannot sign; undefined where one was at once. */
  readonly signed: Promise<void> | undefined
  /** Called before the log closes, to say what must still be said. */
  readonly closing: Set<() => void>
  /** Every record so far, oldest first. Throws what the disk throws. */
  readonly records: () => ReadonlyArray<ReadRecord>
  /** Ends well: `log.close`, a checkpoint that covers it, the lock given back. */
  readonly close: () => Promise<void>
}

/** How long a log that could not be written is left alone, in ms. */
const retryDelay = 1000
/** A log that cannot be opened anew is tried again after so many times as long as the last attempt took. */
const patience = 20
/** How many siblings of a default path are tried. */
const maximumSiblings = 64

/**
 * Opens a log, made where there is none, and holds it for this process. Throws {@link EnforcementUnavailable} with what to
 * do about it.
 */
export const open = (options: JournalOptions): Journal => hold(options, new Copies())

const hold = (options: JournalOptions, copies: Copies): Journal => {
  let folder = options.path
  try {
    const holder = newId()
    let other: Lock.Holder | undefined
    for (let n = 1; n <= (options.named ? 1 : maximumSiblings); n++) {
      folder = options.disk.makeFolder(n === 1 ? options.path : `${options.path}-${n}`)
      other = Lock.take(options.disk, folder, holder)
      if (other === undefined) return start({ ...options, path: folder }, holder, copies)
    }
    throw unavailable(
      `The log at ${folder} is open in process ${other?.pid ?? "unknown"}. Close it there, or give this process another audit path.`
    )
  } catch (error) {
    throw error instanceof EnforcementUnavailable
      ? error
      : error instanceof Damaged
        ? damaged(folder, error)
        : cannotOpen(folder, error)
  }
}

const damaged = (folder: string, error: Damaged): EnforcementUnavailable =>
  unavailable(
    `The log at ${folder} cannot be continued: ${error.message}. Run "secure-openai audit verify ${folder}", keep that folder as evidence, and give this process another audit path.`,
    error
  )

const cannotOpen = (path: string, error: unknown): EnforcementUnavailable =>
  unavailable(
    `The log at ${path} cannot be opened: ${messageOf(error)}. Set SECURE_OPENAI_HOME to a folder that this process may write, or use audit: "memory".`,
    error
  )

/** Opens the log whose lock `holder` has. */
const start = (options: JournalOptions, holder: string, copies: Copies): Journal => {
  const { disk, path } = options
  if (options.checkpoints !== undefined) copies.add(options.checkpoints)
  const delay = options.retryDelay ?? retryDelay
  let retryAt = 0
  let isFinal = false
  let closed = false
  const closing = new Set<() => void>()

  const boot = (id: string, known?: Head): { readonly writer: Writer; readonly origin: string } => {
    const found = examine(disk, path, options.key.publicKey, known) ?? create(options)
    const writer = new Writer(
      {
        ...options,
        signed: (note, last) => copies.offer(note, last),
        failed: () => void (retryAt = performance.now() + delay)
      },
      id,
      found
    )
    return { writer, origin: found.origin }
  }

  const first = (() => {
    try {
      return boot(holder)
    } catch (error) {
      releaseQuietly(disk, path, holder)
      throw error
    }
  })()
  let { writer } = first
  let known = writer.head

  /** The boot that takes records in; one that failed is followed by another, once it is time and nothing of it is under way. */
  const current = (): Writer => {
    const failed = writer.fault
    if (failed === undefined || closed || isFinal || performance.now() < retryAt || !writer.isIdle) return writer
    const began = performance.now()
    known = writer.head
    try {
      if (!Lock.isHeld(disk, path, holder)) {
        const other = Lock.take(disk, path, holder)
        if (other !== undefined) throw unavailable(`The log at ${path} was taken over by process ${other.pid}.`)
      }
      const next = boot(newId(), known).writer
      writer.release()
      writer = next
    } catch (error) {
      isFinal = error instanceof Damaged
      retryAt = performance.now() + Math.max(delay, patience * (performance.now() - began))
      writer.refuse(error instanceof Damaged ? damaged(path, error) : failed)
    }
    return writer
  }

  const sayLast = (): void => {
    for (const say of closing) say()
    closed = true
  }

  const letGo = (): void => {
    releaseQuietly(disk, path, holder)
    openJournals.delete(exit)
  }

  const exit = (): void => {
    if (closed) return
    sayLast()
    writer.exit()
    letGo()
  }
  openJournals.add(exit)

  return {
    path,
    origin: first.origin,
    current,
    append: (body) => current().append(body),
    whenDurable: (settled) => current().whenDurable(settled),
    hindrance: () => copies.overdue() ?? current().hindrance,
    signed: first.writer.signed,
    closing,
    records: () => readRecords(disk, Path.join(path, "journal")),
    close: async () => {
      if (closed) return
      sayLast()
      await writer.close()
      letGo()
      await copies.settled()
    }
  }
}

/** Gives the lock back; one that cannot be removed names a process that is gone soon. */
const releaseQuietly = (disk: FileSystem, path: string, holder: string): void => {
  try {
    Lock.release(disk, path, holder)
  } catch {
    // The disk's failure is told by what failed before.
  }
}

interface Shared {
  readonly journal: Journal
  /** Key id of the log key. */
  readonly key: string
  /** The opening records that are in it, said again by every boot. */
  readonly opening: Array<Body>
  readonly copies: Copies
  users: number
}

/** The open logs by real path: of the disk, one table for the process; of another file system, one for each. */
const logsOn = (disk: FileSystem): Map<string, Shared> => {
  const make = () => new Map<string, Shared>()
  if (disk === nodeFileSystem) return shared("logs", make)
  const logs = elsewhere.get(disk) ?? make()
  elsewhere.set(disk, logs)
  return logs
}

const elsewhere = new WeakMap<FileSystem, Map<string, Shared>>()

/**
 * Opens a log, or joins it where this process has it open already: one open log a real path, shared by its clients. It
 * closes when the last of them has closed it. Throws {@link EnforcementUnavailable}.
 */
export const join = (options: JournalOptions): Journal => {
  const logs = logsOn(options.disk)
  const real = realPath(options)
  const there = logs.get(real)
  if (there !== undefined && there.key !== options.key.kid)
    throw unavailable(`The log at ${real} is open in this process with another log key; name another audit path.`)
  const entry: Shared = there ?? share({ ...options, path: real })
  entry.users++
  // A sibling is found by the path that was asked for, and by its own.
  for (const path of [real, entry.journal.path]) logs.set(path, entry)
  if (options.checkpoints !== undefined) entry.copies.add(options.checkpoints)
  const said = new Set(entry.opening.map((body) => JSON.stringify(body)))
  for (const body of options.opening) {
    if (said.has(JSON.stringify(body))) continue
    entry.journal.append(body)
    entry.opening.push(body)
  }
  let joined = true
  return {
    ...entry.journal,
    close: async () => {
      if (joined) entry.users--
      joined = false
      if (entry.users > 0) return
      for (const path of [real, entry.journal.path]) logs.delete(path)
      await entry.journal.close()
    }
  }
}

const share = (options: JournalOptions): Shared => {
  const opening = [...options.opening]
  const copies = new Copies()
  return { journal: hold({ ...options, opening }, copies), key: options.key.kid, opening, copies, users: 0 }
}

const realPath = ({ disk, path }: JournalOptions): string => {
  try {
    return disk.makeFolder(path)
  } catch (error) {
    throw cannotOpen(path, error)
  }
}

/** A name for a log, which no other has. */
export const newOrigin = (): string => `secure-openai/${Crypto.randomBytes(8).toString("hex")}`

/** Makes an empty log: its key, then a checkpoint of nothing. The journal follows. */
const create = ({ disk, first, key, next, path }: JournalOptions): Found => {
  const vkey = disk.read(Path.join(path, "vkey"), maximumText)
  const known = vkey === undefined ? undefined : Result.getOrUndefined(parseVerifierKeys(vkey.toString("utf8")))
  const origin =
    first?.origin ?? known?.find(({ publicKey }) => Buffer.compare(publicKey, key.publicKey) === 0)?.name ?? newOrigin()
  const frontier = new Frontier()
  const keys: ReadonlyArray<AnyKey<"log">> = keysOf({ key, next })
  const note = first?.note ?? signCheckpointBy({ origin, size: 0, root: frontier.root() }, keys)
  if (typeof note !== "string")
    throw new TypeError("a log whose key is held elsewhere is made with its first checkpoint")
  replace(disk, path, "vkey", verifierKeys(origin, keys))
  replace(disk, path, "checkpoint", note)
  return {
    origin,
    frontier,
    signed: 0,
    saved: 0,
    unsaved: [],
    segment: undefined,
    torn: Buffer.alloc(0),
    latest: 0,
    crashed: undefined,
    open: []
  }
}

const readRecords = (disk: FileSystem, folder: string): ReadonlyArray<ReadRecord> => {
  const records: Array<ReadRecord> = []
  for (const { name } of segmentsOf(disk.list(folder)))
    for (const { line } of linesOf(disk.read(Path.join(folder, name), maximumSegment) ?? Buffer.alloc(0)))
      records.push(
        Result.getOrThrowWith(recordAt(decodeLine(line), records.length), (fault) => new Error(fault.message))
      )
  return records
}

// ---------------------------------------------------------------------------------------------------------------------
// The process
// ---------------------------------------------------------------------------------------------------------------------

/** What each open journal does at exit; one listener serves them all, and is there only while one is open. */
const openJournals = (() => {
  const exits = new Set<() => void>()
  const onExit = (): void => {
    for (const exit of exits) exit()
  }
  return {
    add: (exit: () => void): void => {
      if (exits.size === 0) process.on("exit", onExit)
      exits.add(exit)
    },
    delete: (exit: () => void): void => {
      exits.delete(exit)
      if (exits.size === 0) process.off("exit", onExit)
    }
  }
})()
