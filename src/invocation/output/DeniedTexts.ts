/**
 * Looks for denied texts: in a whole text, or in one that comes in pieces. Of the latter only that is let go in which no
 * denied text can begin any more, however the pieces were cut.
 *
 * All literals are looked for at once, in time linear in the text whatever their number (Aho and Corasick 1975).
 */
import type { DeniedText, OutputRules } from "../../call/Judge.ts"

/** Denied texts, ready to be looked for. */
export class DeniedTexts {
  readonly literals: Automaton | undefined
  readonly patterns: ReadonlyArray<Pattern>
  /** How many UTF-16 units of a text in pieces are kept back for the patterns. */
  readonly holdBack: number
  /** How many UTF-16 units before a place may belong to a denied text that ends there. */
  readonly reach: number

  constructor(denied: ReadonlyArray<DeniedText>) {
    const literals = denied.filter(isLiteral)
    this.literals = literals.length === 0 ? undefined : new Automaton(literals)
    this.patterns = denied.filter(isPattern)
    this.holdBack = this.patterns.reduce((most, { holdBack }) => Math.max(most, holdBack), 0)
    this.reach = denied.reduce((most, { holdBack }) => Math.max(most, holdBack), 0)
  }

  /** The first denied text that a whole text holds. */
  search(text: string): DeniedText | undefined {
    return (
      this.literals?.search(text) ?? this.patterns.find(({ sought }) => text !== "" && sought(text, 0) !== undefined)
    )
  }
}

type Literal = DeniedText & { readonly sought: string }
type Pattern = DeniedText & { readonly sought: Exclude<DeniedText["sought"], string> }

const isLiteral = (denied: DeniedText): denied is Literal => typeof denied.sought === "string"
const isPattern = (denied: DeniedText): denied is Pattern => typeof denied.sought !== "string"

/** The denied texts of rules, made ready once. */
export const deniedTexts = (rules: OutputRules): DeniedTexts => {
  const kept = made.get(rules)
  if (kept !== undefined) return kept
  const texts = new DeniedTexts(rules.denied)
  made.set(rules, texts)
  return texts
}

const made = new WeakMap<OutputRules, DeniedTexts>()

/**
 * A text that comes in pieces. {@link held} tells how many of its last units may not go on yet; once something was found, it
 * is in {@link found}, and what is held begins with it.
 *
 * Literals are followed as the pieces come. Patterns are searched again in as much as they may reach back, so they wait until
 * an eighth of that has come: each unit is searched about nine times, whatever the pieces.
 */
export class TextWindow {
  readonly #denied: DeniedTexts
  /** The automaton's state, and how much of the end it stands for. */
  #state = 0
  #begun = 0
  /** For patterns, the end of the text: first what is looked back at, then what is searched again, then what is new. */
  #text = ""
  /** Where in it the search begins, how much of it may go on, and how much of it was searched. */
  #from = 0
  #free = 0
  #searched = 0
  #found: DeniedText | undefined

  constructor(denied: DeniedTexts) {
    this.#denied = denied
  }

  get found(): DeniedText | undefined {
    return this.#found
  }

