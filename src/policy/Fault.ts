/**
 * What is wrong with a value that a schema does not take, in sentences for a person: what was expected and what was found,
 * and for an unknown key or choice the one that was probably meant.
 */
import { nearest as nearestName, spelled } from "../base/Nearest.ts"
import type * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import * as SchemaIssue from "effect/SchemaIssue"
import type { Excerpt } from "./Diagnostic.ts"
import { showPath, showValue } from "./Notation.ts"

/**
 * What is wrong, where: the keys and indices that lead there. `excerpt` is a text inside a string, and the character of it
 * (from 1) that is wrong.
 */
export interface Fault {
  readonly path: ReadonlyArray<PropertyKey>
  readonly reason: string
  readonly unknownKey: boolean
  readonly excerpt?: Excerpt
}

/** Keys that belong together, and a sentence that says where. */
export interface Home {
  readonly fields: object
  readonly place: string
}

/**
 * One fault for each thing that is wrong with `value`; one that two forms of a key reach is there once. `keysAt` gives the
 * keys that may stand where a path leads, `homes` where other keys belong.
 */
export const faultsOf = (
  value: unknown,
  { issue }: Schema.SchemaError,
  keysAt: (path: ReadonlyArray<PropertyKey>) => ReadonlyArray<string>,
  homes: ReadonlyArray<Home> = []
): ReadonlyArray<Fault> => {
  const unknownKey = (path: ReadonlyArray<PropertyKey>): Fault => {
    const key = String(path.at(-1))
    const home = homes.find(({ fields }) => Object.hasOwn(fields, key))
    const hint = home === undefined ? didYouMean(nearest(key, keysAt(path.slice(0, -1)))) : `; ${home.place}`
    return { path, reason: `unknown key ${JSON.stringify(key)}${hint}`, unknownKey: true }
  }
  const faults = leaves(issue, [], value).map(({ path, reason }) =>
    reason === "" ? unknownKey(path) : { path, reason, unknownKey: false }
  )
  return [...new Map(faults.map((fault) => [JSON.stringify([fault.path, fault.reason]), fault])).values()]
}

/** `constraints.parameters: expected object`; of an unknown key, what holds it. */
export const describe = ({ path, reason, unknownKey }: Fault): string => {
  const about = unknownKey ? path.slice(0, -1) : path
  return about.length === 0 ? reason : `${showPath(about)}: ${reason}`
}

// ---------------------------------------------------------------------------------------------------------------------
// Values
// ---------------------------------------------------------------------------------------------------------------------

/** The value where `path` leads, or `undefined`. */
export const partAt = (root: unknown, path: ReadonlyArray<PropertyKey>): unknown =>
  path.reduce<unknown>(
    (holder, key) =>
      typeof holder === "object" && holder !== null && Object.hasOwn(holder, key)
        ? (holder as Readonly<Record<PropertyKey, unknown>>)[key]
        : undefined,
    root
  )

// ---------------------------------------------------------------------------------------------------------------------
// Issues
// ---------------------------------------------------------------------------------------------------------------------

/** Without a reason: an unknown key. */
interface Leaf {
  readonly path: ReadonlyArray<PropertyKey>
  readonly reason: string
}

const leaves = (
  issue: SchemaIssue.Issue,
  path: ReadonlyArray<PropertyKey>,
  root: unknown,
  expected?: unknown
): ReadonlyArray<Leaf> => {
  switch (issue._tag) {
    case "Pointer":
      return leaves(issue.issue, [...path, ...issue.path], root)
    case "Encoding":
      return leaves(issue.issue, path, root)
    case "Filter":
      return leaves(issue.issue, path, root, issue.filter.annotations?.["expected"])
    case "Composite":
      return issue.issues.some(isMiscount)
        ? [mistyped(path, root, [], issue.ast.annotations?.["expected"])]
        : issue.issues.flatMap((each) => leaves(each, path, root))
    case "AnyOf":
      return issue.issues.length > 0
        ? issue.issues.flatMap((each) => leaves(each, path, root))
        : [mistyped(path, root, choicesOf(issue.ast), issue.ast.annotations?.["expected"])]
    case "UnexpectedKey":
      return [{ path, reason: "" }]
    case "MissingKey":
      return [{ path, reason: "missing key" }]
    case "InvalidValue":
      return typeof issue.annotations?.["message"] === "string"
        ? [{ path, reason: issue.annotations["message"] }]
        : [mistyped(path, root, [], expected)]
    default:
      return [mistyped(path, root, [], "ast" in issue ? expectedOf(issue) : expected)]
  }
}

