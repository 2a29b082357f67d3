import { assert, describe, it } from "@effect/vitest"
import { Random } from "./random.ts"
import { globsMeet, listsMeet, resourcePattern, valueGlob } from "../../src/policy/Pattern.ts"

describe("a resource pattern", () => {
  const cases: ReadonlyArray<[pattern: string, text: string, matches: boolean]> = [
    ["tool:app/generate", "tool:app/generate", true],
    ["tool:app/generate", "tool:app/Generate", false],
    ["tool:*/generate", "tool:app/generate", true],
    ["tool:*/generate", "tool:a/b/generate", false],
    ["tool:*", "tool:app/generate", false],
    ["tool:**", "tool:app/generate", true],
    ["tool:app/**", "tool:app/a/b", true],
    ["tool:app/**", "tool:app/", true],
    ["tool:app/**", "tool:application/x", false],
    ["**", "anything/at:all", true],
    ["*", "word", true],
    ["*", "a/b", false],
    ["tool:**/x*z", "tool:a/b/xyz", true],
    ["tool:**/x*z", "tool:a/xy/z", false],
    ["*secret*", "tool:a/top-secret/x", true],
    ["*.pem", "data:keys/a.pem", true],
    ["*.pem", "data:keys/a.pem.txt", false],
    ["*.tar.gz", "data:a/b.tar.gz", true],
    ["tool:a.b", "tool:aXb", false],
    ["tool:(a|b)+", "tool:a", false],
    ["***", "a/b", true],
    ["", "", true],
    ["tool:*/x", "tool:line\nbreak/x", true]
  ]
  for (const [pattern, text, matches] of cases)
    it(`${pattern} ${matches ? "matches" : "does not match"} ${JSON.stringify(text)}`, () => {
      assert.strictEqual(resourcePattern(pattern)(text), matches)
    })

  it("agrees with a naive one", () => {
    const matches = (pattern: string, text: string): boolean => {
      if (pattern === "") return text === ""
      const [run = ""] = /^\*+/.exec(pattern) ?? []
      if (run === "") return pattern[0] === text[0] && matches(pattern.slice(1), text.slice(1))
      for (let at = 0; at <= text.length; at++) {
        if (matches(pattern.slice(run.length), text.slice(at))) return true
        if (run === "*" && text[at] === "/") return false
      }
      return false
    }
    const random = new Random(1)
    const some = (alphabet: string, most: number) =>
      Array.from({ length: Math.floor(random.next() * most) }, () => random.pick([...alphabet])).join("")
    let matched = 0
    for (let round = 0; round < 50_000; round++) {
      // Around texts of more than 31 characters, one word of states is not enough.
      const around = random.chance(0.3) ? some("ab", 80) : ""
      const pattern = `t${around}${some("ab/**", 8)}`
      const text = `t${around}${some("ab/", 8)}`
      const expected = matches(pattern, text)
      assert.strictEqual(resourcePattern(pattern)(text), expected, `${pattern} ${text}`)
      if (expected) matched++
    }
    assert.isAbove(matched, 5000)
  })
})

describe("a value glob", () => {
  const cases: ReadonlyArray<[glob: string, text: string, matches: boolean]> = [
    ["gpt-4", "gpt-4", true],
    ["gpt-4", "gpt-4o", false],
    ["gpt-4*", "gpt-4o-mini", true],
    ["*public*", "a/b/public/c", true],
    ["*", "", true],
    ["a*a", "a", false],
    ["a*a", "aa", true],
    ["*ab*ab", "ab", false],
    ["*ab*ab", "abab", true],
    ["a*b*c", "a-b-b-c", true],
    ["a*b*c", "a-c-b", false],
    ["*DROP TABLE*", "x; drop table y", false]
  ]
  for (const [glob, text, matches] of cases)
    it(`${glob} ${matches ? "matches" : "does not match"} ${JSON.stringify(text)}`, () => {
      assert.strictEqual(valueGlob(glob)(text), matches)
    })
})

describe("two globs", () => {
  const cases: ReadonlyArray<[left: string, right: string, meet: boolean]> = [
    ["gpt-*", "*-mini", true],
    ["gpt-*", "o1*", false],
    ["a*", "*b", true],
    ["a", "a", true],
    ["a", "b", false],
    ["a*c", "ab*", true],
    ["a*c", "*d", false],
    ["*", "anything", true],
    ["", "*", true]
  ]
  for (const [left, right, meet] of cases)
    it(`${left} and ${right} ${meet ? "have" : "have not"} a text in common`, () => {
      assert.strictEqual(globsMeet(left, right), meet)
      assert.strictEqual(globsMeet(right, left), meet)
    })
})

