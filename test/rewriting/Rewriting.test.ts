import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { Call } from "../../src/call/Call.ts"
import { Decided } from "../../src/call/States.ts"
import type { Judge, Permit } from "../../src/call/Judge.ts"
import type { JsonObject } from "../../src/base/Json.ts"
import type { Remedy } from "../../src/call/Decision.ts"
import { app } from "../../src/call/Principal.ts"
import type { Spec } from "../../src/policy/mapl/Bounds.ts"
import { Policy } from "../../src/policy/Policy.ts"
import { type CatalogueRow, Models } from "../../src/rewriting/Models.ts"
import { plan } from "../../src/rewriting/Rewrite.ts"
import { Rewriting } from "../../src/rewriting/Rewriting.ts"
import { allowAll } from "../audit/calls.ts"
import { signed, user } from "../policy/states.ts"

const rewriting = Rewriting.layer.pipe(Layer.provide(Models.layer))

/** What one document for the service says of a call. */
const decidedBy = Effect.fnUntraced(
  function* (_specs: Readonly<Record<string, Spec>>, call: Call) {
    const policy = yield* Policy
    return yield* policy.evaluate(signed(call, app("my-app")))
  },
  (effect, specs) =>
    Effect.provide(
      effect,
      Policy.layer({
        policies: { policy_id: "app:my-app", resources: ["**"], constraints: { parameters: { "tool:**": specs } } }
      })
    )
)

/** What becomes of a call under one document for the service. */
const under = Effect.fnUntraced(function* (specs: Readonly<Record<string, Spec>>, call: Call) {
  const stage = yield* Rewriting
  return yield* stage.apply(yield* decidedBy(specs, call))
}, Effect.provide(rewriting))

const chat = (params: object) =>
  Call.generate({ messages: [{ role: "user", content: "Hi" }], ...params }, { app: "my-app" })

const edits = (specs: Readonly<Record<string, Spec>>, call: Call) =>
  Effect.map(under(specs, call), (prepared) => Object.fromEntries(prepared.edits.map(({ path, to }) => [path, to])))

const refusal = (specs: Readonly<Record<string, Spec>>, call: Call) =>
  Effect.map(Effect.flip(under(specs, call)), (error) =>
    error._tag === "PolicyDenied"
      ? { stage: error.stage, codes: error.decision.violations.map(({ code }) => code), decision: error.decision }
      : assert.fail(String(error))
  )

describe("a request without edits", () => {
  it.effect("keeps the caller's own bytes", () =>
    Effect.gen(function* () {
      const bytes = `{ "model":"gpt-4",\n "messages": [], "max_tokens": 1e1 }`
      const call = Call.fromParsed(
        "generate",
        { model: "gpt-4", messages: [], max_tokens: 10 },
        { app: "my-app", bytes }
      )
      const prepared = yield* under({ max_tokens: { max: 10 } }, call)
      assert.strictEqual(prepared.bytes, bytes)
      assert.strictEqual(prepared.params, call.params)
      assert.deepStrictEqual(prepared.edits, [])
    })
  )
})

describe("a request with edits", () => {
  it.effect("keeps its keys in order, and the caller's params stay as they are", () =>
    Effect.gen(function* () {
      const call = Call.generate(
        { max_tokens: 90, z: 1, model: "o1", a: { c: 1, b: 2 }, messages: [] },
        { app: "my-app" }
      )
      const before = JSON.stringify(call.params)
      const prepared = yield* under({ model: ["gpt-4"], max_tokens: { max: 10 } }, call)
      assert.strictEqual(prepared.bytes, `{"max_tokens":10,"z":1,"model":"gpt-4","a":{"c":1,"b":2},"messages":[]}`)
      assert.strictEqual(JSON.stringify(call.params), before)
      assert.deepStrictEqual(prepared.edits, [
        { path: "model", from: "o1", to: "gpt-4", policy: "app:my-app" },
        { path: "max_tokens", from: 90, to: 10, policy: "app:my-app" }
      ])
    })
  )

  it.effect("keeps everything else byte for byte", () =>
    Effect.gen(function* () {
      const before = JSON.stringify({
        "7": "numbers come first",
        logit_bias: { "198": 1, "50256": -100, "1e3": 0.1 },
        tools: [
          { type: "function", function: { name: "f", parameters: { properties: { z: {}, "1": {}, a: {} } } } },
          { type: "function", function: { strict: true, name: "g" } }
        ],
        messages: [{ role: "user", content: '\u2028 \u{1f600} \\ " / </script>' }],
        model: "o1",
        metadata: { empty: {}, none: null, list: [] }
      })
      const call = Call.fromParsed("generate", JSON.parse(before) as JsonObject, { app: "my-app", bytes: before })
      const specs = {
        model: ["gpt-4"],
        max_tokens: { max: 10 },
        "tools[].function.name": { allowed_values: ["f"], on_violation: "rewrite" as const }
      }
      const { bytes, edits } = yield* under(specs, call)
      assert.deepStrictEqual(
        edits.map(({ path }) => path),
        ["model", "tools[1].function.name", "max_tokens"]
      )
      assert.strictEqual(
        bytes,
        before.replace('"o1"', '"gpt-4"').replace('"name":"g"', '"name":"f"').slice(0, -1) + ',"max_tokens":10}'
      )
    })
  )

  it.effect("is edited inside objects and arrays", () =>
    Effect.gen(function* () {
      const call = Call.tool("order", { items: [{ count: 1 }, { count: 9 }], to: { fee: 5 } }, { app: "my-app" })
      const prepared = yield* under({ "items[].count": { max: 3 }, "to.fee": { max: 2 } }, call)
      assert.strictEqual(prepared.bytes, `{"items":[{"count":1},{"count":3}],"to":{"fee":2}}`)
      assert.deepStrictEqual(
        prepared.edits.map(({ path }) => path),
        ["items[1].count", "to.fee"]
      )
    })
  )

  it.effect("takes the first allowed literal where a list says rewrite", () =>
    Effect.gen(function* () {
      const specs = { effort: { allowed_values: ["x*", "low", "medium"], on_violation: "rewrite" as const } }
      assert.deepStrictEqual(yield* edits(specs, chat({ model: "gpt-4", effort: "high" })), { effort: "low" })
    })
  )
})

