/**
 * The lock of a log's folder: one process at a time writes the log, in whichever containers they run.
 *
 * Files: `lock` names the holder; it is made whole by link(2), which fails where there is one. `lock.sock` is the holder's sign
 * of life (`LifeSign.ts`), told apart by its inode number, which `lock` names. `lock.<id>.aside` is a lock that was moved away.
 *
 * Taking:
 * 1. There is no `lock`, and no socket that answers: link one. Of several exactly one wins.
 * 2. There is one: its holder is judged. *Proved* dead: its socket refuses, on the kernel that it runs on. *Presumed* dead: no
 *    socket judges it, and its heartbeat has stood still. Else the folder is held.
 * 3. A dead one is moved to a name of the taker's own, then read there. It is the one that was judged: go on with 1. It is
 *    another's, made in the meantime: link it back. A lock that was presumed dead stays aside.
 * 4. Who links a lock while one is aside gives the files that it writes to new inodes (`Renewal.ts`), then removes what is aside.
 *
 * Writing: a holder looks before each group whether `lock` still is its own, by inode number, and again after the sync, before
 * anybody is told that a record is on the disk.
 *
 * Why no record that was acknowledged is lost: it was on the disk when `lock` was seen to be its writer's, after the sync. Whoever
 * links a lock later reads the files later, and finds it. Why nothing is overwritten: the writer before is gone (released, or
 * proved dead: the kernel closes a socket after the last write of its process), or its lock was moved while it may live, and then
 * it is aside (3) until the files have new inodes (4): a write that was under way goes to a file without a name. So safety rests on
 * no clock and no delay; a wrong presumption costs its holder the lock, never a record. No step waits for
 * another process, so a taker that dies anywhere leaves either a lock or none.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Path from "node:path"
import process from "node:process"
import { clearInterval, setInterval } from "node:timers"
import { elapsed, now } from "../../base/EventLoop.ts"
import { newId } from "../../base/Id.ts"
import type { ClaimedFile, FileSystem, Pulse } from "./Disk.ts"
import type { LifeSignReply, HolderIntent, ProcessPlace, Sign } from "./LifeSign.ts"
import { maximumText } from "./Segment.ts"

/**
 * Who holds a lock: which file the lock is, and which its socket, both by device and inode number; `socket` is empty where it
 * has none.
 */
const Holder = Schema.Struct({
  boot: Schema.String,
  pid: Schema.Int,
  host: Schema.String,
  kernel: Schema.String,
  space: Schema.String,
  file: Schema.String,
  socket: Schema.String
})
export interface Holder extends Schema.Struct.Type<typeof Holder.fields> {}

const decodeHolder = Schema.decodeUnknownOption(Schema.fromJsonString(Holder))

/** How the heartbeat goes, in ms. */
export interface Rhythm {
  /** Between two beats. */
  readonly beat: number
  /** A holder that no socket judges is presumed dead once its last beat is so old by the clock, */
  readonly old: number
  /** and whoever judges has seen none for so long; or has seen none for as long as `old`. */
  readonly still: number
}

/** The rhythm, unless it is said. */
export const usualRhythm: Rhythm = { beat: 1000, old: 15_000, still: 5000 }

/**
 * What is known of a lock's holder: `stays`; `closing`; `silent`, it lives and says nothing; `unknown`, nothing judges it yet;
 * `unreadable`, the lock is none that this version wrote; `proved` or `presumed` dead.
 */
export type Verdict = HolderIntent | "silent" | "unknown" | "unreadable" | "proved" | "presumed"

/** A folder that is held by another. */
export interface Held {
  readonly _tag: "Held"
  /** Undefined where its lock cannot be read, or was moved for a moment. */
  readonly holder: Holder | undefined
  readonly verdict: Exclude<Verdict, "proved" | "presumed">
}

/** A lock that this process has taken. */
export interface Lock {
  readonly _tag: "Lock"
  /** The id that it was taken for. */
  readonly boot: string
  /** True while the folder's lock is this one. Throws what the disk throws. */
  readonly isHeld: () => boolean
  /** Who holds it now; undefined where nobody does. */
  readonly holder: Effect.Effect<Holder | undefined>
  /** Has the files given new inodes, where a lock was aside when it was taken, and removes what is aside. */
  readonly renew: (files: Effect.Effect<void>) => Effect.Effect<void>
  /** Tells who asks that it is given back soon. */
  readonly closing: () => void
  /** Gives it back, where this process still has it; it may write no more. */
  readonly release: Effect.Effect<void>
}

