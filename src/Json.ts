/**
 * JSON values told apart: TypeScript does not narrow a readonly array by `Array.isArray`.
 *
 * @since 0.2.0
 */
import type { Json, JsonObject } from "./CanonicalJson.ts"

/** True for a JSON array. */
export const isArray = (value: Json | undefined): value is ReadonlyArray<Json> => Array.isArray(value)

/** True for a JSON object: neither null nor an array. */
export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)
