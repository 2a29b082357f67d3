import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import {
  canonicalize,
  edited,
  maximumDepth,
  parseExactObject,
  parseStrictObject,
  snapshot
} from "../../src/base/CanonicalJson.ts"
import type { JsonObject } from "../../src/base/Json.ts"
import { Content } from "../../src/base/Content.ts"
import { isExact } from "../../src/base/JsonNumbers.ts"

const fault = (result: Result.Result<unknown, string>): string =>
  Result.isFailure(result) ? result.failure : assert.fail("was accepted")

describe("canonicalize", () => {
  it("writes what RFC 8785 §3.2.3 shows", () => {
    assert.strictEqual(
      canonicalize(
        JSON.parse(
          '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}'
        )
      ),
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
  })

  it("sorts keys by UTF-16 code units", () => {
    assert.strictEqual(
      canonicalize({ "\u20ac": 1, "\ufb33": 2, "\ud83d\ude00": 3, "1": 4, a: 5 }),
      '{"1":4,"a":5,"€":1,"😀":3,"\ufb33":2}'
    )
  })

  it.each([[undefined], [() => 1], [NaN], [Infinity], ["\ud800"], [{ "\udc00": 1 }], [1n]])(
    "throws for %s",
    (value) => {
      assert.throws(() => canonicalize(value))
    }
  )

  it.prop("writes each JSON value in one way", [Arbitrary.schema(Schema.Json)], ([value]) => {
    let text: string
    try {
      text = canonicalize(JSON.parse(JSON.stringify(value)))
    } catch {
      return true // a lone surrogate
    }
    return canonicalize(JSON.parse(text)) === text
  })
})

describe("parseStrictObject", () => {
  it.each([
    '{"a":1}',
    ' { "a" : [1.50, -0, 1E2, "\\u0061"] } ',
    '{"a":{"b":1},"c":{"b":1}}',
    `{"max":${Number.MAX_SAFE_INTEGER}}`
  ])("reads %s as JSON.parse does", (text) => {
    assert.deepStrictEqual(Result.getOrThrow(parseStrictObject(text)), JSON.parse(text))
  })

  it.each([
    ["a duplicate key", '{"a":1,"a":2}', /twice/],
    ["a duplicate key in another spelling", '{"max_tokens":1,"max\\u005ftokens":2}', /twice$/],
    ["a duplicate key deep inside", '{"a":[{"b":{"c":1,"c":1}}]}', /^the key "c" is there twice in a\[0\]\.b$/],
    [
      "a duplicate key whose first value is nested",
      '{"a":{"b":[{"c":1}]},"a":{"b":[{"c":1}]}}',
      /^the key "a" is there twice$/
    ],
    ["a duplicate key beside one that is a number", '{"2":1,"1":{"x":1,"x":2}}', /twice in 1/],
    ["__proto__", '{"__proto__":{"admin":true}}', /__proto__/],
    ["__proto__ in another spelling", '{"\\u005f_proto__":1}', /__proto__/],
    ["__proto__ deep inside", '{"a":[{"__proto__":1}]}', /__proto__/],
    ["a number beyond what a double holds", '{"a":[1e999]}', /^a\[0\] is 1e999, which is beyond what a double holds$/],
    ["the same deep inside", '{"a":{"b":[0,{"c":-1E400}]}}', /^a\.b\[1\]\.c is -1E400, which/],
    ["half of a surrogate pair", '{"a":["\\ud800"]}', /a lone surrogate\) in a\[0\]/],
    ["half of a surrogate pair in a key", '{"a":{"\\udc00":1}}', /a lone surrogate\) in a;/],
    ["half of a surrogate pair that is not escaped", '{"a":"\ud800"}', /a lone surrogate/],
    ["an array", "[]", /not a JSON object/],
    ["text", '"a"', /not a JSON object/],
    ["null", "null", /not a JSON object/],
    ["nothing", "", /not JSON/],
    ["two values", "{}{}", /not JSON/],
    ["a comment", "{} // x", /not JSON/],
    ["a trailing comma", '{"a":1,}', /not JSON/],
    ["a byte order mark", "\ufeff{}", /not JSON/],
    ["NaN", '{"a":NaN}', /not JSON/]
  ])("refuses %s", (_, text, message) => {
    assert.match(fault(parseStrictObject(text)), message)
  })

  it.each(["9007199254740993", "9007199254740992", "-9007199254740992", "1e300", "9223372036854775807"])(
    "reads the integer %s, which is not exact, but not among claims",
    (number) => {
      const text = `{"a":[${number}]}`
      assert.deepStrictEqual(Result.getOrThrow(parseStrictObject(text)), { a: [Number(number)] })
      assert.isFalse(isExact(Number(number)))
      assert.strictEqual(fault(parseExactObject(text)), `a[0] is ${number}, which is beyond 2^53 − 1`)
    }
  )

  it.each([["9007199254740991"], ["-9007199254740991"], ["0.1"], ["-0"], ["1e-400"]])(
    "takes %s for exact",
    (number) => {
      assert.isTrue(isExact(Number(number)))
      assert.isTrue(Result.isSuccess(parseExactObject(`{"a":${number}}`)))
    }
  )

  it.each(["1e999", "-1e999"])("takes %s for no number", (number) => assert.isFalse(isExact(Number(number))))

  it("reads a text with 16 digits, e+ or __proto__ in it in time that grows with its length", () => {
    // A parser that keeps places took minutes and gigabytes for this.
    const elements = Array.from({ length: 2_000_000 }, (_, i) => i)
    const text = JSON.stringify({ note: "e+ __proto__ 1234567890123456", 'quote"': '"\\', elements })
    const read = Result.getOrThrow(parseStrictObject(text))
    assert.strictEqual((read["elements"] as ReadonlyArray<number>).length, elements.length)
  })

  it("reads 64 levels, and refuses 65", () => {
    const nested = (levels: number) => `{"a":${"[".repeat(levels - 1)}${"]".repeat(levels - 1)}}`
    assert.isTrue(Result.isSuccess(parseStrictObject(nested(maximumDepth))))
    assert.match(fault(parseStrictObject(nested(maximumDepth + 1))), /deeper than 64/)
    assert.match(fault(parseStrictObject(nested(5000))), /deeper than 64/)
  })
})

