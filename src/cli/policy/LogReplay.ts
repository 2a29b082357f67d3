/**
 * Logged calls, decided again by today's policies, each at its own time, as far as the log records the request.
 */
import { isOperation, quantities } from "../../call/Operation.ts"
import { makeFind } from "../../policy/Participants.ts"
import type { PolicySet } from "../../policy/PolicySet.ts"
import type { Models } from "../../rewriting/Models.ts"
import { type DryRun, makeDryRunner } from "./DryRun.ts"
import type { LoggedCall } from "./LoggedCalls.ts"

/** A logged call as it would be decided. */
export interface Replayed extends Pick<DryRun, "verdict" | "violations" | "edits"> {
  /** Parameters that policy bounds and that the log does not record. */
  readonly untold: ReadonlyArray<string>
}

/** Decides logged calls by a set of policies, as a client that has them would; nothing is counted. */
export const makeReplay = (set: PolicySet, models: Models["Service"]): ((logged: LoggedCall) => Replayed) => {
  const find = makeFind(set)
  const run = makeDryRunner(set, models, find)
  return ({ app, at, params, principal, resource, use }) => {
    const operation = resource.slice(resource.lastIndexOf("/") + 1)
    const isKnown = (name: string): boolean =>
      name in params || (isOperation(operation) && (name === "model" || quantities.has(name)))
    const outcome = run({ principal, app, operation: resource, params, use, intents: [], now: at, isKnown })
    const bounded = find({ principal, app, intents: [] })
      .rules(resource)
      .constraints.map(({ parameter }) => parameter.name)
    return { ...outcome, untold: bounded.filter((name) => !isKnown(name)) }
  }
}
