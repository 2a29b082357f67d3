#!/bin/sh
# A body in zstd may be several frames, one after the other (RFC 8878 §3), as a gzip body may be several members: what a
# server writes that ends a frame with each flush. undici's fetch, and Node's own, gives the first frame alone and reports
# no error, so a stream looks as if it had ended early. The same body in gzip comes whole.
#
# Seen: undici 7.29.1 on Node 24.21.0. Needs Node 22.15 or later on the PATH. Exits 1 if it behaves otherwise.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund undici@7.29.1
cat >frames.mjs <<'END'
import { createServer } from "node:http"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { fetch as undici } from "undici"

const halves = ["first half, ", "second half"].map((half) => Buffer.from(half))
const bodies = {
  gzip: Buffer.concat(halves.map((half) => gzipSync(half))),
  zstd: Buffer.concat(halves.map((half) => zstdCompressSync(half)))
}
const server = createServer((request, response) => {
  const coding = request.url.slice(1)
  response.writeHead(200, { "content-encoding": coding }).end(bodies[coding])
}).listen(0, "127.0.0.1")
await new Promise((resolve) => server.once("listening", resolve))
const read = async (coding) => (await undici(`http://127.0.0.1:${server.address().port}/${coding}`)).text()
const seen = { gzip: await read("gzip"), zstd: await read("zstd") }
console.log(`Node ${process.version}, undici 7.29.1:`, JSON.stringify(seen))
server.close()
server.closeAllConnections()
process.exitCode = seen.gzip === "first half, second half" && seen.zstd === "first half, " ? 0 : 1
END
node frames.mjs
