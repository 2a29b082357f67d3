/**
 * The command as a process: what `src/cli/main.ts` adds to the function that the other tests call. Its exit codes, its three
 * streams, and its end by a signal.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { nodeFileSystem } from "../../src/audit/folder/Disk.ts"
import { generate } from "../../src/keys/Keys.ts"
import { durable, makeCalls, openJournal, temporaryFolder } from "../audit/logs.ts"
import { main, runSync } from "./Command.ts"

const home = temporaryFolder()
const log = Path.join(home, "audit")
const policies = Path.join(home, "policies.json")
const env = { ...process.env, SECURE_OPENAI_HOME: home, NO_COLOR: "1" }
beforeAll(async () => {
  Fs.writeFileSync(policies, JSON.stringify({ policy_id: "app:x", resources: ["tool:x/**"] }))
  const journal = openJournal({ path: log, named: false, key: generate("log"), disk: nodeFileSystem, opening: [] })
  makeCalls(journal, 2)
  await durable(journal)
  await journal.close()
})
afterAll(() => Fs.rmSync(home, { recursive: true, force: true }))

describe("the process of secure-openai", () => {
  const explain = ["policy", "explain", "--app", "x", "--policies", policies, "--at", "2026-01-15T12:00:00Z", "-"]
  const cases: ReadonlyArray<readonly [what: string, args: ReadonlyArray<string>, input: string, status: number]> = [
    ["a log that holds", ["audit", "verify"], "", 0],
    ["standard input that is read", explain, '{"model":"gpt-4o","messages":[]}', 0],
    [
      "a token that is refused",
      ["identity", "explain", "--issuer", "https://a.test", "--audience", "x", "-"],
      "a.b.c",
      1
    ],
    ["a home without keys", ["keys", "list", "--home", Path.join(home, "nothing")], "", 2],
    ["an unknown command", ["audit", "verified"], "", 2]
  ]
  it.each(cases)("prints and ends as its function does, for %s", (_, args, input, status) => {
    const ended = ChildProcess.spawnSync(process.execPath, [main, ...args], { cwd: home, env, input, encoding: "utf8" })
    assert.strictEqual(ended.status, status, ended.stderr)
    assert.notStrictEqual(ended.stdout + ended.stderr, "")
    assert.deepStrictEqual(
      { status: ended.status, stdout: ended.stdout, stderr: ended.stderr },
      runSync(args, { cwd: home, env, input })
    )
  })

  it("ends with 130 where its user stops it", async () => {
    const child = ChildProcess.spawn(process.execPath, [main, "audit", "tail", "-f", log], { env })
    await once(child.stdout, "data")
    child.kill("SIGINT")
    assert.deepStrictEqual(await once(child, "exit"), [130, null])
  })
})
