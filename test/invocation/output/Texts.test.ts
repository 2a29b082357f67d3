/** Every text of an answer is judged, wherever it stands: whole, in pieces, escaped, and counted. */
import { assert, describe, it } from "@effect/vitest"
import { type Chunk, judged, run } from "./gate.ts"

const denied = { denied: ["secret"] }
const pattern = { denied: [{ pattern: "s.cret" }], hold_back: 6 }

const chunk = (choice: object, more: object = {}): Chunk => ({
  id: "c",
  object: "chat.completion.chunk",
  created: 1,
  model: "gpt-4o",
  choices: [{ index: 0, finish_reason: null, ...choice }],
  ...more
})
const said = (delta: object) => chunk({ delta })
const event = (type: string, more: object): Chunk => ({ type, output_index: 0, item_id: "i", ...more })

/** Two pieces of each form in which a stream can tell a text. */
const streamed: ReadonlyArray<[string, (piece: string) => Chunk]> = [
  ["delta.content", (content) => said({ content })],
  ["delta.content in parts", (text) => said({ content: [{ type: "text", text }] })],
  ["delta.content as a list of texts", (text) => said({ content: [text] })],
  ["thinking", (text) => said({ content: [{ type: "thinking", thinking: [{ type: "text", text }] }] })],
  ["reasoning details", (text) => said({ reasoning_details: [{ type: "reasoning.text", text, index: 0 }] })],
  [
    "a summary in reasoning details",
    (summary) => said({ reasoning_details: [{ type: "reasoning.summary", summary }] })
  ],
  ["an unknown member of a delta", (text) => said({ thoughts: { deep: [{ er: text }] } })],
  ["a role", (role) => said({ role })],
  ["a message", (content) => chunk({ message: { role: "assistant", content } })],
  ["an unknown member of a choice", (note) => chunk({ delta: {}, note })],
  ["a finish_reason", (finish_reason) => chunk({ delta: {}, finish_reason })],
  ["a type inside an unknown member", (type) => chunk({ delta: {}, note: { type } })],
  ["a status inside an unknown member", (status) => chunk({ delta: {}, note: { status } })],
  ["an unknown member of a chunk", (note) => chunk({ delta: {} }, { note: [note] })],
  ["the id of an unknown member", (id) => chunk({ delta: {} }, { note: { id } })],
  ["text", (text) => chunk({ text })],
  ["a chunk of no known form", (result) => ({ result })],
  ["an unknown event", (text) => ({ type: "tomorrow", text })],
  ["a result in an unknown event", (result) => ({ type: "tomorrow", result })],
  ["an unknown event of a response", (text) => event("response.tomorrow.changed", { text })],
  ["a delta that is an object", (text) => event("response.tomorrow.delta", { delta: { text } })],
  ["an output text", (delta) => event("response.output_text.delta", { delta })],
  ["a reasoning text", (delta) => event("response.reasoning_text.delta", { delta })],
  [
    "parts of a summary",
    (text) => event("response.reasoning_summary_part.added", { part: { type: "summary_text", text } })
  ],
  ["a refusal", (delta) => event("response.refusal.delta", { delta })],
  ["the arguments of a hosted tool", (delta) => event("response.mcp_call_arguments.delta", { delta })],
  ["tokens", (token) => chunk({ delta: {}, logprobs: { content: [{ token, logprob: 0, top_logprobs: [] }] } })],
  [
    "alternatives",
    (token) =>
      chunk({
        delta: {},
        logprobs: { content: [{ token: "x", logprob: 0, top_logprobs: [{ token: "y" }, { token }] }] }
      })
  ],
  ["tokens of a refusal", (token) => chunk({ delta: {}, logprobs: { refusal: [{ token }] } })],
  ["tokens of a text completion", (token) => chunk({ text: "", logprobs: { tokens: [token], token_logprobs: [0] } })],
  [
    "alternatives of a text completion",
    (token) => chunk({ text: "", logprobs: { tokens: ["x"], top_logprobs: [{ y: 0, [token]: 0 }] } })
  ],
  [
    "tokens of an output text",
    (token) => event("response.output_text.delta", { delta: "", logprobs: [{ token, logprob: 0, top_logprobs: [] }] })
  ]
]