  /** How many UTF-16 units of the end are held back: perhaps more than came since the last {@link end}. */
  get held(): number {
    return Math.max(this.#begun, this.#text.length - this.#free)
  }

  /** The same window, for a text that begins like this one and goes on differently. */
  clone(): TextWindow {
    const other = new TextWindow(this.#denied)
    other.#state = this.#state
    other.#begun = this.#begun
    other.#text = this.#text
    other.#from = this.#from
    other.#free = this.#free
    other.#searched = this.#searched
    other.#found = this.#found
    return other
  }

  /** Takes in a piece. */
  push(piece: string): void {
    if (this.#found !== undefined || piece === "") return
    const { holdBack, literals, patterns } = this.#denied
    if (literals !== undefined) this.#read(literals, piece)
    if (patterns.length === 0) return
    this.#text += piece
    const isDue = this.#text.length - this.#searched >= holdBack >> 3
    if (isDue || this.#found !== undefined) this.#search(false)
  }

  /**
   * Holds nothing back any more: the text is over, as far as its writer says. If more comes all the same, a denied text that
   * spans both is still found.
   */
  end(): void {
    if (this.#found !== undefined) return
    if (this.#text !== "") this.#search(true)
    if (this.#found === undefined) this.#begun = 0
  }

  /** Reads no further than to the end of the first literal that is complete. */
  #read(literals: Automaton, piece: string): void {
    let state = this.#state
    let read = 0
    while (read < piece.length) {
      state = literals.next(state, piece.charCodeAt(read++))
      this.#found = literals.completed(state)
      if (this.#found !== undefined) break
    }
    this.#state = state
    this.#begun = literals.depth(state) + piece.length - read
  }

  #search(isOver: boolean): void {
    const { holdBack, patterns } = this.#denied
    const text = this.#text
    const before = this.#found
    let safe = text.length
    for (const denied of patterns) {
      const [start, end] = denied.sought(text, this.#from) ?? []
      if (start === undefined || end === undefined) continue
      safe = Math.min(safe, start)
      // A match that reaches the end may become longer, or none (`\b`, `$`): it is awaited as far as it can be held back.
      if (isOver || end < text.length || end - start > denied.holdBack) this.#found ??= denied
    }
    if (before === undefined && this.#found === undefined && !isOver) safe = Math.min(safe, text.length - holdBack)
    const until = Math.max(this.#free, boundary(text, safe))
    const again = boundary(text, Math.max(0, Math.min(until, text.length - holdBack)))
    const back = Math.max(0, again - lookBack)
    this.#text = text.slice(back)
    this.#from = again - back
    this.#free = until - back
    this.#searched = this.#text.length
  }
}

/** What a pattern may look back at (`\b`, `^`): a character, which may be two UTF-16 units. */
const lookBack = 2

/** The same place, or the one before it where it stands inside a character. */
export const boundary = (text: string, at: number): number =>
  isHigh(text.charCodeAt(at - 1)) && isLow(text.charCodeAt(at)) ? at - 1 : at

const isHigh = (code: number): boolean => code >= 0xd800 && code <= 0xdbff
const isLow = (code: number): boolean => code >= 0xdc00 && code <= 0xdfff

/** States are numbers, 0 the first; each stands for the longest end of what was read that begins a literal. */
class Automaton {
  /** By state × 65,536 + UTF-16 unit. */
  readonly #next = new Map<number, number>()
  readonly #depth = [0]
  /** The state of the next shorter end of the same. */
  readonly #shorter = [0]
  readonly #completed: Array<DeniedText | undefined> = [undefined]

  constructor(literals: ReadonlyArray<Literal>) {
    for (const literal of literals) {
      let state = 0
      for (let at = 0; at < literal.sought.length; at++) state = this.#child(state, literal.sought.charCodeAt(at))
      this.#completed[state] ??= literal
    }
    // By depth: what a state falls back to is shorter, and ready.
    const edges = [...this.#next].sort(([, a], [, b]) => this.depth(a) - this.depth(b))
    for (const [edge, state] of edges) {
      const parent = Math.floor(edge / 65_536)
      const shorter = parent === 0 ? 0 : this.next(this.#shorter[parent]!, edge % 65_536)
      this.#shorter[state] = shorter
      this.#completed[state] ??= this.#completed[shorter]
    }
  }

  #child(state: number, code: number): number {
    const edge = state * 65_536 + code
    const known = this.#next.get(edge)
    if (known !== undefined) return known
    const made = this.#depth.length
    this.#next.set(edge, made)
    this.#depth.push(this.depth(state) + 1)
    this.#shorter.push(0)
    this.#completed.push(undefined)
    return made
  }

  /** The state after one more UTF-16 unit. */
  next(state: number, code: number): number {
    for (let from = state; ; from = this.#shorter[from]!) {
      const to = this.#next.get(from * 65_536 + code)
      if (to !== undefined) return to
      if (from === 0) return 0
    }
  }

  /** How long the end is that a state stands for. */
  depth(state: number): number {
    return this.#depth[state]!
  }

  /** The literal that ends in a state. */
  completed(state: number): DeniedText | undefined {
    return this.#completed[state]
  }

  search(text: string): DeniedText | undefined {
    let state = 0
    for (let at = 0; at < text.length; at++) {
      state = this.next(state, text.charCodeAt(at))
      const completed = this.#completed[state]
      if (completed !== undefined) return completed
    }
    return undefined
  }
}
