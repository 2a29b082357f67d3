/**
 * Random answers, told in any of the six styles, with other spellings and stray members, over the wire as bytes: what breaks a
 * rule never comes out, and what breaks none comes out whole.
 */
import { assert } from "@effect/vitest"
import * as Result from "effect/Result"
import { toolCallsOf } from "../../src/answer/ToolCalls.ts"
import { StreamedToolCalls } from "../../src/answer/StreamedToolCalls.ts"
import type { ToolCall } from "../../src/answer/ToolCall.ts"
import type { OutputRules } from "../../src/call/Judge.ts"
import { judgeAnswer } from "../../src/invocation/output/AnswerGate.ts"
import { OutputJudge } from "../../src/invocation/output/OutputJudge.ts"
import { StreamGate } from "../../src/invocation/output/StreamGate.ts"
import { readChunks } from "../../src/invocation/Sse.ts"
import { compileRegex } from "../../src/policy/mapl/Regex.ts"
import { Random } from "../policy/random.ts"
import { type Heard, type Json, request, type Said, type Style, styles, type Tool } from "./answerStyles.ts"

/** How often each thing happened. */
export type Tally = Map<string, number>

// Rules: a text, a pattern, a tool, and an argument of another.

const source = { policy: "app:lab", rule: "denied" }
const number = Result.getOrThrow(compileRegex("HX-[0-9]{4}"))
const rulesOf = (texts: boolean): OutputRules => ({
  denied: texts
    ? [
        { ...source, sought: "Project Heron", holdBack: 12 },
        {
          ...source,
          sought: (text, from) => {
            const matcher = number.matcher(text)
            return from <= text.length && matcher.find(from) ? [matcher.start(), matcher.end()] : undefined
          },
          holdBack: 8
        }
      ]
    : [],
  maxCharacters: undefined,
  onResponse: { ...source, does: "deny" }
})
const judges = [rulesOf(true), rulesOf(false)]
const isDenied = (name: string, city: unknown): boolean => name === "pay" || city === "Rome"
const isSecret = (text: string): boolean => /Project Heron|HX-\d{4}/.test(text)

const judgeOf = (rules: OutputRules) =>
  new OutputJudge(rules, {
    models: ["gpt-4o"],
    params: { instructions: request },
    tool: (name, args) => (isDenied(name, args["city"]) ? "deny" : "allow")
  })

// Answers: words that come near to what is denied, and now and then what is.

const words = [
  "Project ",
  "Hero",
  "Heron ",
  " Her",
  "on",
  "HX-",
  "12",
  "123",
  "4",
  " and ",
  "😀",
  "é",
  "P",
  "\n",
  '"',
  "\\ ",
  "Pro"
]

/** What is wrong with an answer, where something is. */
type Wrong = "text" | "escaped" | "stray" | "tool" | "argument" | undefined

const escaped = (random: Random, text: string): string =>
  [...text]
    .map((letter) => (random.chance(0.3) ? `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}` : letter))
    .join("")

const unescaped = (text: string): string =>
  text.replaceAll(/\\u([\da-f]{4})|\\(.)/gi, (_, code: string | undefined, other: string) =>
    code === undefined ? other : String.fromCharCode(Number.parseInt(code, 16))
  )

const harmless = (random: Random): string => {
  for (;;) {
    const text = Array.from({ length: Math.floor(random.next() * 9) }, () => random.pick(words)).join("")
    if (!isSecret(text) && !isSecret(unescaped(text))) return text
  }
}

const secret = (random: Random, wrong: Wrong): string => {
  const denied = random.pick(["Project Heron", "HX-1234"])
  return wrong === "escaped"
    ? `\\u${denied.charCodeAt(0).toString(16).padStart(4, "0")}${escaped(random, denied.slice(1))}`
    : denied
}

const toolOf = (random: Random, name: string, city: string): Tool => {
  if (random.chance(0.2)) return { name, args: name === "pay" || city === "Oslo" ? "{}" : `{"city":"${city}"}` }
  const spelled = [...city].map((letter) =>
    random.chance(0.2) ? `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}` : letter
  )
  return { name, args: `{"city":${random.pick(["", " "])}"${spelled.join("")}"}` }
}

