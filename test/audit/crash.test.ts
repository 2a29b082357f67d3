/**
 * What survives a process: killed, ended, or with nothing left to do.
 */
import { afterEach, assert, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { leafHash } from "../../src/audit/MerkleTree.ts"
import { segmentsOf } from "../../src/audit/Segment.ts"
import { check, temporaryFolder } from "./logs.ts"

const writer = Path.join(import.meta.dirname, "writer.ts")

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

const linesOf = (path: string): ReadonlyArray<string> =>
  segmentsOf(Fs.readdirSync(Path.join(path, "journal"))).flatMap(({ name }) =>
    Fs.readFileSync(Path.join(path, "journal", name), "utf8")
      .split("\n")
      .slice(0, -1)
  )

/** Writes until it is killed; gives what it said was acknowledged. */
const killed = (path: string, afterLines: number): Promise<ReadonlyArray<readonly [number, string]>> =>
  new Promise((resolve) => {
    const child = ChildProcess.spawn(process.execPath, [writer, path, "forever"], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    let said = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text
      if (said.split("\n").length > afterLines) child.kill("SIGKILL")
    })
    child.once("close", () =>
      resolve(
        said
          .split("\n")
          .slice(0, -1)
          .map((line) => {
            const [index = "", leaf = ""] = line.split(" ")
            return [Number(index), leaf] as const
          })
      )
    )
  })

describe("a process that writes a log", () => {
  it("loses nothing that it acknowledged, however often it is killed", { timeout: 90_000 }, async () => {
    const path = newLog()
    const acknowledged: Array<readonly [number, string]> = []
    for (let kill = 0; kill < 6; kill++) {
      acknowledged.push(...(await killed(path, 20 + kill * 150)))
      const report = await check({ path })
      // The tail of a killed process may be torn; nothing else may be wrong.
      assert.deepStrictEqual(report.problems, [])
    }
    run(path, "close")
    const lines = linesOf(path)
    assert.isAbove(acknowledged.length, 500)
    for (const [index, leaf] of acknowledged)
      assert.strictEqual(Buffer.from(leafHash(lines[index] ?? "")).toString("base64url"), leaf, `record ${index}`)
    const report = await check({ path })
    assert.deepInclude(report, { ok: true, open: 0, unsigned: 0 })
    const records = lines.map((line) => JSON.parse(line))
    assert.lengthOf(
      records.filter(({ kind }) => kind === "log.recovered"),
      6
    )
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
