/**
 * The meet of all documents that take part in a decision (mapl §5). What they ask of one resource is met once and kept, and
 * what all callers of a team share is met once for all of them, so that a decision costs the same however many documents
 * there are.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type { Json } from "../CanonicalJson.ts"
import type { Violation } from "../Decision.ts"
import { isOperation, type Operation, operations } from "../Operation.ts"
import { type Constraint, contradiction, fromSpec, meet, valuesMatcher } from "./Constraint.ts"
import type { NeededAttestation, Source } from "./Finding.ts"
import {
  type AttestationNeed,
  type Document,
  type Intent,
  instant,
  isResourceKey,
  parseAttestation,
  type Spec
} from "./Mapl.ts"
import { type Parameter, parameter } from "./Parameter.ts"
import { type Matcher, resourcePattern } from "./Pattern.ts"

/**
 * A document that takes part, under the name that decisions know it by. `counter` names its calls' counter, `parent` is the
 * document that it extends.
 */
export interface Participant {
  readonly document: Document | Intent
  readonly name: string
  readonly counter: string
  readonly parent?: Participant | undefined
}

/** Values that are refused for a parameter. */
export interface DeniedValues extends Source {
  readonly parameter: Parameter
  readonly values: ReadonlyArray<Json>
  readonly matches: (value: Json) => boolean
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
  readonly deniedValues: ReadonlyArray<DeniedValues>
  readonly rateLimits: ReadonlyArray<RateLimit>
  readonly attestations: ReadonlyArray<NeededAttestation>
}

/** How many resources' rules one effective policy keeps; callers choose the names of tools. */
const maximumKept = 256

/**
 * The policy in force for one caller at one service.
 *
 * @category models
 */
export class EffectivePolicy {
  /** Why nothing is allowed, whatever the resource. */
  readonly refusal: Violation | undefined
  readonly #own: ReadonlyArray<Participant>
  readonly #compiled: ReadonlyArray<Compiled>
  readonly #rest: EffectivePolicy | undefined
  readonly #met = new Map<string, Met>()
  #narrowed: WeakMap<object, EffectivePolicy> | undefined

  /** `own` stand in order, the most specific first; those of `rest`, which restricts as well, come after them. */
  constructor(own: ReadonlyArray<Participant>, refusal?: Violation, rest?: EffectivePolicy) {
    this.refusal = refusal
    this.#own = own
    this.#rest = rest
    const below = rest?.count ?? 0
    this.#compiled = own.map((one, at) => compile(one, parentsOf(one, own), 1 - own.length + at - below))
  }

  get participants(): ReadonlyArray<Participant> {
    return this.#rest === undefined ? this.#own : [...this.#own, ...this.#rest.participants]
  }

  /** How many documents take part. */
  get count(): number {
    return this.#own.length + (this.#rest?.count ?? 0)
  }

  /** What is asked of a resource. */
  rules(resource: string): Rules {
    return this.#meet(resource)
  }

