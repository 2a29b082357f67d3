import { OpenAI } from "openai"
import { ResponsesWS } from "openai/resources/responses/ws"
import { describe, expect, it, vi } from "vitest"
import {
  AgentClient,
  BindError,
  ClosedError,
  ConfigurationError,
  EnforcementUnavailableError,
  IdentityError,
  PolicyDeniedError,
  SecureOpenAI,
  type SecureOptions,
  UnboundError,
  Workspace
} from "../../src/index.ts"
import { makeIssuer, mintToken, testIssuer } from "../../src/testing/index.ts"
import { openProvider } from "./fixture.ts"

const messages = [{ role: "user" as const, content: "Hello" }]
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

const limits = (name: string, model: string, max: number) => ({
  policy_id: `user:${name}`,
  resources: ["tool:assistant/**"],
  constraints: { parameters: { "tool:assistant/generate": { model: [model], max_tokens: { max } } } }
})
const policies = [
  { policy_id: "app:assistant", resources: ["tool:assistant/**"] },
  limits("alice", "gpt-3.5-turbo", 500),
  limits("bob", "gpt-4", 2000),
  { policy_id: "agent:planner", resources: ["tool:assistant/generate"] },
  {
    policy_id: "user:carol",
    resources: ["tool:assistant/generate", "tool:assistant/get_weather"],
    denied_resources: ["api:assistant/batches"]
  }
]

const { openClient, openWorkspace, provider } = await openProvider()

const make = (options: SecureOptions = {}) => {
  const workspace = options.workspace ?? openWorkspace({ issuers: testIssuer, policies })
  const client = openClient({ appName: "assistant", ...options, workspace })
  return { client, workspace, records: () => workspace.records() }
}

