/**
 * `secure-openai policy lint`: what is wrong with policies, and what looks wrong.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import type { Diagnostic } from "../../policy/Diagnostic.ts"
import { lint as lintPolicies } from "../../policy/Lint.ts"
import { CheckFailed } from "../Ending.ts"
import { diagnosticJson, diagnosticLines, knownModels } from "./Diagnostics.ts"
import { count, say } from "./Page.ts"
import { json, path, policyPath, readPolicies } from "./PolicyPath.ts"
import { print, printJson } from "../Output.ts"

/** How many findings people are shown. */
const shown = 100

const byPlace = ({ place: a }: Diagnostic, { place: b }: Diagnostic): number =>
  a.file === b.file ? a.line - b.line || a.column - b.column : a.file < b.file ? -1 : 1

/** The command. */
export const lint = Command.make(
  "lint",
  {
    path,
    json,
    denyWarnings: Flag.Boolean("deny-warnings").pipe(
      Flag.withDescription("Exit with 1 on warnings too"),
      Flag.withoutNegation,
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function* ({ denyWarnings, json, path }) {
    const source = yield* policyPath(path)
    const read = yield* readPolicies(source)
    const now = yield* Clock.currentTimeMillis
    const findings = Result.isSuccess(read)
      ? lintPolicies(read.success, now, { models: knownModels })
      : read.failure.toSorted(byPlace)
    const countOf = (severity: Diagnostic["severity"]): number =>
      findings.filter((finding) => finding.severity === severity).length
    const [errors, warnings, notes] = [countOf("error"), countOf("warning"), countOf("note")]
    const policies = Result.isSuccess(read) ? read.success.count : undefined
    if (json)
      yield* printJson({ path: source, policies, errors, warnings, notes, findings: findings.map(diagnosticJson) }, 2)
    else {
      for (const finding of findings.slice(0, shown)) yield* print(`${diagnosticLines(finding).join("\n")}\n`)
      if (findings.length > shown) yield* print(`and ${findings.length - shown} more (--json lists them)\n`)
      const found = [
        count(errors, "error"),
        count(warnings, "warning"),
        ...(notes === 0 ? [] : [count(notes, "note")])
      ].join(", ")
      const among = policies === undefined ? ` in ${source}` : ` in ${count(policies, "policy")} of ${source}`
      yield* print(`${say(errors > 0 ? "bad" : warnings > 0 ? "warn" : "good", found)}${among}`)
    }
    if (errors > 0 || (denyWarnings && warnings > 0)) return yield* new CheckFailed()
  })
).pipe(
  Command.withShortDescription("Find what is wrong with policies, and what looks wrong"),
  Command.withDescription(
    "Reads policies as an app would. Reports what keeps them from loading, patterns that match nothing, resources that can never be allowed, bounds that leave no value, and probable misspellings. A note may be right as it is, such as a model that is newer than the catalogue. Exits with 0 where nothing is wrong, 1 on errors, 2 where the policies cannot be read."
  ),
  Command.withExamples([
    { command: "secure-openai policy lint", description: "The policies of SECURE_OPENAI_POLICIES, else of ./policies" },
    { command: "secure-openai policy lint policies --deny-warnings", description: "As a check in CI" }
  ])
)
