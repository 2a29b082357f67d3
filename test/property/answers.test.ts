import { assert, describe, it } from "@effect/vitest"
import { answers, records, type Tally } from "./answers.ts"
import { styles } from "./answerStyles.ts"

const count = 1200
const parts = 4

describe("of a random answer in any style", () => {
  const tally: Tally = new Map()

  for (let part = 0; part < parts; part++)
    it(`nothing denied comes out, and all that is allowed does, part ${part + 1}`, () =>
      answers((part * count) / parts, ((part + 1) * count) / parts, tally))

  it("and these were told in every style, for every reason", () => {
    const all = styles.flatMap(({ name }) => [`${name} streamed`, `${name} plain`])
    const rare = [...all, "allowed", "text", "escaped", "stray", "tool", "argument"].filter(
      (what) => (tally.get(what) ?? 0) < count / 100
    )
    assert.deepStrictEqual(rare, [], JSON.stringify([...tally]))
  })
})

it("the log has the same tools of a random answer, however it is told, and the gate refuses those that it denies", () => {
  assert.isAbove(records(0, count), count / 2)
})
