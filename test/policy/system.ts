/** The evaluator under test, by the way that a request takes, and the comparison of what it says with the naive one's. */
import * as Result from "effect/Result"
import type { Decision, Remedy } from "../../src/call/Decision.ts"
import { EffectivePolicy } from "../../src/policy/EffectivePolicy.ts"
import type { Rules } from "../../src/policy/Rules.ts"
import { decide } from "../../src/policy/Evaluate.ts"
import type { Document, Intent } from "../../src/policy/Mapl.ts"
import { makeFind } from "../../src/policy/Participants.ts"
import { load } from "../../src/policy/PolicySource.ts"
import type { Asked, Change, ModelChange, Outcome } from "./oracle.ts"

/** What a decision comes from; `undefined` where no policy can be found, such as for an intent whose parent is none. */
export type System = (asked: Asked) => Rules | undefined

/** Policies as they are configured; `undefined`: none are. */
export const configured = (documents: ReadonlyArray<Document> | undefined): System => {
  const find = makeFind(documents === undefined ? undefined : Result.getOrThrow(load(documents)))
  return ({ app, intents, principal, resource }) => {
    const lost = intents.find(
      ({ extends: parent }) => parent !== undefined && !documents?.some(({ policy_id }) => policy_id === parent)
    )
    const asking = { app, principal, intents: intents.map((intent): Readonly<Record<string, unknown>> => intent) }
    if (lost === undefined) return find(asking).rules(resource)
    try {
      find(asking)
    } catch (error) {
      if (error instanceof Error && error.message.includes(`extends ${lost.extends}, which is not`)) return undefined
      throw error
    }
    throw new Error(`${lost.extends} was found`)
  }
}

/** These documents and no others, the most specific first. */
export const among = (documents: ReadonlyArray<Intent>): System => {
  const policy = new EffectivePolicy(
    documents.map((document, index) => ({ document, name: `d${index}`, counter: `d${index}` }))
  )
  return ({ resource }) => policy.rules(resource)
}

/** The decision; where there are no rules, the refusal that the policy stage makes of it. */
export const decided = (system: System, asked: Asked): Decision => {
  const rules = system(asked)
  if (rules !== undefined) return decide(rules, asked, "")
  return {
    verdict: "deny",
    resource: asked.resource,
    principal: "",
    policies: [],
    revision: "",
    violations: [{ code: "policy_error", message: "" }],
    remedies: [],
    edits: [],
    enforced: true
  }
}

/** What two evaluators disagree about, in words; `undefined` where they agree. */
export const difference = ({ remedies, verdict, violations }: Decision, expected: Outcome): string | undefined => {
  if (verdict !== expected.verdict) return `the verdict is ${verdict}, not ${expected.verdict}`
  const codes = new Set(violations.map(({ code }) => code))
  if (codes.size !== expected.codes.size || [...codes].some((code) => !expected.codes.has(code)))
    return `the codes are ${[...codes].join(", ")}, not ${[...expected.codes].join(", ")}`
  const sets = remedies.filter((remedy) => remedy.kind === "set")
  const caps = remedies.filter((remedy) => remedy.kind === "cap")
  const models = remedies.filter((remedy) => remedy.kind === "model")
  if (
    sets.length !== expected.changes.length ||
    !sets.every((set) => expected.changes.some((change) => makes(set, change))) ||
    !expected.changes.every((change) => sets.some((set) => makes(set, change)))
  )
    return `the values become ${JSON.stringify(sets)}, not ${JSON.stringify(expected.changes)}`
  if (caps.length !== (expected.cap === undefined ? 0 : 1) || caps[0]?.to !== expected.cap)
    return `the cap is ${caps[0]?.to}, not ${expected.cap}`
  const [model] = models
  return models.length === (expected.model === undefined ? 0 : 1) &&
    (model === undefined || expected.model === undefined || becomes(model, expected.model))
    ? undefined
    : `the model becomes one of ${JSON.stringify(model)}, not of ${JSON.stringify(expected.model)}`
}

const makes = ({ path, to }: Extract<Remedy, { kind: "set" }>, change: Change): boolean =>
  change.path === path && change.to.some((one) => JSON.stringify(one) === JSON.stringify(to))

const becomes = ({ allowed, downgrade = {} }: Extract<Remedy, { kind: "model" }>, expected: ModelChange): boolean => {
  const literals = allowed.filter((name) => !name.includes("*")).sort()
  const froms = Object.keys(expected.downgrade)
  return (
    literals.join() === expected.literals.join() &&
    Object.keys(downgrade).length === froms.length &&
    froms.every((from) => expected.downgrade[from]?.includes(downgrade[from] ?? ""))
  )
}
