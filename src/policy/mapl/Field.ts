/**
 * What the fields of a document are made of: schemas with checks that an editor's JSON Schema can make as well.
 *
 * @since 0.1.0
 */
import type * as JsonSchema from "effect/JsonSchema"
import * as Schema from "effect/Schema"
import { showValue } from "../Notation.ts"

export const optional = Schema.optionalKey

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

export const nonEmpty = filter((text: string) => text !== "" || "must not be empty", { minLength: 1 })

export const text = (description: string) => Schema.String.annotate({ description })

export const whole = (least: number, description: string, note = "") =>
  Schema.Finite.annotate({ description }).check(
    filter(
      (value: number) =>
        (Number.isSafeInteger(value) && value >= least) ||
        `must be ${least === 0 ? "a whole number from 0" : `at least ${least}, and whole`}${note}, found ${showValue(value)}`,
      { type: "integer", minimum: least }
    )
  )

export const finite = (description: string) => Schema.Finite.annotate({ description })

const Pattern = Schema.String.annotate({ description: "A resource pattern." }).check(nonEmpty)

export const patterns = (description: string, ...examples: ReadonlyArray<ReadonlyArray<string>>) =>
  Schema.Array(Pattern).annotate({ description, examples, expected: "a list of resource patterns" })

export const values = (description: string) =>
  Schema.Array(Schema.Json).annotate({ description, expected: "a list of values" })

export const onViolation = (description: string) => Schema.Literals(["rewrite", "deny"]).annotate({ description })
