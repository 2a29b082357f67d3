import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Zlib from "node:zlib"
import { APIError, OpenAI } from "openai"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { secureFetch, SecureOpenAI, Workspace } from "../../src/index.ts"

/** What the server sends: its body before the codings, and what it says of it. */
let sent: {
  readonly status: number
  readonly type: string
  readonly coding: string | Array<string>
  readonly body: Buffer
}
let server: Http.Server
let workspace: Workspace
let client: InstanceType<typeof SecureOpenAI>
let baseURL: string
let requests = 0
beforeAll(async () => {
  server = Http.createServer((request, response) => {
    requests++
    request.resume().once("end", () => {
      response.writeHead(sent.status, {
        "content-type": sent.type,
        "content-encoding": [sent.coding].flat().join(", ")
      })
      // In pieces, so that a coding is undone as it comes.
      response.write(sent.body.subarray(0, 7))
      setImmediate(() => response.end(sent.body.subarray(7)))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  workspace = new Workspace({ audit: "memory" })
  client = new SecureOpenAI({ apiKey: "k", baseURL, workspace })
})
afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await workspace.close()
})

const completion = { id: "c", object: "chat.completion", choices: [{ index: 0, message: { content: "hello" } }] }
const chunk = { id: "c", choices: [{ index: 0, delta: { content: "hello" }, finish_reason: "stop" }] }
const events = `data: ${JSON.stringify(chunk)}\n\ndata: [DONE]\n\n`
const json = (coding: string | Array<string>, encode: Encode) => ({
  status: 200,
  type: "application/json",
  coding,
  body: encode(Buffer.from(JSON.stringify(completion)))
})
const stream = (coding: string | Array<string>, encode: Encode) => ({
  status: 200,
  type: "text/event-stream",
  coding,
  body: encode(Buffer.from(events))
})
const failure = (coding: string | Array<string>, encode: Encode) => ({
  status: 400,
  type: "application/json",
  coding,
  body: encode(Buffer.from('{"error":{"message":"too long","code":"context_length_exceeded"}}'))
})
type Encode = (bytes: Buffer) => Buffer
const asked = { model: "gpt-4o-mini", messages: [{ role: "user" as const, content: "hi" }] }
const plainly: Encode = (bytes) => bytes
const five: Encode = (bytes) => Array.from({ length: 5 }).reduce<Buffer>((inner) => Zlib.gzipSync(inner), bytes)

describe("content codings of answers", () => {
  it.each<[string | Array<string>, Encode]>([
    ["zstd", Zlib.zstdCompressSync],
    ["ZSTD", Zlib.zstdCompressSync],
    ["gzip, zstd", (bytes) => Zlib.zstdCompressSync(Zlib.gzipSync(bytes))],
    [["zstd", "Br"], (bytes) => Zlib.brotliCompressSync(Zlib.zstdCompressSync(bytes))],
    ["gzip, gzip, gzip, gzip, gzip", five],
    ["x-gzip", Zlib.gzipSync],
    ["identity", plainly],
    ["none", plainly],
    ["gzip, identity,", Zlib.gzipSync]
  ])("%s is undone in an answer, in a stream, in an error and through secureFetch", async (coding, encode) => {
    sent = json(coding, encode)
    expect((await client.chat.completions.create(asked)).choices[0]?.message.content).toBe("hello")
    const library = new OpenAI({ apiKey: "unused", fetch: secureFetch(client) })
    expect((await library.chat.completions.create(asked)).choices[0]?.message.content).toBe("hello")
    sent = stream(coding, encode)
    for (const one of [client, library])
      expect(await Array.fromAsync(await one.chat.completions.create({ ...asked, stream: true }))).toEqual([chunk])
    sent = failure(coding, encode)
    for (const one of [client, library]) {
      const error: unknown = await one.chat.completions.create(asked).catch((e: unknown) => e)
      expect(error).toBeInstanceOf(APIError)
      expect(error).toMatchObject({ status: 400, code: "context_length_exceeded" })
    }
  })

  it.each(["lzma", "x-own, gzip", "gzip, lzma", "constructor", "__proto__", "dcz"])(
    "%s is an error that names it, in an answer and in a stream, and the call is not made again",
    async (coding) => {
      const told = (error: unknown): void => {
        expect(error).toBeInstanceOf(TypeError)
        const { message } = error as Error
        expect(message).toContain(`content coding "${coding.replace(/gzip, |, gzip/g, "")}"`)
        expect(message).toContain("Have the server send gzip, ")
      }
      requests = 0
      sent = json(coding, plainly)
      told(await client.chat.completions.create(asked).catch((e: unknown) => e))
      const fetched = () =>
        secureFetch(client)(`${baseURL}/chat/completions`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(asked)
        })
      told(
        await fetched()
          .then((response) => response.text())
          .catch((e: unknown) => e)
      )
      sent = stream(coding, plainly)
      const read = async () => Array.fromAsync(await client.chat.completions.create({ ...asked, stream: true }))
      told(await read().catch((e: unknown) => e))
      expect(requests).toBe(3)
      sent = failure(coding, plainly)
      await expect(client.chat.completions.create(asked)).rejects.toMatchObject({ status: 400 })
    }
  )

  it("a stream whose coding a fetch of one's own left as it was is an error too", async () => {
    sent = stream("lzma", Zlib.zstdCompressSync)
    const fetch: typeof globalThis.fetch = (input, init) => globalThis.fetch(input, init)
    const own = new SecureOpenAI({ apiKey: "k", baseURL, workspace, fetch })
    const read = async () => Array.fromAsync(await own.chat.completions.create({ ...asked, stream: true }))
    await expect(read()).rejects.toThrow(/content coding "lzma"/)
  })

  it("more codings than five are refused, as by Node's fetch", async () => {
    sent = json("gzip, gzip, gzip, gzip, gzip, gzip", (bytes) => Zlib.gzipSync(five(bytes)))
    const error: unknown = await client.chat.completions.create(asked, { maxRetries: 0 }).catch((e: unknown) => e)
    const theirs: unknown = await new OpenAI({ apiKey: "k", baseURL, maxRetries: 0 }).chat.completions
      .create(asked)
      .catch((e: unknown) => e)
    const causes = (e: unknown): ReadonlyArray<string> =>
      e instanceof Error ? [e.constructor.name, e.message, ...causes(e.cause)] : []
    expect(causes(error)).toEqual(causes(theirs))
  })

  it("asks for the codings that Node's fetch asks for", async () => {
    const headers: Array<string | undefined> = []
    server.prependListener("request", (request: Http.IncomingMessage) =>
      headers.push(request.headers["accept-encoding"])
    )
    sent = json("identity", plainly)
    await client.chat.completions.create(asked)
    await new OpenAI({ apiKey: "k", baseURL }).chat.completions.create(asked)
    expect(headers[0]).toBe(headers[1])
  })
})
