/**
 * The two clocks of the log. Everything in this folder reads the time through them, so that one test can replace both: `now`
 * dates records, `elapsed` measures durations and is not affected by changes of the system's date.
 */
import * as Context from "effect/Context"
import { elapsed, now } from "../base/EventLoop.ts"

/** A clock for dates and one for durations. */
export interface Clock {
  /** The date, in ms since 1970. */
  readonly now: () => number
  /** A steady clock, in ms since any moment. */
  readonly elapsed: () => number
}

/** The system's clocks, unaffected by fake timers that a test installs later. */
export const systemClock: Clock = { now, elapsed }

/**
 * The clocks of logs that are opened: the system's, unless a layer provides others.
 *
 * @category services
 */
export const LogClock: Context.Reference<Clock> = Context.Reference("secure-openai/audit/Clock", {
  defaultValue: () => systemClock
})
