/**
 * What the fields of a document are made of: schemas with checks that an editor's JSON Schema can make as well.
 */
import type * as JsonSchema from "effect/JsonSchema"
import * as Schema from "effect/Schema"
import { showValue } from "../Notation.ts"

/** A key that may be absent. */
export const optional: typeof Schema.optionalKey = Schema.optionalKey

/** A filter that an editor's JSON Schema can make as well, at least in part. */
export const filter = <A>(test: (value: A) => Schema.FilterOutput, fragment: JsonSchema.JsonSchema = {}) =>
  Schema.makeFilter(test, { toJsonSchema: () => fragment })

/** Every key must pass; the filter says why one does not. A key's own schema would only leave the key out. */
export const keys = <A>(test: (key: string) => true | string, form?: string) =>
  filter<Readonly<Record<string, A>>>(
    (record) =>
      Object.keys(record).flatMap((key) => {
        const passed = test(key)
        return passed === true ? [] : [{ path: [key], issue: passed }]
      }),
    form === undefined ? {} : { propertyNames: { pattern: form } }
  )

/** Refuses the empty string. */
export const nonEmpty = filter((text: string) => text !== "" || "must not be empty", { minLength: 1 })

/** A string. */
export const text = (description: string) => Schema.String.annotate({ description })

/** A safe integer of at least `least`; `note` follows the demand in the message. */
export const whole = (least: number, description: string, note = "") =>
  Schema.Finite.annotate({ description }).check(
    filter(
      (value: number) =>
        (Number.isSafeInteger(value) && value >= least) ||
        `must be ${least === 0 ? "a whole number from 0" : `at least ${least}, and whole`}${note}, found ${showValue(value)}`,
      { type: "integer", minimum: least }
    )
  )

/** A number that is neither infinite nor NaN. */
export const finite = (description: string) => Schema.Finite.annotate({ description })

const Pattern = Schema.String.annotate({ description: "A resource pattern." }).check(nonEmpty)

/** A list of resource patterns. */
export const patterns = (description: string, ...examples: ReadonlyArray<ReadonlyArray<string>>) =>
  Schema.Array(Pattern).annotate({ description, examples, expected: "a list of resource patterns" })

/** A list of JSON values. */
export const values = (description: string) =>
  Schema.Array(Schema.Json).annotate({ description, expected: "a list of values" })

/** What happens to a request that breaks a bound. */
export const onViolation = (description: string) => Schema.Literals(["rewrite", "deny"]).annotate({ description })
