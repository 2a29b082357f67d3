/**
 * Judges the events of a streamed response (the Responses API): its texts, the items that ask for tools, and the events that
 * tell a text again once it is complete. An event of an unknown type is searched whole and followed from one to the next; of
 * an unknown `*.delta` the text is held back like any other.
 */
import { beginnings } from "../../answer/Finish.ts"
import { type Fields, indexKey, isFields, itemsOf, memberOf, textOf } from "../../answer/Fields.ts"
import { type GrowingItem, GrowingItems, isToolText } from "../../answer/GrowingItem.ts"
import { isToolItem } from "../../answer/ToolCall.ts"
import { eventToolCallsOf, outputPath } from "../../answer/ToolCalls.ts"
import { isSpoken, judgeResponse } from "./AnswerGate.ts"
import { longestToolCall } from "./ChoiceGate.ts"
import { boundary } from "./DeniedTexts.ts"
import { type OutputJudge, placeOf } from "./OutputJudge.ts"
import { besides, formedLike, piecesOf, retold } from "./Piece.ts"
import { Probabilities } from "./Probabilities.ts"
import { JoinedTexts, TextChannel } from "./TextChannel.ts"
import * as Texts from "./Texts.ts"

/** A text, the event that told the last of it, and what comes with what is held back. */
interface Spoken {
  readonly place: Place
  readonly channel: TextChannel
  readonly probabilities: Probabilities
  last: Fields
  /** It was told that the text is over: what comes all the same is held back until the response is. */
  isOver: boolean
}

/** What is held back of an item that asks for a tool and is not complete. */
interface Held {
  readonly events: Array<Fields>
  characters: number
}

/** See the file's first paragraph. */
export class ResponseGate {
  readonly #judge: OutputJudge
  /** By the stem of their event's type and their place. One that is over stays: what comes all the same goes on with it. */
  readonly #texts = new Map<string, Spoken>()
  /** Those that are not over, by item and by part: only these are walked. */
  readonly #open = new Map<string, Map<string, Set<Spoken>>>()
  /** Those that were told to be over, and went on. */
  readonly #late = new Set<Spoken>()
  /** By the stem of their event's type: a reader may put them together. */
  readonly #joined: JoinedTexts
  /** Texts that go on as they are, or not at all. */
  readonly #others: Texts.Follower
  readonly #items = new GrowingItems()
  readonly #held = new Map<GrowingItem, Held>()
  #heldCharacters = 0
  #characters = 0
  #isOver = false

  constructor(judge: OutputJudge) {
    this.#judge = judge
    this.#others = new Texts.Follower(judge)
    this.#joined = new JoinedTexts(judge)
  }

  /** Takes in an event, and adds to `free` what may go on. */
  take(event: Fields, free: Array<unknown>): void {
    const judge = this.#judge
    const { delta, response } = event
    const type = textOf(event["type"])
    if (isFields(response)) judge.model(response["model"])
    if (judge.refused !== undefined) return
    if (type === "response.output_item.done") return this.#itemDone(event, free)
    if (isFields(response) && !beginnings.has(type)) this.#end(free)
    for (const call of eventToolCallsOf(event)) judge.toolCall(call)
    if (judge.refused !== undefined) return
    const isDelta = type.endsWith(".delta")
    const growing = this.#items.take(event, isDelta ? piecesOf(delta).join("") : "")
    if (growing !== undefined) return this.#hold(event, type, growing, free)
    if (isDelta && piecesOf(delta).length > 0) return this.#delta(event, type, delta, free)
    if (isFields(response)) return this.#whole(event, response, type, free)
    if (type.endsWith(".done")) this.#done(event, type.slice(0, -".done".length), free)
    else if (type.endsWith(".added")) this.#begin(event)
    this.#follow(event, type)
    if (judge.refused === undefined) free.push(event)
  }

  /** The stream is over: tool calls that never became complete are judged as far as they came. */
  end(free: Array<unknown>): void {
    this.#flushAll(free)
    for (const growing of this.#items.open) {
      if (this.#judge.refused !== undefined) return
      this.#complete(growing, undefined, free)
    }
  }

  /** Looks through an event that goes on as it is, or not at all. One that tells a text again counts by itself. */
  #follow(event: Fields, type: string, known = Texts.eventOf(type)): void {
    const judge = this.#judge
    const key = Texts.kindOf(type, judge)
    const length = this.#others.follow(event, key, "event", known)
    judge.length(length, "output")
    const { item } = event
    if (isFields(item)) this.#followItem(item, key)
  }

