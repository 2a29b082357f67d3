/** Reads a workspace's log in tests. */
import * as Effect from "effect/Effect"
import type { ReadRecord } from "../../src/audit/Record.ts"
import { Audit, type Workspace } from "../../src/index.ts"

export type LogRecord = ReadRecord

export const recordsOf = (workspace: Workspace): Promise<ReadonlyArray<ReadRecord>> =>
  workspace.runtime.runPromise(Effect.flatMap(Audit, (audit) => audit.records))
