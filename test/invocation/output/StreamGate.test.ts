/** The gate of a stream: what it lets go, however a text is cut into chunks. */
import { assert, describe, it } from "@effect/vitest"
import { StreamGate } from "../../../src/invocation/output/StreamGate.ts"
import type { OutputRule } from "../../../src/policy/mapl/OutputRule.ts"
import { type Chunk, literalRules, make, rulesOf, run } from "./gate.ts"
import { Random } from "../../policy/random.ts"

const chunk = (delta: Readonly<Record<string, unknown>>, more: object = {}, index = 0): Chunk => ({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1,
  model: "gpt-4o",
  choices: [{ index, delta, finish_reason: null, ...more }]
})
const over = (index = 0, reason = "stop") => chunk({}, { finish_reason: reason }, index)
const said = (free: ReadonlyArray<Chunk>, index = 0, key = "content"): string =>
  free
    .flatMap(({ choices = [] }) => choices)
    .filter((choice) => choice.index === index)
    .map((choice) => choice.delta?.[key] ?? "")
    .join("")

// ---------------------------------------------------------------------------------------------------------------------
// Any text, any rules, any cuts
// ---------------------------------------------------------------------------------------------------------------------

const between = (random: Random, low: number, high: number): number =>
  low + Math.floor(random.next() * (high - low + 1))

const letters = ["a", "b", "ab", "aab", "😀", "😁", "\ud83d", "c"]
const pieces = (random: Random, most: number): string =>
  Array.from({ length: between(random, 0, most) }, () => random.pick(letters)).join("")

/** Where a text must stop: the first end of a literal, less the longest end of it that begins one; or the limit, likewise. */
const naive = (text: string, literals: ReadonlyArray<string>, most = Infinity): { until: number; refused: boolean } => {
  const begins = (end: number): number => {
    for (let start = 0; start < end; start++)
      if (literals.some((literal) => literal.startsWith(text.slice(start, end)))) return start
    return end
  }
  const limit = Math.min(text.length, most)
  for (let end = 1; end <= limit; end++)
    if (literals.some((literal) => text.slice(0, end).endsWith(literal))) return { until: begins(end), refused: true }
  return text.length > most ? { until: begins(most), refused: true } : { until: text.length, refused: false }
}

const cut = (random: Random, text: string): Array<string> => {
  const parts: Array<string> = []
  for (let at = 0; at < text.length;) {
    const next = Math.min(text.length, at + between(random, 0, 4))
    parts.push(text.slice(at, next))
    at = next
  }
  return parts
}

