/**
 * What the demo looks like: numbered sections, labelled lines, a table. Colour only on a terminal, and not where NO_COLOR
 * is set: `styleText` sees to both.
 */
import { styleText } from "node:util"
import type { Edit } from "../../src/index.ts"

const width = 100
const margin = "    "
const labelWidth = 10

let sections = 0

/** The title of the whole. */
export const title = (text: string, below: string): void =>
  console.log(`\n${styleText("bold", text)}\n${styleText("dim", below)}\n`)

/** Begins a section. */
export const section = (text: string): void =>
  console.log(`\n${styleText(["bold", "cyan"], `${String(++sections).padStart(2)}  ${text}`)}\n`)

/** A labelled text, wrapped under itself. */
export const line = (label: string, text: string): void =>
  console.log(`${start(label)}${wrap(text).join(`\n${margin}${" ".repeat(labelWidth)}`)}`)

/** A labelled text for each element, the label once. */
export const lines = (label: string, texts: ReadonlyArray<string>): void =>
  texts.forEach((text, i) => line(i === 0 ? label : "", text))

/** What policy changed, and which one. */
export const changes = (edits: ReadonlyArray<Edit>): void =>
  lines(
    "changed",
    edits.map(({ from, path, policy, to }) => `${path}: ${String(from ?? "none")} → ${String(to)}, by ${policy}`)
  )

/** A labelled text that comes piece by piece: call it with each piece, and with nothing at the end. */
export const flow = (label: string): ((piece?: string) => void) => {
  process.stdout.write(start(label))
  return (piece) => void process.stdout.write(piece ?? "\n")
}

/** What another program printed, as it printed it. */
export const printed = (command: string, output: string): void => {
  console.log(`${margin}${styleText("bold", `$ ${command}`)}`)
  for (const each of output.trimEnd().split("\n")) console.log(`${margin}${styleText("dim", "│")} ${each}`)
  console.log()
}

/** A table, its first row the heads. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): void => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  rows.forEach((row, i) => {
    const text = row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("   ")
      .trimEnd()
    console.log(`${margin}${i === 0 ? styleText("bold", text) : text}`)
    if (i === 0) console.log(`${margin}${styleText("dim", widths.map((each) => "─".repeat(each)).join("   "))}`)
  })
}

/** The last word. */
export const end = (text: string): void => console.log(`\n${styleText(["bold", "green"], text)}\n`)

const colours: Readonly<Record<string, "green" | "red" | "yellow">> = {
  refused: "red",
  changed: "yellow",
  allowed: "green",
  ran: "green",
  verified: "green"
}

const start = (label: string): string => `${margin}${styleText(colours[label] ?? "dim", label.padEnd(labelWidth))}`

const wrap = (text: string): ReadonlyArray<string> => {
  const wrapped = [""]
  for (const word of text.split(" ")) {
    const last = wrapped.at(-1) ?? ""
    if (last !== "" && last.length + word.length + 1 > width - margin.length - labelWidth) wrapped.push(word)
    else wrapped[wrapped.length - 1] = last === "" ? word : `${last} ${word}`
  }
  return wrapped
}
