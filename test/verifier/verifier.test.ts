/**
 * Two verifiers that share no code, the package's and one in Python written from docs/audit-format.md alone: they agree on
 * logs that hold, and on thousands that somebody changed.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { checkProof, prove } from "../../src/audit/Proof.ts"
import { verify } from "../../src/audit/Verify.ts"
import { decodeLine } from "../../src/audit/Segment.ts"
import { readKeys } from "../../src/cli/LogKey.ts"
import { type Provider, startProvider } from "../e2e/Provider.ts"
import { temporaryFolder } from "../audit/logs.ts"
import {
  changed,
  first,
  journals,
  linesOf,
  live,
  type Log,
  originOf,
  signed,
  sizeOf,
  textOf,
  vkeyOf,
  writeLog
} from "./Logs.ts"
import { type Answer, type Job, python, runBatch, runPython } from "./Python.ts"
import { type Case, cuts, fields, flips, folders, history, notes, order, rotation, spellings } from "./Tampering.ts"

const home = temporaryFolder()
const logs = new Map<string, Log>()
const receipts: Array<string> = []
let provider: Provider

beforeAll(async () => {
  provider = await startProvider()
  const lived = await live(Path.join(home, "live"), provider)
  receipts.push(...lived.receipts)
  for (const [name, log] of [...lived.logs, ...(await journals(home))]) logs.set(name, log)
})
afterAll(async () => {
  await provider.close()
  Fs.rmSync(home, { recursive: true, force: true })
})

const log = (name: string): Log => {
  const found = logs.get(name)
  if (found === undefined) throw new Error(`no log ${name}`)
  return found
}

let folder = 0
const place = (content: string | Buffer | undefined, name: string, path: string): string | undefined => {
  if (content === undefined) return undefined
  Fs.writeFileSync(Path.join(path, name), content)
  return Path.join(path, name)
}

/** A case on the disk, for both. */
const jobOf = ({ files, key, since }: Case): Job => {
  const path = Path.join(home, "cases", String(folder++))
  writeLog(path, files)
  return { path, key: place(key, "given", path), since: place(since, "since", path) }
}

