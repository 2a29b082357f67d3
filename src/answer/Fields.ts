/**
 * Members of JSON values that came from outside: each reading gives a value of the type that is asked for, or nothing.
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

/** The key of a place in a list. A reader may read digits as a number, and what is no index as the first place. */
export const indexKey = (index: unknown): string => {
  if (typeof index === "number") return String(index)
  if (typeof index !== "string") return "0"
  return /^\s*\d+\s*$/.test(index) ? String(Number(index)) : index
}

/** The choices of a chunk: a reader finds those of an object by their index, as it does those of a list. */
export const choicesOf = (choices: unknown): ReadonlyArray<unknown> =>
  isFields(choices)
    ? Object.entries(choices).map(([index, choice]) =>
        isFields(choice) ? { index: Number(index), ...choice } : choice
      )
    : itemsOf(choices)
