/**
 * The escapes of JSON text (RFC 8259 §7): structured output and arguments are handed out parsed, so a denied text may not
 * stand in them escaped either. Text that is no JSON is read the same way, for nobody knows what its reader does.
 *
 * @since 0.2.0
 */
import type { DeniedText } from "../../Call.ts"
import type { TextWindow } from "./DeniedTexts.ts"

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

/** The text that a whole text stands for once its escapes are undone. */
export const unescaped = (text: string): string => {
  const { rest, text: decoded } = decode(text)
  return decoded + rest
}

/** A text that comes in pieces, looked through as it reads once its escapes are undone. */
export class EscapedWindow {
  readonly #window: TextWindow
  /** An escape that is not whole yet. */
  #rest = ""
  /** How many units have been read, escapes undone. */
  #read = 0
  /** The escapes in what is held: where each stands, and by how much it is longer than what it stands for. */
  #escapes: Array<{ readonly at: number; readonly longer: number }> = []
  #first = 0

  /** `window` has seen the text so far, in which there was no escape. */
  constructor(window: TextWindow) {
    this.#window = window
  }

  get found(): DeniedText | undefined {
    return this.#window.found
  }

  /** How many units of the end are held back, as they are written. */
  get held(): number {
    const { held } = this.#window
    while ((this.#escapes[this.#first]?.at ?? Infinity) < this.#read - held) this.#first++
    if (this.#first > 1024) {
      this.#escapes = this.#escapes.slice(this.#first)
      this.#first = 0
    }
    let longer = 0
    for (let i = this.#first; i < this.#escapes.length; i++) longer += this.#escapes[i]!.longer
    return held + longer + this.#rest.length
  }

  push(piece: string): void {
    const { rest, text } = decode(this.#rest + piece, (at, length) =>
      this.#escapes.push({ at: this.#read + at, longer: length - 1 })
    )
    this.#rest = rest
    this.#read += text.length
    this.#window.push(text)
  }

  end(): void {
    this.#window.end()
  }
}
