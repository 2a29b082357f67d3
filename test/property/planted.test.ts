/**
 * A denied text that is put in the place of any value of a recorded answer never reaches the caller: as a text, in a list, in
 * an object, and as the name of a member. What stands there before passes as it came.
 */
import { assert, describe, it } from "@effect/vitest"
import { StreamedToolCalls } from "../../src/answer/StreamedToolCalls.ts"
import { toolCallsOf } from "../../src/answer/ToolCalls.ts"
import { judgeAnswer } from "../../src/invocation/output/AnswerGate.ts"
import { OutputJudge } from "../../src/invocation/output/OutputJudge.ts"
import { StreamGate } from "../../src/invocation/output/StreamGate.ts"
import { denied, type Json, recorded, request, rules } from "./recordedAnswers.ts"

const judge = (): OutputJudge =>
  new OutputJudge(rules, {
    models: ["gpt-4o"],
    params: request,
    tool: (name) => (["look", "computer", "local_shell", "apply_patch"].includes(name) ? "allow" : "deny")
  })

const read = (chunks: ReadonlyArray<unknown>) => {
  const mine = judge()
  const gate = new StreamGate(mine)
  const free = chunks.flatMap((chunk) => gate.push([chunk]))
  return { free: [...free, ...gate.end()], refused: mine.refused }
}
const judged = (answer: unknown) => {
  const mine = judge()
  judgeAnswer(answer, mine)
  return mine.refused
}

type Path = ReadonlyArray<string | number>

/** Every place in a value; of a list of numbers only the first. */
const placesOf = function* (value: unknown, path: Path = []): Generator<Path> {
  yield path
  if (Array.isArray(value)) {
    const items: ReadonlyArray<unknown> = value.every((item) => typeof item === "number") ? value.slice(0, 1) : value
    for (const [i, item] of items.entries()) yield* placesOf(item, [...path, i])
  } else if (typeof value === "object" && value !== null)
    for (const [name, member] of Object.entries(value)) yield* placesOf(member, [...path, name])
}

const replaced = (value: unknown, [key, ...path]: Path, by: unknown): unknown => {
  if (key === undefined) return by
  if (Array.isArray(value)) return value.with(Number(key), replaced(value[Number(key)], path, by))
  const members = value as Json
  return { ...members, [key]: replaced(members[key], path, by) }
}

const wholly = `say ${denied} now`
const forms: ReadonlyArray<unknown> = [denied, [wholly], { x: wholly }, { [denied]: 1 }, [{ text: denied }]]

/** The text at this place; and at each second place one more form of it, each form in its turn. */
const plantedAt = (turn: number): ReadonlyArray<unknown> =>
  turn % 2 === 0 ? [wholly, forms[(turn / 2) % forms.length]] : [wholly]

/** What the request said, which an answer may repeat, left out. */
const textsOf = (value: unknown): ReadonlyArray<string> =>
  typeof value === "string"
    ? [value]
    : typeof value === "object" && value !== null
      ? Object.values(value).flatMap(textsOf)
      : []
const own = textsOf(request).filter((text) => text.includes(denied))
const said = (chunks: ReadonlyArray<unknown>): string =>
  own.reduce((text, one) => text.replaceAll(JSON.stringify(one), ""), JSON.stringify(chunks))

/** A denied tool, as calls are written. */
const tools: ReadonlyArray<Json> = [
  { type: "function_call", call_id: "c", name: "pay", arguments: "{}" },
  { name: "pay", arguments: "{}" },
  { id: "c", type: "function", function: { name: "pay", arguments: "{}" } },
  { type: "tool_use", name: "pay", input: {} }
]
/** A second name at the place of another call is part of that call's. */
const isPay = ({ name }: { readonly name: string }): boolean => name.includes("pay")

/** What the request said, and the arguments of another tool, are no place of an answer's for tools. */
const isNoAnswer = (path: Path): boolean => {
  const [first] = path[0] === "response" ? path.slice(1) : path
  return requested.has(first) || path.some((key) => argumentNames.has(key))
}
const requested: ReadonlySet<unknown> = new Set([
  "instructions",
  "metadata",
  "reasoning",
  "text",
  "tool_choice",
  "tools"
])
const argumentNames: ReadonlySet<string | number> = new Set(["action", "actions", "arguments", "input", "operation"])

describe.each(recorded)("in $name", ({ stream, whole }) => {
  it("what is allowed passes as it came", () => {
    assert.isUndefined(judged(whole))
    const { free, refused } = read(stream)
    assert.isUndefined(refused)
    assert.strictEqual(JSON.stringify(free), JSON.stringify(stream))
  })

  it("a denied text is found in the place of any value", () => {
    let turn = 0
    for (const path of placesOf(whole))
      for (const planted of plantedAt(turn++)) {
        const answer = replaced(whole, path, planted)
        assert.isDefined(judged(answer), `${path.join(".")}: ${JSON.stringify(planted)}`)
      }
    assert.isAbove(turn, 20)
  })

  it("a denied text comes out in the place of no value of a stream", () => {
    let turn = 0
    stream.forEach((chunk, i) => {
      for (const path of placesOf(chunk))
        for (const planted of plantedAt(turn++)) {
          const { free, refused } = read(stream.with(i, replaced(chunk, path, planted) as Json))
          if (refused !== undefined && !said(free).includes(denied)) continue
          assert.fail(
            `${i} ${String(chunk["type"] ?? "")} ${path.join(".")}: ${JSON.stringify({ planted, refused, free })}`
          )
        }
    })
    assert.isAbove(turn, 20)
  })

  it("a denied tool in the place of any value is refused, and in the log", () => {
    const places = [
      ...[...placesOf(whole)].map((path) => ({ path, at: -1 })),
      ...stream.flatMap((chunk, at) => [...placesOf(chunk)].map((path) => ({ path, at })))
    ]
    let turn = 0
    for (const { at, path } of places) {
      if (isNoAnswer(path)) continue
      const planted = tools[turn++ % tools.length]
      const about = `${at} ${path.join(".")}: ${JSON.stringify(planted)}`
      if (at < 0) {
        const answer = replaced(whole, path, planted)
        assert.isDefined(judged(answer), about)
        assert.isTrue(toolCallsOf(answer).some(isPay), about)
        continue
      }
      const chunks = stream.with(at, replaced(stream[at], path, planted) as Json)
      const { free, refused } = read(chunks)
      if (refused === undefined || JSON.stringify(free).includes('"pay"')) assert.fail(about)
      const log = new StreamedToolCalls()
      for (const chunk of chunks) log.add(chunk)
      assert.isTrue(log.calls.some(isPay), about)
    }
    assert.isAbove(turn, 20)
  })
})
