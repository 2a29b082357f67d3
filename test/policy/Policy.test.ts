import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { Call } from "../../src/call/Call.ts"
import type { PassThrough } from "../../src/call/PassThrough.ts"
import type { JsonObject } from "../../src/base/Json.ts"
import { agent, app } from "../../src/call/Principal.ts"
import { Quota } from "../../src/audit/Quota.ts"
import { Policy } from "../../src/policy/Policy.ts"
import { empty } from "../../src/policy/PolicySet.ts"
import type { PolicySource } from "../../src/policy/PolicySource.ts"
import { generate, signed, user, withIntent } from "./states.ts"

const using =
  (policies?: PolicySource) =>
  <A, E>(effect: Effect.Effect<A, E, Policy>) =>
    Effect.provide(effect, Policy.layer({ policies }))

/** Decides on a call and claims what it spends, by the clock that the test sets. */
const evaluate = (...input: Parameters<typeof generate>) =>
  Effect.gen(function* () {
    const policy = yield* Policy
    const decided = yield* policy.evaluate(generate(...input))
    const quota = quotas.get(policy) ?? new Quota()
    quotas.set(policy, quota)
    const { judge } = decided
    const claimed = quota.reserve(judge.wants, yield* Clock.currentTimeMillis)
    return "settle" in claimed ? decided : yield* judge.refuse(claimed)
  })

/** What was claimed of each policy. */
const quotas = new WeakMap<Policy["Service"], Quota>()

const refused = (...input: Parameters<typeof generate>) =>
  Effect.map(Effect.flip(evaluate(...input)), (error) =>
    error._tag === "EnforcementUnavailable" ? assert.fail(error.message) : error
  )

const codes = (...input: Parameters<typeof generate>) =>
  Effect.map(refused(...input), ({ decision }) => decision.violations.map(({ code }) => code))

const open = { policy_id: "user:ana", resources: ["**"] }
const gpt4 = { model: "gpt-4", max_tokens: 10 }

describe("without policies", () => {
  it.effect("a service allows its own tools for everybody", () =>
    Effect.gen(function* () {
      for (const caller of [app("my-app"), user("ana"), agent("helper")]) {
        const { decision } = yield* evaluate(gpt4, caller)
        assert.deepInclude(decision, { verdict: "allow", policies: ["app:my-app"], remedies: [], enforced: true })
      }
    }).pipe(using())
  )

  it.effect("intents still restrict, and grant nothing", () =>
    Effect.gen(function* () {
      const narrow = { constraints: { parameters: { "tool:*/generate": { max_tokens: { max: 5 } } } } }
      const { decision } = yield* evaluate(gpt4, app("my-app"), withIntent(narrow))
      assert.strictEqual(decision.remedies[0]?.kind, "set")
      const other = { resources: ["tool:other/**"] }
      assert.deepStrictEqual(yield* codes(gpt4, app("my-app"), withIntent(other)), ["resource_not_allowed"])
    }).pipe(using())
  )

  it.effect("an intent with a key that restricts nothing where it stands is refused", () =>
    Effect.gen(function* () {
      const options = withIntent({ constraints: {}, rate_limit: 1 })
      const [violation] = (yield* refused(gpt4, app("my-app"), options)).decision.violations
      assert.strictEqual(violation?.code, "policy_error")
      assert.match(violation?.message ?? "", /unknown key "rate_limit"; it belongs under "constraints"/)
    }).pipe(using())
  )

  it.effect("the revision is that of the empty set", () =>
    Effect.gen(function* () {
      const policy = yield* Policy
      assert.deepStrictEqual(yield* policy.revision, { revision: empty.revision, count: 0 })
    }).pipe(using())
  )
})

