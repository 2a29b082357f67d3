/**
 * A user's client is a capability: whatever its holder does with what the SDK's types let it do, what leaves is what was
 * judged, to the provider, with the service's own credentials, in the user's name. Each attempt is followed by a plain call;
 * every request that arrives is looked at, and so is everything that the holder saw.
 */
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { AzureOpenAI, type ClientOptions, OpenAI } from "openai"
import { BedrockOpenAI } from "openai/bedrock"
import { bedrock } from "openai/providers/bedrock"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { pinnedMembers, pinnedMethods } from "../../../src/facade/UserRestrictions.ts"
import {
  BindError,
  type BoundSecureOpenAI,
  ConfigurationError,
  type PolicyDeniedError,
  secure,
  SecureAzureOpenAI,
  SecureOpenAI
} from "../../../src/index.ts"
import { mintToken } from "../../../src/testing/index.ts"
import { type Lab, messages, policies, useLab } from "./lab.ts"

const lab = useLab()
type Fetch = typeof globalThis.fetch

const key = "sk-of-the-service"
const secret = "gateway-secret"
const own = {
  apiKey: key,
  adminAPIKey: "sk-of-the-service-admin",
  organization: "org-own",
  project: "proj-own",
  defaultHeaders: { "x-gateway-key": secret, "x-region": "eu" },
  maxRetries: 0
}
const over = { model: "gpt-5-pro", messages, max_tokens: 9000 }
const edited = JSON.stringify({ model: "gpt-4o-mini", messages, max_tokens: 500 })

