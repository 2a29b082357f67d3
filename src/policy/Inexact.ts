/**
 * Numbers that no rule can judge: an integer of 2^53 or more, which readers take for different numbers. It travels as its
 * text where nothing bounds it; where something does, the request is refused.
 *
 * @since 0.2.0
 */
import { isExact, type Json } from "../CanonicalJson.ts"

/** A number that is not exact, and where it stands. */
export interface Inexact {
  readonly path: string
  readonly value: number
}

/** A value's first inexact number: the value itself, or one inside of it. */
export const inexactIn = (path: string, value: Json): Inexact | undefined => {
  // What is no number at all breaks other rules.
  if (typeof value === "number") return isExact(value) || !Number.isFinite(value) ? undefined : { path, value }
  if (typeof value !== "object" || value === null) return undefined
  for (const key of Object.keys(value)) {
    const [step, member] = Array.isArray(value)
      ? [`${path}[${key}]`, value[Number(key)] as Json]
      : [path === "" ? key : `${path}.${key}`, (value as { readonly [key: string]: Json })[key]!]
    const found = inexactIn(step, member)
    if (found !== undefined) return found
  }
  return undefined
}
