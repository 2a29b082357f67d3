/**
 * Judges one choice of a streamed chat or text completion: its texts, its probabilities, and the tool calls that it asks for.
 */
import { createHash, type Hash } from "node:crypto"
import { type Fields, isFields, itemsOf, memberOf } from "../../answer/Fields.ts"
import { isReason } from "../../answer/Finish.ts"
import { isToolPiece } from "../../answer/ToolCall.ts"
import { type GrowingToolCall, ToolCallDeltas } from "../../answer/ToolCallDeltas.ts"
import { boundary } from "./DeniedTexts.ts"
import { type OutputJudge, placeOf } from "./OutputJudge.ts"
import { besides, formedLike, piecesOf, retold } from "./Piece.ts"
import { Probabilities } from "./Probabilities.ts"
import { JoinedTexts, TextChannel } from "./TextChannel.ts"
import * as Texts from "./Texts.ts"
import { isEmpty, isEmptyChoice, isSilent, toolPiecesOf, textsUpTo } from "./Delta.ts"

/** How long tool calls may become before they are judged, in UTF-16 units. */
export const longestToolCall = 4 * 1024 * 1024

/** The text of a text completion, which is no member of a delta. */
const completed = "\0text"

/** The gate of one choice. */
export class ChoiceGate {
  readonly #judge: OutputJudge
  readonly #index: unknown
  readonly #path: string
  /** Texts that are held back, by the member of the delta; that of a text completion is {@link completed}. */
  readonly #texts = new Map<string, TextChannel>()
  /** Those of which something is held back. */
  readonly #holding = new Set<TextChannel>()
  /** A reader may put the same member of the delta and of a message together; a `text` is a content. */
  readonly #joined: JoinedTexts
  /** Of a text that comes in other forms than strings, the last piece. */
  readonly #pieces = new Map<string, unknown>()
  /** Texts that go on as they are, or not at all. */
  readonly #others: Texts.Follower
  readonly #calls: ToolCallDeltas
  /** Tool calls that are not judged yet, and those that are. */
  readonly #open = new Set<GrowingToolCall>()
  readonly #judged = new Set<GrowingToolCall>()
  /** The arguments that came at each index: a reader may put together what several calls say there. */
  readonly #arguments = new Map<string, TextChannel>()
  /** Calls come in turn: none is taken for complete any more before the choice ends. */
  #isInterleaved = false
  /** Chunks of tool calls that are not judged yet. */
  #held: Array<unknown> = []
  #heldCharacters = 0
  #characters = 0
  /** How much of it is the delta's content, and that content's digest. */
  #content = 0
  readonly #digest: Hash | undefined
  #probabilities: Probabilities | undefined
  /** It was told that the choice is over: what comes all the same is held back until the stream is. */
  #isOver = false

  constructor(judge: OutputJudge, index: unknown) {
    this.#judge = judge
    this.#index = index
    this.#path = `choices[${typeof index === "number" ? index : 0}]`
    this.#others = new Texts.Follower(judge)
    this.#joined = new JoinedTexts(judge)
    this.#digest = judge.seeks ? createHash("sha256") : undefined
    this.#calls = new ToolCallDeltas(this.#path)
  }

  /** True where something is held back. */
  get holds(): boolean {
    return this.#held.length > 0 || this.#holding.size > 0
  }

