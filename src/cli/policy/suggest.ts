/**
 * `secure-openai policy suggest`: the least policies that would have allowed what a log shows.
 */
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import { suggest as suggestFor } from "../../policy/Suggest.ts"
import { CannotRun } from "../Ending.ts"
import { log, logsAt, ofCalls, thatRan } from "./LogArgument.ts"
import { printJson } from "../Output.ts"

/** The command. */
export const suggest = Command.make(
  "suggest",
  { log },
  Effect.fnUntraced(function* ({ log }) {
    const paths = yield* logsAt(log)
    const ran = yield* thatRan(paths)
    const documents = yield* ofCalls(paths, async (calls) =>
      suggestFor(
        (await Array.fromAsync(calls)).filter(({ allowed }) => allowed),
        (resource) => ran.has(resource)
      )
    )
    if (documents.length === 0)
      return yield* new CannotRun({
        message: `No call in ${paths.join(", ")} was let through: there is nothing to allow.`
      })
    yield* printJson(documents, 2)
  })
).pipe(
  Command.withShortDescription("Derive the least policies that would have allowed what a log shows"),
  Command.withDescription(
    "Prints policies, a document for each caller: the resources that it used, the models that it asked for, and the highest and lowest numbers. A draft to read and to widen: what was not asked for is not allowed. Names are literals: a call whose tool or model has a * in its name is left out, and so is a tool that never ran. A log holds no texts, so the draft bounds none."
  ),
  Command.withExamples([
    { command: "secure-openai policy suggest > policies/draft.json", description: "A first draft" },
    { command: "secure-openai policy diff policies policies/draft.json --replay", description: "What it would do" }
  ])
)