/** Two texts of one kind, which a reader may put together. */
const together: ReadonlyArray<[string, (piece: string) => Chunk, (piece: string) => Chunk]> = [
  ["the delta and the message", (content) => said({ content }), (content) => chunk({ message: { content } })],
  ["the message and the delta", (content) => chunk({ message: { content } }), (content) => said({ content })],
  ["the delta and a text", (content) => said({ content }), (text) => chunk({ text })],
  [
    "the delta and parts of the message",
    (content) => said({ content }),
    (text) => chunk({ message: { content: [{ text }] } })
  ],
  [
    "reasoning in the delta and the message",
    (reasoning) => said({ reasoning }),
    (reasoning) => chunk({ message: { reasoning } })
  ],
  [
    "a part that begins and its delta",
    (text) => event("response.content_part.added", { part: { type: "output_text", text } }),
    (delta) => event("response.output_text.delta", { delta })
  ],
  [
    "an item that begins and its delta",
    (text) =>
      event("response.output_item.added", { item: { type: "message", content: [{ type: "output_text", text }] } }),
    (delta) => event("response.output_text.delta", { delta })
  ],
  [
    "a response in an event that has none",
    (text) => event("response.output_text.delta", { delta: "x", response: { text } }),
    (text) => event("response.output_text.delta", { delta: "x", response: { text } })
  ],
  ["the types of unknown events", (type) => ({ type: `tomorrow ${type}` }), (type) => ({ type })],
  ["unknown events of two types", (text) => ({ type: "a", text }), (text) => ({ type: "b", text })]
]

/** Every string of a value and every name of a member, each with its place, whatever the index in a list. */
const stringsOf = function* (value: unknown, place = ""): Generator<readonly [place: string, text: string]> {
  if (typeof value === "string") yield [place, value]
  else if (Array.isArray(value)) for (const item of value) yield* stringsOf(item, place)
  else if (typeof value === "object" && value !== null)
    for (const [name, member] of Object.entries(value)) {
      yield [`${place}{}`, name]
      yield* stringsOf(member, `${place}.${name}`)
    }
}
const placeOf = (chunk: Chunk): string => [...stringsOf(chunk)].find(([, text]) => text === "\0")?.[0] ?? ""
const textAt = (chunks: ReadonlyArray<Chunk>, place: string): string =>
  chunks.flatMap((one) => [...stringsOf(one)].flatMap(([at, text]) => (at === place ? [text] : []))).join("")

describe("a denied text in a stream never comes out whole", () => {
  for (const [rule, name] of [
    [denied, "a text"],
    [pattern, "a pattern"]
  ] as const) {
    it.each(streamed)(`${name}, in two pieces of %s`, (_, piece) => {
      const chunks = [piece("a sec"), piece("ret b")]
      const { free, refused } = run(rule, chunks)
      assert.strictEqual(refused?.code, "output_denied")
      assert.notInclude(JSON.stringify(free), "ret")
      assert.isUndefined(run(rule, [piece("a sec"), piece("tor b")]).refused)
    })
    it.each(streamed)(`${name}, whole in %s`, (_, piece) => {
      const { free, refused } = run(rule, [piece("x"), piece("a secret b")])
      assert.strictEqual(refused?.code, "output_denied")
      assert.notInclude(JSON.stringify(free), "secret")
    })
  }

  it.each(streamed)("with its escapes in %s", (_, piece) => {
    for (const cuts of [
      ["a s\\u0065cret"],
      ["a s\\u0", "065cret"],
      ["a s", "\\u0065", "cret"],
      ["\\n s\\u006", "5c", "ret"]
    ]) {
      const { free, refused } = run(denied, cuts.map(piece))
      assert.strictEqual(refused?.code, "output_denied", JSON.stringify(cuts))
      assert.notInclude(JSON.stringify(free), "cret")
    }
  })

  it.each(streamed)("and what is allowed comes out whole, of %s", (_, piece) => {
    const pieces = ["a sec", "tor \\u0", "065 \\", '\\ s\\"', "\\ud83d", "\\ude00 secre", "d s"]
    const chunks = pieces.map(piece)
    for (const rule of [denied, pattern]) {
      const { free, refused } = run(rule, chunks)
      assert.isUndefined(refused)
      assert.strictEqual(textAt(free, placeOf(piece("\0"))), textAt(chunks, placeOf(piece("\0"))))
    }
  })
})

