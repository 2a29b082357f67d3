/**
 * Processes that want one log, each in a process id namespace of its own, as in containers; and rounds in which they open,
 * close and are killed in any order, after which nothing that was acknowledged may be lost.
 */
import { assert } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Readline from "node:readline"
import type { Rhythm } from "../../src/audit/folder/Lock.ts"
import { leafHash } from "../../src/audit/proof/MerkleTree.ts"
import { chanceOf } from "./faults.ts"
import { linesOf } from "./kills.ts"
import { check, temporaryFolder } from "./logs.ts"

/** What a contender is told. */
export type Ask =
  | {
      readonly do: "open"
      readonly path: string
      readonly named: boolean
      readonly hasSocket: boolean
      readonly rhythm?: Rhythm
      readonly holderDelay?: number
    }
  | { readonly do: "close" }

const namespaces = ["--pid", "--fork", "--mount-proc", "--kill-child"]

/** Why this machine gives no namespaces to processes; undefined where it does. */
export const noNamespaces: string | undefined = (() => {
  if (process.platform !== "linux") return "process id namespaces are Linux's"
  const { error, status, stderr } = ChildProcess.spawnSync("unshare", [...namespaces, "true"], { encoding: "utf8" })
  return status === 0 ? undefined : `unshare is not allowed here: ${error?.message ?? stderr.trim()}`
})()

