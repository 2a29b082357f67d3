/**
 * Details of the SDK that apps lean on without knowing it: what stays on a signal, what a fetch is asked, what a faked clock
 * stops, how large an event may be, and what a raw stream says.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { getEventListeners } from "node:events"
import { OpenAI, toFile } from "openai"
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest"
import { Pipeline, Reply, SecureOpenAI, Workspace } from "../../src/index.ts"
import { type ScriptedServer, startScriptedServer } from "./Parity.ts"

let server: ScriptedServer
const workspace = new Workspace({ audit: "memory" })
beforeAll(async () => {
  server = await startScriptedServer()
  await workspace.ready()
})
afterAll(async () => {
  server.close()
  await workspace.close()
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

type Options = NonNullable<ConstructorParameters<typeof OpenAI>[0]>
/** The SDK's client and the secure one, with the same options. */
const both = (options: Options = {}): ReadonlyArray<readonly [name: string, client: OpenAI]> => {
  const given = { apiKey: "k", baseURL: server.url, maxRetries: 0, ...options }
  return [
    ["OpenAI", new OpenAI(given)],
    ["SecureOpenAI", new SecureOpenAI({ ...given, workspace })]
  ]
}
const params = { model: "m", messages: [{ role: "user" as const, content: "x" }] }
const answering = () => vi.fn<typeof fetch>(async () => Response.json({ id: "x", choices: [] }))
const streaming = (text: string) =>
  vi.fn<typeof fetch>(async () => new Response(text, { headers: { "content-type": "text/event-stream" } }))

describe("a signal that many calls share", () => {
  const calls: ReadonlyArray<readonly [string, (client: OpenAI, signal: AbortSignal) => PromiseLike<unknown>]> = [
    ["a chat", (c, signal) => c.chat.completions.create(params, { signal })],
    ["a family that passes", (c, signal) => c.models.retrieve("m", { signal })],
    ["a list", (c, signal) => c.models.list({ signal })]
  ]
  it.each(calls)("holds nothing of %s that is over", async (_what, call) => {
    for (const [name, client] of both({ fetch: answering() })) {
      const { signal } = new AbortController()
      for (let i = 0; i < 3; i++) await call(client, signal)
      expect([name, getEventListeners(signal, "abort").length]).toEqual([name, 0])
    }
  })

  it("still ends a stream", async () => {
    for (const [name, client] of both()) {
      const controller = new AbortController()
      const { outcome } = await server.run(
        async (c) => {
          let chunks = 0
          for await (const _ of await c.chat.completions.create(
            { ...params, stream: true },
            { signal: controller.signal }
          ))
            if (++chunks === 2) controller.abort()
          return chunks
        },
        client,
        async (response) => {
          response.writeHead(200, { "content-type": "text/event-stream" })
          for (let i = 0; i < 50 && !response.destroyed; i++) {
            response.write('data: {"choices":[]}\n\n')
            await new Promise((resolve) => setTimeout(resolve, 5))
          }
        }
      )
      expect([name, outcome]).toEqual([name, { value: 2 }])
    }
  })
})

describe("a fetch of one's own", () => {
  it("keeps what it has: the SDK takes its Response from it, and asks for nothing else", async () => {
    for (const [name, client] of both({ fetch: Object.assign(answering(), { Response }) })) {
      const given = Reflect.get(client, "_options") as { readonly fetch: ReturnType<typeof answering> }
      await client.files.create({ purpose: "batch", file: await toFile(Buffer.from("x"), "x.txt") })
      expect([name, given.fetch.mock.calls.length, "Response" in given.fetch]).toEqual([name, 1, true])
      given.fetch.mockClear()
    }
  })
})

describe("a clock that is faked", () => {
  it.each([
    ["a chat", (c: OpenAI) => c.chat.completions.create(params)],
    ["a list", (c: OpenAI) => c.models.list()]
  ])("stops neither %s nor what comes after", async (_what, call) => {
    for (const fresh of [true, false])
      for (const [name, client] of both({ fetch: answering() })) {
        const own = fresh && client instanceof SecureOpenAI ? new Workspace({ audit: "memory" }) : undefined
        const used = own === undefined ? client : new SecureOpenAI({ apiKey: "k", fetch: answering(), workspace: own })
        vi.useFakeTimers()
        expect([name, await call(used)]).toEqual([name, expect.anything()])
        vi.useRealTimers()
        expect([name, await call(used)]).toEqual([name, expect.anything()])
        await own?.close()
      }
  })

  it("stops no stage and no gate of one's own that yields", async () => {
    const layer = Pipeline.layerFrom(
      (s) => (call) =>
        s.identity.resolve(call).pipe(
          Effect.tap(Effect.yieldNow),
          Effect.flatMap(s.signing.sign),
          Effect.flatMap(s.policy.evaluate),
          Effect.flatMap(s.rewriting.apply),
          Effect.flatMap(s.audit.commit),
          Effect.flatMap(s.invocation.invoke),
          Effect.map((reply) =>
            reply._tag === "Stream"
              ? Reply.stream(
                  Stream.tap(reply.stream, () => Effect.yieldNow),
                  reply.meta
                )
              : reply
          )
        )
    )
    const text = 'data: {"id":"a","choices":[]}\n\ndata: [DONE]\n\n'
    const client = new SecureOpenAI({ apiKey: "k", fetch: streaming(text), workspace, layer })
    vi.useFakeTimers()
    const chunks = await Array.fromAsync(await client.chat.completions.create({ ...params, stream: true }))
    expect(chunks).toHaveLength(1)
  })

  it("stops no stream", async () => {
    const text = 'data: {"id":"a","choices":[]}\n\ndata: [DONE]\n\n'
    for (const [name, client] of both({ fetch: streaming(text) })) {
      vi.useFakeTimers()
      const chunks = await Array.fromAsync(await client.chat.completions.create({ ...params, stream: true }))
      vi.useRealTimers()
      expect([name, chunks.length]).toEqual([name, 1])
    }
  })
})

