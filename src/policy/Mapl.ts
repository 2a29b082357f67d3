/**
 * A MAPL document as it is written: its schema, and the reading of a value as a policy or as an intent. An unknown key is an
 * error in both: what stands in a wrong place would restrict nothing.
 *
 * @since 0.1.0
 */
import * as JsonSchema from "effect/JsonSchema"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { RE2JS } from "re2js"
import { snapshot } from "../base/CanonicalJson.ts"
import { idFault } from "../call/Name.ts"
import { type Condition, parse as parseCondition } from "./Condition.ts"
import type { Excerpt } from "./Diagnostic.ts"
import { describe, type Fault, faultsOf as readFaults, type Home, showValue, valueAt } from "./Fault.ts"

// ---------------------------------------------------------------------------------------------------------------------
// Schema
// ---------------------------------------------------------------------------------------------------------------------

const optional = Schema.optionalKey

/** A check that an editor's JSON Schema can make as well, at least in part. */
const check = <A>(test: (value: A) => Schema.FilterOutput, fragment: JsonSchema.JsonSchema = {}) =>
  Schema.makeFilter(test, { toJsonSchema: () => fragment })

/** Every key must pass; the check says why one does not. A key's own schema would only leave the key out. */
const keys = <A>(test: (key: string) => true | string, form?: string) =>
  check<Readonly<Record<string, A>>>(
    (record) =>
      Object.keys(record).flatMap((key) => {
        const passed = test(key)
        return passed === true ? [] : [{ path: [key], issue: passed }]
      }),
    form === undefined ? {} : { propertyNames: { pattern: form } }
  )

const nonEmpty = check((text: string) => text !== "" || "must not be empty", { minLength: 1 })

const text = (description: string) => Schema.String.annotate({ description })

const whole = (least: number, description: string, note = "") =>
  Schema.Finite.annotate({ description }).check(
    check(
      (value: number) =>
        (Number.isSafeInteger(value) && value >= least) ||
        `must be ${least === 0 ? "a whole number from 0" : `at least ${least}, and whole`}${note}, found ${showValue(value)}`,
      { type: "integer", minimum: least }
    )
  )

const finite = (description: string) => Schema.Finite.annotate({ description })

const Pattern = Schema.String.annotate({ description: "A resource pattern." }).check(nonEmpty)

const patterns = (description: string, ...examples: ReadonlyArray<ReadonlyArray<string>>) =>
  Schema.Array(Pattern).annotate({ description, examples, expected: "a list of resource patterns" })

const values = (description: string) =>
  Schema.Array(Schema.Json).annotate({ description, expected: "a list of values" })

const onViolation = (description: string) => Schema.Literals(["rewrite", "deny"]).annotate({ description })

/** A regular expression that the linear-time engine takes (RE2 syntax). */
const Regex = text(
  'A regular expression that the whole string must match, in RE2 syntax: no lookaround, no backreferences. Example: "A-[0-9]{6}".'
).check(
  check((source: string) => {
    const compiled = compileRegex(source)
    return Result.isSuccess(compiled) ? true : compiled.failure
  })
)

const Range = Schema.Tuple([Schema.Finite, Schema.Finite]).annotate({
  description: "The lowest and the highest number, both included. Example: [0, 1].",
  expected: "two numbers, [lowest, highest]"
})

/**
 * What a parameter must satisfy, in its long form (mapl §3).
 *
 * @category schemas
 */
