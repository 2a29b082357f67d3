import { afterAll, assert, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Util from "node:util"
import { main, runSync } from "./Command.ts"

const root = Path.join(import.meta.dirname, "../..")
const examples = Path.join(root, "examples/policies")
const home = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-policy-"))
afterAll(() => Fs.rmSync(home, { recursive: true, force: true }))

interface Options {
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
}

// What Node decides colours by, and where policies are looked for, is the tests' own.
const outside = /^(CI|COLORTERM|FORCE_COLOR|GITHUB_ACTIONS|NO_COLOR|NODE_DISABLE_COLORS|SECURE_OPENAI_.*|TERM)$/u
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !outside.test(name)))

const runWith = ({ env = {}, input = "" }: Options, ...args: ReadonlyArray<string>) =>
  runSync(["policy", ...args], { cwd: home, env: { ...environment, ...env }, input })

const run = (...args: ReadonlyArray<string>) => runWith({}, ...args)

const write = (name: string, value: unknown): string => {
  const path = Path.join(home, name)
  Fs.mkdirSync(Path.dirname(path), { recursive: true })
  Fs.writeFileSync(path, typeof value === "string" ? value : JSON.stringify(value, null, 2))
  return name
}

const chat = write("chat.json", { model: "gpt-4o", messages: [], max_tokens: 9000 })
const refused = write("refused.json", { model: "gpt-4o", messages: [], store: true, temperature: "hot" })
const pay = write("pay.json", { amount: 20_000, currency: "EUR" })
const asAlice = ["--user", "alice", "--app", "assistant", "--policies", examples]
const asBob = ["--user", "bob", "--app", "assistant", "--operation", "wire_transfer", "--policies", examples]

write(
  "bad/a.json",
  `{
  "policy_id": "user:alice",
  "resorces": ["**"],
  "attestations": ["boss::{params.amount = 5}"]
}`
)
write("warned/a.json", { policy_id: "user:alice", resources: ["tool:*"] })

describe("secure-openai policy lint", () => {
  it("finds nothing in good policies, and exits with 0", () => {
    assert.deepStrictEqual(run("lint", examples, "--deny-warnings"), {
      status: 0,
      stdout: [
        `${examples}/company.json:7:5  note  rate_limit_per_process  company:Acme`,
        `  calls are counted in the log of each process: several processes allow as many times as much`,
        `  at constraints.rate_limit`,
        `  7 |     "rate_limit": 600,`,
        `    |     ^`,
        `  hint  divide the limit by the number of processes, or enforce it at a gateway as well`,
        ``,
        `0 errors, 0 warnings, 1 note in 6 policies of ${examples}`,
        ``
      ].join("\n"),
      stderr: ""
    })
  })

  it("shows errors with their place, the line and a caret, and exits with 1", () => {
    const { status, stderr, stdout } = run("lint", "bad")
    assert.strictEqual(status, 1)
    assert.strictEqual(stderr, "")
    assert.strictEqual(
      stdout,
      [
        `bad/a.json:3:3  error  unknown_key  user:alice`,
        `  unknown key "resorces"; did you mean "resources"?`,
        `  3 |   "resorces": ["**"],`,
        `    |   ^`,
        ``,
        `bad/a.json:4:20  error  invalid_value  user:alice`,
        `  the condition of boss cannot be read: unexpected "=" at character 15`,
        `  at attestations[0]`,
        `  4 |   "attestations": ["boss::{params.amount = 5}"]`,
        `    |                                          ^`,
        ``,
        `2 errors, 0 warnings in bad`,
        ``
      ].join("\n")
    )
  })

  it("shows warnings with a hint, and exits with 1 only where they are denied", () => {
    const { status, stdout } = run("lint", "warned")
    assert.strictEqual(status, 0)
    assert.include(stdout, `warned/a.json:4:5  warning  matches_nothing  user:alice\n`)
    assert.include(stdout, `  hint  did you mean "tool:**"?\n`)
    assert.include(stdout, `0 errors, 1 warning in 1 policy of warned\n`)
    assert.strictEqual(run("lint", "warned", "--deny-warnings").status, 1)
  })

  it("prints JSON alone with --json", () => {
    const report = JSON.parse(run("lint", "bad", "--json").stdout)
    assert.deepInclude(report, { path: "bad", errors: 2, warnings: 0 })
    assert.deepStrictEqual(report.findings[0], {
      severity: "error",
      code: "unknown_key",
      message: `unknown key "resorces"; did you mean "resources"?`,
      path: "",
      policy: "user:alice",
      file: "bad/a.json",
      line: 3,
      column: 3
    })
    assert.deepInclude(JSON.parse(run("lint", "warned", "--json").stdout), { policies: 1, errors: 0, warnings: 1 })
  })

  it("reads SECURE_OPENAI_POLICIES, else ./policies", () => {
    assert.strictEqual(runWith({ env: { SECURE_OPENAI_POLICIES: "bad" } }, "lint").status, 1)
    assert.match(run("lint").stderr, /^There are no policies at \.\/policies, the default: .*\n$/)
    assert.match(
      runWith({ env: { SECURE_OPENAI_POLICIES: "x" } }, "lint").stderr,
      /^There are no policies at x, which SECURE_OPENAI_POLICIES names\.\n$/
    )
  })
})

