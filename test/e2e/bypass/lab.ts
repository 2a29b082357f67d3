/**
 * What every test of the ways around a policy is made of: a provider on the loopback that keeps what arrived, a service with
 * users of different rights, the plain SDK beside them, and what may be expected of an attempt: that it arrives exactly as
 * policy decided, or not at all; and that the log says which.
 */
import { OpenAI } from "openai"
import { afterAll, afterEach, beforeAll, expect } from "vitest"
import {
  type AgentClient,
  type BoundSecureOpenAI,
  type ReadRecord,
  SecureOpenAI,
  type SecureOptions,
  Workspace
} from "../../../src/index.ts"
import { mintToken, testIssuer } from "../../../src/testing/index.ts"
import { type Hit, type Provider, startProvider } from "../Provider.ts"

export const messages = [{ role: "user" as const, content: "Hello" }]
/** A request that every user may make as it is. */
export const asked = { model: "gpt-4o-mini", messages, max_tokens: 100 }

const generate = "tool:lab/generate"
const held = { model: ["gpt-4o-mini"], max_tokens: { max: 500 } }

/** Who may do what: alice is edited down to her bounds, bob is refused beyond them, carol may use a few families. */
export const policies = [
  { policy_id: "app:lab", resources: ["tool:lab/**", "api:lab/**"], denied_resources: ["api:lab/videos"] },
  {
    policy_id: "user:alice",
    resources: ["tool:lab/**"],
    constraints: {
      parameters: {
        [generate]: held,
        "tool:lab/complete": { model: ["gpt-3.5-turbo-instruct"], max_tokens: { max: 500 } },
        "tool:lab/embed": { model: ["text-embedding-3-small"] }
      }
    }
  },
  {
    policy_id: "user:bob",
    on_violation: "deny",
    resources: ["tool:lab/**"],
    constraints: { parameters: { [generate]: held } }
  },
  {
    policy_id: "user:carol",
    resources: ["tool:lab/generate", "api:lab/conversations", "api:lab/responses"],
    denied_resources: ["api:lab/files"],
    constraints: { parameters: { [generate]: held } }
  }
]

export type User = BoundSecureOpenAI
export interface Lab {
  readonly provider: Provider
  readonly plain: OpenAI
  readonly workspace: Workspace
  readonly service: SecureOpenAI
  /** A user of the service, or of another one of this lab, made with these options. */
  readonly as: (name: string, options?: SecureOptions & ClientOptions) => Promise<User>
  /** A secure client of a class of one's own in this lab. */
  readonly make: (Class: typeof SecureOpenAI, options?: SecureOptions & ClientOptions) => SecureOpenAI
  readonly records: () => Promise<ReadonlyArray<ReadRecord>>
}
export type ClientOptions = NonNullable<ConstructorParameters<typeof OpenAI>[0]>

/** Sets up a provider for a file; what a test puts in `opened` is closed after it. */
export const useProvider = () => {
  const opened: Array<{ close(): Promise<void> }> = []
  const used = { opened, provider: undefined as unknown as Provider }
  beforeAll(async () => {
    used.provider = await startProvider()
  })
  afterAll(() => used.provider.close())
  afterEach(async () => {
    for (const one of opened.splice(0)) await one.close()
    used.provider.behave({})
  })
  return used
}

/** Sets up a provider for a file, and a lab for each test. */
export const useLab = () => {
  const used = useProvider()
  return (documents: ReadonlyArray<object> = policies, more: SecureOptions & ClientOptions = {}): Lab => {
    const { opened, provider } = used
    provider.hits.length = 0
    const workspace = new Workspace({ audit: "memory", issuers: testIssuer, policies: documents as never })
    const common = { apiKey: "k", baseURL: provider.url, maxRetries: 0 }
    const make: Lab["make"] = (Class, options = {}) => {
      const client = new Class({ ...common, appName: "lab", workspace, ...options })
      opened.push(client)
      return client
    }
    const service = make(SecureOpenAI, more)
    opened.push(workspace)
    return {
      provider,
      plain: new OpenAI(common),
      workspace,
      service,
      make,
      as: (name, options) => (options ? make(SecureOpenAI, options) : service).asUser(mintToken({ sub: name })),
      records: () => workspace.records()
    }
  }
}

