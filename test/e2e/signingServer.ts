/**
 * A small signing server, as a KMS is one: it holds an Ed25519 key for each purpose, and signs what it is sent. Run as a
 * process of its own; it prints its port and public keys. `/behave?<purpose>=ok|slow|down|wrong|short` changes its manners.
 */
import * as Crypto from "node:crypto"
import * as Http from "node:http"

const keys = {
  agent: Crypto.generateKeyPairSync("ed25519"),
  log: Crypto.generateKeyPairSync("ed25519"),
  other: Crypto.generateKeyPairSync("ed25519")
}
const manners: Record<string, string> = { agent: "ok", log: "ok" }
let signed = 0

const server = Http.createServer(async (request, response) => {
  const url = new URL(request.url ?? "", "http://127.0.0.1")
  const parts: Array<Buffer> = []
  for await (const part of request) parts.push(part as Buffer)
  if (url.pathname === "/behave") {
    Object.assign(manners, Object.fromEntries(url.searchParams))
    return void response.end(String(signed))
  }
  const purpose = url.pathname === "/log" ? "log" : "agent"
  const manner = manners[purpose]
  // Never answered: who asks gives up.
  if (manner === "slow") return
  if (manner === "down") return void response.writeHead(503).end()
  signed++
  const key = keys[manner === "wrong" ? "other" : purpose].privateKey
  const signature = Crypto.sign(null, Buffer.concat(parts), key)
  response.end(manner === "short" ? signature.subarray(1) : signature)
})
server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  const port = typeof address === "object" ? address?.port : 0
  const jwkOf = (key: Crypto.KeyObject) => key.export({ format: "jwk" })
  process.stdout.write(
    `${JSON.stringify({ port, agent: jwkOf(keys.agent.publicKey), log: jwkOf(keys.log.publicKey) })}\n`
  )
})
// Whoever started it is gone.
process.stdin.resume()
process.stdin.on("end", () => process.exit(0))
