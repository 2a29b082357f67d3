/**
 * What it takes to verify a log: `node test/bench/verify.ts [RECORDS]`. Makes a log of calls and streams as the library
 * writes them, then has the command verify it, in a process of its own. Beside it, in the same run, what any reader of
 * the same bytes has to do: JSON.parse of each line, and SHA-256 of each line.
 */
import * as ChildProcess from "node:child_process"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Result from "effect/Result"
import { nodeFileSystem } from "../../src/audit/folder/Disk.ts"
import { folderReader } from "../../src/audit/folder/FolderReader.ts"
import type { Body } from "../../src/audit/Record.ts"
import { newId } from "../../src/base/Id.ts"
import { generate } from "../../src/keys/Keys.ts"
import { openJournal } from "../audit/logs.ts"

const count = Number(process.argv[2] ?? 1_000_000)
if (!Number.isSafeInteger(count) || count < 1000) throw new RangeError("RECORDS is a number of at least 1000")

const digest = (): string => `sha-256:${Crypto.randomBytes(32).toString("base64url")}`

/** Every fourth call is a stream; together they are three records a call, as in a gateway for chats. */
const call = (n: number, append: (body: Body) => number): void => {
  const id = newId()
  const stream = n % 4 === 0
  const decision = append({
    kind: "decision",
    call: id,
    tool: "tool:shop/generate",
    app: "shop",
    principal: {
      kind: "user",
      id: `user-${n % 997}`,
      iss: "https://login.example.com/realms/shop",
      roles: ["analyst"]
    },
    verdict: n % 10 === 0 ? "rewrite" : "allow",
    policies: ["company:Acme", "team:shop", "user:everyone"],
    rev: "sha-256:7wlVqZpGQnOYyJ1kq9mBrDf1mYxT5zj0c3v6J8l0aHk",
    edits: n % 10 === 0 ? [{ path: "max_tokens", from: "4000", to: "1000", policy: "team:shop" }] : [],
    requested: digest(),
    effective: digest(),
    model: "gpt-4o",
    stream,
    endpoint: "POST https://api.openai.com/v1/chat/completions",
    kid: "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg",
    inv: digest(),
    asked: [
      { path: "max_tokens", value: "4000" },
      { path: "model", value: '"gpt-4o"' }
    ]
  })
  if (stream) {
    const last = digest()
    append({ kind: "stream.open", call: id, decision, status: 200 })
    append({ kind: "stream.segment", call: id, from: 0, count: 64, digest: digest() })
    append({ kind: "stream.segment", call: id, from: 64, count: 20, digest: last })
    append({ kind: "stream.close", call: id, reason: "complete", chunks: 84, received: 84, digest: last })
  }
  append({
    kind: "outcome",
    call: id,
    decision,
    result: "complete",
    attempts: 1,
    status: 200,
    request: `req_${n}`,
    response: digest(),
    usage: { input: 812, output: 164 },
    ms: 1203
  })
}

const make = async (path: string): Promise<void> => {
  const journal = openJournal({ path, named: true, key: generate("log"), disk: nodeFileSystem, opening: [] })
  let last = 0
  for (let n = 0; last < count - 8; n++) {
    call(n, (body) => (last = Result.getOrThrow(journal.append(body)).place?.seq ?? 0))
    if (n % 2000 === 1999) await new Promise((resolve) => journal.whenDurable(resolve))
  }
  await journal.close()
}

const seconds = async (work: () => Promise<void>): Promise<number> => {
  const start = performance.now()
  await work()
  return (performance.now() - start) / 1000
}

const say = (name: string, took: number, more = ""): void =>
  console.log(
    `${name.padEnd(30)} ${took.toFixed(2).padStart(7)} s  ${Math.round(count / took).toLocaleString("en")} records/s${more}`
  )

const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-bench-"))
try {
  const path = Path.join(folder, "audit")
  await make(path)
  const segments = Fs.readdirSync(Path.join(path, "journal"))
  const bytes = segments.reduce((sum, name) => sum + Fs.statSync(Path.join(path, "journal", name)).size, 0)
  console.log(
    `${count.toLocaleString("en")} records, ${Math.round(bytes / 2 ** 20)} MiB, ${segments.length} segments, Node ${process.version}`
  )
  const each = async (work: (line: Buffer) => void): Promise<void> => {
    for await (const { lines } of folderReader(path).records()) for (const line of lines) work(line)
  }
  const parse = await seconds(() => each((line) => void JSON.parse(line.toString("utf8"))))
  say("JSON.parse of each line", parse)
  const hash = await seconds(() => each((line) => void Crypto.hash("sha256", line, "binary")))
  say("SHA-256 of each line", hash)
  const main = Path.join(import.meta.dirname, "../../src/cli/main.ts")
  let memory = 0
  const verify = await seconds(async () => {
    const report = "data:text/javascript,process.on('exit',()=>process.send(process.resourceUsage().maxRSS))"
    const child = ChildProcess.spawn(process.execPath, ["--import", report, main, "audit", "verify", path], {
      stdio: ["ignore", "inherit", "inherit", "ipc"]
    })
    child.on("message", (kibibytes) => (memory = Number(kibibytes) / 1024))
    const status = await new Promise((resolve) => child.on("exit", resolve))
    if (status !== 0) throw new Error(`audit verify exits with ${String(status)}`)
  })
  say("secure-openai audit verify", verify, `, ${Math.round(memory)} MiB at most`)
  console.log(`that is ${(verify / (parse + hash)).toFixed(2)} times both together`)
} finally {
  Fs.rmSync(folder, { recursive: true, force: true })
}
