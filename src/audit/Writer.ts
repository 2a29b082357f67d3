/**
 * One boot of a log: from its `log.open` until it is closed, or until a write fails. What clients say at one time is written
 * and synced together, acknowledged only when it is on the disk, and signed over soon after. A write that fails ends the
 * boot: a disk that failed once may say that it holds what it does not.
 *
 * @since 0.2.0
 */
import * as Result from "effect/Result"
import * as Path from "node:path"
import { EnforcementUnavailable } from "../Errors.ts"
import { nextTurn, now as present } from "../EventLoop.ts"
import { errorCode } from "../Files.ts"
import { newId } from "../Id.ts"
import type { AnyKey } from "../Keys.ts"
import { formatVerifierKey, signCheckpointBy, verifierKey } from "./Checkpoint.ts"
import { type File, type FileSystem, replace } from "./Disk.ts"
import { hashLength, leafHash } from "./MerkleTree.ts"
import { type Body, encode } from "./Record.ts"
import type { Found, Head } from "./Recovery.ts"
import { segmentName, segmentSize } from "./Segment.ts"

/** What `log.open` says of this program. */
export const software = "secure-openai/0.1.0"

/** What a boot is begun with. */
export interface WriterOptions {
  /** The log's folder. */
  readonly path: string
  /** The log key: signs checkpoints. */
  readonly key: AnyKey<"log">
  /** The key that takes its place: until then both sign. */
  readonly next?: AnyKey<"log"> | undefined
  /** How long calls go on while a key signs nothing: in ms, and in records. Default: 5 minutes, 100,000. */
  readonly unsigned?: { readonly ms: number; readonly records: number } | undefined
  readonly disk: FileSystem
  /** Records to write at once, after `log.open`. */
  readonly opening: ReadonlyArray<Body>
  /** Bytes of a segment. Default: {@link segmentSize}. */
  readonly segmentSize?: number | undefined
  /** How long a durable record may wait for a checkpoint, in ms. Default 500. */
  readonly checkpointDelay?: number | undefined
  /** Told of each checkpoint that was signed, once it is on the disk; `last` where the process may end at once after it. */
  readonly signed?: ((note: SignedNote, last: boolean) => void) | undefined
  /** The time, in ms since 1970. */
  readonly now?: (() => number) | undefined
  /** Told when a write has failed. */
  readonly failed?: (() => void) | undefined
}

/** A checkpoint as it was written. */
export interface SignedNote {
  readonly origin: string
  readonly size: number
  readonly text: string
}

/** A record that was taken in. */
export interface Appended {
  readonly seq: number
  /** Leaf hash of its line. */
  readonly leaf: Uint8Array
  /** Milliseconds since 1970. */
  readonly ts: number
}

/** Called once, when what was said is on the disk, or with the reason why it will never be. */
export type Settled = (fault: EnforcementUnavailable | undefined) => void

/** A boot of a log. What follows on a record is told to the boot that took it in: another one has closed its call. */
export interface Writer {
  /** Settles once a checkpoint of this boot is signed; rejects where the key cannot sign. */
  readonly signed: Promise<void>
  /** Why no call may begin although the log can be written: checkpoints are not signed, or the clock was set back. */
  readonly hindrance: () => EnforcementUnavailable | undefined
  readonly boot: string
  /** Takes in a record; it is written with the next group or within 5 ms, and synced with the next or within 100 ms. */
  readonly append: (body: Body) => Result.Result<Appended, EnforcementUnavailable>
  /** Syncs everything taken in so far, then calls back. */
  readonly whenDurable: (settled: Settled) => void
  /** Why nothing is taken in any more; undefined while the boot lasts. */
  readonly fault: () => EnforcementUnavailable | undefined
  /** True where nothing of it is under way on the disk. */
  readonly isIdle: () => boolean
  /** Size and root of what is on the disk. */
  readonly head: () => Head
  /** Ends well: `log.close`, and a checkpoint that covers it; waits for what is under way. */
  readonly close: () => Promise<void>
  /** As {@link close}, at once: for the end of the process. */
  readonly exit: () => void
  /** Lets go of the files of a boot that failed and is idle. */
  readonly release: () => void
}

/** How long a record may wait for others to be written with, where nobody waits for it, in ms. */
const writeDelay = 4
/** How long a record may wait for its sync where nobody waits for it, in ms. */
const syncDelay = 80
/** How long a durable record may wait for a checkpoint, in ms, unless it is said. */
const usualCheckpointDelay = 500

