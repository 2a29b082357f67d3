/**
 * A JSON file that a command is given, or what is wrong with it and where.
 */
import { evaluate } from "@humanwhocodes/momoa"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Fs from "node:fs"
import type { SourcePlace } from "../../policy/Diagnostic.ts"
import { parseTree, startOf } from "../../policy/JsonTree.ts"
import { CannotRun } from "../Ending.ts"
import { StandardInput } from "../Input.ts"
import { plainLines } from "./Diagnostics.ts"

/** A parsed file. `locate` gives the place of a part of it. */
export interface JsonFile {
  readonly name: string
  readonly text: string
  readonly value: unknown
  readonly locate: (path: ReadonlyArray<PropertyKey>) => SourcePlace
}

/** Reads a file, or standard input where it is `-`. */
export const readJson = (file: string): Effect.Effect<JsonFile, CannotRun> =>
  Effect.flatMap(StandardInput, (standardInput) => {
    const name = file === "-" ? "standard input" : file
    let text: string
    try {
      text = (file === "-" ? standardInput() : Fs.readFileSync(file, "utf8")).replace(/^\uFEFF/u, "")
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      return Effect.fail(new CannotRun({ message: `${name} cannot be read: ${reason}` }))
    }
    const lines = text.split(/\r\n|\n|\r/u)
    const place = ({ column, line }: { readonly column: number; readonly line: number }): SourcePlace => ({
      file: name,
      line,
      column,
      text: lines[line - 1] ?? ""
    })
    return Result.match(parseTree(text), {
      onFailure: (flaw) => Effect.fail(cannotUse(`it is not JSON: ${flaw.reason}`, place(flaw))),
      onSuccess: ({ body }) =>
        Effect.succeed({ name, text, value: evaluate(body), locate: (path) => place(startOf(body, path)) })
    })
  })

/** The failure that names what is wrong with a file, where. */
export const cannotUse = (message: string, place: SourcePlace): CannotRun =>
  new CannotRun({ message: plainLines({ severity: "error", code: "", message, path: "", place }).join("\n") })
