/**
 * How an answer or a stream ended: whole, or failed although its status was 200.
 *
 * @since 0.2.0
 */
import { type Fields, isFields, itemsOf, memberOf } from "./Fields.ts"

/** True for the `finish_reason` of a choice that is over: a text that is not empty, and nothing else. */
export const isReason = (reason: unknown): reason is string => typeof reason === "string" && reason !== ""

/**
 * True where an answer, a chunk or an event says that the provider failed: `{ "error": … }`, an event of type `error`,
 * `response.failed`, a response with the status `failed`, or a choice whose `finish_reason` is `error`.
 */
export const isFailure = (answer: unknown): boolean => {
  if (!isFields(answer)) return false
  const { choices, error, response, status, type } = answer
  return (
    Boolean(error) ||
    status === "failed" ||
    type === "error" ||
    type === "response.failed" ||
    (isFields(response) && response["status"] === "failed") ||
    (Array.isArray(choices) && choices.some((choice) => memberOf(choice, "finish_reason") === "error"))
  )
}

/** Events after which a response is whole, as it came out. */
const lastEvents: ReadonlySet<unknown> = new Set(["response.completed", "response.failed", "response.incomplete"])

/**
 * Follows a stream to its end. It is whole once an event has ended its response, or each choice that began has had a
 * {@link isReason}; a choice that goes on after that has begun again.
 */
export class StreamFinish {
  readonly #unfinished = new Set<unknown>()
  readonly #ended = new Set<unknown>()
  #finished = false
  #failed = false

  /** Takes in a chunk, or an event. */
  add(chunk: unknown): void {
    if (!isFields(chunk)) return
    this.#failed ||= isFailure(chunk)
    this.#finished ||= lastEvents.has(chunk["type"])
    for (const choice of itemsOf(chunk["choices"])) {
      if (!isFields(choice)) continue
      const { index } = choice
      if (isReason(choice["finish_reason"])) {
        this.#unfinished.delete(index)
        this.#ended.add(index)
        this.#finished = true
      } else if (!this.#ended.has(index) || saysMore(choice)) this.#unfinished.add(index)
    }
  }

  /** True where the stream said that its answer is whole. */
  get isWhole(): boolean {
    return this.#finished && this.#unfinished.size === 0
  }

  /** True where the stream said that the provider failed. */
  get hasFailed(): boolean {
    return this.#failed
  }
}

/** True for a choice of a chunk that says something: usage often comes with one that does not. */
const saysMore = (choice: Fields): boolean => {
  const { delta, text } = choice
  if (typeof text === "string" && text !== "") return true
  if (!isFields(delta)) return false
  for (const key in delta) {
    const value = delta[key]
    if (key === "role" || value === null || value === undefined || value === "") continue
    if (!Array.isArray(value) || value.length > 0) return true
  }
  return false
}
