/**
 * JSON as this house reads and digests it: one strict reading of bytes that came from outside, and one canonical
 * spelling (RFC 8785) for digests. Canonical text is never sent to a provider: structured output follows the key order
 * of a schema, which canonical JSON would change.
 */
import canonicalizeValue from "canonicalize"
import * as Result from "effect/Result"
import { isDeepStrictEqual, types } from "node:util"
import { Content } from "./Content.ts"
import { isArray, isObject, type Json, type JsonObject } from "./Json.ts"
import { isExact } from "./JsonNumbers.ts"
import { spliced } from "./JsonSplice.ts"
import { countMembers, duplicateKey, textAt } from "./JsonText.ts"

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
 * unescaping), no `__proto__`, no number beyond what a double holds (`1e999`), no half of a surrogate pair (which has no
 * UTF-8), at most `levels` (64) levels and 64 MiB. A number that readers take for different ones may be there; where it is
 * judged, see {@link contentOf}. The failure is a sentence that says what is wrong, and where.
 */
export const parseStrictObject = (text: string, levels = maximumDepth): Result.Result<JsonObject, string> =>
  parseContent(new Content(text), levels)

/** {@link parseStrictObject}, without integers of 2^53 or more: for claims, which are judged whatever they are. */
export const parseExactObject = (text: string, levels = maximumDepth): Result.Result<JsonObject, string> =>
  read(new Content(text), { levels, numbers: isExact })

/** {@link parseStrictObject}, of a text that is needed by its bytes later. */
export const parseContent = (content: Content, levels = maximumDepth): Result.Result<JsonObject, string> =>
  read(content, { levels, numbers: Number.isFinite })

/** The text that params were read from, which may say more of a number than a double does; undefined where there is none. */
export const contentOf = (params: JsonObject): Content | undefined => contents.get(params)

/** Says which text params were read from, or are written as. */
export const setContent = (params: JsonObject, content: Content | undefined): void => {
  if (content !== undefined) contents.set(params, content)
}

const contents = new WeakMap<JsonObject, Content>()

/** How a text is read: how deep it may nest, and which numbers may be in it. */
interface Reading {
  readonly levels: number
  readonly numbers: (value: number) => boolean
}

