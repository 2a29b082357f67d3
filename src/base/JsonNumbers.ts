/**
 * Numbers of a JSON text that a double does not hold exactly.
 */
import { membersOf } from "./JsonText.ts"
import {
  closeArray,
  closeObject,
  endOfScalar,
  endOfString,
  keyAt,
  mostDigits,
  nine,
  openArray,
  openObject,
  quote,
  skipComma,
  skipSpace,
  valueAfter
} from "./JsonTokens.ts"

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
