/**
 * A log that failed is opened anew under the same lock, and only where it still is what this process wrote.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { File, FileSystem } from "../../src/audit/folder/Disk.ts"
import { Audit } from "../../src/audit/Audit.ts"
import type { Body } from "../../src/audit/Record.ts"
import { chat, runCall, withLayer } from "./calls.ts"
import { FaultyDisk } from "./FaultyDisk.ts"
import type { Journal } from "../../src/audit/folder/Journal.ts"
import { type Acknowledged, assertWhole, begin, makeCall, pause, script } from "./faults.ts"
import { joinJournal, key, openJournal, openLog, temporaryFolder } from "./logs.ts"

const journal = (disk: FileSystem): string =>
  `/log/journal/${disk.list("/log/journal").findLast((name) => name.endsWith(".jsonl"))}`

/** A log that has just failed on a disk that is well again. */
const failed = async () => {
  const disk = new FaultyDisk()
  const acknowledged: Array<Acknowledged> = []
  const log = openLog(disk, { retryDelay: 1, checkpointDelay: 1 })
  await script(log, acknowledged)
  disk.failAt(disk.asked.length, "ENOSPC")
  assert.isDefined(await makeCall(log, acknowledged))
  await pause()
  disk.heal()
  return { acknowledged, disk, log }
}

const rewrite = (disk: FileSystem, path: string, change: (text: string) => string): void => {
  const text = change(disk.read(path)?.toString() ?? "")
  const file = disk.open(path)
  file.truncate(0)
  file.writeSync(Buffer.from(text), 0)
}

/** Makes calls until one is taken in again. */
const recovered = async (log: Journal, acknowledged: Array<Acknowledged>): Promise<void> => {
  do await pause()
  while ((await makeCall(log, acknowledged)) !== undefined)
}