  #followItem(item: Fields, key: string): number {
    const judge = this.#judge
    const kind = textOf(item["type"])
    const length = this.#others.follow(item, `${key}.${Texts.kindOf(kind, judge)}`, "event.item", Texts.itemOf(kind))
    if (isSpoken(kind)) judge.length(length, "output")
    return length
  }

  #delta(event: Fields, type: string, delta: unknown, free: Array<unknown>): void {
    const judge = this.#judge
    const stem = type.slice(0, -".delta".length)
    const isSound = stem === "response.audio"
    if (isSound) judge.sound("audio")
    const others = typeof delta === "string" ? event : { ...event, delta: besides(delta) }
    this.#others.follow(others, Texts.kindOf(type, judge), "event", Texts.deltaEvent)
    if (isFields(event["item"])) this.#followItem(event["item"], Texts.kindOf(type, judge))
    if (judge.refused !== undefined) return
    const spoken = this.#spoken(event, stem)
    const { channel, probabilities } = spoken
    const { maxCharacters } = judge.rules
    let isHeld = false
    const text = retold(delta, (piece) => {
      if (judge.refused !== undefined) return ""
      let allowed = piece
      if (!isSound && maxCharacters !== undefined) {
        this.#characters += piece.length
        const beyond = this.#characters - maxCharacters.value
        if (beyond > 0) allowed = piece.slice(0, boundary(piece, Math.max(0, piece.length - beyond)))
      }
      const told = channel.push(allowed)
      if (judge.refused === undefined) judge.length(this.#characters, channel.path)
      isHeld ||= piece !== ""
      return told
    })
    const isNothing = piecesOf(text).every((piece) => piece === "")
    if (judge.refused !== undefined) {
      if (!isNothing) free.push({ ...event, delta: text, ...("logprobs" in event && { logprobs: [] }) })
      return
    }
    spoken.last = event
    if (spoken.isOver) this.#late.add(spoken)
    const { logprobs } = event
    if (judge.seeks && isFilled(logprobs)) probabilities.add(logprobs, [channel])
    if (judge.refused !== undefined || (isNothing && isHeld)) return
    const told = probabilities.take() ?? (isFilled(logprobs) && judge.seeks ? [] : logprobs)
    if (text === delta && told === logprobs) return void free.push(event)
    free.push({ ...event, delta: text, ...(told !== undefined && { logprobs: told }) })
  }

  /** The text that a delta is of. */
  #spoken(event: Fields, stem: string): Spoken {
    const place = textPlace(stem, event)
    let spoken = this.#texts.get(place.key)
    if (spoken === undefined) {
      const path = placeOf(outputPath(event["output_index"]), stem.replace("response.", "").replaceAll(".", "_"))
      const channel = new TextChannel(this.#judge, path)
      const probabilities = new Probabilities(this.#judge, path)
      this.#texts.set(place.key, (spoken = { place, channel, probabilities, last: event, isOver: false }))
      this.#joined.join(stem, channel)
      let parts = this.#open.get(place.item)
      if (parts === undefined) this.#open.set(place.item, (parts = new Map()))
      const part = parts.get(place.part)
      if (part === undefined) parts.set(place.part, new Set([spoken]))
      else part.add(spoken)
    }
    return spoken
  }

  /** A part, or an item, may begin with some of the text that its deltas go on with. */
  #begin({ item, part }: Fields): void {
    for (const one of [part, ...itemsOf(memberOf(item, "content")), ...itemsOf(memberOf(item, "summary"))]) {
      const stem = stems.get(textOf(memberOf(one, "type")))
      const text = textOf(memberOf(one, "text")) || textOf(memberOf(one, "refusal"))
      if (stem !== undefined) this.#joined.say(stem, text, "output")
    }
  }

  /** An event says that texts are complete: the text of its kind, those of a part, or those of an item. */
  #done(event: Fields, stem: string, free: Array<unknown>): void {
    const place = textPlace(stem, event)
    const parts = this.#open.get(place.item)
    if (parts === undefined) return
    if (stem === "response.output_item") for (const part of parts.values()) this.#flush(part, free)
    else if (stem.endsWith("_part")) this.#flush(parts.get(place.part) ?? [], free)
    else {
      const spoken = this.#texts.get(place.key)
      if (spoken !== undefined && !spoken.isOver) this.#flush([spoken], free)
    }
  }

  /** The response is complete, and all of its texts are. */
  #flushAll(free: Array<unknown>): void {
    for (const parts of this.#open.values()) for (const part of parts.values()) this.#flush(part, free)
    this.#flush(this.#late, free)
    this.#late.clear()
  }

  /** Forgets that a text is open. */
  #close(spoken: Spoken): void {
    spoken.isOver = true
    const { item, part } = spoken.place
    const parts = this.#open.get(item)
    const texts = parts?.get(part)
    texts?.delete(spoken)
    if (texts?.size === 0) parts?.delete(part)
    if (parts?.size === 0) this.#open.delete(item)
  }

  /** Texts are complete: lets go what is held back of them. */
  #flush(over: Iterable<Spoken>, free: Array<unknown>): void {
    for (const spoken of over) {
      if (this.#judge.refused !== undefined) return
      this.#close(spoken)
      const { channel, last, probabilities } = spoken
      const rest = channel.end()
      probabilities.end()
      const logprobs = probabilities.take()
      if (rest !== "" || (logprobs !== undefined && this.#judge.refused === undefined))
        free.push({
          ...last,
          delta: formedLike(last["delta"], rest),
          ...("logprobs" in last && { logprobs: logprobs ?? [] })
        })
    }
  }

  /** An event that holds a response: as it begins, or all of it again at the end. */
  #whole(event: Fields, response: Fields, type: string, free: Array<unknown>): void {
    const judge = this.#judge
    const output = itemsOf(response["output"])
    const isEnd = !beginnings.has(type)
    if (judge.refused === undefined) judgeResponse(response, judge)
    this.#follow(event, type, Texts.wholeEvent)
    if (isEnd)
      output.forEach((item, index) => {
        const growing = this.#items.at(index)
        // What the response tells whole was judged with it.
        if (growing !== undefined && isToolItem(item)) this.#complete(growing, item, free)
      })
    if (judge.refused === undefined) free.push(event)
  }

  /** The response is over: lets go what is held back of its texts, once. */
  #end(free: Array<unknown>): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#flushAll(free)
  }

  /** Keeps what is told of an item until it is complete and judged; where nothing is denied it goes on at once. */
  #hold(event: Fields, type: string, growing: GrowingItem, free: Array<unknown>): void {
    const judge = this.#judge
    const place = growing.path
    const held = this.#held.get(growing) ?? { events: [], characters: 0 }
    const { delta, item } = event
    const key = `${Texts.kindOf(type, judge)}.${place}`
    const others = typeof delta === "string" ? event : { ...event, delta: besides(delta) }
    let length = this.#others.follow(others, key, "event", Texts.toolEvent)
    if (isFields(item)) length += this.#followItem(item, key)
    const isDelta = type.endsWith(".delta")
    const text = isDelta ? piecesOf(delta).join("") : ""
    if (text !== "") {
      length += text.length
      // It waits with the item, and goes on with a text of its own kind.
      if (!isToolText(type)) {
        const { channel } = this.#spoken(event, type.slice(0, -".delta".length))
        const found = channel.whole(text)
        if (found !== undefined) judge.found(found, channel.path)
      }
      this.#characters += text.length
      judge.length(this.#characters, place)
    }
    this.#held.set(growing, held)
    if (!judge.holdsTools) return void (judge.refused === undefined && free.push(event))
    held.events.push(event)
    held.characters += length + 1
    this.#heldCharacters += length + 1
    if (this.#heldCharacters > longestToolCall)
      judge.refuse(
        judge.rules.denied[0] ?? judge.rules.onResponse,
        "output",
        `the answer's tool calls are longer than the ${longestToolCall} characters that can be held back until they are judged`
      )
  }

  #itemDone(event: Fields, free: Array<unknown>): void {
    const judge = this.#judge
    const { item, output_index: index } = event
    this.#done(event, "response.output_item", free)
    if (judge.refused !== undefined) return
    for (const call of eventToolCallsOf(event)) judge.toolCall(call)
    this.#follow(event, textOf(event["type"]))
    const growing = this.#items.at(index)
    if (growing !== undefined) this.#complete(growing, item, free)
    if (judge.refused === undefined) free.push(event)
  }

  /** Judges what the events of an item say beside the item itself, and lets them go. */
  #complete(growing: GrowingItem, item: unknown, free: Array<unknown>): void {
    const judge = this.#judge
    judge.text(growing.text, growing.path)
    for (const call of growing.readings(item)) judge.toolCall(call)
    if (judge.refused !== undefined) return
    this.#items.end(growing, item)
    const held = this.#held.get(growing)
    if (held === undefined) return
    for (const event of held.events) free.push(event)
    this.#held.delete(growing)
    this.#heldCharacters -= held.characters
  }
}