describe("binding users", () => {
  it("gives each user their own model and tokens, at once, through one service", async () => {
    const { client, records } = make()
    await using alice = await client.asUser(mintToken({ sub: "alice" }))
    await using bob = await client.asUser(mintToken({ sub: "bob" }))
    await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        (i % 2 === 0 ? alice : bob).chat.completions.create({
          model: "gpt-4",
          max_tokens: 4000,
          messages: [{ role: "user", content: i % 2 === 0 ? "from alice" : "from bob" }]
        })
      )
    )
    for (const { body } of provider.hits) {
      const from = (body["messages"] as ReadonlyArray<{ readonly content: string }>)[0]?.content
      expect([body["model"], body["max_tokens"]]).toEqual(
        from === "from alice" ? ["gpt-3.5-turbo", 500] : ["gpt-4", 2000]
      )
    }
    expect(provider.hits).toHaveLength(40)
    const principals = (await records())
      .filter((r) => r.kind === "decision")
      .map((r) => (r["principal"] as { id: string }).id)
    expect(principals.filter((p) => p === "alice")).toHaveLength(20)
    expect(principals.filter((p) => p === "bob")).toHaveLength(20)
  })

  it("binds a registered AgentClient, tells who it is, and unbinds", async () => {
    const { client, workspace } = make()
    const user = new AgentClient({
      userName: "alice",
      iamToken: mintToken({ sub: "alice" }),
      agentType: "user",
      workspace
    })
    expect(() => client.bindToUser(user)).toThrow(BindError)
    await user.register()
    expect(user.registered).toBe(true)
    const bound = client.bindToUser(user)
    expect(bound).toBeInstanceOf(SecureOpenAI)
    expect(bound).toBeInstanceOf(OpenAI)
    expect([bound.isBound, client.isBound, bound.userClient]).toEqual([true, false, user])
    await bound.chat.completions.create({ model: "gpt-4", messages })
    expect(provider.hits[0]?.body).toMatchObject({ model: "gpt-3.5-turbo", max_tokens: 500 })
    await bound.withOptions({ timeout: 5000 }).chat.completions.create({ model: "gpt-4", messages })
    expect(provider.hits[1]?.body).toMatchObject({ model: "gpt-3.5-turbo", max_tokens: 500 })
    bound.unbind()
    await expect(bound.chat.completions.create({ model: "gpt-4", messages })).rejects.toBeInstanceOf(UnboundError)
    await expect(bound.models.list()).rejects.toBeInstanceOf(UnboundError)
  })

  it("ends the streams of a binding with it", async () => {
    const { client, records } = make()
    const alice = await client.asUser(mintToken({ sub: "alice" }))
    provider.behave({ chunks: 500, every: 5 })
    const stream = await alice.chat.completions.create({ model: "gpt-4", messages, stream: true })
    let n = 0
    const read = async () => {
      for await (const _ of stream) if (++n === 3) alice.unbind()
    }
    await expect(read()).rejects.toBeInstanceOf(UnboundError)
    await wait(40)
    expect(provider.closed()).toBe(1)
    expect((await records()).at(-1)).toMatchObject({ kind: "outcome", result: "aborted" })
  })

  it.each([
    ["not_registered", (_c: SecureOpenAI, w: Workspace) => new AgentClient({ iamToken: mintToken(), workspace: w })],
    ["not_registered", () => ({ registered: true }) as unknown as AgentClient],
    [
      "not_user",
      (_c: SecureOpenAI, w: Workspace) =>
        new AgentClient({ agentType: "agent", appName: "planner", workspace: w }).register()
    ],
    ["other_workspace", () => new AgentClient({ iamToken: mintToken(), workspace: make().workspace }).register()]
  ])("refuses to bind: %s", async (code, userOf) => {
    const { client, records, workspace } = make()
    const user = await userOf(client, workspace)
    const refused = (() => {
      try {
        return client.bindToUser(user)
      } catch (error) {
        return error
      }
    })()
    expect(refused).toBeInstanceOf(BindError)
    expect((refused as BindError).code).toBe(code)
    await wait(10)
    expect((await records()).at(-1)).toMatchObject({ kind: "refused", tool: "identity:register", code })
  })

  it("refuses to bind on a bound client and in user mode", async () => {
    const { client, workspace } = make()
    const user = await new AgentClient({ iamToken: mintToken(), workspace }).register()
    const codeOf = (f: () => unknown) => {
      try {
        f()
        return "bound"
      } catch (error) {
        return (error as BindError).code
      }
    }
    const bound = client.bindToUser(user)
    expect(codeOf(() => bound.bindToUser(user))).toBe("not_service")
    const own = make({ workspace, jwtToken: mintToken() })
    expect(codeOf(() => own.client.bindToUser(user))).toBe("not_service")
  })

  it("keeps a bound client at its service's base URL", async () => {
    const { client } = make()
    const alice = await client.asUser(mintToken({ sub: "alice" }))
    await expect(alice.post("http://127.0.0.1:9/v1/chat/completions", { body: {} })).rejects.toBeInstanceOf(
      PolicyDeniedError
    )
    await expect(alice.get("http://127.0.0.1:9/v1/models")).rejects.toBeInstanceOf(PolicyDeniedError)
    expect(() => (alice.baseURL = "http://127.0.0.1:9/v1")).toThrow(ConfigurationError)
    expect(() => client.bindToUser(alice.userClient).withOptions({ baseURL: "http://x.test" })).toThrow(
      ConfigurationError
    )
    expect(provider.hits).toHaveLength(0)
  })

  it("ends with the service, and with the user's registration", async () => {
    const { client } = make()
    const alice = await client.asUser(mintToken({ sub: "alice" }))
    await client.close()
    await expect(alice.chat.completions.create({ model: "gpt-4", messages })).rejects.toBeInstanceOf(ClosedError)
    await expect(client.models.list()).rejects.toBeInstanceOf(ClosedError)
  })
})

