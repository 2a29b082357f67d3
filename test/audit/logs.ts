/**
 * Logs for the tests: journals on a disk in memory, and disks that fail.
 */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { type File, type FileSystem, memoryFileSystem } from "../../src/audit/folder/Disk.ts"
import * as FolderLog from "../../src/audit/folder/FolderLog.ts"
import { folderReader } from "../../src/audit/folder/FolderReader.ts"
import type * as Journal from "../../src/audit/folder/Journal.ts"
import * as SharedLogs from "../../src/audit/folder/SharedLogs.ts"
import type { Appended, AppendedBody } from "../../src/audit/Log.ts"
import type { Body } from "../../src/audit/Record.ts"
import { type Report, verify, type VerifyOptions } from "../../src/audit/proof/Verify.ts"
import { generate, type SigningKey } from "../../src/keys/Keys.ts"

export const key: SigningKey<"log"> = generate("log")

/** Opens a log that no other process has, or had when it died. */
export const openJournal = (options: Journal.JournalOptions): Journal.Journal => Effect.runSync(FolderLog.open(options))

/** As {@link openJournal}, shared with whoever has the log open in this process. */
export const joinJournal = (options: Journal.JournalOptions): Journal.Journal =>
  Effect.runSync(SharedLogs.join(options))

export const openLog = (disk: FileSystem, options: Partial<Journal.JournalOptions> = {}): Journal.Journal =>
  openJournal({ path: "/log", named: true, key, disk, opening: [], ...options })

export const durable = (journal: Journal.Journal): Promise<void> =>
  new Promise((resolve, reject) => journal.whenDurable((fault) => (fault === undefined ? resolve() : reject(fault))))

let calls = 0

export const decision = (call = `call-${calls++}`): Extract<Body, { kind: "decision" }> => ({
  kind: "decision",
  call,
  tool: "tool:shop/generate",
  app: "shop",
  principal: { kind: "user", id: "alice" },
  verdict: "allow",
  policies: [],
  rev: "sha-256:rev",
  edits: [],
  requested: "sha-256:req",
  effective: "sha-256:eff",
  model: "gpt-4o",
  stream: false,
  endpoint: "POST https://host/v1/chat/completions",
  kid: "k",
  inv: "sha-256:inv"
})

export const outcome = (call: string, seq: number | Appended): AppendedBody => ({
  kind: "outcome",
  call,
  decision: seq,
  result: "complete",
  attempts: 1,
  ms: 1
})

/** Makes whole calls. */
export const makeCalls = (journal: Journal.Journal, count: number): void => {
  for (let i = 0; i < count; i++) {
    const body = decision()
    const appended = journal.append(body)
    if (appended._tag === "Success") journal.append(outcome(body.call, appended.success))
  }
}

/** A disk in memory whose files go through `change`. */
export const diskWith = (change: (file: File, path: string) => Partial<File>): FileSystem => {
  const disk = memoryFileSystem()
  const changed =
    (open: (path: string) => File) =>
    (path: string): File => {
      const file = open(path)
      return { ...file, ...change(file, path) }
    }
  return { ...disk, open: changed(disk.open), openOld: changed(disk.openOld), openNew: changed(disk.openNew) }
}

export const temporaryFolder = (): string => Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-"))

/** Verifies the log in a folder. */
export const check = ({ path, ...options }: Omit<VerifyOptions, "log"> & { readonly path: string }): Promise<Report> =>
  Effect.runPromise(verify({ log: folderReader(path), ...options }))
