/**
 * Two verifiers on one log: whether they say the same of it, and what should be said.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert } from "vitest"
import { decodeLine } from "../../src/audit/Segment.ts"
import { verify } from "../../src/audit/Verify.ts"
import { readKeys } from "../../src/cli/LogKey.ts"
import { writeLog } from "./Logs.ts"
import { type Answer, type Job, runBatch } from "./Python.ts"
import type { Case } from "./Tampering.ts"

let folder = 0
export const place = (content: string | Buffer | undefined, name: string, path: string): string | undefined => {
  if (content === undefined) return undefined
  Fs.writeFileSync(Path.join(path, name), content)
  return Path.join(path, name)
}

/** A case on the disk, for both. */
export const jobOf = ({ files, key, since }: Case, home: string): Job => {
  const path = Path.join(home, "cases", String(folder++))
  writeLog(path, files)
  return { path, key: place(key, "given", path), since: place(since, "since", path) }
}

/** What the package's command does, without its process. */
export const packageSays = async ({ key, path = "", since }: Job): Promise<Answer> => {
  const run = Effect.gen(function* () {
    const keys = key === undefined ? undefined : yield* readKeys(key)
    const earlier = since === undefined ? undefined : (decodeLine(Fs.readFileSync(since)) ?? "")
    return yield* verify({ path, keys, since: earlier })
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
  for (let some = take(rest, 200); some.length > 0; some = take(rest, 200)) {
    const jobs = some.map((one) => jobOf(one, home))
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
    for (const { path } of jobs) Fs.rmSync(path ?? "", { recursive: true, force: true })
  }
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
