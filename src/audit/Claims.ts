/**
 * What a decision claims of limits, in one step with its record.
 */
import * as Result from "effect/Result"
import type { Prepared } from "../call/States.ts"
import type { Claim } from "../call/Claim.ts"
import type { Decision } from "../call/Decision.ts"
import type { EnforcementUnavailable, PolicyRateLimited } from "../call/Errors.ts"
import type { Quota } from "./Quota.ts"
import { unavailable } from "./Unavailable.ts"

/** How many claims one record holds: of ids of 256 characters, which are the longest, 20 KB. */
const mostClaims = 48

/** What a call has claimed of limits, and what observed policies say of it once theirs are claimed too. */
export interface Claimed {
  readonly claims: ReadonlyArray<Claim>
  readonly observed: { readonly decision: Decision; readonly claims: ReadonlyArray<Claim> } | undefined
  /** Gives all of it back: nothing is sent. */
  readonly release: () => void
}

/** Claims what a call spends, all or nothing. Limits that are only observed refuse nothing; the record says that they would. */
export const claim = (
  prepared: Prepared,
  quota: Quota,
  at: number
): Result.Result<Claimed, PolicyRateLimited | EnforcementUnavailable> => {
  const { judge, observed: observing } = prepared.from
  const wanted = judge.wants.length + (observing?.judge.wants.length ?? 0)
  if (wanted > mostClaims)
    return Result.fail(
      unavailable(
        `${wanted} documents limit the rate of this call, and a record holds the claims of ${mostClaims} at most; nothing was sent. Set rate_limit in fewer of them.`
      )
    )
  const claimed = quota.reserve(judge.wants, at)
  if (!("settle" in claimed)) return Result.fail(judge.refuse(claimed))
  const decision = prepared.observed
  if (decision === undefined || observing === undefined || decision.verdict !== "allow")
    return Result.succeed({
      claims: judge.wants,
      observed: decision && { decision, claims: [] },
      release: () => claimed.settle([])
    })
  const { refuse, wants } = observing.judge
  const seen = quota.reserve(wants, at)
  return Result.succeed(
    "settle" in seen
      ? {
          claims: judge.wants,
          observed: { decision, claims: wants },
          release: () => {
            claimed.settle([])
            seen.settle([])
          }
        }
      : {
          claims: judge.wants,
          observed: { decision: { ...refuse(seen).decision, edits: [], enforced: false }, claims: [] },
          release: () => claimed.settle([])
        }
  )
}
