/**
 * Every command, over logs, policies, tokens and keys that hold what a terminal would obey or a reader would not see: nothing
 * of it comes out, neither for people nor as JSON, and JSON says the same as it was.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { nodeFileSystem } from "../../src/audit/folder/Disk.ts"
import { run as runCommand } from "../../src/cli/Program.ts"
import { generate } from "../../src/keys/Keys.ts"
import { unseen } from "../../src/base/Text.ts"
import { testIssuer } from "../../src/testing/index.ts"
import { decision, durable, openJournal, outcome, temporaryFolder } from "../audit/logs.ts"

/** A title, a colour, a C1 control, a right-to-left override, nothing at all (U+200B, U+E0062), a line of its own. */
const hostile = "x\u001b]0;t\u0007\u001b[31m\u009b2J\u202egnp\u2066\u200b\u00ad\u{e0062}\u2028\u0085\u061c"
const forgedLine = `${hostile}\n0 errors, 0 warnings`

const folder = temporaryFolder()
const at = (name: string) => Path.join(folder, name)
const log = at(`audit-\u202e\u200b`)
const write = (name: string, content: string): string => {
  Fs.writeFileSync(at(name), content)
  return at(name)
}

/** What a command prints, and its error. */
const run = async (...args: ReadonlyArray<string>): Promise<{ readonly out: string; readonly failed: unknown }> => {
  const lines: Array<string> = []
  const take = (...said: ReadonlyArray<unknown>) => void lines.push(said.map(String).join(" "))
  const console = { ...globalThis.console, log: take, error: take }
  const exit = await runCommand(args).pipe(Effect.provideService(Console.Console, console), Effect.runPromiseExit)
  return { out: lines.join("\n"), failed: Exit.isFailure(exit) ? exit.cause : undefined }
}

const header = (claims: object) => Buffer.from(JSON.stringify(claims)).toString("base64url")
const receipt = `${header({ alg: "Ed25519", typ: "soai-receipt+jwt", kid: forgedLine })}.${header({ call: "c", leaf: 1 })}.${"A".repeat(86)}`
const token = `${header({ alg: "ES256", typ: "at+jwt", kid: hostile })}.${header({ iss: testIssuer.issuer, sub: hostile })}.${"A".repeat(86)}`

beforeAll(async () => {
  const journal = openJournal({ path: log, named: true, key: generate("log"), disk: nodeFileSystem, opening: [] })
  const seen = {
    ...decision("call"),
    app: hostile,
    tool: `tool:${hostile}/generate`,
    principal: { kind: "user" as const, id: hostile, documents: [`team:${hostile}`] },
    model: hostile,
    endpoint: `POST https://host/${hostile}`,
    kid: hostile,
    policies: [hostile],
    asked: [{ path: "model", value: JSON.stringify(hostile) }],
    observed: {
      edits: [{ path: hostile, from: JSON.stringify(hostile), to: JSON.stringify(hostile), policy: hostile }],
      policies: [hostile],
      rev: hostile,
      verdict: "deny" as const,
      violations: [{ code: hostile, path: hostile, policy: hostile }]
    }
  }
  const appended = journal.append(seen)
  assert.isTrue(appended._tag === "Success")
  if (appended._tag === "Success") journal.append({ ...outcome("call", appended.success), error: hostile } as never)
  journal.append({ kind: "policy.rejected", rev: hostile, reason: forgedLine })
  await durable(journal)
  await journal.close()
  write(
    "policies.json",
    JSON.stringify([
      {
        policy_id: "user:ana",
        resources: [`tool:${hostile}/x`, "tool:*"],
        constraints: { parameters: { "tool:a/generate": { model: [hostile], [hostile]: { min: 3 } } } }
      }
    ])
  )
  write("broken.json", JSON.stringify([{ policy_id: "user:ana", [hostile]: 1, resources: [[hostile]] }]))
  write(
    "request.json",
    JSON.stringify({ model: hostile, [hostile]: 2, messages: [{ role: "user", content: hostile }] })
  )
  write(
    "cases.json",
    JSON.stringify({
      policies: [{ policy_id: "user:ana" }],
      cases: [
        {
          id: hostile,
          service: hostile,
          caller: { name: "ana" },
          params: { model: hostile },
          expect: { verdict: "allow", codes: [] }
        }
      ]
    })
  )
  write("issuers.json", JSON.stringify({ ...testIssuer, audience: "x" }))
})
afterAll(() => Fs.rmSync(folder, { recursive: true, force: true }))

