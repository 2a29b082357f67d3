#!/bin/sh
# Fastify's request.signal is meant to abort when the client leaves. It listens for the "close" of the incoming message, which
# Node emits once the message's body was read. So in a POST handler it aborts while the client still waits, or, where it is first
# read after an await, never does, not even once the client has left. In a GET handler it behaves. A handler that streams a model's
# answer to a browser has to listen for the "close" of reply.raw in its place.
#
# Seen: fastify 5.12.8 on Node 24.21.0. Needs Node 22 or later on the PATH. Exits 1 if it behaves otherwise.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund fastify@5.12.8
cat >signal.mjs <<'END'
import Fastify from "fastify"
import { setTimeout as wait } from "node:timers/promises"

const app = Fastify()
const seen = {}
const handler = async (request, reply) => {
  const left = new Promise((resolve) => reply.raw.on("close", resolve))
  const { first } = request.query
  if (first !== "at once") await wait(20)
  const { signal } = request
  await wait(200)
  const waiting = signal.aborted
  await left
  await wait(50)
  seen[`${request.method}, signal first read ${first}`] = { waiting, left: signal.aborted }
  return "ok"
}
app.route({ method: ["GET", "POST"], url: "/", handler })
const url = await app.listen({ port: 0, host: "127.0.0.1" })
for (const method of ["GET", "POST"])
  for (const first of ["at once", "later"]) {
    const body = method === "POST" ? { body: "{}", headers: { "content-type": "application/json" } } : {}
    await fetch(`${url}/?first=${encodeURIComponent(first)}`, { method, ...body, signal: AbortSignal.timeout(500) }).catch(() => {})
    await wait(200)
  }
console.log(`Node ${process.version}, fastify ${app.version}: is the signal aborted while the client waits, and once it has left?`)
console.log(seen)
const expected = [
  [false, true],
  [false, true],
  [true, true],
  [false, false]
]
const got = Object.values(seen).map(({ left, waiting }) => [waiting, left])
process.exitCode = JSON.stringify(got) === JSON.stringify(expected) ? 0 : 1
await app.close()
END
node signal.mjs
