/**
 * A `fetch` that lets a request leave only as it was judged. A request without a permit was made by hand and is judged here: a protected one is refused, any other recorded as it leaves.
 */
import { Exchange } from "./Exchange.ts"

type Fetch = typeof globalThis.fetch

/** Judges a request that was made by hand, and gives it back with its permit. */
export type ByHand = (request: RequestInit, url: string) => Promise<RequestInit>

interface Guarded {
  readonly fetch: Fetch
  readonly owner: object
  readonly byHand: ByHand
}
// A table, for a guarded fetch is a proxy of a function: it has no place for a field.
const guarded = new WeakMap<Fetch, Guarded>()

/** The `fetch` behind a guard; what is not guarded is itself. It sends whatever it is given: only the guards may have it. */
export const unguarded = (fetch: Fetch): Fetch => guarded.get(fetch)?.fetch ?? fetch

/**
 * A `fetch`, guarded for a client of `owner`. Guarding twice for one owner is guarding once, for the last client that did;
 * another owner's guard stays in its place, behind the new one.
 */
export const guard = (given: Fetch, owner: object, byHand: ByHand): Fetch => {
  const before = guarded.get(given)
  if (before?.byHand === byHand) return given
  const fetch = before?.owner === owner ? before.fetch : given
  const guardedFetch = async (...[input, init = {}]: Parameters<Fetch>): Promise<Response> => {
    // Read once: what is judged is what is sent, whatever an object answers when it is asked again.
    const given = input instanceof Request ? input.url : String(input)
    const exchange = Exchange.ofRequest(init)
    // A permit of another client opens nothing here.
    if (exchange?.isOf(owner) === true) return exchange.send(fetch, given, init)
    const url = URL.parse(given)
    // What has no host leaves nothing: the SDK tries out a fetch on one.
    if (url !== null && hostless.has(url.protocol)) return fetch(given, init)
    const made = input instanceof Request ? { ...membersOf(input), ...init } : init
    const href = url?.href ?? given
    const permitted = await byHand({ ...made }, href)
    const alone = Exchange.ofRequest(permitted)
    if (alone === undefined) throw new TypeError("a request that was judged has no permit")
    return alone.send(fetch, href, permitted)
  }
  // The SDK looks at what else a fetch has: its Response, for one.
  const proxy = new Proxy(fetch, {
    apply: (_fetch, _this, args: Parameters<Fetch>) => guardedFetch(...args),
    construct: () => {
      throw new TypeError("fetch is not a constructor")
    }
  })
  guarded.set(proxy, { fetch, owner, byHand })
  return proxy
}

/** Schemes whose URLs name no host. */
const hostless: ReadonlySet<string> = new Set(["about:", "blob:", "data:"])

const membersOf = ({ body, headers, method, signal }: Request): RequestInit => ({
  method,
  headers,
  signal,
  ...(body !== null && { body, duplex: "half" as const })
})
