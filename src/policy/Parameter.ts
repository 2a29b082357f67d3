/**
 * What a parameter's name reaches in a request: dotted paths, `[]` for every element, and every spelling of the same thing
 * (mapl §3).
 *
 * @since 0.1.0
 */
import { LRUCache } from "lru-cache"
import type { Json, JsonObject } from "../CanonicalJson.ts"
import { aliases, type Operation } from "../Operation.ts"

/**
 * A parameter that a policy names. `name` is the policy's spelling; parameters with the same `canonical` are one thing.
 * `members` are the members of the request that it is, where it reaches no deeper.
 */
export interface Parameter {
  readonly name: string
  readonly canonical: string
  readonly places: ReadonlyArray<Place>
  readonly members: ReadonlyArray<string> | undefined
}

/** A value in a request; `path` leads to it: `max_tokens`, `tools[0].function.name`. */
export interface Found {
  readonly path: string
  readonly value: Json
}

/**
 * Everything that a parameter reaches: the values that are there, the elements of an array that lack the field, and the
 * values that stand where another shape should.
 */
export interface Reading {
  readonly found: ReadonlyArray<Found>
  readonly lacking: ReadonlyArray<Found>
  readonly misshapen: ReadonlyArray<Found & { readonly expected: "array" | "object" }>
}

/** How many parameters are kept for each operation; documents name the same ones. */
const maximumKept = 1024

const kept = new Map<Operation | undefined, LRUCache<string, Parameter>>()

/** The parameter that `name` means for an operation (none for a registered tool). */
export const parameter = (name: string, operation: Operation | undefined): Parameter => {
  const known = kept.get(operation) ?? new LRUCache<string, Parameter>({ max: maximumKept })
  kept.set(operation, known)
  const found = known.get(name)
  if (found !== undefined) return found
  const made = make(name, operation)
  known.set(name, made)
  return made
}

const make = (name: string, operation: Operation | undefined): Parameter => {
  const names = spellings(name, operation)
  const fields = new Map<string, Array<Path>>()
  for (const spelling of names) {
    const holder = /^.*\[\]/u.exec(spelling)?.[0] ?? ""
    // Spellings below the same array are alternatives: an element lacks the field only where it has none of them.
    fields.set(holder, [...(fields.get(holder) ?? []), steps(spelling.slice(holder.length))])
  }
  return {
    name,
    canonical: names[0] ?? name,
    places: [...fields].map(([holder, below]) => ({ holder: steps(holder), fields: below })),
    members: names.every(isMember) ? names : undefined
  }
}

/** Reads a parameter's values. `null` counts as absent. */
export const read = ({ places }: Parameter, params: JsonObject): Reading => {
  const reading: Draft = { found: [], lacking: [], misshapen: [] }
  for (const { fields, holder } of places) {
    if (holder.length === 0) for (const field of fields) reach(params, field, 0, "", reading)
    else {
      const elements: Draft = { found: [], lacking: [], misshapen: reading.misshapen }
      reach(params, holder, 0, "", elements)
      reading.lacking.push(...elements.lacking)
      for (const element of elements.found) {
        const before = reading.found.length + reading.misshapen.length
        for (const field of fields) reach(element.value, field, 0, element.path, reading)
        if (reading.found.length + reading.misshapen.length === before) reading.lacking.push(element)
      }
    }
  }
  return reading
}

/** A member of an object; what it inherits is none. */
export const valueAt = (params: JsonObject, name: string): Json | undefined =>
  Object.hasOwn(params, name) ? params[name] : undefined

// ---------------------------------------------------------------------------------------------------------------------
// Internal
// ---------------------------------------------------------------------------------------------------------------------

const each: unique symbol = Symbol("[]")
type Path = ReadonlyArray<string | typeof each>

interface Place {
  /** Leads to the elements of an array; empty where the fields start at the top. */
  readonly holder: Path
  readonly fields: ReadonlyArray<Path>
}

interface Draft {
  readonly found: Array<Found>
  readonly lacking: Array<Found>
  readonly misshapen: Array<Found & { readonly expected: "array" | "object" }>
}

const isMember = (name: string): boolean => name !== "" && !/[.[\]]/u.test(name)

const steps = (path: string): Path =>
  path
    .split(".")
    .filter((part) => part !== "")
    .flatMap((part) => {
      const [key = "", ...rest] = part.split("[]")
      return [...(key === "" ? [] : [key]), ...rest.map((): typeof each => each)]
    })

/** An embedding's `input` is no conversation. */
const spellings = (name: string, operation: Operation | undefined): ReadonlyArray<string> => {
  for (const group of aliases)
    for (const alias of group) {
      if (name !== alias && !name.startsWith(`${alias}.`) && !name.startsWith(`${alias}[`)) continue
      if (operation?.name === "embed" && group.includes("input")) return [name]
      return group.map((other) => other + name.slice(alias.length))
    }
  return [name]
}

const reach = (value: Json | undefined, path: Path, at: number, where: string, draft: Draft): void => {
  if (value === undefined || value === null) {
    if (path[at - 1] === each) draft.lacking.push({ path: where, value: null })
    return
  }
  const step = path[at]
  if (step === undefined) draft.found.push({ path: where, value })
  else if (step === each)
    if (isArray(value)) value.forEach((element, index) => reach(element, path, at + 1, `${where}[${index}]`, draft))
    else draft.misshapen.push({ path: where, value, expected: "array" })
  else if (typeof value !== "object" || isArray(value)) draft.misshapen.push({ path: where, value, expected: "object" })
  else reach(valueAt(value, step), path, at + 1, where === "" ? step : `${where}.${step}`, draft)
}

const isArray = (value: Json): value is ReadonlyArray<Json> => Array.isArray(value)