/** A place of the holder's own, which keeps what it is sent. */
let elsewhere: Server
let elsewhereURL: string
const stolen: Array<unknown> = []
beforeAll(async () => {
  elsewhere = createServer((request, response) => {
    stolen.push(["elsewhere", request.url, request.headers])
    response.end("{}")
  })
  await new Promise<void>((resolve) => elsewhere.listen(0, "127.0.0.1", resolve))
  elsewhereURL = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/v1`
})
afterAll(() => new Promise((resolve) => elsewhere.close(resolve)))
afterEach(() => {
  stolen.length = 0
})

/** A function of the holder's that keeps what it is given, and then does what is done in its place. */
const spy =
  <Args extends ReadonlyArray<unknown>, A>(name: string, then: (...args: Args) => A) =>
  (...args: Args): A => {
    stolen.push([name, ...args])
    return then(...args)
  }
const spyFetch: Fetch = spy("fetch", (input: Parameters<Fetch>[0], init?: RequestInit) => fetch(input, init))

/** Everything that can be found in what the holder saw, as text: members, headers, symbols, and what functions bring. */
const textOf = (value: unknown, seen = new Set<unknown>()): string => {
  if (typeof value === "string") return value
  if (typeof value !== "object" || value === null || seen.has(value)) return ""
  seen.add(value)
  if (value instanceof Headers || value instanceof Map || value instanceof Set) return textOf([...value], seen)
  if (value instanceof Request || value instanceof Response) return textOf([value.url, value.headers], seen)
  return Reflect.ownKeys(value)
    .map((name) => {
      const found = Object.getOwnPropertyDescriptor(value, name)
      return `${String(name)}=${found?.get === undefined ? textOf(found?.value, seen) : ""}`
    })
    .join("\n")
}

interface Held {
  readonly lab: Lab
  readonly client: OpenAI
}
/** A user's client, of a service of its own in a lab. */
type Open = (l: Lab) => Promise<OpenAI>

const bound: Open = (l) => l.as("alice", own)
const lent: Open = async (l) => l.make(SecureOpenAI, { ...own, jwtToken: mintToken({ sub: "alice" }) })
const cloned: Open = async (l) => (await bound(l)).withOptions({ timeout: 5000 }).withOptions({ maxRetries: 0 })
const held = async (open: Open): Promise<Held> => {
  const l = lab()
  l.provider.hits.length = 0
  return { lab: l, client: await open(l) }
}

/** Every request that arrived is as it has to be: to the service's provider, on its account, in the user's name. */
const expectHome = async ({ lab: l }: Held, since = 0): Promise<void> => {
  for (const { headers, path, text } of l.provider.hits) {
    expect(headers).toMatchObject({
      authorization: `Bearer ${key}`,
      "openai-organization": "org-own",
      "openai-project": "proj-own",
      "x-gateway-key": secret,
      "x-region": "eu"
    })
    if (path === "/chat/completions") expect(text).toBe(edited)
  }
  const log = (await l.records()).slice(since).filter(({ kind }) => kind === "decision" || kind === "passthrough")
  // A request that was built by hand is in the log, whether or not it was sent.
  expect(log.length).toBeGreaterThanOrEqual(l.provider.hits.length)
  for (const record of log) expect(record["principal"]).toMatchObject({ kind: "user", id: "alice" })
  const places = ["elsewhere", "raw answer"]
  expect(stolen.filter((found) => Array.isArray(found) && places.includes(String(found[0])))).toEqual([])
  const seen = textOf(stolen)
  expect(seen).not.toContain(key)
  expect(seen).not.toContain(secret)
}

const members = (client: OpenAI) => client as unknown as Record<string, unknown>
const methods = (client: OpenAI) => client as unknown as Record<string, (...args: ReadonlyArray<unknown>) => unknown>

/** What a holder may try: the attempt may throw, and the call after it may be refused. */
type Try = (client: OpenAI, lab: Lab) => unknown
const override =
  (name: string): Try =>
  (client) => {
    const inner = methods(client)[name]
    if (typeof inner !== "function") throw new TypeError(`no method ${name}`)
    Object.defineProperty(client, name, {
      value: spy(name, function (...args: ReadonlyArray<unknown>) {
        return inner.apply(client, [...args])
      })
    })
  }
const assign =
  (name: string, value: unknown): Try =>
  (client) =>
    Object.assign(client, { [name]: value })
const read =
  (what: (client: OpenAI) => unknown): Try =>
  async (client) =>
    stolen.push(await what(client))

const innerMethods = Object.getOwnPropertyNames(OpenAI.prototype).filter((name) => {
  const { value } = Object.getOwnPropertyDescriptor(OpenAI.prototype, name) ?? {}
  return typeof value === "function" && name !== "constructor"
})

/** What is one URL at first, and another one when it is asked again. */
const urlsThatChange: ReadonlyArray<readonly [string, (at: number, first: string, then: string) => unknown]> = [
  ["an object", (at, first, then) => ({ toString: turning(at, first, then) })],
  ["an array", (at, first, then) => Object.assign([then], { toString: turning(at, first, then) })],
  ["a Request", (at, first, then) => Object.assign(new Request(then), { toString: turning(at, first, then) })]
]
const turning = (at: number, first: string, then: string): (() => string) => {
  let looks = 0
  return () => (looks++ < at ? first : then)
}

const postedByHand = (c: OpenAI, url: string): unknown =>
  (members(c)["fetch"] as Fetch)(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(over)
  })

const tries: ReadonlyArray<readonly [string, Try]> = [
  ["all that can be read", read((c) => c)],
  ["apiKey read", read((c) => [c.apiKey, c.adminAPIKey])],
  ["_options read", read((c) => members(c)["_options"])],
  [
    "symbols of its options set to nothing",
    (c) => {
      const symbols = [...Object.getOwnPropertySymbols(members(c)["_options"]), Symbol("secure-openai/session")]
      const clone = c.withOptions(Object.fromEntries(symbols.map((symbol) => [symbol, undefined])))
      return clone.chat.completions.create(over)
    }
  ],
  ...innerMethods.map((name): readonly [string, Try] => [`${name} in another's place`, override(name)]),
  ...[...pinnedMembers].map((name): readonly [string, Try] => [`${name} assigned`, assign(name, spyFetch)]),
  ["_workloadIdentityAuth assigned", assign("_workloadIdentityAuth", { getToken: async () => "mine" })],
  ["baseURL assigned", assign("baseURL", "http://127.0.0.1:9/v1")],
  [
    "constructor assigned",
    assign(
      "constructor",
      spy("constructor", () => ({}))
    )
  ],
  [
    "its options changed, then cloned",
    (c) => {
      const options = members(c)["_options"] as object
      Object.assign(options, { fetch: spyFetch, apiKey: "sk-mine", baseURL: elsewhereURL, organization: "mine" })
      return c.withOptions({}).chat.completions.create(over)
    }
  ],
  [
    "options that make clients while they are read",
    (c) => {
      const Class = c.constructor as typeof SecureOpenAI
      const trap = {
        get timeout() {
          stolen.push(new Class({ apiKey: "sk-mine", baseURL: elsewhereURL, fetch: spyFetch }))
          return 1000
        }
      }
      return c.withOptions(trap).chat.completions.create(over)
    }
  ],
  [
    "a client made of its options",
    (c) => new (c.constructor as typeof OpenAI)(members(c)["_options"] as never).chat.completions.create(over)
  ],
  [
    "a client made of its options without their symbols, elsewhere",
    (c) => {
      const options = { ...(members(c)["_options"] as ClientOptions), fetch: spyFetch }
      for (const symbol of Object.getOwnPropertySymbols(options)) Reflect.deleteProperty(options, symbol)
      return new (c.constructor as typeof OpenAI)(options).chat.completions.create(over)
    }
  ],
  ["the plain SDK over its options", (c) => new OpenAI(members(c)["_options"] as never).chat.completions.create(over)],
  [
    "the plain SDK over its fetch",
    (c, l) =>
      new OpenAI({
        apiKey: "sk-mine",
        baseURL: l.provider.url,
        fetch: members(c)["fetch"] as Fetch,
        maxRetries: 0
      }).models.list()
  ],
  [
    "another secure client over its fetch",
    (c, l) =>
      new SecureOpenAI({
        apiKey: "sk-mine",
        baseURL: l.provider.url,
        fetch: members(c)["fetch"] as Fetch,
        audit: "memory",
        maxRetries: 0
      }).chat.completions.create(over)
  ],
  ["its fetch as a constructor", (c) => new (members(c)["fetch"] as new (url: string) => unknown)(elsewhereURL)],
  ["its fetch to elsewhere", (c) => (members(c)["fetch"] as Fetch)(`${elsewhereURL}/models`)],
  [
    "withOptions of the SDK's class",
    (c) =>
      OpenAI.prototype.withOptions.call(c, { fetch: spyFetch, baseURL: elsewhereURL }).chat.completions.create(over)
  ],
  [
    "a request built by hand",
    read(async (c) => {
      const { req, url } = await c.buildRequest({ method: "get", path: "/models" })
      return [req, url, await c.fetchWithTimeout(url, req, 1000, new AbortController())]
    })
  ],
  [
    "a permit carried to a client of the holder's own",
    async (c, l) => {
      const mine = new SecureOpenAI({ apiKey: "sk-mine", baseURL: elsewhereURL, fetch: spyFetch, audit: "memory" })
      const { req, url } = await c.buildRequest({ method: "get", path: "/models" })
      await mine.fetchWithTimeout(url, req, 1000, new AbortController())
      // It is a request of the holder's own, on nobody's account.
      for (const { headers } of l.provider.hits.splice(0)) expect(textOf([headers])).not.toMatch(/service|secret/)
    }
  ],
  [
    "a permit put on another request",
    async (c, l) => {
      const { req } = await c.buildRequest({ method: "get", path: "/models" })
      const body = JSON.stringify(over)
      await c.fetchWithTimeout(
        `${l.provider.url}/chat/completions`,
        { ...req, method: "post", body },
        1000,
        new AbortController()
      )
    }
  ],
  ["authHeaders", read((c) => methods(c)["authHeaders"]?.({ method: "get", path: "/models" }))],
  ["bearerAuth", read((c) => methods(c)["bearerAuth"]?.({}))],
  ["_callApiKey", read((c) => c._callApiKey((found) => stolen.push(found)))],
  ["WebSocket headers", (c) => stolen.push(c._buildWebSocketHeaders({ authorization: "Bearer x" }))],
  [
    "a logger that hears all",
    (c) => {
      const logger = Object.fromEntries(
        ["debug", "info", "warn", "error"].map((level) => [level, spy(level, () => {})])
      )
      return c.withOptions({ logLevel: "debug", logger: logger as never }).chat.completions.create(over)
    }
  ],
  ["the response", read((c) => c.chat.completions.create(over).asResponse())],
  ["the response and its data", read((c) => c.models.list().withResponse())],
  [
    "a page's next page",
    async (c) => {
      const page = await c.files.list()
      Object.assign(page, { has_more: true, data: [{ id: "f" }] })
      await page.getNextPage()
    }
  ],
  ...[0, 1, 2].flatMap((at) =>
    [{ dispatcher: { dispatch: spy("dispatch", () => true) } }, { headers: {} }].map(
      (given): readonly [string, Try] => [
        `fetchOptions that are there at look ${at} only: ${Object.keys(given).join()}`,
        (c) => {
          let looks = 0
          const options = {
            method: "get" as const,
            path: "/models",
            get fetchOptions() {
              return looks++ === at ? given : undefined
            }
          }
          return c.request(options as never)
        }
      ]
    )
  ),
  ...(["headers", "fetchOptions"] as const).map((name): readonly [string, Try] => [
    `another's account by ${name}`,
    (c) => {
      const headers = { authorization: "Bearer sk-mine", "OpenAI-Organization": "org-mine", "OpenAI-Project": null }
      return c.models.list(name === "headers" ? { headers } : ({ fetchOptions: { headers } } as never))
    }
  ]),
  ["none of the service's headers", (c) => c.models.list({ headers: { "X-Gateway-Key": null } })],
  [
    "body of a secure type that says another thing when it is sent",
    (c) => {
      let reads = 0
      return c.chat.completions.create({ ...over, toJSON: () => (reads++ === 0 ? over : { ...over, n: 9 }) } as never)
    }
  ],
  [
    "an answer's class of the holder's own",
    (c) =>
      c.chat.completions.create({ ...over, stream: true }, {
        __streamClass: { fromSSEResponse: spy("raw answer", () => ({})) }
      } as never)
  ],
  ...Array.from({ length: 8 }, (_, at): readonly [string, Try] => [
    `a stream's class that is there from look ${at} on`,
    (c) => {
      let looks = 0
      const Evil = { fromSSEResponse: spy("raw answer", () => ({})) }
      const options = {
        method: "post" as const,
        path: "/chat/completions",
        body: over,
        get stream() {
          return looks++ >= at
        },
        get __streamClass() {
          return looks > at ? Evil : undefined
        }
      }
      return c.request(options as never)
    }
  ]),
  ...[1, 2, 3, 4].flatMap((at) =>
    urlsThatChange.map(([what, changing]): readonly [string, Try] => [
      `a permit with ${what} that is another URL from look ${at} on`,
      async (c) => {
        const { req, url } = await c.buildRequest({ method: "get", path: "/models" })
        await (members(c)["fetch"] as Fetch)(changing(at, url, `${elsewhereURL}/models`) as never, req)
      }
    ])
  ),
  [
    "a family's permit for a URL that becomes an operation's",
    async (c, l) => {
      const { req, url } = await c.buildRequest({ method: "post", path: "/moderations", body: over })
      const to = `${l.provider.url}/chat/completions`
      for (const [, changing] of urlsThatChange)
        await (members(c)["fetch"] as Fetch)(changing(1, url, to) as never, req).catch(() => {})
    }
  ],
  ...[" ", "\t", "\u0000"].map((before): readonly [string, Try] => [
    `its fetch with a URL after ${JSON.stringify(before)}`,
    (c, l) => postedByHand(c, `${before}${l.provider.url}/chat/completions`)
  ]),
  [
    "its fetch with a URL whose scheme is broken by a line's end",
    (c, l) => postedByHand(c, `${l.provider.url}/chat/completions`.replace("ht", "ht\n"))
  ],
  ...[1, "yes", {}].map((given): readonly [string, Try] => [
    `the administrator's key asked for by ${JSON.stringify(given)}`,
    (c) => c.request({ method: "get", path: "/models", __security: { adminAPIKeyAuth: given as never } })
  ]),
  ...Array.from({ length: 8 }, (_, at): readonly [string, Try] => [
    `the administrator's key asked for at look ${at} only`,
    (c) => {
      let looks = 0
      const __security = {
        get adminAPIKeyAuth() {
          return looks++ === at
        }
      }
      return c.request({ method: "get", path: "/models", __security })
    }
  ])
]

describe("whatever is done with a user's client, what leaves is what was judged, on the service's account", () => {
  it.each([
    ["bound", bound],
    ["in user mode", lent],
    ["a clone of one that is bound", cloned]
  ] as ReadonlyArray<[string, Open]>)("%s", async (_name, open) => {
    const l = lab()
    const attempted = async (run: Try): Promise<number> => {
      l.provider.hits.length = 0
      stolen.length = 0
      const since = (await l.records()).length
      const client = await open(l)
      await Promise.resolve()
        .then(() => run(client, l))
        .catch((error: unknown) => expect(error).toBeInstanceOf(Error))
      await client.chat.completions.create(over).catch((error: unknown) => expect(error).toBeInstanceOf(Error))
      await expectHome({ client, lab: l }, since)
      return l.provider.hits.length
    }
    for (const [what, run] of tries)
      await attempted(run).catch((cause: unknown) => {
        throw new Error(`with ${what}`, { cause })
      })
    expect(await attempted(() => {})).toBe(1)
  })
})

describe("options of withOptions", () => {
  const sample: Record<keyof ClientOptions, { readonly value: unknown; readonly isHolders?: true }> = {
    apiKey: { value: "sk-mine" },
    adminAPIKey: { value: "sk-mine" },
    organization: { value: "org-mine" },
    project: { value: "proj-mine" },
    webhookSecret: { value: "whsec" },
    workloadIdentity: { value: {} },
    x509Transport: { value: {} },
    credential: { value: {} },
    provider: { value: bedrock({ region: "eu-west-1", apiKey: "mine" }) },
    dataResidency: { value: "eu" },
    baseURL: { value: "http://127.0.0.1:9/v1" },
    timeout: { value: 5000, isHolders: true },
    fetchOptions: { value: { redirect: "follow" } },
    fetch: { value: spyFetch },
    maxRetries: { value: 0, isHolders: true },
    defaultHeaders: { value: { "x-region": "us" } },
    defaultQuery: { value: { model: "gpt-5-pro" } },
    dangerouslyAllowBrowser: { value: true },
    logLevel: { value: "off", isHolders: true },
    logger: { value: console, isHolders: true }
  }
  it.each(Object.entries(sample))("%s", async (name, { isHolders, value }) => {
    for (const open of [bound, lent]) {
      const { client, lab: l } = await held(open)
      const clone = () => client.withOptions({ [name]: value })
      if (isHolders !== true) {
        expect(clone).toThrow(ConfigurationError)
        expect(clone).toThrow(/is its service's.*timeout, maxRetries, logger, logLevel/)
        continue
      }
      await clone().chat.completions.create(over)
      expect(l.provider.hits).toHaveLength(1)
      await expectHome({ client, lab: l })
    }
  })
  it("that say what the client says anyway, or nothing, change nothing", async () => {
    const { client, lab: l } = await held(bound)
    const { baseURL, organization, project } = client
    const same = { baseURL, organization, project, apiKey: undefined, defaultHeaders: { "x-region": "eu" } }
    await client.withOptions(same as never).chat.completions.create(over)
    expect(l.provider.hits).toHaveLength(1)
    await expectHome({ client, lab: l })
  })
  it("headers that correlate requests are the holder's to set, beside the service's", async () => {
    const { client, lab: l } = await held(bound)
    const traced = client.withOptions({
      defaultHeaders: { traceparent: "00-1", "X-Client-Request-Id": "r1" },
      defaultQuery: { "api-version": "2" },
      timeout: 5000
    })
    for (const client of [traced, traced.withOptions({})]) await client.chat.completions.create(over)
    for (const { headers, path } of l.provider.hits) {
      expect(headers).toMatchObject({ traceparent: "00-1", "x-client-request-id": "r1", "x-gateway-key": secret })
      expect(path).toBe("/chat/completions?api-version=2")
    }
    expect(l.provider.hits).toHaveLength(2)
  })
  it("the service's own client takes what the SDK does", async () => {
    const l = lab()
    const asked: Array<string> = []
    const given: Fetch = (input, init) => (asked.push(String(input)), fetch(input, init))
    const service = l.make(SecureOpenAI, own)
    const copy = service.withOptions({
      apiKey: "sk-2",
      organization: "o",
      fetch: given,
      defaultHeaders: { "x-a": "1" }
    })
    await copy.chat.completions.create(over)
    expect(l.provider.hits[0]?.headers).toMatchObject({
      authorization: "Bearer sk-2",
      "openai-organization": "o",
      "x-a": "1"
    })
    expect(asked).toHaveLength(1)
    service.baseURL = `${l.provider.url}/`
    Object.assign(service, { apiKey: "sk-3" })
    await service.chat.completions.create(over)
    expect(l.provider.hits[1]?.headers.authorization).toBe("Bearer sk-3")
  })
})

describe("options of one request", () => {
  const code = (error: unknown) => (error as PolicyDeniedError).decision.violations[0]?.code
  const sample: Record<keyof OpenAI.RequestOptions, { readonly value: unknown; readonly refusal?: string }> = {
    // Parts of the request: judged with it.
    method: { value: "put", refusal: "invalid_method" },
    path: { value: "/realtime/sessions", refusal: "resource_not_allowed" },
    query: { value: {} },
    body: { value: over },
    headers: { value: { authorization: "Bearer sk-mine" }, refusal: "foreign_header" },
    // Its holder's.
    maxRetries: { value: 0 },
    stream: { value: false },
    timeout: { value: 5000 },
    signal: { value: new AbortController().signal },
    idempotencyKey: { value: "k" },
    __binaryResponse: { value: true },
    __metadata: { value: { helperMethod: "parse", model: "gpt-5-pro" } },
    // Where it goes, by what, on whose account, and who reads the answer.
    fetchOptions: { value: { redirect: "follow" }, refusal: "foreign_option" },
    defaultBaseURL: { value: "http://127.0.0.1:9/v1" },
    __security: { value: { adminAPIKeyAuth: true }, refusal: "foreign_option" },
    __streamClass: { value: { fromSSEResponse: () => ({}) }, refusal: "foreign_option" },
    __synthesizeEventData: { value: true, refusal: "foreign_option" },
    __streamMode: { value: "events", refusal: "foreign_option" }
  }
  it.each(Object.entries(sample))("%s", async (name, { refusal, value }) => {
    for (const open of [bound, lent]) {
      const { client, lab: l } = await held(open)
      const options = { method: "post" as const, path: "/chat/completions", body: over, [name]: value }
      const ask = client.request(options as never)
      if (refusal === undefined) await ask
      else expect(code(await ask.catch((error: unknown) => error))).toBe(refusal)
      expect(l.provider.hits).toHaveLength(refusal === undefined ? 1 : 0)
      await expectHome({ client, lab: l })
    }
  })
  it("defaultBaseURL of a client that has the SDK's own base URL", async () => {
    const l = lab()
    const service = l.make(SecureOpenAI, { ...own, baseURL: "https://api.openai.com/v1", fetch: spyFetch })
    const alice = await service.asUser(mintToken({ sub: "alice" }))
    const error = await alice
      .request({ method: "post", path: "/chat/completions", body: over, defaultBaseURL: elsewhereURL })
      .catch((caught: unknown) => caught)
    expect(code(error)).toBe("foreign_url")
    expect(stolen).toEqual([])
  })
})

describe("members of a client", () => {
  const holders = ["timeout", "maxRetries", "logger", "logLevel", "webhookSecret"]
  const counters = ["_apiKeyInvocation", "_lastCachedAPIKeyInvocation"]
  const plain = new OpenAI({ apiKey: "k" })
  const azure = new AzureOpenAI({ apiKey: "k", apiVersion: "1", endpoint: "https://a.test" })
  const isResource = (value: unknown) => typeof value === "object" && value !== null && "_client" in value
  it("are pinned, or the holder's, each of them", () => {
    for (const client of [plain, azure]) {
      const names = Object.getOwnPropertyNames(client).filter((name) => !isResource(members(client)[name]))
      const known = new Set<string>([...pinnedMembers, ...holders, ...counters])
      expect(names.filter((name) => !known.has(name))).toEqual([])
    }
  })
  it("are those of the SDK: what is pinned is there", () => {
    for (const name of pinnedMethods) expect([name, typeof members(plain)[name]]).toEqual([name, "function"])
    for (const name of pinnedMembers) expect([name, name in plain || name in azure]).toEqual([name, true])
  })
  it("cannot be assigned where they are pinned, and the error says whose they are", async () => {
    const l = lab()
    const ofAzure = { apiVersion: "2024-10-21", endpoint: l.provider.url.replace(/\/v1$/, ""), baseURL: undefined }
    const azureService = l.make(SecureAzureOpenAI as never, { ...own, ...ofAzure } as never)
    const azureUser = await azureService.asUser(mintToken({ sub: "alice" }))
    for (const client of [await bound(l), await lent(l), await cloned(l), azureUser])
      for (const name of [...pinnedMembers, ...pinnedMethods].filter((pinned) => pinned in client)) {
        const before = members(client)[name]
        expect(() => Object.assign(client, { [name]: "x" })).toThrow(ConfigurationError)
        expect(() => Object.assign(client, { [name]: "x" })).toThrow(`The ${name} of a user's client`)
        expect(members(client)[name]).toBe(before)
      }
  })
})

describe("what a bound client does not give away", () => {
  it("its service, its workspace, and its tools", async () => {
    const l = lab()
    l.service.registerTool("get_weather", () => "sunny")
    const alice: BoundSecureOpenAI & { readonly service?: unknown } = await l.as("alice")
    expect(alice.service).toBeUndefined()
    expect(() => alice.workspace as unknown).toThrow(ConfigurationError)
    expect(() => (alice as unknown as SecureOpenAI).registerTool("get_weather", () => "rain")).toThrow(
      /only the service's own client registers tools/
    )
    expect(() => (alice as unknown as SecureOpenAI).bindToUser(alice.userClient)).toThrow(BindError)
    await expect((alice as unknown as SecureOpenAI).asUser(mintToken({ sub: "bob" }))).rejects.toBeInstanceOf(BindError)
    expect(
      await alice.invokeTool({ id: "1", type: "function", function: { name: "get_weather", arguments: "{}" } })
    ).toMatchObject({ content: "sunny" })
  })
  it("its user's token and workspace; and the user's limits are not the holder's to lift", async () => {
    const l = lab()
    const alice = await l.service.asUser(mintToken({ sub: "alice" }), {
      intentPolicy: { constraints: { parameters: { "tool:lab/generate": { max_tokens: { max: 7 } } } } }
    })
    const user = alice.userClient
    stolen.push(user)
    expect(textOf(stolen)).not.toMatch(/eyJ/)
    expect(["workspace", "credentials"].map((name) => Reflect.get(user, name) as unknown)).toEqual([
      undefined,
      undefined
    ])
    for (const name of ["intentPolicy", "agentType", "agentId", "userName", "appName", "registered"])
      expect(() => Object.assign(user, { [name]: undefined })).toThrow(TypeError)
    Object.assign(user.intentPolicy as object, { constraints: {} })
    Object.assign(user, { credentials: { _tag: "App" } })
    await user.invokeTool("tool:lab/generate", over, { targetAgent: alice.serverId })
    expect(JSON.parse(l.provider.hits[0]?.text ?? "")).toMatchObject({ max_tokens: 7 })
    const decision = (await l.records()).find(({ kind }) => kind === "decision")
    expect(decision?.["principal"]).toMatchObject({ kind: "user", id: "alice" })
  })
})

describe("classes of one's own and of the SDK", () => {
  const sent: Array<{ url: string; headers: Record<string, string>; body: unknown }> = []
  const answering: Fetch = async (input, init) => {
    const headers = Object.fromEntries(new Headers(init?.headers))
    sent.push({ url: String(input), headers, body: init?.body })
    return Response.json({ id: "x", object: "chat.completion", choices: [] })
  }
  afterEach(() => {
    sent.length = 0
  })
  const both = async (service: SecureOpenAI): Promise<OpenAI> => {
    const alice = await service.asUser(mintToken({ sub: "alice" }))
    for (const client of [service, alice]) await client.chat.completions.create(over)
    const [first, second] = sent
    expect(second).toEqual({ ...first, body: edited })
    return alice
  }
  it("Bedrock's provider signs a user's request as the service's", async () => {
    const provider = bedrock({ region: "us-east-1", apiKey: key })
    const options = { provider, fetch: answering, apiKey: undefined, baseURL: undefined }
    const alice = await both(lab().make(SecureOpenAI, options as never))
    expect(sent[1]?.headers["authorization"]).toBe(`Bearer ${key}`)
    expect([alice.apiKey, members(alice)["_provider"]]).toEqual(["no-api-key", undefined])
  })
  it("Bedrock's client asks its token provider, which is not the holder's to ask", async () => {
    const Class = secure(BedrockOpenAI as never) as unknown as typeof SecureOpenAI
    const options = { bedrockTokenProvider: async () => key, awsRegion: "us-east-1", fetch: answering }
    const alice = await both(lab().make(Class, { ...options, apiKey: undefined, baseURL: undefined } as never))
    expect(sent[1]?.headers["authorization"]).toBe(`Bearer ${key}`)
    expect(members(alice)["bedrockTokenProvider"]).toBeUndefined()
  })
  it("a key that a function gives is asked for by the service's client alone", async () => {
    const alice = await both(lab().make(SecureOpenAI, { ...own, apiKey: async () => key, fetch: answering }))
    expect(alice.apiKey).toBe("no-api-key")
    expect(members(alice)["_options"]).toMatchObject({ apiKey: "no-api-key" })
  })
  it("hooks of a class that was secured, and of one that extends a secured one, with fields", async () => {
    class Base extends OpenAI {
      tenant = "t1"
      protected override async prepareRequest(request: RequestInit): Promise<void> {
        ;(request.headers as Headers).set("x-tenant", this.tenant)
      }
    }
    await both(lab().make(secure(Base) as never, { ...own, fetch: answering }))
    expect(sent[1]?.headers["x-tenant"]).toBe("t1")
    sent.length = 0
    class Derived extends SecureOpenAI {
      readonly trace = "00-1"
      protected override async prepareRequest(request: RequestInit, about: { url: string; options: never }) {
        ;(request.headers as Headers).set("traceparent", this.trace)
        await super.prepareRequest(request, about)
      }
    }
    await both(lab().make(Derived as never, { ...own, fetch: answering }))
    expect(sent[1]).toMatchObject({ headers: { traceparent: "00-1" } })
  })
  it.each([
    ["Headers", (given: Headers) => new Headers([...given, ["traceparent", "00-1"]])],
    ["a record", (given: Headers) => ({ ...Object.fromEntries(given), traceparent: "00-1" })]
  ])("a hook that puts %s in the headers' place", async (_name, put) => {
    class Hooked extends SecureOpenAI {
      protected override async prepareRequest(request: RequestInit): Promise<void> {
        request.headers = put(request.headers as Headers)
      }
    }
    const l = lab()
    const alice = await l.make(Hooked as never, { ...own }).asUser(mintToken({ sub: "alice" }))
    await alice.chat.completions.create(over)
    expect(l.provider.hits.map(({ headers }) => [headers["traceparent"], headers.authorization])).toEqual([
      ["00-1", `Bearer ${key}`]
    ])
  })
  it("a hook that puts another header, or another body, in its place is told so, and nothing is sent", async () => {
    for (const change of [{ headers: { "x-account": "mine" } }, { body: "{}" }]) {
      class Hooked extends SecureOpenAI {
        protected override async prepareRequest(request: RequestInit): Promise<void> {
          Object.assign(request, change)
        }
      }
      const l = lab()
      const alice = await l.make(Hooked as never, { ...own }).asUser(mintToken({ sub: "alice" }))
      await expect(alice.chat.completions.create(over)).rejects.toThrow(/changed after it was decided on/)
      expect(l.provider.hits).toEqual([])
    }
  })
  it("a request of a family that was judged by itself is sent once", async () => {
    const l = lab()
    const alice = await l.make(SecureOpenAI as never, { ...own }).asUser(mintToken({ sub: "alice" }))
    const { req, url } = await alice.buildRequest({ method: "get", path: "/models" })
    await (members(alice)["fetch"] as Fetch)(url, req)
    await expect((members(alice)["fetch"] as Fetch)(url, req)).rejects.toThrow(/changed after/)
    expect(l.provider.hits).toHaveLength(1)
  })
  it("default headers and a default query that are changed in their place reach users who are bound later", async () => {
    const l = lab()
    const [defaultHeaders, defaultQuery] = [{ "x-region": "eu" }, { tenant: "a" }]
    const service = l.make(SecureOpenAI as never, { ...own, defaultHeaders, defaultQuery })
    const ask = async () => (await service.asUser(mintToken({ sub: "alice" }))).chat.completions.create(over)
    await ask()
    defaultHeaders["x-region"] = "us"
    defaultQuery.tenant = "b"
    await ask()
    expect(l.provider.hits.map(({ headers, path }) => [headers["x-region"], path])).toEqual([
      ["eu", "/chat/completions?tenant=a"],
      ["us", "/chat/completions?tenant=b"]
    ])
  })
  it("a header that a class sets once a user's request was judged is not sent, unless anyone may set it", async () => {
    class Late extends SecureOpenAI {
      protected override async prepareRequest(request: RequestInit): Promise<void> {
        ;(request.headers as Headers).set("x-account", "mine")
      }
    }
    const l = lab()
    const alice = await l.make(Late as never, { ...own }).asUser(mintToken({ sub: "alice" }))
    await expect(alice.chat.completions.create(over)).rejects.toThrow(/changed after it was decided on.*x-account/)
    expect(l.provider.hits).toEqual([])
  })
  it("a class that makes other clients while it is cloned", async () => {
    class Busy extends SecureOpenAI {
      readonly other: OpenAI
      constructor(options: ConstructorParameters<typeof SecureOpenAI>[0]) {
        const other = new SecureOpenAI({ apiKey: "other", audit: "memory" })
        super(options)
        this.other = other
      }
    }
    const alice = await both(lab(policies).make(Busy as never, { ...own, fetch: answering }))
    expect([(alice as SecureOpenAI).isBound, ((alice as never as Busy).other as SecureOpenAI).isBound]).toEqual([
      true,
      false
    ])
  })
})