const responses = (params: object) =>
  Call.generate(params, { app: "my-app", endpoint: "POST https://api.openai.com/v1/responses" })

describe("a model that is not allowed", () => {
  const becomes = (model: string, spec: Spec, extra: object = {}) => edits({ model: spec }, chat({ model, ...extra }))
  const image = { type: "image_url", image_url: { url: "data:," } }

  it.effect("gives way to the best allowed one at or below it", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* becomes("o1", ["gpt-3.5-turbo", "gpt-4", "gpt-4o-mini"]), { model: "gpt-4" })
      assert.deepStrictEqual(yield* becomes("gpt-4-0613", ["gpt-3.5-turbo", "gpt-4"]), { model: "gpt-4" })
      assert.deepStrictEqual(yield* becomes("gpt-4o-2024-08-06", ["chatgpt-4o-latest", "gpt-4o"]), { model: "gpt-4o" })
      assert.deepStrictEqual(yield* becomes("ft:gpt-4o:acme::1", ["gpt-5", "gpt-4o"]), { model: "gpt-4o" })
    })
  )

  it.effect("gives way to the constraint's own choice first", () =>
    Effect.gen(function* () {
      const allowed_values = ["gpt-3.5-turbo", "gpt-4", "llama-3"]
      const own = (downgrade: Record<string, string>) => becomes("gpt-4o", { allowed_values, downgrade })
      assert.deepStrictEqual(yield* own({ "gpt-4o": "gpt-3.5-turbo", "*": "gpt-4" }), { model: "gpt-3.5-turbo" })
      assert.deepStrictEqual(yield* own({ o1: "gpt-4", "*": "llama-3" }), { model: "llama-3" })
      assert.deepStrictEqual(yield* own({ "*": "gpt-4o-mini" }), { model: "gpt-4" }, "what is not allowed is no choice")
      assert.deepStrictEqual(yield* own({ constructor: "llama-3" }), { model: "gpt-4" })
      assert.deepStrictEqual(yield* becomes("constructor", { allowed_values, downgrade: { "*": "gpt-4" } }), {
        model: "gpt-4"
      })
      assert.deepStrictEqual(
        yield* becomes("constructor", { allowed_values, downgrade: { "gpt-4o": "gpt-4" } }),
        { model: "gpt-3.5-turbo" },
        "a table has its own entries only"
      )
    })
  )

  it.effect("takes no choice of the constraint's own that is a glob, of another kind, or cannot serve", () =>
    Effect.gen(function* () {
      const own = (to: string, extra: object = {}) =>
        becomes(
          "gpt-4o",
          {
            allowed_values: ["gpt-4", "gpt-4o-mini", "o1-mini", "text-embedding-3-small", "x*"],
            downgrade: { "*": to }
          },
          extra
        )
      assert.deepStrictEqual(yield* own("o1-mini"), { model: "o1-mini" })
      assert.deepStrictEqual(yield* own("x*"), { model: "gpt-4" })
      assert.deepStrictEqual(yield* own("text-embedding-3-small"), { model: "gpt-4" })
      assert.deepStrictEqual(yield* own("gpt-4", { messages: [{ role: "user", content: [image] }] }), {
        model: "gpt-4o-mini"
      })
      assert.deepStrictEqual(yield* own("o1-mini", { functions: [{ name: "f" }] }), { model: "gpt-4" })
    })
  )

  it.effect("is a dated snapshot where its alias is allowed, unless a glob says so", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* becomes("gpt-4-0613", ["gpt-4"]), { model: "gpt-4" })
      assert.deepStrictEqual(yield* becomes("gpt-4", ["gpt-4-0613"]), { model: "gpt-4-0613" })
      assert.deepStrictEqual(yield* becomes("gpt-4-0613", ["gpt-4*"]), {})
    })
  )

  it.effect("gives way to a fine-tuned one as to any other", () =>
    Effect.gen(function* () {
      const tuned = "ft:gpt-4o-mini-2024-07-18:acme::id"
      assert.deepStrictEqual(yield* becomes("gpt-4o", ["gpt-3.5-turbo", tuned]), { model: tuned })
      assert.deepStrictEqual(yield* becomes(tuned, ["gpt-3.5-turbo", "gpt-4o"]), { model: "gpt-3.5-turbo" })
      assert.deepStrictEqual((yield* refusal({ model: [tuned] }, chat({ model: "gpt-3.5-turbo" }))).codes, [
        "value_not_allowed"
      ])
    })
  )

  it.effect("gives way to one of its own provider only", () => {
    const maker = (provider: string, family: string, rank: number): CatalogueRow => ({
      provider,
      modality: "chat",
      tools: true,
      images: true,
      endpoints: { "/chat/completions": ["max_tokens"] },
      models: [{ family, rank }]
    })
    const models = Models.layerOf([maker("one", "one-2", 2), maker("one", "one-1", 1), maker("two", "two-1", 1)])
    return Effect.gen(function* () {
      const decided = yield* decidedBy({ model: ["two-1", "one-1"] }, chat({ model: "one-2" }))
      const stage = yield* Rewriting
      const { params } = yield* stage.apply(decided)
      assert.strictEqual(params["model"], "one-1")
    }).pipe(Effect.provide(Rewriting.layer.pipe(Layer.provide(models))))
  })

  it.effect("that nobody knows gives way to the first one allowed", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* becomes("mistral-9", ["gpt-3.5-turbo", "gpt-4"]), { model: "gpt-3.5-turbo" })
      assert.deepStrictEqual(yield* becomes("mistral-9", ["text-embedding-3-small", "gpt-4"]), { model: "gpt-4" })
      assert.deepStrictEqual(yield* becomes("mistral-9", ["gpt-*", "llama-3", "gpt-4"]), { model: "llama-3" })
      assert.deepStrictEqual((yield* refusal({ model: ["gpt-*"] }, chat({ model: "mistral-9" }))).codes, [
        "value_not_allowed"
      ])
      const images = { messages: [{ role: "user", content: [image] }] }
      assert.deepStrictEqual(yield* becomes("mistral-9", ["gpt-4", "gpt-4o"], images), { model: "gpt-4o" })
    })
  )

  it.effect("that nobody knows gives way to the first one of the most specific list", () => {
    const list = (policy_id: string, model: ReadonlyArray<string>) => ({
      policy_id,
      resources: ["**"],
      constraints: { parameters: { "tool:**": { model } } }
    })
    return Effect.gen(function* () {
      const policy = yield* Policy
      const stage = yield* Rewriting
      const decided = yield* policy.evaluate(signed(chat({ model: "mistral-9" }), user("ana")))
      assert.strictEqual((yield* stage.apply(decided)).params["model"], "gpt-4o")
    }).pipe(
      Effect.provide(
        Layer.merge(
          rewriting,
          Policy.layer({
            policies: [
              list("app:my-app", ["gpt-4", "gpt-4o-mini", "gpt-4o"]),
              list("user:ana", ["o1", "gpt-4o", "gpt-4o-mini", "gpt-4"])
            ]
          })
        )
      )
    )
  })

  it.effect("never gives way to a glob, a better one, or one of another kind", () =>
    Effect.gen(function* () {
      for (const allowed of [
        ["gpt-3.5*"],
        ["gpt-5"],
        ["text-embedding-3-small"],
        ["gpt-3.5-turbo-instruct"],
        ["llama-3"]
      ]) {
        const { codes } = yield* refusal({ model: allowed }, chat({ model: "gpt-4" }))
        assert.deepStrictEqual(codes, ["value_not_allowed"], String(allowed))
      }
      const { decision, stage } = yield* refusal({ model: ["gpt-5"] }, chat({ model: "gpt-4" }))
      assert.strictEqual(stage, "rewriting")
      assert.deepInclude(decision, { verdict: "deny", remedies: [], edits: [] })
      assert.strictEqual(decision.violations[0]?.hint, "ask for one of gpt-5")
    })
  )

  it.effect("gives way only to one that can serve the request", () =>
    Effect.gen(function* () {
      const images = { messages: [{ role: "user", content: [image] }] }
      const tools = { tools: [{ type: "function", function: { name: "f" } }] }
      assert.deepStrictEqual(yield* becomes("o1", ["gpt-4", "gpt-4o-mini"], images), { model: "gpt-4o-mini" })
      assert.deepStrictEqual(yield* becomes("o1", ["o1-mini", "gpt-4o-mini"], tools), { model: "gpt-4o-mini" })
      assert.deepStrictEqual(yield* becomes("o1", ["o1-mini"], { tools: [], functions: [] }), { model: "o1-mini" })
      assert.deepStrictEqual(
        yield* becomes("o1", ["gpt-4"], { messages: [{ role: "user", content: '{"type":"image_url"}' }] }),
        { model: "gpt-4" },
        "text that speaks of an image is text"
      )
    })
  )

  it.effect.each<[string, ReadonlyArray<string>, Call]>([
    ["an image", ["gpt-4"], chat({ model: "o1", messages: [{ role: "user", content: [image] }] })],
    [
      "an image in a later message and part",
      ["gpt-4"],
      chat({
        model: "o1",
        messages: [
          { role: "system", content: "s" },
          { role: "tool", tool_call_id: "t", content: [{ type: "text", text: "t" }, image] }
        ]
      })
    ],
    [
      "an image in the input of a response",
      ["gpt-4"],
      responses({
        model: "o1",
        input: [{ role: "user", content: [{ type: "input_image", image_url: "data:," }] }]
      })
    ],
    [
      "an image that a function gave back",
      ["gpt-4"],
      responses({
        model: "o1",
        input: [{ type: "function_call_output", call_id: "c", output: [{ type: "input_image", file_id: "f" }] }]
      })
    ],
    [
      "a screenshot",
      ["gpt-4"],
      responses({
        model: "o1",
        input: [{ type: "computer_call_output", call_id: "c", output: { type: "computer_screenshot", file_id: "f" } }]
      })
    ],
    [
      "an image in the variables of a stored prompt",
      ["gpt-4"],
      responses({ model: "o1", prompt: { id: "p", variables: { picture: { type: "input_image", file_id: "f" } } } })
    ],
    ["a function", ["o1-mini"], chat({ model: "o1", functions: [{ name: "f" }] })],
    ["a tool", ["o1-mini"], chat({ model: "o1", tools: [{ type: "function", function: { name: "f" } }] })],
    ["a hosted tool", ["o1-mini"], responses({ model: "o1", input: "Hi", tools: [{ type: "web_search" }] })],
    [
      "a tool that the input adds",
      ["o1-mini"],
      responses({
        model: "o1",
        input: [{ type: "additional_tools", role: "developer", tools: [{ type: "web_search" }] }]
      })
    ]
  ])("with %s is refused where no allowed one takes it", ([, model, call]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* refusal({ model }, call)).codes, ["value_not_allowed"])
    })
  )

  it.effect("gives way only to one that is served where the call goes", () =>
    Effect.gen(function* () {
      const model = ["o3-pro", "gpt-4o"]
      assert.deepStrictEqual(yield* edits({ model }, chat({ model: "gpt-5.5-pro" })), { model: "gpt-4o" })
      assert.deepStrictEqual(yield* edits({ model }, responses({ model: "gpt-5.5-pro", input: "Hi" })), {
        model: "o3-pro"
      })
    })
  )

  it.effect("of embeddings gives way to one of embeddings", () =>
    Effect.gen(function* () {
      const embed = Call.embed({ model: "text-embedding-3-large", input: "x" }, { app: "my-app" })
      const specs = { model: ["gpt-4", "text-embedding-ada-002", "text-embedding-3-small"], max_tokens: { max: 5 } }
      assert.deepStrictEqual(yield* edits(specs, embed), { model: "text-embedding-3-small" })
    })
  )
})