describe("who takes part", () => {
  const company = { policy_id: "company:Acme", constraints: { parameters: { "tool:**": { max_tokens: { max: 5 } } } } }

  it.effect("the documents that claims name, with what they extend, and the service's", () =>
    Effect.gen(function* () {
      const { decision } = yield* evaluate(gpt4, user("ana", { documents: ["company:Acme", "role:none"] }))
      assert.deepStrictEqual(decision.policies, ["user:ana", "team:Lab", "company:Acme", "app:my-app"])
    }).pipe(
      using([
        company,
        { policy_id: "team:Lab", extends: "company:Acme" },
        { ...open, extends: "team:Lab" },
        { policy_id: "app:my-app" }
      ])
    )
  )

  it.effect("a user whom only a claim's document knows is known", () =>
    Effect.gen(function* () {
      yield* evaluate(gpt4, user("zoe", { documents: ["company:Acme"] }))
      assert.deepStrictEqual(yield* codes(gpt4, user("zoe")), ["no_policy"])
    }).pipe(using({ ...company, resources: ["tool:**"] }))
  )

  it.effect("an agent is judged by its own document, and by the service's", () =>
    Effect.gen(function* () {
      const { decision } = yield* evaluate(gpt4, agent("helper"))
      assert.deepStrictEqual(decision.policies, ["agent:helper"])
      assert.deepStrictEqual(yield* codes(gpt4, agent("stranger")), ["no_policy"])
      assert.deepStrictEqual(yield* codes(gpt4, app("my-app")), ["no_policy"])
    }).pipe(using({ policy_id: "agent:helper", resources: ["tool:my-app/generate"] }))
  )

  it.effect("documents without resources allow nothing, and the refusal says what to add", () =>
    Effect.gen(function* () {
      const { decision, message } = yield* refused(gpt4, user("ana"))
      assert.deepInclude(decision.violations[0], { code: "no_policy", hint: `add "resources": ["tool:my-app/**"]` })
      assert.include(message, `add "resources": ["tool:my-app/**"]`)
    }).pipe(using({ policy_id: "user:ana" }))
  )

  it.effect("what an intent extends takes part; where that is missing the call is refused", () =>
    Effect.gen(function* () {
      const { decision } = yield* evaluate(gpt4, user("ana"), withIntent({ extends: "company:Acme" }))
      assert.include(decision.policies, "company:Acme")
      assert.deepStrictEqual(yield* codes(gpt4, user("ana"), withIntent({ extends: "company:None" })), ["policy_error"])
    }).pipe(using([open, company]))
  )

  it.effect("no caller sees another's policy or limits", () =>
    Effect.gen(function* () {
      const remedies = yield* Effect.forEach(
        ["ana", "ben", "ana"],
        (name) => Effect.map(evaluate(gpt4, user(name)), ({ decision }) => decision.remedies.length),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(remedies, [0, 1, 0])
    }).pipe(using([open, { ...open, policy_id: "user:ben", extends: "company:Acme" }, company]))
  )
})

describe("a refusal", () => {
  it.effect("names every violation: parameter, value, bound and the policy that set it", () =>
    Effect.gen(function* () {
      const { decision, message } = yield* refused(
        { model: "gpt-4", max_tokens: "many", temperature: 3, user: "x".repeat(200) },
        user("ana")
      )
      assert.deepStrictEqual(
        decision.violations.map(({ code, path, policy }) => [code, path, policy]),
        [
          ["above_maximum", "temperature", "user:ana"],
          ["length", "user", "company:Acme"],
          ["wrong_type", "max_tokens", "user:ana"]
        ]
      )
      assert.include(message, "temperature is 3, which is above the maximum 1, set by user:ana")
      assert.isAtMost(decision.violations[1]?.actual?.length ?? 0, 80)
      assert.deepStrictEqual([decision.remedies, decision.edits], [[], []])
    }).pipe(
      using([
        {
          ...open,
          extends: "company:Acme",
          constraints: {
            parameters: { "tool:**": { max_tokens: { max: 5 }, temperature: { max: 1, on_violation: "deny" } } }
          }
        },
        { policy_id: "company:Acme", constraints: { parameters: { "tool:**": { user: { max_length: 10 } } } } }
      ])
    )
  )

  it.effect("comes where an intent is not valid", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* codes(gpt4, app("my-app"), withIntent({ resources: "**" })), ["policy_error"])
      assert.deepStrictEqual(yield* codes(gpt4, app("my-app"), withIntent({ constraints: { output: 5 } })), [
        "policy_error"
      ])
    }).pipe(using())
  )

  it.effect("on_violation of one document binds the bounds that it sets, and deny wins", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* codes({ model: "gpt-4", max_tokens: 90 }, user("ana")), ["above_maximum"])
      const { decision } = yield* evaluate({ model: "gpt-4", max_tokens: 5, temperature: 2 }, user("ana"))
      assert.deepStrictEqual(
        decision.remedies.map((remedy) => remedy.path),
        ["temperature"]
      )
    }).pipe(
      using([
        {
          ...open,
          extends: "company:Acme",
          constraints: { parameters: { "tool:**": { max_tokens: { max: 50 }, temperature: { max: 1 } } } }
        },
        {
          policy_id: "company:Acme",
          on_violation: "deny",
          constraints: { parameters: { "tool:**": { max_tokens: { max: 100 } } } }
        }
      ])
    )
  )
})

