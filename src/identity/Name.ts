/**
 * What counts as a name in a token: of a user, a role, a group. A log, a terminal and a policy must all read the same.
 *
 * @since 0.2.0
 */

/** How long a name may be, in UTF-16 units. */
export const maximumName = 256

/**
 * True for text of 1 to 256 UTF-16 units without control characters (C0, C1), line separators, bidirectional controls and
 * halves of a surrogate pair. Names are compared to the byte: nothing is trimmed, folded or normalised.
 */
export const isName = (value: unknown): value is string =>
  typeof value === "string" &&
  value.length >= 1 &&
  value.length <= maximumName &&
  !/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/u.test(value)
