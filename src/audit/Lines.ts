/**
 * The lines of a log, as its readers give them: from a record on, the last ones, those with some words, and as they are written.
 */
import * as Result from "effect/Result"
import { setTimeout } from "node:timers/promises"
import type { Line, LogReader } from "./Log.ts"
import { decodeLine } from "./folder/Segment.ts"
import { parseLine } from "./RecordLine.ts"

/** The lines from record `from` on, valid or not. Rejects with what the store fails with, as everything here does. */
export async function* readLines(log: LogReader, from = 0, signal?: AbortSignal): AsyncGenerator<Line> {
  for await (const { first, lines } of log.records(from, signal))
    for (const [i, line] of lines.entries()) if (first + i >= from) yield toLine(line, first + i)
}

const toLine = (bytes: Buffer, index: number): Line => {
  const text = decodeLine(bytes) ?? bytes.toString("latin1")
  return { index, text, record: Result.getOrUndefined(parseLine(text)) }
}

/** The last lines, at most `count`. */
export const lastLines = async (log: LogReader, count: number): Promise<ReadonlyArray<Line>> => {
  let lines: ReadonlyArray<Line> = []
  for (const first of (await log.starts()).toReversed()) {
    lines = await Array.fromAsync(readLines(log, first))
    // From an earlier start the later lines are read too.
    if (lines.length >= count) break
  }
  return count === 0 ? [] : lines.slice(-count)
}

/** How often a log that is followed is looked at, in ms. */
const followInterval = 200

/** The lines that hold these words as they are spelt: a call's id finds the call's records. */
export async function* linesWith(log: LogReader, words: string): AsyncGenerator<Line> {
  for await (const { first, lines } of log.records())
    for (const [i, line] of lines.entries()) if (line.includes(words)) yield toLine(line, first + i)
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
 * The new lines of some logs as they are written, until `signal` aborts: of each log from the record on that `from` gives, and of a
 * log that it does not name, which may be made later, from the first. `readerOf` is called once for each log. `cannotRead` gives
 * what a failure of the store is thrown as.
 */
export async function* followLogs(
  logs: () => ReadonlyArray<string>,
  from: ReadonlyMap<string, number>,
  signal: AbortSignal,
  readerOf: (log: string) => LogReader,
  cannotRead: (log: string, cause: unknown) => unknown = (_log, cause) => cause
): AsyncGenerator<LogLine> {
  const following = new Map<string, { readonly reader: LogReader; next: number }>()
  while (!signal.aborted) {
    const found: Array<readonly [string, ReadonlyArray<Line>]> = []
    for (const log of logs()) {
      const one = following.get(log) ?? { reader: readerOf(log), next: from.get(log) ?? 0 }
      following.set(log, one)
      const lines = await Array.fromAsync(readLines(one.reader, one.next)).catch((cause: unknown) =>
        Promise.reject(cannotRead(log, cause))
      )
      one.next = (lines.at(-1)?.index ?? one.next - 1) + 1
      found.push([log, lines])
    }
    yield* byTime(found)
    await setTimeout(followInterval, undefined, { signal }).catch(() => {})
  }
}
