/**
 * `secure-openai policy test`: runs test cases against policies.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Command from "effect/cli/Command"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { SourcePlace } from "../../policy/Diagnostic.ts"
import { showPlace } from "../../policy/Diagnostic.ts"
import { CannotRun, CheckFailed } from "../Ending.ts"
import { Models } from "../../rewriting/Models.ts"
import { parseCases } from "../../policy/Cases.ts"
import { describe } from "../../policy/Fault.ts"
import { showValue } from "../../policy/Notation.ts"
import { type CaseResult, type Mismatch, runCase, runLoadError, setOf } from "./CaseRun.ts"
import { cannotUse, readJson } from "./JsonFile.ts"
import { type DryRunner, makeDryRunner } from "./DryRun.ts"
import { columns, count, say } from "./Page.ts"
import { json, loadFrom, path, policyPath } from "./PolicyPath.ts"
import { print, printJson } from "../Output.ts"

interface Run extends CaseResult {
  readonly place: SourcePlace
}

/** How many failures people are shown. */
const shown = 50

/** The command. */
export const test = Command.make(
  "test",
  { path, json },
  Effect.fnUntraced(function* ({ json, path }) {
    const source = yield* policyPath(path)
    const isFolder = Fs.statSync(source).isDirectory()
    const files = isFolder ? caseFiles(source) : [source]
    if (files.length === 0)
      return yield* new CannotRun({ message: `There are no cases in ${source}: their files end in .cases.json.` })
    const models = yield* Models
    const now = yield* Clock.currentTimeMillis
    // Only cases that name no set need the folder's policies, and they need them once.
    const ofFolder = yield* Effect.cached(
      Effect.map(loadFrom(isFolder ? source : Path.dirname(source)), (set) => makeDryRunner(set, models))
    )
    const runs: Array<Run> = []
    for (const file of files) runs.push(...(yield* runFile(file, ofFolder, models, now)))
    const failed = runs.filter(({ mismatches }) => mismatches.length > 0)
    const passed = runs.length - failed.length
    if (json) yield* printJson({ path: source, passed, failed: failed.length, cases: runs.map(runJson) }, 2)
    else {
      for (const run of failed.slice(0, shown)) yield* print(`${failureLines(run).join("\n")}\n`)
      if (failed.length > shown) yield* print(`and ${failed.length - shown} more (--json lists them)\n`)
      yield* print(
        `${say("good", `${passed} passed`)}, ${say(failed.length > 0 ? "bad" : "plain", `${failed.length} failed`)} in ${count(files.length, "file")}`
      )
    }
    if (failed.length > 0) return yield* new CheckFailed()
  }, Effect.provide(Models.layer))
).pipe(
  Command.withShortDescription("Run test cases against policies"),
  Command.withDescription(
    "Runs every *.cases.json of a folder, or one such file. A case is a caller, a request and the decision that it expects. It names a set of policies in its file, or uses the folder's own. Exits with 0 where all pass, 1 where one fails, 2 where they cannot be run."
  ),
  Command.withExamples([
    { command: "secure-openai policy test policies", description: "The cases beside the policies that they are about" }
  ])
)

/** Every file of cases of a folder and below, in order of their names. */
const caseFiles = (folder: string): ReadonlyArray<string> =>
  Fs.readdirSync(folder, { withFileTypes: true })
    .filter(({ name }) => !name.startsWith("."))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = Path.join(folder, entry.name)
      if (Fs.statSync(path).isDirectory()) return entry.isSymbolicLink() ? [] : caseFiles(path)
      return entry.name.endsWith(".cases.json") ? [path] : []
    })

const runFile = Effect.fnUntraced(function* (
  file: string,
  ofFolder: Effect.Effect<DryRunner, CannotRun>,
  models: Parameters<typeof makeDryRunner>[1],
  now: number
) {
  const { locate, value } = yield* readJson(file)
  const parsed = parseCases(value)
  if (Result.isFailure(parsed)) {
    const [first, ...more] = parsed.failure
    const rest = more.length === 0 ? "" : ` (and ${count(more.length, "more mistake")} in this file)`
    return yield* cannotUse(
      `${first === undefined ? "it holds no cases" : describe(first)}${rest}`,
      locate(first?.path ?? [])
    )
  }
  const { cases, load_errors: loadErrors = [], policies = {} } = parsed.success
  const deciders = new Map<string, DryRunner>()
  for (const [name, documents] of Object.entries(policies)) {
    const set = setOf(documents)
    if (Result.isFailure(set))
      return yield* cannotUse(`the set ${name} does not load: ${set.failure}`, locate(["policies", name]))
    deciders.set(name, makeDryRunner(set.success, models))
  }
  const runs: Array<Run> = []
  for (const [index, one] of loadErrors.entries())
    runs.push({ ...runLoadError(one), place: locate(["load_errors", index]) })
  for (const [index, one] of cases.entries()) {
    const decide = (one.policies === undefined ? undefined : deciders.get(one.policies)) ?? (yield* ofFolder)
    const place = locate(["cases", index])
    const result = yield* runCase(one, decide, now).pipe(
      Effect.mapError((reason) => cannotUse(`the caller of ${one.id} cannot be: ${reason}`, place))
    )
    runs.push({ ...result, place })
  }
  return runs
})

const runJson = ({ actual, id, mismatches, place }: Run) => ({
  id,
  ok: mismatches.length === 0,
  file: place.file,
  line: place.line,
  column: place.column,
  ...(actual !== undefined && { actual }),
  ...(mismatches.length > 0 && { mismatches })
})

const failureLines = ({ actual, id, mismatches, place }: Run): ReadonlyArray<string> => [
  `${say("bad", "✗")} ${say("title", id)}  ${say("quiet", showPlace(place))}`,
  ...columns(
    mismatches.map(({ actual, expected, what }: Mismatch) => [
      ["name", what] as const,
      ["quiet", "expected"] as const,
      ["good", showValue(expected)] as const,
      ["quiet", "found"] as const,
      ["bad", showValue(actual)] as const
    ])
  ),
  ...(actual?.violations ?? []).map(({ code, message }) => `  ${say("quiet", `${code}: ${message}`)}`)
]
