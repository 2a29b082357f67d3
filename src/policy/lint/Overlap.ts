/**
 * Whether resource patterns can meet: for advice on policies, where a pattern that nothing matches is a slip. Decisions match
 * real resources instead, and need none of this.
 */

import { resourcePattern } from "../Pattern.ts"

const segment = Symbol("*")
const anything = Symbol("**")
type Token = string | typeof segment | typeof anything

/** How many positions are looked at before a question counts as too large to answer. */
const maximumSteps = 20_000

/**
 * Whether some resource matches every one of the patterns (mapl §2); `undefined` where the answer would take too long.
 */
export const overlap = (patterns: ReadonlyArray<string>): boolean | undefined => {
  const read = patterns.map(tokens)
  const seen = new Set<string>()
  const open: Array<ReadonlyArray<number>> = [read.map(() => 0)]
  const reach = (positions: ReadonlyArray<number>): void => {
    const key = positions.join()
    if (seen.has(key)) return
    seen.add(key)
    open.push(positions)
  }
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (seen.size > maximumSteps) return undefined
    const next = read.map((pattern, i) => pattern[at[i]!])
    if (next.every((token) => token === undefined)) return true
    // A star may end here.
    next.forEach((token, i) => {
      if (typeof token === "symbol") reach(at.with(i, at[i]! + 1))
    })
    // Or all of them read one more character, which the literals name; stars alone get nowhere by reading.
    const character = next.find((token) => typeof token === "string")
    if (character === undefined) continue
    if (next.every((token) => token === character || token === anything || (token === segment && character !== "/")))
      reach(at.map((position, i) => (typeof next[i] === "string" ? position + 1 : position)))
  }
  return false
}

/**
 * Whether some resource matches all of `patterns` and at least one of each list; `undefined` where that would take too long
 * to tell. `meet` is {@link overlap}, perhaps one that remembers.
 */
export const reachable = (
  patterns: ReadonlyArray<string>,
  lists: ReadonlyArray<ReadonlyArray<string>>,
  meet: typeof overlap = overlap
): boolean | undefined => {
  let left = maximumTries
  const search = (chosen: ReadonlyArray<string>, at: number): boolean | undefined => {
    const list = lists[at]
    if (list === undefined) return true
    let answer: boolean | undefined = false
    for (const pattern of list) {
      if (--left < 0) return undefined
      const more = chosen.includes(pattern) ? chosen : [...chosen, pattern]
      const met = meet(more)
      const found = met === false ? false : met === undefined ? undefined : search(more, at + 1)
      if (found === true) return true
      answer = found === undefined ? undefined : answer
    }
    return answer
  }
  const met = patterns.length < 2 ? true : meet(patterns)
  return met === true ? search(patterns, 0) : met
}

/**
 * Whether `wide` matches every resource that `narrow` matches. Tried on what `narrow` stands for with characters that no pattern
 * has in the place of its stars, many segments and none among them.
 */
export const covers = (wide: string, narrow: string): boolean => {
  if (wide === narrow) return true
  const read = tokens(narrow)
  const matches = resourcePattern(wide)
  return ["", unheard, Array.from({ length: 9 }, () => unheard).join("/")].every((any) =>
    ["", unheard].every((part) =>
      matches(read.map((token) => (token === anything ? any : token === segment ? part : token)).join(""))
    )
  )
}

/** Of Unicode's private use. */
const unheard = "\uE000"

/** How many patterns of lists are tried before a question counts as too large. */
const maximumTries = 2_000

/** The two forms that match anywhere are read as what they mean. */
const tokens = (pattern: string): ReadonlyArray<Token> => {
  if (isContained(pattern)) return [anything, ...pattern.slice(1, -1), anything]
  if (isExtension(pattern)) return [anything, ...pattern.slice(1)]
  return (pattern.match(/\*+|[^*]/gsu) ?? []).flatMap((token): ReadonlyArray<Token> => {
    if (!token.startsWith("*")) return Array.from(token)
    return [token === "*" ? segment : anything]
  })
}

/** True for a pattern that matches anywhere in a resource: `*text*`, `*.ext`. */
export const isAnywhere = (pattern: string): boolean => isContained(pattern) || isExtension(pattern)

const isContained = (pattern: string): boolean => /^\*[^*]+\*$/su.test(pattern)

const isExtension = (pattern: string): boolean => /^\*\.[^*/]+$/su.test(pattern)
