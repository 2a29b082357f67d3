import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import type { JsonObject } from "../../src/base/Json.ts"
import { parse, type Truth } from "../../src/policy/Condition.ts"
import { user } from "./states.ts"

const ana = user("ana", {
  roles: ["analyst"],
  groups: ["eu"],
  attestations: ["key"],
  issuer: "https://issuer.example",
  claims: { level: 3, org: { unit: "lab" } }
})

const truth = (condition: string, params: JsonObject = {}): Truth =>
  Result.getOrThrow(parse(condition)).truth({ params, principal: ana })

describe("what is absent from a condition", () => {
  it.each<readonly [string, JsonObject, ReadonlyArray<string>]>([
    ["params.amount > 100", {}, ["params.amount"]],
    ["params.amount > 100", { amount: null }, ["params.amount"]],
    ["params.amount > 100", { amount: "9" }, []],
    ["params.amount > 100", { amount: 9 }, []],
    ["params.to != 'a'", {}, ["params.to"]],
    ["NOT params.to == 'a'", {}, ["params.to"]],
    ["params.to == 'a'", {}, []],
    ["params.a > params.b", {}, ["params.a", "params.b"]],
    ["params.a > params.b", { a: 1 }, ["params.b"]],
    ["principal.tier > 1", {}, ["principal.tier"]],
    ["principal.level > 1", {}, []],
    ["params.a > 1 AND params.b > 1", { a: 2 }, ["params.b"]],
    ["params.a > 1 AND params.b > 1", { b: 0 }, []],
    ["params.a > 1 OR params.b > 1", { b: 0 }, ["params.a"]],
    ["params.a > 1 OR params.b > 1", {}, ["params.a", "params.b"]],
    // What is there decides, whatever the other one would be.
    ["params.a > 1 OR params.b > 1", { b: 2 }, []],
    ["NOT (params.a > 1 AND params.b > 1)", { b: 0 }, []],
    ["NOT (params.a > 1 OR params.b > 1)", { b: 0 }, ["params.a"]],
    ["(params.a > 1 OR principal.has_role('analyst')) AND params.c MATCHES '*'", { c: "x" }, []],
    ["NOT params.c IN (1, 2) AND params.c MATCHES '*'", { c: "x" }, []]
  ])("%s, of %j", (source, params, absent) => {
    assert.deepStrictEqual(Result.getOrThrow(parse(source)).absent({ params, principal: ana }), absent)
  })

  it("is what would have to be there for the condition to be false", () => {
    const sources = ["params.a > 1", "params.b == 2", "params.c != 1", "NOT params.b < 3", "principal.has_role('x')"]
    const values = [undefined, 0, 1, 2, 3]
    const given = values.flatMap((a) => values.flatMap((b) => values.map((c) => ({ a, b, c }))))
    const plain = (params: object): JsonObject => JSON.parse(JSON.stringify(params))
    let named = 0
    for (const left of sources)
      for (const right of sources)
        for (const source of [`${left} AND ${right}`, `${left} OR ${right}`, `NOT (${left} OR ${right})`]) {
          const { absent, truth } = Result.getOrThrow(parse(source))
          for (const params of given.filter((_, index) => index % 7 === 0)) {
            const names = absent({ params: plain(params), principal: ana }).map((name) => name.slice(-1))
            // With other values in the place of what is absent, the condition can be false exactly where something is named.
            const couldBeFalse = given
              .map((more) => plain({ ...more, ...plain(params) }))
              .some((more) => truth({ params: more, principal: ana }) === false)
            const isFalse = truth({ params: plain(params), principal: ana }) === false
            if (names.length > 0) named++
            assert.strictEqual(names.length > 0, couldBeFalse && !isFalse, `${source} ${JSON.stringify(params)}`)
          }
        }
    assert.isAbove(named, 100)
  })

  it("and the parameters that it names are told", () => {
    const { parameters } = Result.getOrThrow(
      parse("params.a.b > 1 AND (1 < params.c OR NOT params.a.b == 2) AND principal.id == 'x'")
    )
    assert.deepStrictEqual(parameters, ["a.b", "c"])
  })
})

