import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { nodeFileSystem } from "../../../src/audit/folder/Disk.ts"
import * as FolderLog from "../../../src/audit/folder/FolderLog.ts"
import { orMissing } from "../../../src/base/Files.ts"
import * as Lock from "../../../src/audit/folder/Lock.ts"
import { generate } from "../../../src/keys/Keys.ts"
import { chanceOf } from "../faults.ts"
import { places, schedules } from "../lockModel.ts"
import { durable, makeCalls, openJournal, temporaryFolder } from "../logs.ts"

describe("the lock, in any order of what its takers do", () => {
  it.each(places)("%s, loses and overwrites nothing that was acknowledged", (_, kernels) => {
    const { acknowledged, lost } = schedules(1, 300, kernels)
    assert.deepStrictEqual(lost, [])
    assert.isAbove(acknowledged, 300)
  })
})

describe("a heart that is watched", () => {
  const folder = Lock.folderOn(nodeFileSystem, "/nowhere")
  const rhythm = { beat: 1000, old: 15_000, still: 5000 }

  it("and beats is never presumed dead, whatever is done to the clocks", () => {
    const { next } = chanceOf(7)
    for (let run = 0; run < 200; run++) {
      let time = 0
      let clock = 1e12
      const watch = new Lock.Watch(
        rhythm,
        () => time,
        () => clock
      )
      for (let beat = 0; beat < 60; beat++) {
        // The clocks of both jump by up to a year, and a beat may come three seconds late.
        const theirs = clock + (next() - 0.5) * 6e10
        const pulse = { file: "1:1", stamp: String(beat), size: 0, at: theirs }
        for (let look = 0; look < 4; look++) {
          time += next() * 1000
          clock += (next() - 0.5) * 6e10
          assert.isFalse(watch.isStill(folder, "text", pulse))
        }
      }
    }
  })

  it("and stands still is presumed dead after five seconds where its last beat is old, after fifteen in any case", () => {
    for (const [age, after] of [
      [15_000, 5000],
      [0, 15_000],
      // A clock that was set back after the last beat.
      [-1e9, 15_000]
    ] as const) {
      let time = 0
      const watch = new Lock.Watch(
        rhythm,
        () => time,
        () => 1e12
      )
      const isStill = () => watch.isStill(folder, "text", { file: "1:1", stamp: "1", size: 0, at: 1e12 - age })
      assert.isFalse(isStill())
      time = after - 1
      assert.isFalse(isStill())
      time = after
      assert.isTrue(isStill())
    }
  })
})

describe("the folder of a log", () => {
  const options = (path: string) => ({ path, named: true, key, disk: nodeFileSystem, opening: [] })
  const key = generate("log")

  it("that was copied while the log was open is nobody's, and the first goes on", async () => {
    const home = temporaryFolder()
    const path = Path.join(home, "audit")
    const first = openJournal(options(path))
    makeCalls(first, 1)
    await durable(first)
    for (const [name, how] of [
      ["with its socket", ["-a"]],
      ["without", ["-r"]]
    ] as const) {
      const copy = Path.join(home, name)
      ChildProcess.execFileSync("cp", [...how, path, copy])
      if (name === "without") Fs.rmSync(Path.join(copy, "lock.sock"), { force: true })
      const second = await Effect.runPromise(FolderLog.open(options(copy)))
      assert.strictEqual(second.path, Fs.realpathSync(copy))
      makeCalls(second, 1)
      await durable(second)
      await second.close()
    }
    makeCalls(first, 1)
    await durable(first)
    await first.close()
    Fs.rmSync(home, { recursive: true })
  })

  it("that was moved away and copied back is not written to any more", async () => {
    const home = temporaryFolder()
    const path = Path.join(home, "audit")
    const log = openJournal(options(path))
    Fs.renameSync(path, `${path}.moved`)
    ChildProcess.execFileSync("cp", ["-a", `${path}.moved`, path])
    makeCalls(log, 1)
    const fault = await durable(log).then(
      () => undefined,
      (error: unknown) => error
    )
    assert.match(String(fault), /and this process writes to it no more/)
    await log.close()
    Fs.rmSync(home, { recursive: true })
  })

  it(
    "of a path that is too long for a socket has one all the same",
    { skip: process.platform !== "linux" },
    async () => {
      const home = temporaryFolder()
      const path = Path.join(home, "x".repeat(120), "audit")
      const log = openJournal(options(path))
      assert.isTrue(Fs.lstatSync(Path.join(path, "lock.sock")).isSocket())
      assert.match(
        (await Effect.runPromise(Effect.flip(FolderLog.open(options(path))))).message,
        /is open in process \d+, which is this one/
      )
      await log.close()
      assert.deepStrictEqual(Fs.readdirSync(path).sort(), ["checkpoint", "journal", "leaves", "vkey"])
      Fs.rmSync(home, { recursive: true })
    }
  )

  it("is left by a process with its children: none of them holds the socket", async () => {
    const home = temporaryFolder()
    const path = Path.join(home, "audit")
    const log = openJournal(options(path))
    const child = ChildProcess.spawn("sleep", ["60"], { stdio: "ignore" })
    try {
      if (process.platform === "linux")
        for (const fd of Fs.readdirSync(`/proc/${child.pid}/fd`)) {
          // While it starts, it opens and closes its libraries.
          const opened = orMissing(() => Fs.readlinkSync(`/proc/${child.pid}/fd/${fd}`))
          assert.notMatch(opened ?? "", /socket|audit/)
        }
    } finally {
      child.kill()
    }
    await log.close()
    Fs.rmSync(home, { recursive: true })
  })
})
