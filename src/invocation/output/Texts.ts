/**
 * Every text of an answer, wherever it stands: each string is a text, and is followed from chunk to chunk by where it stands.
 * Tables name what is none: a value of a certain form, at a certain member of a certain kind of object, and nothing else.
 */
import { type Fields, isFields, memberOf } from "../../answer/Fields.ts"
import { isToolPart } from "../../answer/ToolCall.ts"
import { textOfBytes } from "./Escapes.ts"
import {
  areChoices,
  type Form,
  isApart,
  isEmbedding,
  isEncrypted,
  isEventType,
  isId,
  isImage,
  isListApart,
  isModel,
  isObjectApart,
  isPadding,
  isSound,
  isTextApart,
  isWord
} from "./Forms.ts"
import { type OutputJudge, placeOf } from "./OutputJudge.ts"
import { Probabilities } from "./Probabilities.ts"
import { TextChannel } from "./TextChannel.ts"

/**
 * What the members of an object are: of a {@link Form}, or else text; `request`, what repeats the request's member of the same
 * name, and text where the request has no such string; or an object, or a list of such, with members of its own. A member
 * that is not named is text, at any depth.
 */
export type Known = ReadonlyMap<string, Rule>
type Rule = Form | "request" | Known | Kinds

/** The members of an object that is of one of several kinds. */
class Kinds {
  readonly of: (value: Fields) => Known
  constructor(of: (value: Fields) => Known) {
    this.of = of
  }
}

const table = (members: Readonly<Record<string, Rule>>): Known => new Map(Object.entries(members))

const annotation = table({ type: isWord, file_id: isId, container_id: isId })

const textPart = table({ type: isWord, id: isId, file_id: isId, annotations: annotation })
/** One that asks for a tool, which is judged as such. */
const toolPart = table({ type: isWord, id: isId, input: isApart })
const part = new Kinds((value) => (isToolPart(value) && !hasCall(value) ? toolPart : textPart))
const hasCall = (value: Fields): boolean => isFields(value["custom"]) || isFields(value["function"])

const call = table({ id: isId, type: isWord })
const bareCall: Known = new Map([...call, ["arguments", isApart]])
const functionCall: Known = new Map([...call, ["function", table({ arguments: isApart })]])
const customCall: Known = new Map([...call, ["custom", table({ input: isApart })]])

/** What stands in a tool call of a chat beside the arguments, which are judged as such. */
export const toolCall = (value: unknown): Known =>
  isFields(memberOf(value, "custom")) ? customCall : isFields(memberOf(value, "function")) ? functionCall : bareCall
const calls = new Kinds(toolCall)

const audio = table({ id: isId, data: isSound })

/** A message of a chat completion. */
export const message = table({
  role: isWord,
  content: part,
  annotations: annotation,
  audio,
  tool_calls: calls,
  function_call: calls
})

/** A choice of a whole answer. */
export const wholeChoice = table({ finish_reason: isWord, message })

/** A choice of a chunk. Tools that it asks for anywhere but in its delta are in an odd place. */
export const choice = table({
  finish_reason: isWord,
  message: table({ role: isWord, content: textPart, audio })
})

/** A chat or text completion, or a chunk of one; `choices` are followed by themselves. */
export const completion = table({
  id: isId,
  object: isWord,
  model: isModel,
  system_fingerprint: isId,
  service_tier: isWord,
  obfuscation: isPadding,
  choices: areChoices
})

/** A list of embeddings, or an answer of no known form. */
export const list = table({
  id: isId,
  object: isWord,
  model: isModel,
  data: table({ object: isWord, embedding: isEmbedding })
})

/** The body of an error, or an error event. */
export const error = table({ type: isWord })

/** A value of no known form. */
export const unknown = table({ id: isId, object: isWord, model: isModel })

/** An event of no response. */
export const unknownEvent: Known = new Map([...unknown, ["type", isEventType], ["choices", areChoices]])