describe("a cap", () => {
  const max_tokens = { max: 100 }

  it.effect("is injected in the spelling that model and endpoint take", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* edits({ max_tokens }, chat({ model: "gpt-4" })), { max_tokens: 100 })
      assert.deepStrictEqual(yield* edits({ max_tokens }, chat({ model: "llama-3" })), { max_tokens: 100 })
      assert.deepStrictEqual(yield* edits({ max_tokens }, chat({ model: "o3-mini" })), { max_completion_tokens: 100 })
      assert.deepStrictEqual(yield* edits({ max_tokens, model: ["o1"] }, chat({ model: "gpt-5" })), {
        model: "o1",
        max_completion_tokens: 100
      })
      const complete = Call.complete({ model: "gpt-3.5-turbo-instruct", prompt: "x" }, { app: "my-app" })
      assert.deepStrictEqual(yield* edits({ max_output_tokens: max_tokens }, complete), { max_tokens: 100 })
    })
  )

  it.effect("is spelled as the endpoint spells it: the Responses API takes max_output_tokens of every model", () =>
    Effect.gen(function* () {
      for (const model of ["gpt-4", "o1", "o1-pro", "llama-3"]) {
        const asked = (more: object) => edits({ max_tokens }, responses({ model, input: "Hi", ...more }))
        assert.deepStrictEqual(yield* asked({}), { max_output_tokens: 100 }, model)
        assert.deepStrictEqual(yield* asked({ max_output_tokens: 101 }), { max_output_tokens: 100 }, model)
        assert.deepStrictEqual(yield* asked({ max_output_tokens: 99 }), {}, model)
        assert.deepStrictEqual(yield* asked({ max_tokens: 7 }), { max_tokens: null, max_output_tokens: 7 }, model)
        assert.deepStrictEqual(
          yield* asked({ max_completion_tokens: 900 }),
          { max_completion_tokens: null, max_output_tokens: 100 },
          model
        )
      }
    })
  )

  it.effect("is spelled as the model that takes another's place takes it, though policy asks for no cap", () =>
    Effect.gen(function* () {
      const prepared = yield* under({ model: ["o1-mini"] }, chat({ max_tokens: 7, model: "gpt-4o" }))
      assert.deepStrictEqual(prepared.edits, [
        { path: "model", from: "gpt-4o", to: "o1-mini", policy: "app:my-app" },
        { path: "max_tokens", from: 7, to: null, policy: "app:my-app" },
        { path: "max_completion_tokens", to: 7, policy: "app:my-app" }
      ])
      assert.strictEqual(
        prepared.bytes,
        `{"messages":[{"role":"user","content":"Hi"}],"max_completion_tokens":7,"model":"o1-mini"}`
      )
    })
  )

  it.effect("is understood by an older model in both spellings, and kept in the one that was given", () =>
    Effect.gen(function* () {
      for (const model of ["gpt-4", "llama-3"])
        assert.deepStrictEqual(yield* edits({ max_tokens }, chat({ model, max_completion_tokens: 900 })), {
          max_completion_tokens: 100
        })
    })
  )

  it.effect("is the one of the target's own, where the target takes only the older spelling", () => {
    const older: CatalogueRow = {
      provider: "acme",
      modality: "chat",
      tools: true,
      images: true,
      endpoints: { "/chat/completions": ["max_tokens"] },
      models: [{ family: "acme-1", rank: 1 }]
    }
    return Effect.gen(function* () {
      const stage = yield* Rewriting
      const call = chat({ model: "acme-1", max_completion_tokens: 900 })
      const { edits } = yield* stage.apply(yield* decidedBy({ max_tokens }, call))
      assert.deepStrictEqual(
        edits.map(({ path, to }) => [path, to]),
        [
          ["max_completion_tokens", null],
          ["max_tokens", 100]
        ]
      )
    }).pipe(Effect.provide(Rewriting.layer.pipe(Layer.provide(Models.layerOf([...Models.openai, older])))))
  })

  it.effect("that a model does not take at all is refused, not forgotten", () => {
    const capless: CatalogueRow = {
      provider: "acme",
      modality: "chat",
      tools: true,
      images: true,
      endpoints: { "/chat/completions": [] },
      models: [{ family: "acme-1", rank: 1 }]
    }
    return Effect.gen(function* () {
      const stage = yield* Rewriting
      const decided = yield* decidedBy({ max_tokens }, chat({ model: "acme-1" }))
      const { decision } = yield* Effect.flip(stage.apply(decided))
      assert.deepStrictEqual(
        decision.violations.map(({ code }) => code),
        ["above_maximum"]
      )
    }).pipe(Effect.provide(Rewriting.layer.pipe(Layer.provide(Models.layerOf([capless])))))
  })

  it.effect("is the top of a range", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* edits({ max_tokens: { range: [1, 100] } }, chat({ model: "gpt-4" })), {
        max_tokens: 100
      })
      assert.deepStrictEqual(yield* edits({ max_tokens: { min: 1 } }, chat({ model: "gpt-4" })), {})
    })
  )

  it.effect("is injected where the request says null, and under on_violation deny", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* edits({ max_tokens }, chat({ model: "gpt-4", max_tokens: null })), {
        max_tokens: 100
      })
      const strict = { max_tokens: { max: 100, on_violation: "deny" as const } }
      assert.deepStrictEqual(yield* edits(strict, chat({ model: "gpt-4" })), { max_tokens: 100 })
    })
  )

  it.effect("is not injected into tools and embeddings", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* edits({ max_tokens }, Call.tool("pay", {}, { app: "my-app" })), {})
      assert.deepStrictEqual(
        yield* edits({ max_tokens }, Call.embed({ model: "text-embedding-3-small", input: "x" }, { app: "my-app" })),
        {}
      )
    })
  )

  it.effect("is respelled where the model or endpoint would not understand it, in its place", () =>
    Effect.gen(function* () {
      const prepared = yield* under({ max_tokens }, chat({ max_tokens: 500, model: "o1" }))
      assert.strictEqual(
        prepared.bytes,
        `{"messages":[{"role":"user","content":"Hi"}],"max_completion_tokens":100,"model":"o1"}`
      )
      assert.deepStrictEqual(prepared.edits, [
        { path: "max_tokens", from: 500, to: null, policy: "app:my-app" },
        { path: "max_completion_tokens", to: 100, policy: "app:my-app" }
      ])
      assert.deepStrictEqual(yield* edits({ max_tokens }, chat({ model: "gpt-4", max_output_tokens: 7 })), {
        max_output_tokens: null,
        max_tokens: 7
      })
      const complete = { model: "babbage-002", prompt: "x", max_completion_tokens: 9, max_output_tokens: 7 }
      const several = yield* under({ max_tokens }, Call.complete(complete, { app: "my-app" }))
      assert.strictEqual(several.bytes, `{"model":"babbage-002","prompt":"x","max_tokens":7}`)
      const withNull = { max_tokens: 7, model: "o1", max_completion_tokens: null, messages: [] }
      assert.strictEqual(
        (yield* under({ max_tokens }, Call.generate(withNull, { app: "my-app" }))).bytes,
        `{"max_completion_tokens":7,"model":"o1","messages":[]}`
      )
      assert.deepStrictEqual(yield* edits({}, chat({ model: "o1", max_tokens: 7 })), {}, "where policy needs none")
      assert.deepStrictEqual(
        yield* edits({ max_tokens }, chat({ model: "o1", max_tokens: 7, max_completion_tokens: 9 })),
        {},
        "where one is understood"
      )
    })
  )

  it.effect("holds for every spelling at once", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* edits({ max_tokens }, chat({ model: "gpt-4", max_tokens: 500, max_completion_tokens: 900 })),
        { max_tokens: 100, max_completion_tokens: 100 }
      )
    })
  )

  it.effect("is never raised", () =>
    Effect.gen(function* () {
      const specs = { max_tokens: { min: 50, max: 100 } }
      for (const asked of [1, 10, 49, 20.5])
        assert.deepStrictEqual((yield* refusal(specs, chat({ model: "gpt-4", max_tokens: asked }))).codes, [
          "below_minimum"
        ])
    })
  )

  it.effect("that some server reads as none becomes the maximum, or is refused", () =>
    Effect.gen(function* () {
      for (const [asked, code] of [
        [0, "below_minimum"],
        [-1, "below_minimum"],
        [0.5, "below_minimum"],
        [-0, "below_minimum"],
        [20.5, "wrong_type"]
      ] as const)
        for (const spelling of ["max_tokens", "max_completion_tokens"]) {
          const call = chat({ model: "gpt-4", [spelling]: asked })
          assert.deepStrictEqual(yield* edits({ max_tokens }, call), { [spelling]: 100 })
          // A minimum alone refuses it, and one bound more must not let it pass.
          const bounded = { max_tokens: { range: [50, 100] as [number, number] } }
          assert.include((yield* refusal(bounded, call)).codes, "below_minimum")
          const denying = { max_tokens: { ...max_tokens, on_violation: "deny" as const } }
          assert.deepStrictEqual((yield* refusal(denying, call)).codes, [code])
          // Without a maximum nothing is known of it.
          assert.deepStrictEqual(yield* edits({ n: { max: 5 } }, call), {})
        }
    })
  )

  it.effect("and a count are not raised by a list either", () =>
    Effect.gen(function* () {
      const rewritten = (values: ReadonlyArray<number>) => ({
        allowed_values: values,
        on_violation: "rewrite" as const
      })
      const asked = { model: "gpt-4", max_tokens: 50, n: 1 }
      const { codes, decision, stage } = yield* refusal({ max_tokens: rewritten([100]) }, chat(asked))
      assert.deepStrictEqual([stage, codes], ["rewriting", ["value_not_allowed"]])
      assert.strictEqual(decision.violations[0]?.hint, "ask for 100: no edit asks for more than the caller did")
      assert.deepStrictEqual((yield* refusal({ n: { min: 3 } }, chat(asked))).codes, ["below_minimum"])
      assert.deepStrictEqual((yield* refusal({ best_of: { min: 3 } }, chat({ ...asked, best_of: 2 }))).codes, [
        "below_minimum"
      ])
      assert.deepStrictEqual(yield* edits({ n: rewritten([1]) }, chat({ ...asked, n: 3 })), { n: 1 })
      assert.deepStrictEqual(yield* edits({ temperature: { min: 1 } }, chat({ ...asked, temperature: 0 })), {
        temperature: 1
      })
      assert.deepStrictEqual(
        yield* edits({ n: { min: 3 } }, Call.tool("roll", { n: 1 }, { app: "my-app" })),
        { n: 3 },
        "a tool's n is no count of answers"
      )
    })
  )

  it.effect("is a whole number", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* edits({ max_tokens: { max: 10.5 } }, chat({ model: "gpt-4" })), { max_tokens: 10 })
      assert.deepStrictEqual(yield* edits({ max_tokens: { max: 10.5 } }, chat({ model: "gpt-4", max_tokens: 11 })), {
        max_tokens: 10
      })
    })
  )

  it.effect("is multiplied by n and best_of, within total_tokens", () =>
    Effect.gen(function* () {
      const specs = { max_tokens: { max: 400 }, total_tokens: { max: 1000 } }
      const asked = (extra: object) => edits(specs, chat({ model: "gpt-4", ...extra }))
      assert.deepStrictEqual(yield* asked({ max_tokens: 300, n: 3 }), {})
      assert.deepStrictEqual(yield* asked({ max_tokens: 400, n: 3 }), { max_tokens: 333 })
      assert.deepStrictEqual(yield* asked({ n: 4 }), { max_tokens: 250 })
      assert.deepStrictEqual(yield* asked({ max_tokens: 900, n: 2, best_of: 5 }), { max_tokens: 200 })
      assert.deepStrictEqual(yield* asked({}), { max_tokens: 400 })
      assert.deepStrictEqual(yield* edits({ total_tokens: { max: 50 } }, chat({ model: "gpt-4" })), { max_tokens: 50 })
      assert.deepStrictEqual((yield* refusal(specs, chat({ model: "gpt-4", n: 2000 }))).codes, ["above_maximum"])
      assert.deepStrictEqual((yield* refusal(specs, chat({ model: "gpt-4", n: "3" }))).codes, ["wrong_type"])
      const strict = { total_tokens: { max: 100, on_violation: "deny" as const } }
      assert.deepStrictEqual((yield* refusal(strict, chat({ model: "gpt-4", n: 2, max_tokens: 60 }))).codes, [
        "above_maximum"
      ])
    })
  )
})