  /** What is left of a choice of a chunk; `isAlone`: the chunk has no other. */
  take(choice: unknown, chunk: Fields, isAlone: boolean, free: Array<unknown>): unknown {
    const judge = this.#judge
    if (!isFields(choice)) {
      this.#count(this.#others.follow(choice, "choice", this.#path), this.#path)
      return judge.refused === undefined ? choice : undefined
    }
    const isOver = !this.#isOver && isReason(choice["finish_reason"])
    let edited: Record<string, unknown> | undefined
    const change = (key: string, value: unknown): void => {
      edited ??= { ...choice }
      edited[key] = value
    }
    let holdsText = false
    let rest = false
    for (const key in choice) {
      const value = choice[key]
      if (value === null || value === undefined || key === "logprobs") continue
      if (key === "index") continue
      if (key === "text" && piecesOf(value).length > 0) {
        const text = this.#told(completed, value, isOver)
        if (judge.refused !== undefined) return this.#cut({ text })
        if (typeof value !== "string")
          this.#count(this.#others.follow({ text: besides(value) }, "choice", this.#path, Texts.choice), this.#path)
        if (judge.refused !== undefined) return undefined
        if (text !== value) change(key, text)
        if (isSilent(text) && !isSilent(value)) holdsText = true
        else rest = true
      } else if (key === "delta" && isFields(value)) {
        const delta = this.#delta(value, choice, chunk, isAlone, isOver, free)
        if (judge.refused !== undefined) return delta === undefined ? undefined : this.#cut({ delta })
        if (delta === undefined) return undefined
        if (delta !== value) change(key, delta)
        if (delta === value || !isEmpty(delta)) rest = true
        else holdsText = true
      } else if (key !== "message") {
        const length = this.#others.follow({ [key]: value }, "choice", this.#path, Texts.choice)
        this.#count(length, placeOf(this.#path, key))
        if (judge.refused !== undefined) return undefined
        if (key !== "finish_reason") rest = true
      }
    }
    if (choice["message"] !== undefined && choice["message"] !== null) {
      this.#message(choice["message"])
      rest = true
    }
    if (judge.refused !== undefined) return undefined
    if (isOver) {
      this.#isOver = true
      // What this chunk does not say itself comes before it.
      const before = this.#rest(edited ?? choice, chunk)
      if (before !== undefined) free.push(before)
    }
    const logprobs = this.#logprobs(choice["logprobs"], isOver)
    if (logprobs !== choice["logprobs"]) change("logprobs", logprobs)
    if (judge.refused !== undefined) return undefined
    if (isOver) {
      this.#judgeCalls(free)
      if (judge.refused !== undefined) return undefined
    } else if (holdsText && !rest && !isReason(choice["finish_reason"])) return undefined
    return edited ?? choice
  }

