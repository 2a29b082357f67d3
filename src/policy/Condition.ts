/**
 * When an attestation is needed (mapl §6): a condition over params, principal and held attestations, in three-valued
 * logic. What cannot be decided stays undecided, and whoever asks treats that as "needed".
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type { JsonObject } from "../CanonicalJson.ts"
import { isExact } from "../JsonText.ts"
import { operations } from "../Operation.ts"
import type { Principal } from "../Principal.ts"
import { inexactIn } from "./Inexact.ts"
import { parameter as parameterOf, read } from "./Parameter.ts"
import { valueGlob } from "./Pattern.ts"

/** Holds, does not hold, or cannot be decided. */
export type Truth = boolean | undefined

/** What a condition is asked about. */
export interface Facts {
  readonly params: JsonObject
  readonly principal: Principal
}

/** A parsed condition. Pure. */
export type Condition = (facts: Facts) => Truth

/** How deep parentheses and `NOT` may nest. */
const maximumDepth = 64

/** How long the text of a condition may be. */
const maximumLength = 4096

/**
 * Parses a condition such as `params.amount > 100 AND NOT principal.has_role('treasurer')`. The failure says what is
 * wrong, and at which character (from 1).
 */
export const parse = (source: string): Result.Result<Condition, string> => {
  if (source.length > maximumLength) return Result.fail(`longer than ${maximumLength} characters`)
  try {
    const reader = new Reader(scan(source))
    const condition = disjunction(reader, 0)
    reader.end()
    return Result.succeed(condition)
  } catch (error) {
    if (error instanceof SyntaxFault) return Result.fail(error.message)
    throw error
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Three-valued logic
// ---------------------------------------------------------------------------------------------------------------------

const and = (left: Truth, right: Truth): Truth =>
  left === false || right === false ? false : left === undefined || right === undefined ? undefined : true

const or = (left: Truth, right: Truth): Truth =>
  left === true || right === true ? true : left === undefined || right === undefined ? undefined : false

const not = (truth: Truth): Truth => (truth === undefined ? undefined : !truth)

// ---------------------------------------------------------------------------------------------------------------------
// Values
// ---------------------------------------------------------------------------------------------------------------------

type Scalar = string | number | boolean

/** Stands for a value that no comparison can decide: an array or object, or two spellings that differ. */
const opaque = Symbol("opaque")

/** `undefined` is a value that is missing. */
type Value = Scalar | typeof opaque | undefined

type Operand = (facts: Facts) => Value

const scalar = (value: unknown): Value => {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value
    case "number":
      return isExact(value) ? value : opaque
    default:
      return value === undefined || value === null ? undefined : opaque
  }
}

const reach = (holder: unknown, path: ReadonlyArray<string>): Value => {
  let value = holder
  for (const key of path) {
    if (value === undefined || value === null) return undefined
    if (typeof value !== "object" || Array.isArray(value)) return opaque
    value = Object.hasOwn(value, key) ? (value as Readonly<Record<string, unknown>>)[key] : undefined
  }
  return scalar(value)
}

const parameter = (path: ReadonlyArray<string>): Operand => {
  const named = parameterOf(path.join("."), operations.generate)
  return ({ params }) => {
    const { found, misshapen } = read(named, params)
    const given = found.map((each) => (inexactIn(params, each) === undefined ? scalar(each.value) : opaque))
    return misshapen.length === 0 && given.every((value) => value === given[0]) ? given[0] : opaque
  }
}

const ofPrincipal =
  (path: ReadonlyArray<string>): Operand =>
  ({ principal }) => {
    switch (path.join(".")) {
      case "id":
        return principal.id
      case "kind":
        return principal.kind
      case "issuer":
        return principal.issuer
      default:
        return reach(principal.claims, path)
    }
  }

const equal = (left: Value, right: Value): Truth =>
  left === undefined || right === undefined ? false : left === opaque || right === opaque ? undefined : left === right

const ordered = (holds: (left: number, right: number) => boolean) => (left: Value, right: Value) =>
  typeof left === "number" && typeof right === "number" ? holds(left, right) : undefined

const comparisons: ReadonlyMap<string, (left: Value, right: Value) => Truth> = new Map([
  ["==", equal],
  ["!=", (left: Value, right: Value) => not(equal(left, right))],
  ["<", ordered((left, right) => left < right)],
  ["<=", ordered((left, right) => left <= right)],
  [">", ordered((left, right) => left > right)],
  [">=", ordered((left, right) => left >= right)]
])

// ---------------------------------------------------------------------------------------------------------------------
// Reading
// ---------------------------------------------------------------------------------------------------------------------

class SyntaxFault extends Error {}

type Token =
  | { readonly kind: "word" | "mark" | "end"; readonly text: string; readonly at: number }
  | { readonly kind: "literal"; readonly text: string; readonly value: Scalar; readonly at: number }

const tokenForm =
  /\s*(?:(?<word>[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z_][A-Za-z0-9_-]*)*)|(?<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|'(?<string>(?:[^'\\]|\\.)*)'|(?<mark>==|!=|<=|>=|[<>(),]))/suy

