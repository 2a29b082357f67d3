/** Clones, assignments, subclasses and the SDK's inner methods: every one leads through the same door. */
import { OpenAI } from "openai"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import {
  ClosedError,
  ConfigurationError,
  EnforcementUnavailableError,
  PolicyDeniedError,
  SecureOpenAI,
  UnboundError
} from "../../../src/index.ts"
import { mintToken } from "../../../src/testing/index.ts"
import { type Provider, startProvider } from "../Provider.ts"
import { arrives, asked, attempt, type Attempt, kinds, messages, refused, type Row, throws, useLab } from "./lab.ts"

const lab = useLab()
const over = { model: "gpt-5-pro", messages, max_tokens: 9000 }
const edited = { model: "gpt-4o-mini", messages, max_tokens: 500 }
const ask: Attempt = (client) => client.chat.completions.create(over)
type Fetch = typeof globalThis.fetch
const inner = (client: OpenAI) => client as unknown as Record<string, (...args: ReadonlyArray<unknown>) => unknown>

let evil: Provider
beforeAll(async () => {
  evil = await startProvider()
})
afterAll(() => evil.close())

describe("a user's client that is cloned or assigned to stays the user's, and at home", () => {
  const fetched: Fetch = (input, init) => fetch(input, init)
  const rows: ReadonlyArray<Row> = [
    ["withOptions({})", (c, l) => ask(c.withOptions({}), l), arrives(edited)],
    [
      "withOptions twice",
      (c, l) => ask(c.withOptions({ timeout: 1000 }).withOptions({ maxRetries: 1 }), l),
      arrives(edited)
    ],
    ["withOptions({ fetch })", (c, l) => ask(c.withOptions({ fetch: fetched }), l), throws(ConfigurationError)],
    ["withOptions({ apiKey })", (c, l) => ask(c.withOptions({ apiKey: "other" }), l), throws(ConfigurationError)],
    [
      "withOptions({ defaultQuery })",
      (c, l) => ask(c.withOptions({ defaultQuery: { model: "gpt-5-pro" } }), l),
      throws(ConfigurationError)
    ],
    [
      "withOptions({ fetchOptions })",
      (c, l) => ask(c.withOptions({ fetchOptions: { body: JSON.stringify(over), redirect: "follow" } as never }), l),
      throws(ConfigurationError)
    ],
    ["withOptions({ baseURL })", (c, l) => ask(c.withOptions({ baseURL: evil.url }), l), throws(ConfigurationError)],
    [
      "withOptions({ dataResidency })",
      (c, l) => ask(c.withOptions({ dataResidency: "eu" } as never), l),
      throws(ConfigurationError)
    ],
    ...["appName", "policies", "workspace", "intentPolicy", "jwtToken", "audit", "layer"].map((name): Row => [
      `withOptions({ ${name} })`,
      (c, l) => ask(c.withOptions({ [name]: undefined } as never), l),
      throws(ConfigurationError)
    ]),
    ["baseURL assigned", (c, l) => ask(Object.assign(c, { baseURL: evil.url }), l), throws(ConfigurationError)],
    [
      "baseURL assigned to a neighbour",
      (c, l) => ask(Object.assign(c, { baseURL: `${l.provider.url}evil` }), l),
      throws(ConfigurationError)
    ],
    [
      "baseURL assigned, then cloned",
      (c, l) => ask(Object.assign(c, { baseURL: evil.url }).withOptions({}), l),
      throws(ConfigurationError)
    ],
    [
      "a baseURL that tells another place the second time",
      (c, l) => {
        let n = 0
        Object.defineProperty(c, "baseURL", { get: () => (n++ % 2 === 0 ? l.provider.url : evil.url) })
        return ask(c, l)
      },
      (seen) => seen.hits.forEach((hit) => expect(hit.text).toBe(JSON.stringify(edited)))
    ],
    [
      "_options assigned",
      (c, l) => ask(Object.assign(c, { _options: { baseURL: evil.url, fetch: fetched, apiKey: "k" } }), l),
      throws(ConfigurationError)
    ],
    [
      "_options changed, then cloned",
      (c, l) => {
        Object.assign(inner(c)["_options"] as object, { baseURL: evil.url, fetch: fetched })
        return ask(c.withOptions({}), l)
      },
      arrives(edited)
    ],
    [
      "fetchOptions assigned",
      (c, l) => ask(Object.assign(c, { fetchOptions: { body: JSON.stringify(over), method: "POST" } }), l),
      throws(ConfigurationError)
    ],
    ["fetch assigned", (c, l) => ask(Object.assign(c, { fetch: fetched }), l), throws(ConfigurationError)],
    [
      "a class of its own made from its options",
      (c, l) => ask(new SecureOpenAI(inner(c)["_options"] as never), l),
      throws(ConfigurationError)
    ],
    [
      "the client of a resource",
      (c, l) => ask((c.chat.completions as unknown as { readonly _client: OpenAI })._client, l),
      arrives(edited)
    ],
    ["a resource made by hand", (c) => new OpenAI.Chat.Completions(c).create(over), arrives(edited)],
    [
      "create, taken from the prototype",
      (c) => OpenAI.Chat.Completions.prototype.create.call(c.chat.completions, over),
      arrives(edited)
    ],
    [
      "post, taken from the prototype",
      (c) => OpenAI.prototype.post.call(c, "/chat/completions", { body: over }),
      arrives(edited)
    ],
    [
      "withOptions, taken from the prototype",
      (c, l) => ask(OpenAI.prototype.withOptions.call(c, { baseURL: evil.url }), l),
      throws(ConfigurationError)
    ]
  ]
  it.each(rows)("%s", async (_name, run, expectation) => {
    const l = lab()
    expectation(await attempt(l, await l.as("alice"), run))
    expect(evil.hits).toEqual([])
  })
})

