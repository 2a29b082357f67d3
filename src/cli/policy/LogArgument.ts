/**
 * The log that a command about policies reads.
 */
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import { listSegments } from "../../audit/folder/FolderReader.ts"
import { CannotRun } from "../Ending.ts"
import { logPaths } from "../LogPath.ts"
import { type LoggedCall, loggedCalls, resourcesThatRan } from "./LoggedCalls.ts"

/** The argument LOG. */
export const log = Argument.String("log").pipe(
  Argument.withDescription(
    "The log's folder. Default: audit in SECURE_OPENAI_HOME, else in ./.secure-openai, and its siblings"
  ),
  Argument.optional
)

/** The logs that were named, or the home's; fails where there is none. */
export const logsAt = (given: Option.Option<string>): Effect.Effect<ReadonlyArray<string>, CannotRun> =>
  Effect.filterOrFail(
    Effect.tryPromise({
      try: async () => {
        const paths = logPaths(given)
        const found = await Promise.all(paths.map(async (path) => (await listSegments(path)).length > 0))
        return paths.filter((_, i) => found[i])
      },
      catch: cannotRead
    }),
    (paths) => paths.length > 0,
    () => new CannotRun({ message: `There is no log at ${logPaths(given).join(", ")}.` })
  )

/** Reads the calls of logs, one log after the other, and makes something of them. */
export const ofCalls = <A>(
  paths: ReadonlyArray<string>,
  make: (calls: AsyncIterable<LoggedCall>) => Promise<A>
): Effect.Effect<A, CannotRun> => Effect.tryPromise({ try: () => make(callsOf(paths)), catch: cannotRead })

/** The resources of which some call in the logs ran. */
export const thatRan = (paths: ReadonlyArray<string>): Effect.Effect<ReadonlySet<string>, CannotRun> =>
  Effect.tryPromise({
    try: async () => new Set((await Promise.all(paths.map(resourcesThatRan))).flatMap((found) => [...found])),
    catch: cannotRead
  })

async function* callsOf(paths: ReadonlyArray<string>): AsyncGenerator<LoggedCall> {
  for (const path of paths) yield* loggedCalls(path)
}

const cannotRead = (cause: unknown): CannotRun =>
  new CannotRun({ message: cause instanceof Error ? cause.message : String(cause) })
