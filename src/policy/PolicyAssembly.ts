/**
 * The fitting together of documents into a set: each is checked, and so is what they extend.
 */
import * as Result from "effect/Result"
import * as Buffer from "node:buffer"
import { maximumDepth } from "../base/CanonicalJson.ts"
import { type Diagnostic, type SourcePlace, showPlace } from "./Diagnostic.ts"
import { type Fault, nearest } from "./Fault.ts"
import { showPath } from "./Notation.ts"
import { IdIndex } from "./IdIndex.ts"
import { type Document, isResourceKey, parse } from "./Mapl.ts"
import type { PolicyFile } from "./PolicyFile.ts"
import { type Flaw } from "./PolicyFile.ts"
import type { ReadPolicies } from "./PolicyReading.ts"
import { locate, makeSet, type PolicySet, type Positions } from "./PolicySet.ts"
import { countMembers, ordinary } from "./Shape.ts"

/** How long the text of one document may be, in bytes of UTF-8. */
const maximumSize = 1024 * 1024

/** How many patterns one document may have. */
const maximumPatterns = 100_000

/** How many documents are parsed at a time. */
const batchSize = 64

/** A shelf and who extends whom: `parents` is the number in `names` of what a document extends, -1 for nothing. */
interface Tree extends Positions {
  readonly ordinals: Array<number>
  readonly firsts: Array<number>
  readonly names: IdIndex
  readonly parents: Array<number>
}

/** A set of all documents that were read, or everything that is wrong with them, one error each. */
export const assemble = ({
  errors: unread,
  files,
  revision
}: ReadPolicies): Result.Result<PolicySet, ReadonlyArray<Diagnostic>> => {
  const errors: Array<Diagnostic> = [...unread]
  const tree: Tree = { ids: new IdIndex(), ordinals: [], files, firsts: [], names: new IdIndex(), parents: [] }
  let first = 0
  for (const file of files) {
    tree.firsts.push(first)
    for (let begin = 0; begin < file.count; begin += batchSize) {
      const end = Math.min(begin + batchSize, file.count)
      const values = file.values(begin, end)
      for (let index = begin; index < end; index++) {
        const value = values?.[index - begin]
        if (!isOrdinary(value, file, index) || !enter(tree, value, first + index))
          errors.push(...checkDocument(tree, file, index, first + index))
      }
    }
    if (file.flaw !== undefined) errors.push(flawed(file, file.flaw, 0))
    first += file.count
  }
  errors.push(...missingParents(tree), ...cycles(tree))
  return errors.length > 0 ? Result.fail(errors) : Result.succeed(makeSet(tree, revision))
}

/** Gives a document its place; false where its id is taken. */
const enter = ({ ids, names, ordinals, parents }: Tree, document: Document, ordinal: number): boolean => {
  if (ids.add(document.policy_id) !== ordinals.length) return false
  ordinals.push(ordinal)
  parents.push(document.extends === undefined ? -1 : names.add(document.extends))
  return true
}

/** True for a document that is right; of any other only a closer look tells. One that nests deep is not ordinary. */
const isOrdinary = (value: unknown, file: PolicyFile, index: number): value is Document =>
  // A UTF-16 code unit is at most three bytes of UTF-8, a pattern at least three characters.
  file.length(index) <= Math.min(maximumSize / 3, 3 * maximumPatterns) && ordinary(value) === file.members[index]

/** What is wrong with a document, which is entered where nothing is. */
const checkDocument = (tree: Tree, file: PolicyFile, index: number, ordinal: number): ReadonlyArray<Diagnostic> => {
  const text = file.slice(index)
  const value = parsed(text)
  const limit = overLimit(text, file.depths[index]!, value)
  if (limit !== undefined) return [{ ...wrong(limit.code, idOf(value), file.begin(index)), message: limit.message }]
  if (value === undefined || countMembers(value) !== file.members[index]) {
    const flaw = file.flawOf(index)
    if (flaw !== undefined) return [flawed(file, flaw, index)]
  }
  const document = parse(value)
  if (Result.isFailure(document)) return document.failure.map((fault) => faulty(fault, value, file, index))
  if (enter(tree, document.success, ordinal)) return []
  const { policy_id: id } = document.success
  const first = locate(tree, id, ["policy_id"])
  return [
    {
      ...wrong("duplicate_id", id, file.locate(index, ["policy_id"])),
      message: `${JSON.stringify(id)} is there twice, first at ${showPlace(first)}`
    }
  ]
}

/** The value of a JSON text; `undefined` where it is none. */
const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const overLimit = (
  text: string,
  depth: number,
  value: unknown
): { readonly code: string; readonly message: string } | undefined => {
  const id = idOf(value) ?? "this policy"
  const size = Buffer.Buffer.byteLength(text)
  if (size > maximumSize)
    return {
      code: "too_long",
      message: `${id} has ${size} bytes, and a policy may have ${maximumSize} (1 MiB): move a part of it to a policy that it extends`
    }
  if (depth > maximumDepth)
    return {
      code: "too_deep",
      message: `${id} is nested ${depth} levels deep, and a policy may have ${maximumDepth}: flatten its values`
    }
  const patterns = countPatterns(value)
  return patterns > maximumPatterns
    ? {
        code: "too_many_patterns",
        message: `${id} has ${patterns} patterns, and a policy may have ${maximumPatterns}: use wildcards, or move some to a policy that it extends`
      }
    : undefined
}

