/**
 * A piece of a text that an answer tells in pieces: how it may be spelled, and by what a reader tells to which text it belongs.
 * A reader adds a string, a list of strings or a number to the text so far all the same, so the spelling decides nothing.
 */
import { isFields } from "../../answer/Fields.ts"

/**
 * The value with each of its texts put through `tell`, in order: a string or a number, those of a list but for its numbers,
 * those of an object's `text`. The same value where `tell` changes nothing.
 */
export const retold = (value: unknown, tell: (text: string) => string): unknown => {
  if (typeof value === "string") return tell(value)
  if (typeof value === "number") {
    const text = String(value)
    const told = tell(text)
    return told === text ? value : told
  }
  if (Array.isArray(value)) {
    let left: Array<unknown> | undefined
    for (let i = 0; i < value.length; i++) {
      const item: unknown = value[i]
      // Numbers in a list are bytes, or the ids of tokens.
      const mine = typeof item === "number" ? item : retold(item, tell)
      if (mine !== item) left ??= value.slice(0, i)
      left?.push(mine)
    }
    return left ?? value
  }
  if (!isFields(value)) return value
  const text = retold(value["text"], tell)
  return text === value["text"] ? value : { ...value, text }
}

/** The texts that {@link retold} puts through `tell`. */
export const piecesOf = (value: unknown): ReadonlyArray<string> => {
  if (typeof value === "string") return [value]
  const pieces: Array<string> = []
  retold(value, (text) => {
    pieces.push(text)
    return text
  })
  return pieces
}

/** What a value tells beside its {@link piecesOf}; null where that is nothing. */
export const besides = (value: unknown): unknown => {
  if (typeof value !== "object" || value === null) return null
  if (Array.isArray(value)) return value.map(besides)
  return isFields(value) && piecesOf(value["text"]).length > 0 ? { ...value, text: besides(value["text"]) } : value
}

/** A text in the form of another piece: a string, or an object with the text, alone or in a list. */
export const formedLike = (piece: unknown, text: string): unknown => {
  const last: unknown = Array.isArray(piece) ? piece.at(-1) : piece
  if (!isFields(last) || typeof last["text"] !== "string") return text
  return last === piece ? { ...last, text } : [{ ...last, text }]
}
