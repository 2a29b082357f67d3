/**
 * What is wrong, or looks wrong, with a policy, and where it stands: for a person who edits the file.
 */

/** A place in a source. `file` is its path, or `policies[3]` for a value of the option; `text` is the whole line. */
export interface SourcePlace {
  readonly file: string
  /** From 1; 0 where the source has no lines. */
  readonly line: number
  /** From 1; 0 where the source has no lines. */
  readonly column: number
  readonly text: string
}

/** A text inside a string of the source, and the character of it, from 1, that is meant. */
export interface Excerpt {
  readonly text: string
  readonly at: number
}

/**
 * One finding. An `error` keeps the whole set from being loaded; a `warning` is probably a mistake, and a `note` may be right as
 * it is: what is newer than this library, or what one should know. `path` is dotted
 * (`constraints.parameters["tool:*"].mode`), `policy` the document's id where it has one, `hint` what to do about it.
 */
export interface Diagnostic {
  readonly severity: "error" | "warning" | "note"
  /** A word that programs may compare: `unknown_key`, `missing_parent`, `unreachable_resource`, … */
  readonly code: string
  readonly message: string
  readonly path: string
  readonly policy?: string | undefined
  readonly hint?: string | undefined
  readonly excerpt?: Excerpt | undefined
  readonly place: SourcePlace
}

/** `policies/alice.json:3:5`; without lines, the source's name. */
export const showPlace = ({ column, file, line }: SourcePlace): string =>
  line === 0 ? file : `${file}:${line}:${column}`

/** `policies/alice.json:3:5: constraints.max: unknown key "maxx" (did you mean "max"?)`, in one line. */
export const showDiagnostic = ({ hint, message, path, place }: Diagnostic): string =>
  `${showPlace(place)}: ${path === "" ? "" : `${path}: `}${message}${hint === undefined ? "" : `; ${hint}`}`

/** How much of a long line is shown, in characters. */
const shownWidth = 100

/**
 * The line that a finding is in, and a caret below what is meant: the excerpt's character where the line holds it, else the
 * place's column. A source without lines shows the excerpt alone, or nothing.
 */
export const showFrame = ({
  excerpt,
  place: { column, line, text }
}: Pick<Diagnostic, "excerpt" | "place">): ReadonlyArray<string> => {
  const found = excerpt === undefined ? -1 : text.indexOf(excerpt.text, column - 1)
  if (excerpt !== undefined && found === -1)
    return [...(line === 0 ? [] : framed(`${line}`, text, column)), ...framed("condition", excerpt.text, excerpt.at)]
  return line === 0 ? [] : framed(`${line}`, text, excerpt === undefined ? column : found + excerpt.at)
}

const framed = (gutter: string, text: string, column: number): ReadonlyArray<string> => {
  const from = column > shownWidth * 0.8 ? column - Math.floor(shownWidth / 2) : 0
  const before = from > 0 ? "…" : ""
  const after = text.length > from + shownWidth ? "…" : ""
  const shown = text.slice(from, from + shownWidth).replaceAll(/[\p{Cc}\p{Bidi_Control}]/gu, " ")
  const blank = " ".repeat(before.length + Math.max(0, column - 1 - from))
  return [`${gutter} | ${before}${shown}${after}`, `${" ".repeat(gutter.length)} | ${blank}^`]
}
