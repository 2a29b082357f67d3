/**
 * Judges the events of a streamed response (the Responses API): its texts, the items that ask for tools, and the events that
 * tell a text again once it is complete. An event of an unknown type is searched whole; of an unknown `*.delta` the text is
 * held back like any other.
 *
 * @since 0.2.0
 */
import { judgeResponse, textOfParts } from "./AnswerGate.ts"
import { longestToolCall } from "./ChatGate.ts"
import { boundary } from "./DeniedTexts.ts"
import { type Fields, isFields, type OutputJudge, placeOf, textOf } from "./OutputJudge.ts"
import { joined, TextChannel } from "./TextChannel.ts"
import { isToolItem, judgeToolItem } from "./ToolItems.ts"

/** Texts that count as the answer's, by the type of their events without its ending. */
const counted: ReadonlySet<string> = new Set([
  "response.output_text",
  "response.refusal",
  "response.reasoning_text",
  "response.reasoning_summary_text",
  "response.audio.transcript"
])

/** Members of a delta that hold no text, or one that is judged apart. */
const known: ReadonlySet<string> = new Set([
  "type",
  "delta",
  "logprobs",
  "item_id",
  "response_id",
  "output_index",
  "content_index",
  "summary_index",
  "sequence_number",
  "obfuscation"
])

/** A text, the event that told the last of it, and what comes with what is held back. */
interface Spoken {
  readonly channel: TextChannel
  last: Fields
  logprobs: unknown
}

/** See the file's first paragraph. */
export class ResponseGate {
  readonly #judge: OutputJudge
  readonly #texts = new Map<string, Spoken>()
  /** The events of items that ask for a tool and are not complete, by `output_index`. */
  readonly #held = new Map<unknown, Array<Fields>>()
  #heldCharacters = 0
  #characters = 0

  constructor(judge: OutputJudge) {
    this.#judge = judge
  }

  /** Takes in an event, and adds to `free` what may go on. */
  take(event: Fields, free: Array<unknown>): void {
    const judge = this.#judge
    const { item, output_index: index, response } = event
    const type = textOf(event["type"])
    if (isFields(response)) judge.model(response["model"])
    if (judge.refused !== undefined) return
    const held = this.#held.get(index)
    if (type === "response.output_item.done") return this.#itemDone(event, held, free)
    const begins =
      type === "response.output_item.added" ? isToolItem(item) : type.endsWith(".delta") && isToolText(type)
    if (judge.holdsTools && (held !== undefined || begins)) return this.#hold(event, held)
    if (type.endsWith(".delta") && typeof event["delta"] === "string")
      return this.#delta(event, type.slice(0, -".delta".length), event["delta"], free)
    if (isFields(response)) return this.#whole(event, response, free)
    if (type.endsWith(".done")) this.#flush((spoken) => spoken["output_index"] === index, free)
    if (judge.refused !== undefined) return
    judge.search(event, "event")
    for (const whole of [event, event["part"]])
      if (isFields(whole))
        judge.length(Math.max(textOf(whole["text"]).length, textOf(whole["refusal"]).length), "output")
    if (judge.refused === undefined) free.push(event)
  }

  /** The stream is over. Tool calls that never became complete stay behind. */
  end(free: Array<unknown>): void {
    this.#flush(() => true, free)
  }

  #delta(event: Fields, stem: string, piece: string, free: Array<unknown>): void {
    const judge = this.#judge
    if (stem === "response.audio") judge.sound("audio")
    for (const key in event) if (!known.has(key)) judge.search(event[key], "event")
    if (judge.refused !== undefined) return
    const spoken = this.#spoken(event, stem)
    const { channel } = spoken
    const { maxCharacters } = judge.rules
    let allowed = piece
    if (counted.has(stem) && maxCharacters !== undefined) {
      this.#characters += piece.length
      const beyond = this.#characters - maxCharacters.value
      if (beyond > 0) allowed = piece.slice(0, boundary(piece, Math.max(0, piece.length - beyond)))
    }
    const text = channel.push(allowed)
    if (judge.refused === undefined && counted.has(stem)) judge.length(this.#characters, channel.path)
    if (judge.refused !== undefined) {
      if (text !== "") free.push({ ...event, delta: text, ...("logprobs" in event && { logprobs: [] }) })
      return
    }
    spoken.last = event
    const hasProbabilities = judge.seeks && (spoken.logprobs !== undefined || isFilled(event["logprobs"]))
    if (hasProbabilities) {
      judge.search(event["logprobs"], channel.path)
      if (judge.refused !== undefined) return
      spoken.logprobs = joined(spoken.logprobs, event["logprobs"])
    }
    if (text === "" && piece !== "") return
    if (!hasProbabilities) return void free.push(text === piece ? event : { ...event, delta: text })
    free.push({ ...event, delta: text, logprobs: channel.holds ? [] : spoken.logprobs })
    if (!channel.holds) spoken.logprobs = undefined
  }

