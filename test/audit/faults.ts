/**
 * A log on a disk that fails, and after a power cut: what has to hold of it whatever happens.
 */
import { assert } from "@effect/vitest"
import * as Result from "effect/Result"
import type { FileSystem } from "../../src/audit/folder/Disk.ts"
import type { Journal } from "../../src/audit/folder/Journal.ts"
import { parseNote, parseVerifierKeys, verifyNote } from "../../src/audit/proof/Checkpoint.ts"
import { leafHash, rootOf } from "../../src/audit/proof/MerkleTree.ts"
import { RecordOrder } from "../../src/audit/proof/RecordOrder.ts"
import { linesOf, recordAt, segmentsOf } from "../../src/audit/folder/Segment.ts"
import type { EnforcementUnavailable } from "../../src/call/Errors.ts"
import type { FaultyDisk } from "./FaultyDisk.ts"
import { decision, openLog, outcome } from "./logs.ts"

/** Small, so that a short log has many. */
export const segmentSize = 2500

/** An acknowledged record: its index and its leaf hash. */
export type Acknowledged = readonly [number, Uint8Array]

export const begin = (disk: FileSystem): Journal => openLog(disk, { segmentSize, retryDelay: 1, checkpointDelay: 1 })

/**
 * Makes a call: its decision, waited for, then its outcome. Gives why it was refused; `acknowledged` gains the decision only
 * once the log has said that it is on the disk.
 */
export const makeCall = (
  log: Journal,
  acknowledged: Array<Acknowledged>
): Promise<EnforcementUnavailable | undefined> =>
  new Promise((resolve) => {
    const writer = log.current()
    const body = decision()
    const appended = writer.append(body)
    if (Result.isFailure(appended)) return resolve(appended.failure)
    writer.whenDurable((fault) => {
      const { place } = appended.success
      if (fault === undefined && place !== undefined) {
        acknowledged.push([place.seq, place.leaf])
        writer.append(outcome(body.call, place.seq))
      }
      resolve(fault)
    })
  })

/** The records of a log and what is wrong with it, read apart from the journal's own code for opening. */
export const inspect = (disk: FileSystem) => {
  const note = Result.getOrThrow(parseNote(disk.read("/log/checkpoint")?.toString() ?? ""))
  assert.isTrue(verifyNote(note, Result.getOrThrow(parseVerifierKeys(disk.read("/log/vkey")?.toString() ?? ""))))
  const lines: Array<string> = []
  const sequence = new RecordOrder(note.origin)
  for (const { first, name } of segmentsOf(disk.list("/log/journal"))) {
    assert.strictEqual(first, lines.length, "a segment begins where the one before it ends")
    const bytes = disk.read(`/log/journal/${name}`) ?? Buffer.alloc(0)
    let whole = 0
    for (const { line, next } of linesOf(bytes)) {
      const record = Result.getOrThrowWith(recordAt(line.toString(), lines.length), ({ message }) => new Error(message))
      assert.isUndefined(sequence.take(record), `record ${lines.length}`)
      lines.push(line.toString())
      whole = next
    }
    assert.strictEqual(whole, bytes.length, "nothing is torn")
  }
  assert.isAtLeast(lines.length, note.size)
  const leaves = lines.map(leafHash)
  assert.deepStrictEqual([...note.root], [...rootOf(leaves.slice(0, note.size))])
  return { lines, leaves, open: sequence.open, signed: note.size }
}

/** Asserts that every acknowledged record is in its place, and that all is ended and signed. */
export const assertWhole = (disk: FileSystem, acknowledged: ReadonlyArray<Acknowledged>): ReadonlyArray<string> => {
  const { leaves, lines, open, signed } = inspect(disk)
  for (const [index, leaf] of acknowledged)
    assert.isTrue(leaves[index] !== undefined && Buffer.compare(leaves[index], leaf) === 0, `record ${index} is lost`)
  assert.deepStrictEqual([open, signed], [0, lines.length])
  return lines
}

/** A disk that a process left without a word is opened by another one, and closed well. */
export const reopen = async (disk: FaultyDisk): Promise<void> => {
  disk.remove("/log/lock")
  await begin(disk).close()
}

/** Time enough for what is due to be written. */
export const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 4))

/** Chance that is the same each time: xorshift32. */
export const chanceOf = (seed: number): { readonly next: () => number } => {
  let state = (seed * 2654435761) >>> 0 || 1
  return {
    next: () => {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      return (state >>> 0) / 2 ** 32
    }
  }
}

/** The script of a run: calls side by side, over several segments, with checkpoints between. Gives the refusals. */
export const script = async (
  log: Journal,
  acknowledged: Array<Acknowledged>,
  rounds = 4
): Promise<ReadonlyArray<EnforcementUnavailable>> => {
  const refusals: Array<EnforcementUnavailable> = []
  for (let round = 0; round < rounds; round++) {
    const made = await Promise.all(Array.from({ length: 3 }, () => makeCall(log, acknowledged)))
    for (const refusal of made) if (refusal !== undefined) refusals.push(refusal)
    await pause()
  }
  return refusals
}
