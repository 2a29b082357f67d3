/**
 * Verifies a log with nothing but its records, its checkpoint and its keys, and perhaps a key or a checkpoint kept from before
 * (audit format §7). Only reads, also while the log is written; keeps nothing of the records but what is open.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { type Note, parseNote, parseVerifierKeys, signersOf, type VerifierKey } from "./Checkpoint.ts"
import { isSameKey, LogKeys } from "./LogKeys.ts"
import { Frontier, hashLength, leafHash, sameHash } from "./MerkleTree.ts"
import type { LogReader } from "../Log.ts"
import { maximumLine } from "../RecordLine.ts"
import { decodeLine, recordAt } from "../folder/Segment.ts"
import { RecordOrder } from "./RecordOrder.ts"

/** What kind of thing does not hold. */
export type ProblemCode =
  | "checkpoint_missing"
  | "checkpoint_invalid"
  | "signature_invalid"
  | "segment_order"
  | "line_invalid"
  | "seq_mismatch"
  | "too_short"
  | "root_mismatch"
  | "rolled_back"
  | "forked"
  | "call_inconsistent"
  | "boot_inconsistent"

/** Something that does not hold, and the record that it was seen at. */
export interface Problem {
  readonly index?: number
  readonly code: ProblemCode
  readonly message: string
}

/** What verification found. */
export interface Report {
  readonly ok: boolean
  readonly origin: string
  /** How many records the newest checkpoint covers. */
  readonly size: number
  /** Its root, base64. */
  readonly root: string
  /** How many whole lines there are. */
  readonly records: number
  /** How many of them are past the checkpoint. */
  readonly unsigned: number
  /** Bytes after the last whole line. */
  readonly torn: number
  /** Calls without an outcome yet. */
  readonly open: number
  /** Whose key the checkpoint was verified by: one that was given, or the log's own. */
  readonly key: "given" | "own"
  /** When the first and the last record were written, in ms since 1970. */
  readonly from?: number
  readonly to?: number
  /** The first problems, in the order of the checks. */
  readonly problems: ReadonlyArray<Problem>
  /** How many problems there are beyond those. */
  readonly more: number
}

/** What a log is verified against besides itself. */
export interface VerifyOptions {
  readonly log: LogReader
  /** Keys of the log that are known from elsewhere: one, or those of a time when they changed. */
  readonly keys?: ReadonlyArray<VerifierKey> | undefined
  /** The texts of checkpoints that were kept from before. */
  readonly since?: string | ReadonlyArray<string> | undefined
}

/**
 * Verification cannot run: there is no such log, or it cannot be read.
 *
 * @category errors
 */
export class CannotVerify extends Schema.TaggedError<CannotVerify>()("CannotVerify", { message: Schema.String }) {}

/** How many problems a report lists. */
const maximumProblems = 100

/** Verifies a log: every check of the format, in its order. Fails only where there is nothing to verify. */
export const verify = (options: VerifyOptions): Effect.Effect<Report, CannotVerify> =>
  Effect.tryPromise({ try: () => check(options), catch: cannot(options.log.path) })

const cannot =
  (path: string) =>
  (cause: unknown): CannotVerify =>
    cause instanceof CannotVerify
      ? cause
      : new CannotVerify({
          message: `The log at ${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`
        })

/** Lists what it is told, up to a limit, and counts the rest. */
class Problems {
  readonly list: Array<Problem> = []
  count = 0
  add(code: ProblemCode, message: string, index?: number): void {
    this.count++
    if (this.list.length < maximumProblems)
      this.list.push(index === undefined ? { code, message } : { index, code, message })
  }
}

