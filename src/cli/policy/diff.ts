/**
 * `secure-openai policy diff`: what a change of policies does to the documents and to the calls in a log.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { Models } from "../../rewriting/Models.ts"
import { CheckFailed } from "../Ending.ts"
import {
  type CallChange,
  type DocumentChanges,
  documentChanges,
  type ReplayedChanges,
  replayedChanges
} from "./Difference.ts"
import { log, logsAt, ofCalls } from "./LogArgument.ts"
import { type Cell, columns, count, heads, listed, say, type Tone } from "./Page.ts"
import { json, loadFrom } from "./PolicyPath.ts"
import { callerWords } from "./LoggedCalls.ts"
import { makeReplay } from "./LogReplay.ts"
import type { CallGroup } from "./CallGroups.ts"
import { print, printJson } from "../Output.ts"

const policies = (name: string, description: string) =>
  Argument.String(name).pipe(Argument.withDescription(description))

/** The command. */
export const diff = Command.make(
  "diff",
  {
    before: policies("old", "The policies as they are: a folder or a file"),
    after: policies("new", "The policies as they would be"),
    log,
    replay: Flag.Boolean("replay").pipe(
      Flag.withDescription("Decide the calls of the log again, by both"),
      Flag.withoutNegation,
      Flag.withDefault(false)
    ),
    json
  },
  Effect.fnUntraced(function* ({ after, before, json, log, replay }) {
    const [old, young] = [yield* loadFrom(before), yield* loadFrom(after)]
    const documents = documentChanges(old, young)
    const models = yield* Models
    const replayed = yield* Effect.transposeOption(
      replay || Option.isSome(log)
        ? Option.some(
            Effect.flatMap(logsAt(log), (paths) =>
              ofCalls(paths, (calls) => replayedChanges(makeReplay(old, models), makeReplay(young, models), calls))
            )
          )
        : Option.none()
    )
    const calls = Option.getOrUndefined(replayed)
    yield* json
      ? printJson({ documents, ...(calls !== undefined && { replay: calls }) }, 2)
      : print([...documentLines(documents), ...(calls === undefined ? [] : ["", ...replayLines(calls)])].join("\n"))
    if (calls?.rows.some(({ what }) => what.effect !== "allowed")) return yield* new CheckFailed()
  }, Effect.provide(Models.layer))
).pipe(
  Command.withShortDescription("Show what a change of policies does, also to logged calls"),
  Command.withDescription(
    "Compares two sets of policies, and with --replay decides the calls of a log by both, each at its own time. Exits with 0, or with 1 where the new policies would refuse or change a logged call that the old ones decide otherwise; 2 where it cannot run. A log holds models and numbers, but no texts: bounds on parameters that it does not record are listed and not replayed. Intents and rate limits are not replayed."
  ),
  Command.withExamples([
    { command: "secure-openai policy diff policies new-policies", description: "Which documents differ" },
    {
      command: "secure-openai policy diff policies new-policies --replay",
      description: "Which of the calls in this folder's log would be decided otherwise"
    }
  ])
)

const documentLines = ({ added, changed, removed }: DocumentChanges): ReadonlyArray<string> =>
  added.length + removed.length + changed.length === 0
    ? ["The documents are the same."]
    : columns([
        ...rowsOf("good", "added", added),
        ...rowsOf("bad", "removed", removed),
        ...rowsOf("warn", "changed", changed)
      ])

const rowsOf = (tone: Tone, what: string, ids: ReadonlyArray<string>): ReadonlyArray<ReadonlyArray<Cell>> =>
  ids.length === 0 ? [] : [[[tone, what], String(ids.length), listed(ids, 12)]]

/** How many rows people are shown. */
const shown = 50

const replayLines = ({ calls, different, rows, untold }: ReplayedChanges): ReadonlyArray<string> => [
  different === 0
    ? `${say("good", count(calls, "call"))} replayed: all are decided as before`
    : `${say("title", count(calls, "call"))} replayed, ${say("warn", `${different} decided otherwise`)}`,
  ...(rows.length === 0
    ? []
    : [
        "",
        ...columns([
          heads("calls", "who", "resource", "before", "after"),
          ...rows.slice(0, shown).map((row) => rowOf(row, rows))
        ])
      ]),
  ...(rows.length > shown ? ["", `and ${rows.length - shown} more rows (--json lists them)`] : []),
  ...(untold.length === 0
    ? []
    : ["", `Not replayed, because the log does not record them: the bounds on ${listed(untold, 12)}`])
]

const tones: Readonly<Record<CallChange["effect"], Tone>> = {
  refused: "bad",
  pending: "warn",
  changed: "warn",
  allowed: "good"
}

const rowOf = (
  { calls, what }: CallGroup<CallChange>,
  rows: ReadonlyArray<CallGroup<CallChange>>
): ReadonlyArray<Cell> => [
  String(calls),
  callerWords(what, rows),
  what.resource,
  ["quiet", what.before],
  [tones[what.effect], what.after]
]
