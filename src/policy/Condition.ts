/**
 * When an attestation is needed (mapl §6): a condition over params, principal and held attestations, in three-valued
 * logic. An undecided condition stays undecided; the evaluation treats it as true.
 */
import * as Result from "effect/Result"
import type { JsonObject } from "../base/Json.ts"
import { isExact } from "../base/JsonNumbers.ts"
import { operations } from "../call/Operation.ts"
import type { Principal } from "../call/Principal.ts"
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
export interface Condition {
  readonly truth: (facts: Facts) => Truth
  /** The parameters that it compares, by their paths below `params`. */
  readonly parameters: ReadonlyArray<string>
  /**
   * What is absent and keeps the condition from being false: `params.amount`, `principal.tier`. Empty where what is there
   * decides.
   */
  readonly absent: (facts: Facts) => ReadonlyArray<string>
}

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
    const { because, parameters, truth } = disjunction(reader, 0)
    reader.end()
    return Result.succeed({
      truth,
      parameters: [...new Set(parameters)],
      absent: (facts) => [...new Set(truth(facts) === false ? [] : because(facts, false))]
    })
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

/**
 * A part of a condition. `because` names what is absent and keeps it from being `outcome`: with it, the part could be. It is
 * asked only where the part is not `outcome`, and names nothing where what is there decides.
 */
interface Part {
  readonly truth: (facts: Facts) => Truth
  readonly parameters: ReadonlyArray<string>
  readonly because: (facts: Facts, outcome: boolean) => ReadonlyArray<string>
}

/** Two parts joined by `AND`, which either of them makes `ending` (false), or by `OR`, which either makes true. */
const joined = (left: Part, right: Part, ending: boolean): Part => {
  const join = ending ? or : and
  return {
    truth: (facts) => join(left.truth(facts), right.truth(facts)),
    parameters: [...left.parameters, ...right.parameters],
    because: (facts, outcome) => {
      const open = [left, right].filter((part) => part.truth(facts) !== outcome)
      const reasons = open.map((part) => part.because(facts, outcome))
      // Where one part is enough any absence matters; where both are needed, what is there may decide against it.
      return outcome !== ending && reasons.some((names) => names.length === 0) ? [] : reasons.flat()
    }
  }
}

const negated = ({ because, parameters, truth }: Part): Part => ({
  truth: (facts) => not(truth(facts)),
  parameters,
  because: (facts, outcome) => because(facts, !outcome)
})

// ---------------------------------------------------------------------------------------------------------------------
// Values
// ---------------------------------------------------------------------------------------------------------------------

type Scalar = string | number | boolean

/** Stands for a value that no comparison can decide: an array or object, or two spellings that differ. */
const opaque = Symbol("opaque")

/** `undefined` is a value that is missing. */
type Value = Scalar | typeof opaque | undefined

interface Operand {
  readonly value: (facts: Facts) => Value
  /** `params.amount`, as it is written; of a literal, nothing. */
  readonly name?: string
  /** The parameter's path, where it is one. */
  readonly parameter?: string
}

/** A comparison of operands. */
const comparing = (operands: ReadonlyArray<Operand>, truth: Part["truth"]): Part => ({
  truth,
  parameters: operands.flatMap(({ parameter }) => parameter ?? []),
  because: (facts) => operands.flatMap(({ name, value }) => (value(facts) === undefined ? (name ?? []) : []))
})

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

const parameter = (path: string): Operand["value"] => {
  const named = parameterOf(path, operations.generate)
  return ({ params }) => {
    const { found, misshapen } = read(named, params)
    const given = found.map((each) => (inexactIn(params, each) === undefined ? scalar(each.value) : opaque))
    return misshapen.length === 0 && given.every((value) => value === given[0]) ? given[0] : opaque
  }
}

const ofPrincipal =
  (path: ReadonlyArray<string>): Operand["value"] =>
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

const disjunction = (reader: Reader, depth: number): Part => {
  let condition = conjunction(reader, depth)
  while (reader.accept("OR")) condition = joined(condition, conjunction(reader, depth), true)
  return condition
}

const conjunction = (reader: Reader, depth: number): Part => {
  let condition = negation(reader, depth)
  while (reader.accept("AND")) condition = joined(condition, negation(reader, depth), false)
  return condition
}

const negation = (reader: Reader, depth: number): Part => {
  if (depth > maximumDepth) throw new SyntaxFault(`nested deeper than ${maximumDepth} levels`)
  if (reader.accept("NOT")) return negated(negation(reader, depth + 1))
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

const membership = (reader: Reader): Part | undefined => {
  const names = reader.next.kind === "word" ? memberships.get(reader.next.text) : undefined
  if (names === undefined) return undefined
  reader.take()
  reader.expect("(")
  const name = reader.string()
  reader.expect(")")
  return { truth: ({ principal }) => names(principal).includes(name), parameters: [], because: () => [] }
}

const comparison = (reader: Reader): Part => {
  const left = operand(reader)
  if (reader.accept("MATCHES")) {
    const matches = valueGlob(reader.string())
    return comparing([left], (facts) => {
      const value = left.value(facts)
      return value === opaque ? undefined : typeof value === "string" && matches(value)
    })
  }
  if (reader.accept("IN")) {
    reader.expect("(")
    const members: Array<Scalar> = [reader.literal()]
    while (reader.accept(",")) members.push(reader.literal())
    reader.expect(")")
    return comparing([left], (facts) => {
      const value = left.value(facts)
      return members.reduce<Truth>((found, member) => or(found, equal(value, member)), false)
    })
  }
  const compare = reader.next.kind === "mark" ? comparisons.get(reader.next.text) : undefined
  if (compare === undefined) throw reader.fault("expected a comparison (== != < <= > >= IN MATCHES)")
  reader.take()
  const right = operand(reader)
  return comparing([left, right], (facts) => compare(left.value(facts), right.value(facts)))
}

const operand = (reader: Reader): Operand => {
  if (reader.next.kind === "literal") {
    const value = reader.literal()
    return { value: () => value }
  }
  const name = reader.next.kind === "word" ? reader.next.text : ""
  const [root, ...path] = name.split(".")
  const below = path.join(".")
  const found =
    path.length === 0
      ? undefined
      : root === "params"
        ? { name, parameter: below, value: parameter(below) }
        : root === "principal"
          ? { name, value: ofPrincipal(path) }
          : undefined
  if (found === undefined) throw reader.fault("expected params.…, principal.… or a literal")
  reader.take()
  return found
}
