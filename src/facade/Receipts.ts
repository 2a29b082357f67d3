/**
 * Which answer has which receipt. Answers are remembered by object; streams also by the id that the provider gives their
 * chunks, because the SDK's helpers make objects of their own.
 */
import type { Receipt } from "../call/Reply.ts"
import { shared } from "../base/Shared.ts"

/** How many streams are remembered by id, the latest: each takes some 3 KB. */
const remembered = 2000

// Tables, for an answer is the plain object that the SDK parsed, and the SDK's helpers copy it.
const byObject = shared("receipts by object", () => new WeakMap<object, Receipt>())
const byId = shared("receipts by id", () => new Map<string, Receipt>())

/** Remembers the receipt of an answer, for as long as the object lives. */
export const rememberReceipt = (answer: unknown, receipt: Receipt): void => {
  if (typeof answer === "object" && answer !== null) byObject.set(answer, receipt)
}

/** Remembers the receipt of a stream by the id of its chunks, for the objects that helpers make of them. */
export const rememberChunk = (chunk: unknown, receipt: Receipt): void => {
  const id = typeof chunk === "object" && chunk !== null ? idOf(chunk) : undefined
  if (id === undefined) return
  byId.delete(id)
  byId.set(id, receipt)
  if (byId.size > remembered) byId.delete(byId.keys().next().value ?? "")
}

/** The receipt of an answer, if it has one. */
export const receiptOf = (answer: unknown): Receipt | undefined => {
  if (typeof answer !== "object" || answer === null) return undefined
  const receipt = byObject.get(answer)
  if (receipt !== undefined) return receipt
  const id = idOf(answer)
  return id === undefined ? undefined : byId.get(id)
}

/** An empty id is none: Azure's first chunk has one, as those of some other servers. */
const idOf = (answer: object): string | undefined =>
  "id" in answer && typeof answer.id === "string" && answer.id !== "" ? answer.id : undefined