/** How many resource patterns a value has that may be a document. */
const countPatterns = (value: unknown): number => {
  const { attestations, constraints, denied_resources, resources } = membersOf(value)
  const scopes = Array.isArray(attestations) ? attestations.map((entry) => membersOf(entry)["resources"]) : []
  const { denied_parameters, parameters, ...others } = membersOf(constraints)
  return (
    [resources, denied_resources, ...scopes].reduce<number>(
      (sum, list) => sum + (Array.isArray(list) ? list.length : 0),
      0
    ) +
    Object.keys(membersOf(parameters)).length +
    Object.keys(membersOf(denied_parameters)).length +
    Object.keys(others).filter(isResourceKey).length
  )
}

const membersOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? { ...value } : {}

const idOf = (value: unknown): string | undefined => {
  const { policy_id: id } = membersOf(value)
  return typeof id === "string" ? id : undefined
}

const wrong = (code: string, policy: string | undefined, place: SourcePlace): Omit<Diagnostic, "message"> => ({
  severity: "error",
  code,
  policy,
  path: "",
  place
})

const flawed = (file: PolicyFile, { at, code, message }: Flaw, index: number): Diagnostic => ({
  severity: "error",
  code,
  message,
  path: "",
  place: file.place(at, index)
})

const faulty = (fault: Fault, value: unknown, file: PolicyFile, index: number): Diagnostic => {
  const isNameless = fault.path.length === 1 && fault.path[0] === "policy_id" && fault.reason === "missing key"
  return {
    severity: "error",
    code: fault.unknownKey ? "unknown_key" : isNameless ? "missing_id" : "invalid_value",
    policy: idOf(value),
    path: isNameless ? "" : showPath(fault.unknownKey ? fault.path.slice(0, -1) : fault.path),
    message: isNameless
      ? `no policy_id: say what the policy is bound to, such as "policy_id": "user:alice"`
      : fault.reason,
    excerpt: fault.excerpt,
    place: file.locate(index, fault.path)
  }
}

/** Among so many ids at most a near one is looked for. */
const mostCompared = 10_000

const missingParents = (tree: Tree): ReadonlyArray<Diagnostic> => {
  const { ids, names, parents } = tree
  const isMissing = Array.from(names.ids(), (id) => ids.number(id) === -1)
  if (!isMissing.includes(true)) return []
  const known = ids.size > mostCompared ? [] : [...ids.ids()]
  return parents.flatMap((name, number) => {
    if (name === -1 || !isMissing[name]) return []
    const id = ids.id(number)
    const message = `${id} extends ${names.id(name)}, which is not among the policies`
    const meant = nearest(names.id(name), known)
    const hint = meant === undefined || meant === id ? undefined : `did you mean ${JSON.stringify(meant)}?`
    return [{ ...wrong("missing_parent", id, locate(tree, id, ["extends"])), message, hint }]
  })
}

/** One error for each document whose `extends` closes a circle. */
const cycles = (tree: Tree): ReadonlyArray<Diagnostic> => {
  const { ids, names, parents } = tree
  const numbers = Array.from(names.ids(), (id) => ids.number(id))
  const parentOf = (number: number): number => numbers[parents[number]!] ?? -1
  const [fresh, inChain, done] = [0, 1, 2]
  const state = new Uint8Array(parents.length)
  const closing: Array<number> = []
  for (let start = 0; start < parents.length; start++) {
    let [last, next] = [-1, start]
    while (next !== -1 && state[next] === fresh) {
      state[next] = inChain
      last = next
      next = parentOf(next)
    }
    if (last !== -1 && state[next] === inChain) closing.push(last)
    for (let each = start; each !== -1 && state[each] === inChain; each = parentOf(each)) state[each] = done
  }
  return closing.map((number) => {
    const [id, parent] = [ids.id(number), names.id(parents[number]!)]
    const circle: Array<string> = []
    for (let each = parentOf(number); each !== number; each = parentOf(each)) circle.push(ids.id(each))
    circle.push(id, parent)
    const message = `${id} extends ${parent}, which closes a cycle: ${inShort(circle).join(" → ")}`
    return { ...wrong("cycle", id, locate(tree, id, ["extends"])), message }
  })
}

/** How many policies of a cycle are named: more than anybody nests. */
const mostNamed = 100

const inShort = (circle: ReadonlyArray<string>): ReadonlyArray<string> =>
  circle.length <= mostNamed
    ? circle
    : [...circle.slice(0, mostNamed - 2), `${circle.length - mostNamed} more`, ...circle.slice(-2)]