  /** The text that a delta is of. All output text is one, as its reader puts it together. */
  #spoken(event: Fields, stem: string): Spoken {
    const { content_index: content, item_id: item, output_index: index, summary_index: summary } = event
    const key = stem === "response.output_text" ? stem : JSON.stringify([stem, index, item, content, summary])
    let spoken = this.#texts.get(key)
    if (spoken === undefined) {
      const place = typeof index === "number" ? `output[${index}]` : "output"
      const channel = new TextChannel(this.#judge, placeOf(place, stem.replace("response.", "").replaceAll(".", "_")))
      this.#texts.set(key, (spoken = { channel, last: event, logprobs: undefined }))
    }
    return spoken
  }

  /** Texts are complete: lets go what is held back of them. */
  #flush(isOver: (last: Fields) => boolean, free: Array<unknown>): void {
    for (const spoken of this.#texts.values()) {
      if (this.#judge.refused !== undefined) return
      if (!isOver(spoken.last)) continue
      const rest = spoken.channel.end()
      const { last, logprobs } = spoken
      spoken.logprobs = undefined
      if (rest !== "") free.push({ ...last, delta: rest, ...("logprobs" in last && { logprobs: logprobs ?? [] }) })
    }
  }

  /** An event that holds a response: as it begins, or all of it again at the end. */
  #whole(event: Fields, response: Fields, free: Array<unknown>): void {
    const judge = this.#judge
    const output: ReadonlyArray<unknown> = Array.isArray(response["output"])
      ? (response["output"] as Array<unknown>)
      : []
    const isEnd = !["response.created", "response.in_progress", "response.queued"].includes(textOf(event["type"]))
    if (isEnd) this.#flush(() => true, free)
    if (judge.refused === undefined) judgeResponse(response, judge)
    if (judge.refused !== undefined) return
    for (const [index, events] of this.#held) {
      // What the response tells whole was judged with it.
      if (!isEnd || typeof index !== "number" || !isToolItem(output[index])) continue
      free.push(...events)
      this.#held.delete(index)
    }
    free.push(event)
  }

  #hold(event: Fields, held: Array<Fields> = []): void {
    held.push(event)
    this.#held.set(event["output_index"], held)
    this.#heldCharacters += textOf(event["delta"]).length
    if (this.#heldCharacters > longestToolCall)
      this.#judge.refuse(
        this.#judge.rules.denied[0] ?? this.#judge.rules.onResponse,
        "output",
        `the answer's tool call is longer than the ${longestToolCall} characters that can be held back until it is judged`
      )
  }

  #itemDone(event: Fields, held: ReadonlyArray<Fields> | undefined, free: Array<unknown>): void {
    const judge = this.#judge
    const { item, output_index: index } = event
    this.#flush((last) => last["output_index"] === index, free)
    const path = typeof index === "number" ? `output[${index}]` : "output"
    if (isToolItem(item)) judgeToolItem(item, path, judge)
    if (isFields(item)) {
      const text = textOfParts(item["content"])
      judge.text(text, path)
      judge.length(text.length, path)
    }
    if (judge.refused === undefined) judge.search(event, "event")
    // Held for a tool, and none in the end: what was held is judged by itself.
    for (const one of held ?? []) if (judge.refused === undefined) judge.search(one, "event")
    if (judge.refused !== undefined) return
    free.push(...(held ?? []), event)
    this.#held.delete(index)
    this.#heldCharacters = 0
  }
}

/** True for a text that belongs to a tool call of the caller's. */
const isToolText = (type: string): boolean =>
  type === "response.function_call_arguments.delta" ||
  type === "response.custom_tool_call_input.delta" ||
  type.startsWith("response.shell_call")

const isFilled = (value: unknown): boolean => Array.isArray(value) && value.length > 0
