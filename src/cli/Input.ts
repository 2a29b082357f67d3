/**
 * Standard input, where a command is told `-` for a file.
 *
 * @since 0.2.0
 */
import * as Context from "effect/Context"
import * as Fs from "node:fs"

/** Reads all of standard input, as UTF-8. Throws where it cannot be read. */
export const StandardInput = Context.Reference<() => string>("secure-openai/cli/StandardInput", {
  defaultValue: () => () => Fs.readFileSync(0, "utf8")
})