const item = table({
  id: isId,
  type: isWord,
  status: isWord,
  role: isWord,
  call_id: isId,
  approval_request_id: isId,
  container_id: isId,
  execution: isWord,
  content: part,
  summary: textPart,
  action: table({ type: isWord }),
  outputs: table({ type: isWord })
})
const encryptedItem: Known = new Map([...item, ["encrypted_content", isEncrypted]])
const itemsByType: ReadonlyMap<string, Known> = new Map([
  ["reasoning", encryptedItem],
  ["compaction", encryptedItem],
  ["image_generation_call", new Map([...item, ["result", isImage]])]
])

/** What is known of an item of a response by its type. */
export const itemOf = (type: string): Known => itemsByType.get(type) ?? item

/** The kind that a type names; what the API does not know is all of one kind, for a reader may put its texts together. */
export const kindOf = (type: string, judge: OutputJudge): string =>
  isWord(type, judge) || isEventType(type, judge) ? type : ""

/** A response. Its `output` and `output_text` are followed by themselves. */
export const response = table({
  id: isId,
  object: isWord,
  model: isModel,
  status: isWord,
  service_tier: isWord,
  previous_response_id: isId,
  incomplete_details: table({ reason: isWord }),
  output: isListApart,
  output_text: isTextApart,
  instructions: "request",
  input: "request",
  tools: "request",
  tool_choice: "request",
  metadata: "request",
  prompt: "request",
  prompt_cache_key: "request",
  prompt_cache_retention: "request",
  prompt_cache_options: "request",
  safety_identifier: "request",
  user: "request",
  conversation: table({ id: isId }),
  truncation: "request",
  text: "request",
  reasoning: "request"
})

const event = table({
  type: isEventType,
  item_id: isId,
  response_id: isId,
  obfuscation: isPadding,
  item: isObjectApart,
  part: textPart,
  annotation
})
const imageEvent: Known = new Map([...event, ["partial_image_b64", isImage]])

/** An event that holds a response, which is followed by itself. */
export const wholeEvent: Known = new Map([...event, ["response", isObjectApart]])

/** An event of a response. Its `item` is followed by itself. */
export const eventOf = (type: string): Known =>
  type === "response.image_generation_call.partial_image" ? imageEvent : event

/** One that belongs to a tool call; the text of its delta is judged with the call. */
export const toolEvent: Known = new Map([...event, ["delta", isTextApart]])

/** One that brings a piece of a text, and its probabilities. */
export const deltaEvent: Known = new Map([...toolEvent, ["logprobs", isListApart]])

const nothing: Known = new Map()

/** Members that say something about the answer: searched like any other, and no part of its length. */
const about: ReadonlySet<string> = new Set(
  (
    "annotations approval_request_id bytes call_id container_id content_filter_offsets content_filter_result " +
    "content_filter_results conversation data encrypted_content execution file_id format id index item_id logprobs " +
    "matched_stop mime_type model name native_finish_reason obfuscation object previous_response_id response_id role " +
    "service_tier signature status stop_reason system_fingerprint type usage"
  ).split(" ")
)

/** True for a member that is a part of the answer's length. */
const isCounted = (name: string): boolean => !about.has(name)

/** Where texts stand, whatever the index in a list: made once, and met again in each chunk. */
class Place {
  /** The way from where it was begun, as findings tell it. */
  readonly path: string
  readonly isCounted: boolean
  /** True where the member's name is no ordinary one, and may be content. */
  readonly isOdd: boolean
  readonly #members = new Map<string, Place>()
  channel: TextChannel | undefined
  /** The tokens of log probabilities, and the characters of bytes, that stand here. */
  probabilities: Probabilities | undefined
  utf8: TextDecoder | undefined

  constructor(path: string, name: string, isOdd: boolean) {
    this.path = path
    this.isCounted = isCounted(name)
    this.isOdd = isOdd
  }