describe("a downgrade makes a call that the new model takes", () => {
  it.effect.each<[string, string, object, object]>([
    [
      "gpt-4o",
      "o4-mini",
      { temperature: 0.2, top_p: 0.9, presence_penalty: 1, frequency_penalty: 1 },
      { temperature: null, top_p: null, presence_penalty: null, frequency_penalty: null }
    ],
    ["gpt-4o", "gpt-4o-mini", { temperature: 0.2, top_p: 0.9, logprobs: true, stop: "x" }, {}],
    [
      "gpt-5",
      "gpt-4o-mini",
      { reasoning_effort: "low", verbosity: "low" },
      { reasoning_effort: null, verbosity: null }
    ],
    ["gpt-5", "gpt-4o-mini", { reasoning: { effort: "low", summary: "auto" } }, { reasoning: null }],
    ["gpt-5", "gpt-5-chat-latest", { reasoning_effort: "low", temperature: 0.5 }, { reasoning_effort: null }],
    ["gpt-5", "gpt-5-mini", { reasoning_effort: "minimal", verbosity: "low" }, {}],
    ["gpt-5", "o3", { reasoning_effort: "minimal", verbosity: "low" }, { reasoning_effort: null, verbosity: null }],
    ["gpt-5", "o3", { reasoning_effort: "high" }, {}],
    ["gpt-5.2", "gpt-5.1", { reasoning_effort: "xhigh" }, { reasoning_effort: null }],
    ["gpt-5.2", "gpt-5.1", { reasoning_effort: "none" }, {}],
    ["gpt-5.2", "gpt-5", { reasoning_effort: "none" }, { reasoning_effort: null }],
    ["gpt-5.2", "gpt-5.1-chat-latest", { verbosity: "low", reasoning_effort: "medium" }, { verbosity: null }],
    ["gpt-5", "o3", { reasoning_effort: null, temperature: null, stop: null }, {}],
    // A number is clamped only where it is sent.
    ["gpt-4o", "o4-mini", { temperature: 2 }, { temperature: null }],
    ["gpt-4o", "gpt-4o-mini", { temperature: 2 }, { temperature: 1 }],
    // A model of a known line is like the others of its line.
    ["gpt-4o", "gpt-6.9-nova", { temperature: 1 }, {}]
  ])("%s to %s with %j", ([asked, target, params, changes]) =>
    Effect.gen(function* () {
      const specs: Readonly<Record<string, Spec>> = { model: [target], temperature: { max: 1 } }
      if (target === "gpt-6.9-nova") {
        // It has no rank, so only a model that is not known either may become it.
        const call = chat({ model: "gpt-4o", ...params })
        assert.deepStrictEqual((yield* refusal(specs, call)).codes, ["value_not_allowed"])
        const unknown = yield* edits(specs, chat({ model: "llama-3", ...params }))
        assert.deepStrictEqual(unknown, { model: target, temperature: null })
        return
      }
      const call = chat({ model: asked, ...params })
      const { bytes, edits: made, params: sent } = yield* under(specs, call)
      assert.deepStrictEqual(Object.fromEntries(made.map(({ path, to }) => [path, to])), { model: target, ...changes })
      const gone = Object.entries(changes).flatMap(([path, to]) => (to === null ? [path] : []))
      for (const path of gone) assert.notProperty(sent, path)
      assert.deepStrictEqual(JSON.parse(bytes), sent)
      for (const { from, path, policy } of made) {
        assert.strictEqual(policy, "app:my-app")
        assert.deepStrictEqual(from, call.params[path])
      }
    })
  )

  it.effect("leaves out one setting of an object, and keeps the rest of it", () =>
    Effect.gen(function* () {
      const text = { verbosity: "low", format: { type: "json_object" } }
      const call = responses({ model: "gpt-5", input: "x", text, reasoning: { effort: "minimal", summary: "auto" } })
      const { edits, params } = yield* under({ model: ["o3"] }, call)
      assert.deepStrictEqual(
        edits.map(({ from, path, to }) => [path, from, to]),
        [
          ["model", "gpt-5", "o3"],
          ["reasoning.effort", "minimal", null],
          ["text.verbosity", "low", null]
        ]
      )
      assert.deepStrictEqual(params, {
        model: "o3",
        input: "x",
        text: { format: { type: "json_object" } },
        reasoning: { summary: "auto" }
      })
    })
  )

  it.effect.each<[string, string, object]>([
    ["gpt-4o", "o4-mini", { logprobs: true }],
    ["gpt-4o", "o4-mini", { top_logprobs: 2 }],
    ["gpt-4o", "o4-mini", { logit_bias: { 50256: -100 } }],
    ["gpt-4o", "o4-mini", { stop: ["\n"] }],
    ["gpt-4o", "o4-mini", { prediction: { type: "content", content: "x" } }],
    ["gpt-4o", "o4-mini", { parallel_tool_calls: false }],
    ["gpt-4o", "o4-mini", { n: 2 }],
    ["gpt-4o", "o4-mini", { n: 0 }],
    ["gpt-4o", "gpt-4-turbo", { response_format: { type: "json_schema", json_schema: {} } }],
    ["gpt-4o", "gpt-4o-2024-05-13", { response_format: { type: "json_schema", json_schema: {} } }],
    ["gpt-4", "gpt-3.5-turbo-0301", { response_format: { type: "json_object" } }],
    ["gpt-4o", "o4-mini", { include: ["message.output_text.logprobs"], input: "x" }],
    ["gpt-5", "gpt-4o-mini", { service_tier: "flex" }],
    ["gpt-5", "o3-mini", { service_tier: "flex" }],
    ["gpt-5", "gpt-4o-mini", { prompt_cache_retention: "24h" }],
    ["gpt-5", "gpt-5-mini", { prompt_cache_retention: "24h" }],
    ["gpt-5", "openai/gpt-4o-mini", { prompt_cache_retention: "24h" }],
    ["gpt-5", "gpt-4-turbo", { prompt_cache_retention: "in_memory" }],
    ["gpt-5", "gpt-4o-mini", { input: [{ type: "reasoning", id: "rs_1", summary: [] }] }],
    ["gpt-5", "o3", { input: [{ type: "configuration_update", reasoning: { effort: "minimal" } }] }],
    ["gpt-5", "gpt-4o-mini", { input: [{ type: "configuration_update", reasoning: { effort: "low" } }] }]
  ])("is refused from %s to %s with %j, and takes the next model on the list", ([asked, target, params]) =>
    Effect.gen(function* () {
      const call = "input" in params ? responses({ model: asked, ...params }) : chat({ model: asked, ...params })
      const error = yield* refusal({ model: [target] }, call)
      assert.deepStrictEqual(error.codes, ["value_not_allowed"])
      assert.include(error.decision.violations[0]!.message, `${target} does not take `)
      // A model that takes it follows, though it ranks lower; one that was asked for is left alone.
      if (asked === "gpt-5") return
      const next = asked === "gpt-4" ? "gpt-3.5-turbo" : "gpt-4.1-mini"
      assert.deepStrictEqual(yield* edits({ model: [target, next] }, call), { model: next })
    })
  )

  it.effect.each<[string, string, ReadonlyArray<object>]>([
    ["gpt-5", "gpt-4o", [{ type: "custom", name: "sql" }]],
    ["gpt-5", "gpt-4o", [{ type: "namespace", name: "n", tools: [{ type: "custom", name: "sql" }] }]],
    ["gpt-5", "gpt-4o", [{ type: "namespace", name: "n", tools: [{ type: "function", name: "f" }] }]],
    ["gpt-5", "gpt-5-mini", [{ type: "apply_patch" }]],
    ["gpt-4o", "gpt-4o-mini", [{ type: "web_search" }]],
    ["gpt-4o", "gpt-4o-mini", [{ type: "function", name: "f" }, { type: "computer" }]],
    ["gpt-4o", "gpt-4-turbo", [{ type: "file_search", vector_store_ids: [] }]],
    ["gpt-4o", "gpt-4o-mini", [{ type: "unheard_of" }]]
  ])("is refused from %s to %s with a tool that it is not known to take: %j", ([asked, target, tools]) =>
    Effect.gen(function* () {
      for (const params of [
        { input: "x", tools },
        { input: [{ type: "additional_tools", role: "developer", tools }] }
      ]) {
        const error = yield* refusal({ model: [target] }, responses({ model: asked, ...params }))
        assert.deepStrictEqual(error.codes, ["value_not_allowed"])
        assert.match(error.decision.violations[0]!.message, new RegExp(`${target} does not take .*tools\\[`, "u"))
      }
      assert.deepStrictEqual(yield* edits({ model: [asked] }, responses({ model: asked, input: "x", tools })), {})
    })
  )

  it.effect.each<[string, string, object]>([
    ["gpt-4o", "o4-mini", { n: 1 }],
    ["gpt-4o", "gpt-4o-mini", { n: 3 }],
    ["gpt-5", "gpt-5-mini", { service_tier: "flex" }],
    ["gpt-5", "o4-mini", { service_tier: "flex" }],
    ["gpt-5", "gpt-4o-mini", { service_tier: "priority", prompt_cache_retention: "in_memory" }],
    ["gpt-5", "gpt-4.1", { prompt_cache_retention: "24h" }],
    ["gpt-5", "gpt-4o", { input: "x", tools: [{ type: "function", name: "f" }] }],
    ["gpt-5", "gpt-4o", { input: "x", tools: [{ type: "mcp", server_label: "s" }, { type: "code_interpreter" }] }]
  ])("is made from %s to %s with %j, which it takes", ([asked, target, params]) =>
    Effect.gen(function* () {
      const call = "input" in params ? responses({ model: asked, ...params }) : chat({ model: asked, ...params })
      assert.deepStrictEqual(yield* edits({ model: [target] }, call), { model: target })
    })
  )

  it.effect("keeps every setting where the model stays", () =>
    Effect.gen(function* () {
      const odd = { model: "o3", temperature: 1, logprobs: true, verbosity: "low", max_tokens: 90 }
      assert.deepStrictEqual(yield* edits({ model: ["o3"] }, chat(odd)), {})
      assert.deepStrictEqual(yield* edits({ model: ["o3"], n: { max: 1 } }, chat({ ...odd, n: 2 })), { n: 1 })
    })
  )

  it.effect("takes no model that lacks a setting which policy needs", () =>
    Effect.gen(function* () {
      const call = chat({ model: "gpt-4.5-preview", temperature: 0.5 })
      const needed = { temperature: { required: true } }
      assert.deepStrictEqual((yield* refusal({ model: ["o4-mini"], ...needed }, call)).codes, ["value_not_allowed"])
      assert.deepStrictEqual(yield* edits({ model: ["o4-mini", "gpt-4o-mini"], ...needed }, call), {
        model: "gpt-4o-mini"
      })
      assert.deepStrictEqual(yield* edits({ model: ["o4-mini", "gpt-4o-mini"] }, call), {
        model: "o4-mini",
        temperature: null
      })
    })
  )

  it.effect("has the cap in the spelling of the new model besides", () =>
    Effect.gen(function* () {
      const call = chat({ model: "gpt-4o", max_tokens: 90, temperature: 0.5 })
      assert.deepStrictEqual(yield* edits({ model: ["o4-mini"] }, call), {
        model: "o4-mini",
        temperature: null,
        max_tokens: null,
        max_completion_tokens: 90
      })
    })
  )
})

