/**
 * The two clocks that a verification needs, and a guard that holds them against each other: tokens end by the wall clock,
 * and a wall clock that was set back would give an ended token a second life.
 *
 * @since 0.2.0
 */
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

/** How long a wall clock that was set forward must run evenly before it counts again, in ms. */
export const settling = 30_000

/**
 * Says by how many ms the wall clock jumped, or `undefined` while it can be trusted. Set back, it counts again once it has
 * caught up (or after a restart). Set forward, as after a sleep of the machine, once it ran evenly for 30 s: no ended token
 * gains by that.
 */
export const makeGuard = (): ((time: Time) => number | undefined) => {
  let trusted: number | undefined
  let candidate = 0
  let since: number | undefined
  return ({ steady, wall }) => {
    const at = steady()
    const offset = wall() - at
    if (trusted === undefined) trusted = offset
    const jump = offset - trusted
    if (Math.abs(jump) <= tolerance) {
      since = undefined
      return undefined
    }
    if (since === undefined || Math.abs(offset - candidate) > 1000) {
      candidate = offset
      since = at
    }
    if (jump > 0 && at - since >= settling) {
      trusted = offset
      since = undefined
      return undefined
    }
    return jump
  }
}
