/**
 * Which answer has which receipt. Answers are remembered by object, and by the id that the provider gave them, because the
 * SDK's helpers make objects of their own.
 *
 * @since 0.1.0
 */
import type { Receipt } from "../Call.ts"

const remembered = 10_000

const byObject = new WeakMap<object, Receipt>()
const byId = new Map<string, Receipt>()

/** Remembers the receipt of an answer: as long as the object lives, and by id among the last 10,000. */
export const rememberReceipt = (answer: unknown, receipt: Receipt): void => {
  if (typeof answer !== "object" || answer === null) return
  byObject.set(answer, receipt)
  const id = idOf(answer)
  if (id === undefined) return
  byId.delete(id)
  byId.set(id, receipt)
  if (byId.size > remembered) byId.delete(byId.keys().next().value ?? "")
}

/** The receipt of an answer, if it has one. */
export const receiptOf = (answer: unknown): Receipt | undefined => {
  if (typeof answer !== "object" || answer === null) return undefined
  return byObject.get(answer) ?? byId.get(idOf(answer) ?? "")
}

const idOf = (answer: object): string | undefined =>
  "id" in answer && typeof answer.id === "string" ? answer.id : undefined