describe("a model newer than the catalogue", () => {
  it.effect.each<[string, string]>([
    ["gpt-6.2-astra", "max_completion_tokens"],
    ["gpt-6.2-sol", "max_completion_tokens"],
    ["openai/gpt-6.2-sol", "max_completion_tokens"],
    ["openrouter/openai/gpt-7", "max_completion_tokens"],
    ["openai/gpt-4o", "max_tokens"],
    ["gpt-6.3-foo", "max_completion_tokens"],
    ["gpt-7", "max_completion_tokens"],
    ["gpt-7-chat-latest", "max_completion_tokens"],
    ["o5-mini", "max_completion_tokens"],
    ["ft:gpt-6.3-foo:acme", "max_completion_tokens"],
    ["gpt-4.2", "max_tokens"],
    ["gpt-4o-foo", "max_tokens"],
    ["gpt-35-turbo", "max_tokens"],
    ["llama-3", "max_tokens"],
    ["gpt-oss-120b", "max_tokens"]
  ])("%s is capped by %s", ([model, cap]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* edits({ max_tokens: { max: 50 } }, chat({ model })), { [cap]: 50 })
      const other = cap === "max_tokens" ? undefined : { max_tokens: null, [cap]: 40 }
      assert.deepStrictEqual(yield* edits({ max_tokens: { max: 50 } }, chat({ model, max_tokens: 40 })), other ?? {})
      const asked = responses({ model, input: "x" })
      assert.deepStrictEqual(yield* edits({ max_tokens: { max: 50 } }, asked), { max_output_tokens: 50 })
    })
  )
})

