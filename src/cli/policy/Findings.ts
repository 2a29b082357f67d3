/**
 * Findings about files, for people and for programs.
 *
 * @since 0.2.0
 */
import { type Diagnostic, showFrame, showPlace } from "../../policy/Diagnostic.ts"
import { say } from "./Page.ts"

/** A finding in a few lines: where, what, the line with a caret, and what to do. */
export const findingLines = (finding: Diagnostic): ReadonlyArray<string> => {
  const { code, hint, message, path, place, policy, severity } = finding
  const about = [code, ...(policy === undefined ? [] : [policy])].join("  ")
  return [
    `${say("title", showPlace(place))}  ${say(severity === "error" ? "bad" : "warn", severity)}  ${say("quiet", about)}`,
    `  ${say("plain", message)}`,
    ...(path === "" ? [] : [`  ${say("quiet", `at ${path}`)}`]),
    ...showFrame(finding).map(
      (line) => `  ${/^[\s|]*(?:\|\s*)?\^$/u.test(line) ? say("bad", line) : say("quiet", line)}`
    ),
    ...(hint === undefined ? [] : [`  ${say("good", "hint")}  ${say("plain", hint)}`])
  ]
}

/** A finding as plain data. */
export const findingJson = ({ code, hint, message, path, place, policy, severity }: Diagnostic) => ({
  severity,
  code,
  message,
  path,
  ...(policy !== undefined && { policy }),
  ...(hint !== undefined && { hint }),
  file: place.file,
  ...(place.line > 0 && { line: place.line, column: place.column })
})
