/**
 * Files that two processes may make at once, the folders that they are in, and reading what somebody else may have put in
 * their place.
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import process from "node:process"

/**
 * Makes a folder and those above it, mode 0700. Throws as `mkdir` does. (Node's own recursive one never ends where a folder
 * exists and takes no entries, as in /proc.)
 */
export const makeFolders = (path: string): void => {
  if (isFolder(path)) return
  const parent = Path.dirname(path)
  if (parent !== path) makeFolders(parent)
  try {
    Fs.mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    if (errorCode(error) !== "EEXIST" || !isFolder(path)) throw error
  }
}

/** Whether there is a folder of this path. */
export const isFolder = (path: string): boolean => Fs.statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false

/**
 * Makes a file with all of its text, mode 0600, synced; false where it is there already. A link is made whole or not at all:
 * nobody reads a file that is half written, and of two processes that make it at once one wins.
 */
export const createFile = (path: string, text: string): boolean => {
  const fd = linkNew(path, () => text)
  if (fd !== undefined) Fs.closeSync(fd)
  return fd !== undefined
}

/** Which file it is, whatever its name: its device and inode number, in decimal. No two that are there at once have one. */
export const idOf = ({ dev, ino }: Fs.BigIntStats): string => `${dev}:${ino}`

/**
 * As {@link createFile}, with a text that may tell which file it is in; gives the file's descriptor, open to write, and
 * undefined where there is one already.
 */
export const linkNew = (path: string, text: (id: string) => string): number | undefined => {
  const draft = `${path}.${process.pid}-${Crypto.randomBytes(6).toString("hex")}`
  const fd = Fs.openSync(draft, "wx", 0o600)
  try {
    Fs.writeFileSync(fd, text(idOf(Fs.fstatSync(fd, { bigint: true }))), { flush: true })
    Fs.linkSync(draft, path)
    return fd
  } catch (error) {
    Fs.closeSync(fd)
    if (errorCode(error) === "EEXIST") return undefined
    throw error
  } finally {
    Fs.unlinkSync(draft)
  }
}

/** What stands where a plain file should, or one that is too long. */
export class NotPlain extends Error {
  /** What is wrong with the file, as a clause: `is a symbolic link`. */
  readonly clause: string
  constructor(path: string, clause: string) {
    super(`${path} ${clause}`)
    this.name = "NotPlain"
    this.clause = clause
  }
}

/** How much is read of a file at most, in bytes, where nothing else is said: what a buffer of Node holds. */
const maximumRead = 2 ** 31 - 1

/**
 * Opens a plain file of at most `maximum` bytes; gives its descriptor and its state. No link is followed, and a pipe or a
 * device is not waited for. Throws {@link NotPlain}, and what the file system throws.
 */
export const openPlain = (
  path: string,
  flags = Fs.constants.O_RDONLY,
  maximum = Infinity
): { readonly fd: number; readonly stats: Fs.Stats } => {
  let fd: number
  try {
    // Windows has neither flag, nor pipes among its files.
    fd = Fs.openSync(path, flags | (Fs.constants.O_NOFOLLOW ?? 0) | (Fs.constants.O_NONBLOCK ?? 0), 0o600)
  } catch (error) {
    const code = errorCode(error)
    if (code === "ELOOP" || code === "EMLINK") throw new NotPlain(path, "is a symbolic link")
    // A socket cannot be opened, nor a folder to write.
    if (code === "ENXIO" || code === "EISDIR" || code === "EOPNOTSUPP") throw new NotPlain(path, "is no plain file")
    throw error
  }
  try {
    const stats = Fs.fstatSync(fd)
    if (!stats.isFile()) throw new NotPlain(path, "is no plain file")
    if (stats.size > maximum) throw new NotPlain(path, `is longer than ${maximum} bytes`)
    return { fd, stats }
  } catch (error) {
    Fs.closeSync(fd)
    throw error
  }
}

/**
 * Reads a plain file of at most `maximum` bytes. Throws as {@link openPlain}, and what `require` throws for the open file, before it
 * is read.
 */
export const readPlain = (path: string, maximum = maximumRead, require?: (stats: Fs.Stats) => void): Buffer => {
  const { fd, stats } = openPlain(path, Fs.constants.O_RDONLY, Math.min(maximum, maximumRead))
  try {
    require?.(stats)
    return readOpen(fd, stats.size)
  } finally {
    Fs.closeSync(fd)
  }
}

/** The first `size` bytes of an open file, or as many as there are. */
export const readOpen = (fd: number, size: number): Buffer => {
  const bytes = Buffer.alloc(size)
  let at = 0
  for (let read = -1; read !== 0 && at < size; at += read) read = Fs.readSync(fd, bytes, at, size - at, at)
  return bytes.subarray(0, at)
}

/** What is read or done; undefined where the file is missing. */
export const orMissing = <A>(read: () => A): A | undefined => {
  try {
    return read()
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined
    throw error
  }
}

/** The path without links, as far as it can be followed; what is not made yet stands as it was given. */
export const realPath = (path: string): string => {
  try {
    return Fs.realpathSync(path)
  } catch {
    const above = Path.dirname(path)
    return above === path ? path : Path.join(realPath(above), Path.basename(path))
  }
}

/**
 * The code of an error of the system: `ENOENT`, `EEXIST`, … Where code runs in a context of its own (`node:vm`, and so Jest),
 * the system's errors are instances of another `Error` than this module's.
 */
export const errorCode = (error: unknown): unknown =>
  typeof error === "object" && error !== null && "code" in error ? error.code : undefined
