/**
 * JSON text with the place of everything in it: for errors with a place.
 */
import { type DocumentNode, parse, type ValueNode } from "@humanwhocodes/momoa"
import * as Result from "effect/Result"

/** Where something begins: line and column from 1, offset from 0 in UTF-16 code units. */
export interface Position {
  readonly line: number
  readonly column: number
  readonly offset: number
}

/** Why a text is no JSON, and where. */
export interface NotJson extends Position {
  readonly reason: string
}

/** A text as a tree; the failure says where it is no JSON, and why. */
export const parseTree = (text: string): Result.Result<DocumentNode, NotJson> => {
  try {
    return Result.succeed(parse(text))
  } catch (cause) {
    const { column, line, offset } = { column: 1, line: 1, offset: 0, ...(typeof cause === "object" ? cause : {}) }
    const reason = cause instanceof Error ? cause.message.replace(/ ?\(\d+:\d+\)\.?$/u, "") : String(cause)
    return Result.fail({ line, column, offset, reason })
  }
}

/** Where the value at `path` begins: its key in an object, or the nearest thing around it. */
export const startOf = (root: ValueNode, path: ReadonlyArray<PropertyKey>): Position => {
  let node = root
  let { start } = root.loc
  for (const step of path) {
    if (node.type === "Array" && typeof step === "number" && node.elements[step] !== undefined) {
      node = node.elements[step].value
      start = node.loc.start
    } else if (node.type === "Object") {
      const member = node.members.find(({ name }) => (name.type === "String" ? name.value : name.name) === step)
      if (member === undefined) return start
      node = member.value
      start = member.name.loc.start
    } else return start
  }
  return start
}

/** A key that parsers do not agree on. */
export const ambiguousKey = (node: ValueNode): { readonly at: Position; readonly reason: string } | undefined => {
  if (node.type === "Array") return firstOf(node.elements, (element) => ambiguousKey(element.value))
  if (node.type !== "Object") return undefined
  const seen = new Set<string>()
  return firstOf(node.members, ({ name, value }) => {
    const key = name.type === "String" ? name.value : name.name
    const at = name.loc.start
    if (key === "__proto__") return { at, reason: "a key must not be __proto__" }
    if (seen.has(key)) return { at, reason: `the key ${JSON.stringify(key)} is there twice` }
    seen.add(key)
    return ambiguousKey(value)
  })
}

const firstOf = <A, B>(items: ReadonlyArray<A>, find: (item: A) => B | undefined): B | undefined => {
  for (const item of items) {
    const found = find(item)
    if (found !== undefined) return found
  }
  return undefined
}