describe("tokens", () => {
  const forged = makeIssuer(testIssuer.issuer, testIssuer.audience).mint({ sub: "alice" })
  it.each([
    ["forged", forged, "unknown_key"],
    ["expired", mintToken({ sub: "alice" }, { expiresIn: -120 }), undefined],
    ["for another audience", mintToken({ sub: "alice", aud: "other" }), undefined],
    ["from an unknown issuer", mintToken({ sub: "alice", iss: "https://evil.test" }), "issuer"],
    ["empty", "", "missing"]
  ])("refuses one that is %s, before anything is sent, and writes it down", async (_what, token, counted) => {
    const { client, records, workspace } = make()
    await expect(client.asUser(token)).rejects.toBeInstanceOf(IdentityError)
    const own = make({ workspace, jwtToken: token })
    expect(own.client.mode).toBe("user")
    await expect(own.client.ready()).rejects.toBeInstanceOf(IdentityError)
    const refused = await own.client.chat.completions.create({ model: "gpt-4", messages }).catch((e: unknown) => e)
    expect(refused).toBeInstanceOf(IdentityError)
    expect(refused).toBeInstanceOf(OpenAI.AuthenticationError)
    expect(refused).toMatchObject({ status: 401, code: "identity_invalid" })
    if (token !== "") expect(String(refused)).not.toContain(token)
    await expect(own.client.models.list()).rejects.toBeInstanceOf(IdentityError)
    expect(provider.hits).toHaveLength(0)
    const log = (await records()).filter((r) => r.kind.startsWith("refused"))
    if (counted === undefined)
      expect(log.map((r) => [r["tool"], r["stage"], r["status"]])).toEqual([
        ["identity:register", "identity", 401],
        ["tool:assistant/generate", "identity", 401],
        ["api:assistant/models", "identity", 401]
      ])
    else expect(log).toMatchObject([{ kind: "refused.many", count: 3, codes: [{ code: counted, count: 3 }] }])
  })

  it("are not told apart by a clock that was set back: 503, never 401, and the log says so", async () => {
    const { client, records } = make()
    const alice = await client.asUser(mintToken({ sub: "alice" }))
    const now = vi.spyOn(Date, "now").mockReturnValue(Date.now() - 60_000)
    try {
      for (const ask of [
        async () => alice.chat.completions.create({ model: "gpt-3.5-turbo", messages }),
        async () => alice.models.list(),
        async () => client.asUser(mintToken({ sub: "bob" }))
      ]) {
        const error: unknown = await ask().then(
          () => "accepted",
          (reason: unknown) => reason
        )
        expect(error).toBeInstanceOf(EnforcementUnavailableError)
        expect(error).toMatchObject({ status: 503, code: "enforcement_unavailable" })
        expect(String(error)).toContain("set back by 60 s")
      }
    } finally {
      now.mockRestore()
    }
    expect(provider.hits).toHaveLength(0)
    const all = await records()
    const log = all.filter((r) => r.kind === "refused")
    expect(log.map((r) => [r["tool"], r["stage"], r["status"]])).toEqual([
      ["tool:assistant/generate", "identity", 503],
      ["api:assistant/models", "identity", 503]
    ])
    // Of the token in this one nobody has verified anything.
    expect(all.at(-1)).toMatchObject({ kind: "refused.many", codes: [{ code: "clock_set_back", count: 1 }] })
    await alice.chat.completions.create({ model: "gpt-3.5-turbo", messages })
  })

  it("works in user mode, and holds the name against the token", async () => {
    const { client, workspace } = make({ jwtToken: mintToken({ sub: "alice" }), userName: "alice" })
    await client.ready()
    await client.chat.completions.create({ model: "gpt-4", messages })
    expect(provider.hits[0]?.body).toMatchObject({ model: "gpt-3.5-turbo", max_tokens: 500 })
    const other = make({ workspace, jwtToken: mintToken({ sub: "alice" }), userName: "bob" })
    await expect(other.client.ready()).rejects.toMatchObject({ reason: "name_mismatch" })
  })

  it("asks a token function again once the last token has expired", async () => {
    let asked = 0
    const { client } = make({
      // The first one ends a second from now: 29 of the 30 seconds of tolerance are over.
      jwtToken: async () =>
        mintToken({ sub: "alice" }, { expiresIn: asked++ === 0 ? 71 : 3600, now: Date.now() - 100_000 })
    })
    await client.chat.completions.create({ model: "gpt-4", messages })
    await wait(1100)
    await client.chat.completions.create({ model: "gpt-4", messages })
    await client.chat.completions.create({ model: "gpt-4", messages })
    expect(asked).toBe(2)
  })

  it("refuses a token function that starts to name somebody else, for a bound client and for one of its own", async () => {
    // Each token is over for its function at once, and within the tolerance for its verifier.
    let sub = "alice"
    const mint = (name: string) => mintToken({ sub: name }, { now: Date.now() - 100_000, expiresIn: 95 })
    const tokens: Readonly<Record<string, string>> = { alice: mint("alice"), bob: mint("bob") }
    const token = async () => tokens[sub] ?? ""
    const { client, records, workspace } = make()
    const bound = await client.asUser(token)
    const own = make({ workspace, jwtToken: token }).client
    const agent = await new AgentClient({ iamToken: token, appName: "assistant", workspace }).register()
    const ask = [
      () => bound.chat.completions.create({ model: "gpt-4", messages }),
      () => own.chat.completions.create({ model: "gpt-4", messages }),
      () => agent.invokeTool("tool:assistant/generate", { model: "gpt-4", messages }, { targetAgent: client.serverId })
    ]
    for (const one of ask) await one()
    expect(provider.hits).toHaveLength(3)
    sub = "bob"
    for (const one of ask) {
      const refused: unknown = await one().catch((e: unknown) => e)
      expect(refused).toBeInstanceOf(IdentityError)
      expect(refused).toMatchObject({ status: 401, code: "identity_invalid", reason: "subject_changed" })
    }
    await expect(bound.models.list()).rejects.toMatchObject({ reason: "subject_changed" })
    expect(provider.hits).toHaveLength(3)
    const refused = (await records()).filter((r) => r.kind === "refused")
    expect(refused.map((r) => [r["stage"], JSON.stringify(r["violations"])])).toEqual(
      Array.from({ length: 4 }, () => ["identity", '[{"code":"subject_changed"}]'])
    )
    // Another user may come by the same function, as one of their own.
    const bobs = await client.asUser(token)
    await bobs.chat.completions.create({ model: "gpt-4", messages })
    expect(provider.hits[3]?.body).toMatchObject({ model: "gpt-4" })
    sub = "alice"
    for (const one of ask) await one()
    await expect(bobs.models.list()).rejects.toMatchObject({ reason: "subject_changed" })
  })

  it("says how to configure an issuer where there is none, and never falls back to the service", () => {
    const workspace = new Workspace({ audit: "memory" })
    const { client } = make({ workspace, jwtToken: mintToken() })
    expect(() => make({ workspace, userName: "alice" })).toThrow(ConfigurationError)
    expect(() => make({ workspace, jwtToken: undefined as never })).toThrow(ConfigurationError)
    return expect(client.ready()).rejects.toThrow(/issuers: \{ issuer, audience \}|SECURE_OPENAI_ISSUER/)
  })
})

