/**
 * A model of a log's folder that several processes reach: the product's own steps for taking the lock and for renewing files, in
 * any order, with processes that die between any two of them.
 */
import * as Effect from "effect/Effect"
import type { ClaimedFile } from "../../src/audit/folder/Disk.ts"
import type { HolderIntent, Sign } from "../../src/audit/folder/LifeSign.ts"
import * as Lock from "../../src/audit/folder/Lock.ts"
import * as Renewal from "../../src/audit/folder/Renewal.ts"
import { chanceOf } from "./faults.ts"

/** A folder, with a log in it, that several processes reach; each thing that one asks of it happens when the test says so. */
class World {
  readonly next: () => number
  readonly names = new Map<string, { readonly id: string; readonly text: string }>()
  socket: { readonly id: string; readonly process: Process } | undefined
  /** The inodes of the log, by name. */
  readonly logs = new Map<string, Log>([["log", { file: "0", records: [] }]])
  readonly acknowledged = new Map<number, string>()
  readonly waiting: Array<{ readonly process: Process; readonly run: () => void }> = []
  made = 0

  constructor(seed: number) {
    this.next = chanceOf(seed).next
  }

  /**
   * Runs what the processes ask until they ask for nothing more; some die in between. One goes on for a while as the others
   * stand still: what goes wrong, goes wrong where one slept between two steps and another did much meanwhile.
   */
  run(deaths: number): void {
    let awake: Process | undefined
    while (this.waiting.length > 0) {
      if (this.next() < 0.1) awake = undefined
      const favourite = this.waiting.findIndex(({ process }) => process === awake)
      const at = favourite >= 0 ? favourite : Math.floor(this.next() * this.waiting.length)
      const [asked] = this.waiting.splice(at, 1)
      if (asked === undefined || asked.process.isDead) continue
      awake = asked.process
      if (this.next() < deaths) asked.process.isDead = true
      else asked.run()
    }
  }
}

/** An inode: records by position. */
interface Log {
  readonly file: string
  readonly records: Array<string>
}

class Process {
  isDead = false
  readonly world: World
  readonly kernel: string
  constructor(world: World, kernel: string) {
    this.world = world
    this.kernel = kernel
  }

  step = <A>(run: () => A): Effect.Effect<A> =>
    Effect.callback((resume) => {
      this.world.waiting.push({ process: this, run: () => resume(Effect.succeed(run())) })
    })

  folder(): Lock.LockFolder {
    const { kernel, step, world } = this
    const { names } = world
    const link = (name: string, file: { readonly id: string; readonly text: string }): boolean => {
      if (names.has(name)) return false
      names.set(name, file)
      return true
    }
    return {
      place: { kernel, host: kernel, space: "" },
      list: step(() => [...names.keys()]),
      read: (name) => step(() => names.get(name)?.text),
      claim: (text) =>
        step((): ClaimedFile | undefined => {
          const id = `1:${world.made++}`
          const file = { id, text: text(id) }
          if (!link("lock", file)) return undefined
          return { isThere: () => names.get("lock") === file, touch: () => {}, close: () => {} }
        }),
      move: (to) =>
        step(() => {
          const file = names.get("lock")
          if (file === undefined) return false
          names.delete("lock")
          names.set(to, file)
          return true
        }),
      restore: (from) =>
        step(() => {
          const file = names.get(from)
          return file !== undefined && link("lock", file)
        }),
      remove: (name) => step(() => void names.delete(name)),
      pulse: step(() => {
        const file = names.get("lock")
        return file === undefined ? undefined : { file: file.id, stamp: "", size: 0, at: 0 }
      }),
      ask: step(() => {
        const { socket } = world
        if (socket === undefined) return { socket: "", word: "none" as const }
        // Another kernel knows nobody who listens.
        const isThere = !socket.process.isDead && socket.process.kernel === kernel
        return { socket: socket.id, word: isThere ? ("stays" as const) : ("refused" as const) }
      }),
      listen: (_id, _intent: () => HolderIntent) =>
        step((): Sign | undefined => {
          if (kernel === "none") return undefined
          const mine = { id: `1:${world.made++}`, process: this }
          return {
            socket: mine.id,
            publish: () => void (world.socket = mine),
            close: () => void (world.socket === mine && (world.socket = undefined))
          }
        }),
      publish: (sign) => step(sign.publish)
    }
  }
}