  member(name: string): Place {
    let member = this.#members.get(name)
    if (member === undefined) {
      const path = placeOf(this.path, name)
      this.#members.set(name, (member = new Place(path, name, path === this.path)))
    }
    return member
  }
}

/** Follows texts that are handed on as they are, or not at all: looks for denied texts in each, and across chunks. */
export class Follower {
  readonly #judge: OutputJudge
  readonly #places = new Map<string, Place>()

  constructor(judge: OutputJudge) {
    this.#judge = judge
  }

  /**
   * Looks through a value. `key` is the place that its texts have in common from chunk to chunk, `path` the one that findings
   * tell. Gives the number of UTF-16 units in its texts.
   */
  follow(value: unknown, key: string, path: string, known: Known = nothing): number {
    let place = this.#places.get(key)
    if (place === undefined) this.#places.set(key, (place = new Place("", key, false)))
    return this.#value(value, place, path, known, none)
  }

  /** `said` are strings of the request, which are repeated here. */
  #value(value: unknown, place: Place, path: string, known: Known | Kinds, said: ReadonlySet<string>): number {
    if (typeof value === "string") {
      const isSaid = said !== none && (said.has(value) || isWord(value, this.#judge))
      return isSaid ? 0 : this.#text(value, place, path)
    }
    if (Array.isArray(value)) {
      let length = 0
      for (const item of value as ReadonlyArray<unknown>)
        if (isFields(item)) length += this.#members(item, place, path, known, said, true)
        else length += this.#value(item, place, path, known, said)
      return length
    }
    return isFields(value) ? this.#members(value, place, path, known, said, false) : 0
  }

  #text(text: string, place: Place, path: string): number {
    const judge = this.#judge
    if (!judge.seeks || text === "" || judge.refused !== undefined) return text.length
    if (place.channel === undefined) place.channel = new TextChannel(judge, "")
    // A pattern may ask for the beginning of a text.
    else if (judge.denied.patterns.length > 0) judge.text(text, path + place.path)
    const found = place.channel.whole(text)
    if (found !== undefined) judge.found(found, path + place.path)
    return text.length
  }

  #members(
    value: Fields,
    at: Place,
    path: string,
    kinds: Known | Kinds,
    said: ReadonlySet<string>,
    isItem: boolean
  ): number {
    const judge = this.#judge
    const known = kinds instanceof Kinds ? kinds.of(value) : kinds
    let length = 0
    for (const name in value) {
      const member = value[name]
      if (member === null || member === undefined) continue
      const rule = known.get(name)
      if (typeof rule === "function" && rule(member, judge)) continue
      if (judge.refused !== undefined) return length
      // The text of a part is the text of the list that it stands in; that of an object may be told as a string as well.
      const isOwn = name === "text" ? isItem || rule === undefined : isItem && name === "refusal"
      const place = isOwn ? at : at.member(name)
      const repeated = rule === "request" ? judge.requested(name) : said
      // The API's own names are no text, and may stand in a path.
      if (place.isOdd && !repeated.has(name)) judge.text(name, path + place.path)
      if (rule === undefined && (name === "logprobs" || name === "bytes")) this.#spelled(name, member, place, path)
      const next = typeof rule === "object" ? rule : nothing
      const told = name === "logprobs" && rule === undefined ? 0 : this.#value(member, place, path, next, repeated)
      if (place === at || place.isCounted) length += told
    }
    return length
  }

  /** Text that is told as tokens, or as bytes. */
  #spelled(name: string, value: unknown, place: Place, path: string): void {
    const judge = this.#judge
    if (!judge.seeks) return
    if (name === "logprobs") {
      place.probabilities ??= new Probabilities(judge, path)
      return place.probabilities.follow(value)
    }
    place.utf8 ??= new TextDecoder()
    const text = textOfBytes(value, place.utf8)
    if (text !== undefined) this.#text(text, place, path)
  }
}

const none: ReadonlySet<string> = new Set()
