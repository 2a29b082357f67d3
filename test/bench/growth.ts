/**
 * How the cost grows with the size: `npm run bench:growth -- [--only TEXT]` (cases whose name has TEXT in it).
 *
 * Each input is doubled five times. Of a case that is a call, a secure client with a verified user, a policy and its log on the
 * disk runs beside the bare SDK, in processes of their own, against a provider on the loopback that is not counted. Printed for
 * each size: CPU in ms, the least of five runs, that of the bare SDK, the ratio, by how much longer the event loop stands (in ms of
 * CPU, at most) than with the bare SDK, and the largest resident size so far. `exponent` is fitted to the CPU over the last four sizes: 1 is
 * linear, 2 is quadratic. Last come the largest bodies beside each other: the worst content of a size against the best.
 */
import { execFile, fork } from "node:child_process"
import { once } from "node:events"
import { parseArgs, promisify } from "node:util"
import { cases } from "./growth/cases.ts"
import type { Measured } from "./growth/measure.ts"

const { values: given } = parseArgs({ options: { only: { type: "string", default: "" } } })
const exec = promisify(execFile)
const file = (name: string) => new URL(name, import.meta.url).pathname

const server = fork(file("growth/server.ts"), { stdio: ["ignore", "pipe", "inherit", "ipc"] })
if (server.stdout === null) throw new Error("the server has no output")
const port = String((await once(server.stdout, "data"))[0]).trim()

const measure = async (name: string, kind: string): Promise<ReadonlyArray<Measured>> => {
  const args = ["--expose-gc", file("growth/measure.ts"), name, kind, port]
  const { stdout } = await exec(process.execPath, args)
  return JSON.parse(stdout) as ReadonlyArray<Measured>
}

/** The slope of a line through the logarithms, by least squares. */
const exponentOf = (measured: ReadonlyArray<Measured>): number => {
  const points = measured.slice(-4).map(({ cpu, n }) => [Math.log(n), Math.log(cpu)] as const)
  const mean = (at: 0 | 1) => points.reduce((sum, point) => sum + point[at], 0) / points.length
  const [x, y] = [mean(0), mean(1)]
  const over = points.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0)
  return over / points.reduce((sum, point) => sum + (point[0] - x) ** 2, 0)
}

const columns = [12, 10, 10, 8, 12, 12]
const print = (cells: ReadonlyArray<string>): void =>
  console.log(cells.map((cell, i) => cell.padStart(columns[i]!)).join(""))

const largest: Array<readonly [name: string, cpu: number]> = []
for (const { isCall, name } of cases.filter((one) => one.name.includes(given.only))) {
  const own = await measure(name, isCall ? "secure" : "own")
  const bare = isCall ? await measure(name, "bare") : undefined
  console.log(`\n${name}: exponent ${exponentOf(own).toFixed(2)}${bare ? `, bare ${exponentOf(bare).toFixed(2)}` : ""}`)
  print(["n", "CPU ms", "bare ms", "ratio", "stands ms", "memory MB"])
  for (const [i, { cpu, memory, n, stall }] of own.entries()) {
    const beside = bare?.[i]
    print([
      String(n),
      cpu.toFixed(1),
      beside?.cpu.toFixed(1) ?? "",
      beside === undefined ? "" : (cpu / beside.cpu).toFixed(2),
      (beside === undefined ? stall : stall - beside.stall).toFixed(0),
      memory.toFixed(0)
    ])
  }
  if (isCall) largest.push([name, own.at(-1)!.cpu])
}

const [best] = largest.toSorted(([, a], [, b]) => a - b)
if (best !== undefined) {
  console.log(`\nthe largest bodies against the best content (${best[0]}):`)
  for (const [name, cpu] of largest) console.log(`  ${(cpu / best[1]).toFixed(2).padStart(6)}  ${name}`)
}
server.disconnect()
