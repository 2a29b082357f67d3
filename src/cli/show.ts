/**
 * `secure-openai audit show`: one record, and the others of its call.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { type Line, linesWith, readLines } from "../audit/Reader.ts"
import { CannotRun } from "./Ending.ts"
import { logPath, path } from "./LogPath.ts"
import { recordFields, recordLine } from "./Words.ts"
import { print, printJsonText } from "./Output.ts"

/** The argument INDEX. */
export const index = Argument.Int("index").pipe(Argument.withDescription("Index of a record"))

/** The command. */
export const show = Command.make(
  "show",
  {
    index,
    path,
    json: Flag.Boolean("json").pipe(Flag.withDescription("The records as JSON, a line each"), Flag.withDefault(false))
  },
  Effect.fnUntraced(function* ({ index, json, path }) {
    const log = logPath(path)
    const found = yield* Effect.tryPromise({
      try: () => readCall(log, index),
      catch: (cause) => new CannotRun({ message: `The log at ${log} cannot be read: ${String(cause)}` })
    })
    if (found === undefined) return yield* new CannotRun({ message: `The log at ${log} has no record ${index}.` })
    const { others, shown } = found
    if (json) {
      for (const line of [shown, ...others]) yield* printJsonText(line.text)
      return
    }
    yield* print(recordLine(shown))
    if (shown.record !== undefined) yield* print(recordFields(shown.record))
    if (others.length > 0) yield* print("The same call:")
    for (const line of others) yield* print(recordLine(line))
  })
).pipe(Command.withDescription("Shows a record, and the others of its call"))

const readCall = async (
  log: string,
  index: number
): Promise<{ readonly shown: Line; readonly others: ReadonlyArray<Line> } | undefined> => {
  const shown = (await readLines(log, index).next()).value
  if (shown === undefined || shown.index !== index) return undefined
  const call = shown.record?.["call"]
  const others: Array<Line> = []
  if (typeof call === "string")
    for await (const line of linesWith(log, call))
      if (line.index !== index && line.record?.["call"] === call) others.push(line)
  return { shown, others }
}
