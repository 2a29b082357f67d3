import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import {
  ApprovalPendingError,
  PolicyDeniedError,
  SecureOpenAI,
  type SecureOptions,
  Workspace
} from "../../src/index.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"
import { type Provider, startProvider } from "./Provider.ts"

const messages = [{ role: "user" as const, content: "Hello" }]

let provider: Provider
let folder = ""
beforeAll(async () => {
  provider = await startProvider()
})
afterAll(() => provider.close())
beforeEach(() => {
  folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "policies-"))
})

const opened: Array<{ close(options?: { readonly force: true }): Promise<void> }> = []
afterEach(async () => {
  provider.behave({})
  for (const client of opened.splice(0)) await client.close({ force: true })
  Fs.rmSync(folder, { recursive: true, force: true })
})

const make = (options: ConstructorParameters<typeof Workspace>[0], more: SecureOptions = {}) => {
  const workspace = new Workspace({ audit: "memory", issuers: testIssuer, ...options })
  const client = new SecureOpenAI({
    appName: "assistant",
    apiKey: "k",
    baseURL: provider.url,
    maxRetries: 0,
    ...more,
    workspace
  })
  opened.push(client, workspace)
  const kinds = async (kind: string) => (await workspace.records()).filter((record) => record.kind === kind)
  return { client, workspace, kinds }
}

const capped = (max: number) => ({
  policy_id: "user:alice",
  resources: ["tool:assistant/generate"],
  constraints: { parameters: { "tool:assistant/generate": { max_tokens: { max } } } }
})

const write = (name: string, content: unknown): void => {
  // As a deployment does it: whole, and in one step.
  const temporary = Path.join(folder, ".new")
  Fs.writeFileSync(temporary, typeof content === "string" ? content : JSON.stringify(content))
  Fs.renameSync(temporary, Path.join(folder, name))
}

