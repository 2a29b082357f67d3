import { describe, expect, it } from "vitest"
import {
  AgentClient,
  IdentityError,
  PolicyDeniedError,
  Prompt,
  Receipt,
  SecureOpenAI,
  type SecureOptions,
  type Workspace
} from "../../src/index.ts"
import type { Message } from "../../src/call/Delivery.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"
import { openProvider } from "./fixture.ts"

const messages = [{ role: "user" as const, content: "Hello" }]
const anything = (id: string) => ({ policy_id: id, resources: ["tool:**"] })
const capped = (id: string, max: number) => ({
  ...anything(id),
  constraints: { parameters: { "tool:*/generate": { max_tokens: { max } } } }
})
const policies = [
  anything("app:lab"),
  anything("app:shop"),
  capped("app:bank", 900),
  capped("user:alice", 500),
  anything("user:bob"),
  capped("agent:lab", 300),
  anything("agent:planner"),
  { policy_id: "user:carol", resources: ["tool:lab/ask_model"] },
  { policy_id: "user:dave", resources: ["tool:lab/by_*"], denied_resources: ["api:lab/images"] }
]

const { openClient, openWorkspace, provider } = await openProvider()

const open = () => {
  const workspace = openWorkspace({ issuers: testIssuer, policies })
  const service = (appName: string, options: SecureOptions = {}) => openClient({ appName, ...options, workspace })
  const user = (name: string) =>
    new AgentClient({ iamToken: mintToken({ sub: name }), appName: "inbox", workspace }).register()
  const agent = (appName: string, intentPolicy?: Record<string, unknown>) =>
    new AgentClient({ agentType: "agent", appName, workspace, ...(intentPolicy && { intentPolicy }) }).register()
  return { workspace, service, user, agent }
}

const decisions = async (workspace: Workspace) =>
  (await workspace.records()).filter(({ kind }) => kind === "decision") as unknown as ReadonlyArray<{
    readonly call: string
    readonly parent?: string
    readonly tool: string
    readonly policies: ReadonlyArray<string>
    readonly principal: { readonly kind: string; readonly id: string }
  }>
const claimsOf = (jws: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(jws.split(".")[1] ?? "", "base64url").toString())

