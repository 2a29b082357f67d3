/**
 * The end of the journal, where lines are written: in the last segment, or in a new one once that is full. A segment is
 * begun with the one before it whole on the disk, and its name is on the disk before it counts.
 */
import * as Path from "node:path"
import { now } from "../../base/EventLoop.ts"
import { closeQuietly, type Done, type File, type FileSystem, removeQuietly, writeWhole } from "./Disk.ts"
import type { FoundLog } from "./Recovery.ts"
import { segmentName } from "./Segment.ts"

/** The segment that is written to. One write or sync is under way at a time. */
export class Tail {
  readonly #disk: FileSystem
  readonly #folder: string
  /** Bytes from which a segment is full. */
  readonly #limit: number
  /** Throws where this process may write no more. */
  readonly #requireHeld: () => void
  #file: File
  #position: number
  /** False while the segment's name may be in memory only. */
  #isNamed = false
  #isStopped = false
  /** Being written now, its first line's index; written again, to the same place, where the process ends meanwhile. */
  #writing: { readonly bytes: Buffer; readonly first: number } | undefined

  /** Goes on with the segment that was found, or begins the first. Throws what the disk throws, as all of it does. */
  constructor(disk: FileSystem, folder: string, limit: number, found: FoundLog["segment"], requireHeld: () => void) {
    this.#disk = disk
    this.#requireHeld = requireHeld
    this.#folder = folder
    this.#limit = limit
    disk.makeFolder(folder)
    const path = Path.join(folder, found?.name ?? segmentName(0))
    this.#file = found === undefined ? disk.openNew(path) : disk.openOld(path)
    this.#position = found?.size ?? 0
    // A process that still holds the lock after opening the file has a file to which no other process writes.
    try {
      requireHeld()
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** True while what is written goes to the segment by its name. */
  get isThere(): boolean {
    return this.#file.isThere()
  }

  /**
   * Moves torn bytes aside, and writes again what no checkpoint covers: a disk that failed may say that it has what it has
   * not, and the same bytes in the same place lose nothing. They are synced with what follows.
   */
  mend(name: string, torn: Buffer, unsigned: Buffer): void {
    if (torn.length > 0) {
      moveAside(this.#disk, this.#folder, name, torn)
      this.#file.truncate(this.#position)
      this.#file.syncSync()
    }
    if (unsigned.length > 0) this.#file.writeSync(unsigned, this.#position - unsigned.length)
  }

  /** Writes lines, the first of them record `first`. */
  write(bytes: Buffer, first: number, done: Done): void {
    this.#writing = { bytes, first }
    const write = (): void =>
      this.#file.write(bytes, this.#position, (error) => {
        if (error === null) {
          this.#writing = undefined
          this.#position += bytes.length
        }
        done(error)
      })
    if (this.#position < this.#limit) return write()
    const then =
      (step: () => void) =>
      (error: Error | null): void => {
        if (error !== null || this.#isStopped) return done(error)
        try {
          step()
        } catch (cause) {
          done(cause instanceof Error ? cause : new Error(String(cause)))
        }
      }
    const begun = then(() => {
      this.#isNamed = true
      write()
    })
    this.#file.sync(
      then(() => {
        this.#begin(first)
        this.#disk.syncFolder(this.#folder, begun)
      })
    )
  }

  /** fdatasync(2) of what was written. */
  sync(done: Done): void {
    this.#file.sync(done)
  }

  /** As {@link write}, at once; before it whatever is under way. */
  writeSync(bytes: Buffer, first: number): void {
    if (this.#position >= this.#limit) {
      this.#file.syncSync()
      this.#begin(first)
    }
    this.#file.writeSync(bytes, this.#position)
    this.#position += bytes.length
  }

  /** Writes what is under way again, at once. */
  finishSync(): void {
    const writing = this.#writing
    this.#writing = undefined
    if (writing !== undefined) this.writeSync(writing.bytes, writing.first)
  }

  /** As {@link sync}, at once, the segment's name with it. */
  syncSync(): void {
    this.#file.syncSync()
    if (!this.#isNamed) this.#disk.syncFolderSync(this.#folder)
    this.#isNamed = true
  }

  /** From here on nothing is begun in the background: what is under way comes to its next step, and is done. */
  stop(): void {
    this.#isStopped = true
  }

  close(): void {
    closeQuietly(this.#file)
  }

  #begin(first: number): void {
    const path = Path.join(this.#folder, segmentName(first))
    // A process that has just lost the lock neither writes into the next holder's segment nor leaves one of its own.
    const file = this.#disk.openNew(path)
    try {
      this.#requireHeld()
    } catch (error) {
      closeQuietly(file)
      removeQuietly(this.#disk, path)
      throw error
    }
    this.#file.close()
    this.#file = file
    this.#position = 0
    this.#isNamed = false
  }
}

const moveAside = (disk: FileSystem, folder: string, name: string, torn: Buffer): void => {
  const path = Path.join(folder, `${name}.torn-${now()}`)
  try {
    writeWhole(disk.open(path), torn)
    disk.syncFolderSync(folder)
  } catch (error) {
    removeQuietly(disk, path)
    throw error
  }
}
