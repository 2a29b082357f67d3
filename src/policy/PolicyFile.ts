/**
 * A file of policies as it was read: its text, and where each document stands in it. One pass over the text finds the
 * documents; a document is parsed only when it is needed.
 */
import * as Result from "effect/Result"
import type { SourcePlace } from "./Diagnostic.ts"
import { ambiguousKey, parseTree, startOf } from "./JsonTree.ts"

/** What keeps a text from being read: a code, a sentence, and the offset it is about. */
export interface Flaw {
  readonly code: string
  readonly message: string
  readonly at: number
}

/** A text with its documents, each by its index. */
export class PolicyFile {
  readonly text: string
  /** How many members all objects of a document have, by its index; how deep it nests. */
  readonly members: Uint32Array
  readonly depths: Uint32Array
  /** What keeps the text around the documents from being JSON; in themselves they are not checked. */
  readonly flaw: Flaw | undefined
  readonly #nameOf: (index: number) => string
  readonly #hasLines: boolean
  readonly #starts: Uint32Array
  readonly #ends: Uint32Array
  #lines: Uint32Array | undefined

  private constructor(text: string, nameOf: (index: number) => string, hasLines: boolean) {
    const scanned = scan(text)
    this.text = text
    this.members = new Uint32Array(scanned.members)
    this.depths = new Uint32Array(scanned.depths)
    this.flaw = scanned.flaw
    this.#starts = new Uint32Array(scanned.starts)
    this.#ends = new Uint32Array(scanned.ends)
    this.#nameOf = nameOf
    this.#hasLines = hasLines
  }

  /** Finds the documents of a text: one value, or the elements of one array. */
  static ofText(path: string, text: string): PolicyFile {
    return new PolicyFile(text, () => path, true)
  }

  /** Values as JSON texts; they have names (`policies[3]`) but no lines. */
  static ofValues(texts: ReadonlyArray<string>, nameOf: (index: number) => string): PolicyFile {
    return new PolicyFile(`[${texts.join(",")}]`, nameOf, false)
  }

  get count(): number {
    return this.#starts.length
  }

  /** How many UTF-16 code units the text of a document has. */
  length(index: number): number {
    return this.#ends[index]! - this.#starts[index]!
  }

