/**
 * What survives a process: killed, ended, or with nothing left to do.
 */
import { afterEach, assert, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { type Kills, killWriters, linesOf } from "./kills.ts"
import { check, temporaryFolder } from "./logs.ts"

const writer = Path.join(import.meta.dirname, "writer.ts")

/** The deep tests kill ten thousand. */
const kills = 12

const folders: Array<string> = []
const newLog = (): string => {
  const home = temporaryFolder()
  folders.push(home)
  return Path.join(home, "audit")
}
afterEach(() => {
  for (const made of folders.splice(0)) Fs.rmSync(made, { recursive: true, force: true })
})

const run = (path: string, mode: string, count = "5"): void => {
  const { status, stderr } = ChildProcess.spawnSync(process.execPath, [writer, path, mode, count], { timeout: 20_000 })
  assert.strictEqual(status, 0, stderr.toString())
}

describe("a process that writes a log", () => {
  it("loses nothing that it acknowledged, killed at any moment", { timeout: 600_000 }, async () => {
    // Two side by side: most of a run is the start of the process.
    const reports = await Promise.all([killWriters(kills / 2, 1), killWriters(kills / 2, 2)])
    const sum = (name: keyof Kills): number => reports.reduce((total, report) => total + report[name], 0)
    assert.strictEqual(sum("kills"), kills)
    assert.isAbove(sum("acknowledged"), 10 * kills)
    assert.isAbove(sum("unknown"), kills)
    assert.isBelow(sum("early"), kills / 2)
  })

  it("ends what is open and signs everything when it exits without closing", async () => {
    const path = newLog()
    run(path, "exit")
    assert.deepInclude(await check({ path }), { ok: true, open: 0, unsigned: 0, torn: 0 })
    const records = linesOf(path).map((line) => JSON.parse(line))
    assert.deepStrictEqual(
      records.slice(-4).map(({ kind, reason, result }) => [kind, reason ?? result]),
      [
        ["stream.close", "abandoned"],
        ["outcome", "abandoned"],
        ["outcome", "abandoned"],
        ["log.close", undefined]
      ]
    )
    assert.isFalse(Fs.existsSync(Path.join(path, "lock")))
    run(path, "close")
    assert.isTrue((await check({ path })).ok)
    assert.notInclude(
      linesOf(path).map((line) => JSON.parse(line).kind),
      "log.recovered"
    )
  })

  it("is not kept alive by the log, and loses nothing when it has nothing left to do", async () => {
    const path = newLog()
    const started = Date.now()
    run(path, "idle", "20")
    assert.isBelow(Date.now() - started, 15_000)
    assert.deepInclude(await check({ path }), { ok: true, open: 0, unsigned: 0, records: 44 })
  })
})
