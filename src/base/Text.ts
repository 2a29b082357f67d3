/**
 * What a reader sees of a text: a terminal, a log and a page must not show two texts alike, or obey one.
 */

/**
 * What is not seen, or changes how other text is seen: control characters (C0, C1), halves of a surrogate pair, code points
 * that are unassigned or left to private use, line and paragraph separators, bidirectional controls, default-ignorable
 * code points (Unicode Standard Annex 44; UTS 39 §3.1), and the three symbols that show nothing: U+2800 (the blank of Braille), U+FFFC and
 * U+1D159.
 */
export const unseen =
  /[\p{Cc}\p{Cs}\p{Cn}\p{Co}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}\u2800\ufffc\u{1d159}]/u

const hidden = new RegExp(`${unseen.source}|(?! )\\p{Zs}`, "gu")
const hiddenInLines = new RegExp(`(?!\\n)(?:${hidden.source})`, "gu")

/** `\u200b`, two of them for a code point beyond U+FFFF: as JSON writes it. */
const escape = (character: string): string =>
  Array.from(
    { length: character.length },
    (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`
  ).join("")

/** A text with everything in it that is {@link unseen}, and white space that looks like a space, as `\u200b`. */
export const visible = (text: string): string => text.replace(hidden, escape)

/** As {@link visible}, for text of several lines. Of a JSON text it gives another spelling of the same value. */
export const visibleLines = (text: string): string => text.replace(hiddenInLines, escape)
