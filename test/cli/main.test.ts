import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { CopyTarget } from "../../src/audit/folder/Copies.ts"
import { nodeFileSystem } from "../../src/audit/folder/Disk.ts"
import type * as Journal from "../../src/audit/folder/Journal.ts"
import { durable, key, makeCalls, openJournal, temporaryFolder } from "../audit/logs.ts"
import { main, runSync } from "./Command.ts"

const home = temporaryFolder()
const log = Path.join(home, "audit")
afterAll(() => Fs.rmSync(home, { recursive: true, force: true }))

const openAt = (path: string, checkpoints?: CopyTarget): Journal.Journal =>
  openJournal({ path, named: false, key, disk: nodeFileSystem, opening: [], segmentSize: 3000, checkpoints })

beforeAll(async () => {
  for (const path of [log, `${log}-2`]) {
    const journal = openAt(path)
    for (let i = 0; i < 6; i++) {
      makeCalls(journal, 2)
      await durable(journal)
    }
    await journal.close()
  }
})

const run = (...args: ReadonlyArray<string>) =>
  runSync(args, { env: { ...process.env, SECURE_OPENAI_HOME: home, NO_COLOR: "1" } })

const changed = (name: string): string => {
  const path = Path.join(home, name)
  Fs.cpSync(log, path, { recursive: true })
  const file = Path.join(path, "journal", "00000000000000000000.jsonl")
  Fs.writeFileSync(file, Fs.readFileSync(file, "utf8").replace('"model":"gpt-4o"', '"model":"gpt-5o"'))
  return path
}

