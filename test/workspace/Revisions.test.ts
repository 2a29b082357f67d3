import { afterEach, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Audit } from "../../src/audit/Audit.ts"
import type { Document } from "../../src/policy/Mapl.ts"
import { Policy, type PolicyMode } from "../../src/policy/Policy.ts"
import * as Revisions from "../../src/workspace/Revisions.ts"
import { Keys } from "../../src/keys/Keys.ts"
import { temporaryFolder } from "../audit/logs.ts"

const homes: Array<string> = []
afterEach(() => {
  for (const home of homes.splice(0)) Fs.rmSync(home, { recursive: true, force: true })
})

const limited: Document = { policy_id: "team:Lab", resources: ["**"], constraints: { rate_limit: 60 } }
const unlimited: Document = { policy_id: "team:Lab", resources: ["**"] }

/** What is told of the limits of documents where so many other logs lie beside the one that is opened. */
const told = async (
  documents: ReadonlyArray<Document>,
  others: number,
  { mode, named = false, then }: { mode?: PolicyMode; named?: boolean; then?: ReadonlyArray<Document> } = {}
): Promise<ReadonlyArray<string>> => {
  const home = temporaryFolder()
  homes.push(home)
  for (let n = 2; n < others + 2; n++) Fs.mkdirSync(Path.join(home, `audit-${n}`))
  const file = Path.join(home, "policies.json")
  Fs.writeFileSync(file, JSON.stringify(documents))
  const lines: Array<string> = []
  const logger = Logger.make(({ message }) => void lines.push(String(message)))
  const stages = Layer.mergeAll(
    Policy.layer({ policies: file, mode }),
    Audit.layer({ path: Path.join(home, "audit"), named }).pipe(Layer.provide(Keys.layerMemory))
  )
  const program = Effect.gen(function* () {
    if (then === undefined) return
    Fs.writeFileSync(file, JSON.stringify(then))
    yield* Revisions.reload
  })
  await Effect.runPromise(
    Effect.provide(program, Layer.provideMerge(Revisions.layer(undefined, stages), Logger.layer([logger])))
  )
  return lines.filter((line) => line.includes("Rate limits"))
}

describe("rate limits beside other logs", () => {
  it("are told at the start to be each process's own", async () => {
    const [line, ...more] = await told([limited, { ...limited, policy_id: "user:a" }], 1)
    assert.deepStrictEqual(more, [])
    assert.match(line ?? "", /^Rate limits are counted in each log by itself.*\(team:Lab, user:a\)/u)
    assert.match(line ?? "", /Beside the log at \S*audit there is a log of another process, now or earlier/u)
    assert.match((await told([limited], 3))[0] ?? "", /there are logs of 3 other processes/u)
  })

  it("are not where there is no other log, no limit, or none that is enforced", async () => {
    assert.deepStrictEqual(await told([limited], 0), [])
    assert.deepStrictEqual(await told([unlimited], 1), [])
    assert.deepStrictEqual(await told([limited], 1, { mode: "observe" }), [])
    assert.deepStrictEqual(await told([limited], 1, { named: true }), [])
  })

  it("are told where a change brings the first", async () => {
    assert.lengthOf(await told([unlimited], 1, { then: [limited] }), 1)
    assert.lengthOf(await told([limited], 1, { then: [{ ...limited, description: "x" }] }), 1)
  })
})
