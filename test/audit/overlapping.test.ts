/** A folder whose log several boots wrote at once is continued by one writer, wherever the others stopped. */
import { assert, it } from "vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { nodeFileSystem } from "../../src/audit/folder/Disk.ts"
import { generate } from "../../src/keys/Keys.ts"
import { linesOf, type Log, readLog, signed, writeLog } from "../verifier/Logs.ts"
import { overlapping } from "../verifier/Overlapping.ts"
import { check, openJournal, temporaryFolder } from "./logs.ts"

it("is opened after any of its records, and ends every call that was open", async () => {
  const home = temporaryFolder()
  const key = generate("log")
  const open = (path: string) => openJournal({ path, named: true, key, disk: nodeFileSystem, opening: [] })
  await open(Path.join(home, "empty")).close()
  const empty: Log = { files: readLog(Path.join(home, "empty")), key }
  const log = overlapping(empty)
  const lines = linesOf(log.files)
  for (let size = 1; size <= lines.length; size++) {
    const path = Path.join(home, String(size))
    writeLog(path, signed(log, lines.slice(0, size)))
    const before = await check({ path })
    await open(path).close()
    const after = await check({ path })
    assert.deepStrictEqual([before.problems, after.problems, after.open], [[], [], 0], `after ${size} records`)
    const more = linesOf(readLog(path))
      .slice(size)
      .map((line): Record<string, unknown> => JSON.parse(line))
    assert.strictEqual(more.filter(({ result }) => result === "unknown").length, before.open)
  }
  Fs.rmSync(home, { recursive: true, force: true })
})
