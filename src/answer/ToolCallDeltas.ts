/**
 * The tool calls of a streamed chat completion, put together from the deltas of a choice.
 *
 * Servers differ in how they stream a call. A name may be repeated in each delta, several calls may share an index and
 * differ by id, and the index may be missing. The SDK merges by index and takes the last name; {@link ToolCallDeltas}
 * separates calls by id, and {@link GrowingToolCall.merged} gives the SDK's reading where that is another call.
 */
import { type Fields, isFields, itemsOf, memberOf } from "./Fields.ts"
import {
  argumentsOf,
  callOfPart,
  inputOf,
  isNothing,
  isToolPiece,
  partsOf,
  type ToolCallText,
  type ToolCall
} from "./ToolCall.ts"

/** A call that grows with the deltas of a stream. */
export class GrowingToolCall {
  readonly path: string
  readonly #place: Place
  #id: string | undefined
  #name = ""
  #kind: "function" | "custom" | undefined
  #text = ""
  /** The last piece of the text: what has grown is not read until it is whole. */
  #last = ""
  #fault: string | undefined

  constructor(path: string, place: Place) {
    this.path = path
    this.#place = place
  }

  get id(): string | undefined {
    return this.#id
  }

  get name(): string {
    return this.#name
  }

  /** The call as far as it has come. */
  get call(): ToolCall {
    const isText = this.#kind === "custom"
    return {
      id: this.#id,
      name: this.#name,
      ...(isText ? inputOf(this.#text) : argumentsOf(this.#text)),
      isText,
      path: this.path,
      ...(this.#fault !== undefined && { fault: this.#fault })
    }
  }

  /**
   * The call that a reader sees who merges by index, where this is the last of several at its index and only another one has
   * arguments: those arguments under this name.
   */
  get merged(): ToolCall | undefined {
    const { calls, filled } = this.#place
    const [only] = filled
    if (filled.length !== 1 || only === undefined || only === this || calls.at(-1) !== this) return undefined
    return { ...only.call, name: this.#name, path: this.path }
  }

  /**
   * True where a delta begins the next call: it has a name, and a new id or an object of its own after a whole one. Without a
   * name it is a server that gives each delta an id; one that repeats the name with a new id has begun the next call once this
   * one has no arguments, or seems to have all.
   */
  isFollowedBy({ id, names, text }: ToolCallText): boolean {
    if (names.length === 0) return false
    const isClosed = this.#last.trimEnd().endsWith("}")
    if (isClosed && (isFields(text) || (typeof text === "string" && text.trimStart().startsWith("{")))) return true
    const isOther = id !== undefined && this.#id !== undefined && id !== this.#id
    return isOther && (names[0] !== this.#name || this.#text === "" || isClosed)
  }

  /** Takes in what a delta says; gives its piece of the arguments. */
  grow({ hasFunction, id, isText, names, text }: ToolCallText, isObject: boolean): string {
    if (!isObject) this.blame("it is no object")
    this.#id ??= id
    for (const name of names) {
      if (name === this.#name) continue
      if (this.#name !== "") this.blame("it names two tools")
      this.#name += name
    }
    const kind = isText ? "custom" : hasFunction || names.length > 0 || !isNothing(text) ? "function" : undefined
    if ((isText && hasFunction) || (kind !== undefined && this.#kind !== undefined && kind !== this.#kind))
      this.blame("it names two tools")
    this.#kind ??= kind
    if (isNothing(text) || text === "") return ""
    const piece = typeof text === "string" ? text : JSON.stringify(text)
    this.#text += piece
    this.#last = piece
    const { filled } = this.#place
    if (filled.length < 2 && !filled.includes(this) && piece.trim() !== "") filled.push(this)
    return piece
  }

  /** Says why it is not one call. */
  blame(fault: string): void {
    this.#fault ??= fault
  }
}

/** What a delta says of a call: a piece of its arguments, perhaps an empty one. */
export interface GrownToolCall {
  readonly growing: GrowingToolCall
  readonly piece: string
}

/** The calls that came at one index. */
interface Place {
  readonly calls: Array<GrowingToolCall>
  readonly byId: Map<string, GrowingToolCall>
  /** The first two that have arguments. */
  readonly filled: Array<GrowingToolCall>
}

/** Puts together the tool calls of one choice of a streamed chat completion. */
export class ToolCallDeltas {
  readonly #path: string
  readonly #places = new Map<string, Place>()

  /** `path` is that of the choice: `choices[0]`. */
  constructor(path: string) {
    this.#path = path
  }

  /** Takes in a delta; gives the calls that it says something of, in its order. */
  add(delta: Fields): ReadonlyArray<GrownToolCall> {
    const calls = delta["tool_calls"]
    const legacy = delta["function_call"]
    const grown: Array<GrownToolCall> = []
    if (Array.isArray(calls))
      calls.forEach((call: unknown, i) => {
        const index = memberOf(call, "index")
        const place = typeof index === "number" || typeof index === "string" ? index : i
        grown.push(this.#grow(`tool_calls[${place}]`, call))
      })
    else if (!isNothing(calls)) {
      const call = this.#grow("tool_calls", calls)
      call.growing.blame("its tool_calls are no list")
      grown.push(call)
    }
    if (!isNothing(legacy)) grown.push(this.#grow("function_call", legacy))
    const { content } = delta
    ;(Array.isArray(content) ? content : [content]).forEach((part: unknown, i) => {
      if (!isToolPiece(part)) return
      const call = callOfPart(part)
      const index = typeof call["index"] === "number" ? call["index"] : i
      grown.push(this.#grow(`content[${index}]`, call))
    })
    return grown
  }

  #grow(place: string, delta: unknown): GrownToolCall {
    const said = partsOf(delta)
    const growing = this.#callAt(place, said)
    return { growing, piece: growing.grow(said, isFields(delta)) }
  }

  /** The call that a delta is of. */
  #callAt(at: string, said: ToolCallText): GrowingToolCall {
    const { id } = said
    let place = this.#places.get(at)
    if (place === undefined) this.#places.set(at, (place = { calls: [], byId: new Map(), filled: [] }))
    const latest = place.calls.at(-1)
    const known = id === undefined ? latest : (place.byId.get(id) ?? latest)
    const isNext = known === undefined || (known === latest && known.isFollowedBy(said))
    const call = isNext ? new GrowingToolCall(`${this.#path}.${at}`, place) : known
    if (isNext) place.calls.push(call)
    if (id !== undefined) place.byId.set(id, call)
    return call
  }

  /** The calls so far: by index, and of one index in the order that they began. */
  get all(): ReadonlyArray<GrowingToolCall> {
    return [...this.#places.values()].flatMap(({ calls }) => calls)
  }
}

export const hasToolCalls = ({ content, function_call: legacy, tool_calls: calls }: Fields): boolean =>
  !isNothing(calls) || !isNothing(legacy) || isToolPiece(content) || itemsOf(content).some(isToolPiece)
