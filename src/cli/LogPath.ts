/**
 * Which log a command is about: the path that was given, else the logs of the home.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Fs from "node:fs"
import * as Path from "node:path"

/** The argument PATH. */
export const path = Argument.String("path").pipe(
  Argument.withDescription("The log's folder. Default: audit in SECURE_OPENAI_HOME, else in ./.secure-openai"),
  Argument.optional
)

/** The log that was named, or the home's. */
export const logPath = (given: Option.Option<string>): string =>
  Path.resolve(Option.getOrElse(given, () => Path.join(process.env["SECURE_OPENAI_HOME"] || ".secure-openai", "audit")))

/** The log that was named, or the home's with its siblings (`audit-2`, …), which further processes write. */
export const logPaths = (given: Option.Option<string>): ReadonlyArray<string> => {
  const first = logPath(given)
  if (Option.isSome(given)) return [first]
  const home = Path.dirname(first)
  const siblings = Fs.existsSync(home)
    ? Fs.readdirSync(home).flatMap((name) => (/^audit-[0-9]+$/.test(name) ? [Number(name.slice(6))] : []))
    : []
  const found = siblings.sort((a, b) => a - b).map((n) => Path.join(home, `audit-${n}`))
  return found.length > 0 && !Fs.existsSync(first) ? found : [first, ...found]
}
