/**
 * The meet of all documents that take part in a decision (mapl §5). Documents are compiled once; what they ask of one
 * resource is met once and kept, so that a decision costs the same however many documents there are.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type { Json } from "../CanonicalJson.ts"
import type { Violation } from "../Decision.ts"
import { isOperation, type Operation, operations } from "../Operation.ts"
import { type Constraint, contradiction, fromSpec, meet, type Source, valuesMatcher } from "./Constraint.ts"
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

/** A document that takes part, under the name that decisions know it by. `counter` names its calls' counter. */
export interface Participant {
  readonly document: Document | Intent
  readonly name: string
  readonly counter: string
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

/** A proof that a document asks for. `approver` is who gives it from outside; without one it must be held already. */
export interface NeededAttestation extends AttestationNeed, Source {
  readonly approver: string | undefined
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
  readonly participants: ReadonlyArray<Participant>
  /** Why nothing is allowed, whatever the resource. */
  readonly refusal: Violation | undefined
  readonly #compiled: ReadonlyArray<Compiled>
  readonly #rules = new Map<string, Rules>()
  readonly #narrowed = new WeakMap<object, EffectivePolicy>()

  /** `participants` stand in order, the most specific first. */
  constructor(participants: ReadonlyArray<Participant>, refusal?: Violation) {
    this.participants = participants
    this.refusal = refusal
    this.#compiled = participants.map(compile)
  }

