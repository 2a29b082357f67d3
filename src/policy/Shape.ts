/**
 * The shape of ordinary documents: a quick reading that knows most of what policies are made of, and nothing else. What it
 * does not know may be right or wrong; `Mapl.ts` decides that, and names the fault.
 */
import * as Result from "effect/Result"
import { maximumName } from "../call/Name.ts"
import { parse as parseCondition } from "./Condition.ts"
import { parseAttestation } from "./mapl/Attestation.ts"
import { instant } from "./mapl/Validity.ts"

/** How many members a value has, all objects in it counted; `NaN` where it is not known to be right. */
type Shape = (value: unknown) => number

const known = (isKnown: boolean): number => (isKnown ? 0 : NaN)

const text: Shape = (value) => known(typeof value === "string")
const nonEmpty: Shape = (value) => known(typeof value === "string" && value !== "")
const finite: Shape = (value) => known(Number.isFinite(value))
const count: Shape = (value) => known(Number.isSafeInteger(value) && Number(value) >= 0)
const flag: Shape = (value) => known(typeof value === "boolean")
const scalar: Shape = (value) =>
  known(typeof value === "string" || typeof value === "boolean" || value === null || Number.isFinite(value))

const oneOf = (...words: ReadonlyArray<unknown>): Shape => {
  const set = new Set(words)
  return (value) => known(set.has(value))
}

const list =
  (item: Shape, length?: number): Shape =>
  (value) => {
    if (!Array.isArray(value) || (length !== undefined && value.length !== length)) return NaN
    let members = 0
    for (const each of value) members += item(each)
    return members
  }

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const struct = (fields: Readonly<Record<string, Shape>>): Shape => {
  const shapes = new Map(Object.entries(fields))
  return (value) => {
    if (!isObject(value)) return NaN
    let members = 0
    for (const key in value) {
      const shape = shapes.get(key)
      if (shape === undefined) return NaN
      members += 1 + shape(value[key])
    }
    return members
  }
}

const record =
  (shapeOf: (key: string) => Shape | undefined): Shape =>
  (value) => {
    if (!isObject(value)) return NaN
    let members = 0
    for (const key in value) {
      const shape = key === "__proto__" ? undefined : shapeOf(key)
      if (shape === undefined) return NaN
      members += 1 + shape(value[key])
    }
    return members
  }

/** Kind and name of ASCII, none with a blank at its ends. */
const id: Shape = (value) =>
  known(
    typeof value === "string" &&
      value.length <= maximumName &&
      /^[!-9;-~](?:[ -9;-~]*[!-9;-~])?(?::[!-~](?:[ -~]*[!-~])?)?$/u.test(value)
  )

const day: Shape = (value) => known(typeof value === "string" && instant(value, "first") !== undefined)

const onViolation = oneOf("rewrite", "deny")

const bounds = {
  allowed_values: list(scalar),
  min: finite,
  max: finite,
  range: list(finite, 2),
  type: oneOf("integer", "number", "string", "boolean", "array", "object"),
  min_length: count,
  max_length: count,
  min_items: count,
  max_items: count,
  required: flag,
  on_violation: onViolation
}

const specOf = (inLongForm: Shape): Shape => {
  const values = list(scalar)
  return (value) => (Array.isArray(value) ? values(value) : inLongForm(value))
}
const spec = specOf(struct(bounds))
const downgrade = record((key) => (key === "*" || !key.includes("*") ? nonEmpty : undefined))
const specOfModel = specOf(struct({ ...bounds, downgrade }))

const isParameter = (path: string): boolean => /^[\w-]+(?:\[\])*(?:\.[\w-]+(?:\[\])*)*$/u.test(path)

const parameters = record((path) => (path === "model" ? specOfModel : isParameter(path) ? spec : undefined))

const denied = record((path) => (isParameter(path) ? list(scalar) : undefined))

const isCondition = (when: string): boolean => Result.isSuccess(parseCondition(when))

const scopedNeed = struct({
  key: (value) => known(typeof value === "string" && value.trim() !== "" && !value.includes("::")),
  when: (value) => known(typeof value === "string" && isCondition(value)),
  resources: (value) => (Array.isArray(value) && value.length > 0 ? list(nonEmpty)(value) : NaN)
})

const need: Shape = (value) => {
  if (typeof value === "string") return known(Result.isSuccess(parseAttestation(value)))
  return isObject(value) && Object.hasOwn(value, "key") ? scopedNeed(value) : NaN
}

const metadata = struct({
  approval_criteria: nonEmpty,
  timeout: finite,
  time_to_live: finite,
  one_time: flag,
  max_uses: count,
  description: text
})

const document = struct({
  $schema: text,
  policy_id: id,
  name: text,
  version: text,
  description: text,
  scope: text,
  purpose: text,
  extends: id,
  resources: list(nonEmpty),
  denied_resources: list(nonEmpty),
  constraints: struct({
    parameters: record(() => parameters),
    denied_parameters: record(() => denied),
    rate_limit: (value) => known(Number.isSafeInteger(value) && Number(value) > 0),
    attestations: record(() => metadata)
  }),
  attestations: list(need),
  validity: struct({ not_before: day, not_after: day }),
  on_violation: onViolation
})

/**
 * How many members an ordinary document has, and all objects in it; `NaN` for every other value. A text in which more
 * members stand has a key twice.
 */
export const ordinary: Shape = (value) => (isObject(value) && "policy_id" in value ? document(value) : NaN)

/** How many members a JSON value has, and all objects in it; `NaN` where one is named `__proto__`. */
export const countMembers = (value: unknown): number => {
  if (typeof value !== "object" || value === null) return 0
  let members = Array.isArray(value) ? 0 : Object.keys(value).length
  if (!Array.isArray(value) && Object.hasOwn(value, "__proto__")) return NaN
  for (const each of Object.values(value)) members += countMembers(each)
  return members
}
