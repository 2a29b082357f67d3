/**
 * Judges the events of a streamed response (the Responses API): its texts, the items that ask for tools, and the events that
 * tell a text again once it is complete. An event of an unknown type is searched whole and followed from one to the next; of
 * an unknown `*.delta` the text is held back like any other.
 *
 * @since 0.2.0
 */
import { type Fields, isFields, itemsOf, memberOf, textOf } from "../../answer/Fields.ts"
import { isToolItem, itemToolCalls } from "../../answer/ToolCalls.ts"
import { isSpoken, judgeResponse } from "./AnswerGate.ts"
import { longestToolCall } from "./ChatGate.ts"
import { boundary } from "./DeniedTexts.ts"
import { type OutputJudge, placeOf } from "./OutputJudge.ts"
import { Probabilities } from "./Probabilities.ts"
import { JoinedTexts, TextChannel } from "./TextChannel.ts"
import * as Texts from "./Texts.ts"

/** A text, the event that told the last of it, and what comes with what is held back. */
interface Spoken {
  readonly stem: string
  readonly channel: TextChannel
  readonly probabilities: Probabilities
  last: Fields
  /** It was told that the text is over: what comes all the same is held back until the response is. */
  isOver: boolean
}

/** An item that asks for a tool and is not complete. */
interface Held {
  readonly events: Array<Fields>
  characters: number
  /** The item as it began. */
  begun: unknown
  /** Its arguments as the deltas tell them, and the events that tell them whole. */
  deltas: string
  readonly whole: Array<Fields>
}