export const unavailable = (message: string, cause?: unknown): EnforcementUnavailable =>
  new EnforcementUnavailable(cause === undefined ? { stage: "audit", message } : { stage: "audit", message, cause })

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** How far the clock may be behind the log, in ms. */
const clockTolerance = 30_000

const timeText = (ms: number): string => new Date(ms).toISOString()

/** What to do about a disk that refuses, by the code of its error. */
export const adviceFor = (error: unknown): string => {
  switch (errorCode(error)) {
    case "ENOSPC":
    case "EDQUOT":
    case "EFBIG":
      return "Make space on its disk"
    case "EROFS":
    case "EACCES":
    case "EPERM":
      return "Let this process write there again"
    case "EMFILE":
    case "ENFILE":
      return "Let this process open more files"
    default:
      return "See to its disk"
  }
}

/** Lines that are written together, and those who wait for them. */
interface Group {
  readonly lines: Array<string>
  readonly leaves: Array<Uint8Array>
  readonly settled: Array<Settled>
}

const emptyGroup = (): Group => ({ lines: [], leaves: [], settled: [] })

/**
 * Begins a boot of a log as it was found: moves a torn tail aside, and has `log.open`, what recovery says, and `opening` on
 * the disk and signed when it returns. Throws what the disk throws.
 */