describe("edited", () => {
  const of = (text: string, after: JsonObject): string => {
    const content = new Content(text)
    return edited(content, Result.getOrThrow(parseStrictObject(text)), after).text
  }

  it.each<readonly [string, string, JsonObject, string]>([
    ["a value", '{"a":9223372036854775807,"b":1}', { a: 2 ** 63, b: 2 }, '{"a":9223372036854775807,"b":2}'],
    [
      "a value inside",
      '{"a":[{"b":1,"c":1e300}],"d":1.0}',
      { a: [{ b: 2, c: 1e300 }], d: 1 },
      '{"a":[{"b":2,"c":1e300}],"d":1.0}'
    ],
    ["a member that is added", '{"a":1.0}', { a: 1, b: [1] }, '{"a":1.0,"b":[1]}'],
    ["a member that goes", '{"a":1.0,"b":2.0,"c":3.0}', { a: 1, c: 3 }, '{"a":1.0,"c":3.0}'],
    [
      "a member that takes another's place",
      '{"a":1.0,"b":2.0,"c":3.0}',
      { a: 1, d: 2, c: 3 },
      '{"a":1.0,"d":2,"c":3.0}'
    ],
    ["an element that is added", '{"a":[1.0]}', { a: [1, 2] }, '{"a":[1.0,2]}'],
    ["an element that goes", '{"a":[1.0,2.0]}', { a: [1] }, '{"a":[1.0]}'],
    ["the last member", '{"a":1.0}', {}, "{}"],
    ["the first member", "{}", { a: 1 }, '{"a":1}'],
    ["another kind of value", '{"a":{"b":1.0},"c":1.0}', { a: [1], c: 1 }, '{"a":[1],"c":1.0}'],
    [
      "what stands among spaces",
      ' { "a" : 1.0 , "b" : { "c" : 1.0 } } ',
      { a: 2, b: { c: 1 } },
      ' { "a" : 2 , "b" : { "c" : 1.0 } } '
    ],
    ["a key that is escaped", '{"\\u0061":1.0,"":2.0}', { a: 1, "": 3 }, '{"\\u0061":1.0,"":3}'],
    ["text beyond ASCII", '{"é😀":"é😀","b":1.0}', { "é😀": "é😀", b: 2 }, '{"é😀":"é😀","b":2}'],
    ["nothing", ' { "a" : 1.0 } ', { a: 1 }, ' { "a" : 1.0 } ']
  ])("changes %s and nothing else", (_, text, after, expected) => assert.strictEqual(of(text, after), expected))

  it("refuses params that are not what the text says", () => {
    assert.throws(() => edited(new Content('{"a":1}'), { a: { b: 1 } }, { a: { b: 2 } }), TypeError)
    assert.throws(() => edited(new Content('{"a":1}'), { a: [1] }, { a: [2] }), TypeError)
  })
})

