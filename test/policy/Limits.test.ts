import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { type Limits, limitsOf } from "../../src/policy/Limits.ts"
import type { Document } from "../../src/policy/Mapl.ts"
import { makeFind } from "../../src/policy/Participants.ts"
import { load } from "../../src/policy/PolicySource.ts"
import { user } from "./states.ts"

const now = Date.parse("2026-01-15T12:00:00Z")

const limits = (documents: ReadonlyArray<Document>, resource = "tool:my-app/generate"): Limits =>
  limitsOf(
    makeFind(Result.getOrThrow(load(documents)))({ principal: user("ana"), app: "my-app", intents: [] }).rules(
      resource
    ),
    now
  )

const ana = (more: Partial<Document>): Document => ({ policy_id: "user:ana", resources: ["tool:**"], ...more })

const withSpecs = (specs: NonNullable<NonNullable<Document["constraints"]>["parameters"]>[string]): Document =>
  ana({ constraints: { parameters: { "tool:*/generate": specs } } })

describe("limits", () => {
  it("are none where nothing is bounded", () => {
    assert.deepStrictEqual(limits([ana({})]), {
      resource: "tool:my-app/generate",
      allowed: true,
      reasons: [],
      ratesPerMinute: {},
      parameters: {}
    })
  })

  it("name the models that every document allows, and globs", () => {
    const company: Document = {
      policy_id: "company:Acme",
      constraints: { parameters: { "tool:**": { model: ["gpt-4o*", "o1"] } } }
    }
    const own = { ...withSpecs({ model: ["gpt-4o-mini", "gpt-4o-2024*", "gpt-5"] }), extends: "company:Acme" }
    assert.deepStrictEqual(limits([company, own]).models, ["gpt-4o-mini", "gpt-4o-2024*"])
  })

  it("give the cap in whichever spelling it is set, and never more than a total leaves to one answer", () => {
    assert.strictEqual(limits([withSpecs({ max_completion_tokens: { max: 300.5 } })]).maxOutputTokens, 300)
    assert.strictEqual(limits([withSpecs({ total_tokens: { max: 200 } })]).maxOutputTokens, 200)
    assert.strictEqual(
      limits([withSpecs({ max_tokens: { max: 300 }, total_tokens: { max: 200 } })]).maxOutputTokens,
      200
    )
  })

  it("give every other bound with the documents that set it, and each document's rate", () => {
    const own = ana({
      extends: "team:Lab",
      constraints: {
        rate_limit: 3,
        parameters: { "tool:**": { temperature: { max: 0.5 }, tags: { allowed_values: ["a"], required: true } } }
      }
    })
    const team: Document = {
      policy_id: "team:Lab",
      constraints: { rate_limit: 9, parameters: { "tool:**": { temperature: { min: 0.1, max: 1 } } } }
    }
    const { parameters, ratesPerMinute } = limits([own, team])
    assert.deepStrictEqual(ratesPerMinute, { "user:ana": 3, "team:Lab": 9 })
    assert.deepStrictEqual(parameters, {
      temperature: { min: 0.1, max: 0.5, policies: ["team:Lab", "user:ana"] },
      tags: { values: ["a"], required: true, policies: ["user:ana"] }
    })
  })

  it("allow nothing where every request is refused, and say why", () => {
    const codes = (documents: ReadonlyArray<Document>, resource?: string) => {
      const { allowed, reasons } = limits(documents, resource)
      assert.isFalse(allowed)
      return reasons.map(({ code }) => code)
    }
    assert.deepStrictEqual(codes([ana({ resources: ["tool:*/embed"] })]), ["resource_not_allowed"])
    assert.deepStrictEqual(codes([ana({ denied_resources: ["tool:**"] })]), ["resource_denied"])
    assert.deepStrictEqual(codes([ana({ validity: { not_after: "2026-01-01" } })]), ["outside_validity"])
    assert.deepStrictEqual(codes([withSpecs({ n: { min: 3, max: 2 } })]), ["unsatisfiable"])
  })
})
