/**
 * Documents that allow, deny and bound nothing.
 */
import type { Check } from "./Survey.ts"

/** A document that allows nothing, denies nothing and bounds nothing. */
export const noEffect: Check = function* ({ document }) {
  const { attestations, constraints = {}, denied_resources: denied = [], resources = [], validity } = document
  const binds =
    document.extends !== undefined ||
    resources.length > 0 ||
    denied.length > 0 ||
    Object.keys(validity ?? {}).length > 0 ||
    (attestations !== undefined && Object.values(attestations).some((needed) => needed !== false)) ||
    constraints.rate_limit !== undefined ||
    Object.entries(constraints).some(
      ([, value]) => typeof value === "object" && value !== null && Object.keys(value).length > 0
    )
  if (!binds)
    yield {
      code: "no_effect",
      path: ["policy_id"],
      message: "the document allows nothing, denies nothing and bounds nothing",
      hint: `add "resources", or take it out`
    }
}