describe("tool names in a request", () => {
  const policies = [
    { ...open, constraints: { parameters: { "tool:*/generate": { "tools[].function.name": ["get_weather"] } } } }
  ]
  const asking = (extra: object) => ({ model: "gpt-4", ...extra })
  const weather = { type: "function", function: { name: "get_weather" } }

  it.effect("are judged however they are spelled, and a hosted tool has none", () =>
    Effect.gen(function* () {
      yield* evaluate(asking({ tools: [weather] }), user("ana"))
      yield* evaluate(asking({ tools: [] }), user("ana"))
      const others = [
        { tools: [weather, { type: "custom", custom: { name: "wire" } }] },
        { tools: [{ type: "function", name: "wire" }] },
        { tools: [{ type: "web_search" }] },
        { tools: [null] },
        { functions: [{ name: "wire" }] }
      ]
      for (const extra of others)
        assert.deepStrictEqual(yield* codes(asking(extra), user("ana")), ["value_not_allowed"], JSON.stringify(extra))
      assert.deepStrictEqual(yield* codes(asking({ tools: { 0: weather } }), user("ana")), ["wrong_type"])
      assert.deepStrictEqual(yield* codes(asking({ tools: [{ function: "get_weather" }] }), user("ana")), [
        "wrong_type"
      ])
    }).pipe(using(policies))
  )
})

describe("a rate limit", () => {
  const limited = [
    { ...open, extends: "company:Acme", constraints: { rate_limit: 2 } },
    { policy_id: "company:Acme", constraints: { rate_limit: 3 } },
    { ...open, policy_id: "user:ben", extends: "company:Acme" }
  ]

  it.effect("lets so many calls go at once, and the next one when the minute is over", () =>
    Effect.gen(function* () {
      yield* evaluate(gpt4, user("ana"))
      yield* evaluate(gpt4, user("ana"))
      const error = yield* refused(gpt4, user("ana"))
      assert.strictEqual(error._tag, "PolicyRateLimited")
      if (error._tag === "PolicyRateLimited") assert.strictEqual(error.retryAfter, 60_000)
      assert.deepInclude(error.decision.violations[0], { code: "rate_limit", policy: "user:ana" })
      assert.strictEqual(error.decision.verdict, "deny")
      yield* TestClock.adjust("59 seconds")
      assert.deepStrictEqual(yield* codes(gpt4, user("ana")), ["rate_limit"])
      yield* TestClock.adjust("1 second")
      yield* evaluate(gpt4, user("ana"))
    }).pipe(using(limited))
  )

  it.effect("is each principal's own, and every level's", () =>
    Effect.gen(function* () {
      yield* evaluate(gpt4, user("ana"))
      yield* evaluate(gpt4, user("ana"))
      for (let call = 0; call < 3; call++) yield* evaluate(gpt4, user("ben"))
      const error = yield* refused(gpt4, user("ben"))
      assert.deepInclude(error.decision.violations[0], { code: "rate_limit", policy: "company:Acme" })
    }).pipe(using(limited))
  )

  it.effect("does not count what is refused, nor what is only rechecked", () =>
    Effect.gen(function* () {
      for (let call = 0; call < 5; call++)
        assert.deepStrictEqual(yield* codes({ model: 5 }, user("ana")), ["value_not_allowed"])
      const decided = yield* evaluate(gpt4, user("ana"))
      for (let call = 0; call < 5; call++) {
        assert.deepStrictEqual(decided.judge.recheck(gpt4), [])
        assert.strictEqual(decided.judge.tool("pay", {}), "allow")
      }
      yield* evaluate(gpt4, user("ana"))
    }).pipe(
      using([{ ...open, constraints: { rate_limit: 2, parameters: { "tool:*/generate": { model: ["gpt-4"] } } } }])
    )
  )

  it.effect("counts against every level or none", () =>
    Effect.gen(function* () {
      yield* evaluate(gpt4, user("ana"))
      for (let call = 0; call < 5; call++) assert.deepStrictEqual(yield* codes(gpt4, user("ana")), ["rate_limit"])
      yield* TestClock.adjust("31 seconds")
      assert.deepStrictEqual(yield* codes(gpt4, user("ana")), ["rate_limit"])
      yield* TestClock.adjust("30 seconds")
      yield* evaluate(gpt4, user("ana"))
    }).pipe(
      using([
        { ...open, extends: "company:Acme", constraints: { rate_limit: 2 } },
        { policy_id: "company:Acme", constraints: { rate_limit: 1 } }
      ])
    )
  )

  it.effect("of an intent is its own", () =>
    Effect.gen(function* () {
      const once = withIntent({ constraints: { rate_limit: 1 } })
      yield* evaluate(gpt4, app("my-app"), once)
      assert.deepStrictEqual(yield* codes(gpt4, app("my-app"), once), ["rate_limit"])
      yield* evaluate(gpt4, app("my-app"))
    }).pipe(using())
  )

  it.effect("counts a call once, however often its document takes part", () =>
    Effect.gen(function* () {
      const again = { extends: "user:ana" }
      for (let call = 0; call < 2; call++) yield* evaluate(gpt4, user("ana"), { intents: [again, again] })
      assert.deepStrictEqual(yield* codes(gpt4, user("ana")), ["rate_limit"])
    }).pipe(using({ ...open, constraints: { rate_limit: 2 } }))
  )
})

