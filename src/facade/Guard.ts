/**
 * The last door: a `fetch` through which a protected request leaves only with the permit of its exchange.
 *
 * @since 0.1.0
 */
import { classify } from "../Operation.ts"
import { EnforcementUnavailable, toSdkError } from "../Errors.ts"
import { Exchange } from "./Exchange.ts"

type Fetch = typeof globalThis.fetch

const guarded = new WeakSet<Fetch>()

/** The same `fetch`, guarded. Guarding twice is guarding once. */
export const guard = (fetch: Fetch): Fetch => {
  if (guarded.has(fetch)) return fetch
  const door = async (...[input, init = {}]: Parameters<Fetch>): Promise<Response> => {
    const exchange = Exchange.ofRequest(init)
    if (exchange !== undefined) return exchange.send(fetch, input, init)
    const url = input instanceof Request ? input.url : String(input)
    const method = init.method ?? (input instanceof Request ? input.method : "GET")
    if (classify(method, url, url)._tag === "Family") return fetch(input, init)
    throw toSdkError(
      new EnforcementUnavailable({
        stage: "egress",
        message: "A protected request reached the network without a decision."
      })
    )
  }
  // The SDK looks at what else a fetch has: its Response, for one.
  const proxy = new Proxy(fetch, { apply: (_fetch, _this, args: Parameters<Fetch>) => door(...args) })
  guarded.add(proxy)
  return proxy
}
