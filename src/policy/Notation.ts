/**
 * How messages write a value, a path and a type.
 */

/** `an integer`, `a string`. */
export const withArticle = (type: string): string => `${/^[aeiou]/u.test(type) ? "an" : "a"} ${type}`

/** How many characters of a value are shown. */
export const shownWidth = 80

/** A value as JSON, cut at 80 characters; `nothing` where JSON has no text for it. */
export const showValue = (value: unknown): string => {
  const text = beginningOf(value)
  return text.length > shownWidth ? `${text.slice(0, shownWidth - 1)}…` : text
}

/** A value as JSON, or as much of it as is shown: a list may be as long as a request. */
const beginningOf = (value: unknown): string => {
  if (typeof value === "string") return JSON.stringify(value.slice(0, shownWidth + 1))
  if (!Array.isArray(value)) return JSON.stringify(value) ?? "nothing"
  let text = ""
  for (const item of value) {
    text += `${text === "" ? "" : ","}${beginningOf(item)}`
    if (text.length > shownWidth) break
  }
  return `[${text}]`
}

/** `constraints.parameters["tool:*"].max`, of the keys and indices that lead there. */
export const showPath = (path: ReadonlyArray<PropertyKey>): string =>
  path
    .map((key, at) =>
      typeof key === "number"
        ? `[${key}]`
        : /^[\w$]+$/u.test(String(key))
          ? `${at === 0 ? "" : "."}${String(key)}`
          : `[${JSON.stringify(String(key))}]`
    )
    .join("")
