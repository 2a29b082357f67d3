import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Audit } from "../../../src/audit/Audit.ts"
import {
  formatVerifierKey,
  parseNote,
  parseVerifierKeys,
  signCheckpoint,
  verifierKey
} from "../../../src/audit/proof/Checkpoint.ts"
import { nodeFileSystem } from "../../../src/audit/folder/Disk.ts"
import type * as Journal from "../../../src/audit/folder/Journal.ts"
import { leafHash, rootOf, verifyInclusion } from "../../../src/audit/proof/MerkleTree.ts"
import type { LogRecord } from "../../../src/audit/Record.ts"
import { encode } from "../../../src/audit/RecordLine.ts"
import { folderReader } from "../../../src/audit/folder/FolderReader.ts"
import { prove } from "../../../src/audit/proof/InclusionProof.ts"
import { Reply } from "../../../src/call/Reply.ts"
import { generate, Keys } from "../../../src/keys/Keys.ts"
import { chat, runCall } from "../calls.ts"
import { check, decision, durable, key, makeCalls, openJournal, outcome, temporaryFolder } from "../logs.ts"

const home = temporaryFolder()
afterAll(() => Fs.rmSync(home, { recursive: true, force: true }))

const small = Path.join(home, "small")
const segmentOf = (path: string): string => Path.join(path, "journal", "00000000000000000000.jsonl")

const openAt = (path: string, more: Partial<Journal.JournalOptions> = {}): Journal.Journal =>
  openJournal({ path, named: true, key, disk: nodeFileSystem, opening: [], ...more })

let copies = 0
/** A copy of the small log, to be changed; the leaves, which nothing depends on, are left out unless asked for. */
const copy = (from = small, leaves: "with leaves" | "without leaves" = "without leaves"): string => {
  const path = Path.join(home, `copy-${copies++}`)
  Fs.cpSync(from, path, { recursive: true })
  if (leaves === "without leaves") Fs.rmSync(Path.join(path, "leaves"))
  return path
}

const codesOf = async (options: Parameters<typeof check>[0]): Promise<ReadonlyArray<string>> => {
  const report = await check(options)
  assert.strictEqual(report.ok, report.problems.length === 0)
  return [...new Set(report.problems.map(({ code }) => code))]
}

beforeAll(async () => {
  await Effect.runPromise(
    Effect.gen(function* () {
      const audit = yield* Audit
      yield* runCall(audit, chat())
      const reply = yield* runCall(
        audit,
        chat({ stream: true }),
        Effect.succeed(Reply.stream(Stream.make({ choices: [] }, { choices: [] })))
      )
      if (reply._tag === "Stream") yield* Stream.runDrain(reply.stream)
    }).pipe(
      Effect.provide(Audit.layer({ path: small, named: true }).pipe(Layer.provide(Layer.fresh(Keys.layerMemory))))
    )
  )
})

/** Writes a journal of these records and signs it, as one who holds the log key might. */
const forge = (records: ReadonlyArray<Record<string, unknown>>, origin = "secure-openai/0123456789abcdef"): string => {
  const path = Path.join(home, `forged-${copies++}`)
  Fs.mkdirSync(Path.join(path, "journal"), { recursive: true })
  const lines = records.map((record, seq) =>
    encode({ v: 1, seq, id: `id-${seq}`, ts: 1000 + seq, boot: "boot-1", ...record } as unknown as LogRecord)
  )
  Fs.writeFileSync(segmentOf(path), lines.map((line) => `${line}\n`).join(""))
  Fs.writeFileSync(Path.join(path, "vkey"), `${formatVerifierKey(verifierKey(origin, key.publicKey))}\n`)
  const root = rootOf(lines.map(leafHash))
  Fs.writeFileSync(Path.join(path, "checkpoint"), signCheckpoint({ origin, size: lines.length, root }, key))
  return path
}

