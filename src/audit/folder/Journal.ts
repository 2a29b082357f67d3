/**
 * The journal: a log that is open in this process, boot after boot. A write that fails ends a boot (see `Writer.ts`); the log
 * is then opened anew by recovery, under the same lock, as soon as it can be written again. Until then every call is refused.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Crypto from "node:crypto"
import * as Path from "node:path"
import process from "node:process"
import { EnforcementUnavailable } from "../../call/Errors.ts"
import { elapsed, wait } from "../../base/EventLoop.ts"
import { newId } from "../../base/Id.ts"
import type { AnyKey } from "../../keys/Keys.ts"
import { parseVerifierKeys, signCheckpointBy } from "../proof/Checkpoint.ts"
import { Copies, type Target } from "./Copies.ts"
import { shared } from "../../base/Shared.ts"
import { type FileSystem, nodeFileSystem, removeDrafts, replace } from "./Disk.ts"
import * as Lock from "./Lock.ts"
import { Frontier } from "../proof/MerkleTree.ts"
import type { Body, ReadRecord } from "../Record.ts"
import { Quota } from "../Quota.ts"
import { Refusals } from "../Refusals.ts"
import { Damaged, examine, type Found, type Head, OfAnotherKey } from "./Recovery.ts"
import * as Renewal from "./Renewal.ts"
import { decodeLine, linesOf, maximumSegment, maximumText, recordAt, segmentsOf } from "./Segment.ts"
import type { LogStatus } from "../LogStatus.ts"
import { hindered, LockLost, messageOf, reasonFor } from "../Unavailable.ts"
import { keysOf, verifierKeys, Writer, type WriterOptions } from "./Writer.ts"

export { software } from "./Writer.ts"

/** How a journal is opened. */
export interface JournalOptions extends Omit<WriterOptions, "signed" | "failed" | "requireHeld"> {
  /** A path that was named is this path or none; a default path gives way to a sibling where another process has it. */
  readonly named: boolean
  /** A checkpoint of an empty log, for one that is made; needed where a key is held elsewhere and cannot sign at once. */
  readonly first?: { readonly origin: string; readonly note: string } | undefined
  /** How long a log that could not be written is left alone before it is opened anew, in ms. Default 1000. */
  readonly retryDelay?: number | undefined
  /** Where checkpoints are copied to as they are signed. */
  readonly checkpoints?: Target | undefined
  /** How the heartbeat goes. Default: {@link Lock.usualRhythm}. */
  readonly rhythm?: Lock.Rhythm | undefined
  /** How long a holder is waited for that closes, or that nothing judges yet, in ms. Default 5000. */
  readonly holderDelay?: number | undefined
}