describe("a chain of three agents", () => {
  /** Alice's agent asks `lab`, whose agent asks `shop`, whose agent asks the model of `bank`. */
  const chain = async () => {
    const { agent, service, user, workspace } = open()
    const bank = service("bank")
    const shop = service("shop")
    const lab = service("lab")
    const ofShop = await agent("shop")
    const ofLab = await agent("lab")
    shop.registerTool<{ max?: number }>("buy", async ({ max }, { principal }) => {
      const raw = await ofShop.invokeTool(
        "tool:bank/generate",
        { model: "gpt-4o", messages, ...(max !== undefined && { max_tokens: max }) },
        { targetAgent: bank.serverId }
      )
      return { buyer: `${principal.kind}:${principal.id}`, receipt: SecureOpenAI.receipt(raw)?.envelope }
    })
    lab.registerTool<object>("dig", (args) => ofLab.invokeTool("tool:shop/buy", args, { targetAgent: shop.serverId }))
    const alice = await user("alice")
    const dig = (args: object = {}, options: object = {}) =>
      alice.invokeTool("tool:lab/dig", args, { targetAgent: lab.serverId, ...options }) as Promise<{
        buyer: string
        receipt: string
      }>
    return { alice, bank, dig, lab, ofLab, ofShop, shop, user, workspace }
  }

  it("acts for its first caller, carries one root, and says in the log which call led to which", async () => {
    const { alice, dig, lab, ofLab, ofShop, shop, workspace } = await chain()
    const { buyer, receipt } = await dig()
    expect(buyer).toBe("user:alice")
    const said = await decisions(workspace)
    expect(said.map(({ tool }) => tool)).toEqual(["tool:lab/dig", "tool:shop/buy", "tool:bank/generate"])
    expect(said.map(({ parent }) => parent)).toEqual([undefined, said[0]?.call, said[1]?.call])
    expect(new Set(said.map(({ principal }) => `${principal.kind}:${principal.id}`))).toEqual(new Set(["user:alice"]))
    const claims = claimsOf(receipt)
    // Alice → lab → its agent → shop → its agent → bank → provider: five envelopes before the last one.
    expect(claims).toMatchObject({ sub: "alice", dep: 5, aud: new URL(provider.url).origin })
    expect(claims["txn"]).not.toBe(claims["jti"])
    const acted: Array<unknown> = []
    for (let act = claims["act"] as { sub: string; act?: never } | undefined; act !== undefined; act = act.act)
      acted.push(act.sub)
    expect(acted).toEqual([ofShop.agentId, shop.serverId, ofLab.agentId, lab.serverId, alice.agentId])
  })

  it("is bound by everyone's policies and intents: the narrowest holds", async () => {
    const { dig, workspace } = await chain()
    await dig({ max: 10_000 })
    // alice 500, agent:lab 300, app:bank 900.
    expect(provider.hits[0]?.body["max_tokens"]).toBe(300)
    expect((await decisions(workspace))[2]?.policies).toEqual(
      expect.arrayContaining(["user:alice", "agent:lab", "app:bank"])
    )
    const intentPolicy = { constraints: { parameters: { "tool:bank/generate": { max_tokens: { max: 20 } } } } }
    await dig({ max: 10_000 }, { intentPolicy })
    expect(provider.hits[1]?.body["max_tokens"]).toBe(20)
    const onlyLab = { resources: ["tool:lab/**", "tool:shop/**"] }
    await expect(dig({}, { intentPolicy: onlyLab })).rejects.toBeInstanceOf(PolicyDeniedError)
    expect(provider.hits).toHaveLength(2)
  })

  it("keeps concurrent chains of many users apart", async () => {
    const { dig, lab, user, workspace } = await chain()
    const bob = await user("bob")
    const asBob = () =>
      bob.invokeTool("tool:lab/dig", { max: 1 }, { targetAgent: lab.serverId }) as Promise<{ buyer: string }>
    const buyers = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => (await (i % 2 === 0 ? dig() : asBob())).buyer)
    )
    expect(buyers).toEqual(Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? "user:alice" : "user:bob")))
    const said = await decisions(workspace)
    const of = new Map(said.map((record) => [record.call, record]))
    for (const { parent, principal } of said)
      if (parent !== undefined) expect(of.get(parent)?.principal.id).toBe(principal.id)
  })

  it("lets nobody inside it call in another's name", async () => {
    const { service, user, workspace } = open()
    const lab = service("lab")
    const shop = service("shop")
    const bob = await user("bob")
    lab.registerTool("rob", () =>
      bob.invokeTool("tool:shop/generate", { model: "gpt-4o", messages }, { targetAgent: shop.serverId })
    )
    const alice = await user("alice")
    const robbed = alice.invokeTool("tool:lab/rob", {}, { targetAgent: lab.serverId })
    await expect(robbed).rejects.toThrow(/another principal than its parent/)
    expect(provider.hits).toEqual([])
    // Outside of Alice's call Bob's agent may.
    await bob.invokeTool("tool:shop/generate", { model: "gpt-4o", messages }, { targetAgent: shop.serverId })
    expect((await workspace.records()).filter(({ kind }) => kind === "refused")).toHaveLength(1)
  })

  it("ends where a delivery leaves something of it out, or is used twice", async () => {
    const { agent, service, user, workspace } = open()
    const lab = service("lab")
    const shop = service("shop")
    const ofLab = await agent("lab")
    const deliver = workspace.service(shop.serverId)!
    let change: (message: Message) => object = () => ({})
    let times = 1
    workspace.serve({
      ...deliver,
      deliver: async (message, by) => {
        let last: unknown
        for (let i = 0; i < times; i++) last = await deliver.deliver({ ...message, ...change(message) }, by)
        return last
      }
    })
    const served = workspace.service(shop.serverId)
    lab.registerTool("dig", () =>
      ofLab.invokeTool("tool:shop/generate", { model: "gpt-4o", messages }, { targetAgent: shop.serverId })
    )
    const alice = await user("alice")
    const dig = () => alice.invokeTool("tool:lab/dig", {}, { targetAgent: lab.serverId })
    await dig()
    const attempts: ReadonlyArray<readonly [typeof change, RegExp]> = [
      [() => ({ chain: [] }), /0 envelopes came with it/],
      [({ chain }) => ({ chain: chain.slice(1) }), /1 envelopes came with it/],
      [({ chain }) => ({ chain: chain.toReversed() }), /another depth|no root/],
      [() => ({ behalf: [] }), /leaves out an agent/],
      [() => ({ credentials: { _tag: "App" } }), /another token|another principal/],
      [() => ({ credentials: { _tag: "Agent", name: ofLab.appName } }), /another token|another principal/],
      [({ bytes }) => ({ bytes: bytes.replace("Hello", "Hi") }), /other params/]
    ]
    for (const [attempt, message] of attempts) {
      change = attempt
      await expect(dig()).rejects.toThrow(message)
    }
    change = () => ({})
    times = 2
    await expect(dig()).rejects.toThrow(/used before/)
    expect(provider.hits).toHaveLength(2)
    expect(served).toBeDefined()
  })

  it("cannot be gone on with once its time is over", async () => {
    const { agent, service, user } = open()
    const lab = service("lab")
    const shop = service("shop")
    const ofLab = await agent("lab")
    lab.registerTool("wait", async () => {
      const { now } = Date
      Date.now = () => now() + 61_000
      try {
        return await ofLab.invokeTool(
          "tool:shop/generate",
          { model: "gpt-4o", messages },
          { targetAgent: shop.serverId }
        )
      } finally {
        Date.now = now
      }
    })
    const alice = await user("alice")
    const late = alice.invokeTool("tool:lab/wait", {}, { targetAgent: lab.serverId })
    await expect(late).rejects.toThrow(IdentityError)
    await expect(alice.invokeTool("tool:lab/wait", {}, { targetAgent: lab.serverId })).rejects.toThrow(/expired/)
    expect(provider.hits).toEqual([])
  })
})

