/** The meet of output rules: whoever set them, all of them hold. */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import type { IntentPolicy } from "../../src/call/Lineage.ts"
import type { OutputRules } from "../../src/call/Judge.ts"
import type { JsonObject } from "../../src/base/Json.ts"
import type { Document } from "../../src/policy/Mapl.ts"
import type { OutputRule } from "../../src/policy/mapl/OutputRule.ts"
import { outputOf } from "../../src/policy/Output.ts"
import { makeFind } from "../../src/policy/Participants.ts"
import { load } from "../../src/policy/PolicySource.ts"
import { user } from "./states.ts"

const rule = (one: OutputRule, pattern = "tool:*/generate") => ({ constraints: { output: { [pattern]: one } } })

const met = (
  documents: ReadonlyArray<Document>,
  intents: ReadonlyArray<IntentPolicy> = [],
  resource = "tool:app/generate",
  params: JsonObject = { model: "gpt-4o" }
): OutputRules | undefined =>
  outputOf(
    makeFind(Result.getOrThrow(load(documents)))({
      principal: user("ana", { documents: ["role:r"] }),
      app: "app",
      intents
    }).rules(resource),
    params
  )

const tree: ReadonlyArray<Document> = [
  { policy_id: "app:app", resources: ["**"], ...rule({ max_characters: 90, on_response: "record" }, "tool:**") },
  { policy_id: "team:t", ...rule({ denied: ["team", { pattern: "a+b" }], hold_back: 7, max_characters: 50 }) },
  { policy_id: "user:ana", extends: "team:t", ...rule({ denied: ["ana"], max_characters: 70 }) },
  { policy_id: "role:r", ...rule({ on_response: "deny" }) }
]

describe("a list of models", () => {
  const listing = (spec: Record<string, unknown>, more: Record<string, unknown> = {}) => ({
    constraints: {
      parameters: { "tool:*/generate": { model: { allowed_values: ["gpt-4o", "llama-*"], ...spec }, ...more } }
    }
  })
  const documents = [{ policy_id: "user:ana", resources: ["**"], ...listing({ required: false }, { provider: {} }) }]
  const models = (params: JsonObject, resource?: string) => met(documents, [], resource, params)?.models

  it("judges the answer where the request leaves the choice of the model to others, and else does not", () => {
    assert.isUndefined(met(documents, [], undefined, { model: "gpt-4o" }))
    assert.isUndefined(models({ model: "gpt-4o", provider: null }))
    for (const params of [{}, { model: null }, { prompt: { id: "p" } }, { model: "gpt-4o", provider: {} }])
      assert.isDefined(models(params), JSON.stringify(params))
    assert.isUndefined(models({}, "tool:app/embed"))
    assert.isUndefined(met([{ policy_id: "user:ana", resources: ["**"] }], [], undefined, {}))
  })

  it("allows what every list has, and dated snapshots of it", () => {
    const both = met(documents, [listing({ allowed_values: ["gpt-4o", "o1"], required: false })], undefined, {})?.models
    const one = models({})
    for (const [name, byOne, byBoth] of [
      ["gpt-4o", true, true],
      ["gpt-4o-2024-08-06", true, true],
      ["gpt-4o-mini", false, false],
      ["llama-3", true, false],
      ["o1", false, false],
      ["", false, false]
    ] as const)
      assert.deepStrictEqual([one?.allows(name), both?.allows(name)], [byOne, byBoth], name)
  })

  it("stands beside the output rules", () => {
    const [document] = documents
    const denying = { ...document!, policy_id: "user:ana" }
    const rules = met([denying], [rule({ denied: ["x"], on_response: "deny" })], undefined, {})
    assert.strictEqual(rules?.onResponse.does, "deny")
    assert.lengthOf(rules?.denied ?? [], 1)
    assert.strictEqual(rules?.models?.policy, "user:ana")
  })
})

describe("output rules", () => {
  it("are absent where no document has one for the resource", () => {
    const documents = [{ policy_id: "user:ana", resources: ["**"], ...rule({ denied: ["x"] }) }]
    assert.isUndefined(met([{ policy_id: "user:ana", resources: ["**"] }]))
    assert.isUndefined(met(documents, [], "tool:app/embed"))
    assert.isDefined(met(documents))
  })

  it("of all levels hold together: every text, the lowest limit, deny before record", () => {
    const rules = met(tree, [rule({ denied: ["intent"] })])
    assert.deepStrictEqual(
      rules?.denied.map(({ holdBack, policy, rule, sought }) => [
        policy,
        typeof sought === "string" ? sought : String(sought("xaab", 0)),
        holdBack,
        rule
      ]),
      [
        ["the intent policy", "intent", 5, 'constraints.output["tool:*/generate"].denied[0]'],
        ["user:ana", "ana", 2, 'constraints.output["tool:*/generate"].denied[0]'],
        ["team:t", "team", 3, 'constraints.output["tool:*/generate"].denied[0]'],
        ["team:t", "1,4", 7, 'constraints.output["tool:*/generate"].denied[1]']
      ]
    )
    assert.deepInclude(rules?.maxCharacters, { policy: "team:t", value: 50 })
    assert.deepInclude(rules?.onResponse, { policy: "role:r", does: "deny" })
  })

  it("are met whatever the order of the documents, and no document takes one away", () => {
    const texts = (rules: OutputRules | undefined) =>
      rules?.denied.map(({ policy, rule }) => `${policy} ${rule}`).sort()
    const all = met(tree)
    const turned = met(tree.toReversed())
    assert.deepStrictEqual(texts(turned), texts(all))
    assert.deepStrictEqual([turned?.maxCharacters, turned?.onResponse], [all?.maxCharacters, all?.onResponse])
    const more = met([...tree, { policy_id: "agent:other" }], [rule({ max_characters: 900, on_response: "record" })])
    assert.deepStrictEqual(more?.maxCharacters, all?.maxCharacters)
    assert.strictEqual(more?.onResponse.does, "deny")
  })

  it("record by default", () => {
    assert.strictEqual(met([{ policy_id: "user:ana", ...rule({}) }])?.onResponse.does, "record")
  })
})