export const begin = (options: WriterOptions, boot: string, found: Found): Writer => {
  const { disk, key, path } = options
  const { frontier, origin } = found
  const folder = Path.join(path, "journal")
  const limit = options.segmentSize ?? segmentSize
  const now = options.now ?? present
  const keys = keysOf(options)
  const isRemote = keys.some((one) => "signLater" in one)
  const patience = options.unsigned ?? { ms: 300_000, records: 100_000 }
  const firstSigned = Promise.withResolvers<void>()
  firstSigned.promise.catch(() => {})
  /** Since when a key signs nothing, in ms since 1970, and what it said. */
  let unsigned: { readonly since: number; readonly cause: unknown } | undefined
  const checkpointDelay = options.checkpointDelay ?? usualCheckpointDelay

  disk.makeFolder(folder)
  let file: File = disk.open(Path.join(folder, found.segment?.name ?? segmentName(0)))
  let leavesFile: File | undefined
  let position = found.segment?.size ?? 0

  let next = frontier.size
  let pending = emptyGroup()
  /** Being written now; written again, to the same place, where the process exits meanwhile. */
  let writing: { readonly bytes: Buffer; readonly position: number; readonly leaves: Array<Uint8Array> } | undefined
  /** Written, not synced. */
  let unsynced: Array<Uint8Array> = []
  let waiting: Array<Settled> = []
  /** Synced, not in the leaves file. */
  let unsaved = [...found.unsaved]
  let saved = found.saved
  let signed = found.signed
  /** The latest time that the log knows, in ms since 1970. */
  let latest = found.latest
  let fault: EnforcementUnavailable | undefined
  let closed = false
  let busy = false
  let signing = false
  let scheduled = false
  let mustSync = false
  let mustWrite = false
  let writeTimer: NodeJS.Timeout | undefined
  let syncTimer: NodeJS.Timeout | undefined
  let checkpointTimer: NodeJS.Timeout | undefined

  const append = (body: Body): Result.Result<Appended, EnforcementUnavailable> => {
    if (fault !== undefined) return Result.fail(fault)
    const ts = now()
    latest = Math.max(latest, ts)
    const line = encode({ ...body, v: 1, seq: next, id: newId(ts), ts, boot })
    const leaf = leafHash(line)
    pending.lines.push(line)
    pending.leaves.push(leaf)
    if (!busy && !scheduled) gather()
    return Result.succeed({ seq: next++, leaf, ts })
  }

  const whenDurable = (settled: Settled): void => {
    if (fault !== undefined) return settled(fault)
    pending.settled.push(settled)
    schedule()
  }

  /** What nobody waits for is written with what somebody does: at a busy time an outcome costs no write of its own. */
  const gather = (): void => {
    writeTimer ??= setTimeout(() => {
      mustWrite = true
      pump()
    }, writeDelay).unref()
  }

  // What is said in one turn of the event loop goes into one group.
  const schedule = (): void => {
    if (scheduled || busy) return
    scheduled = true
    nextTurn(() => {
      scheduled = false
      pump()
    })
  }

  const pump = (): void => {
    if (busy || closed || fault !== undefined) return
    if (pending.settled.length === 0 && !mustSync && !mustWrite) {
      if (pending.lines.length > 0) gather()
      return
    }
    clearTimeout(writeTimer)
    writeTimer = undefined
    mustWrite = false
    if (pending.lines.length === 0 && pending.settled.length === 0 && !mustSync) return
    busy = true
    const group = pending
    pending = emptyGroup()
    waiting.push(...group.settled)
    if (group.lines.length === 0) return sync()
    const bytes = bytesOf(group)
    writing = { bytes, position, leaves: group.leaves }
    if (position < limit) write()
    else rotate(next - pending.lines.length - group.lines.length, write)
  }

  /** Goes on with `step` after a success, for as long as the boot lasts; a failure ends it. */
  const then =
    (step: () => void) =>
    (error: Error | null): void => {
      busy = false
      if (error !== null) return poison(error)
      if (closed || fault !== undefined) return
      try {
        step()
      } catch (cause) {
        busy = false
        poison(cause)
      }
    }

  const write = (): void => {
    if (writing === undefined) return
    busy = true
    const { bytes, leaves } = writing
    file.write(
      bytes,
      position,
      then(() => {
        writing = undefined
        position += bytes.length
        for (const leaf of leaves) unsynced.push(leaf)
        if (waiting.length > 0 || mustSync) return sync()
        syncTimer ??= setTimeout(() => {
          syncTimer = undefined
          mustSync = true
          pump()
        }, syncDelay).unref()
        pump()
      })
    )
  }

  const sync = (): void => {
    busy = true
    mustSync = false
    clearTimeout(syncTimer)
    syncTimer = undefined
    file.sync(
      then(() => {
        acknowledge()
        const settled = waiting
        waiting = []
        // The next group is on its way before anybody is told of this one.
        pump()
        for (const tell of settled) tell(undefined)
        if (frontier.size > signed) checkpointTimer ??= setTimeout(checkpoint, checkpointDelay).unref()
      })
    )
  }

  /** What is on the disk is in the tree, and may be signed. */
  const acknowledge = (): void => {
    for (const leaf of unsynced) {
      frontier.append(leaf)
      unsaved.push(leaf)
    }
    unsynced = []
  }

  /** Begins the segment of record `first`, with the one before it whole on the disk, and its own name. */
  const rotate = (first: number, done: () => void): void => {
    file.sync(
      then(() => {
        replaceFile(first)
        busy = true
        disk.syncFolder(folder, then(done))
      })
    )
  }

  const rotateSync = (first: number): void => {
    if (position < limit) return
    file.syncSync()
    replaceFile(first)
    disk.syncFolderSync(folder)
  }

  const replaceFile = (first: number): void => {
    const segment = disk.open(Path.join(folder, segmentName(first)))
    file.close()
    file = segment
    position = 0
  }

  const poison = (error: unknown): void => {
    options.failed?.()
    end(
      unavailable(
        `The log at ${path} could not be written (${messageOf(error)}), and no call is let through unrecorded. ${adviceFor(error)}: the log is tried again every second, and goes on without a restart.`,
        error
      )
    )
  }

  /** From here on every append is refused with `reason`. */
  const end = (reason: EnforcementUnavailable): void => {
    fault ??= reason
    clearTimeout(writeTimer)
    clearTimeout(syncTimer)
    clearTimeout(checkpointTimer)
    const settled = [...waiting, ...pending.settled]
    waiting = []
    pending = emptyGroup()
    for (const tell of settled) tell(fault)
  }

  const signedText = (): string | Promise<string> => {
    // The tree only grows while this process holds the lock; nothing smaller than before is ever signed.
    if (frontier.size < signed) throw new RangeError(`the log has shrunk from ${signed} to ${frontier.size} records`)
    return signCheckpointBy({ origin, size: frontier.size, root: frontier.root() }, keys)
  }

  const checkpoint = (): void => {
    checkpointTimer = undefined
    if (signing || closed || fault !== undefined) return
    signing = true
    const draft = Path.join(path, "checkpoint.draft")
    const attempt =
      (step: () => void) =>
      (error: Error | null): void => {
        try {
          if (error !== null) throw error
          step()
        } catch (cause) {
          signing = false
          poison(cause)
        }
      }
    const size = frontier.size
    const write = (text: string) => (): void => {
      const hashes = Buffer.concat(unsaved)
      const from = saved
      saved += unsaved.length
      unsaved = []
      const note = disk.open(draft)
      const named = (): void => {
        signing = false
        signed = size
        unsigned = undefined
        firstSigned.resolve()
        if (!closed) options.signed?.({ origin, size, text }, false)
        if (frontier.size > signed && !closed && fault === undefined)
          checkpointTimer ??= setTimeout(checkpoint, checkpointDelay).unref()
      }
      const synced = (): void => {
        note.close()
        // Not in the background: a rename that is under way at exit would undo the last one.
        disk.rename(draft, Path.join(path, "checkpoint"))
        disk.syncFolder(path, attempt(named))
      }
      const failing =
        (step: () => void) =>
        (error: Error | null): void => {
          if (error !== null) closeQuietly(note)
          attempt(step)(error)
        }
      note.truncate(0)
      const written = failing(() => note.sync(failing(synced)))
      openLeaves().write(
        hashes,
        from * hashLength,
        failing(() => note.write(Buffer.from(text), 0, written))
      )
    }
    attempt(() => {
      const text = signedText()
      if (typeof text === "string") return write(text)()
      void whenSigned(text)
    })(null)

    async function whenSigned(note: Promise<string>): Promise<void> {
      let text: string
      try {
        text = await note
      } catch (cause) {
        return notSigned(cause)
      }
      // A boot that ended meanwhile signs no more.
      attempt(closed || fault !== undefined ? () => void (signing = false) : write(text))(null)
    }
  }

  /** Calls go on for a while; it is tried again. */
  const notSigned = (cause: unknown): void => {
    signing = false
    unsigned ??= { since: now(), cause }
    firstSigned.reject(cause)
    if (!closed && fault === undefined) checkpointTimer ??= setTimeout(checkpoint, checkpointDelay).unref()
  }

  const hindrance = (): EnforcementUnavailable | undefined => {
    if (unsigned !== undefined && (now() - unsigned.since > patience.ms || next - signed > patience.records))
      return unavailable(
        `The log at ${path} takes no more calls until its checkpoints are signed again. ${messageOf(unsigned.cause)}`,
        unsigned.cause
      )
    return latest - now() > clockTolerance
      ? unavailable(
          `The clock says ${timeText(now())}, and the log at ${path} has a record of ${timeText(latest)}; no call is let through. Set the clock right; if the record's time was wrong, give this process another audit path.`
        )
      : undefined
  }

  const openLeaves = (): File => {
    if (leavesFile === undefined) {
      leavesFile = disk.open(Path.join(path, "leaves"))
      leavesFile.truncate(found.saved * hashLength)
    }
    return leavesFile
  }

  /** Everything that was taken in is written, synced and signed when this returns. */
  const flush = (last: boolean): void => {
    if (writing !== undefined) {
      rotateSync(next - pending.lines.length - writing.leaves.length)
      file.writeSync(writing.bytes, position)
      position += writing.bytes.length
      for (const leaf of writing.leaves) unsynced.push(leaf)
      writing = undefined
    }
    const group = pending
    pending = emptyGroup()
    if (group.lines.length > 0) {
      rotateSync(next - group.lines.length)
      const bytes = bytesOf(group)
      file.writeSync(bytes, position)
      position += bytes.length
      for (const leaf of group.leaves) unsynced.push(leaf)
    }
    file.syncSync()
    acknowledge()
    const text = frontier.size > signed && !isRemote ? signedText() : undefined
    if (typeof text === "string") signedWith(text, last)
    const settled = [...waiting, ...group.settled]
    waiting = []
    for (const tell of settled) tell(undefined)
  }

  const signedWith = (text: string, last: boolean): void => {
    openLeaves().writeSync(Buffer.concat(unsaved), saved * hashLength)
    saved += unsaved.length
    unsaved = []
    replace(disk, path, "checkpoint", text)
    signed = frontier.size
    firstSigned.resolve()
    options.signed?.({ origin, size: signed, text }, last)
  }

  /** A key that is held elsewhere signs the end of the log too, where it can. */
  const signEnd = async (): Promise<void> => {
    if (!isRemote || fault !== undefined) return
    try {
      flush(false)
      signedWith(await signedText(), false)
    } catch {
      // What is not signed is there all the same, and is signed when the log is opened again.
    }
  }

  /** The last words. `idle` is false where a write may still be under way: its file must stay open then. */
  const finish = (idle: boolean): void => {
    try {
      if (fault === undefined) flush(!idle)
    } catch (error) {
      poison(error)
    } finally {
      end(unavailable(`The log at ${path} is closed.`))
      if (idle) release()
    }
  }

  const lastWords = (): void => {
    append({ kind: "log.close" })
    closed = true
    clearTimeout(writeTimer)
    clearTimeout(syncTimer)
    clearTimeout(checkpointTimer)
  }

  const isIdle = (): boolean => !busy && !signing

  const release = (): void => {
    closeQuietly(file)
    if (leavesFile !== undefined) closeQuietly(leavesFile)
  }

  try {
    // The name of the last segment may be in memory only, and so may what no checkpoint covers: a disk that failed may say
    // that it has it. The same bytes in the same place lose nothing, and are synced with what follows.
    disk.syncFolderSync(folder)
    disk.syncFolderSync(path)
    if (found.segment !== undefined) {
      const { name, size, unsigned } = found.segment
      if (found.torn.length > 0) moveAside(disk, folder, name, found.torn, file, size)
      if (unsigned.length > 0) file.writeSync(unsigned, size - unsigned.length)
    }
    const vkeys = verifierKeys(origin, keys)
    // Before the next checkpoint, which is signed by these.
    if (disk.read(Path.join(path, "vkey"))?.toString("utf8") !== vkeys) replace(disk, path, "vkey", vkeys)
    append({ kind: "log.open", origin, vkey: formatVerifierKey(verifierKey(origin, key.publicKey)), software })
    if (found.crashed !== undefined) {
      append({
        kind: "log.recovered",
        previous: found.crashed,
        dropped: found.torn.length,
        open: found.open.length
      })
      for (const { call, decision, ts } of found.open)
        append({
          kind: "outcome",
          call,
          decision,
          result: "unknown",
          attempts: 0,
          ms: Math.max(0, now() - ts)
        })
    }
    if (options.next !== undefined) {
      const { jwk, kid, publicKey } = options.next
      append({ kind: "key.active", use: "log", kid, jwk, vkey: formatVerifierKey(verifierKey(origin, publicKey)) })
    }
    for (const body of options.opening) append(body)
    flush(false)
    if (isRemote) checkpoint()
  } catch (error) {
    poison(error)
    release()
    throw error
  }

  return {
    boot,
    signed: firstSigned.promise,
    hindrance,
    append,
    whenDurable,
    fault: () => fault,
    isIdle,
    head: () => ({ size: frontier.size, root: frontier.root() }),
    release,
    exit: () => {
      if (closed) return
      lastWords()
      finish(false)
    },
    close: async () => {
      if (closed) return
      lastWords()
      while (!isIdle()) await new Promise((resolve) => setTimeout(resolve, 1))
      await signEnd()
      finish(true)
    }
  }
}