describe("a stream", () => {
  it("may end in an event that holds images", async () => {
    const image = "A".repeat(28 * 1024 * 1024)
    const text = `event: response.completed\ndata: ${JSON.stringify({ type: "response.completed", response: { id: "r", output: [{ type: "image_generation_call", result: image }] } })}\n\n`
    // In pieces, as a network has them: an event that is not yet whole is held.
    const pieces = vi.fn<typeof fetch>(async () => {
      let at = 0
      const body = new ReadableStream({
        pull(controller) {
          controller.enqueue(Buffer.from(text.slice(at, (at += 1024 * 1024))))
          if (at >= text.length) controller.close()
        }
      })
      return new Response(body, { headers: { "content-type": "text/event-stream" } })
    })
    for (const [name, client] of both({ fetch: pieces })) {
      const events = await Array.fromAsync(await client.responses.create({ model: "m", input: "x", stream: true }))
      expect([name, events.length, JSON.stringify(events).includes(image)]).toEqual([name, 1, true])
    }
  })

  it("tells the log of the client of an event that is no JSON, and none of what it said", async () => {
    for (const logLevel of ["error", "off"] as const) {
      const told: Array<ReadonlyArray<unknown>> = []
      for (const [, client] of both({ fetch: streaming("data: {secret\n\n"), logLevel })) {
        const error = vi.fn<(...args: Array<unknown>) => void>()
        client.logger = { error, warn: () => {}, info: () => {}, debug: () => {} }
        const stream = await client.chat.completions.create({ ...params, stream: true })
        await expect(Array.fromAsync(stream)).rejects.toThrow(SyntaxError)
        expect(stream.controller.signal.aborted).toBe(true)
        told.push(error.mock.calls)
      }
      expect(told[1]).toEqual(told[0])
      expect(told[0]).toHaveLength(logLevel === "off" ? 0 : 2)
      expect(JSON.stringify(told)).not.toContain("secret")
    }
  })

  it.each<readonly [string, string, (client: OpenAI) => { asResponse(): Promise<Response> }]>([
    [
      "a chat",
      'data: {"id":"a","choices":[]}\n\ndata: [DONE]\n\n',
      (c) => c.chat.completions.create({ ...params, stream: true })
    ],
    [
      "a response",
      'event: response.created\ndata: {"type":"response.created"}\n\nevent: response.completed\ndata: {"type":"response.completed","response":{"output":[]}}\n\n',
      (c) => c.responses.create({ model: "m", input: "x", stream: true })
    ]
  ])("says as a response what the provider said: %s", async (_what, text, call) => {
    for (const [name, client] of both({ fetch: streaming(text) }))
      expect([name, await (await call(client).asResponse()).text()]).toEqual([name, text])
  })
})

describe("a client that cannot be made", () => {
  it.each<readonly [string, Options, Readonly<Record<string, string>>]>([
    ["no key", {}, {}],
    ["a key that is undefined", { apiKey: undefined as never }, {}],
    ["a key from the environment", {}, { OPENAI_API_KEY: "from-env" }],
    [
      "all of the environment",
      {},
      { OPENAI_API_KEY: " k ", OPENAI_ORG_ID: "o", OPENAI_PROJECT_ID: "p", OPENAI_BASE_URL: "http://x/v1" }
    ],
    ["a blank base URL in the environment", {}, { OPENAI_API_KEY: "k", OPENAI_BASE_URL: "  " }],
    [
      "null for what the environment has",
      { organization: null, project: null, baseURL: null },
      { OPENAI_API_KEY: "k", OPENAI_ORG_ID: "o", OPENAI_BASE_URL: "http://x" }
    ],
    ["a log level of the environment", {}, { OPENAI_API_KEY: "k", OPENAI_LOG: "info" }],
    [
      "a log level that is none",
      { logger: { error() {}, warn() {}, info() {}, debug() {} } },
      { OPENAI_API_KEY: "k", OPENAI_LOG: "loud" }
    ],
    ["a negative timeout and retries", { apiKey: "k", timeout: -1, maxRetries: -1 }, {}]
  ])("or can, is so for both: %s", (_what, options, env) => {
    for (const name of [
      "OPENAI_API_KEY",
      "OPENAI_ADMIN_KEY",
      "OPENAI_ORG_ID",
      "OPENAI_PROJECT_ID",
      "OPENAI_BASE_URL",
      "OPENAI_LOG"
    ])
      vi.stubEnv(name, env[name])
    const made = (make: () => OpenAI): unknown => {
      try {
        const { apiKey, baseURL, logLevel, maxRetries, organization, project, timeout } = make()
        return { apiKey, baseURL, logLevel, maxRetries, organization, project, timeout }
      } catch (error) {
        return [(error as Error).constructor, (error as Error).message]
      }
    }
    const theirs = made(() => new OpenAI(options))
    expect(made(() => new SecureOpenAI({ ...options, workspace }))).toEqual(theirs)
    vi.unstubAllEnvs()
  })
})