describe("secure-openai policy explain", () => {
  it("shows the edits, by whom", () => {
    const { status, stdout } = run("explain", ...asAlice, "--at", "2026-01-15T12:00:00Z", chat)
    assert.strictEqual(status, 0)
    assert.strictEqual(
      stdout,
      [
        `ALLOW WITH 2 EDITS  tool:assistant/generate for user:alice`,
        ``,
        `  judged at  2026-01-15T12:00:00.000Z`,
        `  took part  user:alice, team:Support, company:Acme, app:assistant`,
        ``,
        `  edit        from         to             by`,
        `  model       "gpt-4o"  →  "gpt-4o-mini"  user:alice`,
        `  max_tokens  9000      →  500            user:alice`,
        ``
      ].join("\n")
    )
  })

  it("shows every violation with its bound, and exits with 0 unless --exit-code is given", () => {
    const { status, stdout } = run("explain", ...asAlice, refused)
    assert.strictEqual(status, 0)
    assert.match(stdout, /^DENY {2}tool:assistant\/generate for user:alice\n/)
    assert.match(stdout, /\n {2}violation +parameter +asked +bound +set by\n/)
    assert.match(stdout, /\n {2}wrong_type +temperature +"hot" +a number +company:Acme\n/)
    assert.match(stdout, /\n {2}value_not_allowed +store +true +\[false\] +company:Acme\n/)
    assert.match(stdout, /\n {2}wrong_type {2}temperature is "hot", which is not a number, set by company:Acme\n/)
    assert.strictEqual(run("explain", ...asAlice, refused, "--exit-code").status, 1)
    assert.strictEqual(run("explain", ...asAlice, chat, "--exit-code").status, 0)
  })

  it("knows attestations, tools and hints", () => {
    const { stdout } = run("explain", ...asBob, pay)
    assert.match(stdout, /^DENY {2}tool:assistant\/wire_transfer for user:bob\n/)
    assert.match(stdout, /\n +hint {2}log in with a passkey or a security key\n/)
    assert.match(run("explain", ...asBob, "--attestation", "phishing_resistant", pay).stdout, /^ALLOW {2}/)
  })

  it("says which parameter is absent where something refuses because of that", () => {
    const { stdout } = runWith({ input: `{"currency": "EUR"}` }, "explain", ...asBob, "-")
    assert.match(stdout, /\n {2}required +amount +absent +required +team:Finance\n/)
    assert.match(
      stdout,
      /\n {2}attestation_missing +phishing_resistant +params\.amount absent +params\.amount > 10000 /
    )
    assert.match(stdout, /params\.amount is absent, and without it it is needed\n/)
    assert.match(stdout, /hint {2}pass amount, or log in with a passkey/)
  })

  it("judges the app in its own name, and what passes through by its name", () => {
    const asApp = ["--app", "assistant", "--policies", examples]
    assert.match(run("explain", ...asApp, chat).stdout, /^ALLOW WITH 1 EDIT {2}.* for app:assistant\n/)
    assert.match(run("explain", ...asApp, "--operation", "api:assistant/batches", chat).stdout, /^DENY .*\n/)
    assert.match(run("explain", ...asApp, "--operation", "api:assistant/files", chat).stdout, /^ALLOW .*\n/)
    assert.match(
      run("explain", "--user", "alice", ...asApp, "--operation", "api:assistant/responses", chat).stdout,
      /resource_not_allowed/
    )
  })

  it("takes part with what a token says", () => {
    const carol = ["--user", "carol", "--team", "Support", "--company", "Acme", "--role", "none", ...asAlice.slice(2)]
    const { stdout } = runWith({ input: `{"model":"gpt-4o-mini","messages":[]}` }, "explain", ...carol, "-")
    assert.include(stdout, "took part  team:Support, company:Acme, app:assistant")
    assert.match(stdout, /max_tokens +absent +→ +1000 +team:Support/)
  })

  it("gives a linter's hints for the documents that took part, and for one that differs in case", () => {
    const parameters = { "tool:my-app/generate": { max_token: { max: 5 } }, "tool:my-app/pay": { amout: { max: 5 } } }
    const file = write("hinted.json", [
      { policy_id: "company:Acme", resources: ["tool:my-app/**"], constraints: { rate_limit: 5 } },
      { policy_id: "team:Lab", extends: "company:Acme", constraints: { parameters } },
      { policy_id: "user:bob", constraints: { parameters } }
    ])
    const asked = ["--policies", file, "--user", "Bob", "--team", "Lab", "--app", "my-app", chat]
    const { stdout } = run("explain", ...asked)
    assert.match(stdout, /took part +team:Lab, company:Acme\n/)
    assert.match(stdout, /\n {2}no document is for user:Bob, and user:bob differs from it in case only\n/)
    assert.match(stdout, /hinted\.json:\d+:\d+ {2}warning {2}unknown_parameter {2}team:Lab\n/)
    assert.match(stdout, /\n {2}hint {2}did you mean "max_tokens"\?\n$/)
    assert.notMatch(stdout, /amout|rate_limit_per_process/)
    const { hints } = JSON.parse(run("explain", ...asked, "--json").stdout)
    assert.deepStrictEqual(
      hints.map(({ code, policy }: { readonly code: string; readonly policy: string }) => [code, policy]),
      [
        ["case_differs", "user:bob"],
        ["unknown_parameter", "team:Lab"]
      ]
    )
  })

  it("says what a downgrade leaves out", () => {
    const asked = JSON.stringify({ model: "gpt-5", messages: [], max_completion_tokens: 9, reasoning_effort: "low" })
    const { stdout } = runWith({ input: asked }, "explain", ...asAlice, "--at", "2026-01-15T12:00:00Z", "-")
    assert.match(stdout, /reasoning_effort +"?low"? +→ +taken out +user:alice/u)
  })

  it("prints the decision of mapl §7 with --json, and no more", () => {
    const judgement = JSON.parse(run("explain", ...asAlice, chat, "--json").stdout)
    assert.deepStrictEqual(judgement, {
      verdict: "allow",
      resource: "tool:assistant/generate",
      principal: "user:alice",
      policies: ["user:alice", "team:Support", "company:Acme", "app:assistant"],
      violations: [],
      edits: [
        { path: "model", from: "gpt-4o", to: "gpt-4o-mini", policy: "user:alice" },
        { path: "max_tokens", from: 9000, to: 500, policy: "user:alice" }
      ]
    })
    const { violations } = JSON.parse(run("explain", ...asBob, pay, "--json").stdout)
    assert.hasAllKeys(violations[0], ["code", "path", "policy", "constraint", "message", "hint"])
  })

  it("names the approvals that a request waits for, each with what it is bound to", () => {
    const policies = write("pending.json", {
      policy_id: "user:pam",
      resources: ["tool:my-app/pay"],
      attestations: ["second::{params.amount > 1000}"],
      constraints: { attestations: { second: { approval_criteria: "role:treasurer" } } }
    })
    const request = write("payment.json", { amount: 9000 })
    const asked = ["--policies", policies, "--user", "pam", "--app", "my-app", "--operation", "pay", request]
    const { approvals, verdict } = JSON.parse(run("explain", ...asked, "--json").stdout)
    assert.strictEqual(verdict, "pending")
    assert.match(approvals[0].digest, /^sha-256:[\w-]{43}$/u)
    assert.match(run("explain", ...asked).stdout, new RegExp(`second +role:treasurer +${approvals[0].digest}\n`, "u"))
  })

  it("has colours on a terminal, none in a pipe", () => {
    const plain = run("explain", ...asAlice, refused).stdout
    assert.notInclude(plain, "\u001B")
    const coloured = runWith({ env: { FORCE_COLOR: "1" } }, "explain", ...asAlice, refused).stdout
    assert.include(coloured, "\u001B[31mDENY\u001B[39m")
    const still = (text: string) => text.replace(/judged at .*/u, "")
    assert.strictEqual(still(Util.stripVTControlCharacters(coloured)), still(plain))
    assert.notInclude(runWith({ env: { NO_COLOR: "1" } }, "explain", ...asAlice, refused).stdout, "\u001B")
    assert.notInclude(runWith({ env: { FORCE_COLOR: "1" } }, "explain", ...asAlice, refused, "--json").stdout, "\u001B")
  })

  it.skipIf(ChildProcess.spawnSync("script", ["--version"]).error !== undefined)("fits a terminal", () => {
    const command = [process.execPath, main, "policy", "explain", ...asBob, pay].map((word) => `'${word}'`).join(" ")
    const { stdout } = ChildProcess.spawnSync("script", ["-qec", `stty cols 80; ${command}`, "/dev/null"], {
      cwd: home,
      env: { ...environment, TERM: "xterm-256color" },
      encoding: "utf8"
    })
    assert.include(stdout, "\u001B[31mDENY\u001B[39m")
    const lines = Util.stripVTControlCharacters(stdout).split(/\r?\n/u)
    assert.isAbove(lines.length, 8)
    assert.deepStrictEqual(
      lines.filter((line) => line.length > 80),
      []
    )
  })

  it("lets no text of a request command the terminal", () => {
    const evil = write("evil.json", { model: "\u001B[2J\u202E", messages: [] })
    assert.notMatch(run("explain", ...asAlice, evil).stdout, /[\u001B\u202E]/u)
  })
})

