/**
 * The tokens of a JSON text: the bytes that bound them, and the place after each. Everything here takes the text of a value that
 * `JSON.parse` has read.
 */

// Whatever somebody puts in their place later: what was judged stays what is written.
const { parse } = JSON

/** The bytes that begin, end and part strings, members and elements. */
export const [quote, backslash, colon, comma] = [0x22, 0x5c, 0x3a, 0x2c]
/** The brackets of objects and arrays. */
export const [openObject, closeObject, openArray, closeArray] = [0x7b, 0x7d, 0x5b, 0x5d]

/** The bytes of numbers that need a name. */
export const [zero, nine, minus] = [0x30, 0x39, 0x2d]

/** A number of so few digits is exact as a double. */
export const mostDigits = 15

/** The key that begins at `start`, as it reads. */
export const keyAt = (text: Buffer, start: number): string => {
  const key = text.toString("utf8", start + 1, endOfString(text, start) - 1)
  return key.includes("\\") ? (parse(`"${key}"`) as string) : key
}

/** The place after the value that begins at `start`. */
export const endOfValue = (text: Buffer, start: number): number => {
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
export const endOfString = (text: Buffer, start: number): number => {
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
export const endOfScalar = (text: Buffer, start: number): number => {
  let at = start
  for (; at < text.length; at++) {
    const byte = text[at]!
    if (byte === comma || byte === closeArray || byte === closeObject || isSpace(byte)) break
  }
  return at
}

/** The next place of a byte, or the end: near ones are looked for here, far ones by the engine. */
export const find = (text: Buffer, byte: number, from: number): number => {
  const near = Math.min(from + 64, text.length)
  for (let at = from; at < near; at++) if (text[at] === byte) return at
  if (near === text.length) return near
  const found = text.indexOf(byte, near)
  return found === -1 ? text.length : found
}

export const skipSpace = (text: Buffer, from: number): number => {
  let at = from
  while (at < text.length && isSpace(text[at]!)) at++
  return at
}

/** Where the value begins after a key that ends at `end`. */
export const valueAfter = (text: Buffer, end: number): number => skipSpace(text, skipSpace(text, end) + 1)

/** Where the next member or element begins, or the bracket that ends them. */
export const skipComma = (text: Buffer, from: number): number => {
  const at = skipSpace(text, from)
  return text[at] === comma ? skipSpace(text, at + 1) : at
}

/** White space of JSON (RFC 8259 §2). */
const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
