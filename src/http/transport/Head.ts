/**
 * What a response begins with, as a dispatcher receives it.
 */

/** The status line and the header fields of a response, undecoded. */
export interface ResponseHead {
  readonly status: number
  readonly statusText: string
  /** Names and values of the header fields in turn; several values of one name may stand together. */
  readonly fields: ReadonlyArray<Field | ReadonlyArray<Field>>
}
type Field = Buffer | string

/** Statuses that have no body (Fetch standard, §2.2.3). */
export const bodiless: ReadonlySet<number> = new Set([101, 204, 205, 304])

/** The header fields, each name beside each of its values. */
export const fieldsOf = function* ({ fields }: ResponseHead): Generator<readonly [name: string, value: string]> {
  for (let i = 0; i + 1 < fields.length; i += 2)
    for (const value of [fields[i + 1]!].flat() as Array<Field>) yield [textOf(fields[i] as Field), textOf(value)]
}

/** The values of the `Content-Encoding` fields. */
export const codingFieldsOf = (head: ResponseHead): ReadonlyArray<string> => {
  // Most responses have none, and the name's length tells.
  if (!head.fields.some((field, i) => i % 2 === 0 && field.length === 16)) return []
  return [...fieldsOf(head)].flatMap(([name, value]) => (name.toLowerCase() === "content-encoding" ? [value] : []))
}

// Header fields are latin-1 on the wire.
const textOf = (field: Field): string => (typeof field === "string" ? field : field.toString("latin1"))
