/**
 * Where libraries are tried: a provider on the loopback, one service whose policies change what is asked, its user alice, and
 * two clients that may ask nothing. `expectCalls` says what every library has to leave alone: one decision and one request
 * for each call of the model.
 */
import * as Net from "node:net"
import { afterAll, beforeAll, beforeEach, expect } from "vitest"
import { type BoundSecureOpenAI, SecureOpenAI, Workspace } from "../../src/index.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"
import { type Provider, startProvider } from "../e2e/Provider.ts"

const generate = (model: string, max: number) => ({
  parameters: { "tool:assistant/generate": { model: [model], max_tokens: { max } } }
})
const policies = [
  { policy_id: "app:assistant", resources: ["tool:assistant/**"], constraints: generate("gpt-4o-mini", 500) },
  { policy_id: "user:alice", resources: ["tool:assistant/**"], constraints: generate("gpt-4o-mini", 300) },
  { policy_id: "app:closed", resources: ["tool:closed/nothing"] },
  { policy_id: "app:slow", resources: ["tool:slow/**"], constraints: { rate_limit: 1 } }
]

/** The clients that a library is given, and the cap that their policies set. */
export const clients = [
  ["a service's client", "service", 500],
  ["a client bound to a user", "alice", 300]
] as const

/** The clients that may ask nothing. */
export const refusedClients = [
  ["a service", "closed"],
  ["a user", "mallory"]
] as const

export interface World {
  readonly provider: Provider
  readonly service: SecureOpenAI
  readonly alice: BoundSecureOpenAI
  readonly closed: SecureOpenAI
  readonly mallory: BoundSecureOpenAI
  /** May ask once a minute. */
  readonly slow: SecureOpenAI
  /** The log's records about calls. */
  readonly records: () => Promise<ReadonlyArray<{ readonly kind: string; readonly [name: string]: unknown }>>
}

const loopback: ReadonlySet<string> = new Set(["127.0.0.1", "localhost"])

/** One world for a test file; the log and the provider's memory are new in every test. */
export const useWorld = (): (() => World) => {
  let provider: Provider
  let world: World | undefined
  const strangers: Array<string> = []
  const { connect } = Net.Socket.prototype
  beforeAll(async () => {
    Net.Socket.prototype.connect = function (this: Net.Socket, ...args: ReadonlyArray<unknown>) {
      const [to] = args.flat() as [Net.TcpNetConnectOpts]
      if (!loopback.has(to.host ?? "")) strangers.push(String(to.host))
      return Reflect.apply(connect, this, args)
    } as typeof connect
    provider = await startProvider()
  })
  // Whatever a library would tell its makers, it does not tell from here.
  afterAll(async () => {
    Net.Socket.prototype.connect = connect
    await provider.close()
    expect(strangers).toEqual([])
  })
  beforeEach(async () => {
    const workspace = new Workspace({ audit: "memory", issuers: testIssuer, policies })
    const open = (appName: string) =>
      new SecureOpenAI({ appName, workspace, apiKey: "the-real-key", baseURL: provider.url, maxRetries: 2 })
    const service = open("assistant")
    provider.behave({})
    world = {
      provider,
      service,
      alice: await service.asUser(mintToken({ sub: "alice" })),
      mallory: await service.asUser(mintToken({ sub: "mallory" })),
      closed: open("closed"),
      slow: open("slow"),
      records: async () => (await workspace.records()).filter((record) => record["call"] !== undefined)
    }
    return async () => {
      await world?.service.close({ force: true })
      await world?.closed.close()
      await world?.slow.close()
      await workspace.close()
    }
  })
  return () => world!
}

/** What the provider got, as every library has to send it; gives the bodies. */
export const expectCalls = async (
  { provider, records }: World,
  n: number,
  cap?: number
): Promise<ReadonlyArray<Record<string, unknown>>> => {
  expect(provider.hits).toHaveLength(n)
  const about = await settled(records, n)
  expect(about.filter(({ kind }) => kind === "decision")).toHaveLength(n)
  expect(about.filter(({ kind }) => kind === "outcome").map(({ result }) => result)).toEqual(
    Array.from({ length: n }, () => "complete")
  )
  for (const { body, headers, path } of provider.hits) {
    expect(headers.authorization).toBe("Bearer the-real-key")
    if (cap === undefined) continue
    const name = path.startsWith("/responses") ? "max_output_tokens" : "max_tokens"
    expect([body["model"], body[name] ?? body["max_completion_tokens"]]).toEqual(["gpt-4o-mini", cap])
  }
  return provider.hits.map(({ body }) => body)
}

/** Nothing was sent, and the log says that nothing was let through. */
export const expectRefused = async ({ provider, records }: World): Promise<void> => {
  expect(provider.hits).toHaveLength(0)
  const about = await records()
  expect(about.length).toBeGreaterThan(0)
  expect(about.map(({ kind }) => kind)).not.toContain("outcome")
}

/** The records, once each call has its outcome: a stream's is written as its reader goes on. */
const settled = async (records: World["records"], n: number) => {
  for (let tries = 0; ; tries++) {
    const about = await records()
    if (tries === 100 || about.filter(({ kind }) => kind === "outcome").length >= n) return about
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