/** What the package's command does, without its process. */
const packageSays = async ({ key, path = "", since }: Job): Promise<Answer> => {
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
const agree = async (cases: Iterable<Case>): Promise<number> => {
  let bad = 0
  let rest = [...cases]
  const wrong: Array<string> = []
  while (rest.length > 0) {
    const some = rest.slice(0, 200)
    rest = rest.slice(200)
    const jobs = some.map(jobOf)
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

const sortKeys = (_: string, value: unknown): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value

// Python.ts says why, and fails in CI.
describe.skipIf(python === undefined)("the verifier in Python and the package's", { timeout: 300_000 }, () => {
  it("find that every log of the library holds, and say the same of it", async () => {
    assert.sameMembers(
      [...new Set([...logs.values()].flatMap(({ files }) => linesOf(files).map((line) => JSON.parse(line).kind)))],
      [
        "log.open",
        "log.recovered",
        "log.close",
        "key.active",
        "policy.activated",
        "decision",
        "passthrough",
        "refused",
        "stream.open",
        "stream.segment",
        "stream.close",
        "outcome"
      ]
    )
    assert.strictEqual(await agree([...logs].map(([name, { files }]) => ({ name, files, expect: "good" as const }))), 0)
    assert.isAbove(
      Number((await packageSays(jobOf({ name: "", files: log("torn").files, expect: "good" })))["torn"]),
      0
    )
  })

  const changes: ReadonlyArray<readonly [string, number, () => Iterable<Case>]> = [
    ["fields that were changed", 500, () => fields("recovered", log("recovered"))],
    ["records that were moved", 250, () => order("recovered", log("recovered"))],
    ["records that were moved over segments", 200, () => order("segments, open call", log("segments, open call"))],
    [
      "bytes that were cut off or added",
      60,
      () => ["segments", "torn", "live", "empty"].flatMap((name) => [...cuts(name, log(name))])
    ],
    [
      "segments and files",
      60,
      () => ["segments", "segments, live", "recovered"].flatMap((name) => [...folders(name, log(name))])
    ],
    ["spellings of a line", 150, () => ["recovered"].flatMap((name) => [...spellings(name, log(name))])],
    [
      "checkpoints and keys",
      150,
      () => ["recovered", "segments, live", "empty"].flatMap((name) => [...notes(name, log(name), log("twice"))])
    ],
    [
      "what was kept from before",
      80,
      () => ["recovered", "segments, live", "empty"].flatMap((name) => [...history(name, log(name), log("twice"))])
    ],
    [
      "a key that changes",
      5,
      () => ["recovered", "twice", "empty"].flatMap((name) => [...rotation(name, log(name), true)])
    ],
    ["each byte", 1000, () => flips("empty", log("empty"))]
  ]
  for (const [what, atLeast, cases] of changes)
    it(`agree on ${what}`, async () => {
      const bad = await agree(cases())
      assert.isAtLeast(bad, atLeast)
    })

  it("say what they say as commands, and exit as they should", () => {
    const path = Path.join(home, "command")
    writeLog(path, log("recovered").files)
    const good = runPython(path, "--json")
    assert.strictEqual(good.status, 0, good.stderr)
    assert.containsAllKeys(JSON.parse(good.stdout), [
      "ok",
      "origin",
      "size",
      "root",
      "records",
      "unsigned",
      "torn",
      "open",
      "key",
      "problems"
    ])
    assert.include(runPython(path).stdout, "intact")
    Fs.writeFileSync(
      Path.join(path, first),
      textOf(log("recovered").files, first).replace('"verdict":"allow"', '"verdict":"alloy"')
    )
    const bad = runPython(path, "--key", Path.join(path, "vkey"), "--since", Path.join(path, "checkpoint"))
    assert.strictEqual(bad.status, 1)
    assert.include(bad.stdout, "root_mismatch")
    for (const args of [
      [Path.join(home, "nothing")],
      [path, "--key", "none"],
      [path, "--since", Path.join(home, "nothing")],
      ["--bogus"]
    ])
      assert.strictEqual(runPython(...args).status, 2, args.join(" "))
  })
})

/** A proof, the record and the key as files. */
const proofFiles = (path: string, proof: string, record: string | Buffer, key: string): Job => {
  Fs.mkdirSync(path, { recursive: true })
  return { proof: place(proof, "proof", path), record: place(record, "record", path), key: place(key, "key", path) }
}

describe.skipIf(python === undefined)("proofs and receipts", { timeout: 120_000 }, () => {
  it("of every record hold for both, and changed ones for neither", async () => {
    const jobs: Array<Job> = []
    const ours: Array<boolean> = []
    const names: Array<string> = []
    const add = async (name: string, proof: string, record: string | Buffer, key: string): Promise<void> => {
      const job = proofFiles(Path.join(home, "proofs", String(jobs.length)), proof, record, key)
      jobs.push(job)
      names.push(name)
      const keys = await Effect.runPromise(readKeys(job.key ?? ""))
      ours.push(Result.isSuccess(checkProof(proof, Buffer.from(record), keys)))
    }
    for (const name of ["segments", "segments, live", "recovered", "empty"]) {
      const { files } = log(name)
      const path = Path.join(home, "proven", name)
      writeLog(path, files)
      const lines = linesOf(files)
      const vkey = textOf(files, "vkey")
      for (let i = 0; i < sizeOf(files); i++)
        await add(`good ${name} ${i}`, await Effect.runPromise(prove(path, i)), lines[i] ?? "", vkey)
      const index = Math.floor(sizeOf(files) / 2)
      const line = lines[index] ?? ""
      const proof = await Effect.runPromise(prove(path, index))
      const [head = "", text = "", signatures = ""] = proof.split("\n\n")
      const [format = "", place = "", ...hashes] = head.split("\n")
      const made = (rows: ReadonlyArray<string>): string =>
        `${[format, place, ...rows].join("\n")}\n\n${text}\n\n${signatures}`
      const zeros = Buffer.alloc(32).toString("base64")
      await add(`good ${name}, extra`, proof.replace("\n", "\nextra anything\n"), line, vkey)
      for (const [what, to] of [
        ["no hashes", made([])],
        ["a hash left out", made(hashes.slice(1))],
        ["the last hash left out", made(hashes.slice(0, -1))],
        ["a hash more", made([...hashes, zeros])],
        ["a hash more at first", made([zeros, ...hashes])],
        ["hashes turned round", made(hashes.toReversed())],
        ["another hash", made([zeros, ...hashes.slice(1)])],
        ["an index below", proof.replace(`index ${index}`, `index ${index - 1}`)],
        ["an index above", proof.replace(`index ${index}`, `index ${index + 1}`)],
        ["an index beyond", proof.replace(`index ${index}`, `index ${sizeOf(files)}`)],
        ["an index with a zero", proof.replace(`index ${index}`, `index 0${index}`)],
        ["another format", proof.replace("@v1", "@v2")],
        ["no checkpoint", head],
        ["carriage returns", proof.replaceAll("\n", "\r\n")],
        ["another root", proof.replace(text.split("\n")[2] ?? "", zeros)],
        ["extra twice", proof.replace("\n", "\nextra a\nextra b\n")]
      ] as const)
        if (to !== proof && !(name === "empty" && what === "hashes turned round"))
          await add(`bad ${name}, ${what}`, to, line, vkey)
      await add(`bad ${name}, another record`, proof, lines[index - 1] ?? lines[index + 1] ?? "", vkey)
      await add(`bad ${name}, a changed record`, proof, line.replace('"v":1', '"v":1 '), vkey)
      await add(
        `bad ${name}, another key`,
        proof,
        line,
        textOf(log("twice").files, "vkey") === vkey
          ? textOf(log("segments").files, "vkey")
          : textOf(log("twice").files, "vkey")
      )
      await add(`good ${name}, two keys`, proof, line, vkeyOf("another", log("twice").key) + vkey)
    }
    const answers = await runBatch(jobs)
    for (const [i, name] of names.entries()) {
      assert.strictEqual(ours[i], name.startsWith("good"), name)
      assert.strictEqual(answers[i]?.ok, ours[i], `${name}: ${String(answers[i]?.message)}`)
      assert.strictEqual(answers[i]?.exit, ours[i] === true ? 0 : 1, name)
    }
    assert.isAbove(names.filter((name) => name.startsWith("bad")).length, 60)
  })

  it("of calls say what the log says", async () => {
    const { files } = log("twice")
    const path = Path.join(home, "receipts")
    writeLog(path, files)
    const vkey = Path.join(path, "vkey")
    const jobs: Array<Job> = []
    const add = (jws: string): void => {
      const file = Path.join(path, `receipt-${jobs.length}`)
      Fs.writeFileSync(file, `${jws}\n`)
      jobs.push({ path, key: vkey, receipt: file })
    }
    const own = receipts.filter(
      (jws) => claimsOf(jws)["log"] === originOf(files) && Number(claimsOf(jws)["leaf"]) < sizeOf(files)
    )
    assert.isAtLeast(own.length, 4)
    for (const jws of own) add(jws)
    const good = jobs.length
    const [head = "", claims = "", signature = ""] = own[0]?.split(".") ?? []
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url")
    for (const [name, value] of Object.entries(claimsOf(own[0] ?? "")))
      add(
        [
          head,
          part({ ...claimsOf(own[0] ?? ""), [name]: typeof value === "number" ? value + 1 : "x" }),
          signature
        ].join(".")
      )
    add([part({ alg: "none", kid: "x", typ: "soai-receipt+jwt" }), claims, ""].join("."))
    add([part({ ...headOf(own[0] ?? ""), jwk: {} }), claims, signature].join("."))
    add([part({ ...headOf(own[0] ?? ""), typ: "soai-invoke+jwt" }), claims, signature].join("."))
    add(`${head}.${claims}.${signature.slice(0, -2)}`)
    add(`${own[0]}=`)
    add(`${head}.${claims}`)
    const answers = await runBatch(jobs)
    for (const [i, { exit, message }] of answers.entries())
      assert.strictEqual(exit, i < good ? 0 : 1, `receipt ${i}: ${String(message)}`)
    // The same receipts do not hold for a log that was changed, nor for another one.
    const edited = Path.join(home, "edited")
    writeLog(
      edited,
      changed(files, { [first]: textOf(files, first).replace('"verdict":"allow"', '"verdict":"alloy"') })
    )
    const foreign = Path.join(home, "foreign")
    writeLog(foreign, log("segments").files)
    // Whoever holds the log's key can write another record in the place; the receipt tells.
    const rewritten = Path.join(home, "rewritten")
    writeLog(
      rewritten,
      signed(
        log("twice"),
        linesOf(files).map((line) => line.replace('"verdict":"allow"', '"verdict":"alloy"'))
      )
    )
    const elsewhere = await runBatch(
      [edited, foreign, rewritten].map((where) => ({ path: where, receipt: jobs[0]?.receipt }))
    )
    assert.deepStrictEqual(
      elsewhere.map(({ exit }) => exit),
      [1, 1, 1]
    )
  })
})

const claimsOf = (jws: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(jws.split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>
const headOf = (jws: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(jws.split(".")[0] ?? "", "base64url").toString()) as Record<string, unknown>