describe("approvals", () => {
  it.effect("that are missing, and nothing else, leave the call pending", () =>
    Effect.gen(function* () {
      const error = yield* refused({ ...gpt4, n: 2 }, user("ana"))
      assert.strictEqual(error._tag, "ApprovalPending")
      assert.deepInclude(error.decision, { verdict: "pending", remedies: [] })
      assert.include(error.message, "given by role:manager")
      assert.deepStrictEqual(yield* codes({ ...gpt4, n: 2, user: 5 }, user("ana")), ["wrong_type"])
    }).pipe(
      using({
        ...open,
        attestations: ["boss::{params.n > 1}"],
        constraints: {
          parameters: { "tool:**": { user: { type: "string" } } },
          attestations: { boss: { approval_criteria: "role:manager" } }
        }
      })
    )
  )
})

describe("the judge", () => {
  it.effect("tells of every violation, and of a tool whether it may be used", () =>
    Effect.gen(function* () {
      const { judge } = yield* evaluate(gpt4, user("ana"))
      assert.deepStrictEqual(
        judge.recheck({ model: "o1" }).map(({ code }) => code),
        ["value_not_allowed", "above_maximum"]
      )
      assert.strictEqual(judge.tool("get_weather", { city: "Oslo" }), "allow")
      assert.strictEqual(judge.tool("wire", {}), "deny")
      assert.strictEqual(judge.tool("pay", { amount: 500 }), "pending")
      assert.strictEqual(judge.tool("pay", { amount: 5 }), "allow")
    }).pipe(
      using({
        ...open,
        resources: ["tool:my-app/generate", "tool:my-app/get_weather", "tool:my-app/pay"],
        attestations: ["boss::{params.currency MATCHES '*' AND params.amount > 100 OR params.amount == 500}"],
        constraints: {
          parameters: { "tool:*/generate": { model: ["gpt-4"], max_tokens: { max: 10 } } },
          attestations: { boss: { approval_criteria: "role:manager" } }
        }
      })
    )
  )
})

describe("intents", () => {
  it.effect("allow nothing where no policy does, whatever they name and extend", () =>
    Effect.gen(function* () {
      const intents = [{ resources: ["tool:**"] }, { extends: "user:ana", resources: ["tool:my-app/**"] }]
      assert.deepStrictEqual(yield* codes(gpt4, user("ana"), { intents }), ["no_policy"])
      assert.deepStrictEqual(yield* codes(gpt4, user("ana"), { intents: intents.toReversed() }), ["no_policy"])
    }).pipe(using([{ policy_id: "user:ana" }, { policy_id: "user:ben", resources: ["**"] }]))
  )
})