const open = (boot = "boot-1") => ({
  kind: "log.open",
  origin: "secure-openai/0123456789abcdef",
  vkey: "",
  software: "test",
  boot
})
const decide = (call: string, more: Record<string, unknown> = {}) => ({ ...decision(call), ...more })
const end = (call: string, seq: number, more: Record<string, unknown> = {}) => ({ ...outcome(call, seq), ...more })
const segment = (from: number, count: number, digest = "d") => ({
  kind: "stream.segment",
  call: "a",
  from,
  count,
  digest
})
const opened = { kind: "stream.open", call: "a", decision: 1, status: 200 }
const closed = (more: Record<string, unknown> = {}) => ({
  kind: "stream.close",
  call: "a",
  reason: "complete",
  chunks: 2,
  received: 2,
  digest: "d",
  ...more
})
const close = { kind: "log.close" }
const recovered = (more: Record<string, unknown> = {}) => ({
  kind: "log.recovered",
  previous: "boot-1",
  dropped: 0,
  open: 0,
  boot: "boot-2",
  ...more
})

describe("Verify", () => {
  it("finds a log that holds to hold, and counts what is in it", async () => {
    const report = await check({ path: small })
    assert.deepInclude(report, {
      ok: true,
      records: 11,
      size: 11,
      unsigned: 0,
      torn: 0,
      open: 0,
      key: "own",
      problems: []
    })
    assert.isAtLeast(report.to ?? 0, report.from ?? Infinity)
  })

  it("finds every change of one byte, in journal, checkpoint and vkey", { timeout: 120_000 }, async () => {
    const tiny = Path.join(home, "tiny")
    const log = openAt(tiny)
    makeCalls(log, 1)
    await log.close()
    const flips = [segmentOf(""), "checkpoint", "vkey"].flatMap((file) =>
      // One bit of each byte, another one each time; and the case bit, which base64 and hex would forgive.
      [...Fs.readFileSync(Path.join(tiny, file)).keys()].flatMap((i) =>
        (file === segmentOf("") ? [i % 8] : [i % 8, 5]).map((bit) => ({ file, i, bit }))
      )
    )
    const work = async (): Promise<void> => {
      const path = copy(tiny)
      for (let flip = flips.pop(); flip !== undefined; flip = flips.pop()) {
        const { bit, file, i } = flip
        const bytes = Fs.readFileSync(Path.join(path, file))
        const changed = bytes.map((byte, j) => (j === i ? byte ^ (1 << bit) : byte))
        Fs.writeFileSync(Path.join(path, file), changed)
        assert.isFalse((await check({ path })).ok, `bit ${bit} of byte ${i} of ${file}`)
        Fs.writeFileSync(Path.join(path, file), bytes)
      }
      assert.isTrue((await check({ path })).ok)
    }
    await Promise.all(Array.from({ length: 4 }, work))
  })

  it("finds records that were deleted, doubled, moved or cut off", async () => {
    const lines = Fs.readFileSync(segmentOf(small), "utf8").split("\n").slice(0, -1)
    const changed = async (change: (lines: Array<string>) => Array<string>): Promise<ReadonlyArray<string>> => {
      const path = copy()
      Fs.writeFileSync(
        segmentOf(path),
        change([...lines])
          .map((line) => `${line}\n`)
          .join("")
      )
      return codesOf({ path })
    }
    assert.deepStrictEqual(await changed((all) => all), [])
    for (let i = 0; i < lines.length; i++) {
      assert.isNotEmpty(await changed((all) => all.toSpliced(i, 1)), `without ${i}`)
      assert.isNotEmpty(await changed((all) => all.toSpliced(i, 0, all[i] ?? "")), `${i} twice`)
      assert.isNotEmpty(await changed((all) => all.slice(0, i)), `cut at ${i}`)
      if (i > 0)
        assert.include(
          await changed((all) => all.toSpliced(i - 1, 2, all[i] ?? "", all[i - 1] ?? "")),
          "seq_mismatch",
          `${i} and the one before`
        )
    }
    assert.deepStrictEqual(await changed((all) => all.slice(0, -2)), ["too_short"])
  })

  it("finds a torn tail below the signed size, and lets one past it be", async () => {
    const path = copy()
    Fs.appendFileSync(segmentOf(path), '{"torn')
    assert.deepInclude(await check({ path }), { ok: true, torn: 6, records: 11 })
    Fs.truncateSync(segmentOf(path), Fs.statSync(segmentOf(path)).size - 20)
    assert.include(await codesOf({ path }), "line_invalid")
  })

  it("finds a whole line that is no record, also past the signed size", async () => {
    const path = copy()
    Fs.appendFileSync(segmentOf(path), "{}\n")
    assert.deepStrictEqual(await codesOf({ path }), ["line_invalid"])
  })

  it("names the record that was changed, where the leaves were left alone", async () => {
    const path = copy(small, "with leaves")
    const text = Fs.readFileSync(segmentOf(path), "utf8")
    Fs.writeFileSync(segmentOf(path), text.replace('"model":"gpt-4o"', '"model":"gpt-5o"'))
    const report = await check({ path })
    assert.deepInclude(report.problems[0], { index: 3, code: "root_mismatch" })
    assert.lengthOf(report.problems, 1)
  })

  it("finds what is missing", async () => {
    for (const [name, code] of [
      ["checkpoint", "checkpoint_missing"],
      ["vkey", "checkpoint_missing"],
      ["journal", "too_short"]
    ] as const) {
      const path = copy()
      Fs.rmSync(Path.join(path, name), { recursive: true })
      assert.include(await codesOf({ path }), code)
    }
    const nothing = await Effect.runPromise(
      Effect.flip(
        Effect.promise(() => check({ path: Path.join(home, "nothing") }).catch((e: unknown) => e)).pipe(Effect.flip)
      )
    )
    assert.propertyVal(nothing, "_tag", "CannotVerify")
  })

  it("finds segments that are missing, renamed or doubled", async () => {
    const path = Path.join(home, "segments")
    const log = openAt(path, { segmentSize: 1500 })
    for (let i = 0; i < 6; i++) {
      makeCalls(log, 2)
      await durable(log)
    }
    await log.close()
    assert.deepStrictEqual(await codesOf({ path }), [])
    const names = Fs.readdirSync(Path.join(path, "journal")).sort()
    assert.isAbove(names.length, 3)
    for (const name of names) {
      const without = copy(path)
      Fs.rmSync(Path.join(without, "journal", name))
      assert.isNotEmpty(await codesOf({ path: without }), `without ${name}`)
    }
    const renamed = copy(path)
    Fs.renameSync(
      Path.join(renamed, "journal", names[1] ?? ""),
      Path.join(renamed, "journal", "00000000000000000001.jsonl")
    )
    assert.include(await codesOf({ path: renamed }), "segment_order")
    const torn = copy(path)
    Fs.appendFileSync(Path.join(torn, "journal", names[0] ?? ""), "x")
    assert.include(await codesOf({ path: torn }), "line_invalid")
    const aside = copy(path)
    Fs.writeFileSync(Path.join(aside, "journal", `${names[0]}.torn-1`), "anything")
    Fs.mkdirSync(Path.join(aside, "content"))
    assert.deepStrictEqual(await codesOf({ path: aside }), [])
  })

  it("checks against a key that is known from elsewhere", async () => {
    const [own] = Result.getOrThrow(parseVerifierKeys(Fs.readFileSync(Path.join(small, "vkey"), "utf8")))
    assert.deepInclude(await check({ path: small, keys: [own!] }), { ok: true, key: "given" })
    const other = verifierKey(own?.name ?? "", generate("log").publicKey)
    assert.deepStrictEqual(await codesOf({ path: small, keys: [other] }), ["signature_invalid"])
    // A log that was made anew as a whole is consistent in itself; only the key tells.
    const forged = forge([open(), close])
    assert.deepStrictEqual(await codesOf({ path: forged }), [])
    assert.deepStrictEqual(await codesOf({ path: forged, keys: [own!] }), ["signature_invalid"])
  })

  it("accepts a note that one of two keys signed", async () => {
    const path = forge([open(), close])
    const older = `${formatVerifierKey(verifierKey("secure-openai/0123456789abcdef", generate("log").publicKey))}\n`
    Fs.writeFileSync(Path.join(path, "vkey"), older + Fs.readFileSync(Path.join(path, "vkey"), "utf8"))
    assert.deepStrictEqual(await codesOf({ path }), [])
    Fs.writeFileSync(Path.join(path, "vkey"), older)
    assert.deepStrictEqual(await codesOf({ path }), ["signature_invalid"])
  })

  it("compares with a checkpoint that was kept from before", async () => {
    const path = Path.join(home, "since")
    const log = openAt(path)
    makeCalls(log, 2)
    await log.close()
    const since = Fs.readFileSync(Path.join(path, "checkpoint"), "utf8")
    const before = copy(path)
    const again = openAt(path)
    makeCalls(again, 1)
    await again.close()
    assert.deepStrictEqual(await codesOf({ path, since }), [])
    const later = Fs.readFileSync(Path.join(path, "checkpoint"), "utf8")
    assert.deepStrictEqual(await codesOf({ path: before, since: later }), ["rolled_back"])
    const note = Result.getOrThrow(parseNote(since))
    const fork = signCheckpoint({ ...note, root: leafHash("another") }, key)
    assert.deepStrictEqual(await codesOf({ path, since: fork }), ["forked"])
    const foreign = signCheckpoint(note, generate("log"))
    assert.deepStrictEqual(await codesOf({ path, since: foreign }), ["signature_invalid"])
    assert.deepStrictEqual(await codesOf({ path, since: "nothing" }), ["checkpoint_invalid"])
    const empty = signCheckpoint({ ...note, size: 0, root: rootOf([]) }, key)
    assert.deepStrictEqual(await codesOf({ path, since: empty }), [])
  })

  it("holds while the log is being written", async () => {
    const path = Path.join(home, "live")
    const log = openAt(path)
    for (let i = 0; i < 20; i++) {
      makeCalls(log, 50)
      log.append(decision(`open-${i}`))
      if (i % 5 === 0) await durable(log)
      const report = await check({ path })
      assert.deepStrictEqual(report.problems, [])
    }
    await durable(log)
    const report = await check({ path })
    assert.deepInclude(report, { ok: true, open: 20, records: 2021 })
    assert.strictEqual(report.unsigned, report.records - report.size)
    await log.close()
  })

  describe("finds what makes no sense", () => {
    const senseless: ReadonlyArray<readonly [string, ReadonlyArray<Record<string, unknown>>, string]> = [
      ["a beginning without log.open", [decide("a"), end("a", 0)], "boot_inconsistent"],
      ["another origin", [{ ...open(), origin: "secure-openai/fedcba9876543210" }, close], "boot_inconsistent"],
      ["an outcome of no call", [open(), end("a", 1)], "call_inconsistent"],
      ["an outcome before its decision", [open(), end("a", 2), decide("a")], "call_inconsistent"],
      ["two outcomes", [open(), decide("a"), end("a", 1), end("a", 1)], "call_inconsistent"],
      ["an outcome of another decision", [open(), decide("a"), end("a", 7)], "call_inconsistent"],
      ["two decisions", [open(), decide("a"), decide("a")], "call_inconsistent"],
      [
        "a refusal of what was decided",
        [
          open(),
          decide("a"),
          { kind: "refused", call: "a", tool: "t", app: "a", stage: "policy", code: "c", status: 1, violations: [] }
        ],
        "call_inconsistent"
      ],
      [
        "an unknown outcome without a crash",
        [open(), decide("a"), end("a", 1, { result: "unknown" })],
        "call_inconsistent"
      ],
      ["a call that is open at log.close", [open(), decide("a"), close], "call_inconsistent"],
      ["a stream of no call", [open(), opened], "call_inconsistent"],
      ["two streams of one call", [open(), decide("a"), opened, opened], "call_inconsistent"],
      ["a segment without a stream", [open(), decide("a"), segment(0, 1)], "call_inconsistent"],
      ["a gap between segments", [open(), decide("a"), opened, segment(0, 1), segment(2, 1)], "call_inconsistent"],
      ["a stream that is not closed", [open(), decide("a"), opened, end("a", 1)], "call_inconsistent"],
      ["a close that counts otherwise", [open(), decide("a"), opened, segment(0, 1), closed()], "call_inconsistent"],
      [
        "more chunks than received",
        [open(), decide("a"), opened, segment(0, 2), closed({ chunks: 3 })],
        "call_inconsistent"
      ],
      ["another digest", [open(), decide("a"), opened, segment(0, 2), closed({ digest: "e" })], "call_inconsistent"],
      [
        "two closes",
        [open(), decide("a"), opened, closed({ chunks: 0, received: 0 }), closed({ chunks: 0, received: 0 })],
        "call_inconsistent"
      ],
      ["a record after log.close", [open(), close, decide("a")], "boot_inconsistent"],
      ["a record of another boot", [open(), decide("a", { boot: "boot-2" })], "boot_inconsistent"],
      ["a crash without a recovery", [open(), open("boot-2"), decide("a", { boot: "boot-2" })], "boot_inconsistent"],
      ["a recovery without a crash", [open(), recovered({ boot: "boot-1" })], "boot_inconsistent"],
      ["a recovery of another boot", [open(), open("boot-2"), recovered({ previous: "boot-0" })], "boot_inconsistent"],
      ["a recovery that counts otherwise", [open(), decide("a"), open("boot-2"), recovered()], "boot_inconsistent"],
      [
        "a recovery that leaves a call open",
        [open(), decide("a"), open("boot-2"), recovered({ open: 1 }), { ...decide("b"), boot: "boot-2" }],
        "boot_inconsistent"
      ]
    ]
    for (const [name, records, code] of senseless)
      it(`in ${name}`, async () => {
        const report = await check({ path: forge(records) })
        assert.strictEqual(report.problems[0]?.code, code, JSON.stringify(report.problems))
      })

    it("and nothing in what does", async () => {
      const boot = "boot-2"
      for (const records of [
        [open()],
        [open(), { kind: "a.kind.to.come", anything: [1] }, close],
        [open(), decide("a"), opened, segment(0, 2), closed(), end("a", 1), close, open(boot), { ...close, boot }],
        [
          open(),
          decide("a"),
          opened,
          segment(0, 1),
          open(boot),
          recovered({ open: 1 }),
          { ...end("a", 1, { result: "unknown" }), boot }
        ],
        [
          open(),
          decide("a"),
          open(boot),
          recovered({ open: 1 }),
          open("boot-3"),
          recovered({ open: 1, boot: "boot-3", previous: boot }),
          { ...end("a", 1, { result: "unknown" }), boot: "boot-3" }
        ]
      ])
        assert.deepStrictEqual((await check({ path: forge(records) })).problems, [])
    })
  })

  it("proves a record by itself", async () => {
    const lines = Fs.readFileSync(segmentOf(small), "utf8").split("\n").slice(0, -1)
    for (const [i, line] of lines.entries()) {
      const proof = await Effect.runPromise(prove(folderReader(small), i))
      const [head, checkpoint = ""] = [proof.slice(0, proof.indexOf("\n\n")), proof.slice(proof.indexOf("\n\n") + 2)]
      const [format, index, ...hashes] = head.split("\n")
      assert.deepStrictEqual([format, index], ["c2sp.org/tlog-proof@v1", `index ${i}`])
      const note = Result.getOrThrow(parseNote(checkpoint))
      const verified = verifyInclusion(
        leafHash(line),
        i,
        note.size,
        hashes.map((hash) => Buffer.from(hash, "base64")),
        note.root
      )
      assert.isTrue(Result.isSuccess(verified))
    }
    assert.include((await Effect.runPromise(Effect.flip(prove(folderReader(small), 11)))).message, "is not signed")
  })
})
