/**
 * A MAPL document as it is written: its schema, and the reading of a value as a policy or as an intent. An unknown key is an
 * error in both: what stands in a wrong place would restrict nothing.
 */
import * as JsonSchema from "effect/JsonSchema"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { snapshot } from "../base/CanonicalJson.ts"
import { idFault } from "../call/Name.ts"
import type { Excerpt } from "./Diagnostic.ts"
import { describe, type Fault, faultsOf as readFaults, type Home, partAt } from "./Fault.ts"
import { AttestationMetadata, Attestations, ScopedAttestation } from "./mapl/Attestation.ts"
import { Bounds, DeniedParameters, Parameters } from "./mapl/Bounds.ts"
import { filter, nonEmpty, onViolation, optional, patterns, text, whole } from "./mapl/Field.ts"
import { OutputRule, SoughtPattern } from "./mapl/OutputRule.ts"
import { Validity } from "./mapl/Validity.ts"

const Constraints = Schema.StructWithRest(
  Schema.Struct({
    parameters: optional(
      Schema.Record(Schema.String, Parameters).annotate({
        title: "Bounds on what is asked",
        description:
          'By resource pattern, the parameters and what they must satisfy. Example: {"tool:*/generate": {"max_tokens": {"max": 500}}}.',
        expected: `parameters by resource pattern, such as {"tool:*/generate": {"max_tokens": {"max": 500}}}`
      })
    ),
    denied_parameters: optional(
      Schema.Record(Schema.String, DeniedParameters).annotate({
        title: "Forbidden values",
        description:
          'By resource pattern, the values that refuse a request. Example: {"tool:**": {"query": ["*DROP TABLE*"]}}.',
        expected: `forbidden values by resource pattern, such as {"tool:**": {"query": ["*DROP TABLE*"]}}`
      })
    ),
    rate_limit: optional(
      whole(
        1,
        "Calls a minute, for each principal, under this document. Example: 60.",
        " (denied_resources refuses altogether)"
      )
    ),
    attestations: optional(
      Schema.Record(Schema.String, AttestationMetadata).annotate({
        title: "How attestations are obtained",
        description: 'By key, who approves. Example: {"second_signature": {"approval_criteria": "role:treasurer"}}.',
        expected: `metadata by key, such as {"second_signature": {"approval_criteria": "role:treasurer"}} (a list of the attestations that are needed belongs at the top of the document)`
      })
    ),
    output: optional(
      Schema.Record(Schema.String, OutputRule).annotate({
        title: "Rules on what is answered",
        description:
          'By resource pattern, what holds for an answer, streamed or not. Example: {"tool:*/generate": {"denied": ["Project Heron"]}}.',
        expected: `rules by resource pattern, such as {"tool:*/generate": {"denied": ["Project Heron"]}}`
      })
    )
  }),
  [
    Schema.Record(Schema.TemplateLiteral([Schema.String, ":", Schema.String]), Parameters),
    Schema.Record(Schema.TemplateLiteral([Schema.String, "*", Schema.String]), Parameters)
  ]
).annotate({
  title: "Constraints",
  description: "Bounds on the requests that the resources let through.",
  expected: `an object such as {"parameters": {…}}`
})

/** True for a key of `constraints` that is a resource pattern, with parameters placed directly under it. */
export const isResourceKey = (key: string): key is `${string}:${string}` =>
  !Object.hasOwn(Constraints.schema.fields, key)

const policyId = (description: string, examples: ReadonlyArray<string>) =>
  Schema.String.annotate({ description, examples }).check(
    nonEmpty,
    filter(
      // A name that only looks like another one belongs to another caller. An editor checks a part of this.
      (id: string) => {
        const fault = idFault(id)
        return fault === undefined || `must be a kind and a name, such as user:alice: ${fault}`
      },
      {
        pattern: String.raw`^[^\s:\u0000-\u001f\u007f-\u009f](?:[^:\u0000-\u001f\u007f-\u009f]*[^\s:\u0000-\u001f\u007f-\u009f])?(?::[^\s\u0000-\u001f\u007f-\u009f](?:[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f])?)?$`
      }
    )
  )

