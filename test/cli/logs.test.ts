/**
 * Commands over the logs of a home: each worker writes one, and whoever asks need not know which. In this process; how a command
 * ends stands for its exit code.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Command from "effect/cli/Command"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { vi } from "vitest"
import { parseVerifierKeys } from "../../src/audit/proof/Checkpoint.ts"
import { nodeFileSystem } from "../../src/audit/folder/Disk.ts"
import { checkProof } from "../../src/audit/proof/InclusionProof.ts"
import { byTime } from "../../src/audit/Lines.ts"
import type { Line } from "../../src/audit/Log.ts"
import { CannotRun, CheckFailed } from "../../src/cli/Ending.ts"
import { StandardInput } from "../../src/cli/Input.ts"
import { platform } from "../../src/cli/Program.ts"
import { reported, root } from "../../src/cli/Root.ts"
import { SecureOpenAI, Workspace } from "../../src/index.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"
import { unseen } from "../../src/base/Text.ts"
import { key, makeCalls, openJournal, temporaryFolder } from "../audit/logs.ts"
import { startProvider } from "../e2e/Provider.ts"

const begin = (command: "audit" | "policy", args: ReadonlyArray<string>, input = "") => {
  const out: Array<string> = []
  const errors: Array<string> = []
  const to =
    (lines: Array<string>) =>
    (...said: ReadonlyArray<unknown>) =>
      void lines.push(said.map(String).join(" "))
  const console = { ...globalThis.console, log: to(out), error: to(errors) }
  const effect = Command.runWith(root, { version: "0" })([command, ...args]).pipe(
    reported,
    Effect.provideService(Console.Console, console),
    Effect.provideService(StandardInput, () => input),
    Effect.provide(platform)
  )
  return { effect, errors, out }
}

const codeOf = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit)) return 0
  const error = Cause.squash(exit.cause)
  if (error instanceof CheckFailed) return 1
  assert.instanceOf(error, CannotRun)
  return 2
}

const run = (...args: ReadonlyArray<string>) => runOf("audit", args)

const runOf = async (command: "audit" | "policy", args: ReadonlyArray<string>, input?: string) => {
  const { effect, errors, out } = begin(command, args, input)
  const code = codeOf(await Effect.runPromiseExit(effect))
  return { code, out: out.join("\n"), errors: errors.join("\n") }
}

const folder = temporaryFolder()
const home = Path.join(folder, "home")
const at = (name: string) => Path.join(home, name)

/** What a call of a worker left: its log, its receipt, and where it is. */
interface Called {
  readonly log: string
  readonly origin: string
  readonly receipt: string
  readonly call: string
  readonly index: number
}

/** A worker: some calls, of users too, and what anybody may send. */
const work = async (log: string, url: string): Promise<Called> => {
  const workspace = new Workspace({
    home: Path.dirname(log),
    audit: { path: log },
    issuers: testIssuer,
    policies: [
      { policy_id: "app:app", resources: ["**"] },
      { policy_id: "user:alice", resources: ["**"] }
    ]
  })
  const client = new SecureOpenAI({ appName: "app", apiKey: "k", baseURL: url, maxRetries: 0, workspace })
  const alice = await client.asUser(mintToken())
  const ask = { model: "gpt-4", messages: [{ role: "user" as const, content: "hi" }] }
  await client.chat.completions.create(ask)
  const receipt = SecureOpenAI.receipt(await alice.chat.completions.create(ask))
  await client.asUser("x").catch(() => undefined)
  const { log: health } = await workspace.health()
  await workspace.close()
  if (receipt === undefined || health.origin === undefined) throw new Error("there is no receipt")
  return { log, origin: health.origin, receipt: receipt.jws, call: receipt.call, index: receipt.index }
}

let first: Called
let second: Called
let foreign: Called

beforeAll(async () => {
  const provider = await startProvider()
  Fs.mkdirSync(home)
  first = await work(at("audit"), provider.url)
  second = await work(at("audit-2"), provider.url)
  foreign = await work(Path.join(folder, "elsewhere", "audit"), provider.url)
  await provider.close()
  vi.stubEnv("SECURE_OPENAI_HOME", home)
  vi.stubEnv("NO_COLOR", "1")
})
afterAll(() => {
  vi.unstubAllEnvs()
  Fs.rmSync(folder, { recursive: true, force: true })
})

const both = (): ReadonlyArray<Called> => [first, second]

