/**
 * Judges the chunks of a chat or text completion: the texts of each choice, and the tool calls that it asks for.
 *
 * @since 0.2.0
 */
import { boundary } from "./DeniedTexts.ts"
import { type Fields, isFields, itemsOf, type OutputJudge, placeOf, textOf } from "./OutputJudge.ts"
import { joined, TextChannel, trackTexts } from "./TextChannel.ts"

/** How long a tool call may become before it is judged, in UTF-16 units. */
export const longestToolCall = 4 * 1024 * 1024

/** Members of a chunk that hold no text. */
const known: ReadonlySet<string> = new Set([
  "choices",
  "usage",
  "id",
  "object",
  "created",
  "model",
  "system_fingerprint",
  "service_tier",
  "obfuscation"
])

/** The text of a text completion, which is no member of a delta. */
const completed = "\0text"

/** See the file's first paragraph. */
export class ChatGate {
  readonly #judge: OutputJudge
  readonly #choices = new Map<unknown, ChoiceGate>()
  #last: Fields | undefined

  constructor(judge: OutputJudge) {
    this.#judge = judge
  }

  /** Takes in a chunk, and adds to `free` what may go on. */
  take(chunk: Fields, free: Array<unknown>): void {
    const judge = this.#judge
    judge.model(chunk["model"])
    for (const key in chunk) if (!known.has(key)) judge.search(chunk[key], "chunk")
    if (judge.refused !== undefined) return
    this.#last = chunk
    const choices = itemsOf(chunk["choices"])
    // The usage comes when every choice is over.
    if (choices.length === 0 && isFields(chunk["usage"])) this.end(free)
    let changed = false
    const left: Array<unknown> = []
    for (const choice of choices) {
      if (judge.refused !== undefined) {
        changed = true
        break
      }
      const mine = this.#choice(choice).take(choice, chunk, choices.length === 1, free)
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
  }

  #choice(choice: unknown): ChoiceGate {
    const index = isFields(choice) ? choice["index"] : undefined
    let gate = this.#choices.get(index)
    if (gate === undefined) this.#choices.set(index, (gate = new ChoiceGate(this.#judge, index)))
    return gate
  }
}

/** One choice. */
class ChoiceGate {
  readonly #judge: OutputJudge
  readonly #index: unknown
  readonly #path: string
  /** By the member of the delta; that of a text completion is {@link completed}. */
  readonly #texts = new Map<string, TextChannel>()
  readonly #others = new Map<string, TextChannel>()
  readonly #calls = new Map<string, { name: string; args: string; custom: boolean; judged: boolean }>()
  #latestCall: string | undefined
  /** Chunks of tool calls that are not judged yet. */
  #held: Array<unknown> = []
  #heldCharacters = 0
  #characters = 0
  #logprobs: unknown

  constructor(judge: OutputJudge, index: unknown) {
    this.#judge = judge
    this.#index = index
    this.#path = `choices[${typeof index === "number" ? index : 0}]`
  }