describe("a condition", () => {
  const cases: ReadonlyArray<[condition: string, params: JsonObject, truth: Truth]> = [
    ["params.amount > 100", { amount: 101 }, true],
    ["params.amount > 100", { amount: 100 }, false],
    ["params.amount >= 100", { amount: 100 }, true],
    ["params.amount < -1.5e1", { amount: -16 }, true],
    ["100 < params.amount", { amount: 101 }, true],
    ["params.amount > 100", {}, undefined],
    ["params.amount > 100", { amount: null }, undefined],
    ["params.amount > 100", { amount: "101" }, undefined],
    ["params.to == 'a'", {}, false],
    ["params.to != 'a'", {}, true],
    ["params.to == 'a'", { to: "a" }, true],
    ["params.count == '5'", { count: 5 }, false],
    ["params.flag == true", { flag: true }, true],
    ["params.flag == true", { flag: "true" }, false],
    ["params.to IN ('a', 'b')", { to: "b" }, true],
    ["params.to IN ('a', 'b')", {}, false],
    ["params.n IN (1, 2)", { n: 3 }, false],
    ["params.path MATCHES '*secret*'", { path: "a/secret/b" }, true],
    ["params.path MATCHES '*secret*'", {}, false],
    ["params.path MATCHES '5*'", { path: 5 }, false],
    ["params.path MATCHES '*secret*'", { path: ["secret"] }, undefined],
    ["params.a.b == 1", { a: { b: 1 } }, true],
    ["params.a.b == 1", { a: [1] }, undefined],
    ["params.name == 'it\\'s'", { name: "it's" }, true],
    ["params.max_tokens > 10", { max_completion_tokens: 20 }, true],
    ["params.max_tokens > 10", { max_tokens: 1, max_completion_tokens: 20 }, undefined],
    ["params.constructor == 'x'", {}, false],
    ["false AND params.x > 1", {}, false],
    ["params.x > 1 AND params.y == 'a'", {}, false],
    ["params.x > 1 AND params.y != 'a'", {}, undefined],
    ["params.x > 1 OR params.y != 'a'", {}, true],
    ["params.x > 1 OR params.y == 'a'", {}, undefined],
    ["NOT params.x > 1", {}, undefined],
    ["NOT (params.y == 'a')", {}, true],
    ["params.a == 1 OR params.b == 1 AND params.c == 1", { a: 1 }, true],
    ["(params.a == 1 OR params.b == 1) AND params.c == 1", { a: 1 }, false],
    ["principal.has_role('analyst')", {}, true],
    ["principal.has_role('boss')", {}, false],
    ["principal.has_group('eu') AND context.has_attestation('key')", {}, true],
    ["principal.id == 'ana' AND principal.kind == 'user'", {}, true],
    ["principal.level >= 3 AND principal.org.unit == 'lab'", {}, true],
    ["principal.absent == 1", {}, false]
  ]
  for (const [condition, params, expected] of cases)
    it(`${condition} is ${expected ?? "undecided"} of ${JSON.stringify(params)}`, () => {
      assert.strictEqual(truth(condition.replaceAll("false AND", "1 == 2 AND"), params), expected)
    })

  const faults: ReadonlyArray<[condition: string, reason: RegExp]> = [
    ["", /expected params/],
    ["params.a", /expected a comparison/],
    ["params.a = 1", /unexpected "=" at character 10/],
    ["params.a == 'x", /unexpected "'"/],
    ["params.a == 1 extra", /expected AND, OR or the end at character 15/],
    ["(params.a == 1", /expected \)/],
    ["params.a IN ()", /expected a literal/],
    ["params.a MATCHES 5", /expected a 'string'/],
    ["context.now == 1", /expected params/],
    ["constructor == 1", /expected params/],
    ["constructor('x')", /expected params/],
    ["params.a == 1 and params.b == 1", /expected AND/],
    ["(".repeat(100) + "params.a == 1", /nested deeper/],
    ["NOT ".repeat(100) + "params.a == 1", /nested deeper/],
    [`params.a == '${"x".repeat(5000)}'`, /longer than/]
  ]
  for (const [condition, reason] of faults)
    it(`refuses to read ${condition.slice(0, 40)}`, () => {
      const parsed = parse(condition)
      assert.match(Result.isFailure(parsed) ? parsed.failure : "no failure", reason)
    })
})

/** Each of these would not end if a step were taken back, or would overflow the stack; the runner gives up after 20 s. */
describe("hostile conditions end", () => {
  const longest = (part: string, joint: string, around: string): string => {
    const count = Math.floor((4096 - around.length) / (part.length + joint.length))
    return Array.from({ length: count }, () => part).join(joint)
  }

  it("as long as they may be", () => {
    for (const [part, joint, expected] of [
      ["1==1", " AND ", true],
      ["1==2", " OR ", false],
      ["params.x>1", " OR ", undefined]
    ] as const)
      assert.strictEqual(truth(longest(part, joint, "")), expected)
    assert.strictEqual(truth(`1 IN (${longest("2", ",", "1 IN ()")})`), false)
    assert.strictEqual(
      truth(`params.x MATCHES '${longest("a*", "", "params.x MATCHES ''b")}b'`, { x: "a".repeat(1e6) }),
      false
    )
  })

  it("as deep as they may be", () => {
    for (const [open, close] of [
      ["(", ")"],
      ["NOT (", ")"],
      ["NOT ", ""]
    ] as const)
      assert.isDefined(truth(open.repeat(32) + "1==1" + close.repeat(32)))
    for (const open of ["(", "NOT ", "NOT("])
      assert.isTrue(Result.isFailure(parse(open.repeat(Math.floor(4090 / open.length)))), open)
  })

  it("where a text or a blank never ends", () => {
    for (const source of [
      `'${"\\\\".repeat(2000)}`,
      `${" ".repeat(4000)}!`,
      `${"a.".repeat(2000)}`,
      `${"1e".repeat(2000)}`
    ])
      assert.isTrue(Result.isFailure(parse(source)))
  })
})