describe("calls because of a call", () => {
  it("of a service's own client in a tool are bound by the user who asked", async () => {
    const { service, user, workspace } = open()
    const lab = service("lab")
    lab.registerTool("ask_model", async () => {
      const { choices } = await lab.chat.completions.create({ model: "gpt-4o", messages, max_tokens: 10_000 })
      return choices[0]?.message.content
    })
    const target = { targetAgent: lab.serverId }
    await (await user("alice")).invokeTool("tool:lab/ask_model", {}, target)
    expect(provider.hits[0]?.body["max_tokens"]).toBe(500)
    const [asked, model] = await decisions(workspace)
    expect(model?.parent).toBe(asked?.call)
    expect(model?.principal).toMatchObject({ kind: "app", id: "lab" })
    await expect((await user("carol")).invokeTool("tool:lab/ask_model", {}, target)).rejects.toThrow(PolicyDeniedError)
    expect(provider.hits).toHaveLength(1)
    // In its own right the service is not bound by them.
    await lab.chat.completions.create({ model: "gpt-4o", messages, max_tokens: 10_000 })
    expect(provider.hits[1]?.body["max_tokens"]).toBe(10_000)
  })

  it("of a service's own client in a tool are no wider for being made late, by another route or for an older answer", async () => {
    const { service, user, workspace } = open()
    const lab = service("lab")
    const ask = async () => (await lab.chat.completions.create({ model: "gpt-4o", messages })).choices[0]?.message
    lab.registerTool("inner", async () => (await ask())?.content)
    // Made outside of any call, so that the service alone is behind it.
    provider.behave({ toolCalls: [{ name: "inner", arguments: "{}" }], times: 1 })
    const older = (await ask())?.tool_calls?.[0]
    provider.behave({})
    if (older === undefined) throw new Error("the model asked for nothing")
    const routes: Record<string, () => unknown> = {
      *steps() {
        yield ask()
      },
      async *lateSteps() {
        yield await ask()
      },
      iterable: () => ({
        async *[Symbol.asyncIterator]() {
          yield await ask()
        }
      }),
      images: () => lab.images.generate({ prompt: "a cat" }),
      conversations: () => lab.conversations.create({}),
      sockets: () => lab._buildWebSocketHeaders({})
    }
    for (const [name, handler] of Object.entries(routes)) lab.registerTool(`by_${name}`, handler)
    const dave = await user("dave")
    const target = { targetAgent: lab.serverId }
    const take = async (name: string): Promise<unknown> => {
      const said = await dave.invokeTool(`tool:lab/by_${name}`, {}, target)
      if (typeof said !== "object" || said === null) return said
      if (Symbol.asyncIterator in said) for await (const one of said as AsyncIterable<unknown>) return one
      return Symbol.iterator in said ? (said as Iterable<unknown>)[Symbol.iterator]().next().value : said
    }
    provider.hits.length = 0
    for (const name of Object.keys(routes)) await expect(take(name)).rejects.toThrow(PolicyDeniedError)
    lab.registerTool("by_older", () => lab.invokeTool(older))
    expect(await dave.invokeTool("tool:lab/by_older", {}, target)).toMatchObject({
      content: expect.stringContaining("policy_denied")
    })
    expect(provider.hits).toEqual([])
    // So are the intents of the one call, of a user who may.
    const alice = await user("alice")
    const narrowed = (name: string) =>
      alice.invokeTool(
        `tool:lab/by_${name}`,
        {},
        { ...target, intentPolicy: { denied_resources: ["tool:lab/inner", "api:lab/images"] } }
      )
    expect(await narrowed("older")).toMatchObject({ content: expect.stringContaining("policy_denied") })
    await expect(narrowed("images")).rejects.toThrow(PolicyDeniedError)
    expect(provider.hits).toEqual([])
    // In its own right the service may do all of it.
    await lab.images.generate({ prompt: "a cat" })
    await lab.conversations.create({})
    await lab.invokeTool(older)
    expect(provider.hits).toHaveLength(3)
    // What passes says in the log which call it was made because of.
    lab.registerTool("by_models", async () => void (await lab.models.list()))
    await dave.invokeTool("tool:lab/by_models", {}, target)
    const [tool, passed] = (await workspace.records())
      .filter(({ kind }) => kind === "decision" || kind === "passthrough")
      .slice(-2)
    expect(passed).toMatchObject({ kind: "passthrough", tool: "api:lab/models", parent: tool?.["call"] })
  })

  it.each(["whole", "streamed"])("of the model are linked to the answer that asked for them, %s", async (kind) => {
    const { service, user, workspace } = open()
    const lab = service("lab")
    lab.registerTool<{ q: string }>("look", ({ q }) => `found ${q}`, { prompts: ["q"] })
    await using bound = lab.bindToUser(await user("alice"))
    provider.behave({ toolCalls: [{ name: "look", arguments: JSON.stringify({ q: "this" }) }] })
    const request = { model: "gpt-4o", messages }
    const completion =
      kind === "whole"
        ? await bound.chat.completions.create(request)
        : await bound.chat.completions.stream(request).finalChatCompletion()
    const toolCall = completion.choices[0]?.message.tool_calls?.[0]
    if (toolCall === undefined) throw new Error("the model asked for nothing")
    const message = await bound.invokeTool(toolCall)
    expect(message.content).toBe("found this")
    const [asked, ran] = await decisions(workspace)
    expect(ran).toMatchObject({ tool: "tool:lab/look", parent: asked?.call })
    const before = SecureOpenAI.receipt(completion)
    const after = SecureOpenAI.receipt(message)
    expect(claimsOf(after?.envelope ?? "")).toMatchObject({ dep: 1, txn: claimsOf(before?.envelope ?? "")["jti"] })
    // Another session's tool call of the same id is not linked.
    await lab.invokeTool(toolCall)
    expect((await decisions(workspace))[2]?.parent).toBeUndefined()
  })

  it("of runTools are linked too", async () => {
    const { service, workspace } = open()
    const lab = service("lab")
    provider.behave({ toolCalls: [{ name: "look", arguments: "{}" }], times: 1 })
    const runner = lab.chat.completions.runTools(
      {
        model: "gpt-4o",
        messages,
        tools: [
          {
            type: "function",
            function: { name: "look", function: () => "seen", parse: JSON.parse, description: "", parameters: {} }
          }
        ]
      },
      { maxChatCompletions: 1 }
    )
    await runner.done()
    const [asked, ran] = await decisions(workspace)
    expect(ran).toMatchObject({ tool: "tool:lab/look", parent: asked?.call })
  })

  it("have a receipt, by which a third party proves what the tool was asked", async () => {
    const { service, user, workspace } = open()
    const lab = service("lab")
    lab.registerTool<{ question: string; parts: ReadonlyArray<string> }>("ask", () => ({ said: "yes" }), {
      prompts: ["question", "parts"]
    })
    const args = { question: "why?", parts: ["a", "b"], other: 1 }
    const answer = await (await user("alice")).invokeTool("tool:lab/ask", args, { targetAgent: lab.serverId })
    const receipt = SecureOpenAI.receipt(answer)
    if (receipt === undefined) throw new Error("there is no receipt")
    const records = await workspace.records()
    const claims = Receipt.verifyInLog(receipt.jws, records)
    expect(claims).toMatchObject({ valid: true, claims: { tool: "tool:lab/ask", sub: "alice" } })
    const { kid } = JSON.parse(Buffer.from(receipt.jws.split(".")[0] ?? "", "base64url").toString())
    const jwk = records.find((record) => record.kind === "key.active" && record["kid"] === kid)?.["jwk"] as object
    const proof = { envelope: receipt.envelope, receipt: receipt.jws, jwk }
    expect(Prompt.verify(proof, { question: "why?", parts: ["a", "b"] }).valid).toBe(true)
    expect(Prompt.verify(proof, { question: "why?", parts: ["b", "a"] }).valid).toBe(false)
    const again = await (await user("bob")).invokeTool("tool:lab/ask", args, { targetAgent: lab.serverId })
    const another = { ...proof, receipt: SecureOpenAI.receipt(again)?.jws }
    expect(Prompt.verify(another, { question: "why?", parts: ["a", "b"] })).toMatchObject({
      reason: /another envelope/
    })
    expect(receipt.envelope).not.toContain("why")
    expect(JSON.stringify(records)).not.toContain("why?")
    for (const prompts of ["question", [""], [1], 7] as unknown as ReadonlyArray<never>)
      expect(() => lab.registerTool("x", () => 1, { prompts })).toThrow(/prompts/)
    expect(() => lab.registerTool("x", () => 1, { prompt: [] } as object)).toThrow(/Unknown option "prompt"/)
  })
})
