/**
 * Random JSON texts, spelt in every way that a writer may choose, held against other readers: JSON.parse for what they say,
 * momoa for what parsers read differently, and `canonicalize` for their canonical spelling.
 */
import { assert } from "@effect/vitest"
import { parse as parseWithPlaces, type ValueNode } from "@humanwhocodes/momoa"
import * as Result from "effect/Result"
import { isDeepStrictEqual } from "node:util"
import {
  canonicalize,
  edited,
  maximumDepth,
  parseExactObject,
  parseStrictObject
} from "../../src/base/CanonicalJson.ts"
import type { Json, JsonObject } from "../../src/base/Json.ts"
import { Content } from "../../src/base/Content.ts"
import { canonicalOf } from "../../src/base/CanonicalText.ts"
import { isExact } from "../../src/base/JsonNumbers.ts"
import { elementsOf, membersOf, textAt } from "../../src/base/JsonText.ts"
import { Random } from "../policy/random.ts"

/** True for a number that a reader of decimals and one of doubles take for the same, which is no integer of 2^53 or more. */
const isRead = (text: string): boolean => {
  const fractionOf = (number: string): readonly [bigint, bigint] => {
    const [digits = "", exponent = "0"] = number.toLowerCase().split("e")
    const [whole = "", decimals = ""] = digits.split(".")
    const power = Number(exponent) - decimals.length
    return power < 0
      ? [BigInt(whole + decimals), 10n ** BigInt(-power)]
      : [BigInt(whole + decimals) * 10n ** BigInt(power), 1n]
  }
  const double = Number(text)
  const [a, b] = fractionOf(text.replace(/^-/u, ""))
  const [c, d] = fractionOf(String(Math.abs(double)))
  return a * d === b * c && (Number.isSafeInteger(double) || !Number.isInteger(double))
}

/** How often each thing was met. */
export type Tally = Map<string, number>

const shortKeys = ["a", "b", "ab", "1", "9", "10", "é", "😀", "\ufb33", 'q"', "s\\", "a.b"]
/** Longer than what is copied in one go. */
const longKeys = ["k", "l"].map((last) => `${"k".repeat(17_000)}${last}`)
const characters = [
  "a",
  "b",
  "0",
  " ",
  '"',
  "\\",
  "/",
  "\n",
  "\t",
  "\u0001",
  "\u007f",
  "é",
  "\u2028",
  "😀",
  "{",
  "]",
  ":"
]
const numbers =
  "0 -0 1 -1 12 1.0 1.50 1e2 1E+2 100 1e20 1e21 1e-7 0.1 5e-324 1e-400 123456789012345 1234567890123456 9007199254740991 9007199254740993 9223372036854775807 2E308 0.99999999999999999999 500.00000000000000001 -0.10000000000000000001 0.1000000000000000000 5.00E+0002 0.000000000000000000123 12345678901234567e-10 1234567890123456.5e-3 0e-999 -0.0E5 9007199254740991.0000000000000001".split(
    " "
  )

/** A text of one value; most are an object. `isSafe`: nothing that parsers read differently is in it, but for chance. */
class Writer {
  readonly #random: Random
  readonly #isSafe: boolean

  constructor(random: Random) {
    this.#random = random
    this.#isSafe = random.chance(0.7)
  }

  object(depth: number): string {
    const random = this.#random
    const keys = random.chance(0.002) ? [...shortKeys, ...longKeys] : shortKeys
    const names = this.#isSafe ? random.some(keys, 0.3) : [...random.some(keys, 0.3), ...random.some(keys, 0.03)]
    const members = names.map((key) => {
      const name = !this.#isSafe && random.chance(0.01) ? "__proto__" : key
      return `${this.#space()}${this.string(name)}${this.#space()}:${this.#space()}${this.value(depth + 1)}${this.#space()}`
    })
    return `{${members.length === 0 ? this.#space() : members.join(",")}}`
  }

