/**
 * What a call would spend of a limit. Policy states it, the log claims it in one step with the decision's record, and nothing
 * is sent where a claim does not hold.
 */

/**
 * A claim on a limit that slides: within any `window` (ms) by the log's clock, the amounts that one principal claims of one
 * counter come to `limit` at most.
 *
 * @category models
 */
export interface Claim {
  /** Id of the document that sets the limit, as decisions name it. */
  readonly policy: string
  /** Names the counter: the document's own, so that each level counts by itself. */
  readonly counter: string
  /** Whose share it is: the principal's `identityOf`. */
  readonly caller: string
  readonly unit: "calls"
  readonly amount: number
  readonly limit: number
  readonly window: number
}

/**
 * A claim that does not hold: `retryAfter` ms later it would, if nothing else is claimed until then.
 *
 * @category models
 */
export interface Spent {
  readonly claim: Claim
  readonly retryAfter: number
}
