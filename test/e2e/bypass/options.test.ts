/** Options of one request, spellings of URLs, headers and redirects: what is judged is where it goes. */
import { OpenAI } from "openai"
import { describe, expect, it } from "vitest"
import { ConfigurationError } from "../../../src/index.ts"
import { startProvider } from "../Provider.ts"
import { through } from "./Face.ts"
import { arrives, asked, attempt, type Attempt, kinds, messages, refused, type Row, throws, useLab } from "./lab.ts"

const lab = useLab()
const over = { model: "gpt-5-pro", messages, max_tokens: 9000 }
const edited = { model: "gpt-4o-mini", messages, max_tokens: 500 }
const json = { "content-type": "application/json" }
const post =
  (path: string, options: object = {}): Attempt =>
  (client) =>
    client.post(path, { body: over, ...options })
const create =
  (options: object): Attempt =>
  (client) =>
    client.chat.completions.create(asked, options as never)

describe("options of one request, for alice", () => {
  const rows: ReadonlyArray<Row> = [
    ["body", create({ body: over }), arrives(edited)],
    ["body as text", create({ body: JSON.stringify(over), headers: json }), arrives(edited)],
    [
      "path to another operation",
      create({ path: "/completions", body: { model: "gpt-5-pro", prompt: "x" } }),
      refused("value_not_allowed")
    ],
    [
      "path to the Responses API",
      create({ path: "/responses", body: { model: "gpt-5-pro", input: "x" } }),
      arrives({ model: "gpt-4o-mini", input: "x", max_output_tokens: 500 })
    ],
    [
      "path to a family that is not for users",
      create({ path: "/realtime/client_secrets" }),
      refused("resource_not_allowed")
    ],
    ["path to another host", create({ path: "http://127.0.0.1:9/v1/chat/completions" }), refused("foreign_url")],
    ["path upwards", create({ path: "/../admin/chat/completions" }), refused("foreign_url")],
    ["path beside the base", create({ path: "x/../../v1evil/chat/completions" }), refused("foreign_url")],
    [
      "path with another user's info",
      create({ path: "http://k@127.0.0.1:9/v1/chat/completions" }),
      refused("foreign_url")
    ],
    ["path without a scheme", create({ path: "//127.0.0.1:9/v1/chat/completions" }), arrives(asked)],
    [
      "method delete on a file that is not for users",
      create({ method: "delete", path: "/skills/abc", body: undefined }),
      refused("resource_not_allowed")
    ],
    ...["put", "patch", "delete", "PoSt", "options", "QUERY"].map((method): Row => [
      `method ${method}`,
      create({ method, body: over }),
      method === "PoSt" ? arrives(edited) : refused("invalid_method")
    ]),
    ["fetchOptions.body", create({ fetchOptions: { body: JSON.stringify(over) } }), refused("foreign_option")],
    [
      "fetchOptions.body that is no text",
      create({ fetchOptions: { body: new Blob([JSON.stringify(over)]) } }),
      refused("foreign_option")
    ],
    [
      "fetchOptions.method",
      (c) =>
        c.get("/chat/completions", {
          fetchOptions: { method: "POST", body: JSON.stringify(over), headers: { ...json, authorization: "Bearer k" } }
        } as never),
      refused("foreign_option")
    ],
    [
      "fetchOptions.headers",
      create({ fetchOptions: { headers: { ...json, authorization: "Bearer k" } } }),
      refused("foreign_option")
    ],
    [
      "fetchOptions.headers with another reading",
      create({ fetchOptions: { headers: [["content-type", "text/plain"]] } }),
      refused("invalid_body")
    ],
    [
      "fetchOptions of two requests",
      create({ body: over, fetchOptions: { body: JSON.stringify(asked) } }),
      refused("foreign_option")
    ],
    ["query", create({ query: { model: "gpt-5-pro", "messages[]": "x" } }), refused("foreign_query")],
    ["defaultBaseURL", create({ defaultBaseURL: "http://127.0.0.1:9/v1" }), arrives(asked)],
    ["stream without the body's", create({ body: over, stream: true }), arrives(edited)],
    ["__binaryResponse", create({ body: over, __binaryResponse: true }), arrives(edited)],
    [
      "__streamClass",
      create({ body: { ...over, stream: true }, stream: true, __streamClass: OpenAI }),
      refused("foreign_option")
    ],
    [
      "__metadata",
      create({ body: over, __metadata: { streamFromBody: true, finalizeMultipart: true } }),
      arrives(edited)
    ],
    ["idempotencyKey", create({ body: over, idempotencyKey: "k1" }), arrives(edited)],
    ["maxRetries", create({ body: over, maxRetries: 5 }), arrives(edited)],
    ["timeout", create({ body: over, timeout: 10_000 }), arrives(edited)],
    [
      "__security of another key",
      create({ body: over, __security: { adminAPIKeyAuth: true, bearerAuth: true } }),
      arrives(edited)
    ],
    [
      "frozen options",
      (c) => c.request(Object.freeze({ method: "post", path: "/chat/completions", body: over })),
      arrives(edited)
    ],
    [
      "a Proxy for options",
      (c) => c.request(new Proxy({ method: "post", path: "/chat/completions", body: over }, {})),
      arrives(edited)
    ],
    [
      "a Proxy for options that takes no mark",
      (c) =>
        c.request(new Proxy({ method: "post", path: "/chat/completions", body: over }, { defineProperty: () => true })),
      refused("no_exchange")
    ],
    [
      "inherited options",
      (c) => c.request(Object.create({ method: "post", path: "/chat/completions", body: over }) as never),
      arrives()
    ]
  ]
  it.each(rows.slice(0, -1))("%s", async (_name, run, expectation) => {
    const l = lab()
    expectation(await attempt(l, await l.as("alice"), run))
  })

  it("inherited options, which the SDK does not read, send nothing that is not judged", async () => {
    const l = lab()
    const seen = await attempt(l, await l.as("alice"), rows.at(-1)![1])
    for (const hit of seen.hits) expect(hit.method).toBe("GET")
    expect(kinds(seen, "decision")).toEqual([])
  })

  it("one options object for many calls at once, and again", async () => {
    const l = lab()
    const alice = await l.as("alice")
    const options = { method: "post" as const, path: "/chat/completions", body: over }
    await Promise.all(Array.from({ length: 8 }, () => alice.request(options)))
    options.body = { ...over, max_tokens: 7 }
    await alice.request(options)
    expect(l.provider.hits.map((hit) => hit.text)).toEqual([
      ...Array.from({ length: 8 }, () => JSON.stringify(edited)),
      JSON.stringify({ ...edited, max_tokens: 7 })
    ])
    expect((await l.records()).filter(({ kind }) => kind === "decision")).toHaveLength(9)
  })

  it("options that are changed while the call is under way", async () => {
    const l = lab()
    const seen = await attempt(l, await l.as("alice"), async (c) => {
      const options = { method: "post" as "post" | "get", path: "/chat/completions", body: over as object, headers: {} }
      const pending = c.request(options)
      for (let i = 0; i < 40; i++) {
        await new Promise((resolve) => setImmediate(resolve))
        Object.assign(options, {
          path: "/realtime/sessions",
          body: { model: "x" },
          method: "get",
          headers: { host: "evil" }
        })
      }
      return pending
    })
    arrives(edited)(seen)
    expect(seen.hits[0]?.path).toBe("/chat/completions")
  })
})