/** The events that go on with the text of a part. */
const stems: ReadonlyMap<string, string> = new Map([
  ["output_text", "response.output_text"],
  ["text", "response.output_text"],
  ["refusal", "response.refusal"],
  ["reasoning_text", "response.reasoning_text"],
  ["summary_text", "response.reasoning_summary_text"]
])

/** Where a text belongs. */
interface Place {
  readonly key: string
  readonly item: string
  readonly part: string
}

/** By what a reader finds a text: the kind, the item and the part. No other member counts, such as `item_id`. */
const textPlace = (stem: string, event: Fields): Place => {
  const item = itemless.has(stem) ? "" : indexKey(event["output_index"])
  const index = item === "" || partless.has(stem) ? undefined : stem.includes("_summary") ? "summary" : "content"
  const part = index === undefined ? "" : `${index} ${indexKey(event[`${index}_index`])}`
  return { key: `${stem}\0${item}\0${part}`, item, part }
}

/** Texts that belong to no item, and texts of an item that has no parts. */
const itemless: ReadonlySet<string> = new Set(["response.audio", "response.audio.transcript"])
const partless: ReadonlySet<string> = new Set([
  "response.output_item",
  "response.mcp_call_arguments",
  "response.code_interpreter_call_code"
])

const isFilled = (value: unknown): boolean => Array.isArray(value) && value.length > 0
