import { assert, describe, it } from "@effect/vitest"
import { globsMeet, resourcePattern, valueGlob } from "../../src/policy/Pattern.ts"

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

  it("takes time linear in the text", () => {
    const matches = resourcePattern(`tool:${"*a".repeat(12)}b/**`)
    const text = `tool:${"a".repeat(20_000)}`
    const start = performance.now()
    assert.isFalse(matches(text))
    assert.isBelow(performance.now() - start, 500)
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
