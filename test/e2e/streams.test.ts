/** How streams end, and what they hold while they run: every way told apart, nothing left behind. */
import * as Http from "node:http"
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { Readable } from "node:stream"
import { setTimeout as wait } from "node:timers/promises"
import { OpenAI } from "openai"
import { Stream } from "openai/streaming"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { SecureOpenAI, type SecureOptions, UnboundError, Workspace } from "../../src/index.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"
import { collectGarbage, soak } from "./streamSoak.ts"
import { eventually, type Plan, prompt, startStreamServer, type StreamServer } from "./StreamServer.ts"

type ChatStream = Stream<OpenAI.Chat.ChatCompletionChunk>

let server: StreamServer
beforeAll(async () => {
  server = await startStreamServer()
})
afterAll(() => server.close())

const opened: Array<{ close(options?: { readonly force: true }): Promise<void> }> = []
afterEach(async () => {
  for (const client of opened.splice(0)) await client.close({ force: true })
})

const make = (options: SecureOptions & ConstructorParameters<typeof OpenAI>[0] = {}) => {
  const workspace = new Workspace({ audit: "memory", issuers: testIssuer })
  const client = new SecureOpenAI({ apiKey: "k", baseURL: server.url, maxRetries: 0, workspace, ...options })
  opened.push(client, workspace)
  const ends = async () =>
    (await workspace.records())
      .filter(({ kind }) => kind === "outcome" || kind === "stream.close")
      .map((record) => `${record.kind} ${String(record["result"] ?? record["reason"])}`)
  return { client, ends, workspace }
}

const start = (client: OpenAI, plan: Plan, options?: { readonly signal?: AbortSignal }): Promise<ChatStream> =>
  client.chat.completions.create({ model: "gpt-4o", messages: prompt(plan), stream: true }, options)

const read = async (stream: AsyncIterable<unknown>, most = Infinity): Promise<number> => {
  let count = 0
  for await (const _ of stream) if (++count >= most) break
  return count
}

const long: Plan = { chunks: 100, every: 2, end: "hang" }

