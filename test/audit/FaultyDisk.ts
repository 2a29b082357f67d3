/**
 * A disk in memory that fails as disks do. It counts what is asked of it and can fail at any of it; and it knows which bytes and
 * names were synced, so that a test can take the power away and go on with any state that the disk may then be in: of what was
 * not synced, any part may be there, and a write may be torn. After a failed sync what it was about reads well and is lost.
 */
import * as Path from "node:path"
import type { ClaimedFile, Done, File, FileSystem, Pulse, Space } from "../../src/audit/folder/Disk.ts"

/** `EIO` once, `ENOSPC` until the disk is well again, or half of a write and then `EIO`. */
export type Fault = "EIO" | "ENOSPC" | "torn"

interface Write {
  readonly bytes: Buffer
  readonly position: number
}

/** A file without its name: what is read of it, what is on the disk, and the changes that a sync brings there, in order. */
interface Inode {
  cache: Buffer
  durable: Buffer
  /** A truncation is a size. */
  unsynced: Array<Write | number>
}

const change = (file: Inode, to: Write | number): void => {
  file.cache = apply(file.cache, to)
  file.unsynced.push(to)
}

/** What a power cut leaves to chance. */
export interface Chance {
  /** From 0 up to 1. */
  readonly next: () => number
}

const apply = (bytes: Buffer, change: Write | number): Buffer => {
  if (typeof change === "number")
    return change <= bytes.length
      ? Buffer.from(bytes.subarray(0, change))
      : Buffer.concat([bytes, Buffer.alloc(change - bytes.length)])
  const end = change.position + change.bytes.length
  const larger = Buffer.alloc(Math.max(bytes.length, end))
  bytes.copy(larger)
  change.bytes.copy(larger, change.position)
  return larger
}

const failureOf = (code: string): Error => Object.assign(new Error(`${code}: made by the test`), { code })

/** A file's name, without what makes a draft's unique. */
const nameOf = (path: string): string =>
  Path.basename(path).replace(/\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(?=\.)/, "")

/** The faulty disk. */
export class FaultyDisk implements FileSystem {
  /** What was asked so far, in order. */
  readonly asked: Array<string> = []
  /** Called before each thing that is asked, by its number. */
  before: (operation: number) => void = () => {}
  /** What was asked of a file after it was closed: its descriptor may be another file's by then. */
  readonly afterClose: Array<string> = []
  /** What it says of its free space, in bytes. */
  room: Space = { free: 2 ** 40, total: 2 ** 41 }
  #names = new Map<string, Inode>()
  /** Names as they are on the disk, and the changes of each folder that no sync covers. */
  #durable = new Map<string, Inode>()
  #changes: Array<{ readonly folder: string; readonly change: (names: Map<string, Inode>) => void }> = []
  #at = -1
  #fault: Fault = "EIO"
  #ill = false
  /** True once the fault has struck. */
  struck = false
  #site: { readonly name: string; readonly siteOf: (operation: string) => string; left: number } | undefined

  /** Fails at operation number `at`. */
  failAt(at: number, fault: Fault): void {
    this.#at = at
    this.#fault = fault
    this.struck = false
  }

  /** Fails at the operation that is the one after `before` others of its site, from now on. */
  failAtSite(name: string, before: number, siteOf: (operation: string) => string, fault: Fault): void {
    this.failAt(-1, fault)
    this.#site = { name, siteOf, left: before }
  }

  /** The disk is well from now on. */
  heal(): void {
    this.#at = -1
    this.#site = undefined
    this.#ill = false
  }

