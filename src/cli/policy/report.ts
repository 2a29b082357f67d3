/**
 * `secure-openai policy report`: what policies that are only observed would have done.
 */
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import { time } from "../Words.ts"
import { log, logsAt, ofCalls } from "./LogArgument.ts"
import { type Cell, columns, count, heads, listed, say } from "./Page.ts"
import { json } from "./PolicyPath.ts"
import { callerWords } from "./LoggedCalls.ts"
import { type ObservedOutcome, type ObservedReport, summarise } from "./ObservedReport.ts"
import type { CallGroup } from "./CallGroups.ts"
import { print, printJson } from "../Output.ts"

/** The command. */
export const report = Command.make(
  "report",
  { log, json },
  Effect.fnUntraced(function* ({ json, log }) {
    const paths = yield* logsAt(log)
    const found = yield* ofCalls(paths, summarise)
    yield* json ? printJson(found, 2) : print(reportLines(found, paths).join("\n"))
  })
).pipe(
  Command.withShortDescription("List what observed policies would have refused or changed"),
  Command.withDescription(
    'Reads the log of an app that runs with policyMode "observe", and lists what its policies would have refused or changed, with one line for calls that are alike. Exits with 0 where it could read the log, 2 where it could not.'
  ),
  Command.withExamples([
    { command: "secure-openai policy report", description: "The log of this folder's app" },
    { command: "secure-openai policy report /var/log/my-app/audit --json", description: "Another log, for a program" }
  ])
)

/** How many rows people are shown. */
const shown = 50

const reportLines = (found: ObservedReport, paths: ReadonlyArray<string>): ReadonlyArray<string> => {
  const { calls, changed, first, last, pending, refused, revisions, rows } = found
  if (first === undefined || last === undefined)
    return [`No call in ${paths.join(", ")} was decided while policies were observed: set policyMode to "observe".`]
  const untouched = calls - refused - pending - changed
  return [
    `${say("title", count(calls, "call"))} observed, from ${time(first)} to ${time(last)}, by ${count(revisions.length, "revision")} of the policies`,
    "",
    ...columns([
      [[refused > 0 ? "bad" : "quiet", "would be refused"], String(refused)],
      [[pending > 0 ? "warn" : "quiet", "would wait for approval"], String(pending)],
      [[changed > 0 ? "warn" : "quiet", "would be changed"], String(changed)],
      [["quiet", "would pass as they are"], String(untouched)]
    ]),
    ...(rows.length === 0
      ? []
      : [
          "",
          ...columns([
            heads("calls", "outcome", "who", "resource", "why", "by", "last"),
            ...rows.slice(0, shown).map((row) => rowOf(row, rows))
          ])
        ]),
    ...(rows.length > shown ? ["", `and ${rows.length - shown} more rows (--json lists them)`] : [])
  ]
}

const rowOf = (
  { calls, last, what }: CallGroup<ObservedOutcome>,
  rows: ReadonlyArray<CallGroup<ObservedOutcome>>
): ReadonlyArray<Cell> => [
  String(calls),
  [what.outcome === "refused" ? "bad" : "warn", what.outcome],
  callerWords(what, rows),
  what.resource,
  listed(what.why, 3),
  listed(what.policies, 3),
  ["quiet", time(last)]
]
