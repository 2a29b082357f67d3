/**
 * Advice on policies that load: what matches nothing, can never be allowed, or does not do what its author probably means.
 * It only warns, and rather says nothing than raise a false alarm.
 *
 * @since 0.2.0
 */
import * as Result from "effect/Result"
import { waysToModels } from "../Families.ts"
import { familyResource, modelChoosers, operations, otherNameOf, outputTokenCaps } from "../Operation.ts"
import { app } from "../Principal.ts"
import { boundsOf, conflict, highest } from "./Conflict.ts"
import { type Diagnostic, type Place, showPlace } from "./Diagnostic.ts"
import { nearest, showPath, showValue } from "./Fault.ts"
import {
  attestationEntries,
  type AttestationNeed,
  type Bounds,
  type Document,
  instant,
  isResourceKey,
  parseAttestation,
  type Spec
} from "./Mapl.ts"
import { isAnywhere, overlap, reachable } from "./Overlap.ts"
import { parameter } from "./Parameter.ts"
import { isGlob, resourcePattern } from "./Pattern.ts"
import type { PolicySet } from "./PolicyStore.ts"

/** What a warning may be about. */
export type LintCode =
  | "direct_constraints"
  | "attestation_object"
  | "matches_nothing"
  | "llm_name"
  | "unknown_resource_type"
  | "unreachable_resource"
  | "unused_constraint"
  | "unsatisfiable"
  | "downgrade_not_allowed"
  | "unknown_scope"
  | "case_duplicate"
  | "duplicate_item"
  | "short_denied_text"
  | "no_approver"
  | "unused_attestation"
  | "approver_never_applies"
  | "undecided_condition"
  | "validity_over"
  | "validity_empty"
  | "no_effect"
  | "models_open"
  | "model_not_required"
  | "model_left_open"

/**
 * Every warning about a set, in the order of its documents, at the time `now` (milliseconds since 1970), which tells whether
 * a validity is over.
 */
export const lint = (set: PolicySet, now: number): ReadonlyArray<Diagnostic> => {
  const survey = new Survey(set)
  const all = [...checks, makeModelsOpen(survey)]
  return [...set.ids()].flatMap((id) => {
    const entry = survey.entry(id)
    if (entry === undefined) return []
    const warnings = all.flatMap((check) => [...check(entry, survey, now)])
    if (warnings.length === 0) return []
    return warnings
      .map(({ code, hint, message, path }): Diagnostic => {
        const place = set.locate(id, path)
        return { severity: "warning", code, message, path: showPath(path), policy: id, hint, place }
      })
      .sort((a, b) => a.place.line - b.place.line || a.place.column - b.place.column)
  })
}

type Path = ReadonlyArray<string | number>

interface Warning {
  readonly code: LintCode
  readonly path: Path
  readonly message: string
  readonly hint: string
}

type Check = (entry: Entry, survey: Survey, now: number) => Iterable<Warning>

// ---------------------------------------------------------------------------------------------------------------------
// Survey
// ---------------------------------------------------------------------------------------------------------------------

/** How far up a chain is looked, and how many specs of one parameter are compared: far beyond any real policy. */
const maximumChain = 64
const maximumCompared = 10_000

/** A parameter's spec where it stands; `canonical` is one name for all spellings of the parameter. */
interface PlacedSpec {
  readonly pattern: string
  readonly name: string
  readonly canonical: string
  readonly bounds: Bounds
  readonly path: Path
  /** Where its list of allowed values stands, if it has one. */
  readonly listPath: Path
}

/** A resource pattern where it stands. */
interface PlacedPattern {
  readonly pattern: string
  readonly path: Path
}

/** A need for an attestation where it stands. */
type PlacedNeed = AttestationNeed & { readonly path: Path }

/** A document, taken apart. `ancestors` are what it extends, the nearest first. */
interface Entry {
  readonly id: string
  readonly document: Document
  readonly ancestors: ReadonlyArray<Entry>
  readonly resources: ReadonlyArray<string>
  readonly denied: ReadonlyArray<string>
  /** Whether a resource, or a pattern as it is written, is denied. */
  readonly denies: (pattern: string) => boolean
  readonly needs: ReadonlyArray<PlacedNeed>
  /** The keys of `parameters`, of the older form, of `denied_parameters` and of `output`, and the scopes of attestations. */
  readonly keys: ReadonlyArray<PlacedPattern>
  readonly specs: ReadonlyMap<string, ReadonlyArray<PlacedSpec>>
}

