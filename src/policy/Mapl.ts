/**
 * A MAPL document as it is written: its schema, and the reading of a value as a policy or as an intent. In a policy an
 * unknown key is an error; in an intent, which only restricts, it is left out and reported.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { RE2JS } from "re2js"
import { snapshot } from "../CanonicalJson.ts"
import { type Condition, parse as parseCondition } from "./Condition.ts"

// ---------------------------------------------------------------------------------------------------------------------
// Schema
// ---------------------------------------------------------------------------------------------------------------------

const optional = Schema.optionalKey

const NonEmpty = Schema.String.check(Schema.makeFilter((text: string) => text !== "" || "must not be empty"))

const Patterns = Schema.Array(NonEmpty)

/** Every key must pass; the check says why one does not. A key's own schema would only leave the key out. */
const keys = <A>(check: (key: string) => true | string) =>
  Schema.makeFilter((record: Readonly<Record<string, A>>) =>
    Object.keys(record).flatMap((key) => {
      const passed = check(key)
      return passed === true ? [] : [{ path: [key], issue: passed }]
    })
  )

const OnViolation = Schema.Literals(["rewrite", "deny"])

const Count = Schema.Natural

/** A regular expression that the linear-time engine takes (RE2 syntax). */
const Regex = Schema.String.check(
  Schema.makeFilter((source: string) => {
    const compiled = compileRegex(source)
    return Result.isSuccess(compiled) ? true : compiled.failure
  })
)

/**
 * What a parameter must satisfy, in its long form (mapl §3).
 *
 * @category schemas
 */
export const Bounds = Schema.Struct({
  allowed_values: optional(Schema.Array(Schema.Json)),
  min: optional(Schema.Finite),
  max: optional(Schema.Finite),
  range: optional(Schema.Tuple([Schema.Finite, Schema.Finite])),
  type: optional(Schema.Literals(["integer", "number", "string", "boolean", "array", "object"])),
  pattern: optional(Regex),
  min_length: optional(Count),
  max_length: optional(Count),
  min_items: optional(Count),
  max_items: optional(Count),
  required: optional(Schema.Boolean),
  on_violation: optional(OnViolation),
  downgrade: optional(
    Schema.Record(Schema.String, NonEmpty).check(
      keys((key) => key === "*" || !key.includes("*") || `must name a model, or be "*"`)
    )
  )
})
export type Bounds = typeof Bounds.Type

/**
 * What a parameter must satisfy: a list of allowed values, or {@link Bounds}.
 *
 * @category schemas
 */
export const Spec = Schema.Union([Schema.Array(Schema.Json), Bounds]).annotate({
  expected: `a list of allowed values, or an object such as {"max": 500}`
})
export type Spec = typeof Spec.Type

const parameterForm = /^[^.[\]]+(\[\])*(\.[^.[\]]+(\[\])*)*$/u

const parameterPaths = keys(
  (path) => parameterForm.test(path) || "must be a dotted path such as max_tokens or tools[].function.name"
)

const Parameters = Schema.Record(Schema.String, Spec).check(
  parameterPaths,
  Schema.makeFilter((specs) =>
    Object.entries(specs)
      .filter(([path, spec]) => path !== "model" && "downgrade" in spec)
      .map(([path]) => ({ path: [path, "downgrade"], issue: "has a meaning for the parameter model only" }))
  )
)

const DeniedParameters = Schema.Record(Schema.String, Schema.Array(Schema.Json)).check(parameterPaths)

const attestationFault = (source: string): true | string =>
  Result.match(parseAttestation(source), { onFailure: (reason) => reason, onSuccess: () => true })

const Attestations = Schema.Union([
  Schema.Array(Schema.String.check(Schema.makeFilter(attestationFault))),
  Schema.Record(Schema.String, Schema.Boolean).check(keys(attestationFault))
]).annotate({ expected: "a list of attestations" })

/** How an attestation is obtained (mapl §6): with `approval_criteria` from outside, otherwise it must be held already. */
const AttestationMetadata = Schema.Struct({
  approval_criteria: optional(NonEmpty),
  timeout: optional(Schema.Finite),
  time_to_live: optional(Schema.Finite),
  one_time: optional(Schema.Boolean),
  max_uses: optional(Count),
  description: optional(Schema.String)
})

