/**
 * The event loop's own turn, taken before anybody puts a fake clock in its place: a test that fakes its timers still gets its
 * answers, and leaves no pipeline behind that waits for a turn which never comes.
 *
 * @since 0.2.0
 */
import * as Scheduler from "effect/Scheduler"
import { clearImmediate, setImmediate } from "node:timers"

/** The time, in ms since 1970, likewise: the log tells when things were, whatever a test makes of the date. */
export const now: () => number = Date.now

/** Runs `task` in a later turn of the event loop; gives the way to call it off. */
export const nextTurn = (task: () => void): (() => void) => {
  const turn = setImmediate(task)
  return () => clearImmediate(turn)
}

/** What the fibers of this library yield to. */
export const scheduler: Scheduler.Scheduler = new Scheduler.MixedScheduler("async", nextTurn)