/** A log that is open for writing. */
export interface Journal extends Pick<Writer, "append" | "whenDurable"> {
  readonly path: string
  readonly origin: string
  /** The boot that takes records in. What belongs to one call is told to one boot. */
  readonly current: () => Writer
  /** Why no call may begin although the log can be written: checkpoints are overdue, or the clock was set back. */
  readonly hindrance: () => EnforcementUnavailable | undefined
  /** How the log stands. Reads memory alone: a log that failed is not opened anew for it. */
  readonly status: () => Omit<LogStatus, "disk">
  /** Settles once a checkpoint of this process is signed, and rejects where the key cannot sign; undefined where one was at once. */
  readonly signed: Promise<void> | undefined
  /** Counts refusals that are not worth a record each, and writes them together. */
  readonly refusals: Pick<Refusals, "add" | "write">
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
/** How long a holder is waited for that closes, or that nothing judges yet, in ms. */
const usualHolderDelay = 5000
/** How often it is looked at meanwhile, in ms. */
const lookDelay = 100

/**
 * Opens a log, made where there is none, and holds it for this process. Succeeds or fails at once where no other process has
 * left a lock; fails with what to do about it. A path that was not named is opened at the first of its logs that is free:
 *
 * - a log whose holder is gone is gone on with; one whose holder says that it stays is left to it;
 * - a holder that closes, or that nothing judges yet, is waited for;
 * - a log that is damaged is left as it is, as evidence, and told;
 * - a new sibling is made only where no other one is free.
 */
export const open = (options: JournalOptions): Effect.Effect<Journal, EnforcementUnavailable> =>
  hold(options, new Copies())

const hold = (options: JournalOptions, copies: Copies): Effect.Effect<Journal, EnforcementUnavailable> =>
  (options.named ? openNamed(options, copies) : openFirst(options, copies)).pipe(
    Effect.catchDefect((error) => Effect.fail(cannotOpen(options.path, error)))
  )

const openNamed = (options: JournalOptions, copies: Copies): Effect.Effect<Journal, EnforcementUnavailable> =>
  Effect.gen(function* () {
    const path = options.disk.makeFolder(options.path)
    const claimant = claimantOf(options)
    for (;;) {
      const taken = yield* claimant.take(path)
      if (taken._tag === "Lock") {
        const journal = yield* started(options, path, taken, claimant, copies)
        return journal instanceof Damaged ? yield* damaged(path, journal) : journal
      }
      if (!claimant.waitsFor(taken)) return yield* heldBy(options, path, taken)
      yield* wait(lookDelay)
    }
  })

const openFirst = (options: JournalOptions, copies: Copies): Effect.Effect<Journal, EnforcementUnavailable> =>
  Effect.gen(function* () {
    const { disk } = options
    const first = disk.makeFolder(options.path)
    const claimant = claimantOf(options)
    const damages = new Set<string>()
    const unreadable = new Set<string>()

    /** The journal of a log that is free; undefined where it is damaged, which is told. */
    const begin = (path: string, lock: Lock.Lock): Effect.Effect<Journal | undefined, EnforcementUnavailable> =>
      Effect.flatMap(started(options, path, lock, claimant, copies), (journal) => {
        if (!(journal instanceof Damaged)) return Effect.succeed(journal)
        if (journal instanceof OfAnotherKey) return Effect.fail(damaged(path, journal))
        damages.add(path)
        return Effect.as(Effect.logError(setAside(path, journal.message)), undefined)
      })

    for (;;) {
      let isPending = false
      const there = siblingsOf(disk, first)
      for (const path of there) {
        if (damages.has(path)) continue
        const taken = yield* claimant.take(path)
        if (taken._tag === "Lock") {
          const journal = yield* begin(path, taken)
          if (journal !== undefined) return journal
        } else if (taken.verdict === "unreadable" && !unreadable.has(path)) {
          unreadable.add(path)
          yield* Effect.logWarning(heldBy(options, path, taken).message)
        } else if (claimant.waitsFor(taken)) {
          isPending = true
          if (path !== first) continue
          // The first log is worth the wait; how the others stand is known by then.
          yield* Effect.forEach(there, claimant.look, { discard: true })
          break
        }
      }
      if (isPending) {
        yield* wait(lookDelay)
        continue
      }
      for (let n = 2; n <= maximumSiblings; n++) {
        const path = `${first}-${n}`
        if (there.includes(path)) continue
        const taken = yield* claimant.take(disk.makeFolder(path))
        if (taken._tag !== "Lock") continue
        const journal = yield* begin(path, taken)
        if (journal !== undefined) return journal
      }
      return yield* hindered(
        "held",
        `The log at ${first} and its ${maximumSiblings - 1} siblings are open in other processes. Close some, or give this process another audit path.`
      )
    }
  })

/** The logs that are there of a default path, the first one first. */
export const siblingsOf = (disk: FileSystem, first: string): ReadonlyArray<string> => {
  const names = new Set(disk.list(Path.dirname(first)))
  return [
    first,
    ...Array.from({ length: maximumSiblings - 1 }, (_, i) => `${first}-${i + 2}`).filter((path) =>
      names.has(Path.basename(path))
    )
  ]
}

/** One process that wants a log, from one attempt to the next. */
interface Claimant {
  readonly take: (path: string) => Effect.Effect<Lock.Lock | Lock.Held>
  /** Sees whether a holder's heart beats, and takes nothing. */
  readonly look: (path: string) => Effect.Effect<void>
  /** Whether a holder may give way in a moment; not for ever. */
  readonly waitsFor: (held: Lock.Held) => boolean
}

const claimantOf = ({ disk, holderDelay = usualHolderDelay, rhythm }: JournalOptions): Claimant => {
  const watch = new Lock.Watch(rhythm)
  const folders = new Map<string, Lock.LockFolder>()
  const began = elapsed()
  const folderOf = (path: string): Lock.LockFolder => {
    const folder = folders.get(path) ?? Lock.folderOn(disk, path)
    folders.set(path, folder)
    return folder
  }
  return {
    take: (path) => Lock.take(folderOf(path), newId(), watch),
    look: (path) => Lock.look(folderOf(path), watch),
    waitsFor: ({ verdict }) =>
      (verdict === "closing" || verdict === "silent" || verdict === "unknown") &&
      // A heartbeat that has stood still for just as long is seen in time.
      elapsed() - began <= holderDelay + 2 * lookDelay
  }
}

/** The journal of a log whose lock was taken, or what is wrong with the log; the lock is given back then. */
const started = (
  options: JournalOptions,
  path: string,
  lock: Lock.Lock,
  claimant: Claimant,
  copies: Copies
): Effect.Effect<Journal | Damaged, EnforcementUnavailable> =>
  Effect.try({
    try: () => {
      try {
        return start({ ...options, path }, lock, claimant, copies)
      } catch (fault) {
        if (fault instanceof Damaged) return fault
        throw fault
      }
    },
    catch: (fault) => (fault instanceof EnforcementUnavailable ? fault : cannotOpen(path, fault))
  })

const heldBy = ({ disk }: JournalOptions, path: string, { holder, verdict }: Lock.Held): EnforcementUnavailable =>
  hindered(
    "held",
    verdict === "unreadable"
      ? `The log at ${path} has a lock that this version cannot read. Once no process has that log open, delete ${Path.join(path, "lock")}; or give this process another audit path.`
      : `The log at ${path} is open in ${Lock.describe(holder, Lock.placeOf(disk))}. Close it there, or give this process another audit path.`
  )

const setAside = (path: string, reason: string): string =>
  `The log at ${path} is damaged, and is not gone on with: ${reason}. Two processes may have written it at once. Run "secure-openai audit verify ${path}", and keep that folder as evidence: a sibling takes its place, and every start says this until that folder is moved away.`

const damaged = (folder: string, error: Damaged): EnforcementUnavailable =>
  hindered(
    "damaged",
    `The log at ${folder} cannot be continued: ${error.message}. Run "secure-openai audit verify ${folder}", keep that folder as evidence, and give this process another audit path.`,
    error
  )

const cannotOpen = (path: string, error: unknown): EnforcementUnavailable =>
  hindered(
    reasonFor(error),
    `The log at ${path} cannot be opened: ${messageOf(error)}. Set SECURE_OPENAI_HOME to a folder that this process may write, or use audit: "memory".`,
    error
  )

/** Opens the log whose lock was taken. Throws what the disk throws, and {@link Damaged}; the lock is given back then. */
const start = (options: JournalOptions, taken: Lock.Lock, claimant: Claimant, copies: Copies): Journal => {
  const { disk, path } = options
  if (options.checkpoints !== undefined) copies.add(options.checkpoints)
  const delay = options.retryDelay ?? retryDelay
  let lock = taken
  let retryAt = 0
  let isFinal = false
  let isTaking = false
  let closed = false
  const closing = new Set<() => void>()

  const requireHeld = (): void => {
    if (!lock.isHeld()) throw lost(options, lock)
  }

  const boot = (id: string, known?: Head): { readonly writer: Writer; readonly origin: string } => {
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
  let { writer } = first
  let known = writer.head

  /** Takes the lock again, which another had in the meantime: at once, or by the time that somebody asks again. */
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
  }, options.now)

