/**
 * The tool calls of a streamed response: items that grow with its events, each known by its index and by its id.
 */
import { type Fields, indexKey, isFields, memberOf, textOf } from "./Fields.ts"
import { isToolItem, itemToolCalls, type ToolCall } from "./ToolCall.ts"
import { outputPath } from "./ToolCalls.ts"

/** True for an event that brings a part of a tool call of the caller's, or all of its arguments. */
export const isToolText = (type: string): boolean =>
  type.startsWith("response.function_call_arguments.") ||
  type.startsWith("response.custom_tool_call_input.") ||
  type.startsWith("response.shell_call")

/** An item of a response that asks for a tool, and grows with the events of a stream. */
export class GrowingItem {
  readonly path: string
  /** The item as it began. */
  #begun: Fields | undefined
  /** Its arguments as the deltas tell them, and the events that tell them whole. */
  #deltas = ""
  readonly #whole: Array<Fields> = []
  #fault: string | undefined

  /** `path` is that of the item: `output[0]`. */
  constructor(path: string) {
    this.path = path
  }

  /** Takes in an event, and the text of its delta. */
  take(event: Fields, text: string): void {
    const { item } = event
    if (text !== "") this.#deltas += text
    else if (isFields(item)) this.#begun ??= item
    else if (textOf(event["type"]).endsWith(".done")) this.#whole.push(event)
  }

  /** Says why it is not one call. */
  blame(fault: string): void {
    this.#fault ??= fault
  }

  /** What somebody has who adds the deltas to what the item began with. */
  get text(): string {
    const member = argumentsIn(this.#begun)
    return (member === undefined ? "" : textOf(memberOf(this.#begun, member))) + this.#deltas
  }

  /**
   * The calls that its events say beside `item`, which is the item as it ended, if it did: a reader may put the deltas together,
   * or take either.
   */
  readings(item: unknown): ReadonlyArray<ToolCall> {
    const { path } = this
    const begun = this.#begun
    const said = [item, begun, ...this.#whole]
    const [name = "", ...others] = new Set(said.map((one) => textOf(memberOf(one, "name"))).filter((one) => one !== ""))
    const fault = others.length > 0 ? "it names two tools" : this.#fault
    const calls: Array<ToolCall> =
      fault === undefined ? [] : [{ id: undefined, name, text: "", args: {}, isText: false, path, fault }]
    const holder = isToolItem(item) ? item : isToolItem(begun) ? begun : {}
    const member = argumentsIn(holder)
    const begunText = member === undefined ? "" : textOf(memberOf(begun, member))
    const texts = new Set(
      member === undefined
        ? []
        : [this.#deltas, ...[item, ...this.#whole].map((one) => textOf(memberOf(one, member)))].filter(
            (one) => one !== ""
          )
    )
    // An item that has just begun has no arguments yet; some servers write that as `{}`.
    const isBlank = /^\s*(?:\{\s*\}\s*)?$/.test(begunText)
    const isBegun = holder !== item && (member === undefined || !isBlank || texts.size === 0)
    if (begunText !== "" && !(isBlank && texts.size > 0)) texts.add(begunText)
    if (isBegun) calls.push(...itemToolCalls(holder, path))
    if (member === undefined) return calls
    for (const text of texts)
      if (text !== holder[member]) calls.push(...itemToolCalls({ ...holder, [member]: text }, path))
    const added = begunText + this.#deltas
    if (added !== "" && !texts.has(added))
      calls.push(...itemToolCalls({ ...holder, [member]: added }, path).filter(({ args }) => args !== undefined))
    return calls
  }

  /** It is over, as `item` where that is known: what comes all the same is of it. Its arguments are not kept. */
  end(item: unknown): void {
    const last = isToolItem(item) ? item : this.#begun
    const member = argumentsIn(last)
    this.#begun = last === undefined || member === undefined ? undefined : { ...last, [member]: "" }
    this.#deltas = ""
    this.#whole.length = 0
  }
}

/** Which member of an item is a text that its deltas tell. */
const argumentsIn = (item: Fields | undefined): "arguments" | "input" | undefined =>
  (["arguments", "input"] as const).find((name) => typeof memberOf(item, name) === "string")

/** Tells of each event of a response which growing item it is of: by its index, and by the item's id. */
export class GrowingItems {
  readonly #byIndex = new Map<string, GrowingItem>()
  readonly #byId = new Map<string, GrowingItem>()
  readonly #open = new Set<GrowingItem>()

  /** Takes in an event; gives the growing item that it is of, if there is one. The event that ends an item is of none. */
  take(event: Fields, text = textOf(event["delta"])): GrowingItem | undefined {
    const { item, item_id: given, output_index: index } = event
    const type = textOf(event["type"])
    const isOfItem = type === "response.output_item.added" || isToolText(type)
    if (type === "response.output_item.done" || (isFields(event["response"]) && !isOfItem)) return undefined
    const id = textOf(given) || textOf(memberOf(item, "id"))
    const named = id === "" ? undefined : this.#byId.get(id)
    const isText = isToolText(type)
    const place = indexKey(index)
    const there = this.#byIndex.get(place)
    let growing = index === undefined ? (named ?? there) : (there ?? named)
    if (growing !== undefined && !this.#open.has(growing) && !isText) growing = undefined
    if (growing === undefined) {
      // Arguments that are told whole, without an item, are judged by themselves.
      if (type === "response.output_item.added" ? !isToolItem(item) : !isText || !type.endsWith(".delta"))
        return undefined
      growing = new GrowingItem(outputPath(index))
      this.#byIndex.set(place, growing)
    }
    if (type === "response.output_item.added") {
      if (id !== "") this.#byId.set(id, growing)
    } else if (named !== undefined && (named !== growing || (index !== undefined && there !== named)))
      growing.blame("its events are of two items")
    this.#open.add(growing)
    growing.take(event, text)
    return growing
  }

  /** The growing item at an index. */
  at(index: unknown): GrowingItem | undefined {
    const growing = this.#byIndex.get(indexKey(index))
    return growing !== undefined && this.#open.has(growing) ? growing : undefined
  }

  /** Ends an item: as `item`, where it is known how. */
  end(growing: GrowingItem, item: unknown): void {
    if (this.#open.delete(growing)) growing.end(item)
  }

  /** Those that did not end. */
  get open(): ReadonlySet<GrowingItem> {
    return this.#open
  }
}
