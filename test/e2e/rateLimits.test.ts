/** Rate limits: claimed with each decision's record, so that the log alone says what was counted. */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { type PolicyRateLimitError, type SecureOptions, Workspace } from "../../src/index.ts"
import { makeIssuer } from "../../src/testing/index.ts"
import { aboutCalls, openProvider } from "./fixture.ts"

const { openClient, opens, provider } = await openProvider()
const asked = { model: "gpt-4o", messages: [{ role: "user" as const, content: "Hello" }] }
const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "rate-limits-"))
afterAll(() => Fs.rmSync(folder, { recursive: true }))

const issuer = makeIssuer("https://issuer.example", "app")
const limited = (rate: number, more: object = {}) => [
  { policy_id: "app:lab", resources: ["tool:lab/**"] },
  { policy_id: "company:Acme", constraints: { rate_limit: 5 } },
  {
    policy_id: "user:alice",
    extends: "company:Acme",
    resources: ["tool:lab/**"],
    constraints: { rate_limit: rate, ...more }
  }
]
let homes = 0
const newHome = () => Path.join(folder, `home-${++homes}`)
const openAlice = (workspace: Workspace, more: SecureOptions = {}) =>
  openClient({ appName: "lab", workspace, jwtToken: issuer.mint({ sub: "alice" }), ...more })
const statusOf = (call: PromiseLike<unknown>) =>
  call.then(
    () => 200,
    (error: PolicyRateLimitError) => error.status
  )

describe("a rate limit", () => {
  it("is claimed with each decision, all levels or none, and the log says what counted", async () => {
    const workspace = opens(new Workspace({ audit: "memory", issuers: issuer.options, policies: limited(2) }))
    const alice = openAlice(workspace)
    const statuses = await Promise.all(Array.from({ length: 4 }, () => statusOf(alice.chat.completions.create(asked))))
    expect(statuses.sort()).toEqual([200, 200, 429, 429])
    expect(provider.hits).toHaveLength(2)
    const records = await aboutCalls(workspace)
    const claim = (policy: string, limit: number) => ({
      amount: 1,
      limit,
      per: "principal",
      policy,
      unit: "calls",
      window: "PT1M"
    })
    for (const record of records.filter(({ kind }) => kind === "decision"))
      expect(record["claims"]).toEqual([claim("user:alice", 2), claim("company:Acme", 5)])
    expect(records.filter(({ kind }) => kind === "refused")).toMatchObject([
      {
        code: "policy_rate_limit",
        stage: "policy",
        status: 429,
        violations: [{ code: "rate_limit", policy: "user:alice" }]
      },
      {
        code: "policy_rate_limit",
        stage: "policy",
        status: 429,
        violations: [{ code: "rate_limit", policy: "user:alice" }]
      }
    ])
  })

  it("goes on counting after a restart: the log gives the counters back", async () => {
    const home = newHome()
    const once = async () => {
      const workspace = new Workspace({ home, issuers: issuer.options, policies: limited(3) })
      const alice = openAlice(workspace)
      const statuses = [
        await statusOf(alice.chat.completions.create(asked)),
        await statusOf(alice.chat.completions.create(asked))
      ]
      await workspace.close()
      return statuses
    }
    expect(await once()).toEqual([200, 200])
    expect(await once()).toEqual([200, 429])
    expect(await once()).toEqual([429, 429])
  })

  it("that is only observed refuses nothing; the log says that it would, and what it counted", async () => {
    const workspace = opens(
      new Workspace({ audit: "memory", issuers: issuer.options, policies: limited(1), policyMode: "observe" })
    )
    const alice = openAlice(workspace)
    for (let i = 0; i < 2; i++) await alice.chat.completions.create(asked)
    const decisions = (await aboutCalls(workspace)).filter(({ kind }) => kind === "decision")
    expect(decisions).toMatchObject([
      { observed: { verdict: "allow", claims: [{ policy: "user:alice" }, { policy: "company:Acme" }] } },
      { observed: { verdict: "deny", violations: [{ code: "rate_limit", policy: "user:alice" }] } }
    ])
    expect(decisions.map((record) => record["claims"])).toEqual([undefined, undefined])
    expect(decisions[1]?.["observed"]).not.toHaveProperty("claims")
  })

  it("of an intent is the intent's own, in the record too", async () => {
    const workspace = opens(new Workspace({ audit: "memory" }))
    const client = openClient({ appName: "lab", workspace, intentPolicy: { constraints: { rate_limit: 1 } } })
    expect(await statusOf(client.chat.completions.create(asked))).toBe(200)
    expect(await statusOf(client.chat.completions.create(asked))).toBe(429)
    const [decision] = (await aboutCalls(workspace)).filter(({ kind }) => kind === "decision")
    expect(decision?.["claims"]).toEqual([
      {
        amount: 1,
        counter: expect.stringMatching(/^intent sha-256:[\w-]{43}$/),
        limit: 1,
        per: "principal",
        policy: "the intent policy",
        unit: "calls",
        window: "PT1M"
      }
    ])
  })

  it.each(["memory", "folder"])(
    "of more documents than a record can hold refuses the call alone, in a log in %s",
    async (where) => {
      const chain = Array.from({ length: 60 }, (_, i) => ({
        policy_id: `team:${i}`,
        ...(i > 0 && { extends: `team:${i - 1}` }),
        constraints: { rate_limit: 1000 }
      }))
      const workspace = opens(
        new Workspace({
          ...(where === "memory" ? { audit: "memory" as const } : { home: newHome() }),
          issuers: issuer.options,
          policies: [
            { policy_id: "app:lab", resources: ["tool:lab/**"] },
            ...chain,
            { policy_id: "user:alice", extends: "team:59", resources: ["tool:lab/**"], constraints: { rate_limit: 1 } }
          ]
        })
      )
      const alice = openAlice(workspace)
      const service = openClient({ appName: "lab", workspace })
      for (let i = 0; i < 2; i++) {
        const error = await alice.chat.completions.create(asked).catch((failure: unknown) => failure)
        expect(error).toMatchObject({
          code: "enforcement_unavailable",
          message: expect.stringMatching(/61 documents limit the rate/)
        })
        expect(await statusOf(service.chat.completions.create(asked))).toBe(200)
      }
      expect(provider.hits).toHaveLength(2)
    }
  )
})
