/**
 * Attestations that nothing needs, that nothing gives, or that more requests need than their author thinks.
 */
import { app } from "../../call/Principal.ts"
import { nearest } from "../Fault.ts"
import { isGlob } from "../Pattern.ts"
import { onlyOperation, reachesOperation } from "./Reach.ts"
import type { Survey } from "./Survey.ts"
import { type Check, type SurveyedDocument, metadataOf } from "./Survey.ts"
import { type Path, quoted, type Warning } from "./Warning.ts"

/** Metadata of attestations that no need uses, or that lacks an approver. */
export const unmetAttestations: Check = function* (entry, survey) {
  for (const [key, metadata] of Object.entries(entry.document.constraints?.attestations ?? {})) {
    const path: Path = ["constraints", "attestations", key]
    if (!survey.metadataUsed.has(JSON.stringify([entry.id, key]))) {
      const other = survey.needs.get(key)
      const meant = nearest(
        key,
        entry.needs.map((need) => need.key)
      )
      yield other === undefined
        ? {
            code: "unused_attestation",
            path,
            message: `no document needs the attestation ${quoted(key)}`,
            hint: meant === undefined ? `add it to "attestations", or take it out` : `did you mean ${quoted(meant)}?`
          }
        : {
            code: metadata.approval_criteria === undefined ? "unused_attestation" : "approver_never_applies",
            path,
            ...neverApplies(entry, key, other, survey)
          }
      continue
    }
    const approver = [entry, ...entry.ancestors].some(
      ({ document }) => metadataOf(document, key)?.approval_criteria !== undefined
    )
    const external = ["timeout", "time_to_live", "one_time", "max_uses"].filter((field) => field in metadata)
    if (!approver && external.length > 0)
      yield {
        code: "no_approver",
        path,
        message: `${external.join(", ")} ${external.length === 1 ? "is" : "are"} of no use without an approver: ${quoted(key)} must be held already`,
        hint: `add "approval_criteria": "role:…", or take ${external.length === 1 ? "it" : "them"} out`
      }
  }
}

/** Why metadata says nothing to a document that needs the attestation. */
const neverApplies = (
  { id }: SurveyedDocument,
  key: string,
  needing: string,
  survey: Survey
): Pick<Warning, "message" | "hint"> => {
  const { ancestors = [], document } = survey.entry(needing) ?? {}
  const chain = [...(document === undefined ? [] : [document]), ...ancestors.map((ancestor) => ancestor.document)]
  const nearer = chain.find((holder) => metadataOf(holder, key)?.approval_criteria !== undefined)?.policy_id
  return nearer !== undefined && chain.some(({ policy_id: extended }) => extended === id)
    ? {
        message: `${nearer} sets the approver of ${quoted(key)} for ${needing}, and is nearer to it`,
        hint: `take it out here, or in ${nearer}`
      }
    : {
        message: `this does not set the approver of ${quoted(key)} for ${needing}, which needs it: only ${needing} and the documents that it extends can`,
        hint: `move it to ${needing}, or to a document that it extends`
      }
}

/** A chat without any parameter that a condition may name. */
const bystander = {
  params: { model: "", messages: [] },
  principal: { ...app(""), kind: "user" as const }
}

/** Conditions on parameters that most requests do not have, so that the attestation is needed of all of them. */
export const undecidedConditions: Check = function* ({ ancestors, needs, resources }, survey) {
  // Where one resource alone is allowed, there is no other operation to be surprised.
  if ([resources, ...ancestors.map((ancestor) => ancestor.resources)].some(isOneResource)) return
  for (const { condition, key, path, resources: scope, when = "" } of needs) {
    if (condition === undefined || condition.truth(bystander) !== undefined) continue
    // What names the operations that it is about asks nothing of others.
    const isNamed = (pattern: string): boolean =>
      onlyOperation(pattern) !== undefined || !reachesOperation(pattern, survey)
    if (scope?.every(isNamed) === true) continue
    const absent = condition.absent(bystander)
    yield {
      code: "undecided_condition",
      path,
      message: `${quoted(key)} is needed of every request without ${absent.length === 0 ? "the parameter" : absent.join(" and ")}, a chat among them: what is not there cannot be compared`,
      hint: `say for which resources it is needed: ${JSON.stringify({ key, when: when.slice(0, 60), resources: ["tool:<app>/<name>"] })}`
    }
  }
}

const isOneResource = (list: ReadonlyArray<string>): boolean => list.length === 1 && !isGlob(list[0] ?? "*")
