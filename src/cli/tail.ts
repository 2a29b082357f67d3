/**
 * `secure-openai audit tail`: the last records, and with `-f` the ones to come.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { followLines, lastLines, type Line, listSegments } from "../audit/Reader.ts"
import { CannotRun } from "./Ending.ts"
import { logPath, path } from "./LogPath.ts"
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
      Flag.withDescription("Go on with each record as it is written"),
      Flag.withDefault(false)
    ),
    json: Flag.Boolean("json").pipe(Flag.withDescription("The records as JSON, a line each"), Flag.withDefault(false))
  },
  Effect.fnUntraced(function* ({ follow, json, path }) {
    const log = logPath(path)
    const cannotRead = (cause: unknown) =>
      new CannotRun({ message: `The log at ${log} cannot be read: ${String(cause)}` })
    const show = (line: Line) => (json ? printJsonText(line.text) : print(recordLine(line)))
    const segments = yield* Effect.tryPromise({ try: () => listSegments(log), catch: cannotRead })
    if (segments.length === 0) return yield* new CannotRun({ message: `There is no log at ${log}.` })
    const last = yield* Effect.tryPromise({ try: () => lastLines(log, shown), catch: cannotRead })
    yield* Effect.forEach(last, show, { discard: true })
    if (!follow) return
    const next = (last.at(-1)?.index ?? -1) + 1
    yield* Stream.unwrap(
      Effect.map(Effect.abortSignal, (signal) => Stream.fromAsyncIterable(followLines(log, next, signal), cannotRead))
    ).pipe(Stream.runForEach(show))
  })
).pipe(Command.withDescription("Shows the last records"))
