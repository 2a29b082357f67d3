import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Call } from "../../src/call/Call.ts"
import { app } from "../../src/call/Principal.ts"
import { Policy } from "../../src/policy/Policy.ts"
import { Models } from "../../src/rewriting/Models.ts"
import { Rewriting } from "../../src/rewriting/Rewriting.ts"
import { signed, user } from "./states.ts"

const layer = Layer.merge(
  Policy.layer({ policies: new URL("../../examples/policies", import.meta.url).pathname }),
  Rewriting.layer.pipe(Layer.provide(Models.layer))
)

const alice = user("alice", { documents: ["company:Acme", "team:Support"] })
const bob = user("bob", { documents: ["company:Acme", "team:Finance"] })
const service = { app: "assistant" }

const sent = Effect.fnUntraced(function* (call: Call, by = alice) {
  const policy = yield* Policy
  const rewriting = yield* Rewriting
  return (yield* Effect.flatMap(policy.evaluate(signed(call, by)), rewriting.apply)).params
})

const chat = (model: string, max_tokens: number) => Call.generate({ model, max_tokens, messages: [] }, service)

const refusals = Effect.fnUntraced(function* (call: Call, by = alice) {
  const policy = yield* Policy
  const error = yield* Effect.flip(policy.evaluate(signed(call, by)))
  return error._tag === "EnforcementUnavailable" ? [] : error.decision.violations.map(({ code }) => code)
})

describe("the example policies", () => {
  it.effect("give alice the small model and 500 tokens", () =>
    Effect.gen(function* () {
      assert.deepInclude(yield* sent(chat("gpt-4o", 4000)), { model: "gpt-4o-mini", max_tokens: 500 })
      assert.deepInclude(yield* sent(chat("gpt-4o-mini", 200)), { model: "gpt-4o-mini", max_tokens: 200 })
    }).pipe(Effect.provide(layer))
  )

  it.effect("give bob either model and 2,000 tokens", () =>
    Effect.gen(function* () {
      assert.deepInclude(yield* sent(chat("gpt-4o", 4000), bob), { model: "gpt-4o", max_tokens: 2000 })
      assert.deepInclude(yield* sent(chat("gpt-4.1", 100), bob), { model: "gpt-4o", max_tokens: 100 })
    }).pipe(Effect.provide(layer))
  )

  it.effect("let alice see the weather but move no money", () =>
    Effect.gen(function* () {
      yield* sent(Call.tool("get_weather", { city: "Oslo" }, service))
      const transfer = Call.tool("wire_transfer", { amount: 10, currency: "EUR" }, service)
      assert.deepStrictEqual(yield* refusals(transfer), ["resource_not_allowed"])
      yield* sent(transfer, bob)
    }).pipe(Effect.provide(layer))
  )

  it.effect("ask bob for a security key above 10,000, and never let more than 50,000 go", () =>
    Effect.gen(function* () {
      const transfer = (amount: number) => Call.tool("wire_transfer", { amount, currency: "USD" }, service)
      assert.deepStrictEqual(yield* refusals(transfer(20_000), bob), ["attestation_missing"])
      yield* sent(transfer(20_000), { ...bob, attestations: ["phishing_resistant"] })
      assert.sameMembers([...(yield* refusals(transfer(60_000), bob))], ["above_maximum", "attestation_missing"])
    }).pipe(Effect.provide(layer))
  )

  it.effect("let the assistant call in its own name", () =>
    Effect.gen(function* () {
      assert.deepInclude(yield* sent(chat("gpt-4o", 9000), app("assistant")), { model: "gpt-4o", max_tokens: 4000 })
    }).pipe(Effect.provide(layer))
  )

  it.effect("refuse whom they do not know", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* refusals(chat("gpt-4o", 10), user("mallory")), ["no_policy"])
    }).pipe(Effect.provide(layer))
  )
})