describe("secure-openai policy effective", () => {
  it("shows each value with the document that sets it", () => {
    const { status, stdout } = run("effective", ...asAlice)
    assert.strictEqual(status, 0)
    assert.match(stdout, /^tool:assistant\/generate for user:alice {2}may be invoked\n/)
    for (const line of [
      / {2}team:Support +\S*team-support\.json:1:1\n/,
      / {2}company:Acme +\*secret\*\n/,
      / {2}max_tokens +at most 500 +user:alice +or edited\n/,
      / {2}store +one of false +company:Acme +or refused\n/,
      / +together "gpt-4o-mini"\n/,
      / {2}query +"\*DROP TABLE\*" +app:assistant\n/,
      / {2}60 +user:alice\n/
    ])
      assert.match(stdout, line)
  })

  it("says why nothing is allowed, and what attestations are needed", () => {
    assert.match(
      run("effective", "--user", "eve", "--app", "x", "--policies", examples).stdout,
      /refused\n {2}no_policy +no policy is for user:eve\n/
    )
    assert.match(
      run("effective", ...asBob).stdout,
      /Attestations\n {2}phishing_resistant +held already +team:Finance +where params\.amount > 10000 +for tool:\*\/wire_transfer\n/
    )
  })

  it("shows what holds for answers, and whose rule it is", () => {
    const file = Path.join(home, "output.json")
    const output = { "tool:*/generate": { denied: ["secret", { pattern: "a+" }], hold_back: 9, on_response: "deny" } }
    Fs.writeFileSync(file, JSON.stringify({ policy_id: "app:x", resources: ["**"], constraints: { output } }))
    const { stdout } = run("effective", "--app", "x", "--policies", file)
    assert.match(stdout, /Answers.*\n {2}denied +"secret", \{"pattern":"a\+"\} +app:x\n/)
    assert.match(stdout, / {2}on_response +deny +app:x\n {2}hold_back +9 +app:x\n/)
    const summary = JSON.parse(run("effective", "--app", "x", "--policies", file, "--json").stdout)
    assert.deepStrictEqual(summary.output, [
      { pattern: "tool:*/generate", ...output["tool:*/generate"], policy: "app:x" }
    ])
  })

  it("prints JSON alone with --json", () => {
    const summary = JSON.parse(run("effective", ...asAlice, "--json").stdout)
    assert.deepInclude(summary, { principal: "user:alice", resource: "tool:assistant/generate", refused: [] })
    assert.deepStrictEqual(summary.rate_limits, [
      { limit: 60, policy: "user:alice" },
      { limit: 600, policy: "company:Acme" }
    ])
    const model = summary.parameters.find(({ parameter }: { readonly parameter: string }) => parameter === "model")
    assert.deepStrictEqual(model.allowed, ["gpt-4o-mini"])
    assert.deepStrictEqual(
      model.bounds.map(({ policy }: { readonly policy: string }) => policy),
      ["user:alice", "company:Acme", "app:assistant", "user:alice"]
    )
  })
})

