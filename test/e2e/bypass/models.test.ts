/** A list of models means a model: a body that leaves the choice to somebody else is refused, or its answer is judged. */
import { describe, expect, it } from "vitest"
import { through } from "./Face.ts"
import { PolicyDeniedError, SecureOpenAI } from "../../../src/index.ts"
import { arrives, asked, attempt, type Case, kinds, messages, refused, type RequestCase, useLab } from "./lab.ts"

const lab = useLab()

const { model: _, ...nameless } = asked
const post = (path: string, body: object): RequestCase => ({ path, body })
const chat = (body: object): RequestCase => ({ body })
const response = (body: object): RequestCase => post("/responses", { max_output_tokens: 9, ...body })

/** Members by which gateways choose. */
const choosers: ReadonlyArray<readonly [string, unknown]> = [
  ["models", ["gpt-5-pro"]],
  ["models", []],
  ["fallbacks", [{ "gpt-4o-mini": ["gpt-5-pro"] }]],
  ["fallbacks", "gpt-5-pro"],
  ["api_base", "https://elsewhere.test/v1"],
  ["route", "fallback"],
  ["provider", { order: ["elsewhere"] }],
  ["provider", false]
]

describe.each(["alice", "bob"])("a list of models, for %s", (user) => {
  const none: ReadonlyArray<Case> = [
    ["no model", chat(nameless), refused("required")],
    ["a null model", chat({ ...nameless, model: null }), refused("required")],
    ["no model of a response", response({ input: "x" }), refused("required")],
    ["a stored prompt alone", (c) => c.responses.create({ prompt: { id: "pmpt_1" } }), refused("required")],
    [
      "a stored prompt and an input",
      response({ prompt: { id: "pmpt_1", version: "2" }, input: "x", model: null }),
      refused("required")
    ],
    [
      "a stored prompt beside an allowed model, which goes before the prompt's",
      response({ prompt: { id: "pmpt_1" }, model: "gpt-4o-mini" }),
      arrives({ max_output_tokens: 9, prompt: { id: "pmpt_1" }, model: "gpt-4o-mini" })
    ],
    ["no model of a compaction", post("/responses/compact", { input: "x" }), refused("required")],
    ...choosers.flatMap(([name, value]): ReadonlyArray<Case> => [
      [`${name} ${JSON.stringify(value)}`, chat({ ...asked, [name]: value }), refused("value_not_allowed")],
      [
        `${name} ${JSON.stringify(value)} of a response`,
        response({ model: "gpt-4o-mini", input: "x", [name]: value }),
        refused("value_not_allowed")
      ]
    ]),
    ["provider null, which is none", chat({ ...asked, provider: null }), arrives({ ...asked, provider: null })]
  ]
  it.each(none)("%s", (_name, tried, expectation) =>
    through(tried, async (send) => {
      const l = lab()
      expectation(await attempt(l, await l.as(user), send))
    })
  )
})

it.each<Case>([
  ["a text completion", post("/completions", { prompt: "x", max_tokens: 5 }), refused("required")],
  ["an embedding", post("/embeddings", { input: "x" }), refused("required")],
  [
    "an embedding with fallbacks",
    post("/embeddings", { model: "text-embedding-3-small", input: "x", fallbacks: ["y"] }),
    refused("value_not_allowed")
  ]
])("holds for every operation: %s", (_name, tried, expectation) =>
  through(tried, async (send) => {
    const l = lab()
    expectation(await attempt(l, await l.as("alice"), send))
  })
)

it.each<Case>([
  ["no model", chat(nameless), refused("required")],
  ["models", chat({ ...asked, models: ["o1"] }), refused("value_not_allowed")],
  ["what is on it", chat(asked), arrives(asked)]
])("counts in an intent policy too: %s", (_name, tried, expectation) =>
  through(tried, async (send) => {
    const l = lab([{ policy_id: "app:lab", resources: ["tool:lab/**"] }])
    const intentPolicy = { constraints: { parameters: { "tool:**": { model: ["gpt-4o-mini"] } } } }
    expectation(await attempt(l, l.make(SecureOpenAI, { intentPolicy }), send))
  })
)

