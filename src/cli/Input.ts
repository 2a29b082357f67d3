/**
 * Standard input, where a command is told `-` for a file.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import { CannotRun } from "./Ending.ts"

/** Reads all of standard input, as UTF-8. Throws where it cannot be read. */
export const StandardInput = Context.Reference<() => string>("secure-openai/cli/StandardInput", {
  defaultValue: () => () => Fs.readFileSync(0, "utf8")
})

/** All of standard input, as UTF-8. */
export const standardInput: Effect.Effect<string, CannotRun> = Effect.flatMap(StandardInput, (read) =>
  Effect.try({ try: read, catch: () => new CannotRun({ message: "Standard input cannot be read." }) })
)
