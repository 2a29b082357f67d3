/**
 * JSON text as it stands, in UTF-8: where its members are, what an edit changes of it, and its canonical spelling, without
 * a copy of what its values hold. Everything here takes the text of a value that `JSON.parse` has read, without a byte order
 * mark or half of a surrogate pair, and time that grows with its length: a value is passed over once, a long string by its
 * quotes. Places are in bytes.
 */
import { isArray, isObject, type Json, type JsonObject } from "./Json.ts"

// Whatever somebody puts in their place later: what was judged stays what is written.
const { parse, stringify } = JSON

// ---------------------------------------------------------------------------------------------------------------------
// Places
// ---------------------------------------------------------------------------------------------------------------------

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

// ---------------------------------------------------------------------------------------------------------------------
// Numbers
// ---------------------------------------------------------------------------------------------------------------------

/**
 * False for an integer of 2^53 or more: a double stands for several texts of such, readers differ in which of them they take
 * it for, and so no bound can judge it.
 */
export const isExact = (value: number): boolean =>
  Number.isSafeInteger(value) || (Number.isFinite(value) && !Number.isInteger(value))

/**
 * The numbers of a text that readers take for different ones, by their paths, each as it is written: integers of 2^53 or
 * more, and numbers that a reader of decimals takes for another one than the double's own text (`0.99999999999999999999`,
 * `1e-400`). `5e2`, `1.0` and `-0` are none.
 */
export const inexactNumbers = (text: Buffer): ReadonlyMap<string, string> => {
  const found = new Map<string, string>()
  gather(text, skipSpace(text, 0), "", found)
  return found
}

/** {@link inexactNumbers}, of the members of the outermost object alone: what is inside of them is only passed over. */
export const inexactMembers = (text: Buffer): ReadonlyMap<string, string> => {
  const found = new Map<string, string>()
  for (const { end, key, value } of membersOf(text)) {
    const number = inexactAt(text, value, end)
    if (number !== undefined) found.set(key, number)
  }
  return found
}

/** Adds the inexact numbers inside of an object or an array, and returns the place after it. */
const gather = (text: Buffer, start: number, path: string, found: Map<string, string>): number => {
  const isArray = text[start] === openArray
  const close = isArray ? closeArray : closeObject
  let at = skipSpace(text, start + 1)
  for (let index = 0; text[at] !== close; index++) {
    const key = at
    if (!isArray) at = valueAfter(text, endOfString(text, at))
    const stepped = (): string =>
      isArray ? `${path}[${index}]` : path === "" ? keyAt(text, key) : `${path}.${keyAt(text, key)}`
    const first = text[at]!
    if (first === openObject || first === openArray) at = gather(text, at, stepped(), found)
    else if (first === quote) at = endOfString(text, at)
    else {
      const end = endOfScalar(text, at)
      const number = inexactAt(text, at, end)
      if (number !== undefined) found.set(stepped(), number)
      at = end
    }
    at = skipComma(text, at)
  }
  return at + 1
}

/** The value between two places, where it is a number that is not exact. */
const inexactAt = (text: Buffer, start: number, end: number): string | undefined => {
  if (text[start]! > nine || text[start] === quote || !isLong(text, start, end)) return undefined
  const number = text.toString("latin1", start, end)
  const value = Number(number)
  const written = String(value)
  return isExact(value) && (written === number || decimal(written) === decimal(number)) ? undefined : number
}

/** False for a number of so few digits that a double holds them all. */
const isLong = (text: Buffer, start: number, end: number): boolean => {
  if (end - start > mostDigits) return true
  for (let at = start; at < end; at++) if (text[at] === letterE || text[at] === capitalE) return true
  return false
}

/** One text for all spellings of a number: its digits without zeros around them, and what they are multiplied by. */
const decimal = (number: string): string => {
  const [, whole = "", fraction = "", exponent = "0"] = /^-?(\d+)(?:\.(\d+))?(?:e(.+))?$/iu.exec(number) ?? []
  const digits = whole + fraction
  let [start, end] = [0, digits.length]
  while (digits[start] === "0") start++
  while (end > start && digits[end - 1] === "0") end--
  return start === end ? "0" : `${digits.slice(start, end)}e${Number(exponent) - fraction.length + digits.length - end}`
}

const [letterE, capitalE] = [0x65, 0x45]

// ---------------------------------------------------------------------------------------------------------------------
// Splicing
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The text of `after`, made of the text that `before` was parsed from: what they have in common keeps its own bytes, so
 * that a number stays as it was written whatever a double makes of it; `write` gives the text of what differs. Members
 * stand in the order of `after`. Throws a `TypeError` where `before` is not what the text says.
 */
