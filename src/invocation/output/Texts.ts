/**
 * Every text of an answer, wherever it stands: strings that no table here knows are texts too, and each is followed from
 * chunk to chunk by where it stands. What is not text (ids, types, bytes in base64) is known by its place, never by its name
 * alone.
 *
 * @since 0.2.0
 */
import { type Fields, isFields } from "../../answer/Fields.ts"
import { type OutputJudge, placeOf } from "./OutputJudge.ts"
import { TextChannel } from "./TextChannel.ts"

/**
 * What the members of an object are: `skip`, no text (an id, base64); `word`, one of the API's own {@link words}, and text
 * otherwise; `config`, an object that repeats the request, and text otherwise; or an object, or a list of such, with members
 * of its own. A member that is not named is text, at any depth.
 */
export type Known = ReadonlyMap<string, Rule>
type Rule = "skip" | "word" | "config" | Known

const table = (members: Readonly<Record<string, Rule>>): Known => new Map(Object.entries(members))

/** What the API says of roles, states, kinds and ends. */
const words: ReadonlySet<string> = new Set(
  (
    "assistant developer system user tool function " +
    "completed in_progress incomplete failed queued cancelled calling searching interpreting generating " +
    "stop length tool_calls content_filter function_call eos eos_token end_turn error " +
    "message reasoning output_text output_audio refusal text summary_text reasoning_text thinking " +
    "web_search_call file_search_call computer_call code_interpreter_call image_generation_call local_shell_call " +
    "shell_call apply_patch_call mcp_call mcp_list_tools mcp_approval_request mcp_approval_response custom_tool_call " +
    "tool_search_call tool_search_output function_call_output custom_tool_call_output program program_output compaction " +
    "additional_tools custom url_citation file_citation container_file_citation file_path logs image search open_page " +
    "find_in_page exec direct client server list embedding chat.completion chat.completion.chunk text_completion response"
  ).split(" ")
)

const annotation = table({ type: "word", file_id: "skip", container_id: "skip" })

const part = table({ type: "word", id: "skip", file_id: "skip", annotations: annotation })

const call = table({
  id: "skip",
  type: "word",
  function: table({ name: "skip", arguments: "skip" }),
  custom: table({ name: "skip", input: "skip" }),
  name: "skip",
  arguments: "skip"
})

const audio = table({ id: "skip", data: "skip" })

/** A message of a chat completion. Its tool calls are judged as such; only what else is in them is followed here. */
export const message = table({
  role: "word",
  content: part,
  annotations: annotation,
  audio,
  tool_calls: call,
  function_call: call
})

/** What stands in a tool call of a chat beside what is judged as such. */
export const toolCall = call

/** A choice of a whole answer. */
export const wholeChoice = table({ index: "skip", finish_reason: "word", message })

/** A choice of a chunk. Tools that it asks for anywhere but in its delta are in an odd place. */
export const choice = table({ finish_reason: "word", message: table({ role: "word", content: part, audio }) })

/** A chat or text completion, or a chunk of one; `choices` are followed by themselves. */
export const completion = table({
  id: "skip",
  object: "word",
  model: "skip",
  system_fingerprint: "skip",
  service_tier: "skip",
  obfuscation: "skip",
  choices: "skip"
})

/** A list of embeddings, or an answer of no known form. */
export const list = table({
  id: "skip",
  object: "word",
  model: "skip",
  data: table({ object: "word", embedding: "skip" })
})

/** The body of an error, or an error event. */
export const error = table({ type: "word" })

/** A value of no known form. */
export const unknown = table({ id: "skip", object: "word", model: "skip" })

/** An item of a response. */
export const item = table({
  id: "skip",
  type: "word",
  status: "word",
  role: "word",
  call_id: "skip",
  approval_request_id: "skip",
  container_id: "skip",
  encrypted_content: "skip",
  execution: "word",
  content: part,
  summary: part,
  action: table({ type: "word" }),
  outputs: table({ type: "word" })
})

/** One whose result is an image, in base64. */
export const imageItem: Known = new Map([...item, ["result", "skip"]])

