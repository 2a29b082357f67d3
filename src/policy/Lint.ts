/**
 * Advice on policies that load: what matches nothing, can never be allowed, or does not do what its author probably means.
 * It only warns, and rather says nothing than raise a false alarm.
 *
 * @since 0.2.0
 */
import * as Result from "effect/Result"
import { passedFamilies, waysToModels } from "../call/Families.ts"
import { editDistance } from "../base/Nearest.ts"
import {
  familyResource,
  isOperation,
  modelChoosers,
  type OperationName,
  operations,
  otherNameOf,
  outputTokenCaps
} from "../call/Operation.ts"
import { app } from "../call/Principal.ts"
import { boundsOf, conflict, highest } from "./Conflict.ts"
import { type Diagnostic, type Place, showPlace } from "./Diagnostic.ts"
import { nearest, showPath, showValue } from "./Fault.ts"
import { isKnown, isSlip, meantBy, operationsWith } from "./KnownParameters.ts"
import { looser, type Said } from "./Looseness.ts"
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
import { covers, isAnywhere, overlap, reachable } from "./Overlap.ts"
import { parameter } from "./Parameter.ts"
import { isGlob, resourcePattern, valueGlob } from "./Pattern.ts"
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
  | "unknown_parameter"
  | "unknown_model"
  | "looser_than_parent"
  | "case_differs"
  | "operation_misspelt"
  | "rate_limit_per_process"

/** The models that are known by name, for advice on lists of models; `asOf` is the day of that knowledge (`2026-11-17`). */
export interface KnownModels {
  readonly asOf: string
  readonly names: ReadonlyArray<string>
  /** Whether a name is known, dated and fine-tuned ones included. */
  readonly knows: (name: string) => boolean
}

/** What advice is asked about: these documents alone, and of their constraints those that a resource has. */
export interface About {
  readonly ids: ReadonlyArray<string>
  readonly resource: string
}

/**
 * Every warning and note about a set, in the order of its documents, at the time `now` (milliseconds since 1970), which tells
 * whether a validity is over. Without `models` nothing is said of models that are not known.
 */
export const lint = (
  set: PolicySet,
  now: number,
  { about, models }: { readonly about?: About | undefined; readonly models?: KnownModels | undefined } = {}
): ReadonlyArray<Diagnostic> => {
  const survey = new Survey(set)
  const all = [
    ...checks,
    makeModelsOpen(survey),
    ...(models === undefined ? [] : [makeUnknownModels(models)]),
    ...(about === undefined ? [makeRateLimits()] : [])
  ]
  const isAbout = about === undefined ? () => true : concerns(resourcePatternsOf(about.resource))
  return [...(about?.ids ?? set.ids())].flatMap((id) => {
    const entry = survey.entry(id)
    if (entry === undefined) return []
    const warnings = all.flatMap((check) => [...check(entry, survey, now)]).filter(isAbout)
    if (warnings.length === 0) return []
    return warnings
      .map(({ code, hint, message, path, severity }): Diagnostic => {
        const place = set.locate(id, path)
        return { severity: severity ?? "warning", code, message, path: showPath(path), policy: id, hint, place }
      })
      .sort((a, b) => a.place.line - b.place.line || a.place.column - b.place.column)
  })
}

/** Which patterns match a resource, under any of its names. */
const resourcePatternsOf = (resource: string): ((pattern: string) => boolean) => {
  const names = [resource, otherNameOf(resource)].filter((name) => name !== undefined)
  return (pattern) => names.some(resourcePattern(pattern))
}

/** What a pattern says that does not match, though it was to. */
const misses: ReadonlySet<LintCode> = new Set([
  "matches_nothing",
  "case_differs",
  "unknown_resource_type",
  "llm_name",
  "operation_misspelt"
])

/** Whether a warning is of something that a resource has: constraints of other resources are not. */
const concerns =
  (matches: (pattern: string) => boolean) =>
  ({ code, path: [root, place, pattern] }: Warning): boolean => {
    // Ways around the resource are no matter of a request for it.
    if (code === "models_open") return false
    if (root !== "constraints" || place === "attestations" || misses.has(code)) return true
    const key = typeof place === "string" && isResourceKey(place) ? place : pattern
    return typeof key !== "string" || matches(key)
  }