  value(depth: number): string {
    const random = this.#random
    const kind = random.next()
    if (depth < 5 && kind < 0.2) return this.object(depth)
    if (depth < 5 && kind < 0.4) {
      const elements = Array.from({ length: Math.floor(random.next() * 5) }, () => this.value(depth + 1))
      return `[${this.#space()}${elements.join(`${this.#space()},${this.#space()}`)}${this.#space()}]`
    }
    if (!this.#isSafe && kind > 0.99) {
      const levels = 55 + Math.floor(random.next() * 12)
      return `${"[".repeat(levels)}${"]".repeat(levels)}`
    }
    if (kind < 0.7) {
      const number = random.pick(numbers)
      return this.#isSafe && !Number.isFinite(Number(number)) ? "7" : number
    }
    if (kind < 0.8) return random.pick(["true", "false", "null"])
    const length = random.chance(0.05) ? 300 : random.chance(0.002) ? 17_000 : Math.floor(random.next() * 8)
    const text = Array.from({ length }, () => random.pick(characters)).join("")
    return !this.#isSafe && random.chance(0.01) ? `"${text.length}\\ud83d"` : this.string(text)
  }

  string(text: string): string {
    const random = this.#random
    const plain = random.chance(0.5)
    let written = ""
    for (const unit of text.split("")) {
      const escaped = JSON.stringify(unit).slice(1, -1)
      const hex = unit.charCodeAt(0).toString(16).padStart(4, "0")
      if (plain || random.chance(0.8)) written += unit >= "\ud800" && unit <= "\udfff" ? unit : escaped
      else if (unit === "/" && random.chance(0.5)) written += "\\/"
      // Half of a pair may not be escaped alone.
      else if (unit >= "\ud800" && unit <= "\udfff") written += unit
      else written += `\\u${random.chance(0.5) ? hex : hex.toUpperCase()}`
    }
    return `"${written}"`
  }

  #space(): string {
    return this.#random.chance(0.9) ? "" : this.#random.pick([" ", "\n", "\t ", "\r\n"])
  }
}

/** What an independent reader has against a text; undefined where nothing. */
const faultOf = (node: ValueNode, depth: number): string | undefined => {
  switch (node.type) {
    case "Number":
      return Number.isFinite(node.value) ? undefined : "number"
    case "String":
      return node.value.isWellFormed() ? undefined : "surrogate"
    case "Array":
      if (depth > maximumDepth) return "depth"
      return node.elements.map(({ value }) => faultOf(value, depth + 1)).find((fault) => fault !== undefined)
    case "Object": {
      if (depth > maximumDepth) return "depth"
      const names = node.members.map(({ name }) => (name.type === "String" ? name.value : name.name))
      if (names.includes("__proto__")) return "__proto__"
      if (new Set(names).size < names.length) return "twice"
      return node.members.map(({ value }) => faultOf(value, depth + 1)).find((fault) => fault !== undefined)
    }
    default:
      return undefined
  }
}

const isExactly = (value: Json): boolean =>
  typeof value === "number"
    ? isExact(value)
    : typeof value !== "object" || value === null || Object.values(value).every((member: Json) => isExactly(member))

/** Another value, which has much in common with the first. */
const changed = (random: Random, value: Json): Json => {
  if (random.chance(0.05)) return random.pick<Json>([1, "new", null, [], {}, { a: [1] }, 2 ** 60])
  if (Array.isArray(value)) {
    const elements = value.map((element: Json) => changed(random, element))
    return random.chance(0.05) ? [...elements, "more"] : random.chance(0.05) ? elements.slice(0, -1) : elements
  }
  if (typeof value !== "object" || value === null) return value
  const members = Object.entries(value)
    .filter(() => random.chance(0.97))
    .map(([key, member]): [string, Json] => [key, changed(random, member as Json)])
  if (random.chance(0.05)) members.splice(Math.floor(random.next() * (members.length + 1)), 0, ["added", 1])
  if (random.chance(0.03)) members.splice(Math.floor(random.next() * (members.length + 1)), 0, ["7", { b: 2 ** 60 }])
  return Object.fromEntries(random.chance(0.02) ? members.toReversed() : members)
}