describe("any text, any literals, any cuts", () => {
  it("lets go exactly what comes before the first denied text", () => {
    const random = new Random(7)
    let refusals = 0
    for (let round = 0; round < 20_000; round++) {
      const literals = Array.from({ length: between(random, 1, 3) }, () => pieces(random, 3)).filter(
        (text) => text !== ""
      )
      const text = pieces(random, 14)
      const most = random.chance(0.2) ? between(random, 1, 12) : undefined
      const rule = literalRules(literals, most)
      const parts = cut(random, text)
      const chunks = [...parts.map((content) => chunk({ content })), ...(random.chance(0.8) ? [over()] : [])]
      const { free, refused } = run(rule, chunks, between(random, 1, 4))
      const wanted = naive(text, literals, most)
      const given = said(free)
      const about = JSON.stringify({ rule, parts, given, wanted })
      if (wanted.refused) refusals++
      assert.strictEqual(refused !== undefined, wanted.refused, about)
      // A limit cuts no character in two that comes whole.
      const expected = [most, most && most - 1].map((limit) => text.slice(0, naive(text, literals, limit).until))
      assert.include(expected, given, about)
      assert.isFalse(
        literals.some((literal) => given.includes(literal)),
        about
      )
      if (!wanted.refused && chunks.length > parts.length)
        assert.strictEqual(free.at(-1)?.choices?.[0]?.finish_reason, "stop", about)
    }
    assert.isAbove(refusals, 5_000)
  })

  it("keeps the texts of several choices and members apart, and each in order", () => {
    const random = new Random(11)
    for (let round = 0; round < 5_000; round++) {
      const literals = Array.from({ length: between(random, 1, 3) }, () => pieces(random, 3)).filter(
        (text) => text !== ""
      )
      const texts = [0, 1].flatMap((index) =>
        ["content", "refusal"].map((key) => ({ index, key, text: pieces(random, 8), parts: [] as Array<string> }))
      )
      for (const one of texts) one.parts = cut(random, one.text)
      const chunks: Array<Chunk> = []
      const left = texts.map(({ index, key, parts }) => ({ index, key, parts: [...parts] }))
      while (left.some(({ parts }) => parts.length > 0)) {
        const { index, key, parts } = random.pick(left.filter((one) => one.parts.length > 0))
        const both = random.chance(0.2)
          ? left.find((one) => one.index === index && one.key !== key && one.parts.length > 0)
          : undefined
        chunks.push(
          chunk({ [key]: parts.shift(), ...(both !== undefined && { [both.key]: both.parts.shift() }) }, {}, index)
        )
      }
      chunks.push(over(0), over(1))
      const { free, refused } = run(literalRules(literals), chunks, between(random, 1, 4))
      const about = JSON.stringify({ literals, chunks })
      const bad = texts.some(({ text }) => naive(text, literals).refused)
      assert.strictEqual(refused !== undefined, bad, about)
      for (const { index, key, text } of texts) {
        const given = said(free, index, key)
        if (bad) assert.isTrue(text.startsWith(given), about)
        else assert.strictEqual(given, text, about)
        assert.isFalse(
          literals.some((literal) => given.includes(literal)),
          about
        )
      }
    }
  })

  it("finds a pattern that is no longer than hold_back, and lets go nothing of it", () => {
    const random = new Random(13)
    const sources = ["a+b", "(?i)AB", "\\bab\\b", "b$", "^ab", "c(a|b)c?", "😀a"]
    const rules = sources.map((pattern) => rulesOf({ denied: [{ pattern }, "cc"], hold_back: 64 }))
    for (let round = 0; round < 4_000; round++) {
      const rule = random.pick(rules)
      const text = [pieces(random, 8), random.pick(["", " ", " ab ", "AB"]), pieces(random, 3)].join("")
      if (!text.isWellFormed()) continue
      const chunks = [...cut(random, text).map((content) => chunk({ content })), over()]
      const { free, refused } = run(rule, chunks, between(random, 1, 4))
      const sought = rule.denied[0]!.sought
      const match = typeof sought === "string" ? undefined : sought(text, 0)
      const bad = match !== undefined || text.includes("cc")
      const about = JSON.stringify({
        source: sources[rules.indexOf(rule)],
        text,
        chunks: chunks.map((c) => c.choices?.[0]?.delta),
        free
      })
      assert.strictEqual(refused !== undefined, bad, about)
      if (bad) assert.isTrue(text.startsWith(said(free)) && !said(free).includes("cc"), about)
      else assert.strictEqual(said(free), text, about)
      if (match !== undefined) assert.isAtMost(said(free).length, match[0], about)
    }
  })

  it("lets go nothing of a match that is as long as hold_back, wherever it is cut", () => {
    const [before, match] = ["The word is ", "s123456789abcdet"]
    const rule = rulesOf({ denied: [{ pattern: "s[0-9a-e]{14}t" }], hold_back: match.length })
    for (let first = 1; first < match.length; first++)
      for (let second = first; second < match.length; second++) {
        const parts = [before + match.slice(0, first), match.slice(first, second), `${match.slice(second)}.`]
        const { free, refused } = run(rule, [...parts.map((content) => chunk({ content })), over()])
        assert.isDefined(refused, parts.join("|"))
        assert.isTrue(before.startsWith(said(free)), `${parts.join("|")} lets go ${said(free)}`)
      }
  })
})

