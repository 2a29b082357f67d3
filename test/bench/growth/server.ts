/** A provider that reads a body of any size and answers shortly, in a process of its own. Prints its port. */
import * as Http from "node:http"
import type { AddressInfo } from "node:net"

const usage = { prompt_tokens: 12, completion_tokens: 4, total_tokens: 16 }
const completion = JSON.stringify({
  id: "chatcmpl-bench",
  object: "chat.completion",
  created: 1,
  model: "gpt-4o",
  choices: [{ index: 0, message: { role: "assistant", content: "All is well." }, finish_reason: "stop" }],
  usage
})
const embedding = JSON.stringify({
  object: "list",
  data: [{ object: "embedding", index: 0, embedding: [0.5] }],
  model: "text-embedding-3-small",
  usage: { prompt_tokens: 1, total_tokens: 1 }
})

const server = Http.createServer((request, response) => {
  request.resume()
  request.on("end", () => {
    response.writeHead(200, { "content-type": "application/json" })
    response.end(request.url?.endsWith("/embeddings") === true ? embedding : completion)
  })
})
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port))
process.on("disconnect", () => process.exit())
