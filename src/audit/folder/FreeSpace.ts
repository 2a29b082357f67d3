/**
 * How full the disk of a log is. A log whose disk is full refuses every call, so that it fills up is told before it is full.
 */
import { elapsed } from "../../base/EventLoop.ts"
import type { FileSystem, Space } from "./Disk.ts"
import { segmentSize } from "./Segment.ts"

/** Bytes of a log's file system. */
export interface FreeSpace extends Space {
  /**
   * True where less is free than four segments of the journal (256 MiB), or than a twentieth of the file system where that is
   * less.
   */
  readonly low: boolean
}

/** How often the file system is asked at most, in ms. */
const askedEvery = 1000

/** The free space below which a file system is low, in bytes. */
export const lowBelow = (total: number): number => Math.min(4 * segmentSize, total / 20)

/** An episode is over once there is so many times as much free as at its beginning: what hovers there is told once. */
const isOverAt = 1.25

/** Asks a file system for its free space, in the background, and remembers what it said last. */
export class SpaceWatch {
  readonly #disk: FileSystem
  readonly #path: string
  readonly #becameLow: (space: Space) => void
  readonly #elapsed: () => number
  #asked = -Infinity
  #isAsking = false
  #wasLow = false
  /** Counts what was forgotten: an answer to a question from before is of no use. */
  #round = 0
  #known: FreeSpace | undefined

  /** `becameLow` is called once an episode; `time` is that of a steady clock, in ms. */
  constructor(disk: FileSystem, path: string, becameLow: (space: Space) => void, time: () => number = elapsed) {
    this.#disk = disk
    this.#path = path
    this.#becameLow = becameLow
    this.#elapsed = time
  }

  /** What the file system said last; undefined before its first answer, and where it has none. */
  get known(): FreeSpace | undefined {
    return this.#known
  }

  /** Asks anew, unless it was asked within the last second or has not answered yet. */
  look(): void {
    const { space } = this.#disk
    const at = this.#elapsed()
    if (space === undefined || this.#isAsking || at - this.#asked < askedEvery) return
    this.#asked = at
    this.#isAsking = true
    const round = this.#round
    space(this.#path, (_error, found) => {
      if (round !== this.#round) return
      this.#isAsking = false
      // Why it cannot tell, the next write says.
      if (found !== undefined) this.#take(found)
    })
  }

  /** Asks at once, and forgets what was told before: a write has just found the disk full. */
  lookAnew(): void {
    this.#known = undefined
    this.#isAsking = false
    this.#asked = -Infinity
    this.#round++
    this.look()
  }

  #take({ free, total }: Space): void {
    const wasLow = this.#wasLow
    const low = free < lowBelow(total) * (wasLow ? isOverAt : 1)
    this.#known = { free, total, low }
    this.#wasLow = low
    if (low && !wasLow) this.#becameLow({ free, total })
  }
}
