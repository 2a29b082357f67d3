/**
 * The disk as the log sees it: a port small enough to keep in memory, and to inject faults into. What is on the hot path
 * calls back; opening and the flush at exit are synchronous. Failures are thrown, or handed to the callback, as Node's.
 */
import * as Context from "effect/Context"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { errorCode, idOf, linkNew, makeFolders, openPlain, orMissing, readPlain } from "../../base/Files.ts"
import { now } from "../../base/EventLoop.ts"
import { newId } from "../../base/Id.ts"
import { type LifeSigns, lifeSigns } from "./LifeSign.ts"

/** Called once, with what went wrong. */
export type Done = (error: Error | null) => void

/** An open file, written by position: a write that is done twice is done once. */
export interface File {
  readonly write: (bytes: Uint8Array, position: number, done: Done) => void
  readonly writeSync: (bytes: Uint8Array, position: number) => void
  /** fdatasync(2). */
  readonly sync: (done: Done) => void
  readonly syncSync: () => void
  readonly truncate: (size: number) => void
  /** True while the name under which it was opened is this file's. */
  readonly isThere: () => boolean
  readonly close: () => void
}

/** A file that this process has made under a name, and which is told apart from any other that takes the name. */
export interface ClaimedFile {
  /** True while the name is this file's. */
  readonly isThere: () => boolean
  /** Sets the file's time to now; where that fails nothing is said. */
  readonly touch: () => void
  readonly close: () => void
}

/** A file at a moment. */
export interface Pulse {
  /** Which file it is: its device and inode number, `<dev>:<ino>`. */
  readonly file: string
  /** Another one after each touch. */
  readonly stamp: string
  /** Its size, in bytes. */
  readonly size: number
  /** When it was last touched, by the clock of whoever touched it, in ms since 1970. */
  readonly at: number
}

/** A file system. */
export interface FileSystem {
  /** Makes a folder and those above it; gives its real path. */
  readonly makeFolder: (path: string) => string
  /** Names in a folder, sorted; none where it is missing. */
  readonly list: (path: string) => ReadonlyArray<string>
  /** The whole plain file; undefined where it is missing. Throws where it is longer than `maximum` bytes, or none. */
  readonly read: (path: string, maximum?: number) => Buffer | undefined
  /** Opens a plain file to write, made where it is missing. */
  readonly open: (path: string) => File
  /** Opens a plain file to write. Throws where there is none. */
  readonly openOld: (path: string) => File
  /** Makes a plain file to write. Throws where there is one of that name. */
  readonly openNew: (path: string) => File
  /** Makes a file with all of its text at once, which may tell the file's device and inode number; undefined where there is one of that name. */
  readonly claim: (path: string, text: (file: string) => string) => ClaimedFile | undefined
  /** Gives a file a second name; false where that is taken, or the file is missing. */
  readonly link: (from: string, to: string) => boolean
  /** Gives a file another name; false where it is missing. */
  readonly move: (from: string, to: string) => boolean
  /** Undefined where the file is missing. */
  readonly pulse: (path: string) => Pulse | undefined
  /** How other processes that share the disk tell whether one lives; undefined where no other can reach it. */
  readonly signs: LifeSigns | undefined
  /** May wait for the disk's own journal, tens of ms where others sync. */
  readonly rename: (from: string, to: string, done: Done) => void
  readonly renameSync: (from: string, to: string) => void
  /** Removes a file; nothing where it is missing. */
  readonly remove: (path: string) => void
  /** Makes names in a folder durable. */
  readonly syncFolder: (path: string, done: Done) => void
  readonly syncFolderSync: (path: string) => void
  /** How much of the file system that holds a folder is free to this process, in bytes; absent where that has no meaning. */
  readonly space?: (path: string, done: (error: Error | null, space?: Space) => void) => void
}

/** Bytes of a file system. */
export interface Space {
  readonly free: number
  readonly total: number
}

