/**
 * The log probabilities that come with a text, in a choice of a chunk or in an event. They repeat the text token by token and
 * name alternatives, so they are looked through by themselves, and wait until their text and their tokens may go on.
 *
 * @since 0.2.0
 */
import { isFields } from "../../answer/Fields.ts"
import type { OutputJudge } from "./OutputJudge.ts"
import { TextChannel } from "./TextChannel.ts"

/** Probabilities, and how far texts must be free before they may go on. */
interface Waiting {
  readonly logprobs: unknown
  readonly until: ReadonlyArray<readonly [text: TextChannel, place: number]>
}

/** See the file's first paragraph. */
export class Probabilities {
  readonly #judge: OutputJudge
  readonly #path: string
  /** Tokens by their list; alternatives by their rank in it. */
  readonly #tokens = new Map<string, TextChannel>()
  #waiting: Array<Waiting> = []
  #first = 0

  constructor(judge: OutputJudge, path: string) {
    this.#judge = judge
    this.#path = path
  }

  /** Takes in the probabilities that came with a piece of `texts`. */
  add(logprobs: unknown, texts: Iterable<TextChannel>): void {
    const used = new Set<TextChannel>()
    this.#read(logprobs, "logprobs", used)
    for (const text of texts) used.add(text)
    const until: Array<readonly [TextChannel, number]> = []
    for (const text of used) if (text.holds) until.push([text, text.said])
    this.#waiting.push({ logprobs, until })
  }

  /** No token comes any more that would have to be judged with those that wait. */
  end(): void {
    for (const tokens of this.#tokens.values()) tokens.end()
  }

  /** The probabilities that may go on, put together; undefined where there are none. */
  take(): unknown {
    const free: Array<unknown> = []
    for (; this.#first < this.#waiting.length; this.#first++) {
      const { logprobs, until } = this.#waiting[this.#first]!
      if (until.some(([text, place]) => text.free < place)) break
      free.push(logprobs)
    }
    if (this.#first > 1024 || this.#first === this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#first)
      this.#first = 0
    }
    return free.length < 2 ? free[0] : joined(free)
  }

  #read(value: unknown, key: string, used: Set<TextChannel>): void {
    if (typeof value === "string") this.#token(value, key, used)
    else if (Array.isArray(value)) {
      const isRanked = key.endsWith("top_logprobs")
      value.forEach((item: unknown, rank) =>
        this.#read(item, isRanked && isFields(item) && "token" in item ? `${key}[${rank}]` : key, used)
      )
    } else if (isFields(value)) {
      // A text completion has the alternatives as names of members.
      const areTokens = key.endsWith("top_logprobs")
      let rank = 0
      for (const name in value) {
        if (areTokens) this.#token(name, `${key}[${rank++}]`, used)
        this.#read(value[name], `${key}.${areTokens ? "" : name}`, used)
      }
    }
  }

  #token(token: string, key: string, used: Set<TextChannel>): void {
    let channel = this.#tokens.get(key)
    if (channel === undefined) this.#tokens.set(key, (channel = new TextChannel(this.#judge, `${this.#path}.logprobs`)))
    channel.push(token)
    used.add(channel)
  }
}

/** Lists put one after the other, in objects member by member. */
const joined = (pieces: ReadonlyArray<unknown>): unknown => {
  if (pieces.every((piece) => Array.isArray(piece))) return pieces.flat()
  const members = new Map<string, Array<unknown>>()
  for (const piece of pieces) {
    if (!isFields(piece)) continue
    for (const name in piece) {
      const known = members.get(name)
      if (known === undefined) members.set(name, [piece[name]])
      else if (known[0] === null) known[0] = piece[name]
      else if (piece[name] !== null) known.push(piece[name])
    }
  }
  return Object.fromEntries(
    [...members].map(([name, [first, ...others]]) => [
      name,
      others.length === 0 ? first : Array.isArray(first) ? joined([first, ...others]) : others.at(-1)
    ])
  )
}
