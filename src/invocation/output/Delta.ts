/**
 * What a delta of a chat completion holds for a reader: nothing, texts, parts of a tool call.
 */
import { type Fields, isFields } from "../../answer/Fields.ts"
import { isReason } from "../../answer/Finish.ts"
import { isToolPiece } from "../../answer/ToolCall.ts"
import { piecesOf } from "./Piece.ts"

/** True for a piece of a text that tells nothing. */
export const isSilent = (value: unknown): boolean => piecesOf(value).every((piece) => piece === "")

/** The parts of a content that bring a tool call, or a piece of one. */
export const toolPiecesOf = (content: unknown): ReadonlyArray<unknown> =>
  (Array.isArray(content) ? content : [content]).filter(isToolPiece)

/** True for a delta that tells nothing. */
export const isEmpty = (delta: Fields): boolean => {
  for (const key in delta) {
    const value = delta[key]
    if (value === null || value === undefined || value === "") continue
    if (Array.isArray(value) && value.length === 0) continue
    if (isFields(value) && isEmpty(value)) continue
    return false
  }
  return true
}

/** True for a choice that tells nothing but its delta. */
export const isEmptyChoice = ({ delta: _, finish_reason: reason, index: _index, ...others }: Fields): boolean =>
  !isReason(reason) && isEmpty(others)

/** The texts of a delta before a member, and this value of it: `edited` has the members of the delta in their order. */
export const textsUpTo = (edited: Fields, key: string, value: unknown): Fields => {
  const told: Record<string, unknown> = {}
  for (const name in edited) {
    if (name === key) break
    const before = edited[name]
    if (typeof before === "string") told[name] = before
  }
  return { ...told, [key]: value }
}
