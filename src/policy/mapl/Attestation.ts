/**
 * Attestations (mapl §6): which are needed, and how each is obtained.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { type Condition, parse as parseCondition } from "../Condition.ts"
import { filter, finite, keys, nonEmpty, optional, patterns, text, whole } from "./Field.ts"

const attestationFault = (source: string): true | string =>
  Result.match(parseAttestation(source), { onFailure: (reason) => reason, onSuccess: () => true })

/**
 * A need for an attestation in its long form (mapl §6), which may be of some resources alone.
 *
 * @category schemas
 */
export const ScopedAttestation = Schema.Struct({
  key: text('The attestation. Example: "second_signature".').check(
    filter((key: string) => key.trim() !== "" || "names no attestation", { minLength: 1 }),
    filter((key: string) => !key.includes("::") || 'the condition stands beside the key, under "when"', {
      pattern: "^(?:(?!::)[\\s\\S])*$"
    })
  ),
  when: optional(
    text('When it is needed: a condition. Without one it is always needed. Example: "params.amount > 1000".').check(
      filter((when: string) =>
        Result.match(parseCondition(when), {
          onFailure: (reason) => `the condition cannot be read: ${reason}`,
          onSuccess: () => true
        })
      )
    )
  ),
  resources: optional(
    patterns("What it is needed for. Absent: all that is asked for under the document.", ["tool:*/pay"]).check(
      filter((list) => list.length > 0 || 'must name a resource; without "resources" all are meant', { minItems: 1 })
    )
  )
}).annotate({
  title: "Scoped attestation",
  description: "An attestation that is needed for some resources.",
  expected: `an object such as {"key": "second_signature", "resources": ["tool:*/pay"]}`
})

export type ScopedAttestation = typeof ScopedAttestation.Type

/** `key`, or `key::{…}`; what stands in the braces is beyond a regular expression. */
const attestationForm = String.raw`^(?:(?:(?!::)[\s\S])+|(?:(?!::\{)[\s\S])+::\{[\s\S]*\})$`

/** The attestations that a document needs, in either form (mapl §6). */
export const Attestations = Schema.Union([
  Schema.Array(
    Schema.Union([
      Schema.String.annotate({
        description: '"key", or "key::{condition}": needed for every resource, where the condition holds.'
      }).check(filter(attestationFault, { pattern: attestationForm })),
      ScopedAttestation
    ]).annotate({ expected: `"key", "key::{condition}", or {"key": "…", "resources": ["tool:*/pay"]}` })
  ).annotate({ description: "The attestations that are needed." }),
  Schema.Record(Schema.String, Schema.Boolean)
    .annotate({ description: "The older form: attestations by key, true where needed. Write a list instead." })
    .check(keys(attestationFault, attestationForm))
]).annotate({
  title: "Attestations",
  description:
    'Proofs that are needed before a call: "key", or "key::{condition}" where the condition says when, or an object that says for which resources. Example: {"key": "second_signature", "when": "params.amount > 100", "resources": ["tool:*/pay"]}.',
  expected: `a list of attestations, such as ["phishing_resistant"]`
})

/** How an attestation is obtained (mapl §6): with `approval_criteria` from outside, otherwise it must be held already. */
export const AttestationMetadata = Schema.Struct({
  approval_criteria: optional(
    text('Who approves from outside, such as "role:manager". Without it the attestation must be held already.').check(
      nonEmpty
    )
  ),
  timeout: optional(finite("How long an approval is waited for, in seconds.")),
  time_to_live: optional(finite("How long an approval holds, in seconds.")),
  one_time: optional(
    Schema.Boolean.annotate({ description: "Whether an approval is for one call alone. Default: true." })
  ),
  max_uses: optional(whole(0, "For how many calls an approval holds.")),
  description: optional(text("What the approver is told."))
}).annotate({
  title: "Attestation",
  description: "How the attestation is obtained.",
  expected: `an object such as {"approval_criteria": "role:manager"}`
})

/** An entry of `attestations`; without a condition it is always needed, without `resources` for all of them. */
export interface AttestationNeed {
  readonly key: string
  /** The condition's text. */
  readonly when: string | undefined
  readonly condition: Condition | undefined
  readonly resources: ReadonlyArray<string> | undefined
}

/** The entries of `attestations` that ask for something, of either form, and their keys or indices there. */
export const attestationEntries = (
  attestations: typeof Attestations.Type
): ReadonlyArray<readonly [at: number | string, entry: string | ScopedAttestation]> =>
  Array.isArray(attestations)
    ? attestations.map((entry: string | ScopedAttestation, index) => [index, entry] as const)
    : Object.entries(attestations).flatMap(([source, needed]) => (needed === true ? [[source, source] as const] : []))

/** Reads `key`, `key::{condition}`, or the long form. */
export const parseAttestation = (source: string | ScopedAttestation): Result.Result<AttestationNeed, string> => {
  if (typeof source === "string") return parseText(source)
  const { key, resources, when } = source
  return when === undefined
    ? Result.succeed({ key, when, condition: undefined, resources })
    : Result.map(parseCondition(when), (condition) => ({ key, when, condition, resources }))
}

const parseText = (source: string): Result.Result<AttestationNeed, string> => {
  const split = source.indexOf("::{")
  const key = split === -1 ? source : source.slice(0, split)
  if (key.trim() === "") return Result.fail("names no attestation")
  if (split === -1)
    return source.includes("::")
      ? Result.fail("a condition stands in braces: key::{params.amount > 100}")
      : Result.succeed({ key, when: undefined, condition: undefined, resources: undefined })
  if (!source.endsWith("}")) return Result.fail("the condition does not end with }")
  const when = source.slice(split + 3, -1)
  return Result.mapBoth(parseCondition(when), {
    onFailure: (reason) => `the condition of ${key} cannot be read: ${reason}`,
    onSuccess: (condition) => ({ key, when, condition, resources: undefined })
  })
}