describe("a denied text", () => {
  it.each(together)("split between %s never comes out", (_, one, other) => {
    for (const [first, second] of [
      ["a sec", "ret b"],
      ["a s\\u0065", "cret"]
    ] as const) {
      const { free, refused } = run(denied, [one(first), other(second)])
      assert.strictEqual(refused?.code, "output_denied")
      assert.notInclude(JSON.stringify(free), "ret")
      const chunks = [one("a sec"), other("tor b")]
      assert.isUndefined(run(denied, chunks).refused)
    }
  })

  it("is not seen where a message repeats what the deltas say", () => {
    const both = (content: string, all: string) => chunk({ delta: { content }, message: { content: all } })
    const chunks = [both("ret ", "ret "), both("sec", "ret sec")]
    assert.deepStrictEqual(run(denied, [...chunks, chunk({ delta: {}, finish_reason: "stop" })]).refused, undefined)
    // As long as it, and another text.
    assert.isDefined(run(denied, [said({ content: "xsec" }), chunk({ message: { content: "retx" } })]).refused)
  })

  const nested = (text: string, times: number): string =>
    Array.from({ length: times }).reduce<string>((inner) => JSON.stringify({ a: inner }), text)

  it.each([1, 2, 3, 4])("is found in %i levels of JSON text, in one piece and in many", (times) => {
    const text = nested('"s\u00e9cret"', times)
    const rule = { denied: ['"s\u00e9cret"'] }
    const other = nested('"s\u00e9crit"', times)
    const escaped = (one: string) => one.replaceAll("\u00e9", `${"\\".repeat(2 ** (times - 1))}u00e9`)
    for (const secret of [text, escaped(text)]) {
      assert.isDefined(judged(rule, { choices: [{ message: { content: secret } }] }).refused)
      assert.isDefined(
        judged(rule, { choices: [{ message: { tool_calls: [{ function: { name: "x", arguments: secret } }] } }] })
          .refused
      )
      for (const length of [1, 2, 5, 1000]) {
        const pieces = secret.match(new RegExp(`.{1,${length}}`, "gu")) ?? []
        const { free, refused } = run(
          rule,
          pieces.map((content) => said({ content }))
        )
        assert.strictEqual(refused?.code, "output_denied", `${length}: ${secret}`)
        const told = free.flatMap(({ choices = [] }) => choices.map(({ delta }) => delta?.["content"] ?? "")).join("")
        assert.isTrue(secret.startsWith(told) && !told.includes("cret"), told)
      }
    }
    for (const allowed of [other, escaped(other)]) {
      const { free, refused } = run(
        rule,
        [...allowed].map((content) => said({ content }))
      )
      assert.isUndefined(refused)
      const told = free.flatMap(({ choices = [] }) => choices.map(({ delta }) => delta?.["content"] ?? "")).join("")
      assert.strictEqual(told, allowed)
    }
  })
})

