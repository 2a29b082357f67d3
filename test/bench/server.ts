/** A provider with ready-made answers, in a process of its own, so that its work is not counted. Prints its port. */
import * as Http from "node:http"
import type { AddressInfo } from "node:net"

const plain = Buffer.from(
  JSON.stringify({
    id: "chatcmpl-bench",
    object: "chat.completion",
    created: 1,
    model: "gpt-4o-mini",
    choices: [
      {
        index: 0,
        message: { role: "assistant", content: "All is well.", refusal: null },
        logprobs: null,
        finish_reason: "stop"
      }
    ],
    usage: { prompt_tokens: 12, completion_tokens: 4, total_tokens: 16 }
  })
)
const chunk = (i: number) =>
  `data: ${JSON.stringify({
    id: "chatcmpl-bench",
    object: "chat.completion.chunk",
    created: 1,
    model: "gpt-4o-mini",
    choices: [{ index: 0, delta: { content: ` word${i}` }, logprobs: null, finish_reason: null }]
  })}\n\n`
/** 200 chunks in ten writes. */
const writes = Array.from({ length: 10 }, (_, w) =>
  Buffer.from(Array.from({ length: 20 }, (_, i) => chunk(w * 20 + i)).join("") + (w === 9 ? "data: [DONE]\n\n" : ""))
)

const server = Http.createServer((request, response) => {
  let streaming = false
  request.on("data", (data: Buffer) => {
    streaming ||= data.includes('"stream":true')
  })
  request.on("end", async () => {
    if (!streaming) {
      response.writeHead(200, { "content-type": "application/json", "content-length": plain.length })
      response.end(plain)
      return
    }
    response.writeHead(200, { "content-type": "text/event-stream" })
    for (const write of writes) {
      response.write(write)
      await new Promise((resolve) => setImmediate(resolve))
    }
    response.end()
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port))
process.on("disconnect", () => process.exit())
