/**
 * Every write site of a log fails once in every way. What was acknowledged stays, what was not is refused by name, and the log
 * goes on in the same process once the disk is well.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { Done, File, FileSystem } from "../../src/audit/folder/Disk.ts"
import type { Journal } from "../../src/audit/folder/Journal.ts"
import { EnforcementUnavailable } from "../../src/call/Errors.ts"
import { type Fault, FaultyDisk } from "./FaultyDisk.ts"
import { type Acknowledged, assertWhole, begin, chanceOf, inspect, makeCall, pause, reopen, script } from "./faults.ts"

/** What the run asks of the disk before it closes. */
const operations = async (found: FaultyDisk): Promise<ReadonlyArray<string>> => {
  const log = begin(found)
  const acknowledged: Array<Acknowledged> = []
  assert.deepStrictEqual(await script(log, acknowledged), [])
  await log.close()
  return [...found.asked]
}

/** A log that a process left with calls open, a torn tail, and no checkpoint over its last records. */
const crashed = async (): Promise<{ readonly disk: FaultyDisk; readonly acknowledged: Array<Acknowledged> }> => {
  const disk = new FaultyDisk()
  const acknowledged: Array<Acknowledged> = []
  const log = begin(disk)
  await script(log, acknowledged, 1)
  log.append({ kind: "key.active", use: "agent", kid: "k", jwk: {} })
  await makeCall(log, acknowledged)
  disk.failAt(disk.asked.length, "ENOSPC")
  await makeCall(log, acknowledged)
  disk.heal()
  const names = disk.list("/log/journal")
  const last = `/log/journal/${names.at(-1)}`
  disk.open(last).writeSync(Buffer.from('{"torn'), disk.read(last)?.length ?? 0)
  disk.remove("/log/lock")
  return { disk, acknowledged }
}

/** Opens until it opens: a person would start the process again. */
const opened = (disk: FaultyDisk): { readonly log: Journal; readonly refusal: EnforcementUnavailable | undefined } => {
  try {
    return { log: begin(disk), refusal: undefined }
  } catch (error) {
    assert.instanceOf(error, EnforcementUnavailable)
    disk.heal()
    disk.remove("/log/lock")
    return { log: begin(disk), refusal: error }
  }
}

/** A thing that a run asks of the disk: the one after so many others of its site. */
interface Operation {
  readonly site: string
  readonly before: number
}

const operationsOf = (asked: ReadonlyArray<string>): ReadonlyArray<Operation> => {
  const counts = new Map<string, number>()
  return asked.map((operation) => {
    const site = siteOf(operation)
    const before = counts.get(site) ?? 0
    counts.set(site, before + 1)
    return { site, before }
  })
}

const strike = async (
  disk: FaultyDisk,
  { before, site }: Operation,
  fault: Fault,
  acknowledged: Array<Acknowledged>
): Promise<"running" | "closing" | "not met"> => {
  disk.failAtSite(site, before, siteOf, fault)
  const { log, refusal } = opened(disk)
  if (refusal !== undefined) {
    assert.match(refusal.message, /\/log (cannot be opened|could not be written)/)
    assert.include(refusal.message, "made by the test")
  }
  const refusals = await script(log, acknowledged)
  for (const { message, stage } of refusals) {
    assert.strictEqual(stage, "audit")
    assert.include(message, "made by the test")
    assert.match(message, fault === "ENOSPC" ? /Make space on its disk: the log is tried again/ : /See to its disk/)
  }
  if (!disk.struck) {
    await log.close()
    disk.heal()
    await reopen(disk)
    assertWhole(disk, acknowledged)
    return disk.struck ? "closing" : "not met"
  }
  disk.heal()
  // The same process goes on, once it is well and time.
  let after: EnforcementUnavailable | undefined
  for (let i = 0; i < 200; i++) {
    await pause()
    after = await makeCall(log, acknowledged)
    if (after === undefined) break
  }
  assert.isUndefined(after)
  if (refusals.length > 0) {
    const { lines } = inspect(disk)
    assert.isTrue(lines.some((line) => line.includes('"log.recovered"')))
  }
  await log.close()
  assertWhole(disk, acknowledged)
  assert.deepStrictEqual(disk.afterClose, [])
  // Nothing of it was in memory only.
  const cut = disk.cut(chanceOf(before + 1))
  inspect(cut)
  await reopen(cut)
  assertWhole(cut, acknowledged)
  return "running"
}

const faults: ReadonlyArray<Fault> = ["EIO", "ENOSPC", "torn"]
const isFirst = (site: string, index: number, all: ReadonlyArray<string>): boolean => all.indexOf(site) === index
const isWrite = (operation: string): boolean => !/^(read|list) /.test(operation)