describe("families for users", () => {
  it("pass where everyone's do, and are refused where policy must allow them", async () => {
    const { client, records } = make()
    const carol = await client.asUser(mintToken({ sub: "carol" }))
    await carol.models.list()
    await expect(carol.batches.list()).rejects.toMatchObject({ status: 403, code: "policy_denied" })
    await expect(carol.responses.retrieve("resp_1")).rejects.toBeInstanceOf(PolicyDeniedError)
    await expect(carol.conversations.create({})).rejects.toBeInstanceOf(PolicyDeniedError)
    expect(provider.hits.map((h) => h.path)).toEqual(["/models"])
    await client.responses.retrieve("resp_1")
    const refused = (await records()).filter((r) => r.kind === "refused")
    expect(refused.map((r) => r["tool"])).toEqual(
      ["batches", "responses", "conversations"].map((f) => `api:assistant/${f}`)
    )
    for (const record of refused)
      expect(record).toMatchObject({ stage: "policy", code: "policy_denied", status: 403, principal: { id: "carol" } })
    const names = refused.flatMap((r) => (r["violations"] as ReadonlyArray<object>).flatMap((v) => Object.keys(v)))
    expect(names).toContain("code")
    expect(names.filter((name) => !["code", "path", "policy"].includes(name))).toEqual([])
  })
})

