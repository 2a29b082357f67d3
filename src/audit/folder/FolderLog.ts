/**
 * Opens the log in a folder for this process alone: takes its lock, or finds the first free log of a default path.
 */
import * as Effect from "effect/Effect"
import * as Path from "node:path"
import { wait } from "../../base/EventLoop.ts"
import { hindered } from "../Unavailable.ts"
import { EnforcementUnavailable } from "../../call/Errors.ts"
import { type Claimant, claimantOf, lookDelay } from "./Claimant.ts"
import { Copies } from "./Copies.ts"
import type { FileSystem } from "./Disk.ts"
import { type Journal, type JournalOptions, start } from "./Journal.ts"
import type * as Lock from "./Lock.ts"
import { cannotOpen, damaged, heldBy, setAside } from "./FolderFault.ts"
import { Damaged, OfAnotherKey } from "./Recovery.ts"

/** How many siblings of a default path are tried. */
const maximumSiblings = 64

/**
 * Opens a log, made where there is none, and holds it for this process. Succeeds or fails at once where no other process has
 * left a lock; fails with what to do about it. A path that was not named is opened at the first of its logs that is free:
 *
 * - a log whose holder is gone is gone on with; one whose holder says that it stays is left to it;
 * - a holder that closes, or that nothing judges yet, is waited for;
 * - a log that is damaged is left as it is, as evidence, and told;
 * - a new sibling is made only where no other one is free.
 */
export const open = (options: JournalOptions): Effect.Effect<Journal, EnforcementUnavailable> =>
  hold(options, new Copies())

/** As {@link open}, with the places that checkpoints are copied to. */
export const hold = (options: JournalOptions, copies: Copies): Effect.Effect<Journal, EnforcementUnavailable> =>
  (options.named ? openNamed(options, copies) : openFirst(options, copies)).pipe(
    Effect.catchDefect((error) => Effect.fail(cannotOpen(options.path, error)))
  )

const openNamed = (options: JournalOptions, copies: Copies): Effect.Effect<Journal, EnforcementUnavailable> =>
  Effect.gen(function* () {
    const path = options.disk.makeFolder(options.path)
    const claimant = claimantOf(options)
    for (;;) {
      const taken = yield* claimant.take(path)
      if (taken._tag === "Lock") {
        const journal = yield* started(options, path, taken, claimant, copies)
        return journal instanceof Damaged ? yield* damaged(path, journal) : journal
      }
      if (!claimant.waitsFor(taken)) return yield* heldBy(options.disk, path, taken)
      yield* wait(lookDelay)
    }
  })

const openFirst = (options: JournalOptions, copies: Copies): Effect.Effect<Journal, EnforcementUnavailable> =>
  Effect.gen(function* () {
    const { disk } = options
    const first = disk.makeFolder(options.path)
    const claimant = claimantOf(options)
    const damages = new Set<string>()
    const unreadable = new Set<string>()

    /** The journal of a log that is free; undefined where it is damaged, which is told. */
    const begin = (path: string, lock: Lock.Lock): Effect.Effect<Journal | undefined, EnforcementUnavailable> =>
      Effect.flatMap(started(options, path, lock, claimant, copies), (journal) => {
        if (!(journal instanceof Damaged)) return Effect.succeed(journal)
        if (journal instanceof OfAnotherKey) return Effect.fail(damaged(path, journal))
        damages.add(path)
        return Effect.as(Effect.logError(setAside(path, journal.message)), undefined)
      })

    for (;;) {
      let isPending = false
      const there = siblingsOf(disk, first)
      for (const path of there) {
        if (damages.has(path)) continue
        const taken = yield* claimant.take(path)
        if (taken._tag === "Lock") {
          const journal = yield* begin(path, taken)
          if (journal !== undefined) return journal
        } else if (taken.verdict === "unreadable" && !unreadable.has(path)) {
          unreadable.add(path)
          yield* Effect.logWarning(heldBy(options.disk, path, taken).message)
        } else if (claimant.waitsFor(taken)) {
          isPending = true
          if (path !== first) continue
          // The first log is worth the wait; how the others stand is known by then.
          yield* Effect.forEach(there, claimant.look, { discard: true })
          break
        }
      }
      if (isPending) {
        yield* wait(lookDelay)
        continue
      }
      for (let n = 2; n <= maximumSiblings; n++) {
        const path = `${first}-${n}`
        if (there.includes(path)) continue
        const taken = yield* claimant.take(disk.makeFolder(path))
        if (taken._tag !== "Lock") continue
        const journal = yield* begin(path, taken)
        if (journal !== undefined) return journal
      }
      return yield* hindered(
        "held",
        `The log at ${first} and its ${maximumSiblings - 1} siblings are open in other processes. Close some, or give this process another audit path.`
      )
    }
  })

/** The logs that are there of a default path, the first one first. */
export const siblingsOf = (disk: FileSystem, first: string): ReadonlyArray<string> => {
  const names = new Set(disk.list(Path.dirname(first)))
  return [
    first,
    ...Array.from({ length: maximumSiblings - 1 }, (_, i) => `${first}-${i + 2}`).filter((path) =>
      names.has(Path.basename(path))
    )
  ]
}

/** The journal of a log whose lock was taken, or what is wrong with the log; the lock is given back then. */
const started = (
  options: JournalOptions,
  path: string,
  lock: Lock.Lock,
  claimant: Claimant,
  copies: Copies
): Effect.Effect<Journal | Damaged, EnforcementUnavailable> =>
  Effect.try({
    try: () => {
      try {
        return start({ ...options, path }, lock, claimant, copies)
      } catch (fault) {
        if (fault instanceof Damaged) return fault
        throw fault
      }
    },
    catch: (fault) => (fault instanceof EnforcementUnavailable ? fault : cannotOpen(path, fault))
  })