describe("the SDK's inner methods", () => {
  const options = () => ({ method: "post" as const, path: "/chat/completions", body: over })
  const Page = OpenAI.Models.prototype.constructor as never
  const rows: ReadonlyArray<Row> = [
    ["request", (c) => c.request(options()), arrives(edited)],
    ["request with retries left", (c) => c.request(options(), 5), arrives(edited)],
    ["request, taken from the prototype", (c) => OpenAI.prototype.request.call(c, options()), refused("no_exchange")],
    ["makeRequest", (c) => inner(c)["makeRequest"]!(options(), null, undefined), refused("no_exchange")],
    ["methodRequest", (c) => inner(c)["methodRequest"]!("post", "/chat/completions", { body: over }), arrives(edited)],
    ["requestAPIList", (c) => c.requestAPIList(Page, options()), refused("no_exchange")],
    ["getAPIList", (c) => c.getAPIList("/chat/completions", Page, { ...options() } as never), refused("no_exchange")],
    [
      "requestAPIList, taken from the prototype",
      (c) => OpenAI.prototype.requestAPIList.call(c, Page, options()),
      refused("no_exchange")
    ],
    ["buildRequest", (c) => c.buildRequest(options()), refused("no_exchange")],
    [
      "fetchWithTimeout",
      (c, l) =>
        c.fetchWithTimeout(
          `${l.provider.url}/chat/completions`,
          { method: "POST", body: JSON.stringify(over) },
          1000,
          new AbortController()
        ),
      refused("no_exchange")
    ],
    [
      "fetchWithTimeout with a URL",
      (c, l) =>
        c.fetchWithTimeout(
          new URL(`${l.provider.url}/chat/completions`),
          { method: "POST", body: "{}" },
          1000,
          new AbortController()
        ),
      refused("no_exchange")
    ],
    [
      "fetchWithTimeout to a family that is not for users",
      (c, l) =>
        c.fetchWithTimeout(
          `${l.provider.url}/realtime/sessions`,
          { method: "POST", body: "{}" },
          1000,
          new AbortController()
        ),
      refused("resource_not_allowed")
    ],
    [
      "fetchWithTimeout to another host",
      (c) =>
        c.fetchWithTimeout(
          `${evil.url}/models`,
          { headers: { authorization: "Bearer k" } },
          1000,
          new AbortController()
        ),
      refused("foreign_url")
    ],
    [
      "fetchWithAuth",
      (c, l) =>
        inner(c)["fetchWithAuth"]!(
          `${l.provider.url}/chat/completions`,
          { method: "POST", headers: new Headers(), body: JSON.stringify(over) },
          1000,
          new AbortController()
        ),
      refused("no_exchange")
    ],
    [
      "fetch, which is private",
      (c, l) =>
        inner(c)["fetch"]!(`${l.provider.url}/chat/completions`, { method: "POST", body: JSON.stringify(over) }),
      refused("no_exchange")
    ],
    [
      "fetch with a Request",
      (c, l) => inner(c)["fetch"]!(new Request(`${l.provider.url}/chat/completions`, { method: "POST", body: "{}" })),
      refused("no_exchange")
    ],
    [
      "a promise's own _thenUnwrap",
      (c) => c.chat.completions.create(over)._thenUnwrap((value) => value),
      arrives(edited)
    ]
  ]
  it.each(rows)("%s", async (_name, run, expectation) => {
    const l = lab()
    expectation(await attempt(l, await l.as("alice"), run))
  })
  it("fetchWithTimeout to a family that passes is in the log", async () => {
    const l = lab()
    const seen = await attempt(l, await l.as("alice"), (c) =>
      c.fetchWithTimeout(`${l.provider.url}/models`, {}, 1000, new AbortController())
    )
    expect(seen.hits.map(({ path }) => path)).toEqual(["/models"])
    expect(seen.log.map(({ kind }) => kind)).toEqual(["passthrough", "outcome"])
  })
})

