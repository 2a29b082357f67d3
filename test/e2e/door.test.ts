/** What the service sets itself stays on every client of it, pinned; what callers may add, two options say. */
import { createHash } from "node:crypto"
import { describe, expect, it } from "vitest"
import type { OpenAI } from "openai"
import {
  AgentClient,
  ConfigurationError,
  PolicyDeniedError,
  SecureAzureOpenAI,
  SecureOpenAI,
  Workspace
} from "../../src/index.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"
import { useProvider } from "./bypass/lab.ts"

const used = useProvider()
const { opened } = used

const asked = { model: "gpt-4o-mini", messages: [{ role: "user" as const, content: "Hello" }], max_tokens: 100 }
const documents = [
  { policy_id: "app:lab", resources: ["tool:lab/**", "api:lab/**"] },
  { policy_id: "user:alice", resources: ["tool:lab/**"] }
]
const open = (
  options: ConstructorParameters<typeof SecureOpenAI>[0] = {},
  policies: ReadonlyArray<object> | null = documents
) => {
  const workspace = new Workspace({
    audit: "memory",
    issuers: testIssuer,
    ...(policies !== null && { policies: policies as never })
  })
  const client = new SecureOpenAI({
    apiKey: "k",
    baseURL: used.provider.url,
    maxRetries: 0,
    appName: "lab",
    workspace,
    ...options
  })
  opened.push(client, workspace)
  return client
}
const alice = (client: SecureOpenAI) => client.asUser(mintToken({ sub: "alice" }))
const chat = (client: OpenAI, options: object = {}) => client.chat.completions.create(asked, options)
const denied = async (run: Promise<unknown>, code: string) => {
  const error: unknown = await run.then(
    () => undefined,
    (thrown: unknown) => thrown
  )
  expect(error).toBeInstanceOf(PolicyDeniedError)
  expect((error as PolicyDeniedError).decision.violations.map((violation) => violation.code)).toContain(code)
}

describe("what a service sets itself", () => {
  const set = {
    defaultQuery: { tenant: "a", list: ["1", "2"] as never },
    defaultHeaders: { "x-team": "blue", "openai-organization": "by-header" },
    organization: "org",
    project: "proj"
  }
  it("passes on its own client and its users', value by value", async () => {
    const service = open(set)
    const user = await alice(service)
    for (const client of [service, user, user.withOptions({ timeout: 5000 })]) {
      await chat(client)
      await client.models.list()
    }
    expect(used.provider.hits).toHaveLength(6)
    for (const { headers, path } of used.provider.hits) {
      expect(decodeURIComponent(path)).toMatch(/\?tenant=a&list\[\]=1&list\[\]=2$/)
      expect(headers).toMatchObject({ "x-team": "blue", "openai-organization": "by-header", "openai-project": "proj" })
    }
  })
  it("is not for a user to change", async () => {
    const user = await alice(open(set))
    await denied(chat(user, { query: { tenant: "b" } }), "foreign_query")
    await denied(chat(user, { query: { list: ["1", "2", "3"] } }), "foreign_query")
    await denied(chat(user, { headers: { "x-team": "red" } }), "foreign_header")
    await denied(chat(user, { headers: { "openai-organization": "other" } }), "foreign_header")
    expect(() => Object.assign(user, { organization: "other" })).toThrow(ConfigurationError)
    expect(() => Object.assign(user, { _options: { defaultHeaders: {} } })).toThrow(ConfigurationError)
    await chat(user)
    expect(used.provider.hits.splice(0)).toMatchObject([{ headers: { "x-team": "blue", "openai-project": "proj" } }])
    expect(used.provider.hits).toEqual([])
  })
  it("is what it was when the client was made", async () => {
    const defaultHeaders = { "x-team": "blue" }
    const user = await alice(open({ defaultHeaders }))
    defaultHeaders["x-team"] = "red"
    await denied(chat(user), "foreign_header")
  })
  it("may stand in the base URL", async () => {
    const user = await alice(open({ baseURL: `${used.provider.url}?tenant=a` }))
    await chat(user)
    expect(used.provider.hits[0]?.path).toBe("/chat/completions?tenant=a")
  })
  it("may be a key that a function gives, new each time", async () => {
    let n = 0
    const user = await alice(open({ apiKey: async () => `k${++n}` }))
    await chat(user)
    await chat(user)
    expect(used.provider.hits.map(({ headers }) => headers.authorization)).toEqual(["Bearer k1", "Bearer k2"])
    await denied(chat(user, { headers: { authorization: "Bearer k4" } }), "foreign_header")
  })
  it("may be a client's of Azure, its key and version", async () => {
    const workspace = new Workspace({ audit: "memory", issuers: testIssuer, policies: documents as never })
    const options = {
      apiKey: "k",
      endpoint: used.provider.url,
      apiVersion: "2024-10-21",
      maxRetries: 0,
      appName: "lab",
      workspace
    }
    const service = new SecureAzureOpenAI(options)
    opened.push(service, workspace)
    const user = await service.asUser(mintToken({ sub: "alice" }))
    await chat(user)
    expect(used.provider.hits[0]).toMatchObject({ headers: { "api-key": "k" } })
    expect(used.provider.hits[0]?.path).toMatch(/\?api-version=2024-10-21$/)
    await denied(chat(user, { headers: { "api-key": "other" } }), "foreign_header")
  })
  it("is the constructor's for a client with a token, too", async () => {
    const user = open({ ...set, jwtToken: mintToken({ sub: "alice" }) })
    await chat(user)
    await denied(chat(user, { query: { tenant: "b" } }), "foreign_query")
    expect(() => user.withOptions({ defaultHeaders: { "x-team": "red" } })).toThrow(ConfigurationError)
    expect(used.provider.hits).toHaveLength(1)
  })
})

