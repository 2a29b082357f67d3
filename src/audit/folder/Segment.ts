/**
 * Segments: the files that a journal is kept in, each named by the index of its first record, and the lines in them.
 */
import * as Result from "effect/Result"
import { isUtf8 } from "node:buffer"
import type { ReadRecord } from "../Record.ts"
import { parseLine } from "../RecordLine.ts"

/** Bytes after which a new segment is begun: 64 MiB. */
export const segmentSize = 64 * 1024 * 1024

/** How long a segment may be to be read, in bytes: what is appended at once may go beyond {@link segmentSize}. */
export const maximumSegment = 4 * segmentSize

/** How long any other text of a log may be, in bytes: its checkpoint, its vkeys, its lock. */
export const maximumText = 1024 * 1024

/** The name of the segment whose first record has this index. */
export const segmentName = (first: number): string => `${String(first).padStart(20, "0")}.jsonl`

/** Index of the first record of the segment with this name; undefined for the name of something else. */
export const segmentStart = (name: string): number | undefined =>
  /^[0-9]{20}\.jsonl$/.test(name) ? Number(name.slice(0, 20)) : undefined

/** A segment, by name. */
export interface Segment {
  readonly name: string
  readonly first: number
}

/** The segments among the names of a folder, in order. */
export const segmentsOf = (names: ReadonlyArray<string>): ReadonlyArray<Segment> =>
  names
    .flatMap((name) => {
      const first = segmentStart(name)
      return first === undefined ? [] : [{ name, first }]
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1))

/** The whole lines of some bytes, without their newlines, and where the line after each begins. */
export function* linesOf(bytes: Buffer): Generator<{ readonly line: Buffer; readonly next: number }> {
  let from = 0
  for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, from)) {
    yield { line: bytes.subarray(from, end), next: end + 1 }
    from = end + 1
  }
}

/** A line's text; undefined where it is not UTF-8. */
export const decodeLine = (line: Buffer): string | undefined => (isUtf8(line) ? line.toString("utf8") : undefined)

/** Why a line is not the record of its place. */
export interface LineFault {
  readonly code: "line_invalid" | "seq_mismatch"
  readonly message: string
}

/** The record that a line holds, at its place (audit format §2). */
export const recordAt = (text: string | undefined, index: number): Result.Result<ReadRecord, LineFault> => {
  if (text === undefined) return Result.fail({ code: "line_invalid", message: "the line is not UTF-8" })
  const record = parseLine(text)
  if (Result.isFailure(record)) return Result.fail({ code: "line_invalid", message: record.failure })
  return record.success.seq === index
    ? Result.succeed(record.success)
    : Result.fail({ code: "seq_mismatch", message: `the record says that it is record ${record.success.seq}` })
}