describe("log probabilities", () => {
  const probable = (content: string, more: object = {}) =>
    chunk({ delta: { content }, logprobs: { content: [{ token: content, top_logprobs: [] }], refusal: null }, ...more })

  it("wait for their text, and are whole in the end", () => {
    const words = ["one", " sec", "ond", " s", "ix", " se", "ven"]
    for (const rule of [denied, pattern]) {
      const { free } = run(rule, [...words.map((word) => probable(word)), chunk({ delta: {}, finish_reason: "stop" })])
      const tokens = free.flatMap(({ choices = [] }) =>
        choices.flatMap(
          ({ logprobs }) => ((logprobs ?? { content: [] }) as { content: Array<{ token: string }> }).content
        )
      )
      assert.deepStrictEqual(
        tokens.map(({ token }) => token),
        words
      )
      let text = ""
      let told = ""
      for (const { choices = [] } of free)
        for (const { delta, logprobs } of choices) {
          text += String(delta?.["content"] ?? "")
          for (const { token } of ((logprobs ?? { content: [] }) as { content: Array<{ token: string }> }).content)
            told += token
          assert.isTrue(text.startsWith(told))
        }
    }
  })

  const bytesOf = (text: string) => [...Buffer.from(text)]
  const top = (...tokens: ReadonlyArray<string>) => ({ token: "x", top_logprobs: tokens.map((token) => ({ token })) })
  const forms: ReadonlyArray<[string, (logprobs: object) => Chunk]> = [
    ["a chat", (logprobs) => chunk({ delta: {}, logprobs })],
    [
      "an output text",
      (logprobs) =>
        event("response.output_text.delta", {
          delta: "",
          ...(logprobs as { content: object }),
          logprobs: (logprobs as { content: object }).content
        })
    ],
    [
      "a part",
      (logprobs) =>
        event("response.content_part.added", {
          part: { type: "output_text", text: "", logprobs: (logprobs as { content: object }).content }
        })
    ]
  ]

  it.each(forms)("are read as bytes, and along any alternatives, in %s", (_, form) => {
    const entry = (...entries: ReadonlyArray<object>) => form({ content: entries })
    const bytes = (...all: ReadonlyArray<number>) => ({ token: "x", bytes: all, top_logprobs: [] })
    const rule = { denied: ["sécret"] }
    const spelled = bytesOf("sécret")
    for (const chunks of [
      [entry(bytes(...spelled))],
      spelled.map((byte) => entry(bytes(byte))),
      [entry(...spelled.map((byte) => bytes(byte)))],
      [entry({ token: "x", top_logprobs: [{ token: "y", bytes: spelled }] })],
      [entry(top("a", "sé"), top("cr", "b"), top("c", "d", "et"))],
      [entry(top("a", "sé")), entry(top("cr", "b")), entry(top("c", "d", "et"))],
      [entry(top("a", "sé")), entry({ token: "cr", top_logprobs: [] }), entry(top("et", "d"))]
    ]) {
      const { free, refused } = run(rule, chunks)
      assert.strictEqual(refused?.code, "output_denied", JSON.stringify(chunks))
      assert.isBelow(free.length, chunks.length)
    }
    const allowed = [
      entry(bytes(...bytesOf("sécr"))),
      entry(bytes(...bytesOf("it"))),
      entry(top("sé", "b"), top("b", "cre"), top("x"))
    ]
    const { refused, free } = run(rule, allowed)
    assert.isUndefined(refused)
    for (const text of ["cre", String(bytesOf("it"))]) assert.include(JSON.stringify(free), text)
  })

  it("of a text completion are read along any alternatives", () => {
    const tokens = (...all: ReadonlyArray<readonly [string, object]>) =>
      chunk({ text: "", logprobs: { tokens: all.map(([token]) => token), top_logprobs: all.map(([, top]) => top) } })
    const all = [
      ["x", { y: 0, sec: 0 }],
      ["re", { y: 0 }],
      ["z", { t: 0, u: 0 }]
    ] as const
    assert.isDefined(run(denied, [tokens(...all)]).refused)
    assert.isDefined(
      run(
        denied,
        all.map((one) => tokens(one))
      ).refused
    )
    assert.isUndefined(run(denied, [tokens(all[0], all[2], all[1])]).refused)
  })

  it("that are no object, or stand in an odd member, are judged", () => {
    for (const logprobs of [
      "a secret",
      ["a secret"],
      { content: { token: "secret" } },
      { "a secret": [] },
      { refusal: ["sec", "ret"] }
    ])
      assert.isDefined(run(denied, [chunk({ delta: { content: "x" }, logprobs })]).refused, JSON.stringify(logprobs))
  })

  it("that say more than their text are held back by themselves", () => {
    const token = (text: string) =>
      chunk({ delta: { content: "x" }, logprobs: { content: [{ token: text, top_logprobs: [] }] } })
    assert.notInclude(JSON.stringify(run(denied, [token("sec"), token("ret")]).free), "sec")
  })
})

