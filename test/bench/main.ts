/**
 * What SecureOpenAI costs, beside the bare SDK and its peers in the same run: `npm run bench -- [options]`.
 *
 *     --rounds N    measurements of each figure (3)
 *     --quick       one round, calls and streams at 16, no peers and no memory: half a minute
 *     --no-peers    SecureOpenAI only
 *     --no-memory   no heap after 50,000 calls and 5,000 streams
 *
 * Read the ratios, not the µs: each is CPU time of the client's process against the bare SDK of the same round, as median and
 * range over the rounds. Where the range is wide, the machine was busy: measure again. Each measurement is a process of its
 * own, warmed up by half as many calls as are measured, in an order that turns from round to round; the provider is a
 * process of its own and not counted. SecureOpenAI has everything on (see client.ts), `judged` output rules as well; `asUser` binds its
 * user for each call, `bound` once. `gateway` is the bare SDK through
 * `@portkey-ai/gateway` on loopback, both processes counted; `guardrails` is `@openai/guardrails` with nothing to check;
 * `ai` is the AI SDK with a middleware that does nothing. Of the peers only `ai` streams here: in this set-up the gateway
 * (1.15) answers streams with an error, and guardrails (0.2) without an output stage hands on no chunk.
 */
import { execFile, fork } from "node:child_process"
import { once } from "node:events"
import { parseArgs, promisify } from "node:util"

const { values: given } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    quick: { type: "boolean", default: false },
    "no-peers": { type: "boolean", default: false },
    "no-memory": { type: "boolean", default: false }
  }
})
const rounds = given.quick ? 1 : Number(given.rounds)
if (!Number.isSafeInteger(rounds) || rounds < 1) throw new Error("--rounds takes a number from 1")
const peers = given.quick || given["no-peers"] ? [] : ["guardrails", "gateway", "ai"]
const streaming = peers.filter((peer) => peer === "ai")
const exec = promisify(execFile)
const file = (name: string) => new URL(name, import.meta.url).pathname

const server = fork(file("server.ts"), { stdio: ["ignore", "pipe", "inherit", "ipc"] })
if (server.stdout === null) throw new Error("the server has no output")
const port = String((await once(server.stdout, "data"))[0]).trim()
const gateway = peers.includes("gateway")
  ? fork(file("gateway.ts"), { stdio: ["ignore", "ignore", "inherit", "ipc"] })
  : undefined
const gatewayPorts =
  gateway === undefined ? [] : ((await once(gateway, "message"))[0] as ReadonlyArray<number>).map(String)

interface Measured {
  readonly cpu: number
  readonly p50: number
  readonly p99: number
}
const measure = async <A>(kind: string, scenario: string, concurrency: number, calls: number): Promise<A> => {
  const ports = kind === "gateway" ? [port, ...gatewayPorts] : [port]
  const args = ["--expose-gc", file("client.ts"), kind, scenario, String(concurrency), String(calls), ...ports]
  const { stdout } = await exec(process.execPath, args)
  return JSON.parse(stdout) as A
}
const sorted = (values: ReadonlyArray<number>): ReadonlyArray<number> => values.toSorted((a, b) => a - b)
const median = (values: ReadonlyArray<number>): number => {
  const middle = (values.length - 1) / 2
  const [low = 0, high = 0] = [Math.floor(middle), Math.ceil(middle)].map((at) => sorted(values)[at])
  return (low + high) / 2
}

const all = [
  { name: "call, 1 at a time", scenario: "call", concurrency: 1, calls: 1500, kinds: ["secure"] },
  { name: "call, 16 at a time", scenario: "call", concurrency: 16, calls: 4000, kinds: ["secure", "judged", ...peers] },
  { name: "call of a user, 16 at a time", scenario: "call", concurrency: 16, calls: 4000, kinds: ["bound", "asUser"] },
  { name: "call, 64 at a time", scenario: "call", concurrency: 64, calls: 4000, kinds: ["secure"] },
  {
    name: "stream of 200, 16 at a time",
    scenario: "stream",
    concurrency: 16,
    calls: 600,
    kinds: ["secure", "judged", ...streaming]
  },
  { name: "response, 16 at a time", scenario: "response", concurrency: 16, calls: 4000, kinds: ["secure"] },
  {
    name: "response stream of 200, 16 at a time",
    scenario: "responseStream",
    concurrency: 16,
    calls: 600,
    kinds: ["secure", "judged"]
  }
]
const chosen = given.quick ? all.filter(({ concurrency }) => concurrency === 16) : all

console.log(`CPU of the client against the bare SDK, ${rounds} ${rounds === 1 ? "round" : "rounds"}: median (range)\n`)
const columns = [38, 12, 10, 22, 15, 15]
const print = (cells: ReadonlyArray<string>): void =>
  console.log(cells.map((cell, i) => (i < 2 ? cell.padEnd(columns[i]!) : cell.padStart(columns[i]!))).join(""))
print(["scenario", "", "CPU µs", "against bare", "added p50 µs", "added p99 µs"])
for (const { calls, concurrency, kinds, name, scenario } of chosen) {
  const everyone = ["bare", ...kinds]
  const results = new Map<string, Array<Measured>>(everyone.map((kind) => [kind, []]))
  for (let round = 0; round < rounds; round++)
    for (let i = 0; i < everyone.length; i++) {
      const kind = everyone[(i + round) % everyone.length]!
      results.get(kind)!.push(await measure<Measured>(kind, scenario, concurrency, calls))
    }
  const bare = results.get("bare")!
  for (const [kind, measured] of results) {
    const of = (what: keyof Measured) => median(measured.map((r) => r[what]))
    const added = (what: "p50" | "p99") => (of(what) - median(bare.map((r) => r[what]))).toFixed(0)
    const ratios = sorted(measured.map((r, i) => r.cpu / bare[i]!.cpu))
    const range = `(${ratios[0]!.toFixed(2)}–${ratios.at(-1)!.toFixed(2)})`
    const beside =
      kind === "bare" ? ["1", "", ""] : [`${median(ratios).toFixed(2)} ${range}`, added("p50"), added("p99")]
    print([kind === "bare" ? name : "", kind, of("cpu").toFixed(0), ...beside])
  }
}

if (!given.quick && !given["no-memory"]) {
  const heap = await measure<Record<"at10k" | "at50k" | "at1k" | "at5k", number>>("secure", "memory", 16, 0)
  const mb = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(1)} MB`
  console.log(`\nheap after 10,000 calls ${mb(heap.at10k)}, after 50,000 ${mb(heap.at50k)}`)
  console.log(`and then after 1,000 streams ${mb(heap.at1k)}, after 5,000 ${mb(heap.at5k)}`)
}
gateway?.disconnect()
server.disconnect()
