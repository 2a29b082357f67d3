import { afterEach, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { parseNote, parseVerifierKeys, signCheckpointBy, verifyNote } from "../../../src/audit/proof/Checkpoint.ts"
import { type FileSystem, memoryFileSystem, nodeFileSystem } from "../../../src/audit/folder/Disk.ts"
import * as FolderLog from "../../../src/audit/folder/FolderLog.ts"
import { newOrigin } from "../../../src/audit/folder/NewLog.ts"
import { software } from "../../../src/audit/OpeningRecords.ts"
import { Frontier, hashLength, leafHash, rootOf } from "../../../src/audit/proof/MerkleTree.ts"
import type { Body } from "../../../src/audit/Record.ts"
import { EnforcementUnavailable } from "../../../src/call/Errors.ts"
import { generate, type RemoteKey } from "../../../src/keys/Keys.ts"
import {
  check,
  decision,
  diskWith,
  durable,
  joinJournal,
  makeCalls,
  openJournal,
  openLog,
  outcome,
  temporaryFolder
} from "../logs.ts"

const segment = "/log/journal/00000000000000000000.jsonl"

const linesIn = (disk: FileSystem, path = segment): ReadonlyArray<string> =>
  disk.read(path)?.toString("utf8").trimEnd().split("\n") ?? []

const countLines = (bytes: Uint8Array): number => bytes.filter((byte) => byte === 10).length

const kindsIn = (disk: FileSystem, path = segment): ReadonlyArray<string> =>
  linesIn(disk, path).map((line) => JSON.parse(line).kind)

const append = (disk: FileSystem, path: string, text: string): void => {
  const bytes = disk.read(path) ?? Buffer.alloc(0)
  disk.open(path).writeSync(Buffer.from(text), bytes.length)
}

/** The disk as a crash would leave it: everything that was written, the lock's process gone. */
const crash = (disk: FileSystem): FileSystem => {
  disk.remove("/log/lock")
  return disk
}

const failure = (run: () => unknown): EnforcementUnavailable => {
  try {
    run()
  } catch (error) {
    assert.instanceOf(error, EnforcementUnavailable)
    return error
  }
  throw new Error("it did not fail")
}

const folders: Array<string> = []
const folder = (): string => {
  const made = temporaryFolder()
  folders.push(made)
  return made
}
afterEach(() => {
  for (const made of folders.splice(0)) Fs.rmSync(made, { recursive: true, force: true })
})

describe("Journal", () => {
  it("names the version of this package", () => {
    const { name, version } = JSON.parse(Fs.readFileSync(new URL("../../../package.json", import.meta.url), "utf8"))
    assert.strictEqual(software, `${name}/${version}`)
  })

  it("is signed before the first call is answered, within a second of a record, and at its close", async () => {
    const disk = memoryFileSystem()
    const size = () => Result.getOrThrow(parseNote(disk.read("/log/checkpoint")?.toString() ?? "")).size
    const log = openLog(disk)
    assert.strictEqual(size(), 1)
    makeCalls(log, 1)
    await durable(log)
    assert.strictEqual(size(), 1)
    await new Promise((resolve) => setTimeout(resolve, 900))
    assert.strictEqual(size(), 3)
    makeCalls(log, 1)
    await log.close()
    assert.strictEqual(size(), 6)
    const note = Result.getOrThrow(parseNote(disk.read("/log/checkpoint")?.toString() ?? ""))
    assert.isTrue(verifyNote(note, Result.getOrThrow(parseVerifierKeys(disk.read("/log/vkey")?.toString() ?? ""))))
    const leaves = linesIn(disk).map(leafHash)
    assert.deepStrictEqual([...note.root], [...rootOf(leaves)])
    assert.deepStrictEqual(disk.read("/log/leaves"), Buffer.concat(leaves))
  })

  it("writes what is said at one time at once, and syncs it once", async () => {
    let writes = 0
    let syncs = 0
    const disk = diskWith((file, path) =>
      path === segment
        ? {
            write: (bytes, position, done) => (writes++, file.write(bytes, position, done)),
            sync: (done) => (syncs++, setTimeout(() => file.sync(done), 20))
          }
        : {}
    )
    const log = openLog(disk)
    const first = Array.from({ length: 16 }, () => (log.append(decision()), durable(log)))
    await new Promise((resolve) => setTimeout(resolve, 5))
    const second = Array.from({ length: 16 }, () => (log.append(decision()), durable(log)))
    await Promise.all([...first, ...second])
    assert.deepStrictEqual([writes, syncs], [2, 2])
    await log.close()
  })

  // A timer of the log that goes off between two turns ends a group early, which is right: then it is tried again.
  it(
    "waits for the calls of following turns while each brings one, for eight turns and no longer",
    { retry: 20 },
    async () => {
      const written: Array<number> = []
      const disk = diskWith((file, path) =>
        path === segment
          ? { write: (bytes, position, done) => (written.push(countLines(bytes)), file.write(bytes, position, done)) }
          : {}
      )
      const log = openLog(disk)
      const turn = () => new Promise((resolve) => setImmediate(resolve))
      const inTurns = async (turns: number): Promise<void> => {
        const waiting: Array<Promise<void>> = []
        for (let i = 0; i < turns; i++) {
          // Comes before the log looks again.
          const next = turn()
          log.append(decision())
          waiting.push(durable(log))
          await next
        }
        await Promise.all(waiting)
      }
      await inTurns(1)
      assert.deepStrictEqual(written.splice(0), [1])
      await inTurns(5)
      assert.deepStrictEqual(written.splice(0), [5])
      await inTurns(20)
      assert.deepStrictEqual(written, [9, 9, 2])
      await log.close()
    }
  )

  it("acknowledges after the sync, never before", async () => {
    const order: Array<string> = []
    const disk = diskWith((file, path) =>
      path === segment
        ? {
            write: (bytes, position, done) =>
              file.write(bytes, position, (error) => (order.push("written"), done(error))),
            sync: (done) =>
              setTimeout(() => {
                order.push("synced")
                file.sync(done)
              }, 10)
          }
        : {}
    )
    const log = openLog(disk)
    log.append(decision())
    await durable(log).then(() => order.push("acknowledged"))
    assert.deepStrictEqual(order, ["written", "synced", "acknowledged"])
    await log.close()
  })

  it("syncs a record that nobody waits for within 100 ms", async () => {
    let synced = 0
    const disk = diskWith((file, path) => (path === segment ? { sync: (done) => (synced++, file.sync(done)) } : {}))
    const log = openLog(disk)
    log.append(decision())
    await new Promise((resolve) => setTimeout(resolve, 20))
    assert.deepStrictEqual([synced, kindsIn(disk).length], [0, 2])
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.strictEqual(synced, 1)
    await log.close()
  })

  describe("whose disk fails", () => {
    for (const [name, fail] of [
      ["a write", { write: (_: Uint8Array, __: number, done: (error: Error) => void) => done(new Error("ENOSPC")) }],
      ["a sync", { sync: (done: (error: Error) => void) => done(new Error("EIO")) }]
    ] as const)
      it(`in ${name} refuses everything from then on, until the log is opened anew`, async () => {
        let failing = false
        const disk = diskWith((file, path) =>
          path !== segment
            ? {}
            : {
                write: (bytes, position, done) =>
                  failing && "write" in fail ? fail.write(bytes, position, done) : file.write(bytes, position, done),
                sync: (done) => (failing && "sync" in fail ? fail.sync(done) : file.sync(done))
              }
        )
        const log = openLog(disk)
        log.append(decision())
        await durable(log)
        const signed = disk.read("/log/checkpoint")
        failing = true
        log.append(decision())
        const waiting = durable(log)
        const error = await waiting.then(
          () => undefined,
          (fault: unknown) => fault
        )
        assert.instanceOf(error, EnforcementUnavailable)
        assert.include(error.message, "/log could not be written")
        failing = false
        assert.isTrue(Result.isFailure(log.append(decision())))
        const later = await durable(log).then(
          () => undefined,
          (fault: unknown) => fault
        )
        assert.strictEqual(later, error)
        await new Promise((resolve) => setTimeout(resolve, 600))
        assert.deepStrictEqual(disk.read("/log/checkpoint"), signed)
        await log.close()
        assert.notInclude(kindsIn(disk), "log.close")
        assert.isUndefined(disk.read("/log/lock"))
        const again = openLog(disk)
        assert.include(kindsIn(disk), "log.recovered")
        await again.close()
      })

    it("in a checkpoint refuses everything from then on", async () => {
      let failing = false
      const disk = diskWith((file, path) =>
        path.endsWith(".draft") ? { sync: (done) => (failing ? done(new Error("EIO")) : file.sync(done)) } : {}
      )
      const log = openLog(disk)
      failing = true
      log.append(decision())
      await durable(log)
      await new Promise((resolve) => setTimeout(resolve, 700))
      assert.isTrue(Result.isFailure(log.append(decision())))
      await log.close()
    })
  })

  describe("after a crash", () => {
    it("goes on from a torn tail, and ends the calls that were open as unknown", async () => {
      const disk = memoryFileSystem()
      const log = openLog(disk)
      makeCalls(log, 2)
      log.append(decision("left-open"))
      await durable(log)
      append(disk, segment, '{"torn')
      const again = openLog(crash(disk))
      await again.close()
      assert.deepStrictEqual(kindsIn(disk).slice(-5), ["decision", "log.open", "log.recovered", "outcome", "log.close"])
      const [recovered, unknown] = linesIn(disk)
        .slice(-3)
        .map((line) => JSON.parse(line))
      assert.include(recovered, { dropped: 6, open: 1, previous: log.current().boot })
      assert.include(unknown, { call: "left-open", result: "unknown", decision: 5 })
      const torn = disk.list("/log/journal").filter((name) => name.includes(".torn-"))
      assert.strictEqual(torn.length, 1)
      assert.strictEqual(disk.read(`/log/journal/${torn[0]}`)?.toString(), '{"torn')
    })

    it("leaves nothing of a torn tail that is longer than what follows", async () => {
      const disk = memoryFileSystem()
      await durable(openLog(disk))
      append(disk, segment, `{"torn":"${"x".repeat(20_000)}`)
      await openLog(crash(disk)).close()
      assert.notInclude(disk.read(segment)?.toString() ?? "", "xxx")
    })

    it("moves whole lines aside that are no records, where they were not signed", async () => {
      const disk = memoryFileSystem()
      const log = openLog(disk)
      makeCalls(log, 1)
      await durable(log)
      append(disk, segment, '{"v":1}\n{"v":1}\n')
      await openLog(crash(disk)).close()
      const recovered = JSON.parse(linesIn(disk).find((line) => line.includes("log.recovered")) ?? "{}")
      assert.include(recovered, { dropped: 16, open: 0 })
    })

    it("ends each open call once, however often it crashes again", async () => {
      const disk = memoryFileSystem()
      openLog(disk).append(decision("a"))
      await new Promise((resolve) => setTimeout(resolve, 20))
      openLog(crash(disk)).append(decision("b"))
      await new Promise((resolve) => setTimeout(resolve, 20))
      openLog(crash(disk))
      await openLog(crash(disk)).close()
      const records = linesIn(disk).map((line) => JSON.parse(line))
      assert.deepStrictEqual(
        records.filter(({ kind }) => kind === "outcome").map(({ call, result }) => [call, result]),
        [
          ["a", "unknown"],
          ["b", "unknown"]
        ]
      )
      assert.deepStrictEqual(
        records.filter(({ kind }) => kind === "log.recovered").map(({ open }) => open),
        [1, 1, 0]
      )
    })

    it("finishes a recovery that crashed half-way", async () => {
      const disk = memoryFileSystem()
      const log = openLog(disk)
      log.append(decision("a"))
      log.append(decision("b"))
      await durable(log)
      const before = disk.read("/log/checkpoint") ?? Buffer.alloc(0)
      openLog(crash(disk))
      // Only the first of the two outcomes reached the disk, and no checkpoint after it.
      const lines = linesIn(disk)
      const kept = lines.slice(0, lines.findIndex((line) => line.includes('"unknown"')) + 1)
      const file = disk.open(segment)
      file.truncate(Buffer.byteLength(`${kept.join("\n")}\n`))
      const checkpoint = disk.open("/log/checkpoint")
      checkpoint.truncate(0)
      checkpoint.writeSync(before, 0)
      await openLog(crash(disk)).close()
      const records = linesIn(disk).map((line) => JSON.parse(line))
      assert.deepStrictEqual(
        records.filter(({ kind }) => kind === "outcome").map(({ call }) => call),
        ["a", "b"]
      )
    })

    it("begins anew where nothing but the key was made", async () => {
      const disk = memoryFileSystem()
      await openLog(disk).close()
      const vkey = disk.read("/log/vkey")?.toString()
      disk.remove("/log/checkpoint")
      disk.remove(segment)
      await openLog(disk).close()
      assert.strictEqual(disk.read("/log/vkey")?.toString(), vkey)
    })
  })

  describe("that was changed", () => {
    const closed = async (): Promise<FileSystem> => {
      const disk = memoryFileSystem()
      const log = openLog(disk)
      makeCalls(log, 3)
      await log.close()
      return disk
    }
    const rewrite = (disk: FileSystem, path: string, change: (text: string) => string): void => {
      const text = change(disk.read(path)?.toString() ?? "")
      disk.open(path).truncate(0)
      disk.open(path).writeSync(Buffer.from(text), 0)
    }
    const damages: ReadonlyArray<readonly [string, (disk: FileSystem) => void, string]> = [
      ["in a record", (disk) => rewrite(disk, segment, (text) => text.replace("gpt-4o", "gpt-5o")), "record 1"],
      [
        "in a record, its leaves gone",
        (disk) => (disk.remove("/log/leaves"), rewrite(disk, segment, (text) => text.replace("gpt-4o", "gpt-5o"))),
        "signed root"
      ],
      [
        "by cutting records off",
        (disk) => rewrite(disk, segment, (text) => `${text.split("\n").slice(0, 4).join("\n")}\n`),
        "4 records"
      ],
      ["by cutting a record in two", (disk) => rewrite(disk, segment, (text) => text.slice(0, -3)), "7 records"],
      ["by taking the checkpoint", (disk) => disk.remove("/log/checkpoint"), "checkpoint is missing"],
      ["by taking the key", (disk) => disk.remove("/log/vkey"), "vkey is missing"],
      ["by taking the journal", (disk) => disk.remove(segment), "0 records"],
      [
        "in its checkpoint",
        (disk) => rewrite(disk, "/log/checkpoint", (text) => text.replace("\n8\n", "\n7\n")),
        "signed"
      ]
    ]
    for (const [name, damage, message] of damages)
      it(`${name} is not gone on with`, async () => {
        const disk = await closed()
        damage(disk)
        const before = disk.read(segment)
        const error = failure(() => openLog(disk))
        assert.include(error.message, message)
        assert.include(error.message, "audit verify")
        assert.deepStrictEqual(disk.read(segment), before)
        assert.isUndefined(disk.read("/log/lock"))
      })

    it("is not gone on with under another key", async () => {
      const disk = await closed()
      assert.include(failure(() => openLog(disk, { key: generate("log") })).message, "another log key")
    })

    it("in its leaves alone is gone on with, and they are made anew", async () => {
      const disk = await closed()
      const leaves = disk.read("/log/leaves") ?? Buffer.alloc(0)
      const file = disk.open("/log/leaves")
      file.writeSync(Uint8Array.of(1, 2, 3), 40)
      await openLog(disk).close()
      assert.deepStrictEqual(disk.read("/log/leaves")?.subarray(0, leaves.length), leaves)
    })
  })

  it("begins a new segment when one is full, and goes on in the last", async () => {
    const disk = memoryFileSystem()
    for (let boot = 0; boot < 3; boot++) {
      const log = openLog(disk, { segmentSize: 2000 })
      for (let i = 0; i < 4; i++) {
        makeCalls(log, 2)
        await durable(log)
      }
      await log.close()
    }
    const names = disk.list("/log/journal")
    assert.isAbove(names.length, 5)
    let count = 0
    for (const name of names) {
      assert.strictEqual(name, `${String(count).padStart(20, "0")}.jsonl`)
      for (const line of linesIn(disk, `/log/journal/${name}`)) assert.strictEqual(JSON.parse(line).seq, count++)
    }
    assert.strictEqual(disk.read("/log/leaves")?.length, count * hashLength)
    // Without the leaves the whole journal is read.
    disk.remove("/log/leaves")
    await openLog(disk).close()
    assert.strictEqual(disk.read("/log/leaves")?.length, (count + 2) * hashLength)
  })

  describe("in a folder", () => {
    it("is one log for all who open it in one process, until the last closes it", async () => {
      const path = Path.join(folder(), "audit")
      const options = { path, named: true, key: generate("log"), disk: nodeFileSystem, opening: [] }
      const first = joinJournal(options)
      const second = joinJournal({ ...options, path: `${path}/../audit` })
      assert.strictEqual(first.origin, second.origin)
      const body = decision()
      const appended = Result.getOrThrow(first.append(body))
      await first.close()
      await first.close()
      second.append(outcome(body.call, appended))
      await durable(second)
      assert.isTrue(Fs.existsSync(Path.join(path, "lock")))
      assert.throws(() => joinJournal({ ...options, key: generate("log") }), /another log key/)
      await second.close()
      assert.isFalse(Fs.existsSync(Path.join(path, "lock")))
      assert.isTrue((await check({ path })).ok)
    })

    it("is not taken from a process that has it: a named path fails, a default one gives way", async () => {
      const home = folder()
      const path = Path.join(home, "audit")
      const child = ChildProcess.spawn(process.execPath, [Path.join(import.meta.dirname, "../writer.ts"), path, "hold"])
      try {
        await new Promise((resolve) => child.stdout.once("data", resolve))
        const options = { path, key: generate("log"), disk: nodeFileSystem, opening: [] }
        const error = await Effect.runPromise(Effect.flip(FolderLog.open({ ...options, named: true })))
        assert.include(error.message, `process ${child.pid} on this host`)
        const sibling = await Effect.runPromise(FolderLog.open({ ...options, named: false }))
        const next = await Effect.runPromise(FolderLog.open({ ...options, named: false }))
        assert.deepStrictEqual([sibling.path, next.path], [`${path}-2`, `${path}-3`])
        await Promise.all([sibling.close(), next.close()])
      } finally {
        child.kill("SIGKILL")
      }
      await new Promise((resolve) => child.once("exit", resolve))
      assert.isTrue(Fs.existsSync(Path.join(path, "lock")))
      // The lock of a process that is gone is nobody's; its log goes on under its own key.
      const error = await Effect.runPromise(
        Effect.flip(FolderLog.open({ path, named: true, key: generate("log"), disk: nodeFileSystem, opening: [] }))
      )
      assert.include(error.message, "another log key")
    })

    it("is not opened twice in one process, nor under a lock that cannot be read", async () => {
      const path = Path.join(folder(), "audit")
      const lock = Path.join(path, "lock")
      const options = { path, named: true, key: generate("log"), disk: nodeFileSystem, opening: [] }
      const log = openJournal(options)
      assert.strictEqual(JSON.parse(Fs.readFileSync(lock, "utf8")).boot, log.current().boot)
      const twice = await Effect.runPromise(Effect.flip(FolderLog.open(options)))
      assert.match(twice.message, new RegExp(`process ${process.pid}, which is this one`))
      await log.close()
      // The second is of an earlier version, which judged by process id: it may live in another container.
      for (const text of ["not a lock", JSON.stringify({ boot: "b", pid: 1, started: "" })]) {
        Fs.writeFileSync(lock, text)
        assert.include(failure(() => openJournal(options)).message, `delete ${lock}`)
      }
    })

    it("that cannot be written says what to do", () => {
      const file = Path.join(folder(), "file")
      Fs.writeFileSync(file, "")
      for (const path of [Path.join(file, "audit"), "/proc/no-such-home/audit"]) {
        const error = failure(() =>
          joinJournal({ path, named: false, key: generate("log"), disk: nodeFileSystem, opening: [] })
        )
        assert.include(error.message, "SECURE_OPENAI_HOME")
        assert.include(error.message, 'audit: "memory"')
        assert.strictEqual(error.stage, "audit")
      }
    })
  })
})

describe("a log whose key is held elsewhere", () => {
  it("takes no more calls once its checkpoints were not signed for too long, and takes them again once they are", async () => {
    const { jwk, kid, publicKey, sign, use } = generate("log")
    let isDown = false
    const key: RemoteKey<"log"> = {
      use,
      kid,
      jwk,
      publicKey,
      signLater: async (bytes) => {
        if (isDown) throw new Error("the signer is down")
        return sign(bytes)
      }
    }
    const origin = newOrigin()
    const note = await signCheckpointBy({ origin, size: 0, root: new Frontier().root() }, [key])
    const disk = memoryFileSystem()
    const common = { path: "/log", named: true, key, first: { origin, note }, disk, opening: [] }
    const journal = openJournal({ ...common, unsigned: { ms: 1e9, records: 3 } })
    await journal.signed
    isDown = true
    const decided = { kind: "decision", call: "c" } as unknown as Body
    const say = () => journal.blocked() === undefined && Result.isSuccess(journal.append(decided))
    assert.isTrue(say())
    await durable(journal)
    // It is noticed where the next checkpoint is due.
    for (let i = 0; i < 200 && say(); i++) await new Promise((resolve) => setTimeout(resolve, 20))
    assert.match(journal.blocked()?.message ?? "", /no more calls until.*the signer is down/)
    // How calls end is said all the same.
    assert.isTrue(Result.isSuccess(journal.append({ kind: "outcome", call: "c" } as unknown as Body)))
    isDown = false
    for (let i = 0; i < 200 && !say(); i++) await new Promise((resolve) => setTimeout(resolve, 20))
    assert.isTrue(say())
    await journal.close()
    assert.throws(() => openJournal({ ...common, path: "/other", first: undefined }), /first checkpoint/)
  })

  it("leaves its last checkpoint at exit, where one before it was about to take its name", async () => {
    const disk = memoryFileSystem()
    const names: Array<() => void> = []
    const log = openLog(
      { ...disk, rename: (from, to) => void names.push(() => disk.renameSync(from, to)) },
      { checkpointDelay: 1 }
    )
    makeCalls(log, 1)
    await durable(log)
    while (names.length === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    makeCalls(log, 1)
    log.current().exit()
    // What was under way goes on for a moment, and finds nothing to name.
    for (const name of names) assert.throws(name, "ENOENT")
    assert.strictEqual(disk.read("/log/checkpoint")?.toString().split("\n")[1], "6")
  })
})
