/**
 * One text of an answer that comes in pieces: a choice's content, an item's arguments. It is looked through as it is
 * written, as it reads once JSON's escapes are undone, and, where it is one of several that a reader puts together, with
 * the others.
 */
import type { DeniedText } from "../../call/Judge.ts"
import { TextWindow } from "./DeniedTexts.ts"
import { EscapedText } from "./Escapes.ts"
import type { OutputJudge } from "./OutputJudge.ts"

/** What may go on of a text that comes in pieces; a denied text in it refuses the answer. */
export class TextChannel {
  readonly path: string
  readonly #judge: OutputJudge
  readonly #reading: EscapedText | undefined
  #joined: EscapedText | undefined
  /** What came and may not go on yet. */
  #kept = ""
  #said = 0
  /** The last piece of {@link whole}, and how many units came of it in a row. */
  #last = ""
  #repeated = 0

  constructor(judge: OutputJudge, path: string) {
    this.path = path
    this.#judge = judge
    this.#reading = judge.seeks ? new EscapedText(new TextWindow(judge.denied)) : undefined
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

  /** A reading of this text so far, and of what others that {@link join} it say after it. */
  begun(): EscapedText | undefined {
    return this.#reading?.clone()
  }

  /** From here on its pieces are looked through together with those of others. */
  join(reading: EscapedText | undefined): void {
    this.#joined = reading
  }

  /** Takes in a piece; gives what may go on. */
  push(piece: string): string {
    if (this.#reading === undefined) {
      this.#said += piece.length
      return piece
    }
    this.#take(this.#reading, piece)
    const found = this.#found(this.#reading)
    if (found !== undefined) this.#judge.found(found, this.path)
    const text = this.#kept === "" ? piece : this.#kept + piece
    const held = Math.min(text.length, this.#held(this.#reading))
    this.#kept = held === 0 ? "" : text.slice(text.length - held)
    return held === 0 ? text : text.slice(0, text.length - held)
  }

  /** The text is over: gives what is held back. */
  end(): string {
    const reading = this.#reading
    if (reading === undefined) return ""
    this.#end(reading)
    const found = this.#found(reading)
    if (found !== undefined) this.#judge.found(found, this.path)
    const held = found === undefined ? 0 : Math.min(this.#kept.length, this.#held(reading))
    const rest = this.#kept.slice(0, this.#kept.length - held)
    this.#kept = this.#kept.slice(rest.length)
    return rest
  }

  /** Takes in a piece that is handed on as it is, or not at all, so nothing of it is held back; gives what is denied in it. */
  whole(piece: string): DeniedText | undefined {
    const reading = this.#reading
    if (reading === undefined) return undefined
    // Of what says the same again and again (`"severity": "safe"`) nothing new can come.
    this.#repeated = piece === this.#last ? this.#repeated + piece.length : 0
    this.#last = piece
    if (this.#repeated > this.#judge.denied.reach + 2 * piece.length) return undefined
    this.#take(reading, piece)
    this.#end(reading)
    return this.#found(reading)
  }

  #take(reading: EscapedText, piece: string): void {
    this.#said += piece.length
    reading.push(piece)
    this.#joined?.push(piece)
  }

  #end(reading: EscapedText): void {
    reading.end()
    this.#joined?.end()
  }

  #held(reading: EscapedText): number {
    return Math.max(reading.held, this.#joined?.held ?? 0)
  }

  #found(reading: EscapedText): DeniedText | undefined {
    return reading.found ?? this.#joined?.found
  }
}

/** Texts of one kind, which a reader may put together: they are looked through as one, once there is a second one. */
export class JoinedTexts {
  readonly #judge: OutputJudge
  readonly #kinds = new Map<string, { readonly first: TextChannel; joined: EscapedText | undefined }>()

  constructor(judge: OutputJudge) {
    this.#judge = judge
  }

  /** A text of this kind begins. */
  join(kind: string, channel: TextChannel): void {
    const known = this.#kinds.get(kind)
    if (known === undefined) return void this.#kinds.set(kind, { first: channel, joined: undefined })
    if (known.joined === undefined) {
      known.joined = known.first.begun()
      known.first.join(known.joined)
    }
    channel.join(known.joined)
  }

  /** A whole text of this kind, which goes on as it is or not at all, stands between what the others say. */
  say(kind: string, text: string, path: string): void {
    if (text === "" || !this.#judge.seeks) return
    const channel = new TextChannel(this.#judge, path)
    this.join(kind, channel)
    const found = channel.whole(text)
    if (found !== undefined) this.#judge.found(found, path)
  }
}
