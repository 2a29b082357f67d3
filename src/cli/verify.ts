/**
 * `secure-openai audit verify`: does the log hold?
 *
 * @since 0.1.0
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { decodeLine } from "../audit/Segment.ts"
import { verify as verifyLog } from "../audit/Verify.ts"
import { CannotRun, CheckFailed } from "./Ending.ts"
import { key, readFile, readKeys } from "./LogKey.ts"
import { logPaths, path } from "./LogPath.ts"
import { reportLines } from "./Words.ts"

/** The command. */
export const verify = Command.make(
  "verify",
  {
    path,
    key: key.pipe(Flag.optional),
    since: Flag.String("since").pipe(
      Flag.withDescription("A file with a checkpoint that was kept from before"),
      Flag.optional
    ),
    json: Flag.Boolean("json").pipe(Flag.withDescription("One JSON object a log"), Flag.withDefault(false))
  },
  Effect.fnUntraced(function* ({ json, key, path, since }) {
    const logs = logPaths(path)
    if (Option.isSome(since) && logs.length > 1)
      return yield* new CannotRun({
        message: `A checkpoint is of one log, and there are ${logs.length}: name the one that it is of. ${logs.join(", ")}`
      })
    const given = yield* Effect.transposeOption(Option.map(key, readKeys))
    const earlier = yield* Effect.transposeOption(Option.map(since, readFile))
    let failed: CannotRun | undefined
    let intact = true
    for (const log of logs) {
      const result = yield* Effect.result(
        verifyLog({
          path: log,
          keys: Option.getOrUndefined(given),
          since: Option.isNone(earlier) ? undefined : (decodeLine(earlier.value) ?? "")
        })
      )
      if (Result.isFailure(result)) {
        failed ??= new CannotRun({ message: result.failure.message })
        continue
      }
      const report = result.success
      intact &&= report.ok
      yield* Console.log(json ? JSON.stringify({ path: log, ...report }) : reportLines(log, report).join("\n"))
    }
    if (!intact) return yield* new CheckFailed()
    if (failed !== undefined) return yield* failed
  })
).pipe(
  Command.withDescription(
    "Verifies a log. Exits with 0 where it holds, 1 where it does not, 2 where it cannot be verified"
  )
)