describe("what callers may add", () => {
  it("is what allowedQuery and allowedHeaders name", async () => {
    const user = await alice(open({ allowedQuery: ["include"], allowedHeaders: ["X-Team"] }))
    await chat(user, { query: { include: ["a", "b"] }, headers: { "x-team": "red" } })
    await denied(chat(user, { query: { Include: "a" } }), "foreign_query")
    await denied(chat(user, { headers: { "x-teams": "red" } }), "foreign_header")
    expect(used.provider.hits).toHaveLength(1)
  })
  it.each([[{ allowedQuery: "include" }], [{ allowedHeaders: [1] }], [{ allowedHeaders: [""] }]])(
    "%j is no list of names",
    (options) => {
      expect(() => open(options as never)).toThrow(ConfigurationError)
    }
  )
  it("is everything, for a service that no document judges, as for the SDK", async () => {
    const service = open({}, null)
    await chat(service, { query: { model: "x" }, headers: { "openai-organization": "o", "x-any": "1" } })
    await service.post("/chat/completions", { body: { ...asked, Model: "gpt-5-pro" } })
    expect(used.provider.hits.map(({ path }) => path)).toEqual(["/chat/completions?model=x", "/chat/completions"])
    await denied(chat(await alice(service), { query: { model: "x" } }), "foreign_query")
  })
  it("is judged where an intent policy is all that judges", async () => {
    const service = open(
      { intentPolicy: { constraints: { parameters: { "tool:lab/generate": { max_tokens: { max: 500 } } } } } },
      null
    )
    await denied(chat(service, { query: { model: "x" } }), "foreign_query")
    await denied(
      service.post("/chat/completions", { body: { ...asked, MAX_TOKENS: 9 } }) as Promise<unknown>,
      "invalid_body"
    )
    expect(used.provider.hits).toEqual([])
  })
  it("is not judged where policies are only observed, but told", async () => {
    const workspace = new Workspace({
      audit: "memory",
      issuers: testIssuer,
      policies: documents as never,
      policyMode: "observe"
    })
    const service = open({ workspace })
    opened.push(workspace)
    await chat(service, { query: { model: "x" } })
    await service.post("/chat/completions", { body: { ...asked, Model: "x" } })
    const decided = (await workspace.records()).filter(({ kind }) => kind === "decision")
    expect(decided).toMatchObject([
      { observed: { verdict: "deny", violations: [{ code: "foreign_query", path: "query.model" }] } },
      { observed: { verdict: "deny", violations: [{ code: "invalid_body", path: "Model" }] } }
    ])
  })
})

