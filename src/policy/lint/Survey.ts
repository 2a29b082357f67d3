/**
 * The set as the linter reads it: each document taken apart, with what it extends, and what is known of the set as a whole.
 */
import * as Result from "effect/Result"
import { operations } from "../../call/Operation.ts"
import { boundsOf } from "../mapl/Bounds.ts"
import { type Document, isResourceKey } from "../Mapl.ts"
import { attestationEntries, type AttestationNeed, parseAttestation } from "../mapl/Attestation.ts"
import type { Bounds, Spec } from "../mapl/Bounds.ts"
import { overlap } from "./Overlap.ts"
import { parameter } from "../Parameter.ts"
import { isGlob, resourcePattern } from "../Pattern.ts"
import type { PolicySet } from "../PolicySet.ts"
import { idle } from "./IdlePattern.ts"
import { familyNames, type Named, namesOf, patternsOf, type Spelling } from "./Named.ts"
import type { Path, Warning } from "./Warning.ts"

/** Looks at one document at a time `now` (milliseconds since 1970), and gives a warning for each thing that it finds. */
export type Check = (entry: SurveyedDocument, survey: Survey, now: number) => Iterable<Warning>

/** How many ancestors of a document are read: far more than any real policy has. */
const maximumChain = 64

/** How many specs of one parameter are compared: far more than any real policy has. */
export const maximumCompared = 10_000

/** A parameter's spec where it stands; `canonical` is one name for all spellings of the parameter. */
export interface PlacedSpec {
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
export interface SurveyedDocument {
  readonly id: string
  readonly document: Document
  readonly ancestors: ReadonlyArray<SurveyedDocument>
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
export class Survey {
  readonly set: PolicySet
  readonly #documents = new Map<string, Document>()
  readonly #chains = new Map<string, ReadonlyArray<SurveyedDocument>>()
  readonly #met = new Map<string, boolean | undefined>()
  readonly #idle = new Map<string, Omit<Warning, "path"> | undefined>()
  readonly parents = new Set<string>()
  /** By key, the first document that needs an attestation. */
  readonly needs = new Map<string, string>()
  /** How names are spelled, by what they are names of and their small letters. */
  readonly spellings = new Map<string, Spelling>()
  /** The documents whose metadata decides how a need for a key is met: `JSON.stringify([id, key])`. */
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

  /** A document, kept: a set may parse it each time. */
  find(id: string): Document | undefined {
    const kept = this.#documents.get(id)
    if (kept !== undefined) return kept
    const document = this.set.find(id)
    if (document !== undefined && this.#documents.size < maximumRemembered) this.#documents.set(id, document)
    return document
  }

  entry(id: string): SurveyedDocument | undefined {
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

  /** The nearest document that names an approver decides how a need of `document` is met. */
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
  #chain(id: string | undefined): ReadonlyArray<SurveyedDocument> {
    const above: Array<Document> = []
    let kept: ReadonlyArray<SurveyedDocument> | undefined
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

/** How many documents and results are kept during one run. */
const maximumRemembered = 200_000

const takeApart = (document: Document, ancestors: ReadonlyArray<SurveyedDocument>): SurveyedDocument => {
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

/** A document's metadata of an attestation; `undefined` where it has none. */
export const metadataOf = ({ constraints }: Document, key: string) => {
  const all = constraints?.attestations
  return all !== undefined && Object.hasOwn(all, key) ? all[key] : undefined
}

/** The lists of resources that a document and what it extends have; each must let a resource through. */
export const listsOf = ({ ancestors, resources }: SurveyedDocument): ReadonlyArray<ReadonlyArray<string>> =>
  [resources, ...ancestors.map((ancestor) => ancestor.resources)].filter((list) => list.length > 0)
