/** Deployments: a client for Azure, a base URL that names a deployment, and names of one's own for models. */
import * as Effect from "effect/Effect"
import { AzureOpenAI, OpenAI } from "openai"
import { describe, expect, it } from "vitest"
import {
  AgentClient,
  Call,
  ConfigurationError,
  Pipeline,
  PolicyDeniedError,
  secure,
  SecureAzureOpenAI,
  secureFetch,
  SecureOpenAI,
  type SecureOptions
} from "../../src/index.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"
import { aboutCalls, openProvider } from "./fixture.ts"

const generate = "tool:my-app/generate"
const policies = [
  { policy_id: "app:my-app", resources: ["tool:my-app/**"] },
  {
    policy_id: "user:alice",
    resources: ["tool:my-app/**"],
    constraints: { parameters: { [generate]: { model: ["gpt-4o-mini", "gpt-3.5-turbo"], max_tokens: { max: 500 } } } }
  },
  {
    policy_id: "user:bob",
    resources: ["tool:my-app/**"],
    constraints: { parameters: { [generate]: { temperature: { max: 1 } } } }
  }
]
const deployments = { "prod-4o": "gpt-4o", cheap: "gpt-4o-mini", "cheap-2": "gpt-4o-mini" }
const messages = [{ role: "user" as const, content: "Hi" }]

const { openClient, opens, openWorkspace, provider } = await openProvider()
const endpoint = new URL(provider.url).origin

const workspaceOf = () => openWorkspace({ policies, issuers: testIssuer })

const make = (options: SecureOptions & ConstructorParameters<typeof AzureOpenAI>[0] = {}) => {
  const workspace = workspaceOf()
  const common = { appName: "my-app", apiKey: "k", apiVersion: "2024-10-21", maxRetries: 0, workspace }
  const client = opens(
    new SecureAzureOpenAI({ ...common, ...(options.baseURL === undefined && { endpoint }), ...options })
  )
  const about = () => aboutCalls(workspace)
  const alice = () => client.asUser(mintToken({ sub: "alice" }))
  return { about, alice, client, workspace }
}

const asked = () => provider.hits.map(({ body, path }) => [path.replace("?api-version=2024-10-21", ""), body["model"]])

