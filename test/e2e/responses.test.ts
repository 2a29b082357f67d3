/** The Responses API through every stage: judged as chat is, rewritten in its own spellings, followed to its end. */
import { OpenAI } from "openai"
import { zodTextFormat } from "openai/helpers/zod"
import { describe, expect, it } from "vitest"
import { z } from "zod"
import { AgentClient, PolicyDeniedError, SecureOpenAI, type SecureOptions } from "../../src/index.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"
import { aboutCalls, openProvider } from "./fixture.ts"

const policies = [
  { policy_id: "app:my-app", resources: ["tool:my-app/**"] },
  {
    policy_id: "user:alice",
    resources: ["tool:my-app/generate"],
    constraints: {
      parameters: {
        "tool:my-app/generate": { model: ["gpt-4o-mini"], max_tokens: { max: 500 } }
      },
      denied_parameters: { "tool:my-app/generate": { "tools[].function.name": ["rm*"] } }
    }
  },
  {
    policy_id: "user:bob",
    resources: ["tool:my-app/generate"],
    constraints: { parameters: { "tool:my-app/generate": { model: ["gpt-4o", "gpt-4o-mini"] } } }
  }
]

const { openClient, openWorkspace, provider } = await openProvider()
const bare = new OpenAI({ apiKey: "k", baseURL: provider.url, maxRetries: 0 })

const make = (options: SecureOptions & ConstructorParameters<typeof OpenAI>[0] = {}) => {
  const workspace = openWorkspace({ policies, issuers: testIssuer })
  const client = openClient({ appName: "my-app", workspace, ...options })
  return { about: () => aboutCalls(workspace), client, workspace }
}

const asked = () => provider.hits.map(({ body, path }) => [path, body])

describe("a response", () => {
  it("is the SDK's own, with its helpers' fields, and sends what the SDK sends", async () => {
    const { about, client } = make()
    const params = { model: "gpt-4o", input: "Hello", metadata: { z: "1", "10": "2" } }
    const theirs = await bare.responses.create(params)
    const ours = await client.responses.create(params)
    expect(ours.output_text).toBe("hi from gpt-4o")
    expect(ours).toEqual({ ...theirs, id: ours.id, output: [{ ...theirs.output[0], id: ours.output[0]?.id }] })
    expect(ours._request_id).toBe("req_2")
    expect(provider.hits[1]?.text).toBe(provider.hits[0]?.text)
    const { data, response } = await client.responses.create(params).withResponse()
    expect([data.output_text, response.status]).toEqual(["hi from gpt-4o", 200])
    const raw = await client.responses.create(params).asResponse()
    expect(await raw.json()).toMatchObject({ object: "response", model: "gpt-4o" })
    const kinds = (await about()).map((record) => record.kind)
    expect(kinds).toEqual(["decision", "outcome", "decision", "outcome", "decision", "outcome"])
    expect((await about())[0]).toMatchObject({
      tool: "tool:my-app/generate",
      model: "gpt-4o",
      endpoint: `POST ${provider.url}/responses`
    })
    expect((await about())[1]).toMatchObject({ result: "complete", usage: { input: 1, output: 1 } })
    expect(SecureOpenAI.receipt(ours)).toMatchObject({ verdict: "allow" })
  })

  it("is rewritten in the spellings of the Responses API, once a call", async () => {
    const { about, client } = make()
    await using alice = await client.asUser(mintToken({ sub: "alice" }))
    await alice.responses.create({ model: "gpt-4o", input: "a", max_output_tokens: 4000 })
    await alice.responses.create({ model: "gpt-4o-mini", input: [{ role: "user", content: "b" }] })
    await alice.beta.responses.create({ model: "gpt-4o", input: "c" })
    await alice.responses.create({ model: "gpt-4o-mini", input: "d", max_tokens: 9000 } as never)
    expect(asked()).toEqual([
      ["/responses", { model: "gpt-4o-mini", input: "a", max_output_tokens: 500 }],
      ["/responses", { model: "gpt-4o-mini", input: [{ role: "user", content: "b" }], max_output_tokens: 500 }],
      ["/responses?beta=true", { model: "gpt-4o-mini", input: "c", max_output_tokens: 500 }],
      ["/responses", { model: "gpt-4o-mini", input: "d", max_output_tokens: 500 }]
    ])
    expect((await about()).filter(({ kind }) => kind === "decision")).toHaveLength(4)
  })

  it.each([
    ["a function by its name", { tools: [{ type: "function", name: "rm_all", parameters: null, strict: null }] }],
    ["a custom tool", { tools: [{ type: "custom", name: "rmdir" }] }],
    ["a hosted tool, which has no name", { tools: [{ type: "mcp", server_label: "x", server_url: "https://x.test" }] }]
  ])("that offers %s is refused where tools are bounded", async (what, more) => {
    const { client } = make({
      intentPolicy: {
        constraints: { parameters: { "tool:my-app/generate": { "tools[].function.name": ["get_*", "rm*"] } } }
      }
    })
    const alice = await client.asUser(mintToken({ sub: "alice" }))
    const call = alice.responses.create({ model: "gpt-4o-mini", input: "x", ...(more as object) })
    const refused: PolicyDeniedError = await call.then(
      () => Promise.reject(new Error("answered")),
      (error) => error
    )
    expect(refused).toBeInstanceOf(PolicyDeniedError)
    expect(refused.decision.violations.map(({ path }) => path)).toEqual([
      what.startsWith("a hosted") ? "tools[0]" : "tools[0].name"
    ])
    expect(provider.hits).toHaveLength(0)
  })

  it("is parsed as the SDK parses it", async () => {
    const { client } = make()
    const parsed = await client.responses.parse({
      model: "gpt-4o",
      input: "x",
      text: { format: zodTextFormat(z.object({ a: z.number() }), "it") }
    })
    expect(parsed.output_parsed).toEqual({ a: 1 })
  })

  it("may be compacted, with another model, but not by one whose output is capped", async () => {
    const { client } = make()
    const [alice, bob] = [
      await client.asUser(mintToken({ sub: "alice" })),
      await client.asUser(mintToken({ sub: "bob" }))
    ]
    const compacted = await bob.responses.compact({ model: "gpt-5-pro" as never, input: "x" })
    expect(compacted.object).toBe("response.compaction")
    expect(asked()).toEqual([["/responses/compact", { model: "gpt-4o", input: "x" }]])
    for (const more of [{}, { max_output_tokens: 100 }, { max_tokens: 1 }]) {
      const refused = alice.responses.compact({ model: "gpt-4o-mini" as never, input: "x", ...more })
      await expect(refused).rejects.toMatchObject({ status: 403, code: "policy_denied" })
      await expect(refused).rejects.toThrow("/responses/compact takes no cap on output tokens")
    }
    expect(provider.hits).toHaveLength(1)
  })

  it("tells the log which of the caller's tools the model asked for", async () => {
    const { about, client } = make()
    provider.behave({ toolCalls: [{ name: "get_weather", arguments: '{"city":"Rome"}' }] })
    await client.responses.create({ model: "gpt-4o", input: "x" })
    for await (const _ of await client.responses.create({ model: "gpt-4o", input: "x", stream: true })) void _
    const calls = (await about()).filter(({ kind }) => kind === "tool_call")
    expect(calls.map((record) => [record["tool"], record["verdict"]])).toEqual([
      ["tool:my-app/get_weather", "allow"],
      ["tool:my-app/get_weather", "allow"]
    ])
  })

  it("that is stored is fetched and deleted through its family, which users need to be given", async () => {
    const { about, client } = make()
    await client.responses.retrieve("resp_1")
    await client.responses.delete("resp_1")
    await client.responses.cancel("resp_1")
    await client.responses.inputTokens.count({ model: "gpt-4o", input: "x" })
    const alice = await client.asUser(mintToken({ sub: "alice" }))
    await expect(alice.responses.retrieve("resp_1")).rejects.toBeInstanceOf(PolicyDeniedError)
    const tools = (await about()).filter(({ kind }) => kind === "passthrough" || kind === "refused")
    expect(tools.map((record) => record["tool"])).toEqual(tools.map(() => "api:my-app/responses"))
    expect(provider.hits).toHaveLength(4)
  })
})

