/**
 * The event loop's own turn, taken before anybody puts a fake clock in its place: a test that fakes its timers still gets its
 * answers, and leaves no pipeline behind that waits for a turn which never comes.
 */
import * as Effect from "effect/Effect"
import * as Scheduler from "effect/Scheduler"
import { AsyncResource } from "node:async_hooks"
import { performance } from "node:perf_hooks"
import { clearImmediate, clearTimeout, setImmediate, setTimeout } from "node:timers"

/** The time, in ms since 1970, likewise: the log tells when things were, whatever a test makes of the date. */
export const now: () => number = Date.now

/** How long the process has run, in ms, likewise: it goes on evenly, whatever is done to the clock. */
export const elapsed: () => number = performance.now.bind(performance)

/** Waits some ms, likewise. */
export const wait = (ms: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const timer = setTimeout(() => resume(Effect.void), ms)
    return Effect.sync(() => clearTimeout(timer))
  })

/** Runs `task` in a later turn of the event loop; gives the way to call it off. */
export const nextTurn = (task: () => void): (() => void) => {
  const turn = setImmediate(task)
  return () => clearImmediate(turn)
}

/** Resolves in a later turn of the event loop: what follows holds nobody up together with what came before. */
export const anotherTurn = (): Promise<void> => new Promise((resolve) => void nextTurn(resolve))

/** A task, which may give what is to be done after all others. */
type Task = () => (() => void) | void

/** Collects tasks for a later moment, when they run one right after another, each in the async context that it came from. */
const collecting = (later: (runAll: () => void) => void): ((task: Task) => void) => {
  let waiting: Array<readonly [AsyncResource, Task]> = []
  const runAll = (): void => {
    const all = waiting
    waiting = []
    for (const goOn of all.map(([from, task]) => from.runInAsyncScope(task))) goOn?.()
  }
  return (task) => {
    if (waiting.push([new AsyncResource("SecureOpenAI"), task]) === 1) later(runAll)
  }
}

/**
 * Runs what one turn brings in the next, one task right after another: code that finds the processor's caches full of itself
 * costs half. A task must not throw.
 */
export const inNextTurn: (task: Task) => void = collecting(nextTurn)

/**
 * Has what is asked for in one go done a moment later, one thing right after another, and only then goes on with each: for work
 * that costs several times as much in between other work. What is given up in the meantime is not begun.
 */
export const makeBatch = (): (<A, E>(work: () => Effect.Effect<A, E>) => Effect.Effect<A, E>) => {
  const soon = collecting((runAll) => void Promise.resolve().then(runAll))
  return (work) =>
    Effect.callback((resume) => {
      let isWanted = true
      soon(() => {
        if (!isWanted) return undefined
        const done = attempt(work)
        return () => resume(done)
      })
      return Effect.sync(() => void (isWanted = false))
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
