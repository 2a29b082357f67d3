/**
 * Copies of checkpoints, and what they show.
 */
import { afterEach, assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Fs from "node:fs"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Path from "node:path"
import { vi } from "vitest"
import { parseNote } from "../../../src/audit/proof/Checkpoint.ts"
import { Copies, type CopyPlace, type CopyTarget } from "../../../src/audit/folder/Copies.ts"
import { nodeFileSystem } from "../../../src/audit/folder/Disk.ts"
import type * as Journal from "../../../src/audit/folder/Journal.ts"
import { EnforcementUnavailable } from "../../../src/call/Errors.ts"
import { check, durable, joinJournal, key, makeCalls, temporaryFolder } from "../logs.ts"

const folders: Array<string> = []
const servers: Array<Http.Server> = []
const folder = (): string => {
  const made = temporaryFolder()
  folders.push(made)
  return made
}
afterEach(async () => {
  for (const made of folders.splice(0)) Fs.rmSync(made, { recursive: true, force: true })
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve))
})

/** A log of `calls` calls in `home`, closed. */
const write = async (home: string, calls: number, checkpoints?: CopyPlace | CopyTarget): Promise<string> => {
  const path = Path.join(home, "audit")
  const log = opened(path, checkpoints)
  makeCalls(log, calls)
  await durable(log)
  await log.close()
  return path
}

const opened = (path: string, checkpoints?: CopyPlace | CopyTarget): Journal.Journal =>
  joinJournal({
    path,
    named: true,
    key,
    disk: nodeFileSystem,
    opening: [],
    checkpointDelay: 5,
    checkpoints:
      checkpoints === undefined
        ? undefined
        : typeof checkpoints === "object" && "to" in checkpoints
          ? checkpoints
          : { to: checkpoints }
  })

const sizeOf = (note: string): number => Result.getOrThrow(parseNote(note)).size

const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2))
}

/** Hears the process' warnings from now on. */
const warnings = (): Array<string> => {
  const heard: Array<string> = []
  const listen = ({ message, name }: Error): void => {
    if (name === "SecureOpenAIWarning") heard.push(message)
  }
  process.on("warning", listen)
  return heard
}