describe("secure-openai policy test", () => {
  it("runs the conformance cases", () => {
    const { status, stdout } = run("test", Path.join(root, "test/policy/cases.json"))
    assert.match(stdout, /^\d{3} passed, 0 failed in 1 file\n$/)
    assert.strictEqual(status, 0)
  })

  it("runs a folder's cases against the folder's policies", () => {
    const { status, stdout } = run("test", examples)
    assert.strictEqual(stdout, "7 passed, 0 failed in 1 file\n")
    assert.strictEqual(status, 0)
  })

  const failing = {
    policies: { one: [{ policy_id: "user:a", resources: ["tool:x/**"] }] },
    load_errors: [{ id: "loads after all", policies: [{ policy_id: "user:a" }] }],
    cases: [
      { id: "passes", policies: "one", caller: { name: "a" }, service: "x", expect: { verdict: "allow", edits: {} } },
      { id: "fails", policies: "one", caller: { name: "b" }, service: "x", expect: { verdict: "allow", codes: [] } }
    ]
  }

  it("shows what failed, expected and found, and exits with 1", () => {
    const { status, stdout } = run("test", write("failing.cases.json", failing))
    assert.strictEqual(status, 1)
    assert.match(
      stdout,
      /^✗ loads after all {2}failing\.cases\.json:\d+:\d+\n {2}load {2}expected {2}"an error" {2}found {2}"the policies load"\n/
    )
    assert.match(stdout, /\n✗ fails {2}failing\.cases\.json:\d+:\d+\n/)
    assert.match(stdout, /\n {2}verdict {2}expected {2}"allow" {2}found {2}"deny"\n/)
    assert.match(
      stdout,
      /\n {2}codes +expected {2}\[\] +found {2}\["no_policy"\]\n {2}no_policy: no policy is for user:b\n/
    )
    assert.match(stdout, /\n1 passed, 2 failed in 1 file\n$/)
  })

  it("prints JSON alone with --json", () => {
    const { cases, ...summary } = JSON.parse(run("test", write("failing.cases.json", failing), "--json").stdout)
    assert.deepStrictEqual(summary, { path: "failing.cases.json", passed: 1, failed: 2 })
    assert.deepInclude(cases[2], { id: "fails", ok: false, file: "failing.cases.json" })
    assert.deepStrictEqual(cases[2].mismatches[0], { what: "verdict", expected: "allow", actual: "deny" })
  })
})