describe("an attempt after the first is judged by itself", () => {
  const rows: ReadonlyArray<readonly [string, object, object, (hits: ReadonlyArray<string>) => void]> = [
    [
      "other bytes",
      {},
      { body: over },
      (hits) => expect(hits).toEqual([JSON.stringify(asked), JSON.stringify(edited)])
    ],
    ["no JSON", {}, { body: "{" }, (hits) => expect(hits).toHaveLength(1)],
    ["other headers", {}, { headers: { "content-type": "text/plain" } }, (hits) => expect(hits).toHaveLength(1)],
    ["another host by name", {}, { headers: { ...json, host: "evil.test" } }, (hits) => expect(hits).toHaveLength(1)],
    ["another host", {}, { path: "http://127.0.0.1:9/v1/chat/completions" }, (hits) => expect(hits).toHaveLength(1)],
    ["a family that is not for users", {}, { path: "/realtime/sessions" }, (hits) => expect(hits).toHaveLength(1)],
    [
      "a protected request after one that passed",
      { path: "/images/generations" },
      { path: "/chat/completions", body: over },
      (hits) => expect(hits[1]).toBe(JSON.stringify(edited))
    ],
    [
      "another family after one that passed",
      { path: "/images/generations" },
      { path: "/realtime/sessions" },
      (hits) => expect(hits).toHaveLength(1)
    ],
    [
      "another host after one that passed",
      { path: "/images/generations" },
      { path: "http://127.0.0.1:9/v1/images/generations" },
      (hits) => expect(hits).toHaveLength(1)
    ]
  ]
  it.each(rows)("%s", async (_name, before, then, expectation) => {
    const l = lab()
    const alice = await l.as("alice")
    l.provider.behave({ status: 503, times: 1, headers: { "retry-after-ms": "1" } })
    const start = { method: "post", path: "/chat/completions", body: asked, headers: json, maxRetries: 1, ...before }
    const told = {}
    for (const name of Object.keys(start))
      Object.defineProperty(told, name, {
        enumerable: true,
        get: () => Reflect.get(l.provider.hits.length > 0 ? { ...start, ...then } : start, name) as unknown
      })
    const seen = await attempt(l, alice, (c) => c.request(told as never))
    expectation(seen.hits.map((hit) => hit.text))
    if (seen.hits.length === 1) expect(seen.error).toBeInstanceOf(OpenAI.APIError)
    const opened = seen.log.filter(({ kind }) => kind === "decision" || kind === "passthrough")
    expect(opened).toHaveLength(seen.hits.length)
    expect(
      kinds(seen, "outcome")
        .map((record) => record.call)
        .toSorted()
    ).toEqual(opened.map((r) => r["call"]).toSorted())
  })
})

