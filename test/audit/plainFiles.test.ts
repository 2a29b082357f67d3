/**
 * A log's folder, into which somebody else put a pipe, a link, a folder or a file without end: whoever reads the log is told,
 * waits for nothing and follows no link.
 */
import { assert, beforeEach, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { nodeFileSystem } from "../../src/audit/folder/Disk.ts"
import { prove } from "../../src/audit/proof/InclusionProof.ts"
import { folderReader } from "../../src/audit/folder/FolderReader.ts"
import { followLogs, lastLines, linesWith, readLines } from "../../src/audit/Lines.ts"
import { segmentName } from "../../src/audit/folder/Segment.ts"
import { verify } from "../../src/audit/proof/Verify.ts"
import { readEarlier } from "../../src/cli/Earlier.ts"
import { NotPlain, readPlain } from "../../src/base/Files.ts"
import { generate } from "../../src/keys/Keys.ts"
import { durable, makeCalls, openJournal, temporaryFolder } from "./logs.ts"

const folder = temporaryFolder()
const key = generate("log")
const log = Path.join(folder, "audit")
const segment = Path.join("journal", segmentName(0))
const open = () => openJournal({ path: log, named: true, key, disk: nodeFileSystem, opening: [] })

beforeEach(async () => {
  Fs.rmSync(log, { recursive: true, force: true })
  const journal = open()
  makeCalls(journal, 3)
  await durable(journal)
  await journal.close()
})

/** What is put in a file's place, and what is said of it. */
const impostors: ReadonlyArray<readonly [string, (file: string) => void, RegExp]> = [
  ["a pipe", (file) => void ChildProcess.execFileSync("mkfifo", [file]), /is no plain file/],
  ["a folder", (file) => Fs.mkdirSync(file), /is no plain file/],
  ["a link to a device", (file) => Fs.symlinkSync("/dev/zero", file), /is a symbolic link/],
  ["a link to nothing", (file) => Fs.symlinkSync(Path.join(folder, "nothing"), file), /is a symbolic link/],
  [
    "a link to the same content",
    (file) => {
      Fs.symlinkSync(`${file}.elsewhere`, file)
    },
    /is a symbolic link/
  ],
  [
    "a file of a terabyte",
    (file) => {
      Fs.writeFileSync(file, "")
      Fs.truncateSync(file, 2 ** 40)
    },
    /is longer than \d+ bytes/
  ]
]

const put = (name: string, make: (file: string) => void): void => {
  const file = Path.join(log, name)
  if (Fs.existsSync(file)) Fs.renameSync(file, `${file}.elsewhere`)
  make(file)
}

const failureOf = async (run: () => Promise<unknown>): Promise<string> => {
  try {
    await run()
  } catch (error) {
    return String(error)
  }
  return assert.fail("it was read")
}

describe.each(impostors)("%s", (_, make, said) => {
  it("in the place of a segment is read by nobody", async () => {
    put(segment, make)
    const report = await Effect.runPromise(Effect.result(verify({ log: folderReader(log) })))
    assert.match(Result.isFailure(report) ? report.failure.message : "", said)
    assert.match(await failureOf(() => Array.fromAsync(readLines(folderReader(log)))), said)
    assert.match(await failureOf(() => lastLines(folderReader(log), 3)), said)
    assert.match(await failureOf(() => Array.fromAsync(linesWith(folderReader(log), "call"))), said)
    assert.match(
      await failureOf(() => followLogs(() => [log], new Map(), new AbortController().signal, folderReader).next()),
      said
    )
    assert.match(await failureOf(() => Effect.runPromise(prove(folderReader(log), 0))), said)
    assert.throws(open, said)
  })

  it.each(["vkey", "checkpoint"])("in the place of the %s is a problem of the log", async (name) => {
    put(name, make)
    const report = await Effect.runPromise(verify({ log: folderReader(log) }))
    assert.isFalse(report.ok)
    assert.isTrue(report.problems.some(({ code, message }) => code === "checkpoint_invalid" && said.test(message)))
    assert.throws(open, said)
    if (name === "checkpoint") assert.match(await failureOf(() => Effect.runPromise(prove(folderReader(log), 0))), said)
  })

  it("in the place of the hashes leaves the log to be verified by its records", async () => {
    put("leaves", make)
    assert.isTrue((await Effect.runPromise(verify({ log: folderReader(log) }))).ok)
    const file = Path.join(log, segment)
    Fs.writeFileSync(file, Fs.readFileSync(file, "utf8").replace('"app":"shop"', '"app":"shoq"'))
    assert.isFalse((await Effect.runPromise(verify({ log: folderReader(log) }))).ok)
    assert.throws(open, said)
  })

  it("in a folder of copies is read by nobody", async () => {
    const copies = Path.join(folder, "copies")
    Fs.rmSync(copies, { recursive: true, force: true })
    Fs.mkdirSync(copies)
    Fs.copyFileSync(Path.join(log, "checkpoint"), Path.join(copies, "a.checkpoint.elsewhere"))
    make(Path.join(copies, "a.checkpoint"))
    const read = await Effect.runPromise(Effect.result(readEarlier(copies, [log])))
    assert.match(Result.isFailure(read) ? read.failure.message : "", said)
  })

  it("in the place of the lock is not taken for one", () => {
    put("lock", make)
    assert.throws(open)
  })
})

describe("a plain file", () => {
  it("is what a log is written to", async () => {
    const victim = Path.join(folder, "victim")
    for (const name of ["checkpoint.draft", "vkey.new", "leaves"]) {
      Fs.writeFileSync(victim, "mine")
      const file = Path.join(log, name)
      Fs.rmSync(file, { force: true })
      Fs.symlinkSync(victim, file)
      try {
        const journal = open()
        makeCalls(journal, 1)
        await durable(journal)
        await journal.close()
      } catch {
        // That the log refuses to open is well.
      }
      assert.strictEqual(Fs.readFileSync(victim, "utf8"), "mine", name)
      Fs.rmSync(file, { force: true })
    }
  })
  it("is read up to its bound", () => {
    const file = Path.join(folder, "plain")
    Fs.writeFileSync(file, "12345")
    assert.strictEqual(readPlain(file, 5).toString(), "12345")
    assert.throws(() => readPlain(file, 4), NotPlain, "is longer than 4 bytes")
    assert.throws(() => readPlain(Path.join(folder, "none")), /ENOENT/)
  })
  it("is what a link to a log's folder leads to", async () => {
    const link = Path.join(folder, "link")
    Fs.symlinkSync(log, link)
    assert.isTrue((await Effect.runPromise(verify({ log: folderReader(link) }))).ok)
  })
})
