/**
 * The guard against replay: an invocation is good once. What was used is remembered until it would have expired anyway.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { EnforcementUnavailable } from "../call/Errors.ts"
import { lease } from "../base/Shared.ts"
import * as Envelope from "./Envelope.ts"

/** What an envelope is remembered by. */
export type Used = Pick<Envelope.EnvelopeClaims, "iss" | "jti" | "iat" | "exp">

/**
 * What is remembered. A store that several processes share implements the same.
 *
 * @category services
 */
export class Replay extends Context.Service<
  Replay,
  {
    /**
     * True for the first time, in one atomic step; false ever after. Fails where it cannot tell, and then the call is
     * refused.
     */
    readonly use: (used: Used) => Effect.Effect<boolean, EnforcementUnavailable>
    /** Fails while every invocation is refused, where the memory knows that without being asked of one. */
    readonly serving?: Effect.Effect<void, EnforcementUnavailable>
  }
>()("secure-openai/Replay") {
  /**
   * Remembered in this process. What was issued before the process began to remember counts as used, since it may have
   * been.
   *
   * @category layers
   */
  static readonly layerMemory: Layer.Layer<Replay> = Layer.effect(
    Replay,
    Effect.map(Clock.currentTimeMillis, (now) => remembering(makeMemory(defaultCapacity, now)))
  )

  /**
   * As {@link Replay.layerMemory}, in one memory for all in this process that name the same key.
   *
   * @category layers
   */
  static readonly layerShared = (key: string): Layer.Layer<Replay> =>
    Layer.effect(
      Replay,
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        Effect.map(
          Effect.acquireRelease(
            Effect.sync(() => lease("used invocations", key, () => makeMemory(defaultCapacity, now))),
            ({ release }) => Effect.sync(release)
          ),
          ({ value }) => remembering(value)
        )
      )
    )
}

const remembering = (memory: Memory): Replay["Service"] =>
  Replay.of({
    use: (used) =>
      Effect.withFiber((fiber) => {
        const answer = memory.use(used, fiber.getRef(Clock.Clock).currentTimeMillisUnsafe())
        return answer === "full" ? Effect.fail(full()) : Effect.succeed(answer === "first")
      }),
    serving: Effect.withFiber((fiber) =>
      memory.isFull(fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()) ? Effect.fail(full()) : Effect.void
    )
  })

/** A memory of what was used. */
export interface Memory {
  /** `full` refuses: what cannot be remembered could be used twice. `now` is in ms since 1970. */
  readonly use: (used: Used, now: number) => "first" | "again" | "full"
  /** True while nothing more can be remembered. */
  readonly isFull: (now: number) => boolean
}

/** How many envelopes are remembered: about 1,000 a second, and about 30 MB. */
const defaultCapacity = 262_144

/** How long an envelope that is accepted now can still be good for, in ms. */
const span = (Envelope.lifetime + Envelope.clockTolerance) * 1000

/**
 * A memory of at most `capacity` envelopes, in two buckets that rotate: each holds what was used for 90 s, and is
 * forgotten after another 90. `since` is when it began to remember, in ms since 1970; envelopes carry whole seconds, so
 * one of the same second passes.
 */
export const makeMemory = (capacity: number, since: number): Memory => {
  let current = new Set<string>()
  let previous = new Set<string>()
  let began = since
  const rotate = (now: number): void => {
    if (now - began < span) return
    previous = now - began < 2 * span ? current : new Set()
    current = new Set()
    began = now
  }
  const isFull = (): boolean => current.size + previous.size >= capacity
  return {
    isFull: (now) => {
      rotate(now)
      return isFull()
    },
    use: ({ exp, iat, iss, jti }, now) => {
      if (iat < Math.floor(since / 1000)) return "again"
      rotate(now)
      const key = `${jti} ${iss}`
      if (current.has(key) || previous.has(key)) return "again"
      if (isFull() || exp * 1000 > now + span) return "full"
      current.add(key)
      return "first"
    }
  }
}

const full = (): EnforcementUnavailable =>
  new EnforcementUnavailable({
    stage: "signing",
    reason: "replay_full",
    message: "No more invocations can be remembered, so none is let through; try again in three minutes."
  })