export const spliced = (text: Buffer, before: Json, after: Json, write: (value: Json) => string): Buffer => {
  const splice = new Splice(text, write)
  splice.value(skipSpace(text, 0), before, after)
  return splice.result
}

/** One way through a text, from left to right: all of it is kept but for what is cut out, where something else may be put in. */
class Splice {
  readonly #text: Buffer
  readonly #write: (value: Json) => string
  /** What was put in and what was kept before it, by turns. */
  readonly #parts: Array<Buffer> = []
  /** From where on the text is kept. */
  #from = 0

  constructor(text: Buffer, write: (value: Json) => string) {
    this.#text = text
    this.#write = write
  }

  /** The text itself where nothing was cut. */
  get result(): Buffer {
    return this.#parts.length === 0 ? this.#text : Buffer.concat([...this.#parts, this.#text.subarray(this.#from)])
  }

  #cut(start: number, end: number, put: string | Buffer): void {
    this.#parts.push(this.#text.subarray(this.#from, start), typeof put === "string" ? Buffer.from(put) : put)
    this.#from = end
  }

  /** Passes over the value that begins at `start`, and returns the place after it. */
  value(start: number, before: Json | undefined, after: Json): number {
    if (before !== after) {
      if (isObject(before) && isObject(after)) return this.#object(start, before, after)
      if (isArray(before) && isArray(after)) return this.#array(start, before, after)
    }
    const end = endOfValue(this.#text, start)
    if (before !== after) this.#cut(start, end, this.#write(after))
    return end
  }

  #object(start: number, before: JsonObject, after: JsonObject): number {
    const text = this.#text
    requireByte(text, start, openObject)
    const keys = Object.keys(after)
    const keepsOrder = isInOrder(before, after, keys)
    if (!keepsOrder || isNumbered(before)) return this.#reordered(start, before, after, keys, keepsOrder)
    /** The first key of `after` that is not written yet. */
    let next = 0
    /** Where the last member that stays ends. */
    let last = start + 1
    let isGap = false
    let at = skipSpace(text, start + 1)
    for (; text[at] !== closeObject; at = skipComma(text, at)) {
      const key = keyAt(text, at)
      const value = valueAfter(text, endOfString(text, at))
      const to = ownValue(after, key)
      if (to === undefined) {
        isGap = true
        at = endOfValue(text, value)
        continue
      }
      let added = isGap && last > start + 1 ? "," : ""
      for (; next < keys.length && keys[next] !== key; next++) added += `${this.#member(keys[next]!, after)},`
      if (isGap) this.#cut(last, at, added)
      else if (added !== "") this.#cut(at, at, added)
      isGap = false
      next++
      at = last = this.value(value, ownValue(before, key), to)
    }
    const added = keys.slice(next).map((key) => this.#member(key, after))
    if (last > start + 1 && added.length > 0) added.unshift("")
    if (isGap || added.length > 0) this.#cut(isGap ? last : at, at, added.join(","))
    return at + 1
  }

  #member(key: string, holder: JsonObject): string {
    return `${stringify(key)}:${this.#write(ownValue(holder, key)!)}`
  }

  /** An object whose members change places is put together anew, of the texts of its values. */
  #reordered(
    start: number,
    before: JsonObject,
    after: JsonObject,
    keys: ReadonlyArray<string>,
    keepsOrder: boolean
  ): number {
    const text = this.#text
    const members = new Map(membersOf(text, start).map((member) => [member.key, member]))
    const parts: Array<Buffer> = []
    let isSame = keepsOrder && members.size === keys.length
    for (const key of keys) {
      const to = ownValue(after, key)!
      const member = members.get(key)
      const kept = member === undefined ? undefined : text.subarray(member.value, member.end)
      const value =
        kept === undefined
          ? Buffer.from(this.#write(to))
          : spliced(kept, ownValue(before, key) ?? null, to, this.#write)
      isSame &&= value === kept
      parts.push(Buffer.from(`${parts.length === 0 ? "{" : ","}${stringify(key)}:`), value)
    }
    const end = endOfValue(text, start)
    if (!isSame) this.#cut(start, end, Buffer.concat([...parts, Buffer.from(keys.length === 0 ? "{}" : "}")]))
    return end
  }

  #array(start: number, before: ReadonlyArray<Json>, after: ReadonlyArray<Json>): number {
    const text = this.#text
    requireByte(text, start, openArray)
    let length = 0
    let last = start + 1
    let at = skipSpace(text, start + 1)
    for (; text[at] !== closeArray; at = skipComma(text, at), length++)
      if (length < after.length) at = last = this.value(at, before[length], after[length]!)
      else at = endOfValue(text, at)
    const added = after.slice(length).map((element) => this.#write(element))
    if (length > 0 && added.length > 0) added.unshift("")
    if (length > after.length) this.#cut(last, at, "")
    else if (added.length > 0) this.#cut(at, at, added.join(","))
    return at + 1
  }
}

/** True where the members that two objects have in common stand in the same order in both. */
const isInOrder = (before: JsonObject, after: JsonObject, keys: ReadonlyArray<string>): boolean => {
  let next = 0
  for (const key in before) {
    if (!Object.hasOwn(after, key)) continue
    while (next < keys.length && keys[next] !== key && !Object.hasOwn(before, keys[next]!)) next++
    if (keys[next] !== key) return false
    next++
  }
  return true
}

/** True for an object with keys such as `0`: these come first when it is gone through, wherever they stand in the text. */
const isNumbered = (holder: JsonObject): boolean => {
  for (const key in holder) return key >= "0" && key < ":"
  return false
}

const ownValue = (members: JsonObject, key: string): Json | undefined =>
  Object.hasOwn(members, key) ? members[key] : undefined

const requireByte = (text: Buffer, at: number, byte: number): void => {
  if (text[at] !== byte) throw new TypeError("the params are not what their text says")
}

// ---------------------------------------------------------------------------------------------------------------------
// Canonical text
// ---------------------------------------------------------------------------------------------------------------------

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

const [zero, nine, minus] = [0x30, 0x39, 0x2d]
const mostDigits = 15

// ---------------------------------------------------------------------------------------------------------------------
// Tokens
// ---------------------------------------------------------------------------------------------------------------------

const [quote, backslash, colon, comma] = [0x22, 0x5c, 0x3a, 0x2c]
const [openObject, closeObject, openArray, closeArray] = [0x7b, 0x7d, 0x5b, 0x5d]

/** The key that begins at `start`, as it reads. */
const keyAt = (text: Buffer, start: number): string => {
  const key = text.toString("utf8", start + 1, endOfString(text, start) - 1)
  return key.includes("\\") ? (parse(`"${key}"`) as string) : key
}

/** The place after the value that begins at `start`. */
const endOfValue = (text: Buffer, start: number): number => {
  const first = text[start]!
  if (first === quote) return endOfString(text, start)
  if (first !== openObject && first !== openArray) return endOfScalar(text, start)
  let depth = 1
  let at = start + 1
  while (depth > 0) {
    const byte = text[at]!
    if (byte === quote) at = endOfString(text, at)
    else {
      // What is below is most of a long list of numbers.
      if (byte >= openArray)
        if (byte === openObject || byte === openArray) depth++
        else if (byte === closeObject || byte === closeArray) depth--
      at++
    }
  }
  return at
}

/** The place after the string that begins at `start`. */
const endOfString = (text: Buffer, start: number): number => {
  let from = start + 1
  for (;;) {
    const end = find(text, quote, from)
    let backslashes = 0
    while (end - 1 - backslashes >= from && text[end - 1 - backslashes] === backslash) backslashes++
    if (backslashes % 2 === 0) return end + 1
    from = end + 1
  }
}

/** The place after the number or literal that begins at `start`. */
const endOfScalar = (text: Buffer, start: number): number => {
  let at = start
  for (; at < text.length; at++) {
    const byte = text[at]!
    if (byte === comma || byte === closeArray || byte === closeObject || isSpace(byte)) break
  }
  return at
}

/** The next place of a byte, or the end: near ones are looked for here, far ones by the engine. */
const find = (text: Buffer, byte: number, from: number): number => {
  const near = Math.min(from + 64, text.length)
  for (let at = from; at < near; at++) if (text[at] === byte) return at
  if (near === text.length) return near
  const found = text.indexOf(byte, near)
  return found === -1 ? text.length : found
}

const skipSpace = (text: Buffer, from: number): number => {
  let at = from
  while (at < text.length && isSpace(text[at]!)) at++
  return at
}

/** Where the value begins after a key that ends at `end`. */
const valueAfter = (text: Buffer, end: number): number => skipSpace(text, skipSpace(text, end) + 1)

/** Where the next member or element begins, or the bracket that ends them. */
const skipComma = (text: Buffer, from: number): number => {
  const at = skipSpace(text, from)
  return text[at] === comma ? skipSpace(text, at + 1) : at
}

/** White space of JSON (RFC 8259 §2). */
const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
