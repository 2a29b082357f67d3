/**
 * What is found where a log is opened: its identity, its tree, how its last process left it, and which calls that process
 * never ended. Damage below the signed size refuses; a torn tail at or past it is moved aside (audit format §2).
 */
import * as Result from "effect/Result"
import * as Path from "node:path"
import { type Note, parseNote, parseVerifierKeys, type VerifierKey, verifyNote } from "../proof/Checkpoint.ts"
import type { FileSystem } from "./Disk.ts"
import { Frontier, hashLength, leafHash, sameHash } from "../proof/MerkleTree.ts"
import { claimLifetime, Quota } from "../Quota.ts"
import type { ReadRecord } from "../Record.ts"
import { decodeLine, linesOf, maximumSegment, maximumText, recordAt, type Segment, segmentsOf } from "./Segment.ts"

/** A call that was decided and has no outcome. */
export interface OpenCall {
  readonly call: string
  /** Index of its `decision` or `passthrough`. */
  readonly decision: number
  /** When that was written, in milliseconds since 1970. */
  readonly ts: number
}

/** How much of a log there is: a size, and the root of so many records. */
export interface TreeHead {
  readonly size: number
  readonly root: Uint8Array
}

/** A log as it was found. */
export interface FoundLog {
  readonly origin: string
  readonly frontier: Frontier
  /** Size of the newest checkpoint. */
  readonly signed: number
  /** How many leaf hashes the `leaves` file holds rightly. */
  readonly saved: number
  /** Leaf hashes from there on. */
  readonly unsaved: ReadonlyArray<Uint8Array>
  /** The segment to go on with, how many of its bytes are whole lines, and those of them that no checkpoint covers. */
  readonly segment: { readonly name: string; readonly size: number; readonly unsigned: Buffer } | undefined
  /** Bytes past the last whole line, to be moved aside. */
  readonly torn: Buffer
  /** The latest time in the last records, in ms since 1970; 0 in a log that is empty. */
  readonly latest: number
  /** What callers have claimed of their limits, as the last records say. */
  readonly quota: Quota
  /** The boot that wrote the last record and did not close; undefined where all is well. */
  readonly crashed: string | undefined
  readonly open: ReadonlyArray<OpenCall>
}

/** A log that must not be written to: it was changed, or is another's. */
export class Damaged extends Error {}

/** A log of another log key. */
export class OfAnotherKey extends Damaged {}

/**
 * Reads the log in `folder`, whose key is `publicKey`; undefined where there is none yet. `known` is what this process has
 * had on the disk before, which must still be there. Only reads. Throws {@link Damaged}.
 */
export const examine = (
  disk: FileSystem,
  folder: string,
  publicKey: Uint8Array,
  known: TreeHead = { size: 0, root: new Frontier().root() }
): FoundLog | undefined => {
  const journal = Path.join(folder, "journal")
  const segments = segmentsOf(disk.list(journal))
  const note = disk.read(Path.join(folder, "checkpoint"), maximumText)?.toString("utf8")
  const vkey = disk.read(Path.join(folder, "vkey"), maximumText)?.toString("utf8")
  // The key comes first, then an empty checkpoint, then the journal: a key alone is a log that was never begun.
  if (note === undefined && segments.length === 0) {
    if (known.size > 0) throw new Damaged(`it is gone, and ${known.size} records were acknowledged`)
    return undefined
  }
  if (note === undefined) throw new Damaged("the checkpoint is missing")
  if (vkey === undefined) throw new Damaged("the vkey is missing")
  const keys = expect("the vkey", parseVerifierKeys(vkey))
  const mine = keys.filter((key) => Buffer.compare(key.publicKey, publicKey) === 0)
  if (mine.length === 0)
    throw new OfAnotherKey(
      "it belongs to another log key than the one in this home; restore that key, or name another path"
    )
  const checkpoint = expect("the checkpoint", parseNote(note))
  if (!verifyNote(checkpoint, keys)) throw new Damaged("the checkpoint is not signed by the log's key")
  return scan(disk, folder, segments, checkpoint, mine, known)
}

