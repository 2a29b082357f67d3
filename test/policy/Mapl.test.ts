import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { describe as describeFault } from "../../src/policy/Fault.ts"
import { type Document, parse, parseIntent } from "../../src/policy/Mapl.ts"
import { instant } from "../../src/policy/mapl/Validity.ts"
import { diagnose } from "../../src/policy/PolicySource.ts"

const faults = (value: unknown): ReadonlyArray<string> =>
  Result.match(parse(value), { onFailure: (all) => all.map(describeFault), onSuccess: () => [] })

const withSpec = (spec: unknown) => ({ policy_id: "user:x", constraints: { parameters: { "tool:*": { p: spec } } } })

const output = (rule: object) => ({ policy_id: "x", constraints: { output: { "tool:*/generate": rule } } })

describe("a policy", () => {
  it("may use every form of the language", () => {
    // Written as TypeScript users write it: the type must take it as well.
    const document: Document = {
      policy_id: "user:Ana Lee",
      name: "n",
      version: "1",
      description: "d",
      scope: "s",
      purpose: "p",
      extends: "team:Lab",
      resources: ["tool:*/generate", "**"],
      denied_resources: ["*.pem"],
      attestations: ["key", "boss::{params.amount > 1000}"],
      validity: { not_before: "2026-01-10", not_after: "2026-01-10T17:00:00+02:00" },
      on_violation: "deny",
      constraints: {
        rate_limit: 10,
        "tool:x": { model: ["gpt-4"], max_tokens: { max: 3 } },
        "*x*": { mode: { pattern: "^[a-z]+$" } },
        parameters: {
          "tool:*/generate": {
            model: { allowed_values: ["gpt-4", "gpt-4*"], downgrade: { "gpt-4o": "gpt-4", "*": "gpt-4" } },
            temperature: { range: [0, 1], type: "number", on_violation: "rewrite" },
            note: { min_length: 1, max_length: 5, required: true },
            tags: { min_items: 0, max_items: 2 },
            "tools[].function.name": ["get_weather"],
            count: { min: 1, max: 2, type: "integer" }
          }
        },
        denied_parameters: { "tool:**": { query: ["*DROP*"], flag: [true] } },
        attestations: { boss: { approval_criteria: "role:manager", timeout: 300, one_time: true, max_uses: 1 } }
      }
    }
    assert.deepStrictEqual(faults(document), [])
    assert.deepStrictEqual(faults({ ...document, attestations: { key: true, "boss::{params.a == 1}": false } }), [])
  })

  const wrong: ReadonlyArray<[what: string, value: unknown, fault: RegExp]> = [
    ["no id", { resources: ["**"] }, /policy_id: missing key/],
    ["an unknown key", { policy_id: "x", resorces: [] }, /unknown key "resorces"; did you mean "resources"\?/],
    ["camelCase", { policy_id: "x", constraints: { rateLimit: 5 } }, /did you mean "rate_limit"\?/],
    ["a key like no other", { policy_id: "x", zzzzzzzz: 1 }, /unknown key "zzzzzzzz"$/],
    ["an unknown bound", withSpec({ maximum: 5 }), /unknown key "maximum"/],
    ["a scalar spec", withSpec("gpt-4"), /a list of allowed values/],
    ["an infinite bound", withSpec({ max: Infinity }), /finite/],
    ["a negative length", withSpec({ max_length: -1 }), /max_length/],
    ["lookahead", withSpec({ pattern: "(?=x)" }), /RE2/],
    ["a backreference", withSpec({ pattern: "(a)\\1" }), /RE2/],
    ["a downgrade of another parameter", withSpec({ downgrade: { "*": "x" } }), /parameter model only/],
    [
      "a path in brackets",
      { policy_id: "x", constraints: { parameters: { "tool:*": { "a[0]": ["x"] } } } },
      /dotted path/
    ],
    [
      "a condition that cannot be read",
      { policy_id: "x", attestations: ["k::{params.a =}"] },
      /condition of k cannot be read/
    ],
    ["an attestation of a number", { policy_id: "x", attestations: [5] }, /attestations\[0\]: expected "key"/],
    [
      "an attestation with an unknown key",
      { policy_id: "x", attestations: [{ key: "k", resource: ["**"] }] },
      /attestations\[0\]: unknown key "resource"; .*"?resources"?/
    ],
    [
      "attestations that are needed, in the place of how they are obtained",
      { policy_id: "x", constraints: { attestations: ["k"] } },
      /constraints\.attestations: expected metadata by key, .*a list .* belongs at the top of the document/
    ],
    ["an attestation without a key", { policy_id: "x", attestations: [{ resources: ["**"] }] }, /key: missing key/],
    [
      "an attestation of no resource",
      { policy_id: "x", attestations: [{ key: "k", resources: [] }] },
      /attestations\[0\]\.resources: must name a resource/
    ],
    [
      "a condition in the key",
      { policy_id: "x", attestations: [{ key: "k::{params.a > 1}" }] },
      /attestations\[0\]\.key: the condition stands beside the key, under "when"/
    ],
    [
      "a condition beside a key that cannot be read",
      { policy_id: "x", attestations: [{ key: "k", when: "params.a =" }] },
      /attestations\[0\]\.when: the condition cannot be read/
    ],
    ["a condition without braces", { policy_id: "x", attestations: ["k::params.a"] }, /stands in braces/],
    ["a time without offset", { policy_id: "x", validity: { not_before: "2026-01-10T09:00:00" } }, /offset/],
    ["a day that is none", { policy_id: "x", validity: { not_after: "2026-02-30" } }, /ISO-8601/],
    ["a rate of zero", { policy_id: "x", constraints: { rate_limit: 0 } }, /at least 1/],
    ["an empty text that is denied", output({ denied: ["ok", ""] }), /denied\[1\]: must not be empty/],
    [
      "an output pattern without hold_back",
      output({ denied: [{ pattern: "a+" }] }),
      /denied\[0\]: .* needs "hold_back"/
    ],
    ["one that holds nothing back", output({ denied: [{ pattern: "a+" }], hold_back: 0 }), /needs "hold_back"/],
    ["an output pattern with lookahead", output({ denied: [{ pattern: "(?=a)" }], hold_back: 9 }), /pattern: .*RE2/],
    ["one that matches nothing", output({ denied: [{ pattern: "a*" }], hold_back: 9 }), /matches the empty text/],
    ["one that is a border", output({ denied: [{ pattern: String.raw`\b` }], hold_back: 9 }), /matches the empty text/],
    ["an output pattern misspelt", output({ denied: [{ patern: "a" }] }), /"patern"; did you mean "pattern"\?/],
    ["a text too long to hold back", output({ denied: ["x".repeat(4098)] }), /4098 characters .* write a part of it/],
    ["a hold_back too short", output({ denied: ["secret"], hold_back: 4 }), /"hold_back" must be at least 5/],
    ["a hold_back too long", output({ hold_back: 4097 }), /hold_back: must be at most 4096, found 4097/],
    ["no characters at all", output({ max_characters: 0 }), /max_characters: must be at least 1/],
    ["a misspelt response", output({ on_response: "refuse" }), /"record" or "deny".*did you mean "deny"\?/],
    ["an unknown output key", output({ max_character: 1 }), /"max_character"; did you mean "max_characters"\?/],
    ["a denied text that is no list", output({ denied: "x" }), /expected a list of texts and patterns.*, found "x"/],
    [
      "forbidden values that are no list",
      { policy_id: "x", constraints: { denied_parameters: { "tool:*": { q: "x" } } } },
      /expected a list of values, found "x"$/
    ],
    [
      "a range of one",
      withSpec({ range: [1] }),
      /^\S+\.p\.range: expected two numbers, \[lowest, highest\], found \[1\]$/
    ],
    ["a range of three", withSpec({ range: [1, 2, 3] }), /^\S+\.p\.range: expected two numbers, .* found \[1,2,3\]$/],
    ["half a length", withSpec({ max_length: 1.5 }), /must be a whole number from 0, found 1\.5/],
    ["a string for a number", withSpec({ max: "5" }), /p\.max: expected a number, found "5"/],
    ["a type of another language", withSpec({ type: "int" }), /found "int"; did you mean "integer"\?/],
    [
      "a misspelt choice",
      { policy_id: "x", on_violation: "denyy" },
      /expected "rewrite" or "deny", found "denyy"; did you mean "deny"\?/
    ],
    ["a long value", { policy_id: "x", resources: "y".repeat(500) }, /found "y{78}…$/],
    ["another language's word", withSpec({ maximum: 5 }), /unknown key "maximum"; did you mean "max"\?/],
    [
      "a key in the wrong place",
      { policy_id: "x", rate_limit: 5 },
      /unknown key "rate_limit"; it belongs under "constraints"/
    ],
    ["a bound in the wrong place", { policy_id: "x", constraints: { max: 5 } }, /it belongs under a parameter/],
    [
      "an unknown key of a validity",
      { policy_id: "x", validity: { not_afer: "2026-01-01" } },
      /did you mean "not_after"\?/
    ],
    [
      "unknown metadata",
      { policy_id: "x", constraints: { attestations: { k: { approver: "role:r" } } } },
      /attestations\.k: unknown key "approver"; did you mean "approval_criteria"\?/
    ],
    [
      "a wrong value under a pattern of two forms, once",
      { policy_id: "x", constraints: { "tool:*/x": { a: 5 } } },
      /^constraints\["tool:\*\/x"\]\.a: expected a list of allowed values, or an object such as .*, found 5$/
    ],
    ["an id with a line break", { policy_id: "user:a\nb" }, /its name holds U\+000A, which is not seen/],
    ["no object", [], /^expected a policy, such as .*, found \[\]$/]
  ]
  for (const [what, value, fault] of wrong)
    it(`is refused with ${what}`, () => {
      assert.match(faults(value).join("; "), fault)
    })

  it.each(wrong)("is not loaded with %s", (_, value) => {
    assert.isTrue(Result.isFailure(diagnose([value as Document])))
  })

  it("that is wrong in several ways has an error for each, and no more", () => {
    const value = {
      policy_id: 5,
      resources: ["", 5],
      attestations: ["k::{params.a =}"],
      constraints: { rateLimit: 5, "tool:*/x": { a: 5, b: { range: [1] } } }
    }
    assert.sameMembers(
      faults(value).map((fault) => fault.replace(/: .*/su, "")),
      [
        "policy_id",
        "resources[0]",
        "resources[1]",
        "attestations[0]",
        "constraints",
        'constraints["tool:*/x"].a',
        'constraints["tool:*/x"].b.range'
      ]
    )
  })

  it("with a condition that cannot be read shows where it breaks", () => {
    const excerpts = (value: unknown) =>
      Result.match(parse(value), { onFailure: (all) => all.map(({ excerpt }) => excerpt), onSuccess: () => [] })
    const excerpt = { text: "params.a = 5", at: 10 }
    assert.deepStrictEqual(excerpts({ policy_id: "x", attestations: ["k::{params.a = 5}"] }), [excerpt])
    assert.deepStrictEqual(excerpts({ policy_id: "x", attestations: { "k::{params.a = 5}": true } }), [excerpt])
    assert.deepStrictEqual(excerpts({ policy_id: "x", attestations: ["k::params.a"] }), [undefined])
    assert.deepStrictEqual(excerpts({ policy_id: "x", attestations: [{ key: "k", when: "params.a = 5" }] }), [excerpt])
  })

  it("may name its schema", () => {
    assert.deepStrictEqual(faults({ $schema: "mapl.schema.json", policy_id: "x" }), [])
    assert.isTrue(Result.isSuccess(parseIntent({ $schema: "mapl.schema.json" })))
    assert.match(faults({ $schema: 5, policy_id: "x" }).join(), /expected a string, found 5/)
  })
})

describe("an intent", () => {
  it("needs no id, and keeps no tie to the caller's object", () => {
    const value = { constraints: { parameters: { "tool:*/generate": { model: ["gpt-4"] } } } }
    const intent = Result.getOrThrow(parseIntent(value))
    value.constraints.parameters["tool:*/generate"].model.push("o1")
    assert.deepStrictEqual(intent.constraints?.parameters, { "tool:*/generate": { model: ["gpt-4"] } })
  })

  it("is refused for a key that is unknown or stands elsewhere, as a policy is", () => {
    const message = (value: unknown) => Result.match(parseIntent(value), { onFailure: String, onSuccess: () => "" })
    assert.match(message({ purpose: "p", resorces: ["**"] }), /unknown key "resorces"; did you mean "resources"\?/)
    assert.match(message({ constraints: { denied_resources: [] } }), /it belongs at the top of the policy/)
    const inside = { constraints: { parameters: { "tool:**": { n: { max: 1, maximum: 2 } } } } }
    assert.match(message(inside), /unknown key "maximum"/)
    assert.match(message({ constraints: { parameters: { n: { range: [1, 2] } } } }), /names no resource/)
    assert.strictEqual(message({ constraints: { parameters: { "*": { n: { max: 1 } } } } }), "")
    const needing = (...resources: ReadonlyArray<string>) => ({ attestations: ["k", { key: "k", resources }] })
    assert.match(
      message(needing("tool:*/pay", "pay")),
      /attestations\[1\]\.resources\[1\]: names no resource: write "tool:\*\/pay"/
    )
    assert.strictEqual(message(needing("tool:*/pay")), "")
  })

  it("is refused where it is wrong otherwise", () => {
    const message = (value: unknown) => Result.match(parseIntent(value), { onFailure: String, onSuccess: () => "" })
    assert.match(message(output({ denied: [""] })), /must not be empty/)
    assert.match(message(output({ denied: [{ pattern: "a" }] })), /needs "hold_back"/)
    assert.match(message({ constraints: { parameters: { "tool:*": { "a[0]": ["x"] } } } }), /dotted path/)
    assert.match(message({ attestations: { "key::{params.a =}": true } }), /cannot be read/)
    assert.match(message({ resources: "**" }), /resources: expected a list of resource patterns, found "\*\*"/)
    assert.match(message({ resources: () => 1 }), /not plain JSON/)
    assert.match(message("x"), /expected an object such as .*, found "x"/)
  })
})

describe("an instant", () => {
  it("of a day alone is the day's first or last millisecond", () => {
    assert.strictEqual(instant("2026-01-10", "first"), Date.parse("2026-01-10T00:00:00.000Z"))
    assert.strictEqual(instant("2026-01-10", "last"), Date.parse("2026-01-10T23:59:59.999Z"))
    assert.strictEqual(instant("2024-02-29", "first"), Date.parse("2024-02-29T00:00:00Z"))
    assert.isUndefined(instant("2026-02-29", "first"))
    assert.isUndefined(instant("2026-01-10T25:00:00Z", "first"))
  })
})
