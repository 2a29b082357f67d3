/**
 * How a log stands: what it holds, what of it is signed and copied, and why it takes no calls where it takes none. Times are in
 * ms since 1970.
 */
import type { EnforcementUnavailable } from "../call/Errors.ts"
import type { FreeSpace } from "./folder/FreeSpace.ts"

/** How a log stands. */
export interface LogStatus {
  /** Its folder; `memory` where it ends with the process. */
  readonly path: string
  /** Which log: `secure-openai/` and 16 hex digits. */
  readonly origin: string
  /** How many it has, those included that are not on the disk yet. */
  readonly records: number
  /** The newest one: of so many records. `at` is absent where an earlier process signed it. */
  readonly checkpoint: { readonly size: number; readonly at?: number }
  /** The places that checkpoints are copied to. */
  readonly copies: ReadonlyArray<CopyStatus>
  /** What a call is refused with now. */
  readonly refusal: EnforcementUnavailable | undefined
  /** Absent for a log in memory, and until the file system has answered. */
  readonly disk?: FreeSpace
}

/** How the copies in one place stand. */
export interface CopyStatus {
  /** The folder, the URL without its query, or "the function that is given checkpoints". */
  readonly to: string
  /** The last checkpoint that this process copied: of so many records, and when. Absent before the first. */
  readonly size?: number
  readonly at?: number
  /** Since when a newer checkpoint has been waiting for its copy. */
  readonly waitingSince?: number
  /** Why the last attempt failed; absent once one succeeds. */
  readonly error?: string
}
