import { once } from "node:events"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Zlib from "node:zlib"
import type { OpenAI } from "openai"
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest"
import { defaultFetch, jsonTransport } from "../../src/facade/Transport.ts"
import { SecureOpenAI, Workspace } from "../../src/index.ts"

/** A server that answers as the test says, and counts its connections. */
let answer: (request: Http.IncomingMessage, response: Http.ServerResponse) => void
let server: Http.Server
let url: string
let connections = 0
const headersSeen: Array<Http.IncomingHttpHeaders> = []
/** How each request spelt its host header: that is all that tells the transports apart. */
const named: Array<string | undefined> = []
beforeAll(async () => {
  server = Http.createServer((request, response) => {
    headersSeen.push(request.headers)
    named.push(request.rawHeaders.find((name) => /^host$/i.test(name)))
    request.resume().once("end", () => answer(request, response))
  })
  server.on("connection", () => connections++)
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})
afterEach(() => {
  vi.restoreAllMocks()
  headersSeen.length = 0
})

const own = globalThis.fetch
const lean = jsonTransport(defaultFetch())
const post = (init: RequestInit = {}): [string, RequestInit] => [
  `${url}/x`,
  {
    method: "POST",
    body: '{"a":1}',
    headers: new Headers({ "content-type": "application/json" }),
    redirect: "manual",
    ...init
  }
]
/** What both transports make of the same request. */
const both = async <A>(look: (response: Response) => A | Promise<A>, init?: RequestInit) =>
  Promise.all(
    [lean, own].map(async (fetch) => {
      try {
        return await look(await fetch(...post(init)))
      } catch (error) {
        return error instanceof Error
          ? { name: error.name, message: error.message, cause: (error.cause as { code?: string } | undefined)?.code }
          : error
      }
    })
  )
const same = ([ours, theirs]: ReadonlyArray<unknown>) => expect(ours).toEqual(theirs)

