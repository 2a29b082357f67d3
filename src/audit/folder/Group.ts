/**
 * A group: lines that are written and synced together.
 */
import type { Settled } from "../Log.ts"

/** Lines that are written together, and the callbacks that wait for them. */
export class Group {
  /** Index of its first record. */
  readonly first: number
  readonly lines: Array<string> = []
  readonly leaves: Array<Uint8Array> = []
  readonly settled: Array<Settled> = []

  constructor(first: number) {
    this.first = first
  }

  get next(): number {
    return this.first + this.lines.length
  }

  get bytes(): Buffer {
    return Buffer.from(`${this.lines.join("\n")}\n`)
  }
}
