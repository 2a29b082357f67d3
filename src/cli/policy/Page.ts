/**
 * Text for a person: colours on a terminal and none in a pipe (`NO_COLOR` and `FORCE_COLOR` decide where they are set),
 * columns that line up, and long lists cut.
 *
 * @since 0.2.0
 */
import * as CliOutput from "effect/cli/CliOutput"
import { styleText } from "node:util"
import { printable } from "../Words.ts"

/** How a word is meant. */
export type Tone = "good" | "bad" | "warn" | "quiet" | "title" | "name" | "plain"

const formats = {
  good: "green",
  bad: "red",
  warn: "yellow",
  quiet: "dim",
  title: "bold",
  name: "cyan"
} as const

/** A text in a tone, without what a terminal would obey. */
export const say = (tone: Tone, text: string): string =>
  tone === "plain" ? printable(text) : styleText(formats[tone], printable(text), { stream: process.stdout })

/** A cell: a text, and its tone where it has one. */
export type Cell = string | readonly [tone: Tone, text: string]

const textOf = (cell: Cell): string => printable(typeof cell === "string" ? cell : cell[1])
const toneOf = (cell: Cell): Tone => (typeof cell === "string" ? "plain" : cell[0])

/** How wide a column gets at most, but for the last one, in a terminal's cells. */
const widest = 44

/** Rows with their columns lined up, indented by two. */
export const columns = (rows: ReadonlyArray<ReadonlyArray<Cell>>): ReadonlyArray<string> => {
  const widths: Array<number> = []
  for (const row of rows)
    for (const [i, cell] of row.slice(0, -1).entries())
      widths[i] = Math.max(widths[i] ?? 0, Math.min(widest, CliOutput.displayWidth(textOf(cell))))
  return rows.map((row) => {
    const cells = row.map((cell, i) => {
      const text = i === row.length - 1 ? textOf(cell) : cut(textOf(cell), widest)
      const padding = i === row.length - 1 ? 0 : Math.max(0, (widths[i] ?? 0) - CliOutput.displayWidth(text))
      return `${say(toneOf(cell), text)}${" ".repeat(padding)}`
    })
    return `  ${cells.join("  ")}`.trimEnd()
  })
}

/** A text of at most so many characters. */
export const cut = (text: string, length: number): string =>
  text.length > length ? `${text.slice(0, length - 1)}…` : text

/** The first few items of a list, and how many more there are. */
export const listed = (items: ReadonlyArray<string>, shown = 6): string =>
  items.length <= shown + 1 ? items.join(", ") : `${items.slice(0, shown).join(", ")} and ${items.length - shown} more`

/** `1 error`, `2 errors`. */
export const count = (n: number, what: string): string =>
  `${n} ${n === 1 ? what : what.endsWith("y") ? `${what.slice(0, -1)}ies` : `${what}s`}`