const scan = (
  disk: FileSystem,
  folder: string,
  segments: ReadonlyArray<Segment>,
  checkpoint: Note,
  keys: ReadonlyArray<VerifierKey>,
  known: TreeHead
): FoundLog => {
  if (!keys.some((key) => key.name === checkpoint.origin))
    throw new Damaged("the checkpoint has another origin than the vkey")
  const leaves = disk.read(Path.join(folder, "leaves")) ?? Buffer.alloc(0)
  // Leaf hashes that come to the signed root are as good as the lines they were made of.
  const cached = grow(leaves, checkpoint.size)
  const trusted = cached !== undefined && sameHash(cached.root(), checkpoint.root) ? checkpoint.size : 0
  const frontier = trusted > 0 && cached !== undefined ? cached : new Frontier()
  if (known.size <= trusted && !sameHash(grow(leaves, known.size)?.root() ?? known.root, known.root))
    throw new Damaged(`the first ${known.size} records are not those that were acknowledged`)
  const unsaved: Array<Uint8Array> = []
  const floor = Math.max(checkpoint.size, known.size)
  const start = Math.max(
    0,
    segments.findLastIndex((segment) => segment.first <= trusted)
  )
  let index = segments[start]?.first ?? 0
  if (start === 0 && index !== 0) throw new Damaged("the first segment is missing")
  let torn: Buffer = Buffer.alloc(0)
  let whole = 0
  let covered = 0
  let bytes: Buffer = Buffer.alloc(0)
  for (const [i, segment] of segments.slice(start).entries()) {
    const last = start + i === segments.length - 1
    if (segment.first !== index) throw new Damaged(`segment ${segment.name} should begin with record ${index}`)
    bytes = disk.read(Path.join(folder, "journal", segment.name), maximumSegment) ?? Buffer.alloc(0)
    whole = 0
    covered = 0
    for (const { line, next } of linesOf(bytes)) {
      const text = decodeLine(line)
      if (index < trusted) {
        if (!sameHash(leafHash(text ?? ""), leafAt(leaves, index))) throw new Damaged(`record ${index} was changed`)
      } else {
        const record = recordAt(text, index)
        if (text === undefined || Result.isFailure(record)) {
          if (last && index >= floor) break
          throw new Damaged(`record ${index}: ${Result.isFailure(record) ? record.failure.message : "it is not UTF-8"}`)
        }
        const leaf = leafHash(text)
        frontier.append(leaf)
        unsaved.push(leaf)
        if (frontier.size === checkpoint.size && !sameHash(frontier.root(), checkpoint.root))
          throw new Damaged(`the first ${checkpoint.size} records do not have the signed root`)
        if (frontier.size === known.size && !sameHash(frontier.root(), known.root))
          throw new Damaged(`the first ${known.size} records are not those that were acknowledged`)
      }
      index++
      whole = next
      if (index <= checkpoint.size) covered = next
    }
    if (whole < bytes.length && !last) throw new Damaged(`segment ${segment.name} does not end with a whole line`)
    torn = bytes.subarray(whole)
  }
  if (index < checkpoint.size) throw new Damaged(`it has ${index} records, and ${checkpoint.size} were signed`)
  if (index < known.size) throw new Damaged(`it has ${index} records, and ${known.size} were acknowledged`)
  const last = segments.at(-1)
  return {
    origin: checkpoint.origin,
    frontier,
    signed: checkpoint.size,
    saved: trusted,
    unsaved,
    segment:
      last === undefined ? undefined : { name: last.name, size: whole, unsigned: bytes.subarray(covered, whole) },
    torn,
    ...leftBehind(disk, folder, segments, whole)
  }
}

const leafAt = (leaves: Buffer, index: number): Uint8Array =>
  leaves.subarray(index * hashLength, (index + 1) * hashLength)

const grow = (leaves: Buffer, size: number): Frontier | undefined => {
  if (leaves.length < size * hashLength) return undefined
  const frontier = new Frontier()
  for (let i = 0; i < size; i++) frontier.append(leafAt(leaves, i))
  return frontier
}