export const Bounds = Schema.Struct({
  allowed_values: optional(
    values('The values that are allowed; in a string, * stands for anything. Example: ["gpt-4o", "gpt-4o-mini*"].')
  ),
  min: optional(finite("The lowest number that is allowed. A lower one is raised to it, or refused.")),
  max: optional(finite("The highest number that is allowed. A higher one is lowered to it, or refused. Example: 500.")),
  range: optional(Range),
  type: optional(
    Schema.Literals(["integer", "number", "string", "boolean", "array", "object"]).annotate({
      description: 'The JSON type of the value. Nothing is converted: "9" is no number.'
    })
  ),
  pattern: optional(Regex),
  min_length: optional(whole(0, "How long the string must be at least, in UTF-16 units.")),
  max_length: optional(whole(0, "How long the string may be at most, in UTF-16 units.")),
  min_items: optional(whole(0, "How many items the list must have at least.")),
  max_items: optional(whole(0, "How many items the list may have at most.")),
  required: optional(
    Schema.Boolean.annotate({
      description:
        "Whether a request must have the parameter. Otherwise an absent one passes, but for a model that is listed: false lets a request go without one."
    })
  ),
  on_violation: optional(
    onViolation('What happens to a value outside these bounds: "rewrite" edits the request, "deny" refuses it.')
  ),
  downgrade: optional(
    Schema.Record(Schema.String, Schema.String.check(nonEmpty))
      .annotate({
        description:
          'Which allowed model takes the place of one that is not; "*" is every other. Example: {"o1": "gpt-4o"}.'
      })
      .check(keys((key) => key === "*" || !key.includes("*") || `must name a model, or be "*"`, "^(\\*|[^*]*)$"))
  )
}).annotate({ title: "Bounds", description: "What a parameter must satisfy. All fields must hold." })
export type Bounds = typeof Bounds.Type

/**
 * What a parameter must satisfy: a list of allowed values, or {@link Bounds}.
 *
 * @category schemas
 */
export const Spec = Schema.Union([
  values("The values that are allowed; in a string, * stands for anything."),
  Bounds
]).annotate({
  identifier: "Spec",
  title: "Parameter",
  description: 'What the parameter must satisfy: a list of allowed values, or bounds such as {"max": 500}.',
  expected: `a list of allowed values, or an object such as {"max": 500}`
})
export type Spec = typeof Spec.Type

const parameterForm = /^[^.[\]]+(\[\])*(\.[^.[\]]+(\[\])*)*$/u

const parameterPaths = keys(
  (path) => parameterForm.test(path) || "must be a dotted path such as max_tokens or tools[].function.name",
  parameterForm.source
)

const withoutDowngrade = { not: { type: "object", properties: { downgrade: {} }, required: ["downgrade"] } }

/** What an editor offers as parameters; every other name is as good. */
const commonParameters = {
  model: { description: "The model. One that is not allowed is replaced by one that is, or refused." },
  max_tokens: {
    description: "The cap on output tokens, in each of its spellings. Where it is absent, max is put in.",
    ...withoutDowngrade
  },
  total_tokens: {
    description: "What the cap comes to over all the answers that are asked for (n, best_of).",
    ...withoutDowngrade
  },
  temperature: { description: "The sampling temperature.", ...withoutDowngrade },
  n: { description: "How many answers are asked for.", ...withoutDowngrade },
  "tools[].function.name": { description: "The tools that may be offered to the model.", ...withoutDowngrade }
}

const Parameters = Schema.Record(Schema.String, Spec)
  .annotate({
    title: "Parameters",
    description:
      "Parameters of the requests that match, by dotted path: model, max_tokens, tools[].function.name. Each has a list of allowed values or bounds.",
    expected: `parameters by name, such as {"max_tokens": {"max": 500}}`
  })
  .check(
    parameterPaths,
    check(
      (specs) =>
        Object.entries(specs)
          .filter(([path, spec]) => path !== "model" && "downgrade" in spec)
          .map(([path]) => ({ path: [path, "downgrade"], issue: "has a meaning for the parameter model only" })),
      { properties: commonParameters, additionalProperties: withoutDowngrade }
    )
  )
  .annotate({ identifier: "Parameters" })

const DeniedParameters = Schema.Record(
  Schema.String,
  values("The values that are refused, wherever they stand inside the parameter; in a string, * stands for anything.")
)
  .annotate({
    title: "Denied parameters",
    description: 'Forbidden values by parameter. Example: {"query": ["*DROP TABLE*"]}.',
    expected: `forbidden values by parameter, such as {"query": ["*DROP TABLE*"]}`
  })
  .check(parameterPaths)

const attestationFault = (source: string): true | string =>
  Result.match(parseAttestation(source), { onFailure: (reason) => reason, onSuccess: () => true })

/**
 * A need for an attestation in its long form (mapl §6), which may be of some resources alone.
 *
 * @category schemas
 */
