/**
 * `secure-openai audit tail`: the last records of the logs, and with `-f` the ones to come.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Path from "node:path"
import { folderReader, listSegments } from "../audit/folder/FolderReader.ts"
import { byTime, followLogs, lastLines, type LogLine } from "../audit/Lines.ts"
import { visible } from "../base/Text.ts"
import { CannotRun } from "./Ending.ts"
import { cannotRead, logPaths, namedLogs, path, reading } from "./LogPath.ts"
import { recordLine } from "./Words.ts"
import { print, printJsonText } from "./Output.ts"

/** How many records are shown. */
const shown = 10

/** The command. */
export const tail = Command.make(
  "tail",
  {
    path,
    follow: Flag.Boolean("follow").pipe(
      Flag.withAlias("f"),
      Flag.withDescription("Go on with each record as it is written, also of logs that are made meanwhile"),
      Flag.withDefault(false)
    ),
    json: Flag.Boolean("json").pipe(
      Flag.withDescription("The records as JSON, a line each; of several logs with the member log, the folder"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function* ({ follow, json, path }) {
    const logs = yield* namedLogs(Option.toArray(path))
    const last = yield* Effect.forEach(logs, (log) =>
      reading(log, async () => ({
        log,
        isThere: (await listSegments(log)).length > 0,
        lines: await lastLines(folderReader(log), shown)
      }))
    )
    const there = last.filter(({ isThere }) => isThere)
    if (there.length === 0) return yield* new CannotRun({ message: `There is no log at ${logs.join(", ")}.` })
    const known = new Set(there.map(({ log }) => log))
    const show = (line: LogLine): Effect.Effect<void> => {
      const isOneOfSeveral = known.add(line.log).size > 1
      return json ? printJsonText(jsonOf(line, isOneOfSeveral)) : print(wordsOf(line, isOneOfSeveral))
    }
    const merged = byTime(there.map(({ lines, log }) => [log, lines] as const))
    yield* Effect.forEach(merged.slice(-shown), show, { discard: true })
    if (!follow) return
    const next = new Map(there.map(({ lines, log }) => [log, (lines.at(-1)?.index ?? -1) + 1]))
    const all = Option.isSome(path) ? () => logs : () => logPaths(path)
    yield* Stream.unwrap(
      Effect.map(Effect.abortSignal, (signal) =>
        Stream.fromAsyncIterable(followLogs(all, next, signal, folderReader, cannotRead), (error) =>
          error instanceof CannotRun ? error : new CannotRun({ message: String(error) })
        )
      )
    ).pipe(Stream.runForEach(show))
  })
).pipe(
  Command.withDescription(
    "Shows the last records, of several logs merged by time. Exits with 0, or with 2 where there is no log, or one cannot be read"
  )
)

const wordsOf = ({ line, log }: LogLine, isOneOfSeveral: boolean): string =>
  `${isOneOfSeveral ? `${visible(Path.basename(log))}  ` : ""}${recordLine(line)}`

/** A record as the log has it; of several logs, it says which one. A line that is no record is text then. */
const jsonOf = ({ line, log }: LogLine, isOneOfSeveral: boolean): string => {
  if (!isOneOfSeveral) return line.text
  if (line.record === undefined) return JSON.stringify({ log, invalid: line.text })
  return `{"log":${JSON.stringify(log)},${line.text.slice(1)}`
}
