/**
 * Patterns for resources and globs for values. Both match in time linear in the text for a given pattern: no backtracking,
 * and no regular expression of a user's runs here.
 */

/** Tells whether a text matches. */
export type Matcher = (text: string) => boolean

/**
 * A resource pattern (mapl §2): `*` is any run of characters but `/`, `**` any run at all. `*text*` and `*.ext`, with no
 * other `*`, match anywhere, `/` included.
 */
export const resourcePattern = (pattern: string): Matcher => {
  if (!pattern.includes("*")) return (text) => text === pattern
  const anywhere = containedText(pattern)
  if (anywhere !== undefined) {
    const find = finder(anywhere)
    return (text) => find(text, 0) !== -1
  }
  if (isExtension(pattern)) return endsWith(pattern.slice(1))
  const first = pattern.indexOf("*")
  const last = pattern.lastIndexOf("*")
  for (let at = first; at < last; at++) if (pattern[at] !== "*") return automaton(pattern)
  return oneRun(pattern.slice(0, first), pattern.slice(last + 1), last > first)
}

/** A glob over a whole value (mapl §2): `*` matches anything, `/` included. Without a `*`, equality. */
export const valueGlob = (glob: string): Matcher => {
  const [first = "", ...rest] = glob.split("*")
  const last = rest.pop()
  if (last === undefined) return (text) => text === glob
  const pieces = rest.map((piece) => ({ length: piece.length, find: finder(piece) }))
  return (text) => {
    if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false
    // The leftmost place for each piece leaves the most room for those after it, so one pass decides.
    let at = first.length
    const end = text.length - last.length
    for (const { find, length } of pieces) {
      const found = find(text, at)
      if (found === -1 || found + length > end) return false
      at = found + length
    }
    return true
  }
}

/** True for a value that stands for more than itself. */
export const isGlob = (value: string): boolean => value.includes("*")

/** True where some text matches both value globs. */
export const globsMeet = (left: string, right: string): boolean => {
  if (!isGlob(left)) return valueGlob(right)(left)
  if (!isGlob(right)) return valueGlob(left)(right)
  return outerOfBoth(outerOf(left), outerOf(right)) !== undefined
}

/** How many comparisons {@link listsMeet} makes at most. */
const maximumComparisons = 1_000_000

/**
 * True where some text matches a glob of each list. Where that would take more than a million comparisons it is not looked
 * for, and taken to be so.
 */
export const listsMeet = (lists: ReadonlyArray<ReadonlyArray<string>>): boolean => {
  let comparisons = 0
  let reached: ReadonlyArray<Outer> = [["", ""]]
  for (const globs of lists) {
    const next = new Map<string, Outer>()
    for (const outer of reached)
      for (const glob of globs) {
        if (++comparisons > maximumComparisons) return true
        const both = outerOfBoth(outer, outerOf(glob))
        if (both !== undefined) next.set(both.join("*"), both)
      }
    if (next.size === 0) return false
    reached = [...next.values()]
  }
  return true
}

/** The texts before the first star of a glob and after the last: between them there is room for whatever a glob asks for. */
type Outer = readonly [begin: string, end: string]

const outerOf = (glob: string): Outer => [glob.slice(0, glob.indexOf("*")), glob.slice(glob.lastIndexOf("*") + 1)]

/** What two globs ask for together at the ends of a text; `undefined` where they are at odds. */
const outerOfBoth = ([begin, end]: Outer, [otherBegin, otherEnd]: Outer): Outer | undefined => {
  const longerBegin = begin.length > otherBegin.length ? begin : otherBegin
  const longerEnd = end.length > otherEnd.length ? end : otherEnd
  const fits =
    longerBegin.startsWith(begin) &&
    longerBegin.startsWith(otherBegin) &&
    longerEnd.endsWith(end) &&
    longerEnd.endsWith(otherEnd)
  return fits ? [longerBegin, longerEnd] : undefined
}

const containedText = (pattern: string): string | undefined => {
  const text = pattern.slice(1, -1)
  return pattern.startsWith("*") && pattern.endsWith("*") && text !== "" && !text.includes("*") ? text : undefined
}

const isExtension = (pattern: string): boolean =>
  pattern.startsWith("*.") && pattern.length > 2 && !pattern.includes("*", 1) && !pattern.includes("/")

const endsWith =
  (end: string): Matcher =>
  (text) =>
    text.endsWith(end)

/** A pattern with one run of stars in it. */
const oneRun =
  (first: string, last: string, isAnything: boolean): Matcher =>
  (text) => {
    const end = text.length - last.length
    if (end < first.length || !text.startsWith(first) || !text.endsWith(last)) return false
    const slash = isAnything ? -1 : text.indexOf("/", first.length)
    return slash === -1 || slash >= end
  }

/** Up to which length a text is looked for by `indexOf`, which may compare all of it at every place. */
const maximumCompared = 64

/** Finds a piece in a text at or after a place, in time linear in the text; -1 where it is not. */
const finder = (piece: string): ((text: string, from: number) => number) => {
  if (piece.length <= maximumCompared) return (text, from) => text.indexOf(piece, from)
  let borders: Uint32Array | undefined
  return (text, from) => {
    borders ??= bordersOf(piece)
    let matched = 0
    for (let at = from; at < text.length; at++) {
      const code = text.charCodeAt(at)
      while (matched > 0 && piece.charCodeAt(matched) !== code) matched = borders[matched - 1]!
      if (piece.charCodeAt(matched) === code) matched++
      if (matched === piece.length) return at + 1 - matched
    }
    return -1
  }
}

/** How long the longest text is that each beginning of `piece` both begins and ends with (Knuth, Morris and Pratt 1977). */
const bordersOf = (piece: string): Uint32Array => {
  const borders = new Uint32Array(piece.length)
  for (let at = 1, length = 0; at < piece.length; at++) {
    while (length > 0 && piece[at] !== piece[length]) length = borders[length - 1]!
    if (piece[at] === piece[length]) length++
    borders[at] = length
  }
  return borders
}

/**
 * Runs every way to read the text at once: the set of numbers of characters of the pattern that may have been read, as
 * bits, moved on by one character of the text a step.
 */
const automaton = (pattern: string): Matcher => {
  const anything: Array<number> = []
  const segment: Array<number> = []
  /** Where each character stands. */
  const places = new Map<number, Array<number>>()
  let length = 0
  for (const [token] of pattern.matchAll(/\*+|[^*]/gs)) {
    if (token === "*") segment[length >>> 5] = (segment[length >>> 5] ?? 0) | (1 << length)
    else if (token.startsWith("*")) anything[length >>> 5] = (anything[length >>> 5] ?? 0) | (1 << length)
    else {
      const code = token.charCodeAt(0)
      const known = places.get(code)
      if (known === undefined) places.set(code, [length])
      else known.push(length)
      length++
    }
  }
  const words = (length >>> 5) + 1
  return (text) => {
    let states = new Int32Array(words)
    let next = new Int32Array(words)
    states[0] = 1
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at)
      let alive = 0
      for (let word = 0; word < words; word++)
        alive |= next[word] = states[word]! & ((anything[word] ?? 0) | (code === slash ? 0 : (segment[word] ?? 0)))
      for (const place of places.get(code) ?? nowhere)
        if (((states[place >>> 5]! >>> place) & 1) === 1) alive = next[(place + 1) >>> 5]! |= 1 << (place + 1)
      if (alive === 0) return false
      ;[states, next] = [next, states]
    }
    return ((states[length >>> 5]! >>> length) & 1) === 1
  }
}

const nowhere: ReadonlyArray<number> = []
const slash = 0x2f
