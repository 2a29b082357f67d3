import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import type { IntentPolicy } from "../../src/call/Lineage.ts"
import type { Decision } from "../../src/call/Decision.ts"
import { app, type Principal } from "../../src/call/Principal.ts"
import { decide, judge } from "../../src/policy/Evaluate.ts"
import type { Document } from "../../src/policy/Mapl.ts"
import { makeFind } from "../../src/policy/Participants.ts"
import { load } from "../../src/policy/PolicySource.ts"
import { user } from "./states.ts"

const resource = "tool:app/pay"
const open = { resources: ["tool:**"] }
const asked = { params: {}, now: 0 }

const finding = (documents: ReadonlyArray<Document>) => makeFind(Result.getOrThrow(load(documents)))

const decided = (
  documents: ReadonlyArray<Document>,
  principal: Principal = user("ana"),
  intents: ReadonlyArray<IntentPolicy> = []
): Decision =>
  decide(finding(documents)({ principal, app: "app", intents }).rules(resource), { ...asked, principal }, "r")

const codes = ({ violations }: Decision) => violations.map(({ code }) => code)

const boss = { attestations: { boss: { approval_criteria: "role:manager" } } }
const needs = { attestations: ["boss"] }

describe("an attestation that a document needs", () => {
  const company = (more: object): Document => ({ policy_id: "company:a", ...open, ...more })
  const team = (more: object): Document => ({ policy_id: "team:t", extends: "company:a", ...more })
  const ana = (more: object): Document => ({ policy_id: "user:ana", extends: "team:t", ...more })

  it("is given from outside where the document says by whom, or what it extends", () => {
    for (const documents of [
      [company({}), team({}), ana({ ...needs, constraints: boss })],
      [company({}), team({ constraints: boss }), ana(needs)],
      [company({ constraints: boss }), team({}), ana(needs)],
      [company({ constraints: boss }), team({ constraints: { attestations: { boss: { timeout: 5 } } } }), ana(needs)],
      [company({ ...needs, constraints: boss }), team({}), ana({})]
    ])
      assert.deepStrictEqual(codes(decided(documents)), ["approval_pending"], JSON.stringify(documents))
  })

  it("must be held already where only a child, a sibling or another chain says by whom", () => {
    for (const documents of [
      [company(needs), team({}), ana({ constraints: boss })],
      [company(needs), team({ constraints: boss }), ana({})],
      [company({}), team(needs), ana({}), { policy_id: "app:app", constraints: boss }],
      [company(needs), team({}), ana({}), { policy_id: "role:r", constraints: boss }]
    ])
      assert.deepStrictEqual(
        codes(decided(documents, user("ana", { documents: ["role:r"] }))),
        ["attestation_missing"],
        JSON.stringify(documents)
      )
  })

  it("is judged by each document that needs it for itself", () => {
    const documents = [company(needs), team({}), ana({ ...needs, constraints: boss })]
    const decision = decided(documents)
    assert.strictEqual(decision.verdict, "deny")
    assert.deepStrictEqual(codes(decision), ["attestation_missing"])
    assert.strictEqual(decided(documents, user("ana", { attestations: ["boss"] })).verdict, "allow")
  })

  it("is not made one to be approved by an intent, or by what an intent extends", () => {
    const documents = [company(needs), team({}), ana({}), { policy_id: "role:manager", constraints: boss }]
    for (const intent of [
      { constraints: boss },
      { extends: "role:manager" },
      { policy_id: "company:a", constraints: boss }
    ])
      assert.deepStrictEqual(codes(decided(documents, user("ana"), [intent])), ["attestation_missing"])
    const service = [{ policy_id: "app:app", ...open, ...needs }]
    assert.deepStrictEqual(codes(decided(service, app("app"), [{ constraints: boss }])), ["attestation_missing"])
  })

  it("of an intent is judged by the intent, then by what it extends", () => {
    const documents = [company({}), team({}), ana({}), { policy_id: "role:manager", constraints: boss }]
    const verdict = (intent: IntentPolicy) => decided(documents, user("ana"), [intent]).verdict
    assert.strictEqual(verdict({ ...needs, constraints: boss }), "pending")
    assert.strictEqual(verdict({ ...needs, extends: "role:manager" }), "pending")
    assert.strictEqual(verdict(needs), "deny")
    const others = [company({ constraints: boss }), team({}), ana({ constraints: boss })]
    assert.deepStrictEqual(codes(decided(others, user("ana"), [needs])), ["attestation_missing"])
  })

  it("carries how it is given, as the document that names the approver says", () => {
    const metadata = { approval_criteria: "role:manager", timeout: 60, time_to_live: 5, max_uses: 3, description: "d" }
    const documents = [
      company({ constraints: { attestations: { boss: metadata } } }),
      team({ constraints: { attestations: { boss: { one_time: false, timeout: 1 } } } }),
      ana(needs)
    ]
    const find = finding(documents)
    const [needed] = find({ principal: user("ana"), app: "app", intents: [] }).rules(resource).attestations
    const { approval_criteria: approver, ...others } = metadata
    assert.deepInclude(needed, { key: "boss", policy: "user:ana", approver, one_time: true, ...others })
  })
})