const serve = async (status: () => number): Promise<{ readonly url: string; readonly notes: Array<string> }> => {
  const notes: Array<string> = []
  const server = Http.createServer((request, response) => {
    let body = ""
    request.on("data", (data) => (body += String(data)))
    request.on("end", () => {
      response.statusCode = status()
      if (request.method === "POST" && status() < 300) notes.push(body)
      response.end()
    })
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/notes?secret=1`, notes }
}

describe("copies of checkpoints", () => {
  it("in a folder: the newest of each log, whole, as it is signed", async () => {
    const home = folder()
    const copies = Path.join(home, "far", "away")
    const path = Path.join(home, "audit")
    const log = opened(path, copies)
    const file = Path.join(copies, `${log.origin.slice("secure-openai/".length)}.checkpoint`)
    await until(() => Fs.existsSync(file))
    makeCalls(log, 2)
    await durable(log)
    await until(() => sizeOf(Fs.readFileSync(file, "utf8")) === 5)
    await log.close()
    assert.strictEqual(Fs.readFileSync(file, "utf8"), Fs.readFileSync(Path.join(path, "checkpoint"), "utf8"))
    assert.deepStrictEqual(Fs.readdirSync(copies), [Path.basename(file)])
    assert.isTrue((await check({ path, since: Fs.readFileSync(file, "utf8") })).ok)
  })

  for (const [name, calls, code] of [
    ["shorter", 2, "rolled_back"],
    ["longer, with other records", 9, "forked"]
  ] as const)
    it(`catch a log that was rebuilt whole with its own key, ${name}`, async () => {
      const home = folder()
      let copy = ""
      const path = await write(home, 5, (note) => void (copy = note))
      const vkey = Fs.readFileSync(Path.join(path, "vkey"))
      Fs.rmSync(path, { recursive: true })
      // The key is on this disk: the same origin, a valid signature, a sound log.
      Fs.mkdirSync(path)
      Fs.writeFileSync(Path.join(path, "vkey"), vkey)
      await write(home, calls)
      assert.isTrue((await check({ path })).ok)
      const report = await check({ path, since: copy })
      assert.deepStrictEqual([report.ok, report.problems[0]?.code], [false, code])
    })

  for (const [name, calls] of [
    ["shorter", 2],
    ["longer, with other records", 9]
  ] as const)
    it(`are not written over by a log that was rebuilt whole and goes on, ${name}`, async () => {
      const home = folder()
      const copies = Path.join(home, "copies")
      const path = await write(home, 5, copies)
      const vkey = Fs.readFileSync(Path.join(path, "vkey"))
      const [copy = ""] = Fs.readdirSync(copies)
      const kept = Fs.readFileSync(Path.join(copies, copy), "utf8")
      Fs.rmSync(path, { recursive: true })
      Fs.mkdirSync(path)
      Fs.writeFileSync(Path.join(path, "vkey"), vkey)
      const heard = warnings()
      await write(home, calls, copies)
      const there = Fs.readdirSync(copies).map((file) => Fs.readFileSync(Path.join(copies, file), "utf8"))
      assert.include(there, kept)
      assert.strictEqual(there.length, calls < 5 ? 1 : 2)
      if (calls < 5)
        assert.match(heard[0] ?? "", /is of 12 records, and the log has \d+: .* made anew.*audit verify --since /)
      // Nor by the next process, nor by one whose copy is of the same size.
      await write(home, calls, copies)
      assert.include(
        Fs.readdirSync(copies).map((file) => Fs.readFileSync(Path.join(copies, file), "utf8")),
        kept
      )
      const report = await check({ path, since: kept })
      assert.isFalse(report.ok)
    })

  it("that never end count as failed, wherever they go", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
    const write = vi.spyOn(Fs.promises, "writeFile").mockReturnValue(new Promise(() => {}))
    try {
      for (const to of [() => new Promise<void>(() => {}), Path.join(folder(), "copies")]) {
        const copies = new Copies()
        copies.add({ to, withinRecords: 10 })
        for (const size of [5, 20]) copies.offer({ origin: "secure-openai/0", size, text: "" }, false)
        assert.isUndefined(copies.overdue())
        await vi.advanceTimersByTimeAsync(10_000)
        assert.include(copies.overdue()?.message ?? "", "it took longer than 10 s")
      }
    } finally {
      write.mockRestore()
      vi.useRealTimers()
    }
  })

  it("end with the last one, where one before it was about to take its name", async () => {
    const copies = new Copies()
    const place = folder()
    copies.add({ to: place })
    const rename = vi.spyOn(Fs.promises, "rename").mockReturnValue(new Promise(() => {}))
    try {
      copies.offer({ origin: "secure-openai/0", size: 1, text: "one" }, false)
      await until(() => rename.mock.calls.length === 1)
      copies.offer({ origin: "secure-openai/0", size: 2, text: "two" }, true)
      const [from, to] = rename.mock.calls[0] ?? ["", ""]
      assert.throws(() => Fs.renameSync(from, to), "ENOENT")
      assert.strictEqual(Fs.readFileSync(Path.join(place, "0.checkpoint"), "utf8"), "two")
    } finally {
      rename.mockRestore()
    }
  })

  it("go to a URL by POST, and to a function; a log is not closed before they are there", async () => {
    const { notes, url } = await serve(() => 204)
    const path = await write(folder(), 3, url)
    assert.strictEqual(sizeOf(notes.at(-1) ?? ""), 8)
    assert.isTrue((await check({ path, since: notes.at(-1) })).ok)
    const told: Array<string> = []
    await write(folder(), 3, async (note) => {
      await new Promise((resolve) => setTimeout(resolve, 20))
      told.push(note)
    })
    assert.strictEqual(sizeOf(told.at(-1) ?? ""), 8)
  })

  it("that fail hold no call up and are told of once; after the bound no call begins, and then they go on", async () => {
    let status = 500
    const heard = warnings()
    const { notes, url } = await serve(() => status)
    const log = opened(Path.join(folder(), "audit"), { to: url, withinRecords: 10 })
    makeCalls(log, 2)
    await durable(log)
    assert.isUndefined(log.blocked())
    makeCalls(log, 20)
    await durable(log)
    await until(() => log.blocked() !== undefined)
    const refusal = log.blocked()
    assert.instanceOf(refusal, EnforcementUnavailable)
    assert.include(refusal.message, "it answered 500")
    assert.include(refusal.message, "withinRecords")
    assert.notInclude(refusal.message, "secret")
    status = 200
    await until(() => log.blocked() === undefined)
    await until(() => heard.length === 2)
    assert.match(heard[0] ?? "", /could not be copied to http:\/\/127[^ ]*\/notes: it answered 500/)
    assert.match(heard[1] ?? "", /again/)
    await log.close()
    assert.strictEqual(sizeOf(notes.at(-1) ?? ""), 46)
  })

  it("that fail for longer than the bound in time refuse calls", async () => {
    const log = opened(Path.join(folder(), "audit"), {
      to: () => Promise.reject(new Error("no such place")),
      withinMinutes: 0.001
    })
    await until(() => log.blocked() !== undefined)
    assert.include(log.blocked()?.message ?? "", "no such place")
    await log.close()
  })
})
