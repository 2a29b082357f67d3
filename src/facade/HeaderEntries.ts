/**
 * Headers in any of the forms that the SDK takes (a record, a list, `Headers`, or the SDK's own, which remembers what is not
 * to be sent): as they were given, and as the SDK sends them.
 */

/** A header's name in lower case and its value; null where it is not to be sent. */
export type HeaderEntry = readonly [name: string, value: string | null]

/** The headers of anything that the SDK takes for some; a name that is given several values stands there as often. */
export const entriesOf = (given: unknown): ReadonlyArray<HeaderEntry> =>
  rowsOf(given).flatMap(({ name, values }) => values.map((value): HeaderEntry => [name, value]))

/** What the SDK sends of them, by name in lower case. A header that is null is not sent. */
export const headersOf = (given: unknown): ReadonlyMap<string, string> => {
  const headers = new Headers()
  for (const { name, replaces, values } of rowsOf(given))
    try {
      if (replaces) headers.delete(name)
      for (const value of values)
        if (value === null) headers.delete(name)
        else headers.append(name, value)
    } catch {
      // The SDK says so itself when it sends the request.
    }
  return new Map(headers)
}

/** A header with its values; `replaces` what was given under its name before: a record does, a list adds. */
interface Row {
  readonly name: string
  readonly values: ReadonlyArray<string | null>
  readonly replaces: boolean
}

const rowsOf = (given: unknown): ReadonlyArray<Row> => {
  if (typeof given !== "object" || given === null) return []
  if ("values" in given && given.values instanceof Headers && "nulls" in given && given.nulls instanceof Set)
    return [
      ...Array.from(given.values, ([name, value]) => ({ name, values: [value], replaces: false })),
      ...Array.from(given.nulls, (name) => ({ name: String(name), values: [null], replaces: false }))
    ]
  const isList = Symbol.iterator in given
  const pairs = isList ? (given as Iterable<readonly [unknown, unknown]>) : Object.entries(given)
  return Array.from(pairs, ([name, value]) => ({
    name: String(name).toLowerCase(),
    values: [value]
      .flat()
      .filter((one) => one !== undefined)
      .map((one) => (one === null ? null : String(one))),
    replaces: !isList
  })).filter(({ values }) => values.length > 0)
}
