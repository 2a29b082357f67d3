/**
 * The event loop's own turn, taken before anybody puts a fake clock in its place: a test that fakes its timers still gets its
 * answers, and leaves no pipeline behind that waits for a turn which never comes.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Scheduler from "effect/Scheduler"
import { clearImmediate, setImmediate } from "node:timers"

/** The time, in ms since 1970, likewise: the log tells when things were, whatever a test makes of the date. */
export const now: () => number = Date.now

/** Runs `task` in a later turn of the event loop; gives the way to call it off. */
export const nextTurn = (task: () => void): (() => void) => {
  const turn = setImmediate(task)
  return () => clearImmediate(turn)
}

/**
 * Has what is asked for in one turn done in the next, one thing right after another, and only then goes on with each. For work
 * that costs several times as much where other code has filled the processor's caches.
 */
export const makeBatch = (): (<A, E>(work: () => Effect.Effect<A, E>) => Effect.Effect<A, E>) => {
  let waiting: Array<() => () => void> = []
  const doAll = (): void => {
    const all = waiting
    waiting = []
    for (const goOn of all.map((work) => work())) goOn()
  }
  return (work) =>
    Effect.callback((resume) => {
      const count = waiting.push(() => {
        const done = attempt(work)
        return () => resume(done)
      })
      if (count === 1) nextTurn(doAll)
    })
}

const attempt = <A, E>(work: () => Effect.Effect<A, E>): Effect.Effect<A, E> => {
  try {
    return work()
  } catch (defect) {
    return Effect.die(defect)
  }
}

/** What the fibers of this library yield to. */
export const scheduler: Scheduler.Scheduler = new Scheduler.MixedScheduler("async", nextTurn)
