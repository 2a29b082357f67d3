/**
 * `@portkey-ai/gateway` on loopback, in a process of its own. Prints the port of the gateway and one more, which answers any
 * request with the CPU µs that this process has used: what a call costs there is counted as well.
 */
import { once } from "node:events"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"

const free = Http.createServer().listen(0, "127.0.0.1")
await once(free, "listening")
const { port } = free.address() as AddressInfo
free.close()
await once(free, "close")

const cpu = Http.createServer((_request, response) => {
  const { system, user } = process.cpuUsage()
  response.end(String(system + user))
}).listen(0, "127.0.0.1")
await once(cpu, "listening")

process.argv.push(`--port=${port}`, "--headless")
await import(new URL("../../node_modules/@portkey-ai/gateway/build/start-server.js", import.meta.url).href)
for (let up = false; !up;) {
  up = await fetch(`http://127.0.0.1:${port}/`).then(
    () => true,
    () => false
  )
  await new Promise((resolve) => setTimeout(resolve, 50))
}
process.send?.([port, (cpu.address() as AddressInfo).port])
process.on("disconnect", () => process.exit())
