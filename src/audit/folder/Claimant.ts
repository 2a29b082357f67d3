/**
 * One process that wants a log: it tries to take the lock of a folder, and knows how long a holder is worth waiting for.
 */
import type * as Effect from "effect/Effect"
import { elapsed } from "../../base/EventLoop.ts"
import { newId } from "../../base/Id.ts"
import type { FileSystem } from "./Disk.ts"
import * as Lock from "./Lock.ts"

/** How long a holder is waited for that closes, or that nothing judges yet, in ms. */
const usualHolderDelay = 5000

/** How often a lock is looked at meanwhile, in ms. */
export const lookDelay = 100

/** One process that wants a log, from one attempt to the next. */
export interface Claimant {
  readonly take: (path: string) => Effect.Effect<Lock.Lock | Lock.Held>
  /** Sees whether a holder's heart beats, and takes nothing. */
  readonly look: (path: string) => Effect.Effect<void>
  /** Whether a holder may give way in a moment; not for ever. */
  readonly waitsFor: (held: Lock.Held) => boolean
}

/** How a lock is waited for. */
export interface ClaimantOptions {
  readonly disk: FileSystem
  /** How the heartbeat goes. Default: {@link Lock.usualRhythm}. */
  readonly rhythm?: Lock.Rhythm | undefined
  /** How long a holder is waited for that closes, or that nothing judges yet, in ms. Default 5000. */
  readonly holderDelay?: number | undefined
}

/** A claimant that has tried nothing yet. */
export const claimantOf = ({ disk, holderDelay = usualHolderDelay, rhythm }: ClaimantOptions): Claimant => {
  const watch = new Lock.Watch(rhythm)
  const folders = new Map<string, Lock.LockFolder>()
  const began = elapsed()
  const folderOf = (path: string): Lock.LockFolder => {
    const folder = folders.get(path) ?? Lock.folderOn(disk, path)
    folders.set(path, folder)
    return folder
  }
  return {
    take: (path) => Lock.take(folderOf(path), newId(), watch),
    look: (path) => Lock.look(folderOf(path), watch),
    waitsFor: ({ verdict }) =>
      (verdict === "closing" || verdict === "silent" || verdict === "unknown") &&
      // A heartbeat that has stood still for just as long is seen in time.
      elapsed() - began <= holderDelay + 2 * lookDelay
  }
}