describe("what callers share", () => {
  const company: Document = {
    policy_id: "company:a",
    ...open,
    constraints: { parameters: { "tool:**": { n: { max: 9 }, mode: ["a", "b"] } } }
  }
  const bounded = (id: string, max: number): Document => ({
    policy_id: id,
    extends: "company:a",
    constraints: { parameters: { "tool:**": { n: { max } } } }
  })

  it("never bleeds from one into another", () => {
    const find = finding([company, bounded("user:ana", 5), bounded("user:bob", 20), { policy_id: "user:cem", ...open }])
    const max = (id: string) => {
      const { constraints } = find({ principal: user(id), app: "app", intents: [] }).rules(resource)
      return constraints.find(({ parameter }) => parameter.name === "n")?.max
    }
    for (let round = 0; round < 3; round++) {
      assert.deepInclude(max("ana"), { value: 5, policy: "user:ana" })
      assert.deepInclude(max("bob"), { value: 9, policy: "company:a" })
      assert.isUndefined(max("cem"))
    }
  })

  it("names the most specific of those that set the same bound", () => {
    const find = finding([company, bounded("user:ana", 9), { ...company, ...bounded("app:app", 9) }])
    const rules = find({ principal: user("ana"), app: "app", intents: [] }).rules(resource)
    assert.deepStrictEqual(rules.policies, ["user:ana", "company:a", "app:app"])
    assert.strictEqual(rules.constraints.find(({ parameter }) => parameter.name === "n")?.max?.policy, "user:ana")
  })

  it("counts a document once where several ways lead to it, as the most specific", () => {
    const find = finding([
      { policy_id: "user:ana", ...open },
      { policy_id: "team:t", extends: "user:ana" }
    ])
    const principal = user("ana", { documents: ["team:t", "team:t"] })
    assert.deepStrictEqual(find({ principal, app: "app", intents: [] }).rules(resource).policies, [
      "user:ana",
      "team:t"
    ])
  })

  it("is told apart for callers whose names and documents run into each other", () => {
    const documents = ["user:a", "user:a:app", "user:a:app:1", "b", "1", "1:b"].map((policy_id, index) =>
      bounded(policy_id, index)
    )
    const find = finding([company, ...documents])
    const callers = [[], ["b"], ["1"], ["1:b"], ["1", "b"], ["b", "1"]].map((ids) => user("a", { documents: ids }))
    callers.push(user("a:app"), user("a:app:1"), user("a:app", { documents: ["1"] }))
    const policies = callers.map((principal) => find({ principal, app: "app", intents: [] }).rules(resource).policies)
    for (const round of [1, 2, 3])
      callers.forEach((principal, index) =>
        assert.deepStrictEqual(
          find({ principal, app: "app", intents: [] }).rules(resource).policies,
          policies[index],
          `round ${round}`
        )
      )
    assert.strictEqual(new Set(policies.map((each) => each.join(" "))).size, callers.length)
  })
})

describe("findings", () => {
  it("are data: nothing is put into words until somebody asks", () => {
    const document: Document = {
      policy_id: "user:ana",
      ...open,
      ...needs,
      constraints: {
        parameters: { "tool:**": { n: { max: 5, on_violation: "deny" }, mode: ["a"], owner: { required: true } } }
      }
    }
    const rules = finding([document])({ principal: user("ana"), app: "app", intents: [] }).rules(resource)
    const principal = user("ana")
    const findings = judge(rules, { params: { n: 7, mode: "x" }, principal, now: 0 })
    assert.deepStrictEqual(
      findings.map(({ code, path, policy }) => [code, path, policy]),
      [
        ["above_maximum", "n", "user:ana"],
        ["value_not_allowed", "mode", "user:ana"],
        ["required", "owner", "user:ana"],
        ["attestation_missing", "boss", "user:ana"]
      ]
    )
    assert.notInclude(JSON.stringify(findings), "message")
    const { violations } = decide(rules, { params: { n: 7, mode: "x" }, principal, now: 0 }, "")
    assert.deepStrictEqual(
      violations.map(({ message }) => message),
      [
        "n is 7, which is above the maximum 5, set by user:ana",
        `mode is "x", which is not among ["a"], set by user:ana`,
        "owner is missing; user:ana requires it",
        "user:ana needs the attestation boss, and user:ana does not hold it"
      ]
    )
  })
})

describe("hostile bounds end", () => {
  const codesFor = (spec: object, value: string): ReadonlyArray<string> => {
    const document = { policy_id: "user:ana", ...open, constraints: { parameters: { "tool:**": { x: spec } } } }
    const rules = finding([document as Document])({ principal: user("ana"), app: "app", intents: [] }).rules(resource)
    const { violations } = decide(rules, { params: { x: value }, principal: user("ana"), now: 0 }, "")
    return violations.map(({ code }) => code)
  }
  const long = "a".repeat(100_000)

  it("for regular expressions that a backtracking engine would never leave", () => {
    for (const pattern of ["(a+)+b", "(a|a)*b", "(a|aa)+b", "(.*a){12}b", "(a*)*b"])
      assert.deepStrictEqual(codesFor({ pattern }, long), ["pattern_mismatch"], pattern)
  })

  it("for lists of very many values", () => {
    const values = Array.from({ length: 60_000 }, (_, index) => `v${index}`)
    assert.deepStrictEqual(codesFor(values, "x"), ["value_not_allowed"])
    assert.deepStrictEqual(codesFor({ allowed_values: values, on_violation: "rewrite" }, "x"), [])
  })

  it("for globs in lists, on a value of a megabyte", () => {
    assert.deepStrictEqual(codesFor([`${"*a".repeat(1000)}*b`], long.repeat(10)), ["value_not_allowed"])
    assert.deepStrictEqual(codesFor([`*${"a".repeat(50_000)}b*`], long.repeat(10)), ["value_not_allowed"])
  })
})
