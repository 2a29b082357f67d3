/** Streams and answers that are read in odd ways, or not at all: what was sent is decided, and the log has its end. */
import type { OpenAI } from "openai"
import { describe, expect, it } from "vitest"
import { attempt, kinds, messages, useLab } from "./lab.ts"

const lab = useLab()
const over = { model: "gpt-5-pro", messages, max_tokens: 9000 }
const edited = { model: "gpt-4o-mini", messages, max_tokens: 500 }
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const open = (client: OpenAI) => client.chat.completions.create({ ...over, stream: true })
const streamed = JSON.stringify({ ...over, stream: true, model: "gpt-4o-mini", max_tokens: 500 })

describe("an answer that is read in an odd way", () => {
  it.each<[string, boolean, string, (client: OpenAI) => unknown]>([
    ["not awaited", false, "complete", (c) => void c.chat.completions.create(over)],
    ["asResponse()", false, "complete", (c) => c.chat.completions.create(over).asResponse()],
    ["withResponse()", false, "complete", (c) => c.chat.completions.create(over).withResponse()],
    [
      "read as bytes",
      false,
      "complete",
      async (c) => (await c.chat.completions.create(over).asResponse()).arrayBuffer()
    ],
    ["__binaryResponse", false, "complete", (c) => c.post("/chat/completions", { body: over, __binaryResponse: true })],
    [
      "a body that streams without the option",
      true,
      "complete",
      (c) => c.post("/chat/completions", { body: { ...over, stream: true } })
    ],
    ["tee()", true, "complete", async (c) => Promise.all((await open(c)).tee().map((half) => Array.fromAsync(half)))],
    [
      "toReadableStream()",
      true,
      "complete",
      async (c) => new Response((await open(c)).toReadableStream() as ReadableStream).text()
    ],
    ["a stream's asResponse()", true, "complete", async (c) => (await open(c).asResponse()).text()],
    ["the helper's stream()", true, "complete", (c) => c.chat.completions.stream(over).finalChatCompletion()],
    [
      "a break",
      true,
      "abandoned",
      async (c) => {
        for await (const _ of await open(c)) break
      }
    ],
    [
      "return() of the iterator",
      true,
      "abandoned",
      async (c) => {
        const it = (await open(c))[Symbol.asyncIterator]()
        await it.next()
        await it.return?.()
      }
    ],
    [
      "abort()",
      true,
      "aborted",
      async (c) => {
        const stream = await open(c)
        for await (const _ of stream) stream.controller.abort()
      }
    ],
    [
      "an error of the reader",
      true,
      "abandoned",
      async (c) => {
        try {
          for await (const _ of await open(c)) throw new Error("mine")
        } catch {
          /* the reader's own */
        }
      }
    ]
  ])("%s", async (_name, stream, result, run) => {
    const l = lab()
    l.provider.behave({ chunks: 30, every: stream && result !== "complete" ? 5 : 0 })
    const alice = await l.as("alice")
    await run(alice)
    let outcomes: ReadonlyArray<unknown> = []
    for (let i = 0; i < 100 && outcomes.length === 0; i++) {
      await wait(10)
      outcomes = (await l.records()).filter(({ kind }) => kind === "outcome")
    }
    expect(l.provider.hits.map((hit) => hit.text)).toEqual([stream ? streamed : JSON.stringify(edited)])
    expect(outcomes).toMatchObject([{ result }])
  })
})

describe("errors", () => {
  it.each([400, 401, 403, 429, 500])("%i: nothing of it tells the key", async (status) => {
    const l = lab()
    l.provider.behave({ status })
    const alice = await l.as("alice", { apiKey: "sk-very-secret" })
    const seen = await attempt(l, alice, (c) => c.chat.completions.create(over))
    expect(seen.error).toMatchObject({ status })
    expect(JSON.stringify([seen.error, String(seen.error)])).not.toContain("sk-very-secret")
    expect(JSON.stringify(seen.log)).not.toContain("sk-very-secret")
    expect(kinds(seen, "outcome")).toMatchObject([{ result: "failed", status }])
  })
  it("a refusal tells neither prompt nor key to the log", async () => {
    const l = lab()
    const bob = await l.as("bob", { apiKey: "sk-very-secret" })
    const said = [{ role: "user" as const, content: "a very secret prompt" }]
    const seen = await attempt(l, bob, (c) => c.chat.completions.create({ ...over, messages: said }))
    expect(seen.hits).toEqual([])
    expect(JSON.stringify(seen.log)).not.toContain("secret")
    expect(String(seen.error)).not.toContain("very secret")
  })
})

describe("one decision for a call, however often it is sent", () => {
  it.each([1, 2, 3])("%i failures of the provider", async (times) => {
    const l = lab()
    l.provider.behave({ status: 500, times, headers: { "retry-after-ms": "1" } })
    const alice = (await l.as("alice")).withOptions({ maxRetries: 3 })
    const seen = await attempt(l, alice, (c) => c.chat.completions.create(over))
    expect(seen.hits.map((hit) => hit.text)).toEqual(Array(times + 1).fill(JSON.stringify(edited)))
    expect(seen.log.map(({ kind }) => kind)).toEqual(["decision", "outcome"])
    expect(kinds(seen, "outcome")[0]).toMatchObject({ attempts: times + 1 })
  })
  it("a refusal is not retried", async () => {
    const l = lab()
    const bob = (await l.as("bob")).withOptions({ maxRetries: 5 })
    const seen = await attempt(l, bob, (c) => c.chat.completions.create(over))
    expect(seen.log.map(({ kind }) => kind)).toEqual(["refused"])
  })
})
