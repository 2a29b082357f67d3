/**
 * The canonical spelling (RFC 8785) of a JSON text, made from the text itself.
 */
import type { Element } from "./JsonText.ts"
import {
  backslash,
  closeArray,
  closeObject,
  comma,
  endOfScalar,
  endOfString,
  keyAt,
  minus,
  mostDigits,
  nine,
  openArray,
  openObject,
  quote,
  skipSpace,
  zero
} from "./JsonTokens.ts"

// Whatever somebody puts in their place later: what was judged stays what is written.
const { parse, stringify } = JSON

/**
 * The RFC 8785 (JCS) text of the value between two places, in pieces. `JSON.stringify` writes it so but for the order of keys: then
 * members change places, and nothing is parsed or written anew. Throws a `TypeError` for half of a surrogate pair.
 */
export const canonicalOf = (text: Buffer, { end, start }: Element): ReadonlyArray<Buffer> => {
  const canonical = new Canonical(text.subarray(start, end))
  canonical.value()
  return canonical.pieces
}

/**
 * One way through a text, from left to right. As long as it is canonical nothing is copied, and long strings never are: where one
 * belongs, its number stands between two bytes that no JSON text has.
 */
class Canonical {
  readonly #read: Buffer
  /** How far the way has come. */
  #at = 0
  /** What is canonical up to there; undefined while that is the text itself. */
  #written: Buffer | undefined
  /** How long it is, but for what is kept of the text from here on, which is copied in one go. */
  #end = 0
  #kept = 0
  /** Of each member of the objects around: where its key begins in the text, and where it begins and ends as written. */
  readonly #members: Array<number> = []
  #spare: Buffer | undefined
  /** Long strings, by their numbers. */
  readonly #long: Array<Buffer> = []

  constructor(text: Buffer) {
    this.#read = text
  }

