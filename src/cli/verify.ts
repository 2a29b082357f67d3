/**
 * `secure-openai audit verify`: does the log hold?
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { folderReader } from "../audit/folder/FolderReader.ts"
import { verify as verifyLog } from "../audit/proof/Verify.ts"
import { CannotRun, CheckFailed } from "./Ending.ts"
import { type Copy, readEarlier, since } from "./Earlier.ts"
import { key, readKeys } from "./LogKey.ts"
import { namedLogs, paths } from "./LogPath.ts"
import { visible } from "../base/Text.ts"
import { reportLines } from "./Words.ts"
import { print, printError, printJson } from "./Output.ts"

/** The command. */
export const verify = Command.make(
  "verify",
  {
    paths,
    key: key.pipe(Flag.optional),
    since: since.pipe(Flag.optional),
    json: Flag.Boolean("json").pipe(Flag.withDescription("One JSON object a log"), Flag.withDefault(false))
  },
  Effect.fnUntraced(function* ({ json, key, paths, since }) {
    const logs = yield* namedLogs(paths)
    const given = yield* Effect.transposeOption(Option.map(key, readKeys))
    const earlier = Option.getOrUndefined(
      yield* Effect.transposeOption(Option.map(since, (place) => readEarlier(place, logs)))
    )
    let failed: CannotRun | undefined
    let intact = true
    for (const log of logs) {
      const result = yield* Effect.result(
        verifyLog({
          log: folderReader(log),
          keys: Option.getOrUndefined(given),
          since: earlier?.of(log)
        })
      )
      if (Result.isFailure(result)) {
        const { message } = result.failure
        if (json) yield* printJson({ path: log, ok: false, error: message })
        if (failed !== undefined) yield* printError(failed.message)
        failed = new CannotRun({ message })
        continue
      }
      const report = result.success
      intact &&= report.ok
      yield* json ? printJson({ path: log, ...report }) : print(reportLines(log, report).join("\n"))
    }
    for (const copy of earlier?.others(logs) ?? []) {
      intact = false
      yield* json ? printJson(ofNone(copy)) : print(copyLine(copy, logs))
    }
    if (!intact) {
      if (failed !== undefined) yield* printError(failed.message)
      return yield* new CheckFailed()
    }
    if (failed !== undefined) return yield* failed
  })
).pipe(
  Command.withDescription(
    "Verifies logs. Exits with 0 where all of them hold, 1 where one does not, 2 where none fails but one cannot be verified"
  )
)

/** A copy of a log that was not verified: the log may have been made anew, under another name. */
const ofNone = ({ file, note }: Copy) => ({ copy: file, ok: false, origin: note.origin, size: note.size })

const copyLine = ({ file, note }: Copy, logs: ReadonlyArray<string>): string =>
  `${visible(file)}: NOT HERE\n  ${note.size} records of ${visible(note.origin)} were signed, and no such log is at ${logs.join(", ")}`
