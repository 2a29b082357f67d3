/**
 * Processes that write a log and are killed at random, and what has to hold of the log after each kill.
 */
import { assert } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { leafHash } from "../../src/audit/proof/MerkleTree.ts"
import { segmentsOf } from "../../src/audit/folder/Segment.ts"
import { chanceOf } from "./faults.ts"
import { check, temporaryFolder } from "./logs.ts"

const writer = Path.join(import.meta.dirname, "writer.ts")

/** How often one log is killed before the next one is begun. */
const killsOfLog = 10

/** A writer that ends by itself. */
const close = (path: string, cache: string): void => {
  const env = { ...process.env, NODE_COMPILE_CACHE: cache }
  const { status, stderr } = ChildProcess.spawnSync(process.execPath, [writer, path, "close", "1"], {
    env,
    timeout: 60_000
  })
  assert.strictEqual(status, 0, stderr.toString())
}

/** What was killed, and what had been acknowledged by then. */
export interface Kills {
  kills: number
  /** Kills before the log was open. */
  early: number
  acknowledged: number
  /** Tails that a kill had torn, calls that it left open. */
  torn: number
  unknown: number
}

/** The lines of the log at `path`, without a torn tail. */
export const linesOf = (path: string): ReadonlyArray<string> =>
  segmentsOf(Fs.existsSync(Path.join(path, "journal")) ? Fs.readdirSync(Path.join(path, "journal")) : []).flatMap(
    ({ name }) =>
      Fs.readFileSync(Path.join(path, "journal", name), "utf8")
        .split("\n")
        .slice(0, -1)
  )

/** Writes until it is killed, some ms after its first acknowledgement or, `early`, after its start; gives what it said. */
const kill = (
  path: string,
  cache: string,
  delay: number,
  early: boolean
): Promise<ReadonlyArray<readonly [number, string]>> =>
  new Promise((resolve, reject) => {
    const child = ChildProcess.spawn(process.execPath, [writer, path, "forever"], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NODE_COMPILE_CACHE: cache }
    })
    let said = ""
    let errors = ""
    let timer: NodeJS.Timeout | undefined
    const arm = (): void => void (timer ??= setTimeout(() => child.kill("SIGKILL"), delay))
    if (early) arm()
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text))
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text
      arm()
    })
    child.once("error", reject)
    child.once("close", (_, signal) => {
      clearTimeout(timer)
      if (signal !== "SIGKILL") return reject(new Error(`the writer ended by itself: ${errors}`))
      const lines = said.split("\n").slice(0, -1)
      resolve(lines.map((line) => [Number(line.split(" ")[0]), line.split(" ")[1] ?? ""] as const))
    })
  })

/**
 * Kills writers `count` times, one after the other. Throws where a log does not hold. They read what the first of all, which
 * is not killed, has compiled: one that is killed leaves nothing.
 */
export const killWriters = async (count: number, seed: number): Promise<Kills> => {
  const report: Kills = { kills: 0, early: 0, acknowledged: 0, torn: 0, unknown: 0 }
  const home = temporaryFolder()
  const chance = chanceOf(seed)
  const cache = Path.join(home, "cache")
  try {
    close(Path.join(home, "first", "audit"), cache)
    for (let log = 0; report.kills < count; log++)
      await killLog(
        Path.join(home, String(log), "audit"),
        cache,
        Math.min(killsOfLog, count - report.kills),
        chance.next,
        report
      )
  } finally {
    Fs.rmSync(home, { recursive: true, force: true })
  }
  return report
}

const killLog = async (
  path: string,
  cache: string,
  kills: number,
  next: () => number,
  report: Kills
): Promise<void> => {
  const acknowledged: Array<readonly [number, string]> = []
  const copies: Array<string> = []
  for (let i = 0; i < kills; i++) {
    const early = next() < 0.1
    const said = await kill(path, cache, early ? 100 + next() * 500 : next() * 40, early)
    acknowledged.push(...said)
    report.kills++
    if (said.length === 0) report.early++
    if (!Fs.existsSync(Path.join(path, "checkpoint"))) continue
    // The tail of a killed process may be torn; nothing else may be wrong, and what was signed before is still there.
    const state = await check({ path, since: copies.at(-1) })
    assert.deepStrictEqual(state.problems, [])
    if (state.torn > 0) report.torn++
    assertThere(linesOf(path), acknowledged)
    copies.push(Fs.readFileSync(Path.join(path, "checkpoint"), "utf8"))
  }
  close(path, cache)
  for (const since of copies)
    assert.deepInclude(await check({ path, since }), { ok: true, open: 0, unsigned: 0, problems: [] })
  const lines = linesOf(path)
  assertThere(lines, acknowledged)
  const records = lines.map((line) => JSON.parse(line))
  const recovered = records.filter(({ kind }) => kind === "log.recovered")
  const opened = records.filter(({ kind }) => kind === "log.open").length
  assert.strictEqual(recovered.length, opened - 1, "every boot but the last was recovered from")
  const unknown = records.filter(({ kind, result }) => kind === "outcome" && result === "unknown").length
  assert.strictEqual(
    unknown,
    recovered.reduce((sum, { open }) => sum + open, 0)
  )
  report.unknown += unknown
  report.acknowledged += acknowledged.length
}

const assertThere = (lines: ReadonlyArray<string>, acknowledged: ReadonlyArray<readonly [number, string]>): void => {
  for (const [index, leaf] of acknowledged)
    assert.strictEqual(Buffer.from(leafHash(lines[index] ?? "")).toString("base64url"), leaf, `record ${index}`)
}
