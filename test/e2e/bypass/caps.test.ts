/** Caps, models and quantities in every spelling: policy names one, and all are bounded. */
import { describe, expect, it } from "vitest"
import { through } from "./Face.ts"
import {
  arrives,
  asked,
  attempt,
  type Case,
  type Expectation,
  messages,
  policies,
  refused,
  type RequestCase,
  useLab
} from "./lab.ts"

const lab = useLab()

const uncapped = { model: "gpt-4o-mini", messages }
const chat = (body: object): RequestCase => ({ body })
const raw = (body: string): RequestCase => ({ body })

describe("a cap on output tokens, for alice", () => {
  const capped = { ...uncapped, max_tokens: 500 }
  const rows: ReadonlyArray<Case> = [
    ["over the cap, as max_tokens", chat({ ...uncapped, max_tokens: 4000 }), arrives(capped)],
    [
      "over the cap, as max_completion_tokens",
      chat({ ...uncapped, max_completion_tokens: 4000 }),
      arrives({ ...uncapped, max_completion_tokens: 500 })
    ],
    ["left out", chat(uncapped), arrives(capped)],
    ["null", chat({ ...uncapped, max_tokens: null }), arrives(capped)],
    ["undefined", chat({ ...uncapped, max_tokens: undefined }), arrives(capped)],
    ["NaN", chat({ ...uncapped, max_tokens: Number.NaN }), arrives(capped)],
    ["Infinity", chat({ ...uncapped, max_tokens: Infinity }), arrives(capped)],
    ["a whisker over", chat({ ...uncapped, max_tokens: 500.0000001 }), arrives(capped)],
    ["as 1e3", raw(JSON.stringify(uncapped).replace("}]}", '}],"max_tokens":1e3}')), arrives(capped)],
    [
      "as 5E+2, which is within",
      raw(`{"model":"gpt-4o-mini","messages":[],"max_tokens":5E+2}`),
      arrives(`{"model":"gpt-4o-mini","messages":[],"max_tokens":5E+2}`)
    ],
    ["enormous", chat({ ...uncapped, max_tokens: 1e300 }), refused("invalid_body")],
    [
      "beyond 2^53",
      raw(`{"model":"gpt-4o-mini","messages":[],"max_tokens":9007199254740993}`),
      refused("invalid_body")
    ],
    [
      "2^53 itself",
      raw(`{"model":"gpt-4o-mini","messages":[],"max_tokens":9007199254740992}`),
      refused("invalid_body")
    ],
    ["beyond a double", raw(`{"model":"gpt-4o-mini","messages":[],"max_tokens":1e999}`), refused("invalid_body")],
    [
      "minus zero",
      raw(`{"model":"gpt-4o-mini","messages":[],"max_tokens":-0}`),
      arrives(`{"model":"gpt-4o-mini","messages":[],"max_tokens":500}`)
    ],
    // Some servers read these as "no limit".
    ...[0, -1, 0.5, 0.999, 1e-9, 1.5, 499.5].map((value): Case => [
      `${value}, which is no positive integer`,
      chat({ ...uncapped, max_tokens: value }),
      arrives(capped)
    ]),
    [
      "0 on the Responses API",
      (c) => c.responses.create({ model: "gpt-4o-mini", input: "x", max_output_tokens: 0 }),
      arrives({ model: "gpt-4o-mini", input: "x", max_output_tokens: 500 })
    ],
    [
      "0 on text completions",
      (c) => c.completions.create({ model: "gpt-3.5-turbo-instruct", prompt: "x", max_tokens: 0, echo: true }),
      arrives({ model: "gpt-3.5-turbo-instruct", prompt: "x", max_tokens: 500, echo: true })
    ],
    [
      "0 as max_completion_tokens, beside one that is within",
      chat({ ...uncapped, max_tokens: 10, max_completion_tokens: 0 }),
      arrives({ ...uncapped, max_tokens: 10, max_completion_tokens: 500 })
    ],
    ["1, which is one", chat({ ...uncapped, max_tokens: 1 }), arrives({ ...uncapped, max_tokens: 1 })],
    ...["4000", "4e3", " 4000", "", "0x10"].map((text): Case => [
      `the text ${JSON.stringify(text)}`,
      chat({ ...uncapped, max_tokens: text }),
      refused("wrong_type")
    ]),
    ...[[4000], [], {}, { value: 4000 }, true, false].map((value): Case => [
      `the ${JSON.stringify(value)}`,
      chat({ ...uncapped, max_tokens: value }),
      refused("wrong_type")
    ]),
    ...[4000, "4000"].map((second): Case => [
      `within as max_tokens, ${JSON.stringify(second)} as max_completion_tokens`,
      chat({ ...uncapped, max_tokens: 10, max_completion_tokens: second }),
      typeof second === "string"
        ? refused("wrong_type")
        : arrives({ ...uncapped, max_tokens: 10, max_completion_tokens: 500 })
    ]),
    [
      "on the Responses API",
      (c) => c.responses.create({ model: "gpt-4o-mini", input: "x", max_output_tokens: 4000 }),
      arrives({ model: "gpt-4o-mini", input: "x", max_output_tokens: 500 })
    ],
    [
      "on the Responses API, left out",
      (c) => c.responses.create({ model: "gpt-4o-mini", input: "x" }),
      arrives({ model: "gpt-4o-mini", input: "x", max_output_tokens: 500 })
    ],
    [
      "on the beta Responses API, left out",
      (c) => c.post("/responses?beta=true", { body: { model: "gpt-4o-mini", input: "x" } }),
      arrives({ model: "gpt-4o-mini", input: "x", max_output_tokens: 500 })
    ],
    [
      "where there is none: compaction",
      (c) => c.post("/responses/compact", { body: { model: "gpt-4o-mini", input: "x" } }),
      refused("above_maximum")
    ],
    [
      "on text completions",
      (c) => c.completions.create({ model: "gpt-3.5-turbo-instruct", prompt: "x", max_tokens: 4000 }),
      arrives({ model: "gpt-3.5-turbo-instruct", prompt: "x", max_tokens: 500 })
    ],
    [
      "on text completions, left out with many prompts",
      (c) => c.completions.create({ model: "gpt-3.5-turbo-instruct", prompt: ["x", "y"], suffix: "z", echo: true }),
      arrives({ model: "gpt-3.5-turbo-instruct", prompt: ["x", "y"], suffix: "z", echo: true, max_tokens: 500 })
    ],
    [
      "with a decoy inside extra_body",
      chat({ ...uncapped, extra_body: { max_tokens: 1 } }),
      arrives({ ...uncapped, extra_body: { max_tokens: 1 }, max_tokens: 500 })
    ],
    ["with a decoy of another case", chat({ ...uncapped, MAX_TOKENS: 1, Max_Tokens: 1 }), refused("invalid_body")]
  ]
  it.each(rows)("%s", (_name, run, expectation) =>
    through(run, async (send) => {
      const l = lab()
      expectation(await attempt(l, await l.as("alice"), send))
    })
  )
})