type Path = ReadonlyArray<string | number>

interface Warning {
  readonly severity?: "note"
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

/** A name, and what it is a name of. */
interface Named {
  readonly kind: "id" | "app" | "name" | "family"
  readonly name: string
}

/** How a name is spelled, and by whom. */
interface Spelling {
  readonly name: string
  readonly where: string
}

/** The names in a resource pattern that are spelled out: of an app, of a tool or operation, of a family. */
const namesOf = (pattern: string): ReadonlyArray<Named> => {
  const [, type, app = "", below = ""] = /^(tool|api):([^/]*)\/(.*)$/su.exec(pattern) ?? []
  const last = below.slice(below.lastIndexOf("/") + 1)
  return [
    { kind: "app" as const, name: app },
    { kind: type === "api" ? ("family" as const) : ("name" as const), name: last }
  ].filter(({ name }) => name !== "" && !isGlob(name))
}

/** Every resource pattern of a document. */
const patternsOf = ({ attestations = [], constraints = {}, denied_resources = [], resources = [] }: Document) => [
  ...resources,
  ...denied_resources,
  ...Object.keys(constraints.parameters ?? {}),
  ...Object.keys(constraints.denied_parameters ?? {}),
  ...Object.keys(constraints.output ?? {}),
  ...Object.keys(constraints).filter(isResourceKey),
  ...attestationEntries(attestations).flatMap(([, entry]) => (typeof entry === "string" ? [] : (entry.resources ?? [])))
]

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
  /** How names are spelled, by what they are names of and their small letters. */
  readonly spellings = new Map<string, Spelling>()
  /** The documents whose metadata of a key says how a need is met: `JSON.stringify([id, key])`. */
  readonly metadataUsed = new Set<string>()

  constructor(set: PolicySet) {
    this.set = set
    for (const name of Object.keys(operations)) this.#spell({ kind: "name", name, where: "the API" })
    for (const name of familyNames) this.#spell({ kind: "family", name, where: "the API" })
    for (const id of set.ids()) {
      const document = this.find(id)
      if (document === undefined) continue
      if (document.extends !== undefined) this.parents.add(document.extends)
      this.#spell({ kind: "id", name: id, where: id })
      if (id.startsWith("app:")) this.#spell({ kind: "app", name: id.slice("app:".length), where: id })
      for (const { key } of needsOf(document)) {
        if (!this.needs.has(key)) this.needs.set(key, id)
        this.#useMetadata(document, key)
      }
    }
    // After the ids, which are what callers and apps are called by.
    for (const id of set.ids()) {
      const document = this.find(id)
      for (const pattern of document === undefined ? [] : patternsOf(document))
        for (const named of namesOf(pattern)) this.#spell({ ...named, where: id })
    }
  }

  /** The first spelling of a name, and where it stands. */
  spelling({ kind, name }: Named): Spelling | undefined {
    return this.spellings.get(`${kind} ${name.toLowerCase()}`)
  }