  #meet(resource: string): Met {
    const kept = this.#met.get(resource)
    if (kept !== undefined) return kept
    const rest = this.#rest === undefined ? nothing(resource) : this.#rest.#meet(resource)
    const met = meetOnto(rest, this.#compiled, this.refusal)
    if (this.#met.size >= maximumKept) this.#met.clear()
    this.#met.set(resource, met)
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

interface Rule<A> {
  readonly pattern: string
  readonly matches: Matcher
  readonly rule: A
}

/** A document with its patterns ready to match. */
interface Compiled {
  readonly counter: string
  readonly source: Source
  readonly resources: ReadonlyArray<Rule<undefined>>
  readonly denied: ReadonlyArray<Rule<undefined>>
  readonly parameters: ReadonlyArray<Rule<Readonly<Record<string, Spec>>>>
  readonly deniedParameters: ReadonlyArray<Rule<Readonly<Record<string, ReadonlyArray<Json>>>>>
  readonly onViolation: "rewrite" | "deny" | undefined
  readonly rateLimit: number | undefined
  readonly window: { readonly notBefore: number; readonly notAfter: number; readonly text: string } | undefined
  readonly needs: ReadonlyArray<NeededAttestation>
}

const compile = (
  { counter, document, name }: Participant,
  parents: ReadonlyArray<Participant>,
  rank: number
): Compiled => {
  const { attestations, constraints, validity } = document
  const source = { policy: name, rank }
  const needs = attestations === undefined ? [] : isList(attestations) ? attestations : trueKeys(attestations)
  return {
    counter,
    source,
    resources: (document.resources ?? []).map((pattern) => rule(pattern, undefined)),
    denied: (document.denied_resources ?? []).map((pattern) => rule(pattern, undefined)),
    parameters: constraints === undefined ? [] : parameterRules(constraints),
    deniedParameters: Object.entries(constraints?.denied_parameters ?? {}).map(([pattern, values]) =>
      rule(pattern, values)
    ),
    onViolation: document.on_violation,
    rateLimit: constraints?.rate_limit,
    window: validity === undefined ? undefined : windowOf(validity),
    needs: needs.map((text) => ({
      ...source,
      ...neededAttestation(Result.getOrThrow(parseAttestation(text)), [document, ...parents.map((one) => one.document)])
    }))
  }
}

type Constraints = NonNullable<Document["constraints"]>

const parameterRules = (constraints: Constraints): Compiled["parameters"] => {
  const { parameters, ...others } = constraints
  return [
    ...Object.entries(parameters ?? {}).map(([pattern, specs]) => rule(pattern, specs)),
    ...Object.keys(others)
      .filter(isResourceKey)
      .map((pattern) => rule(pattern, constraints[pattern] ?? {}))
  ]
}

const windowOf = ({ not_after, not_before }: NonNullable<Document["validity"]>): NonNullable<Compiled["window"]> => ({
  notBefore: not_before === undefined ? -Infinity : (instant(not_before, "first") ?? Infinity),
  notAfter: not_after === undefined ? Infinity : (instant(not_after, "last") ?? -Infinity),
  text: [
    ...(not_before === undefined ? [] : [`from ${not_before}`]),
    ...(not_after === undefined ? [] : [`until ${not_after}`])
  ].join(" ")
})

/**
 * Who gives an attestation, and how: as the document that needs it says, or else the nearest one that it extends. No other
 * one has a say in it: what one document wants held already, another must not leave to an approver.
 */
const neededAttestation = (
  need: AttestationNeed,
  lineage: ReadonlyArray<Document | Intent>
): Omit<NeededAttestation, keyof Source> => {
  const said = lineage.flatMap(({ constraints }) => {
    const { attestations = {} } = constraints ?? {}
    return Object.hasOwn(attestations, need.key) ? [attestations[need.key]!] : []
  })
  const { approval_criteria, description, max_uses, one_time, time_to_live, timeout } =
    said.find((metadata) => metadata.approval_criteria !== undefined) ?? said[0] ?? {}
  return {
    ...need,
    approver: approval_criteria,
    timeout,
    time_to_live,
    one_time: one_time ?? true,
    max_uses,
    description
  }
}

/** What a document extends, the nearest first: as its participant says, or found among the others. */
const parentsOf = (one: Participant, others: ReadonlyArray<Participant>): ReadonlyArray<Participant> => {
  const parents: Array<Participant> = []
  const parentOf = ({ document, parent }: Participant): Participant | undefined =>
    parent ??
    (document.extends === undefined ? undefined : others.find((other) => other.document.policy_id === document.extends))
  for (let next = parentOf(one); next !== undefined && !parents.includes(next); next = parentOf(next))
    parents.push(next)
  return parents
}

const rule = <A>(pattern: string, payload: A): Rule<A> => ({
  pattern,
  matches: resourcePattern(pattern),
  rule: payload
})

const isList = (attestations: NonNullable<Document["attestations"]>): attestations is ReadonlyArray<string> =>
  Array.isArray(attestations)

const trueKeys = (record: Readonly<Record<string, boolean>>): ReadonlyArray<string> =>
  Object.keys(record).filter((key) => record[key])

// ---------------------------------------------------------------------------------------------------------------------
// Meet
// ---------------------------------------------------------------------------------------------------------------------

/** Rules, with the constraints that they were made of. */
interface Met extends Rules {
  readonly met: ReadonlyMap<string, { readonly constraint: Constraint; readonly contradiction: Violation | undefined }>
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
  deniedValues: [],
  rateLimits: [],
  attestations: [],
  met: new Map()
})

/** What documents ask, before what `rest` asks. */
const meetOnto = (rest: Met, compiled: ReadonlyArray<Compiled>, refusal: Violation | undefined): Met => {
  const { operation, resource } = rest
  const policies: Array<string> = []
  const windows: Array<Window> = []
  const denied: Array<Violation> = []
  const refused: Array<Violation> = []
  const asked = new Map<string, Constraint>()
  const deniedValues: Array<DeniedValues> = []
  const rateLimits: Array<RateLimit> = []
  const attestations: Array<NeededAttestation> = []
  for (const document of compiled) {
    const { counter, rateLimit, resources, source, window } = document
    policies.push(source.policy)
    if (window !== undefined) windows.push({ ...source, ...window })
    for (const { matches, pattern } of document.denied)
      if (matches(resource)) denied.push(isDenied(resource, pattern, source.policy))
    if (resources.length > 0 && !resources.some(({ matches }) => matches(resource)))
      refused.push(notAllowed(resource, resources, source.policy))
    for (const { matches, rule: specs } of document.parameters) {
      if (!matches(resource)) continue
      for (const name of Object.keys(specs)) {
        const constraint = fromSpec(parameter(name, operation), specs[name]!, source, document.onViolation)
        const { canonical } = constraint.parameter
        const before = asked.get(canonical)
        asked.set(canonical, before === undefined ? constraint : meet(before, constraint))
      }
    }
    for (const { matches, rule: values } of document.deniedParameters)
      if (matches(resource)) deniedValues.push(...deniedOf(values, operation, source))
    if (rateLimit !== undefined) rateLimits.push({ ...source, limit: rateLimit, counter })
    attestations.push(...document.needs)
  }
  if (refusal !== undefined) refused.push(refusal)
  return {
    resource,
    operation,
    policies: before(policies, rest.policies),
    windows: before(windows, rest.windows),
    denied: before(denied, rest.denied),
    notAllowed: before(refused, rest.notAllowed),
    deniedValues: before(deniedValues, rest.deniedValues),
    rateLimits: before(rateLimits, rest.rateLimits),
    attestations: before(attestations, rest.attestations),
    ...(asked.size === 0 ? constraintsOf(rest) : constrained(asked, rest))
  }
}

const before = <A>(own: ReadonlyArray<A>, rest: ReadonlyArray<A>): ReadonlyArray<A> =>
  own.length === 0 ? rest : rest.length === 0 ? own : [...own, ...rest]

type Constrained = Pick<Met, "met" | "contradictions" | "constraints" | "cap" | "totalTokens">

const constraintsOf = ({ cap, constraints, contradictions, met, totalTokens }: Met): Constrained => ({
  met,
  contradictions,
  constraints,
  cap,
  totalTokens
})

/** The constraints of `asked` met with those of `rest`, sorted by what an evaluation does with them. */
const constrained = (asked: ReadonlyMap<string, Constraint>, rest: Met): Constrained => {
  const met = new Map<string, { readonly constraint: Constraint; readonly contradiction: Violation | undefined }>()
  for (const [canonical, own] of asked) {
    const other = rest.met.get(canonical)
    const constraint = other === undefined ? own : meet(own, other.constraint)
    met.set(canonical, { constraint, contradiction: contradiction(constraint) })
  }
  for (const [canonical, other] of rest.met) if (!asked.has(canonical)) met.set(canonical, other)
  const isCapped = rest.operation !== undefined && rest.operation.caps.length > 0
  const contradictions: Array<Violation> = []
  const constraints: Array<Constraint> = []
  let cap: Constraint | undefined
  let totalTokens: Constraint | undefined
  for (const [canonical, { constraint, contradiction: violation }] of met)
    if (violation !== undefined) contradictions.push(violation)
    else if (isCapped && canonical === "max_tokens") cap = constraint
    else if (isCapped && canonical === "total_tokens") totalTokens = constraint
    else constraints.push(constraint)
  return { met, contradictions, constraints, cap, totalTokens }
}

const deniedOf = (
  values: Readonly<Record<string, ReadonlyArray<Json>>>,
  operation: Operation | undefined,
  source: Source
): ReadonlyArray<DeniedValues> =>
  Object.entries(values).map(([name, denied]) => ({
    ...source,
    parameter: parameter(name, operation),
    values: denied,
    matches: valuesMatcher(denied)
  }))

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
