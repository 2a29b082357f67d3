/**
 * `secure-openai audit receipt`: does a receipt hold? By a public key alone, or by its log.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Fs from "node:fs"
import { folderReader } from "../audit/folder/FolderReader.ts"
import { readLines } from "../audit/Lines.ts"
import {
  namedOrigin,
  type PublicJwk,
  type ReceiptClaims,
  type Verified,
  verify,
  verifyInLog
} from "../audit/proof/Receipt.ts"
import type { ReadRecord } from "../audit/Record.ts"
import { isCompact } from "../keys/Jws.ts"
import { CannotRun, CheckFailed } from "./Ending.ts"
import { standardInput } from "./Input.ts"
import { logsOfOrigin, namedLogs, path, reading, withSiblings } from "./LogPath.ts"
import { visible } from "../base/Text.ts"
import { printError, printJson } from "./Output.ts"

/** The command. */
export const receipt = Command.make(
  "receipt",
  {
    receipt: Argument.String("receipt").pipe(
      Argument.withDescription("The receipt, a compact JWS, or a file that holds it, or - for standard input")
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
    const jws = yield* given(receipt)
    const verified = Option.isSome(jwk)
      ? yield* attempt(() => byKeys(jws, JSON.parse(Fs.readFileSync(jwk.value, "utf8"))))
      : yield* byLogs(jws, yield* namedLogs(Option.toArray(path)))
    if (!verified.valid) {
      yield* json ? printJson(verified) : printError(`The receipt does not hold: ${visible(verified.reason)}.`)
      return yield* new CheckFailed()
    }
    yield* json ? printJson(verified) : printJson(verified.claims, 2)
  })
).pipe(
  Command.withDescription(
    "Verifies a receipt, by a public key or by its log, which is looked for by its origin among the logs and their siblings. Exits with 0 where it holds, 1 where it does not, 2 where it cannot be verified: there is no such file, or its log is not here, or cannot be read"
  )
)

/** The receipt itself, wherever it stands. A name of no file is told apart from a receipt that was forged. */
const given = (receipt: string): Effect.Effect<string, CannotRun> => {
  if (receipt === "-") return Effect.map(standardInput, (text) => text.trim())
  if (Fs.existsSync(receipt)) return attempt(() => Fs.readFileSync(receipt, "utf8").trim())
  if (isCompact(receipt)) return Effect.succeed(receipt)
  return Effect.fail(
    new CannotRun({
      message: `${visible(receipt)} is neither a file nor a receipt: there is no such file, and a receipt is a compact JWS.`
    })
  )
}

const attempt = <A>(read: () => A): Effect.Effect<A, CannotRun> =>
  Effect.try({
    try: read,
    catch: (cause) => new CannotRun({ message: cause instanceof Error ? cause.message : String(cause) })
  })

/** By the log that it names: one of these, or one of their siblings, which another process writes. A copy does as well. */
const byLogs = (jws: string, logs: ReadonlyArray<string>): Effect.Effect<Verified<ReceiptClaims>, CannotRun> =>
  Effect.gen(function* () {
    const origin = namedOrigin(jws)
    const all = [...new Set(logs.flatMap(withSiblings))]
    // One that names no log holds in none, and any of them says why.
    const own = origin === undefined ? all.slice(0, 1) : yield* logsOfOrigin(origin, all)
    let verified: Verified<ReceiptClaims> | undefined
    for (const log of own) {
      const found = verifyInLog(jws, yield* reading(log, () => recordsOf(log)))
      if (found.valid) return found
      verified ??= found
    }
    return verified ?? verifyInLog(jws, [])
  })

const recordsOf = async (log: string): Promise<ReadonlyArray<ReadRecord>> => {
  const records: Array<ReadRecord> = []
  for await (const { record } of readLines(folderReader(log))) if (record !== undefined) records.push(record)
  return records
}

/** By the first key of a set that it holds by. */
const byKeys = (
  jws: string,
  given: PublicJwk | { readonly keys: ReadonlyArray<PublicJwk> }
): Verified<ReceiptClaims> => {
  const all = ("keys" in given ? given.keys : [given]).map((key) => verify(jws, key))
  return all.find(({ valid }) => valid) ?? all[0] ?? { valid: false, reason: "the file holds no key" }
}
