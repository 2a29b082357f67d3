/**
 * When a document applies.
 */
import * as Schema from "effect/Schema"
import { showValue } from "../Notation.ts"
import { filter, optional, text } from "./Field.ts"

const instantForm = /^(\d{4})-(\d{2})-(\d{2})(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2}))?$/u

const moment = (description: string) =>
  text(description).check(
    filter(
      (written: string) =>
        instant(written, "first") !== undefined ||
        `must be ISO-8601 with its offset, such as 2026-01-10T09:00:00Z, found ${showValue(written)}`,
      { pattern: instantForm.source }
    )
  )

/** The period in which a document applies, both ends included. */
export const Validity = Schema.Struct({
  not_before: optional(moment("When the document begins to apply: 2026-01-10T09:00:00Z, or a day of UTC.")),
  not_after: optional(moment("When it ends, that instant included: 2026-01-31T17:00:00+01:00, or a day of UTC."))
}).annotate({
  title: "Validity",
  description: "When the document applies. Outside of it, everything is refused to those for whom it takes part.",
  expected: `an object such as {"not_after": "2026-01-31"}`
})

/**
 * An ISO-8601 instant in milliseconds since 1970; a day alone is its first or its last millisecond in UTC. `undefined`
 * where the text names none.
 */
export const instant = (text: string, ofDay: "first" | "last"): number | undefined => {
  const [, year, month, day] = instantForm.exec(text) ?? []
  if (year === undefined || Number(day) > new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate())
    return undefined
  const milliseconds = Date.parse(text)
  if (Number.isNaN(milliseconds)) return undefined
  return !text.includes("T") && ofDay === "last" ? milliseconds + 86_399_999 : milliseconds
}