  /** The stream is over. */
  end(chunk: Fields, free: Array<unknown>): void {
    const rest = this.#rest({}, chunk)
    if (rest !== undefined) free.push(rest)
    const logprobs = this.#logprobs(undefined, true)
    if (this.#judge.refused !== undefined) return
    if (logprobs !== undefined) free.push(this.#chunkOf(chunk, { delta: {}, logprobs }))
    this.#judgeCalls(free)
  }

  /** Counts characters of the choice. */
  #count(characters: number, path: string): void {
    this.#characters += characters
    this.#judge.length(this.#characters, path)
  }

  /** What may go on of a piece of a text. */
  #text(key: string, piece: string, isOver: boolean): string {
    const judge = this.#judge
    let channel = this.#texts.get(key)
    if (channel === undefined) {
      channel = new TextChannel(judge, placeOf(this.#path, key === completed ? "text" : key))
      this.#texts.set(key, channel)
      this.#joined.join(key === completed ? "content" : key, channel)
    }
    const { maxCharacters } = judge.rules
    let allowed = piece
    if (maxCharacters !== undefined) {
      this.#characters += piece.length
      const beyond = this.#characters - maxCharacters.value
      if (beyond > 0) allowed = piece.slice(0, boundary(piece, Math.max(0, piece.length - beyond)))
    }
    if (key === "content") {
      this.#content += piece.length
      this.#digest?.update(piece, "utf16le")
    }
    let text = channel.push(allowed)
    if (judge.refused === undefined) judge.length(this.#characters, channel.path)
    if (isOver && judge.refused === undefined) text += channel.end()
    this.#hold(channel)
    return text
  }

  /** Notes whether something of a text is held back. */
  #hold(channel: TextChannel): void {
    if (channel.holds) this.#holding.add(channel)
    else this.#holding.delete(channel)
  }

  /** What may go on of a piece of a text, in the form that it came in. */
  #told(key: string, value: unknown, isOver: boolean): unknown {
    let left = isOver ? piecesOf(value).length : 0
    if (typeof value === "string") this.#pieces.delete(key)
    else this.#pieces.set(key, value)
    return retold(value, (piece) => (this.#judge.refused === undefined ? this.#text(key, piece, --left === 0) : ""))
  }

  /** A whole message in a chunk. Some servers repeat there what the deltas have said so far, which counts once. */
  #message(message: unknown): void {
    const length = this.#others.follow({ message }, "choice", this.#path, Texts.choice)
    const content = memberOf(message, "content")
    const isRepeated = typeof content === "string" && this.#isSaid(content)
    this.#count(isRepeated ? length - content.length : length, `${this.#path}.message`)
    if (!isFields(message)) return
    for (const key in message) {
      if (key === "role" || (key === "content" && isRepeated)) continue
      const value = message[key]
      for (const text of piecesOf(value)) this.#joined.say(key, text, `${this.#path}.message`)
    }
  }

  /** True for the content that the deltas have said so far. */
  #isSaid(content: string): boolean {
    if (content.length !== this.#content) return false
    const digest = this.#digest
    if (digest === undefined) return true
    return digest.copy().digest().equals(createHash("sha256").update(content, "utf16le").digest())
  }

  /** The probabilities that may go on with a chunk that came with these. */
  #logprobs(logprobs: unknown, isOver: boolean): unknown {
    const isNothing = logprobs === null || logprobs === undefined
    if (!this.#judge.seeks || (this.#probabilities === undefined && isNothing)) return logprobs
    this.#probabilities ??= new Probabilities(this.#judge, this.#path)
    if (!isNothing) this.#probabilities.add(logprobs, this.#probable())
    if (isOver) this.#probabilities.end()
    return this.#probabilities.take() ?? (isNothing ? logprobs : null)
  }

  /** The texts that have probabilities. */
  *#probable(): Iterable<TextChannel> {
    for (const key of ["content", "refusal", completed]) {
      const channel = this.#texts.get(key)
      if (channel !== undefined) yield channel
    }
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
    for (const key in delta) {
      const value = delta[key]
      if (value === null || value === undefined) continue
      if (placeOf("", key) === "") judge.text(key, this.#path)
      if (judge.refused !== undefined) return undefined
      if (key === "role") {
        this.#others.follow({ role: value }, "delta", this.#path, Texts.message)
        if (judge.refused !== undefined) return undefined
      } else if (typeof value === "string") {
        const text = this.#told(key, value, isOver)
        if (judge.refused !== undefined) return textsUpTo(edited ?? delta, key, text)
        if (text !== value) change(key, text)
        if (value !== "") hasOthers = true
      } else if (key === "tool_calls" || key === "function_call") hasTools ||= !Array.isArray(value) || value.length > 0
      else if (key === "audio" && isFields(value)) {
        hasOthers = true
        const { data, transcript } = value
        if (data !== undefined) judge.sound(`${this.#path}.audio`)
        const others = transcript === undefined ? value : { ...value, transcript: besides(transcript) }
        this.#others.follow({ audio: others }, "delta", this.#path, Texts.message)
        if (judge.refused !== undefined) return undefined
        if (piecesOf(transcript).length === 0) continue
        const text = this.#told("audio", transcript, isOver)
        if (judge.refused !== undefined) return textsUpTo(edited ?? delta, key, { transcript: text })
        if (text !== transcript) change(key, { ...value, transcript: text })
      } else {
        const pieces = key === "content" ? toolPiecesOf(value) : []
        hasTools ||= pieces.length > 0
        const isHeld = pieces.length > 0 && judge.holdsTools && !isOver
        if (isHeld) this.#others.follow({ content: pieces }, "delta", this.#path, Texts.message)
        const shown = isHeld ? itemsOf(value).filter((part) => !isToolPiece(part)) : value
        hasOthers ||= !isHeld || itemsOf(shown).length > 0
        const isText = typeof shown !== "number" || key === "content" || this.#texts.has(key)
        const left = isText ? this.#told(key, shown, isOver) : shown
        if (judge.refused !== undefined) return undefined
        if (left !== value) change(key, left)
        const others = this.#others.follow(
          { [key]: isText ? besides(shown) : shown },
          "delta",
          this.#path,
          Texts.message
        )
        this.#count(others, placeOf(this.#path, key))
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
    const pieces = toolPiecesOf(delta["content"])
    const tools = {
      ...(pieces.length > 0 && { content: pieces }),
      ...(tool_calls !== undefined && { tool_calls }),
      ...(function_call !== undefined && { function_call })
    }
    this.#held.push(this.#chunkOf(chunk, { delta: tools }))
    return others
  }

  /** Gathers the tool calls of a delta; once another one begins, those before may be complete. */
  #addCalls(delta: Fields, free: Array<unknown>): void {
    const judge = this.#judge
    const grown = this.#calls.add(delta)
    const [first] = grown
    const begins = first !== undefined && !this.#open.has(first.growing) && !this.#judged.has(first.growing)
    if (begins && !this.#isInterleaved) this.#judgeComplete(free)
    for (const { growing, piece } of grown) {
      if (this.#judged.delete(growing)) this.#isInterleaved = true
      this.#open.add(growing)
      this.#heldCharacters += piece.length + 1
      this.#argumentsOf(growing.path).push(piece)
      this.#count(piece.length, growing.path)
    }
    const { function_call, tool_calls } = delta
    const path = `${this.#path}.tool_calls`
    for (const calls of [tool_calls, function_call])
      for (const call of Array.isArray(calls) ? calls : [calls])
        this.#others.follow(call, "delta.tool_calls", path, Texts.toolCall(call))
    if (judge.holdsTools && this.#heldCharacters > longestToolCall)
      judge.refuse(
        judge.rules.denied[0] ?? judge.rules.onResponse,
        this.#path,
        `the answer's tool calls are longer than the ${longestToolCall} characters that can be held back until they are judged`
      )
  }

  #argumentsOf(path: string): TextChannel {
    let channel = this.#arguments.get(path)
    if (channel === undefined) this.#arguments.set(path, (channel = new TextChannel(this.#judge, path)))
    return channel
  }

  /** Judges tool calls that are not over, as far as anybody said, where each has its arguments. */
  #judgeComplete(free: Array<unknown>): void {
    const calls = [...this.#open].map((growing) => [growing, growing.call] as const)
    if (calls.every(([, { args, isText, text }]) => args !== undefined && !isText && text !== ""))
      this.#judgeCalls(free, calls)
    else this.#isInterleaved = true
  }

  /** Judges tool calls, and lets them go. */
  #judgeCalls(free: Array<unknown>, calls = [...this.#open].map((growing) => [growing, growing.call] as const)): void {
    const judge = this.#judge
    for (const [growing, call] of calls) {
      this.#argumentsOf(growing.path).end()
      judge.toolCall(call)
      const { merged } = growing
      // Nobody runs what is no call.
      if (merged?.args !== undefined) judge.toolCall(merged)
      if (judge.refused !== undefined) return
      this.#judged.add(growing)
    }
    this.#open.clear()
    for (const chunk of this.#held) free.push(chunk)
    this.#held = []
    this.#heldCharacters = 0
  }

  /** A chunk with what is held back of the texts that `choice` says nothing of; none where there is nothing. */
  #rest(choice: Fields, chunk: Fields): unknown {
    const said = isFields(choice["delta"]) ? choice["delta"] : {}
    const delta: Record<string, unknown> = {}
    let text: unknown
    for (const [key, channel] of this.#texts) {
      if (this.#judge.refused !== undefined) break
      if (!channel.holds) continue
      const member =
        key === completed ? choice["text"] : key === "audio" ? memberOf(said[key], "transcript") : said[key]
      if (piecesOf(member).length > 0) continue
      const rest = channel.end()
      this.#hold(channel)
      if (rest === "") continue
      const told = formedLike(this.#pieces.get(key), rest)
      if (key === completed) text = told
      else delta[key] = key === "audio" ? { transcript: told } : told
    }
    if (text === undefined && isEmpty(delta)) return undefined
    const logprobs = this.#probabilities?.take()
    return this.#chunkOf(chunk, {
      ...(text === undefined ? { delta } : { text }),
      ...(logprobs !== undefined && { logprobs })
    })
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
    const isNothing = (text !== undefined && isSilent(text)) || (isFields(delta) && isEmpty(delta))
    return isNothing ? undefined : { index: this.#index, ...said, finish_reason: null, logprobs: null }
  }
}
