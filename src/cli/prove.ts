/**
 * `secure-openai audit prove`: a proof that a record is in the log, checkable without the log.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import { prove as proveRecord } from "../audit/Proof.ts"
import { CannotRun } from "./Ending.ts"
import { logPath, path } from "./LogPath.ts"
import { index } from "./show.ts"
import { print } from "./Output.ts"

/** The command. */
export const prove = Command.make("prove", { index, path }, ({ index, path }) =>
  proveRecord(logPath(path), index).pipe(
    Effect.mapError(({ message }) => new CannotRun({ message })),
    Effect.flatMap((proof) => print(proof.trimEnd()))
  )
).pipe(Command.withDescription("Prints a proof (c2sp.org/tlog-proof@v1) that a record is in the log"))
