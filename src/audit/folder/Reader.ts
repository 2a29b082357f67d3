/**
 * Reading a log from the outside, also while it is written: whole lines in order, a batch at a time, over all segments.
 */
import * as Result from "effect/Result"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { setTimeout } from "node:timers/promises"
import { maximumLine, parseLine, type ReadRecord } from "../Record.ts"
import { errorCode, openPlain } from "../../base/Files.ts"
import { decodeLine, linesOf, maximumSegment, type Segment, segmentsOf } from "./Segment.ts"

/** Some whole lines of a segment, without their newlines, in order. Of a line that is too long there is only the beginning. */
export interface Batch {
  readonly segment: Segment
  /** True for the first batch of its segment; a segment has at least one. */
  readonly begins: boolean
  readonly lines: ReadonlyArray<Buffer>
  /** How many bytes are after the last newline of the segment; 0 but in its last batch. */
  readonly torn: number
  /** True for a batch of the last segment. */
  readonly last: boolean
}

/** How much is read at once, in bytes; of a small file as much as there is, for memory is taken for a whole block. */
const blockSize = { least: 64 * 1024, most: 1024 * 1024 }

/** The segments of the log in `path`, in order; none where there is no journal. Throws what the file system throws. */
export const listSegments = async (path: string): Promise<ReadonlyArray<Segment>> => {
  try {
    return segmentsOf(await Fs.promises.readdir(Path.join(path, "journal")))
  } catch (error) {
    if (errorCode(error) === "ENOENT") return []
    throw error
  }
}

/** Reads the log in `path` from the segment that holds record `from` on. Throws what the file system throws. */
export async function* readBatches(path: string, from = 0): AsyncGenerator<Batch> {
  const segments = await listSegments(path)
  const start = Math.max(
    0,
    segments.findLastIndex(({ first }) => first <= from)
  )
  for (const [i, segment] of segments.slice(start).entries()) {
    const last = start + i === segments.length - 1
    let rest: Buffer = Buffer.alloc(0)
    let dropped = 0
    let begins = true
    const file = Path.join(path, "journal", segment.name)
    const { fd, stats } = openPlain(file, Fs.constants.O_RDONLY, maximumSegment)
    const highWaterMark = Math.min(Math.max(stats.size, blockSize.least), blockSize.most)
    for await (const block of Fs.createReadStream(file, { fd, highWaterMark })) {
      const bytes: Buffer = rest.length === 0 ? block : Buffer.concat([rest, block])
      const lines: Array<Buffer> = []
      let next = 0
      for (const found of linesOf(bytes)) {
        lines.push(found.line)
        next = found.next
      }
      if (next > 0) dropped = 0
      // A line of any length takes no more memory than one that may be.
      rest = bytes.subarray(next, next + maximumLine + 1)
      dropped += bytes.length - next - rest.length
      yield { segment, begins, lines, torn: 0, last }
      begins = false
    }
    yield { segment, begins, lines: [], torn: rest.length + dropped, last }
  }
}

/** A record as the journal has it. */
export interface Line {
  readonly index: number
  readonly text: string
  /** Undefined where the line is not valid. */
  readonly record: ReadRecord | undefined
}

/** The lines from record `from` on, valid or not. Throws what the file system throws. */
export async function* readLines(path: string, from = 0): AsyncGenerator<Line> {
  let index = 0
  for await (const { begins, lines, segment } of readBatches(path, from)) {
    if (begins) index = segment.first
    for (const line of lines) {
      if (index >= from) yield toLine(line, index)
      index++
    }
  }
}

const toLine = (bytes: Buffer, index: number): Line => {
  const text = decodeLine(bytes) ?? bytes.toString("latin1")
  return { index, text, record: Result.getOrUndefined(parseLine(text)) }
}

/** The last lines, at most `count`. */
export const lastLines = async (path: string, count: number): Promise<ReadonlyArray<Line>> => {
  const segments = await listSegments(path)
  let lines: ReadonlyArray<Line> = []
  for (const { first } of segments.toReversed()) {
    lines = await Array.fromAsync(readLines(path, first))
    // From the beginning of an earlier segment the later ones are read too.
    if (lines.length >= count) break
  }
  return count === 0 ? [] : lines.slice(-count)
}

/** How often a log that is followed is looked at, in ms. */
const followInterval = 200

/** The lines that hold these words as they are spelt: a call's id finds the call's records. */
export async function* linesWith(path: string, words: string): AsyncGenerator<Line> {
  let index = 0
  for await (const { begins, lines, segment } of readBatches(path)) {
    if (begins) index = segment.first
    for (const line of lines) {
      if (line.includes(words)) yield toLine(line, index)
      index++
    }
  }
}

/** A line, and the folder of the log that it is of. */
export interface LogLine {
  readonly log: string
  readonly line: Line
}

/** Lines of several logs, those of each in order, by the time of their records; one that is not valid stays where it is. */
export const byTime = (logs: Iterable<readonly [log: string, lines: ReadonlyArray<Line>]>): ReadonlyArray<LogLine> =>
  [...logs]
    .flatMap(([log, lines]) => {
      // A clock that was set back puts no line before the one that it follows.
      let latest = -Infinity
      return lines.map((line) => ({ log, line, at: (latest = Math.max(latest, line.record?.ts ?? latest)) }))
    })
    .sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0))
    .map(({ line, log }) => ({ log, line }))

/**
 * The new lines of some logs as they are written, across segments, until `signal` aborts: of each log from the record on that
 * `from` says, and of one that it does not know, which may come later, from the first. What was read is not read again. `cannotRead`
 * says what a failure of the file system is thrown as.
 */
export async function* followLogs(
  logs: () => ReadonlyArray<string>,
  from: ReadonlyMap<string, number>,
  signal: AbortSignal,
  cannotRead: (log: string, cause: unknown) => unknown = (_log, cause) => cause
): AsyncGenerator<LogLine> {
  const readers = new Map<string, () => Promise<ReadonlyArray<Line>>>()
  while (!signal.aborted) {
    const found: Array<readonly [string, ReadonlyArray<Line>]> = []
    for (const log of logs()) {
      const read = readers.get(log) ?? reader(log, from.get(log) ?? 0)
      readers.set(log, read)
      found.push([log, await read().catch((cause: unknown) => Promise.reject(cannotRead(log, cause)))])
    }
    yield* byTime(found)
    await setTimeout(followInterval, undefined, { signal }).catch(() => {})
  }
}

/** Reads a log on: each time the lines since the last one, at first those from record `from` on. */
const reader = (path: string, from: number): (() => Promise<ReadonlyArray<Line>>) => {
  let at = { name: "", offset: 0, index: 0 }
  return async () => {
    const found: Array<Line> = []
    for (const { first, name } of await listSegments(path)) {
      if (name < at.name) continue
      if (name > at.name) at = { name, offset: 0, index: first }
      const bytes = await readRest(Path.join(path, "journal", name), at.offset)
      for (const { line } of linesOf(bytes)) {
        if (at.index >= from) found.push(toLine(line, at.index))
        at = { name, offset: at.offset + line.length + 1, index: at.index + 1 }
      }
    }
    return found
  }
}

const readRest = async (file: string, offset: number): Promise<Buffer> =>
  Buffer.concat(
    await Array.fromAsync<Buffer>(
      Fs.createReadStream(file, { fd: openPlain(file, Fs.constants.O_RDONLY, maximumSegment).fd, start: offset })
    )
  )