const spelt = [
  "//chat//completions",
  "/chat/completions/",
  "/CHAT/Completions",
  "/%63hat/completions",
  "/chat%2Fcompletions",
  "/chat%252Fcompletions",
  "/chat%5ccompletions",
  "/./chat/./completions",
  "/models/../chat/completions",
  "/models/%2e%2e/chat/completions",
  "/models/..%2fchat/completions",
  "/chat/.%2fcompletions",
  "/chat/completions#/models",
  "/chat/completions;v=1",
  "/chat;v=1/completions",
  "/chat/completions.",
  "/chat/completions%20",
  "/chat/completions%00",
  "/chat%20/completions",
  "/%ff/..%2fchat/completions",
  "/proxy/v9/chat/completions"
]

describe("however the path is spelt, it is a chat completion", () => {
  it.each(spelt)("%s, for alice", (path) =>
    through({ path, body: over }, async (send) => {
      const l = lab()
      const seen = await attempt(l, await l.as("alice"), send)
      arrives(edited)(seen)
      expect(kinds(seen, "decision")[0]).toMatchObject({ tool: "tool:lab/generate", model: "gpt-4o-mini" })
    })
  )
  it.each(spelt)("%s, for bob", (path) =>
    through({ path, body: over }, async (send) => {
      const l = lab()
      refused("value_not_allowed")(await attempt(l, await l.as("bob"), send))
    })
  )
  it.each(spelt.filter((path) => !path.includes("..")))("absolute, with %s", async (path) => {
    const l = lab()
    arrives(edited)(await attempt(l, await l.as("alice"), (c) => post(l.provider.url + path)(c, l)))
  })
})

describe("a family's path that servers read differently is none for users", () => {
  it.each([
    "/models/..%2frealtime",
    "/models/..%252frealtime",
    "/models/..;/realtime",
    "/models;x=1/realtime",
    "/models%20",
    "/models./x",
    "/files%5c..%5crealtime",
    "/%2e%2e%2fadmin",
    "/x/..%2f..%2fadmin/keys"
  ])("%s", async (path) => {
    const l = lab()
    refused("resource_not_allowed")(await attempt(l, await l.as("alice"), (c) => c.get(path)))
  })
})

