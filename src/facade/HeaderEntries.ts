/**
 * Headers in any of the forms that the SDK takes, as names and values: a record, a list, `Headers`, or the SDK's own, which
 * remembers what is not to be sent.
 *
 * @since 0.2.0
 */

/** A header's name in lower case and its value; null where it is not to be sent. */
export type HeaderEntry = readonly [name: string, value: string | null]

/** The headers of anything that the SDK takes for some; a name that is given several values stands there as often. */
export const entriesOf = (given: unknown): ReadonlyArray<HeaderEntry> => {
  if (typeof given !== "object" || given === null) return []
  if ("values" in given && given.values instanceof Headers && "nulls" in given && given.nulls instanceof Set)
    return [...given.values, ...[...given.nulls].map((name): HeaderEntry => [String(name), null])]
  const pairs: Iterable<readonly [unknown, unknown]> =
    Symbol.iterator in given ? (given as Iterable<readonly [unknown, unknown]>) : Object.entries(given)
  return Array.from(pairs, ([name, value]) =>
    [value]
      .flat()
      .filter((one) => one !== undefined)
      .map((one): HeaderEntry => [String(name).toLowerCase(), one === null ? null : String(one)])
  ).flat()
}
