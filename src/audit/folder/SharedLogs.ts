/**
 * The logs that are open in this process: clients that name one folder share one log, which closes with the last of them.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { shared } from "../../base/Shared.ts"
import type { EnforcementUnavailable } from "../../call/Errors.ts"
import { Keys } from "../../keys/Keys.ts"
import { LogClock } from "../Clock.ts"
import type { Log } from "../Log.ts"
import { openingRecords } from "../OpeningRecords.ts"
import type { Body } from "../Record.ts"
import { hindered, unsigned } from "../Unavailable.ts"
import { Copies, type CopyTarget } from "./Copies.ts"
import { Disk, type FileSystem, nodeFileSystem } from "./Disk.ts"
import { hold, siblingsOf } from "./FolderLog.ts"
import type { Journal, JournalOptions } from "./Journal.ts"
import { keysOf, signEmpty } from "./NewLog.ts"
import { cannotOpen } from "./FolderFault.ts"

/** How the log in a folder is opened for clients. */
export interface FolderLogOptions {
  /** The log's folder. */
  readonly path: string
  /** True where the user named the path; where another process has a path that was not named, a sibling is opened. */
  readonly named: boolean
  /** Where checkpoints are copied to as they are signed. */
  readonly checkpoints?: CopyTarget | undefined
}

/**
 * The log in a folder, with the keys and the disk of the context, until the scope closes. Succeeds once a checkpoint of this
 * process is signed.
 */
export const folderLog = (options: FolderLogOptions): Effect.Effect<Log, EnforcementUnavailable, Keys | Scope.Scope> =>
  Effect.gen(function* () {
    const keys = yield* Keys
    const disk = yield* Disk
    const clock = yield* LogClock
    const context = yield* Effect.context<never>()
    const logKeys = keysOf({ key: keys.log, next: keys.nextLog })
    const first = logKeys.some((key) => "signLater" in key)
      ? yield* Effect.tryPromise({ try: async () => signEmpty(logKeys), catch: unsigned })
      : undefined
    const journal = yield* Effect.acquireRelease(
      join({
        path: options.path,
        named: options.named,
        key: keys.log,
        next: keys.nextLog,
        first,
        disk,
        clock,
        checkpoints: options.checkpoints,
        opening: openingRecords(keys),
        siblings: (path) =>
          options.named ? [] : siblingsOf(disk, disk.makeFolder(options.path)).filter((other) => other !== path),
        warn: (message) => {
          Effect.runForkWith(context)(Effect.logWarning(message))
        }
      }),
      (opened) => Effect.promise(opened.close)
    )
    const { signed } = journal
    if (signed !== undefined) yield* Effect.tryPromise({ try: () => signed, catch: unsigned })
    return journal
  })

/** How far the opening of a shared log has come; `settled` never rejects. Another copy of this library may wait for it too. */
type Opening =
  | { readonly _tag: "Opening"; readonly settled: Promise<void> }
  | { readonly _tag: "Open"; readonly journal: Journal }
  | { readonly _tag: "Failed"; readonly error: EnforcementUnavailable }

interface Shared {
  opened: Opening
  /** Key id of the log key. */
  readonly key: string
  /** The opening records that are in it, said again by every boot. */
  readonly opening: Array<Body>
  readonly copies: Copies
  /** The paths by which it is found: the one that was asked for, and a sibling's own. */
  readonly paths: Set<string>
  users: number
}

/** The open logs by real path: of the disk, one table for the process; of another file system, one for each. */
const logsOn = (disk: FileSystem): Map<string, Shared> => {
  const make = () => new Map<string, Shared>()
  if (disk === nodeFileSystem) return shared("logs", make)
  const logs = elsewhere.get(disk) ?? make()
  elsewhere.set(disk, logs)
  return logs
}

const elsewhere = new WeakMap<FileSystem, Map<string, Shared>>()

/**
 * Opens a log, or joins it where this process has it open already: one open log a real path, shared by its clients. It
 * closes when the last of them has closed it.
 */
export const join = (options: JournalOptions): Effect.Effect<Journal, EnforcementUnavailable> =>
  Effect.gen(function* () {
    const logs = logsOn(options.disk)
    const path = yield* realPath(options)
    const there = logs.get(path)
    if (there !== undefined && there.key !== options.key.kid)
      return yield* hindered(
        "held",
        `The log at ${path} is open in this process with another log key; name another audit path.`
      )
    if (there !== undefined) there.users++
    const entry = there ?? share({ ...options, path }, logs, yield* Effect.context<never>())
    const journal = yield* Effect.onExit(opened(entry), (exit) =>
      Effect.sync(() => void (Exit.isFailure(exit) && leave(logs, entry)))
    )
    if (options.checkpoints !== undefined) entry.copies.add(options.checkpoints)
    const said = new Set(entry.opening.map((body) => JSON.stringify(body)))
    for (const body of options.opening) {
      if (said.has(JSON.stringify(body))) continue
      journal.append(body)
      entry.opening.push(body)
    }
    let joined = true
    return {
      ...journal,
      close: async () => {
        const isLast = joined && leave(logs, entry)
        joined = false
        if (isLast) await journal.close()
      }
    }
  })

/** The log once it is open: at once where it is by now. */
const opened = (entry: Shared): Effect.Effect<Journal, EnforcementUnavailable> =>
  Effect.suspend(() => {
    const now = entry.opened
    if (now._tag === "Open") return Effect.succeed(now.journal)
    if (now._tag === "Failed") return Effect.fail(now.error)
    return Effect.andThen(
      Effect.promise(() => now.settled),
      opened(entry)
    )
  })

const share = (options: JournalOptions, logs: Map<string, Shared>, context: Context.Context<never>): Shared => {
  const opening = [...options.opening]
  const copies = new Copies()
  const { promise, resolve } = Promise.withResolvers<void>()
  const entry: Shared = {
    opened: { _tag: "Opening", settled: promise },
    key: options.key.kid,
    opening,
    copies,
    paths: new Set([options.path]),
    users: 1
  }
  logs.set(options.path, entry)
  // In a fiber of its own: the client that asked first may be interrupted, and other clients wait for it too.
  Effect.runForkWith(context)(
    Effect.match(hold({ ...options, opening }, copies), {
      onSuccess: (journal) => {
        // Every client has gone in the meantime.
        if (entry.users === 0) return void journal.close()
        entry.opened = { _tag: "Open", journal }
        entry.paths.add(journal.path)
        logs.set(journal.path, entry)
      },
      onFailure: (error) => void (entry.opened = { _tag: "Failed", error })
    })
  ).addObserver(() => resolve())
  return entry
}

/** One user fewer; true where it was the last. A log that is still being opened closes once it is open. */
const leave = (logs: Map<string, Shared>, entry: Shared): boolean => {
  if (--entry.users > 0) return false
  for (const path of entry.paths) if (logs.get(path) === entry) logs.delete(path)
  return true
}

const realPath = ({ disk, path }: JournalOptions): Effect.Effect<string, EnforcementUnavailable> =>
  Effect.try({ try: () => disk.makeFolder(path), catch: (error) => cannotOpen(path, error) })
