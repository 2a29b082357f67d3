/**
 * The disk as the log sees it: a port small enough to keep in memory, and to inject faults into. What is on the hot path
 * calls back; opening and the flush at exit are synchronous. Failures are thrown, or handed to the callback, as Node's.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { createFile, makeFolders, openPlain, orMissing, readPlain } from "../Files.ts"

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
  readonly close: () => void
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
  /** Makes a file with all of its text at once; false where it is there already. */
  readonly create: (path: string, text: string) => boolean
  /** May wait for the disk's own journal, tens of ms where others sync. */
  readonly rename: (from: string, to: string, done: Done) => void
  readonly renameSync: (from: string, to: string) => void
  /** Removes a file; nothing where it is missing. */
  readonly remove: (path: string) => void
  /** Makes names in a folder durable. */
  readonly syncFolder: (path: string, done: Done) => void
  readonly syncFolderSync: (path: string) => void
}

/** Node's file system. */
export const nodeFileSystem: FileSystem = {
  makeFolder: (path) => {
    makeFolders(Path.resolve(path))
    return Fs.realpathSync(path)
  },
  list: (path) => orMissing(() => Fs.readdirSync(path).sort()) ?? [],
  read: (path, maximum) => orMissing(() => readPlain(path, maximum)),
  open: (path) => nodeFile(openPlain(path, Fs.constants.O_RDWR | Fs.constants.O_CREAT).fd),
  create: createFile,
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
  }
}

/** Node hands null to the callback of what went well; Deno, for `rename` at least, nothing. */
const told =
  (done: Done) =>
  (error?: Error | null): void =>
    done(error ?? null)

const nodeFile = (fd: number): File => {
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
    close: () => Fs.closeSync(fd)
  }
}

/** A file system in memory; nothing of it outlives the process. */
export const memoryFileSystem = (): FileSystem => {
  const files = new Map<string, { bytes: Buffer; size: number }>()
  const content = (path: string): { bytes: Buffer; size: number } => {
    const found = files.get(path)
    if (found !== undefined) return found
    const made = { bytes: Buffer.alloc(1024), size: 0 }
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
    create: (path, text) => {
      if (files.has(path)) return false
      memoryFile(path).writeSync(Buffer.from(text), 0)
      return true
    },
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

/** Writes a small file so that it is either the old one or the new one, whatever happens. */
export const replace = (disk: FileSystem, folder: string, name: string, text: string): void => {
  const draft = Path.join(folder, `${name}.new`)
  const file = disk.open(draft)
  try {
    file.truncate(0)
    file.writeSync(Buffer.from(text), 0)
    file.syncSync()
  } finally {
    file.close()
  }
  disk.renameSync(draft, Path.join(folder, name))
  disk.syncFolderSync(folder)
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