// ---------------------------------------------------------------------------------------------------------------------
// Chat chunks
// ---------------------------------------------------------------------------------------------------------------------

const denied: OutputRule = { denied: ["secret"] }
const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }

describe("the chunks of a chat", () => {
  it("are the provider's own objects where nothing in them is held back", () => {
    const chunks = [chunk({ role: "assistant", content: "" }), chunk({ content: "Hello" }), over()]
    const { free } = run(denied, chunks)
    assert.strictEqual(free.length, 3)
    free.forEach((one, i) => assert.strictEqual(one, chunks[i]))
  })

  it("are let go with as much of their text as may go; the rest comes before the end is told", () => {
    const judge = make(denied)
    const gate = new StreamGate(judge)
    assert.strictEqual(said(gate.push([chunk({ content: "Hello sec" })]) as Array<Chunk>), "Hello ")
    assert.deepStrictEqual(gate.push([chunk({ content: "r" })]), [])
    const end = { ...over(), usage }
    const free = gate.push([end]) as Array<Chunk>
    assert.deepStrictEqual(
      free.map(({ choices }) => [choices?.[0]?.delta, choices?.[0]?.finish_reason]),
      [
        [{ content: "secr" }, null],
        [{}, "stop"]
      ]
    )
    assert.isNull(free[0]?.["usage"])
    assert.strictEqual(free[1], end)
  })

  it("bring what is held back before the usage, and at the end of a stream that is cut", () => {
    const last = { ...chunk({}), choices: [], usage }
    assert.deepStrictEqual(
      run(denied, [chunk({ content: "a sec" }), last]).free.map(({ choices }) => choices?.[0]?.delta?.["content"]),
      ["a ", "sec", undefined]
    )
    assert.strictEqual(said(run(denied, [chunk({ content: "a sec" })]).free), "a sec")
  })

  it("hold nothing back in a text that comes with its end", () => {
    const whole = chunk({ content: "a sec" }, { finish_reason: "stop" })
    assert.deepStrictEqual(run(denied, [whole]).free, [whole])
  })

  it("bring the probabilities of tokens with their text", () => {
    const token = (text: string) => ({ token: text, logprob: 0, bytes: [], top_logprobs: [] })
    const probable = (content: string) => chunk({ content }, { logprobs: { content: [token(content)], refusal: null } })
    const { free, refused } = run(denied, [probable("a"), probable(" sec"), probable("ond"), over()])
    assert.isUndefined(refused)
    assert.deepStrictEqual(
      free.map(({ choices }) => [choices?.[0]?.delta?.["content"], choices?.[0]?.logprobs]),
      [
        ["a", { content: [token("a")], refusal: null }],
        [" ", null],
        ["second", { content: [token(" sec"), token("ond")], refusal: null }],
        [undefined, undefined]
      ]
    )
    assert.notInclude(JSON.stringify(run(denied, [probable("sec"), probable("ret"), over()]).free), "sec")
    const other = { ...token("x"), top_logprobs: [token("secret")] }
    assert.isDefined(run(denied, [chunk({ content: "x" }, { logprobs: { content: [other] } })]).refused)
  })

  it("are searched where they are not known: whole, and across chunks", () => {
    const odd: ReadonlyArray<ReadonlyArray<Chunk>> = [
      [chunk({ content: [{ type: "text", text: "a secret" }] })],
      [chunk({ content: [{ text: "a sec" }] }), chunk({ content: [{ text: "ret" }] })],
      [chunk({ content: "x" }, { content_filter_results: { note: "secret" } })],
      [{ ...chunk({ content: "x" }), prompt_filter: [{ note: "secret" }] }],
      [{ text: "a sec" }, { text: "ret" }],
      // Between a chunk and an event: a reader of chunks takes an event of an unknown type for one.
      [{ note: "a sec" }, { type: "x", note: "ret" }],
      [{ type: "x", note: "a sec" }, { note: "ret" }],
      [
        { choices: [], note: "a sec" },
        { type: "x", note: "ret" }
      ],
      [{ "the secret": 1 }],
      [chunk({ role: "assistant", content: "x" }, { message: { content: "secret" } })]
    ]
    for (const chunks of odd) {
      const { free, refused } = run(denied, chunks)
      assert.strictEqual(refused?.code, "output_denied", JSON.stringify(chunks))
      assert.isBelow(free.length, chunks.length)
      assert.notInclude(JSON.stringify(refused), "secret")
    }
    const harmless = [{ text: "sec" }, { text: "ond" }, "a string", 5, null]
    assert.deepStrictEqual<ReadonlyArray<unknown>>(run(denied, harmless).free, harmless)
  })

  it("with sound are refused, for sound cannot be judged; without denied texts it passes", () => {
    const sound = [chunk({ audio: { id: "a", transcript: "he" } }), chunk({ audio: { data: "AAAA" } }), over()]
    const { free, refused } = run(denied, sound)
    assert.match(refused?.message ?? "", /sound/)
    assert.strictEqual(free.length, 1)
    assert.deepStrictEqual(run({ on_response: "deny" }, sound).free, sound)
    const spoken = [chunk({ audio: { id: "a", transcript: "a sec" } }), chunk({ audio: { transcript: "ret" } }), over()]
    assert.strictEqual(run(denied, spoken).refused?.path, "choices[0].audio")
    assert.notInclude(JSON.stringify(run(denied, spoken).free), "sec")
  })

  it("of a tool call that is too long to be held back are refused", () => {
    const call = (args: string) => chunk({ tool_calls: [{ index: 0, function: { name: "x", arguments: args } }] })
    const part = "x".repeat(1024 * 1024)
    assert.match(
      run(
        denied,
        Array.from({ length: 5 }, () => call(part))
      ).refused?.message ?? "",
      /too|longer/
    )
  })

  it("of parallel tool calls are judged again where more of one comes", () => {
    const call = (index: number, args: string, name?: string) =>
      chunk({ tool_calls: [{ index, function: { ...(name !== undefined && { name }), arguments: args } }] })
    const chunks = [call(0, "{", "x"), call(1, "{}", "y"), call(0, '"a":"sec'), call(0, 'ret"}'), over(0, "tool_calls")]
    const { free, refused } = run(denied, chunks)
    assert.strictEqual(refused?.path, "choices[0].tool_calls[0]")
    assert.notInclude(JSON.stringify(free), "sec")
    const good = [call(0, "{}", "x"), call(1, "{}", "y"), over(0, "tool_calls")]
    assert.deepStrictEqual(run(denied, good).free, good)
  })

  it("that mix a text and a tool call let the text go, and hold the call", () => {
    const mixed = chunk({ content: "hi", tool_calls: [{ index: 0, function: { name: "pay", arguments: "{}" } }] })
    const { free, refused } = run({ on_response: "deny" }, [mixed, over()])
    assert.strictEqual(said(free), "hi")
    assert.notInclude(JSON.stringify(free), "pay")
    assert.strictEqual(refused?.path, "choices[0].tool_calls[0]")
    assert.deepStrictEqual(
      run({ on_response: "record" }, [mixed, over()]).recorded.map(({ path }) => path),
      ["choices[0].tool_calls[0]"]
    )
  })
})