describe("headers", () => {
  const rerouting = ["x-http-method-override", "X-HTTP-Method", "x-method-override", "X-Original-URL", "x-rewrite-url"]
  it.each(rerouting)("%s makes no other request of one, of users or the service", async (name) => {
    const l = lab()
    const alice = await l.as("alice")
    const headers = { [name]: "/v1/realtime/sessions" }
    refused("rerouted")(await attempt(l, alice, create({ headers })))
    for (const run of [create({ headers }), ((c) => c.models.list({ headers })) as Attempt]) {
      const seen = await attempt(l, l.service, run)
      expect(seen.hits).toEqual([])
      expect(seen.error).toMatchObject({ code: "policy_denied" })
    }
    expect(() => alice.withOptions({ defaultHeaders: headers })).toThrow(ConfigurationError)
    const byDefault = await l.as("alice", { defaultHeaders: headers })
    expect((await attempt(l, byDefault, create({}))).hits).toEqual([])
  })
  it("a user's request is for the host of its URL", async () => {
    const l = lab()
    refused("foreign_url")(await attempt(l, await l.as("alice"), create({ headers: { host: "evil.test" } })))
  })
  const framing: ReadonlyArray<Row> = [
    [
      "a content-length that lies",
      // On some connections Node's fetch never says what is wrong with it.
      create({ body: over, headers: { "content-length": "3" }, timeout: 1000, maxRetries: 0 }),
      throws(OpenAI.APIConnectionError)
    ],
    [
      "a transfer-encoding",
      create({ body: over, headers: { "transfer-encoding": "chunked" } }),
      throws(OpenAI.APIConnectionError)
    ],
    [
      "an upgrade",
      create({ body: over, headers: { upgrade: "websocket", connection: "upgrade" } }),
      throws(OpenAI.APIConnectionError)
    ],
    [
      "another key",
      create({ body: over, headers: { authorization: "Bearer mine" } }),
      (seen) => {
        arrives(over)(seen)
        expect(seen.hits[0]?.headers.authorization).toBe("Bearer mine")
      }
    ],
    ["no key", create({ body: over, headers: { authorization: null } }), arrives(over)],
    [
      "an organization and a project of one's own",
      create({ body: over, headers: { "openai-organization": "o", "OpenAI-Project": "p", "openai-beta": "x" } }),
      arrives(over)
    ]
  ]
  it.each(framing)("%s, for the service", async (_name, run, expectation) => {
    const l = lab()
    expectation(await attempt(l, l.service, run))
  })
  it.each(framing)("%s, which is not a user's to set", async (_name, run) => {
    const l = lab()
    refused("foreign_header")(await attempt(l, await l.as("alice"), run))
  })
})

describe("a redirect", () => {
  const codes = [301, 302, 303, 307, 308]
  const places: ReadonlyArray<readonly [string, string, boolean]> = [
    ["to itself", "/v1/chat/completions?again", true],
    ["to another operation", "/v1/embeddings", false],
    ["to a family", "/v1/files", false],
    ["out of the base", "/other/v1/chat/completions", false]
  ]
  const cases = codes.flatMap((status) =>
    places.map(([name, location, home]) => [status, name, location, home] as const)
  )
  it.each(cases)("%i %s of a user's completion", async (status, _name, location, home) => {
    const l = lab()
    const alice = await l.as("alice")
    l.provider.behave({ status, times: 1, headers: { location } })
    const seen = await attempt(l, alice, post("/chat/completions"))
    const followed = home && status >= 307
    expect(seen.hits.map((hit) => [hit.path, hit.text])).toEqual([
      ["/chat/completions", JSON.stringify(edited)],
      ...(followed ? [["/chat/completions?again", JSON.stringify(edited)]] : [])
    ])
    if (!followed) expect(seen.error).toMatchObject({ status })
    expect(seen.log.map(({ kind }) => kind)).toEqual(["decision", "outcome"])
  })
  it.each(codes)("%i to another origin: neither the bytes nor the key of a completion go there", async (status) => {
    const l = lab()
    const elsewhere = await startProvider()
    l.provider.behave({ status, headers: { location: `${elsewhere.url}/chat/completions` } })
    for (const client of [l.service, await l.as("alice")])
      await expect(client.chat.completions.create(asked)).rejects.toMatchObject({ status })
    expect(elsewhere.hits).toEqual([])
    await elsewhere.close()
  })
  it.each(codes)("%i to another origin: the key of a request that passes does not go there", async (status) => {
    const l = lab()
    const elsewhere = await startProvider()
    l.provider.behave({ status, headers: { location: `${elsewhere.url}/models` } })
    const alice = await l.as("alice")
    await alice.models.list().catch(() => {})
    for (const hit of elsewhere.hits) expect(hit.headers.authorization).toBeUndefined()
    await elsewhere.close()
  })
  it("in a circle ends", async () => {
    const l = lab()
    l.provider.behave({ status: 307, headers: { location: "/v1/chat/completions" } })
    await expect(l.service.chat.completions.create(asked)).rejects.toMatchObject({ status: 307 })
    expect(new Set(l.provider.hits.map((hit) => hit.text)).size).toBe(1)
    expect(l.provider.hits.length).toBeLessThan(10)
  })
})
