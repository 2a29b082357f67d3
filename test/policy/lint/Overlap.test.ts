import { assert, describe, it } from "@effect/vitest"
import { overlap, reachable } from "../../../src/policy/lint/Overlap.ts"
import { resourcePattern } from "../../../src/policy/Pattern.ts"
import { Random } from "../random.ts"

/** Every text over a small alphabet: long enough for what two or three short patterns have in common. */
const texts = (length: number): ReadonlyArray<string> =>
  length === 0 ? [""] : ["", ...texts(length - 1).flatMap((text) => ["a", "/", "."].map((letter) => letter + text))]
const all = [...new Set(texts(7))]

const pattern = (random: Random): string =>
  Array.from({ length: 1 + Math.floor(random.next() * 4) }, () =>
    random.pick(["a", "/", ".", "*", "**", "a", "*"])
  ).join("")

const random = new Random(7)
const matching = (patterns: ReadonlyArray<string>): boolean => {
  const matchers = patterns.map(resourcePattern)
  return all.some((text) => matchers.every((matches) => matches(text)))
}

describe("overlap", () => {
  it("says of two or three patterns whether some resource matches all, as matching does", () => {
    const answers = new Set<boolean | undefined>()
    for (let i = 0; i < 1500; i++) {
      const patterns = Array.from({ length: random.pick([1, 2, 2, 3]) }, () => pattern(random))
      const answer = overlap(patterns)
      answers.add(answer)
      assert.strictEqual(answer, matching(patterns), patterns.join("  "))
    }
    assert.sameMembers([...answers], [true, false])
  })

  it("honours every form of a pattern", () => {
    assert.isTrue(overlap(["*secret*", "tool:app/my-secrets"]))
    assert.isTrue(overlap(["*.pem", "tool:*/key.pem"]))
    assert.isFalse(overlap(["*.pem", "tool:*/key"]))
    assert.isFalse(overlap(["tool:*", "tool:app/x"]))
    assert.isTrue(overlap(["tool:**", "tool:app/x"]))
    assert.isFalse(overlap(["tool:*/x", "tool:*/y"]))
    assert.isTrue(overlap(["tool:a*/x", "tool:*b/x", "tool:**"]))
    assert.isFalse(overlap(["tool:a*/x", "tool:*b/x", "tool:ac/*"]))
  })

  it("gives no answer rather than take too long", () => {
    const many = Array.from({ length: 8 }, (_, i) => `**${"a".repeat(20)}${i}**${i % 2}`)
    assert.isUndefined(overlap(many))
  })
})

describe("reachable", () => {
  it("takes one pattern of each list", () => {
    assert.isTrue(reachable(["tool:*/x"], [["tool:a/*", "tool:b/*"], ["tool:b/**"]]))
    assert.isFalse(reachable(["tool:*/x"], [["tool:a/*"], ["tool:b/**"]]))
    assert.isFalse(
      reachable(
        ["tool:*/x"],
        [
          ["tool:a/x", "tool:b/y"],
          ["tool:a/y", "tool:b/y"]
        ]
      )
    )
    assert.isTrue(reachable(["tool:*/x"], []))
  })
  it("gives no answer rather than take too long", () => {
    const list = Array.from({ length: 3000 }, (_, i) => `tool:a/${i}`)
    assert.isUndefined(reachable(["tool:**"], [list, ["tool:b/*"]]))
  })
})