describe("a cap that some server reads as none, for bob, whose policy refuses", () => {
  it.each([
    [0, "below_minimum"],
    [-1, "below_minimum"],
    [0.5, "below_minimum"],
    [1.5, "wrong_type"]
  ])("%d", (max_tokens, code) =>
    through(chat({ ...uncapped, max_tokens }), async (send) => {
      const l = lab()
      refused(code)(await attempt(l, await l.as("bob"), send))
    })
  )
})

/** Names that look, sound or resolve like another model's. */
const names = [
  "gpt-4o",
  "GPT-4O-MINI",
  "Gpt-4o-mini",
  "gpt-4o-mini ",
  " gpt-4o-mini",
  "gpt-4o-mini\u0000",
  "gpt-4o-mini\n",
  "gpt-4o\u200b-mini",
  "\ufeffgpt-4o-mini",
  "gpt‑4o‑mini",
  "gpt-4о-mini",
  "ｇｐｔ-4o-mini",
  "gpt-4o-mini-2024-07-18",
  "chatgpt-4o-latest",
  "ft:gpt-4o-mini:acme::abc",
  "openai/gpt-4o-mini",
  "openrouter/openai/gpt-4o-mini",
  "gpt-4o-mini/../gpt-5-pro",
  "../../x/gpt-4o?y=",
  "gpt-4o-mini,gpt-5-pro",
  "gpt-4*",
  "*",
  "",
  "gpt-5-pro",
  "__proto__",
  "constructor"
]