/** See the file's first paragraph. */
export class ResponseGate {
  readonly #judge: OutputJudge
  readonly #texts = new Map<string, Spoken>()
  /** By the stem of their event's type: a reader may put them together. */
  readonly #joined: JoinedTexts
  #latest: Spoken | undefined
  /** Texts that go on as they are, or not at all. */
  readonly #others: Texts.Follower
  /** By `output_index`. */
  readonly #held = new Map<unknown, Held>()
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
    const { delta, item, output_index: index, response } = event
    const type = textOf(event["type"])
    if (isFields(response)) judge.model(response["model"])
    if (judge.refused !== undefined) return
    const held = this.#held.get(index)
    if (type === "response.output_item.done") return this.#itemDone(event, held, free)
    const isDelta = type.endsWith(".delta")
    const begins = type === "response.output_item.added" ? isToolItem(item) : isDelta && isToolText(type)
    if (held !== undefined || begins) return this.#hold(event, type, held, free)
    if (isDelta && typeof delta === "string") return this.#delta(event, type, delta, free)
    if (isFields(response)) return this.#whole(event, response, type, free)
    if (type.endsWith(".done")) this.#done(event, type.slice(0, -".done".length), free)
    else if (type.endsWith(".added")) this.#begin(event)
    this.#follow(event, type)
    if (judge.refused === undefined) free.push(event)
  }

  /** The stream is over: tool calls that never became complete are judged as far as they came. */
  end(free: Array<unknown>): void {
    this.#flush(() => true, free)
    for (const [index, held] of this.#held) {
      if (this.#judge.refused !== undefined) return
      this.#judgeHeld(held, undefined, index)
      this.#release(index, held, free)
    }
  }

  /** Looks through an event that goes on as it is, or not at all. One that tells a text again counts by itself. */
  #follow(event: Fields, type: string, known = Texts.eventOf(type)): void {
    const kind = isFields(event["item"]) ? textOf(event["item"]["type"]) : ""
    const key = `${Texts.kindOf(type, this.#judge)}.${Texts.kindOf(kind, this.#judge)}`
    const length = this.#others.follow(event, key, "event", known)
    if (isSpoken(kind)) this.#judge.length(length, "output")
  }

  #delta(event: Fields, type: string, piece: string, free: Array<unknown>): void {
    const judge = this.#judge
    const stem = type.slice(0, -".delta".length)
    const isSound = stem === "response.audio"
    if (isSound) judge.sound("audio")
    this.#others.follow(event, Texts.kindOf(type, judge), "event", Texts.deltaEvent)
    if (judge.refused !== undefined) return
    const spoken = this.#spoken(event, stem)
    const { channel, probabilities } = spoken
    const { maxCharacters } = judge.rules
    let allowed = piece
    if (!isSound && maxCharacters !== undefined) {
      this.#characters += piece.length
      const beyond = this.#characters - maxCharacters.value
      if (beyond > 0) allowed = piece.slice(0, boundary(piece, Math.max(0, piece.length - beyond)))
    }
    const text = channel.push(allowed)
    if (judge.refused === undefined) judge.length(this.#characters, channel.path)
    if (judge.refused !== undefined) {
      if (text !== "") free.push({ ...event, delta: text, ...("logprobs" in event && { logprobs: [] }) })
      return
    }
    spoken.last = event
    const { logprobs } = event
    if (judge.seeks && isFilled(logprobs)) probabilities.add(logprobs, [channel])
    if (judge.refused !== undefined || (text === "" && piece !== "")) return
    const told = probabilities.take() ?? (isFilled(logprobs) && judge.seeks ? [] : logprobs)
    if (text === piece && told === logprobs) return void free.push(event)
    free.push({ ...event, delta: text, ...(told !== undefined && { logprobs: told }) })
  }

  /** The text that a delta is of. */
  #spoken(event: Fields, stem: string): Spoken {
    const latest = this.#latest
    if (latest !== undefined && latest.stem === stem && isSamePlace(latest.last, event)) return latest
    const key = JSON.stringify([stem, ...places.map((place) => event[place])])
    let spoken = this.#texts.get(key)
    if (spoken === undefined) {
      const path = placeOf(pathOf(event["output_index"]), stem.replace("response.", "").replaceAll(".", "_"))
      const channel = new TextChannel(this.#judge, path)
      const probabilities = new Probabilities(this.#judge, path)
      this.#texts.set(key, (spoken = { stem, channel, probabilities, last: event, isOver: false }))
      this.#joined.join(stem, channel)
    }
    return (this.#latest = spoken)
  }

  /** A part, or an item, may begin with some of the text that its deltas go on with. */
  #begin({ item, part }: Fields): void {
    for (const one of [part, ...itemsOf(memberOf(item, "content")), ...itemsOf(memberOf(item, "summary"))]) {
      const stem = stems.get(textOf(memberOf(one, "type")))
      const text = textOf(memberOf(one, "text")) || textOf(memberOf(one, "refusal"))
      if (stem !== undefined) this.#joined.say(stem, text, "output")
    }
  }

  /** An event says that texts are complete: the text of its kind, where there is one, or else all at its place. */
  #done(event: Fields, stem: string, free: Array<unknown>): void {
    const isAt = (one: Spoken): boolean =>
      places.every((place) => event[place] === undefined || event[place] === one.last[place]) &&
      event["output_index"] === one.last["output_index"]
    const all = [...this.#texts.values()].filter((one) => !one.isOver && isAt(one))
    const same = all.filter((one) => one.stem === stem)
    const over = new Set(same.length > 0 ? same : all)
    this.#flush((one) => over.has(one), free)
  }

  /** Texts are complete: lets go what is held back of them. */
  #flush(isOver: (one: Spoken) => boolean, free: Array<unknown>): void {
    for (const spoken of this.#texts.values()) {
      if (this.#judge.refused !== undefined) return
      if (!isOver(spoken)) continue
      spoken.isOver = true
      const { channel, last, probabilities } = spoken
      const rest = channel.end()
      probabilities.end()
      const logprobs = probabilities.take()
      if (rest !== "" || (logprobs !== undefined && this.#judge.refused === undefined))
        free.push({ ...last, delta: rest, ...("logprobs" in last && { logprobs: logprobs ?? [] }) })
    }
  }

  /** An event that holds a response: as it begins, or all of it again at the end. */
  #whole(event: Fields, response: Fields, type: string, free: Array<unknown>): void {
    const judge = this.#judge
    const output = itemsOf(response["output"])
    const isEnd = !beginnings.has(type)
    if (isEnd && !this.#isOver) {
      this.#isOver = true
      this.#flush(() => true, free)
    }
    if (judge.refused === undefined) judgeResponse(response, judge)
    this.#follow(event, type, Texts.wholeEvent)
    for (const [index, held] of this.#held) {
      // What the response tells whole was judged with it.
      if (!isEnd || typeof index !== "number" || !isToolItem(output[index])) continue
      this.#judgeHeld(held, output[index], index)
      this.#release(index, held, free)
    }
    if (judge.refused === undefined) free.push(event)
  }

  /** Keeps what is told of an item until it is complete and judged; where nothing is denied it goes on at once. */
  #hold(event: Fields, type: string, known: Held | undefined, free: Array<unknown>): void {
    const judge = this.#judge
    const index = event["output_index"]
    const held = known ?? { events: [], characters: 0, begun: undefined, deltas: "", whole: [] }
    const { delta, item } = event
    const place = pathOf(index)
    let length = this.#others.follow(event, `${Texts.kindOf(type, judge)}.${place}`, "event", Texts.toolEvent)
    if (isFields(item)) held.begun ??= item
    else if (typeof delta === "string") {
      length += delta.length
      held.deltas += delta
    } else if (type.endsWith(".done")) held.whole.push(event)
    if (typeof delta === "string") {
      this.#characters += delta.length
      judge.length(this.#characters, place)
    }
    this.#held.set(index, held)
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

  #itemDone(event: Fields, held: Held | undefined, free: Array<unknown>): void {
    const judge = this.#judge
    const { item, output_index: index } = event
    this.#done(event, "response.output_item", free)
    if (judge.refused !== undefined) return
    const path = pathOf(index)
    for (const call of itemToolCalls(item, path)) judge.toolCall(call)
    this.#follow(event, textOf(event["type"]))
    if (held !== undefined) {
      this.#judgeHeld(held, item, index)
      this.#release(index, held, free)
    }
    if (judge.refused === undefined) free.push(event)
  }

  /** Judges what the events of an item say beside the item itself: a reader may put the deltas together, or take either. */
  #judgeHeld({ begun, deltas, whole }: Held, item: unknown, index: unknown): void {
    const judge = this.#judge
    const path = pathOf(index)
    const said = [item, begun, ...whole]
    const [name = "", ...others] = new Set(said.map((one) => textOf(memberOf(one, "name"))).filter((one) => one !== ""))
    if (others.length > 0)
      judge.toolCall({ id: undefined, name, text: "", args: {}, isText: false, path, fault: "it names two tools" })
    const holder = isToolItem(item) ? item : isToolItem(begun) ? begun : {}
    const member = ["arguments", "input"].find((name) => typeof holder[name] === "string")
    const texts = new Set(
      member === undefined
        ? []
        : [deltas, ...said.map((one) => textOf(memberOf(one, member)))].filter((one) => one !== "")
    )
    // An item that has just begun has no arguments yet.
    const isBegun = holder !== item && (member === undefined || holder[member] !== "" || texts.size === 0)
    if (isBegun) for (const call of itemToolCalls(holder, path)) judge.toolCall(call)
    if (member === undefined) return judge.text(deltas, path)
    for (const text of texts)
      if (text !== holder[member])
        for (const call of itemToolCalls({ ...holder, [member]: text }, path)) judge.toolCall(call)
    // A reader may add the deltas to what the item began with.
    const added = textOf(memberOf(begun, member)) + deltas
    if (texts.has(added)) return
    judge.text(added, path)
    for (const call of itemToolCalls({ ...holder, [member]: added }, path))
      if (call.args !== undefined) judge.toolCall(call)
  }

  #release(index: unknown, held: Held, free: Array<unknown>): void {
    if (this.#judge.refused !== undefined) return
    for (const event of held.events) free.push(event)
    this.#held.delete(index)
    this.#heldCharacters -= held.characters
  }
}

const beginnings: ReadonlySet<string> = new Set(["response.created", "response.in_progress", "response.queued"])

/** The events that go on with the text of a part. */
const stems: ReadonlyMap<string, string> = new Map([
  ["output_text", "response.output_text"],
  ["text", "response.output_text"],
  ["refusal", "response.refusal"],
  ["reasoning_text", "response.reasoning_text"],
  ["summary_text", "response.reasoning_summary_text"]
])

/** What tells a text's place. */
const places = ["output_index", "item_id", "content_index", "summary_index"] as const

const isSamePlace = (one: Fields, other: Fields): boolean => {
  for (const place of places) if (one[place] !== other[place]) return false
  return true
}

/** True for a text that belongs to a tool call of the caller's. */
const isToolText = (type: string): boolean =>
  type === "response.function_call_arguments.delta" ||
  type === "response.custom_tool_call_input.delta" ||
  type.startsWith("response.shell_call")

const pathOf = (index: unknown): string => (typeof index === "number" ? `output[${index}]` : "output")

const isFilled = (value: unknown): boolean => Array.isArray(value) && value.length > 0
