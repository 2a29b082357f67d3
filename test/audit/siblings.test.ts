/**
 * Which log a process gets that names none: the first that is free, no more logs than processes, and another one where two
 * processes have damaged the first. And who was refused gets the log once it is free.
 */
import { afterEach, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { nodeFileSystem } from "../../src/audit/folder/Disk.ts"
import * as FolderLog from "../../src/audit/folder/FolderLog.ts"
import type * as Journal from "../../src/audit/folder/Journal.ts"
import { generate, Keys } from "../../src/keys/Keys.ts"
import { SecureOpenAI, Workspace } from "../../src/index.ts"
import { check, durable, makeCalls, openJournal, temporaryFolder } from "./logs.ts"
import { startProvider } from "../e2e/Provider.ts"

const homes: Array<string> = []
const newHome = (): string => {
  const home = temporaryFolder()
  homes.push(home)
  return home
}
afterEach(() => {
  for (const home of homes.splice(0)) Fs.rmSync(home, { recursive: true, force: true })
})

const key = generate("log")
const options = (home: string): Journal.JournalOptions => ({
  path: Path.join(home, "audit"),
  named: false,
  key,
  disk: nodeFileSystem,
  opening: []
})
const open = (given: Journal.JournalOptions): Promise<Journal.Journal> => Effect.runPromise(FolderLog.open(given))

/** A log as two processes leave it that write to the same places: half of a record under another. */
const damage = async (home: string): Promise<string> => {
  const log = openJournal(options(home))
  makeCalls(log, 5)
  await durable(log)
  await log.close()
  const journal = Path.join(log.path, "journal", "00000000000000000000.jsonl")
  const text = Fs.readFileSync(journal, "utf8")
  Fs.writeFileSync(journal, `${text.slice(0, 900)}${text.slice(400, 900)}${text.slice(1400)}`)
  return journal
}

describe("a path that was not named", () => {
  it("is opened at an orphaned sibling before a new one is made, however often processes start again", async () => {
    const home = newHome()
    const first = await open(options(home))
    for (let start = 0; start < 4; start++) {
      const [second, third] = [await open(options(home)), await open(options(home))]
      assert.deepStrictEqual([second.path, third.path], [`${first.path}-2`, `${first.path}-3`])
      // The lower one is free first, and gone on with.
      await second.close()
      const next = await open(options(home))
      assert.strictEqual(next.path, second.path)
      await Promise.all([next.close(), third.close()])
    }
    await first.close()
    assert.deepStrictEqual(Fs.readdirSync(home).sort(), ["audit", "audit-2", "audit-3"])
  })

  it("waits for a holder that closes, and gets its log", async () => {
    const home = newHome()
    const first = await open(options(home))
    // A close takes as long as what is under way on the disk.
    let isIdle = false
    Object.defineProperty(first.current(), "isIdle", { get: () => isIdle })
    const closing = first.close()
    const next = open(options(home))
    await new Promise((resolve) => setTimeout(resolve, 250))
    isIdle = true
    assert.strictEqual((await next).path, first.path)
    await closing
    await (await next).close()
  })

  it("leaves a log that was damaged as it is, says so, and serves from a sibling, which every start gets", async () => {
    const home = newHome()
    const journal = await damage(home)
    const before = Fs.readFileSync(journal)
    for (let start = 0; start < 2; start++) {
      const told: Array<string> = []
      const logger = Logger.make(({ message }) => void told.push(String(message)))
      const log = await Effect.runPromise(Effect.provide(FolderLog.open(options(home)), Logger.layer([logger])))
      assert.strictEqual(log.path, Path.join(Fs.realpathSync(home), "audit-2"))
      assert.match(
        told.join("\n"),
        /audit is damaged, and is not gone on with: .*audit verify .*keep that folder as evidence/
      )
      makeCalls(log, 1)
      await durable(log)
      await log.close()
    }
    assert.deepStrictEqual(Fs.readFileSync(journal), before)
    assert.isFalse((await check({ path: Path.join(home, "audit") })).ok)
    assert.isTrue((await check({ path: Path.join(home, "audit-2") })).ok)
    // A path that was named is that path or none, and a log of another key is no damage.
    const named = await Effect.runPromise(Effect.flip(FolderLog.open({ ...options(home), named: true })))
    assert.match(named.message, /cannot be continued/)
    const other = newHome()
    await (await open(options(other))).close()
    const foreign = await Effect.runPromise(Effect.flip(FolderLog.open({ ...options(other), key: generate("log") })))
    assert.match(foreign.message, /another log key/)
  })
})

describe("a client whose log another process had", () => {
  it("is refused by name, and takes the log once that is free", async () => {
    const home = newHome()
    const path = Path.join(home, "audit")
    const provider = await startProvider()
    const keys = await Effect.runPromise(
      Effect.provide(Effect.flatMap(Keys, Effect.succeed), Keys.layerDirectory(Path.join(home, "keys")))
    )
    if (!("sign" in keys.log)) throw new Error("a key of the home signs at once")
    const holder = openJournal({ ...options(home), named: true, key: keys.log })
    const workspace = new Workspace({ home, audit: { path } })
    const client = new SecureOpenAI({ appName: "app", apiKey: "k", baseURL: provider.url, maxRetries: 0, workspace })
    const ask = () =>
      client.chat.completions.create({ model: "gpt-4", messages: [] }).then(
        () => "answered",
        (error: unknown) => String(error)
      )
    try {
      assert.match(await ask(), /is open in process/)
      assert.match(String(await workspace.ready().catch((error: unknown) => error)), /is open in process/)
      await holder.close()
      let said = ""
      for (let i = 0; i < 300 && said !== "answered"; i++) {
        said = await ask()
        if (said !== "answered") await new Promise((resolve) => setTimeout(resolve, 50))
      }
      assert.strictEqual(said, "answered")
      await workspace.ready()
    } finally {
      await client.close()
      await workspace.close()
      await provider.close()
    }
    assert.isTrue((await check({ path })).ok)
  })
})