const PolicyId = policyId(
  "What the policy is bound to: company:, bu:, team:, role:, group:, user:, app: or agent:, and the name.",
  ["user:alice", "team:Lab", "role:analyst", "app:my-app", "company:Acme"]
)

const commonFields = {
  $schema: optional(text("Where an editor finds the schema of this file. Ignored.")),
  name: optional(text("A name for readers. Never evaluated.")),
  version: optional(text("A version for readers. Never evaluated.")),
  description: optional(text("What the policy is for. Never evaluated.")),
  scope: optional(text("For readers. Never evaluated.")),
  purpose: optional(text("For readers. Never evaluated.")),
  extends: optional(policyId("The parent, which holds too: a child only narrows.", ["team:Lab", "company:Acme"])),
  resources: optional(
    patterns(
      "What may be invoked. Absent or []: left to the other documents. * is any run of characters but /, ** any run at all.",
      ["tool:my-app/generate"],
      ["tool:my-app/**"]
    )
  ),
  denied_resources: optional(
    patterns("What may not be invoked, whatever any document allows.", ["*secret*"], ["api:*/responses"])
  ),
  constraints: optional(Constraints),
  attestations: optional(Attestations),
  validity: optional(Validity),
  on_violation: optional(
    onViolation(
      'What happens to a value outside the bounds of this document: "rewrite" edits the request, "deny" refuses it. A parameter\'s own goes first.'
    )
  )
}

/**
 * A policy (mapl §1).
 *
 * @category schemas
 */
export const Document = Schema.Struct({ policy_id: PolicyId, ...commonFields }).annotate({
  identifier: "Policy",
  title: "MAPL policy",
  description: "Who may ask what of a model, and within which bounds.",
  expected: `a policy, such as {"policy_id": "user:alice"}`
})

export type Document = typeof Document.Type

/**
 * A document that restricts a service, a caller or one call; it needs no id.
 *
 * @category schemas
 */
export const Intent = Schema.Struct({ policy_id: optional(PolicyId), ...commonFields }).annotate({
  expected: `an object such as {"resources": ["tool:**"]}`
})

export type Intent = typeof Intent.Type

/**
 * The JSON Schema (draft-07) of a file of policies, one or an array of them: for editors, and for programs that check
 * policies without this library. It accepts everything that {@link parse} accepts, and more: it cannot check whether a
 * condition or a regular expression is valid.
 */
export const jsonSchema = (): JsonSchema.JsonSchema => {
  const file = Schema.Union([
    Document,
    Schema.Array(Document)
      .annotate({ title: "MAPL policies", description: "Policies, each with its policy_id." })
      .check(filter((documents) => documents.length > 0, { minItems: 1 }))
  ])
  const { definitions, schema } = JsonSchema.toDocumentDraft07(
    Schema.toJsonSchemaDocument(file, { onExcessProperty: "error" })
  )
  return { $schema: JsonSchema.META_SCHEMA_URI_DRAFT_07, title: "MAPL policies", ...schema, definitions }
}

/** A policy, or everything that is wrong with it. */
export const parse = (value: unknown): Result.Result<Document, ReadonlyArray<Fault>> =>
  Result.mapError(decodeDocument(value), faultsOf(value))

/**
 * An intent: a snapshot of `value`, so that a later change of the caller's object changes nothing. The failure is a
 * sentence that names what is wrong, and for an unknown key also where the key belongs.
 */
export const parseIntent = (value: unknown): Result.Result<Intent, string> => {
  const plain = snapshot(value)
  if (Result.isFailure(plain)) return Result.fail(`The intent policy is not plain JSON: ${plain.failure}`)
  const invalid = (faults: ReadonlyArray<Fault>): string =>
    `The intent policy is not valid: ${faults.map(describe).join("; ")}`
  const decoded = Result.mapError(decodeIntent(plain.success), (error) => invalid(faultsOf(plain.success)(error)))
  return Result.filterOrFail(
    decoded,
    (intent) => misplaced(intent).length === 0,
    (intent) => invalid(misplaced(intent))
  )
}

