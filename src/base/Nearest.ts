/**
 * Which name somebody meant who wrote another one.
 */

/** The candidate that was probably meant: the name written in another way, or a few letters away; undefined where none is near. */
export const nearest = (name: string, candidates: ReadonlyArray<string>): string | undefined => {
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: editDistance(spelled(name), spelled(candidate)) }))
    .filter(({ candidate, distance }) => distance <= Math.max(candidate.length < 4 ? 1 : 2, candidate.length / 3))
    .sort((a, b) => a.distance - b.distance)
  return ranked[0]?.candidate
}

/** A name in lower case, its words joined by `_`: `maxTokens`, `max-tokens` and `MAX_TOKENS` are one. */
export const spelled = (name: string): string => name.replaceAll(/(?<=[a-z])(?=[A-Z])|-/gu, "_").toLowerCase()

/** Levenshtein distance; infinite where the first text has more than 64 characters. */
export const editDistance = (a: string, b: string): number => {
  if (a.length > 64) return Infinity
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
    row = next
  }
  return row[b.length]!
}