  /** What is left of a choice of a chunk; `isAlone`: the chunk has no other. */
  take(choice: unknown, chunk: Fields, isAlone: boolean, free: Array<unknown>): unknown {
    const judge = this.#judge
    if (!isFields(choice)) {
      judge.search(choice, this.#path)
      return judge.refused === undefined ? choice : undefined
    }
    const isOver = choice["finish_reason"] !== null && choice["finish_reason"] !== undefined
    let edited: Record<string, unknown> | undefined
    const change = (key: string, value: unknown): void => {
      edited ??= { ...choice }
      edited[key] = value
    }
    let holdsText = false
    let rest = false
    for (const key in choice) {
      const value = choice[key]
      if (key === "text" && typeof value === "string") {
        const text = this.#text(completed, value, isOver)
        if (judge.refused !== undefined) return this.#cut({ text })
        if (text !== value) change(key, text)
        if (text === "" && value !== "") holdsText = true
        else rest = true
      } else if (key === "delta" && isFields(value)) {
        const delta = this.#delta(value, choice, chunk, isAlone, isOver, free)
        if (judge.refused !== undefined) return delta === undefined ? undefined : this.#cut({ delta })
        if (delta === undefined) return undefined
        if (delta !== value) change(key, delta)
        if (delta === value || !isEmpty(delta)) rest = true
        else holdsText = true
      } else if (value !== null && key !== "index" && key !== "finish_reason" && key !== "logprobs") {
        judge.search(value, this.#path)
        rest = true
      }
    }
    if (judge.refused !== undefined) return undefined
    if (judge.seeks && (this.#logprobs !== undefined || isFields(choice["logprobs"]))) {
      judge.search(choice["logprobs"], this.#path)
      this.#logprobs = joined(this.#logprobs, choice["logprobs"])
      const isFree = isOver || !this.#holds
      change("logprobs", isFree ? this.#logprobs : null)
      if (isFree) this.#logprobs = undefined
    }
    if (isOver) {
      // What this chunk does not say itself comes before it.
      const before = this.#rest(edited ?? choice, chunk)
      if (before !== undefined) free.push(before)
      if (judge.refused === undefined) this.#judgeCalls(free)
      if (judge.refused !== undefined) return undefined
    } else if (holdsText && !rest) return undefined
    return edited ?? choice
  }

  /** The choice is over, though nothing says so. */
  end(chunk: Fields, free: Array<unknown>): void {
    const rest = this.#rest({}, chunk)
    if (rest !== undefined) free.push(rest)
    if (this.#judge.refused === undefined) this.#judgeCalls(free)
  }

  get #holds(): boolean {
    if (this.#held.length > 0) return true
    for (const channel of this.#texts.values()) if (channel.holds) return true
    return false
  }

  /** What may go on of a piece of a text. */
  #text(key: string, piece: string, isOver: boolean): string {
    let channel = this.#texts.get(key)
    if (channel === undefined)
      this.#texts.set(
        key,
        (channel = new TextChannel(this.#judge, placeOf(this.#path, key === completed ? "text" : key)))
      )
    const { maxCharacters } = this.#judge.rules
    let allowed = piece
    if (maxCharacters !== undefined) {
      this.#characters += piece.length
      const beyond = this.#characters - maxCharacters.value
      if (beyond > 0) allowed = piece.slice(0, boundary(piece, Math.max(0, piece.length - beyond)))
    }
    const text = channel.push(allowed)
    if (this.#judge.refused !== undefined) return text
    if (allowed !== piece || this.#characters > (maxCharacters?.value ?? Infinity)) {
      this.#judge.length(this.#characters, channel.path)
      return text
    }
    return isOver ? text + channel.end() : text
  }

  /** What is left of a delta: nothing where the whole chunk is held back. */
  #delta(
    delta: Fields,
    choice: Fields,
    chunk: Fields,
    isAlone: boolean,
    isOver: boolean,
    free: Array<unknown>
  ): Fields | undefined {
    const judge = this.#judge
    let edited: Record<string, unknown> | undefined
    let hasOthers = false
    let hasTools = false
    const change = (key: string, value: unknown): void => {
      edited ??= { ...delta }
      edited[key] = value
    }
    const cut = (key: string, value: unknown): Fields => {
      const told: Record<string, unknown> = {}
      for (const name in delta) {
        if (name === key) break
        const before = (edited ?? delta)[name]
        if (typeof before === "string") told[name] = before
      }
      return { ...told, [key]: value }
    }
    for (const key in delta) {
      const value = delta[key]
      if (value === null || value === undefined || key === "role") continue
      if (typeof value === "string") {
        const text = this.#text(key, value, isOver)
        if (judge.refused !== undefined) return cut(key, text)
        if (text !== value) change(key, text)
        if (value !== "") hasOthers = true
      } else if (key === "tool_calls" || key === "function_call") hasTools = true
      else if (key === "audio" && isFields(value)) {
        hasOthers = true
        const { data, transcript, ...others } = value
        if (data !== undefined) judge.sound(`${this.#path}.audio`)
        judge.search(others, `${this.#path}.audio`)
        if (judge.refused !== undefined) return undefined
        if (typeof transcript !== "string") continue
        const text = this.#text("audio", transcript, isOver)
        if (judge.refused !== undefined) return cut(key, { transcript: text })
        if (text !== transcript) change(key, { ...value, transcript: text })
      } else {
        hasOthers = true
        judge.search(value, placeOf(this.#path, key))
        trackTexts(value, placeOf(this.#path, key), judge, this.#others, key)
        if (judge.refused !== undefined) return undefined
      }
    }
    if (!hasTools) return edited ?? delta
    this.#addCalls(delta, free)
    if (judge.refused !== undefined) return undefined
    if (!judge.holdsTools || isOver) return edited ?? delta
    if (isAlone && !hasOthers && isEmptyChoice(choice)) {
      this.#held.push(chunk)
      return undefined
    }
    const { function_call, tool_calls, ...others } = edited ?? delta
    const tools = {
      ...(tool_calls !== undefined && { tool_calls }),
      ...(function_call !== undefined && { function_call })
    }
    this.#held.push(this.#chunkOf(chunk, { delta: tools }))
    return others
  }

  /** Gathers the tool calls of a delta; once another one begins, those before are complete. */
  #addCalls(delta: Fields, free: Array<unknown>): void {
    const calls = itemsOf(delta["tool_calls"]).map((call, i) => {
      const place = isFields(call) && call["index"] !== undefined ? String(call["index"]) : String(i)
      return { place: `tool_calls[${place}]`, call }
    })
    if (isFields(delta["function_call"])) calls.push({ place: "function_call", call: delta["function_call"] })
    const [first] = calls
    if (this.#latestCall !== undefined && first !== undefined && first.place !== this.#latestCall)
      this.#judgeCalls(free)
    for (const { call, place } of calls) {
      const fields = isFields(call) ? call : {}
      const custom = isFields(fields["custom"])
      const said = custom ? fields["custom"] : (fields["function"] ?? fields)
      const { arguments: args, input, name } = isFields(said) ? said : ({} as Fields)
      const known = this.#calls.get(place) ?? { name: "", args: "", custom, judged: false }
      known.name += textOf(name)
      known.args += textOf(custom ? input : args)
      known.judged = false
      this.#calls.set(place, known)
      this.#latestCall = place
      this.#heldCharacters += textOf(name).length + textOf(args).length + textOf(input).length
    }
    if (this.#judge.holdsTools && this.#heldCharacters > longestToolCall)
      this.#judge.refuse(
        this.#judge.rules.denied[0] ?? this.#judge.rules.onResponse,
        this.#path,
        `the answer's tool call is longer than the ${longestToolCall} characters that can be held back until it is judged`
      )
  }

  /** Judges the tool calls that are complete, and lets them go. */
  #judgeCalls(free: Array<unknown>): void {
    for (const [place, call] of this.#calls) {
      if (call.judged) continue
      call.judged = true
      const args = call.custom ? JSON.stringify({ input: call.args }) : call.args
      this.#judge.toolCall(call.name, args, `${this.#path}.${place}`)
      if (this.#judge.refused !== undefined) return
    }
    for (const chunk of this.#held) free.push(chunk)
    this.#held = []
    this.#heldCharacters = 0
  }

  /** A chunk with what is held back of the texts that `choice` says nothing of; none where there is nothing. */
  #rest(choice: Fields, chunk: Fields): unknown {
    const said = isFields(choice["delta"]) ? choice["delta"] : {}
    const delta: Record<string, unknown> = {}
    let text: string | undefined
    for (const [key, channel] of this.#texts) {
      if (this.#judge.refused !== undefined) break
      if (key === completed ? typeof choice["text"] === "string" : said[key] !== undefined && said[key] !== null)
        continue
      const rest = channel.end()
      if (rest === "") continue
      if (key === completed) text = rest
      else delta[key] = key === "audio" ? { transcript: rest } : rest
    }
    if (text === undefined && isEmpty(delta)) return undefined
    const logprobs = this.#logprobs === undefined ? {} : { logprobs: this.#logprobs }
    this.#logprobs = undefined
    return this.#chunkOf(chunk, { ...(text === undefined ? { delta } : { text }), ...logprobs })
  }

  #chunkOf(chunk: Fields, choice: Fields): unknown {
    return {
      ...chunk,
      ...("usage" in chunk && { usage: null }),
      choices: [{ index: this.#index, finish_reason: null, ...choice }]
    }
  }

  /** What is left of the choice that breaks a rule. */
  #cut(said: Fields): unknown {
    const { delta, text } = said
    const isNothing = text === "" || (isFields(delta) && isEmpty(delta))
    return isNothing ? undefined : { index: this.#index, ...said, finish_reason: null, logprobs: null }
  }
}

/** True for a delta that tells nothing. */
const isEmpty = (delta: Fields): boolean => {
  for (const key in delta) {
    const value = delta[key]
    if (value === null || value === undefined || value === "") continue
    if (isFields(value) && isEmpty(value)) continue
    return false
  }
  return true
}

/** True for a choice that tells nothing but its delta. */
const isEmptyChoice = ({ delta: _, finish_reason: reason, index: _index, ...others }: Fields): boolean =>
  (reason === null || reason === undefined) && isEmpty(others)
