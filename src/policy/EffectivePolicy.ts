/**
 * The meet of all documents that take part in a decision (mapl §5). What they ask of one resource is met once and kept, and
 * what all callers of a team share is met once for all of them, so that a decision costs the same however many documents
 * there are.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type { Json } from "../base/Json.ts"
import type { Violation } from "../call/Decision.ts"
import {
  isOperation,
  modelChoosers,
  type Operation,
  operations,
  otherNameOf,
  spelledWithin
} from "../call/Operation.ts"
import { type Constraint, contradiction, fromSpec, meet, valuesMatcher } from "./Constraint.ts"
import type { NeededAttestation, Source } from "./Finding.ts"
import {
  attestationEntries,
  type AttestationNeed,
  type Document,
  type Intent,
  instant,
  isResourceKey,
  type OutputRule,
  parseAttestation,
  type Spec
} from "./Mapl.ts"
import { isCapped, type Parameter, parameter } from "./Parameter.ts"
import { type Matcher, resourcePattern } from "./Pattern.ts"

/**
 * A document that takes part, under the name that decisions know it by. `counter` names its calls' counter, `parent` is the
 * document that it extends, and `compiled` what {@link compile} made of it, where it takes part in many policies.
 */
export interface Participant {
  readonly document: Document | Intent
  readonly name: string
  readonly counter: string
  readonly parent?: Participant | undefined
  readonly compiled?: Compiled
}

/** Values that are refused for a parameter. */
export interface DeniedValues extends Source {
  readonly parameter: Parameter
  readonly values: ReadonlyArray<Json>
  readonly matches: (value: Json) => boolean
  /** True where the parameter is forbidden altogether, whatever it says. */
  readonly forbids: boolean
}

/** Members that a document's list of models closes: they may choose a model that is not on it. */
export interface ClosedMembers extends Source {
  readonly members: ReadonlyArray<string>
}

/** When a document applies, in milliseconds since 1970; bounds inclusive. */
export interface Window extends Source {
  readonly notBefore: number
  readonly notAfter: number
  readonly text: string
}

/** Requests a minute, for each principal. `counter` names the document's own counter. */
export interface RateLimit extends Source {
  readonly limit: number
  readonly counter: string
}

/** An output rule where it stands: the document's, under a resource pattern. */
export interface PlacedOutputRule extends Source {
  readonly pattern: string
  readonly rule: OutputRule
}

/**
 * Everything that policy asks of one resource. `cap` and `totalTokens` are there for operations that have a cap on output
 * tokens, and are no part of `constraints` then.
 */
export interface Rules {
  readonly resource: string
  readonly operation: Operation | undefined
  readonly policies: ReadonlyArray<string>
  readonly windows: ReadonlyArray<Window>
  readonly denied: ReadonlyArray<Violation>
  readonly notAllowed: ReadonlyArray<Violation>
  readonly contradictions: ReadonlyArray<Violation>
  readonly constraints: ReadonlyArray<Constraint>
  readonly cap: Constraint | undefined
  readonly totalTokens: Constraint | undefined
  readonly closed: ReadonlyArray<ClosedMembers>
  readonly deniedValues: ReadonlyArray<DeniedValues>
  readonly rateLimits: ReadonlyArray<RateLimit>
  readonly attestations: ReadonlyArray<NeededAttestation>
  /** What is asked of the answer. */
  readonly output: ReadonlyArray<PlacedOutputRule>
}

/** How many resources' rules one effective policy keeps; callers choose the names of tools. */
const maximumKept = 256

/**
 * The policy in force for one caller at one service.
 *
 * @category models
 */
export class EffectivePolicy {
  readonly #refusal: Violation | undefined
  readonly #own: ReadonlyArray<Participant>
  readonly #compiled: ReadonlyArray<Compiled>
  /** How many documents of `rest` come after the own ones. */
  readonly #below: number
  readonly #rest: EffectivePolicy | undefined
  /** Most callers ask of one resource only, which needs no map. */
  #latest: Met | undefined
  #others: Map<string, Met> | undefined
  #narrowed: WeakMap<object, EffectivePolicy> | undefined

