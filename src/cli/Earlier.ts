/**
 * The flag `--since`: what is known of logs from before, a checkpoint that was kept or a folder of copies.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Flag from "effect/cli/Flag"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { type Note, parseNote } from "../audit/proof/Checkpoint.ts"
import { decodeLine, maximumText } from "../audit/folder/Segment.ts"
import { isFolder, readPlain } from "../base/Files.ts"
import { CannotRun } from "./Ending.ts"
import { readFile } from "./LogKey.ts"
import { originOf } from "./LogPath.ts"

/** The flag. */
export const since = Flag.String("since").pipe(
  Flag.withDescription("A checkpoint that was kept from before, or the folder that checkpoints are copied to")
)

/** A checkpoint that was kept. */
export interface Copy {
  readonly file: string
  readonly text: string
  readonly note: Note
}

/** What was kept of some logs. */
export interface Earlier {
  /** The texts to hold a log against. */
  readonly of: (log: string) => ReadonlyArray<string>
  /** The copies of logs that are not among these. */
  readonly others: (logs: ReadonlyArray<string>) => ReadonlyArray<Copy>
}

/** Reads what was kept; a file is of one log, each copy in a folder of the log with its origin. */
export const readEarlier = (place: string, logs: ReadonlyArray<string>): Effect.Effect<Earlier, CannotRun> =>
  isFolder(place) ? readFolder(place) : readOne(place, logs)

const readOne = (file: string, logs: ReadonlyArray<string>): Effect.Effect<Earlier, CannotRun> =>
  logs.length > 1
    ? Effect.fail(
        new CannotRun({
          message: `A checkpoint is of one log, and there are ${logs.length}: name the one that it is of. ${logs.join(", ")}`
        })
      )
    : Effect.map(readFile(file), (bytes) => ({ of: () => [decodeLine(bytes) ?? ""], others: () => [] }))

const readFolder = (folder: string): Effect.Effect<Earlier, CannotRun> =>
  Effect.gen(function* () {
    const names = Fs.readdirSync(folder).filter((name) => name.endsWith(".checkpoint"))
    if (names.length === 0) return yield* new CannotRun({ message: `There is no copy of a checkpoint in ${folder}.` })
    const copies = yield* Effect.forEach(names.sort(), (name) => readCopy(Path.join(folder, name)))
    return {
      of: (log) => {
        const origin = originOf(log)
        return copies.filter(({ note }) => note.origin === origin).map(({ text }) => text)
      },
      others: (logs) => {
        const origins = new Set(logs.map(originOf))
        return copies.filter(({ note }) => !origins.has(note.origin))
      }
    }
  })

const readCopy = (file: string): Effect.Effect<Copy, CannotRun> =>
  Effect.flatMap(readCopied(file), (bytes) => {
    const text = decodeLine(bytes) ?? ""
    const note = parseNote(text)
    return Result.isSuccess(note)
      ? Effect.succeed({ file, text, note: note.success })
      : Effect.fail(new CannotRun({ message: `${file} is no checkpoint: ${note.failure}.` }))
  })

/** A file that was found in a folder, not named by whoever asks. */
const readCopied = (file: string): Effect.Effect<Buffer, CannotRun> =>
  Effect.try({
    try: () => readPlain(file, maximumText),
    catch: (cause) => new CannotRun({ message: cause instanceof Error ? cause.message : String(cause) })
  })