describe("SecureAzureOpenAI", () => {
  it("is an AzureOpenAI that sends what AzureOpenAI sends", async () => {
    const { client } = make()
    expect(client).toBeInstanceOf(AzureOpenAI)
    const bare = new AzureOpenAI({ apiKey: "k", apiVersion: "2024-10-21", endpoint, maxRetries: 0 })
    for (const azure of [bare, client]) {
      await azure.chat.completions.create({ model: "gpt-4o", messages, logit_bias: { "10": 1, "9": 2 } })
      await azure.embeddings.create({ model: "text-embedding-3-small", input: "x" })
      await azure.responses.create({ model: "gpt-4o", input: "x" })
      for await (const _ of await azure.chat.completions.create({ model: "gpt-4o", messages, stream: true })) void _
      await azure.models.list()
    }
    const sent = provider.hits.map(({ headers, method, path, text }) => [method, path, text, headers["api-key"]])
    expect(sent).toHaveLength(10)
    expect(sent.slice(5)).toEqual(sent.slice(0, 5))
    expect(sent[5]?.slice(0, 2)).toEqual(["POST", "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"])
    await expect(client.chat.completions.create({ model: "..", messages })).rejects.toThrow("path parameter")
    expect(provider.hits).toHaveLength(10)
  })

  it("serves a library that takes only a fetch, and foresees for a user", async () => {
    const { alice } = make()
    const bound = await alice()
    const response = await secureFetch(bound)("https://api.openai.com/v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "gpt-4o", messages })
    })
    expect(response.status).toBe(200)
    expect(asked()).toEqual([["/openai/deployments/gpt-4o-mini/chat/completions", "gpt-4o-mini"]])
    expect((await bound.can("generate", { model: "gpt-4o", messages })).edits).not.toEqual([])
  })

  it("sends a call whose model policy changes to that model's deployment", async () => {
    const { about, alice } = make()
    await (await alice()).chat.completions.create({ model: "gpt-4o", messages })
    expect(asked()).toEqual([["/openai/deployments/gpt-4o-mini/chat/completions", "gpt-4o-mini"]])
    expect((await about()).find(({ kind }) => kind === "decision")).toMatchObject({
      model: "gpt-4o-mini",
      endpoint: `POST ${endpoint}/openai/deployments/gpt-4o-mini/chat/completions`
    })
  })

  it.each([
    ["prod-4o", "cheap", "gpt-4o"],
    ["cheap", "cheap", "gpt-4o-mini"],
    ["cheap-2", "cheap-2", "gpt-4o-mini"]
  ])("judges the model that the deployment %s serves, and goes to %s", async (name, target, model) => {
    const { about, alice, client } = make({ deployments })
    await (await alice()).chat.completions.create({ model: name, messages, max_tokens: 10 })
    expect(asked()).toEqual([[`/openai/deployments/${target}/chat/completions`, target]])
    const decision = (await about()).find(({ kind }) => kind === "decision")
    expect(decision).toMatchObject({ verdict: name === target ? "allow" : "rewrite", model: "gpt-4o-mini" })
    expect(decision?.["asked"]).toContainEqual({ path: "model", value: JSON.stringify(model) })
    const foreseen = await client.can("generate", { model: name, messages })
    expect(foreseen.verdict).toBe("allow")
  })

  it("judges what a configured deployment serves, whatever the body says", async () => {
    const { alice, client } = make({ deployment: "prod-4o", deployments })
    const user = await alice()
    await user.chat.completions.create({ model: "gpt-4o-mini", messages })
    await user.chat.completions.create({ messages } as never)
    expect(asked()).toEqual([
      ["/openai/deployments/cheap/chat/completions", "cheap"],
      ["/openai/deployments/cheap/chat/completions", "cheap"]
    ])
    await client.chat.completions.create({ model: "anything", messages })
    expect(asked()[2]).toEqual(["/openai/deployments/prod-4o/chat/completions", "anything"])
  })

  it("keeps the deployment's name where policy changes something else", async () => {
    const { client } = make({ deployments })
    const bob = await client.asUser(mintToken({ sub: "bob" }))
    await bob.chat.completions.create({ model: "prod-4o", messages, temperature: 2 })
    expect(asked()).toEqual([["/openai/deployments/prod-4o/chat/completions", "prod-4o"]])
    expect(provider.hits[0]?.body["temperature"]).toBe(1)
  })

  it("refuses a deployment of which nothing is known, and says where to name it", async () => {
    const { about, client } = make({ deployments })
    const call = client.chat.completions.create({ model: "secret", messages })
    await expect(call).rejects.toBeInstanceOf(PolicyDeniedError)
    await expect(call).rejects.toThrow(/"secret".*"deployments"/)
    expect((await about()).at(-1)).toMatchObject({ kind: "refused", stage: "egress", code: "unknown_deployment" })
    await expect(client.can("generate", { model: "secret", messages })).rejects.toThrow(/"secret"/)
    expect(provider.hits).toHaveLength(0)
    expect(() => make({ deployments: { a: 1 } as never })).toThrow(ConfigurationError)
  })

  it("refuses to lead a call to a model that no deployment serves", async () => {
    const { alice } = make({ deployments: { "prod-4o": "gpt-4o" } })
    const call = (await alice()).chat.completions.create({ model: "prod-4o", messages })
    await expect(call).rejects.toMatchObject({ code: "policy_denied" })
    expect(provider.hits).toHaveLength(0)
  })

  it.each([
    "../../x/gpt-4o?y=",
    "..\\..\\x",
    "..%2f..%2fx",
    "a/b",
    "a\\b",
    "%2e%2e",
    "%",
    "gpt-4o/",
    "gpt-4o#",
    "gpt-4o?x",
    "gpt-4o;x",
    "gpt-4o.",
    "gpt-4o ",
    " gpt-4o",
    ".gpt-4o",
    "...",
    "gpt-4o\u0000",
    "x".repeat(129)
  ])("refuses the deployment %j", async (model) => {
    const { alice, client } = make()
    for (const who of [client, await alice()]) {
      const call = who.chat.completions.create({ model, messages })
      await expect(call).rejects.toMatchObject({ status: 403, code: "policy_denied" })
    }
    expect(asked()).toEqual([])
  })

  it("takes a name that only has to be encoded for what it is", async () => {
    const { client } = make({ deployments: { "größe 4": "gpt-4o", "klein 4": "gpt-4o-mini" } })
    await client.chat.completions.create({ model: "größe 4", messages })
    const alice = await client.asUser(mintToken({ sub: "alice" }))
    await alice.chat.completions.create({ model: "größe 4", messages })
    expect(asked()).toEqual([
      ["/openai/deployments/gr%C3%B6%C3%9Fe%204/chat/completions", "größe 4"],
      ["/openai/deployments/klein%204/chat/completions", "klein 4"]
    ])
  })

  it("refuses a second deployment in the path", async () => {
    const { client } = make({ deployments })
    for (const path of [
      "/deployments/cheap/deployments/prod-4o/chat/completions",
      "/Deployments/prod-4o/chat/completions",
      "/deployments//prod-4o/chat/completions",
      "/deployments%2Fprod-4o/chat/completions",
      "/x/%64eployments/prod-4o/chat/completions"
    ])
      await expect(client.post(path, { body: { model: "cheap", messages } })).rejects.toMatchObject({
        status: 403
      })
    expect(asked()).toEqual([])
    // What a URL resolves by itself is judged as it is sent.
    const alice = await client.asUser(mintToken({ sub: "alice" }))
    for (const path of [
      "/deployments/cheap/%2e%2e/prod-4o/chat/completions",
      "/deployments\\prod-4o\\chat\\completions"
    ])
      await alice.post(path, { body: { model: "cheap", messages } })
    expect(asked().map(([path]) => path)).toEqual(Array(2).fill("/openai/deployments/cheap/chat/completions"))
  })

  it("serves agents, streams, clones, and user mode", async () => {
    const { client, workspace } = make({ deployments })
    const agent = await new AgentClient({ iamToken: mintToken({ sub: "alice" }), workspace }).register()
    const raw = await agent.invokeTool(generate, { model: "prod-4o", messages }, { targetAgent: client.serverId })
    expect(raw.choices[0]?.message.content).toBe("hi from cheap")
    const clone = client.withOptions({ timeout: 1000 })
    expect(clone).toBeInstanceOf(SecureAzureOpenAI)
    const alice = await clone.asUser(mintToken({ sub: "alice" }))
    for await (const _ of await alice.chat.completions.create({ model: "prod-4o", messages, stream: true })) void _
    const mine = new SecureAzureOpenAI({
      apiKey: "k",
      apiVersion: "2024-10-21",
      endpoint,
      appName: "my-app",
      deployments,
      jwtToken: mintToken({ sub: "alice" }),
      workspace
    })
    opens(mine)
    await mine.chat.completions.create({ model: "prod-4o", messages })
    expect(asked().map(([path]) => path)).toEqual(Array(3).fill("/openai/deployments/cheap/chat/completions"))
  })

  it("goes to the deployment of the model that a stage of one's own puts in", async () => {
    const cheaper = (model: string) =>
      Pipeline.layerFrom(
        ({ audit, identity, invocation, policy, rewriting, signing }) =>
          (call) =>
            identity
              .resolve(Call.withParams(call, { ...call.params, model }))
              .pipe(
                Effect.flatMap(signing.sign),
                Effect.flatMap(policy.evaluate),
                Effect.flatMap(rewriting.apply),
                Effect.flatMap(audit.commit),
                Effect.flatMap(invocation.invoke)
              )
      )
    const { client } = make({ deployments, layer: cheaper("gpt-4o-mini") })
    await client.chat.completions.create({ model: "prod-4o", messages })
    expect(asked()).toEqual([["/openai/deployments/cheap/chat/completions", "cheap"]])
    const other = make({ deployments, layer: cheaper("o1") }).client
    await expect(other.chat.completions.create({ model: "prod-4o", messages })).rejects.toThrow(/"o1"/)
    expect(provider.hits).toHaveLength(1)
  })

  it("needs no key with a layer of one's own, and takes a token provider with it", async () => {
    const { client } = make({
      apiKey: undefined as never,
      azureADTokenProvider: async () => "entra",
      layer: Pipeline.layer
    })
    await client.chat.completions.create({ model: "gpt-4o", messages })
    expect(provider.hits[0]?.headers["authorization"]).toBe("Bearer entra")
    const keyless = make({ apiKey: undefined as never, layer: Pipeline.layer }).client
    await expect(keyless.chat.completions.create({ model: "gpt-4o", messages })).rejects.toThrow(/no API key/)
    expect(provider.hits).toHaveLength(1)
  })

  it("takes a token provider, and its own options only", async () => {
    const { client } = make({ apiKey: undefined as never, azureADTokenProvider: async () => "entra" })
    await client.chat.completions.create({ model: "gpt-4o", messages })
    expect(provider.hits[0]?.headers["authorization"]).toBe("Bearer entra")
    expect(() => new SecureOpenAI({ apiVersion: "x" } as never)).toThrow(/Unknown option "apiVersion"/)
    expect(() => make({ apiVersoin: "x" } as never)).toThrow(/Unknown option "apiVersoin".*AzureOpenAI/)
  })
})