/** What the lock asks of its folder: each of these happens at once or not at all. */
export interface LockFolder {
  readonly place: ProcessPlace
  readonly list: Effect.Effect<ReadonlyArray<string>>
  readonly read: (name: string) => Effect.Effect<string | undefined>
  /** Makes `lock` with this text; undefined where there is one. */
  readonly claim: (text: (file: string) => string) => Effect.Effect<ClaimedFile | undefined>
  /** Moves `lock` to another name; false where there is none. */
  readonly move: (to: string) => Effect.Effect<boolean>
  /** Makes the file of this name the `lock` again, too; false where there is one. */
  readonly restore: (from: string) => Effect.Effect<boolean>
  readonly remove: (name: string) => Effect.Effect<void>
  readonly pulse: Effect.Effect<Pulse | undefined>
  /** Undefined where no other process can reach the disk. */
  readonly ask: Effect.Effect<LifeSignReply> | undefined
  readonly listen: (id: string, intent: () => HolderIntent) => Effect.Effect<Sign | undefined>
  /** Has a socket asked from now on by who asks the folder. */
  readonly publish: (sign: Sign) => Effect.Effect<void>
}

/** Where this process runs, as far as a disk tells. */
export const placeOf = ({ signs }: FileSystem): ProcessPlace => signs?.place ?? { kernel: "", host: "", space: "" }

/** The folder of a log on a disk. */
export const folderOn = (disk: FileSystem, folder: string): LockFolder => {
  const { signs } = disk
  const at = (name: string): string => Path.join(folder, name)
  return {
    place: placeOf(disk),
    list: Effect.sync(() => disk.list(folder)),
    read: (name) => Effect.sync(() => disk.read(at(name), maximumText)?.toString("utf8")),
    claim: (text) => Effect.sync(() => disk.claim(at("lock"), text)),
    move: (to) => Effect.sync(() => disk.move(at("lock"), at(to))),
    restore: (from) => Effect.sync(() => disk.link(at(from), at("lock"))),
    remove: (name) => Effect.sync(() => disk.remove(at(name))),
    pulse: Effect.sync(() => disk.pulse(at("lock"))),
    ask: signs?.ask(folder),
    listen: (id, intent) => Effect.sync(() => signs?.listen(folder, id, intent)),
    publish: (sign) => Effect.sync(() => sign.publish())
  }
}

/** What a process has seen of the heartbeats of others, by its own even time. */
export class Watch {
  readonly rhythm: Rhythm
  readonly #elapsed: () => number
  readonly #now: () => number
  readonly #seen = new Map<LockFolder, { readonly what: string; readonly since: number }>()

  constructor(rhythm: Rhythm = usualRhythm, time: () => number = elapsed, clock: () => number = now) {
    this.rhythm = rhythm
    this.#elapsed = time
    this.#now = clock
  }

