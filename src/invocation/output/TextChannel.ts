/**
 * One text of a streamed answer: a choice's content, an item's arguments.
 *
 * @since 0.2.0
 */
import { TextWindow } from "./DeniedTexts.ts"
import { isFields, metadata, type OutputJudge } from "./OutputJudge.ts"

/** What may go on of a text that comes in pieces; a denied text in it refuses the answer. */
export class TextChannel {
  readonly path: string
  readonly #judge: OutputJudge
  readonly #window: TextWindow | undefined

  constructor(judge: OutputJudge, path: string) {
    this.path = path
    this.#judge = judge
    this.#window = judge.seeks ? new TextWindow(judge.denied) : undefined
  }

  /** True where something is held back. */
  get holds(): boolean {
    return this.#window?.holds === true
  }

  push(piece: string): string {
    return this.#window === undefined ? piece : this.#judged(this.#window, this.#window.push(piece))
  }

  /** The text is over: gives what is held back. */
  end(): string {
    return this.#window === undefined ? "" : this.#judged(this.#window, this.#window.end())
  }

  #judged(window: TextWindow, free: string): string {
    if (window.found !== undefined) this.#judge.found(window.found, this.path)
    return free
  }
}

/**
 * Follows each string of a value from chunk to chunk, by where it stands: nothing is held back, and yet no denied text passes
 * whole. `path` is the place that findings tell.
 */
export const trackTexts = (
  value: unknown,
  path: string,
  judge: OutputJudge,
  texts: Map<string, TextChannel>,
  place = path
): void => {
  if (typeof value === "string") {
    const channel = texts.get(place) ?? new TextChannel(judge, path)
    texts.set(place, channel)
    channel.push(value)
  } else if (Array.isArray(value)) value.forEach((item, i) => trackTexts(item, path, judge, texts, `${place}[${i}]`))
  else if (isFields(value))
    for (const key in value) if (!metadata.has(key)) trackTexts(value[key], path, judge, texts, `${place}.${key}`)
}

/** The members of arrays put together, of several pieces of `logprobs`. */
export const joined = (before: unknown, after: unknown): unknown => {
  if (Array.isArray(before) && Array.isArray(after))
    return [...(before as Array<unknown>), ...(after as Array<unknown>)]
  if (!isFields(before)) return after ?? before
  if (!isFields(after)) return before
  const both: Record<string, unknown> = { ...before }
  for (const key in after) both[key] = joined(before[key], after[key])
  return both
}
