/**
 * What the SDK writes into the log of a user's client while policy judges the answer. The holder gives that logger, so no
 * denied text may reach it, in whatever part of the response it stands.
 */
import { createServer, type Server, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { PolicyDeniedError, SecureOpenAI, Workspace } from "../../src/index.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"

const secret = "Project Heron"
const alice = { policy_id: "user:alice", resources: ["tool:my-app/**"] }
const policies = [
  alice,
  {
    policy_id: "app:my-app",
    resources: ["tool:my-app/**"],
    constraints: { output: { "tool:*/*": { denied: [secret] } } }
  }
]
const messages = [{ role: "user" as const, content: "Hello" }]
const completion = (content: string) => ({
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1,
  model: "gpt-4o",
  choices: [{ index: 0, message: { role: "assistant", content, refusal: null }, finish_reason: "stop" }]
})
const chunk = (content: string) => ({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1,
  model: "gpt-4o",
  choices: [{ index: 0, delta: { content }, finish_reason: "stop" }]
})
const json = { "content-type": "application/json" }
const events = { "content-type": "text/event-stream" }
const whole = (content = "Hi") => JSON.stringify(completion(content))

type Answer = (response: ServerResponse, url: string) => unknown

let answer: Answer = () => {}
let server: Server
let baseURL = ""
beforeAll(async () => {
  server = createServer((request, response) => {
    request.resume().on("end", () => answer(response, request.url ?? ""))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
})
afterAll(() => new Promise((resolve) => server.close(resolve)))

const opened: Array<{ close(): Promise<void> }> = []
afterEach(async () => {
  for (const one of opened.splice(0).toReversed()) await one.close()
})

/** What a logger was given, as text: it reads whatever it can, a body too. */
const readableIn = async (value: unknown): Promise<string> => {
  if (typeof value === "string") return decodeURIComponent(value)
  if (typeof value !== "object" || value === null) return String(value)
  if (value instanceof Headers) return JSON.stringify([...value])
  if (value instanceof ReadableStream) return value.locked ? "" : new Response(value).text()
  return (await Promise.all(Object.values(value).map(readableIn))).join("\n")
}

const holder = async (more: { readonly fetch?: typeof fetch; readonly documents?: ReadonlyArray<object> } = {}) => {
  const { documents = policies, fetch } = more
  const workspace = new Workspace({ audit: "memory", issuers: testIssuer, policies: documents as never })
  const service = new SecureOpenAI({
    apiKey: "k",
    appName: "my-app",
    baseURL,
    maxRetries: 1,
    workspace,
    ...(fetch && { fetch })
  })
  opened.push(workspace, service)
  const read: Array<Promise<string>> = []
  const keep = (...args: ReadonlyArray<unknown>) => void read.push(...args.map(readableIn))
  const logger = { error: keep, warn: keep, info: keep, debug: keep }
  const client = (await service.asUser(mintToken({ sub: "alice" }))).withOptions({ logLevel: "debug", logger })
  return { client, logged: async () => (await Promise.all(read)).join("\n"), workspace }
}

const places: ReadonlyArray<readonly [place: string, answer: Answer, sent: "streamed" | "whole"]> = [
  ["a header", (r) => r.writeHead(200, { ...json, "x-note": secret }).end(whole()), "whole"],
  [
    "a header's name",
    (r) => r.writeHead(200, { ...json, "x-note": "a", "project-heron": "b" }).end(whole(secret)),
    "whole"
  ],
  [
    "a header of a stream",
    (r) => r.writeHead(200, { ...events, "x-note": secret }).end(`data: [DONE]\n\n`),
    "streamed"
  ],
  ["the request's id", (r) => r.writeHead(200, { ...json, "x-request-id": secret }).end(whole()), "whole"],
  ["the reason phrase", (r) => r.writeHead(200, secret, json).end(whole()), "whole"],
  ["the reason phrase of an error", (r) => r.writeHead(400, secret, json).end("{}"), "whole"],
  ["a header of an error", (r) => r.writeHead(400, { ...json, "x-note": secret }).end("{}"), "whole"],
  ["an error that is no JSON", (r) => r.writeHead(400, { "content-type": "text/plain" }).end(`No: ${secret}`), "whole"],
  ["an error that is JSON", (r) => r.writeHead(400, json).end(JSON.stringify({ error: { message: secret } })), "whole"],
  ["an answer that is text", (r) => r.writeHead(200, { "content-type": "text/plain" }).end(secret), "whole"],
  ["an answer that is JSON", (r) => r.writeHead(200, json).end(whole(secret)), "whole"],
  [
    "the body of a stream",
    (r) => r.writeHead(200, events).end(`data: ${JSON.stringify(chunk(secret))}\n\ndata: [DONE]\n\n`),
    "streamed"
  ],
  [
    "the URL that a redirect leads to",
    (r, url) =>
      url.includes("?")
        ? r.writeHead(200, json).end(whole())
        : r.writeHead(307, { location: `${url}?q=${encodeURIComponent(secret)}` }).end(),
    "whole"
  ],
  [
    "the place of a redirect that is not followed",
    (r) => r.writeHead(307, { location: `https://example.com/${secret}` }).end(),
    "whole"
  ]
]

const ask = async (client: SecureOpenAI, streamed: boolean) => {
  if (!streamed) return client.chat.completions.create({ model: "gpt-4o", messages })
  for await (const _ of await client.chat.completions.create({ model: "gpt-4o", messages, stream: true }));
  return undefined
}

describe.each([
  ["the SDK's fetch", undefined],
  ["a fetch of the service's own", ((input, init) => fetch(input, init)) as typeof fetch]
])("through %s", (_name, given) => {
  it.each(places)("%s does not reach the holder's logger with a denied text", async (_place, made, sent) => {
    answer = made
    const { client, logged, workspace } = await holder(given && { fetch: given })
    await expect(ask(client, sent === "streamed")).rejects.toBeInstanceOf(PolicyDeniedError)
    expect(await logged()).not.toMatch(/heron/i)
    expect(JSON.stringify(await workspace.records())).toContain("output_denied")
  })

  it("a failed attempt that is repeated does not, and the answer is the caller's", async () => {
    let attempts = 0
    answer = (r) =>
      attempts++ === 0
        ? r.writeHead(500, { ...json, "x-note": secret, "retry-after-ms": "1" }).end("{}")
        : r.writeHead(200, json).end(whole())
    const { client, logged } = await holder(given && { fetch: given })
    expect((await ask(client, false))?.choices[0]?.message.content).toBe("Hi")
    expect(attempts).toBe(2)
    expect(await logged()).not.toMatch(/heron/i)
  })

  it("an answer without one is given with all of its head, and the log shows its headers", async () => {
    answer = (r) => r.writeHead(200, "Fine", { ...json, "x-note": "nothing" }).end(whole())
    const { client, logged } = await holder(given && { fetch: given })
    const { response } = await client.chat.completions.create({ model: "gpt-4o", messages }).withResponse()
    expect([response.statusText, response.headers.get("x-note")]).toEqual(["Fine", "nothing"])
    expect(await logged()).toContain("nothing")
  })

  it("where nothing is denied the log is the SDK's", async () => {
    answer = (r) => r.writeHead(200, { ...json, "x-note": secret }).end(whole())
    const documents = [alice, { policy_id: "app:my-app", resources: ["tool:my-app/**"] }]
    const { client, logged } = await holder({ documents, ...(given && { fetch: given }) })
    await ask(client, false)
    expect(await logged()).toContain(secret)
  })
})
