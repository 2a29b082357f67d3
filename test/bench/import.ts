/**
 * What an import costs, beside `openai` alone: `npm run bench:import -- [options]`, after `npm run build`.
 *
 *     --rounds N    fresh processes of each row (15)
 *     --with DIR    another checkout, built and with its `node_modules`, whose rows stand beside ours
 *
 * Each measurement is a process of its own that does nothing else, and the rows take turns. Time is that of the import alone,
 * by the clock and of the processors, which others on the machine change less; memory is the resident set after the import less the one before, so that Node itself is not counted. Read the ratios:
 * an `import` is divided by `import "openai"` of the same folder, a `require` by `require("openai")`. Medians, and the least
 * in parentheses: on a busy machine the least times are nearer to the truth. The last line counts the packages that
 * `npm install` adds for this one, its peers and theirs left out.
 */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { parseArgs } from "node:util"

const { values: given } = parseArgs({
  options: { rounds: { type: "string", default: "15" }, with: { type: "string" } }
})
const rounds = Number(given.rounds)
if (!Number.isSafeInteger(rounds) || rounds < 1) throw new Error("--rounds takes a number from 1")

const here = Path.resolve(import.meta.dirname, "../..")
const folders = [here, ...(given.with === undefined ? [] : [Path.resolve(given.with)])]
for (const folder of folders)
  if (!Fs.existsSync(Path.join(folder, "dist/index.js"))) throw new Error(`${folder} is not built: npm run build`)

type Format = "import" | "require"

interface Row {
  readonly folder: string
  readonly format: Format
  readonly specifier: string
  readonly measured: Array<Measured>
}

interface Measured {
  readonly ms: number
  readonly cpu: number
  readonly bytes: number
}

const name = "secure-openai"
const specifiers: Readonly<Record<Format, ReadonlyArray<string>>> = {
  import: ["openai", name, `${name}/testing`, `${name}/ai`],
  require: ["openai", name, `${name}/testing`]
}
const rows: ReadonlyArray<Row> = folders.flatMap((folder) =>
  (["import", "require"] as const).flatMap((format) =>
    specifiers[format].map((specifier) => ({ folder, format, specifier, measured: [] }))
  )
)

/** A program that does one import and prints what it cost; a package finds itself by its own name in its folder. */
const program = (format: Format, specifier: string): string => `
  const before = process.memoryUsage.rss()
  const used = process.cpuUsage()
  const began = performance.now()
  ${format === "import" ? "await import" : "require"}(${JSON.stringify(specifier)})
  const ms = performance.now() - began
  const { system, user } = process.cpuUsage(used)
  console.log(JSON.stringify({ ms, cpu: (system + user) / 1000, bytes: process.memoryUsage.rss() - before }))
  process.exit()`

const measure = ({ folder, format, specifier }: Row): Measured => {
  const type = format === "import" ? "module" : "commonjs"
  const printed = execFileSync(process.execPath, [`--input-type=${type}`, "--eval", program(format, specifier)], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, NODE_COMPILE_CACHE: undefined, NODE_OPTIONS: undefined }
  })
  return JSON.parse(printed) as Measured
}

/** The packages that this one brings, by the dependencies that their own package.json files name. */
const packagesOf = (folder: string): ReadonlyArray<string> => {
  const found = new Set<string>()
  const visit = (from: string): void => {
    const { dependencies = {} } = JSON.parse(Fs.readFileSync(Path.join(from, "package.json"), "utf8")) as {
      readonly dependencies?: Readonly<Record<string, string>>
    }
    for (const dependency of Object.keys(dependencies)) {
      let at = from
      while (!Fs.existsSync(Path.join(at, "node_modules", dependency, "package.json"))) at = Path.dirname(at)
      const place = Path.join(at, "node_modules", dependency)
      if (found.has(place)) continue
      found.add(place)
      visit(place)
    }
  }
  visit(folder)
  // A peer's packages are there without us.
  const ofPeers = new Set<string>()
  for (const peer of ["effect", "openai"]) {
    const mine = new Set(found)
    visit(Path.join(folder, "node_modules", peer))
    for (const place of found) if (!mine.has(place)) ofPeers.add(place)
    ofPeers.add(Path.join(folder, "node_modules", peer))
  }
  return [...found]
    .filter((place) => !ofPeers.has(place))
    .map((place) => place.slice(place.lastIndexOf("node_modules/") + "node_modules/".length))
    .sort()
}

for (let round = 0; round < rounds; round++) for (const row of rows) row.measured.push(measure(row))

const sorted = (row: Row, of: keyof Measured): ReadonlyArray<number> =>
  row.measured.map((each) => each[of]).sort((a, b) => a - b)
const median = (row: Row, of: keyof Measured): number => sorted(row, of)[Math.floor(rounds / 2)] ?? Number.NaN
const least = (row: Row, of: keyof Measured): number => sorted(row, of)[0] ?? Number.NaN

const table: Array<ReadonlyArray<string>> = [["", "ms", "ratio", "CPU ms", "ratio", "MB", "ratio"]]
for (const row of rows) {
  const bare = rows.find(
    ({ folder, format, specifier }) => folder === row.folder && format === row.format && specifier === "openai"
  )
  if (bare === undefined) throw new Error("each folder has a row of openai alone")
  const place = row.folder === here ? "" : ` of ${given.with ?? ""}`
  const cells = (["ms", "cpu", "bytes"] as const).flatMap((of) => {
    const shown = (value: number) => (of === "bytes" ? (value / 1e6).toFixed(1) : value.toFixed(0))
    const ratio = (median(row, of) / median(bare, of)).toFixed(2)
    const ratioOfLeast = (least(row, of) / least(bare, of)).toFixed(2)
    return [`${shown(median(row, of))} (${shown(least(row, of))})`, `${ratio} (${ratioOfLeast})`]
  })
  table.push([`${row.format} ${row.specifier}${place}`, ...cells])
}
const widths = table[0]!.map((_, column) => Math.max(...table.map((cells) => cells[column]!.length)))
for (const cells of table)
  console.log(cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  "))
for (const folder of folders) {
  const packages = packagesOf(folder)
  console.log(
    `${folder === here ? "packages" : `packages of ${given.with ?? ""}`}: ${packages.length} beyond the peers (${packages.join(", ")})`
  )
}
