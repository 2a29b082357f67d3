/**
 * Files of keys that somebody else put in place and that are only read: a Secret of Kubernetes (links, group-readable by
 * `fsGroup`), credentials of systemd, a folder that an administrator filled.
 *
 * A key must not be read, nor chosen, by whoever could not do so anyway. Reading is judged by the file that was opened, so
 * nothing that is put in its place later counts. Choosing is judged by the folders on the way: where another user may write in
 * one of them, that user could put a key of their own there, or a link. A link is therefore followed only inside of the folder,
 * and only through folders that nobody but root and this user may write in, or that are mounted read-only.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import process from "node:process"
import { Configuration } from "../call/Errors.ts"
import { errorCode, NotPlain, readPlain } from "../base/Files.ts"

/** How long a file may be, in bytes. */
const maximumFile = 1024 * 1024

/** How many links may lead to a file. */
const maximumLinks = 8

/** How often a file is looked for that went away between its link and its opening, as when Kubernetes exchanges a Secret. */
const maximumTries = 5

/** The text of a file in the folder; undefined where it is missing. Throws {@link Configuration} for one that is not private. */
export const readMounted = (folder: string, name: string): string | undefined => {
  for (let tries = 1; ; tries++) {
    const path = follow(folder, name)
    if (path === undefined) return undefined
    try {
      return readPrivate(path)
    } catch (error) {
      if (errorCode(error) !== "ENOENT" || tries >= maximumTries) throw error
    }
  }
}

/** Where the name leads inside of the folder, with links followed; undefined where it leads to nothing. */
const follow = (folder: string, name: string): string | undefined => {
  const root = Fs.realpathSync(folder)
  const way: Array<string> = []
  const left = [name]
  for (let links = 0; ;) {
    const step = left.shift()
    if (step === undefined) return Path.join(root, ...way)
    if (step === "" || step === ".") continue
    if (step === "..") {
      if (way.pop() === undefined) throw outside(folder, name)
      continue
    }
    const parent = Path.join(root, ...way)
    requireUnchangeable(parent)
    const path = Path.join(parent, step)
    const stats = Fs.lstatSync(path, { throwIfNoEntry: false })
    if (stats === undefined) return undefined
    if (!stats.isSymbolicLink()) {
      way.push(step)
      continue
    }
    const target = Fs.readlinkSync(path)
    if (Path.isAbsolute(target) || ++links > maximumLinks) throw outside(folder, name)
    left.unshift(...target.split(Path.sep))
  }
}

const outside = (folder: string, name: string): Configuration =>
  new Configuration({
    message: `${Path.join(folder, name)} is a symbolic link that does not stay in ${folder}, and keys are read from that folder alone. Put the file itself there.`
  })

/** Nobody but root and this user may put something else into the folder. */
const requireUnchangeable = (folder: string): void => {
  const user = process.geteuid?.()
  if (user === undefined) return
  const { mode, uid } = Fs.statSync(folder)
  if (isTrusted(uid, user) && (mode & 0o022) === 0) return
  if (isReadOnly(folder)) return
  throw new Configuration({
    message: `Other users may write in ${folder}, and so put keys of their own there. Mount it read-only, or give it to root or this user (${user}) and run: chmod go-w ${folder}`
  })
}

/** True where the folder is mounted read-only: then not even its owner can change it here. */
const isReadOnly = (folder: string): boolean => {
  try {
    Fs.accessSync(folder, Fs.constants.W_OK)
    return false
  } catch (error) {
    return errorCode(error) === "EROFS"
  }
}

const isTrusted = (owner: number, user: number): boolean => owner === user || owner === 0

const readPrivate = (path: string): string => {
  try {
    const read = readPlain(path, maximumFile, (stats) => {
      const fault = faultOf(stats)
      if (fault !== undefined) throw new Configuration({ message: `${path} ${fault}` })
    })
    return read.toString("utf8")
  } catch (error) {
    if (error instanceof NotPlain)
      throw new Configuration({ message: `${error.message}, and keys are read from plain files alone.` })
    if (errorCode(error) === "EACCES")
      throw new Configuration({
        message: `${path} cannot be read by this process. On Kubernetes set securityContext.fsGroup of the pod; else give it to this user, or to root and a group of this process.`
      })
    throw error
  }
}

/**
 * What is wrong with the owner or mode of an open file. Its owner alone may read it; a group too where the file is root's and
 * the group is one of this process (`fsGroup`), or root's own: there an access list of systemd shows as the group's bits.
 */
const faultOf = ({ gid, mode, uid }: Fs.Stats): string | undefined => {
  const user = process.geteuid?.()
  if (user === undefined) return undefined
  if (!isTrusted(uid, user))
    return `belongs to the user ${uid}, and neither to root nor to the user of this process (${user}): that user knows and can change it.`
  if ((mode & 0o007) !== 0)
    return "can be read by every user. Set defaultMode: 0400 of the Secret's volume, or run: chmod o-rwx on it."
  if ((mode & 0o020) !== 0) return "can be changed by its group. Run: chmod g-w on it."
  if ((mode & 0o070) === 0) return undefined
  const groups = [0, process.getegid?.(), ...(process.getgroups?.() ?? [])]
  if (uid === 0 && groups.includes(gid)) return undefined
  return `can be read by the group ${gid}. A group may read it only where the file is root's and the group is one of this process; else run: chmod g-rwx on it.`
}