describe("a stream", () => {
  const ways: ReadonlyArray<
    readonly [how: string, end: string, closes: boolean, plan: Plan, run: (stream: ChatStream) => Promise<unknown>]
  > = [
    ["is read to its end", "complete", false, { chunks: 5 }, (s) => read(s)],
    [
      "is read by both halves of a tee",
      "complete",
      false,
      { chunks: 5 },
      (s) => Promise.all(s.tee().map((t) => read(t)))
    ],
    [
      "is read as a ReadableStream",
      "complete",
      false,
      { chunks: 5 },
      async (s) => expect(await read(Stream.fromReadableStream(s.toReadableStream(), new AbortController()))).toBe(6)
    ],
    ["has an end that says nothing", "cut", false, { chunks: 5, end: "bare" }, (s) => read(s)],
    [
      "loses its connection",
      "cut",
      false,
      { chunks: 5, every: 2, end: "cut" },
      (s) => expect(read(s)).rejects.toThrow("terminated")
    ],
    [
      "brings an error",
      "failed",
      false,
      { chunks: 5, end: "error" },
      (s) => expect(read(s)).rejects.toBeInstanceOf(OpenAI.APIError)
    ],
    ["is left early", "abandoned", true, long, (s) => read(s, 3)],
    [
      "is left by one that throws",
      "abandoned",
      true,
      long,
      (s) =>
        expect(
          (async () => {
            for await (const _ of s) throw new Error("mine")
          })()
        ).rejects.toThrow("mine")
    ],
    [
      "is cancelled as a ReadableStream",
      "abandoned",
      true,
      long,
      async (s) => {
        const reader = s.toReadableStream().getReader()
        await reader.read()
        await reader.cancel()
      }
    ],
    [
      "is aborted by its controller",
      "aborted",
      true,
      long,
      async (s) => {
        for await (const _ of s) s.controller.abort()
      }
    ]
  ]

  it.each(ways)("that %s ends as %s", async (_how, end, closes, plan, run) => {
    const { client, ends } = make()
    const before = server.stats.vanished
    await run(await start(client, plan))
    expect(await ends()).toEqual([`stream.close ${end}`, `outcome ${end}`])
    await eventually(
      () => server.stats,
      ({ open, vanished }) => open === 0 && vanished === before + (closes ? 1 : 0)
    )
  })

  it("that its caller's signal ends is aborted, before, while and between", async () => {
    const { client, ends } = make()
    for (const when of [0, 20]) {
      const controller = new AbortController()
      const stream = await start(client, long, { signal: controller.signal })
      setTimeout(() => controller.abort(), when)
      await read(stream)
    }
    const controller = new AbortController()
    const unread = await start(client, long, { signal: controller.signal })
    controller.abort()
    expect(await read(unread)).toBe(0)
    expect((await ends()).filter((end) => end.startsWith("outcome"))).toEqual(Array(3).fill("outcome aborted"))
    await eventually(
      () => server.stats.open,
      (open) => open === 0
    )
  })

  it("that nobody reads is abandoned once it is collected, and its connection closed", async () => {
    const { client, ends } = make()
    await (async () => void (await start(client, long)))()
    await eventually(
      async () => {
        collectGarbage()
        return { ends: await ends(), open: server.stats.open }
      },
      (seen) => seen.ends.length === 2 && seen.open === 0
    )
    expect(await ends()).toEqual(["stream.close abandoned", "outcome abandoned"])
  })

  it("ends with its binding, and with its client", async () => {
    const { client, ends } = make()
    const alice = await client.asUser(mintToken({ sub: "alice" }))
    const bound = await start(alice, long)
    const own = await start(client, long)
    setTimeout(() => alice.unbind(), 20)
    await expect(read(bound)).rejects.toBeInstanceOf(UnboundError)
    setTimeout(() => client.close({ force: true }), 20)
    await expect(read(own)).rejects.toMatchObject({ code: "client_closed" })
    expect((await ends()).filter((end) => end.startsWith("outcome"))).toEqual(["outcome aborted", "outcome aborted"])
    await eventually(
      () => server.stats.open,
      (open) => open === 0
    )
  })

  it("that nobody has begun to read ends at once with its binding", async () => {
    const { client, ends } = make()
    const alice = await client.asUser(mintToken({ sub: "alice" }))
    const stream = await start(alice, long)
    alice.unbind()
    expect(await ends()).toEqual(["stream.close abandoned", "outcome abandoned"])
    await eventually(
      () => server.stats.open,
      (open) => open === 0
    )
    await expect(read(stream)).rejects.toThrow(/ended|unbound|closed|read before/)
  })

  it("is over for its provider when the client at the other end of an app vanishes", async () => {
    const { client, ends } = make()
    const app = Http.createServer(async (_request, response) => {
      const stream = await start(client, long)
      const body = Readable.fromWeb(stream.toReadableStream() as Parameters<typeof Readable.fromWeb>[0])
      response.on("close", () => body.destroy())
      body.on("error", () => {})
      body.pipe(response)
    })
    app.listen(0, "127.0.0.1")
    await once(app, "listening")
    const before = server.stats.vanished
    const browser = Http.get({ port: (app.address() as AddressInfo).port, host: "127.0.0.1" })
    const [page] = (await once(browser, "response")) as [Http.IncomingMessage]
    page.on("error", () => {})
    await once(page, "data")
    browser.destroy()
    await eventually(
      () => server.stats.vanished,
      (vanished) => vanished === before + 1
    )
    // The SDK's ReadableStream aborts the request when it is cancelled while it waits for a chunk.
    await eventually(ends, (seen) => seen.length === 2)
    expect(await ends()).toEqual(["stream.close aborted", "outcome aborted"])
    app.closeAllConnections()
    app.close()
    await once(app, "close")
  })

  it("holds a bounded part of the answer for a reader that is slow", async () => {
    const { client } = make()
    const flood: Plan = { chunks: 1e6, size: 16_384 }
    const controller = new AbortController()
    const stream = await start(client, flood, { signal: controller.signal })
    const iterator = stream[Symbol.asyncIterator]()
    await iterator.next()
    // What the kernel's buffers take is on its way; then nothing more may come.
    let last = -1
    await eventually(
      async () => {
        const { written } = server.stats
        const still = written === last
        last = written
        await wait(150)
        return still
      },
      (still) => still
    )
    const held = last
    expect(held).toBeLessThan(64 * 1024 * 1024)
    for (let i = 0; i < 5; i++) await iterator.next()
    await wait(100)
    expect(server.stats.written - held).toBeLessThan(8 * 1024 * 1024)
    controller.abort()
    await eventually(
      () => server.stats.open,
      (open) => open === 0
    )
  })

  it("is one of a thousand at once", async () => {
    const { client, ends } = make()
    const counts = await Promise.all(
      Array.from({ length: 1000 }, async (_, i) => read(await start(client, { chunks: 1 + (i % 20), every: 1 })))
    )
    expect(counts).toEqual(Array.from({ length: 1000 }, (_, i) => 2 + (i % 20)))
    const seen = await ends()
    expect(seen).toHaveLength(2000)
    expect(new Set(seen)).toEqual(new Set(["stream.close complete", "outcome complete"]))
    expect(server.stats.open).toBe(0)
  }, 60_000)
})

it("five hundred streams that end in every way leave nothing behind", async () => {
  const report = await soak({ streams: 500, seed: 1 })
  expect(report.wrong).toEqual([])
  expect(report.left).toEqual({ connections: 0, exchanges: 0, turns: 0, streams: 0, fibers: 0, open: 0 })
  expect(report.growth).toBeLessThan(8 * 1024 * 1024)
  expect([...report.ways.values()].every((count) => count > 12)).toBe(true)
}, 120_000)
