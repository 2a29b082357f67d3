/**
 * `secure-openai audit prove`: a proof that a record is in the log, checkable without the log.
 */
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import { folderReader } from "../audit/folder/FolderReader.ts"
import { prove as proveRecord } from "../audit/proof/InclusionProof.ts"
import { CannotRun } from "./Ending.ts"
import { path } from "./LogPath.ts"
import { print } from "./Output.ts"
import { findRecord, record } from "./RecordArgument.ts"

/** The command. */
export const prove = Command.make("prove", { record, path }, ({ path, record }) =>
  Effect.flatMap(findRecord(record, path), ({ line, log }) => proveRecord(folderReader(log), line.index)).pipe(
    Effect.mapError((error) => (error instanceof CannotRun ? error : new CannotRun({ message: error.message }))),
    Effect.flatMap((proof) => print(proof.trimEnd()))
  )
).pipe(
  Command.withDescription(
    "Prints a proof (c2sp.org/tlog-proof@v1) that a record is in its log, by the record's index or the id of the call that it opened. Exits with 0, or with 2 where there is nothing to prove"
  )
)
