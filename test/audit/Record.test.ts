import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { LogRecord } from "../../src/audit/Record.ts"
import { encode, maximumLine, parseLine } from "../../src/audit/RecordLine.ts"
import { canonicalize } from "../../src/base/CanonicalJson.ts"

const head = { v: 1, seq: 7, id: "i", ts: 1, boot: "b" } as const

const refused = (more: Partial<Extract<LogRecord, { kind: "refused" }>> = {}): LogRecord => ({
  ...head,
  kind: "refused",
  call: "c",
  tool: "tool:shop/generate",
  app: "shop",
  stage: "policy",
  code: "policy_denied",
  status: 403,
  violations: [],
  ...more
})

const fault = (line: string): string => Result.getOrElse(Result.flip(parseLine(line)), () => "")

const Text = Schema.String
const Count = Schema.Int

describe("Record", () => {
  it.prop(
    "writes canonical JSON that it reads back, whatever the texts",
    [
      Arbitrary.schema(
        Schema.Struct({
          tool: Text,
          app: Text,
          code: Text,
          stage: Text,
          status: Count,
          policies: Schema.optionalKey(Schema.Array(Text)),
          violations: Schema.Array(Schema.Struct({ code: Text, path: Schema.optionalKey(Text) })),
          principal: Schema.optionalKey(
            Schema.Struct({ kind: Schema.Literal("user"), id: Text, roles: Schema.Array(Text) })
          )
        })
      )
    ],
    ([fields]) => {
      const line = encode(refused(fields))
      const read = Result.getOrThrow(parseLine(line))
      return line === canonicalize(JSON.parse(line)) && read.seq === 7
    }
  )

  it.each([
    ["Object", Object.prototype],
    ["Array", Array.prototype],
    ["String", String.prototype],
    ["Number", Number.prototype]
  ])("is written as it is, with a toJSON on %s.prototype", (_name, prototype) => {
    const records = [
      refused({ violations: [{ code: "length", path: "messages[0]", policy: "user:ana" }], policies: ["user:ana"] }),
      refused({ tool: "tool:\ud800/x", violations: Array.from({ length: 3000 }, () => ({ code: "c".repeat(40) })) })
    ]
    const lines = records.map(encode)
    Object.defineProperty(prototype, "toJSON", { value: () => "forged", configurable: true, enumerable: false })
    try {
      assert.deepStrictEqual(records.map(encode), lines)
    } finally {
      Reflect.deleteProperty(prototype, "toJSON")
    }
  })

  it("writes other numbers as text, leaves out what is absent, and replaces lone surrogates", () => {
    const line = encode(refused({ status: 0.7, policies: undefined, tool: "tool:\ud800/x", code: "-0" }))
    const read = Result.getOrThrow(parseLine(line))
    assert.strictEqual(read["status"], "0.7")
    assert.notProperty(read, "policies")
    assert.strictEqual(read["tool"], "tool:\ufffd/x")
  })

  it("shortens a record that is too long, and says so", () => {
    for (const more of [
      { tool: `tool:shop/${"x".repeat(100_000)}` },
      { tool: "\u0001".repeat(100_000), app: "🙂".repeat(50_000) },
      { policies: Array.from({ length: 10_000 }, (_, i) => `company:${i}`) },
      { violations: Array.from({ length: 5_000 }, () => ({ code: "c".repeat(500), path: "p".repeat(500) })) }
    ]) {
      const line = encode(refused(more))
      assert.isAtMost(Buffer.byteLength(line), maximumLine)
      const read = Result.getOrThrow(parseLine(line))
      assert.property(read, "shortened")
      assert.strictEqual(read["code"], "policy_denied")
    }
    assert.notProperty(Result.getOrThrow(parseLine(encode(refused({ tool: "x".repeat(60_000) })))), "shortened")
  })

  it("refuses a line that is not its own canonical form", () => {
    const line = encode(refused())
    assert.strictEqual(fault(line), "")
    for (const wrong of [
      ` ${line}`,
      `${line} `,
      `\ufeff${line}`,
      line.replace(",", ", "),
      line.replace('"app":"shop",', "").replace("}", ',"app":"shop"}'),
      line.replace('"seq":7', '"seq":7,"seq":7'),
      line.replace('"seq":7', '"seq":7.0'),
      line.replace('"seq":7', '"seq":0.5'),
      line.replace('"seq":7', '"seq":-0'),
      line.replace('"seq":7', '"seq":9007199254740993'),
      line.replace('"seq":7', '"seq":"7"'),
      line.replace('"shop"', "null"),
      line.replace('"shop"', '"\\u0073hop"'),
      line.replace('"shop"', '"\\ud800"'),
      line.replace('"v":1', '"v":2'),
      line.replace('"boot":"b",', ""),
      line.replace('"app"', '"äpp"'),
      "[]",
      "null",
      '""',
      "",
      line.slice(1)
    ])
      assert.notStrictEqual(fault(wrong), "", wrong)
  })

  it("reads fields that it does not know, in the order of RFC 8785", () => {
    // As array indices, "9" would come before "10"; RFC 8785 orders by code units.
    const line = encode(refused()).replace('"app":"shop"', '"app":{"10":1,"9":[{}]}')
    assert.strictEqual(fault(line), "")
    assert.notStrictEqual(fault(line.replace('"10":1,"9":[{}]', '"9":[{}],"10":1')), "")
    assert.strictEqual(fault(line.replace('"10"', '"\\\\ud"')), fault(line.replace('"10"', '"\\\\ud"')))
  })
})