/** The text of each value in a text, by its path. */
const textsOf = (
  text: Buffer,
  start: number,
  end: number,
  path: string,
  into: Map<string, string>
): Map<string, string> => {
  into.set(path, text.toString("utf8", start, end))
  for (const { end, key, value } of membersOf(text, start))
    textsOf(text, value, end, path === "" ? key : `${path}.${key}`, into)
  for (const [index, element] of elementsOf(text, start).entries())
    textsOf(text, element.start, element.end, `${path}[${index}]`, into)
  return into
}

const valuesOf = (value: Json, path: string, found: Map<string, Json>): Map<string, Json> => {
  found.set(path, value)
  if (Array.isArray(value)) value.forEach((element: Json, i) => valuesOf(element, `${path}[${i}]`, found))
  else if (typeof value === "object" && value !== null)
    for (const [key, member] of Object.entries(value))
      valuesOf(member as Json, path === "" ? key : `${path}.${key}`, found)
  return found
}

/** Holds one random text against all readers. */
const check = (seed: number, tally: Tally): void => {
  const random = new Random(seed)
  const text = ` ${new Writer(random).object(1)}\n`
  const met = (what: string): void => void tally.set(what, (tally.get(what) ?? 0) + 1)
  // A message is made only where it is read: texts are many.
  const holds = (isSo: boolean, what: string): void => {
    if (!isSo) assert.fail(`seed ${seed}: ${what}: ${text}`)
  }
  const read = parseStrictObject(text)
  const fault = faultOf(parseWithPlaces(text, { mode: "json" }).body, 1)
  holds(Result.isFailure(read) === (fault !== undefined), `is it refused for ${fault}?`)
  if (Result.isFailure(read)) return met(fault ?? "")
  met("read")
  const value = read.success
  holds(isDeepStrictEqual(value, JSON.parse(text)), "another value")
  const exact = isExactly(value)
  holds(Result.isSuccess(parseExactObject(text)) === exact, "inexact or not")
  if (!exact) met("inexact")

  const content = new Content(text)
  const end = content.bytes.length - 1
  holds(
    Buffer.concat(canonicalOf(content.bytes, { start: 1, end })).toString() === canonicalize(value),
    "another canonical text"
  )
  const texts = textsOf(content.bytes, 1, end, "", new Map())
  const values = valuesOf(value, "", new Map())
  for (const [path, found] of values) {
    // A key with a dot in it makes two paths of one spelling.
    if (path.includes("a.b")) continue
    const there = texts.get(path)
    holds(there !== undefined && isDeepStrictEqual(JSON.parse(there), found), `another value at ${path}`)
    holds(textAt(content.bytes, path) === there, `another text at ${path}`)
  }

  for (const [path, there] of texts)
    if (!path.includes("a.b") && /^[-\d]/u.test(there)) {
      const expected = isRead(there) ? undefined : there
      holds(content.inexact.get(path) === expected, `exact or not: ${there} at ${path}`)
      holds(content.inexactAt(path) === expected, `exact or not, asked alone: ${there} at ${path}`)
    }

  holds(edited(content, value, structuredClone(value) as JsonObject) === content, "an edit that changes nothing")
  const after = changed(random, value)
  if (typeof after !== "object" || after === null || Array.isArray(after)) return
  const spliced = edited(content, value, after as JsonObject)
  holds(
    JSON.stringify(JSON.parse(spliced.text)) === JSON.stringify(after),
    `not the value that was to be: ${spliced.text}`
  )
  if (spliced === content) return
  met("spliced")
  const left = textsOf(spliced.bytes, 1, spliced.bytes.length - 1, "", new Map())
  for (const [path, to] of valuesOf(after, "", new Map())) {
    if (path.includes("a.b") || typeof to === "object" || !Object.is(to, values.get(path))) continue
    holds(left.get(path) === texts.get(path), `what did not change was written anew at ${path}: ${spliced.text}`)
    if (typeof to === "number" && !isExact(to)) met("inexact kept")
  }
}

/** Holds the texts of so many seeds against all readers. */
export const fuzzTexts = (from: number, to: number, tally: Tally): void => {
  for (let seed = from; seed < to; seed++) check(seed, tally)
}
