/**
 * What policies that are only observed would have done, from the log: a page for the team that is about to enforce them.
 */
import { type LoggedCaller, callerOf, type LoggedCall, type LoggedObservation, recordedScalar } from "./LoggedCalls.ts"
import { editWords, type CallGroup, CallGroups, violationWords } from "./CallGroups.ts"

/** Calls that are alike: caller, resource, what policy would have done and why, and the documents that decide it. */
export interface ObservedOutcome extends LoggedCaller {
  readonly outcome: "refused" | "pending" | "changed"
  readonly resource: string
  readonly why: ReadonlyArray<string>
  readonly policies: ReadonlyArray<string>
}

/** The whole log, in short. Times are milliseconds since 1970. */
export interface ObservedReport {
  /** Calls that were decided while policies were observed. */
  readonly calls: number
  readonly refused: number
  readonly pending: number
  readonly changed: number
  readonly first: number | undefined
  readonly last: number | undefined
  /** Revisions of the policies, in the order in which they were observed. */
  readonly revisions: ReadonlyArray<string>
  readonly rows: ReadonlyArray<CallGroup<ObservedOutcome>>
}

/** Sums up the observed calls of a log. */
export const summarise = async (calls: AsyncIterable<LoggedCall>): Promise<ObservedReport> => {
  const groups = new CallGroups<ObservedOutcome>()
  const revisions = new Set<string>()
  const counts = { refused: 0, pending: 0, changed: 0 }
  let total = 0
  let first: number | undefined
  let last: number | undefined
  for await (const { at, observed, principal, resource } of calls) {
    if (observed === undefined) continue
    total++
    first ??= at
    last = at
    revisions.add(observed.rev)
    const outcome = outcomes[observed.verdict]
    if (outcome === undefined) continue
    counts[outcome]++
    const reasons = outcome === "changed" ? observed.edits : observed.violations
    const policies = [...new Set(reasons.flatMap(({ policy }) => (policy === undefined ? [] : [policy])))]
    groups.add({ outcome, ...callerOf(principal), resource, why: whyOf(observed), policies }, at)
  }
  return { calls: total, ...counts, first, last, revisions: [...revisions], rows: groups.rows }
}

const outcomes: Readonly<Record<LoggedObservation["verdict"], ObservedOutcome["outcome"] | undefined>> = {
  allow: undefined,
  rewrite: "changed",
  deny: "refused",
  pending: "pending"
}

const whyOf = ({ edits, verdict, violations }: LoggedObservation): ReadonlyArray<string> => [
  ...new Set(
    verdict === "rewrite"
      ? edits.map(({ path, to }) => editWords({ path, to: to && recordedScalar(to) }))
      : violations.map(violationWords)
  )
]
