/**
 * `secure-openai audit receipt`: does a receipt hold? By a public key alone, or by its log.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Fs from "node:fs"
import { readLines } from "../audit/Reader.ts"
import { type PublicJwk, type ReceiptClaims, type Verified, verify, verifyInLog } from "../audit/Receipt.ts"
import type { ReadRecord } from "../audit/Record.ts"
import { CannotRun, CheckFailed } from "./Ending.ts"
import { logPath, path } from "./LogPath.ts"
import { visible } from "../Text.ts"
import { printError, printJson } from "./Output.ts"

/** The command. */
export const receipt = Command.make(
  "receipt",
  {
    receipt: Argument.String("receipt").pipe(
      Argument.withDescription("The receipt, a compact JWS, or a file that holds it")
    ),
    path,
    jwk: Flag.String("jwk").pipe(
      Flag.withDescription(
        "A file with the public key, a JWK or a JWK Set: the receipt is verified by it alone, without a log"
      ),
      Flag.optional
    ),
    json: Flag.Boolean("json").pipe(
      Flag.withDescription("One JSON object in one line, also where the receipt does not hold"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function* ({ json, jwk, path, receipt }) {
    const verified = yield* Effect.tryPromise({
      try: async (): Promise<Verified<ReceiptClaims>> => {
        const jws = Fs.existsSync(receipt) ? Fs.readFileSync(receipt, "utf8").trim() : receipt
        if (Option.isSome(jwk)) return byKeys(jws, JSON.parse(Fs.readFileSync(jwk.value, "utf8")))
        const records: Array<ReadRecord> = []
        for await (const { record } of readLines(logPath(path), 0)) if (record !== undefined) records.push(record)
        return verifyInLog(jws, records)
      },
      catch: (cause) => new CannotRun({ message: cause instanceof Error ? cause.message : String(cause) })
    })
    if (!verified.valid) {
      yield* json ? printJson(verified) : printError(`The receipt does not hold: ${visible(verified.reason)}.`)
      return yield* new CheckFailed()
    }
    yield* json ? printJson(verified) : printJson(verified.claims, 2)
  })
).pipe(
  Command.withDescription(
    "Verifies a receipt, by a public key or by its log. Exits with 0 where it holds, 1 where it does not, 2 where it cannot be verified"
  )
)

/** By the first key of a set that it holds by. */
const byKeys = (
  jws: string,
  given: PublicJwk | { readonly keys: ReadonlyArray<PublicJwk> }
): Verified<ReceiptClaims> => {
  const all = ("keys" in given ? given.keys : [given]).map((key) => verify(jws, key))
  return all.find(({ valid }) => valid) ?? all[0] ?? { valid: false, reason: "the file holds no key" }
}
