/**
 * The pieces of a text of a recorded stream, in any form, and with any stray members beside them: what a reader joins is
 * judged as one, and comes out in the provider's order.
 */
import { assert, describe, it } from "@effect/vitest"
import { OutputJudge } from "../../src/invocation/output/OutputJudge.ts"
import { StreamGate } from "../../src/invocation/output/StreamGate.ts"
import { Random } from "../policy/random.ts"
import { denied, type Json, recorded, request, rules } from "./recordedAnswers.ts"

const isJson = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

/** What a reader adds to its text for a piece. */
const read = (piece: unknown): string => {
  if (typeof piece === "string" || typeof piece === "number") return String(piece)
  if (Array.isArray(piece)) return piece.map(read).join("")
  return isJson(piece) ? read(piece["text"]) : ""
}

/** The texts of a stream as a reader puts them together, and where in the stream each piece stands. */
const readAll = (chunks: ReadonlyArray<Json>): Map<string, { text: string; at: ReadonlyArray<number> }> => {
  const texts = new Map<string, { text: string; at: ReadonlyArray<number> }>()
  const add = (key: string, piece: unknown, at: unknown): void => {
    if (piece === undefined || piece === null) return
    const before = texts.get(key) ?? { text: "", at: [] }
    texts.set(key, { text: before.text + read(piece), at: [...before.at, Number(at)] })
  }
  for (const chunk of chunks) {
    const { choices, delta, seq, type } = chunk
    const all: ReadonlyArray<unknown> = Array.isArray(choices) ? choices : isJson(choices) ? Object.values(choices) : []
    for (const choice of all) {
      if (!isJson(choice)) continue
      const index = Number(choice["index"] ?? 0)
      add(`${index} text`, choice["text"], seq)
      if (isJson(choice["delta"])) add(`${index} content`, choice["delta"]["content"], seq)
    }
    if (typeof type !== "string" || !type.endsWith("text.delta")) continue
    const part = type.includes("_summary") ? chunk["summary_index"] : chunk["content_index"]
    add(`${type} ${Number(chunk["output_index"] ?? 0)} ${Number(part ?? 0)}`, delta, seq)
  }
  return texts
}

const isPiece = (event: Json): boolean =>
  String(event["type"]).endsWith(".delta") || JSON.stringify(event).includes('"tool_calls":')
const isTold = (value: unknown): boolean =>
  typeof value === "string" || (typeof value === "object" && value !== null && Object.keys(value).length > 0)

type Spelling = (text: string) => unknown
const spellings: ReadonlyArray<Spelling> = [
  (text) => text,
  (text) => text,
  (text) => [text],
  (text) => [[text]],
  (text) => [text.slice(0, 3), text.slice(3)],
  (text) => ({ type: "text", text }),
  (text) => ({ text: [text] }),
  (text) => [{ type: "text", text }],
  (text) => ["", { text, note: 1 }]
]

/** Members that move no text. */
const strays: ReadonlyArray<(random: Random, event: Json) => Json> = [
  () => ({ choices: [] }),
  () => ({ choices: [{ index: 7, delta: { role: "assistant" } }] }),
  () => ({ choices: null }),
  () => ({ item_id: "msg_other" }),
  () => ({ response: {} }),
  () => ({ item: { type: "message", id: "msg_1" } }),
  () => ({ item: { type: "x" }, note: "fine" }),
  (_, { type }) =>
    type === undefined ? {} : { [String(type).includes("_summary") ? "content_index" : "summary_index"]: 4 },
  (_, { output_index: index }) => (index === undefined ? {} : { output_index: String(index) }),
  () => ({ usage: null, model: "gpt-4o" }),
  () => ({ note: ["fine", { text: "too" }] })
]
const chunkStrays: ReadonlyArray<(random: Random, chunk: Json) => Json> = [
  () => ({ type: "response.output_text.delta", output_index: 9 }),
  () => ({ type: "chat.completion.chunk" }),
  () => ({ type: "response.created" }),
  () => ({ delta: "x", note: "fine" }),
  () => ({ response: { id: "resp_1" }, item: { type: "message" } }),
  (_, { choices }) =>
    Array.isArray(choices) && choices.length > 0
      ? { choices: Object.fromEntries(choices.map((choice: Json) => [String(choice["index"]), choice])) }
      : {},
  (_, { choices }) =>
    Array.isArray(choices)
      ? { choices: choices.map((choice: Json) => ({ ...choice, index: String(choice["index"]) })) }
      : {},
  (_, { choices }) =>
    Array.isArray(choices)
      ? { choices: choices.map((choice: Json) => ({ ...choice, note: "fine", text_offset: 3 })) }
      : {}
]

/** Where a text stands that a stream tells in pieces: its chunk, and the same chunk with another piece. */
interface Spot {
  readonly at: number
  readonly key: string
  readonly with: (piece: unknown) => Json
}

