/**
 * Who takes part in a decision (mapl §5): the caller's documents, the service's, and the intents, each with what it
 * extends.
 */
import * as Result from "effect/Result"
import { LRUCache } from "lru-cache"
import type { IntentPolicy } from "../call/Lineage.ts"
import { canonicalize } from "../base/CanonicalJson.ts"
import { Content } from "../base/Content.ts"
import type { Violation } from "../call/Decision.ts"
import { type Principal, policyId } from "../call/Principal.ts"
import { EffectivePolicy } from "./EffectivePolicy.ts"
import { compile, lineageOf, type Participant } from "./Participant.ts"
import { hash } from "./IdIndex.ts"
import { type Document, parseIntent } from "./Mapl.ts"
import { empty, type PolicySet } from "./PolicySet.ts"

/** Who asks, and what restricts the request besides the caller's and the service's documents. */
export interface PolicyScope {
  readonly principal: Principal
  readonly app: string
  readonly intents: ReadonlyArray<IntentPolicy>
  /** Those besides the caller because of whom the call is made: what is theirs restricts it as well. */
  readonly behalf?: ReadonlyArray<Principal> | undefined
}

/** How many callers' policies are kept, and how many that callers share. By size, for `max` takes its memory at once. */
const maximumKept = 10_000
const keeping = { maxSize: maximumKept, sizeCalculation: () => 1 }

/**
 * Finds the policy in force for a request, and keeps it for the next one; `set` is `undefined` where no policy is
 * configured. Throws where an intent is not valid.
 */
export const makeFind = (set: PolicySet | undefined): ((scope: PolicyScope) => EffectivePolicy) => {
  const chain = makeChain(set ?? empty)
  const configured = set === undefined ? undefined : makeConfigured(set, chain)
  const kept = new LRUCache<string, EffectivePolicy>(keeping)
  const isKnown = makeDoorkeeper()
  const withoutIntents = (principal: Principal, app: string): EffectivePolicy => {
    const key = configured === undefined ? app : keyOf(`${principal.kind}:${principal.id}`, principal.documents, app)
    const found = kept.get(key)
    if (found !== undefined) return found
    const policy = configured === undefined ? unconfigured(app) : configured(principal, app)
    if (isKnown(key)) kept.set(key, policy)
    return policy
  }
  return ({ app, behalf = [], intents, principal }) => {
    let policy = withoutIntents(principal, app)
    if (configured !== undefined)
      for (const other of behalf)
        if (other.kind !== "app" && !isSame(other, principal))
          policy = policy.narrow(other, () => ofOther(chain, other))
    for (const intent of intents) policy = policy.narrow(intent, () => ofIntent(chain, intent))
    return policy
  }
}

const isSame = (a: Principal, b: Principal): boolean =>
  policyId(a) === policyId(b) && a.documents.join("\0") === b.documents.join("\0")

/**
 * The documents of a principal on whose behalf a call is made. A user without documents may do nothing, and neither may an agent
 * for that user; an agent without documents is bound by its service's.
 */
const ofOther = (chain: Chain, other: Principal): ReadonlyArray<Participant> => {
  const id = policyId(other)
  const found = unique([id, ...other.documents.toReversed()].flatMap((document) => chain(document)))
  if (found.length > 0 || other.kind !== "user") return found
  return [{ document: { policy_id: id, denied_resources: ["**"] }, name: id, counter: `nobody ${id}` }]
}

/** How many keys that were seen once are remembered. A power of two. */
const maximumSeen = 65_536

/**
 * Returns whether a key was seen before. Callers who come once are not cached: moving a million of them through a cache costs
 * more than the decisions do. (The doorkeeper of TinyLFU; Einziger, Friedman and Manes 2017.) Two keys may
 * share a place; then one of them is kept later, or at once.
 */
const makeDoorkeeper = (): ((key: string) => boolean) => {
  const seen = new Uint32Array(maximumSeen)
  return (key) => {
    const hashed = hash(key)
    const isKnown = seen[hashed & (maximumSeen - 1)] === hashed
    seen[hashed & (maximumSeen - 1)] = hashed
    return isKnown
  }
}

/** One text for several. Each is preceded by its length, so that no two lists have the same. */
const keyOf = (first: string, documents: ReadonlyArray<string>, app: string): string => {
  let key = `${first.length}:${first}${app.length}:${app}`
  for (const id of documents) key += `${id.length}:${id}`
  return key
}