describe("a plain answer", () => {
  const chat = (message: object, more: object = {}) => ({
    id: "c",
    model: "gpt-4o",
    choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant", content: "x", ...message }, ...more }]
  })
  const output = (...items: ReadonlyArray<object>) => ({
    id: "r",
    object: "response",
    status: "completed",
    output: items
  })
  const spoken = (...texts: ReadonlyArray<string>) => ({
    type: "message",
    role: "assistant",
    content: texts.map((text) => ({ type: "output_text", text }))
  })

  it.each<[string, object]>([
    ["content", chat({ content: "a secret" })],
    [
      "parts of content",
      chat({
        content: [
          { type: "text", text: "a sec" },
          { type: "text", text: "ret" }
        ]
      })
    ],
    ["escaped JSON", chat({ content: '{"a":"s\\u0065cret"}' })],
    ["reasoning details", chat({ reasoning_details: [{ text: "a sec" }, { text: "ret" }] })],
    ["a status", chat({ note: { status: "secret" } })],
    ["a type", chat({ note: { type: "secret" } })],
    ["a result", chat({ note: { result: "secret" } })],
    ["a finish_reason", chat({}, { finish_reason: "secret" })],
    [
      "a member of a tool call",
      chat({ tool_calls: [{ id: "c", function: { name: "x", arguments: "{}" }, note: "secret" }] })
    ],
    ["tokens", chat({}, { logprobs: { content: [{ token: "sec" }, { token: "ret" }] } })],
    ["alternatives", chat({}, { logprobs: { content: [{ token: "x", top_logprobs: [{ token: "secret" }] }] } })],
    ["tokens of a text completion", { choices: [{ index: 0, text: "x", logprobs: { tokens: ["sec", "ret"] } }] }],
    [
      "alternatives of a text completion",
      { choices: [{ index: 0, text: "x", logprobs: { top_logprobs: [{ " secret": 0 }] } }] }
    ],
    ["output texts", output(spoken("a sec"), spoken("ret"))],
    ["escaped JSON of an output text", output(spoken('{"a":"s\\u0065cret"}'))],
    ["an output text", { ...output(), output_text: "secret" }],
    [
      "what a hosted tool answered",
      output({ type: "mcp_call", name: "x", arguments: "{}", output: '{"a":"s\\u0065cret"}' })
    ],
    ["what a hosted tool was asked", output({ type: "mcp_call", name: "x", arguments: '{"a":"s\\u0065cret"}' })],
    [
      "parts of a summary",
      output({ type: "reasoning", summary: [{ type: "summary_text", text: "sec" }, { text: "ret" }] })
    ],
    ["a result", output({ type: "program_output", result: "secret" })],
    ["a status", output({ type: "message", status: "secret", content: [] })],
    ["an unknown member of a response", { ...output(), note: { id: "secret" } }],
    [
      "bytes",
      chat(
        {},
        { logprobs: { content: [..."secret"].map((token) => ({ token: "x", bytes: [...Buffer.from(token)] })) } }
      )
    ],
    [
      "alternatives of any rank",
      chat(
        {},
        {
          logprobs: {
            content: [
              ["a", "sec"],
              ["ret", "b"]
            ].map((all) => ({ token: "x", top_logprobs: all.map((token) => ({ token })) }))
          }
        }
      )
    ],
    ["an output that is no list", { object: "response", output: { text: "a secret" } }],
    ["an error", { error: { message: "x", failed_generation: "a s\\u0065cret" } }]
  ])("is refused for a denied text in %s", (_, answer) => {
    assert.strictEqual(judged(denied, answer).refused?.code, "output_denied")
  })

  it("may hold denied letters in what the provider names and what the request said", () => {
    const rule = { denied: ["secret", "stop", "assistant", "message", "completed", "output_text"] }
    const mine = { instructions: "secret", tools: [{ name: "secret" }], text: { format: { type: "secret" } } }
    const image = { type: "image_generation_call", id: "secret-1", result: "iVBORw0KGgosecret000" }
    assert.isUndefined(judged(rule, { ...chat({}), id: "secret-1", system_fingerprint: "fp_secret1" }).refused)
    const answer = { ...output(spoken("x"), image), ...mine, id: "secret-1" }
    assert.isUndefined(judged(rule, answer, mine).refused)
    assert.isDefined(judged(rule, answer).refused)
  })
})

describe("max_characters", () => {
  const most = { max_characters: 10 }
  const six = "123456"

  it.each<[string, Chunk]>([
    ["content", said({ content: six })],
    ["parts", said({ content: [{ type: "text", text: six }] })],
    ["thinking", said({ content: [{ type: "thinking", thinking: [{ type: "text", text: six }] }] })],
    ["reasoning details", said({ reasoning_details: [{ type: "reasoning.text", text: six }] })],
    ["a message", chunk({ message: { content: six } })],
    ["a text", chunk({ text: six })],
    ["the arguments of a tool", said({ tool_calls: [{ index: 0, function: { name: "x", arguments: six } }] })],
    ["the input of a tool", said({ tool_calls: [{ index: 0, custom: { name: "x", input: six } }] })],
    ["function_call", said({ function_call: { name: "x", arguments: six } })],
    ["an output text", event("response.output_text.delta", { delta: six })],
    ["the arguments of an item", event("response.function_call_arguments.delta", { delta: six })],
    ["the input of an item", event("response.custom_tool_call_input.delta", { delta: six })],
    ["code", event("response.code_interpreter_call_code.delta", { delta: six })],
    ["a delta of tomorrow", event("response.tomorrow.delta", { delta: six })]
  ])("counts %s in a stream", (_, one) => {
    assert.isUndefined(run(most, [one]).refused)
    assert.strictEqual(run(most, [one, one]).refused?.constraint?.includes("max_characters"), true)
  })

  it("counts no names, and what is told twice once", () => {
    const filtered = { content_filter_results: { hate: { filtered: false, severity: "a long severity" } } }
    const both = (content: string, all: string) => chunk({ delta: { content }, message: { content: all }, ...filtered })
    assert.isUndefined(run(most, [both("12345", "12345"), both("67890", "1234567890")]).refused)
    const details = chunk({
      delta: { reasoning_details: [{ type: "reasoning.text", text: "12345", format: "a long format" }] }
    })
    assert.isUndefined(run(most, [details, details]).refused)
  })

  it.each<[string, object]>([
    ["two texts of a message", { choices: [{ message: { content: six, reasoning_content: six } }] }],
    [
      "a text and a tool",
      { choices: [{ message: { content: six, tool_calls: [{ function: { name: "x", arguments: six } }] } }] }
    ],
    ["reasoning details", { choices: [{ message: { reasoning_details: [{ text: six }, { summary: six }] } }] }],
    [
      "a summary and a text",
      {
        output: [
          { type: "reasoning", summary: [{ text: six }] },
          { type: "message", content: [{ text: six }] }
        ]
      }
    ],
    [
      "the arguments of items",
      {
        output: [
          { type: "function_call", name: "x", arguments: six },
          { type: "custom_tool_call", input: six }
        ]
      }
    ]
  ])("counts %s of a plain answer", (_, answer) => {
    assert.isDefined(judged(most, answer).refused)
    assert.isUndefined(judged({ max_characters: 12 }, answer).refused)
  })
})