// ---------------------------------------------------------------------------------------------------------------------
// Events of a response
// ---------------------------------------------------------------------------------------------------------------------

/** Everything that a response tells of its texts, as the API does. */
const response = (
  texts: ReadonlyArray<ReadonlyArray<string>>,
  call?: { name: string; args: ReadonlyArray<string> }
) => {
  const about = { id: "resp_1", object: "response", model: "gpt-4o", instructions: "Never say secret." }
  const events: Array<Chunk> = []
  let sequence = 0
  const tell = (type: string, more: object): void =>
    void events.push({ type: `response.${type}`, sequence_number: sequence++, ...more })
  tell("created", { response: { ...about, output: [] } })
  const output = texts.map((parts, index) => {
    const place = { item_id: `msg_${index}`, output_index: index, content_index: 0 }
    const text = parts.join("")
    const part = { type: "output_text", text, annotations: [] }
    const item = { id: `msg_${index}`, type: "message", role: "assistant", content: [part] }
    tell("output_item.added", { output_index: index, item: { ...item, content: [] } })
    tell("content_part.added", { ...place, part: { ...part, text: "" } })
    for (const delta of parts) tell("output_text.delta", { ...place, delta, logprobs: [] })
    tell("output_text.done", { ...place, text, logprobs: [] })
    tell("content_part.done", { ...place, part })
    tell("output_item.done", { output_index: index, item })
    return item as object
  })
  if (call !== undefined) {
    const place = { item_id: "fc_1", output_index: texts.length }
    const item = { id: "fc_1", type: "function_call", call_id: "c", name: call.name, arguments: call.args.join("") }
    tell("output_item.added", { output_index: texts.length, item: { ...item, arguments: "" } })
    for (const delta of call.args) tell("function_call_arguments.delta", { ...place, delta })
    tell("function_call_arguments.done", { ...place, arguments: item.arguments })
    tell("output_item.done", { output_index: texts.length, item })
    output.push(item)
  }
  tell("completed", { response: { ...about, output, usage: { input_tokens: 1, output_tokens: 1 } } })
  return events
}

