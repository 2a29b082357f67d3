/** The commands that read a log: an app runs over a real socket and observes its policies; then the commands are asked. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Pipeline, Refusal, SecureOpenAI } from "../../src/index.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"
import { temporaryFolder } from "../audit/logs.ts"
import { type Provider, startProvider } from "../e2e/Provider.ts"
import { runSync } from "./Command.ts"

const folder = temporaryFolder()
const log = Path.join(folder, "audit")
const at = (name: string) => Path.join(folder, name)
const write = (name: string, content: unknown): string => {
  Fs.writeFileSync(at(name), JSON.stringify(content))
  return at(name)
}

const spec = (max: number) => ({ "tool:assistant/generate": { model: ["gpt-4o-mini", "gpt-4o"], max_tokens: { max } } })
const alice = (max: number) => ({
  policy_id: "user:alice",
  resources: ["tool:assistant/generate"],
  constraints: { parameters: spec(max) }
})
const policies = [alice(500), { policy_id: "team:Ops", denied_resources: ["api:assistant/files"] }]

let provider: Provider
beforeAll(async () => {
  provider = await startProvider()
  const client = new SecureOpenAI({
    appName: "assistant",
    apiKey: "k",
    baseURL: provider.url,
    maxRetries: 0,
    policies,
    policyMode: "observe",
    issuers: testIssuer,
    audit: { path: log }
  })
  client.registerTool("pay", () => "paid")
  const ask = async (user: SecureOpenAI, model: string, max_tokens?: number) =>
    user.chat.completions.create({
      model,
      ...(max_tokens !== undefined && { max_tokens }),
      temperature: 0.5,
      messages: [{ role: "user", content: "a secret prompt" }]
    })
  const [first, second] = [
    await client.asUser(mintToken({ sub: "alice" })),
    await client.asUser(mintToken({ sub: "bob", team: "Ops" }))
  ]
  for (let call = 0; call < 3; call++) await ask(first, "gpt-4o", 2000)
  await ask(first, "gpt-4o-mini", 100)
  await ask(second, "o1", 300)
  await second.files.list()
  await second.invokeTool({ id: "c", type: "function", function: { name: "pay", arguments: '{"amount":5}' } })
  await client.close()

  // Another app, whose policies hold: one call is let through, one refused by policy, one by a stage of its own, and one
  // caller is not who he says.
  const strict = new SecureOpenAI({
    appName: "assistant",
    apiKey: "k",
    baseURL: provider.url,
    policies: [alice(500)],
    issuers: testIssuer,
    audit: { path: at("strict") }
  })
  const user = await strict.asUser(mintToken({ sub: "alice" }))
  await ask(user, "gpt-4o", 100)
  await user.embeddings.create({ model: "text-embedding-3-small", input: "x" }).catch(() => {})
  await strict.asUser("forged").catch(() => {})
  const closed = new SecureOpenAI({
    appName: "assistant",
    apiKey: "k",
    workspace: strict.workspace,
    layer: Pipeline.layerFrom(
      ({ identity }) =>
        (call) =>
          Effect.andThen(identity.resolve(call), Refusal.make({ code: "closed", message: "It is late." }))
    )
  })
  await ask(closed, "gpt-4o", 100).catch(() => {})
  await strict.close()
})
afterAll(async () => {
  await provider.close()
  Fs.rmSync(folder, { recursive: true, force: true })
})

const run = (...args: ReadonlyArray<string>) =>
  runSync(["policy", ...args], { cwd: folder, env: { ...process.env, SECURE_OPENAI_HOME: folder, NO_COLOR: "1" } })

describe("secure-openai policy report", () => {
  it("lists what observed policies would have refused or changed, calls alike in one line", () => {
    const { status, stdout } = run("report")
    assert.strictEqual(status, 0)
    assert.match(stdout, /^7 calls observed, from 20\S+ \S+Z to 20\S+ \S+Z, by 1 revision of the policies\n/)
    assert.match(stdout, /would be refused +3\n/)
    assert.match(stdout, /would be changed +3\n/)
    assert.match(stdout, /would pass as they are +1\n/)
    assert.match(stdout, / 3 +changed +user:alice +tool:assistant\/generate +max_tokens → 500 +user:alice /)
    assert.match(stdout, / 1 +refused +user:bob +tool:assistant\/generate +no_policy /)
    assert.match(stdout, / 1 +refused +user:bob +api:assistant\/files +resource_denied +team:Ops /)
    assert.notInclude(stdout, "secret")
  })

  it("reads a log that holds, in which each call says what was observed", () => {
    const audit = (...args: ReadonlyArray<string>) => runSync(["audit", ...args])
    assert.strictEqual(audit("verify", log).status, 0)
    const { stdout } = audit("tail", log)
    assert.match(
      stdout,
      /user:bob of \S+ allow tool:assistant\/generate model o1, which policy would refuse: no_policy\n/
    )
    assert.match(stdout, /user:bob of \S+ api:assistant\/files, which policy would refuse: resource_denied\n/)
  })

  it("gives the same to programs", () => {
    const { status, stdout } = run("report", log, "--json")
    assert.strictEqual(status, 0)
    const { changed, pending, refused, rows } = JSON.parse(stdout)
    assert.deepStrictEqual({ changed, pending, refused }, { changed: 3, pending: 0, refused: 3 })
    assert.deepInclude(rows[0], { calls: 3 })
    assert.deepStrictEqual(rows[0].what, {
      outcome: "changed",
      who: "user:alice",
      issuer: testIssuer.issuer,
      resource: "tool:assistant/generate",
      why: ["max_tokens → 500"],
      policies: ["user:alice"]
    })
  })

  it("says what is missing where there is no log, and where nothing was observed", () => {
    const none = run("report", at("absent"))
    assert.strictEqual(none.status, 2)
    assert.match(none.stderr, /There is no log at .*absent/)
  })

  it("does not pass over a record that was changed", () => {
    const broken = at("broken")
    Fs.cpSync(log, broken, { recursive: true })
    const file = Path.join(broken, "journal", "00000000000000000000.jsonl")
    Fs.writeFileSync(file, Fs.readFileSync(file, "utf8").replace('"verdict":"allow"', '"verdict" :"allow"'))
    const { status, stderr } = run("report", broken)
    assert.strictEqual(status, 2)
    assert.match(stderr, /Record \d+ of the log .* is not valid; run "secure-openai audit verify" for the reason/)
  })
})

describe("secure-openai policy suggest", () => {
  it("derives policies that would have allowed what the log shows, and no more", () => {
    const { status, stdout } = run("suggest", log)
    assert.strictEqual(status, 0)
    assert.deepStrictEqual(JSON.parse(stdout), [
      {
        policy_id: "user:alice",
        resources: ["tool:assistant/generate"],
        constraints: {
          parameters: {
            "tool:assistant/generate": {
              model: ["gpt-4o", "gpt-4o-mini"],
              max_tokens: { type: "integer", max: 2000 },
              temperature: { range: [0.5, 0.5] }
            }
          }
        }
      },
      {
        policy_id: "user:bob",
        resources: ["tool:assistant/generate", "tool:assistant/pay"],
        constraints: {
          parameters: {
            "tool:assistant/generate": {
              model: ["o1"],
              max_tokens: { type: "integer", max: 300 },
              temperature: { range: [0.5, 0.5] }
            }
          }
        }
      }
    ])
    write("draft.json", JSON.parse(stdout))
    const replayed = run("diff", at("draft.json"), at("draft.json"), log)
    assert.strictEqual(replayed.status, 0)
    assert.include(replayed.stdout, "7 calls replayed: all are decided as before")
    const { stdout: linted } = run("lint", at("draft.json"))
    assert.include(linted, "0 errors")
  })
})

describe("a log of a user who asks for patterns", () => {
  it("suggests neither patterns nor tools that are not registered", async () => {
    const audit = { path: at("patterns") }
    const client = new SecureOpenAI({
      appName: "assistant",
      apiKey: "k",
      baseURL: provider.url,
      maxRetries: 0,
      issuers: testIssuer,
      policies: [{ policy_id: "user:mallory", resources: ["**"] }],
      audit
    })
    client.registerTool("pay", () => "paid")
    client.registerTool("fail", () => {
      throw new Error("no")
    })
    const mallory = await client.asUser(mintToken({ sub: "mallory" }))
    for (const model of ["*", "gpt-*", "gpt-4o"])
      await mallory.chat.completions.create({ model, messages: [{ role: "user", content: "x" }] })
    for (const name of ["pay", "fail", "**", "*", "pay*", "invented"])
      await mallory
        .invokeTool({ id: "c", type: "function", function: { name, arguments: "{}" } })
        .catch((error: Error) => assert.strictEqual(error.message.includes("no"), true))
    await mallory.fineTuning.jobs.list()
    await client.close()
    const documents = () => JSON.parse(run("suggest", audit.path).stdout)
    assert.deepStrictEqual(documents(), [
      {
        policy_id: "user:mallory",
        resources: ["tool:assistant/fail", "tool:assistant/generate", "tool:assistant/pay"],
        constraints: { parameters: { "tool:assistant/generate": { model: ["gpt-4o"] } } }
      }
    ])
  })
})

describe("a log of policies that hold", () => {
  it("suggests what was let through, and replays what policy refused as well", () => {
    const { stdout } = run("suggest", at("strict"))
    assert.deepStrictEqual(
      JSON.parse(stdout).map(({ policy_id, resources }: { policy_id: string; resources: unknown }) => [
        policy_id,
        resources
      ]),
      [["user:alice", ["tool:assistant/generate"]]]
    )
    const [before, after] = [
      write("before.json", [alice(500)]),
      write("after.json", [{ policy_id: "user:alice", resources: ["tool:**"] }])
    ]
    const { status, stdout: changes } = run("diff", before, after, at("strict"), "--json")
    assert.strictEqual(status, 0)
    const { calls, rows } = JSON.parse(changes).replay
    assert.strictEqual(calls, 2)
    assert.deepStrictEqual(rows[0].what, {
      who: "user:alice",
      issuer: testIssuer.issuer,
      resource: "tool:assistant/embed",
      before: "refused: resource_not_allowed",
      after: "unchanged",
      effect: "allowed"
    })
    const { stdout: observed } = run("report", at("strict"))
    assert.match(observed, /^No call in .*strict was decided while policies were observed/)
  })
})

describe("secure-openai policy diff", () => {
  it("says which documents differ", () => {
    const [before, after] = [write("before.json", policies), write("after.json", [alice(500), { policy_id: "bu:x" }])]
    const { status, stdout } = run("diff", before, after, "--json")
    assert.strictEqual(status, 0)
    assert.deepStrictEqual(JSON.parse(stdout), {
      documents: { added: ["bu:x"], removed: ["team:Ops"], changed: [] }
    })
  })

  it("says which logged calls a change would refuse or rewrite, and exits with 1 then", () => {
    const before = write("before.json", [alice(4000)])
    const after = write("after.json", [
      {
        ...alice(1000),
        constraints: {
          parameters: {
            "tool:assistant/generate": {
              model: ["gpt-4o"],
              max_tokens: { max: 1000 },
              user: { allowed_values: ["alice"], required: true }
            }
          }
        }
      }
    ])
    const { status, stdout } = run("diff", before, after, "--replay")
    assert.strictEqual(status, 1)
    assert.match(stdout, /changed +1 +user:alice/)
    assert.match(stdout, /7 calls replayed, 4 decided otherwise/)
    assert.match(stdout, / 3 +user:alice +tool:assistant\/generate +unchanged +max_tokens → 1000\n/)
    assert.match(stdout, / 1 +user:alice +tool:assistant\/generate +unchanged +refused: value_not_allowed of model\n/)
    assert.include(stdout, "Not replayed, because the log does not record them: the bounds on user")
    const back = run("diff", after, before, "--replay", "--json")
    assert.strictEqual(back.status, 0)
    assert.strictEqual(JSON.parse(back.stdout).replay.different, 4)
  })

  it("does not run with policies that do not load", () => {
    const bad = write("bad.json", { policy_id: "user:x", resorces: [] })
    const { status, stderr } = run("diff", bad, bad)
    assert.strictEqual(status, 2)
    assert.include(stderr, 'did you mean "resources"')
  })
})