const eventually = async <A>(ask: () => Promise<A>, holds: (a: A) => boolean): Promise<A> => {
  for (let tries = 0; ; tries++) {
    const answer = await ask()
    if (holds(answer)) return answer
    if (tries > 150) throw new Error(`it never came about: ${JSON.stringify(answer)}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

describe("policies in a folder", () => {
  it("come into force when they change, and the log says so before the first call that they decide", async () => {
    write("alice.json", capped(500))
    const { client, kinds } = make({ policies: folder })
    await using alice = await client.asUser(mintToken({ sub: "alice" }))
    await alice.chat.completions.create({ model: "gpt-4o", max_tokens: 4000, messages })
    expect(provider.hits.at(-1)?.body["max_tokens"]).toBe(500)

    write("alice.json", capped(90))
    await eventually(
      () => alice.limits(),
      ({ maxOutputTokens }) => maxOutputTokens === 90
    )
    await alice.chat.completions.create({ model: "gpt-4o", max_tokens: 4000, messages })
    expect(provider.hits.at(-1)?.body["max_tokens"]).toBe(90)

    const [first, second] = await kinds("policy.activated")
    expect(second).toMatchObject({ previous: first?.["rev"], count: 1 })
    const revisions = (await kinds("decision")).map((record) => record["rev"])
    expect(revisions).toEqual([first?.["rev"], second?.["rev"]])
  })

  it("stay as they are when a change does not load, and the log says why", async () => {
    write("alice.json", capped(500))
    const { client, kinds, workspace } = make({ policies: folder })
    await using alice = await client.asUser(mintToken({ sub: "alice" }))
    write("alice.json", `{ "policy_id": "user:alice", "resorces": ["**"] }`)
    const [rejected] = await eventually(
      () => kinds("policy.rejected"),
      (records) => records.length > 0
    )
    expect(rejected?.["reason"]).toMatch(/alice\.json:1:\d+: unknown key "resorces"; did you mean "resources"\?/)
    await expect(workspace.reload()).rejects.toThrow(/did you mean "resources"/)
    await alice.chat.completions.create({ model: "gpt-4o", max_tokens: 4000, messages })
    expect(provider.hits.at(-1)?.body["max_tokens"]).toBe(500)
    const [activated] = await kinds("policy.activated")
    expect(rejected?.["rev"]).toBe(activated?.["rev"])
    expect((await kinds("decision"))[0]?.["rev"]).toBe(activated?.["rev"])

    Fs.rmSync(folder, { recursive: true })
    await expect(workspace.reload()).rejects.toThrow(/cannot be read/)
    await alice.chat.completions.create({ model: "gpt-4o", max_tokens: 4000, messages })
    expect(provider.hits.at(-1)?.body["max_tokens"]).toBe(500)
  })

  it("say on the error output what does not load, and leave the output to the app", async () => {
    write("alice.json", capped(500))
    const script = `
      import { Workspace } from ${JSON.stringify(new URL("../../src/index.ts", import.meta.url).href)}
      import { writeFileSync } from "node:fs"
      const workspace = await Workspace.open({ audit: "memory", policies: ${JSON.stringify(folder)} })
      writeFileSync(${JSON.stringify(Path.join(folder, "alice.json"))}, '{ "policy_id": 7 }')
      while (!(await workspace.records()).some(({ kind }) => kind === "policy.rejected"))
        await new Promise((resolve) => setTimeout(resolve, 20))
      await new Promise((resolve) => setTimeout(resolve, 50))
      console.log("done")`
    const run = promisify(execFile)(process.execPath, ["--input-type=module", "-e", script])
    const { stderr, stdout } = await run
    expect(stdout).toBe("done\n")
    expect(stderr).toMatch(/the old ones stay in force.*alice\.json:1:3: policy_id: expected/su)
  })

  it("are read again on demand, and the same ones again change nothing", async () => {
    write("alice.json", capped(500))
    const { kinds, workspace } = make({ policies: folder })
    const before = await workspace.reload()
    expect(await workspace.reload()).toEqual(before)
    expect(await kinds("policy.activated")).toHaveLength(1)
    expect(before.count).toBe(1)
  })
})

describe("a downgrade", () => {
  const downgrade = (model: string) => [
    {
      policy_id: "app:assistant",
      resources: ["tool:**"],
      constraints: { parameters: { "tool:**": { model: [model], max_tokens: { max: 500 } } } }
    }
  ]

  it("sends what the new model takes, and the receipt and the log tell what was left out", async () => {
    const { client, kinds } = make({ policies: downgrade("o4-mini") })
    const asked = { model: "gpt-4o", messages, max_tokens: 90, temperature: 0.5, top_p: 0.9, seed: 7 }
    const answer = await client.chat.completions.create(asked)
    expect(provider.hits[0]?.text).toBe(
      JSON.stringify({ model: "o4-mini", messages, max_completion_tokens: 90, seed: 7 })
    )
    const told = [
      ["model", '"gpt-4o"', '"o4-mini"'],
      ["temperature", "0.5", "null"],
      ["top_p", "0.9", "null"],
      ["max_tokens", "90", "null"],
      ["max_completion_tokens", undefined, "90"]
    ]
    expect(SecureOpenAI.receipt(answer)?.changes.map(({ from, path, to }) => [path, from, to])).toEqual(told)
    expect((await kinds("decision"))[0]?.["edits"]).toMatchObject(
      told.map(([path, from, to]) => ({ path, to, ...(from !== undefined && { from }) }))
    )
  })

  it("from a reasoning model leaves reasoning and verbosity out, on both APIs", async () => {
    const { client } = make({ policies: downgrade("gpt-4o-mini") })
    await client.responses.create({
      model: "gpt-5",
      input: "x",
      max_output_tokens: 90,
      reasoning: { effort: "low" },
      text: { verbosity: "low", format: { type: "text" } }
    })
    await client.chat.completions.create({
      model: "gpt-5",
      messages,
      max_completion_tokens: 90,
      reasoning_effort: "low",
      verbosity: "low"
    })
    expect(provider.hits.map((hit) => hit.text)).toEqual([
      JSON.stringify({ model: "gpt-4o-mini", input: "x", max_output_tokens: 90, text: { format: { type: "text" } } }),
      JSON.stringify({ model: "gpt-4o-mini", messages, max_completion_tokens: 90 })
    ])
  })

  it("is refused where the new model does not take what the caller relies on", async () => {
    const { client } = make({ policies: downgrade("o4-mini") })
    const error = await client.chat.completions
      .create({ model: "gpt-4o", messages, max_tokens: 90, logprobs: true })
      .catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code: "policy_denied", decision: { violations: [{ code: "value_not_allowed" }] } })
    expect(String(error)).toContain("o4-mini does not take logprobs")
    expect(provider.hits).toEqual([])
  })
})

describe("policies that are observed", () => {
  const policies = [
    { policy_id: "app:assistant", denied_resources: ["api:assistant/models"] },
    {
      ...capped(500),
      constraints: { rate_limit: 3, parameters: { "tool:assistant/generate": { max_tokens: { max: 500 } } } }
    }
  ]

  it("refuse and change nothing, and the log says what they would have done", async () => {
    const { client, kinds } = make({ policies, policyMode: "observe" })
    await using alice = await client.asUser(mintToken({ sub: "alice" }))
    await using bob = await client.asUser(mintToken({ sub: "bob" }))
    const body = { model: "gpt-4o", max_tokens: 4000, messages }
    const answer = await alice.chat.completions.create(body)
    await bob.chat.completions.create(body)
    await alice.chat.completions.create({ ...body, max_tokens: 5 })
    await alice.models.list()
    expect(provider.hits.map((hit) => hit.body["max_tokens"])).toEqual([4000, 4000, 5, undefined])
    expect(provider.hits[0]?.text).toBe(JSON.stringify(body))
    expect(SecureOpenAI.receipt(answer)).toMatchObject({ verdict: "allow", changes: [] })

    const decisions = await kinds("decision")
    expect(decisions.map((record) => [record["verdict"], record["observed"]])).toMatchObject([
      ["allow", { verdict: "rewrite", edits: [{ path: "max_tokens", from: "4000", to: "500", policy: "user:alice" }] }],
      ["allow", { verdict: "deny", violations: [{ code: "no_policy" }] }],
      ["allow", { verdict: "allow", violations: [], edits: [] }]
    ])
    expect(decisions[0]?.["asked"]).toEqual([
      { path: "model", value: '"gpt-4o"' },
      { path: "max_tokens", value: "4000" }
    ])
    expect((await kinds("passthrough"))[0]?.["observed"]).toMatchObject({
      verdict: "deny",
      violations: [{ code: "resource_denied", policy: "app:assistant" }]
    })
    expect((await kinds("policy.activated"))[0]).toMatchObject({ mode: "observe", count: 2 })
  })

  it("count their rate limits, and let the call go on", async () => {
    const { client, kinds } = make({ policies, policyMode: "observe" })
    await using alice = await client.asUser(mintToken({ sub: "alice" }))
    for (let call = 0; call < 5; call++) await alice.chat.completions.create({ model: "gpt-4o", messages })
    const verdicts = (await kinds("decision")).map((record) => (record["observed"] as { verdict: string }).verdict)
    expect(verdicts).toEqual(["rewrite", "rewrite", "rewrite", "deny", "deny"])
  })

  it("count what an intent limits once", async () => {
    const own = { policy_id: "app:assistant", resources: ["tool:**"] }
    const intentPolicy = { constraints: { rate_limit: 2 } }
    const { client } = make({ policies: own, policyMode: "observe" }, { intentPolicy })
    const ask = () => client.chat.completions.create({ model: "gpt-4o", messages })
    await ask()
    await ask()
    await expect(ask()).rejects.toThrow(/are spent/)
  })

  it("leave in force what holds without policies: intents, and the families that users may not reach", async () => {
    const intentPolicy = { constraints: { parameters: { "tool:**": { max_tokens: { max: 7 } } } } }
    const { client } = make({ policies, policyMode: "observe" }, { intentPolicy })
    await using alice = await client.asUser(mintToken({ sub: "alice" }))
    await alice.chat.completions.create({ model: "gpt-4o", max_tokens: 4000, messages })
    expect(provider.hits.at(-1)?.body["max_tokens"]).toBe(7)
    await expect(alice.videos.list()).rejects.toThrow(PolicyDeniedError)
  })

  it("are asked for by a word that must be right", () => {
    expect(() => make({ policyMode: "watch" as never })).toThrow(/"enforce" or "observe"/)
  })
})

describe("what policy would say", () => {
  const policies = [
    {
      ...capped(500),
      resources: ["tool:assistant/generate", "tool:assistant/pay"],
      attestations: ["boss::{params.currency IN ('EUR') AND params.amount > 100}"],
      constraints: {
        rate_limit: 2,
        attestations: { boss: { approval_criteria: "role:manager", timeout: 300 } },
        parameters: {
          "tool:assistant/generate": {
            model: ["gpt-4o-mini", "gpt-4o*"],
            max_tokens: { max: 500 },
            temperature: { range: [0, 1] as const }
          }
        }
      }
    }
  ]

  it("is told without sending, counting or recording anything", async () => {
    const { client, workspace } = make({ policies })
    await using alice = await client.asUser(mintToken({ sub: "alice" }))
    const before = (await workspace.records()).length
    for (let ask = 0; ask < 10; ask++)
      expect(await alice.can("generate", { model: "gpt-4o", max_tokens: 9000, messages })).toMatchObject({
        verdict: "allow",
        edits: [{ path: "max_tokens", from: 9000, to: 500, policy: "user:alice" }]
      })
    expect(await alice.can("generate", { model: "gpt-3.5-turbo", messages })).toMatchObject({
      verdict: "deny",
      violations: [{ code: "value_not_allowed", path: "model" }]
    })
    expect(await alice.can("embed", { model: "m", input: "x" })).toMatchObject({ verdict: "deny" })
    expect(await alice.can("pay", { amount: 5, currency: "EUR" })).toMatchObject({ verdict: "allow", edits: [] })
    expect(await client.can("generate", { model: "gpt-4o" })).toMatchObject({
      verdict: "deny",
      violations: [{ code: "no_policy" }]
    })
    expect(provider.hits).toHaveLength(0)
    expect((await workspace.records()).length).toBe(before)
    for (let call = 0; call < 2; call++) await alice.chat.completions.create({ model: "gpt-4o", messages })
    await expect(alice.chat.completions.create({ model: "gpt-4o", messages })).rejects.toThrow(/are spent/)
  })

  it("names the approvals that a call waits for, each bound to the call", async () => {
    const { client } = make({ policies })
    await using alice = await client.asUser(mintToken({ sub: "alice" }))
    const pay = (amount: number) => alice.can("pay", { amount, currency: "EUR" })
    const [first, again, other] = [await pay(500), await pay(500), await pay(501)]
    expect(first).toMatchObject({
      verdict: "pending",
      approvals: [{ key: "boss", policy: "user:alice", approver: "role:manager", oneTime: true, timeout: 300 }]
    })
    const digest = first.approvals?.[0]?.digest
    expect(digest).toMatch(/^sha-256:[\w-]{43}$/)
    expect(again.approvals?.[0]?.digest).toBe(digest)
    expect(other.approvals?.[0]?.digest).not.toBe(digest)
    client.registerTool("pay", () => "paid")
    const call = {
      id: "c",
      type: "function" as const,
      function: { name: "pay", arguments: '{"amount":500,"currency":"EUR"}' }
    }
    expect((await alice.invokeTool(call)).content).toMatch(
      /"approval_pending".*needs the approval boss.*given by role:manager/
    )
    const refused = await alice.userClient
      .invokeTool("tool:assistant/pay", { amount: 500, currency: "EUR" }, { targetAgent: client.serverId })
      .catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(ApprovalPendingError)
    expect((refused as ApprovalPendingError).decision.approvals?.[0]?.digest).toBe(digest)
  })

  it("sums up what may be asked at most", async () => {
    const { client } = make({ policies })
    await using alice = await client.asUser(mintToken({ sub: "alice" }))
    expect(await alice.limits()).toEqual({
      resource: "tool:assistant/generate",
      allowed: true,
      reasons: [],
      models: ["gpt-4o-mini", "gpt-4o*"],
      maxOutputTokens: 500,
      ratesPerMinute: { "user:alice": 2 },
      parameters: { temperature: { min: 0, max: 1, policies: ["user:alice"] } }
    })
    expect(await alice.limits("embed")).toMatchObject({ allowed: false, reasons: [{ code: "resource_not_allowed" }] })
    expect(await client.limits()).toMatchObject({ allowed: false, reasons: [{ code: "no_policy" }] })
    const lost = make({ policies }, { intentPolicy: { extends: "team:gone" } }).client
    expect(await lost.limits()).toMatchObject({ allowed: false, reasons: [{ code: "policy_error" }] })
  })
})

describe("a rate limit", () => {
  it("is not spent by a call that rewriting refuses", async () => {
    const policies = {
      policy_id: "app:assistant",
      resources: ["tool:assistant/**"],
      constraints: { rate_limit: 1, parameters: { "tool:*/generate": { model: ["gpt-4o"] } } }
    }
    const { client } = make({ policies })
    const ask = (model: string) => client.chat.completions.create({ model, messages })
    // Nothing on the list ranks at or below it.
    for (let call = 0; call < 3; call++)
      await expect(ask("gpt-3.5-turbo")).rejects.toThrow(/none of these can take its place/)
    await ask("gpt-4o")
    await expect(ask("gpt-4o")).rejects.toThrow(/are spent/)
    expect(provider.hits).toHaveLength(1)
  })
})
