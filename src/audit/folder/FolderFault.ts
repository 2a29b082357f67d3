/**
 * Why the log in a folder cannot be opened or written, and what to do about it.
 */
import * as Path from "node:path"
import { EnforcementUnavailable } from "../../call/Errors.ts"
import { adviceFor, hindered, LockLost, messageOf, reasonFor } from "../Unavailable.ts"
import type { FileSystem } from "./Disk.ts"
import * as Lock from "./Lock.ts"
import type { Damaged } from "./Recovery.ts"

/** Another process has the log. */
export const heldBy = (disk: FileSystem, path: string, { holder, verdict }: Lock.Held): EnforcementUnavailable =>
  hindered(
    "held",
    verdict === "unreadable"
      ? `The log at ${path} has a lock that this version cannot read. Once no process has that log open, delete ${Path.join(path, "lock")}; or give this process another audit path.`
      : `The log at ${path} is open in ${Lock.describe(holder, Lock.placeOf(disk))}. Close it there, or give this process another audit path.`
  )

/** Logged where a damaged log is left as it is, and a sibling takes its place. */
export const setAside = (path: string, reason: string): string =>
  `The log at ${path} is damaged, and is not gone on with: ${reason}. Two processes may have written it at once. Run "secure-openai audit verify ${path}", and keep that folder as evidence: a sibling takes its place, and every start says this until that folder is moved away.`

/** The log was changed, or is of another key. */
export const damaged = (folder: string, error: Damaged): EnforcementUnavailable =>
  hindered(
    "damaged",
    `The log at ${folder} cannot be continued: ${error.message}. Run "secure-openai audit verify ${folder}", keep that folder as evidence, and give this process another audit path.`,
    error
  )

/** The disk refuses, or opening failed otherwise. */
export const cannotOpen = (path: string, error: unknown): EnforcementUnavailable =>
  hindered(
    reasonFor(error),
    `The log at ${path} cannot be opened: ${messageOf(error)}. Set SECURE_OPENAI_HOME to a folder that this process may write, or use audit: "memory".`,
    error
  )

/** A write failed. A lock that was lost has a message of its own. */
export const notWritten = (path: string, error: unknown): EnforcementUnavailable =>
  error instanceof EnforcementUnavailable && error.cause instanceof LockLost
    ? error
    : hindered(
        reasonFor(error),
        `The log at ${path} could not be written (${messageOf(error)}), and no call is let through unrecorded. ${adviceFor(error)}: the log is tried again every second, and goes on without a restart.`,
        error
      )
