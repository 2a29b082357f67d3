import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Call, Decided, type Judge, type Permit } from "../../src/Call.ts"
import type { Remedy } from "../../src/Decision.ts"
import { app } from "../../src/Principal.ts"
import type { Spec } from "../../src/policy/Mapl.ts"
import { Policy } from "../../src/policy/Policy.ts"
import { Models } from "../../src/rewriting/Models.ts"
import { Rewriting } from "../../src/rewriting/Rewriting.ts"
import { signed } from "../policy/states.ts"

const rewriting = Rewriting.layer.pipe(Layer.provide(Models.layer))

/** What becomes of a call under one document for the service. */
const under = Effect.fnUntraced(
  function* (_specs: Readonly<Record<string, Spec>>, call: Call) {
    const policy = yield* Policy
    const stage = yield* Rewriting
    return yield* Effect.flatMap(policy.evaluate(signed(call, app("my-app"))), stage.apply)
  },
  (effect, specs) =>
    Effect.provide(
      effect,
      Layer.merge(
        rewriting,
        Policy.layer({
          policies: { policy_id: "app:my-app", resources: ["**"], constraints: { parameters: { "tool:**": specs } } }
        })
      )
    )
)

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

describe("a model that is not allowed", () => {
  const becomes = (model: string, spec: Spec, extra: object = {}) => edits({ model: spec }, chat({ model, ...extra }))

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
    })
  )

  it.effect("that nobody knows gives way to the first one allowed", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* becomes("mistral-9", ["gpt-3.5-turbo", "gpt-4"]), { model: "gpt-3.5-turbo" })
      assert.deepStrictEqual(yield* becomes("mistral-9", ["text-embedding-3-small", "gpt-4"]), { model: "gpt-4" })
    })
  )

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
      const image = {
        messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:," } }] }]
      }
      const tools = { tools: [{ type: "function", function: { name: "f" } }] }
      assert.deepStrictEqual(yield* becomes("o1", ["gpt-4", "gpt-4o-mini"], image), { model: "gpt-4o-mini" })
      assert.deepStrictEqual((yield* refusal({ model: ["gpt-4"] }, chat({ model: "o1", ...image }))).codes, [
        "value_not_allowed"
      ])
      assert.deepStrictEqual((yield* refusal({ model: ["o1-mini"] }, chat({ model: "o1", ...tools }))).codes, [
        "value_not_allowed"
      ])
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

  it.effect("is never raised, and never negative", () =>
    Effect.gen(function* () {
      const specs = { max_tokens: { min: 50, max: 100 } }
      assert.deepStrictEqual((yield* refusal(specs, chat({ model: "gpt-4", max_tokens: 10 }))).codes, ["below_minimum"])
      assert.deepStrictEqual((yield* refusal({ max_tokens }, chat({ model: "gpt-4", max_tokens: -1 }))).codes, [
        "below_minimum"
      ])
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
      const judge: Judge = { recheck: () => [violation], tool: () => "deny", bounded: [], count: Effect.void }
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