describe("snapshot", () => {
  const value = (u: unknown) => Result.getOrThrow(snapshot(u))

  it("copies plain data, without what is undefined", () => {
    const source = { a: 1, b: [true, null, "x"], c: undefined, d: Object.assign(Object.create(null), { e: 1 }) }
    assert.strictEqual(JSON.stringify(value(source)), '{"a":1,"b":[true,null,"x"],"d":{"e":1}}')
    assert.isFalse(Object.is(value(source), source))
  })

  it("keeps the order of keys", () => {
    assert.strictEqual(JSON.stringify(value({ z: 1, a: 2, m: { y: 1, b: 2 } })), '{"z":1,"a":2,"m":{"y":1,"b":2}}')
  })

  it("is not changed by what happens to its source later", () => {
    const source = { messages: [{ content: "a" }] }
    const copy = value(source)
    source.messages[0] = { content: "b" }
    assert.deepStrictEqual(copy, { messages: [{ content: "a" }] })
  })

  it("runs no code of its source", () => {
    let ran = 0
    const run = () => ran++
    const traps = new Proxy({}, { get: () => run })
    const hostile: ReadonlyArray<unknown> = [
      {
        get a() {
          return run()
        }
      },
      { toJSON: run },
      Object.create({ toJSON: run }),
      new (class {
        a = 1
        toJSON() {
          return run()
        }
      })(),
      new Proxy({ a: 1 }, traps),
      new Proxy([1], traps),
      [new Proxy({}, traps)],
      new Date(0),
      new String("a"),
      [1, { [Symbol.toPrimitive]: run }]
    ]
    for (const source of hostile) assert.isTrue(Result.isFailure(snapshot({ source })), String(typeof source))
    assert.strictEqual(ran, 0)
  })

  it.each<readonly [string, unknown, string]>([
    ["a Proxy", { a: [new Proxy({}, {})] }, "$.a[0] is a Proxy"],
    ["a Proxy of an array", { a: new Proxy([], {}) }, "$.a is a Proxy"],
    ["a getter", { a: Object.defineProperty({}, "b", { enumerable: true, get: () => 1 }) }, "$.a.b is a getter"],
    ["a function", { a: () => 1 }, "$.a is a function"],
    ["a symbol", { a: Symbol("x") }, "$.a is a symbol"],
    ["a symbol for a key", { [Symbol("x")]: 1 }, "$ has a symbol for a key"],
    ["a bigint", { a: 1n }, "$.a is a bigint"],
    ["half of a surrogate pair", { a: ["\ud800"] }, "$.a[0] was cut inside a character"],
    ["half of a surrogate pair in a key", { a: { "\udc00": 1 } }, "a key of $.a was cut inside a character"],
    ["NaN", { a: NaN }, "$.a is NaN"],
    ["Infinity", { a: -Infinity }, "$.a is -Infinity"],
    ["undefined in an array", [undefined], "$[0] is a undefined"],
    ["a hole", { a: Array(2) }, "$.a[0] is a hole"],
    ["a Map", { a: new Map() }, "$.a is not a plain object"],
    ["a Date", { a: new Date(0) }, "$.a is not a plain object"],
    ["bytes", { a: new Uint8Array(1) }, "$.a is not a plain object"],
    ["a subclass of Array", { a: new (class extends Array {})() }, "$.a is not a plain array"],
    ["__proto__", { a: JSON.parse('{"__proto__":1}') }, "$.a has a member named __proto__"]
  ])("refuses %s, and says where", (_, source, message) => {
    assert.include(fault(snapshot(source)), message)
  })

  it("refuses a cycle, and what is nested too deep", () => {
    const cycle: Record<string, unknown> = {}
    cycle["self"] = cycle
    assert.match(fault(snapshot(cycle)), /deeper than 64/)
    let deep: unknown = 1
    for (let i = 0; i < 65; i++) deep = [deep]
    assert.match(fault(snapshot(deep)), /deeper than 64/)
  })

  it("does not see what a prototype lends", () => {
    assert.deepStrictEqual(value(Object.assign(Object.create(null), { model: "m" })), { model: "m" })
    assert.isTrue(Result.isFailure(snapshot(Object.create({ max_tokens: 1 }))))
  })
})
