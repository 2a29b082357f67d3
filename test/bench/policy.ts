/**
 * What loading and deciding cost from one document to a million, beside casbin and Cedar on the same decision in the same
 * run: `npm run bench:policy`. Each size and each engine is a process of its own, and what counts is its processor time,
 * helper threads included, because machines are noisy: read the ratios. A third of the requests is allowed unchanged, a
 * third is edited and a third refused; the peers, which do not edit, refuse the second third.
 */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"
import { users, writeDocuments } from "./policyDocuments.ts"
import type { Measured } from "./policyClient.ts"

const exec = promisify(execFile)
const sizes = [1, 100, 10_000, 100_000, 1_000_000]
const peers = ["casbin", "cedar"] as const
/** How long a peer may take to load and to decide, in milliseconds. */
const patience = 12_000

const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-bench-"))
const client = new URL("policyClient.ts", import.meta.url).pathname

const measure = async (engine: string, size: number): Promise<Measured | undefined> => {
  const timeout = engine === "secure-openai" ? 0 : patience
  try {
    const { stdout } = await exec(process.execPath, ["--expose-gc", client, engine, file(size), String(users(size))], {
      timeout,
      killSignal: "SIGKILL"
    })
    return JSON.parse(stdout) as Measured
  } catch (error) {
    if (timeout > 0 && error instanceof Error && "killed" in error && error.killed === true) return undefined
    throw error
  }
}

const file = (size: number): string => Path.join(folder, `${size}.json`)

const row = (...cells: ReadonlyArray<string>): void =>
  console.log(cells.map((cell, index) => (index === 0 ? cell.padEnd(12) : cell.padStart(15))).join(" "))

const perSecond = (rate: number | undefined): string =>
  rate === undefined ? "–" : rate >= 100 ? Math.round(rate).toLocaleString("en") : rate.toPrecision(2)

const ours: Array<Measured> = []
console.log(
  "secure-openai, decisions a second of one core; warm: 1,000 callers at work, cold: every caller for the first time\n"
)
row(
  "documents",
  "warm explained",
  "warm verdict",
  "cold explained",
  "cold verdict",
  "load ms",
  "of CPU",
  "text B/doc",
  "more B/doc"
)
for (const size of sizes) {
  writeDocuments(file(size), size)
  const measured = await measure("secure-openai", size)
  if (measured === undefined) throw new Error("no measurement")
  ours.push(measured)
  const { cold, load, memory, text, warm } = measured
  row(
    size.toLocaleString("en"),
    perSecond(warm.explained),
    perSecond(warm.verdict),
    perSecond(cold?.explained),
    perSecond(cold?.verdict),
    load.clock.toFixed(0),
    load.processor.toFixed(0),
    text.toFixed(0),
    size < 1000 ? "–" : memory.toFixed(0)
  )
}
const [one] = ours
const most = Math.max(...ours.map(({ warm }) => warm.explained))
const least = Math.min(...ours.map(({ warm }) => warm.explained))
console.log(
  `\nfrom 1 to 1,000,000 documents: ${(most / least).toFixed(2)} × between the fastest and the slowest warm decision\n`
)

row("documents", ...peers.flatMap((peer) => [`${peer} load ms`, "explained", "verdict", "ours faster by"]))
const lost = new Set<string>()
for (const [index, size] of sizes.entries()) {
  const cells: Array<string> = []
  for (const peer of peers) {
    const measured = lost.has(peer) ? undefined : await measure(peer, size)
    if (measured === undefined) {
      cells.push(lost.has(peer) ? "not tried" : `over ${patience / 1000} s`, "–", "–", "–")
      lost.add(peer)
      continue
    }
    const { load, warm } = measured
    const ratio = (ours[index] ?? one!).warm.explained / warm.explained
    cells.push(load.clock.toFixed(0), perSecond(warm.explained), perSecond(warm.verdict), `${perSecond(ratio)} ×`)
  }
  row(size.toLocaleString("en"), ...cells)
}
Fs.rmSync(folder, { recursive: true, force: true })