describe("a model that only looks like the allowed one", () => {
  it.each(names)("%j is put in the allowed one's place, or refused, and never sent, for alice", (model) =>
    through(chat({ ...asked, model }), async (send) => {
      const l = lab()
      const seen = await attempt(l, await l.as("alice"), send)
      if (seen.error === undefined) arrives(asked)(seen)
      else refused("value_not_allowed")(seen)
    })
  )
  it.each(names)("%j is refused for bob, whose policy does not rewrite", (model) =>
    through(chat({ ...asked, model }), async (send) => {
      const l = lab()
      refused("value_not_allowed")(await attempt(l, await l.as("bob"), send))
    })
  )
  it.each([[["gpt-5-pro"]], [{ id: "gpt-5-pro" }], [4], [true]])("%j, which is no text, is refused", (model) =>
    through(chat({ ...asked, model }), async (send) => {
      const l = lab()
      const seen = await attempt(l, await l.as("alice"), send)
      expect(seen.hits).toEqual([])
      expect(seen.error).toMatchObject({ status: 403, code: "policy_denied" })
      expect(seen.log.map((record) => record.kind)).toEqual(["refused"])
    })
  )
  const models: ReadonlyArray<Case> = [
    [
      "on embeddings",
      (c) => c.embeddings.create({ model: "text-embedding-3-large", input: ["x", "y"], dimensions: 3 }),
      arrives({ model: "text-embedding-3-small", input: ["x", "y"], dimensions: 3, encoding_format: "base64" })
    ],
    [
      "on embeddings of token arrays",
      (c) => c.embeddings.create({ model: "text-embedding-3-large", input: [[1, 2], [3]], encoding_format: "float" }),
      arrives({ model: "text-embedding-3-small", input: [[1, 2], [3]], encoding_format: "float" })
    ],
    [
      "on responses",
      (c) => c.responses.create({ model: "gpt-4o", input: "x", max_output_tokens: 5 }),
      arrives({ model: "gpt-4o-mini", input: "x", max_output_tokens: 5 })
    ],
    [
      "in extra_body, beside an allowed one",
      chat({ ...asked, extra_body: { model: "gpt-5-pro" } }),
      arrives({ ...asked, extra_body: { model: "gpt-5-pro" } })
    ]
  ]
  it.each(models)("%s", (_name, run, expectation) =>
    through(run, async (send) => {
      const l = lab()
      expectation(await attempt(l, await l.as("alice"), send))
    })
  )
})

/** Parameters that cost, tell or store more, with what a policy says to keep them out. */
const kept: ReadonlyArray<[string, unknown]> = [
  ["prediction", { type: "content", content: "x" }],
  ["reasoning_effort", "high"],
  ["verbosity", "high"],
  ["logit_bias", { "50256": 100, "10": -100 }],
  ["logprobs", true],
  ["top_logprobs", 20],
  ["stop", ["x"]],
  ["extra_body", { model: "gpt-5-pro" }],
  ["extra_headers", { authorization: "x" }],
  ["extra_query", { a: 1 }],
  ["service_tier", "priority"],
  ["store", true],
  ["metadata", { a: "b" }],
  ["seed", 7],
  ["user", "bob"],
  ["safety_identifier", "bob"],
  ["prompt_cache_key", "bob"],
  ["web_search_options", {}],
  ["modalities", ["audio"]],
  ["n", 2],
  ["parallel_tool_calls", true],
  ["function_call", { name: "rm" }],
  ["tool_choice", { type: "function", function: { name: "rm" } }],
  ["response_format", { type: "json_object" }],
  ["stream_options", { include_usage: true }],
  ["audio", { voice: "alloy", format: "mp3" }],
  ["prompt", { id: "pmpt_1", version: "2" }],
  ["previous_response_id", "resp_1"],
  ["conversation", "conv_1"],
  ["background", true],
  ["include", ["file_search_call.results"]],
  ["truncation", "auto"]
]