export const ScopedAttestation = Schema.Struct({
  key: text('The attestation. Example: "second_signature".').check(
    check((key: string) => key.trim() !== "" || "names no attestation", { minLength: 1 }),
    check((key: string) => !key.includes("::") || 'the condition stands beside the key, under "when"', {
      pattern: "^(?:(?!::)[\\s\\S])*$"
    })
  ),
  when: optional(
    text('When it is needed: a condition. Without one it is always needed. Example: "params.amount > 1000".').check(
      check((when: string) =>
        Result.match(parseCondition(when), {
          onFailure: (reason) => `the condition cannot be read: ${reason}`,
          onSuccess: () => true
        })
      )
    )
  ),
  resources: optional(
    patterns("What it is needed for. Absent: all that is asked for under the document.", ["tool:*/pay"]).check(
      check((list) => list.length > 0 || 'must name a resource; without "resources" all are meant', { minItems: 1 })
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

const Attestations = Schema.Union([
  Schema.Array(
    Schema.Union([
      Schema.String.annotate({
        description: '"key", or "key::{condition}": needed for every resource, where the condition holds.'
      }).check(check(attestationFault, { pattern: attestationForm })),
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
const AttestationMetadata = Schema.Struct({
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

/** How many characters of a stream may be held back at most. */
export const maximumHoldBack = 4096

const SoughtPattern = Schema.Struct({
  pattern: text(
    'A regular expression in RE2 syntax that is looked for anywhere in the answer: no lookaround, no backreferences. Example: "(?i)project heron".'
  ).check(
    check((source: string) => {
      const compiled = compileRegex(source)
      if (Result.isFailure(compiled)) return compiled.failure
      return !matchesNothing(compiled.success) || "matches the empty text, and so every answer: make it ask for more"
    })
  )
}).annotate({ title: "Pattern", description: "A pattern that is looked for.", expected: `{"pattern": "…"}` })

/** True for a pattern that finds an empty text. */
const matchesNothing = (regex: RE2JS): boolean =>
  ["", "a", " a1 "].some((sample) => {
    const matcher = regex.matcher(sample)
    return matcher.find() && matcher.start() === matcher.end()
  })

const Denied = Schema.Array(
  Schema.Union([Schema.String.check(nonEmpty), SoughtPattern]).annotate({
    description: 'A text that is denied as it is written (case counts), or {"pattern": "…"}.',
    expected: `a text that is not empty, or {"pattern": "…"}`
  })
).annotate({
  title: "Denied texts",
  description: 'Texts that must never reach the caller. Example: ["Project Heron", {"pattern": "A-[0-9]{6}"}].',
  expected: `a list of texts and patterns, such as ["Project Heron"]`
})

/**
 * What holds for an answer (mapl §8).
 *
 * @category schemas
 */
export const OutputRule = Schema.Struct({
  denied: optional(Denied),
  max_characters: optional(
    whole(1, "How long the text of each choice of an answer may be at most, in UTF-16 units. Example: 20000.")
  ),
  on_response: optional(
    Schema.Literals(["record", "deny"]).annotate({
      description:
        'What happens to an answer that names a tool that policy does not allow, or another model than the one asked: "record" says so in the log (the default), "deny" refuses it.'
    })
  ),
  hold_back: optional(
    whole(
      0,
      "How many characters of a stream may be held back, up to 4096, so that no denied text is released in part. Needed with a pattern; otherwise the longest denied text decides."
    ).check(
      check((held: number) => held <= maximumHoldBack || `must be at most ${maximumHoldBack}, found ${held}`, {
        maximum: maximumHoldBack
      })
    )
  )
})
  .annotate({
    title: "Output rule",
    description: "What holds for an answer. All fields must hold.",
    expected: `an object such as {"denied": ["Project Heron"]}`
  })
  .check(check((rule: { readonly denied?: Deniable; readonly hold_back?: number }) => holdBackFault(rule)))
export type OutputRule = typeof OutputRule.Type

type Deniable = ReadonlyArray<string | { readonly pattern: string }>

/** What is wrong with how far a stream would be held back. */
const holdBackFault = ({ denied = [], hold_back }: { readonly denied?: Deniable; readonly hold_back?: number }) => {
  const faults: Array<{ readonly path: ReadonlyArray<PropertyKey>; readonly issue: string }> = []
  const held = hold_back ?? maximumHoldBack
  for (const [at, one] of denied.entries())
    if (typeof one !== "string") {
      if (hold_back === undefined || hold_back === 0)
        faults.push({
          path: ["denied", at],
          issue: `a pattern needs "hold_back" beside "denied": the length of the longest text that it finds, up to ${maximumHoldBack}`
        })
    } else if (one.length - 1 > held)
      faults.push({
        path: ["denied", at],
        issue:
          hold_back === undefined
            ? `is ${one.length} characters long, and a stream holds back at most ${maximumHoldBack}: write a part of it that tells it apart`
            : `is ${one.length} characters long, so that "hold_back" must be at least ${one.length - 1}, or be left out`
      })
  return faults
}

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

const instantForm = /^(\d{4})-(\d{2})-(\d{2})(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2}))?$/u

const moment = (description: string) =>
  text(description).check(
    check(
      (written: string) =>
        instant(written, "first") !== undefined ||
        `must be ISO-8601 with its offset, such as 2026-01-10T09:00:00Z, found ${showValue(written)}`,
      { pattern: instantForm.source }
    )
  )

const Validity = Schema.Struct({
  not_before: optional(moment("When the document begins to apply: 2026-01-10T09:00:00Z, or a day of UTC.")),
  not_after: optional(moment("When it ends, that instant included: 2026-01-31T17:00:00+01:00, or a day of UTC."))
}).annotate({
  title: "Validity",
  description: "When the document applies. Outside of it, everything is refused to those for whom it takes part.",
  expected: `an object such as {"not_after": "2026-01-31"}`
})

const policyId = (description: string, examples: ReadonlyArray<string>) =>
  Schema.String.annotate({ description, examples }).check(
    nonEmpty,
    check(
      // A document for a name that only looks like another one's would be for somebody else. An editor sees a part of this.
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

const shared = {
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
export const Document = Schema.Struct({ policy_id: PolicyId, ...shared }).annotate({
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
export const Intent = Schema.Struct({ policy_id: optional(PolicyId), ...shared }).annotate({
  expected: `an object such as {"resources": ["tool:**"]}`
})
export type Intent = typeof Intent.Type

/**
 * The JSON Schema (draft-07) of a file of policies, one or an array of them: for editors, and for whoever checks policies
 * without this library. It accepts what {@link parse} accepts, and more: whether a condition or a regular expression can
 * be read is beyond it.
 */
export const jsonSchema = (): JsonSchema.JsonSchema => {
  const file = Schema.Union([
    Document,
    Schema.Array(Document)
      .annotate({ title: "MAPL policies", description: "Policies, each with its policy_id." })
      .check(check((documents) => documents.length > 0, { minItems: 1 }))
  ])
  const { definitions, schema } = JsonSchema.toDocumentDraft07(
    Schema.toJsonSchemaDocument(file, { onExcessProperty: "error" })
  )
  return { $schema: JsonSchema.META_SCHEMA_URI_DRAFT_07, title: "MAPL policies", ...schema, definitions }
}

// ---------------------------------------------------------------------------------------------------------------------
// Reading
// ---------------------------------------------------------------------------------------------------------------------

/** A policy, or everything that is wrong with it. */
export const parse = (value: unknown): Result.Result<Document, ReadonlyArray<Fault>> =>
  Result.mapError(decodeDocument(value), faultsOf(value))

/**
 * An intent: a snapshot of `value`, so that a later change of the caller's object changes nothing. The failure is a
 * sentence that says what is wrong, of an unknown key also where it belongs.
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
 * Names that stand where a resource pattern belongs. A set of policies is linted for what matches nothing; nobody lints an
 * intent, and what it meant to restrict would be open.
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

/** The same of what an attestation is scoped to. */
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

/** Where a condition breaks: {@link parseCondition} names the character. */
const excerptOf = ({ path, reason }: Fault, root: unknown): { readonly excerpt?: Excerpt } => {
  const at = Number(/^the condition (?:of .*|cannot) .* at character (\d+)/su.exec(reason)?.[1])
  const last = path.at(-1)
  const value = valueAt(root, path)
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

// ---------------------------------------------------------------------------------------------------------------------
// Parts
// ---------------------------------------------------------------------------------------------------------------------

/** A `{pattern}` for the linear-time engine; the failure says why it takes it not. */
export const compileRegex = (source: string): Result.Result<RE2JS, string> => {
  try {
    return Result.succeed(RE2JS.compile(source))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return Result.fail(`is no pattern in RE2 syntax (no lookaround, no backreferences): ${reason}`)
  }
}

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
  attestations: NonNullable<Document["attestations"]>
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
