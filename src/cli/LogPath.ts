/**
 * Which logs a command is about: those that were named, by folder or by origin, else the logs of the home.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Argument from "effect/cli/Argument"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { parseNote } from "../audit/proof/Checkpoint.ts"
import { folderReader } from "../audit/folder/FolderReader.ts"
import { readLines } from "../audit/Lines.ts"
import { maximumText } from "../audit/folder/Segment.ts"
import { isFolder, orMissing, readPlain } from "../base/Files.ts"
import { visible } from "../base/Text.ts"
import { CannotRun } from "./Ending.ts"

const argument = Argument.String("path").pipe(
  Argument.withDescription(
    "The log: its folder, or its origin (secure-openai/…) where it is one of the home's. Default: audit in SECURE_OPENAI_HOME, else in ./.secure-openai, and its siblings audit-2, …"
  )
)

/** The argument PATH. */
export const path = Argument.optional(argument)

/** The argument PATH, as often as it is given. */
export const paths = Argument.variadic(argument)

/** The logs of the home that are there, `audit` in `SECURE_OPENAI_HOME`, or else in `./.secure-openai`, first. */
const homeLogs = (): ReadonlyArray<string> => {
  const first = Path.resolve(process.env["SECURE_OPENAI_HOME"] || ".secure-openai", "audit")
  const found = withSiblings(first)
  return found.length > 1 && !Fs.existsSync(first) ? found.slice(1) : found
}

/** The log that was named, or the home's with its siblings (`audit-2`, …), which further processes write. */
export const logPaths = (given: Option.Option<string>): ReadonlyArray<string> =>
  Option.isSome(given) ? [Path.resolve(given.value)] : homeLogs()

/** A log and its siblings, in order: `audit`, `audit-2`, …; the log itself also where nothing is there. */
export const withSiblings = (log: string): ReadonlyArray<string> => {
  const first = log.replace(/-[0-9]+$/, "")
  const home = Path.dirname(first)
  const name = `${Path.basename(first)}-`
  const numbers = (orMissing(() => Fs.readdirSync(home)) ?? []).flatMap((entry) => {
    const number = entry.startsWith(name) ? entry.slice(name.length) : ""
    return /^[0-9]+$/.test(number) ? [Number(number)] : []
  })
  const siblings = numbers.sort((a, b) => a - b).map((n) => `${first}-${n}`)
  const found = Fs.existsSync(first) ? [first, ...siblings] : siblings
  return found.includes(log) ? found : [log, ...found]
}

/** The logs that were named, each once, or the home's; fails where an origin was named that none of these has. */
export const namedLogs = (given: Iterable<string>): Effect.Effect<ReadonlyArray<string>, CannotRun> => {
  const names = [...given]
  return names.length === 0
    ? Effect.succeed(logPaths(Option.none()))
    : Effect.map(Effect.forEach(names, namedLog), (found) => [...new Set(found.flat())])
}

/** The folder that was named, or the logs of the home with that origin. */
const namedLog = (name: string): Effect.Effect<ReadonlyArray<string>, CannotRun> => {
  const folder = Path.resolve(name)
  if (!isOrigin(name) || isFolder(folder)) return Effect.succeed([folder])
  return logsOfOrigin(name, logPaths(Option.none()))
}

/** How a writer names its logs (audit format, "Checkpoint and key"). */
const isOrigin = (name: string): boolean => /^secure-openai\/[0-9a-f]{16}$/.test(name)

/**
 * The logs among these that have an origin, by their checkpoint or by their first record. Fails where none has; one that cannot
 * be read is the reason then.
 */
export const logsOfOrigin = (
  origin: string,
  logs: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<string>, CannotRun> =>
  Effect.gen(function* () {
    const found: Array<string> = []
    let failure: CannotRun | undefined
    for (const log of logs) {
      const named = yield* Effect.result(reading(log, () => namesOrigin(log, origin)))
      if (Result.isFailure(named)) failure ??= named.failure
      else if (named.success) found.push(log)
    }
    if (found.length > 0) return found
    return yield* (
      failure ??
      new CannotRun({
        message: `The log ${visible(origin)} is not here: it is none of ${logs.join(", ")}. Give the folder that holds it as PATH.`
      })
    )
  })

const namesOrigin = async (log: string, origin: string): Promise<boolean> =>
  originOf(log) === origin || (await readLines(folderReader(log)).next()).value?.record?.["origin"] === origin

/** The origin that a log's own checkpoint names; undefined where there is none that can be read. */
export const originOf = (log: string): string | undefined => {
  try {
    const note = parseNote(readPlain(Path.join(log, "checkpoint"), maximumText).toString("utf8"))
    return Result.isSuccess(note) ? note.success.origin : undefined
  } catch {
    return undefined
  }
}

/** Reads something of a log; fails as {@link cannotRead} says. */
export const reading = <A>(log: string, read: () => Promise<A>): Effect.Effect<A, CannotRun> =>
  Effect.tryPromise({ try: read, catch: (cause) => cannotRead(log, cause) })

/** A log that cannot be read, and why. */
export const cannotRead = (log: string, cause: unknown): CannotRun =>
  new CannotRun({
    message: `The log at ${log} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`
  })
