import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { parseCases } from "../../src/policy/Cases.ts"
import { describe as describeFault } from "../../src/policy/Fault.ts"
import suite from "./cases.json" with { type: "json" }

const faults = (value: unknown): ReadonlyArray<string> =>
  Result.match(parseCases(value), { onFailure: (all) => all.map(describeFault), onSuccess: () => [] })

const good = { id: "a", service: "my-app", expect: { verdict: "allow" } }
const withCase = (more: object) => ({ cases: [{ ...good, ...more }] })

describe("a file of cases", () => {
  it("has the form of the conformance cases", () => {
    assert.deepStrictEqual(faults(suite), [])
    assert.deepStrictEqual(faults({ cases: [good] }), [])
  })

  const wrong: ReadonlyArray<[what: string, value: unknown, fault: RegExp]> = [
    ["no cases", {}, /^cases: missing key$/],
    ["another value", [good], /^expected an object such as .*, found \[/],
    ["an unknown key", { cases: [], polices: {} }, /^unknown key "polices"; did you mean "policies"\?$/],
    [
      "an unknown key in a case",
      withCase({ expected: 1 }),
      /^cases\[0\]: unknown key "expected"; did you mean "expect"\?$/
    ],
    [
      "an unknown key in a caller",
      withCase({ caller: { rols: [] } }),
      /caller: unknown key "rols"; did you mean "roles"\?$/
    ],
    ["an unknown verdict", withCase({ expect: { verdict: "alow" } }), /found "alow"; did you mean "allow"\?$/],
    [
      "an unknown code",
      withCase({ expect: { verdict: "deny", codes: ["no_polic"] } }),
      /codes\[0\]: .*did you mean "no_policy"/
    ],
    [
      "a set that is not there",
      withCase({ policies: "org" }),
      /^cases\[0\]\.policies: there is no set "org" in this file$/
    ],
    [
      "a user without a name",
      withCase({ caller: { kind: "user" } }),
      /^cases\[0\]\.caller: a caller of the kind user needs a name$/
    ],
    ["a time that is none", withCase({ at: "noon" }), /^cases\[0\]\.at: must be ISO-8601/]
  ]
  it.each(wrong)("is refused with %s", (_, value, fault) => {
    const all = faults(value)
    assert.lengthOf(all, 1)
    assert.match(all.join(), fault)
  })
})