  /** The text of a document. */
  slice(index: number): string {
    return this.text.slice(this.#starts[index], this.#ends[index])
  }

  /** The values of the documents from `first` to before `end`; `undefined` where not all of them are JSON. */
  values(first: number, end: number): ReadonlyArray<unknown> | undefined {
    try {
      const values: ReadonlyArray<unknown> = JSON.parse(
        `[${this.text.slice(this.#starts[first], this.#ends[end - 1])}]`
      )
      return values.length === end - first ? values : undefined
    } catch {
      return undefined
    }
  }

  /** Where a document begins. */
  begin(index: number): SourcePlace {
    return this.place(this.#starts[index]!, index)
  }

  /** Where the value at `path` in a document stands: its key in an object, or the nearest thing around it. */
  locate(index: number, path: ReadonlyArray<PropertyKey>): SourcePlace {
    if (!this.#hasLines) return this.begin(index)
    const tree = parseTree(this.slice(index))
    if (Result.isFailure(tree)) return this.begin(index)
    return this.place(this.#starts[index]! + startOf(tree.success.body, path).offset, index)
  }

  /** The line and column of an offset, which is in the document `index` or around it. */
  place(offset: number, index: number): SourcePlace {
    if (!this.#hasLines) return { file: this.#nameOf(index), line: 0, column: 0, text: "" }
    this.#lines ??= lineStarts(this.text)
    const line = lastAtMost(this.#lines, offset)
    const [start, next] = [this.#lines[line]!, this.#lines[line + 1] ?? this.text.length]
    const text = this.text.slice(start, next).trimEnd()
    return { file: this.#nameOf(index), line: line + 1, column: offset - start + 1, text }
  }

  /** Why a document is no JSON that every parser reads alike. */
  flawOf(index: number): Flaw | undefined {
    const start = this.#starts[index]!
    const text = this.slice(index)
    const tree = parseTree(text)
    if (Result.isFailure(tree)) return notJson(tree.failure.reason, start + tree.failure.offset)
    const twice = ambiguousKey(tree.success.body)
    if (twice !== undefined) return { code: "ambiguous_key", message: twice.reason, at: start + twice.at.offset }
    try {
      JSON.parse(text)
      return undefined
    } catch (cause) {
      return notJson(cause instanceof Error ? cause.message : String(cause), start)
    }
  }
}

const notJson = (reason: string, at: number): Flaw => ({ code: "not_json", message: `it is not JSON: ${reason}`, at })

/** The index of the last of `sorted` that is at most `value`. */
export const lastAtMost = (sorted: ArrayLike<number>, value: number): number => {
  let [low, high] = [0, sorted.length - 1]
  while (low < high) {
    const middle = (low + high + 1) >>> 1
    if (sorted[middle]! <= value) low = middle
    else high = middle - 1
  }
  return low
}

// ---------------------------------------------------------------------------------------------------------------------
// Scan
// ---------------------------------------------------------------------------------------------------------------------

const [quote, backslash, comma, colon] = [0x22, 0x5c, 0x2c, 0x3a]
const [openObject, closeObject, openArray, closeArray] = [0x7b, 0x7d, 0x5b, 0x5d]

interface Scanned {
  readonly starts: Array<number>
  readonly ends: Array<number>
  readonly members: Array<number>
  readonly depths: Array<number>
  flaw: Flaw | undefined
}

const scan = (text: string): Scanned => {
  const scanned: Scanned = { starts: [], ends: [], members: [], depths: [], flaw: undefined }
  const first = blanks(text, 0)
  const isArray = text.charCodeAt(first) === openArray
  const end = isArray ? scanArray(text, first, scanned) : scanElement(text, first, "a policy or an array", scanned)
  if (scanned.flaw !== undefined) return scanned
  const rest = blanks(text, end)
  if (rest < text.length) scanned.flaw = unexpected(text, rest, "the end")
  else if (scanned.starts.length === 0)
    scanned.flaw = { code: "empty", message: "an empty array holds no policy", at: first }
  return scanned
}

/** Scans the array that begins at `start`, and gives the place after it. */
const scanArray = (text: string, start: number, scanned: Scanned): number => {
  let at = blanks(text, start + 1)
  if (text.charCodeAt(at) === closeArray) return at + 1
  for (;;) {
    at = blanks(text, scanElement(text, at, "a policy", scanned))
    if (scanned.flaw !== undefined) return at
    const code = text.charCodeAt(at)
    if (code === closeArray) return at + 1
    if (code !== comma) {
      scanned.flaw = unexpected(text, at, `"," or "]" after a policy`)
      return at
    }
    at = blanks(text, at + 1)
  }
}

const unexpected = (text: string, at: number, expected: string): Flaw =>
  notJson(`expected ${expected}, found ${at < text.length ? JSON.stringify(text[at]) : "the end"}`, at)

/** The place of the next character that is not white space. */
const blanks = (text: string, from: number): number => {
  let at = from
  while (isBlank(text.charCodeAt(at))) at++
  return at
}

const isBlank = (code: number): boolean => code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09

/** Scans the value that begins at `start`, up to where its brackets close, and gives the place after it. */
const scanElement = (text: string, start: number, expected: string, scanned: Scanned): number => {
  let [at, depth, deepest, members] = [start, 0, 0, 0]
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === quote) at = endOfString(text, at)
    else if (code === colon) members++
    else if (code === openObject || code === openArray) {
      if (++depth > deepest) deepest = depth
    } else if (code === closeObject || code === closeArray) {
      if (depth === 0) break
      if (--depth === 0) {
        at++
        break
      }
    } else if (depth === 0 && (code === comma || isBlank(code))) break
  }
  const end = Math.min(at, text.length)
  if (end === start) scanned.flaw = unexpected(text, start, expected)
  else {
    scanned.starts.push(start)
    scanned.ends.push(end)
    scanned.members.push(members)
    scanned.depths.push(deepest)
  }
  return end
}

/** The place of the quote that ends the string that begins at `start`; the end of the text where none does. */
const endOfString = (text: string, start: number): number => {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === quote) return at
    if (code === backslash) at++
  }
  return text.length
}

const lineStarts = (text: string): Uint32Array => {
  const starts = [0]
  for (const { 0: end, index } of text.matchAll(/\r\n|\n|\r/gu)) starts.push(index + end.length)
  return new Uint32Array(starts)
}
