/**
 * What counts as a name: of a user, a role, a group, an app, a tool. A log, a terminal and a policy must all read the same.
 *
 * @since 0.2.0
 */
import { ConfigurationError } from "./Errors.ts"
import { unseen, visible } from "./Text.ts"

/** How long a name may be, in UTF-16 units. */
export const maximumName = 256

/**
 * True for text of 1 to 256 UTF-16 units without white space at its ends and without anything that is not seen: control
 * characters (C0, C1), line separators, bidirectional controls, halves of a surrogate pair and default-ignorable code points
 * such as U+200B and U+00AD, which make a second name look like the first (UTS 39). Names are compared to the byte: nothing
 * is trimmed, folded or normalised.
 */
export const isName = (value: unknown): value is string => typeof value === "string" && nameFault(value) === undefined

/** What keeps a text from being a name; `undefined` where it is one. */
export const nameFault = (text: string): string | undefined => {
  if (text.length === 0) return "is empty"
  if (text.length > maximumName) return `is longer than ${maximumName} characters`
  const [found] = unseen.exec(text) ?? []
  if (found !== undefined)
    return `holds U+${(found.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}, which is not seen`
  return /^\p{White_Space}|\p{White_Space}$/u.test(text) ? "begins or ends with white space" : undefined
}

/** What keeps a value from being a name, without the value: `it holds U+200B, which is not seen`. */
export const namelessness = (value: unknown): string =>
  typeof value === "string" ? `it ${nameFault(value) ?? "is one"}` : "it is no text"

/** Throws a `ConfigurationError` for an option that is given and no name. */
export const requireName = (option: string, value: unknown): void => {
  if (value !== undefined && !isName(value))
    throw new ConfigurationError(
      `${option} is a name of 1 to ${maximumName} characters that are seen, without white space at its ends, not ${visible(JSON.stringify(value)?.slice(0, 80) ?? "")}: ${namelessness(value)}.`
    )
}
