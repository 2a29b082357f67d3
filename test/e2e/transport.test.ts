import * as Diagnostics from "node:diagnostics_channel"
import { once } from "node:events"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Zlib from "node:zlib"
import type { OpenAI } from "openai"
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest"
import { defaultFetch, leanTransport } from "../../src/http/transport/Transport.ts"
import { SecureOpenAI, Workspace } from "../../src/index.ts"

/** A server that answers as the test says, and counts its connections. */
let answer: (request: Http.IncomingMessage, response: Http.ServerResponse) => void
let server: Http.Server
let url: string
let connections = 0
const headersSeen: Array<Http.IncomingHttpHeaders> = []
/** By what each request left, as Node's own diagnostics tell. */
const left: Array<"fetch" | "dispatcher"> = []
Diagnostics.subscribe("undici:request:create", (message) => {
  const { request } = message as { readonly request: { readonly body: unknown } }
  // Text is a buffer by then; `fetch` gives a body that is iterated.
  left.push(Buffer.isBuffer(request.body) ? "dispatcher" : "fetch")
})
beforeAll(async () => {
  server = Http.createServer((request, response) => {
    headersSeen.push(request.headers)
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

/** Codings that Node's `fetch` undoes since undici 7.11. */
const [undiciMajor = 0, undiciMinor = 0] = (process.versions["undici"] ?? "").split(".").map(Number)
const zstdOfFetch: ReadonlyArray<readonly [coding: string, encode: (bytes: Buffer) => Buffer]> =
  undiciMajor > 7 || (undiciMajor === 7 && undiciMinor >= 11)
    ? [
        ["zstd", Zlib.zstdCompressSync],
        ["ZStd", Zlib.zstdCompressSync],
        ["GZip, ZSTD", (bytes) => Zlib.zstdCompressSync(Zlib.gzipSync(bytes))],
        ["zstd, br", (bytes) => Zlib.brotliCompressSync(Zlib.zstdCompressSync(bytes))],
        ["zstd", (bytes) => Zlib.zstdCompressSync(bytes).subarray(0, 20)],
        ["zstd", (bytes) => bytes],
        ["zstd", () => Buffer.alloc(0)]
      ]
    : []

const own = globalThis.fetch
const lean = leanTransport(defaultFetch())
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
    expect(leanTransport(own)).toBe(own)
    const other: typeof fetch = (input, init) => own(input, init)
    expect(leanTransport(other)).toBe(other)
    vi.spyOn(globalThis, "fetch")
    expect(leanTransport(defaultFetch())).toBe(globalThis.fetch)
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
    ["identity", (bytes: Buffer) => bytes],
    ["none", (bytes: Buffer) => bytes]
  ])("undoes %s, where it is a coding", async (coding, encode) => {
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
    const one = async (fetch: typeof own) => void (await (await fetch(...post())).text())
    // Connections that earlier tests broke are made anew first.
    for (let i = 0; i < 20; i++) await one(own)
    const before = connections
    for (let i = 0; i < 10; i++) await one(i % 2 === 0 ? lean : own)
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

  it("sends by whatever dispatcher somebody set, and by none that refuses", async () => {
    answer = (_request, response) => response.end("{}")
    const key = Symbol.for("undici.globalDispatcher.1")
    const before = Reflect.get(globalThis, key) as { dispatch: (request: object, handler: object) => unknown }
    const paths: Array<unknown> = []
    try {
      Reflect.set(globalThis, key, {
        dispatch: (request: { readonly path: string }, handler: object) => {
          paths.push(request.path)
          return before.dispatch(request, handler)
        }
      })
      same(await both((response) => response.json()))
      // Node 26 has another place for its fetch's own, kept equal by whoever sets them.
      expect(paths).toEqual(Number(process.versions["undici"]?.split(".")[0]) < 8 ? ["/v1/x", "/v1/x"] : ["/v1/x"])
      Reflect.set(globalThis, key, {
        dispatch: () => {
          throw new Error("no way out")
        }
      })
      await expect(lean(...post())).rejects.toThrow("no way out")
    } finally {
      Reflect.set(globalThis, key, before)
    }
  })
})

describe("a streamed answer", () => {
  const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString()
  /** Writes the pieces, each once the one before has left. */
  const inPieces = (pieces: ReadonlyArray<string | Buffer>, headers: Http.OutgoingHttpHeaders = {}) => {
    answer = (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream", ...headers })
      const next = (at: number): void => {
        if (at === pieces.length) response.end()
        else response.write(pieces[at], () => setTimeout(next, 10, at + 1))
      }
      next(0)
    }
  }

  it("has a body that is a real ReadableStream, read by default, by bytes, by iteration, piped and teed", async () => {
    inPieces(["one ", "two ", "é€🙂"])
    const ways: ReadonlyArray<(body: ReadableStream<Uint8Array>) => Promise<string>> = [
      async (body) => {
        const reader = body.getReader()
        let all = ""
        for (let r = await reader.read(); !r.done; r = await reader.read())
          all += Buffer.from(r.value).toString("latin1")
        return all
      },
      async (body) => {
        const reader = body.getReader({ mode: "byob" })
        let all = ""
        for (let r = await reader.read(new Uint8Array(3)); !r.done; r = await reader.read(new Uint8Array(3)))
          all += Buffer.from(r.value).toString("latin1")
        return all
      },
      async (body) => {
        let all = ""
        for await (const part of body) all += Buffer.from(part).toString("latin1")
        return all
      },
      async (body) => new Response(body.pipeThrough(new TransformStream<Uint8Array, Uint8Array>())).text(),
      async (body) => (await Promise.all(body.tee().map((half) => new Response(half).text()))).join("|")
    ]
    for (const way of ways)
      same(
        await both(async (response) => {
          const before = [response.body instanceof ReadableStream, response.bodyUsed, response.body === response.body]
          return [before, await way(response.body!), response.bodyUsed]
        })
      )
  })

  it("is taken once: by its text, its stream, or a clone", async () => {
    inPieces(["one ", "two"])
    const message = (f: () => unknown) =>
      Promise.resolve()
        .then(f)
        .catch((e: Error) => [e.name, e.message])
    same(
      await both(async (response) => {
        const { body } = response
        const all = await response.text()
        return [
          all,
          body?.locked,
          response.body?.locked,
          response.bodyUsed,
          await message(() => response.text()),
          await message(() => response.clone())
        ]
      })
    )
    same(
      await both(async (response) => {
        const reader = response.body!.getReader()
        const locked = await message(() => response.text())
        await reader.read()
        reader.releaseLock()
        return [locked, response.bodyUsed, await message(() => response.json()), await message(() => response.blob())]
      })
    )
    same(
      await both(async (response) => {
        const copy = response.clone()
        const texts = [await copy.text(), response.bodyUsed, await response.text(), response.bodyUsed]
        return [
          texts,
          copy.status,
          copy.url === response.url,
          [...copy.headers].length === [...response.headers].length
        ]
      })
    )
  })

  it("has headers that are read as any, and changed by nobody", async () => {
    inPieces(["x"], { "set-cookie": ["a=1", "b=2"], "x-two": ["1", "2"] })
    const name = (f: () => unknown) => {
      try {
        return f()
      } catch (error) {
        return error instanceof Error ? error.name : error
      }
    }
    same(
      await both(({ headers }) => [
        headers instanceof Headers,
        [...headers].filter(([field]) => field !== "date"),
        [...headers.keys()].length,
        [...headers.values()].includes("1, 2"),
        headers.getSetCookie(),
        [headers.get("X-TWO"), headers.get("none"), headers.has("Set-Cookie"), headers.get("set-cookie")],
        [...new Headers(headers)].length,
        name(() => headers.get("no name")),
        name(() => headers.set("a", "b")),
        name(() => headers.append("a", "b")),
        name(() => headers.delete("x-two")),
        headers.get("x-two")
      ])
    )
  })

  it.each([
    ["gzip", Zlib.gzipSync],
    ["x-gzip", Zlib.gzipSync],
    ["deflate", Zlib.deflateSync],
    ["deflate", Zlib.deflateRawSync],
    ["br", Zlib.brotliCompressSync],
    ["gzip, br", (bytes: Buffer) => Zlib.brotliCompressSync(Zlib.gzipSync(bytes))],
    ...zstdOfFetch
  ] satisfies ReadonlyArray<readonly [coding: string, encode: (bytes: Buffer) => Buffer]>)(
    "undoes %s (%o) as it comes",
    async (coding, encode) => {
      const whole = encode(Buffer.from("data ".repeat(5000)))
      inPieces([whole.subarray(0, 10), whole.subarray(10, 30), whole.subarray(30)], { "content-encoding": coding })
      same(await both((response) => response.text()))
      same(await both((response) => new Response(response.body).text()))
    }
  )

  it("hands on what a coding holds back no longer than it must", async () => {
    answer = (_request, response) => {
      response.writeHead(200, { "content-encoding": "gzip" })
      const zip = Zlib.createGzip()
      zip.pipe(response)
      zip.write("first")
      zip.flush()
    }
    const first = (response: Response) =>
      response
        .body!.getReader()
        .read()
        .then(({ value }) => text(value))
    same(await both(first))
    expect(await both(first)).toEqual(["first", "first"])
  })

  it("fails as fetch does: cut in the body, cut in a coding, not of its coding, aborted before and between reads", async () => {
    const halves = async (response: Response) => {
      const reader = response.body!.getReader()
      const read = () =>
        reader.read().then(
          ({ value }) => text(value),
          (e: Error) => [e.name, e.message]
        )
      return [await read(), await read(), await read()]
    }
    answer = (_request, response) => {
      response.write("half of it")
      setTimeout(() => response.socket?.destroy(), 20)
    }
    same(await both(halves))
    inPieces([Zlib.gzipSync("much to say ".repeat(2000)).subarray(0, 40)], { "content-encoding": "gzip" })
    same(await both((response) => response.text()))
    inPieces(["this is no gzip"], { "content-encoding": "gzip" })
    const broken = (await both((response) => response.text())) as ReadonlyArray<{ readonly message: string }>
    expect(broken.map(({ message }) => message)).toEqual(["terminated", "terminated"])
    answer = (_request, response) => response.write("half of it")
    const reason = new Error("enough")
    const aborted = await Promise.all(
      [lean, own].map(async (fetch) => {
        const controller = new AbortController()
        const response = await fetch(...post({ signal: controller.signal }))
        const reader = response.body!.getReader()
        const first = text((await reader.read()).value)
        const next = reader.read().catch((e: unknown) => e)
        controller.abort(reason)
        return [first, await next, await reader.read().catch((e: unknown) => e)]
      })
    )
    expect(aborted).toEqual([
      ["half of it", reason, reason],
      ["half of it", reason, reason]
    ])
  })

  it("closes its connection where its reader stops early, and keeps it where it was read whole", async () => {
    const closed = () =>
      new Promise<string>((resolve) => {
        answer = (request, response) => {
          response.write("half of it")
          request.socket.once("close", () => resolve("closed"))
        }
      })
    for (const fetch of [lean, own]) {
      const seen = closed()
      const response = await fetch(...post())
      const reader = response.body!.getReader()
      await reader.read()
      await reader.cancel()
      expect(await seen).toBe("closed")
    }
    inPieces(["a", "b"])
    await (await lean(...post())).text()
    const before = connections
    for (let i = 0; i < 5; i++) await new Response((await lean(...post())).body).text()
    expect(connections).toBe(before)
  })

  it("is read no faster than its reader reads", async () => {
    const piece = Buffer.alloc(64 * 1024)
    for (const fetch of [lean, own]) {
      let written = 0
      answer = (_request, response) => {
        const more = (): void => {
          while (written < 2000 && response.write(piece)) written++
          if (written < 2000) response.once("drain", () => (written++, more()))
        }
        more()
      }
      const controller = new AbortController()
      const response = await fetch(...post({ signal: controller.signal }))
      await response.body!.getReader().read()
      await new Promise((resolve) => setTimeout(resolve, 300))
      expect(written).toBeLessThan(2000)
      controller.abort()
    }
  })

  it("is answered whatever its status line says, after early hints, and without a body", async () => {
    answer = (_request, response) =>
      void response.socket?.end("HTTP/1.1 999 Nobody Knows\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi")
    same(await both(async (response) => [response.status, response.statusText, response.ok, await response.text()]))
    answer = (_request, response) => {
      response.writeEarlyHints({ link: "</a>; rel=preload" })
      setTimeout(() => response.end("hinted"), 10)
    }
    same(await both(async (response) => [response.status, await response.text()]))
    answer = (_request, response) => response.writeHead(204).end()
    same(await both(async (response) => [response.body, await response.text(), response.clone().body]))
    answer = (_request, response) => {
      response.writeHead(200, { trailer: "x-end" })
      response.write("body")
      response.addTrailers({ "x-end": "1" })
      response.end()
    }
    same(await both(async (response) => [await response.text(), response.headers.get("x-end")]))
  })

  it("leaves headers that manage a connection to fetch", async () => {
    answer = (request, response) => response.end(JSON.stringify(request.headers.host))
    const headers = new Headers({ host: "elsewhere.example" })
    expect(await (await lean(...post({ headers }))).json()).toBe(new URL(url).host)
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
    expect(left.at(-1)).toBe("fetch")
    await ask(client({ fetchOptions: { keepalive: true } }))
    expect(left.at(-1)).toBe("fetch")
    await ask(client())
    expect(left.at(-1)).toBe("dispatcher")
    const patched = vi.spyOn(globalThis, "fetch")
    await ask(client())
    expect(patched).toHaveBeenCalledTimes(1)
  })
})

describe("a client's streams", () => {
  const workspace = new Workspace({ audit: "memory" })
  afterAll(() => workspace.close())
  const client = () => new SecureOpenAI({ apiKey: "k", baseURL: url, workspace, maxRetries: 0 })
  const open = () => client().chat.completions.create({ model: "gpt-4", messages: [], stream: true })
  const chunks = Array.from({ length: 6 }, (_, n) => ({
    id: "chatcmpl-1",
    choices: [{ index: n, delta: { content: "word" }, finish_reason: null }]
  }))
  const events = (some: typeof chunks) => some.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("")
  /** Two reads of three chunks; the body ends a little after `[DONE]`, as a provider's does. */
  const stream = () => {
    answer = (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" })
      response.write(events(chunks.slice(0, 3)))
      setTimeout(() => response.write(`${events(chunks.slice(3))}data: [DONE]\n\n`), 10)
      setTimeout(() => response.end(), 20)
    }
  }

  it("are whole, and leave their connection to the next call", async () => {
    stream()
    expect(await Array.fromAsync(await open())).toEqual(chunks)
    await new Promise((resolve) => setTimeout(resolve, 50))
    const before = connections
    for (let i = 0; i < 3; i++) {
      await Array.fromAsync(await open())
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    expect(connections).toBe(before)
  })

  it("give their chunks in order to whoever asks for many at once, then end", async () => {
    stream()
    // A text completion's: the SDK puts a queue of its own before a chat's.
    const opened = await client().completions.create({ model: "gpt-4", prompt: "", stream: true })
    const iterator = opened[Symbol.asyncIterator]()
    const asked = await Promise.all(Array.from({ length: 8 }, () => iterator.next()))
    expect(asked.map(({ done, value }) => (done === true ? "end" : value?.choices[0]?.index))).toEqual([
      0,
      1,
      2,
      3,
      4,
      5,
      "end",
      "end"
    ])
  })

  it("end in the log where they are left before the first chunk, in the middle, or after the last", async () => {
    for (const take of [1, 2, 6, 7]) {
      stream()
      const answered = await open()
      const iterator = answered[Symbol.asyncIterator]()
      for (let i = 0; i < take; i++) await iterator.next()
      await iterator.return?.()
      const records = await workspace.records()
      const call = SecureOpenAI.receipt(answered)?.call
      const outcome = records.find((r) => r.kind === "outcome" && r["call"] === call)
      expect([take, outcome?.["result"]]).toEqual([take, take === 7 ? "complete" : "abandoned"])
    }
    stream()
    const request = client().chat.completions.create({ model: "gpt-4", messages: [], stream: true })
    await (await request.asResponse()).body?.cancel()
    expect((await workspace.records()).at(-1)).toMatchObject({ kind: "outcome", result: "abandoned" })
  })
})