describe("a parameter that policy keeps out, whatever its shape", () => {
  const closed = [
    ...policies,
    {
      policy_id: "user:dora",
      resources: ["tool:lab/**"],
      constraints: {
        denied_parameters: { "tool:lab/generate": Object.fromEntries(kept.map(([name]) => [name, ["*"]])) }
      }
    },
    {
      policy_id: "user:erin",
      resources: ["tool:lab/**"],
      constraints: {
        parameters: {
          "tool:lab/generate": Object.fromEntries(kept.map(([name]) => [name, { allowed_values: ["never"] }]))
        }
      }
    }
  ]
  it.each<[string, unknown]>([...kept])("%s, denied", (name, value) =>
    through(chat({ ...asked, [name]: value }), async (send) => {
      const l = lab(closed)
      refused("value_denied")(await attempt(l, await l.as("dora"), send))
    })
  )
  it.each<[string, unknown]>([...kept])("%s, not on its list", (name, value) =>
    through(chat({ ...asked, [name]: value }), async (send) => {
      const l = lab(closed)
      const seen = await attempt(l, await l.as("erin"), send)
      expect(seen.hits).toEqual([])
      expect(seen.error).toMatchObject({ status: 403, code: "policy_denied" })
      expect(seen.log.map((record) => record.kind)).toEqual(["refused"])
    })
  )
  it("and nothing else is in the way", () =>
    through(chat(asked), async (send) => {
      const l = lab(closed)
      arrives(asked)(await attempt(l, await l.as("dora"), send))
    }))
})

describe("many answers in place of a long one", () => {
  const totals = [
    { policy_id: "app:lab", resources: ["tool:lab/**"] },
    {
      policy_id: "user:alice",
      resources: ["tool:lab/**"],
      constraints: {
        parameters: { "tool:lab/**": { max_tokens: { max: 100 }, total_tokens: { max: 200 }, n: { max: 3 } } }
      }
    }
  ]
  const rows: ReadonlyArray<readonly [string, object, Expectation]> = [
    ["n within the total", { ...asked, n: 2 }, arrives({ ...asked, n: 2 })],
    ["n over its own bound", { ...asked, max_tokens: 10, n: 50 }, arrives({ ...asked, max_tokens: 4, n: 3 })],
    ["n as text", { ...asked, n: "50" }, refused("wrong_type")]
  ]
  it.each(rows)("%s", (_name, body, expectation) =>
    through(chat(body), async (send) => {
      const l = lab(totals)
      expectation(await attempt(l, await l.as("alice"), send))
    })
  )
  it.each([
    ["n times the cap", "/chat/completions", { ...asked, max_tokens: 100, n: 3 }],
    ["n times a cap that is left out", "/chat/completions", { model: "gpt-4o-mini", messages, n: 3 }],
    [
      "best_of times the cap",
      "/completions",
      { model: "gpt-3.5-turbo-instruct", prompt: "x", max_tokens: 100, best_of: 3 }
    ]
  ])("%s never asks for more than the total", (_name, path, body) =>
    through({ path, body }, async (send) => {
      const l = lab(totals)
      const seen = await attempt(l, await l.as("alice"), send)
      for (const { body: sent } of seen.hits)
        expect(Number(sent["max_tokens"]) * Number(sent["n"] ?? sent["best_of"])).toBeLessThanOrEqual(200)
      if (seen.hits.length === 0) expect(seen.error).toMatchObject({ code: "policy_denied" })
      expect(seen.log.map((record) => record.kind)).toEqual(
        seen.hits.length === 0 ? ["refused"] : ["decision", "outcome"]
      )
    })
  )
})