describe("a log that failed", () => {
  const changes: ReadonlyArray<readonly [string, (disk: FileSystem) => void, RegExp]> = [
    [
      "has lost what it acknowledged",
      (disk) => rewrite(disk, journal(disk), (text) => `${text.split("\n").slice(0, 8).join("\n")}\n`),
      /were acknowledged|were signed/
    ],
    [
      "is gone",
      (disk) => {
        for (const name of disk.list("/log/journal")) disk.remove(`/log/journal/${name}`)
        disk.remove("/log/checkpoint")
      },
      /it is gone/
    ],
    [
      "holds other records",
      (disk) => rewrite(disk, journal(disk), (text) => text.replace('"ms":1,', '"ms":2,')),
      /was changed|signed root|were acknowledged/
    ]
  ]
  for (const [name, change, message] of changes)
    it(`and ${name} is not gone on with, also when it is put back`, async () => {
      const { acknowledged, disk, log } = await failed()
      const files = disk.files.map(([path, bytes]) => [path, Buffer.from(bytes)] as const)
      change(disk)
      const refusal = await makeCall(log, acknowledged)
      assert.match(refusal?.message ?? "", message)
      assert.match(refusal?.message ?? "", /audit verify/)
      for (const [path, bytes] of files) rewrite(disk, path, () => bytes.toString())
      await pause()
      assert.strictEqual(await makeCall(log, acknowledged), refusal)
      await log.close()
    })

  it("and was cut back to an older state, checkpoint and all, is not gone on with", async () => {
    const disk = new FaultyDisk()
    const acknowledged: Array<Acknowledged> = []
    const log = begin(disk)
    await script(log, acknowledged, 1)
    await pause()
    const files = disk.files.map(([path, bytes]) => [path, Buffer.from(bytes)] as const)
    await script(log, acknowledged, 3)
    await pause()
    disk.failAt(disk.asked.length, "EIO")
    assert.isDefined(await makeCall(log, acknowledged))
    for (const name of disk.list("/log/journal")) disk.remove(`/log/journal/${name}`)
    for (const [path, bytes] of files) rewrite(disk, path, () => bytes.toString())
    await pause()
    assert.match((await makeCall(log, acknowledged))?.message ?? "", /were acknowledged/)
    await log.close()
  })

  it("and whose acknowledged records were changed past its checkpoint is not gone on with", async () => {
    const disk = new FaultyDisk()
    const acknowledged: Array<Acknowledged> = []
    // So that no checkpoint covers them.
    const log = openLog(disk, { retryDelay: 1, checkpointDelay: 1_000_000 })
    for (let i = 0; i < 3; i++) assert.isUndefined(await makeCall(log, acknowledged))
    disk.failAt(disk.asked.length, "ENOSPC")
    assert.isDefined(await makeCall(log, acknowledged))
    await pause()
    disk.heal()
    rewrite(disk, journal(disk), (text) => text.replace('"id":"alice"', '"id":"alicf"'))
    assert.match((await makeCall(log, acknowledged))?.message ?? "", /are not those that were acknowledged/)
    await log.close()
  })

  it("and whose lock another process has taken since is left to it", async () => {
    const { acknowledged, disk, log } = await failed()
    disk.remove("/log/lock")
    disk.claim("/log/lock", () => JSON.stringify({ boot: "another", pid: 1, started: "" }))
    assert.isDefined(await makeCall(log, acknowledged))
    assert.notInclude(disk.read(journal(disk))?.toString() ?? "", "log.recovered")
    disk.remove("/log/lock")
    await recovered(log, acknowledged)
    assert.isDefined(disk.read("/log/lock"))
    await log.close()
    assertWhole(disk, acknowledged)
  })

  it("is left alone for a second, and says so", async () => {
    const disk = new FaultyDisk()
    const log = openJournal({ path: "/log", named: true, key, disk, opening: [] })
    disk.failAt(disk.asked.length, "EIO")
    const refusal = await makeCall(log, [])
    assert.match(refusal?.message ?? "", /tried again every second, and goes on without a restart/)
    const asked = disk.asked.length
    for (let i = 0; i < 5; i++) {
      await pause()
      assert.strictEqual(await makeCall(log, []), refusal)
    }
    assert.strictEqual(disk.asked.length, asked)
    await new Promise((resolve) => setTimeout(resolve, 1000))
    assert.isUndefined(await makeCall(log, []))
    await log.close()
  })

  it("is not opened anew while a write of its is under way", async () => {
    const faulty = new FaultyDisk()
    let hold = false
    let go: () => void = () => {}
    const held =
      (open: (path: string) => File) =>
      (path: string): File => {
        const file = open(path)
        return {
          ...file,
          write: (bytes, position, done) => {
            if (hold && path.endsWith(".jsonl")) go = () => file.write(bytes, position, done)
            else if (path.endsWith(".draft")) setImmediate(() => done(Object.assign(new Error("EIO"), { code: "EIO" })))
            else file.write(bytes, position, done)
          }
        }
      }
    const disk: FileSystem = {
      ...faulty,
      open: held(faulty.open),
      openOld: held(faulty.openOld),
      openNew: held(faulty.openNew)
    }
    const log = begin(disk)
    const acknowledged: Array<Acknowledged> = []
    await makeCall(log, acknowledged)
    hold = true
    const waiting = makeCall(log, acknowledged)
    await pause()
    await pause()
    // The checkpoint failed meanwhile; the write may still come, at a place that the next boot would write to.
    assert.isDefined(await waiting)
    assert.isDefined(await makeCall(log, acknowledged))
    assert.notInclude(faulty.read(journal(faulty))?.toString() ?? "", "log.recovered")
    hold = false
    go()
    await recovered(log, acknowledged)
    assert.include(faulty.read(journal(faulty))?.toString() ?? "", "log.recovered")
    await log.close()
  })

  it("says the keys of all its clients again", async () => {
    const disk = new FaultyDisk()
    const agent = (kid: string): Body => ({ kind: "key.active", use: "agent", kid, jwk: {} })
    const options = { path: "/log", named: true, key, disk, retryDelay: 1 }
    const first = joinJournal({ ...options, opening: [agent("first")] })
    const second = joinJournal({ ...options, opening: [agent("second")] })
    await makeCall(first, [])
    disk.failAt(disk.asked.length, "torn")
    assert.isDefined(await makeCall(second, []))
    await recovered(second, [])
    const text = disk.read(journal(disk))?.toString() ?? ""
    const after = text.slice(text.indexOf("log.recovered"))
    assert.include(after, '"first"')
    assert.include(after, '"second"')
    await first.close()
    await second.close()
  })
})

describe("a log whose checkpoints cannot be copied", () => {
  it("lets no call begin, and still tells how those under way end and who was refused", async () => {
    const path = temporaryFolder()
    const layer = Audit.layer({
      path,
      named: true,
      checkpoints: { to: () => Promise.reject(new Error("gone")), withinMinutes: 0.0001 }
    })
    await Effect.runPromise(
      withLayer(layer, (audit) =>
        Effect.gen(function* () {
          yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 30)))
          const refusal = yield* Effect.flip(runCall(audit, chat()))
          assert.strictEqual(refusal._tag, "EnforcementUnavailable")
          const passing = { id: "p", resource: "api:shop/models", app: "shop", endpoint: "GET https://host/v1/models" }
          const pass = yield* Effect.flip(
            audit.passThrough(
              passing as never,
              { kind: "app", id: "shop", documents: [], attestations: [], roles: [] } as never
            )
          )
          assert.include(pass.message, "gone")
          const records = yield* audit.records
          assert.deepStrictEqual(
            records.filter(({ kind }) => kind !== "log.open" && kind !== "key.active").map(({ kind }) => kind),
            ["refused"]
          )
        })
      )
    )
  })
})