const spotsOf = (stream: ReadonlyArray<Json>): ReadonlyArray<Spot> =>
  stream.flatMap((chunk, at): ReadonlyArray<Spot> => {
    const { choices, delta, logprobs: _, type } = chunk
    if (typeof type === "string")
      return type.endsWith("text.delta") && typeof delta === "string"
        ? [{ at, key: "event", with: (piece) => ({ ...chunk, delta: piece, logprobs: [] }) }]
        : []
    const [choice] = (choices as ReadonlyArray<Json>) ?? []
    if (choice === undefined) return []
    const withChoice = (mine: Json): Json => ({ ...chunk, choices: [{ ...choice, ...mine, logprobs: null }] })
    if (typeof choice["text"] === "string" && choice["finish_reason"] === null)
      return [{ at, key: "text", with: (text) => withChoice({ text }) }]
    const told = choice["delta"]
    if (!isJson(told) || choice["message"] !== undefined || typeof told["content"] !== "string") return []
    return told["content"] === ""
      ? []
      : [{ at, key: "content", with: (content) => withChoice({ delta: { ...told, content } }) }]
  })

/** A random text: the denied one, or one that comes near to it. */
const textOf = (random: Random, isDenied: boolean): string => {
  const near = Array.from({ length: 3 }, () =>
    random.pick(["Project ", " Her", "on", "a ", "Pro", "Heron", "Project Hero", "!"])
  )
  const text = near.join("").replaceAll(denied, "Project.Heron")
  return isDenied ? `${text} ${denied} ${random.pick(["", "now"])}` : text
}

const cut = (random: Random, text: string, isDenied: boolean): ReadonlyArray<string> => {
  const inside = isDenied ? text.indexOf(denied) + 1 + Math.floor(random.next() * (denied.length - 1)) : -1
  const cuts = [inside, ...Array.from({ length: 2 }, () => Math.floor(random.next() * text.length))].filter(
    (at) => at > 0
  )
  const ends = [...new Set(cuts)].sort((a, b) => a - b)
  return [...ends, text.length].map((end, i) => text.slice(i === 0 ? 0 : ends[i - 1], end))
}

const stray = (random: Random, event: Json): Json => {
  const all = event["type"] === undefined ? [...strays.slice(4, 5), ...strays.slice(9), ...chunkStrays] : strays
  // A chunk's own choices stay.
  return { ...event, ...random.pick(all)(random, event) }
}

describe.each(recorded)("the pieces of a text in $name", ({ stream }) => {
  it.each([true, false])("are one text, whatever stands beside them; one of them denied: %s", (isDenied) => {
    const spots = spotsOf(stream)
    assert.isNotEmpty(spots)
    for (let seed = 0; seed < 300; seed++) {
      const random = new Random(seed)
      const spot = random.pick(spots)
      const pieces = cut(random, textOf(random, isDenied), isDenied).map((piece) =>
        spot.with(random.chance(0.6) ? random.pick(spellings)(piece) : piece)
      )
      const chunks = stream
        .toSpliced(spot.at, 1, ...pieces)
        .map((event) => (random.chance(0.3) ? stray(random, event) : event))
        .map((event, seq): Json => ({ ...event, seq }))
      const judge = new OutputJudge(rules, { models: ["gpt-4o"], params: request, tool: () => "allow" })
      const gate = new StreamGate(judge)
      const free = [...chunks.flatMap((chunk) => gate.push([chunk])), ...gate.end()] as ReadonlyArray<Json>
      const about = `seed ${seed}: ${JSON.stringify({ chunks: chunks.slice(spot.at, spot.at + pieces.length + 2), free, refused: judge.refused })}`
      const told = readAll(chunks)
      const heard = readAll(free)
      for (const [key, { at, text }] of heard) {
        assert.isTrue((told.get(key)?.text ?? "").startsWith(text), `${key} ${about}`)
        assert.notInclude(text, denied, about)
        assert.deepStrictEqual(
          at,
          at.toSorted((a, b) => a - b),
          `${key} ${about}`
        )
      }
      assert.strictEqual(judge.refused !== undefined, isDenied, about)
      if (isDenied) continue
      for (const [key, { text }] of told) assert.strictEqual(heard.get(key)?.text ?? "", text, `${key} ${about}`)
      // A reader of chunks takes those with choices, one of events those with a type; a piece may come with the next one,
      // and a tool once it is whole.
      for (const name of ["choices", "type"]) {
        const order = free.filter((one) => isTold(one[name]) && !isPiece(one)).map(({ seq }) => Number(seq))
        assert.deepStrictEqual(
          order,
          order.toSorted((x, y) => x - y),
          `${name} ${about}`
        )
      }
    }
  })
})
