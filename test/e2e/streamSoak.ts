/**
 * Streams by the thousand, each ended in a way of its own, through one client with its log on the disk; then what is left
 * of them: sockets, objects, bytes, and calls without their outcome.
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as V8 from "node:v8"
import * as Vm from "node:vm"
import * as Effect from "effect/Effect"
import type { OpenAI } from "openai"
import type { Stream } from "openai/streaming"
import { SecureOpenAI, Workspace } from "../../src/index.ts"
import { Exchange } from "../../src/facade/Exchange.ts"
import { PipelineRun } from "../../src/facade/PipelineRun.ts"
import { ChunkStream } from "../../src/invocation/Sse.ts"
import { eventually, type Plan, prompt, startStreamServer } from "./StreamServer.ts"

/** A full collection. */
export const collectGarbage = (() => {
  V8.setFlagsFromString("--expose-gc")
  return Vm.runInNewContext("gc") as () => void
})()

/** The class of Effect's fibers. */
const Fiber = Effect.runFork(Effect.void).constructor

const fibers = (): number => V8.queryObjects(Fiber, { format: "count" })

type ChatStream = Stream<OpenAI.Chat.ChatCompletionChunk>

/** A way for a stream to end: what the server does, what the reader does, and what the log must say. */
interface Way {
  readonly plan: Plan
  readonly end: string
  readonly run: (stream: ChatStream, abort: () => void) => Promise<unknown>
}

const drain = async (stream: AsyncIterable<unknown>, most = Infinity): Promise<void> => {
  let count = 0
  for await (const _ of stream) if (++count >= most) break
}
const failing = (run: Promise<unknown>): Promise<unknown> =>
  run.then(
    () => Promise.reject(new Error("it did not fail")),
    () => {}
  )

const ways: Readonly<Record<string, Way>> = {
  whole: { plan: { chunks: 10 }, end: "complete", run: (stream) => drain(stream) },
  "whole, both halves": {
    plan: { chunks: 10 },
    end: "complete",
    run: (stream) => Promise.all(stream.tee().map((half) => drain(half)))
  },
  "whole, as bytes": {
    plan: { chunks: 10 },
    end: "complete",
    run: (stream) => drain(stream.toReadableStream())
  },
  bare: { plan: { chunks: 3, end: "bare" }, end: "cut", run: (stream) => drain(stream) },
  cut: { plan: { chunks: 3, every: 1, end: "cut" }, end: "cut", run: (stream) => failing(drain(stream)) },
  error: { plan: { chunks: 3, end: "error" }, end: "failed", run: (stream) => failing(drain(stream)) },
  left: { plan: { chunks: 10, every: 1, end: "hang" }, end: "abandoned", run: (stream) => drain(stream, 2) },
  "left unread": { plan: { chunks: 3, end: "hang" }, end: "abandoned", run: async () => {} },
  "cancelled bytes": {
    plan: { chunks: 10, every: 1, end: "hang" },
    end: "abandoned",
    run: async (stream) => {
      const reader = stream.toReadableStream().getReader()
      await reader.read()
      await reader.cancel()
    }
  },
  aborted: {
    plan: { chunks: 10, every: 1, end: "hang" },
    end: "aborted",
    run: async (stream, abort) => {
      for await (const _ of stream) abort()
    }
  },
  "its controller": {
    plan: { chunks: 10, every: 1, end: "hang" },
    end: "aborted",
    run: async (stream) => {
      for await (const _ of stream) stream.controller.abort()
    }
  }
}

/** What a soak found. `growth` is of the heap, in bytes, from a fifth of the way to the end. */
export interface SoakReport {
  readonly ways: ReadonlyMap<string, number>
  /** Calls whose outcome is another than their way's, or missing. */
  readonly wrong: ReadonlyArray<string>
  readonly growth: number
  readonly left: {
    readonly connections: number
    readonly exchanges: number
    readonly turns: number
    readonly streams: number
    /** Fibers beyond those that were there after the first stream. */
    readonly fibers: number
    readonly open: number
  }
}

/** Runs so many streams, 40 at a time. */
export const soak = async ({
  seed,
  streams
}: {
  readonly streams: number
  readonly seed: number
}): Promise<SoakReport> => {
  const server = await startStreamServer()
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "soak-"))
  const workspace = new Workspace({ audit: { path: Path.join(folder, "audit") } })
  const client = new SecureOpenAI({ apiKey: "k", baseURL: server.url, maxRetries: 0, workspace })
  const random = randomOf(seed)
  const names = Object.keys(ways)
  const counts = new Map(names.map((name) => [name, 0]))
  const expected = new Map<string, string>()
  let heapThen = 0
  let fibersThen = 0
  try {
    const one = async (): Promise<void> => {
      const name = names[Math.floor(random() * names.length)] ?? ""
      const way = ways[name]!
      counts.set(name, (counts.get(name) ?? 0) + 1)
      const controller = new AbortController()
      const stream = await client.chat.completions.create(
        { model: "gpt-4o", messages: prompt(way.plan), stream: true },
        { signal: controller.signal }
      )
      const call = SecureOpenAI.receipt(stream)?.call
      if (call !== undefined) expected.set(call, way.end)
      await way.run(stream, () => controller.abort())
    }
    await one()
    await collected()
    fibersThen = fibers()
    for (let done = 1; done < streams; done += 40) {
      await Promise.all(Array.from({ length: Math.min(40, streams - done) }, one))
      if (done % 400 === 1) await collected()
      if (done === Math.floor(streams / 200) * 40 + 1) {
        await collected()
        heapThen = V8.getHeapStatistics().used_heap_size
      }
    }
    await eventually(
      async () => {
        await collected()
        return server.stats.open
      },
      (open) => open === 0
    )
    const growth = V8.getHeapStatistics().used_heap_size - heapThen
    const said = new Map<string, string>()
    for (const { kind, call, result } of (await workspace.records()) as ReadonlyArray<Record<string, unknown>>)
      if (kind === "outcome") said.set(String(call), said.has(String(call)) ? "twice" : String(result))
    const wrong = [...expected].flatMap(([call, end]) =>
      said.get(call) === end ? [] : [`${end}, but the log says ${said.get(call)}`]
    )
    if (expected.size !== streams) wrong.push(`${streams - expected.size} streams had no receipt`)
    const connections = await eventually(server.connections, (n) => n === 0)
    await collected()
    return {
      ways: counts,
      wrong,
      growth,
      left: {
        connections,
        exchanges: V8.queryObjects(Exchange, { format: "count" }),
        turns: V8.queryObjects(PipelineRun, { format: "count" }),
        streams: V8.queryObjects(ChunkStream, { format: "count" }),
        fibers: Math.max(0, fibers() - fibersThen),
        open: server.stats.open
      }
    }
  } finally {
    await client.close()
    await workspace.close()
    await server.close()
    Fs.rmSync(folder, { recursive: true, force: true })
  }
}

/** A collection, and the callbacks that follow it. */
const collected = async (): Promise<void> => {
  for (let i = 0; i < 3; i++) {
    collectGarbage()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Mulberry32. */
const randomOf = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}
