/**
 * The lock of a log's folder: one process at a time has it open. The lock names its holder by process id and start time, so
 * that the lock of a process that is gone, or whose id another process has got since, is taken over at once.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import process from "node:process"
import { errorCode } from "../Files.ts"
import type { FileSystem } from "./Disk.ts"
import { maximumText } from "./Segment.ts"

/** Who holds a lock. `started` is the process' start in the words of the system, empty where it has none. */
const Holder = Schema.Struct({ boot: Schema.String, pid: Schema.Int, started: Schema.String })
export interface Holder extends Schema.Struct.Type<typeof Holder.fields> {}

const decodeHolder = Schema.decodeUnknownOption(Schema.fromJsonString(Holder))

/**
 * Takes the lock of `folder` for this process and `boot`. Gives undefined when it has it, else the holder; a lock that
 * cannot be read counts as held, by process 0.
 */
export const take = (disk: FileSystem, folder: string, boot: string): Holder | undefined => {
  const path = Path.join(folder, "lock")
  const mine = JSON.stringify({ boot, pid: process.pid, started: startOf(process.pid) ?? "" } satisfies Holder)
  if (disk.create(path, mine)) return undefined
  // Between the two the holder may have given it back.
  if (disk.read(path, maximumText) === undefined && disk.create(path, mine)) return undefined
  const holder = readHolder(disk, path)
  if (holder === undefined || isAlive(holder)) return holder ?? { boot: "", pid: 0, started: "" }
  // Of several that find the lock dead, one may remove it: the others would remove the new one.
  const guard = `${path}.takeover`
  const guardian = readHolder(disk, guard)
  if (guardian !== undefined && !isAlive(guardian)) disk.remove(guard)
  if (!disk.create(guard, mine)) return readHolder(disk, path) ?? holder
  try {
    const current = readHolder(disk, path)
    if (current !== undefined && current.boot === holder.boot) disk.remove(path)
    return disk.create(path, mine) ? undefined : (readHolder(disk, path) ?? holder)
  } finally {
    disk.remove(guard)
  }
}

/** True where `boot` holds the lock. */
export const isHeld = (disk: FileSystem, folder: string, boot: string): boolean =>
  readHolder(disk, Path.join(folder, "lock"))?.boot === boot

/** Gives the lock back, where `boot` holds it. */
export const release = (disk: FileSystem, folder: string, boot: string): void => {
  const path = Path.join(folder, "lock")
  if (readHolder(disk, path)?.boot === boot) disk.remove(path)
}

const readHolder = (disk: FileSystem, path: string): Holder | undefined => {
  const text = disk.read(path, maximumText)
  return text === undefined ? undefined : Option.getOrUndefined(decodeHolder(text.toString("utf8")))
}

const isAlive = (holder: Holder): boolean => {
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    // EPERM: there is such a process, of another user.
    if (errorCode(error) !== "EPERM") return false
  }
  const started = startOf(holder.pid)
  return started === undefined || started === "" || holder.started === "" || started === holder.started
}

/** When a process started, in the system's own words: comparable, no more. Undefined where that cannot be told. */
const startOf = (pid: number): string | undefined => {
  try {
    if (process.platform === "linux") {
      const stat = Fs.readFileSync(`/proc/${pid}/stat`, "utf8")
      // The name, in parentheses, may hold spaces; the start time is the 20th field after it (proc(5)).
      const ticks = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? ""
      return `${Fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()}/${ticks}`
    }
    if (process.platform === "win32") return undefined
    return ChildProcess.execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8" }).trim()
  } catch {
    return undefined
  }
}