const misplaced = (intent: Intent): ReadonlyArray<Fault> => [...misplacedNames(intent), ...misplacedScopes(intent)]

/**
 * Names that stand where a resource pattern belongs. The linter finds patterns that match nothing in a set of policies, but
 * it does not read intents: without this check an intent would restrict nothing.
 */
const misplacedNames = ({ constraints = {} }: Intent): ReadonlyArray<Fault> =>
  (["parameters", "denied_parameters", "output"] as const).flatMap((place) =>
    Object.keys(constraints[place] ?? {})
      .filter((key) => !/[:*]/u.test(key))
      .map((key) => ({
        path: ["constraints", place, key],
        reason: `names no resource: it belongs under a resource pattern, such as ${JSON.stringify({ "tool:**": { [key]: {} } })}`,
        unknownKey: false
      }))
  )

/** Names that stand where the resources of an attestation belong. */
const misplacedScopes = ({ attestations = [] }: Intent): ReadonlyArray<Fault> =>
  Array.isArray(attestations)
    ? attestations.flatMap((entry: string | ScopedAttestation, index) =>
        (typeof entry === "string" ? [] : (entry.resources ?? [])).flatMap((pattern, at) =>
          /[:*]/u.test(pattern)
            ? []
            : [
                {
                  path: ["attestations", index, "resources", at],
                  reason: `names no resource: write ${JSON.stringify(`tool:*/${pattern}`)}`,
                  unknownKey: false
                }
              ]
        )
      )
    : []

const strictly = { errors: "all", onExcessProperty: "error" } as const

const decodeDocument = Schema.decodeUnknownResult(Document, strictly)

const decodeIntent = Schema.decodeUnknownResult(Intent, strictly)

const faultsOf =
  (value: unknown) =>
  (error: Schema.SchemaError): ReadonlyArray<Fault> =>
    readFaults(value, error, keysAt, homes).map((fault) => ({ ...fault, ...excerptOf(fault, value) }))

/** Where a condition is wrong: {@link parseCondition} names the character. */
const excerptOf = ({ path, reason }: Fault, root: unknown): { readonly excerpt?: Excerpt } => {
  const at = Number(/^the condition (?:of .*|cannot) .* at character (\d+)/su.exec(reason)?.[1])
  const last = path.at(-1)
  const value = partAt(root, path)
  const source = typeof value === "string" ? value : typeof last === "string" ? last : ""
  if (Number.isNaN(at)) return {}
  return { excerpt: { text: last === "when" ? source : source.slice(source.indexOf("::{") + 3, -1), at } }
}

/** The keys that may stand where `path` leads. */
const keysAt = (path: ReadonlyArray<PropertyKey>): ReadonlyArray<string> => {
  if (path.length === 0) return Object.keys(Document.fields)
  if (path[0] === "validity") return Object.keys(Validity.fields)
  if (path[0] === "attestations") return Object.keys(ScopedAttestation.fields)
  if (path.length === 1) return Object.keys(Constraints.schema.fields)
  if (path[1] === "output") return Object.keys(path.includes("denied") ? SoughtPattern.fields : OutputRule.fields)
  return Object.keys(path[1] === "attestations" ? AttestationMetadata.fields : Bounds.fields)
}

/** Where a key belongs that stands in another place. */
const homes: ReadonlyArray<Home> = [
  { fields: Document.fields, place: "it belongs at the top of the policy" },
  { fields: Constraints.schema.fields, place: `it belongs under "constraints"` },
  { fields: Validity.fields, place: `it belongs under "validity"` },
  { fields: Bounds.fields, place: `it belongs under a parameter, in "constraints"."parameters"` },
  { fields: AttestationMetadata.fields, place: `it belongs under a key of "constraints"."attestations"` },
  { fields: OutputRule.fields, place: `it belongs under a resource pattern, in "constraints"."output"` }
]