/** The keys that sign: while a log key rotates the old and the new one. */
export const keysOf = ({ key, next }: Pick<WriterOptions, "key" | "next">): ReadonlyArray<AnyKey<"log">> =>
  next === undefined ? [key] : [key, next]

/** The file `vkey`: a line for each key, the newest last. */
export const verifierKeys = (origin: string, keys: ReadonlyArray<AnyKey<"log">>): string =>
  keys.map(({ publicKey }) => `${formatVerifierKey(verifierKey(origin, publicKey))}\n`).join("")

const bytesOf = (group: Group): Buffer => Buffer.from(`${group.lines.join("\n")}\n`)

const closeQuietly = (file: File): void => {
  try {
    file.close()
  } catch {
    // It was synced before, or its failure is told of already.
  }
}

const moveAside = (disk: FileSystem, folder: string, name: string, torn: Buffer, segment: File, size: number): void => {
  const path = Path.join(folder, `${name}.torn-${present()}`)
  try {
    const aside = disk.open(path)
    try {
      aside.writeSync(torn, 0)
      aside.syncSync()
    } finally {
      aside.close()
    }
    disk.syncFolderSync(folder)
  } catch (error) {
    // A full disk is tried again and again, and has no room for each attempt.
    try {
      disk.remove(path)
    } catch {
      // The failure before says more.
    }
    throw error
  }
  segment.truncate(size)
  segment.syncSync()
}
