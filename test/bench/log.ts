/**
 * How fast the log takes records in, durably, and how long it keeps the event loop: `node test/bench/log.ts [options]`.
 *
 *     --seconds N       of each measurement (5)
 *     --concurrency N   callers side by side (64)
 *     --path FOLDER     on which disk (the system's folder for temporary files)
 *
 * Three measurements, each on a log of its own: `records` writes decisions, each waited for until it is on the disk; `calls`
 * makes whole calls through the audit stage, two records each, of which the decision is waited for; `bare` is the peer in the
 * same run: the same lines, appended with the same number in a group, and fdatasync, with no tree, no records made and nothing
 * signed. `disk` is the longest that one synchronous call to the disk kept the event loop, `loop` its delay as
 * `monitorEventLoopDelay` sees it (with all that this process computes; 1 ms of it is the resolution).
 */
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Result from "effect/Result"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { parseArgs } from "node:util"
import { Audit } from "../../src/audit/Audit.ts"
import { Disk, type File, type FileSystem, nodeFileSystem } from "../../src/audit/folder/Disk.ts"
import { generate, Keys } from "../../src/keys/Keys.ts"
import { chat, runCall } from "../audit/calls.ts"
import { decision, openJournal } from "../audit/logs.ts"

const { values: given } = parseArgs({
  options: {
    seconds: { type: "string", default: "5" },
    concurrency: { type: "string", default: "64" },
    path: { type: "string", default: Os.tmpdir() }
  }
})
const seconds = Number(given.seconds)
const concurrency = Number(given.concurrency)
const home = Fs.mkdtempSync(Path.join(given.path, "secure-openai-bench-"))

/** Node's file system, with a clock on what is synchronous and a count of the syncs. */
const timed = () => {
  const seen = { longest: 0, what: "", syncs: 0 }
  const clock = <A extends ReadonlyArray<unknown>, B>(what: string, run: (...args: A) => B) => {
    return (...args: A): B => {
      const start = performance.now()
      try {
        return run(...args)
      } finally {
        const took = performance.now() - start
        if (took > seen.longest) Object.assign(seen, { longest: took, what })
      }
    }
  }
  const { claim, list, makeFolder, open, openNew, openOld, read, remove, renameSync, syncFolderSync } = nodeFileSystem
  const timedFile =
    (make: (path: string) => File) =>
    (path: string): File => {
      const file = make(path)
      return {
        ...file,
        writeSync: clock("write", file.writeSync),
        syncSync: clock("sync", file.syncSync),
        truncate: clock("truncate", file.truncate),
        close: clock("close", file.close),
        sync: (done) => {
          seen.syncs++
          file.sync(done)
        }
      }
    }
  const disk: FileSystem = {
    ...nodeFileSystem,
    makeFolder: clock("makeFolder", makeFolder),
    list: clock("list", list),
    read: clock("read", read),
    claim: clock("claim", claim),
    renameSync: clock("rename", renameSync),
    remove: clock("remove", remove),
    syncFolderSync: clock("syncFolder", syncFolderSync),
    open: clock("open", timedFile(open)),
    openOld: clock("open", timedFile(openOld)),
    openNew: clock("open", timedFile(openNew))
  }
  return { disk, seen, reset: () => Object.assign(seen, { longest: 0, what: "", syncs: 0 }) }
}

/** Has `concurrency` callers work side by side for a while; gives how much was done a second, and the loop's delay in ms. */
const measure = async (work: () => Promise<void>) => {
  const until = performance.now() + 1000 * seconds
  let done = 0
  const delay = monitorEventLoopDelay({ resolution: 1 })
  const start = performance.now()
  delay.enable()
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (performance.now() < until) {
        await work()
        done++
      }
    })
  )
  delay.disable()
  const took = (performance.now() - start) / 1000
  return {
    rate: done / took,
    took,
    loop: { p50: delay.percentile(50) / 1e6, p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 }
  }
}

const tell = (name: string, rate: number, loop: { p50: number; p99: number; max: number }, more: string): void =>
  void process.stdout.write(
    `${name.padEnd(8)} ${Math.round(rate).toLocaleString("en").padStart(9)} records/s   loop p50 ${loop.p50.toFixed(1)} p99 ${loop.p99.toFixed(1)} max ${loop.max.toFixed(1)} ms   ${more}\n`
  )

try {
  const { disk, reset, seen } = timed()
  const log = openJournal({ path: Path.join(home, "records"), named: true, key: generate("log"), disk, opening: [] })
  reset()
  const records = await measure(
    () =>
      new Promise((resolve, reject) => {
        const writer = log.current()
        Result.getOrThrow(writer.append(decision()))
        writer.whenDurable((fault) => (fault === undefined ? resolve() : reject(fault)))
      })
  )
  const group = (records.rate * records.took) / seen.syncs
  tell(
    "records",
    records.rate,
    records.loop,
    `disk ${seen.longest.toFixed(1)} ms (${seen.what})   ${group.toFixed(0)} a group`
  )
  await log.close()

  const calls = timed()
  const runtime = ManagedRuntime.make(
    Audit.layer({ path: Path.join(home, "calls"), named: true }).pipe(
      Layer.provide(Keys.layerMemory),
      Layer.provide(Layer.succeed(Disk, calls.disk))
    )
  )
  const audit = await runtime.runPromise(Audit)
  calls.reset()
  const made = await measure(async () => {
    await runtime.runPromise(runCall(audit, chat()))
  })
  tell("calls", 2 * made.rate, made.loop, `disk ${calls.seen.longest.toFixed(1)} ms (${calls.seen.what})`)
  await runtime.dispose()

  const file = nodeFileSystem.open(Path.join(home, "bare"))
  const line = Fs.readFileSync(Path.join(home, "records", "journal", `${"0".repeat(20)}.jsonl`), "utf8").split("\n")[1]
  const bytes = Buffer.from(`${line}\n`.repeat(Math.max(1, Math.round(group))))
  let position = 0
  let groups = 0
  const until = performance.now() + 1000 * seconds
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const start = performance.now()
  while (performance.now() < until) {
    await new Promise<void>((resolve, reject) =>
      file.write(bytes, position, (error) =>
        error === null ? file.sync((fault) => (fault === null ? resolve() : reject(fault))) : reject(error)
      )
    )
    position += bytes.length
    groups++
  }
  delay.disable()
  const rate = (groups * Math.max(1, Math.round(group))) / ((performance.now() - start) / 1000)
  tell(
    "bare",
    rate,
    { p50: delay.percentile(50) / 1e6, p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 },
    "append and fdatasync alone"
  )
  file.close()
} finally {
  Fs.rmSync(home, { recursive: true, force: true })
}