/** The caller's documents, then the service's. What follows the caller's own one is met once for all who share it. */
const makeConfigured = (set: PolicySet, chain: Chain): ((principal: Principal, app: string) => EffectivePolicy) => {
  const kept = new LRUCache<string, Shared>(keeping)
  const shared = (parent: string, documents: ReadonlyArray<string>, app: string): Shared => {
    const key = keyOf(parent, documents, app)
    const found = kept.get(key)
    if (found !== undefined) return found
    const made = makeShared(chain, [...(parent === "" ? [] : [parent]), ...documents.toReversed()], app)
    kept.set(key, made)
    return made
  }
  return (principal, app) => {
    const id = policyId(principal)
    const document = principal.kind === "app" ? undefined : set.find(id)
    const rest = shared(document?.extends ?? "", principal.documents, app)
    if (document === undefined)
      return new EffectivePolicy([], missingPolicy(principal, app, rest.caller > 0, rest), rest.policy)
    const [parent] = rest.policy.participants
    const own: Participant = {
      document,
      name: id,
      counter: id,
      parent: document.extends === undefined ? undefined : parent
    }
    const names = (document.resources ?? []).length > 0
    const refused = missingPolicy(principal, app, true, { ...rest, isNamed: rest.isNamed || names })
    // Where another document leads to the caller's own one, it takes part once, as the most specific.
    return rest.names.has(id)
      ? new EffectivePolicy([own, ...rest.policy.participants.filter(({ name }) => name !== id)], refused)
      : new EffectivePolicy([own], refused, rest.policy)
  }
}

/** What callers share: all that takes part but the caller's own document. `caller` and `service` are counts of documents. */
interface Shared {
  readonly policy: EffectivePolicy
  readonly names: ReadonlySet<string>
  readonly caller: number
  readonly service: number
  /** Whether a document names resources. */
  readonly isNamed: boolean
}

const makeShared = (chain: Chain, documents: ReadonlyArray<string>, app: string): Shared => {
  const caller = documents.flatMap((id) => chain(id))
  const service = chain(`app:${app}`)
  const all = unique([...caller, ...service])
  return {
    policy: new EffectivePolicy(all),
    names: new Set(all.map(({ name }) => name)),
    caller: caller.length,
    service: service.length,
    isNamed: all.some(({ document }) => (document.resources ?? []).length > 0)
  }
}

/** Where no policy is configured the service allows its own tools, for everybody. */
const unconfigured = (app: string): EffectivePolicy => {
  const document: Document = { policy_id: `app:${app}`, resources: [`tool:${app}/**`] }
  return new EffectivePolicy([{ document, name: document.policy_id, counter: document.policy_id }])
}

/** An intent, with what it extends. */
const ofIntent = (chain: Chain, value: IntentPolicy): ReadonlyArray<Participant> => {
  const parsed = parseIntent(value)
  if (Result.isFailure(parsed)) throw new Error(parsed.failure)
  const intent = parsed.success
  const name = intent.policy_id === undefined ? "the intent policy" : `the intent policy ${intent.policy_id}`
  const parents = intent.extends === undefined ? [] : chain(intent.extends)
  if (intent.extends !== undefined && parents.length === 0)
    throw new Error(`${name} extends ${intent.extends}, which is not among the policies`)
  return [
    {
      document: intent,
      name,
      counter: `intent ${new Content(canonicalize(intent)).spelledDigest}`,
      parent: parents[0]
    },
    ...parents
  ]
}

/** A document and what it extends, the most specific first; none where there is no such document. */
type Chain = (id: string) => ReadonlyArray<Participant>

const makeChain = (set: PolicySet): Chain => {
  const kept = new LRUCache<string, Participant>(keeping)
  return (id) => {
    const fresh: Array<Document> = []
    let next: string | undefined = id
    let known: Participant | undefined
    while (next !== undefined && (known = kept.get(next)) === undefined) {
      const document = set.find(next)
      if (document === undefined) break
      fresh.push(document)
      next = document.extends
    }
    const parents = known === undefined ? [] : [...lineageOf(known)]
    for (const document of fresh.toReversed()) {
      const name = document.policy_id
      const bare: Participant = { document, name, counter: name, parent: parents[0] }
      const participant = { ...bare, compiled: compile(bare) }
      kept.set(name, participant)
      parents.unshift(participant)
    }
    return parents
  }
}

/** Each document once, at the place where it is most specific. */
const unique = (all: ReadonlyArray<Participant>): ReadonlyArray<Participant> => [
  ...new Map(all.map((participant) => [participant.name, participant])).values()
]

const missingPolicy = (
  principal: Principal,
  app: string,
  isKnown: boolean,
  { isNamed, service }: Shared
): Violation | undefined => {
  if (!{ user: isKnown, agent: isKnown || service > 0, app: service > 0 }[principal.kind]) {
    const who = principal.kind === "user" ? policyId(principal) : `app:${app}`
    return { code: "no_policy", message: `no policy is for ${who}`, hint: `add a policy with "policy_id": "${who}"` }
  }
  if (isNamed) return undefined
  return {
    code: "no_policy",
    message: `no policy that takes part names a resource, so nothing is allowed`,
    hint: `add "resources": ["tool:${app}/**"]`
  }
}