  #spell({ kind, name, where }: Named & Pick<Spelling, "where">): void {
    const key = `${kind} ${name.toLowerCase()}`
    if (!this.spellings.has(key) && this.spellings.size < maximumRemembered) this.spellings.set(key, { name, where })
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

/** The families whose names the library knows. */
const familyNames: ReadonlyArray<string> = [
  ...new Set([...passedFamilies, ...waysToModels.map(({ family }) => family)])
]

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

// ---------------------------------------------------------------------------------------------------------------------
// Parameters
// ---------------------------------------------------------------------------------------------------------------------

/** The operation that every resource of a pattern is; `undefined` where some are tools, or of several. */
const onlyOperation = (pattern: string): OperationName | undefined => {
  const last = pattern.slice(pattern.lastIndexOf("/") + 1)
  return !isAnywhere(pattern) && pattern.includes("/") && isOperation(last) && scheme.exec(pattern)?.[1] !== "api"
    ? last
    : undefined
}

/** The operations that a document lets a pattern reach, and whether it reaches tools as well. */
const reachedBy = (
  pattern: string,
  entry: Entry,
  survey: Survey
): { readonly names: ReadonlyArray<OperationName>; readonly tools: boolean } => {
  const only = onlyOperation(pattern)
  if (only !== undefined) return { names: [only], tools: false }
  const names = Object.values(operations)
    .map(({ name }) => name)
    .filter((name) => survey.meet([pattern, `tool:*/${name}`]) === true)
  // Where a list of resources names operations alone, no pattern reaches more.
  const listed = listsOf(entry)
    .map((list) => list.map(onlyOperation))
    .find((list) => list.every((name) => name !== undefined))
  return listed === undefined
    ? { names, tools: true }
    : { names: names.filter((name) => listed.includes(name)), tools: false }
}

/** How many characters a name has at least that is taken for a slip: beside the API's own parameters, and beside any. */
const tellingLength = { alone: 6, besideTools: 8 }

/** Parameters that no request can have. */
const parameters: Check = function* (entry, survey) {
  const { document, needs, specs } = entry
  for (const placed of specs.values())
    for (const { name, path, pattern } of placed) yield* unknownParameter(name, path, [pattern], entry, survey)
  for (const [pattern, denied] of Object.entries(document.constraints?.denied_parameters ?? {}))
    for (const name of Object.keys(denied))
      yield* unknownParameter(name, ["constraints", "denied_parameters", pattern, name], [pattern], entry, survey)
  for (const { condition, path, resources = ["**"] } of needs)
    for (const name of condition?.parameters ?? []) yield* unknownParameter(name, path, resources, entry, survey)
}

const unknownParameter = function* (
  name: string,
  path: Path,
  patterns: ReadonlyArray<string>,
  entry: Entry,
  survey: Survey
): Iterable<Warning> {
  const reached = patterns.map((pattern) => reachedBy(pattern, entry, survey))
  const names = [...new Set(reached.flatMap((one) => one.names))]
  if (names.length === 0 || names.some((one) => isKnown(name, one))) return
  const besideTools = reached.some(({ tools }) => tools)
  const meant = names.map((one) => meantBy(name, one)).find((one) => one !== undefined)
  const slip = meant !== undefined && isSlip(name, meant, tellingLength[besideTools ? "besideTools" : "alone"])
  if (besideTools && !slip) return
  const elsewhere = operationsWith(name)
  const of = names.map((one) => operations[one].telemetry.replace("_", " ")).join(" or ")
  yield {
    ...(!slip && elsewhere.length === 0 && { severity: "note" }),
    code: "unknown_parameter",
    path,
    message: `the API has no parameter ${quoted(name)} of a ${of}: a bound on it restricts nothing`,
    hint:
      meant !== undefined
        ? `did you mean ${quoted(meant)}?${slip ? "" : " A server of your own may know it."}`
        : elsewhere.length > 0
          ? `it belongs under ${elsewhere.map((one) => quoted(`tool:*/${one}`)).join(" or ")}`
          : "leave it, if the server that is called knows it, or if it is newer than this library"
  }
}

/** Models that the catalogue does not know: slips, and what is newer or of another provider, of which one only is told. */
const makeUnknownModels = (known: KnownModels): Check => {
  const slips = new Map<string, string | undefined>()
  const slipOf = (name: string): string | undefined => {
    if (!slips.has(name) && slips.size < maximumSlips) slips.set(name, nearModel(name, known))
    return slips.get(name)
  }
  const isKnownModel = (name: string): boolean => {
    if (!isGlob(name)) return known.knows(name)
    const matches = valueGlob(name)
    return known.names.some((one) => matches(one))
  }
  return function* ({ document, specs }, survey) {
    const lists: ReadonlyArray<readonly [Path, ReadonlyArray<readonly [Path, unknown]>]> = [
      ...(specs.get("model") ?? [])
        .filter(({ pattern }) => reachesOperation(pattern, survey))
        .map(({ bounds: { allowed_values: list = [], downgrade = {} }, listPath, path }) => {
          const values = list.map((value, index) => [[...listPath, index], value] as const)
          const targets = Object.entries(downgrade).flatMap(([from, to]) => [
            ...(from === "*" ? [] : [[[...path, "downgrade", from], from] as const]),
            ...(list.includes(to) ? [] : [[[...path, "downgrade", from], to] as const])
          ])
          return [path, [...values, ...targets]] as const
        }),
      ...Object.entries(document.constraints?.denied_parameters ?? {})
        .filter(([pattern, denied]) => denied["model"] !== undefined && reachesOperation(pattern, survey))
        .map(([pattern, { model = [] }]) => {
          const path = ["constraints", "denied_parameters", pattern, "model"]
          return [path, model.map((value, index) => [[...path, index], value] as const)] as const
        })
    ]
    for (const [path, values] of lists) {
      const strange: Array<string> = []
      for (const [at, name] of values) {
        if (typeof name !== "string" || isKnownModel(name)) continue
        const meant = slipOf(name)
        if (meant === undefined) strange.push(name)
        else
          yield {
            code: "unknown_model",
            path: at,
            message: `no model is called ${quoted(name)} in the catalogue of ${known.asOf}`,
            hint: `did you mean ${quoted(meant)}?`
          }
      }
      if (strange.length > 0)
        yield {
          severity: "note",
          code: "unknown_model",
          path,
          message: `the catalogue of ${known.asOf} does not know ${showValue(strange)}`,
          hint: "leave it, if the model is newer, of another provider or a deployment of your own: no model takes its place by rank"
        }
    }
  }
}

/** For so many names a near one is looked for. */
const maximumSlips = 1000

/** The known model that was meant: other digits make another model, and so does a part more (`gpt-4o-eu` of `gpt-4o`). */
const nearModel = (name: string, { names }: KnownModels): string | undefined => {
  const star = name.indexOf("*")
  const own = star === -1 ? name : name.slice(0, star)
  const among = star === -1 ? names : [...new Set(names.map((one) => one.slice(0, own.length)))]
  const digits = (text: string): string => text.replaceAll(/\D/gu, "")
  const [best] = among
    .filter((one) => digits(one) === digits(own) && !one.startsWith(`${own}-`) && !own.startsWith(`${one}-`))
    .map((one) => ({ one, distance: editDistance(own.toLowerCase(), one.toLowerCase()) }))
    .filter(({ distance }) => distance <= 2)
    .sort((a, b) => a.distance - b.distance)
  return best === undefined || own.length < tellingLength.alone - 1 ? undefined : best.one + name.slice(own.length)
}

// ---------------------------------------------------------------------------------------------------------------------
// What a child only seems to loosen
// ---------------------------------------------------------------------------------------------------------------------

const standing = (place: Place): string => (place.line === 0 ? "" : ` (${showPlace(place)})`)

const saidBy = ({ bounds, canonical }: PlacedSpec, { document }: Entry): Said => ({
  bounds,
  denies: (bounds.on_violation ?? document.on_violation) === "deny",
  asks: canonical === "model" ? asksForModel(bounds) : bounds.required === true
})

const looseBounds: Check = function* (entry, survey) {
  const { ancestors, document, needs, specs } = entry
  if (ancestors.length === 0) return
  const loose = (path: Path, what: string, says: string, owner: Entry, parent: string): Warning => ({
    code: "looser_than_parent",
    path,
    message: `${what} ${says} never holds: ${owner.id} says ${parent}, and a child only narrows`,
    hint: `take it out, or change ${owner.id}`
  })
  for (const placed of specs.values()) {
    let compared = 0
    for (const spec of placed) {
      const told = new Set<string>()
      for (const owner of ancestors)
        for (const other of owner.specs.get(spec.canonical) ?? []) {
          if (++compared > maximumCompared) break
          if (!covers(other.pattern, spec.pattern) || conflict(spec.bounds, other.bounds) !== undefined) continue
          for (const { parent, path, says } of looser(saidBy(spec, entry), saidBy(other, owner))) {
            if (told.has(path.join())) continue
            told.add(path.join())
            const [field, ...below] = path
            const at = field === "allowed_values" ? [...spec.listPath, ...below] : [...spec.path, ...path]
            yield loose(at, spec.name, says, owner, `${parent}${standing(survey.set.locate(owner.id, other.path))}`)
          }
        }
    }
  }
  const rate = document.constraints?.rate_limit
  const slower = ancestors.find(({ document: { constraints } }) => (constraints?.rate_limit ?? Infinity) < (rate ?? 0))
  if (rate !== undefined && slower !== undefined)
    yield loose(
      ["constraints", "rate_limit"],
      "a rate of",
      `${rate} calls a minute`,
      slower,
      `${slower.document.constraints?.rate_limit}`
    )
  yield* looseValidity(entry, loose)
  for (const [pattern, rule] of Object.entries(document.constraints?.output ?? {}))
    for (const owner of ancestors)
      for (const [wide, other] of Object.entries(owner.document.constraints?.output ?? {})) {
        if (!covers(wide, pattern)) continue
        const path = ["constraints", "output", pattern]
        if ((rule.max_characters ?? 0) > (other.max_characters ?? Infinity))
          yield loose(
            [...path, "max_characters"],
            "a length of",
            `${rule.max_characters} characters`,
            owner,
            `at most ${other.max_characters}`
          )
        if (rule.on_response === "record" && other.on_response === "deny")
          yield loose([...path, "on_response"], "on_response", `"record"`, owner, `"deny"`)
      }
  for (const { key, path, resources, when } of needs) {
    if (resources === undefined && when === undefined) continue
    const owner = ancestors.find((ancestor) =>
      ancestor.needs.some(
        (need) =>
          need.key === key &&
          need.when === undefined &&
          (need.resources === undefined ||
            resources?.every((pattern) => need.resources?.some((wide) => covers(wide, pattern))))
      )
    )
    if (owner !== undefined)
      yield loose(path, `that ${key} is needed`, "only here", owner, "that it is always needed of these resources")
  }
}

const looseValidity = function* (
  { ancestors, document }: Entry,
  loose: (path: Path, what: string, says: string, owner: Entry, parent: string) => Warning
): Iterable<Warning> {
  for (const [field, day, sign] of [
    ["not_before", "first", -1],
    ["not_after", "last", 1]
  ] as const) {
    const written = document.validity?.[field]
    const own = written === undefined ? undefined : instant(written, day)
    if (own === undefined) continue
    const owner = ancestors.find((ancestor) => {
      const other = ancestor.document.validity?.[field]
      const at = other === undefined ? undefined : instant(other, day)
      return at !== undefined && (own - at) * sign > 0
    })
    if (owner !== undefined)
      yield loose(["validity", field], field, `${written}`, owner, `${owner.document.validity?.[field]}`)
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Case
// ---------------------------------------------------------------------------------------------------------------------

/** Names that differ from a document's, or from the API's, in case only. */
const spelling: Check = function* (entry, survey) {
  const { denied, document, id, keys, needs, resources } = entry
  const first = survey.spelling({ kind: "id", name: id })
  if (first !== undefined && first.name !== id)
    yield {
      code: "case_differs",
      path: ["policy_id"],
      message: `${quoted(id)} and ${quoted(first.name)} differ in case only, and a caller has one of the two ids`,
      hint: "case counts: write it as the token or the app does, and keep one"
    }
  const listed = new Set(resources.map((resource) => resource.toLowerCase()))
  const placed = [
    ...resources.map((pattern, index) => ({ pattern, path: ["resources", index] })),
    // What differs from a resource of the same document is told where the two are compared.
    ...denied.flatMap((pattern, index) =>
      listed.has(pattern.toLowerCase()) ? [] : [{ pattern, path: ["denied_resources", index] }]
    ),
    ...keys
  ]
  for (const { path, pattern } of placed)
    for (const named of namesOf(pattern)) {
      const usual = survey.spelling(named)
      if (usual === undefined || usual.name === named.name) continue
      yield {
        code: "case_differs",
        path,
        message: `${quoted(pattern)} says ${quoted(named.name)} where ${usual.where} says ${quoted(usual.name)}, and matches only what is spelled its way`,
        hint: `case counts: did you mean ${quoted(respelled(pattern, named, usual.name))}?`
      }
    }
  const roles = needs.flatMap(({ path, when = "" }) =>
    [...when.matchAll(/\bprincipal\.has_(role|group)\(\s*'([^'\\]*)'/gu)].map(([, kind, name]) => ({
      path,
      name: `${kind}:${name}`
    }))
  )
  const approvers = Object.entries(document.constraints?.attestations ?? {}).flatMap(([key, metadata]) =>
    metadata.approval_criteria === undefined
      ? []
      : [{ path: ["constraints", "attestations", key, "approval_criteria"], name: metadata.approval_criteria }]
  )
  for (const { name, path } of [...roles, ...approvers]) {
    const usual = survey.spelling({ kind: "id", name })
    if (usual !== undefined && !survey.set.has(name))
      yield {
        code: "case_differs",
        path,
        message: `${quoted(name)} differs from the document ${quoted(usual.name)} in case only`,
        hint: `case counts: did you mean ${quoted(usual.name)}?`
      }
  }
}

/** Names of tools that are a slip away from an operation's. A tool may have any name, so these are notes. */
const misspeltOperations: Check = function* ({ denied, keys, resources }) {
  const placed = [
    ...resources.map((pattern, index) => ({ pattern, path: ["resources", index] })),
    ...denied.map((pattern, index) => ({ pattern, path: ["denied_resources", index] })),
    ...keys
  ]
  for (const { path, pattern } of placed)
    for (const named of namesOf(pattern)) {
      const meant = named.kind === "name" ? nearOperation(named.name.toLowerCase()) : undefined
      if (meant === undefined) continue
      yield {
        severity: "note",
        code: "operation_misspelt",
        path,
        message: `${quoted(pattern)} names a tool ${quoted(named.name)}, and the operation of the API is ${quoted(meant)}`,
        hint: `did you mean ${quoted(respelled(pattern, named, meant))}?`
      }
    }
}

/** The operation that a name is one letter away from, or two neighbours that changed places; undefined for its own name. */
const nearOperation = (name: string): string | undefined =>
  isOperation(name)
    ? undefined
    : Object.keys(operations).find((operation) => {
        const distance = editDistance(name, operation)
        return distance <= 1 || (distance === 2 && sortedLetters(name) === sortedLetters(operation))
      })

const sortedLetters = (text: string): string => [...text].sort().join("")

/** A pattern with a name in it spelled otherwise. */
const respelled = (pattern: string, { kind, name }: Named, as: string): string => {
  const at = kind === "app" ? pattern.indexOf(":") + 1 : pattern.length - name.length
  return pattern.slice(0, at) + as + pattern.slice(at + name.length)
}

/** An id that a caller or service has, and the document's that differs from it in case only. */
export interface Lookalike {
  readonly id: string
  readonly document: string
}

/** Of ids without a document, those that have one but for their case. */
export const lookalikes = (set: PolicySet, ids: ReadonlyArray<string>): ReadonlyArray<Lookalike> => {
  const missing = new Map(ids.filter((id) => !set.has(id)).map((id) => [id.toLowerCase(), id]))
  if (missing.size === 0) return []
  return [...set.ids()].flatMap((document) => {
    const id = missing.get(document.toLowerCase())
    return id === undefined ? [] : [{ id, document }]
  })
}

// ---------------------------------------------------------------------------------------------------------------------
// Rate limits
// ---------------------------------------------------------------------------------------------------------------------

/** That limits hold for each process, once a set. */
const makeRateLimits = (): Check => {
  let isTold = false
  return function* ({ document }) {
    if (isTold || document.constraints?.rate_limit === undefined) return
    isTold = true
    yield {
      severity: "note",
      code: "rate_limit_per_process",
      path: ["constraints", "rate_limit"],
      message: "calls are counted in the log of each process: several processes allow as many times as much",
      hint: "divide the limit by the number of processes, or enforce it at a gateway as well"
    }
  }
}

const checks: ReadonlyArray<Check> = [
  id,
  spelling,
  misspeltOperations,
  olderForms,
  patterns,
  bounds,
  looseBounds,
  parameters,
  lists,
  outputs,
  effect,
  attestations,
  conditions,
  validity,
  models
]
