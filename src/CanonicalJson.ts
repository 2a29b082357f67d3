/**
 * JSON as this house reads and digests it: one strict reading of bytes that came from outside, and one canonical
 * spelling (RFC 8785) for digests. Canonical text is never sent to a provider: structured output follows the key order
 * of a schema, which canonical JSON would change.
 *
 * @since 0.1.0
 */
import { parse as parseWithLocations, type ValueNode } from "@humanwhocodes/momoa"
import canonicalizeValue from "canonicalize"
import * as Result from "effect/Result"
import { isDeepStrictEqual, types } from "node:util"

/** A value that JSON can say. */
export type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [key: string]: Json }

/** A JSON object. */
export type JsonObject = { readonly [key: string]: Json }

// Whatever somebody puts in their place later: what was judged stays what is written.
const { parse, stringify } = JSON

/** How deep arrays and objects may nest in a request. */
export const maximumDepth = 64

/** How many UTF-16 code units the text of a request may have. */
export const maximumLength = 64 * 1024 * 1024

/**
 * The RFC 8785 (JCS) text of a JSON value. Feed it parsed JSON only: `undefined` members are left out, and a value that
 * JSON cannot say (a function, a lone surrogate, a non-finite number) throws a `TypeError`.
 */
export const canonicalize = (value: unknown): string => {
  const text = canonicalizeValue(value)
  if (text === undefined) throw new TypeError("not a JSON value")
  return text
}

/**
 * Reads text that must be exactly one JSON object, and read the same by every parser: no duplicate keys (compared after
 * unescaping), no `__proto__`, no integer beyond 2^53 − 1, no number beyond what a double holds (`1e999`), no half of a
 * surrogate pair (which has no UTF-8), at most `levels` (64) levels and 64 MiB. The failure is a sentence that says what is wrong.
 */