  /** `own` stand in order, the most specific first; those of `rest`, which restricts as well, come after them. */
  constructor(own: ReadonlyArray<Participant>, refusal?: Violation, rest?: EffectivePolicy) {
    this.#refusal = refusal
    this.#own = own
    this.#rest = rest
    this.#below = rest?.count ?? 0
    this.#compiled = own.map((one) => one.compiled ?? compile(one, own))
  }

  /** Why nothing is allowed, whatever the resource. */
  get refusal(): Violation | undefined {
    return this.#refusal ?? this.#rest?.refusal
  }

  get participants(): ReadonlyArray<Participant> {
    return this.#rest === undefined ? this.#own : [...this.#own, ...this.#rest.participants]
  }

  /** How many documents take part. */
  get count(): number {
    return this.#own.length + this.#below
  }

  /** What is asked of a resource. */
  rules(resource: string): Rules {
    return this.#meet(resource)
  }

  #meet(resource: string): Met {
    if (this.#latest?.resource === resource) return this.#latest
    const kept = this.#others?.get(resource)
    if (kept !== undefined) return kept
    const rest = this.#rest === undefined ? nothing(resource) : this.#rest.#meet(resource)
    const met = meetOnto(rest, this.#compiled, 1 - this.count, this.#refusal)
    if (this.#latest === undefined) this.#latest = met
    else {
      this.#others ??= new Map()
      if (this.#others.size >= maximumKept) this.#others.clear()
      this.#others.set(resource, met)
    }
    return met
  }

  /** This policy and more that restricts it; kept for as long as `identity` lives. */
  narrow(identity: object, more: () => ReadonlyArray<Participant>): EffectivePolicy {
    const kept = this.#narrowed?.get(identity)
    if (kept !== undefined) return kept
    const added = more()
    const counters = new Set(added.map(({ counter }) => counter))
    const isNew = !this.participants.some(({ counter }) => counters.has(counter))
    const narrowed = isNew
      ? new EffectivePolicy(added, undefined, this)
      : new EffectivePolicy(
          [...added, ...this.participants.filter(({ counter }) => !counters.has(counter))],
          this.refusal
        )
    this.#narrowed ??= new WeakMap()
    this.#narrowed.set(identity, narrowed)
    return narrowed
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Compile
// ---------------------------------------------------------------------------------------------------------------------

const none: ReadonlyArray<never> = []

interface Rule<A> {
  readonly pattern: string
  readonly matches: Matcher
  readonly rule: A
}

/** A document with its patterns ready to match. */
export interface Compiled {
  readonly name: string
  readonly counter: string
  readonly resources: ReadonlyArray<Rule<undefined>>
  readonly denied: ReadonlyArray<Rule<undefined>>
  readonly parameters: ReadonlyArray<Rule<Readonly<Record<string, Spec>>>>
  readonly deniedParameters: ReadonlyArray<Rule<Readonly<Record<string, ReadonlyArray<Json>>>>>
  readonly output: ReadonlyArray<Rule<OutputRule>>
  readonly onViolation: "rewrite" | "deny" | undefined
  readonly rateLimit: number | undefined
  readonly window: { readonly notBefore: number; readonly notAfter: number; readonly text: string } | undefined
  readonly needs: ReadonlyArray<Need>
}

/** A need for an attestation, and whether it is one of a resource. */
interface Need {
  readonly isOf: Matcher
  readonly needed: Omit<NeededAttestation, keyof Source>
}

/** Makes a document's patterns ready to match. What it extends is its participant's parent, or one of `others`. */
export const compile = (participant: Participant, others: ReadonlyArray<Participant> = none): Compiled => {
  const { counter, document, name } = participant
  const { attestations, constraints, denied_resources, resources, validity } = document
  const { denied_parameters: denied, output } = constraints ?? {}
  return {
    name,
    counter,
    resources: resources?.map((pattern) => rule(pattern, undefined)) ?? none,
    denied: denied_resources?.map((pattern) => rule(pattern, undefined)) ?? none,
    parameters: constraints === undefined ? none : parameterRules(constraints),
    deniedParameters: denied === undefined ? none : rulesOf(Object.keys(denied), denied),
    output: output === undefined ? none : rulesOf(Object.keys(output), output),
    onViolation: document.on_violation,
    rateLimit: constraints?.rate_limit,
    window: validity === undefined ? undefined : windowOf(validity),
    needs: attestations === undefined ? none : needsOf(attestations, lineageOf(participant, others))
  }
}

type Constraints = NonNullable<Document["constraints"]>

const parameterRules = (constraints: Constraints): Compiled["parameters"] => {
  const { parameters } = constraints
  const named = parameters === undefined ? none : rulesOf(Object.keys(parameters), parameters)
  const direct = Object.keys(constraints).filter(isResourceKey)
  return direct.length === 0 ? named : [...named, ...direct.map((pattern) => rule(pattern, constraints[pattern] ?? {}))]
}

const rulesOf = <A>(patterns: ReadonlyArray<string>, payloads: Readonly<Record<string, A>>) =>
  patterns.map((pattern) => rule(pattern, payloads[pattern]!))

const windowOf = ({ not_after, not_before }: NonNullable<Document["validity"]>): NonNullable<Compiled["window"]> => ({
  notBefore: not_before === undefined ? -Infinity : (instant(not_before, "first") ?? Infinity),
  notAfter: not_after === undefined ? Infinity : (instant(not_after, "last") ?? -Infinity),
  text: [
    ...(not_before === undefined ? [] : [`from ${not_before}`]),
    ...(not_after === undefined ? [] : [`until ${not_after}`])
  ].join(" ")
})

const needsOf = (
  attestations: NonNullable<Document["attestations"]>,
  lineage: ReadonlyArray<Document | Intent>
): Compiled["needs"] => {
  return attestationEntries(attestations).map(([, entry]) => {
    const need = Result.getOrThrow(parseAttestation(entry))
    const scope = need.resources?.map(resourcePattern)
    return {
      isOf: scope === undefined ? () => true : (resource) => scope.some((matches) => matches(resource)),
      needed: { ...need, ...givenBy(need.key, lineage) }
    }
  })
}

/**
 * Who gives an attestation, and how: as the document that needs it says, or else the nearest one that it extends. No other
 * one has a say in it: what one document wants held already, another must not leave to an approver.
 */
const givenBy = (
  key: string,
  lineage: ReadonlyArray<Document | Intent>
): Omit<NeededAttestation, keyof Source | keyof AttestationNeed> => {
  const said = lineage.flatMap(({ constraints }) => {
    const { attestations = {} } = constraints ?? {}
    return Object.hasOwn(attestations, key) ? [attestations[key]!] : []
  })
  const { approval_criteria, description, max_uses, one_time, time_to_live, timeout } =
    said.find((metadata) => metadata.approval_criteria !== undefined) ?? said[0] ?? {}
  return { approver: approval_criteria, timeout, time_to_live, one_time: one_time ?? true, max_uses, description }
}

/** A document and what it extends, the nearest first: as its participant says, or found among the others. */
const lineageOf = (participant: Participant, others: ReadonlyArray<Participant>): ReadonlyArray<Document | Intent> => {
  const lineage: Array<Document | Intent> = []
  const parentOf = ({ document, parent }: Participant): Participant | undefined =>
    parent ??
    (document.extends === undefined ? undefined : others.find((other) => other.document.policy_id === document.extends))
  let next: Participant | undefined = participant
  while (next !== undefined && !lineage.includes(next.document)) {
    lineage.push(next.document)
    next = parentOf(next)
  }
  return lineage
}

const rule = <A>(pattern: string, payload: A): Rule<A> => ({
  pattern,
  matches: resourcePattern(pattern),
  rule: payload
})

// ---------------------------------------------------------------------------------------------------------------------
// Meet
// ---------------------------------------------------------------------------------------------------------------------

/** Rules, with the constraints that they were made of. */
interface Met extends Rules {
  readonly asked: ReadonlyArray<Asked>
  /** `asked` by the canonical name of the parameter, once something is met onto it. */
  index: ReadonlyMap<string, Asked> | undefined
}

/** A constraint, and why no request satisfies it where none can. */
interface Asked {
  readonly constraint: Constraint
  readonly contradiction: Violation | undefined
}

/** What nobody asks of a resource. */
const nothing = (resource: string): Met => ({
  resource,
  operation: operationOf(resource),
  policies: [],
  windows: [],
  denied: [],
  notAllowed: [],
  contradictions: [],
  constraints: [],
  cap: undefined,
  totalTokens: undefined,
  closed: [],
  deniedValues: [],
  rateLimits: [],
  attestations: [],
  output: [],
  asked: [],
  index: undefined
})

/** What documents ask, before what `rest` asks; `highest` is the rank of the first of them. */
const meetOnto = (
  rest: Met,
  compiled: ReadonlyArray<Compiled>,
  highest: number,
  refusal: Violation | undefined
): Met => {
  const { operation, resource } = rest
  const otherName = otherNameOf(resource)
  const windows: Array<Window> = []
  const denied: Array<Violation> = []
  const refused: Array<Violation> = []
  const own = new Map<string, Constraint>()
  const closed: Array<ClosedMembers> = []
  const deniedValues: Array<DeniedValues> = []
  const rateLimits: Array<RateLimit> = []
  const attestations: Array<NeededAttestation> = []
  const output: Array<PlacedOutputRule> = []
  let rank = highest
  for (const document of compiled) {
    const { counter, name: policy, onViolation, rateLimit, resources, window } = document
    const source = { policy, rank: rank++ }
    if (window !== undefined) windows.push({ ...source, ...window })
    const isNamed = ({ matches }: { readonly matches: Matcher }): boolean =>
      matches(resource) || (otherName !== undefined && matches(otherName))
    for (const rule of document.denied) if (isNamed(rule)) denied.push(isDenied(resource, rule.pattern, policy))
    if (resources.length > 0 && !resources.some(isNamed)) refused.push(notAllowed(resource, resources, policy))
    let listsModels = false
    const freed = new Set<string>()
    for (const { matches, rule: specs } of document.parameters)
      if (matches(resource))
        for (const name of Object.keys(specs)) {
          if (modelChoosers.includes(name)) freed.add(name)
          const constraint = fromSpec(parameter(name, operation), specs[name]!, source, onViolation)
          const { canonical, isModel } = constraint.parameter
          listsModels ||= isModel && constraint.lists.length > 0
          const before = own.get(canonical)
          own.set(canonical, before === undefined ? constraint : meet(before, constraint))
        }
    if (listsModels) closed.push({ ...source, members: modelChoosers.filter((member) => !freed.has(member)) })
    for (const { matches, rule: values } of document.deniedParameters)
      if (matches(resource)) deniedValues.push(...deniedOf(values, operation, source))
    if (rateLimit !== undefined) rateLimits.push({ ...source, limit: rateLimit, counter })
    for (const { matches, pattern, rule } of document.output)
      if (matches(resource)) output.push({ ...source, pattern, rule })
    for (const { isOf, needed } of document.needs) if (isOf(resource)) attestations.push({ ...source, ...needed })
  }
  const { asked, cap, constraints, contradictions, index, totalTokens } = own.size === 0 ? rest : constrained(own, rest)
  return {
    resource,
    operation,
    policies: [...compiled.map(({ name }) => name), ...rest.policies],
    windows: before(windows, rest.windows),
    denied: before(denied, rest.denied),
    notAllowed: before(before(refused, rest.notAllowed), refusal === undefined ? none : [refusal]),
    contradictions,
    constraints,
    cap,
    totalTokens,
    closed: before(closed, rest.closed),
    deniedValues: before(deniedValues, rest.deniedValues),
    rateLimits: before(rateLimits, rest.rateLimits),
    attestations: before(attestations, rest.attestations),
    output: before(output, rest.output),
    asked,
    index
  }
}

const before = <A>(own: ReadonlyArray<A>, rest: ReadonlyArray<A>): ReadonlyArray<A> =>
  own.length === 0 ? rest : rest.length === 0 ? own : [...own, ...rest]

type Constrained = Pick<Met, "asked" | "index" | "contradictions" | "constraints" | "cap" | "totalTokens">

/** The constraints `own` met with those of `rest`, sorted by what an evaluation does with them. */
const constrained = (own: ReadonlyMap<string, Constraint>, rest: Met): Constrained => {
  rest.index ??= new Map(rest.asked.map((one) => [one.constraint.parameter.canonical, one]))
  const asked: Array<Asked> = []
  for (const [canonical, constraint] of own) {
    const other = rest.index.get(canonical)
    const met = other === undefined ? constraint : meet(constraint, other.constraint)
    asked.push({ constraint: met, contradiction: contradiction(met) })
  }
  for (const other of rest.asked) if (!own.has(other.constraint.parameter.canonical)) asked.push(other)
  const counts = isCapped(rest.operation)
  const contradictions: Array<Violation> = []
  const constraints: Array<Constraint> = []
  let cap: Constraint | undefined
  let totalTokens: Constraint | undefined
  for (const { constraint, contradiction } of asked) {
    const { canonical, isCap } = constraint.parameter
    if (contradiction !== undefined) contradictions.push(contradiction)
    else if (isCap) cap = constraint
    else if (counts && canonical === "total_tokens") totalTokens = constraint
    else constraints.push(constraint)
  }
  return { asked, index: undefined, contradictions, constraints, cap, totalTokens }
}

const isAnything = (value: Json): boolean => typeof value === "string" && /^\*+$/.test(value)

const deniedOf = (
  values: Readonly<Record<string, ReadonlyArray<Json>>>,
  operation: Operation | undefined,
  source: Source
): ReadonlyArray<DeniedValues> =>
  Object.entries(values).flatMap(([name, denied]) => {
    // `*` forbids the parameter, whatever stands there: a number, a flag and an object too.
    const forbids = denied.some(isAnything)
    const matches = forbids ? () => true : valuesMatcher(denied)
    // What stands inside of it under another spelling stands elsewhere: `reasoning` holds what `reasoning_effort` is.
    const names = [name, ...spelledWithin(name, operation?.name)]
    return names.map((one) => ({ ...source, parameter: parameter(one, operation), values: denied, matches, forbids }))
  })

const isDenied = (resource: string, pattern: string, policy: string): Violation => ({
  code: "resource_denied",
  policy,
  constraint: pattern,
  actual: resource,
  message: `${resource} matches ${pattern}, which ${policy} denies`
})

const notAllowed = (resource: string, resources: ReadonlyArray<Rule<undefined>>, policy: string): Violation => {
  const patterns = resources.map(({ pattern }) => pattern).join(", ")
  return {
    code: "resource_not_allowed",
    policy,
    constraint: patterns,
    actual: resource,
    message: `${resource} is not among the resources of ${policy}: ${patterns}`,
    hint: `add ${JSON.stringify(resource)} to the "resources" of ${policy}`
  }
}

/** The operation that a resource names: `tool:my-app/generate`. */
const operationOf = (resource: string): Operation | undefined => {
  const name = resource.slice(resource.lastIndexOf("/") + 1)
  return resource.startsWith("tool:") && isOperation(name) ? operations[name] : undefined
}
