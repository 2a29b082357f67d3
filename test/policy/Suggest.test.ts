import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Call } from "../../src/call/Call.ts"
import { load } from "../../src/policy/PolicySource.ts"
import { Policy } from "../../src/policy/Policy.ts"
import { type AllowedCall, suggest as suggestFor } from "../../src/policy/Suggest.ts"
import { agent, app } from "../../src/call/Principal.ts"
import { Models } from "../../src/rewriting/Models.ts"
import { Rewriting } from "../../src/rewriting/Rewriting.ts"
import * as Result from "effect/Result"
import { Random } from "./random.ts"
import { user } from "./states.ts"

const suggest = (calls: ReadonlyArray<AllowedCall>, isRegistered = (_: string) => true) =>
  suggestFor(calls, isRegistered)

const rewriting = Rewriting.layer.pipe(Layer.provide(Models.layer))

/** What becomes of calls under policies: their verdicts and edits. */
const outcomes = (calls: ReadonlyArray<AllowedCall>, policies: ReturnType<typeof suggest>) =>
  Effect.gen(function* () {
    const policy = yield* Policy
    const stage = yield* Rewriting
    return yield* Effect.forEach(calls, (asked) => {
      const call = Call.make(asked.resource.slice(`tool:${asked.app}/`.length), asked.params, { app: asked.app })
      return Effect.map(policy.judge(call, asked.principal), ({ decision, judge }) => {
        const { edits, verdict } = stage.foresee(call, decision, judge)
        return { verdict, edits }
      })
    })
  }).pipe(Effect.provide(Layer.merge(Policy.layer({ policies }), rewriting)))

const random = (seed: number): ReadonlyArray<AllowedCall> => {
  const dice = new Random(seed)
  const callers = [user("ana"), user("ben", { documents: ["team:Lab"] }), app("shop"), agent("helper")]
  return Array.from({ length: 1 + Math.floor(dice.next() * 12) }, () => ({
    principal: dice.pick(callers),
    app: "shop",
    resource: dice.pick(["tool:shop/generate", "tool:shop/embed", "tool:shop/complete", "tool:shop/pay"]),
    // A cap in a spelling that the model does not take would be respelled, whatever the policy.
    params: {
      ...(dice.chance(0.8) && { model: dice.pick(["gpt-4o", "gpt-4o-mini", "own-model"]) }),
      ...(dice.chance(0.7) && { max_tokens: Math.floor(dice.next() * 900) + 1 }),
      ...(dice.chance(0.4) && { temperature: dice.pick([0, 0.5, 1.25, 2]) }),
      ...(dice.chance(0.3) && { n: dice.pick([1, 2, 3]) }),
      ...(dice.chance(0.3) && { seed: dice.pick([1, 77]) }),
      ...(dice.chance(0.3) && { amount: dice.pick([10, 99.5]) })
    }
  }))
}

