import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { TestClock } from "effect/testing"
import { Call } from "../../src/call/Call.ts"
import type { IntentPolicy } from "../../src/call/Lineage.ts"
import type { JsonObject } from "../../src/base/Json.ts"
import type { Principal } from "../../src/call/Principal.ts"
import { decide } from "../../src/policy/Evaluate.ts"
import type { Document } from "../../src/policy/Mapl.ts"
import { makeFind } from "../../src/policy/Participants.ts"
import { Policy } from "../../src/policy/Policy.ts"
import { load } from "../../src/policy/PolicySource.ts"
import { Models } from "../../src/rewriting/Models.ts"
import { Rewriting } from "../../src/rewriting/Rewriting.ts"
import suite from "./cases.json" with { type: "json" }
import { oracle } from "./oracle.ts"
import { principal, signed } from "./states.ts"

interface Case {
  readonly id: string
  readonly policies: string
  readonly caller: Partial<Pick<Principal, "attestations" | "documents" | "groups" | "roles">> & {
    readonly kind: Principal["kind"]
    readonly name?: string
  }
  readonly service: string
  readonly operation: string
  readonly params: JsonObject
  readonly intent?: IntentPolicy
  readonly intents?: ReadonlyArray<IntentPolicy>
  readonly at?: string
  readonly expect: { readonly verdict: string; readonly edits?: JsonObject; readonly codes?: ReadonlyArray<string> }
}

const cases = suite.cases as unknown as ReadonlyArray<Case>
const policies = suite.policies as unknown as Readonly<Record<string, ReadonlyArray<Document>>>

const callerOf = ({ caller: { kind, name, ...facts }, service }: Case): Principal =>
  principal(kind, kind === "app" ? service : (name ?? ""), facts)

const now = ({ at }: Case): number => Date.parse(at ?? "2026-01-10T12:00:00Z")

/** What became of a case, in the form of its expectation. */
const run = Effect.fnUntraced(function* (one: Case) {
  const prefix = `tool:${one.service}/`
  const resource = /[:/]/.test(one.operation) ? one.operation : prefix + one.operation
  if (!resource.startsWith(prefix)) {
    // A resource of another kind than a tool of the service is judged, but no call can name it.
    const set = Result.getOrThrow(load(policies[one.policies]!))
    const rules = makeFind(set)({ principal: callerOf(one), app: one.service, intents: [] }).rules(resource)
    const decision = decide(rules, { params: one.params, principal: callerOf(one), now: now(one) }, set.revision)
    return { verdict: decision.verdict, codes: decision.violations.map(({ code }) => code) }
  }
  yield* TestClock.setTime(now(one))
  const policy = yield* Policy
  const rewriting = yield* Rewriting
  const call = Call.make(resource.slice(prefix.length), one.params, {
    app: one.service,
    intents: one.intents ?? (one.intent === undefined ? [] : [one.intent])
  })
  return yield* policy.evaluate(signed(call, callerOf(one))).pipe(
    Effect.flatMap(rewriting.apply),
    Effect.map((prepared) => ({
      verdict: "allow",
      edits: Object.fromEntries(prepared.edits.map(({ path, to }) => [path, to])),
      bytes: prepared.bytes,
      params: prepared.params
    })),
    Effect.catch((error) =>
      "decision" in error
        ? Effect.succeed({
            verdict: error.decision.verdict,
            codes: error.decision.violations.map(({ code }) => code)
          })
        : Effect.die(error)
    )
  )
})

describe("conformance", () => {
  for (const one of cases)
    it.effect(one.id, () =>
      Effect.gen(function* () {
        const result = yield* run(one)
        assert.strictEqual(result.verdict, one.expect.verdict, JSON.stringify(result))
        if ("edits" in result) {
          assert.deepStrictEqual(result.edits, one.expect.edits)
          assert.strictEqual(result.bytes, JSON.stringify({ ...one.params, ...one.expect.edits }))
        } else assert.sameMembers([...new Set(result.codes)], [...(one.expect.codes ?? [])], JSON.stringify(result))
      }).pipe(
        Effect.provide(
          Layer.merge(
            Policy.layer({ policies: policies[one.policies] }),
            Rewriting.layer.pipe(Layer.provide(Models.layer))
          )
        )
      )
    )

  for (const one of suite.load_errors)
    it(`refuses to load: ${one.id}`, () => {
      const loaded = load(one.policies as unknown as ReadonlyArray<Document>)
      assert.isTrue(Result.isFailure(loaded))
    })
})

describe("conformance of the naive evaluator", () => {
  for (const one of cases)
    it(`${one.id}`, () => {
      const outcome = oracle(policies[one.policies], {
        resource: /[:/]/.test(one.operation) ? one.operation : `tool:${one.service}/${one.operation}`,
        app: one.service,
        params: one.params,
        principal: callerOf(one),
        intents: one.intents ?? (one.intent === undefined ? [] : [one.intent]),
        now: now(one)
      })
      const { cap, changes, codes, model, verdict } = outcome
      assert.strictEqual(verdict, one.expect.verdict)
      assert.sameMembers([...codes], [...(one.expect.codes ?? [])])
      const edits = Object.entries(one.expect.edits ?? {})
      assert.lengthOf(edits, changes.length + (cap === undefined ? 0 : 1) + (model === undefined ? 0 : 1))
      for (const { path, to } of changes) assert.include(to, one.expect.edits?.[path])
      if (cap !== undefined) assert.include(Object.values(one.expect.edits ?? {}), cap)
      if (model !== undefined) assert.include(model.literals, one.expect.edits?.["model"])
    })
})
