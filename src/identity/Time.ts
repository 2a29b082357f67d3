/**
 * The two clocks that a verification needs, and a guard that holds them against each other: tokens end by the wall clock,
 * and a wall clock that was set back would give an ended token a second life.
 */
import * as Result from "effect/Result"
import type * as Clock from "effect/Clock"

/** Both clocks in ms: `wall` since 1970, `steady` since some moment of this process; it never goes back. */
export interface Time {
  readonly wall: () => number
  readonly steady: () => number
}

/** The clocks of an Effect. */
export const timeOf = (clock: Clock.Clock): Time => ({
  wall: () => clock.currentTimeMillisUnsafe(),
  steady: () => Number(clock.monotonicTimeNanosUnsafe() / 1000n) / 1000
})

/** How far the wall clock may leave the steady one, in ms. */
export const tolerance = 30_000

/**
 * Gives the time that counts, or fails with by how many ms the wall clock was set back: the end of a token cannot be told
 * until the clock has caught up (or after a restart, which knows of no earlier time).
 *
 * A wall clock that was set forward, as after a sleep of the machine, ends tokens sooner and never later, so it counts at once.
 * The steady clock may have stood still meanwhile (Linux stops CLOCK_MONOTONIC in a suspended machine), so from then on it
 * counts by as much more: what was verified or fetched before has aged.
 */
export const makeGuard = (): ((time: Time) => Result.Result<Time, number>) => {
  let trusted: number | undefined
  let slept = 0
  return ({ steady, wall }) => {
    const offset = wall() - steady()
    trusted ??= offset
    const jump = offset - trusted
    if (jump < -tolerance) return Result.fail(-jump)
    if (jump > tolerance) {
      trusted = offset
      slept += jump
    }
    return Result.succeed({ wall, steady: () => steady() + slept })
  }
}