describe("secure-openai audit", { timeout: 60_000 }, () => {
  it("verify says how many records there are, from when to when, and exits with 0", () => {
    const { status, stdout } = run("audit", "verify", log)
    assert.strictEqual(status, 0)
    assert.match(stdout, /intact\n {2}26 records, from 20\S+ \S+Z to 20\S+ \S+Z\n/)
    assert.include(stdout, "the log's own key")
  })

  it("verify without a path verifies the home's logs, siblings too", () => {
    const { status, stdout } = run("audit", "verify", "--json")
    assert.strictEqual(status, 0)
    const reports = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
    assert.deepStrictEqual(
      reports.map(({ ok, path, records }) => [path, ok, records]),
      [
        [log, true, 26],
        [`${log}-2`, true, 26]
      ]
    )
    assert.hasAllKeys(reports[0], [
      "path",
      "ok",
      "origin",
      "size",
      "root",
      "records",
      "unsigned",
      "torn",
      "open",
      "key",
      "from",
      "to",
      "problems",
      "more"
    ])
  })

  it("verify names what was changed, and exits with 1", () => {
    const path = changed("changed")
    const { status, stdout } = run("audit", "verify", path)
    assert.strictEqual(status, 1)
    assert.include(stdout, "NOT INTACT")
    assert.include(stdout, "record 1: root_mismatch")
    const json = run("audit", "verify", path, "--json")
    assert.strictEqual(json.status, 1)
    assert.deepInclude(JSON.parse(json.stdout).problems[0], { index: 1, code: "root_mismatch" })
  })

  it("verify compares with a key and with a checkpoint from before", async () => {
    const path = Path.join(home, "older")
    Fs.cpSync(log, path, { recursive: true })
    const vkey = Fs.readFileSync(Path.join(log, "vkey"), "utf8")
    const since = Path.join(home, "since")
    Fs.copyFileSync(Path.join(log, "checkpoint"), since)
    for (const given of [vkey.trim(), Path.join(log, "vkey")]) {
      const { status, stdout } = run("audit", "verify", "--key", given, "--since", since, log)
      assert.strictEqual(status, 0)
      assert.include(stdout, "the given key")
    }
    const other = Fs.readFileSync(Path.join(`${log}-2`, "vkey"), "utf8").trim()
    assert.strictEqual(run("audit", "verify", "--key", other, log).status, 1)
    const journal = openAt(path)
    makeCalls(journal, 1)
    await journal.close()
    assert.strictEqual(run("audit", "verify", path, "--since", since).status, 0)
    assert.strictEqual(run("audit", "verify", log, "--since", Path.join(path, "checkpoint")).status, 1)
  })

  it("verify compares each log with all that was copied of it, and misses none", async () => {
    const copies = Path.join(home, "copies")
    const path = Path.join(home, "copied")
    const write = async (calls: number): Promise<void> => {
      const journal = openAt(path, { to: copies })
      makeCalls(journal, calls)
      await journal.close()
    }
    const verify = (folder = copies) => run("audit", "verify", path, "--since", folder, "--json")
    await write(3)
    await write(2)
    assert.strictEqual(Fs.readdirSync(copies).length, 2)
    assert.strictEqual(verify().status, 0)
    // Made anew with its own key and name, longer than before, and copied since.
    const vkey = Fs.readFileSync(Path.join(path, "vkey"))
    Fs.rmSync(path, { recursive: true })
    Fs.mkdirSync(path)
    Fs.writeFileSync(Path.join(path, "vkey"), vkey)
    await write(9)
    assert.strictEqual(run("audit", "verify", path).status, 0)
    const forked = verify()
    assert.strictEqual(forked.status, 1)
    assert.deepStrictEqual(
      JSON.parse(forked.stdout).problems.map(({ code }: { code: string }) => code),
      ["forked", "forked"]
    )
    // Made anew under another name.
    Fs.rmSync(path, { recursive: true })
    await write(9)
    assert.strictEqual(run("audit", "verify", path).status, 0)
    const renamed = verify()
    assert.strictEqual(renamed.status, 1)
    const [report, ...missed] = renamed.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
    assert.isTrue(report.ok)
    assert.deepStrictEqual(
      missed.map(({ ok, origin, size }) => [ok, origin === report.origin, size > 0]),
      Array.from({ length: 3 }, () => [false, false, true])
    )
    assert.match(run("audit", "verify", path, "--since", copies).stdout, /NOT HERE\n {2}\d+ records of .* were signed/)
    Fs.writeFileSync(Path.join(copies, "x.checkpoint"), "no note")
    assert.match(verify().stderr, /x.checkpoint is no checkpoint/)
    assert.match(verify(home).stderr, /no copy of a checkpoint/)
  })

  it("exits with 2 where it cannot run", () => {
    for (const args of [
      ["verify", Path.join(home, "nothing")],
      ["verify", log, "--bogus"],
      ["verify", log, "--key", "neither a key nor a file"],
      ["verify", log, "--since", Path.join(home, "nothing")],
      // Of several logs one is meant.
      ["verify", "--since", Path.join(log, "checkpoint")],
      ["show", "999", log],
      ["show", "one", log],
      ["tail", Path.join(home, "nothing")],
      ["prove", "999", log],
      ["check-proof", Path.join(home, "nothing"), "--record", Path.join(log, "vkey"), "--key", Path.join(log, "vkey")],
      ["check-proof", Path.join(log, "vkey")],
      ["unknown"]
    ]) {
      const { status, stderr } = run("audit", ...args)
      assert.strictEqual(status, 2, args.join(" "))
      assert.notStrictEqual(stderr.trim(), "", args.join(" "))
    }
  })

  it("show gives a record and the others of its call", () => {
    const { status, stdout } = run("audit", "show", "21", log)
    assert.strictEqual(status, 0)
    assert.match(stdout, /^21 .*decision.*user:alice allow tool:shop\/generate model gpt-4o/)
    assert.match(stdout, /The same call:\n22 .*outcome.*complete/)
    const json = run("audit", "show", "22", log, "--json").stdout.trim().split("\n")
    assert.deepStrictEqual(
      json.map((line) => JSON.parse(line).seq),
      [22, 21]
    )
  })

  it("tail gives the last records, over segments", () => {
    const { stdout } = run("audit", "tail", log)
    const lines = stdout.trim().split("\n")
    assert.lengthOf(lines, 10)
    assert.match(lines.at(-1) ?? "", /^25 .*log.close/)
    const json = run("audit", "tail", "--json").stdout.trim().split("\n")
    assert.deepStrictEqual(
      json.map((line) => JSON.parse(line).seq),
      [16, 17, 18, 19, 20, 21, 22, 23, 24, 25]
    )
  })

  it("tail -f goes on with each record as it is written, across segments", async () => {
    const path = Path.join(home, "followed")
    const journal = openAt(path)
    const child = ChildProcess.spawn(process.execPath, [main, "audit", "tail", "-f", "--json", path])
    try {
      let said = ""
      const until = (count: number) =>
        new Promise<void>((resolve) => {
          const look = (): void => {
            if (said.split("\n").length > count) resolve()
            else setTimeout(look, 20)
          }
          look()
        })
      child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text))
      await until(1)
      for (let i = 0; i < 6; i++) {
        makeCalls(journal, 2)
        await durable(journal)
      }
      await until(25)
      assert.isAbove(Fs.readdirSync(Path.join(path, "journal")).length, 1)
      assert.deepStrictEqual(
        said
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line).seq),
        Array.from({ length: 25 }, (_, i) => i)
      )
    } finally {
      child.kill("SIGINT")
      await journal.close()
    }
  })

  it("prove prints a proof", () => {
    const { status, stdout } = run("audit", "prove", "3", log)
    assert.strictEqual(status, 0)
    assert.isTrue(stdout.startsWith("c2sp.org/tlog-proof@v1\nindex 3\n"))
    assert.isTrue(stdout.endsWith(Fs.readFileSync(Path.join(log, "checkpoint"), "utf8")))
  })

  it("check-proof checks it without the log, and exits as verify does", () => {
    const [proof, record, other] = ["proof", "record", "other"].map((name) => Path.join(home, name)) as [
      string,
      string,
      string
    ]
    Fs.writeFileSync(proof, run("audit", "prove", "3", log).stdout)
    Fs.writeFileSync(record, run("audit", "show", "3", log, "--json").stdout)
    Fs.writeFileSync(other, run("audit", "show", "5", log, "--json").stdout)
    const vkey = Path.join(log, "vkey")
    const good = run("audit", "check-proof", proof, "--record", record, "--key", vkey)
    assert.strictEqual(good.status, 0, good.stderr)
    assert.match(good.stdout, /^proven: record 3 of the first 26 of secure-openai\/[0-9a-f]{16}\n3 .*decision/)
    for (const args of [
      [proof, "--record", other, "--key", vkey],
      [proof, "--record", record, "--key", Path.join(`${log}-2`, "vkey")],
      [vkey, "--record", record, "--key", vkey]
    ]) {
      const { status, stdout } = run("audit", "check-proof", ...args)
      assert.strictEqual(status, 1, args.join(" "))
      assert.match(stdout, /^NOT PROVEN: /)
    }
  })

  it("prove proves nothing of a log whose records are not those that were signed", () => {
    const { status, stderr, stdout } = run("audit", "prove", "3", changed("changed-proof"))
    assert.deepStrictEqual([status, stdout], [2, ""])
    assert.include(stderr, "not those that were signed")
  })
})
