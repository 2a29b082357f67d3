/**
 * An edit of a JSON text: what the edit leaves alone keeps its own bytes.
 */
import { isArray, isObject, type Json, type JsonObject } from "./Json.ts"
import { membersOf } from "./JsonText.ts"
import {
  closeArray,
  closeObject,
  endOfString,
  endOfValue,
  keyAt,
  openArray,
  openObject,
  skipComma,
  skipSpace,
  valueAfter
} from "./JsonTokens.ts"

// Whatever somebody puts in their place later: what was judged stays what is written.
const { stringify } = JSON

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
