/**
 * A JSON file that a command is given, or what is wrong with it and where.
 *
 * @since 0.2.0
 */
import { evaluate, parse, type ValueNode } from "@humanwhocodes/momoa"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import type { Place } from "../../policy/Diagnostic.ts"
import { CannotRun } from "../Ending.ts"
import { findingLines } from "./Findings.ts"

/** A parsed file. `locate` says where a part of it stands. */
export interface JsonFile {
  readonly name: string
  readonly text: string
  readonly value: unknown
  readonly locate: (path: ReadonlyArray<PropertyKey>) => Place
}

/** Reads a file, or standard input where it is `-`. */
export const readJson = (file: string): Effect.Effect<JsonFile, CannotRun> =>
  Effect.suspend(() => {
    const name = file === "-" ? "standard input" : file
    let text: string
    try {
      text = Fs.readFileSync(file === "-" ? 0 : file, "utf8").replace(/^\uFEFF/u, "")
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      return Effect.fail(new CannotRun({ message: `${name} cannot be read: ${reason}` }))
    }
    const lines = text.split(/\r\n|\n|\r/u)
    const place = ({ column, line }: { readonly column: number; readonly line: number }): Place => ({
      file: name,
      line,
      column,
      text: lines[line - 1] ?? ""
    })
    try {
      const { body } = parse(text)
      return Effect.succeed({ name, text, value: evaluate(body), locate: (path) => place(startOf(body, path)) })
    } catch (cause) {
      const { column, line, message } = { column: 1, line: 1, message: "", ...(cause as object) }
      return Effect.fail(cannotUse(`it is not JSON: ${(cause as Error).message ?? message}`, place({ column, line })))
    }
  })

/** The failure that names what is wrong with a file, where. */
export const cannotUse = (message: string, place: Place, path = ""): CannotRun =>
  new CannotRun({
    message: findingLines({ severity: "error", code: "", message, path, place })
      .map((line) => line.trimEnd())
      .join("\n")
  })

/** Where the value at `path` begins: its key in an object, or the nearest thing around it. */
const startOf = (
  root: ValueNode,
  path: ReadonlyArray<PropertyKey>
): { readonly line: number; readonly column: number } => {
  let node = root
  let { start } = root.loc
  for (const step of path) {
    if (node.type === "Array" && typeof step === "number" && node.elements[step] !== undefined) {
      node = node.elements[step].value
      start = node.loc.start
    } else if (node.type === "Object") {
      const member = node.members.find(({ name }) => (name.type === "String" ? name.value : name.name) === step)
      if (member === undefined) return start
      node = member.value
      start = member.name.loc.start
    } else return start
  }
  return start
}
