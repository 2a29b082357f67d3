/**
 * What SecureOpenAI costs, beside the bare SDK in the same run: `npm run bench [rounds]`. Each measurement is a process of
 * its own, and the order rotates, because machines are noisy: read the ratios.
 */
import { execFile, fork } from "node:child_process"
import { once } from "node:events"
import { promisify } from "node:util"

const rounds = Number(process.argv[2] ?? 5)
const exec = promisify(execFile)
const file = (name: string) => new URL(name, import.meta.url).pathname

const server = fork(file("server.ts"), { stdio: ["ignore", "pipe", "inherit", "ipc"] })
if (server.stdout === null) throw new Error("the server has no output")
const port = String((await once(server.stdout, "data"))[0]).trim()

interface Measured {
  readonly cpu: number
  readonly p50: number
  readonly p99: number
}
const measure = async <A>(kind: string, scenario: string, concurrency: number, calls: number): Promise<A> => {
  const args = ["--expose-gc", file("client.ts"), kind, scenario, String(concurrency), String(calls), port]
  const { stdout } = await exec(process.execPath, args)
  return JSON.parse(stdout) as A
}
const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

const scenarios = [
  { name: "call, 1 at a time", scenario: "call", concurrency: 1, calls: 1500 },
  { name: "call, 16 at a time", scenario: "call", concurrency: 16, calls: 4000 },
  { name: "call, 64 at a time", scenario: "call", concurrency: 64, calls: 4000 },
  { name: "stream of 200 chunks, 16 at a time", scenario: "stream", concurrency: 16, calls: 600 }
]

console.log(`${rounds} rounds, median; CPU of the client's process\n`)
console.log("scenario                              bare µs   secure µs   CPU ratio   added p50 µs   added p99 µs")
for (const { calls, concurrency, name, scenario } of scenarios) {
  const results: Record<"bare" | "secure", Array<Measured>> = { bare: [], secure: [] }
  for (let round = 0; round < rounds; round++)
    for (const kind of round % 2 === 0 ? (["bare", "secure"] as const) : (["secure", "bare"] as const))
      results[kind].push(await measure<Measured>(kind, scenario, concurrency, calls))
  const of = (kind: "bare" | "secure", what: keyof Measured) => median(results[kind].map((r) => r[what]))
  const ratio = median(results.secure.map((r, i) => r.cpu / (results.bare[i]?.cpu ?? r.cpu)))
  const added = (what: "p50" | "p99") => (of("secure", what) - of("bare", what)).toFixed(0)
  console.log(
    [
      name.padEnd(36),
      of("bare", "cpu").toFixed(0).padStart(8),
      of("secure", "cpu").toFixed(0).padStart(11),
      `${ratio.toFixed(2)} ×`.padStart(11),
      added("p50").padStart(14),
      added("p99").padStart(14)
    ].join(" ")
  )
}
const { at10k, at50k } = await measure<{ at10k: number; at50k: number }>("secure", "memory", 16, 0)
const mb = (bytes: number) => (bytes / 1024 / 1024).toFixed(1)
console.log(`\nheap after 10,000 calls ${mb(at10k)} MB, after 50,000 ${mb(at50k)} MB: ${(at50k / at10k).toFixed(2)} ×`)
server.kill()