describe("sockets that nobody judges", () => {
  it("are not for users", async () => {
    const { client } = make()
    const alice = await client.asUser(mintToken({ sub: "alice" }))
    expect(() => new ResponsesWS(alice)).toThrow(PolicyDeniedError)
    expect(() => alice._buildWebSocketHeaders({})).toThrow(PolicyDeniedError)
    expect(client._buildWebSocketHeaders({ Authorization: "Bearer k" })).toMatchObject({ authorization: "Bearer k" })
    expect(provider.hits).toHaveLength(0)
  })
})

describe("agent to agent", () => {
  it("answers raw JSON and raw chunks under the caller's identity and both sides' policy", async () => {
    const { client, records, workspace } = make()
    const user = await new AgentClient({
      iamToken: mintToken({ sub: "alice" }),
      workspace,
      appName: "portal"
    }).register()
    const target = { targetAgent: client.serverId }
    const raw = await user.invokeTool("tool:assistant/generate", { model: "gpt-4", messages }, target)
    expect(raw.choices[0]?.message.content).toBe("hi from gpt-3.5-turbo")
    expect(provider.hits[0]?.body).toMatchObject({ model: "gpt-3.5-turbo", max_tokens: 500 })
    let text = ""
    for await (const chunk of await user.invokeTool(
      "tool:assistant/generate",
      { model: "gpt-4", messages },
      { ...target, stream: true }
    ))
      text += chunk.choices[0]?.delta.content ?? ""
    expect(text).toBe("t0t1t2")
    const completion = await user.invokeTool(
      "tool:assistant/complete",
      { model: "gpt-3.5-turbo-instruct", prompt: "x" },
      target
    )
    expect(completion.choices[0]?.text).toBe("hello")
    const embedding = await user.invokeTool(
      "tool:assistant/embed",
      { model: "text-embedding-3-small", input: "x" },
      target
    )
    expect(embedding.data[0]?.embedding).toEqual([1, 2])
    const decisions = (await records()).filter((r) => r.kind === "decision")
    expect(decisions.map((r) => (r["principal"] as { id: string }).id)).toEqual(Array(4).fill("alice"))
  })

  it("narrows one call by its own intent", async () => {
    const { client, workspace } = make()
    const user = await new AgentClient({ iamToken: mintToken({ sub: "bob" }), workspace }).register()
    const intentPolicy = { constraints: { parameters: { "tool:assistant/generate": { max_tokens: { max: 7 } } } } }
    await user.invokeTool(
      "tool:assistant/generate",
      { model: "gpt-4", messages },
      { targetAgent: client.serverId, intentPolicy }
    )
    expect(provider.hits[0]?.body["max_tokens"]).toBe(7)
  })

  it("calls registered functions, and agents without a token", async () => {
    const { client, workspace } = make()
    client.registerTool("get_weather", ({ city }, { principal }) => ({ city, asked: principal.id }))
    const carol = await new AgentClient({ iamToken: mintToken({ sub: "carol" }), workspace }).register()
    const target = { targetAgent: client.serverId }
    expect(await carol.invokeTool("tool:assistant/get_weather", { city: "Paris" }, target)).toEqual({
      city: "Paris",
      asked: "carol"
    })
    await expect(carol.invokeTool("tool:assistant/wire_money", {}, target)).rejects.toBeInstanceOf(PolicyDeniedError)
    const planner = await new AgentClient({ agentType: "agent", appName: "planner", workspace }).register()
    const raw = await planner.invokeTool("tool:assistant/generate", { model: "gpt-4", messages }, target)
    expect(raw.model).toBe("gpt-4")
  })

  it("refuses params that are not plain JSON, targets that are unknown, tools of others, and the unregistered", async () => {
    const { client, records, workspace } = make()
    const user = new AgentClient({ iamToken: mintToken({ sub: "alice" }), workspace })
    const target = { targetAgent: client.serverId }
    await expect(user.invokeTool("tool:assistant/generate", {}, target)).rejects.toMatchObject({
      code: "not_registered"
    })
    await user.register()
    for (const params of [
      { model: () => "gpt-4" },
      { at: new Date() },
      { n: Number.NaN },
      {
        get model() {
          return "gpt-4"
        }
      },
      new Map()
    ])
      await expect(user.invokeTool("tool:assistant/generate", params, target)).rejects.toBeInstanceOf(PolicyDeniedError)
    await expect(user.invokeTool("tool:assistant/generate", {}, { targetAgent: "nobody" })).rejects.toMatchObject({
      code: "not_registered"
    })
    await expect(user.invokeTool("tool:other/generate", {}, target)).rejects.toBeInstanceOf(PolicyDeniedError)
    await expect(
      user.invokeTool(
        "tool:assistant/generate",
        { model: "gpt-4", messages },
        { ...target, signal: AbortSignal.abort() }
      )
    ).rejects.toBeInstanceOf(OpenAI.APIUserAbortError)
    await user.unregister()
    await expect(
      user.invokeTool("tool:assistant/generate", { model: "gpt-4", messages }, target)
    ).rejects.toMatchObject({ code: "not_registered" })
    expect(provider.hits).toHaveLength(0)
    void records
  })
})