  /** True where the lock of this text, whose newest beat this is, has stood still for long enough. */
  isStill(folder: LockFolder, text: string, pulse: Pulse): boolean {
    const time = this.#elapsed()
    const what = `${pulse.stamp} ${text}`
    const seen = this.#seen.get(folder)
    if (seen?.what !== what) {
      this.#seen.set(folder, { what, since: time })
      return false
    }
    const unchanged = time - seen.since
    const { old, still } = this.rhythm
    return unchanged >= old || (unchanged >= still && this.#now() - pulse.at >= old)
  }
}

/** How often what others do meanwhile is followed before the folder counts as held. */
const maximumRounds = 100

/**
 * Takes the lock of a folder for `boot`, an id that names no other lock, unless another holds it; `watch` is kept from one
 * attempt to the next.
 */
export const take = (folder: LockFolder, boot: string, watch: Watch): Effect.Effect<Lock | Held> =>
  Effect.gen(function* () {
    for (let round = 0; round < maximumRounds; round++) {
      const text = yield* folder.read("lock")
      if (text === undefined) {
        // A holder whose lock was moved by mistake answers still, and gets it back.
        const asked = folder.ask === undefined ? undefined : yield* folder.ask
        if (asked !== undefined && isAlive(asked.word)) return heldBy(undefined, "unknown")
      } else {
        const verdict = yield* judge(folder, text, watch)
        if (verdict !== "proved" && verdict !== "presumed") return heldBy(holderIn(text), verdict)
        // Most who come late see that here, and move nothing.
        if ((yield* folder.read("lock")) !== text) continue
        if (!(yield* retire(folder, text, verdict))) continue
      }
      const lock = yield* claim(folder, boot, watch.rhythm)
      if (lock !== undefined) return lock
    }
    return heldBy(undefined, "unknown")
  })

const heldBy = (holder: Holder | undefined, verdict: Held["verdict"]): Held => ({ _tag: "Held", holder, verdict })

const holderIn = (text: string): Holder | undefined => Option.getOrUndefined(decodeHolder(text))

const isAlive = (word: LifeSignReply["word"]): word is HolderIntent | "silent" =>
  word === "stays" || word === "closing" || word === "silent"

/** What is known of the holder of the lock of this text. */
export const judge = (folder: LockFolder, text: string, watch: Watch): Effect.Effect<Verdict> =>
  Effect.gen(function* () {
    const holder = holderIn(text)
    if (holder === undefined) return "unreadable"
    if (folder.ask === undefined) return "stays"
    const pulse = yield* folder.pulse
    if (pulse === undefined) return "unknown"
    if (holder.kernel !== "" && holder.kernel === folder.place.kernel) {
      // A lock in another file of the same device is a copy: its holder has the folder that it was copied from.
      if (holder.file !== pulse.file && deviceOf(holder.file) === deviceOf(pulse.file)) return "proved"
      const { socket, word } = yield* folder.ask
      if (socket !== "" && socket === holder.socket) {
        if (word === "refused") return "proved"
        if (isAlive(word)) return word
      }
    }
    return watch.isStill(folder, text, pulse) ? "presumed" : "unknown"
  })

const deviceOf = (file: string): string => file.slice(0, file.indexOf(":"))

/** Judges the holder of a folder for a later attempt to take it. */
export const look = (folder: LockFolder, watch: Watch): Effect.Effect<void> =>
  Effect.flatMap(folder.read("lock"), (text) => (text === undefined ? Effect.void : judge(folder, text, watch)))

/** Moves the lock of this text aside; false where it was another one, which is put back. */
const retire = (folder: LockFolder, text: string, verdict: "proved" | "presumed"): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const aside = `lock.${newId()}.aside`
    if (!(yield* folder.move(aside))) return false
    const moved = yield* folder.read(aside)
    if (moved === text) {
      if (verdict === "proved") yield* folder.remove(aside)
      return true
    }
    // What cannot be put back, because another has the lock by now, stays aside: its writer lives.
    if (yield* folder.restore(aside)) yield* folder.remove(aside)
    return false
  })

const claim = (folder: LockFolder, boot: string, rhythm: Rhythm): Effect.Effect<Lock | undefined> =>
  Effect.gen(function* () {
    let intent: HolderIntent = "stays"
    const sign = yield* folder.listen(boot, () => intent)
    const { host, kernel, space } = folder.place
    const socket = sign?.socket ?? ""
    let text = ""
    const file = yield* folder.claim((id) => {
      text = JSON.stringify({ boot, pid: process.pid, host, kernel, space, file: id, socket } satisfies Holder)
      return text
    })
    if (file === undefined) {
      sign?.close()
      return undefined
    }
    if (sign !== undefined) yield* folder.publish(sign)
    let aside = (yield* folder.list).filter((name) => /^lock\..*\.aside$/.test(name))
    const heart = folder.ask === undefined ? undefined : setInterval(file.touch, rhythm.beat).unref()
    return {
      _tag: "Lock",
      boot,
      isHeld: file.isThere,
      holder: Effect.map(folder.read("lock"), (now) => holderIn(now ?? "")),
      renew: (files) =>
        Effect.gen(function* () {
          if (aside.length === 0) return
          yield* files
          for (const name of aside) yield* folder.remove(name)
          aside = []
        }),
      closing: () => void (intent = "closing"),
      release: Effect.gen(function* () {
        clearInterval(heart)
        sign?.close()
        if (file.isThere()) yield* retire(folder, text, "proved")
        file.close()
      })
    }
  })

/** Who holds a folder, for whoever is `here`, in words that follow "is open in". */
export const describe = (holder: Holder | undefined, here: ProcessPlace): string => {
  if (holder === undefined) return "a process that its lock does not tell"
  const { host, kernel, pid, space } = holder
  if (kernel !== here.kernel)
    return `process ${pid} of another machine or container (host name ${host}, kernel boot ${kernel || "unknown"})`
  if (space !== here.space)
    return `process ${pid} of another container on this machine (host name ${host}, kernel boot ${kernel || "unknown"})`
  return pid === process.pid
    ? `process ${pid}, which is this one: in another thread, or by another copy of the library`
    : `process ${pid} on this host`
}
