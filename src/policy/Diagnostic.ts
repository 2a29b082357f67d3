/**
 * What is wrong, or looks wrong, with a policy, and where it stands: for a person who edits the file.
 *
 * @since 0.2.0
 */

/** A place in a source. `file` is its path, or `policies[3]` for a value of the option; `text` is the whole line. */
export interface Place {
  readonly file: string
  /** From 1; 0 where the source has no lines. */
  readonly line: number
  /** From 1; 0 where the source has no lines. */
  readonly column: number
  readonly text: string
}

/**
 * One finding. An `error` keeps the whole set from being loaded; a `warning` does not. `path` is dotted
 * (`constraints.parameters["tool:*"].mode`), `policy` the document's id where it has one, `hint` what to do about it.
 */
export interface Diagnostic {
  readonly severity: "error" | "warning"
  /** A word that programs may compare: `unknown_key`, `missing_parent`, `unreachable_resource`, … */
  readonly code: string
  readonly message: string
  readonly path: string
  readonly policy?: string | undefined
  readonly hint?: string | undefined
  readonly place: Place
}

/** `policies/alice.json:3:5`; without lines, the source's name. */
export const showPlace = ({ column, file, line }: Place): string => (line === 0 ? file : `${file}:${line}:${column}`)

/** `policies/alice.json:3:5: constraints.max: unknown key "maxx" (did you mean "max"?)`, in one line. */
export const showDiagnostic = ({ hint, message, path, place }: Diagnostic): string =>
  `${showPlace(place)}: ${path === "" ? "" : `${path}: `}${message}${hint === undefined ? "" : `; ${hint}`}`

/** How much of a long line is shown, in characters. */
const shownWidth = 100

/** The line that a place is in, and a caret below its column; empty where the source has no lines. */
export const showFrame = ({ column, line, text }: Place): ReadonlyArray<string> => {
  if (line === 0) return []
  const from = column > shownWidth ? column - Math.floor(shownWidth / 2) : 0
  const shown = text.slice(from, from + shownWidth).replaceAll(/[\p{Cc}\p{Bidi_Control}]/gu, " ")
  const gutter = `${line} | `
  return [`${gutter}${shown}`, `${" ".repeat(gutter.length + Math.max(0, column - 1 - from))}^`]
}