const Unsupported = Schema.Unknown.check(
  Schema.makeFilter(
    () => "output rules are not supported yet, and a rule that is not enforced must not look as if it were: remove it"
  )
)

const Constraints = Schema.StructWithRest(
  Schema.Struct({
    parameters: optional(Schema.Record(Schema.String, Parameters)),
    denied_parameters: optional(Schema.Record(Schema.String, DeniedParameters)),
    rate_limit: optional(
      Schema.Int.check(
        Schema.makeFilter((limit: number) => limit > 0 || "must be at least 1; denied_resources refuses altogether")
      )
    ),
    attestations: optional(Schema.Record(Schema.String, AttestationMetadata)),
    output: optional(Unsupported)
  }),
  [
    Schema.Record(Schema.TemplateLiteral([Schema.String, ":", Schema.String]), Parameters),
    Schema.Record(Schema.TemplateLiteral([Schema.String, "*", Schema.String]), Parameters)
  ]
)

/** True for a key of `constraints` that is a resource pattern, with parameters placed directly under it. */
export const isResourceKey = (key: string): key is `${string}:${string}` =>
  !Object.hasOwn(Constraints.schema.fields, key)

const Instant = Schema.String.check(
  Schema.makeFilter(
    (text: string) =>
      instant(text, "first") !== undefined || "must be ISO-8601 with its offset, such as 2026-01-10T09:00:00Z"
  )
)

const Validity = Schema.Struct({ not_before: optional(Instant), not_after: optional(Instant) })

const PolicyId = NonEmpty.check(
  Schema.makeFilter(
    (id: string) => (id.trim() === id && !/\p{Cc}/u.test(id)) || "must not hold control characters or outer blanks"
  )
)

const shared = {
  name: optional(Schema.String),
  version: optional(Schema.String),
  description: optional(Schema.String),
  scope: optional(Schema.String),
  purpose: optional(Schema.String),
  extends: optional(PolicyId),
  resources: optional(Patterns),
  denied_resources: optional(Patterns),
  constraints: optional(Constraints),
  attestations: optional(Attestations),
  validity: optional(Validity),
  on_violation: optional(OnViolation)
}

/**
 * A policy (mapl §1).
 *
 * @category schemas
 */
export const Document = Schema.Struct({ policy_id: PolicyId, ...shared })
export type Document = typeof Document.Type

/**
 * A document that restricts a service, a caller or one call; it needs no id.
 *
 * @category schemas
 */
export const Intent = Schema.Struct({ policy_id: optional(PolicyId), ...shared })
export type Intent = typeof Intent.Type

// ---------------------------------------------------------------------------------------------------------------------
// Reading
// ---------------------------------------------------------------------------------------------------------------------

/** What is wrong with a document, where: the keys and indices that lead there. */
export interface Fault {
  readonly path: ReadonlyArray<PropertyKey>
  readonly reason: string
  readonly unknownKey: boolean
}

/** A policy, or everything that is wrong with it. */
export const parse = (value: unknown): Result.Result<Document, ReadonlyArray<Fault>> =>
  Result.mapError(decodeDocument(value), faultsOf)

/**
 * An intent: a snapshot of `value`, so that a later change of the caller's object changes nothing. The failure is a
 * sentence that says what is wrong.
 */
export const parseIntent = (value: unknown): Result.Result<Intent, string> => {
  const plain = snapshot(value)
  if (Result.isFailure(plain)) return Result.fail(`The intent policy is not plain JSON: ${plain.failure}`)
  const faults = Result.match(decodeIntent(plain.success), { onFailure: faultsOf, onSuccess: () => [] })
  const wrong = faults.filter((fault) => !fault.unknownKey)
  if (wrong.length === 0 && isIntent(plain.success)) return Result.succeed(plain.success)
  return Result.fail(`The intent policy is not valid: ${wrong.map(describe).join("; ")}`)
}

/** The keys of an intent that mean nothing and are left out, each with what was probably meant. */
export const unknownKeys = (intent: unknown): ReadonlyArray<string> =>
  Result.match(decodeIntent(intent), { onFailure: faultsOf, onSuccess: () => [] })
    .filter((fault) => fault.unknownKey)
    .map(describe)

