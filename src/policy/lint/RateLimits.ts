/**
 * Rate limits that each process counts alone.
 */
import type { Check } from "./Survey.ts"

/** A note that each process counts its own calls, once for each set. */
export const limitsPerProcess = (): Check => {
  let isReported = false
  return function* ({ document }) {
    if (isReported || document.constraints?.rate_limit === undefined) return
    isReported = true
    yield {
      severity: "note",
      code: "rate_limit_per_process",
      path: ["constraints", "rate_limit"],
      message: "calls are counted in the log of each process: several processes allow as many times as much",
      hint: "divide the limit by the number of processes, or enforce it at a gateway as well"
    }
  }
}
