/**
 * Findings about files, for people and for programs.
 */
import { type Diagnostic, showDiagnostic, showFrame, showPlace } from "../../policy/Diagnostic.ts"
import type { KnownModels } from "../../policy/lint/UnknownModels.ts"
import { isKnownModel, modelNames, Models, openai } from "../../rewriting/Models.ts"
import { visible } from "../../base/Text.ts"
import { say, sentence } from "./Page.ts"

/** The models that a linter knows by name. */
export const knownModels: KnownModels = {
  asOf: Models.asOf,
  names: modelNames(openai),
  knows: (name) => isKnownModel(openai, name)
}

const tones = { error: "bad", warning: "warn", note: "quiet" } as const

/** A diagnostic in a few lines: where, what, the line with a caret, and what to do. */
export const diagnosticLines = (diagnostic: Diagnostic): ReadonlyArray<string> => {
  const { code, hint, message, path, place, policy, severity } = diagnostic
  const about = [code, ...(policy === undefined ? [] : [policy])].join("  ")
  return [
    `${say("title", showPlace(place))}  ${say(tones[severity], severity)}  ${say("quiet", about)}`,
    ...sentence("", message),
    ...(path === "" ? [] : [`  ${say("quiet", `at ${path}`)}`]),
    ...showFrame(diagnostic).map(
      (line) => `  ${/^[\s|]*(?:\|\s*)?\^$/u.test(line) ? say("bad", line) : say("quiet", line)}`
    ),
    ...(hint === undefined ? [] : sentence(["good", "hint"], hint))
  ]
}

/** A diagnostic without colours, as an error of a command: a sentence, and the line with a caret. */
export const plainLines = (diagnostic: Diagnostic): ReadonlyArray<string> =>
  [showDiagnostic(diagnostic), ...showFrame(diagnostic).map((line) => `  ${line}`)].map(visible)

/** A diagnostic as plain data. */
export const diagnosticJson = ({ code, hint, message, path, place, policy, severity }: Diagnostic) => ({
  severity,
  code,
  message,
  path,
  ...(policy !== undefined && { policy }),
  ...(hint !== undefined && { hint }),
  file: place.file,
  ...(place.line > 0 && { line: place.line, column: place.column })
})