/** A request as somebody would send it: below the base URL, and as JSON. */
export interface RequestCase {
  /** Default: POST. */
  readonly method?: string
  /** Below the base URL. Default: `/chat/completions`. */
  readonly path?: string
  readonly query?: Readonly<Record<string, unknown>>
  readonly headers?: Readonly<Record<string, string>>
  /** An object is sent as its JSON, a text as it is. */
  readonly body?: object | string
}

/** An attempt, and what became of it. */
export type Attempt = (client: OpenAI, lab: Lab) => unknown
/** What is tried: a request as data, or what only the SDK's own client can do. */
export type Tried = RequestCase | Attempt

export interface Seen {
  readonly hits: ReadonlyArray<Hit>
  readonly error: unknown
  readonly value: unknown
  readonly log: ReadonlyArray<ReadRecord>
}

/** Makes an attempt, and collects what arrived, what the caller saw and what the log says of calls. */
export const attempt = async (lab: Lab, client: OpenAI, run: Attempt): Promise<Seen> => {
  let error: unknown
  let value: unknown
  try {
    value = await run(client, lab)
    if (typeof value === "object" && value !== null && Symbol.asyncIterator in value && !("getNextPage" in value))
      await Array.fromAsync(value as AsyncIterable<unknown>)
  } catch (caught) {
    error = caught
  }
  const log = (await lab.records()).filter((record) => record["call"] !== undefined)
  return { hits: [...lab.provider.hits], error, value, log }
}

export const kinds = (seen: Seen, kind: string): ReadonlyArray<ReadRecord> =>
  seen.log.filter((record) => record.kind === kind)

/** What may be expected of an attempt. */
export type Expectation = (seen: Seen) => void

/** Exactly these bodies arrive, in this order and spelling, each of a call that the log has with its outcome. */
export const arrives =
  (...bodies: ReadonlyArray<object | string>): Expectation =>
  (seen) => {
    expect(seen.error).toBeUndefined()
    expect(seen.hits.map((hit) => hit.text)).toEqual(
      bodies.map((body) => (typeof body === "string" ? body : JSON.stringify(body)))
    )
    const decided = kinds(seen, "decision")
    expect(decided.length).toBeGreaterThan(0)
    expect(kinds(seen, "outcome").map((record) => record.call)).toEqual(
      expect.arrayContaining(decided.map((record) => record["call"]))
    )
    expect(kinds(seen, "refused")).toEqual([])
  }

/** Nothing arrives; the caller sees an error with this code, and the log a refusal for this reason. */
export const refused =
  (reason: string, code = "policy_denied"): Expectation =>
  ({ error, hits, log }) => {
    expect(hits.map(({ method, path, text }) => [method, path, text])).toEqual([])
    expect(error).toMatchObject({ code })
    expect(error).toBeInstanceOf(Error)
    const refusals = log.filter((record) => record.kind === "refused")
    expect(refusals).toHaveLength(1)
    const { violations } = refusals[0] as unknown as { readonly violations: ReadonlyArray<{ readonly code: string }> }
    expect(violations.map((violation) => violation.code)).toContain(reason)
    expect(log.filter((record) => record.kind === "decision")).toEqual([])
  }

/** Nothing arrives, and the caller sees an error of this class. */
export const throws =
  (kind: abstract new (...args: ReadonlyArray<never>) => unknown): Expectation =>
  ({ error, hits }) => {
    expect(hits.map(({ path, text }) => [path, text])).toEqual([])
    expect(error).toBeInstanceOf(kind)
  }

const sides = new Set([
  "accept-encoding",
  "accept-language",
  "connection",
  "sec-fetch-mode",
  "user-agent",
  "x-stainless-retry-count"
])

/** A request without what tells two clients apart that send the same. */
export const bare = ({ headers, method, path, text }: Hit): object => ({
  method,
  path,
  text,
  headers: Object.entries(headers)
    .filter(([name]) => !sides.has(name))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
})

export type Row = readonly [name: string, run: Attempt, expectation: Expectation]
/** A row of which each face makes what it can. */
export type Case = readonly [name: string, tried: Tried, expectation: Expectation]
export type { AgentClient, Hit }
