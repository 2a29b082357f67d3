/**
 * A proof that a record is in a log, as text (c2sp.org/tlog-proof@v1): with it, the record's line and the log's vkey
 * anybody can check that, and needs no log.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { type Note, parseNote, signersOf, type VerifierKey } from "./Checkpoint.ts"
import { inclusionProof, leafHash, verifyInclusion } from "./MerkleTree.ts"
import type { LogReader } from "../Log.ts"
import { decodeLine, recordAt } from "../folder/Segment.ts"
import type { ReadRecord } from "../Record.ts"
import { CannotVerify } from "./Verify.ts"

const format = "c2sp.org/tlog-proof@v1"

/** A proof, as read. */
export interface Proof {
  readonly index: number
  readonly hashes: ReadonlyArray<Uint8Array>
  /** The checkpoint that the proof leads to. */
  readonly note: Note
}

/** A record that is proven to be in a log. */
export interface Proven {
  readonly index: number
  readonly record: ReadRecord
  readonly origin: string
  /** How many records the checkpoint covers. */
  readonly size: number
}

/**
 * Proof that record `index` is in a log. Fails where the newest checkpoint does not cover the record, and where the records are
 * not those that it covers.
 */
export const prove = (log: LogReader, index: number): Effect.Effect<string, CannotVerify> =>
  Effect.tryPromise({
    try: () => proofOf(log, index),
    catch: (cause) =>
      cause instanceof CannotVerify
        ? cause
        : cannot(`The log at ${log.path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`)
  })

const cannot = (message: string): CannotVerify => new CannotVerify({ message })

const proofOf = async (log: LogReader, index: number): Promise<string> => {
  const { path } = log
  const text = await log.checkpoint()
  if (text === undefined) throw cannot(`There is no checkpoint at ${path}.`)
  const checkpoint = Result.getOrThrowWith(text, (fault) =>
    cannot(`The checkpoint at ${path} cannot be read: ${fault}`)
  )
  const note = Result.getOrThrowWith(parseNote(checkpoint), (fault) =>
    cannot(`The checkpoint at ${path} cannot be read: ${fault}`)
  )
  if (index < 0 || index >= note.size)
    throw cannot(`Record ${index} is not signed: the checkpoint covers the first ${note.size} records.`)
  const leaves: Array<Uint8Array> = []
  for await (const { lines } of log.records())
    for (const line of lines) if (leaves.length < note.size) leaves.push(leafHash(line))
  const leaf = leaves[index]
  if (leaf === undefined || leaves.length < note.size) throw cannot(`The log at ${path} has lost records: verify it.`)
  const hashes = inclusionProof(leaves, index)
  // Check before printing: a proof that does not hold would look like one that does.
  if (Result.isFailure(verifyInclusion(leaf, index, note.size, hashes, note.root)))
    throw cannot(`The records at ${path} are not those that were signed: verify the log.`)
  return `${format}\nindex ${index}\n${hashes.map((hash) => `${base64(hash)}\n`).join("")}\n${checkpoint}`
}

/** Reads a proof. Nothing of it is to be believed before {@link checkProof}. The failure says what is wrong. */
export const parseProof = (text: string): Result.Result<Proof, string> => {
  const end = text.indexOf("\n\n")
  if (end < 0) return Result.fail("there is no empty line between the hashes and the checkpoint")
  const [first, ...rest] = text.slice(0, end).split("\n")
  if (first !== format) return Result.fail(`the first line is not ${format}`)
  const [second = "", ...encoded] = rest[0]?.startsWith("extra ") ? rest.slice(1) : rest
  const index = /^index (0|[1-9][0-9]*)$/.exec(second)?.[1]
  if (index === undefined || !Number.isSafeInteger(Number(index))) return Result.fail("there is no line with the index")
  const hashes = encoded.map((line) => Buffer.from(line, "base64"))
  if (!hashes.every((hash, i) => hash.length === 32 && base64(hash) === encoded[i]))
    return Result.fail("a hash is not 32 bytes in base64")
  return Result.map(
    Result.mapError(parseNote(text.slice(end + 2)), (fault) => `its checkpoint cannot be read: ${fault}`),
    (note) => ({ index: Number(index), hashes, note })
  )
}

/**
 * Checks that `line`, a record without its newline, is in the log that one of `keys` signs. The failure says what does not
 * hold.
 */
export const checkProof = (
  text: string,
  line: Buffer,
  keys: ReadonlyArray<VerifierKey>
): Result.Result<Proven, string> =>
  Result.gen(function* () {
    const { hashes, index, note } = yield* parseProof(text)
    if (signersOf(note, keys).length === 0)
      return yield* Result.fail(`the proof's checkpoint of ${note.origin} is not signed by the given key`)
    const record = yield* Result.mapError(recordAt(decodeLine(line), index), ({ message }) => message)
    yield* verifyInclusion(leafHash(line), index, note.size, hashes, note.root)
    return { index, record, origin: note.origin, size: note.size }
  })

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64")
