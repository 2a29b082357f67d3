/**
 * `secure-openai audit check-proof`: is this record in the log that this key signs? Needs no log.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { checkProof as check } from "../audit/proof/InclusionProof.ts"
import { canonicalize, parseStrictObject } from "../base/CanonicalJson.ts"
import { CheckFailed } from "./Ending.ts"
import { key, readFile, readKeys } from "./LogKey.ts"
import { visible } from "../base/Text.ts"
import { recordFields, recordLine } from "./Words.ts"
import { print } from "./Output.ts"

/** The command. */
export const checkProof = Command.make(
  "check-proof",
  {
    proof: Argument.String("proof").pipe(Argument.withDescription("A file with what `audit prove` printed")),
    record: Flag.String("record").pipe(
      Flag.withDescription("A file with the record, as `audit show --json` prints it in its first line")
    ),
    key
  },
  Effect.fnUntraced(function* ({ key, proof, record }) {
    const keys = yield* readKeys(key)
    const text = (yield* readFile(proof)).toString("utf8")
    const bytes = yield* readFile(record)
    const end = bytes.indexOf(0x0a)
    const line = asInLog(end < 0 ? bytes : bytes.subarray(0, end))
    const proven = check(text, line, keys)
    if (Result.isFailure(proven)) {
      yield* print(`NOT PROVEN: ${visible(proven.failure)}`)
      return yield* new CheckFailed()
    }
    const { index, origin, record: shown, size } = proven.success
    yield* print(`proven: record ${index} of the first ${size} of ${visible(origin)}`)
    yield* print(recordLine({ index, text: line.toString("utf8"), record: shown }))
    yield* print(recordFields(shown))
  })
).pipe(
  Command.withDescription(
    "Checks a proof without the log. Exits with 0 where it holds, 1 where it does not, 2 where it cannot be checked"
  )
)

/** The record's line as it is in the log, which is canonical: `audit show --json` escapes in it what is not seen. */
const asInLog = (line: Buffer): Buffer => {
  const parsed = parseStrictObject(line.toString("utf8"))
  return Result.isSuccess(parsed) ? Buffer.from(canonicalize(parsed.success)) : line
}