describe("a plain client", () => {
  const plain = (options: SecureOptions & { readonly baseURL: string }) =>
    openClient({ appName: "my-app", workspace: workspaceOf(), ...options })

  it("whose base URL names a deployment is judged by what that serves", async () => {
    const client = plain({ baseURL: `${endpoint}/openai/deployments/prod-4o`, deployments })
    const alice = await client.asUser(mintToken({ sub: "alice" }))
    await alice.chat.completions.create({ model: "gpt-4o-mini", messages })
    await client.chat.completions.create({ model: "gpt-4o-mini", messages })
    expect(asked()).toEqual([
      ["/openai/deployments/cheap/chat/completions", "cheap"],
      ["/openai/deployments/prod-4o/chat/completions", "gpt-4o-mini"]
    ])
  })

  it("asks for deployments in the model's place, chat and Responses alike", async () => {
    const client = plain({ baseURL: `${endpoint}/openai/v1`, deployments })
    const alice = await client.asUser(mintToken({ sub: "alice" }))
    await alice.chat.completions.create({ model: "prod-4o", messages })
    await alice.responses.create({ model: "cheap-2", input: "x" })
    expect(asked()).toEqual([
      ["/openai/v1/chat/completions", "cheap"],
      ["/openai/v1/responses", "cheap-2"]
    ])
    await expect(alice.chat.completions.create({ model: "gpt-4o-mini", messages })).rejects.toThrow(/gpt-4o-mini/)
  })
})

describe("secure", () => {
  it("makes a secure client of a class of one's own, which keeps its options", async () => {
    class Gateway extends OpenAI {
      readonly tenant: string
      constructor({ tenant, ...options }: ConstructorParameters<typeof OpenAI>[0] & { tenant: string }) {
        super({ ...options, defaultHeaders: { "x-tenant": tenant } })
        this.tenant = tenant
      }
    }
    const Secure = secure(Gateway)
    const client = new Secure({
      tenant: "acme",
      apiKey: "k",
      baseURL: provider.url,
      appName: "my-app",
      audit: "memory"
    })
    opens(client)
    expect([client.tenant, client instanceof Gateway, Secure.name]).toEqual(["acme", true, "SecureGateway"])
    await client.chat.completions.create({ model: "gpt-4o", messages })
    expect(provider.hits[0]?.headers["x-tenant"]).toBe("acme")
  })
})
