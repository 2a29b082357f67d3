/** The log: verified by a program of its own, read, and caught lying. */
import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { line, printed, section } from "./Screen.ts"

const main = Path.resolve(import.meta.dirname, "../../src/cli/main.ts")

/** Runs `secure-openai …` in a process of its own, and prints what it says. */
const run = (home: string, ...args: ReadonlyArray<string>) =>
  new Promise<{ readonly code: number | null; readonly output: string }>((resolve) => {
    const child = execFile(process.execPath, [main, ...args], { cwd: home }, (_error, stdout, stderr) => {
      printed(`secure-openai ${args.join(" ")}`, stdout + stderr)
      resolve({ code: child.exitCode, output: stdout + stderr })
    })
  })

/** Anyone who has the folder can verify it, and read what was decided. `index` is a decision of alice's. */
export const verified = async (home: string, index: number): Promise<void> => {
  section("Proven: the log, verified by an auditor who kept its public key")
  const verify = await run(home, "audit", "verify", "audit", "--key", "auditor.vkey")
  assert.equal(verify.code, 0)
  assert.match(verify.output, /: intact\n/)
  line("verified", "exit code 0")

  section("Readable: what section 3 left behind")
  const show = await run(home, "audit", "show", String(index), "audit")
  assert.equal(show.code, 0)
  assert.match(show.output, /user:alice of \S+ rewrite tool:assistant\/generate/)
  assert.doesNotMatch(show.output, /return policy|Goods come back/)
  line("note", "The question and the answer are not in there. Their salted digests are.")
}

/** One byte of one record is changed in a copy: the limit that alice had becomes another. */
export const tampered = async (home: string, index: number): Promise<void> => {
  section("Caught: a copy of the log with one byte changed")
  await Fs.cp(Path.join(home, "audit"), Path.join(home, "copy"), { recursive: true })
  const journal = Path.join(home, "copy", "journal")
  const [name = ""] = await Fs.readdir(journal)
  const records = (await Fs.readFile(Path.join(journal, name), "utf8")).split("\n")
  const record = records[index] ?? ""
  records[index] = record.replace('"to":"500"', '"to":"900"')
  assert.notEqual(records[index], record)
  await Fs.writeFile(Path.join(journal, name), records.join("\n"))
  line("changed", `record ${index}: where it said that alice was given 500 tokens, it now says 900`)
  console.log()

  const verify = await run(home, "audit", "verify", "copy", "--key", "auditor.vkey")
  assert.equal(verify.code, 1)
  assert.match(verify.output, new RegExp(`: NOT INTACT\n[^]*record ${index}: `))
  line("refused", "exit code 1, and the record is named")
}