describe("tools that the model asks for", () => {
  const asks = [
    { name: "get_weather", arguments: '{"city":"Paris"}' },
    { name: "wire_money", arguments: '{"to":"eve"}' }
  ]
  const tools = asks.map(({ name }) => ({ type: "function" as const, function: { name, parameters: {} } }))

  it("reach the caller untouched, are recorded, and run judged as the bound user", async () => {
    const { client, records } = make()
    const ran: Array<unknown> = []
    client.registerTool<{ city: string }>("get_weather", ({ city }, { principal }) => {
      ran.push([city, principal.id])
      return "sunny"
    })
    client.registerTool("wire_money", () => ran.push("wired"))
    const carol = await client.asUser(mintToken({ sub: "carol" }))
    provider.behave({ toolCalls: asks })
    const answer = await carol.chat.completions.create({ model: "gpt-4", messages, tools })
    const calls = answer.choices[0]?.message.tool_calls ?? []
    expect(calls.map((c) => c.type === "function" && c.function)).toEqual(asks)
    const answers = await Promise.all(calls.map((call) => carol.invokeTool(call)))
    expect(answers[0]).toEqual({ role: "tool", tool_call_id: "call_0", content: "sunny" })
    expect(JSON.parse(answers[1]?.content ?? "")).toMatchObject({ error: { code: "policy_denied" } })
    // The model learns nothing of what else the user may do.
    expect(answers[1]?.content).not.toContain("generate")
    expect(ran).toEqual([["Paris", "carol"]])
    const asked = (await records()).filter((r) => r.kind === "tool_call").map((r) => [r["tool"], r["verdict"]])
    expect(asked).toEqual([
      ["tool:assistant/get_weather", "allow"],
      ["tool:assistant/wire_money", "deny"]
    ])
  })

  it("are recorded from a stream too", async () => {
    const { client, records } = make()
    const carol = await client.asUser(mintToken({ sub: "carol" }))
    provider.behave({ toolCalls: asks })
    await Array.fromAsync(await carol.chat.completions.create({ model: "gpt-4", messages, tools, stream: true }))
    const asked = (await records()).filter((r) => r.kind === "tool_call").map((r) => [r["tool"], r["verdict"]])
    expect(asked).toEqual([
      ["tool:assistant/get_weather", "allow"],
      ["tool:assistant/wire_money", "deny"]
    ])
  })

  it.each([false, true])("run judged in the SDK's runTools (stream: %s)", async (stream) => {
    const { client } = make()
    const carol = await client.asUser(mintToken({ sub: "carol" }))
    provider.behave({ toolCalls: asks })
    const ran: Array<string> = []
    const runner = carol.chat.completions.runTools({
      model: "gpt-4",
      messages,
      stream,
      tools: [
        {
          type: "function",
          function: {
            name: "get_weather",
            parameters: {},
            description: "weather",
            parse: (text: string) => JSON.parse(text) as { city: string },
            function: ({ city }: { city: string }) => {
              ran.push(city)
              return `sunny in ${city}`
            }
          }
        },
        {
          type: "function",
          function: { name: "wire_money", parameters: {}, description: "money", function: () => ran.push("wired") }
        }
      ]
    } as never)
    const contents: Array<unknown> = []
    runner.on("message", (message) => {
      if (message.role === "tool") contents.push(message.content)
      if (contents.length === 2) provider.behave({})
    })
    await runner.done().catch((error: unknown) => {
      if (!stream) throw error
    })
    expect(ran).toEqual(["Paris"])
    expect(contents[0]).toBe("sunny in Paris")
    expect(String(contents[1])).toContain("policy_denied")
  })

  describe("whose arguments are no JSON object, in the SDK's runTools", () => {
    const echo = "tool:assistant/echo"
    const rules: ReadonlyArray<[string, object, boolean]> = [
      ["a policy without bounds", {}, true],
      ["a bound", { constraints: { parameters: { [echo]: { amount: { max: 5 } } } } }, false],
      ["a denied value", { constraints: { denied_parameters: { [echo]: { account: ["x"] } } } }, false]
    ]
    it.each(rules)(
      "are given as they are, or refused where policy bounds them by name: %s",
      async (_name, rule, runs) => {
        const workspace = openWorkspace({
          issuers: testIssuer,
          policies: [
            { policy_id: "app:assistant", resources: ["tool:assistant/**"] },
            { policy_id: "user:erin", resources: ["tool:assistant/**"], ...rule }
          ]
        })
        const { client, records } = make({ workspace })
        const erin = await client.asUser(mintToken({ sub: "erin" }))
        const text = '{"amount": 9, "amount": 1, account: x}'
        provider.behave({
          toolCalls: [{ name: "echo", arguments: text }]
        })
        const given: Array<unknown> = []
        const runner = erin.chat.completions.runTools({
          model: "gpt-4",
          messages,
          tools: [
            {
              type: "function",
              function: {
                name: "echo",
                parameters: {},
                description: "echo",
                function: (raw: string) => {
                  given.push(raw)
                  return "done"
                }
              }
            }
          ]
        } as never)
        const contents: Array<unknown> = []
        runner.on("message", (message) => {
          if (message.role !== "tool") return
          contents.push(message.content)
          provider.behave({})
        })
        await runner.done()
        expect(given).toEqual(runs ? [text] : [])
        if (runs) expect(contents).toEqual(["done"])
        else expect(String(contents[0])).toContain("policy_denied")
        const log = (await records()).filter((record) => record["tool"] === echo && record.kind !== "tool_call")
        expect(log.map(({ kind }) => kind)).toEqual(runs ? ["decision"] : ["refused"])
      }
    )
  })
})
