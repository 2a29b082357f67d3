/** Each byte of a log of hundreds of records, changed: found by both verifiers, every one. */
import * as Fs from "node:fs"
import { afterAll, assert, describe, it } from "vitest"
import { temporaryFolder } from "../audit/logs.ts"
import { agree } from "../verifier/Agreement.ts"
import { first, journals, textOf } from "../verifier/Logs.ts"
import { python } from "../verifier/Python.ts"
import { flips } from "../verifier/Tampering.ts"
import { shard, shards } from "./shard.ts"

const home = temporaryFolder()
afterAll(() => Fs.rmSync(home, { recursive: true, force: true }))

describe.skipIf(python === undefined)("a log of hundreds of records", () => {
  it("is found to be changed, whichever byte it was", async () => {
    const log = (await journals(home)).get("hundreds")
    if (log === undefined) throw new Error("there is no log")
    const bytes = ["checkpoint", "vkey", first].map((name) => log.files.get(name)?.length ?? 0)
    const cases = bytes.reduce((sum, length) => sum + Math.ceil((length - shard) / shards), 0)
    const found = await agree(flips("hundreds", log, shard, shards, textOf(log.files, "vkey")), home)
    assert.strictEqual(found, cases)
    assert.isAbove(found * shards, 80_000)
    console.log(`${found} changes of one byte, all found by both`)
  })
})