/** Waits until it is so; throws after a long time. */
export const until = async (what: string, isSo: () => boolean): Promise<void> => {
  for (let i = 0; !isSo(); i++) {
    if (i > 6000) throw new Error(`not within a minute: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** A contender in a namespace of its own. */
export class Contender {
  readonly #child: ChildProcess.ChildProcess
  /** What it said since it was last told to open. */
  said: Array<string> = []
  readonly acknowledged: Array<string> = []
  #isReady = false
  #isOver = false

  constructor(cache: string) {
    const script = Path.join(import.meta.dirname, "contender.ts")
    const [command = "", ...args] =
      noNamespaces === undefined ? ["unshare", ...namespaces, process.execPath, script] : [process.execPath, script]
    this.#child = ChildProcess.spawn(command, args, {
      stdio: ["pipe", "pipe", "ignore"],
      env: { ...process.env, NODE_COMPILE_CACHE: cache }
    })
    const { stdout } = this.#child
    if (stdout === null) throw new Error("there is a pipe")
    Readline.createInterface({ input: stdout }).on("line", (line) => {
      if (line === "ready") this.#isReady = true
      else if (line.startsWith("ack ")) this.acknowledged.push(line.slice(4))
      else this.said.push(line)
    })
    this.#child.on("close", () => (this.#isOver = true))
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** The path of the log that it has; undefined until it has one. */
  get path(): string | undefined {
    return this.said.find((line) => line.startsWith("open "))?.slice(5)
  }

  refused(message: RegExp): boolean {
    return this.said.some((line) => line.startsWith("no ") && message.test(line))
  }

  async ask(ask: Ask): Promise<void> {
    await until("it is ready", () => this.#isReady)
    if (ask.do === "open") this.said = []
    this.#child.stdin?.write(`${JSON.stringify(ask)}\n`)
  }

  /** Closes its log. */
  async close(): Promise<void> {
    await this.ask({ do: "close" })
    await until("it is closed", () => this.said.includes("closed"))
  }

  /** Kills it without warning. */
  async kill(): Promise<void> {
    this.signal("SIGKILL")
    await until("it is gone", () => this.#isOver)
  }

  /** Sends a signal to the process itself, by its id outside of its namespace. */
  signal(signal: NodeJS.Signals): void {
    const pid = this.#child.pid ?? 0
    const inner = noNamespaces === undefined ? Fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim() : pid
    process.kill(Number(inner), signal)
  }
}

/** Every acknowledged leaf is in a log of the home, and every log is intact. */
export const assertKept = async (
  home: string,
  contenders: ReadonlyArray<Contender>
): Promise<ReadonlyArray<string>> => {
  const logs = Fs.readdirSync(home).filter((name) => /^audit(-\d+)?$/.test(name))
  const leaves = new Set(
    logs.flatMap((name) =>
      linesOf(Path.join(home, name)).map((line) => Buffer.from(leafHash(line)).toString("base64url"))
    )
  )
  for (const { acknowledged } of contenders)
    for (const leaf of acknowledged) assert.isTrue(leaves.has(leaf), "what was acknowledged is in a log")
  for (const name of logs) {
    const path = Path.join(home, name)
    assert.deepStrictEqual((await check({ path })).problems, [], name)
    assert.deepStrictEqual(
      Fs.readdirSync(path).filter((file) => /lock|draft|new$/.test(file)),
      [],
      "nothing is left of locks and drafts"
    )
  }
  return logs
}

/** What happened in the rounds. */
export interface Rounds {
  rounds: number
  kills: number
  acknowledged: number
  logs: number
}

/** Contenders that live from round to round, as long as they are not killed. */
export class Arena {
  readonly home = temporaryFolder()
  readonly #pool: Array<Contender> = []

  /** So many contenders that have no log. */
  contenders(count: number): ReadonlyArray<Contender> {
    const alive = this.#pool.filter((contender) => !contender.isOver)
    this.#pool.splice(0, Infinity, ...alive)
    while (this.#pool.length < count) this.#pool.push(new Contender(Path.join(this.home, "cache")))
    return this.#pool.slice(0, count)
  }

  async end(): Promise<void> {
    await Promise.all(this.#pool.filter((contender) => !contender.isOver).map((contender) => contender.kill()))
    Fs.rmSync(this.home, { recursive: true, force: true })
  }
}

/**
 * Rounds of two and of four contenders on one home, which come in any order; some are killed, some close, and others come in
 * their place. Throws where a record is lost, or a log is damaged or multiplied.
 */
export const contend = async (arena: Arena, count: number, seed: number): Promise<Rounds> => {
  const report: Rounds = { rounds: 0, kills: 0, acknowledged: 0, logs: 0 }
  const chance = chanceOf(seed)
  const some = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, chance.next() * ms))
  for (let round = 0; round < count; round++) {
    const home = Path.join(arena.home, `${seed}-${round}`)
    const size = round % 5 === 3 ? 4 : 2
    const open = { do: "open", path: Path.join(home, "audit"), named: false, hasSocket: true } as const
    const all: Array<Contender> = []
    const before = (contender: Contender): void => void (contender.acknowledged.length = 0)
    const enter = async (contender: Contender): Promise<void> => {
      before(contender)
      all.push(contender)
      await contender.ask(open)
      await until("it has a log", () => contender.path !== undefined)
    }
    const first = arena.contenders(size)
    await Promise.all(first.map(async (contender) => (await some(30), await enter(contender))))
    assert.strictEqual(new Set(first.map(({ path }) => path)).size, size, "each has a log of its own")
    await some(40)
    const victim = first[Math.floor(chance.next() * size)]
    // A kill costs the start of a process, which is most of a run.
    const what = round % 7 === 5 ? "kill" : chance.next() < 0.5 ? "close" : "nothing"
    if (victim !== undefined && what === "kill") {
      await victim.kill()
      report.kills++
    } else if (victim !== undefined && what === "close") void victim.close()
    // Whoever comes next takes what was left, at once; where it comes before the other says that it closes, a log of its own.
    if (what !== "nothing") {
      const next = arena.contenders(size + 1).find((contender) => !all.includes(contender))
      if (next !== undefined) await enter(next)
    }
    await some(40)
    await Promise.all(
      all
        .filter((contender) => !contender.isOver)
        .map((contender) => (contender.said.includes("closed") ? undefined : contender.close()))
    )
    // What a killed one left is ended by whoever comes.
    const last = all.find((contender) => !contender.isOver)
    for (let left = 0; left < size && last !== undefined && victim?.isOver === true; left++) {
      all.push(last)
      await last.ask(open)
      await until("it has a log", () => last.path !== undefined)
      await last.close()
    }
    const logs = await assertKept(home, all)
    assert.isAtMost(logs.length, what === "close" ? size + 1 : size, "logs are not multiplied")
    report.rounds++
    report.logs += logs.length
    report.acknowledged += all.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0)
    Fs.rmSync(home, { recursive: true, force: true })
  }
  return report
}