const read = (content: Content, reading: Reading): Result.Result<JsonObject, string> => {
  const { text } = content
  if (text.length > maximumLength) return Result.fail(`it is longer than ${maximumLength} characters`)
  let value: unknown
  try {
    value = parse(text)
  } catch (error) {
    return Result.fail(`it is not JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
  if (!isObject(value)) return Result.fail("it is not a JSON object")
  if (!text.isWellFormed()) return Result.fail(inWords({ what: "halved", steps: [] }, content, reading))
  const members = new Members(reading, surrogate.test(text))
  const fault = members.faultOf(value, 1)
  if (fault !== undefined) return Result.fail(inWords(fault, content, reading))
  // Of two members with one key JSON.parse keeps one: then the text has more of them than the value.
  if (countMembers(content.bytes) === members.count) {
    contents.set(value, content)
    return Result.succeed(value)
  }
  const { key, path } = duplicateKey(content.bytes) ?? { key: "", path: "" }
  return Result.fail(`the key ${stringify(key)} is there twice${inside(path)}`)
}

/**
 * The text of a JSON value as `JSON.stringify` writes it, which parses back to an equal value. Throws a `TypeError` where a
 * `toJSON` on a built-in prototype would write another one.
 */
export const jsonText = (value: Json): string => {
  const text = stringify(value)
  if (!writersAreBuiltIn() && !isDeepStrictEqual(parse(text), value))
    throw new TypeError("a toJSON on a built-in prototype changes what is written")
  return text
}

/**
 * The text of `after`, made of the one that `before` was parsed from: what both have in common keeps its own characters, and
 * only the rest is written anew. Throws a `TypeError` where `before` is not what `content` says.
 */
export const edited = (content: Content, before: JsonObject, after: JsonObject): Content => {
  const bytes = spliced(content.bytes, before, after, jsonText)
  return bytes === content.bytes ? content : Content.of(bytes)
}

/** True where no `toJSON` on a built-in prototype changes what `JSON.stringify` writes. */
export const writersAreBuiltIn = (): boolean =>
  [Object.prototype, Array.prototype, String.prototype, Number.prototype, Boolean.prototype].every(
    (prototype) => !("toJSON" in prototype)
  )

/**
 * A snapshot of `value` as plain JSON, or the path and reason why it is none. Getters, `toJSON` and prototypes are not
 * consulted and a Proxy is refused: only own data properties of plain objects and arrays count. Members that are
 * `undefined` are left out, as `JSON.stringify` does. What was read from a text is still known by it.
 */
export const snapshot = (value: unknown): Result.Result<Json, string> => {
  try {
    const copied = copy(value, "$", 0)
    if (isObject(value) && isObject(copied)) setContent(copied, contentOf(value))
    return Result.succeed(copied)
  } catch (error) {
    if (error instanceof NotPlain) return Result.fail(error.message)
    throw error
  }
}

class NotPlain extends Error {}

const copy = (value: unknown, path: string, depth: number): Json => {
  if (depth > maximumDepth) throw new NotPlain(`${path} is nested deeper than ${maximumDepth} levels`)
  switch (typeof value) {
    case "string":
      if (!value.isWellFormed()) throw new NotPlain(`${path} was cut inside a character (a lone surrogate)`)
      return value
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
    if (!key.isWellFormed()) throw new NotPlain(`a key of ${path} was cut inside a character (a lone surrogate)`)
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

/** An escape that may be half of a surrogate pair. */
const surrogate = /\\u[dD][89a-fA-F]/

/** What is wrong with a value, and where: the steps of its path, the last first. */
interface Fault {
  readonly what: "depth" | "halved" | "__proto__" | "number"
  readonly steps: Array<string>
}

/** One way through a value that was parsed: what no parser should be given, and how many members its objects have together. */
class Members {
  count = 0
  readonly #reading: Reading
  /** True where the text has escapes of halves of surrogate pairs. */
  readonly #hasHalves: boolean

  constructor(reading: Reading, hasHalves: boolean) {
    this.#reading = reading
    this.#hasHalves = hasHalves
  }

  faultOf(value: Json, depth: number): Fault | undefined {
    switch (typeof value) {
      case "number":
        return this.#reading.numbers(value) ? undefined : { what: "number", steps: [] }
      case "string":
        return this.#isHalved(value) ? { what: "halved", steps: [] } : undefined
      case "object":
        if (value === null) return undefined
        if (depth > this.#reading.levels) return { what: "depth", steps: [] }
        return isArray(value) ? this.#faultOfArray(value, depth) : this.#faultOfObject(value, depth)
      default:
        return undefined
    }
  }

  #faultOfArray(value: ReadonlyArray<Json>, depth: number): Fault | undefined {
    for (let i = 0; i < value.length; i++) {
      const fault = this.faultOf(value[i]!, depth + 1)
      if (fault === undefined) continue
      fault.steps.push(`[${i}]`)
      return fault
    }
    return undefined
  }

  #faultOfObject(value: JsonObject, depth: number): Fault | undefined {
    const keys = Object.keys(value)
    this.count += keys.length
    for (const key of keys) {
      if (key === "__proto__") return { what: key, steps: [] }
      if (this.#isHalved(key)) return { what: "halved", steps: [] }
      const fault = this.faultOf(value[key]!, depth + 1)
      if (fault === undefined) continue
      fault.steps.push(key)
      return fault
    }
    return undefined
  }

  #isHalved(text: string): boolean {
    return this.#hasHalves && !text.isWellFormed()
  }
}

const inWords = ({ steps, what }: Fault, content: Content, { levels }: Reading): string => {
  const path = steps
    .reverse()
    .reduce((whole, step) => `${whole}${whole === "" || step[0] === "[" ? "" : "."}${step}`, "")
  switch (what) {
    case "depth":
      return `it is nested deeper than ${levels} levels`
    case "halved":
      return `a text in it was cut inside a character (a lone surrogate)${inside(path)}; \`toWellFormed()\` mends it`
    case "__proto__":
      return `it has a member named __proto__${inside(path)}`
    case "number": {
      const number = textAt(content.bytes, path) ?? ""
      return `${path} is ${number.slice(0, 80)}, which is beyond ${Number.isFinite(Number(number)) ? "2^53 − 1" : "what a double holds"}`
    }
  }
}

const inside = (path: string): string => (path === "" ? "" : ` in ${path}`)
