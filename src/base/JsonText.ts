/**
 * JSON text as it stands, in UTF-8: where its members are, without a copy of what its values hold.
 *
 * This file, `JsonNumbers`, `JsonSplice` and `CanonicalText` take the text of a value that `JSON.parse` has read, without a byte order
 * mark or half of a surrogate pair, and time that grows with its length: a value is passed over once, a long string by its
 * quotes. Places are in bytes.
 */
import {
  closeArray,
  closeObject,
  colon,
  endOfString,
  endOfValue,
  find,
  keyAt,
  openArray,
  openObject,
  quote,
  skipComma,
  skipSpace,
  valueAfter
} from "./JsonTokens.ts"

/** A member of an object: its key as it reads, where its text and its value begin, and where both end. */
export interface Member {
  readonly key: string
  readonly start: number
  readonly value: number
  readonly end: number
}

/** Where an element of an array begins and ends. */
export interface Element {
  readonly start: number
  readonly end: number
}

/** The members of the object that begins at `start`, in the order of the text; none where another value begins there. */
export const membersOf = (text: Buffer, start = skipSpace(text, 0)): ReadonlyArray<Member> => {
  const members: Array<Member> = []
  if (text[start] !== openObject) return members
  for (let at = skipSpace(text, start + 1); text[at] !== closeObject; at = skipComma(text, at)) {
    const value = valueAfter(text, endOfString(text, at))
    const end = endOfValue(text, value)
    members.push({ key: keyAt(text, at), start: at, value, end })
    at = end
  }
  return members
}

/** The elements of the array that begins at `start`, in order; none where another value begins there. */
export const elementsOf = (text: Buffer, start: number): ReadonlyArray<Element> => {
  const elements: Array<Element> = []
  if (text[start] !== openArray) return elements
  for (let at = skipSpace(text, start + 1); text[at] !== closeArray; at = skipComma(text, at)) {
    const end = endOfValue(text, at)
    elements.push({ start: at, end })
    at = end
  }
  return elements
}

/** How many members all objects of a text have together; a key that is there twice counts twice. */
export const countMembers = (text: Buffer): number => {
  let members = 0
  for (let at = find(text, quote, 0); at < text.length; at = find(text, quote, at)) {
    at = endOfString(text, at)
    if (text[skipSpace(text, at)] === colon) members++
  }
  return members
}

/**
 * The first key that is there twice, compared as it reads, with the path of its object (`tools[0].function`, empty at the
 * top); undefined where none is.
 */
export const duplicateKey = (
  text: Buffer,
  start = skipSpace(text, 0),
  path = ""
): { readonly key: string; readonly path: string } | undefined => {
  const seen = new Set<string>()
  for (const { key, value } of membersOf(text, start)) {
    if (seen.has(key)) return { key, path }
    seen.add(key)
    const found = duplicateKey(text, value, path === "" ? key : `${path}.${key}`)
    if (found !== undefined) return found
  }
  for (const [index, element] of elementsOf(text, start).entries()) {
    const found = duplicateKey(text, element.start, `${path}[${index}]`)
    if (found !== undefined) return found
  }
  return undefined
}

/** The text of the value at a path such as `tools[0].function.name`, as policy spells it; undefined where there is none. */
export const textAt = (text: Buffer, path: string, start = skipSpace(text, 0)): string | undefined => {
  if (path === "") return text.toString("utf8", start, endOfValue(text, start))
  const index = /^\[(\d+)\]\.?/u.exec(path)
  const element = index === null ? undefined : elementsOf(text, start)[Number(index[1])]
  if (index !== null && element !== undefined) return textAt(text, path.slice(index[0].length), element.start)
  for (const { key, value } of membersOf(text, start)) {
    // A key may hold a dot or a bracket itself.
    const rest = path.startsWith(key) ? path.slice(key.length) : "-"
    if (rest !== "" && !/^[.[]/u.test(rest)) continue
    const found = textAt(text, rest.startsWith(".") ? rest.slice(1) : rest, value)
    if (found !== undefined) return found
  }
  return undefined
}
