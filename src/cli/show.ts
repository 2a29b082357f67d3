/**
 * `secure-openai audit show`: one record, and the others of its call.
 */
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { path } from "./LogPath.ts"
import { print, printJsonText } from "./Output.ts"
import { findRecord, record } from "./RecordArgument.ts"
import { recordFields, recordLine } from "./Words.ts"

/** The command. */
export const show = Command.make(
  "show",
  {
    record,
    path,
    json: Flag.Boolean("json").pipe(
      Flag.withDescription("The records as they are in the log, a line each"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function* ({ json, path, record }) {
    const { hasSiblings, line, log, others } = yield* findRecord(record, path)
    if (json) {
      for (const { text } of [line, ...others]) yield* printJsonText(text)
      return
    }
    if (hasSiblings) yield* print(`In ${log}:`)
    yield* print(recordLine(line))
    if (line.record !== undefined) yield* print(recordFields(line.record))
    if (others.length > 0) yield* print("The same call:")
    for (const other of others) yield* print(recordLine(other))
  })
).pipe(
  Command.withDescription(
    "Shows a record and the others of its call, by the record's index or the call's id. Exits with 0, or with 2 where it is not there"
  )
)
