import { APIError, APIUserAbortError } from "openai"
import { Stream } from "openai/streaming"
import { describe, expect, it } from "vitest"
import { ChunkStream, readChunks } from "../../src/invocation/Sse.ts"

const utf8 = new TextEncoder()
const deaf = { begun: () => {}, received: () => {}, whole: () => {} }

/** A response whose body comes in the given pieces. */
const responseOf = (pieces: ReadonlyArray<Uint8Array>): Response =>
  new Response(
    new ReadableStream({
      start: (controller) => {
        for (const piece of pieces) controller.enqueue(piece)
        controller.close()
      }
    })
  )

const split = (text: string, cuts: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const bytes = utf8.encode(text)
  const places = [0, ...cuts.toSorted((a, b) => a - b), bytes.length]
  return places.slice(1).map((end, i) => bytes.subarray(places[i], end))
}

const ours = async (pieces: ReadonlyArray<Uint8Array>) => {
  const data: Array<string> = []
  const items: Array<unknown> = []
  const controller = new AbortController()
  try {
    for await (const read of readChunks(responseOf(pieces), controller, {
      begun: () => {},
      received: (d) => data.push(d),
      whole: () => {}
    }))
      items.push(...read)
    return { items, data, aborted: controller.signal.aborted }
  } catch (error) {
    return { items, data, aborted: controller.signal.aborted, error: String(error) }
  }
}

const theirs = async (pieces: ReadonlyArray<Uint8Array>) => {
  const items: Array<unknown> = []
  try {
    for await (const item of Stream.fromSSEResponse(responseOf(pieces), new AbortController())) items.push(item)
    return { items }
  } catch (error) {
    return { items, error: String(error) }
  }
}

/** Bodies that servers send, well-formed and not. */
const bodies = {
  plain: 'data: {"a":1}\n\ndata: {"a":2}\n\ndata: [DONE]\n\n',
  "after done": 'data: {"a":1}\n\ndata: [DONE]\n\ndata: {"a":2}\n\n',
  "without done": 'data: {"a":1}\n\ndata: {"a":2}\n\n',
  "cut in an event": 'data: {"a":1}\n\ndata: {"a":2}',
  "carriage returns": 'data: {"a":1}\r\n\r\ndata: {"a":2}\r\n\r\ndata: [DONE]\r\n\r\n',
  "lone carriage returns": 'data: {"a":1}\r\rdata: {"a":2}\r\r',
  "several data lines": 'data: {"a":\ndata: 1}\n\n',
  "comments, ids, retries": ': ping\n\nid: 7\nretry: 10\ndata: {"a":1}\n\n: pong\n',
  "no space after the colon": 'data:{"a":1}\n\n',
  unicode: 'data: {"a":"é€🙂"}\n\ndata: {"a":"\\ud83d\\ude42"}\n\n',
  "named events": 'event: delta\ndata: {"a":1}\n\n',
  "an error event": 'data: {"a":1}\n\nevent: error\ndata: {"error":{"message":"fell over"}}\n\n',
  "an error in the data": 'data: {"a":1}\n\ndata: {"error":{"message":"fell over"}}\n\ndata: {"a":2}\n\n',
  "data that is no JSON": 'data: {"a":1}\n\ndata: {nope\n\n',
  empty: ""
}

describe("reading server-sent events", () => {
  it.each(Object.entries(bodies))("reads a body with %s as the SDK does, however it is cut", async (_name, body) => {
    const whole = await theirs(split(body, []))
    const length = utf8.encode(body).length
    for (let cut = 0; cut <= length; cut++) {
      const { error, items } = await ours(split(body, [cut]))
      expect({ items, ...(error !== undefined && { error }) }, `cut at ${cut}`).toEqual(whole)
    }
    const bytewise = await ours(
      split(
        body,
        Array.from({ length }, (_, i) => i)
      )
    )
    expect(bytewise.items).toEqual(whole.items)
  })

  it("tells of each event's data, as received, before it is handed on", async () => {
    const { data } = await ours(split(bodies.plain, []))
    expect(data).toEqual(['{"a":1}', '{"a":2}'])
    const failing = await ours(split(bodies["an error in the data"], []))
    expect(failing.data).toEqual(['{"a":1}', '{"error":{"message":"fell over"}}'])
  })

  it("tells that the answer is whole where the provider says so, and only there", async () => {
    for (const [body, whole] of [
      [bodies.plain, true],
      [bodies["without done"], false]
    ] as const) {
      let told = false
      const listener = { begun: () => {}, received: () => {}, whole: () => void (told = true) }
      for await (const _ of readChunks(responseOf(split(body, [])), new AbortController(), listener)) void _
      expect(told).toBe(whole)
    }
  })

  it("hands on one array for each read", async () => {
    const reads: Array<number> = []
    const response = responseOf(split(bodies.plain, [utf8.encode('data: {"a":1}\n\n').length]))
    for await (const read of readChunks(response, new AbortController(), deaf)) reads.push(read.length)
    expect(reads).toEqual([1, 1])
  })

  it("aborts the request when its reader stops, and throws when the request was aborted", async () => {
    const stopped = new AbortController()
    for await (const _ of readChunks(responseOf(split(bodies.plain, [16])), stopped, deaf)) break
    expect(stopped.signal.aborted).toBe(true)
    const aborted = new AbortController()
    aborted.abort()
    await expect(readChunks(responseOf(split(bodies.plain, [])), aborted, deaf).next()).rejects.toBeInstanceOf(
      APIUserAbortError
    )
    const finished = await ours(split(bodies.plain, []))
    expect(finished.aborted).toBe(false)
  })

  it("refuses an event without end, and a response without a body", async () => {
    const piece = utf8.encode(`data: ${"x".repeat(1 << 20)}`)
    const endless = new Response(new ReadableStream({ pull: (controller) => controller.enqueue(piece) }))
    await expect(readChunks(endless, new AbortController(), deaf).next()).rejects.toThrow(/larger than/)
    await expect(readChunks(new Response(null), new AbortController(), deaf).next()).rejects.toThrow(/no body/)
  })

  it("is the SDK's stream when it is iterated as it is", async () => {
    const stream = ChunkStream.fromSSEResponse<{ a: number }>(
      responseOf(split(bodies.plain, [])),
      new AbortController()
    )
    expect(stream).toBeInstanceOf(Stream)
    expect(await Array.fromAsync(stream)).toEqual([{ a: 1 }, { a: 2 }])
    const failing = ChunkStream.fromSSEResponse(responseOf(split(bodies["an error event"], [])), new AbortController())
    await expect(Array.fromAsync(failing)).rejects.toBeInstanceOf(APIError)
  })
})
