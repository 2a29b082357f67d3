import { assert, describe, it } from "@effect/vitest"
import { showDiagnostic, showFrame } from "../../src/policy/Diagnostic.ts"

const place = (text: string, column: number, line = 3) => ({ file: "a.json", line, column, text })

describe("a finding", () => {
  it("is one line with its place", () => {
    const finding = { severity: "error", code: "x", message: "wrong", path: "a.b", place: place("", 5) } as const
    assert.strictEqual(showDiagnostic(finding), "a.json:3:5: a.b: wrong")
    assert.strictEqual(showDiagnostic({ ...finding, path: "", hint: "do this" }), "a.json:3:5: wrong; do this")
    assert.strictEqual(
      showDiagnostic({ ...finding, place: { ...place("", 0, 0), file: "policies[1]" } }),
      "policies[1]: a.b: wrong"
    )
  })

  it("has its line and a caret below its column", () => {
    assert.deepStrictEqual(showFrame({ place: place(`  "max": 5`, 3, 12) }), [`12 |   "max": 5`, `   |   ^`])
    assert.deepStrictEqual(showFrame({ place: place(`\t"max": 5`, 2) }), [`3 |  "max": 5`, `  |  ^`])
    assert.deepStrictEqual(showFrame({ place: place("", 0, 0) }), [])
  })

  it("has the part of a long line that it is about", () => {
    const [line = "", caret = ""] = showFrame({ place: place(`${"x".repeat(300)}HERE${"y".repeat(300)}`, 301) })
    assert.strictEqual(line.slice(caret.indexOf("^"), caret.indexOf("^") + 4), "HERE")
    assert.isBelow(line.length, 110)
    assert.match(line, /^3 \| …x+HEREy+…$/)
  })

  it("has its caret below the character of a condition that is wrong", () => {
    const text = `  "attestations": ["k::{params.a = 5}"]`
    const [, caret = ""] = showFrame({ place: place(text, 20), excerpt: { text: "params.a = 5", at: 10 } })
    assert.strictEqual(caret.indexOf("^") - "3 | ".length, text.indexOf("= 5"))
  })

  it("shows the condition alone where the line spells it otherwise, or is not there", () => {
    const excerpt = { text: `params.a = "5"`, at: 10 }
    const alone = [`condition | params.a = "5"`, `          |          ^`]
    assert.deepStrictEqual(showFrame({ place: place("", 0, 0), excerpt }), alone)
    assert.deepStrictEqual(showFrame({ place: place(String.raw`["k::{params.a = \"5\"}"]`, 2), excerpt }), [
      String.raw`3 | ["k::{params.a = \"5\"}"]`,
      `  |  ^`,
      ...alone
    ])
  })
})
