/**
 * Serves the handlers of `docs/frameworks.md`, which lie in the working directory, each on a port of its own, and tells the
 * process that forked it which ports, how many users are registered, and what nobody handled.
 */
import { serve } from "@hono/node-server"
import type * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Path from "node:path"
import * as Url from "node:url"

const load = (file: string) => import(Url.pathToFileURL(Path.resolve(file)).href)

const unhandled: Array<string> = []
process.on("unhandledRejection", (reason) => unhandled.push(`rejection: ${String(reason)}`))
process.on("uncaughtException", (error) => unhandled.push(`exception: ${String(error)}`))

const { client, streamOf } = await load("client.ts")
const users: Array<{ readonly registered: boolean }> = []
const asUser = client.asUser.bind(client)
client.asUser = async (...args: ReadonlyArray<unknown>) => {
  const user = await asUser(...args)
  users.push(user.userClient)
  return user
}

const listening = async (server: Http.Server): Promise<number> => {
  if (!server.listening) await new Promise((resolve) => server.once("listening", resolve))
  return (server.address() as AddressInfo).port
}
const web = (fetch: (request: Request) => Response | Promise<Response>) =>
  listening(serve({ fetch, port: 0, hostname: "127.0.0.1" }) as Http.Server)

const { app: fastify } = await load("fastify.ts")
await fastify.listen({ port: 0, host: "127.0.0.1" })
const { flushed } = await load("flushed.ts")
const { POST } = await load("route.ts")
const ports = {
  Hono: await web((await load("hono.ts")).app.fetch),
  Express: await listening((await load("express.ts")).app.listen(0, "127.0.0.1")),
  Fastify: await listening(fastify.server),
  Next: await web(POST),
  "Next, flushed": await web(async (request) => {
    const answer: Response = await POST(request)
    return answer.ok ? new Response(streamOf(flushed(answer.body!)), answer) : answer
  })
}

const { handler } = await load("function.ts")
process.on("message", async (asked: "state" | { readonly headers: object; readonly body: string }) => {
  if (asked !== "state") return process.send?.({ answer: await handler(asked) })
  process.send?.({ registered: users.filter(({ registered }) => registered).length, users: users.length, unhandled })
})
process.send?.({ ports })