describe("suggested policies", () => {
  it.effect("let through unchanged whatever they were derived from", () =>
    Effect.gen(function* () {
      for (let seed = 0; seed < 300; seed++) {
        const calls = random(seed)
        const policies = suggest(calls)
        assert.isTrue(Result.isSuccess(load(policies)), `seed ${seed}`)
        for (const outcome of yield* outcomes(calls, policies))
          assert.deepStrictEqual(outcome, { verdict: "allow", edits: [] }, `seed ${seed}: ${JSON.stringify(policies)}`)
      }
    })
  )

  const ana = user("ana")
  const asked = (params: AllowedCall["params"], more: Partial<AllowedCall> = {}): AllowedCall => ({
    principal: ana,
    app: "shop",
    resource: "tool:shop/generate",
    params,
    ...more
  })

  it("name the models and the numbers, and no more", () => {
    const calls = [
      asked({ model: "gpt-4o", max_tokens: 100, temperature: 0.5, seed: 7 }),
      asked({ model: "gpt-4o-mini", max_completion_tokens: 900, temperature: 1 })
    ]
    assert.deepStrictEqual(suggest(calls), [
      {
        policy_id: "user:ana",
        resources: ["tool:shop/generate"],
        constraints: {
          parameters: {
            "tool:shop/generate": {
              model: ["gpt-4o", "gpt-4o-mini"],
              max_tokens: { type: "integer", max: 900 },
              temperature: { range: [0.5, 1] }
            }
          }
        }
      }
    ])
  })

  it.effect("refuse or change what was not asked for", () =>
    Effect.gen(function* () {
      const policies = suggest([asked({ model: "gpt-4o-mini", max_tokens: 100 })])
      const [model, cap, tool, other] = yield* outcomes(
        [
          asked({ model: "gpt-4o", max_tokens: 100 }),
          asked({ model: "gpt-4o-mini", max_tokens: 101 }),
          asked({}, { resource: "tool:shop/pay" }),
          asked({ model: "gpt-4o-mini", max_tokens: 1 }, { principal: user("ben") })
        ],
        policies
      )
      assert.strictEqual(model?.edits.length, 1)
      assert.strictEqual(cap?.edits.length, 1)
      assert.strictEqual(tool?.verdict, "deny")
      assert.strictEqual(other?.verdict, "deny")
    })
  )

  it("leave a cap out where a call had none: it would be put in", () => {
    const [document] = suggest([asked({ max_tokens: 100 }), asked({ temperature: 1 })])
    assert.notProperty(document?.constraints?.parameters?.["tool:shop/generate"] ?? {}, "max_tokens")
  })

  it("leave the models open where a call named none", () => {
    const [document] = suggest([asked({ model: "gpt-4o" }), asked({ temperature: 1 })])
    assert.notProperty(document?.constraints?.parameters?.["tool:shop/generate"] ?? {}, "model")
  })

  it("are there for an app only where it called in its own name, and then allow what everybody did", () => {
    const byUser = asked({ max_tokens: 5 })
    assert.deepStrictEqual(
      suggest([byUser]).map(({ policy_id }) => policy_id),
      ["user:ana"]
    )
    const [own] = suggest([
      byUser,
      asked({ max_tokens: 9 }, { principal: app("shop"), resource: "tool:shop/complete" })
    ])
    assert.deepStrictEqual(own?.resources, ["tool:shop/complete", "tool:shop/generate"])
  })

  it("name a family where a user needs it named, and none that passes anyway", () => {
    const family = (name: string, principal: AllowedCall["principal"]) =>
      asked({}, { resource: `api:shop/${name}`, principal })
    const documents = suggest([family("models", ana), family("videos", ana), family("videos", app("shop"))])
    assert.deepStrictEqual(
      documents.map(({ policy_id, resources }) => [policy_id, resources]),
      [
        ["app:shop", ["api:shop/videos"]],
        ["user:ana", ["api:shop/videos"]]
      ]
    )
  })

  it("name what reaches or changes a model in a family that passes otherwise", () => {
    const use = (use: NonNullable<AllowedCall["use"]>) =>
      suggest([asked({}, { resource: "api:shop/fine_tuning", use })])[0]?.resources
    assert.isUndefined(use("passes"))
    assert.deepStrictEqual(use("changes_models"), ["api:shop/fine_tuning"])
    assert.deepStrictEqual(use("reaches_model"), ["api:shop/fine_tuning"])
  })

  it("have no pattern in them, whatever was asked for", () => {
    const names = ["*", "**", "gpt-*", "*o*", "a*b", "gpt-4o"]
    const dice = new Random(1)
    for (let round = 0; round < 200; round++) {
      const calls = Array.from({ length: 6 }, () =>
        asked(
          { model: dice.pick(names), max_tokens: 5 },
          {
            app: dice.pick(["shop", "*"]),
            resource: `${dice.pick(["tool", "api"])}:${dice.pick(["shop", "*"])}/${dice.pick(["generate", "pay", ...names])}`
          }
        )
      )
      for (const { constraints, resources = [] } of suggest(calls)) {
        assert.notInclude(resources.join(), "*")
        assert.notInclude(JSON.stringify(constraints ?? {}), "*")
        assert.isTrue(resources.every((resource) => calls.some((call) => call.resource === resource)))
      }
    }
    assert.deepStrictEqual(suggest([asked({ model: "*" }), asked({}, { resource: "tool:shop/**" })]), [])
  })

  it("leave out a tool that is not registered", () => {
    const calls = ["tool:shop/pay", "tool:shop/invented", "tool:shop/generate"].map((resource) =>
      asked({}, { resource })
    )
    const [document] = suggest(calls, (resource) => resource === "tool:shop/pay")
    assert.deepStrictEqual(document?.resources, ["tool:shop/generate", "tool:shop/pay"])
  })
})
