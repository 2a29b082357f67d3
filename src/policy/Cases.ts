/**
 * A file of test cases for policies, `*.cases.json`: who asks what, and what must become of it. Cases name a set of policies
 * in the file, or are about those of the folder that they stand in.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { ViolationCode } from "../call/Decision.ts"
import { type Fault, faultsOf } from "./Fault.ts"
import { instant } from "./mapl/Validity.ts"

const optional = Schema.optionalKey

const JsonObject = Schema.Record(Schema.String, Schema.Json).annotate({ expected: "an object" })

const Names = Schema.Union([Schema.String, Schema.Array(Schema.String)]).annotate({
  expected: "a name, or a list of names"
})

/**
 * Who calls: an app in its own name, a user with what its token says, or an agent; `documents` are further policies that a
 * token names. Without a `kind`, a user where there is a `name`, and otherwise the service's app.
 */
const Caller = Schema.Struct({
  kind: optional(Schema.Literals(["app", "user", "agent"])),
  name: optional(Schema.String),
  company: optional(Names),
  bu: optional(Names),
  team: optional(Names),
  roles: optional(Names),
  groups: optional(Names),
  documents: optional(Schema.Array(Schema.String).annotate({ expected: "a list of policy ids" })),
  claims: optional(JsonObject),
  attestations: optional(Schema.Array(Schema.String).annotate({ expected: "a list of attestations" }))
})
  .annotate({ expected: `an object such as {"kind": "user", "name": "alice"}` })
  .check(
    Schema.makeFilter(({ kind, name }) =>
      (kind === "user" || kind === "agent") && name === undefined
        ? `a caller of the kind ${kind} needs a name`
        : undefined
    )
  )

/** What must become of the request. What is absent is not looked at; `edits` and `codes` must be there exactly. */
const Expected = Schema.Struct({
  verdict: Schema.Literals(["allow", "deny", "pending"]),
  edits: optional(JsonObject),
  codes: optional(Schema.Array(ViolationCode).annotate({ expected: "a list of codes" }))
}).annotate({ expected: `an object such as {"verdict": "allow"}` })

/**
 * One case. `intent` is an intent policy, `intents` are several. `operation` is `generate`, `complete`, `embed`, a tool's name, or a whole resource; `at` is when the request is
 * made, by default now.
 *
 * @category schemas
 */
export const Case = Schema.Struct({
  id: Schema.String,
  policies: optional(Schema.String),
  caller: optional(Caller),
  service: Schema.String,
  operation: optional(Schema.String),
  params: optional(JsonObject),
  intent: optional(JsonObject),
  intents: optional(Schema.Array(JsonObject).annotate({ expected: "a list of intent policies" })),
  at: optional(
    Schema.String.check(
      Schema.makeFilter(
        (text: string) => instant(text, "first") !== undefined || "must be ISO-8601, such as 2026-01-10T09:00:00Z"
      )
    )
  ),
  expect: Expected
}).annotate({ expected: "a case, an object" })
export type Case = typeof Case.Type

const Policies = Schema.Array(Schema.Json).annotate({ expected: "a list of policies" })

const LoadError = Schema.Struct({ id: Schema.String, policies: Policies }).annotate({ expected: "an object" })

/**
 * A file of cases. The sets of `load_errors` must not load.
 *
 * @category schemas
 */
export const Cases = Schema.Struct({
  $schema: optional(Schema.String),
  about: optional(Schema.String),
  policies: optional(Schema.Record(Schema.String, Policies).annotate({ expected: "sets of policies by name" })),
  load_errors: optional(Schema.Array(LoadError).annotate({ expected: "a list of sets of policies" })),
  cases: Schema.Array(Case).annotate({ expected: "a list of cases" })
})
  .annotate({ expected: `an object such as {"cases": [{"id": "alice-may", "service": "my-app", …}]}` })
  .check(
    Schema.makeFilter(({ cases, policies = {} }) =>
      cases.flatMap((one, index) =>
        one.policies === undefined || Object.hasOwn(policies, one.policies)
          ? []
          : [
              {
                path: ["cases", index, "policies"],
                issue: `there is no set ${JSON.stringify(one.policies)} in this file`
              }
            ]
      )
    )
  )
export type Cases = typeof Cases.Type

/** A file's cases, or everything that is wrong with it. */
export const parseCases = (value: unknown): Result.Result<Cases, ReadonlyArray<Fault>> =>
  Result.mapError(decode(value), (error) => faultsOf(value, error, keysAt))

const decode = Schema.decodeUnknownResult(Cases, { errors: "all", onExcessProperty: "error" })

const keysAt = (path: ReadonlyArray<PropertyKey>): ReadonlyArray<string> => {
  if (path.length === 0) return Object.keys(Cases.fields)
  if (path[0] === "load_errors") return Object.keys(LoadError.fields)
  if (path.length === 2) return Object.keys(Case.fields)
  return Object.keys(path[2] === "caller" ? Caller.fields : Expected.fields)
}
