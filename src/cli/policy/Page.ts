/**
 * Text for a person: colours on a terminal and none in a pipe (`NO_COLOR` and `FORCE_COLOR` decide where they are set),
 * columns that line up, and long lists cut.
 */
import * as CliOutput from "effect/cli/CliOutput"
import { styleText } from "node:util"
import { visible } from "../../base/Text.ts"

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
  tone === "plain" || text === "" ? visible(text) : styleText(formats[tone], visible(text), { stream: process.stdout })

/** A cell: a text, and its tone where it has one. */
export type Cell = string | readonly [tone: Tone, text: string]

const textOf = (cell: Cell): string => visible(typeof cell === "string" ? cell : cell[1])
const toneOf = (cell: Cell): Tone => (typeof cell === "string" ? "plain" : cell[0])

/** How wide a column gets at most, but for the last one, and at least where a terminal is narrow: in a terminal's cells. */
const widest = 44
const narrowest = 12

/** Rows with their columns lined up, indented by two; on a terminal, as narrow as it is, as far as that can be. */
export const columns = (rows: ReadonlyArray<ReadonlyArray<Cell>>): ReadonlyArray<string> => {
  const widths: Array<number> = []
  let last = 0
  for (const row of rows) {
    last = Math.max(last, CliOutput.displayWidth(textOf(row.at(-1) ?? "")))
    for (const [i, cell] of row.slice(0, -1).entries())
      widths[i] = Math.max(widths[i] ?? 0, Math.min(widest, CliOutput.displayWidth(textOf(cell))))
  }
  const room = (process.stdout.columns ?? Infinity) - Math.min(last, widest) - 2 * (widths.length + 1)
  for (;;) {
    const over = widths.reduce((sum, width) => sum + width, 0) - room
    const broad = Math.max(...widths, 0)
    if (!(over > 0) || broad <= narrowest) break
    widths[widths.indexOf(broad)] = Math.max(narrowest, broad - over)
  }
  return rows.map((row) => {
    const cells = row.map((cell, i) => {
      if (i === row.length - 1) return say(toneOf(cell), textOf(cell))
      const width = widths[i] ?? widest
      const text = cut(textOf(cell), width)
      return `${say(toneOf(cell), text)}${" ".repeat(Math.max(0, width - CliOutput.displayWidth(text)))}`
    })
    return `  ${cells.join("  ")}`.trimEnd()
  })
}

/** A sentence after a word, indented by two; on a terminal, broken between words and kept beside the word. */
export const sentence = (word: Cell, text: string): ReadonlyArray<string> => {
  const indent = CliOutput.displayWidth(textOf(word)) + (textOf(word) === "" ? 2 : 4)
  const room = Math.max(30, (process.stdout.columns ?? Infinity) - indent)
  const lines: Array<string> = []
  for (const part of visible(text).split(" ")) {
    const line = lines.at(-1)
    if (line === undefined || CliOutput.displayWidth(`${line} ${part}`) > room) lines.push(part)
    else lines[lines.length - 1] = `${line} ${part}`
  }
  const first = textOf(word) === "" ? "  " : `  ${say(toneOf(word), textOf(word))}  `
  return lines.map((line, i) => (i === 0 ? first : " ".repeat(indent)) + line)
}

/** The head row of a table. */
export const heads = (...words: ReadonlyArray<string>): ReadonlyArray<Cell> =>
  words.map((word) => ["quiet", word] as const)

/** A text of at most so many characters. */
export const cut = (text: string, length: number): string =>
  text.length > length ? `${text.slice(0, length - 1)}…` : text

/** The first few items of a list, and how many more there are. */
export const listed = (items: ReadonlyArray<string>, shown = 6): string =>
  items.length <= shown + 1 ? items.join(", ") : `${items.slice(0, shown).join(", ")} and ${items.length - shown} more`

/** `1 error`, `2 errors`. */
export const count = (n: number, what: string): string =>
  `${n} ${n === 1 ? what : what.endsWith("y") ? `${what.slice(0, -1)}ies` : `${what}s`}`
