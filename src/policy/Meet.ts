/**
 * The meet of what documents ask of one resource.
 */
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
import { type Constraint, contradiction, fromSpec, meet } from "./Constraint.ts"
import { valuesMatcher } from "./ValueMatcher.ts"
import type { NeededAttestation, Source } from "./Finding.ts"
import { isCapped, parameter } from "./Parameter.ts"
import { type Compiled, none, type PatternRule } from "./Participant.ts"
import type { Matcher } from "./Pattern.ts"
import type { ClosedMembers, DeniedValues, PlacedOutputRule, RateLimit, Rules, Window } from "./Rules.ts"

/** Rules, with the constraints that they were made of. */
export interface Met extends Rules {
  readonly met: ReadonlyArray<MetConstraint>
  /** `met` by the canonical name of the parameter, once something is met onto it. */
  index: ReadonlyMap<string, MetConstraint> | undefined
}

/** A constraint, and why no request satisfies it where none can. */
interface MetConstraint {
  readonly constraint: Constraint
  readonly contradiction: Violation | undefined
}

/** The rules for a resource before any document is met. */
export const nothing = (resource: string): Met => ({
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
  met: [],
  index: undefined
})

/** What documents ask, before what `rest` asks; `highest` is the rank of the first of them. */
export const meetOnto = (
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
    for (const rule of document.denied) if (isNamed(rule)) denied.push(resourceDenied(resource, rule.pattern, policy))
    if (resources.length > 0 && !resources.some(isNamed)) refused.push(resourceNotAllowed(resource, resources, policy))
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
  const { met, cap, constraints, contradictions, index, totalTokens } = own.size === 0 ? rest : constrained(own, rest)
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
    met,
    index
  }
}

const before = <A>(own: ReadonlyArray<A>, rest: ReadonlyArray<A>): ReadonlyArray<A> =>
  own.length === 0 ? rest : rest.length === 0 ? own : [...own, ...rest]

type Constrained = Pick<Met, "met" | "index" | "contradictions" | "constraints" | "cap" | "totalTokens">

/** The constraints `own` met with those of `rest`, sorted by what an evaluation does with them. */
const constrained = (own: ReadonlyMap<string, Constraint>, rest: Met): Constrained => {
  rest.index ??= new Map(rest.met.map((one) => [one.constraint.parameter.canonical, one]))
  const met: Array<MetConstraint> = []
  for (const [canonical, constraint] of own) {
    const other = rest.index.get(canonical)
    const both = other === undefined ? constraint : meet(constraint, other.constraint)
    met.push({ constraint: both, contradiction: contradiction(both) })
  }
  for (const other of rest.met) if (!own.has(other.constraint.parameter.canonical)) met.push(other)
  const counts = isCapped(rest.operation)
  const contradictions: Array<Violation> = []
  const constraints: Array<Constraint> = []
  let cap: Constraint | undefined
  let totalTokens: Constraint | undefined
  for (const { constraint, contradiction } of met) {
    const { canonical, isCap } = constraint.parameter
    if (contradiction !== undefined) contradictions.push(contradiction)
    else if (isCap) cap = constraint
    else if (counts && canonical === "total_tokens") totalTokens = constraint
    else constraints.push(constraint)
  }
  return { met, index: undefined, contradictions, constraints, cap, totalTokens }
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

const resourceDenied = (resource: string, pattern: string, policy: string): Violation => ({
  code: "resource_denied",
  policy,
  constraint: pattern,
  actual: resource,
  message: `${resource} matches ${pattern}, which ${policy} denies`
})

const resourceNotAllowed = (
  resource: string,
  resources: ReadonlyArray<PatternRule<undefined>>,
  policy: string
): Violation => {
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