const expect = <A>(what: string, read: Result.Result<A, string>): A => {
  if (Result.isFailure(read)) throw new Damaged(`${what} cannot be read: ${read.failure}`)
  return read.success
}

/**
 * How the last boots left the log. Reads backwards to the last record at which no call and no other boot was open (a `log.close`, or
 * a `log.recovered` after its `log.open` with all of its outcomes), and as far as claims may still count against a limit.
 */
const leftBehind = (
  disk: FileSystem,
  folder: string,
  segments: ReadonlyArray<Segment>,
  whole: number
): Pick<FoundLog, "crashed" | "latest" | "open" | "quota"> => {
  let records: Array<Trace> = []
  let left: Pick<FoundLog, "crashed" | "open"> | undefined
  for (const [back, segment] of segments.toReversed().entries()) {
    const bytes = disk.read(Path.join(folder, "journal", segment.name), maximumSegment) ?? Buffer.alloc(0)
    const lines = back === 0 ? bytes.subarray(0, whole) : bytes
    records = [...[...linesOf(lines)].map(({ line }) => JSON.parse(line.toString("utf8")) as Trace), ...records]
    left ??= leftSinceQuiet(records)
    if (left !== undefined && (records[0]?.ts ?? 0) <= latestOf(records) - claimLifetime) break
  }
  const latest = latestOf(records)
  return {
    ...(left ?? leftIn(records)),
    latest,
    quota: Quota.of(records.filter(({ ts }) => ts > latest - claimLifetime))
  }
}

/** What is open since the last record at which nothing was; undefined where there is no such record. */
const leftSinceQuiet = (records: ReadonlyArray<Trace>): Pick<FoundLog, "crashed" | "open"> | undefined => {
  const quiet = records.findLastIndex((record, i) => isQuiet(records, record, i))
  return quiet < 0 ? undefined : leftIn(records.slice(quiet))
}

const leftIn = (records: ReadonlyArray<Trace>): Pick<FoundLog, "crashed" | "open"> => ({
  crashed: openBootIn(records),
  open: openIn(records)
})

/** What recovery looks at in a record that was checked before. */
interface Trace extends ReadRecord {
  readonly call?: string
  readonly open?: number
  readonly previous?: string
  readonly beside?: number
}

const latestOf = (records: ReadonlyArray<Trace>): number => records.reduce((latest, { ts }) => Math.max(latest, ts), 0)

const isQuiet = (records: ReadonlyArray<Trace>, record: Trace, i: number): boolean => {
  if (record.beside !== undefined) return false
  if (record.kind === "log.close") return true
  if (record.kind !== "log.recovered") return false
  // A boot that has run for a while may have calls of its own.
  const before = records[i - 1]
  if (before?.kind !== "log.open" || before.beside !== undefined) return false
  const count = record.open ?? 0
  const ended = records.slice(i + 1, i + 1 + count)
  return ended.length === count && ended.every(({ boot, kind }) => kind === "outcome" && boot === record.boot)
}

/** The boot that was opened last of those that are open at the end; undefined where every boot closed. */
const openBootIn = (records: ReadonlyArray<Trace>): string | undefined => {
  const open = new Set<string>()
  for (const { beside, boot, kind, previous } of records) {
    // A boot that stands alone takes over from all that are open.
    if (kind === "log.open" && beside === undefined) open.clear()
    if (kind === "log.close") open.delete(boot)
    else open.add(boot)
    if (kind === "log.recovered" && previous !== undefined) open.delete(previous)
  }
  return [...open].at(-1)
}

const openIn = (records: ReadonlyArray<Trace>): ReadonlyArray<OpenCall> => {
  const open = new Map<string, OpenCall>()
  for (const { call, kind, seq, ts } of records) {
    if (call === undefined) continue
    if (kind === "decision" || kind === "passthrough") open.set(call, { call, decision: seq, ts })
    if (kind === "outcome") open.delete(call)
  }
  return [...open.values()]
}
