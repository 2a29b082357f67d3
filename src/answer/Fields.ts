/**
 * Members of JSON values that came from outside: each reading gives a value of the type that is asked for, or nothing.
 *
 * @since 0.2.0
 */

/** A JSON object whose members are not checked. */
export type Fields = Readonly<Record<string, unknown>>

/** True for a JSON object: neither null nor an array. */
export const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** A member of an object; undefined where `holder` is no object or has no such member. */
export const memberOf = (holder: unknown, name: string): unknown => (isFields(holder) ? holder[name] : undefined)

/** The items of an array; none of anything else. */
export const itemsOf = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

/** A string; `""` for anything else. */
export const textOf = (value: unknown): string => (typeof value === "string" ? value : "")