/** What is known of the set as a whole. Documents that others extend are taken apart once. */
class Survey {
  readonly set: PolicySet
  readonly #documents = new Map<string, Document>()
  readonly #chains = new Map<string, ReadonlyArray<Entry>>()
  readonly #met = new Map<string, boolean | undefined>()
  readonly #idle = new Map<string, Omit<Warning, "path"> | undefined>()
  readonly parents = new Set<string>()
  /** By key, the first document that needs an attestation. */
  readonly needs = new Map<string, string>()
  /** The documents whose metadata of a key says how a need is met: `JSON.stringify([id, key])`. */
  readonly metadataUsed = new Set<string>()

  constructor(set: PolicySet) {
    this.set = set
    for (const id of set.ids()) {
      const document = this.find(id)
      if (document === undefined) continue
      if (document.extends !== undefined) this.parents.add(document.extends)
      for (const { key } of needsOf(document)) {
        if (!this.needs.has(key)) this.needs.set(key, id)
        this.#useMetadata(document, key)
      }
    }
  }

  /** A document; a set may read it anew each time it is asked. */
  find(id: string): Document | undefined {
    const kept = this.#documents.get(id)
    if (kept !== undefined) return kept
    const document = this.set.find(id)
    if (document !== undefined && this.#documents.size < maximumRemembered) this.#documents.set(id, document)
    return document
  }

  entry(id: string): Entry | undefined {
    const document = this.find(id)
    if (document === undefined) return undefined
    return this.#chains.get(id)?.[0] ?? takeApart(document, this.#chain(document.extends))
  }

  /** Whether some resource matches all patterns; asked of the same patterns again and again. */
  readonly meet = (patterns: ReadonlyArray<string>): boolean | undefined => {
    const key = patterns.join("\n")
    if (this.#met.has(key)) return this.#met.get(key)
    if (this.#met.size >= maximumRemembered) this.#met.clear()
    const met = overlap(patterns)
    this.#met.set(key, met)
    return met
  }

  /** Why a pattern matches nothing, where it does. */
  idle(pattern: string): Omit<Warning, "path"> | undefined {
    if (this.#idle.has(pattern)) return this.#idle.get(pattern)
    if (this.#idle.size >= maximumRemembered) this.#idle.clear()
    const warning = idle(pattern, this.meet)
    this.#idle.set(pattern, warning)
    return warning
  }

  /** The nearest document that says who approves decides how a need of `document` is met. */
  #useMetadata(document: Document, key: string): void {
    let holder: Document | undefined = document
    for (let up = 0; holder !== undefined && up < maximumChain; up++) {
      const metadata = metadataOf(holder, key)
      if (metadata !== undefined) this.metadataUsed.add(JSON.stringify([holder.policy_id, key]))
      if (metadata?.approval_criteria !== undefined) return
      holder = holder.extends === undefined ? undefined : this.find(holder.extends)
    }
  }

  /** A document that is extended, and what it extends. */
  #chain(id: string | undefined): ReadonlyArray<Entry> {
    const above: Array<Document> = []
    let kept: ReadonlyArray<Entry> | undefined
    for (let next = id; next !== undefined && kept === undefined && above.length < maximumChain;) {
      kept = this.#chains.get(next)
      const document: Document | undefined = kept === undefined ? this.find(next) : undefined
      if (document !== undefined) above.push(document)
      next = document?.extends
    }
    // From the top down, so that nothing is as deep as the chain is long.
    let chain = kept ?? []
    for (const document of above.toReversed()) {
      chain = [takeApart(document, chain), ...chain].slice(0, maximumChain)
      this.#chains.set(document.policy_id, chain)
    }
    return chain
  }
}

/** How many documents and answers are kept while a set is gone through. */
const maximumRemembered = 200_000

const takeApart = (document: Document, ancestors: ReadonlyArray<Entry>): Entry => {
  const { constraints = {}, denied_resources: denied = [], resources = [] } = document
  const needs = needsOf(document)
  const written: ReadonlyArray<readonly [Path, string, Readonly<Record<string, Spec>>]> = [
    ...Object.entries(constraints.parameters ?? {}).map(
      ([pattern, specs]) => [["constraints", "parameters", pattern], pattern, specs] as const
    ),
    ...Object.keys(constraints)
      .filter(isResourceKey)
      .map((pattern) => [["constraints", pattern], pattern, constraints[pattern] ?? {}] as const)
  ]
  const specs = new Map<string, Array<PlacedSpec>>()
  for (const [path, pattern, parameters] of written)
    for (const [name, spec] of Object.entries(parameters)) {
      const { canonical } = parameter(name, operations.generate)
      const before = specs.get(canonical) ?? []
      const own = [...path, name]
      const listPath = Array.isArray(spec) ? own : [...own, "allowed_values"]
      before.push({ pattern, name, canonical, bounds: boundsOf(spec), path: own, listPath })
      specs.set(canonical, before)
    }
  return {
    id: document.policy_id,
    document,
    ancestors,
    resources,
    denied,
    denies: denials(denied),
    keys: [
      ...written.map(([path, pattern]) => ({ path, pattern })),
      ...(["denied_parameters", "output"] as const).flatMap((place) =>
        Object.keys(constraints[place] ?? {}).map((pattern) => ({
          path: ["constraints", place, pattern],
          pattern
        }))
      ),
      ...needs.flatMap((need) =>
        (need.resources ?? []).map((pattern, index) => ({ path: [...need.path, "resources", index], pattern }))
      )
    ],
    needs,
    specs
  }
}

const needsOf = ({ attestations = [] }: Document): ReadonlyArray<PlacedNeed> =>
  attestationEntries(attestations).flatMap(([at, entry]) =>
    Result.match(parseAttestation(entry), {
      onFailure: () => [],
      onSuccess: (need) => [{ ...need, path: ["attestations", at] }]
    })
  )

const denials = (denied: ReadonlyArray<string>): ((pattern: string) => boolean) => {
  if (denied.length === 0) return () => false
  const written = new Set(denied)
  const globs = denied.filter(isGlob).map(resourcePattern)
  return (pattern) => written.has(pattern) || (!isGlob(pattern) && globs.some((matches) => matches(pattern)))
}

const metadataOf = ({ constraints }: Document, key: string) => {
  const all = constraints?.attestations
  return all !== undefined && Object.hasOwn(all, key) ? all[key] : undefined
}

/** The lists of resources that a document and what it extends have; each must let a resource through. */
const listsOf = ({ ancestors, resources }: Entry): ReadonlyArray<ReadonlyArray<string>> =>
  [resources, ...ancestors.map((ancestor) => ancestor.resources)].filter((list) => list.length > 0)

const quoted = (text: string): string => JSON.stringify(text)

// ---------------------------------------------------------------------------------------------------------------------
// Older forms
// ---------------------------------------------------------------------------------------------------------------------

const olderForms: Check = function* ({ document: { attestations, constraints = {} } }) {
  for (const pattern of Object.keys(constraints).filter(isResourceKey))
    yield {
      code: "direct_constraints",
      path: ["constraints", pattern],
      message: `parameters stand directly under ${quoted(pattern)}, an older form`,
      hint: `move it into "parameters"`
    }
  if (attestations !== undefined && !Array.isArray(attestations))
    yield {
      code: "attestation_object",
      path: ["attestations"],
      message: "an object of booleans is an older form",
      hint: `write a list: ${showValue(attestationEntries(attestations).map(([, entry]) => entry))}`
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Resource patterns
// ---------------------------------------------------------------------------------------------------------------------

const scheme = /^([^:*/]+):/u

/** What is wrong with a pattern whatever stands beside it: that it matches no resource that there is. */
const idle = (pattern: string, meet: Survey["meet"]): Omit<Warning, "path"> | undefined => {
  if (isAnywhere(pattern)) return undefined
  const [, type] = scheme.exec(pattern) ?? []
  if (type === "llm")
    return {
      code: "llm_name",
      message: `${quoted(pattern)} names a model, and nothing invokes models by name`,
      hint: `did you mean "tool:<app>/generate", with the models as "model" under its parameters?`
    }
  if (type === "tool" || type === "api") {
    if (meet([pattern, `${type}:**/**`]) !== false) return undefined
    const [, rest = ""] = pattern.split(/:(.*)/su)
    return {
      code: "matches_nothing",
      message: `${quoted(pattern)} matches nothing: every resource is ${type}:<app>/<name>, and * stops at a /`,
      hint: `did you mean ${rest === "*" ? quoted(`${type}:**`) : quoted(`${type}:*/${rest}`)}?`
    }
  }
  if (type !== undefined) {
    const meant = nearest(type, ["tool", "api"])
    return meant === undefined
      ? undefined
      : {
          code: "unknown_resource_type",
          message: `nothing invokes resources of the type ${quoted(type)}`,
          hint: `did you mean ${quoted(`${meant}${pattern.slice(type.length)}`)}?`
        }
  }
  if (meet([pattern, "tool:**/**"]) !== false || meet([pattern, "api:**/**"]) !== false) return undefined
  return {
    code: "matches_nothing",
    message: `${quoted(pattern)} matches nothing: a resource is tool:<app>/<name> or api:<app>/<family>, and * stops at a /`,
    hint: `did you mean ${pattern === "*" ? `"**"` : quoted(pattern.includes("/") ? `tool:${pattern}` : `tool:*/${pattern}`)}?`
  }
}

const patterns: Check = function* (entry, survey) {
  const { denied, document, keys, resources } = entry
  const placed = (list: "resources" | "denied_resources") =>
    (document[list] ?? []).map((pattern, index) => ({ pattern, path: [list, index] }))
  for (const { path, pattern } of [...placed("resources"), ...placed("denied_resources"), ...keys]) {
    const warning = survey.idle(pattern)
    if (warning !== undefined) yield { ...warning, path }
  }
  // In `resources` another type may be a name that only another program asks about; elsewhere it protects nothing here.
  for (const { path, pattern } of [...placed("denied_resources"), ...keys]) {
    const [, type] = scheme.exec(pattern) ?? []
    if (type === undefined || type === "tool" || type === "api" || survey.idle(pattern) !== undefined) continue
    yield {
      code: "unknown_resource_type",
      path,
      message: `nothing here invokes resources of the type ${quoted(type)}: they are "tool" and "api"`,
      hint: "leave it out, unless another program asks about it"
    }
  }
  yield* unreachableResources(entry, survey)
  yield* unusedKeys(entry, survey)
  const spelled = new Map(resources.map((resource) => [resource.toLowerCase(), resource]))
  for (const [index, pattern] of denied.entries()) {
    const resource = spelled.get(pattern.toLowerCase())
    if (resource !== undefined && resource !== pattern)
      yield {
        code: "case_duplicate",
        path: ["denied_resources", index],
        message: `${quoted(pattern)} is denied, and ${quoted(resource)}, which differs in case only, is among the resources`,
        hint: "case counts: write it as the resource is written"
      }
  }
}

const unreachableResources = function* (entry: Entry, survey: Survey): Iterable<Warning> {
  const { ancestors, resources } = entry
  const chain = [entry, ...ancestors]
  const limiting = ancestors.filter((ancestor) => ancestor.resources.length > 0)
  for (const [index, pattern] of resources.entries()) {
    if (survey.idle(pattern) !== undefined) continue
    const path: Path = ["resources", index]
    const denier = chain.find(({ denies }) => denies(pattern))
    if (denier !== undefined) {
      yield {
        code: "unreachable_resource",
        path,
        message: `${quoted(pattern)} can never be allowed: ${denier.id} denies it`,
        hint: "take it out, here or there"
      }
      continue
    }
    // The first document up the chain at which nothing is left.
    const last = limiting.findIndex(
      (_, at) =>
        reachable(
          [pattern],
          limiting.slice(0, at + 1).map((ancestor) => ancestor.resources),
          survey.meet
        ) === false
    )
    const by = limiting[last]
    if (by !== undefined)
      yield {
        code: "unreachable_resource",
        path,
        message: `${quoted(pattern)} can never be allowed: it is not among the resources of ${by.id}, ${showValue(by.resources)}`,
        hint: `a child only narrows: take it out, or add it to ${by.id}`
      }
  }
}

const unusedKeys = function* (entry: Entry, survey: Survey): Iterable<Warning> {
  const lists = listsOf(entry)
  for (const { path, pattern } of entry.keys) {
    if (scheme.exec(pattern)?.[1] === "api") {
      yield {
        code: "unused_constraint",
        path,
        message: `of ${quoted(pattern)} only the name is judged: what passes through has no parameters to bound, and waits for no attestation`,
        hint: `allow or deny it by name, in "resources" or "denied_resources"`
      }
      continue
    }
    if (survey.idle(pattern) !== undefined || reachable([pattern], lists, survey.meet) !== false) continue
    yield {
      code: "unused_constraint",
      path,
      message: `${quoted(pattern)} matches none of the resources that are allowed: ${lists.map(showValue).join(" and ")}`,
      hint: "take it out, or add the resource"
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Bounds
// ---------------------------------------------------------------------------------------------------------------------

const bounds: Check = function* (entry, survey) {
  for (const [canonical, specs] of entry.specs) {
    let compared = 0
    for (const [index, spec] of specs.entries()) {
      yield* alone(spec)
      for (const { other, owner } of others(entry, canonical, index)) {
        if (++compared > maximumCompared) break
        const clash = conflict(spec.bounds, other.bounds)
        // A spec that leaves nothing by itself is told of where it stands.
        if (clash === undefined || conflict(other.bounds, other.bounds) !== undefined) continue
        if (conflict(spec.bounds, spec.bounds) !== undefined) break
        const both = spec.pattern === other.pattern ? [spec.pattern] : [spec.pattern, other.pattern]
        if (reachable(both, listsOf(entry), survey.meet) !== true || isDenied(entry, both)) continue
        yield {
          code: "unsatisfiable",
          path: spec.path,
          message: `${spec.name} must be ${clash.left} by ${entry.id} and ${clash.right} by ${owner.id} (${showPath(other.path)}${where(survey.set.locate(owner.id, other.path))}), which nothing is`,
          hint: `every request for ${both.map(quoted).join(" and ")} that has it is refused: change one of the two`
        }
      }
    }
  }
}

/** What one spec says wrong by itself. */
const alone = function* ({ bounds, canonical, name, path }: PlacedSpec): Iterable<Warning> {
  const clash = conflict(bounds, bounds)
  if (bounds.allowed_values?.length === 0)
    yield {
      code: "unsatisfiable",
      path,
      message: `the list of ${name} is empty, so that no value is allowed`,
      hint: "list a value, or leave the parameter out"
    }
  else if (clash !== undefined)
    yield {
      code: "unsatisfiable",
      path,
      message: `${name} must be ${clash.left} and ${clash.right}, which nothing is`,
      hint: "change one of the two"
    }
  if (outputTokenCaps.includes(canonical) && highest(bounds) < 1)
    yield {
      code: "unsatisfiable",
      path,
      message: `${name} of at most ${highest(bounds)} leaves no room for an answer: every request is refused`,
      hint: `to refuse altogether use "denied_resources"`
    }
  const list = bounds.allowed_values
  for (const [from, to] of Object.entries(bounds.downgrade ?? {}))
    if (list !== undefined && (isGlob(to) || !list.includes(to)))
      yield {
        code: "downgrade_not_allowed",
        path: [...path, "downgrade", from],
        message: `${quoted(to)} takes no model's place: it is not on the list ${showValue(list)}`,
        hint: "name a literal of the list"
      }
}

/** The specs of the same parameter that hold together with the one at `index`. */
const others = function* (
  entry: Entry,
  canonical: string,
  index: number
): Iterable<{ readonly owner: Entry; readonly other: PlacedSpec }> {
  for (const [at, other] of (entry.specs.get(canonical) ?? []).entries()) {
    if (at === index) break
    yield { owner: entry, other }
  }
  for (const owner of entry.ancestors) for (const other of owner.specs.get(canonical) ?? []) yield { owner, other }
}

const isDenied = (entry: Entry, both: ReadonlyArray<string>): boolean =>
  [entry, ...entry.ancestors].some(({ denies }) => both.some(denies))

const where = (place: Place): string => (place.line === 0 ? "" : `, ${showPlace(place)}`)

// ---------------------------------------------------------------------------------------------------------------------
// Ids, lists and effect
// ---------------------------------------------------------------------------------------------------------------------

const scopes = ["company", "bu", "team", "role", "group", "user", "app", "agent"]

const id: Check = function* ({ id }, survey) {
  const [, scope] = /^([^:]*):/u.exec(id) ?? []
  if ((scope !== undefined && scopes.includes(scope)) || survey.parents.has(id)) return
  const meant = nearest(scope ?? id, scopes)
  yield {
    code: "unknown_scope",
    path: ["policy_id"],
    message: `nothing names ${quoted(id)}: no caller or service has such an id, and no document extends it`,
    hint:
      meant === undefined
        ? `an id begins with ${scopes.map((one) => `${one}:`).join(", ")}`
        : `did you mean ${quoted(scope === undefined ? `${meant}:…` : `${meant}${id.slice(scope.length)}`)}?`
  }
}

const lists: Check = function* ({ document, specs }) {
  const { attestations = [], constraints = {}, denied_resources: denied = [], resources = [] } = document
  yield* repeated(resources, ["resources"])
  yield* repeated(denied, ["denied_resources"])
  yield* sameButForCase(denied, ["denied_resources"])
  if (Array.isArray(attestations)) yield* repeated(attestations, ["attestations"])
  for (const placed of specs.values())
    for (const { bounds, listPath } of placed) yield* repeated(bounds.allowed_values ?? [], listPath)
  for (const [pattern, parameters] of Object.entries(constraints.denied_parameters ?? {}))
    for (const [name, forbidden] of Object.entries(parameters)) {
      const path = ["constraints", "denied_parameters", pattern, name]
      yield* repeated(forbidden, path)
      yield* sameButForCase(forbidden, path)
    }
}

/** Output rules that say nothing, or less than they seem to. */
const outputs: Check = function* ({ document }) {
  for (const [pattern, rule] of Object.entries(document.constraints?.output ?? {})) {
    const path = ["constraints", "output", pattern]
    const { denied = [], hold_back } = rule
    yield* repeated(denied, [...path, "denied"])
    if (Object.keys(rule).length === 0)
      yield { code: "no_effect", path, message: "the rule asks for nothing", hint: 'add "denied", or take it out' }
    if (denied.length === 0 && hold_back !== undefined)
      yield {
        code: "unused_constraint",
        path: [...path, "hold_back"],
        message: "nothing is denied, so that nothing is held back",
        hint: 'add "denied", or take it out'
      }
    for (const [index, text] of denied.entries())
      if (typeof text === "string" && text.length < 3 && /^[a-z0-9 ]+$/iu.test(text))
        yield {
          code: "short_denied_text",
          path: [...path, "denied", index],
          message: `${quoted(text)} stands in almost every answer, in the middle of other words`,
          hint: String.raw`write a longer text, or a pattern with its borders: {"pattern": "\\b${text}\\b"}`
        }
  }
}

const repeated = function* (list: ReadonlyArray<unknown>, path: Path): Iterable<Warning> {
  if (list.length < 2) return
  const seen = new Set<string>()
  for (const [index, value] of list.entries()) {
    const key = JSON.stringify(value)
    if (seen.has(key))
      yield {
        code: "duplicate_item",
        path: [...path, index],
        message: `${showValue(value)} is there twice`,
        hint: "keep one"
      }
    seen.add(key)
  }
}

const sameButForCase = function* (list: ReadonlyArray<unknown>, path: Path): Iterable<Warning> {
  if (list.length < 2) return
  const seen = new Map<string, string>()
  for (const [index, value] of list.entries()) {
    if (typeof value !== "string") continue
    const folded = value.toLowerCase()
    const before = seen.get(folded)
    if (before !== undefined && before !== value)
      yield {
        code: "case_duplicate",
        path: [...path, index],
        message: `${quoted(value)} and ${quoted(before)} differ in case only, and any third way to write it passes`,
        hint: "case counts: a list of spellings is no protection; allow what is wanted instead"
      }
    seen.set(folded, before ?? value)
  }
}

const effect: Check = function* ({ document }) {
  const { attestations, constraints = {}, denied_resources: denied = [], resources = [], validity } = document
  const binds =
    document.extends !== undefined ||
    resources.length > 0 ||
    denied.length > 0 ||
    Object.keys(validity ?? {}).length > 0 ||
    (attestations !== undefined && Object.values(attestations).some((needed) => needed !== false)) ||
    constraints.rate_limit !== undefined ||
    Object.entries(constraints).some(
      ([, value]) => typeof value === "object" && value !== null && Object.keys(value).length > 0
    )
  if (!binds)
    yield {
      code: "no_effect",
      path: ["policy_id"],
      message: "the document allows nothing, denies nothing and bounds nothing",
      hint: `add "resources", or take it out`
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Attestations and validity
// ---------------------------------------------------------------------------------------------------------------------

const attestations: Check = function* (entry, survey) {
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
  { id }: Entry,
  key: string,
  needing: string,
  survey: Survey
): Pick<Warning, "message" | "hint"> => {
  const { ancestors = [], document } = survey.entry(needing) ?? {}
  const chain = [...(document === undefined ? [] : [document]), ...ancestors.map((ancestor) => ancestor.document)]
  const nearer = chain.find((holder) => metadataOf(holder, key)?.approval_criteria !== undefined)?.policy_id
  return nearer !== undefined && chain.some(({ policy_id: extended }) => extended === id)
    ? {
        message: `${nearer} says who gives ${quoted(key)} for ${needing}, and is nearer to it`,
        hint: `take it out here, or in ${nearer}`
      }
    : {
        message: `this says nothing of who gives ${quoted(key)} for ${needing}, which needs it: only ${needing} itself and what it extends can`,
        hint: `move it to ${needing}, or to a document that it extends`
      }
}

/** A chat that says nothing of what a condition asks about. */
const bystander = {
  params: { model: "", messages: [] },
  principal: { ...app(""), kind: "user" as const }
}

const conditions: Check = function* ({ ancestors, needs, resources }, survey) {
  // Where one resource alone is allowed, there is no other operation to be surprised.
  if ([resources, ...ancestors.map((ancestor) => ancestor.resources)].some(isOneResource)) return
  for (const { condition, key, path, resources: scope, when = "" } of needs) {
    if (condition === undefined || condition.truth(bystander) !== undefined) continue
    // What names the operations that it is about asks nothing of others.
    if (scope !== undefined && !scope.some((pattern) => reachesOperation(pattern, survey))) continue
    const absent = condition.absent(bystander)
    yield {
      code: "undecided_condition",
      path,
      message: `${quoted(key)} is needed of every request without ${absent.length === 0 ? "the parameter" : absent.join(" and ")}, a chat among them: what is not there cannot be compared`,
      hint: `say for which resources it is needed: ${JSON.stringify({ key, when: when.slice(0, 60), resources: ["tool:<app>/<name>"] })}`
    }
  }
}

/** Whether a pattern matches an operation of the API, of one app at least. */
const reachesOperation = (pattern: string, { meet }: Survey): boolean =>
  Object.keys(operations).some((name) => meet([pattern, `tool:*/${name}`]) === true)

const isOneResource = (list: ReadonlyArray<string>): boolean => list.length === 1 && !isGlob(list[0] ?? "*")

const validity: Check = function* ({ document: { validity = {} } }, _, now) {
  const { not_after: until, not_before: from } = validity
  const begins = from === undefined ? -Infinity : (instant(from, "first") ?? -Infinity)
  const ends = until === undefined ? Infinity : (instant(until, "last") ?? Infinity)
  if (begins > ends)
    yield {
      code: "validity_empty",
      path: ["validity"],
      message: `not_before ${from} is after not_after ${until}: the document never applies, and refuses whom it is for`,
      hint: "exchange the two"
    }
  else if (ends < now)
    yield {
      code: "validity_over",
      path: ["validity", "not_after"],
      message: `the document ended with ${until}, and refuses everything to those for whom it takes part`,
      hint: "take it out, or move the end"
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Models
// ---------------------------------------------------------------------------------------------------------------------

const asksForModel = ({ allowed_values: list, required }: Bounds): boolean => required ?? list !== undefined

/** Requests that name no model, or let a gateway choose one, where something is said of models. */
const models: Check = function* (entry, survey) {
  const { ancestors, document, specs } = entry
  const reaches = (pattern: string): boolean => reachesOperation(pattern, survey)
  const own = (specs.get("model") ?? []).filter(({ pattern }) => reaches(pattern))
  const chain = [entry, ...ancestors].flatMap((one) => one.specs.get("model") ?? [])
  if (!chain.some(({ bounds }) => asksForModel(bounds))) {
    const denying = Object.entries(document.constraints?.denied_parameters ?? {})
      .filter(([pattern, parameters]) => "model" in parameters && reaches(pattern))
      .map(([pattern]) => ({ path: ["constraints", "denied_parameters", pattern, "model"], what: "a denied model" }))
    const matching = own
      .filter(({ bounds }) => bounds.pattern !== undefined && bounds.required === undefined)
      .map(({ path }) => ({ path: [...path, "pattern"], what: "a pattern" }))
    for (const { path, what } of [...denying, ...matching])
      yield {
        code: "model_not_required",
        path,
        message: `${what} says nothing of a request without a model: then the provider, or a stored prompt, chooses one`,
        hint: `add "model": {"required": true} to the parameters, or list the models that are allowed`
      }
  }
  const lists = own.filter(({ bounds }) => bounds.allowed_values !== undefined)
  for (const { bounds, path } of lists)
    if (bounds.required === false)
      yield {
        code: "model_left_open",
        path: [...path, "required"],
        message: `a request without a model is let through, and the provider or a stored prompt chooses: the list judges only the answer, which is made and paid for by then`,
        hint: `take out "required": false, so that every request names a model of the list`
      }
  if (lists.length > 0)
    for (const name of modelChoosers)
      for (const { path, pattern } of specs.get(name) ?? [])
        if (reaches(pattern))
          yield {
            code: "model_left_open",
            path,
            message: `${quoted(name)} lets a gateway choose another model or place: the list judges only the answer, which is made and paid for by then`,
            hint: `take it out, so that a request with ${quoted(name)} is refused`
          }
}

// ---------------------------------------------------------------------------------------------------------------------
// Ways to a model
// ---------------------------------------------------------------------------------------------------------------------

/** A way to a model besides the chats: its resource, and whether it is open to users without being among their resources. */
interface Way {
  readonly resource: string
  readonly names: ReadonlyArray<string>
  readonly isOpen: boolean
}

const completions = `tool:*/${operations.complete.name}`

const ways: ReadonlyArray<Way> = [
  { resource: completions, names: [completions], isOpen: false },
  ...waysToModels.map(({ family, isOpen }): Way => {
    const resource = familyResource("*", family)
    const otherName = otherNameOf(resource)
    return { resource, names: otherName === undefined ? [resource] : [resource, otherName], isOpen }
  })
]

/** Documents of these scopes hold for many callers; any other binds one caller, or those that extend it. */
const shared = /^(?:company|bu|team|role|group|app):/u

/**
 * Models are limited for chats, and something else that reaches any model is open: by the specification, which is told where
 * the set limits models first, or by a document's own resources, which is told there.
 */
const makeModelsOpen = (survey: Survey): Check => {
  const closed = new Set<Way>()
  for (const id of survey.set.ids()) {
    if (!shared.test(id)) continue
    const entry = survey.entry(id)
    if (entry !== undefined) for (const way of ways) if (closes(entry, way, survey)) closed.add(way)
  }
  const told = new Set<Way>()
  return function* (entry) {
    const chain = [entry, ...entry.ancestors]
    if (!chain.some((one) => limitOf(one, survey) !== undefined)) return
    const open = ways.filter((way) => !closed.has(way) && !chain.some((one) => closes(one, way, survey)))
    const limit = limitOf(entry, survey)
    const byAll = open.filter((way) => way.isOpen && !told.has(way))
    if (limit !== undefined && byAll.length > 0) {
      for (const way of byAll) told.add(way)
      yield stillOpen(limit.path, byAll, "")
    }
    const own = open.filter((way) => !way.isOpen && isOpened(entry, way, survey))
    if (own.length === 0) return
    const index = entry.resources.findIndex((pattern) => own.some((way) => meets(pattern, way, survey)))
    const path = index === -1 ? limit?.path : ["resources", index]
    if (path !== undefined) yield stillOpen(path, own, ", which the resources allow,")
  }
}

const stillOpen = (path: Path, open: ReadonlyArray<Way>, why: string): Warning => {
  const resources = open.map(({ resource }) => resource)
  return {
    code: "models_open",
    path,
    message: `models are limited for chats, but ${resources.join(", ")}${why} can still reach any model`,
    hint: `deny ${resources.length === 1 ? "it" : "them"}: "denied_resources": ${JSON.stringify(resources)}${resources.includes(completions) ? `; or limit "model" for ${completions} too` : ""}`
  }
}

/** The spec by which a document limits the models of chats. */
const limitOf = ({ specs }: Entry, { meet }: Survey): PlacedSpec | undefined =>
  specs
    .get("model")
    ?.find(
      ({ bounds, pattern }) =>
        bounds.allowed_values !== undefined && meet([pattern, `tool:*/${operations.generate.name}`]) === true
    )

/** Whether a document closes a way, of one app at least: it denies it, or limits its models. */
const closes = ({ denied, specs }: Entry, way: Way, survey: Survey): boolean =>
  denied.some((pattern) => meets(pattern, way, survey)) ||
  (way.resource === completions &&
    (specs.get("model") ?? []).some(({ pattern }) => survey.meet([pattern, completions]) !== false))

/** Whether the resources of a document, and of those that it extends, allow a way. */
const isOpened = (entry: Entry, { resource }: Way, survey: Survey): boolean => {
  const lists = listsOf(entry)
  return lists.length > 0 && reachable([resource], lists, survey.meet) === true
}

/** Whether a pattern matches a way, of one app at least. One that matches anywhere must do so whatever the app's name. */
const meets = (pattern: string, { names }: Way, { meet }: Survey): boolean =>
  names.some((name) =>
    isAnywhere(pattern) ? resourcePattern(pattern)(name.replace("*", "")) : meet([pattern, name]) !== false
  )

const checks: ReadonlyArray<Check> = [
  id,
  olderForms,
  patterns,
  bounds,
  lists,
  outputs,
  effect,
  attestations,
  conditions,
  validity,
  models
]
