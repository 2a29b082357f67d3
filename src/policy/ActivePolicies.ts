/**
 * The policy set in force, and the sets that replace it while the process runs: a source is read again, the new set is checked
 * as a whole, and then it replaces the old one in one step. A set that does not load changes nothing.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Configuration } from "../call/Errors.ts"
import { empty, type PolicySet } from "./PolicySet.ts"
import { load, type PolicySource } from "./PolicySource.ts"

/** A policy set by its digest, and how many documents it has (none configured: 0). */
export interface Revision {
  readonly revision: string
  readonly count: number
}

/** Which set is in force, and whether the last change failed. Times are in ms since 1970. */
export interface ActivationStatus extends Revision {
  /** When the set in force was loaded. */
  readonly loadedAt: number
  /** Why the last change is not in force, and when that was found. Absent after a later change that loads. */
  readonly rejected?: { readonly reason: string; readonly at: number }
}

/** A policy set that was read and checked, and is not yet in force. */
export interface Candidate extends Revision {
  /** Puts the set in force in one step. Calls that have begun keep the set with which they began. */
  readonly activate: Effect.Effect<void>
  /** Records that the set is not put in force, and why. */
  readonly reject: (reason: string) => Effect.Effect<void>
}

/** The set in force, as `A`: what its reader made of it. */
export interface ActivePolicies<A> {
  readonly current: () => A
  readonly status: () => ActivationStatus
  /** Reads the source again. The set in force stays until the candidate is activated. */
  readonly prepare: Effect.Effect<Candidate, Configuration>
}

/** Loads the policies of a source; without a source no set is configured. `make` builds what a caller needs of each set. */
export const open = <A>(
  source: PolicySource | undefined,
  make: (set: PolicySet | undefined) => A
): Effect.Effect<ActivePolicies<A>, Configuration> => {
  const read = Effect.suspend((): Effect.Effect<PolicySet | undefined, Configuration> =>
    source === undefined ? Effect.succeed(undefined) : Effect.fromResult(load(source))
  )
  return Effect.gen(function* () {
    const first = yield* read
    let current = make(first)
    let status: ActivationStatus = { ...revisionOf(first), loadedAt: yield* Clock.currentTimeMillis }

    const reject = (reason: string): Effect.Effect<void> =>
      Effect.map(Clock.currentTimeMillis, (at) => void (status = { ...status, rejected: { reason, at } }))

    const clear = ({ count, loadedAt, revision }: ActivationStatus): ActivationStatus => ({ revision, count, loadedAt })

    return {
      current: () => current,
      status: () => status,
      prepare: read.pipe(
        Effect.tapError(({ message }) => reject(message)),
        Effect.map((set): Candidate => {
          const found = revisionOf(set)
          // The files are the set in force again, so there is no failed change left to report.
          if (found.revision === status.revision) status = clear(status)
          const activate = Effect.map(Clock.currentTimeMillis, (loadedAt) => {
            current = make(set)
            status = { ...found, loadedAt }
          })
          return { ...found, activate, reject }
        })
      )
    }
  })
}

const revisionOf = (set: PolicySet | undefined): Revision => {
  const { count, revision } = set ?? empty
  return { revision, count }
}
