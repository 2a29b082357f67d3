/**
 * Who takes part in a decision (mapl §5): the caller's documents, the service's, and the intents, each with what it
 * extends.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type { IntentPolicy } from "../Call.ts"
import { canonicalize } from "../CanonicalJson.ts"
import type { Violation } from "../Decision.ts"
import { type Principal, policyId } from "../Principal.ts"
import { EffectivePolicy, type Participant } from "./EffectivePolicy.ts"
import { type Document, parseIntent } from "./Mapl.ts"
import { empty, type PolicySet } from "./PolicyStore.ts"

/** Who asks, and what restricts the request besides the caller's and the service's documents. */
export interface Asking {
  readonly principal: Principal
  readonly app: string
  readonly intents: ReadonlyArray<IntentPolicy>
}

/** How many callers' policies are kept. */
const maximumKept = 10_000

/**
 * Finds the policy in force for a request, and keeps it for the next one; `set` is `undefined` where no policy is
 * configured. Throws where an intent is not valid.
 */
export const makeFind = (set: PolicySet | undefined): ((asking: Asking) => EffectivePolicy) => {
  const kept = new Map<string, EffectivePolicy>()
  const withoutIntents = (principal: Principal, app: string): EffectivePolicy => {
    const key = set === undefined ? app : JSON.stringify([principal.kind, principal.id, principal.documents, app])
    const found = kept.get(key)
    if (found !== undefined) return found
    const policy = set === undefined ? unconfigured(app) : configured(set, principal, app)
    if (kept.size >= maximumKept) kept.clear()
    kept.set(key, policy)
    return policy
  }
  return ({ app, intents, principal }) =>
    intents.reduce(
      (policy, intent) => policy.narrow(intent, () => ofIntent(set ?? empty, intent)),
      withoutIntents(principal, app)
    )
}

/** The caller's documents, then the service's. */
const configured = (set: PolicySet, principal: Principal, app: string): EffectivePolicy => {
  const own = principal.kind === "app" ? [] : [policyId(principal)]
  const caller = [...own, ...principal.documents].flatMap((id) => chain(set, id))
  const service = chain(set, `app:${app}`)
  return new EffectivePolicy(unique([...caller, ...service]), refusal(principal, app, caller, service))
}

/** Where no policy is configured the service allows its own tools, for everybody. */
const unconfigured = (app: string): EffectivePolicy => {
  const document: Document = { policy_id: `app:${app}`, resources: [`tool:${app}/**`] }
  return new EffectivePolicy([{ document, name: document.policy_id, counter: document.policy_id }])
}

/** An intent, with what it extends. */
const ofIntent = (set: PolicySet, value: IntentPolicy): ReadonlyArray<Participant> => {
  const parsed = parseIntent(value)
  if (Result.isFailure(parsed)) throw new Error(parsed.failure)
  const intent = parsed.success
  const name = intent.policy_id === undefined ? "the intent policy" : `the intent policy ${intent.policy_id}`
  if (intent.extends !== undefined && !set.has(intent.extends))
    throw new Error(`${name} extends ${intent.extends}, which is not among the policies`)
  const parents = intent.extends === undefined ? [] : chain(set, intent.extends)
  return [{ document: intent, name, counter: `intent ${canonicalize(intent)}` }, ...parents]
}

const chain = (set: PolicySet, id: string): ReadonlyArray<Participant> => {
  const documents: Array<Participant> = []
  for (let next: string | undefined = id; next !== undefined;) {
    const document: Document | undefined = set.find(next)
    if (document === undefined) break
    documents.push({ document, name: document.policy_id, counter: document.policy_id })
    next = document.extends
  }
  return documents
}

/** Each document once, at the place where it is most specific. */
const unique = (all: ReadonlyArray<Participant>): ReadonlyArray<Participant> => [
  ...new Map(all.map((participant) => [participant.name, participant])).values()
]

const refusal = (
  principal: Principal,
  app: string,
  caller: ReadonlyArray<Participant>,
  service: ReadonlyArray<Participant>
): Violation | undefined => {
  const responsible = { user: caller, agent: [...caller, ...service], app: service }[principal.kind]
  if (responsible.length === 0) {
    const who = principal.kind === "user" ? policyId(principal) : `app:${app}`
    return { code: "no_policy", message: `no policy is for ${who}`, hint: `add a policy with "policy_id": "${who}"` }
  }
  if ([...caller, ...service].some(({ document }) => (document.resources ?? []).length > 0)) return undefined
  return {
    code: "no_policy",
    message: `no policy that takes part names a resource, so nothing is allowed`,
    hint: `add "resources": ["tool:${app}/**"]`
  }
}