describe("a plan", () => {
  const planned = Effect.fnUntraced(function* (specs: Readonly<Record<string, Spec>>, call: Call) {
    const { decision, judge } = yield* decidedBy(specs, call)
    return plan(call, decision, judge, yield* Models)
  }, Effect.provide(Models.layer))

  it.effect("says what apply would do, and does nothing", () =>
    Effect.gen(function* () {
      const specs = { model: ["o1-mini"], max_tokens: { max: 10 } }
      const call = chat({ model: "o1", max_tokens: 90 })
      const before = JSON.stringify(call.params)
      const { edits, params } = Result.getOrThrow(yield* planned(specs, call))
      const applied = yield* under(specs, call)
      assert.deepStrictEqual(edits, applied.edits)
      assert.strictEqual(JSON.stringify(params), applied.bytes)
      assert.strictEqual(JSON.stringify(call.params), before)
      assert.isAbove(edits.length, 1)
    })
  )

  it.effect("without edits keeps the params as they are", () =>
    Effect.gen(function* () {
      const call = chat({ model: "gpt-4" })
      assert.deepStrictEqual(yield* planned({}, call), Result.succeed({ params: call.params, edits: [] }))
      assert.strictEqual(Result.getOrThrow(yield* planned({}, call)).params, call.params)
    })
  )

  it.effect("fails with what no edit puts right", () =>
    Effect.gen(function* () {
      for (const [specs, call] of [
        [{ model: ["gpt-5"] }, chat({ model: "gpt-4" })],
        [
          { effort: { allowed_values: ["low"], max_length: 2, on_violation: "rewrite" as const } },
          chat({ model: "gpt-4", effort: "xx" })
        ]
      ] as const) {
        const plan = yield* planned(specs, call)
        const { decision } = yield* refusal(specs, call)
        assert.deepStrictEqual(plan, Result.fail(decision.violations))
        assert.isNotEmpty(decision.violations)
      }
    })
  )
})

