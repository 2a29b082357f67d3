/**
 * How a text may be spelled. The escapes of JSON text (RFC 8259 §7) are undone {@link levels} times: arguments and structured
 * output are handed out parsed, and a string in them may be JSON text again. Text that is no JSON is read the same way, for nobody
 * knows what its reader does.
 */

/** How many times escapes are undone: JSON text, JSON text in a string of JSON text, and so on. */
export const levels = 4

const controls: ReadonlyMap<string, string> = new Map([
  ["n", "\n"],
  ["t", "\t"],
  ["r", "\r"],
  ["b", "\b"],
  ["f", "\f"]
])

/** What the escape that begins at a backslash stands for, and its length; undefined where the text ends inside it. */
const escapeAt = (text: string, at: number): { readonly length: number; readonly char: string } | undefined => {
  const kind = text[at + 1]
  if (kind === undefined) return undefined
  if (kind !== "u") return { length: 2, char: controls.get(kind) ?? kind }
  const digits = /^[\da-fA-F]*/.exec(text.slice(at + 2, at + 6))?.[0] ?? ""
  if (digits.length === 4) return { length: 6, char: String.fromCharCode(Number.parseInt(digits, 16)) }
  return at + 2 + digits.length === text.length ? undefined : { length: 2, char: "u" }
}

/**
 * The text with its escapes undone once, as far as they are whole, and the `rest` from one that is not; `escaped` is told the length of
 * each, and where in the result it stands.
 */
export const decode = (
  text: string,
  escaped?: (at: number, length: number) => void
): { text: string; rest: string } => {
  let decoded = ""
  let at = 0
  for (;;) {
    const slash = text.indexOf("\\", at)
    if (slash === -1) return { text: decoded + text.slice(at), rest: "" }
    decoded += text.slice(at, slash)
    const escape = escapeAt(text, slash)
    if (escape === undefined) return { text: decoded, rest: text.slice(slash) }
    escaped?.(decoded.length, escape.length)
    decoded += escape.char
    at = slash + escape.length
  }
}

/** A whole text, and every text that it stands for once its escapes are undone. */
export const readingsOf = (text: string): ReadonlyArray<string> => {
  const readings = [text]
  for (let reading = text; readings.length <= levels && reading.includes("\\"); readings.push(reading)) {
    const { rest, text: decoded } = decode(reading)
    reading = decoded + rest
  }
  return readings
}
