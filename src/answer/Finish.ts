/**
 * How an answer or a stream ended: whole, or failed although its status was 200.
 */
import { type Fields, isFields, itemsOf, memberOf, textOf } from "./Fields.ts"

/** True for the `finish_reason` of a choice that is over: a text that is not empty, and nothing else. */
export const isReason = (reason: unknown): reason is string => typeof reason === "string" && reason !== ""

/** What a response says that the model did not finish: it failed, or somebody cancelled it. */
const failures: ReadonlySet<unknown> = new Set(["failed", "cancelled"])

/**
 * True where an answer, a chunk or an event says that the provider failed: `{ "error": … }`, an object or an event of type
 * `error`, `response.failed` or `response.cancelled`, a response with an `error` or the status `failed` or `cancelled`, or a
 * choice with an `error` or whose `finish_reason` is `error`.
 */
export const isFailure = (answer: unknown): boolean => {
  if (!isFields(answer)) return false
  const { choices, error, object, response, status, type } = answer
  return (
    Boolean(error) ||
    failures.has(status) ||
    object === "error" ||
    type === "error" ||
    type === "response.failed" ||
    type === "response.cancelled" ||
    Boolean(memberOf(response, "error")) ||
    failures.has(memberOf(response, "status")) ||
    (Array.isArray(choices) &&
      choices.some((choice) => memberOf(choice, "finish_reason") === "error" || Boolean(memberOf(choice, "error"))))
  )
}

/**
 * How a plain answer of a model ended whose status was 200. What is no JSON object is no answer: a page of a proxy, or an
 * empty body, failed too. The text of a stream, which nobody read as one, is an answer.
 */
export const endOf = (answer: unknown): "complete" | "failed" =>
  isFields(answer) ? (isFailure(answer) ? "failed" : "complete") : isStreamText(answer) ? "complete" : "failed"

/** True for the text of server-sent events that hold something (HTML Living Standard §9.2.5). */
const isStreamText = (answer: unknown): boolean => /^data:/mu.test(textOf(answer))

/** Events after which a response is whole, as it came out. */
const lastEvents: ReadonlySet<unknown> = new Set([
  "response.completed",
  "response.failed",
  "response.incomplete",
  "response.cancelled"
])

/** Events that tell of a response that has not ended. */
export const beginnings: ReadonlySet<string> = new Set(["response.created", "response.in_progress", "response.queued"])

/** Events that say that a response goes on, and nothing of the answer. */
const signs: ReadonlySet<unknown> = new Set([...beginnings, "keepalive", "ping"])

/**
 * Follows a stream to its end. It is whole once an event has ended its response, or each choice that began has had a
 * {@link isReason}; a choice that goes on after that has begun again.
 */
export class StreamFinish {
  readonly #unfinished = new Set<unknown>()
  readonly #ended = new Set<unknown>()
  #finished = false
  #failed = false
  #hasSaid = false

  /** Takes in a chunk, or an event. */
  add(chunk: unknown): void {
    if (!isFields(chunk)) return
    this.#failed ||= isFailure(chunk)
    this.#finished ||= lastEvents.has(chunk["type"])
    this.#hasSaid ||= saysSomething(chunk)
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

  /** True where the stream said something of an answer: without it, `[DONE]` ends nothing. */
  get hasSaid(): boolean {
    return this.#hasSaid
  }

  /** True where the stream said that the provider failed. */
  get hasFailed(): boolean {
    return this.#failed
  }
}

/** True for a chunk that says something of an answer, or an event that does; names and usage are nothing of it. */
const saysSomething = (chunk: Fields): boolean => {
  const { choices, type } = chunk
  if (Array.isArray(choices))
    return choices.some((choice) =>
      isFields(choice)
        ? isReason(choice["finish_reason"]) || saysMore(choice) || isFilled(choice["message"])
        : isFilled(choice)
    )
  if (typeof type === "string" && type.startsWith("response.")) return !signs.has(type)
  if (signs.has(type)) return false
  for (const name in chunk) if (!names.has(name) && isFilled(chunk[name])) return true
  return false
}

const names: ReadonlySet<string> = new Set(
  "id object created model name type sequence_number system_fingerprint service_tier obfuscation usage".split(" ")
)

const isFilled = (value: unknown): boolean =>
  isFields(value) || Array.isArray(value)
    ? Object.keys(value).length > 0
    : value !== null && value !== undefined && value !== "" && value !== false

/** True for a choice of a chunk that says something: usage often comes with one that does not. */
const saysMore = (choice: Fields): boolean => {
  const { delta, text } = choice
  if (isFilled(text)) return true
  if (!isFields(delta)) return isFilled(delta)
  for (const key in delta) {
    const value = delta[key]
    if (key === "role" || value === null || value === undefined || value === "") continue
    if (!Array.isArray(value) || value.length > 0) return true
  }
  return false
}