describe("policies that are only observed", () => {
  const observing = Effect.fnUntraced(function* (specs: Readonly<Record<string, Spec>>, call: Call) {
    const observed = yield* decidedBy(specs, call)
    const { decision, from, judge } = yield* decidedBy({}, call)
    const stage = yield* Rewriting
    return yield* stage.apply(new Decided(from, decision, judge, observed))
  }, Effect.provide(rewriting))

  it.effect("change neither params nor bytes, refuse nothing, and are told with what they would have done", () =>
    Effect.gen(function* () {
      const bytes = `{ "model": "gpt-4", "max_tokens": 1e3, "messages": [] }`
      const call = Call.fromParsed("generate", JSON.parse(bytes) as JsonObject, { app: "my-app", bytes })
      const edited = yield* observing({ max_tokens: { max: 10 } }, call)
      const refused = yield* observing({ model: ["gpt-5"] }, call)
      for (const prepared of [edited, refused]) {
        assert.strictEqual(prepared.bytes, bytes)
        assert.strictEqual(prepared.params, call.params)
        assert.deepStrictEqual(prepared.edits, [])
      }
      assert.deepInclude(edited.observed, {
        verdict: "allow",
        edits: [{ path: "max_tokens", from: 1000, to: 10, policy: "app:my-app" }]
      })
      assert.deepInclude(refused.observed, { verdict: "deny", edits: [] })
      assert.strictEqual(refused.observed?.violations[0]?.code, "value_not_allowed")
    })
  )
})

