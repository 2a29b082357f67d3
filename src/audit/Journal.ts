/**
 * The journal: records in, durable lines out. One process has a log open; what its clients say at one time is written and
 * synced together, acknowledged only when it is on the disk, and signed over soon after. A write that fails ends the log: a
 * disk that failed once may say that it holds what it does not.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Crypto from "node:crypto"
import * as Path from "node:path"
import { EnforcementUnavailable } from "../Errors.ts"
import { nextTurn } from "../EventLoop.ts"
import { newId } from "../Id.ts"
import type { AnyKey } from "../Keys.ts"
import { formatVerifierKey, parseVerifierKeys, signCheckpointBy, verifierKey } from "./Checkpoint.ts"
import type { File, FileSystem } from "./Disk.ts"
import * as Lock from "./Lock.ts"
import { Frontier, hashLength, leafHash } from "./MerkleTree.ts"
import { type Body, encode, type ReadRecord } from "./Record.ts"
import { Damaged, examine, type Found } from "./Recovery.ts"
import { decodeLine, linesOf, recordAt, segmentName, segmentSize, segmentsOf } from "./Segment.ts"

/** What `log.open` says of this program. */
export const software = "secure-openai/0.1.0"

/** How a journal is opened. */
export interface JournalOptions {
  readonly path: string
  /** A path that was named is this path or none; a default path gives way to a sibling where another process has it. */
  readonly named: boolean
  /** The log key: signs checkpoints. */
  readonly key: AnyKey<"log">
  /** The key that takes its place: until then both sign. */
  readonly next?: AnyKey<"log"> | undefined
  /** A checkpoint of an empty log, for one that is made; needed where a key is held elsewhere and cannot sign at once. */
  readonly first?: { readonly origin: string; readonly note: string } | undefined
  /** How long the log goes on while its key signs nothing: in ms, and in records. Default: 5 minutes, 100,000. */
  readonly unsigned?: { readonly ms: number; readonly records: number } | undefined
  readonly disk: FileSystem
  /** Records to write at once, after `log.open`. */
  readonly opening: ReadonlyArray<Body>
  /** Bytes of a segment. Default: {@link segmentSize}. */
  readonly segmentSize?: number | undefined
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

/** A log that is open for writing. */
export interface Journal {
  readonly path: string
  readonly origin: string
  readonly boot: string
  /** Takes in a record; it is written with the next group or within 5 ms, and synced with the next or within 100 ms. */
  readonly append: (body: Body) => Result.Result<Appended, EnforcementUnavailable>
  /** Syncs everything taken in so far, then calls back. */
  readonly whenDurable: (settled: Settled) => void
  /** Called before the log closes, to say what must still be said. */
  readonly closing: Set<() => void>
  /** Settles once a checkpoint of this boot is signed; rejects where the key cannot sign. */
  readonly signed: Promise<void>
  /** Every record so far, oldest first. Throws what the disk throws. */
  readonly records: () => ReadonlyArray<ReadRecord>
  /** Ends well: `log.close`, a checkpoint that covers it, the lock given back. */
  readonly close: () => Promise<void>
}

/** How long a record may wait for others to be written with, where nobody waits for it, in ms. */
const writeDelay = 4
/** How long a record may wait for its sync where nobody waits for it, in ms. */
const syncDelay = 80
/** How long a durable record may wait for a checkpoint, in ms. */
const checkpointDelay = 500
/** How many siblings of a default path are tried. */
const maximumSiblings = 64

/**
 * Opens a log, made where there is none, and holds it for this process. Throws {@link EnforcementUnavailable} with what to
 * do about it.
 */
export const open = (options: JournalOptions): Journal => {
  let folder = options.path
  try {
    const boot = newId()
    let holder: Lock.Holder | undefined
    for (let n = 1; n <= (options.named ? 1 : maximumSiblings); n++) {
      folder = options.disk.makeFolder(n === 1 ? options.path : `${options.path}-${n}`)
      holder = Lock.take(options.disk, folder, boot)
      if (holder === undefined) return start({ ...options, path: folder }, boot)
    }
    throw unavailable(
      `The log at ${folder} is open in process ${holder?.pid ?? "unknown"}. Close it there, or give this process another audit path.`
    )
  } catch (error) {
    if (error instanceof EnforcementUnavailable) throw error
    throw error instanceof Damaged
      ? unavailable(
          `The log at ${folder} cannot be continued: ${error.message}. Run "secure-openai audit verify ${folder}", keep that folder as evidence, and give this process another audit path.`,
          error
        )
      : cannotOpen(folder, error)
  }
}

const unavailable = (message: string, cause?: unknown): EnforcementUnavailable =>
  new EnforcementUnavailable(cause === undefined ? { stage: "audit", message } : { stage: "audit", message, cause })

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const start = (options: JournalOptions, boot: string): Journal => {
  try {
    const found = examine(options.disk, options.path, options.key.publicKey) ?? create(options)
    return run(options, boot, found)
  } catch (error) {
    Lock.release(options.disk, options.path, boot)
    throw error
  }
}

interface Shared {
  readonly journal: Journal
  /** Key id of the log key. */
  readonly key: string
  /** The opening records that are in it. */
  readonly said: Set<string>
  users: number
}

const shared = new WeakMap<FileSystem, Map<string, Shared>>()

/**
 * Opens a log, or joins it where this process has it open already: one open log a real path, shared by its clients. It
 * closes when the last of them has closed it. Throws {@link EnforcementUnavailable}.
 */
export const join = (options: JournalOptions): Journal => {
  const logs = shared.get(options.disk) ?? new Map<string, Shared>()
  shared.set(options.disk, logs)
  const real = realPath(options)
  const there = logs.get(real)
  if (there !== undefined && there.key !== options.key.kid)
    throw unavailable(`The log at ${real} is open in this process with another log key; name another audit path.`)
  const entry: Shared = there ?? {
    journal: open({ ...options, path: real }),
    key: options.key.kid,
    said: new Set(options.opening.map((body) => JSON.stringify(body))),
    users: 0
  }
  entry.users++
  // A sibling is found by the path that was asked for, and by its own.
  for (const path of [real, entry.journal.path]) logs.set(path, entry)
  for (const body of options.opening) {
    const text = JSON.stringify(body)
    if (!entry.said.has(text)) entry.journal.append(body)
    entry.said.add(text)
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

const realPath = ({ disk, path }: JournalOptions): string => {
  try {
    return disk.makeFolder(path)
  } catch (error) {
    throw cannotOpen(path, error)
  }
}

const cannotOpen = (path: string, error: unknown): EnforcementUnavailable =>
  unavailable(
    `The log at ${path} cannot be opened: ${messageOf(error)}. Set SECURE_OPENAI_HOME to a folder that this process may write, or use audit: "memory".`,
    error
  )

/** A name for a log, which no other has. */
export const newOrigin = (): string => `secure-openai/${Crypto.randomBytes(8).toString("hex")}`

/** Makes an empty log: its key, then a checkpoint of nothing. The journal follows. */
const create = ({ disk, first, key, next, path }: JournalOptions): Found => {
  const vkey = disk.read(Path.join(path, "vkey"))
  const known = vkey === undefined ? undefined : Result.getOrUndefined(parseVerifierKeys(vkey.toString("utf8")))
  const origin =
    first?.origin ?? known?.find(({ publicKey }) => Buffer.compare(publicKey, key.publicKey) === 0)?.name ?? newOrigin()
  const frontier = new Frontier()
  const note = first?.note ?? signCheckpointBy({ origin, size: 0, root: frontier.root() }, keysOf({ key, next }))
  if (typeof note !== "string")
    throw new TypeError("a log whose key is held elsewhere is made with its first checkpoint")
  replace(disk, path, "vkey", verifierKeys(origin, keysOf({ key, next })))
  replace(disk, path, "checkpoint", note)
  return {
    origin,
    frontier,
    signed: 0,
    saved: 0,
    unsaved: [],
    segment: undefined,
    torn: Buffer.alloc(0),
    crashed: undefined,
    open: []
  }
}

const keysOf = ({ key, next }: Pick<JournalOptions, "key" | "next">): ReadonlyArray<AnyKey<"log">> =>
  next === undefined ? [key] : [key, next]

/** The file `vkey`: a line for each key, the newest last. */
const verifierKeys = (origin: string, keys: ReadonlyArray<AnyKey<"log">>): string =>
  keys.map(({ publicKey }) => `${formatVerifierKey(verifierKey(origin, publicKey))}\n`).join("")

/** Writes a small file so that it is either the old one or the new one, whatever happens. */
const replace = (disk: FileSystem, folder: string, name: string, text: string): void => {
  const draft = Path.join(folder, `${name}.new`)
  const file = disk.open(draft)
  try {
    file.truncate(0)
    file.writeSync(Buffer.from(text), 0)
    file.syncSync()
  } finally {
    file.close()
  }
  disk.rename(draft, Path.join(folder, name))
  disk.syncFolderSync(folder)
}

/** Lines that are written together, and those who wait for them. */
interface Group {
  readonly lines: Array<string>
  readonly leaves: Array<Uint8Array>
  readonly settled: Array<Settled>
}

const emptyGroup = (): Group => ({ lines: [], leaves: [], settled: [] })

const run = (options: JournalOptions, boot: string, found: Found): Journal => {
  const { disk, key, path } = options
  const { frontier, origin } = found
  const folder = Path.join(path, "journal")
  const limit = options.segmentSize ?? segmentSize

  const keys = keysOf(options)
  const isRemote = keys.some((one) => "signLater" in one)
  const vkeys = verifierKeys(origin, keys)
  // Before the next checkpoint, which is signed by these.
  if (disk.read(Path.join(path, "vkey"))?.toString("utf8") !== vkeys) replace(disk, path, "vkey", vkeys)
  const patience = options.unsigned ?? { ms: 300_000, records: 100_000 }
  const firstSigned = Promise.withResolvers<void>()
  firstSigned.promise.catch(() => {})
  /** Since when the key signs nothing, in ms since 1970, and what it said. */
  let unsigned: { readonly since: number; readonly cause: unknown } | undefined

  disk.makeFolder(folder)
  let file: File
  let position = 0
  if (found.segment === undefined) {
    file = disk.open(Path.join(folder, segmentName(0)))
    disk.syncFolderSync(folder)
    disk.syncFolderSync(path)
  } else {
    file = disk.open(Path.join(folder, found.segment.name))
    position = found.segment.size
    if (found.torn.length > 0) moveAside(disk, folder, found.segment.name, found.torn, file, position)
  }
  const leavesFile = disk.open(Path.join(path, "leaves"))
  leavesFile.truncate(found.saved * hashLength)

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
  const closing = new Set<() => void>()

  const append = (body: Body): Result.Result<Appended, EnforcementUnavailable> => {
    if (fault !== undefined) return Result.fail(fault)
    const ts = Date.now()
    if (unsigned !== undefined && (body.kind === "decision" || body.kind === "passthrough"))
      if (ts - unsigned.since > patience.ms || next - signed > patience.records)
        return Result.fail(
          unavailable(
            `The log at ${path} takes no more calls until its checkpoints are signed again. ${messageOf(unsigned.cause)}`,
            unsigned.cause
          )
        )
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
    try {
      rotate(next - group.lines.length)
    } catch (error) {
      busy = false
      return poison(error)
    }
    const bytes = bytesOf(group)
    writing = { bytes, position, leaves: group.leaves }
    file.write(bytes, position, (error) => {
      busy = false
      if (error !== null) return poison(error)
      if (closed) return
      writing = undefined
      position += bytes.length
      unsynced.push(...group.leaves)
      if (waiting.length > 0 || mustSync) return sync()
      syncTimer ??= setTimeout(() => {
        syncTimer = undefined
        mustSync = true
        pump()
      }, syncDelay).unref()
      pump()
    })
  }

  const sync = (): void => {
    busy = true
    mustSync = false
    clearTimeout(syncTimer)
    syncTimer = undefined
    file.sync((error) => {
      busy = false
      if (error !== null) return poison(error)
      if (closed) return
      acknowledge()
      const settled = waiting
      waiting = []
      // The next group is on its way before anybody is told of this one.
      pump()
      for (const tell of settled) tell(undefined)
      if (frontier.size > signed) checkpointTimer ??= setTimeout(checkpoint, checkpointDelay).unref()
    })
  }

  /** What is on the disk is in the tree, and may be signed. */
  const acknowledge = (): void => {
    for (const leaf of unsynced) {
      frontier.append(leaf)
      unsaved.push(leaf)
    }
    unsynced = []
  }

  const rotate = (first: number): void => {
    if (position < limit) return
    file.syncSync()
    file.close()
    file = disk.open(Path.join(folder, segmentName(first)))
    disk.syncFolderSync(folder)
    position = 0
  }

  const poison = (error: unknown): void => {
    end(
      unavailable(
        `The log at ${path} could not be written (${messageOf(error)}), and takes no more calls. See to the disk, then restart the process.`,
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

  const saveLeaves = (): void => {
    leavesFile.writeSync(Buffer.concat(unsaved), saved * hashLength)
    saved += unsaved.length
    unsaved = []
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
    const done = (size: number) => (): void => {
      signing = false
      signed = size
      unsigned = undefined
      firstSigned.resolve()
      if (frontier.size > signed && !closed && fault === undefined)
        checkpointTimer ??= setTimeout(checkpoint, checkpointDelay).unref()
    }
    const attempt = (step: () => void) => (error: Error | null) => {
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
      saveLeaves()
      const note = disk.open(draft)
      note.truncate(0)
      note.write(
        Buffer.from(text),
        0,
        attempt(() =>
          note.sync(
            attempt(() => {
              note.close()
              // Not in the background: a rename that is under way at exit would undo the last one.
              disk.rename(draft, Path.join(path, "checkpoint"))
              disk.syncFolder(path, attempt(done(size)))
            })
          )
        )
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
      attempt(closed ? done(signed) : write(text))(null)
    }
  }

  /** Calls go on for a while; it is tried again. */
  const notSigned = (cause: unknown): void => {
    signing = false
    unsigned ??= { since: Date.now(), cause }
    firstSigned.reject(cause)
    if (!closed && fault === undefined) checkpointTimer ??= setTimeout(checkpoint, checkpointDelay).unref()
  }

  /** Everything that was taken in is written, synced and, where the key is here, signed when this returns. */
  const flush = (): void => {
    if (writing !== undefined) {
      file.writeSync(writing.bytes, writing.position)
      position = writing.position + writing.bytes.length
      unsynced.push(...writing.leaves)
      writing = undefined
    }
    const group = pending
    pending = emptyGroup()
    if (group.lines.length > 0) {
      rotate(next - group.lines.length)
      const bytes = bytesOf(group)
      file.writeSync(bytes, position)
      position += bytes.length
      unsynced.push(...group.leaves)
    }
    file.syncSync()
    acknowledge()
    const text = frontier.size > signed && !isRemote ? signedText() : undefined
    if (typeof text === "string") signedWith(text, frontier.size)
    const settled = [...waiting, ...group.settled]
    waiting = []
    for (const tell of settled) tell(undefined)
  }

  const signedWith = (text: string, size: number): void => {
    saveLeaves()
    replace(disk, path, "checkpoint", text)
    signed = size
    firstSigned.resolve()
  }

  /** A key that is held elsewhere signs the end of the log too, where it can. */
  const signEnd = async (): Promise<void> => {
    if (!isRemote || fault !== undefined) return
    try {
      flush()
      const size = frontier.size
      signedWith(await signedText(), size)
    } catch {
      // What is not signed is there all the same, and is signed when the log is opened again.
    }
  }

  /** The last words. `idle` is false where a write may still be under way: its file must stay open then. */
  const finish = (idle: boolean): void => {
    try {
      if (fault === undefined) flush()
    } catch (error) {
      poison(error)
    } finally {
      end(unavailable(`The log at ${path} is closed.`))
      if (idle) {
        file.close()
        leavesFile.close()
      }
      Lock.release(disk, path, boot)
      openJournals.delete(exit)
    }
  }

  const lastWords = (): void => {
    for (const say of closing) say()
    append({ kind: "log.close" })
    closed = true
    clearTimeout(writeTimer)
    clearTimeout(syncTimer)
    clearTimeout(checkpointTimer)
  }

  const exit = (): void => {
    if (closed) return
    lastWords()
    finish(false)
  }

  const close = async (): Promise<void> => {
    if (closed) return
    lastWords()
    while (busy || signing) await new Promise((resolve) => setTimeout(resolve, 1))
    await signEnd()
    finish(true)
  }

  const records = (): ReadonlyArray<ReadRecord> => readRecords(disk, folder)

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
        ms: Math.max(0, Date.now() - ts)
      })
  }
  if (options.next !== undefined) {
    const { jwk, kid, publicKey } = options.next
    append({ kind: "key.active", use: "log", kid, jwk, vkey: formatVerifierKey(verifierKey(origin, publicKey)) })
  }
  for (const body of options.opening) append(body)
  flush()
  if (isRemote) checkpoint()
  openJournals.add(exit)
  return { signed: firstSigned.promise, path, origin, boot, append, whenDurable, closing, records, close }
}

const bytesOf = (group: Group): Buffer => Buffer.from(`${group.lines.join("\n")}\n`)

const moveAside = (disk: FileSystem, folder: string, name: string, torn: Buffer, segment: File, size: number): void => {
  const aside = disk.open(Path.join(folder, `${name}.torn-${Date.now()}`))
  aside.writeSync(torn, 0)
  aside.syncSync()
  aside.close()
  disk.syncFolderSync(folder)
  segment.truncate(size)
  segment.syncSync()
}

const readRecords = (disk: FileSystem, folder: string): ReadonlyArray<ReadRecord> => {
  const records: Array<ReadRecord> = []
  for (const { name } of segmentsOf(disk.list(folder)))
    for (const { line } of linesOf(disk.read(Path.join(folder, name)) ?? Buffer.alloc(0)))
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