/** A response, without its `output`: that is followed by itself. What repeats the request is the caller's own. */
export const response = table({
  id: "skip",
  object: "word",
  model: "skip",
  status: "word",
  service_tier: "skip",
  previous_response_id: "skip",
  output: "skip",
  output_text: "skip",
  instructions: "skip",
  input: "skip",
  tools: "skip",
  tool_choice: "skip",
  metadata: "skip",
  prompt: "skip",
  prompt_cache_key: "skip",
  prompt_cache_retention: "skip",
  prompt_cache_options: "skip",
  safety_identifier: "skip",
  user: "skip",
  conversation: "skip",
  truncation: "skip",
  text: "config",
  reasoning: "config"
})

/** An event of a response; what it holds of a response, and the text of a delta, are followed by themselves. */
export const event = table({
  type: "skip",
  item_id: "skip",
  response_id: "skip",
  obfuscation: "skip",
  partial_image_b64: "skip",
  response: "skip",
  item,
  part,
  annotation
})

/** An event whose item is an image. */
export const imageEvent: Known = new Map([...event, ["item", imageItem]])

/** One that brings a piece of a text. */
export const deltaEvent: Known = new Map([...event, ["delta", "skip"], ["logprobs", "skip"]])

const nothing: Known = new Map()

/** Members that say something about the answer: searched like any other, and no part of its length. */
const about: ReadonlySet<string> = new Set([
  "annotations",
  "content_filter_offsets",
  "content_filter_result",
  "content_filter_results",
  "data",
  "encrypted_content",
  "format",
  "id",
  "logprobs",
  "matched_stop",
  "mime_type",
  "name",
  "native_finish_reason",
  "role",
  "signature",
  "status",
  "stop_reason",
  "type",
  "usage"
])

/** True for a member that is a part of the answer's length. */
const isCounted = (name: string): boolean => !about.has(name)

/** Where texts stand, whatever the index in a list: made once, and met again in each chunk. */
class Place {
  /** The way from where it was begun, as findings tell it. */
  readonly path: string
  readonly isCounted: boolean
  /** True where the member's name is no ordinary one, and may be content. */
  readonly isOdd: boolean
  readonly isRanked: boolean
  readonly #members = new Map<string, Place>()
  channel: TextChannel | undefined

  constructor(path: string, name: string, isOdd: boolean) {
    this.path = path
    this.isCounted = isCounted(name)
    this.isOdd = isOdd
    this.isRanked = name === "top_logprobs"
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
    return this.#value(value, place, path, known)
  }

  #value(value: unknown, place: Place, path: string, known: Known): number {
    if (typeof value === "string") return this.#text(value, place, path)
    if (Array.isArray(value)) {
      let length = 0
      for (let i = 0; i < value.length; i++) {
        const item: unknown = value[i]
        // Alternatives to a token stand in the order of their rank; those of one rank may be read as one text.
        if (isFields(item))
          length += this.#members(item, place.isRanked ? place.member(`[${i}]`) : place, path, known, true)
        else length += this.#value(item, place, path, known)
      }
      return length
    }
    return isFields(value) ? this.#members(value, place, path, known, false) : 0
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

  #members(value: Fields, at: Place, path: string, known: Known, isItem: boolean): number {
    const judge = this.#judge
    let length = 0
    for (const name in value) {
      const member = value[name]
      if (member === null || member === undefined) continue
      const rule = known.get(name)
      if (rule === "skip") continue
      if (rule === "word" && typeof member === "string" && words.has(member)) continue
      if (rule === "config" && isFields(member)) continue
      if (judge.refused !== undefined) return length
      // The text of a part is the text of the list that it stands in.
      const place = isItem && (name === "text" || name === "refusal") ? at : at.member(name)
      // The API's own names are no text, and may stand in a path.
      if (place.isOdd) judge.text(name, path + place.path)
      if (rule === undefined && (name === "tool_calls" || name === "function_call"))
        judge.oddTools(member, path + place.path)
      const told = this.#value(member, place, path, typeof rule === "object" ? rule : nothing)
      if (place === at || place.isCounted) length += told
    }
    return length
  }
}
