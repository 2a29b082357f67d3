/**
 * A provider of streams on the loopback. What it does with one is written in the prompt, so that many streams at once may
 * each fare differently; it counts what it wrote and how its connections ended.
 */
import { once } from "node:events"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { setTimeout as wait } from "node:timers/promises"

/** How one stream goes. */
export interface Plan {
  readonly chunks: number
  /** Characters of text in each chunk. Default 8. */
  readonly size?: number
  /** ms between chunks. Default 0: as fast as the reader takes them. */
  readonly every?: number
  /**
   * What comes after the last chunk: a proper end, a body that just ends, a broken connection, an error event, or nothing,
   * for ever.
   */
  readonly end?: "done" | "bare" | "cut" | "error" | "hang"
}

/** A prompt that tells the server its plan. */
export const prompt = (plan: Plan) => [{ role: "user" as const, content: JSON.stringify(plan) }]

export interface StreamServer {
  readonly url: string
  readonly stats: {
    requests: number
    /** Answers that their client closed before they were over. */
    vanished: number
    /** Bytes given to the socket. */
    written: number
    /** Answers that are under way. */
    open: number
  }
  readonly connections: () => Promise<number>
  readonly close: () => Promise<void>
}

export const startStreamServer = async (): Promise<StreamServer> => {
  const stats = { requests: 0, vanished: 0, written: 0, open: 0 }
  const server = Http.createServer(async (request, response) => {
    const parts: Array<Buffer> = []
    for await (const part of request) parts.push(part as Buffer)
    const body = JSON.parse(Buffer.concat(parts).toString()) as {
      readonly model: string
      readonly messages: ReadonlyArray<{ readonly content: string }>
    }
    const { chunks, end = "done", every = 0, size = 8 } = JSON.parse(body.messages[0]?.content ?? "") as Plan
    const id = `chatcmpl-${++stats.requests}`
    stats.open++
    const gone = new AbortController()
    let over = false
    response.once("close", () => {
      stats.open--
      if (!over) stats.vanished++
      gone.abort()
    })
    const write = async (data: string) => {
      stats.written += data.length
      if (!response.write(`data: ${data}\n\n`)) await once(response, "drain", { signal: gone.signal })
    }
    const chunk = (delta: object, finish_reason: string | null) =>
      JSON.stringify({
        id,
        object: "chat.completion.chunk",
        created: 1,
        model: body.model,
        choices: [{ index: 0, delta, finish_reason }]
      })
    response.writeHead(200, { "content-type": "text/event-stream" })
    response.flushHeaders()
    try {
      for (let i = 0; i < chunks && !gone.signal.aborted; i++) {
        await write(chunk({ content: `${i} `.padStart(size, "x") }, null))
        if (every > 0) await wait(every, undefined, { signal: gone.signal })
      }
      if (end === "hang") return
      over = true
      if (end === "cut") return void response.socket?.destroy()
      if (end === "error") await write(JSON.stringify({ error: { message: "fell over", type: "server_error" } }))
      if (end === "done") {
        await write(chunk({}, "stop"))
        await write("[DONE]")
      }
      response.end()
    } catch {
      // The client has gone: it is counted as it closes.
    }
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    stats,
    connections: () => new Promise((resolve, reject) => server.getConnections((e, n) => (e ? reject(e) : resolve(n)))),
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, "close")
    }
  }
}

/** Waits until something holds; fails with what was seen last. */
export const eventually = async <A>(
  read: () => A | Promise<A>,
  holds: (seen: A) => boolean,
  ms = 10_000
): Promise<A> => {
  const until = Date.now() + ms
  for (;;) {
    const seen = await read()
    if (holds(seen)) return seen
    if (Date.now() > until) throw new Error(`it did not come about within ${ms} ms; last seen: ${JSON.stringify(seen)}`)
    await wait(10)
  }
}