  /** The canonical text, in the pieces that it is made of. */
  get pieces(): ReadonlyArray<Buffer> {
    if (this.#written === undefined) return [this.#read.subarray(0, this.#at)]
    const text = this.#flush(0).subarray(0, this.#end)
    if (this.#long.length === 0) return [text]
    const pieces: Array<Buffer> = []
    let from = 0
    for (let at = text.indexOf(mark); at !== -1; at = text.indexOf(mark, from)) {
      const end = text.indexOf(mark, at + 1)
      pieces.push(text.subarray(from, at), this.#long[Number(text.toString("latin1", at + 1, end))]!)
      from = end + 1
    }
    return [...pieces, text.subarray(from)]
  }

  value(): void {
    this.#skipSpace()
    switch (this.#read[this.#at]) {
      case openObject:
        return this.#object()
      case openArray:
        return this.#array()
      case quote:
        return this.#string()
      default:
        return this.#scalar()
    }
  }

  #array(): void {
    this.#at++
    while (!this.#ends(closeArray)) this.value()
    this.#at++
  }

  #object(): void {
    const members = this.#members
    const before = members.length
    this.#at++
    let isInOrder = true
    while (!this.#ends(closeObject)) {
      members.push(this.#at, this.#length)
      this.#string()
      this.#skipSpace()
      this.#at++
      this.value()
      members.push(this.#length)
      isInOrder &&= members.length === before + 3 || this.#compare(members.length - 6, members.length - 3) < 0
    }
    if (!isInOrder) this.#sort(before)
    members.length = before
    this.#at++
  }

  /** Moves on to the next member or element, with its comma; true at the bracket that ends them. */
  #ends(close: number): boolean {
    this.#skipSpace()
    if (this.#read[this.#at] === comma) {
      this.#at++
      this.#skipSpace()
    }
    return this.#read[this.#at] === close
  }

  #string(): void {
    const [text, start] = [this.#read, this.#at]
    const end = endOfString(text, start)
    if (!hasBackslash(text, start, end) || isCanonicalString(text, start, end)) {
      if (end - start > longest) this.#replace(end, `\0${this.#long.push(text.subarray(start, end)) - 1}\0`)
      else this.#at = end
      return
    }
    const value: unknown = parse(text.toString("utf8", start, end))
    if (typeof value !== "string" || !value.isWellFormed()) throw new TypeError("half of a surrogate pair")
    this.#replace(end, stringify(value))
  }

  #scalar(): void {
    const [text, start] = [this.#read, this.#at]
    const end = endOfScalar(text, start)
    if (isCanonicalScalar(text, start, end)) this.#at = end
    else this.#replace(end, stringify(Number(text.toString("latin1", start, end))))
  }

  #skipSpace(): void {
    const at = skipSpace(this.#read, this.#at)
    if (at !== this.#at) this.#replace(at, "")
  }

  /** How long the canonical text is by now. */
  get #length(): number {
    return this.#end + this.#at - this.#kept
  }

  /** Passes over the text up to `end`, and writes another one in its place. */
  #replace(end: number, text: string): void {
    const bytes = Buffer.from(text)
    const written = this.#flush(bytes.length)
    this.#end += bytes.copy(written, this.#end)
    this.#at = this.#kept = end
  }

  /** Writes what is kept of the text, with room for so many bytes behind it. */
  #flush(bytes: number): Buffer {
    const length = this.#length
    const before = this.#written
    let written = before
    if (written === undefined || length + bytes > written.length) {
      written = this.#written = Buffer.allocUnsafe(
        before === undefined ? this.#read.length + bytes : 2 * (length + bytes)
      )
      before?.copy(written, 0, 0, this.#end)
    }
    copy(this.#read, this.#kept, this.#at, written, this.#end)
    this.#end = length
    this.#kept = this.#at
    return written
  }

  /** Puts the members that were written last in order, those of the list from `first` on. */
  #sort(first: number): void {
    const members = this.#members
    const order: Array<number> = []
    for (let member = first; member < members.length; member += 3) order.push(member)
    if (order.length === 2) order.reverse()
    else order.sort((a, b) => this.#compare(a, b))
    const written = this.#flush(0)
    const start = members[first + 1]!
    const length = this.#end - start
    if (this.#spare === undefined || this.#spare.length < length) this.#spare = Buffer.allocUnsafe(2 * length)
    copy(written, start, this.#end, this.#spare, 0)
    let at = start
    for (const member of order) {
      if (at > start) written[at++] = comma
      const from = members[member + 1]!
      const to = members[member + 2]!
      copy(this.#spare, from - start, to - start, written, at)
      at += to - from
    }
  }

  /** Compares the keys of two members by their UTF-16 code units (RFC 8785 §3.2.3). */
  #compare(a: number, b: number): number {
    const text = this.#read
    let left = this.#members[a]! + 1
    let right = this.#members[b]! + 1
    for (; ; left++, right++) {
      const one = text[left]!
      const other = text[right]!
      // The order of bytes is another one beyond ASCII, and that of escapes too.
      if (one >= 0x80 || other >= 0x80 || one === backslash || other === backslash)
        return compareTexts(keyAt(text, this.#members[a]!), keyAt(text, this.#members[b]!))
      // The quote ends a key: the shorter one comes first.
      if (one === quote || other === quote) return one === other ? 0 : one === quote ? -1 : 1
      if (one !== other) return one - other
    }
  }
}

/** A byte that no JSON text has. */
const mark = 0

/** How long a string may be that is copied, in bytes. */
const longest = 16_384

const compareTexts = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** Copies some bytes: a few are copied here, many by the engine. */
const copy = (from: Buffer, start: number, end: number, to: Buffer, at: number): void => {
  if (end - start > 32) from.copy(to, at, start, end)
  else for (let i = start, j = at; i < end; i++, j++) to[j] = from[i]!
}

const hasBackslash = (text: Buffer, start: number, end: number): boolean => {
  if (end - start > 128) return text.subarray(start, end).includes(backslash)
  for (let at = start; at < end; at++) if (text[at] === backslash) return true
  return false
}

/** True where the escapes of a string are the ones that `JSON.stringify` writes (RFC 8785 §3.2.2.2). */
const isCanonicalString = (text: Buffer, start: number, end: number): boolean => {
  for (let at = start; at < end; at++) {
    if (text[at] !== backslash) continue
    const escape = text[++at]!
    if (shortEscapes.has(escape)) continue
    if (escape !== letterU || !controlEscape.test(text.toString("latin1", at, at + 5))) return false
    at += 4
  }
  return true
}

/** `\"`, `\\`, `\b`, `\f`, `\n`, `\r` and `\t`. */
const shortEscapes: ReadonlySet<number> = new Set([0x22, 0x5c, 0x62, 0x66, 0x6e, 0x72, 0x74])
const controlEscape = /^u00(?:0[0-7bef]|1[\da-f])$/u
const letterU = 0x75

/** True for a literal, and for a number as RFC 8785 §3.2.2.3 writes it. */
const isCanonicalScalar = (text: Buffer, start: number, end: number): boolean => {
  const first = text[start]!
  if (first > nine) return true
  // An integer of few digits is its own canonical text: JSON knows no leading zeros.
  if (end - start <= mostDigits && first !== minus) {
    let at = start
    while (at < end && text[at]! >= zero && text[at]! <= nine) at++
    if (at === end) return true
  }
  const number = text.toString("latin1", start, end)
  return String(Number(number)) === number
}
