/**
 * Why a log cannot be used, and what to do about it.
 */
import { EnforcementUnavailable, type UnavailableReason } from "../call/Errors.ts"
import { errorCode } from "../base/Files.ts"

/** The refusal of every call that the log would have to take in. */
export const unavailable = (message: string, cause?: unknown): EnforcementUnavailable =>
  new EnforcementUnavailable(cause === undefined ? { stage: "audit", message } : { stage: "audit", message, cause })

/** Another process has the log that this one was writing: the cause of the refusals from then on. */
export class LockLost extends Error {
  override readonly name = "LockLost"
}

/** As {@link unavailable}, of a state that lasts, by its name. */
export const hindered = (reason: UnavailableReason, message: string, cause?: unknown): EnforcementUnavailable =>
  new EnforcementUnavailable({ stage: "audit", reason, message, ...(cause !== undefined && { cause }) })

/** Why a disk refuses, by the code of its error. */
export const reasonFor = (error: unknown): "disk_full" | "unwritable" =>
  isFull(errorCode(error)) ? "disk_full" : "unwritable"

const isFull = (code: unknown): boolean => code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG"

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** What to do about a disk that refuses, by the code of its error. */
export const adviceFor = (error: unknown): string => {
  const code = errorCode(error)
  if (isFull(code)) return "Make space on its disk"
  switch (code) {
    case "EROFS":
    case "EACCES":
    case "EPERM":
      return "Let this process write there again"
    case "EMFILE":
    case "ENFILE":
      return "Let this process open more files"
    default:
      return "See to its disk"
  }
}

/** The refusal where the log's key signs no checkpoint. */
export const unsigned = (cause: unknown): EnforcementUnavailable =>
  unavailable(`The log's checkpoint could not be signed. ${messageOf(cause)}`, cause)

/** How far the clock may be behind the log, in ms. */
const clockTolerance = 30_000

/** Why no call may begin where the clock was set back: `now` is its date, `latest` the latest date of a record, in ms since 1970. */
export const clockBehind = (now: number, latest: number, path: string): EnforcementUnavailable | undefined =>
  latest - now > clockTolerance
    ? hindered(
        "clock_behind",
        `The clock says ${dateText(now)}, and the log at ${path} has a record of ${dateText(latest)}; no call is let through. Set the clock right; if it is right now, a restart does not help: calls are let through once it has passed that time. Sooner with another audit path, or once this process was stopped and that folder moved away, to be kept as evidence.`
      )
    : undefined

const dateText = (ms: number): string => new Date(ms).toISOString()