describe("a change of the policies", () => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "policies-"))
  afterAll(() => Fs.rmSync(folder, { recursive: true, force: true }))
  const write = (max: number) =>
    Fs.writeFileSync(
      Path.join(folder, "ana.json"),
      JSON.stringify({ ...open, constraints: { parameters: { "tool:**": { max_tokens: { max } } } } })
    )
  write(100)

  it.effect("comes into force in one step, and a call keeps the revision it began with", () =>
    Effect.gen(function* () {
      const policy = yield* Policy
      const before = yield* evaluate({ ...gpt4, max_tokens: 50 }, user("ana"))
      write(20)
      const candidate = yield* policy.prepare
      const undecided = yield* evaluate({ ...gpt4, max_tokens: 50 }, user("ana"))
      assert.strictEqual(undecided.decision.revision, before.decision.revision)
      yield* candidate.activate
      assert.deepStrictEqual(yield* policy.revision, { revision: candidate.revision, count: 1 })
      const after = yield* evaluate({ ...gpt4, max_tokens: 50 }, user("ana"))
      assert.strictEqual(after.decision.revision, candidate.revision)
      assert.deepInclude(after.decision.remedies[0], { kind: "set", to: 20 })
      assert.deepStrictEqual(before.judge.recheck({ max_tokens: 50 }), [])
      assert.strictEqual(before.judge.tool("pay", { max_tokens: 50 }), "allow")
      assert.strictEqual(after.judge.recheck({ max_tokens: 50 }).length, 1)
    }).pipe(using(folder))
  )
})

describe("policies that are observed", () => {
  const observing = (policies: PolicySource) => Effect.provide(Policy.layer({ policies, mode: "observe" }))

  it.effect("refuse nothing, and say beside the decision what they would have said", () =>
    Effect.gen(function* () {
      const { decision, observed } = yield* evaluate(gpt4, user("zoe"))
      assert.deepInclude(decision, { verdict: "allow", enforced: true, policies: ["app:my-app"] })
      assert.deepInclude(observed?.decision, { verdict: "deny", enforced: false })
      assert.deepStrictEqual(
        observed?.decision.violations.map(({ code }) => code),
        ["no_policy"]
      )
      const policy = yield* Policy
      assert.strictEqual((yield* policy.revision).count, 1)
      assert.strictEqual(observed?.decision.revision, (yield* policy.revision).revision)
    }).pipe(observing(open))
  )

  it.effect("do not make up for what an intent refuses", () =>
    Effect.gen(function* () {
      const none = withIntent({ resources: ["tool:other/**"] })
      assert.deepStrictEqual(yield* codes(gpt4, user("ana"), none), ["resource_not_allowed"])
    }).pipe(observing(open))
  )
})

describe("an evaluator that throws", () => {
  const hostile: JsonObject = {
    get amount(): number {
      throw new Error("boom")
    }
  }
  const policies = { ...open, constraints: { parameters: { "tool:**": { amount: { max: 5 } } } } }

  it.effect("refuses the call, and says why", () =>
    Effect.gen(function* () {
      const policy = yield* Policy
      const call = Call.fromParsed("generate", hostile, { app: "my-app", bytes: "{}" })
      const error = yield* Effect.flip(policy.evaluate(signed(call, user("ana"))))
      assert.deepStrictEqual(error._tag === "PolicyDenied" && error.decision.violations[0], {
        code: "policy_error",
        message: "policy cannot decide, so the call is refused: boom"
      })
    }).pipe(using(policies))
  )

  it.effect("refuses what the judge is asked", () =>
    Effect.gen(function* () {
      const { judge } = yield* evaluate(gpt4, user("ana"))
      assert.strictEqual(judge.tool("pay", hostile), "deny")
      assert.deepStrictEqual(
        judge.recheck(hostile).map(({ code }) => code),
        ["policy_error"]
      )
    }).pipe(using(policies))
  )
})