const answerOf = (random: Random, most: number, wrong: Wrong): ReadonlyArray<Said> => {
  const count = random.chance(0.3) ? most : 1
  const bad = Math.floor(random.next() * count)
  return Array.from({ length: count }, (_, i) => {
    const tools = Array.from({ length: Math.floor(random.next() * 3) }, () =>
      toolOf(random, random.pick(["look", "see"]), "Oslo")
    )
    if (i === bad && (wrong === "tool" || wrong === "argument"))
      tools.splice(
        Math.floor(random.next() * (tools.length + 1)),
        0,
        wrong === "tool" ? toolOf(random, "pay", "Oslo") : toolOf(random, "look", "Rome")
      )
    const texts = [harmless(random), random.chance(0.5) ? harmless(random) : ""]
    if (i === bad && (wrong === "text" || wrong === "escaped")) {
      const at = random.pick([0, 1])
      texts[at] = `${harmless(random)}${secret(random, wrong)}${harmless(random)}`
    }
    return { content: texts[0]!, reasoning: texts[1]!, tools }
  })
}

// Other spellings: stray members, members in any order, escapes, and lines of an event stream as the standard has them.

const strays: ReadonlyArray<(text: string) => readonly [string, unknown]> = [
  (text) => ["note", text],
  (text) => ["status_note", { status: text }],
  (text) => ["extra", { type: "x", deep: [{ result: text }] }],
  (text) => ["annotations_extra", [{ type: text }]],
  (text) => ["provider_data", { finish_reason: text, list: [1, true, null] }]
]

const holders = (chunk: Json): ReadonlyArray<Json> => {
  const choices = (Array.isArray(chunk["choices"]) ? chunk["choices"] : []) as ReadonlyArray<Json>
  const others = choices.flatMap((choice) => [choice, choice["delta"] ?? choice["message"]])
  return [chunk, ...others, chunk["item"], chunk["part"]].filter(
    (one): one is Json => typeof one === "object" && one !== null && Object.keys(one).length > 0
  )
}

/** Adds what no reader of the API needs; `denied` is told in pieces, at one place. */
const withStrays = (random: Random, chunks: ReadonlyArray<Json>, denied: string | undefined): ReadonlyArray<Json> => {
  const all = structuredClone(chunks) as ReadonlyArray<Json>
  const pieces =
    denied === undefined ? [] : all.length < 3 ? [denied] : [denied.slice(0, 4), denied.slice(4)].slice(0, all.length)
  const stray = random.pick(strays)
  // A choice of each chunk: texts of two choices are two.
  const isAt = (chunk: Json): boolean => {
    const [choice] = (Array.isArray(chunk["choices"]) ? chunk["choices"] : [undefined]) as ReadonlyArray<
      Json | undefined
    >
    return choice === undefined || choice["index"] === 0
  }
  const places = all.filter((chunk) => isAt(chunk) && String(chunk["type"] ?? "x") === String(all[0]?.["type"] ?? "x"))
  const told = pieces.length > places.length ? [pieces.join("")] : pieces
  const levels = Math.min(...told.map((_, i) => holders(places[i]!).length))
  const level = Math.floor(random.next() * levels)
  told.forEach((piece, i) => {
    const [name, value] = stray(piece)
    holders(places[i]!)[level]![name] = value
  })
  for (const chunk of all)
    for (const holder of holders(chunk))
      if (random.chance(0.1)) {
        const [name, value] = random.pick(strays)(random.pick(["", "fine", "Project", "ok then"]))
        if (!(name in holder)) holder[`x_${name}`] = random.pick([value, null, 1, false, []])
      }
  return all
}