const recordsOf = (log: string): ReadonlyArray<{ readonly seq: number; readonly kind: string; readonly ts: number }> =>
  Fs.readFileSync(Path.join(log, "journal", "00000000000000000000.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))

describe("audit receipt", () => {
  it("finds the log that a receipt is of, among the home's and beside a log that was named", async () => {
    for (const { call, receipt } of both())
      for (const args of [[receipt], [receipt, at("audit")], [receipt, at("audit-2")], [receipt, "--json"]]) {
        const { code, errors, out } = await run("receipt", ...args)
        assert.deepStrictEqual([code, errors], [0, ""])
        assert.include(out, call)
      }
  })

  it("of a log that is not here cannot be verified: it is not forged", async () => {
    for (const more of [[], ["--json"], [at("audit-2")]]) {
      const { code, errors, out } = await run("receipt", foreign.receipt, ...more)
      assert.deepStrictEqual([code, out], [2, ""])
      assert.include(errors, `The log ${foreign.origin} is not here`)
      assert.include(errors, at("audit-2"))
    }
    assert.strictEqual((await run("receipt", foreign.receipt, foreign.log)).code, 0)
    assert.strictEqual((await run("receipt", foreign.receipt, foreign.origin)).code, 2)
  })

  it("that was changed does not hold, and neither does what is none", async () => {
    for (const { receipt } of both()) {
      const [header = "", claims = "", signature = ""] = receipt.split(".")
      const changed = { ...JSON.parse(Buffer.from(claims, "base64url").toString()), sub: "mallory" }
      const forged = [header, Buffer.from(JSON.stringify(changed)).toString("base64url"), signature].join(".")
      assert.strictEqual((await run("receipt", forged)).code, 1)
    }
    const file = at("garbage.jws")
    Fs.writeFileSync(file, "no receipt")
    assert.strictEqual((await run("receipt", file)).code, 1)
    Fs.rmSync(file)
  })

  it.each([["missing-file.jws"], ["missing.file.jws"], ["no receipt"], [""]])(
    "that is neither a file nor a receipt is no forged one: %j",
    async (name) => {
      for (const more of [[], ["--json"], ["--jwk", "/nowhere"]]) {
        const { code, errors, out } = await run("receipt", name, ...more)
        assert.deepStrictEqual([code, out], [2, ""])
        assert.include(errors, "is neither a file nor a receipt: there is no such file")
      }
    }
  )

  it("is read from standard input by -", async () => {
    for (const [text, expected] of [
      [`${first.receipt}\n`, 0],
      [`${first.receipt}x\n`, 1],
      ["no receipt", 1]
    ] as const)
      assert.strictEqual((await runOf("audit", ["receipt", "-"], text)).code, expected)
  })

  it("is found where another log of the home cannot be read", async () => {
    Fs.writeFileSync(at("audit-7"), "no folder")
    try {
      assert.strictEqual((await run("receipt", second.receipt)).code, 0)
      const { code, errors } = await run("receipt", foreign.receipt)
      assert.strictEqual(code, 2)
      assert.include(errors, `The log at ${at("audit-7")} cannot be read`)
    } finally {
      Fs.rmSync(at("audit-7"))
    }
  })
})

describe("audit show and prove", () => {
  it("find a call in whichever log it is", async () => {
    for (const { call, index, log } of both()) {
      const { code, out } = await run("show", call)
      assert.strictEqual(code, 0)
      assert.match(out, new RegExp(`^In ${log}:\n${index} .*decision.*user:alice of ${testIssuer.issuer} allow`))
      assert.match(out, /The same call:\n\d+ .*outcome/)
      const json = await run("show", call, "--json")
      assert.deepStrictEqual(
        json.out.split("\n").map((line) => JSON.parse(line).call),
        [call, call]
      )
      assert.isTrue(
        Fs.readFileSync(Path.join(log, "journal", "00000000000000000000.jsonl"), "utf8").includes(
          json.out.split("\n")[0] ?? ""
        )
      )
    }
  })

  it("prove a call by the log that has it", async () => {
    for (const { call, index, log, origin } of both())
      for (const args of [[call], [String(index), origin], [String(index), log]]) {
        const proof = await run("prove", ...args)
        assert.strictEqual(proof.code, 0, proof.errors)
        const line = (await run("show", call, "--json")).out.split("\n")[0] ?? ""
        const keys = parseVerifierKeys(Fs.readFileSync(Path.join(log, "vkey"), "utf8"))
        if (keys._tag === "Failure") throw new Error(keys.failure)
        assert.deepInclude(checkProof(`${proof.out}\n`, Buffer.from(line), keys.success), { _tag: "Success" })
      }
  })

  it.each(["show", "prove"])(
    "%s takes no index that might be of another log, and none that is nowhere",
    async (command) => {
      const several = await run(command, "3")
      assert.deepStrictEqual([several.code, several.out], [2, ""])
      for (const { log, origin } of both()) assert.include(several.errors, `${log} (${origin})`)
      assert.strictEqual((await run(command, "3", second.origin)).code, 0)
      for (const args of [["999", at("audit")], ["no-such-call"], [foreign.call], ["3", foreign.origin]]) {
        const { code, errors, out } = await run(command, ...args)
        assert.deepStrictEqual([code, out], [2, ""], args.join(" "))
        assert.notStrictEqual(errors, "")
      }
    }
  )

  it("show takes an index where there is one log", async () => {
    vi.stubEnv("SECURE_OPENAI_HOME", Path.join(folder, "elsewhere"))
    try {
      const { code, out } = await run("show", String(foreign.index))
      assert.strictEqual(code, 0)
      assert.match(out, /^\d+ .*decision/)
    } finally {
      vi.stubEnv("SECURE_OPENAI_HOME", home)
    }
  })
})

describe("audit tail", () => {
  it("merges the home's logs by time, and says which log each line is of", async () => {
    const { code, out } = await run("tail", "--json")
    assert.strictEqual(code, 0)
    const found = out.split("\n").map((line) => JSON.parse(line))
    const expected = both()
      .flatMap(({ log }) => recordsOf(log).map((record) => ({ ...record, log })))
      .sort((a, b) => a.ts - b.ts)
      .slice(-10)
    assert.deepStrictEqual(found, expected)
    const words = (await run("tail")).out.split("\n")
    assert.deepStrictEqual(
      words.map((line) => line.split("  ")[0]),
      expected.map(({ log }) => Path.basename(log))
    )
  })

  it("of one log says nothing of it, and gives its lines as they are", async () => {
    for (const name of [second.log, second.origin]) {
      const { out } = await run("tail", "--json", name)
      assert.isTrue(
        Fs.readFileSync(Path.join(second.log, "journal", "00000000000000000000.jsonl"), "utf8").endsWith(`${out}\n`)
      )
      assert.match((await run("tail", name)).out.split("\n").at(-1) ?? "", /^\d+ .*log.close/)
    }
  })

  it("names the issuer of a user, and what was refused of nobody", async () => {
    const { out } = await run("tail", second.log)
    assert.match(out, new RegExp(`decision +user:alice of ${testIssuer.issuer} allow tool:app/generate`))
    assert.match(out, /refused.many +1 requests whose token has no verified signature: malformed 1$/m)
  })

  it("-f goes on over all logs, one that is made meanwhile too", async () => {
    const provider = await startProvider()
    const { effect, out } = begin("audit", ["tail", "-f", "--json"])
    const fiber = Effect.runFork(effect)
    try {
      await vi.waitFor(() => assert.lengthOf(out, 10), { timeout: 30_000 })
      const third = await work(at("audit-3"), provider.url)
      await work(at("audit"), provider.url)
      const closes = () => out.slice(10).filter((line) => JSON.parse(line).kind === "log.close").length
      await vi.waitFor(() => assert.strictEqual(closes(), 2), { timeout: 30_000 })
      const of = (log: string) =>
        out.flatMap((line) => {
          const { log: its, seq } = JSON.parse(line)
          return its === log ? [seq] : []
        })
      const whole = recordsOf(third.log).map(({ seq }) => seq)
      assert.deepStrictEqual(of(third.log), whole)
      assert.deepStrictEqual(new Set(of(first.log)).size, of(first.log).length)
      assert.strictEqual(of(first.log).at(-1), recordsOf(first.log).length - 1)
    } finally {
      await Effect.runPromise(Fiber.interrupt(fiber))
      await provider.close()
      Fs.rmSync(at("audit-3"), { recursive: true, force: true })
    }
  })

  it("cannot run where there is no log", async () => {
    const { code, errors } = await run("tail", at("nothing"))
    assert.strictEqual(code, 2)
    assert.include(errors, at("nothing"))
  })
})

describe("audit verify", () => {
  const reports = (
    out: string
  ): ReadonlyArray<{ readonly path: string; readonly ok: boolean; readonly error?: string }> =>
    out === "" ? [] : out.split("\n").map((line) => JSON.parse(line))

  it("takes several logs, by folder and by origin, each once, and without any all of the home", async () => {
    for (const [args, logs] of [
      [
        [first.log, second.log],
        [first.log, second.log]
      ],
      [
        [second.origin, first.log, second.log],
        [second.log, first.log]
      ],
      [
        [foreign.log, second.log, first.log],
        [foreign.log, second.log, first.log]
      ],
      [[], [first.log, second.log]]
    ] as const) {
      const { code, out } = await run("verify", ...args, "--json")
      assert.strictEqual(code, 0)
      assert.deepStrictEqual(
        reports(out).map(({ ok, path }) => [path, ok]),
        logs.map((log) => [log, true])
      )
    }
  })

  it("ends as the worst of them does, and tells of each", async () => {
    const changed = Path.join(folder, "changed")
    Fs.cpSync(second.log, changed, { recursive: true })
    const file = Path.join(changed, "journal", "00000000000000000000.jsonl")
    Fs.writeFileSync(file, Fs.readFileSync(file, "utf8").replace('"model":"gpt-4"', '"model":"gpt-5"'))
    const [nothing, nowhere] = [at("nothing"), at("nowhere")]
    for (const [args, code] of [
      [[first.log, nothing, nowhere], 2],
      [[nothing, changed, nowhere, first.log], 1],
      [[changed], 1]
    ] as const) {
      const json = await run("verify", ...args, "--json")
      assert.strictEqual(json.code, code)
      assert.deepStrictEqual(
        reports(json.out).map(({ error, ok, path }) => [path, ok, error !== undefined]),
        args.map((path) => [path, path === first.log, path === nothing || path === nowhere])
      )
      const words = await run("verify", ...args)
      assert.strictEqual(words.code, code)
      for (const path of args) assert.include(path === nothing || path === nowhere ? words.errors : words.out, path)
    }
    assert.strictEqual((await run("verify", first.log, foreign.origin)).code, 2)
  })
})

describe("what tokens say of themselves", () => {
  const hostile = "x\u001b]0;t\u0007\u001b[31m\u009b2J\u202egnp\u200b\u2028\n0 errors"
  const log = Path.join(folder, "hostile")

  it("is not obeyed by a terminal, and says the same as JSON; who counts calls passes over it", async () => {
    const journal = openJournal({ path: log, named: true, key, disk: nodeFileSystem, opening: [] })
    journal.refusals.add({ code: "issuer", issuer: hostile, kid: hostile })
    journal.refusals.add({ code: "malformed" })
    journal.refusals.write()
    makeCalls(journal, 1)
    await journal.close()
    for (const args of [["tail"], ["show", "1"], ["tail", "--json"], ["show", "1", "--json"], ["verify"]]) {
      const { code, out } = await run(...args, log)
      assert.strictEqual(code, 0)
      for (const line of out.split("\n")) assert.notMatch(line, unseen)
      if (args.includes("--json"))
        assert.deepInclude(JSON.parse(out.split("\n").find((line) => line.includes("refused.many")) ?? ""), {
          count: 2,
          samples: [{ iss: hostile, kid: hostile }]
        })
    }
    assert.include(
      (await run("tail", log)).out,
      "2 requests whose token has no verified signature: issuer 1, malformed 1; they name issuer x"
    )
    const suggested = await runOf("policy", ["suggest", log])
    assert.deepStrictEqual([suggested.code, suggested.errors], [0, ""])
    assert.deepStrictEqual(
      JSON.parse(suggested.out).map(({ policy_id }: { readonly policy_id: string }) => policy_id),
      ["user:alice"]
    )
  })
})

describe("lines of several logs", () => {
  const line = (index: number, ts: number | undefined): Line => ({
    index,
    text: "",
    record: ts === undefined ? undefined : { v: 1, seq: index, id: "", ts, boot: "", kind: "k" }
  })

  it("are in the order of time, and those of a log in theirs", () => {
    const merged = byTime([
      ["a", [line(0, 10), line(1, undefined), line(2, 5), line(3, 40)]],
      ["b", [line(0, undefined), line(1, 9), line(2, 10), line(3, 30)]]
    ])
    assert.deepStrictEqual(
      merged.map(({ line: { index }, log }) => `${log}${index}`),
      ["b0", "b1", "a0", "a1", "a2", "b2", "b3", "a3"]
    )
  })
})