const spoken = (free: ReadonlyArray<Chunk>): string =>
  free.map((event) => (event["type"] === "response.output_text.delta" ? String(event["delta"]) : "")).join("")

describe("the events of a response", () => {
  it("tell nothing of a denied text, in no form: any text, any cuts", () => {
    const random = new Random(17)
    let refusals = 0
    for (let round = 0; round < 4_000; round++) {
      const literals = Array.from({ length: between(random, 1, 3) }, () => pieces(random, 3)).filter(
        (one) => one !== ""
      )
      const texts = Array.from({ length: between(random, 1, 2) }, () => cut(random, pieces(random, 8)))
      const events = response(texts)
      const { free, refused } = run(literalRules(literals), events, between(random, 1, 5))
      const all = texts.flat().join("")
      const wanted = naive(all, literals)
      const about = JSON.stringify({ literals, texts, free })
      assert.strictEqual(refused !== undefined, wanted.refused, about)
      assert.isTrue(all.startsWith(spoken(free)), about)
      if (wanted.refused) {
        refusals++
        assert.isAtMost(spoken(free).length, wanted.until + 3, about)
        const told = free.flatMap((event) => ["delta", "text"].map((key) => String(event[key] ?? "")))
        assert.isFalse(
          literals.some((literal) => told.some((text) => text.includes(literal))),
          about
        )
        assert.isFalse(
          literals.some((literal) => spoken(free).includes(literal)),
          about
        )
        assert.notInclude(about, '"response.completed"')
      } else {
        assert.strictEqual(spoken(free), all, about)
        assert.deepStrictEqual(
          free.filter(({ type }) => type !== "response.output_text.delta"),
          events.filter(({ type }) => type !== "response.output_text.delta"),
          about
        )
      }
    }
    assert.isAbove(refusals, 1_000)
  })

  it("pass untouched where nothing is held back, what they repeat of the request among it", () => {
    const events = response([["Hello", " you"]])
    const { free } = run(denied, events)
    assert.strictEqual(free.length, events.length)
    free.forEach((event, i) => assert.strictEqual(event, events[i]))
  })

  it.each([
    ["output_text.done", { text: "a secret" }],
    ["content_part.done", { part: { type: "output_text", text: "a secret" } }],
    ["output_item.done", { item: { type: "message", content: [{ type: "output_text", text: "a secret" }] } }],
    ["output_item.done", { item: { type: "message", content: [{ text: "a sec" }, { text: "ret" }] } }],
    ["output_item.added", { item: { type: "web_search_call", action: { query: "secret" } } }],
    ["refusal.done", { refusal: "secret" }],
    ["reasoning_summary_part.done", { part: { text: "secret" } }],
    ["output_text.annotation.added", { annotation: { title: "secret" } }],
    ["completed", { response: { output: [{ type: "message", content: [{ type: "output_text", text: "secret" }] }] } }],
    ["incomplete", { response: { output: [], output_text: "secret" } }],
    ["failed", { response: { output: [], error: { message: "secret" } } }],
    ["code_interpreter_call_code.done", { code: "secret" }],
    ["an.event.of.tomorrow", { deep: [{ er: "secret" }] }],
    ["audio.delta", { delta: "AAAA" }]
  ])("is refused by %s alone", (type, more) => {
    const { free, refused } = run(denied, [{ type: `response.${type}`, output_index: 0, ...more }])
    assert.strictEqual(refused?.code, "output_denied")
    assert.deepStrictEqual(free, [])
  })

  it.each([
    "refusal",
    "reasoning_text",
    "reasoning_summary_text",
    "code_interpreter_call_code",
    "mcp_call_arguments",
    "tomorrow"
  ])("hold back the deltas of %s", (stem) => {
    const delta = (text: string) => ({ type: `response.${stem}.delta`, output_index: 0, item_id: "x", delta: text })
    const { free, refused } = run(denied, [delta("a se"), delta("cr"), delta("et")])
    assert.strictEqual(refused?.code, "output_denied")
    assert.deepStrictEqual(free, [delta("a ")])
    const done = { type: `response.${stem}.done`, output_index: 0, item_id: "x" }
    assert.deepStrictEqual<ReadonlyArray<unknown>>(run(denied, [delta("a se"), delta("c"), done]).free, [
      delta("a "),
      delta("sec"),
      done
    ])
  })

  it("hold a tool call until it is judged", () => {
    const asked = (name: string) => response([["Let me see."]], { name, args: ['{"a', '":1}'] })
    assert.deepStrictEqual(run({ on_response: "deny" }, asked("look")).free, asked("look"))
    const { free, refused } = run({ on_response: "deny" }, asked("pay"))
    assert.strictEqual(refused?.path, "output[1]")
    assert.notInclude(JSON.stringify(free), "pay")
    assert.strictEqual(spoken(free), "Let me see.")
    assert.deepStrictEqual(
      run({ on_response: "record" }, asked("pay")).recorded.map(({ path }) => path),
      ["output[1]"]
    )
    const hidden = response([], { name: "look", args: ['{"a":"sec', 'ret"}'] })
    assert.isDefined(run(denied, hidden).refused)
    assert.notInclude(JSON.stringify(run(denied, hidden).free), "look")
  })

  it("of a tool call that never becomes complete stay behind", () => {
    const events = response([], { name: "look", args: ["{"] }).slice(0, 3)
    assert.deepStrictEqual(run({ on_response: "deny" }, events).free, events.slice(0, 1))
  })

  it("are bounded by max_characters, in deltas and whole", () => {
    const { free, refused } = run({ max_characters: 7 }, response([["0123", "456"], ["789"]]))
    assert.isDefined(refused)
    assert.strictEqual(spoken(free), "0123456")
    assert.isUndefined(run({ max_characters: 10 }, response([["0123", "456"], ["789"]])).refused)
    const done = { type: "response.output_text.done", output_index: 0, text: "0123456789" }
    assert.isDefined(run({ max_characters: 9 }, [done]).refused)
  })
})
