/**
 * A document that takes part in a decision, with its patterns ready to match.
 */
import * as Result from "effect/Result"
import type { Json } from "../base/Json.ts"
import type { NeededAttestation, Source } from "./Finding.ts"
import { type Document, type Intent, isResourceKey } from "./Mapl.ts"
import { attestationEntries, type AttestationNeed, parseAttestation } from "./mapl/Attestation.ts"
import type { Spec } from "./mapl/Bounds.ts"
import type { OutputRule } from "./mapl/OutputRule.ts"
import { instant } from "./mapl/Validity.ts"
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

/** The empty list, shared by all documents. */
export const none: ReadonlyArray<never> = []

/** Something that a document asks of the resources that a pattern matches. */
export interface PatternRule<A> {
  readonly pattern: string
  readonly matches: Matcher
  readonly rule: A
}

/** A document with its patterns ready to match. */
export interface Compiled {
  readonly name: string
  readonly counter: string
  readonly resources: ReadonlyArray<PatternRule<undefined>>
  readonly denied: ReadonlyArray<PatternRule<undefined>>
  readonly parameters: ReadonlyArray<PatternRule<Readonly<Record<string, Spec>>>>
  readonly deniedParameters: ReadonlyArray<PatternRule<Readonly<Record<string, ReadonlyArray<Json>>>>>
  readonly output: ReadonlyArray<PatternRule<OutputRule>>
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
    resources: resources?.map((pattern) => patternRule(pattern, undefined)) ?? none,
    denied: denied_resources?.map((pattern) => patternRule(pattern, undefined)) ?? none,
    parameters: constraints === undefined ? none : parameterRules(constraints),
    deniedParameters: denied === undefined ? none : patternRules(Object.keys(denied), denied),
    output: output === undefined ? none : patternRules(Object.keys(output), output),
    onViolation: document.on_violation,
    rateLimit: constraints?.rate_limit,
    window: validity === undefined ? undefined : windowOf(validity),
    needs: attestations === undefined ? none : needsOf(attestations, lineageOf(participant, others))
  }
}

type Constraints = NonNullable<Document["constraints"]>

const parameterRules = (constraints: Constraints): Compiled["parameters"] => {
  const { parameters } = constraints
  const named = parameters === undefined ? none : patternRules(Object.keys(parameters), parameters)
  const direct = Object.keys(constraints).filter(isResourceKey)
  return direct.length === 0
    ? named
    : [...named, ...direct.map((pattern) => patternRule(pattern, constraints[pattern] ?? {}))]
}

const patternRules = <A>(patterns: ReadonlyArray<string>, payloads: Readonly<Record<string, A>>) =>
  patterns.map((pattern) => patternRule(pattern, payloads[pattern]!))

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
  lineage: ReadonlyArray<Participant>
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
 * Who gives an attestation, and how: by the metadata of the document that needs it, or else of the nearest one that it extends.
 * No other document counts: an attestation that one document wants held already must not become a matter of an approver.
 */
const givenBy = (
  key: string,
  lineage: ReadonlyArray<Participant>
): Omit<NeededAttestation, keyof Source | keyof AttestationNeed> => {
  const said = lineage.flatMap(({ document: { constraints } }) => {
    const { attestations = {} } = constraints ?? {}
    return Object.hasOwn(attestations, key) ? [attestations[key]!] : []
  })
  const { approval_criteria, description, max_uses, one_time, time_to_live, timeout } =
    said.find((metadata) => metadata.approval_criteria !== undefined) ?? said[0] ?? {}
  return { approver: approval_criteria, timeout, time_to_live, one_time: one_time ?? true, max_uses, description }
}

/** A participant and what it extends, the nearest first: its parents, or else those found among the others. */
export const lineageOf = (
  participant: Participant,
  others: ReadonlyArray<Participant> = none
): ReadonlyArray<Participant> => {
  const lineage = new Set<Participant>()
  const parentOf = ({ document, parent }: Participant): Participant | undefined =>
    parent ??
    (document.extends === undefined ? undefined : others.find((other) => other.document.policy_id === document.extends))
  for (let next: Participant | undefined = participant; next !== undefined && !lineage.has(next); next = parentOf(next))
    lineage.add(next)
  return [...lineage]
}

const patternRule = <A>(pattern: string, payload: A): PatternRule<A> => ({
  pattern,
  matches: resourcePattern(pattern),
  rule: payload
})