describe("the end of a choice", () => {
  const letters = [..."a secret"]
  it.each<[string, (content: string, i: number) => Chunk]>([
    ["an empty finish_reason", (content) => chunk({ delta: { content }, finish_reason: "" })],
    ["false", (content) => chunk({ delta: { content }, finish_reason: false })],
    [
      "stop in every chunk but the first",
      (content, i) => chunk({ delta: { content }, finish_reason: i === 0 ? null : "stop" })
    ],
    ["stop in every chunk", (content) => chunk({ delta: { content }, finish_reason: "stop" })]
  ])("is not %s", (_, piece) => {
    const { free, refused } = run(denied, letters.map(piece))
    assert.strictEqual(refused?.code, "output_denied")
    const text = free.flatMap(({ choices = [] }) => choices.map(({ delta }) => delta?.["content"] ?? "")).join("")
    assert.isTrue("a s".startsWith(text), text)
    const other = run(denied, [..."a secretary"].slice(0, 7).map(piece))
    assert.isUndefined(other.refused)
    assert.strictEqual(
      other.free.flatMap(({ choices = [] }) => choices.map(({ delta }) => delta?.["content"] ?? "")).join(""),
      "a secre"
    )
  })

  it("is not usage in mid-stream", () => {
    const usage = { ...chunk({}), choices: [], usage: { prompt_tokens: 1, completion_tokens: 1 } }
    const { free, refused } = run(
      denied,
      letters.flatMap((content) => [said({ content }), usage])
    )
    assert.isDefined(refused)
    const text = free.flatMap(({ choices = [] }) => choices.map(({ delta }) => delta?.["content"] ?? "")).join("")
    assert.strictEqual(text, "a ")
    const all = [said({ content: "a sec" }), usage, said({ content: "ond" }), usage]
    const allowed = run(denied, all)
    assert.strictEqual(allowed.free.filter((one) => one === usage).length, 2)
    assert.strictEqual(allowed.free.at(-1), usage)
  })

  it("of an item is told once", () => {
    const delta = (text: string) => event("response.output_text.delta", { delta: text })
    const done = event("response.content_part.done", {})
    const { free, refused } = run(
      denied,
      letters.flatMap((letter) => [delta(letter), done])
    )
    assert.isDefined(refused)
    assert.notInclude(free.map((one) => one["delta"] ?? "").join(""), "se")
  })

  it("is each item's own where two are told in turn", () => {
    const delta = (index: number, text: string) =>
      event("response.output_text.delta", { output_index: index, delta: text })
    assert.isDefined(run(denied, [delta(0, "a sec"), delta(1, "other"), delta(0, "ret")]).refused)
    const pieces = [delta(0, "a sec"), delta(1, "other s"), delta(0, "tor"), delta(1, "un")]
    const { free } = run(denied, pieces)
    for (const index of [0, 1])
      assert.strictEqual(
        free
          .filter((one) => one["output_index"] === index)
          .map((one) => one["delta"])
          .join(""),
        ["a sector", "other sun"][index]
      )
  })
})
