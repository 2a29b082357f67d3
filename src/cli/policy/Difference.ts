/**
 * What a change of policies does: to the documents, and to the calls that a log tells of.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { canonicalize } from "../../CanonicalJson.ts"
import type { Configuration, EnforcementUnavailable } from "../../Errors.ts"
import { load, type PolicySet, type PolicySource } from "../../policy/PolicyStore.ts"
import { policyId } from "../../Principal.ts"
import type { LoggedCall } from "./LoggedCalls.ts"
import { type Replayed, replayBy } from "./Replay.ts"
import { editWords, type Tallied, Tally, violationWords } from "./Tally.ts"

/** Ids of documents that differ. */
export interface DocumentChanges {
  readonly added: ReadonlyArray<string>
  readonly removed: ReadonlyArray<string>
  readonly changed: ReadonlyArray<string>
}

/** Calls alike that a change decides otherwise. */
export interface CallChange {
  readonly who: string
  readonly resource: string
  /** `unchanged`, or what policy does to it. */
  readonly before: string
  readonly after: string
  readonly effect: "refused" | "pending" | "changed" | "allowed"
}

/** What a change does to the calls of a log. */
export interface ReplayedChanges {
  readonly calls: number
  /** How many calls are decided otherwise. */
  readonly different: number
  readonly rows: ReadonlyArray<Tallied<CallChange>>
  /** Parameters that either set bounds and that the log does not tell: their bounds were not replayed. */
  readonly untold: ReadonlyArray<string>
}

/** Compares two sets document by document, by what they say. */
export const documentChanges = (before: PolicySet, after: PolicySet): DocumentChanges => {
  const ids = [...before.ids()]
  const said = (set: PolicySet, id: string): string => canonicalize(set.find(id))
  return {
    added: [...after.ids()].filter((id) => !before.has(id)),
    removed: ids.filter((id) => !after.has(id)),
    changed: ids.filter((id) => after.has(id) && said(before, id) !== said(after, id))
  }
}

/** Decides every call by both sets. Calls that policy had refused are decided too: a change may allow them. */
export const replayedChanges = <E>(
  before: PolicySource,
  after: PolicySource,
  calls: Stream.Stream<LoggedCall, E>
): Effect.Effect<ReplayedChanges, E | Configuration | EnforcementUnavailable> =>
  Effect.gen(function* () {
    const [old, young] = [yield* replayBy(before), yield* replayBy(after)]
    const tally = new Tally<CallChange>()
    const untold = new Set<string>()
    let total = 0
    let different = 0
    yield* Stream.runForEach(calls, (call) =>
      Effect.map(Effect.all([old(call), young(call)]), ([was, is]) => {
        total++
        for (const name of [...was.untold, ...is.untold]) untold.add(name)
        const [beforeWords, afterWords] = [wordsOf(was), wordsOf(is)]
        if (beforeWords === afterWords) return
        different++
        tally.add(
          {
            who: policyId(call.principal),
            resource: call.resource,
            before: beforeWords,
            after: afterWords,
            effect: effectOf(is)
          },
          call.at
        )
      })
    )
    return { calls: total, different, rows: tally.rows, untold: [...untold].sort() }
  })

const wordsOf = ({ decision: { edits, verdict, violations } }: Replayed): string => {
  if (verdict !== "allow") {
    const reasons = [...new Set(violations.map(violationWords))].join(", ")
    return verdict === "deny" ? `refused: ${reasons}` : `waits for approval: ${reasons}`
  }
  return edits.length === 0 ? "unchanged" : edits.map(editWords).join(", ")
}

const effectOf = ({ decision: { edits, verdict } }: Replayed): CallChange["effect"] =>
  verdict === "deny" ? "refused" : verdict === "pending" ? "pending" : edits.length > 0 ? "changed" : "allowed"

/** Both sets, or why one of them does not load. */
export const loadBoth = (
  before: PolicySource,
  after: PolicySource
): Effect.Effect<readonly [PolicySet, PolicySet], Configuration> =>
  Effect.all([Effect.fromResult(load(before)), Effect.fromResult(load(after))])