describe("what was rewritten", () => {
  const decided = (remedies: ReadonlyArray<Remedy>, judge: Judge) => {
    const decision: Permit = {
      verdict: "allow",
      resource: "",
      principal: "",
      policies: [],
      revision: "",
      violations: [],
      remedies,
      edits: [],
      enforced: true
    }
    return new Decided(signed(chat({ model: "gpt-4", max_tokens: 90 }), app("my-app")), decision, judge)
  }
  const violation = { code: "value_denied", message: "no" }

  it.effect("is refused where the same policy would not let it pass", () =>
    Effect.gen(function* () {
      const stage = yield* Rewriting
      const remedy: Remedy = { kind: "set", path: "max_tokens", from: 90, to: 10, policy: "p" }
      const judge: Judge = { ...allowAll, recheck: () => [violation], tool: () => "deny" }
      const error = yield* Effect.flip(stage.apply(decided([remedy], judge)))
      assert.strictEqual(error.stage, "rewriting")
      assert.deepStrictEqual(error.decision.violations, [violation])
    }).pipe(Effect.provide(rewriting))
  )

  it.effect("is refused where an edit breaks another rule of the same document", () =>
    Effect.gen(function* () {
      const specs = {
        effort: { allowed_values: ["low"], max_length: 2, on_violation: "rewrite" as const }
      }
      const { codes, stage } = yield* refusal(specs, chat({ model: "gpt-4", effort: "xx" }))
      assert.deepStrictEqual([stage, codes], ["rewriting", ["length"]])
    })
  )
})
