/**
 * Validities that are over or empty.
 */
import { instant } from "../mapl/Validity.ts"
import type { Check } from "./Survey.ts"

/** A validity that is over at `now`, or that ends before it begins. */
export const spentValidity: Check = function* ({ document: { validity = {} } }, _, now) {
  const { not_after: until, not_before: from } = validity
  const begins = from === undefined ? -Infinity : (instant(from, "first") ?? -Infinity)
  const ends = until === undefined ? Infinity : (instant(until, "last") ?? Infinity)
  if (begins > ends)
    yield {
      code: "validity_empty",
      path: ["validity"],
      message: `not_before ${from} is after not_after ${until}: the document never applies, and refuses whom it is for`,
      hint: "exchange the two"
    }
  else if (ends < now)
    yield {
      code: "validity_over",
      path: ["validity", "not_after"],
      message: `the document ended with ${until}, and refuses everything to those for whom it takes part`,
      hint: "take it out, or move the end"
    }
}