it("is not asked where nobody lists models", () => {
  const body = { ...nameless, provider: { order: ["x"] } }
  return through({ body }, async (send) => {
    const l = lab([
      { policy_id: "app:lab", resources: ["tool:lab/**"] },
      {
        policy_id: "user:dan",
        resources: ["tool:lab/**"],
        constraints: { denied_parameters: { "tool:lab/generate": { model: ["gpt-5*"] } } }
      }
    ])
    arrives(body)(await attempt(l, await l.as("dan"), send))
  })
})

// ---------------------------------------------------------------------------------------------------------------------
// Opting out
// ---------------------------------------------------------------------------------------------------------------------

const listing = (models: ReadonlyArray<string>, more: object = {}, spec: object = { required: false }) => ({
  constraints: { parameters: { "tool:lab/**": { model: { allowed_values: models, ...spec }, ...more } } }
})
const open = { models: { allowed_values: ["gpt-4o", "gpt-4o-mini"] }, provider: {} }
const free = [
  { policy_id: "app:lab", resources: ["tool:lab/**"] },
  { policy_id: "user:finn", resources: ["tool:lab/**"], ...listing(["gpt-4o-mini", "gpt-4o"], open) },
  // What fay's own document frees, her team's list does not.
  { policy_id: "user:fay", extends: "team:strict", resources: ["tool:lab/**"], ...listing(["gpt-4o-mini"], open) },
  { policy_id: "team:strict", ...listing(["gpt-4o-mini", "o1"], {}, {}) },
  {
    policy_id: "user:flo",
    extends: "team:loose",
    resources: ["tool:lab/**"],
    ...listing(["gpt-4o-mini"], { provider: {} })
  },
  { policy_id: "team:loose", ...listing(["gpt-4o-mini", "o1"], { provider: { type: "object" } }) }
]

describe("a document that says so", () => {
  const rows: ReadonlyArray<readonly [user: string, ...Case]> = [
    ["finn", "frees the absence of a model", chat({ messages, models: null }), arrives({ messages, models: null })],
    [
      "finn",
      "frees a member",
      chat({ ...asked, provider: { order: ["x"] } }),
      arrives({ ...asked, provider: { order: ["x"] } })
    ],
    ["finn", "bounds what it frees", chat({ ...asked, models: ["o1"] }), refused("value_not_allowed")],
    ["finn", "frees no other member", chat({ ...asked, route: "fallback" }), refused("value_not_allowed")],
    ["fay", "frees nothing from another one's list: no model", chat(nameless), refused("required")],
    ["fay", "nor a member", chat({ ...asked, provider: {} }), refused("value_not_allowed")],
    ["flo", "frees where every document with a list says so", chat(nameless), arrives(nameless)],
    ["flo", "and a member too", chat({ ...asked, provider: {} }), arrives({ ...asked, provider: {} })],
    ["flo", "within what each of them asks of it", chat({ ...asked, provider: "x" }), refused("wrong_type")]
  ]
  it.each(rows)("of %s %s", (user, _name, tried, expectation) =>
    through(tried, async (send) => {
      const l = lab(free)
      l.provider.behave({ json: answerOf("gpt-4o-mini") })
      expectation(await attempt(l, await l.as(user), send))
    })
  )
})