describe("a streamed response", () => {
  it("gives the SDK's events and ends without a sentinel", async () => {
    const { about, client } = make()
    const params = { model: "gpt-4o", input: "x", stream: true } as const
    const theirs = await Array.fromAsync(await bare.responses.create(params))
    const ours = await Array.fromAsync(await client.responses.create(params))
    expect(ours.map(({ type }) => type)).toEqual(theirs.map(({ type }) => type))
    expect(ours.at(-1)?.type).toBe("response.completed")
    expect((await about()).at(-1)).toMatchObject({ result: "complete", usage: { input: 1, output: 1 } })
    expect(SecureOpenAI.receipt(ours[0])).toBeUndefined()
  })

  it("is gathered by the SDK's helper, and capped", async () => {
    const { client } = make()
    const alice = await client.asUser(mintToken({ sub: "alice" }))
    const events: Array<string> = []
    const stream = alice.responses
      .stream({ model: "gpt-4o", input: "x" })
      .on("response.output_text.delta", ({ delta }) => events.push(delta))
    expect((await stream.finalResponse()).output_text).toBe("hi from gpt-4o-mini")
    expect(events.join("")).toBe("hi from gpt-4o-mini")
    expect(asked()).toMatchObject([["/responses", { model: "gpt-4o-mini", max_output_tokens: 500, stream: true }]])
  })

  it("is cut where its last event is missing, and where its connection is", async () => {
    const { about, client } = make()
    const read = async () => {
      for await (const _ of await client.responses.create({ model: "gpt-4o", input: "x", stream: true })) void _
    }
    provider.behave({ endless: true })
    await read()
    provider.behave({ cutAfter: 2, every: 5 })
    await expect(read()).rejects.toThrow("terminated")
    const ends = (await about()).filter(({ kind }) => kind === "outcome").map((record) => record["result"])
    expect(ends).toEqual(["cut", "cut"])
  })
})

describe("agents", () => {
  it("reach the Responses API by an input, and chat by messages", async () => {
    const { client, workspace } = make()
    const iamToken = mintToken({ sub: "alice" })
    const alice = await new AgentClient({ iamToken, workspace, appName: "desk" }).register()
    const target = { targetAgent: client.serverId }
    const raw = await alice.invokeTool("tool:my-app/generate", { model: "gpt-4o", input: "x" }, target)
    expect(raw.output[0]).toMatchObject({ content: [{ text: "hi from gpt-4o-mini" }] })
    const chat = await alice.invokeTool("tool:my-app/generate", { model: "gpt-4o", messages: [] }, target)
    expect(chat.choices[0]?.message.content).toBe("hi from gpt-4o-mini")
    const types: Array<string> = []
    const events = await alice.invokeTool(
      "tool:my-app/generate",
      { model: "gpt-4o", input: "x" },
      { ...target, stream: true }
    )
    for await (const event of events) types.push(event.type)
    expect(types.at(-1)).toBe("response.completed")
    expect(provider.hits.map(({ path }) => path)).toEqual(["/responses", "/chat/completions", "/responses"])
    expect(await client.can("generate", { model: "gpt-4o", input: "x" })).toMatchObject({ verdict: "allow" })
  })
})