  const sayLast = (): void => {
    for (const say of closing) say()
    refusals.end()
    closed = true
  }

  const letGo = (): void => {
    releaseQuietly(lock)
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
    status: () => ({
      path,
      origin: first.origin,
      ...writer.progress,
      copies: copies.status,
      refusal: writer.fault ?? copies.overdue() ?? writer.hindrance
    }),
    signed: first.writer.signed,
    refusals,
    closing,
    records: () => readRecords(disk, Path.join(path, "journal")),
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

/** How far the opening of a shared log has come; `settled` never rejects. Another copy of this library may wait for it too. */
type Opening =
  | { readonly _tag: "Opening"; readonly settled: Promise<void> }
  | { readonly _tag: "Open"; readonly journal: Journal }
  | { readonly _tag: "Failed"; readonly error: EnforcementUnavailable }

interface Shared {
  opened: Opening
  /** Key id of the log key. */
  readonly key: string
  /** The opening records that are in it, said again by every boot. */
  readonly opening: Array<Body>
  readonly copies: Copies
  /** The paths by which it is found: the one that was asked for, and a sibling's own. */
  readonly paths: Set<string>
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
 * closes when the last of them has closed it.
 */
export const join = (options: JournalOptions): Effect.Effect<Journal, EnforcementUnavailable> =>
  Effect.gen(function* () {
    const logs = logsOn(options.disk)
    const path = yield* realPath(options)
    const there = logs.get(path)
    if (there !== undefined && there.key !== options.key.kid)
      return yield* hindered(
        "held",
        `The log at ${path} is open in this process with another log key; name another audit path.`
      )
    if (there !== undefined) there.users++
    const entry = there ?? share({ ...options, path }, logs, yield* Effect.context<never>())
    const journal = yield* Effect.onExit(opened(entry), (exit) =>
      Effect.sync(() => void (Exit.isFailure(exit) && leave(logs, entry)))
    )
    if (options.checkpoints !== undefined) entry.copies.add(options.checkpoints)
    const said = new Set(entry.opening.map((body) => JSON.stringify(body)))
    for (const body of options.opening) {
      if (said.has(JSON.stringify(body))) continue
      journal.append(body)
      entry.opening.push(body)
    }
    let joined = true
    return {
      ...journal,
      close: async () => {
        const isLast = joined && leave(logs, entry)
        joined = false
        if (isLast) await journal.close()
      }
    }
  })

/** The log once it is open: at once where it is by now. */
const opened = (entry: Shared): Effect.Effect<Journal, EnforcementUnavailable> =>
  Effect.suspend(() => {
    const now = entry.opened
    if (now._tag === "Open") return Effect.succeed(now.journal)
    if (now._tag === "Failed") return Effect.fail(now.error)
    return Effect.andThen(
      Effect.promise(() => now.settled),
      opened(entry)
    )
  })

const share = (options: JournalOptions, logs: Map<string, Shared>, context: Context.Context<never>): Shared => {
  const opening = [...options.opening]
  const copies = new Copies()
  const { promise, resolve } = Promise.withResolvers<void>()
  const entry: Shared = {
    opened: { _tag: "Opening", settled: promise },
    key: options.key.kid,
    opening,
    copies,
    paths: new Set([options.path]),
    users: 1
  }
  logs.set(options.path, entry)
  // Of its own: whoever asked first may be interrupted, and others wait for it too.
  Effect.runForkWith(context)(
    Effect.match(hold({ ...options, opening }, copies), {
      onSuccess: (journal) => {
        // Whoever asked for it has gone in the meantime.
        if (entry.users === 0) return void journal.close()
        entry.opened = { _tag: "Open", journal }
        entry.paths.add(journal.path)
        logs.set(journal.path, entry)
      },
      onFailure: (error) => void (entry.opened = { _tag: "Failed", error })
    })
  ).addObserver(() => resolve())
  return entry
}

/** One user fewer; true where it was the last. A log that is still being opened closes once it is open. */
const leave = (logs: Map<string, Shared>, entry: Shared): boolean => {
  if (--entry.users > 0) return false
  for (const path of entry.paths) if (logs.get(path) === entry) logs.delete(path)
  return true
}

const realPath = ({ disk, path }: JournalOptions): Effect.Effect<string, EnforcementUnavailable> =>
  Effect.try({ try: () => disk.makeFolder(path), catch: (error) => cannotOpen(path, error) })

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
    quota: new Quota(),
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
