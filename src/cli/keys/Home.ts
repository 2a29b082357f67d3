/**
 * Which home a command is about, and what of its keys it may tell.
 */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { formatVerifierKey, parseVerifierKeys, verifierKey } from "../../audit/proof/Checkpoint.ts"
import { maximumText } from "../../audit/folder/Segment.ts"
import { readPlain } from "../../base/Files.ts"
import { CannotRun } from "../Ending.ts"

/** The flag `--home`. */
export const home = Flag.String("home").pipe(
  Flag.withDescription("Folder of keys and log. Default: SECURE_OPENAI_HOME, else ./.secure-openai"),
  Flag.optional
)

/** The home that was named, or the default one. */
export const homeOf = (given: Option.Option<string>): string =>
  Path.resolve(Option.getOrElse(given, () => process.env["SECURE_OPENAI_HOME"] || ".secure-openai"))

/** The folder of its keys. */
export const keysOf = (home: string): string => Path.join(home, "keys")

/** The logs of a home: `audit`, and its siblings that further processes write. */
export const logsOf = (home: string): ReadonlyArray<string> =>
  Fs.existsSync(home)
    ? Fs.readdirSync(home)
        .filter((name) => /^audit(-[0-9]+)?$/.test(name) && Fs.existsSync(Path.join(home, name, "vkey")))
        .sort()
        .map((name) => Path.join(home, name))
    : []

/** The vkeys of a log, by their public keys' base64url. */
export const vkeysOf = (log: string): ReadonlyArray<{ readonly x: string; readonly vkey: string }> => {
  const keys = parseVerifierKeys(readPlain(Path.join(log, "vkey"), maximumText).toString("utf8"))
  return Result.getOrElse(keys, () => []).map(({ name, publicKey }) => ({
    x: Buffer.from(publicKey).toString("base64url"),
    vkey: formatVerifierKey(verifierKey(name, publicKey))
  }))
}

/** What cannot be done, in the words of whoever could not. */
export const attempt = <A>(run: () => A): Effect.Effect<A, CannotRun> =>
  Effect.try({
    try: run,
    catch: (cause) => new CannotRun({ message: cause instanceof Error ? cause.message : String(cause) })
  })
