/**
 * The log probabilities that come with a text, in a choice of a chunk or in an event. They repeat the text token by token, as
 * text and as bytes, and name alternatives, so they are looked through by themselves, and wait until their text and their
 * tokens may go on.
 */
import { isFields, itemsOf, memberOf } from "../../answer/Fields.ts"
import type { DeniedTexts } from "./DeniedTexts.ts"
import { textOfBytes } from "./Escapes.ts"
import { type OutputJudge, placeOf } from "./OutputJudge.ts"
import { TextChannel } from "./TextChannel.ts"

/** What comes piece by piece, and may not go on at once: how much came, and how much of it is free. */
interface Held {
  readonly said: number
  readonly free: number
  readonly holds: boolean
  end(): unknown
}

/** Probabilities, and how far texts must be free before they may go on. */
interface Waiting {
  readonly logprobs: unknown
  readonly until: ReadonlyArray<readonly [text: Held, place: number]>
}

/** See the file's first paragraph. */
export class Probabilities {
  readonly #judge: OutputJudge
  readonly #path: string
  /** Tokens by their list; alternatives by their rank in it. */
  readonly #tokens = new Map<string, TextChannel>()
  /** What bytes spell, by their place. */
  readonly #utf8 = new Map<string, TextDecoder>()
  /** By list, every way through its tokens and their alternatives. */
  readonly #ways = new Map<string, Ways>()
  #waiting: Array<Waiting> = []
  #first = 0

  constructor(judge: OutputJudge, path: string) {
    this.#judge = judge
    this.#path = path
  }

  /** Takes in the probabilities that came with a piece of `texts`. */
  add(logprobs: unknown, texts: Iterable<TextChannel>): void {
    const used = new Set<Held>()
    this.#read(logprobs, "logprobs", used)
    for (const text of texts) used.add(text)
    const until: Array<readonly [Held, number]> = []
    for (const text of used) if (text.holds) until.push([text, text.said])
    this.#waiting.push({ logprobs, until })
  }

  /** Takes in probabilities that go on as they are, or not at all. */
  follow(logprobs: unknown): void {
    const used = new Set<Held>()
    this.#read(logprobs, "logprobs", used)
    for (const one of used) one.end()
  }

  /** No token comes any more that would have to be judged with those that wait. */
  end(): void {
    for (const tokens of this.#tokens.values()) tokens.end()
    for (const ways of this.#ways.values()) ways.end()
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

  #read(value: unknown, key: string, used: Set<Held>): void {
    if (typeof value === "string") this.#token(value, key, used)
    else if (Array.isArray(value)) {
      const isRanked = key.endsWith("top_logprobs")
      value.forEach((item: unknown, rank) => {
        if (!isRanked && memberOf(item, "top_logprobs") !== undefined) this.#step(key, alternativesOf(item), used)
        this.#read(item, isRanked && isFields(item) && "token" in item ? `${key}[${rank}]` : key, used)
      })
    } else if (isFields(value)) {
      const { tokens, top_logprobs: tops } = value
      if (Array.isArray(tokens))
        tokens.forEach((token: unknown, i) =>
          this.#step(key, [token, ...Object.keys(Object(itemsOf(tops)[i]))].filter(isText), used)
        )
      // A text completion has the alternatives as names of members.
      const areTokens = key.endsWith("top_logprobs")
      let rank = 0
      for (const name in value) {
        if (areTokens) this.#token(name, `${key}[${rank++}]`, used)
        else if (placeOf("", name) === "") this.#judge.text(name, this.#path)
        this.#read(value[name], `${key}.${areTokens ? "" : name}`, used)
        if (name === "bytes") this.#bytes(value[name], `${key}.bytes`, used)
      }
    }
  }

  #token(token: string, key: string, used: Set<Held>): void {
    let channel = this.#tokens.get(key)
    if (channel === undefined) this.#tokens.set(key, (channel = new TextChannel(this.#judge, `${this.#path}.logprobs`)))
    channel.push(token)
    used.add(channel)
  }

  #bytes(value: unknown, key: string, used: Set<Held>): void {
    let utf8 = this.#utf8.get(key)
    if (utf8 === undefined) this.#utf8.set(key, (utf8 = new TextDecoder()))
    const text = textOfBytes(value, utf8)
    if (text !== undefined) this.#token(text, key, used)
  }

  #step(key: string, tokens: ReadonlyArray<string>, used: Set<Held>): void {
    let ways = this.#ways.get(key)
    if (ways === undefined) this.#ways.set(key, (ways = new Ways(this.#judge.denied)))
    const found = ways.step(tokens)
    if (found !== undefined) this.#judge.found(found, `${this.#path}.logprobs`)
    used.add(ways)
  }
}

const isText = (value: unknown): value is string => typeof value === "string"

/** A token of a chat, and its alternatives. */
const alternativesOf = (entry: unknown): ReadonlyArray<string> =>
  [entry, ...itemsOf(memberOf(entry, "top_logprobs"))].map((one) => memberOf(one, "token")).filter(isText)

/**
 * Every way through a list of tokens and their alternatives, whatever the rank of each: a reader may take any. Denied literals
 * are looked for on all of them at once, as far as each may have come; the ways are as many as their states, not their choices.
 * Counts in tokens.
 */
class Ways implements Held {
  readonly #literals: DeniedTexts["literals"]
  /** The states of the automaton after the last token, and the first token that each may stand for. */
  #states: ReadonlyMap<number, number> = new Map([[0, 0]])
  #ended = 0
  #said = 0

  constructor({ literals }: DeniedTexts) {
    this.#literals = literals
  }

  get said(): number {
    return this.#said
  }

  get free(): number {
    return Math.max(this.#ended, Math.min(...this.#states.values()))
  }

  get holds(): boolean {
    return this.free < this.#said
  }

  /** Takes in a token and its alternatives; gives the literal that is complete on some way. */
  step(tokens: ReadonlyArray<string>): ReturnType<NonNullable<DeniedTexts["literals"]>["completed"]> {
    const literals = this.#literals
    const at = this.#said++
    if (literals === undefined || tokens.length === 0) {
      this.#states = new Map([...this.#states].map(([state, from]) => [state, state === 0 ? this.#said : from]))
      return undefined
    }
    const states = new Map<number, number>()
    for (const token of new Set(tokens))
      for (const [before, began] of this.#states) {
        let state = before
        for (let i = 0; i < token.length; i++) {
          state = literals.next(state, token.charCodeAt(i))
          const completed = literals.completed(state)
          if (completed !== undefined) return completed
        }
        const depth = literals.depth(state)
        const from = depth === 0 ? at + 1 : depth <= token.length ? at : Math.max(Math.min(began, at), at - depth)
        states.set(state, Math.min(from, states.get(state) ?? Infinity))
      }
    this.#states = states
    return undefined
  }

  end(): void {
    this.#ended = this.#said
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
