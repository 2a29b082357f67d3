/**
 * Judges the chunks of a streamed chat or text completion: shares them out to the gates of their choices, and judges what stands
 * beside these.
 */
import { choicesOf, type Fields, indexKey, isFields } from "../../answer/Fields.ts"
import { chunkToolCallsOf } from "../../answer/ToolCalls.ts"
import type { OutputJudge } from "./OutputJudge.ts"
import * as Texts from "./Texts.ts"
import { ChoiceGate } from "./ChoiceGate.ts"

/** The gate of a streamed chat or text completion. */
export class ChatGate {
  readonly #judge: OutputJudge
  readonly #choices = new Map<string, ChoiceGate>()
  /** Those that hold something back. */
  readonly #holding = new Set<ChoiceGate>()
  readonly #others: Texts.Follower
  /** Chunks that tell the usage while something is held back: they come after it, unless more comes. */
  #waiting: Array<Fields> = []
  #last: Fields | undefined

  /** `others` follows the chunks beside their choices. */
  constructor(judge: OutputJudge, others: Texts.Follower) {
    this.#judge = judge
    this.#others = others
  }

  /** Takes in a chunk, and adds to `free` what may go on. */
  take(chunk: Fields, free: Array<unknown>): void {
    const judge = this.#judge
    judge.model(chunk["model"])
    for (const call of chunkToolCallsOf(chunk)) judge.toolCall(call)
    this.#others.follow(chunk, "chunk", "chunk", Texts.completion)
    if (judge.refused !== undefined) return
    const choices = choicesOf(chunk["choices"])
    if (isFields(chunk["choices"])) for (const name in chunk["choices"]) judge.text(name, "choices")
    if (judge.refused !== undefined) return
    if (choices.length === 0 && isFields(chunk["usage"]) && this.#holding.size > 0)
      return void this.#waiting.push(chunk)
    this.#letWaiting(free)
    this.#last = chunk
    let changed = false
    const left: Array<unknown> = []
    for (const choice of choices) {
      if (judge.refused !== undefined) {
        changed = true
        break
      }
      const gate = this.#choice(choice)
      const mine = judge.refused === undefined ? gate.take(choice, chunk, choices.length === 1, free) : undefined
      if (gate.holds) this.#holding.add(gate)
      else this.#holding.delete(gate)
      if (mine !== choice) changed = true
      if (mine !== undefined) left.push(mine)
    }
    if (!changed) {
      if (judge.refused === undefined) free.push(chunk)
    } else if (left.length > 0 || (isFields(chunk["usage"]) && judge.refused === undefined))
      free.push({ ...chunk, choices: left })
  }

  /** The stream is over. */
  end(free: Array<unknown>): void {
    for (const choice of this.#choices.values())
      if (this.#judge.refused === undefined) choice.end(this.#last ?? {}, free)
    if (this.#judge.refused === undefined) this.#letWaiting(free)
  }

  #letWaiting(free: Array<unknown>): void {
    if (this.#waiting.length === 0) return
    for (const chunk of this.#waiting) free.push(chunk)
    this.#waiting = []
  }

  #choice(choice: unknown): ChoiceGate {
    const index = isFields(choice) ? choice["index"] : undefined
    if (typeof index !== "number") this.#others.follow(index, "index", "choices")
    const key = indexKey(index)
    let gate = this.#choices.get(key)
    if (gate === undefined) this.#choices.set(key, (gate = new ChoiceGate(this.#judge, index)))
    return gate
  }
}