export const parseStrictObject = (text: string, levels = maximumDepth): Result.Result<JsonObject, string> => {
  if (text.length > maximumLength) return Result.fail(`it is longer than ${maximumLength} characters`)
  let value: unknown
  try {
    value = parse(text)
  } catch (error) {
    return Result.fail(`it is not JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
  if (!isObject(value)) return Result.fail("it is not a JSON object")
  if (!text.isWellFormed() || (surrogate.test(text) && !isWellFormed(value)))
    return Result.fail("a text in it was cut inside a character (a lone surrogate); `toWellFormed()` mends it")
  if (depthOf(text) > levels) return Result.fail(`it is nested deeper than ${levels} levels`)
  // What `JSON.stringify` wrote reads back to the same text; only other spellings can hide a second reading.
  if (!text.includes("__proto__") && !largeNumber.test(text) && stringify(value) === text) return Result.succeed(value)
  const ambiguity = findAmbiguity(parseWithLocations(text).body)
  return ambiguity === undefined ? Result.succeed(value) : Result.fail(ambiguity)
}

/**
 * The text of a JSON value as `JSON.stringify` writes it, which parses back to an equal value. Throws a `TypeError` where a
 * `toJSON` on a built-in prototype would write another one.
 */
export const jsonText = (value: JsonObject): string => {
  const text = stringify(value)
  if (!writersAreBuiltIn() && !isDeepStrictEqual(parse(text), value))
    throw new TypeError("a toJSON on a built-in prototype changes what is written")
  return text
}

const writersAreBuiltIn = (): boolean =>
  [Object.prototype, Array.prototype, String.prototype, Number.prototype, Boolean.prototype].every(
    (prototype) => !("toJSON" in prototype)
  )

/**
 * A snapshot of `value` as plain JSON, or the path and reason why it is none. Getters, `toJSON` and prototypes are not
 * consulted and a Proxy is refused: only own data properties of plain objects and arrays count. Members that are
 * `undefined` are left out, as `JSON.stringify` does.
 */
export const snapshot = (value: unknown): Result.Result<Json, string> => {
  try {
    return Result.succeed(copy(value, "$", 0))
  } catch (error) {
    if (error instanceof NotPlain) return Result.fail(error.message)
    throw error
  }
}

/** A text that may have an integer beyond 2^53 − 1 in it. */
const largeNumber = /\d{16}|e\+/

class NotPlain extends Error {}

const copy = (value: unknown, path: string, depth: number): Json => {
  if (depth > maximumDepth) throw new NotPlain(`${path} is nested deeper than ${maximumDepth} levels`)
  switch (typeof value) {
    case "string":
    case "boolean":
      return value
    case "number":
      if (!Number.isFinite(value)) throw new NotPlain(`${path} is ${value}, which JSON cannot say`)
      return value
    case "object":
      break
    default:
      throw new NotPlain(`${path} is a ${typeof value}, which JSON cannot say`)
  }
  if (value === null) return null
  if (types.isProxy(value)) throw new NotPlain(`${path} is a Proxy`)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (Array.isArray(value)) {
    if (prototype !== Array.prototype) throw new NotPlain(`${path} is not a plain array`)
    const items: Array<Json> = []
    for (let i = 0; i < value.length; i++)
      items.push(copy(dataProperty(value, String(i), path), `${path}[${i}]`, depth + 1))
    return items
  }
  if (prototype !== Object.prototype && prototype !== null) throw new NotPlain(`${path} is not a plain object`)
  const members: Record<string, Json> = {}
  for (const key of Reflect.ownKeys(value)) {
    if (typeof key === "symbol") throw new NotPlain(`${path} has a symbol for a key`)
    if (key === "__proto__") throw new NotPlain(`${path} has a member named __proto__`)
    const member = dataProperty(value, key, path)
    if (member !== undefined) members[key] = copy(member, `${path}.${key}`, depth + 1)
  }
  return members
}

const dataProperty = (holder: object, key: string, path: string): unknown => {
  const descriptor = Object.getOwnPropertyDescriptor(holder, key)
  if (descriptor === undefined) throw new NotPlain(`${path}[${key}] is a hole`)
  if (!("value" in descriptor)) throw new NotPlain(`${path}.${key} is a getter`)
  return descriptor.value
}

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** An escape that may be half of a surrogate pair. */
const surrogate = /\\u[dD][89a-fA-F]/

/** True where every string and key is Unicode text. */
const isWellFormed = (value: Json): boolean => {
  if (typeof value === "string") return value.isWellFormed()
  if (typeof value !== "object" || value === null) return true
  return Object.entries(value).every(([key, member]) => key.isWellFormed() && isWellFormed(member as Json))
}

/** How deep the arrays and objects of a JSON text nest. */
const depthOf = (text: string): number => {
  let depth = 0
  let deepest = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === quote) {
      i = endOfString(text, i)
    } else if (code === openObject || code === openArray) {
      if (++depth > deepest) deepest = depth
    } else if (code === closeObject || code === closeArray) depth--
  }
  return deepest
}
const [quote, openObject, closeObject, openArray, closeArray] = [0x22, 0x7b, 0x7d, 0x5b, 0x5d]

/** The place of the quote that ends the string that begins at `start`. */
const endOfString = (text: string, start: number): number => {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let backslashes = 0
    while (text[end - 1 - backslashes] === "\\") backslashes++
    if (end === -1 || backslashes % 2 === 0) return end === -1 ? text.length : end
  }
}

const findAmbiguity = (node: ValueNode): string | undefined => {
  switch (node.type) {
    case "Number":
      return !Number.isFinite(node.value) || (Number.isInteger(node.value) && !Number.isSafeInteger(node.value))
        ? `the number at line ${node.loc.start.line}, column ${node.loc.start.column} is beyond ${Number.isFinite(node.value) ? "2^53 − 1" : "what a double holds"}`
        : undefined
    case "Array":
      return firstOf(node.elements, (element) => findAmbiguity(element.value))
    case "Object": {
      const seen = new Set<string>()
      return firstOf(node.members, ({ name, value }) => {
        const key = name.type === "String" ? name.value : name.name
        const where = `at line ${name.loc.start.line}, column ${name.loc.start.column}`
        if (key === "__proto__") return `it has a member named __proto__ ${where}`
        if (seen.has(key)) return `the key ${JSON.stringify(key)} ${where} is there twice`
        seen.add(key)
        return findAmbiguity(value)
      })
    }
    default:
      return undefined
  }
}

const firstOf = <A>(items: ReadonlyArray<A>, find: (item: A) => string | undefined): string | undefined => {
  for (const item of items) {
    const found = find(item)
    if (found !== undefined) return found
  }
  return undefined
}