describe("families that pass", () => {
  const request = (family: string, options: Partial<PassThrough> = {}): PassThrough => ({
    id: "",
    app: "my-app",
    family,
    use: "passes",
    resource: `api:my-app/${family}`,
    endpoint: "",
    credentials: { _tag: "App" },
    intents: [],
    ...options
  })
  const pass = (...input: Parameters<Policy["Service"]["pass"]>) =>
    Effect.flatMap(Policy, (policy) =>
      policy.pass(...input).pipe(
        Effect.as<ReadonlyArray<string>>([]),
        Effect.catchTag("PolicyDenied", ({ decision }) => Effect.succeed(decision.violations.map(({ code }) => code)))
      )
    )

  it.effect("pass for everyone, unless a document that takes part or an intent denies them", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* pass(request("models"), user("ana")), [])
      assert.deepStrictEqual(yield* pass(request("models"), user("zoe")), [])
      assert.deepStrictEqual(yield* pass(request("batches"), user("ana")), ["resource_denied"])
      assert.deepStrictEqual(yield* pass(request("batches"), user("zoe")), [])
      assert.deepStrictEqual(yield* pass(request("batches"), app("my-app")), [])
      const intents = [{ denied_resources: ["api:**"] }]
      assert.deepStrictEqual(yield* pass(request("models", { intents }), app("my-app")), ["resource_denied"])
    }).pipe(using({ ...open, resources: ["tool:**"], denied_resources: ["api:my-app/batches"] }))
  )

  it.effect("of other kinds pass for the service, and for a user where resources allow them", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* pass(request("realtime"), app("my-app")), [])
      assert.deepStrictEqual(yield* pass(request("realtime"), user("ana")), [])
      assert.deepStrictEqual(yield* pass(request("realtime"), agent("helper")), ["no_policy"])
      assert.deepStrictEqual(yield* pass(request("videos"), user("ana")), ["resource_not_allowed"])
      assert.deepStrictEqual(yield* pass(request("realtime"), user("zoe")), ["no_policy"])
      yield* TestClock.setTime(Date.parse("2027-01-01T00:00:00Z"))
      assert.deepStrictEqual(yield* pass(request("realtime"), user("ana")), ["outside_validity"])
    }).pipe(using({ ...open, resources: ["api:my-app/realtime"], validity: { not_after: "2026-12-31" } }))
  )

  it.effect("ask for their name where a request reaches or changes a model", () =>
    Effect.gen(function* () {
      for (const use of ["reaches_model", "changes_models"] as const) {
        assert.deepStrictEqual(yield* pass(request("models", { use }), app("my-app")), [])
        assert.deepStrictEqual(yield* pass(request("models", { use }), user("ana")), ["resource_not_allowed"])
        assert.deepStrictEqual(yield* pass(request("fine_tuning", { use }), user("ana")), [])
        assert.deepStrictEqual(yield* pass(request("models", { use }), agent("helper")), ["no_policy"])
      }
    }).pipe(using({ ...open, resources: ["tool:**", "api:my-app/fine_tuning"] }))
  )

  it.effect("are assistants, threads and vector stores under the name beta", () =>
    Effect.gen(function* () {
      for (const family of ["assistants", "threads", "vector_stores"])
        assert.deepStrictEqual(yield* pass(request(family), user("ana")), ["resource_denied"])
      assert.deepStrictEqual(yield* pass(request("batches"), user("ana")), [])
    }).pipe(using({ ...open, denied_resources: ["api:my-app/beta"] }))
  )

  it.effect("are allowed under the name beta too", () =>
    Effect.gen(function* () {
      const use = "reaches_model" as const
      for (const family of ["assistants", "threads", "vector_stores"])
        assert.deepStrictEqual(yield* pass(request(family, { use }), user("ana")), [])
      assert.deepStrictEqual(yield* pass(request("batches", { use }), user("ana")), ["resource_not_allowed"])
    }).pipe(using({ ...open, resources: ["tool:**", "api:my-app/beta"] }))
  )

  it.effect("of other kinds are refused to users where nothing is configured", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* pass(request("videos"), user("ana")), ["resource_not_allowed"])
      assert.deepStrictEqual(yield* pass(request("videos"), app("my-app")), [])
      assert.deepStrictEqual(yield* pass(request("files"), user("ana")), [])
    }).pipe(using())
  )
})

describe("policies that do not load", () => {
  it.effect("fail the layer", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(using("/nowhere/at/all")(evaluate(gpt4, user("ana"))))
      assert.strictEqual(error._tag, "Configuration")
    })
  )
})

describe("a tool call of a user", () => {
  it.effect("is judged before the tool is looked up", () =>
    Effect.gen(function* () {
      const policy = yield* Policy
      const call = Call.tool("no.such.tool", {}, { app: "my-app" })
      const error = yield* Effect.flip(policy.evaluate(signed(call, user("ana"))))
      assert.strictEqual(error._tag, "PolicyDenied")
    }).pipe(using({ ...open, resources: ["tool:my-app/generate"] }))
  )
})
