/**
 * The sign of life of a process that has a log open: it listens on a UNIX socket in the log's folder, which the kernel closes
 * with the process, in whatever container that runs. Who connects knows that it lives, also while it is stopped; who is refused
 * by the same kernel knows that it is gone. Where no socket can be made, or the kernels differ, a socket says nothing.
 */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import process from "node:process"
import { clearTimeout, setTimeout } from "node:timers"
import { errorCode, idOf, orMissing } from "../../base/Files.ts"

/** What a holder says of itself over its socket. */
export type HolderIntent = "stays" | "closing"

/**
 * What a socket says: the holder's own word; `silent`, it is there and says nothing (stopped, or busy); `refused`, nobody has
 * it open; `none`, there is no socket; `unknown`, anything else.
 */
export type Word = HolderIntent | "silent" | "refused" | "none" | "unknown"

/**
 * A word, and which socket said it: its device and inode number. A file system that is mounted twice has two devices, and a
 * socket that was bound in one refuses in the other, although its process lives.
 */
export interface LifeSignReply {
  readonly socket: string
  readonly word: Word
}

/** A socket that listens, under a name of its own until it is published. */
export interface Sign {
  /** Its device and inode number, `<dev>:<ino>`. */
  readonly socket: string
  /** Gives it the name under which it is asked. */
  readonly publish: () => void
  /** Removes it, under whichever name it has. */
  readonly close: () => void
}

/** Where a process runs, as far as another one must know to judge it. */
export interface ProcessPlace {
  /** The kernel's boot id; empty where it cannot be told. */
  readonly kernel: string
  /** The host's name, or the container's. */
  readonly host: string
  /** The namespace that process ids count in; empty where there is only one. */
  readonly space: string
}

/** Signs of life in the folders of a disk. */
export interface LifeSigns {
  readonly place: ProcessPlace
  /** Listens in `folder` and answers who asks with what `intent` gives; undefined where no socket can be made. */
  readonly listen: (folder: string, id: string, intent: () => HolderIntent) => Sign | undefined
  /** Asks the socket of `folder`; at once where there is none. */
  readonly ask: (folder: string) => Effect.Effect<LifeSignReply>
}

const socketName = "lock.sock"
/** How long a path of a socket may be, in bytes: `sun_path` less its end (unix(7), and as the BSDs have it). */
const maximumPath = process.platform === "linux" ? 107 : 103
/** How long a holder that is connected to may take to say something, in ms. */
const answerDelay = 500

/** Opens a path of `name` in `folder` that a socket takes, by the folder's descriptor where it is too long; undefined where none is. */
const openPath = (folder: string, name: string): { readonly path: string; readonly close: () => void } | undefined => {
  const path = Path.join(folder, name)
  if (process.platform === "win32") return undefined
  if (Buffer.byteLength(path) <= maximumPath) return { path, close: () => {} }
  if (process.platform !== "linux") return undefined
  const fd = Fs.openSync(folder, Fs.constants.O_RDONLY | Fs.constants.O_DIRECTORY)
  return { path: `/proc/self/fd/${fd}/${name}`, close: () => Fs.closeSync(fd) }
}

/** Device and inode number of the socket of this path; undefined where there is no such socket. */
const socketAt = (path: string): string | undefined => {
  const stats = Fs.lstatSync(path, { bigint: true, throwIfNoEntry: false })
  return stats?.isSocket() === true ? idOf(stats) : undefined
}

const listen = (folder: string, id: string, intent: () => HolderIntent): Sign | undefined => {
  const name = `lock.${id}.sock`
  const draft = Path.join(folder, name)
  const published = Path.join(folder, socketName)
  const server = Net.createServer((asking) => {
    asking.on("error", () => {})
    asking.unref()
    asking.end(intent(), () => asking.destroy())
  })
  server.on("error", () => {})
  try {
    const short = openPath(folder, name)
    if (short === undefined) return undefined
    try {
      // Node binds at once; `exclusive`, so that the primary of a cluster does not bind in a worker's place.
      server.listen({ path: short.path, exclusive: true })
      server.unref()
    } finally {
      short.close()
    }
    const socket = socketAt(draft)
    if (socket === undefined) throw new Error("no socket was made")
    Fs.chmodSync(draft, 0o600)
    return {
      socket,
      publish: () => Fs.renameSync(draft, published),
      close: () => {
        if (socketAt(published) === socket) orMissing(() => Fs.unlinkSync(published))
        orMissing(() => Fs.unlinkSync(draft))
        server.close()
      }
    }
  } catch {
    // A file system without sockets: the heartbeat judges.
    server.close()
    return undefined
  }
}

const ask = (folder: string): Effect.Effect<LifeSignReply> =>
  Effect.suspend(() => {
    const path = Path.join(folder, socketName)
    const socket = socketAt(path)
    if (socket === undefined) return Effect.succeed({ socket: "", word: "none" })
    return Effect.callback<LifeSignReply>((resume) => {
      const short = openPath(folder, socketName)
      if (short === undefined) return resume(Effect.succeed({ socket, word: "unknown" }))
      let said = ""
      let isConnected = false
      const asking = Net.connect({ path: short.path })
      let isOver = false
      const finish = (word: Word): void => {
        if (isOver) return
        isOver = true
        clearTimeout(timer)
        asking.destroy()
        short.close()
        // Another socket may have taken the name meanwhile: the word is nobody's then.
        resume(Effect.succeed({ socket, word: socketAt(path) === socket ? word : "unknown" }))
      }
      const timer = setTimeout(() => finish(isConnected ? "silent" : "unknown"), answerDelay)
      asking.on("connect", () => (isConnected = true))
      asking.setEncoding("utf8").on("data", (text: string) => (said += text))
      asking.on("end", () => finish(said === "stays" || said === "closing" ? said : "silent"))
      asking.on("error", (error) => finish(wordOf(error, isConnected)))
    })
  })

const wordOf = (error: Error, isConnected: boolean): Word => {
  if (isConnected) return "silent"
  switch (errorCode(error)) {
    case "ECONNREFUSED":
      return "refused"
    case "EAGAIN":
      // Its queue is full: it is open, and whoever has it open accepts nobody.
      return "silent"
    default:
      return "unknown"
  }
}

const readOr = (read: () => string): string => {
  try {
    return read().trim()
  } catch {
    return ""
  }
}

/** Signs of life on Node's file system. */
export const lifeSigns: LifeSigns = {
  place: {
    kernel: readOr(() => Fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8")),
    host: readOr(Os.hostname),
    space: readOr(() => Fs.readlinkSync("/proc/self/ns/pid"))
  },
  listen,
  ask
}