/** A tuple has too few or too many elements. */
const isMiscount = (issue: SchemaIssue.Issue): boolean =>
  issue._tag === "Pointer" &&
  typeof issue.path[0] === "number" &&
  (issue.issue._tag === "MissingKey" || issue.issue._tag === "UnexpectedKey")

const expectedOf = (issue: SchemaIssue.InvalidType | SchemaIssue.OneOf): unknown => {
  const { expected } = issue.ast.annotations ?? {}
  const named = SchemaIssue.defaultLeafHook(issue).replace(/^Expected /u, "")
  return expected ?? typeNames.get(named) ?? named
}

const typeNames: ReadonlyMap<string, string> = new Map([
  ["string", "a string"],
  ["number", "a number"],
  ["boolean", "true or false"],
  ["array", "a list"],
  ["object", "an object"]
])

/** The literals of a choice. */
const choicesOf = (ast: SchemaAST.Union): ReadonlyArray<string> =>
  ast.types.flatMap((type) => (type._tag === "Literal" && typeof type.literal === "string" ? [type.literal] : []))

/** A value of another kind than what should stand there. */
const mistyped = (
  path: ReadonlyArray<PropertyKey>,
  root: unknown,
  choices: ReadonlyArray<string>,
  expected: unknown
): Leaf => {
  const value = partAt(root, path)
  const options = choices.map((choice) => JSON.stringify(choice))
  const wanted =
    options.length > 0
      ? `${options.slice(0, -1).join(", ")} or ${options.at(-1)}`
      : typeof expected === "string"
        ? expected
        : "another value"
  const meant = typeof value === "string" ? nearest(value, choices) : undefined
  return { path, reason: `expected ${wanted}, found ${showValue(value)}${didYouMean(meant)}` }
}

const didYouMean = (meant: string | undefined): string =>
  meant === undefined ? "" : `; did you mean ${JSON.stringify(meant)}?`

// ---------------------------------------------------------------------------------------------------------------------
// What was meant
// ---------------------------------------------------------------------------------------------------------------------

/** What other languages call a key or a choice. */
const synonyms: ReadonlyMap<string, string> = new Map([
  ["id", "policy_id"],
  ["parent", "extends"],
  ["inherits", "extends"],
  ["allow", "resources"],
  ["allowed_resources", "resources"],
  ["deny", "denied_resources"],
  ["enum", "allowed_values"],
  ["values", "allowed_values"],
  ["allowed", "allowed_values"],
  ["maximum", "max"],
  ["minimum", "min"],
  ["regex", "pattern"],
  ["regexp", "pattern"],
  ["approver", "approval_criteria"],
  ["ttl", "time_to_live"],
  ["rpm", "rate_limit"],
  ["int", "integer"],
  ["float", "number"],
  ["bool", "boolean"],
  ["str", "string"],
  ["text", "string"],
  ["list", "array"],
  ["refuse", "deny"],
  ["reject", "deny"],
  ["block", "deny"],
  ["edit", "rewrite"]
])

/** The candidate that was probably meant: a synonym, another way to write it, or a few letters away. */
export const nearest = (key: string, candidates: ReadonlyArray<string>): string | undefined => {
  const synonym = synonyms.get(spelled(key))
  return synonym !== undefined && candidates.includes(synonym) ? synonym : nearestName(key, candidates)
}
