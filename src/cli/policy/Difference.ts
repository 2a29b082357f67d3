/**
 * What a change of policies does: to the documents, and to the calls in a log.
 */
import { canonicalize } from "../../base/CanonicalJson.ts"
import type { PolicySet } from "../../policy/PolicySet.ts"
import { type LoggedCaller, callerOf, type LoggedCall } from "./LoggedCalls.ts"
import type { Replayed } from "./LogReplay.ts"
import { editWords, type CallGroup, CallGroups, violationWords } from "./CallGroups.ts"

/** Ids of documents that differ. */
export interface DocumentChanges {
  readonly added: ReadonlyArray<string>
  readonly removed: ReadonlyArray<string>
  readonly changed: ReadonlyArray<string>
}

/** Calls alike that a change decides otherwise. */
export interface CallChange extends LoggedCaller {
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
  readonly rows: ReadonlyArray<CallGroup<CallChange>>
  /** Parameters that either set bounds and that the log does not record. Their bounds were not replayed. */
  readonly untold: ReadonlyArray<string>
}

/** Compares two sets document by document, by their canonical JSON. */
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
export const replayedChanges = async (
  before: (call: LoggedCall) => Replayed,
  after: (call: LoggedCall) => Replayed,
  calls: AsyncIterable<LoggedCall>
): Promise<ReplayedChanges> => {
  const groups = new CallGroups<CallChange>()
  const untold = new Set<string>()
  let total = 0
  let different = 0
  for await (const call of calls) {
    total++
    const [was, is] = [before(call), after(call)]
    for (const name of [...was.untold, ...is.untold]) untold.add(name)
    const [beforeWords, afterWords] = [wordsOf(was), wordsOf(is)]
    if (beforeWords === afterWords) continue
    different++
    const { at, principal, resource } = call
    groups.add({ ...callerOf(principal), resource, before: beforeWords, after: afterWords, effect: effectOf(is) }, at)
  }
  return { calls: total, different, rows: groups.rows, untold: [...untold].sort() }
}

const wordsOf = ({ edits, verdict, violations }: Replayed): string => {
  if (verdict !== "allow") {
    const reasons = [...new Set(violations.map(violationWords))].join(", ")
    return verdict === "deny" ? `refused: ${reasons}` : `waits for approval: ${reasons}`
  }
  return edits.length === 0 ? "unchanged" : edits.map(editWords).join(", ")
}

const effectOf = ({ edits, verdict }: Replayed): CallChange["effect"] =>
  verdict === "deny" ? "refused" : verdict === "pending" ? "pending" : edits.length > 0 ? "changed" : "allowed"