/** A value as JSON text that reads the same: members in any order, and escapes. */
const spelled = (random: Random, value: unknown, free: boolean): string => {
  if (typeof value === "string") {
    const text = JSON.stringify(value)
    return free && random.chance(0.2)
      ? text.replaceAll(/[a-zA-Z](?<!\\.)/g, (letter) =>
          random.chance(0.2) ? `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}` : letter
        )
      : text
  }
  if (Array.isArray(value)) return `[${value.map((item) => spelled(random, item, free)).join(",")}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null"
  const members = Object.entries(value).filter(([, member]) => member !== undefined)
  return `{${(free && random.chance(0.2) ? random.shuffled(members) : members)
    .map(([name, member]) => `${JSON.stringify(name)}:${random.pick(["", " "])}${spelled(random, member, free)}`)
    .join(",")}}`
}

const wire = (random: Random, chunks: ReadonlyArray<Json>): Uint8Array => {
  const line = random.pick(["\n", "\r\n"])
  const text = chunks
    .map((chunk) => {
      const comment = random.chance(0.1) ? `: keep-alive${line}` : ""
      const event = typeof chunk["type"] === "string" ? `event: ${chunk["type"]}${line}` : ""
      return `${comment}${event}data:${random.pick(["", " "])}${spelled(random, chunk, true)}${line}${line}`
    })
    .join("")
  return new TextEncoder().encode(`${text}${random.chance(0.7) ? `data: [DONE]${line}${line}` : ""}`)
}

const bodyOf = (random: Random, bytes: Uint8Array): ReadableStream<Uint8Array> => {
  const most = random.pick([7, 200, 1000, 1000, 100_000, 100_000])
  let at = 0
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close()
      const next = at + 1 + Math.floor(random.next() * most)
      controller.enqueue(bytes.slice(at, next))
      at = next
    }
  })
}

const deaf = { begun: () => {}, received: () => {}, whole: () => {} }

// The property.

const kinds: ReadonlyArray<Wrong> = [undefined, undefined, "text", "escaped", "stray", "tool", "argument"]

const expectNothing = (told: string, heard: ReadonlyArray<Heard>, rules: OutputRules): void => {
  const texts = heard.flatMap(({ content, reasoning, tools }) => [content, reasoning, ...tools.map(({ args }) => args)])
  if (rules.denied.length > 0) for (const text of texts) assert.isFalse(isSecret(text) || isSecret(unescaped(text)))
  if (rules.denied.length > 0) assert.isFalse(isSecret(told))
  for (const { args, name } of heard.flatMap(({ tools }) => tools)) {
    assert.notStrictEqual(name, "pay")
    assert.isFalse(/"city":\s*"Rome"/.test(unescaped(args)))
  }
  assert.notMatch(told, /"name":"pay"/)
}

const one = async (seed: number, tally: Tally): Promise<void> => {
  const random = new Random(seed)
  const style: Style = random.pick(styles)
  const rules = random.chance(0.7) ? judges[0]! : judges[1]!
  const kind = random.pick(kinds)
  const wrong = rules.denied.length === 0 && kind !== "tool" && kind !== "argument" ? undefined : kind
  const said = answerOf(random, style.most, wrong)
  const stray = wrong === "stray" ? secret(random, "text") : undefined
  const isStreamed = random.chance(0.75)
  const count = (what: string) => tally.set(what, (tally.get(what) ?? 0) + 1)
  count(`${style.name} ${isStreamed ? "streamed" : "plain"}`)
  count(wrong ?? "allowed")
  const judge = judgeOf(rules)
  if (!isStreamed) {
    const [whole] = withStrays(random, [style.whole(random, said)], stray)
    const text = spelled(random, whole, true)
    judgeAnswer(JSON.parse(text), judge)
    assert.strictEqual(
      judge.refused !== undefined,
      wrong !== undefined,
      `seed ${seed}: ${style.name}, ${wrong}: ${text}`
    )
    return
  }
  const chunks = withStrays(random, style.stream(random, said), stray)
  const gate = new StreamGate(judge)
  const free: Array<Json> = []
  const response = new Response(bodyOf(random, wire(random, chunks)) as ReadableStream<Uint8Array<ArrayBuffer>>)
  for await (const read of readChunks(response, new AbortController(), deaf)) {
    free.push(...(gate.push(read) as ReadonlyArray<Json>))
    if (judge.refused !== undefined) break
  }
  free.push(...(gate.end() as ReadonlyArray<Json>))
  const heard = style.read(free)
  try {
    assert.strictEqual(judge.refused !== undefined, wrong !== undefined)
    if (wrong !== undefined) return expectNothing(JSON.stringify(free).replaceAll(request, ""), heard, rules)
    const withArguments = ({ tools, ...texts }: Heard): Heard => ({
      ...texts,
      tools: tools.map(({ args, name }) => ({ name, args: args === "" ? "{}" : args }))
    })
    assert.deepStrictEqual(heard.map(withArguments), said.map(withArguments))
  } catch (cause) {
    const about = JSON.stringify({ refused: judge.refused, said, chunks, free })
    throw new Error(`seed ${seed}: ${style.name}, ${wrong}: ${about}`, { cause })
  }
}

/** Runs answers of these seeds. */
export const answers = async (from: number, until: number, tally: Tally): Promise<void> => {
  for (let seed = from; seed < until; seed++) await one(seed, tally)
}

// The log: the same tools, however an answer is told.

/** Tellings of a response that leave out what others repeat. */
const tellings: ReadonlyArray<(event: Json) => Json | undefined> = [
  (event) => event,
  // The items, as they end.
  (event) => (event["type"] === "response.output_item.done" ? event : undefined),
  // An event that nobody knows.
  (event) =>
    event["type"] === "response.output_item.done" ? { ...event, type: "response.output_item.updated" } : undefined,
  // The response, once it is over.
  (event) => (event["type"] === "response.completed" ? { ...event, type: "response.incomplete" } : undefined),
  // Items that begin, and their arguments.
  (event) => (/output_item\.added|function_call_arguments\.delta/.test(String(event["type"])) ? event : undefined),
  (event) => (/output_item\.added|function_call_arguments\.done/.test(String(event["type"])) ? event : undefined)
]

const told = (random: Random, style: Style, said: ReadonlyArray<Said>): ReadonlyArray<unknown> => {
  if (style.name === "Responses") {
    const telling = random.pick(tellings)
    return style.stream(random, said).flatMap((event) => telling(event) ?? [])
  }
  if (random.chance(0.6)) return style.stream(random, said)
  // Whole messages, in chunks.
  const { choices, ...whole } = style.whole(random, said)
  return (choices as ReadonlyArray<Json>).map((choice) => ({ ...whole, choices: [choice] }))
}

const recordsOf = (calls: ReadonlyArray<ToolCall>): ReadonlyArray<string> =>
  calls
    .map(({ args, fault, name }) => {
      const isAllowed = args !== undefined && fault === undefined && !isDenied(name, args["city"])
      return `${name} ${JSON.stringify(args)} ${isAllowed ? "allow" : "deny"}`
    })
    .toSorted()

/** Tells answers of these seeds in several ways: the log has the same tools of each, and the gate refuses what the log denies. */
export const records = (from: number, until: number): number => {
  let seen = 0
  for (let seed = from; seed < until; seed++) {
    const random = new Random(seed)
    const style = random.pick(styles)
    const said = answerOf(random, style.most, random.pick([undefined, "tool", "argument"] as const))
    const whole = style.whole(random, said)
    const plain = recordsOf(toolCallsOf(whole))
    const chunks = told(random, style, said)
    const streamed = new StreamedToolCalls()
    for (const chunk of chunks) streamed.add(chunk)
    const about = `seed ${seed}: ${style.name}: ${JSON.stringify(chunks)}`
    assert.deepStrictEqual(recordsOf(streamed.calls), plain, about)
    const isDeniedByLog = plain.some((record) => record.endsWith("deny"))
    const whenPlain = judgeOf(judges[1]!)
    judgeAnswer(whole, whenPlain)
    assert.strictEqual(whenPlain.refused !== undefined, isDeniedByLog, about)
    const judge = judgeOf(judges[1]!)
    const gate = new StreamGate(judge)
    gate.push(chunks)
    gate.end()
    assert.strictEqual(judge.refused !== undefined, isDeniedByLog, about)
    seen += plain.length
  }
  return seen
}