  /** What is asked of a resource. */
  rules(resource: string): Rules {
    const kept = this.#rules.get(resource)
    if (kept !== undefined) return kept
    const rules = rulesFor(resource, this.#compiled, this.refusal)
    if (this.#rules.size >= maximumKept) this.#rules.clear()
    this.#rules.set(resource, rules)
    return rules
  }

  /** This policy and more that restricts it; kept for as long as `identity` lives. */
  narrow(identity: object, more: () => ReadonlyArray<Participant>): EffectivePolicy {
    const kept = this.#narrowed.get(identity)
    if (kept !== undefined) return kept
    const added = more()
    const others = this.participants.filter((one) => !added.some(({ counter }) => counter === one.counter))
    const narrowed = new EffectivePolicy([...added, ...others], this.refusal)
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
  readonly name: string
  readonly counter: string
  readonly resources: ReadonlyArray<Rule<undefined>>
  readonly denied: ReadonlyArray<Rule<undefined>>
  readonly parameters: ReadonlyArray<Rule<Readonly<Record<string, Spec>>>>
  readonly deniedParameters: ReadonlyArray<Rule<Readonly<Record<string, ReadonlyArray<Json>>>>>
  readonly onViolation: "rewrite" | "deny" | undefined
  readonly rateLimit: number | undefined
  readonly window: { readonly notBefore: number; readonly notAfter: number; readonly text: string } | undefined
  readonly needs: ReadonlyArray<AttestationNeed>
  readonly approvers: ReadonlyMap<string, string>
  readonly parent: string | undefined
}

const compiledDocuments = new WeakMap<Document | Intent, Compiled>()

const compile = ({ counter, document, name }: Participant): Compiled => {
  const kept = compiledDocuments.get(document)
  if (kept !== undefined) return kept
  const { attestations = [], constraints = {}, validity } = document
  const compiled: Compiled = {
    name,
    counter,
    resources: (document.resources ?? []).map((pattern) => rule(pattern, undefined)),
    denied: (document.denied_resources ?? []).map((pattern) => rule(pattern, undefined)),
    parameters: [
      ...Object.entries(constraints.parameters ?? {}),
      ...Object.keys(constraints)
        .filter(isResourceKey)
        .map((pattern) => [pattern, constraints[pattern] ?? {}] as const)
    ].map(([pattern, specs]) => rule(pattern, specs)),
    deniedParameters: Object.entries(constraints.denied_parameters ?? {}).map(([pattern, values]) =>
      rule(pattern, values)
    ),
    onViolation: document.on_violation,
    rateLimit: constraints.rate_limit,
    window:
      validity === undefined
        ? undefined
        : {
            notBefore:
              validity.not_before === undefined ? -Infinity : (instant(validity.not_before, "first") ?? Infinity),
            notAfter: validity.not_after === undefined ? Infinity : (instant(validity.not_after, "last") ?? -Infinity),
            text: [
              ...(validity.not_before === undefined ? [] : [`from ${validity.not_before}`]),
              ...(validity.not_after === undefined ? [] : [`until ${validity.not_after}`])
            ].join(" ")
          },
    needs: (isList(attestations) ? attestations : Object.keys(attestations).filter((key) => attestations[key])).map(
      (source) => Result.getOrThrow(parseAttestation(source))
    ),
    approvers: new Map(
      Object.entries(constraints.attestations ?? {}).flatMap(([key, { approval_criteria: approver }]) =>
        approver === undefined ? [] : [[key, approver]]
      )
    ),
    parent: document.extends
  }
  compiledDocuments.set(document, compiled)
  return compiled
}

const rule = <A>(pattern: string, payload: A): Rule<A> => ({
  pattern,
  matches: resourcePattern(pattern),
  rule: payload
})

const isList = (attestations: NonNullable<Document["attestations"]>): attestations is ReadonlyArray<string> =>
  Array.isArray(attestations)

// ---------------------------------------------------------------------------------------------------------------------
// Meet
// ---------------------------------------------------------------------------------------------------------------------

const rulesFor = (resource: string, compiled: ReadonlyArray<Compiled>, refusal: Violation | undefined): Rules => {
  const operation = operationOf(resource)
  const matching = <A>(rules: ReadonlyArray<Rule<A>>) => rules.filter(({ matches }) => matches(resource))
  const each = <A>(f: (document: Compiled, source: Source) => ReadonlyArray<A>): ReadonlyArray<A> =>
    compiled.flatMap((document, rank) => f(document, { policy: document.name, rank }))

  const met = new Map<string, Constraint>()
  for (const constraint of each(({ onViolation, parameters }, source) =>
    matching(parameters).flatMap(({ rule: specs }) =>
      Object.entries(specs).map(([name, spec]) => fromSpec(parameter(name, operation), spec, source, onViolation))
    )
  )) {
    const { canonical } = constraint.parameter
    const before = met.get(canonical)
    met.set(canonical, before === undefined ? constraint : meet(before, constraint))
  }
  const contradictory = new Map([...met].map(([canonical, constraint]) => [canonical, contradiction(constraint)]))
  const satisfiable = [...met.values()].filter(
    ({ parameter: { canonical } }) => contradictory.get(canonical) === undefined
  )
  const capped = operation !== undefined && operation.caps.length > 0
  const isCap = ({ parameter: { canonical } }: Constraint): boolean => capped && canonical === "max_tokens"
  const isTotal = ({ parameter: { canonical } }: Constraint): boolean => capped && canonical === "total_tokens"
  /** Who gives a proof that a document asks for: its own metadata say it, or those of the nearest document it extends. */
  const approverOf = (document: Compiled | undefined, key: string): string | undefined =>
    document &&
    (document.approvers.get(key) ??
      approverOf(
        compiled.find(({ counter }) => counter === document.parent),
        key
      ))

  return {
    resource,
    operation,
    policies: compiled.map(({ name }) => name),
    windows: each(({ window }, source) => (window === undefined ? [] : [{ ...source, ...window }])),
    denied: each(({ denied }, { policy }) =>
      matching(denied).map(({ pattern }) => ({
        code: "resource_denied",
        policy,
        constraint: pattern,
        actual: resource,
        message: `${resource} matches ${pattern}, which ${policy} denies`
      }))
    ),
    notAllowed: [
      ...each(({ resources }, { policy }) =>
        resources.length === 0 || matching(resources).length > 0 ? [] : [notAllowed(resource, resources, policy)]
      ),
      ...(refusal === undefined ? [] : [refusal])
    ],
    contradictions: [...contradictory.values()].filter((violation) => violation !== undefined),
    constraints: satisfiable.filter((constraint) => !isCap(constraint) && !isTotal(constraint)),
    cap: satisfiable.find(isCap),
    totalTokens: satisfiable.find(isTotal),
    deniedValues: each(({ deniedParameters }, source) =>
      matching(deniedParameters).flatMap(({ rule: denied }) =>
        Object.entries(denied).map(([name, values]) => ({
          ...source,
          parameter: parameter(name, operation),
          values,
          matches: valuesMatcher(values)
        }))
      )
    ),
    rateLimits: each(({ counter, rateLimit }, source) =>
      rateLimit === undefined ? [] : [{ ...source, limit: rateLimit, counter }]
    ),
    attestations: each((document, source) =>
      document.needs.map((need) => ({ ...source, ...need, approver: approverOf(document, need.key) }))
    )
  }
}

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
