/** Two issuers that both know an Alice of Acme with the same roles: nothing that is kept for one is ever the other's. */
import { describe, expect, it } from "vitest"
import { AgentClient, IdentityError, PolicyRateLimitError, type SecureOptions } from "../../src/index.ts"
import { makeIssuer } from "../../src/testing/index.ts"
import type { WithinOptions } from "../../src/index.ts"
import { openProvider } from "./fixture.ts"

const { openClient, openWorkspace, provider } = await openProvider()
const messages = [{ role: "user" as const, content: "Hello" }]
const ask = { model: "gpt-4o", messages }

const rated = (id: string, limit: number) => ({
  policy_id: id,
  resources: ["tool:assistant/**"],
  constraints: { rate_limit: limit }
})
const policies = [
  { policy_id: "app:assistant", resources: ["tool:assistant/**"] },
  rated("user:alice", 2),
  rated("user:Beta/alice", 1),
  { policy_id: "company:Acme", denied_resources: ["tool:assistant/complete"] },
  { policy_id: "company:Beta", denied_resources: ["tool:assistant/embed"] }
]
const claims = { sub: "7", preferred_username: "alice", company: "Acme", roles: ["admin"] }

const open = (within?: WithinOptions, options: SecureOptions = {}) => {
  const a = makeIssuer("https://a.example")
  const b = makeIssuer("https://b.example")
  const issuers = [a.options, { ...b.options, within: within ?? {} }]
  const workspace = openWorkspace({ issuers, policies })
  return { a, b, workspace, client: openClient({ appName: "assistant", ...options, workspace }) }
}

interface RecordOfCall {
  readonly kind: string
  readonly principal?: object
}

describe("users of two issuers with one name, sub, company and role", () => {
  it("have rate limits of their own", async () => {
    const { a, b, client } = open()
    const ofA = await client.asUser(a.mint(claims))
    const ofB = await client.asUser(b.mint(claims))
    for (const user of [ofA, ofB, ofA, ofB]) await user.chat.completions.create(ask)
    for (const user of [ofA, ofB])
      await expect(user.chat.completions.create(ask)).rejects.toBeInstanceOf(PolicyRateLimitError)
    expect(provider.hits).toHaveLength(4)
  })

  it("and users of one issuer and name, but another sub, do too; one user with two tokens has one", async () => {
    const { a, client } = open()
    const tokens = [claims, { ...claims, sub: "8" }, claims, { ...claims, sub: "8" }].map((each) => a.mint(each))
    for (const token of tokens) await (await client.asUser(token)).chat.completions.create(ask)
    for (const token of tokens)
      await expect((await client.asUser(token)).chat.completions.create(ask)).rejects.toBeInstanceOf(
        PolicyRateLimitError
      )
    expect(provider.hits).toHaveLength(4)
  })

  it("are told apart by the records of their calls", async () => {
    const { a, b, client, workspace } = open()
    for (const issuer of [a, b]) await (await client.asUser(issuer.mint(claims))).chat.completions.create(ask)
    await (await client.asUser(a.mint({ ...claims, sub: "alice" }))).chat.completions.create(ask)
    const records = (await workspace.records()) as unknown as ReadonlyArray<RecordOfCall>
    const about = { kind: "user", id: "alice", documents: ["company:Acme", "role:admin"], roles: ["admin"] }
    expect(records.filter(({ kind }) => kind === "decision").map(({ principal }) => principal)).toEqual([
      { ...about, iss: "https://a.example", sub: "7" },
      { ...about, iss: "https://b.example", sub: "7" },
      { ...about, iss: "https://a.example" }
    ])
  })

  it("do not take each other's place in a token function or a binding", async () => {
    const { a, b, client, workspace } = open()
    const tokens = [a.mint(claims, { expiresIn: 10, now: Date.now() - 20_000 }), b.mint(claims)]
    const user = new AgentClient({ iamToken: async () => tokens.shift() ?? "", workspace })
    await user.register()
    const bound = client.bindToUser(user)
    const refused = await bound.chat.completions.create(ask).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(IdentityError)
    expect(refused).toMatchObject({ reason: "subject_changed" })
    expect(provider.hits).toHaveLength(0)
  })

  it("act for nobody but themselves by their agents", async () => {
    const { a, b, client, workspace } = open()
    const [ofA, ofB] = await Promise.all(
      [a, b].map((issuer) => new AgentClient({ iamToken: issuer.mint(claims), workspace }).register())
    )
    const call = { targetAgent: client.serverId }
    await ofA!.invokeTool("tool:assistant/generate", ask, call)
    const service = workspace.service(client.serverId)!
    // What B's agent signed arrives with the credentials of A's user.
    const credentials = { _tag: "User" as const, token: async () => a.mint(claims) }
    workspace.serve({ ...service, deliver: (message, by) => service.deliver({ ...message, credentials }, by) })
    await expect(ofB!.invokeTool("tool:assistant/generate", ask, call)).rejects.toBeInstanceOf(IdentityError)
    expect(provider.hits).toHaveLength(1)
  })

  it("come under documents of their own where the option within sets their names apart", async () => {
    const { a, b, client, workspace } = open("company:Beta")
    const ofA = await client.asUser(a.mint(claims))
    const ofB = await client.asUser(b.mint(claims))
    const [canA, canB] = await Promise.all(
      [ofA, ofB].map(async (user) => {
        const decisions = await Promise.all([user.can("complete", {}), user.can("embed", {})])
        return decisions.map(({ verdict }) => verdict)
      })
    )
    expect([canA, canB]).toEqual([
      ["deny", "allow"],
      ["allow", "deny"]
    ])
    await ofB.chat.completions.create(ask)
    await expect(ofB.chat.completions.create(ask)).rejects.toThrow(/user:Beta\/alice allows user:Beta\/alice/)
    await ofA.chat.completions.create(ask)
    const records = (await workspace.records()) as unknown as ReadonlyArray<RecordOfCall>
    expect(records.find(({ kind }) => kind === "decision")?.principal).toEqual({
      kind: "user",
      id: "Beta/alice",
      iss: "https://b.example",
      sub: "7",
      documents: ["company:Beta", "role:Beta/admin"],
      roles: ["Beta/admin"]
    })
  })

  it("cannot name what is the other issuer's", async () => {
    const { a, client } = open("company:Beta")
    for (const stolen of [{ preferred_username: "Beta/alice" }, { company: "Beta" }, { roles: ["Beta/admin"] }])
      await expect(client.asUser(a.mint({ ...claims, ...stolen }))).rejects.toThrow(/only issuer https:\/\/b.example/)
  })
})
