/** How long a library waits between its attempts, without waiting for it. */
import { vi } from "vitest"

/** The SDK's time limit of a request, in ms: it is set in the course of an attempt, and is no wait. */
const requestLimit = 600_000

/**
 * Has timers that a file of this name sets run at once, until it is disposed; `waits` is for how long they were set, in ms. Timers
 * of less than a second stay as they are.
 */
export const waitless = (file: RegExp) => {
  const waits: Array<number> = []
  const { setTimeout: wait } = globalThis
  const spy = vi.spyOn(globalThis, "setTimeout").mockImplementation(((run: () => void, ms = 0) => {
    const callers = new Error().stack?.split("\n").slice(1, 6).join("\n") ?? ""
    if (ms < 1000 || ms >= requestLimit || !file.test(callers)) return wait(run, ms)
    waits.push(ms)
    return wait(run, 0)
  }) as typeof setTimeout)
  return { waits, [Symbol.dispose]: () => spy.mockRestore() }
}