/** The folder of the log itself. */
const logFolder = ({ step, world }: Process): Renewal.RenewalFolder => {
  const { logs } = world
  return {
    list: step(() => [...logs.keys()]),
    pulse: (name) =>
      step(() => {
        const log = logs.get(name)
        return log && { file: log.file, stamp: "", size: log.records.length, at: 0 }
      }),
    copy: (name, to) =>
      step(() => {
        const log = logs.get(name)
        if (log !== undefined) logs.set(to, { file: `${world.made++}`, records: [...log.records] })
        return log?.records.length
      }),
    move: (from, to) =>
      step(() => {
        const log = logs.get(from)
        if (log === undefined) return false
        logs.delete(from)
        logs.set(to, log)
        return true
      }),
    link: (from, to) =>
      step(() => {
        const log = logs.get(from)
        if (log === undefined || logs.has(to)) return false
        logs.set(to, log)
        return true
      }),
    remove: (name) => step(() => void logs.delete(name))
  }
}

/** Presumes at any time that a holder is dead which no socket judges: no clock is right enough to rest safety on. */
class Careless extends Lock.Watch {
  readonly #world: World
  constructor(world: World) {
    super()
    this.#world = world
  }
  override isStill(): boolean {
    return this.#world.next() < 0.5
  }
}

/** Opens the log as often as it gets it, writes records by position as a writer does, and gives it back or not. */
const writer = (process: Process, name: string): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { step, world } = process
    for (let life = 0; life < 3; life++) {
      const lock = yield* Lock.take(process.folder(), `${name}${life}`, new Careless(world))
      if (lock._tag === "Held") continue
      const folder = logFolder(process)
      yield* Renewal.restore(folder)
      let isRenewed = true
      yield* lock.renew(
        Effect.gen(function* () {
          isRenewed = yield* Renewal.renew(folder, "log")
          // As in the product, what is aside stays where the renewal failed.
          if (!isRenewed) return yield* Effect.interrupt
        })
      )
      // As a boot: the log is read, then opened; whoever has the lock then has the inode to which nobody else writes.
      const log = yield* step(() => world.logs.get("log"))
      if (log === undefined || !(yield* step(lock.isHeld))) {
        yield* lock.release
        continue
      }
      let position = yield* step(() => log.records.length)
      for (let i = 0; i < 3; i++) {
        if (!(yield* step(lock.isHeld))) break
        const record = `${name}${life}-${i}`
        const at = position++
        yield* step(() => void (log.records[at] = record))
        if (!(yield* step(lock.isHeld)) || !(yield* step(() => world.logs.get("log") === log))) break
        world.acknowledged.set(at, record)
      }
      if (world.next() < 0.7) yield* lock.release
    }
  })

const lostIn = (seed: number, kernels: ReadonlyArray<string>): string | number => {
  const world = new World(seed)
  kernels.forEach((kernel, i) => void Effect.runFork(writer(new Process(world, kernel), `${i}:`)))
  world.run(0.02)
  // Whoever comes last finds the log, where one who died left it aside.
  const left = world.logs.get("log") ?? [...world.logs].find(([name]) => name.endsWith(".aside"))?.[1]
  for (const [at, record] of world.acknowledged)
    if (left?.records[at] !== record) return `seed ${seed}: record ${at} is ${left?.records[at]}, and was ${record}`
  return world.acknowledged.size
}

/** Runs so many orders of what processes on these kernels do; gives what was lost, and how much was acknowledged. */
export const schedules = (
  from: number,
  count: number,
  kernels: ReadonlyArray<string>
): { readonly lost: ReadonlyArray<string>; readonly acknowledged: number } => {
  const lost: Array<string> = []
  let acknowledged = 0
  for (let seed = from; seed < from + count; seed++) {
    const found = lostIn(seed, kernels)
    if (typeof found === "string") lost.push(found)
    else acknowledged += found
  }
  return { lost, acknowledged }
}

/** Kernels of the processes: one; several, each of which presumes that the others are dead; and without sockets. */
export const places: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
  ["on one kernel", ["a", "a", "a", "a"]],
  ["on several kernels, each of which presumes that the others are dead", ["a", "a", "b", "b"]],
  ["without sockets", ["none", "none", "none"]]
]