/** A client whose class prepares requests in its own way. */
const preparing = (prepare: (request: Record<PropertyKey, unknown>, about: { url: string }) => unknown) =>
  class extends SecureOpenAI {
    protected override async prepareRequest(request: RequestInit, about: { url: string }): Promise<void> {
      await prepare(request as unknown as Record<PropertyKey, unknown>, about)
    }
  }

describe("a class of one's own may change a request before it is decided on, and not after", () => {
  it("prepareOptions: what it makes of them is judged", async () => {
    const l = lab()
    const limited = l.make(
      class extends SecureOpenAI {
        protected override async prepareOptions(options: { body?: unknown }): Promise<void> {
          options.body = { ...(options.body as object), user: "prepared" }
        }
      } as typeof SecureOpenAI
    )
    arrives({ ...asked, user: "prepared" })(await attempt(l, limited, (c) => c.chat.completions.create(asked)))
  })
  it.each<[string, (request: Record<PropertyKey, unknown>) => unknown]>([
    ["body", (request) => (request["body"] = JSON.stringify(over))],
    [
      "body that is a getter",
      (request) => Object.defineProperty(request, "body", { enumerable: true, get: () => JSON.stringify(over) })
    ],
    ["body as an object that looks the same", (request) => (request["body"] = new String(request["body"]))],
    ["body as bytes", (request) => (request["body"] = Buffer.from(String(request["body"])))],
    ["method", (request) => (request["method"] = "put")],
    ["no body", (request) => delete request["body"]]
  ])("prepareRequest: another %s is not sent", async (_name, prepare) => {
    const l = lab()
    const client = l.make(preparing(prepare) as never)
    const seen = await attempt(l, client, (c) => c.chat.completions.create(asked))
    expect(seen.hits).toEqual([])
    expect(seen.error).toBeInstanceOf(EnforcementUnavailableError)
    expect(seen.log.map(({ kind }) => kind)).toEqual(["decision", "outcome"])
  })
  it("prepareRequest: a request that passes does not become a protected one", async () => {
    const l = lab()
    const client = l.make(
      preparing((request) => Object.assign(request, { method: "post", body: JSON.stringify(over) })) as never
    )
    for (const run of [((c) => c.get("/chat/completions")) as Attempt, ((c) => c.chat.completions.list()) as Attempt]) {
      const seen = await attempt(l, client, run)
      expect(seen.hits).toEqual([])
      expect(seen.error).toBeInstanceOf(Error)
    }
  })
  it("prepareRequest: headers of its own go out with the decided bytes", async () => {
    const l = lab()
    const client = l.make(preparing((request) => (request["headers"] as Headers).set("x-mine", "1")) as never)
    const seen = await attempt(l, client, (c) => c.chat.completions.create(asked))
    arrives(asked)(seen)
    expect(seen.hits[0]?.headers["x-mine"]).toBe("1")
  })
  it.each<[string, (built: { req: Record<string, unknown>; url: string }, url: string) => void]>([
    ["body", ({ req }) => (req["body"] = JSON.stringify(over))],
    ["URL", (built, url) => (built.url = `${url}/completions`)],
    ["method", ({ req }) => (req["method"] = "delete")]
  ])("buildRequest: another %s is not sent", async (_name, change) => {
    const l = lab()
    const client = l.make(
      class extends SecureOpenAI {
        override async buildRequest(...args: Parameters<SecureOpenAI["buildRequest"]>) {
          const built = await super.buildRequest(...args)
          change(built as never, l.provider.url)
          return built
        }
      } as never
    )
    throws(EnforcementUnavailableError)(await attempt(l, client, (c) => c.chat.completions.create(asked)))
  })
  it("buildRequest that is all its own sends nothing protected", async () => {
    const l = lab()
    const client = l.make(
      class extends SecureOpenAI {
        override async buildRequest() {
          const req = { method: "post" as const, headers: new Headers(), body: JSON.stringify(over) }
          return { req, url: `${l.provider.url}/chat/completions`, timeout: 1000 } as never
        }
      } as never
    )
    const seen = await attempt(l, client, (c) => c.chat.completions.create(asked))
    expect(seen.hits).toEqual([])
    expect(seen.error).toBeInstanceOf(Error)
  })
  it("a request that was permitted is not sent again once its call is over", async () => {
    const l = lab()
    const kept: Array<{ url: string; request: RequestInit }> = []
    const client = l.make(preparing((request, { url }) => kept.push({ url, request: { ...request } })) as never)
    await client.chat.completions.create(asked)
    const [{ request, url }] = kept as [(typeof kept)[number]]
    await expect(client.fetchWithTimeout(url, request, 1000, new AbortController())).rejects.toBeInstanceOf(Error)
    const options = { method: "post" as const, path: "/chat/completions", body: asked }
    await client.request(options)
    await expect(client.buildRequest(options)).rejects.toBeInstanceOf(PolicyDeniedError)
    expect(l.provider.hits).toHaveLength(2)
  })
  it("the permit of a request that passes opens nothing else", async () => {
    const l = lab()
    const kept: Array<RequestInit> = []
    const client = l.make(preparing((request) => kept.push({ ...request })) as never)
    await client.models.list()
    l.provider.hits.length = 0
    const forged = { ...kept[0], method: "POST", body: JSON.stringify(over) }
    await expect(
      client.fetchWithTimeout(`${l.provider.url}/chat/completions`, forged, 1000, new AbortController())
    ).rejects.toBeInstanceOf(EnforcementUnavailableError)
    expect(l.provider.hits).toEqual([])
  })
  it("fetchWithAuth that sends twice sends the decided bytes twice, under one decision", async () => {
    const l = lab()
    const client = l.make(
      class extends SecureOpenAI {
        protected override async fetchWithAuth(...args: Parameters<SecureOpenAI["fetchWithTimeout"]>) {
          await super.fetchWithTimeout(...args)
          return super.fetchWithTimeout(...args)
        }
      } as never
    )
    const seen = await attempt(l, client, (c) => c.chat.completions.create(asked))
    arrives(asked, asked)(seen)
    expect(kinds(seen, "decision")).toHaveLength(1)
    expect(kinds(seen, "outcome")[0]).toMatchObject({ attempts: 2 })
  })
})

