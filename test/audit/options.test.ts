/**
 * What a client's or a workspace's `audit` option says, and that it is heard.
 */
import { afterEach, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Audit } from "../../src/audit/Audit.ts"
import { Disk, type File, type FileSystem, memoryFileSystem } from "../../src/audit/folder/Disk.ts"
import { ConfigurationError, SecureOpenAI, Workspace } from "../../src/index.ts"
import type { WorkspaceOptions } from "../../src/workspace/WorkspaceOptions.ts"
import { chat, runCall } from "./calls.ts"
import { check, temporaryFolder } from "./logs.ts"

const folders: Array<string> = []
const folder = (): string => {
  const made = temporaryFolder()
  folders.push(made)
  return made
}
const environment = { ...process.env }
afterEach(() => {
  for (const made of folders.splice(0)) Fs.rmSync(made, { recursive: true, force: true })
  process.env = { ...environment }
})

describe("the option audit", () => {
  for (const [durability, isHeldUp] of [
    ["batched", false],
    ["durable", true],
    [undefined, true]
  ] as const)
    it(`with durability ${durability} ${isHeldUp ? "makes a call wait" : "lets a call go on"} while the disk is slow`, async () => {
      let isSlow = false
      const held: Array<() => void> = []
      const memory = memoryFileSystem()
      const slow = (file: File): File => ({
        ...file,
        sync: (done) => void (isSlow ? held.push(() => done(null)) : file.sync(done))
      })
      const disk: FileSystem = {
        ...memory,
        open: (path) => slow(memory.open(path)),
        openOld: (path) => slow(memory.openOld(path)),
        openNew: (path) => slow(memory.openNew(path))
      }
      const options: WorkspaceOptions = {
        home: folder(),
        audit: { path: "/log", ...(durability === undefined ? {} : { durability }) }
      }
      await Effect.runPromise(
        Effect.gen(function* () {
          const audit = yield* Audit
          isSlow = true
          let done = false
          const call = Effect.runPromise(runCall(audit, chat())).then(() => void (done = true))
          yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 150)))
          assert.strictEqual(done, !isHeldUp)
          isSlow = false
          for (const go of held.splice(0)) go()
          yield* Effect.promise(() => call)
        }).pipe(Effect.provide(Workspace.layer(options).pipe(Layer.provide(Layer.succeed(Disk, disk)))), Effect.orDie)
      )
    })

  it("with checkpoints has a client copy each, to the last", async () => {
    const home = folder()
    const path = Path.join(home, "audit")
    const copies = Path.join(home, "copies")
    const notes: Array<string> = []
    process.env["SECURE_OPENAI_HOME"] = home
    for (const checkpoints of [copies, (note: string) => void notes.push(note)]) {
      const client = new SecureOpenAI({ apiKey: "k", audit: { path, checkpoints } })
      await client.ready()
      await client.close()
    }
    const [name = ""] = Fs.readdirSync(copies)
    assert.match(name, /^[0-9a-f]{16}\.checkpoint$/)
    assert.isTrue((await check({ path, since: Fs.readFileSync(Path.join(copies, name), "utf8") })).ok)
    assert.strictEqual(notes.at(-1), Fs.readFileSync(Path.join(path, "checkpoint"), "utf8"))
  })

  it("is heard from the environment by the default workspace", async () => {
    const home = folder()
    Object.assign(process.env, {
      SECURE_OPENAI_HOME: home,
      SECURE_OPENAI_AUDIT: Path.join(home, "audit"),
      SECURE_OPENAI_CHECKPOINTS: Path.join(home, "copies")
    })
    const workspace = Workspace.default()
    await workspace.ready()
    await workspace.close()
    assert.lengthOf(Fs.readdirSync(Path.join(home, "copies")), 1)
    process.env["SECURE_OPENAI_AUDIT"] = "memory"
    assert.throws(() => Workspace.default(), /SECURE_OPENAI_CHECKPOINTS/)
  })

  const wrong: ReadonlyArray<readonly [unknown, RegExp]> = [
    ["disk", /audit is "memory", or/],
    [{ capture: "full" }, /Unknown option "capture" of audit/],
    [{ path: "" }, /audit\.path/],
    [{ durability: "soon" }, /audit\.durability is "durable" or "batched", not "soon"/],
    [{ checkpoints: "" }, /audit\.checkpoints is a folder/],
    [{ checkpoints: 7 }, /audit\.checkpoints is a folder/],
    [{ checkpoints: "s3://bucket/key" }, /audit\.checkpoints is a folder/],
    [{ checkpoints: "http://" }, /is not a URL/],
    [{ checkpoints: "https://user:pass@host/" }, /user and password/],
    [{ checkpoints: { to: "x", minutes: 3 } }, /Unknown option "minutes" of audit\.checkpoints/],
    [{ checkpoints: { to: "x", withinMinutes: 0 } }, /above 0/],
    [{ checkpoints: { to: "x", withinRecords: Number.NaN } }, /above 0/]
  ]
  it.each(wrong)("%j is refused", (audit, message) => {
    const options = { apiKey: "k", audit: audit as NonNullable<WorkspaceOptions["audit"]> }
    assert.throws(() => new SecureOpenAI(options), message)
    assert.throws(() => new SecureOpenAI(options), ConfigurationError)
  })
})