const policies = at("policies.json")
/** Commands with and without `--json`; the first has output, whatever it finds. */
const commands: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
  ["audit verify", [log]],
  ["audit verify --json", [log]],
  ["audit show", ["1", log]],
  ["audit show --json", ["1", log]],
  ["audit tail", [log]],
  ["audit tail --json", [log]],
  ["audit receipt", [receipt, log]],
  ["audit check-proof", [at("request.json"), "--record", at("request.json"), "--key", `${hostile}+00000000+AAAA`]],
  ["audit prove", ["1", at(hostile)]],
  ["policy lint", [policies]],
  ["policy lint --json", [policies]],
  ["policy lint", [at("broken.json")]],
  ["policy lint --json", [at("broken.json")]],
  ["policy explain", [at("request.json"), "--policies", policies, "--user", "ana", "--app", "a"]],
  ["policy explain --json", [at("request.json"), "--policies", policies, "--user", "ana", "--app", "a"]],
  ["policy explain", [at("request.json"), "--policies", policies, "--user", hostile, "--app", "a"]],
  ["policy effective", ["--policies", policies, "--user", "ana", "--app", "a"]],
  ["policy effective --json", ["--policies", policies, "--user", "ana", "--app", "a"]],
  ["policy diff", [policies, policies, log, "--replay"]],
  ["policy diff --json", [policies, at("policies.json"), log, "--replay"]],
  ["policy report", [log]],
  ["policy report --json", [log]],
  ["policy suggest", [log]],
  ["policy test", [at("cases.json")]],
  ["policy test --json", [at("cases.json")]],
  ["identity explain", [token, "--issuers", at("issuers.json")]],
  ["identity explain --json", [token, "--issuers", at("issuers.json")]],
  ["keys list", ["--home", at(hostile)]],
  ["keys list --json", ["--home", at(hostile)]],
  ["keys export", ["--home", at(hostile)]],
  ["keys list", [`--${hostile}`, "--home"]],
  ["keys", [hostile]]
]

const keyOf = async (): Promise<string> =>
  JSON.parse((await run("audit", "show", "0", log, "--json")).out.split("\n")[0] ?? "").vkey

const leaks = (text: string): ReadonlyArray<string> =>
  [...text].filter((character) => character !== "\n" && unseen.test(character))

describe("what a command prints", () => {
  it.each(commands)("%s", async (command, args) => {
    const { out } = await run(
      ...command.split(" ").filter((word) => word !== "--json"),
      ...args,
      ...(command.endsWith("--json") ? ["--json"] : [])
    )
    assert.isAbove(out.length, 10)
    assert.deepStrictEqual(leaks(out), [])
    assert.notMatch(out, /^0 errors, 0 warnings/mu)
  })

  it("is the same record, as JSON", async () => {
    const { out } = await run("audit", "show", "1", log, "--json")
    const [record = ""] = out.split("\n")
    const { app, kid, model } = JSON.parse(record) as Record<string, unknown>
    assert.deepStrictEqual([app, kid, model], [hostile, hostile, hostile])
    const { out: proof } = await run("audit", "prove", "1", log)
    const vkey = await keyOf()
    const proven = await run(
      "audit",
      "check-proof",
      write("proof", `${proof}\n`),
      "--record",
      write("record", record),
      "--key",
      vkey
    )
    assert.match(proven.out, /^proven: record 1 /u)
    const forged = write("forged", record.replace('"verdict":"allow"', '"verdict":"deny"'))
    const { out: refused } = await run("audit", "check-proof", at("proof"), "--record", forged, "--key", vkey)
    assert.match(refused, /^NOT PROVEN/u)
  })

  it("leaves by one door", () => {
    const sources = Fs.readdirSync(Path.join(import.meta.dirname, "../../src/cli"), {
      recursive: true,
      encoding: "utf8"
    })
    const doors = sources.filter(
      (file) =>
        file.endsWith(".ts") &&
        /effect\/Console|console\.|stdout\.write|stderr\.write/u.test(
          Fs.readFileSync(Path.join(import.meta.dirname, "../../src/cli", file), "utf8")
        )
    )
    assert.deepStrictEqual(doors, ["Output.ts"])
  })
})
