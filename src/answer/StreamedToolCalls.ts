/**
 * All tool calls of a stream, of whichever API, each once.
 */
import { choicesOf, type Fields, indexKey, isFields, itemsOf, memberOf, textOf } from "./Fields.ts"
import { GrowingItems } from "./GrowingItem.ts"
import type { ToolCall } from "./ToolCall.ts"
import { hasToolCalls, ToolCallDeltas } from "./ToolCallDeltas.ts"
import { chunkToolCallsOf, eventToolCallsOf, outputPath, toolCallsOf } from "./ToolCalls.ts"

/** True for a chunk of text alone, as most are: none of its members holds anything, or has a name that a call's has. */
const isTextChunk = (chunk: unknown): boolean =>
  hasOnly(chunk, chunkMembers, "choices", (choices) => Array.isArray(choices) && choices.every(isTextChoice))

const isTextChoice = (choice: unknown): boolean =>
  hasOnly(choice, choiceMembers, "delta", (delta) => hasOnly(delta, deltaMembers))

/** True for an object of these members alone, none of which holds anything but `inner`, which is judged by itself. */
const hasOnly = (
  value: unknown,
  names: ReadonlySet<string>,
  inner?: string,
  isInner: (member: unknown) => boolean = () => false
): boolean => {
  if (!isFields(value)) return false
  for (const name in value) {
    const member = value[name]
    if (name === inner ? !isInner(member) : !names.has(name) || (typeof member === "object" && member !== null))
      return false
  }
  return true
}

const chunkMembers: ReadonlySet<string> = new Set(
  "id object created model system_fingerprint service_tier obfuscation usage".split(" ")
)
const choiceMembers: ReadonlySet<string> = new Set("index finish_reason logprobs text".split(" "))
const deltaMembers: ReadonlySet<string> = new Set("role content refusal".split(" "))

/**
 * Gathers the tools that a stream asks for, each once: of all choices of a chat completion, or of a response. A call is often told
 * several times: by its deltas, by an event of its own, and by the answer as a whole.
 */
export class StreamedToolCalls {
  readonly #choices = new Map<string, ToolCallDeltas>()
  readonly #items = new GrowingItems()
  /** What was told at once, each time by itself. */
  readonly #told: Array<ReadonlyArray<ToolCall>> = []
  /** By which the call of an item is known, by the item's own id, and by its place. */
  readonly #ids = new Map<string, string>()
  readonly #places = new Map<string, string>()

  /** Takes in a chunk, or an event. */
  add(chunk: unknown): void {
    if (!isFields(chunk) || isTextChunk(chunk)) return
    const { choices, type } = chunk
    const list = choicesOf(choices)
    const isEvent = typeof type === "string"
    // What has choices and a type is a chunk to one reader, and an event to another.
    const isChunk = list.length > 0 || (Array.isArray(choices) && !isEvent)
    if (isChunk) this.#chat({ ...chunk, item: undefined, response: undefined }, list)
    if (isEvent) {
      const { choices: _, ...event } = chunk
      this.#event(event)
    } else if (!isChunk) this.#tell(toolCallsOf(chunk))
  }

  #chat(chunk: Fields, choices: ReadonlyArray<unknown>): void {
    for (const choice of choices) {
      const delta = memberOf(choice, "delta")
      if (!isFields(delta) || !hasToolCalls(delta)) continue
      const index = memberOf(choice, "index")
      const key = indexKey(index)
      let deltas = this.#choices.get(key)
      if (deltas === undefined)
        this.#choices.set(key, (deltas = new ToolCallDeltas(`choices[${typeof index === "number" ? index : 0}]`)))
      deltas.add(delta)
    }
    this.#tell(chunkToolCallsOf(chunk))
  }

  #event(event: Fields): void {
    const { item, output_index: index, response } = event
    this.#know(item, outputPath(index))
    itemsOf(memberOf(response, "output")).forEach((one, i) => this.#know(one, outputPath(i)))
    this.#tell(eventToolCallsOf(event))
    this.#items.take(event)
    const growing = event["type"] === "response.output_item.done" ? this.#items.at(index) : undefined
    if (growing === undefined) return
    for (const call of growing.readings(item)) this.#tell([call])
    this.#items.end(growing, item)
  }

  #know(item: unknown, path: string): void {
    const { call_id: call, id } = isFields(item) ? item : ({} as Fields)
    const known = textOf(call) || textOf(id)
    if (known === "") return
    if (typeof id === "string") this.#ids.set(id, known)
    this.#places.set(path, known)
  }

  #tell(calls: ReadonlyArray<ToolCall>): void {
    if (calls.length > 0) this.#told.push(calls)
  }

  /** The tools so far: of each choice in the order that the model began them. */
  get calls(): ReadonlyArray<ToolCall> {
    const counts = new Map<string, number>()
    const calls: Array<ToolCall> = []
    const growing = [...this.#choices.values()].map(({ all }) => all.map(({ call }) => call))
    const open = [...this.#items.open].flatMap((item) => item.readings(undefined).map((call) => [call]))
    for (const told of [...growing, ...this.#told, ...open]) {
      // A list that says a call twice asks for two.
      const mine = new Map<string, number>()
      for (const call of told) {
        const key = this.#keyOf(call)
        const count = (mine.get(key) ?? 0) + 1
        mine.set(key, count)
        if (count <= (counts.get(key) ?? 0)) continue
        counts.set(key, count)
        calls.push(call)
      }
    }
    return calls
  }

  /** What two tellings of one call have in common: its id, or else its place; and what a reader would run. */
  #keyOf({ args, fault, id, name, path, text }: ToolCall): string {
    const known = id === undefined ? this.#places.get(path) : (this.#ids.get(id) ?? id)
    const place = known ?? path.replace(".message.", ".")
    return JSON.stringify([known === undefined, place, name, fault, args === undefined ? text : sorted(args)])
  }
}

/** A value with the members of each object in one order. */
const sorted = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(sorted)
    : isFields(value)
      ? Object.entries(value)
          .toSorted(([one], [other]) => (one < other ? -1 : 1))
          .map(([name, member]) => [name, sorted(member)])
      : value
