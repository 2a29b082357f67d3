/**
 * Forms that an older version of the language wrote.
 */
import { showValue } from "../Notation.ts"
import { isResourceKey } from "../Mapl.ts"
import { attestationEntries } from "../mapl/Attestation.ts"
import type { Check } from "./Survey.ts"
import { quoted } from "./Warning.ts"

/** Parameters directly under a resource pattern, and attestations as an object. */
export const olderForms: Check = function* ({ document: { attestations, constraints = {} } }) {
  for (const pattern of Object.keys(constraints).filter(isResourceKey))
    yield {
      code: "direct_constraints",
      path: ["constraints", pattern],
      message: `parameters stand directly under ${quoted(pattern)}, an older form`,
      hint: `move it into "parameters"`
    }
  if (attestations !== undefined && !Array.isArray(attestations))
    yield {
      code: "attestation_object",
      path: ["attestations"],
      message: "an object of booleans is an older form",
      hint: `write a list: ${showValue(attestationEntries(attestations).map(([, entry]) => entry))}`
    }
}
