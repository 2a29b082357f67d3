/**
 * New inodes for the files of a log whose writer before may still live: what that one writes from then on goes to a file
 * without a name. It is safe whoever else does the same at any time, also where this process has lost the lock on the way:
 *
 * 1. A file is copied. 2. It is moved to a name of this process' own, and looked at there. 3. It is what was copied, no byte
 * longer: the copy is linked to the name, which fails where there is one. It is not: it is linked back.
 *
 * A writer looks after each sync whether the name is its file's, before it tells anybody. So what was acknowledged before (2) is
 * in the copy, or the file has grown; and after (2) nothing is acknowledged that goes to the old file. Who dies between (2) and
 * (3) leaves the file aside; whoever opens the log next puts it back, and removes the copy before that: a copy that is linked
 * late would be older than what was written since.
 */
import * as Effect from "effect/Effect"
import * as Path from "node:path"
import { newId } from "../../base/Id.ts"
import { type FileSystem, type Pulse, removeQuietly, writeWhole } from "./Disk.ts"

/** What a renewal asks of a file's folder: each of these happens at once or not at all. */
export interface RenewalFolder {
  readonly list: Effect.Effect<ReadonlyArray<string>>
  readonly pulse: (name: string) => Effect.Effect<Pulse | undefined>
  /** Makes a synced copy under another name; gives its size, and undefined where the file is missing. */
  readonly copy: (name: string, to: string) => Effect.Effect<number | undefined>
  readonly move: (from: string, to: string) => Effect.Effect<boolean>
  readonly link: (from: string, to: string) => Effect.Effect<boolean>
  readonly remove: (name: string) => Effect.Effect<void>
}

/** A folder on a disk. */
export const folderOn = (disk: FileSystem, folder: string): RenewalFolder => {
  const at = (name: string): string => Path.join(folder, name)
  return {
    list: Effect.sync(() => disk.list(folder)),
    pulse: (name) => Effect.sync(() => disk.pulse(at(name))),
    copy: (name, to) =>
      Effect.sync(() => {
        const bytes = disk.read(at(name))
        if (bytes === undefined) return undefined
        const file = disk.openNew(at(to))
        try {
          writeWhole(file, bytes)
        } catch (error) {
          removeQuietly(disk, at(to))
          throw error
        }
        return bytes.length
      }),
    move: (from, to) => Effect.sync(() => disk.move(at(from), at(to))),
    link: (from, to) => Effect.sync(() => disk.link(at(from), at(to))),
    remove: (name) => Effect.sync(() => disk.remove(at(name)))
  }
}

/** Gives a file a new inode; false where it is missing, or another process has it, or takes it at the same time. */
export const renew = (folder: RenewalFolder, name: string): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const old = yield* folder.pulse(name)
    if (old === undefined) return false
    const id = newId()
    const copy = `${name}.${id}.new`
    const aside = `${name}.${id}.aside`
    const size = yield* folder.copy(name, copy)
    if (!(yield* folder.move(name, aside))) {
      yield* folder.remove(copy)
      return false
    }
    const moved = yield* folder.pulse(aside)
    const isSame = moved?.file === old.file && moved.size === size
    const isDone = isSame && (yield* folder.link(copy, name))
    if (!isDone) yield* folder.link(aside, name)
    yield* folder.remove(copy)
    yield* folder.remove(aside)
    return isDone
  })

/** Puts back what a process that is gone has left aside. */
export const restore = (folder: RenewalFolder): Effect.Effect<void> =>
  Effect.gen(function* () {
    for (const aside of yield* folder.list) {
      const [, name, id] = /^(.*)\.([-0-9a-f]{36})\.aside$/.exec(aside) ?? []
      // A lock that is aside tells that files must be renewed.
      if (name === undefined || name === "lock") continue
      yield* folder.remove(`${name}.${id}.new`)
      yield* folder.link(aside, name)
      yield* folder.remove(aside)
    }
  })
