/**
 * Two verifiers on one log: whether they say the same of it, and what should be said.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert } from "vitest"
import { decodeLine } from "../../src/audit/folder/Segment.ts"
import { folderReader } from "../../src/audit/folder/FolderReader.ts"
import { verify } from "../../src/audit/proof/Verify.ts"
import { readKeys } from "../../src/cli/LogKey.ts"
import { changed, type Files, writeLog } from "./Logs.ts"
import { type Answer, type Job, runBatch } from "./Python.ts"
import type { Case } from "./Tampering.ts"

export const place = (content: string | Buffer | undefined, name: string, path: string): string | undefined => {
  if (content === undefined) return undefined
  Fs.writeFileSync(Path.join(path, name), content)
  return Path.join(path, name)
}

/** A folder for one case after the other: what the next one has otherwise is written, the rest is there. */
class Slot {
  readonly path: string
  #there: Files = new Map()

  constructor(path: string) {
    this.path = path
  }

  /** The case on the disk, for both. */
  put({ files, key, since }: Case): Job {
    const all = changed(files, { given: key, since })
    for (const name of this.#there.keys()) if (!all.has(name)) Fs.rmSync(Path.join(this.path, name))
    writeLog(this.path, new Map([...all].filter(([name, bytes]) => this.#there.get(name)?.equals(bytes) !== true)))
    this.#there = all
    const at = (name: string): string | undefined => (all.has(name) ? Path.join(this.path, name) : undefined)
    return { path: this.path, key: at("given"), since: at("since") }
  }
}

let folder = 0
const newSlot = (home: string): Slot => new Slot(Path.join(home, "cases", String(folder++)))

export const jobOf = (one: Case, home: string): Job => newSlot(home).put(one)

/** What the package's command does, without its process. */
export const packageSays = async ({ key, path = "", since }: Job): Promise<Answer> => {
  const run = Effect.gen(function* () {
    const keys = key === undefined ? undefined : yield* readKeys(key)
    const earlier = since === undefined ? undefined : (decodeLine(Fs.readFileSync(since)) ?? "")
    return yield* verify({ log: folderReader(path), keys, since: earlier })
  })
  const result = await Effect.runPromise(Effect.result(run))
  return Result.isFailure(result)
    ? { exit: 2, ok: false, message: result.failure.message }
    : { exit: result.success.ok ? 0 : 1, path, ...result.success }
}

/** An answer without the words that each has of its own. */
const compared = ({ exit, message: _, problems, ...fields }: Answer) => ({
  exit,
  ...fields,
  problems: problems?.map(({ code, index }) => ({ code, index }))
})

/** Has both verify all cases; gives how many were found bad. */
export const agree = async (cases: Iterable<Case>, home: string): Promise<number> => {
  let bad = 0
  const rest = cases[Symbol.iterator]()
  const wrong: Array<string> = []
  const slots = Array.from({ length: 200 }, () => newSlot(home))
  for (let some = take(rest, slots.length); some.length > 0; some = take(rest, slots.length)) {
    const jobs = slots.slice(0, some.length).map((slot, i) => slot.put(some[i] as Case))
    const others = runBatch(jobs)
    const answers: Array<Answer> = []
    for (const job of jobs) answers.push(await packageSays(job))
    for (const [i, theirs] of (await others).entries()) {
      const { expect, name } = some[i] ?? { expect: "either", name: "" }
      const ours = answers[i]
      if (ours === undefined) throw new Error("an answer is missing")
      if (!ours.ok) bad++
      const [a, b] = [compared(ours), compared(theirs)].map((answer) => JSON.stringify(answer, sortKeys))
      if (a !== b) wrong.push(`${name}: the package says\n  ${a}\nPython says\n  ${b}`)
      else if (expect !== "either" && (expect === "good") !== ours.ok) wrong.push(`${name} should be ${expect}: ${a}`)
    }
  }
  for (const { path } of slots) Fs.rmSync(path, { recursive: true, force: true })
  assert.deepStrictEqual(wrong.slice(0, 5), [], `${wrong.length} disagreements`)
  return bad
}

const take = <A>(from: Iterator<A>, most: number): ReadonlyArray<A> => {
  const taken: Array<A> = []
  while (taken.length < most) {
    const next = from.next()
    if (next.done === true) break
    taken.push(next.value)
  }
  return taken
}

const sortKeys = (_: string, value: unknown): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value