describe("globs meet", () => {
  it("as a naive comparison says", () => {
    const meet = (left: string, right: string): boolean => {
      if (left === "" && right === "") return true
      if (left[0] === "*") return meet(left.slice(1), right) || (right !== "" && meet(left, right.slice(1)))
      if (right[0] === "*") return meet(right, left)
      return left !== "" && left[0] === right[0] && meet(left.slice(1), right.slice(1))
    }
    const random = new Random(2)
    const glob = () =>
      Array.from({ length: Math.floor(random.next() * 6) }, () => random.pick(["a", "b", "*"])).join("")
    for (let round = 0; round < 50_000; round++) {
      const [left, right] = [glob(), glob()]
      assert.strictEqual(globsMeet(left, right), meet(left, right), `${left} ${right}`)
    }
  })
})

/**
 * Each of these would take minutes or years if a step were taken back; they end because none is. Nothing here looks at a
 * clock but the runner, which ends a test after 20 seconds.
 */
describe("lists of globs meet", () => {
  it("only where one text matches a glob of each", () => {
    assert.isTrue(
      listsMeet([
        ["a*", "b*"],
        ["b*", "c*"],
        ["*d", "b*e"]
      ])
    )
    assert.isFalse(
      listsMeet([
        ["a*", "b*"],
        ["b*", "c*"],
        ["a*", "c*"]
      ])
    )
    assert.isFalse(listsMeet([["*a"], ["b*"], ["*c"]]))
    assert.isFalse(listsMeet([["a*"], []]))
    assert.isTrue(listsMeet([]))
  })

  it("as a naive comparison says", () => {
    const parts = ["", "a", "b", "ab", "ba"]
    const globs = parts.flatMap((begin) => parts.map((end) => `${begin}*${end}`))
    const texts = parts.flatMap((begin) => parts.flatMap((middle) => parts.map((end) => begin + middle + end)))
    const random = new Random(7)
    let apart = 0
    for (let round = 0; round < 3000; round++) {
      const lists = Array.from({ length: 1 + (round % 4) }, () => random.some(globs, 0.06))
      const expected = texts.some((text) => lists.every((list) => list.some((glob) => valueGlob(glob)(text))))
      assert.strictEqual(listsMeet(lists), expected, JSON.stringify(lists))
      if (!expected && lists.every((list) => list.length > 0)) apart++
    }
    assert.isAbove(apart, 100)
  })

  it("without end or memory where there are very many", () => {
    const many = (letter: string) => Array.from({ length: 20_000 }, (_, i) => `${letter}${i}*`)
    assert.isTrue(listsMeet([many("a"), many("b")]))
  })
})

describe("hostile patterns and texts end", () => {
  const long = "a".repeat(1_000_000)

  it("for nested stars over a megabyte", () => {
    assert.isFalse(resourcePattern(`tool:${"*a".repeat(30)}b/**`)(`tool:${long}`))
    assert.isFalse(resourcePattern(`tool:${"**a*".repeat(30)}b`)(`tool:${"a/".repeat(500_000)}`))
    assert.isTrue(resourcePattern(`tool:${"**a*".repeat(30)}`)(`tool:${"a/".repeat(500_000)}a`))
  })

  it("for a pattern of a megabyte", () => {
    const stars = resourcePattern(`tool:${"*b".repeat(500_000)}`)
    assert.isFalse(stars("tool:app/generate"))
    assert.isTrue(resourcePattern("*".repeat(1_000_000))("tool:app/generate"))
    const distinct = Array.from({ length: 50_000 }, (_, code) => String.fromCharCode(0x1000 + code)).join("*")
    assert.isTrue(resourcePattern(distinct)(distinct))
  })

  it("for a long text that is nearly there everywhere", () => {
    const piece = `${"a".repeat(250_000)}b${"a".repeat(250_000)}`
    assert.isFalse(resourcePattern(`*${piece}*`)(long))
    assert.isTrue(resourcePattern(`*${piece}*`)(`${long}b${long}`))
    assert.isFalse(valueGlob(`*b${"a".repeat(400_000)}*`)(long))
    assert.isFalse(valueGlob(`*${`${"a".repeat(100)}b*`.repeat(1000)}`)(long))
    assert.isTrue(valueGlob(`*${`${"a".repeat(100)}*`.repeat(1000)}`)(long))
  })

  it("for globs that are compared with each other", () => {
    const glob = "a*".repeat(250_000)
    assert.isTrue(globsMeet(`${glob}b`, `${glob}*`))
    assert.isFalse(globsMeet(`${glob}b`, `${glob}c`))
    assert.isFalse(globsMeet(glob, `b${long}`))
  })
})

describe("a piece longer than 64 characters", () => {
  it("is found where it stands first after the ones before it", () => {
    const random = new Random(3)
    const text = () =>
      Array.from({ length: 65 + Math.floor(random.next() * 20) }, () => random.pick(["a", "ab"])).join("")
    for (let round = 0; round < 5000; round++) {
      const [first, second, around] = [text(), text(), text()]
      const whole = `${around}${random.chance(0.7) ? first : ""}${random.pick(["", around])}${random.chance(0.7) ? second : ""}`
      const at = whole.indexOf(first)
      const expected = at !== -1 && whole.indexOf(second, at + first.length) !== -1
      assert.strictEqual(valueGlob(`*${first}*${second}*`)(whole), expected)
    }
  })
})