const scan = (source: string): ReadonlyArray<Token> => {
  const tokens: Array<Token> = []
  const end = source.trimEnd().length
  let from = 0
  while (from < end) {
    tokenForm.lastIndex = from
    const found = tokenForm.exec(source)
    const groups = found?.groups
    const start = from + (/^\s*/u.exec(source.slice(from))?.[0].length ?? 0)
    if (groups === undefined)
      throw new SyntaxFault(`unexpected ${JSON.stringify(source[start])} at character ${start + 1}`)
    const at = start + 1
    if (groups["word"] !== undefined) {
      const word = groups["word"]
      tokens.push(
        word === "true" || word === "false"
          ? { kind: "literal", text: word, value: word === "true", at }
          : { kind: "word", text: word, at }
      )
    } else if (groups["number"] !== undefined)
      tokens.push({ kind: "literal", text: groups["number"], value: Number(groups["number"]), at })
    else if (groups["string"] !== undefined)
      tokens.push({
        kind: "literal",
        text: `'${groups["string"]}'`,
        value: groups["string"].replaceAll(/\\(.)/gsu, "$1"),
        at
      })
    else tokens.push({ kind: "mark", text: groups["mark"]!, at })
    from = tokenForm.lastIndex
  }
  tokens.push({ kind: "end", text: "the end", at: source.length + 1 })
  return tokens
}

class Reader {
  #at = 0
  readonly #tokens: ReadonlyArray<Token>
  constructor(tokens: ReadonlyArray<Token>) {
    this.#tokens = tokens
  }
  get next(): Token {
    return this.#tokens[this.#at]!
  }
  take(): Token {
    const token = this.next
    if (token.kind !== "end") this.#at++
    return token
  }
  /** Takes the next token if it is this one. */
  accept(text: string): boolean {
    const found = this.next.kind !== "literal" && this.next.kind !== "end" && this.next.text === text
    if (found) this.#at++
    return found
  }
  expect(text: string): void {
    if (!this.accept(text)) throw this.fault(`expected ${text}`)
  }
  literal(): Scalar {
    const token = this.next
    if (token.kind !== "literal") throw this.fault("expected a literal")
    this.#at++
    return token.value
  }
  string(): string {
    const at = this.next
    const value = this.literal()
    if (typeof value !== "string") throw new SyntaxFault(`expected a 'string' at character ${at.at}, found ${at.text}`)
    return value
  }
  end(): void {
    if (this.next.kind !== "end") throw this.fault("expected AND, OR or the end")
  }
  fault(expected: string): SyntaxFault {
    return new SyntaxFault(`${expected} at character ${this.next.at}, found ${this.next.text}`)
  }
}

const disjunction = (reader: Reader, depth: number): Condition => {
  let condition = conjunction(reader, depth)
  while (reader.accept("OR")) {
    const left = condition
    const right = conjunction(reader, depth)
    condition = (facts) => or(left(facts), right(facts))
  }
  return condition
}

const conjunction = (reader: Reader, depth: number): Condition => {
  let condition = negation(reader, depth)
  while (reader.accept("AND")) {
    const left = condition
    const right = negation(reader, depth)
    condition = (facts) => and(left(facts), right(facts))
  }
  return condition
}

const negation = (reader: Reader, depth: number): Condition => {
  if (depth > maximumDepth) throw new SyntaxFault(`nested deeper than ${maximumDepth} levels`)
  if (reader.accept("NOT")) {
    const condition = negation(reader, depth + 1)
    return (facts) => not(condition(facts))
  }
  if (reader.accept("(")) {
    const condition = disjunction(reader, depth + 1)
    reader.expect(")")
    return condition
  }
  return membership(reader) ?? comparison(reader)
}

const memberships: ReadonlyMap<string, (principal: Principal) => ReadonlyArray<string>> = new Map([
  ["principal.has_role", (principal: Principal) => principal.roles],
  ["principal.has_group", (principal: Principal) => principal.groups],
  ["context.has_attestation", (principal: Principal) => principal.attestations]
])

const membership = (reader: Reader): Condition | undefined => {
  const names = reader.next.kind === "word" ? memberships.get(reader.next.text) : undefined
  if (names === undefined) return undefined
  reader.take()
  reader.expect("(")
  const name = reader.string()
  reader.expect(")")
  return ({ principal }) => names(principal).includes(name)
}

const comparison = (reader: Reader): Condition => {
  const left = operand(reader)
  if (reader.accept("MATCHES")) {
    const matches = valueGlob(reader.string())
    return (facts) => {
      const value = left(facts)
      return value === opaque ? undefined : typeof value === "string" && matches(value)
    }
  }
  if (reader.accept("IN")) {
    reader.expect("(")
    const members: Array<Scalar> = [reader.literal()]
    while (reader.accept(",")) members.push(reader.literal())
    reader.expect(")")
    return (facts) => {
      const value = left(facts)
      return members.reduce<Truth>((found, member) => or(found, equal(value, member)), false)
    }
  }
  const compare = reader.next.kind === "mark" ? comparisons.get(reader.next.text) : undefined
  if (compare === undefined) throw reader.fault("expected a comparison (== != < <= > >= IN MATCHES)")
  reader.take()
  const right = operand(reader)
  return (facts) => compare(left(facts), right(facts))
}

const operand = (reader: Reader): Operand => {
  if (reader.next.kind === "literal") {
    const value = reader.literal()
    return () => value
  }
  const [root, ...path] = reader.next.kind === "word" ? reader.next.text.split(".") : []
  const found = path.length === 0 ? undefined : root === "params" ? parameter(path) : undefined
  const value = found ?? (path.length > 0 && root === "principal" ? ofPrincipal(path) : undefined)
  if (value === undefined) throw reader.fault("expected params.…, principal.… or a literal")
  reader.take()
  return value
}