it("a refusal names every ambiguity beside every other violation, and `can` names them too", async () => {
  const bounded = [
    {
      policy_id: "app:lab",
      resources: ["tool:lab/**"],
      on_violation: "deny",
      constraints: { parameters: { "tool:lab/generate": { model: ["gpt-4o-mini"] } } }
    }
  ]
  const service = open({}, bounded)
  const body = { ...asked, model: "gpt-5-pro", Max_Tokens: 1, tools: [{ type: "function", Function: {} }] }
  const error = await service.post("/chat/completions", { body, query: { n: 1 } }).then(
    () => undefined,
    (thrown: unknown) => thrown as PolicyDeniedError
  )
  const told = error?.decision.violations.map(({ code, path }) => [code, path])
  expect(told).toEqual([
    ["foreign_query", "query.n"],
    ["invalid_body", "Max_Tokens"],
    ["invalid_body", "tools[0].Function"],
    ["value_not_allowed", "model"]
  ])
  const foreseen = await service.can("generate", body)
  expect(foreseen.violations.map(({ code, path }) => [code, path])).toEqual(told?.slice(1))
})

it("an agent's call of an operation is read as every other", async () => {
  const service = open({ defaultHeaders: { "x-team": "blue" }, defaultQuery: { tenant: "a" }, organization: "org" })
  const agent = new AgentClient({ iamToken: mintToken({ sub: "alice" }), appName: "lab", workspace: service.workspace })
  await agent.register()
  const ask = (params: object) => agent.invokeTool("tool:lab/generate", params, { targetAgent: service.serverId })
  await ask(asked)
  await denied(ask({ ...asked, Model: "gpt-5-pro" }), "invalid_body")
  expect(
    used.provider.hits.map(({ headers, path }) => [path, headers["x-team"], headers["openai-organization"]])
  ).toEqual([["/chat/completions?tenant=a", "blue", "org"]])
})

it("names and a digest of the query stand in the log and in the signature; calls without one say nothing of it", async () => {
  const service = open({ allowedQuery: ["include"] })
  const answer = await chat(service, {
    query: { include: ["a", "é"] },
    headers: { "x-any": "1", traceparent: "00-1-1-00" }
  })
  await chat(service)
  const [first, second] = (await service.workspace.records()).filter(({ kind }) => kind === "decision")
  expect(first).toMatchObject({ query: { names: ["include[]"] }, headers: ["traceparent", "x-any"] })
  expect(second).not.toHaveProperty("query")
  expect(second).not.toHaveProperty("headers")
  const receipt = SecureOpenAI.receipt(answer)!
  const text = used.provider.hits[0]!.path.split("?")[1]!
  const salt = Buffer.from(receipt.salts["query"]!, "base64url")
  const digest = (...parts: ReadonlyArray<Buffer | string>) =>
    `sha-256:${parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest("base64url")}`
  const once = createHash("sha256").update(text).digest()
  expect(first!["query"]).toEqual({ names: ["include[]"], digest: digest(salt, once) })
  const claims = JSON.parse(Buffer.from(receipt.envelope.split(".")[1]!, "base64url").toString()) as object
  expect(claims).toMatchObject({ qry: { names: ["include[]"], digest: digest(text) } })
})

it("a call that is tried again with another query is another call", async () => {
  const service = open({ allowedQuery: ["include"] })
  used.provider.behave({ status: 503, times: 1, headers: { "retry-after-ms": "1" } })
  const options = { method: "post" as const, path: "/chat/completions", body: asked, maxRetries: 1 }
  Object.defineProperty(options, "query", {
    enumerable: true,
    get: () => (used.provider.hits.length > 0 ? { model: "gpt-5-pro" } : { include: "a" })
  })
  await denied(service.request(options) as Promise<unknown>, "foreign_query")
  expect(used.provider.hits.map(({ path }) => path)).toEqual(["/chat/completions?include=a"])
})

it("the SDK's own resources put no other query in the path of a protected call than the door knows", async () => {
  const { readdirSync, readFileSync } = await import("node:fs")
  const { sdkQuery } = await import("../../src/http/RequestQuery.ts")
  const root = new URL("../../node_modules/openai/resources/", import.meta.url)
  const found = readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".mjs"))
    .flatMap((file) => [
      ...readFileSync(new URL(file, root), "utf8").matchAll(/\.post\((?:path )?['`](\/[^'`?]*)\?([^'`]*)['`]/g)
    ])
    .map(([, path, query]) => [path, query])
    .filter(([path]) => /^\/(chat\/completions|responses|responses\/compact|completions|embeddings)$/.test(path!))
  expect(found.length).toBeGreaterThan(0)
  for (const [path, query] of found)
    expect(sdkQuery.map(({ below, name, value }) => path!.startsWith(below) && `${name}=${value}` === query)).toContain(
      true
    )
})
