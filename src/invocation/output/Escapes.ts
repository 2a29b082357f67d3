/**
 * How a text may be spelled. The escapes of JSON text (RFC 8259 §7) are undone {@link levels} times: structured output and
 * arguments are handed out parsed, and a string in them may be JSON text again. Text that is no JSON is read the same way, for
 * nobody knows what its reader does.
 *
 * @since 0.2.0
 */
import type { DeniedText } from "../../Call.ts"
import type { TextWindow } from "./DeniedTexts.ts"

/** How many times escapes are undone: JSON text, JSON text in a string of JSON text, and so on. */
const levels = 4

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

/** Reads on as far as escapes are whole; `escaped` is told the length of each, and where in the result it stands. */
const decode = (text: string, escaped?: (at: number, length: number) => void): { text: string; rest: string } => {
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

/** The text that a list of bytes spells (UTF-8), after those that `utf8` has seen; undefined of anything else. */
export const textOfBytes = (value: unknown, utf8: TextDecoder): string | undefined =>
  Array.isArray(value) && value.length > 0 && value.every((byte) => typeof byte === "number")
    ? utf8.decode(Uint8Array.from(value as ReadonlyArray<number>), { stream: true })
    : undefined

/** A text that comes in pieces, looked through as it is written and as it reads once its escapes are undone. */
export class Reading {
  readonly #window: TextWindow
  readonly #levels: number
  #unescaped: Unescaped | undefined

  constructor(window: TextWindow, more = levels) {
    this.#window = window
    this.#levels = more
  }

  get found(): DeniedText | undefined {
    return this.#window.found ?? this.#unescaped?.found
  }

  /** How many UTF-16 units of the end are held back, as they are written. */
  get held(): number {
    return this.#unescaped === undefined ? this.#window.held : Math.max(this.#window.held, this.#unescaped.held)
  }

  /** The same, for a text that begins like this one and goes on differently. */
  clone(): Reading {
    const other = new Reading(this.#window.clone(), this.#levels)
    other.#unescaped = this.#unescaped?.clone()
    return other
  }

  push(piece: string): void {
    if (this.#unescaped === undefined && this.#levels > 0 && piece.includes("\\"))
      this.#unescaped = new Unescaped(new Reading(this.#window.clone(), this.#levels - 1))
    this.#window.push(piece)
    this.#unescaped?.push(piece)
  }

  end(): void {
    this.#window.end()
    this.#unescaped?.end()
  }
}

/** A text that comes in pieces, as it reads once its escapes are undone. */
class Unescaped {
  readonly #reading: Reading
  /** An escape that is not whole yet. */
  #rest = ""
  /** How many units have been read, escapes undone. */
  #read = 0
  /** The escapes in what is held: where each stands, and by how much it is longer than what it stands for. */
  #escapes: Array<{ readonly at: number; readonly longer: number }> = []
  #first = 0

  /** `reading` has seen the text so far, in which there was no escape. */
  constructor(reading: Reading) {
    this.#reading = reading
  }

  get found(): DeniedText | undefined {
    return this.#reading.found
  }

  /** How many units of the end are held back, as they are written. */
  get held(): number {
    const { held } = this.#reading
    while ((this.#escapes[this.#first]?.at ?? Infinity) < this.#read - held) this.#first++
    if (this.#first > 1024) {
      this.#escapes = this.#escapes.slice(this.#first)
      this.#first = 0
    }
    let longer = 0
    for (let i = this.#first; i < this.#escapes.length; i++) longer += this.#escapes[i]!.longer
    return held + longer + this.#rest.length
  }

  clone(): Unescaped {
    const other = new Unescaped(this.#reading.clone())
    other.#rest = this.#rest
    other.#read = this.#read
    other.#escapes = this.#escapes.slice(this.#first)
    return other
  }

  push(piece: string): void {
    const { rest, text } = decode(this.#rest + piece, (at, length) =>
      this.#escapes.push({ at: this.#read + at, longer: length - 1 })
    )
    this.#rest = rest
    this.#read += text.length
    this.#reading.push(text)
  }

  end(): void {
    this.#reading.end()
  }
}