describe("a disk that fails", () => {
  it("can fail at everything that the log asks of a disk, and there is no other way to the disk", async () => {
    const disk = new FaultyDisk()
    const file = disk.open("/a")
    const bytes = Buffer.from("x")
    const claim = disk.claim("/claimed", () => "")
    const operations: {
      readonly [K in Exclude<keyof FileSystem, "signs"> | keyof File | "isThere"]: (done: Done) => unknown
    } = {
      makeFolder: () => disk.makeFolder("/b"),
      list: () => disk.list("/"),
      read: () => disk.read("/a"),
      open: () => disk.open("/c"),
      openOld: () => disk.openOld("/a"),
      openNew: () => disk.openNew("/f"),
      claim: () => disk.claim("/d", () => ""),
      isThere: () => (claim?.isThere(), file.isThere()),
      link: () => disk.link("/a", "/g"),
      move: () => disk.move("/a", "/h"),
      pulse: () => disk.pulse("/h"),
      rename: (done) => disk.rename("/c", "/e", done),
      renameSync: () => disk.renameSync("/c", "/e"),
      remove: () => disk.remove("/e"),
      syncFolder: (done) => disk.syncFolder("/", done),
      syncFolderSync: () => disk.syncFolderSync("/"),
      space: (done) => disk.space("/", done),
      write: (done) => file.write(bytes, 0, done),
      writeSync: () => file.writeSync(bytes, 0),
      sync: (done) => file.sync(done),
      syncSync: () => file.syncSync(),
      truncate: () => file.truncate(0),
      close: () => file.close()
    }
    for (const [name, run] of Object.entries(operations)) {
      disk.failAt(disk.asked.length, "EIO")
      const failure = await new Promise((resolve) => {
        try {
          if (run.length === 0) resolve(run(resolve))
          else run(resolve)
        } catch (error) {
          resolve(error)
        }
      })
      assert.match(String(failure), /EIO: made by the test/, name)
    }
    // Whoever else here has Node's file system only reads; the copies are not the log.
    const folder = Path.join(import.meta.dirname, "../../src/audit")
    const textOf = (name: string) => Fs.readFileSync(Path.join(folder, name), "utf8")
    assert.deepStrictEqual(
      Fs.readdirSync(folder, { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".ts") && textOf(name).includes("node:fs"))
        .sort(),
      ["folder/Copies.ts", "folder/Disk.ts", "folder/FolderReader.ts", "folder/LifeSign.ts"]
    )
    for (const name of ["folder/FolderReader.ts"])
      assert.notMatch(
        textOf(name),
        /Fs\.(promises\.)?(write|append|open|rename|unlink|rm|mkdir|link|copy|truncate|createWrite)/,
        name
      )
  })

  it("is met at every kind of site", async () => {
    const { disk } = await crashed()
    const sites = new Set([...(await operations(new FaultyDisk())), ...(await operations(disk))].map(siteOf))
    assert.includeMembers(
      [...sites],
      [
        "claim lock",
        "stat lock",
        "makeFolder journal",
        "open segment",
        "write segment",
        "sync segment",
        "close segment",
        "truncate segment",
        "syncFolder journal",
        "syncFolder log",
        "open torn",
        "write torn",
        "sync torn",
        "open leaves",
        "truncate leaves",
        "write leaves",
        "open checkpoint.draft",
        "truncate checkpoint.draft",
        "write checkpoint.draft",
        "sync checkpoint.draft",
        "rename checkpoint.draft",
        "write checkpoint.new",
        "sync checkpoint.new",
        "rename checkpoint.new",
        "write vkey.new",
        "rename vkey.new",
        "move lock"
      ]
    )
  })

  for (const fault of faults)
    for (const [name, before] of [
      ["a new log", async () => ({ disk: new FaultyDisk(), acknowledged: [] as Array<Acknowledged> })],
      ["a log that crashed", crashed]
    ] as const)
      it(
        `by ${fault} at any operation of ${name} loses nothing that was acknowledged`,
        { timeout: 120_000 },
        async () => {
          const plain = await before()
          const from = plain.disk.asked.length
          const asked = (await operations(plain.disk)).slice(from)
          assert.isAbove(asked.filter(isWrite).length, 60)
          const failures: Array<string> = []
          // Turns of the event loop fall differently: the last ones of a site may not be reached again.
          const met = { running: 0, closing: 0, "not met": 0 }
          const struck = new Set<string>()
          // Runs side by side: most of a run is waiting.
          const rest = [...operationsOf(asked)]
          await Promise.all(
            Array.from({ length: 8 }, async () => {
              for (let operation = rest.shift(); operation !== undefined; operation = rest.shift()) {
                const { acknowledged, disk } = await before()
                try {
                  const when = await strike(disk, operation, fault, acknowledged)
                  met[when]++
                  if (when !== "not met") struck.add(operation.site)
                } catch (error) {
                  failures.push(
                    `${operation.site} ${operation.before}: ${error instanceof Error ? error.message : String(error)}`
                  )
                }
              }
            })
          )
          assert.deepStrictEqual(failures, [])
          assert.isAbove(met.running, 60)
          assert.isAbove(met.closing, 3)
          assert.isBelow(met["not met"], asked.length / 5)
          // Whether a crash leaves a draft is a matter of when it comes.
          const sites = new Set([...asked.map(siteOf), "remove checkpoint.draft"])
          assert.sameMembers([...struck, "remove checkpoint.draft"].filter(isFirst), [...sites])
        }
      )
})

const siteOf = (operation: string): string =>
  operation.replace(/\d{20}\.jsonl\.torn-\d+/, "torn").replace(/\d{20}\.jsonl/, "segment")