  /** Throws where this operation fails. `writes` where it needs space. */
  #ask(what: string, writes: boolean, torn?: () => void): void {
    const number = this.asked.length
    this.asked.push(what)
    this.before(number)
    const site = this.#site
    if (site !== undefined && site.name === site.siteOf(what) && site.left-- === 0) this.#at = number
    if (number === this.#at) {
      this.struck = true
      if (this.#fault === "ENOSPC") this.#ill = true
      else {
        if (this.#fault === "torn") torn?.()
        throw failureOf("EIO")
      }
    }
    if (this.#ill && writes) {
      torn?.()
      throw failureOf("ENOSPC")
    }
  }

  /** A disk as it may be after the power was cut now: everything that was synced, and of the rest what chance leaves. */
  cut(chance: Chance): FaultyDisk {
    const disk = new FaultyDisk()
    const names = new Map(this.#durable)
    // What a folder was told is in order where it arrives; a later change may still arrive alone.
    for (const { change } of this.#changes) if (chance.next() < 0.5) change(names)
    const copies = new Map<Inode, Inode>()
    for (const [path, inode] of names) {
      let copy = copies.get(inode)
      if (copy === undefined) {
        let bytes = inode.durable
        const keep = chance.next()
        for (const change of inode.unsynced) {
          if (chance.next() > keep) continue
          const isTorn = typeof change !== "number" && chance.next() < 0.3
          bytes = apply(
            bytes,
            isTorn
              ? { ...change, bytes: change.bytes.subarray(0, Math.floor(chance.next() * change.bytes.length)) }
              : change
          )
        }
        copy = { cache: bytes, durable: bytes, unsynced: [] }
        copies.set(inode, copy)
      }
      disk.#names.set(path, copy)
      disk.#durable.set(path, copy)
    }
    return disk
  }

  /** Every file, as it is read now. */
  get files(): ReadonlyArray<readonly [string, Buffer]> {
    return [...this.#names].map(([path, { cache }]) => [path, cache] as const)
  }

  #rename(folder: string, change: (names: Map<string, Inode>) => void): void {
    change(this.#names)
    this.#changes.push({ folder, change })
  }

  makeFolder = (path: string): string => {
    this.#ask(`makeFolder ${nameOf(path)}`, false)
    return path
  }

  list = (path: string): ReadonlyArray<string> => {
    this.#ask(`list ${nameOf(path)}`, false)
    return [...this.#names.keys()]
      .filter((name) => Path.dirname(name) === path)
      .map((name) => Path.basename(name))
      .sort()
  }

  read = (path: string): Buffer | undefined => {
    this.#ask(`read ${nameOf(path)}`, false)
    const inode = this.#names.get(path)
    return inode === undefined ? undefined : Buffer.from(inode.cache)
  }

  claim = (path: string, text: (file: string) => string): ClaimedFile | undefined => {
    this.#ask(`claim ${nameOf(path)}`, true)
    if (this.#names.has(path)) return undefined
    const inode: Inode = { cache: Buffer.from(text(path)), durable: Buffer.from(text(path)), unsynced: [] }
    this.#rename(Path.dirname(path), (names) => void names.set(path, inode))
    return {
      isThere: () => (this.#ask(`stat ${nameOf(path)}`, false), this.#names.get(path) === inode),
      touch: () => {},
      close: () => {}
    }
  }

  link = (from: string, to: string): boolean => {
    this.#ask(`link ${nameOf(from)}`, true)
    const inode = this.#names.get(from)
    if (inode === undefined || this.#names.has(to)) return false
    this.#rename(Path.dirname(to), (names) => void names.set(to, inode))
    return true
  }

  move = (from: string, to: string): boolean => {
    this.#ask(`move ${nameOf(from)}`, true)
    if (!this.#names.has(from)) return false
    this.renameSync(from, to)
    return true
  }

  #inodes = new Map<Inode, number>()

  pulse = (path: string): Pulse | undefined => {
    this.#ask(`pulse ${nameOf(path)}`, false)
    const inode = this.#names.get(path)
    if (inode === undefined) return undefined
    const id = this.#inodes.get(inode) ?? this.#inodes.size
    this.#inodes.set(inode, id)
    return { file: String(id), stamp: "", size: inode.cache.length, at: 0 }
  }

  readonly signs = undefined

  rename = (from: string, to: string, done: Done): void => later(() => this.renameSync(from, to), done)

  renameSync = (from: string, to: string): void => {
    this.#ask(`rename ${nameOf(from)}`, true)
    const inode = this.#names.get(from)
    if (inode === undefined) throw failureOf("ENOENT")
    this.#rename(Path.dirname(to), (names) => {
      if (names.get(from) === inode) names.delete(from)
      names.set(to, inode)
    })
  }

  remove = (path: string): void => {
    this.#ask(`remove ${nameOf(path)}`, false)
    this.#rename(Path.dirname(path), (names) => void names.delete(path))
  }

  syncFolderSync = (path: string): void => {
    this.#ask(`syncFolder ${nameOf(path)}`, true)
    for (const { change, folder } of this.#changes) if (folder === path) change(this.#durable)
    this.#changes = this.#changes.filter(({ folder }) => folder !== path)
  }

  space = (path: string, done: (error: Error | null, space?: Space) => void): void => {
    setImmediate(() => {
      try {
        this.#ask(`space ${Path.basename(path)}`, false)
      } catch (error) {
        return done(error as Error)
      }
      done(null, this.room)
    })
  }

  syncFolder = (path: string, done: Done): void => later(() => this.syncFolderSync(path), done)

  openOld = (path: string): File => {
    if (!this.#names.has(path)) throw failureOf("ENOENT")
    return this.open(path)
  }

  openNew = (path: string): File => {
    if (this.#names.has(path)) throw failureOf("EEXIST")
    return this.open(path)
  }

  open = (path: string): File => {
    this.#ask(`open ${nameOf(path)}`, !this.#names.has(path))
    let inode = this.#names.get(path)
    if (inode === undefined) {
      const made: Inode = { cache: Buffer.alloc(0), durable: Buffer.alloc(0), unsynced: [] }
      inode = made
      this.#rename(Path.dirname(path), (names) => void names.set(path, made))
    }
    const file = inode
    const name = nameOf(path)
    let isOpen = true
    const ask = (what: string, writes: boolean, torn?: () => void): void => {
      if (!isOpen) this.afterClose.push(`${what} ${name}`)
      this.#ask(`${what} ${name}`, writes, torn)
    }
    const writeSync = (bytes: Uint8Array, position: number): void => {
      const whole = Buffer.from(bytes)
      ask("write", true, () => change(file, { bytes: whole.subarray(0, whole.length >> 1), position }))
      change(file, { bytes: whole, position })
    }
    const syncSync = (): void => {
      try {
        ask("sync", true)
        file.durable = file.unsynced.reduce(apply, file.durable)
      } finally {
        // What a failed sync did not bring to the disk reads well from memory, and no later sync brings it.
        file.unsynced = []
      }
    }
    return {
      writeSync,
      write: (bytes, position, done) => later(() => writeSync(bytes, position), done),
      syncSync,
      sync: (done) => later(syncSync, done),
      truncate: (size) => {
        ask("truncate", false)
        change(file, size)
      },
      isThere: () => {
        ask("stat", false)
        return this.#names.get(path) === file
      },
      close: () => {
        ask("close", false)
        isOpen = false
      }
    }
  }
}

const later = (run: () => void, done: Done): void => {
  setImmediate(() => {
    try {
      run()
    } catch (error) {
      return done(error as Error)
    }
    done(null)
  })
}