describe("a fetch of one's own", () => {
  it("is given the decided bytes, whatever it did to those of the attempt before", async () => {
    const l = lab()
    const given: Array<unknown> = []
    const own: Fetch = async (input, init = {}) => {
      given.push(init.body)
      const body = init.body
      Object.assign(init, { body: JSON.stringify(over), method: "PUT" })
      if (given.length < 3) return new Response("{}", { status: 500, headers: { "retry-after-ms": "1" } })
      return fetch(input, { ...init, body: body ?? null, method: "POST" })
    }
    const alice = await l.as("alice", { fetch: own, maxRetries: 3 })
    const seen = await attempt(l, alice, ask)
    arrives(edited)(seen)
    expect(given).toEqual(Array(3).fill(JSON.stringify(edited)))
    expect(kinds(seen, "outcome")[0]).toMatchObject({ attempts: 3 })
  })
  it("that throws, and one that hangs, are retried with the same bytes", async () => {
    const l = lab()
    const given: Array<unknown> = []
    const own: Fetch = (input, init) => {
      given.push(init?.body)
      return given.length === 1 ? Promise.reject(new TypeError("cut")) : fetch(input, init)
    }
    const alice = await l.as("alice", { fetch: own, maxRetries: 1 })
    arrives(edited)(await attempt(l, alice, ask))
    expect(given).toEqual(Array(2).fill(JSON.stringify(edited)))
  })
  it("that is assigned later is guarded too", async () => {
    const l = lab()
    const meddling = preparing((request) => (request["body"] = JSON.stringify(over)))
    const client = Object.assign(l.make(meddling as never), { fetch: ((...args) => fetch(...args)) as Fetch })
    throws(EnforcementUnavailableError)(await attempt(l, client, (c) => c.chat.completions.create(asked)))
  })
  it("is guarded once, and told nothing of a refused request", async () => {
    const l = lab()
    let asks = 0
    const own: Fetch = (input, init) => (asks++, fetch(input, init))
    const service = l.service.withOptions({ fetch: own }).withOptions({}).withOptions({ fetch: own })
    const bob = (await service.asUser(mintToken({ sub: "bob" }))).withOptions({})
    refused("value_not_allowed")(await attempt(l, bob, ask))
    expect(asks).toBe(0)
  })
})

