/**
 * The flag `--key`: the key of a log as known from elsewhere.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Flag from "effect/cli/Flag"
import * as Fs from "node:fs"
import { parseVerifierKey, parseVerifierKeys, type VerifierKey } from "../audit/proof/Checkpoint.ts"
import { CannotRun } from "./Ending.ts"

/** The flag. */
export const key = Flag.String("key").pipe(
  Flag.withDescription("The log's vkey, or a file that holds it, as known from elsewhere")
)

/** The keys that were given: a vkey, or a file with one or several. */
export const readKeys = (given: string): Effect.Effect<ReadonlyArray<VerifierKey>, CannotRun> => {
  const one = parseVerifierKey(given)
  if (Result.isSuccess(one)) return Effect.succeed([one.success])
  if (!Fs.existsSync(given))
    return Effect.fail(new CannotRun({ message: `--key is neither a vkey (${one.failure}) nor a file.` }))
  return Effect.flatMap(readFile(given), (bytes) => {
    const text = bytes.toString("utf8")
    return Effect.mapError(
      Effect.fromResult(parseVerifierKeys(text.endsWith("\n") ? text : `${text}\n`)),
      (fault) => new CannotRun({ message: `The file ${given} holds no vkey: ${fault}.` })
    )
  })
}

/** The bytes of a file that was named. */
export const readFile = (file: string): Effect.Effect<Buffer, CannotRun> =>
  Effect.try({
    try: () => Fs.readFileSync(file),
    catch: (cause) => new CannotRun({ message: cause instanceof Error ? cause.message : String(cause) })
  })
