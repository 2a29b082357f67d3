/**
 * Files that two processes may make at once, and the folders that they are in.
 *
 * @since 0.1.0
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
  const draft = `${path}.${process.pid}-${Crypto.randomBytes(6).toString("hex")}`
  Fs.writeFileSync(draft, text, { mode: 0o600, flag: "wx", flush: true })
  try {
    Fs.linkSync(draft, path)
    return true
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false
    throw error
  } finally {
    Fs.unlinkSync(draft)
  }
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

/** The code of an error of the system: `ENOENT`, `EEXIST`, … */
export const errorCode = (error: unknown): unknown =>
  error instanceof Error && "code" in error ? error.code : undefined