const answerOf = (model: string | undefined) => ({
  id: "c",
  object: "chat.completion",
  created: 1,
  ...(model !== undefined && { model }),
  choices: [{ index: 0, message: { role: "assistant", content: "hello" }, finish_reason: "stop" }]
})
const responseOf = (model: string | undefined) => ({
  id: "resp_1",
  object: "response",
  status: "completed",
  ...(model !== undefined && { model }),
  output: [{ type: "message", role: "assistant", content: [{ type: "output_text", text: "hello" }] }]
})
const chunk = (model: string | undefined, content: string) => ({
  id: "c",
  object: "chat.completion.chunk",
  created: 1,
  ...(model !== undefined && { model }),
  choices: [{ index: 0, delta: { content }, finish_reason: null }]
})
const prelude = { id: "", object: "", created: 0, model: "", choices: [], prompt_filter_results: [] }
const end = (model: string) => ({
  ...chunk(model, ""),
  choices: [{ index: 0, delta: {}, finish_reason: "stop" }]
})

describe("the model that answers where the request left the choice to others", () => {
  it.each([
    ["on the list", "gpt-4o", true],
    ["a dated snapshot of one that is", "gpt-4o-2024-08-06", true],
    ["off the list", "gpt-5-pro", false],
    ["one that only begins like one that is", "gpt-4o-audio-preview", false],
    ["not named", undefined, false],
    ["without a name", "", false]
  ])("%s", async (_name, model, passes) => {
    for (const [tried, json] of [
      [chat({ messages, max_tokens: 5 }), answerOf(model)],
      [chat({ ...asked, provider: { order: ["x"] } }), answerOf(model)],
      [response({ prompt: { id: "pmpt_1" } }), responseOf(model)]
    ] as const)
      await through(tried, async (send) => {
        const l = lab(free)
        l.provider.behave({ json })
        const seen = await attempt(l, await l.as("finn"), send)
        expect(seen.hits).toHaveLength(1)
        if (passes) {
          expect(seen.error).toBeUndefined()
          expect(seen.value).toMatchObject({ id: json.id })
        } else {
          expect(seen.error).toMatchObject({ code: "policy_denied" })
          const refusals = kinds(seen, "outcome")
          expect(refusals.map((record) => record["result"])).toEqual(["refused"])
          expect(JSON.stringify(refusals)).toContain("output_denied")
        }
      })
  })

  it.each([
    ["on the list", [chunk("gpt-4o", "a"), chunk("gpt-4o", "b"), end("gpt-4o")], "ab", false],
    ["named after a first chunk without text", [prelude, chunk("gpt-4o-mini", "a"), end("gpt-4o-mini")], "a", false],
    ["named after the first text", [chunk(undefined, "a"), chunk("gpt-4o", "b"), end("gpt-4o")], "ab", false],
    ["off the list", [chunk("gpt-5-pro", "a"), end("gpt-5-pro")], "", true],
    ["off the list, named after the first text", [chunk(undefined, "a"), chunk("o1", "b"), end("o1")], "", true],
    ["never named", [chunk(undefined, "a"), chunk(undefined, "b")], "", true],
    ["never named, in a long stream", Array.from({ length: 40 }, () => chunk(undefined, "a")), "", true],
    ["another one in the midst", [chunk("gpt-4o", "a"), chunk("gpt-5-pro", "b"), end("gpt-4o")], "a", true]
  ])("of a stream, %s", async (_name, events, text, ends) => {
    const l = lab(free)
    l.provider.behave({ events })
    const finn = await l.as("finn")
    let read = ""
    const error: unknown = await (async () => {
      const stream = await finn.chat.completions.create({ model: null as never, messages, stream: true })
      for await (const { choices } of stream) read += choices[0]?.delta.content ?? ""
    })().catch((thrown: unknown) => thrown)
    expect(read).toBe(text)
    if (ends) expect(error).toBeInstanceOf(PolicyDeniedError)
    else expect(error).toBeUndefined()
  })

  it("is not asked of a request that names its model", () =>
    through(chat(asked), async (send) => {
      const l = lab(free)
      l.provider.behave({ json: answerOf("whatever") })
      arrives(asked)(await attempt(l, await l.as("finn"), send))
    }))
})