describe("secure-openai policy schema", () => {
  it("prints the schema that the package exports", () => {
    assert.strictEqual(run("schema").stdout, Fs.readFileSync(Path.join(root, "mapl.schema.json"), "utf8"))
  })
})

describe("secure-openai policy", () => {
  it("says how each command is used", () => {
    for (const name of ["lint", "effective", "explain", "test", "schema"]) {
      const { status, stdout } = run(name, "--help")
      assert.strictEqual(status, 0)
      assert.include(stdout, `secure-openai policy ${name}`)
    }
    const { stdout } = run("--help")
    for (const line of [/lint +Find /, /effective +Show /, /explain +Show /, /test +Run /, /schema +Print /])
      assert.match(stdout, line)
  })

  const broken = write("broken.json", `{\n  "model": ,\n}`)
  const list = write("list.json", `[1]`)
  const twice = write("twice.json", `{ "n": 1, "n": 2 }`)
  const form = write("form.cases.json", { cases: [{ id: "x", service: "x", expects: {} }] })
  const set = write("set.cases.json", { policies: { one: [{ resources: [] }] }, cases: [] })
  write("alone/x.cases.json", { cases: [{ id: "x", service: "x", expect: { verdict: "allow" } }] })
  const cannot: ReadonlyArray<readonly [what: string, args: ReadonlyArray<string>, said: RegExp]> = [
    ["a path that is not there", ["lint", "nothing"], /^There are no policies at nothing\.\n$/],
    ["a folder without policies", ["lint", "alone"], /^The policy folder alone holds no \*\.json file/],
    ["an unknown flag", ["lint", "--bogus"], /^secure-openai policy lint: Unrecognized flag: --bogus.*\n$/],
    ["no app", ["explain", chat], /^secure-openai policy explain: Missing required flag: --app\..*\n$/],
    ["no request", ["explain", ...asAlice], /^secure-openai policy explain: Missing required argument: request.*\n$/],
    ["a user and an agent", ["explain", ...asAlice, "--agent", "x", chat], /^Give --user or --agent, not both\.\n$/],
    ["a team of nobody", ["effective", "--app", "x", "--team", "x"], /give --user as well\.\n$/],
    ["a name that is none", ["effective", "--app", "x", "--user", "a\nb"], /preferred_username/],
    ["no instant", ["explain", ...asAlice, "--at", "noon", chat], /^--at noon is no instant/],
    ["no file", ["explain", ...asAlice, "nothing.json"], /^nothing\.json cannot be read: ENOENT/],
    [
      "no JSON",
      ["explain", ...asAlice, broken],
      /^broken\.json:2:12: it is not JSON: .*\n {2}2 \| {3}"model": ,\n {4}\| +\^\n$/
    ],
    ["no object", ["explain", ...asAlice, list], /^list\.json:1:1: it is not a JSON object/],
    ["a key twice", ["explain", ...asAlice, twice], /^twice\.json:1:1: the key "n" is there twice/],
    [
      "policies that do not load",
      ["explain", "--app", "x", "--policies", "bad", chat],
      /^The policies at bad do not load\. .*\nbad\/a\.json:3:3: unknown key/
    ],
    [
      "cases of another form",
      ["test", form],
      /^form\.cases\.json:6:7: cases\[0\]: unknown key "expects"; did you mean "expect"\? \(and 1 more mistake in this file\)\n/
    ],
    [
      "a set that does not load",
      ["test", set],
      /^set\.cases\.json:3:5: the set one does not load: policies: no policy_id/
    ],
    ["cases without policies", ["test", "alone"], /^The policy folder alone holds no \*\.json file/],
    ["a folder without cases", ["test", "bad"], /^There are no cases in bad: their files end in \.cases\.json\.\n$/],
    ["cases that are none", ["test", "nothing"], /^There are no policies at nothing\.\n$/]
  ]
  it.each(cannot)("exits with 2 for %s", (_, args, said) => {
    const { status, stderr, stdout } = run(...args)
    assert.strictEqual(status, 2, stdout)
    assert.match(stderr, said)
    assert.strictEqual(stdout, "")
  })
})
