/**
 * Numbers that no rule can judge, because readers take them for different ones: integers of 2^53 or more, and numbers whose
 * text is another decimal than the double that stands for it. They travel as their text where nothing bounds them; where
 * something does, the request is refused.
 */
import { contentOf } from "../base/CanonicalJson.ts"
import type { Json, JsonObject } from "../base/Json.ts"
import { isExact } from "../base/JsonNumbers.ts"
import type { FoundValue } from "./Parameter.ts"

/** A number that is not exact, where it stands, and how it is written there. */
export interface Inexact {
  readonly path: string
  readonly text: string
}

/** The first inexact number of a value of these params: the value itself, or one inside of it. */
export const inexactIn = (params: JsonObject, { parts, path, value }: FoundValue): Inexact | undefined => {
  // A key may be empty, so that a path inside of the whole may be spelt as the one of a member.
  const [one] = value === params ? (contentOf(params)?.inexact ?? []) : []
  if (one !== undefined) return { path: one[0], text: one[1] }
  if (parts !== undefined) return first(parts, (part) => inexactIn(params, part))
  switch (typeof value) {
    case "number":
      return inexact(params, path, value)
    case "object":
      return value === null ? undefined : inexactInside(params, path, value)
    default:
      return undefined
  }
}

const inexact = (params: JsonObject, path: string, value: number): Inexact | undefined => {
  const text = contentOf(params)?.inexactAt(path)
  if (text !== undefined) return { path, text }
  // What is no number at all breaks other rules.
  return isExact(value) || !Number.isFinite(value) ? undefined : { path, text: String(value) }
}

const inexactInside = (params: JsonObject, path: string, value: object): Inexact | undefined => {
  const isArray = Array.isArray(value)
  return first(Object.entries(value) as ReadonlyArray<[string, Json]>, ([key, member]) =>
    inexactIn(params, { path: isArray ? `${path}[${key}]` : path === "" ? key : `${path}.${key}`, value: member })
  )
}

const first = <A>(many: ReadonlyArray<A>, look: (one: A) => Inexact | undefined): Inexact | undefined => {
  for (const one of many) {
    const found = look(one)
    if (found !== undefined) return found
  }
  return undefined
}
