/**
 * The argument RECORD: a record by its index in a log, or those of a call by the call's id, in whichever log they are.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Argument from "effect/cli/Argument"
import { folderReader } from "../audit/folder/FolderReader.ts"
import { linesWith, readLines } from "../audit/Lines.ts"
import type { Line } from "../audit/Log.ts"
import { visible } from "../base/Text.ts"
import { CannotRun } from "./Ending.ts"
import { namedLogs, originOf, reading } from "./LogPath.ts"

/** The argument. */
export const record = Argument.String("record").pipe(
  Argument.withDescription("The index of a record, or the id of a call: that is looked for in every log")
)

/** A record that was found, in its log. */
export interface FoundRecord {
  readonly log: string
  /** True where there are other logs, in which it might have been. */
  readonly hasSiblings: boolean
  /** The record; of a call the first one. */
  readonly line: Line
  /** The others of its call, oldest first. */
  readonly others: ReadonlyArray<Line>
}

/** Finds a record; fails where it is not there, and where an index does not say which of several logs is meant. */
export const findRecord = (record: string, path: Option.Option<string>): Effect.Effect<FoundRecord, CannotRun> =>
  Effect.flatMap(namedLogs(Option.toArray(path)), (logs) =>
    /^[0-9]+$/.test(record) ? findIndex(Number(record), logs) : findCall(record, logs)
  )

const findIndex = (index: number, logs: ReadonlyArray<string>): Effect.Effect<FoundRecord, CannotRun> =>
  Effect.gen(function* () {
    const [log = "", ...siblings] = logs
    if (siblings.length > 0)
      return yield* new CannotRun({
        message: `Each log has records of its own, and there are ${logs.length}: name the one that has record ${index}, by its folder or its origin. ${logs.map(named).join(", ")}`
      })
    const line = (yield* reading(log, () => readLines(folderReader(log), index).next())).value
    if (line === undefined || line.index !== index)
      return yield* new CannotRun({ message: `The log at ${log} has no record ${index}.` })
    const call = line.record?.["call"]
    const lines = typeof call === "string" ? yield* reading(log, () => linesOfCall(log, call)) : []
    return { log, hasSiblings: false, line, others: lines.filter((other) => other.index !== index) }
  })

const findCall = (call: string, logs: ReadonlyArray<string>): Effect.Effect<FoundRecord, CannotRun> =>
  Effect.gen(function* () {
    let failure: CannotRun | undefined
    for (const log of logs) {
      const found = yield* Effect.result(reading(log, () => linesOfCall(log, call)))
      if (Result.isFailure(found)) {
        failure ??= found.failure
        continue
      }
      const [line, ...others] = found.success
      if (line !== undefined) return { log, hasSiblings: logs.length > 1, line, others }
    }
    return yield* (
      failure ?? new CannotRun({ message: `No record of the call ${visible(call)} is in ${logs.join(", ")}.` })
    )
  })

const linesOfCall = async (log: string, call: string): Promise<ReadonlyArray<Line>> => {
  const found: Array<Line> = []
  for await (const line of linesWith(folderReader(log), call)) if (line.record?.["call"] === call) found.push(line)
  return found
}

const named = (log: string): string => {
  const origin = originOf(log)
  return origin === undefined ? log : `${log} (${visible(origin)})`
}