/** Node's file system. */
export const nodeFileSystem: FileSystem = {
  makeFolder: (path) => {
    makeFolders(Path.resolve(path))
    return Fs.realpathSync(path)
  },
  list: (path) => orMissing(() => Fs.readdirSync(path).sort()) ?? [],
  read: (path, maximum) => orMissing(() => readPlain(path, maximum)),
  open: (path) => nodeFile(path, openPlain(path, Fs.constants.O_RDWR | Fs.constants.O_CREAT).fd),
  openOld: (path) => nodeFile(path, openPlain(path, Fs.constants.O_RDWR).fd),
  openNew: (path) =>
    nodeFile(path, openPlain(path, Fs.constants.O_RDWR | Fs.constants.O_CREAT | Fs.constants.O_EXCL).fd),
  claim: (path, text) => {
    const fd = linkNew(path, text)
    return fd === undefined ? undefined : nodeClaim(path, fd)
  },
  link: (from, to) => {
    try {
      Fs.linkSync(from, to)
      return true
    } catch (error) {
      if (errorCode(error) === "EEXIST" || errorCode(error) === "ENOENT") return false
      throw error
    }
  },
  move: (from, to) => orMissing(() => (Fs.renameSync(from, to), true)) ?? false,
  pulse: (path) => {
    const stats = Fs.lstatSync(path, { bigint: true, throwIfNoEntry: false })
    return stats === undefined
      ? undefined
      : { file: idOf(stats), stamp: String(stats.mtimeNs), size: Number(stats.size), at: Number(stats.mtimeMs) }
  },
  signs: lifeSigns,
  rename: (from, to, done) => Fs.rename(from, to, told(done)),
  renameSync: Fs.renameSync,
  remove: (path) => void orMissing(() => Fs.unlinkSync(path)),
  syncFolder: (path, done) =>
    Fs.open(path, "r", (fault, fd) => {
      if (fault !== null) return done(fault)
      Fs.fsync(fd, (error) => Fs.close(fd, () => told(done)(error)))
    }),
  syncFolderSync: (path) => {
    const fd = Fs.openSync(path, "r")
    try {
      Fs.fsyncSync(fd)
    } finally {
      Fs.closeSync(fd)
    }
  },
  space: (path, done) =>
    Fs.statfs(path, (error, found) => {
      if (error !== null) return done(error)
      const { bavail, blocks, bsize } = found
      done(null, { free: bavail * bsize, total: blocks * bsize })
    })
}

/** Node hands null to the callback of what went well; Deno, for `rename` at least, nothing. */
const told =
  (done: Done) =>
  (error?: Error | null): void =>
    done(error ?? null)

const nodeFile = (path: string, fd: number): File => {
  const isThere = isAt(path, fd)
  const write = (bytes: Uint8Array, position: number, done: Done): void =>
    Fs.write(fd, bytes, 0, bytes.length, position, (error, written) => {
      if (error !== null || written === bytes.length) done(error)
      else write(bytes.subarray(written), position + written, done)
    })
  return {
    write,
    writeSync: (bytes, position) => {
      for (let at = 0; at < bytes.length;) at += Fs.writeSync(fd, bytes, at, bytes.length - at, position + at)
    },
    sync: (done) => Fs.fdatasync(fd, told(done)),
    syncSync: () => Fs.fdatasyncSync(fd),
    truncate: (size) => Fs.ftruncateSync(fd, size),
    isThere,
    close: () => Fs.closeSync(fd)
  }
}

/** Whether a name is still that of the file which is open: no other gets its inode number as long as it is. */
const isAt = (path: string, fd: number): (() => boolean) => {
  const { dev, ino } = Fs.fstatSync(fd, { bigint: true })
  return () => {
    const stats = Fs.lstatSync(path, { bigint: true, throwIfNoEntry: false })
    return stats !== undefined && stats.ino === ino && stats.dev === dev
  }
}

const nodeClaim = (path: string, fd: number): ClaimedFile => {
  return {
    isThere: isAt(path, fd),
    touch: () => {
      try {
        Fs.futimesSync(fd, now() / 1000, now() / 1000)
      } catch {
        // Who judges by it may presume that this process is gone, and nothing is lost by that.
      }
    },
    close: () => Fs.closeSync(fd)
  }
}

