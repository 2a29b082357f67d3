/** Each byte of a log of hundreds of records, changed: found by both verifiers, every one. */
import * as Fs from "node:fs"
import { afterAll, assert, describe, it } from "vitest"
import { temporaryFolder } from "../audit/logs.ts"
import { agree } from "../verifier/Agreement.ts"
import { journals, textOf } from "../verifier/Logs.ts"
import { python } from "../verifier/Python.ts"
import { flips } from "../verifier/Tampering.ts"
import { shard, shards } from "./shard.ts"

const home = temporaryFolder()
afterAll(() => Fs.rmSync(home, { recursive: true, force: true }))

describe.skipIf(python === undefined)("a log of hundreds of records", () => {
  it("is found to be changed, whichever byte it was", async () => {
    const log = (await journals(home)).get("hundreds")
    if (log === undefined) throw new Error("there is no log")
    const found = await agree(flips("hundreds", log, shard, shards, textOf(log.files, "vkey")), home)
    assert.isAbove(found * shards, 90_000)
    console.log(`${found} changes of one byte, all found by both`)
  })
})
