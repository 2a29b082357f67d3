/**
 * The counters of rate limits, one set for all in this process that name the same key, whichever copy of this library they
 * are of.
 *
 * @since 0.2.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import { lease } from "../base/Shared.ts"

/** What was taken, and until when (ms since 1970) it is held against the limit. */
interface Counter {
  count: number
  expiresAt: number
}

/** How many counters are kept before those that have run out are looked for. */
const many = 10_000

/** A store of counters for fixed windows that is shared by key; for other algorithms, a store of its own. */
export const layer = (key: string): Layer.Layer<RateLimiter.RateLimiterStore> =>
  Layer.effect(
    RateLimiter.RateLimiterStore,
    Effect.gen(function* () {
      const own = yield* RateLimiter.RateLimiterStore
      const { value: counters } = yield* Effect.acquireRelease(
        Effect.sync(() => lease("rate limits", key, () => new Map<string, Counter>())),
        ({ release }) => Effect.sync(release)
      )
      return RateLimiter.RateLimiterStore.of({
        ...own,
        fixedWindow: (asked) =>
          Clock.clockWith((clock) => Effect.sync(() => take(counters, asked, clock.currentTimeMillisUnsafe())))
      })
    })
  ).pipe(Layer.provide(RateLimiter.layerStoreMemory))

type Asked = Parameters<RateLimiter.RateLimiterStore["Service"]["fixedWindow"]>[0]

/** Takes tokens as the store's interface says: gives the count with them and how long it lasts (ms), and keeps neither beyond the limit. */
const take = (
  counters: Map<string, Counter>,
  { key, limit, refillRate, tokens }: Asked,
  now: number
): [count: number, timeToLive: number] => {
  const known = counters.get(key)
  const { count, expiresAt } = known === undefined || known.expiresAt <= now ? { count: 0, expiresAt: now } : known
  const taken = count + tokens
  if (limit !== undefined && taken > limit) return [taken, expiresAt - now]
  const until = expiresAt + Duration.toMillis(refillRate) * tokens
  counters.set(key, { count: taken, expiresAt: until })
  // The map grows by new keys alone.
  if (known === undefined && counters.size > many)
    for (const [name, counter] of counters) if (counter.expiresAt <= now) counters.delete(name)
  return [taken, until - now]
}