/** A file system in memory; nothing of it outlives the process. */
export const memoryFileSystem = (): FileSystem => {
  const files = new Map<string, { readonly id: number; bytes: Buffer; size: number }>()
  let ids = 0
  const content = (path: string): { readonly id: number; bytes: Buffer; size: number } => {
    const found = files.get(path)
    if (found !== undefined) return found
    const made = { id: ids++, bytes: Buffer.alloc(1024), size: 0 }
    files.set(path, made)
    return made
  }
  const memoryFile = (path: string): File => {
    const file = content(path)
    const writeSync = (bytes: Uint8Array, position: number): void => {
      const end = position + bytes.length
      if (end > file.bytes.length) {
        const larger = Buffer.alloc(2 * end)
        file.bytes.copy(larger)
        file.bytes = larger
      }
      file.bytes.set(bytes, position)
      file.size = Math.max(file.size, end)
    }
    return {
      write: (bytes, position, done) => {
        writeSync(bytes, position)
        queueMicrotask(() => done(null))
      },
      writeSync,
      sync: (done) => queueMicrotask(() => done(null)),
      syncSync: () => {},
      truncate: (size) => void (file.size = Math.min(file.size, size)),
      isThere: () => files.get(path) === file,
      close: () => {}
    }
  }
  const renameSync = (from: string, to: string): void => {
    const file = files.get(from)
    if (file === undefined) throw Object.assign(new Error(`ENOENT: no ${from}`), { code: "ENOENT" })
    files.set(to, file)
    files.delete(from)
  }
  return {
    makeFolder: (path) => path,
    list: (path) =>
      [...files.keys()]
        .filter((name) => Path.dirname(name) === path)
        .map((name) => Path.basename(name))
        .sort(),
    read: (path) => {
      const file = files.get(path)
      return file === undefined ? undefined : Buffer.from(file.bytes.subarray(0, file.size))
    },
    open: memoryFile,
    openOld: (path) => {
      if (!files.has(path)) throw Object.assign(new Error(`ENOENT: no ${path}`), { code: "ENOENT" })
      return memoryFile(path)
    },
    openNew: (path) => {
      if (files.has(path)) throw Object.assign(new Error(`EEXIST: there is ${path}`), { code: "EEXIST" })
      return memoryFile(path)
    },
    claim: (path, text) => {
      if (files.has(path)) return undefined
      memoryFile(path).writeSync(Buffer.from(text(path)), 0)
      const file = files.get(path)
      return { isThere: () => files.get(path) === file, touch: () => {}, close: () => {} }
    },
    link: (from, to) => {
      const file = files.get(from)
      if (file === undefined || files.has(to)) return false
      files.set(to, file)
      return true
    },
    move: (from, to) => {
      if (!files.has(from)) return false
      renameSync(from, to)
      return true
    },
    pulse: (path) => {
      const file = files.get(path)
      return file && { file: String(file.id), stamp: "", size: file.size, at: 0 }
    },
    signs: undefined,
    rename: (from, to, done) => {
      renameSync(from, to)
      queueMicrotask(() => done(null))
    },
    renameSync,
    remove: (path) => void files.delete(path),
    syncFolder: (_, done) => queueMicrotask(() => done(null)),
    syncFolderSync: () => {}
  }
}

/** A name for a draft of a file, which no other process writes to; `end` is its last part. */
export const draftOf = (name: string, end: "draft" | "new"): string => `${name}.${newId()}.${end}`

/** Removes the drafts in a folder, which processes that are gone have left. */
export const removeDrafts = (disk: FileSystem, folder: string): void => {
  for (const name of disk.list(folder)) if (/\.(draft|new)$/.test(name)) disk.remove(Path.join(folder, name))
}

/** Writes a file that was just opened, syncs and closes it. Throws what the disk throws; the file is closed then too. */
export const writeWhole = (file: File, bytes: Uint8Array): void => {
  try {
    file.writeSync(bytes, 0)
    file.syncSync()
  } finally {
    file.close()
  }
}

/** Writes a file so that it is either the old one or the new one, whatever happens; it gets a new inode. */
export const replace = (disk: FileSystem, folder: string, name: string, content: string | Uint8Array): void => {
  const draft = Path.join(folder, draftOf(name, "new"))
  try {
    writeWhole(disk.openNew(draft), typeof content === "string" ? Buffer.from(content) : content)
    disk.renameSync(draft, Path.join(folder, name))
  } catch (error) {
    removeQuietly(disk, draft)
    throw error
  }
  disk.syncFolderSync(folder)
}

/** Removes what a failure has left: a full disk is tried again and again, and has no room for each attempt. */
export const removeQuietly = (disk: FileSystem, path: string): void => {
  try {
    disk.remove(path)
  } catch {
    // The failure before says more.
  }
}

/** Closes a file that was synced before, or whose failure is told of already. */
export const closeQuietly = (file: File): void => {
  try {
    file.close()
  } catch {
    // See above.
  }
}

/**
 * The file system that logs are kept on: Node's, unless a layer provides another.
 *
 * @category services
 */
export const Disk: Context.Reference<FileSystem> = Context.Reference("secure-openai/audit/Disk", {
  defaultValue: () => nodeFileSystem
})
