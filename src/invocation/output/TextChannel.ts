/**
 * One text of an answer that comes in pieces: a choice's content, an item's arguments. It is looked through as it is
 * written, as it reads once JSON's escapes are undone, and, where it is one of several that a reader puts together, with
 * the others.
 *
 * @since 0.2.0
 */
import type { DeniedText } from "../../Call.ts"
import { TextWindow } from "./DeniedTexts.ts"
import { EscapedWindow } from "./Escapes.ts"
import type { OutputJudge } from "./OutputJudge.ts"

/** What may go on of a text that comes in pieces; a denied text in it refuses the answer. */
export class TextChannel {
  readonly path: string
  readonly #judge: OutputJudge
  readonly #window: TextWindow | undefined
  #joined: TextWindow | undefined
  #escaped: EscapedWindow | undefined
  /** What came and may not go on yet. */
  #kept = ""
  #said = 0
  /** The last piece of {@link whole}, and how many units came of it in a row. */
  #last = ""
  #repeated = 0

  constructor(judge: OutputJudge, path: string) {
    this.path = path
    this.#judge = judge
    this.#window = judge.seeks ? new TextWindow(judge.denied) : undefined
  }

  /** True where something is held back. */
  get holds(): boolean {
    return this.#kept !== ""
  }

  /** How many UTF-16 units came. */
  get said(): number {
    return this.#said
  }

  /** How many of them may go on. */
  get free(): number {
    return this.#said - this.#kept.length
  }

  /** A window over this text so far, and over what others that {@link join} it say after it. */
  begun(): TextWindow | undefined {
    return this.#window?.clone()
  }

  /** From here on its pieces are looked through together with those of others. */
  join(window: TextWindow | undefined): void {
    this.#joined = window
  }

  /** Takes in a piece; gives what may go on. */
  push(piece: string): string {
    if (this.#window === undefined) {
      this.#said += piece.length
      return piece
    }
    this.#take(this.#window, piece)
    const found = this.#found(this.#window)
    if (found !== undefined) this.#judge.found(found, this.path)
    const text = this.#kept === "" ? piece : this.#kept + piece
    const held = Math.min(text.length, this.#held(this.#window))
    this.#kept = held === 0 ? "" : text.slice(text.length - held)
    return held === 0 ? text : text.slice(0, text.length - held)
  }

  /** The text is over: gives what is held back. */
  end(): string {
    const window = this.#window
    if (window === undefined) return ""
    this.#end(window)
    const found = this.#found(window)
    if (found !== undefined) this.#judge.found(found, this.path)
    const held = found === undefined ? 0 : Math.min(this.#kept.length, this.#held(window))
    const rest = this.#kept.slice(0, this.#kept.length - held)
    this.#kept = this.#kept.slice(rest.length)
    return rest
  }

  /** Takes in a piece that is handed on as it is, or not at all, so nothing of it is held back; gives what is denied in it. */
  whole(piece: string): DeniedText | undefined {
    const window = this.#window
    if (window === undefined) return undefined
    // Of what says the same again and again (`"severity": "safe"`) nothing new can come.
    this.#repeated = piece === this.#last ? this.#repeated + piece.length : 0
    this.#last = piece
    if (this.#repeated > this.#judge.denied.reach + 2 * piece.length) return undefined
    this.#take(window, piece)
    this.#end(window)
    return this.#found(window)
  }

  #take(window: TextWindow, piece: string): void {
    this.#said += piece.length
    if (this.#escaped === undefined && piece.includes("\\")) this.#escaped = new EscapedWindow(window.clone())
    window.push(piece)
    this.#joined?.push(piece)
    this.#escaped?.push(piece)
  }

  #end(window: TextWindow): void {
    window.end()
    this.#joined?.end()
    this.#escaped?.end()
  }

  #held(window: TextWindow): number {
    return Math.max(window.held, this.#joined?.held ?? 0, this.#escaped?.held ?? 0)
  }

  #found(window: TextWindow): DeniedText | undefined {
    return window.found ?? this.#joined?.found ?? this.#escaped?.found
  }
}