/** `constraints.parameters: expected object`; of an unknown key, what holds it. */
export const describe = ({ path, reason, unknownKey }: Fault): string => {
  const about = unknownKey ? path.slice(0, -1) : path
  return about.length === 0 ? reason : `${showPath(about)}: ${reason}`
}

const strictly = { errors: "all", onExcessProperty: "error" } as const
const decodeDocument = Schema.decodeUnknownResult(Document, strictly)
const decodeIntent = Schema.decodeUnknownResult(Intent, strictly)
const isIntent = Schema.is(Intent)

const unexpected = "unexpected key"

const format = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => (issue._tag === "UnexpectedKey" ? unexpected : SchemaIssue.defaultLeafHook(issue))
})

const faultsOf = ({ issue }: Schema.SchemaError): ReadonlyArray<Fault> =>
  format(issue).issues.map(({ message, path }) => {
    const keys = (path ?? []).map((key) => (typeof key === "object" ? key.key : key))
    if (message !== unexpected) return { path: keys, reason: decapitalized(message), unknownKey: false }
    const key = String(keys.at(-1))
    const meant = nearest(key, keysAt(keys.slice(0, -1)))
    const hint = meant === undefined ? "" : `; did you mean ${JSON.stringify(meant)}?`
    return { path: keys, reason: `unknown key ${JSON.stringify(key)}${hint}`, unknownKey: true }
  })

const decapitalized = (message: string): string => message.slice(0, 1).toLowerCase() + message.slice(1)

/** `constraints.parameters["tool:*"].max`, of the keys and indices that lead there. */
export const showPath = (path: ReadonlyArray<PropertyKey>): string =>
  path
    .map((key, at) =>
      typeof key === "number"
        ? `[${key}]`
        : /^[\w$]+$/u.test(String(key))
          ? `${at === 0 ? "" : "."}${String(key)}`
          : `[${JSON.stringify(String(key))}]`
    )
    .join("")

/** The keys that may stand where `path` leads. */
const keysAt = (path: ReadonlyArray<PropertyKey>): ReadonlyArray<string> => {
  if (path.length === 0) return Object.keys(Document.fields)
  if (path[0] === "validity") return Object.keys(Validity.fields)
  if (path.length === 1) return Object.keys(Constraints.schema.fields)
  return Object.keys(path[1] === "attestations" ? AttestationMetadata.fields : Bounds.fields)
}

const nearest = (key: string, candidates: ReadonlyArray<string>): string | undefined => {
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: editDistance(key.toLowerCase(), candidate) }))
    .filter(({ candidate, distance }) => distance <= Math.max(2, candidate.length / 3))
    .sort((a, b) => a.distance - b.distance)
  return ranked[0]?.candidate
}

/** Levenshtein distance. */
const editDistance = (a: string, b: string): number => {
  if (a.length > 64) return Infinity
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
    row = next
  }
  return row[b.length]!
}

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

/** An entry of `attestations`; without a condition it is always needed. */
export interface AttestationNeed {
  readonly key: string
  /** The condition's text. */
  readonly when: string | undefined
  readonly condition: Condition | undefined
}

/** Reads `key` or `key::{condition}`. */
export const parseAttestation = (source: string): Result.Result<AttestationNeed, string> => {
  const split = source.indexOf("::{")
  const key = split === -1 ? source : source.slice(0, split)
  if (key.trim() === "") return Result.fail("names no attestation")
  if (split === -1)
    return source.includes("::")
      ? Result.fail("a condition stands in braces: key::{params.amount > 100}")
      : Result.succeed({ key, when: undefined, condition: undefined })
  if (!source.endsWith("}")) return Result.fail("the condition does not end with }")
  const when = source.slice(split + 3, -1)
  return Result.mapBoth(parseCondition(when), {
    onFailure: (reason) => `the condition of ${key} cannot be read: ${reason}`,
    onSuccess: (condition) => ({ key, when, condition })
  })
}

const instantForm = /^(\d{4})-(\d{2})-(\d{2})(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2}))?$/u

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