describe("a client that is over", () => {
  it.each<
    [
      string,
      abstract new (...args: ReadonlyArray<never>) => Error,
      (l: ReturnType<typeof lab>, c: Awaited<ReturnType<ReturnType<typeof lab>["as"]>>) => unknown
    ]
  >([
    ["after unbind()", UnboundError, (_l, c) => c.unbind()],
    ["after close() of the binding", UnboundError, (_l, c) => c.close()],
    ["after close() of its service", ClosedError, (l) => l.service.close()]
  ])("sends nothing %s, nor do its clones and what was taken of it", async (_name, kind, end) => {
    const l = lab()
    const alice = await l.as("alice")
    const clone = alice.withOptions({})
    const completions = alice.chat.completions
    const images = alice.images
    await end(l, alice)
    for (const run of [
      () => alice.chat.completions.create(asked),
      () => clone.chat.completions.create(asked),
      () => completions.create(asked),
      () => images.generate({ prompt: "x" }),
      () => alice.models.list(),
      () => clone.withOptions({}).post("/chat/completions", { body: asked })
    ])
      await expect(Promise.resolve().then(run)).rejects.toBeInstanceOf(kind)
    expect(l.provider.hits).toEqual([])
  })
  it("sends no retry once it was unbound", async () => {
    const l = lab()
    let asks = 0
    const own: Fetch = async () => {
      asks++
      alice.unbind()
      return new Response("{}", { status: 500, headers: { "retry-after-ms": "1" } })
    }
    const alice = await l.as("alice", { fetch: own, maxRetries: 3 })
    await expect(alice.chat.completions.create(asked)).rejects.toBeInstanceOf(UnboundError)
    expect(asks).toBe(1)
  })
  it("and bound again, the old binding stays over", async () => {
    const l = lab()
    const alice = await l.as("alice")
    const user = alice.userClient
    alice.unbind()
    const again = l.service.bindToUser(user)
    await expect(alice.chat.completions.create(asked)).rejects.toBeInstanceOf(UnboundError)
    arrives(asked)(await attempt(l, again, (c) => c.chat.completions.create(asked)))
  })
})

it("users at once through one service are judged each by their own policy", async () => {
  const l = lab()
  const [alice, bob] = await Promise.all([l.as("alice"), l.as("bob")])
  const answers = await Promise.allSettled(
    Array.from({ length: 30 }, (_, i) =>
      (i % 2 === 0 ? alice : bob).chat.completions.create({ ...over, user: i % 2 === 0 ? "alice" : "bob" })
    )
  )
  expect(answers.map(({ status }) => status)).toEqual(answers.map((_, i) => (i % 2 === 0 ? "fulfilled" : "rejected")))
  expect(new Set(l.provider.hits.map((hit) => hit.text))).toEqual(
    new Set([JSON.stringify({ ...edited, user: "alice" })])
  )
})
