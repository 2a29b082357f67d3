/**
 * Patterns for resources and globs for values. Both match in time linear in the text for a given pattern: no backtracking,
 * and no regular expression of a user's runs here.
 *
 * @since 0.1.0
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
  if (anywhere !== undefined) return (text) => text.includes(anywhere)
  if (isExtension(pattern)) return (text) => text.endsWith(pattern.slice(1))
  return automaton(tokens(pattern))
}

/** A glob over a whole value (mapl §2): `*` matches anything, `/` included. Without a `*`, equality. */
export const valueGlob = (glob: string): Matcher => {
  const [first = "", ...rest] = glob.split("*")
  const last = rest.pop()
  if (last === undefined) return (text) => text === glob
  return (text) => {
    if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false
    // The leftmost place for each piece leaves the most room for those after it, so one pass decides.
    let at = first.length
    const end = text.length - last.length
    for (const piece of rest) {
      const found = text.indexOf(piece, at)
      if (found === -1 || found + piece.length > end) return false
      at = found + piece.length
    }
    return true
  }
}

/** True for a value that stands for more than itself. */
export const isGlob = (value: string): boolean => value.includes("*")

/** True where some text matches both value globs. */
export const globsMeet = (left: string, right: string): boolean => {
  // `row[j]`: what is left of `left` from i, and of `right` from j, can be the same text.
  let row: ReadonlyArray<boolean> = []
  for (let i = left.length; i >= 0; i--) {
    const next: Array<boolean> = []
    for (let j = right.length; j >= 0; j--) {
      const l = left[i]
      const r = right[j]
      if (l === undefined && r === undefined) next[j] = true
      else if (l === "*") next[j] = row[j]! || (r !== undefined && next[j + 1]!)
      else if (r === "*") next[j] = next[j + 1]! || (l !== undefined && row[j]!)
      else next[j] = l !== undefined && l === r && row[j + 1]!
    }
    row = next
  }
  return row[0]!
}

const containedText = (pattern: string): string | undefined => {
  const text = pattern.slice(1, -1)
  return pattern.startsWith("*") && pattern.endsWith("*") && text !== "" && !text.includes("*") ? text : undefined
}

const isExtension = (pattern: string): boolean =>
  pattern.startsWith("*.") && pattern.length > 2 && !pattern.includes("*", 1) && !pattern.includes("/")

const segment = Symbol("*")
const anything = Symbol("**")
type Token = string | typeof segment | typeof anything

const tokens = (pattern: string): ReadonlyArray<Token> =>
  (pattern.match(/\*+|[^*]/gs) ?? []).map((token) =>
    token === "*" ? segment : token.startsWith("*") ? anything : token
  )

/** Runs every way to read the text at once: one set of positions in the pattern, moved on by one character a step. */
const automaton = (pattern: ReadonlyArray<Token>): Matcher => {
  const reach = (states: Uint8Array, from: number): void => {
    let state = from
    states[state] = 1
    while (typeof pattern[state] === "symbol") states[++state] = 1
  }
  return (text) => {
    let states = new Uint8Array(pattern.length + 1)
    reach(states, 0)
    for (let at = 0; at < text.length; at++) {
      const next = new Uint8Array(pattern.length + 1)
      for (let state = 0; state < pattern.length; state++) {
        if (states[state] === 0) continue
        const token = pattern[state]
        if (token === anything || (token === segment && text[at] !== "/")) reach(next, state)
        else if (token === text[at]) reach(next, state + 1)
      }
      states = next
    }
    return states[pattern.length] === 1
  }
}
