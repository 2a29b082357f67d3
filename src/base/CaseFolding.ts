/**
 * When two keys are one to a reader that matches names without case, as Go's `encoding/json` does: `strings.EqualFold`, which is
 * Unicode's simple case folding (UAX #44, `CaseFolding.txt`, statuses C and S).
 */

/** A text for each class of texts that simple case folding makes equal: `Model`, `MODEL` and `model` have the same one. */
export const fold = (text: string): string => {
  // oxlint-disable-next-line no-control-regex
  if (/^[\x00-\x7f]*$/.test(text)) return text.toLowerCase()
  let folded = ""
  for (const character of text) folded += foldOne(character)
  return folded
}

/**
 * One code point. Upper case leads to one member of its class and lower case from there to another, always the same: `ſ` to `S`
 * to `s`. Full mappings that are longer (`ß` to `SS`), or lead out of the class (`ı` to `I` to `i`), are none of simple folding.
 */
const foldOne = (character: string): string => {
  const candidates = [character.toUpperCase().toLowerCase(), character.toLowerCase()]
  return candidates.find((one) => isSingle(one) && isSame(character, one)) ?? character
}

const isSingle = (text: string): boolean => [...text].length === 1

/** ECMA-262 canonicalizes by simple case folding where a pattern ignores case and is of Unicode. */
const isSame = (a: string, b: string): boolean =>
  a === b || new RegExp(`^\\u{${a.codePointAt(0)?.toString(16)}}$`, "iu").test(b)
