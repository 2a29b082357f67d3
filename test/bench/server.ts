/** A provider with ready-made answers, in a process of its own, so that its work is not counted. Prints its port. */
import * as Http from "node:http"
import type { AddressInfo } from "node:net"

const usage = { prompt_tokens: 12, completion_tokens: 4, total_tokens: 16 }
const completion = {
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
  usage
}
const response = (status: string, text: string) => ({
  id: "resp_bench",
  object: "response",
  created_at: 1,
  model: "gpt-4o-mini",
  status,
  output: [
    {
      id: "msg_bench",
      type: "message",
      role: "assistant",
      status,
      content: [{ type: "output_text", text, annotations: [] }]
    }
  ],
  usage: { input_tokens: 12, output_tokens: 4, total_tokens: 16 }
})
const chunk = (i: number) => ({
  id: "chatcmpl-bench",
  object: "chat.completion.chunk",
  created: 1,
  model: "gpt-4o-mini",
  choices: [{ index: 0, delta: { content: ` word${i}` }, logprobs: null, finish_reason: i === 199 ? "stop" : null }]
})
const delta = (i: number) =>
  i === 199
    ? { type: "response.completed", sequence_number: i, response: response("completed", "All is well.") }
    : {
        type: "response.output_text.delta",
        sequence_number: i,
        item_id: "msg_bench",
        output_index: 0,
        content_index: 0,
        delta: ` word${i}`
      }

/** 200 events in ten writes. */
const inWrites = (event: (i: number) => string, end: string) =>
  Array.from({ length: 10 }, (_, w) =>
    Buffer.from(Array.from({ length: 20 }, (_, i) => event(w * 20 + i)).join("") + (w === 9 ? end : ""))
  )
const answers = {
  chat: {
    plain: Buffer.from(JSON.stringify(completion)),
    stream: inWrites((i) => `data: ${JSON.stringify(chunk(i))}\n\n`, "data: [DONE]\n\n")
  },
  responses: {
    plain: Buffer.from(JSON.stringify(response("completed", "All is well."))),
    stream: inWrites((i) => `event: ${delta(i).type}\ndata: ${JSON.stringify(delta(i))}\n\n`, "")
  }
}

const server = Http.createServer((request, response) => {
  const { plain, stream } = answers[request.url?.endsWith("/responses") === true ? "responses" : "chat"]
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
    for (const write of stream) {
      response.write(write)
      await new Promise((resolve) => setImmediate(resolve))
    }
    response.end()
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port))
process.on("disconnect", () => process.exit())
