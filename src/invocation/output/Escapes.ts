/**
 * A text that is looked through as it is written, and as it reads once the escapes of JSON text are undone, piece by piece.
 */
import type { DeniedText } from "../../call/Judge.ts"
import { decode, levels } from "../../base/JsonEscapes.ts"
import type { TextWindow } from "./DeniedTexts.ts"

/** The text that a list of bytes spells (UTF-8), after those that `utf8` has seen; undefined of anything else. */
export const textOfBytes = (value: unknown, utf8: TextDecoder): string | undefined =>
  Array.isArray(value) && value.length > 0 && value.every((byte) => typeof byte === "number")
    ? utf8.decode(Uint8Array.from(value as ReadonlyArray<number>), { stream: true })
    : undefined

/** A text that comes in pieces, looked through as it is written and as it reads once its escapes are undone. */
export class EscapedText {
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
  clone(): EscapedText {
    const other = new EscapedText(this.#window.clone(), this.#levels)
    other.#unescaped = this.#unescaped?.clone()
    return other
  }

  push(piece: string): void {
    if (this.#unescaped === undefined && this.#levels > 0 && piece.includes("\\"))
      this.#unescaped = new Unescaped(new EscapedText(this.#window.clone(), this.#levels - 1))
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
  readonly #reading: EscapedText
  /** An escape that is not whole yet. */
  #rest = ""
  /** How many units have been read, escapes undone. */
  #read = 0
  /** The escapes in what is held: where each stands, and by how much it is longer than what it stands for. */
  #escapes: Array<{ readonly at: number; readonly longer: number }> = []
  #first = 0

  /** `reading` has seen the text so far, in which there was no escape. */
  constructor(reading: EscapedText) {
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