describe("the leaner transport", () => {
  it("is there only for Node's own fetch, and does not use it", async () => {
    expect(lean).not.toBe(defaultFetch())
    expect(jsonTransport(own)).toBe(own)
    const other: typeof fetch = (input, init) => own(input, init)
    expect(jsonTransport(other)).toBe(other)
    vi.spyOn(globalThis, "fetch")
    expect(jsonTransport(defaultFetch())).toBe(globalThis.fetch)
  })

  it("gives a genuine Response with the same status, headers and body", async () => {
    answer = (_request, response) => {
      response.writeHead(201, "Made", {
        "content-type": "application/json; charset=utf-8",
        "x-a": "1",
        "set-cookie": ["b=2", "c=3"]
      })
      response.end('\ufeff{"text":"é€🙂"}')
    }
    same(
      await both(async (response) => [
        response instanceof Response,
        response.constructor.name,
        [response.status, response.statusText, response.ok, response.url, response.type, response.redirected],
        [...response.headers].filter(([name]) => name !== "date"),
        response.bodyUsed,
        await response.clone().text(),
        await response.text(),
        response.bodyUsed
      ])
    )
    same(await both((response) => response.json()))
    same(await both(async (response) => [...(await response.bytes())]))
    same(await both(async (response) => (await response.arrayBuffer()).byteLength))
    same(
      await both(async (response) => [
        (await response.blob()).size,
        (await response.blob().catch((e: Error) => e.name)) as unknown
      ])
    )
    same(await both(async (response) => new Response(response.body).text()))
    same(await both(async (response) => [await response.text(), await response.text().catch((e: Error) => e.message)]))
  })

  it.each([
    ["gzip", Zlib.gzipSync],
    ["deflate", Zlib.deflateSync],
    ["identity", (bytes: Buffer) => bytes]
  ])("undoes %s", async (coding, encode) => {
    answer = (_request, response) => {
      response.writeHead(200, { "content-type": "application/json", "content-encoding": coding })
      response.end(encode(Buffer.from('{"zipped":true}')))
    }
    same(await both((response) => response.text()))
    expect(headersSeen[0]?.["accept-encoding"]).toBe(headersSeen[1]?.["accept-encoding"])
  })

  it.each([204, 304, 404, 500])("answers %i", async (status) => {
    answer = (_request, response) => {
      response.writeHead(status)
      response.end(status === 204 || status === 304 ? undefined : '{"error":{}}')
    }
    same(await both(async (response) => [response.status, await response.text()]))
  })

  it("leaves redirects to its caller", async () => {
    answer = (_request, response) => response.writeHead(307, { location: "/y" }).end()
    same(await both((response) => [response.status, response.headers.get("location")]))
  })

  it("fails as fetch does: refused, cut before and in the body", async () => {
    answer = (_request, response) => void response.socket?.destroy()
    const [ours, theirs] = (await both(() => "answered")) as ReadonlyArray<{ readonly message: string }>
    expect(ours?.message).toBe(theirs?.message)
    answer = (_request, response) => {
      response.writeHead(200, { "content-length": "1000" })
      response.write("half of it")
      setTimeout(() => response.socket?.destroy(), 20)
    }
    const cut = (await both((response) => response.text())) as ReadonlyArray<{ readonly message: string }>
    expect(cut.map(({ message }) => message)).toEqual(["terminated", "terminated"])
    const gone = Http.createServer().listen(0, "127.0.0.1")
    await once(gone, "listening")
    const closed = (gone.address() as AddressInfo).port
    gone.close()
    const nobody = (fetch: typeof own) =>
      Promise.all(
        [9, 6000, closed].map((port) =>
          fetch(`http://127.0.0.1:${port}/x`, post()[1]).catch((e: Error) => [
            e.name,
            e.message,
            (e.cause as { readonly code?: string }).code
          ])
        )
      )
    expect(await nobody(lean)).toEqual(await nobody(own))
  })

  it("is aborted before, while it waits, and in the body", async () => {
    answer = (_request, response) => void setTimeout(() => response.end("late"), 2000)
    const reason = new Error("enough")
    same(await both(() => "answered", { signal: AbortSignal.abort(reason) }))
    const waiting = await Promise.all(
      [lean, own].map((fetch) => {
        const controller = new AbortController()
        setTimeout(() => controller.abort(reason), 30)
        return fetch(...post({ signal: controller.signal })).catch((e: unknown) => e)
      })
    )
    expect(waiting).toEqual([reason, reason])
    answer = (_request, response) => {
      response.writeHead(200)
      response.write("half")
    }
    const reading = await Promise.all(
      [lean, own].map(async (fetch) => {
        const controller = new AbortController()
        const response = await fetch(...post({ signal: controller.signal }))
        setTimeout(() => controller.abort(reason), 30)
        return response.text().catch((e: unknown) => e)
      })
    )
    expect(reading).toEqual([reason, reason])
  })

  it("keeps connections, and lets the process go", async () => {
    answer = (_request, response) => response.end("{}")
    await (await lean(...post())).text()
    const before = connections
    for (let i = 0; i < 5; i++) await (await lean(...post())).text()
    expect(connections).toBe(before)
  })

  it.each([
    ["an option that it does not know", { keepalive: true }],
    ["a body that is no text", { body: new Uint8Array([123, 125]) }]
  ])("leaves %s to fetch", async (_what, init) => {
    answer = (request, response) => response.end(JSON.stringify({ agent: request.headers["user-agent"] ?? "none" }))
    // Node's fetch names itself where nobody else does.
    const response = await lean(...post(init as RequestInit))
    expect(await response.json()).toEqual({ agent: "node" })
    expect(await (await lean(...post())).json()).toEqual({ agent: "none" })
  })

  it("leaves everything to fetch once somebody set its dispatcher", async () => {
    answer = (request, response) => response.end(JSON.stringify({ agent: request.headers["user-agent"] ?? "none" }))
    const key = Symbol.for("undici.globalDispatcher.1")
    const before: unknown = Reflect.get(globalThis, key)
    try {
      Reflect.set(globalThis, key, new Proxy(before as object, {}))
      expect(await (await lean(...post())).json()).toEqual({ agent: "node" })
    } finally {
      Reflect.set(globalThis, key, before)
    }
    expect(await (await lean(...post())).json()).toEqual({ agent: "none" })
  })
})

describe("a client's fetch", () => {
  const client = (options: ConstructorParameters<typeof OpenAI>[0] = {}) =>
    new SecureOpenAI({ apiKey: "k", baseURL: url, workspace, maxRetries: 0, ...options })
  const workspace = new Workspace({ audit: "memory" })
  afterAll(() => workspace.close())
  const ask = (c: OpenAI) => c.chat.completions.create({ model: "gpt-4", messages: [] })

  it("is used where one was given, patched, or given options", async () => {
    answer = (_request, response) => response.setHeader("content-type", "application/json").end('{"choices":[]}')
    const given = vi.fn<typeof own>(own)
    await ask(client({ fetch: given }))
    expect(given).toHaveBeenCalledTimes(1)
    await ask(client({ fetch: own }))
    expect(named.at(-1)).toBe("host")
    await ask(client({ fetchOptions: { keepalive: true } }))
    expect(named.at(-1)).toBe("host")
    await ask(client())
    expect(named.at(-1)).toBe("Host")
    const patched = vi.spyOn(globalThis, "fetch")
    await ask(client())
    expect(patched).toHaveBeenCalledTimes(1)
  })
})