const check = async ({ keys: given, log, since = [] }: VerifyOptions): Promise<Report> => {
  const identity = new Problems()
  const { keys, note, signers } = await readIdentity(log, given, identity)
  const earlier = [since].flat().map(parseNote)
  const sizes = earlier.flatMap((read) => (Result.isSuccess(read) ? [read.success.size] : []))
  const journal = await readRecords(log, new Set(note === undefined ? sizes : [note.size, ...sizes]), note)
  const tree = new Problems()
  if (note !== undefined) {
    await checkTree(log, note, journal, tree)
    checkSigners(note, signers, journal, tree)
  }
  const history = new Problems()
  for (const read of earlier) checkSince(read, { note, keys, signers, given: given !== undefined }, journal, history)
  // Records that cannot be read make no sense; that says nothing new.
  const sense = journal.lines.count === 0 ? journal.sense : new Problems()
  const all = [identity, journal.lines, tree, history, sense]
  const list = all.flatMap((problems) => problems.list).slice(0, maximumProblems)
  const count = all.reduce((sum, problems) => sum + problems.count, 0)
  return {
    ok: count === 0,
    origin: note?.origin ?? "",
    size: note?.size ?? 0,
    root: note === undefined ? "" : base64(note.root),
    records: journal.records,
    unsigned: Math.max(0, journal.records - (note?.size ?? 0)),
    torn: journal.torn,
    open: journal.open,
    key: given === undefined ? "own" : "given",
    ...(journal.from !== undefined && { from: journal.from }),
    ...(journal.to !== undefined && { to: journal.to }),
    problems: list,
    more: count - list.length
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// 1. Key and checkpoint
// ---------------------------------------------------------------------------------------------------------------------

interface Identity {
  /** The keys that are held: those that were given, or else the log's own. */
  readonly keys: ReadonlyArray<VerifierKey>
  readonly note: Note | undefined
  /** Which of them signed the note. */
  readonly signers: ReadonlyArray<VerifierKey>
}

const readIdentity = async (
  log: LogReader,
  given: ReadonlyArray<VerifierKey> | undefined,
  problems: Problems
): Promise<Identity> => {
  const vkey = await log.keys()
  const checkpoint = await log.checkpoint()
  if (!(await log.isThere())) throw new CannotVerify({ message: `There is no log at ${log.path}.` })
  const own = vkey === undefined ? undefined : Result.flatMap(vkey, parseVerifierKeys)
  if (own === undefined) problems.add("checkpoint_missing", "the file vkey is missing")
  else if (Result.isFailure(own)) problems.add("checkpoint_invalid", `the file vkey cannot be read: ${own.failure}`)
  const listed = own === undefined ? [] : Result.getOrElse(own, () => [])
  if (given !== undefined && listed.length > 0 && !listed.some((key) => given.some((one) => isSameKey(key, one))))
    problems.add(
      "signature_invalid",
      `the log's vkey does not hold the given key of ${given.map(({ name }) => name).join(", ")}`
    )
  const keys = given ?? listed
  if (checkpoint === undefined) {
    problems.add("checkpoint_missing", "the file checkpoint is missing")
    return { keys, note: undefined, signers: [] }
  }
  const read = Result.flatMap(checkpoint, parseNote)
  if (Result.isFailure(read)) {
    problems.add("checkpoint_invalid", `the checkpoint cannot be read: ${read.failure}`)
    return { keys, note: undefined, signers: [] }
  }
  const note = read.success
  const signers = signersOf(note, keys)
  if (signers.length === 0)
    problems.add("signature_invalid", `the checkpoint of ${note.origin} is not signed by a key that is held`)
  return { keys, note, signers }
}

// ---------------------------------------------------------------------------------------------------------------------
// 2. Segments and lines, and what the later checks need of them
// ---------------------------------------------------------------------------------------------------------------------

interface RecordsRead {
  readonly records: number
  readonly torn: number
  readonly open: number
  readonly from: number | undefined
  readonly to: number | undefined
  /** Roots of the first records, by how many. */
  readonly roots: ReadonlyMap<number, Uint8Array>
  readonly logKeys: LogKeys
  readonly lines: Problems
  readonly sense: Problems
}

const readRecords = async (
  log: LogReader,
  /** Of how many of the first records the root is wanted. */
  sizes: ReadonlySet<number>,
  note: Note | undefined
): Promise<RecordsRead> => {
  const lines = new Problems()
  const sense = new Problems()
  const sequence = new RecordOrder(note?.origin)
  const logKeys = new LogKeys()
  const frontier = new Frontier()
  const roots = new Map([[0, frontier.root()]])
  let torn = 0
  let cut = false
  let from: number | undefined
  let to: number | undefined
  for await (const batch of log.records()) {
    if (batch.begins !== undefined && batch.first !== frontier.size)
      lines.add("segment_order", `segment ${batch.begins} should begin with record ${frontier.size}`, frontier.size)
    for (const line of batch.lines) {
      const index = frontier.size
      const text = decodeLine(line)
      frontier.append(leafHash(text ?? line))
      // Of a line that is too long there is only the beginning: it has no leaf, and what comes after it no root.
      cut ||= line.length > maximumLine
      if (!cut && sizes.has(frontier.size)) roots.set(frontier.size, frontier.root())
      const record = recordAt(text, index)
      if (Result.isFailure(record)) {
        lines.add(record.failure.code, record.failure.message, index)
        continue
      }
      from ??= record.success.ts
      to = record.success.ts
      logKeys.take(record.success)
      const senseless = sequence.take(record.success)
      if (senseless !== undefined) sense.add(senseless.code, senseless.message, index)
    }
    if (batch.torn === 0) continue
    if (batch.last && frontier.size >= (note?.size ?? 0)) torn = batch.torn
    else lines.add("line_invalid", "the line does not end", frontier.size)
  }
  return { records: frontier.size, torn, open: sequence.open, from, to, roots, logKeys, lines, sense }
}

// ---------------------------------------------------------------------------------------------------------------------
// 3. The tree, 4. an earlier checkpoint
// ---------------------------------------------------------------------------------------------------------------------

const checkTree = async (log: LogReader, note: Note, journal: RecordsRead, problems: Problems): Promise<void> => {
  const root = journal.roots.get(note.size)
  if (root !== undefined && sameHash(root, note.root)) return
  if (journal.records < note.size)
    problems.add("too_short", `there are ${journal.records} records, and ${note.size} were signed`, journal.records)
  const changed = await changedRecords(log, note)
  for (const index of changed) problems.add("root_mismatch", `record ${index} is not the one that was signed`, index)
  if (changed.length === 0 && root !== undefined)
    problems.add(
      "root_mismatch",
      `the first ${note.size} records have the root ${base64(root)}, and ${base64(note.root)} was signed`
    )
}

/** The records that differ from the leaf hashes that the store kept, where that is the one that was signed. */
const changedRecords = async (log: LogReader, note: Note): Promise<ReadonlyArray<number>> => {
  const leaves = await log.leaves()
  if (leaves.length < note.size * hashLength) return []
  const frontier = new Frontier()
  const leaf = (index: number): Uint8Array => leaves.subarray(index * hashLength, (index + 1) * hashLength)
  for (let i = 0; i < note.size; i++) frontier.append(leaf(i))
  if (!sameHash(frontier.root(), note.root)) return []
  const changed: Array<number> = []
  let index = 0
  for await (const batch of log.records())
    for (const line of batch.lines) {
      if (index < note.size && (line.length > maximumLine || !sameHash(leafHash(line), leaf(index))))
        changed.push(index)
      index++
    }
  return changed
}

/** A key that had ended at the note's size signs nothing there. */
const checkSigners = (
  note: Note,
  signers: ReadonlyArray<VerifierKey>,
  { logKeys }: RecordsRead,
  problems: Problems
): void => {
  const ends = signers.map((key) => logKeys.endOf(key, note.size))
  const [end] = ends
  if (end !== undefined && !ends.includes(undefined))
    problems.add("signature_invalid", `the checkpoint is signed by a key that record ${end} ended`, end)
}

interface Now {
  readonly note: Note | undefined
  readonly keys: ReadonlyArray<VerifierKey>
  readonly signers: ReadonlyArray<VerifierKey>
  /** Whether the keys were given. */
  readonly given: boolean
}

const checkSince = (
  parsed: Result.Result<Note, string>,
  options: Now,
  journal: RecordsRead,
  problems: Problems
): void => {
  const { note } = options
  if (Result.isFailure(parsed)) {
    problems.add("checkpoint_invalid", `the earlier checkpoint cannot be read: ${parsed.failure}`)
    return
  }
  const earlier = parsed.success
  const named = journal.logKeys.namedBy(earlier.size)
  const known = [...options.keys, ...named.filter((key) => !options.keys.some((held) => isSameKey(held, key)))]
  const authors = signersOf(earlier, known).filter((key) => journal.logKeys.endOf(key, earlier.size) === undefined)
  if (authors.length === 0) {
    problems.add("signature_invalid", `the earlier checkpoint of ${earlier.origin} is not signed by a key that is held`)
    return
  }
  if (note !== undefined && earlier.size > note.size)
    problems.add("rolled_back", `${earlier.size} records were signed before, and ${note.size} are signed now`)
  const root = journal.roots.get(earlier.size)
  if (journal.records < earlier.size) {
    if (note === undefined || earlier.size <= note.size)
      problems.add("rolled_back", `${earlier.size} records were signed before, and there are ${journal.records}`)
  } else if (root !== undefined && !sameHash(root, earlier.root)) {
    problems.add(
      "forked",
      `the first ${earlier.size} records have the root ${base64(root)}, and ${base64(earlier.root)} was signed before`
    )
  }
  // Anyone who has the folder can add records and a key of their own; the key must be one that the earlier checkpoint knows.
  const vouched = [...authors, ...named]
  if (
    !options.given &&
    options.signers.length > 0 &&
    !options.signers.some((key) => vouched.some((k) => isSameKey(k, key)))
  )
    problems.add(
      "signature_invalid",
      "the log's key was not its key when the earlier checkpoint was signed; give the new key with --key"
    )
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64")
