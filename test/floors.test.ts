/**
 * The floors of `src`: which room stands on which, as one table. Every import points to a lower floor or stays in its room, no
 * files import each other in a circle, every file has a floor, and a package enters only through the rooms that need it. An import
 * that the test cannot follow is an error.
 */
import { readdirSync, readFileSync } from "node:fs"
import * as Path from "node:path"
import { parseAst } from "rolldown/parseAst"
import { describe, expect, it } from "vitest"

/** Rooms from the ground up: a folder of `src`, or a file in it. */
const floors: ReadonlyArray<ReadonlyArray<string>> = [
  ["base"],
  ["answer"],
  ["call"],
  ["policy", "rewriting", "invocation", "keys"],
  ["identity", "signing", "audit", "http"],
  ["workspace"],
  ["agents"],
  ["facade"],
  ["ai", "testing", "cli", "index.ts"]
]

/** The six layers of a call: none imports another, so that each can be replaced alone. */
const layers = ["identity", "signing", "policy", "rewriting", "invocation", "audit"]

const everyRoom = floors.flat()

/** The packages, and the rooms that may import each. Rooms without `openai` read text and bytes, and serve other faces than the SDK's too. */
const packages: Readonly<Record<string, ReadonlyArray<string>>> = {
  effect: everyRoom,
  canonicalize: ["base"],
  uuid: ["base"],
  "lru-cache": ["policy"],
  re2js: ["policy"],
  "@humanwhocodes/momoa": ["policy", "cli"],
  // It loads a module by a name that no import shows.
  "node:module": ["facade"],
  openai: ["call", "invocation", "audit", "workspace", "agents", "facade", "ai"],
  jose: ["identity"],
  chokidar: ["policy"],
  "eventsource-parser": ["invocation"],
  "@effect/platform-node-shared": ["cli"]
}

/** Stands for an import whose specifier is not a literal. */
const computed = "(computed)"

/** What each file imports: files by their path below `src`, packages by their specifier, and files elsewhere with `./` before their path. */
type Imports = ReadonlyMap<string, ReadonlyArray<string>>

const roomOf = (file: string) => file.split("/")[0]!
const floorOf = (room: string) => floors.findIndex((rooms) => rooms.includes(room))
const packageOf = (specifier: string) =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/")

/** Node's own modules are for every room, but for those of the table. */
const mayImport = (room: string, specifier: string): boolean =>
  packages[packageOf(specifier)]?.includes(room) ?? specifier.startsWith("node:")

/** A sentence for each file that breaks a rule. */
const violations = (imports: Imports): ReadonlyArray<string> => {
  const found: Array<string> = []
  for (const [file, targets] of imports) {
    const room = roomOf(file)
    if (floorOf(room) < 0) found.push(`${file} has no floor`)
    if (!/\.(?:ts|json)$/u.test(file)) found.push(`${file} is neither TypeScript nor JSON`)
    for (const target of targets) {
      if (!imports.has(target)) {
        if (target === computed) found.push(`${file} imports a module by a computed name`)
        else if (target.startsWith(".")) found.push(`${file} imports ${target}, which is no file of src`)
        else if (!mayImport(room, target)) found.push(`${file} imports the package ${target}`)
        continue
      }
      const other = roomOf(target)
      if (other === room) continue
      if (floorOf(other) >= floorOf(room)) found.push(`${file} imports ${target}, which is not below it`)
      else if (layers.includes(room) && layers.includes(other)) found.push(`${file} imports ${target}, another layer`)
    }
  }
  return [...found, ...circles(imports)]
}

const circles = (imports: Imports): ReadonlyArray<string> => {
  const found: Array<string> = []
  const done = new Set<string>()
  const walk = (file: string, way: ReadonlyArray<string>): void => {
    if (way.includes(file)) {
      found.push([...way.slice(way.indexOf(file)), file].join(" → "))
      return
    }
    if (done.has(file)) return
    for (const target of imports.get(file) ?? []) walk(target, [...way, file])
    done.add(file)
  }
  for (const file of imports.keys()) walk(file, [])
  return found
}

/** The specifiers in a module: imports, exports of another module, dynamic imports, and imports of types. */
const specifiersIn = (path: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  const walk = (node: unknown): void => {
    if (node === null || typeof node !== "object") return
    const { type, source } = node as { readonly type?: string; readonly source?: { readonly value?: unknown } | null }
    if (type !== undefined && source != null && /^(?:Import|Export|TSImport)/.test(type))
      found.push(typeof source.value === "string" ? source.value : computed)
    Object.values(node).forEach(walk)
  }
  walk(parseAst(readFileSync(path, "utf8"), { lang: "ts" }, path))
  return found
}

const root = Path.resolve(import.meta.dirname, "../src")

const read = (): Imports => {
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name, parentPath }) => Path.relative(root, Path.join(parentPath, name)).replaceAll(Path.sep, "/"))
  return new Map(
    files.map((file) => {
      const specifiers = file.endsWith(".ts") ? specifiersIn(Path.join(root, file)) : []
      return [file, specifiers.map((each) => (each.startsWith(".") ? resolved(file, each, files) : each))]
    })
  )
}

/** A relative specifier as its file's path below `src`, by whatever way it leads there. */
const resolved = (file: string, specifier: string, files: ReadonlyArray<string>): string => {
  const target = Path.relative(root, Path.resolve(root, Path.dirname(file), specifier)).replaceAll(Path.sep, "/")
  return files.includes(target) ? target : `./${target}`
}

describe("floors", () => {
  it("holds in src", () => {
    expect(violations(read())).toEqual([])
  })

  it.each<[string, Record<string, ReadonlyArray<string>>, ReadonlyArray<string>]>([
    [
      "an arrow up",
      { "base/Id.ts": ["policy/Policy.ts"], "policy/Policy.ts": [] },
      ["base/Id.ts imports policy/Policy.ts, which is not below it"]
    ],
    [
      "an arrow along a floor",
      { "identity/Jwt.ts": ["http/Admission.ts"], "http/Admission.ts": [] },
      ["identity/Jwt.ts imports http/Admission.ts, which is not below it"]
    ],
    [
      "an arrow between layers",
      { "audit/Trail.ts": ["policy/Policy.ts"], "policy/Policy.ts": [] },
      ["audit/Trail.ts imports policy/Policy.ts, another layer"]
    ],
    [
      "a circle in a room",
      { "audit/A.ts": ["audit/B.ts"], "audit/B.ts": ["audit/C.ts"], "audit/C.ts": ["audit/A.ts"] },
      ["audit/A.ts → audit/B.ts → audit/C.ts → audit/A.ts"]
    ],
    ["a file without a floor", { "Loose.ts": [] }, ["Loose.ts has no floor"]],
    [
      "a package where it has no business",
      { "http/Admission.ts": ["openai/core"] },
      ["http/Admission.ts imports the package openai/core"]
    ],
    ["a package that no room names", { "base/Id.ts": ["lodash"] }, ["base/Id.ts imports the package lodash"]],
    [
      "a way to load modules unseen",
      { "base/Id.ts": ["node:module", "node:path"] },
      ["base/Id.ts imports the package node:module"]
    ],
    ["a computed import", { "base/Id.ts": [computed] }, ["base/Id.ts imports a module by a computed name"]],
    [
      "a file outside of src, or one that is not there",
      { "base/Id.ts": ["./../test/depth.ts", "./policy/Policy.js"] },
      [
        "base/Id.ts imports ./../test/depth.ts, which is no file of src",
        "base/Id.ts imports ./policy/Policy.js, which is no file of src"
      ]
    ],
    ["another kind of file", { "base/Id.mts": [] }, ["base/Id.mts is neither TypeScript nor JSON"]]
  ])("finds %s", (_, files, expected) => {
    expect(violations(new Map(Object.entries(files)))).toEqual(expected)
  })

  it("follows a specifier by whatever way it leads to a file", () => {
    const files = ["policy/Policy.ts"]
    for (const specifier of ["../policy/Policy.ts", "../../src/policy/Policy.ts", "./../policy/./Policy.ts"])
      expect(resolved("base/Id.ts", specifier, files)).toBe("policy/Policy.ts")
    expect(resolved("base/Id.ts", "../policy/Policy.js", files)).toBe("./policy/Policy.js")
  })

  it("has no file of src over 420 lines: a longer one holds two nouns", () => {
    const long = readdirSync(root, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts"))
      .map((file) => ({ file, lines: readFileSync(Path.join(root, file), "utf8").trimEnd().split("\n").length }))
      .filter(({ lines }) => lines > 420)
    expect(long).toEqual([])
  })

  it("are those that docs/architecture.md shows, from the top down", () => {
    const page = readFileSync(Path.join(root, "../docs/architecture.md"), "utf8")
    const shown = [...page.matchAll(/^\| (\d+) \| (.*?) \|/gmu)].map(([, floor, rooms = ""]) => [
      Number(floor),
      [...rooms.matchAll(/`src\/([^`]+)`/gu)].map(([, room]) => room).sort()
    ])
    expect(shown).toEqual(floors.map((rooms, i) => [i + 1, rooms.toSorted()]).toReversed())
  })

  it("reads every kind of import", () => {
    const imports = read()
    expect(imports.get("index.ts")).toContain("facade/SecureOpenAI.ts")
    expect([...imports.values()].flat()).toContain("call/openai-operations.json")
    expect([...imports.values()].flat().filter((each) => each.startsWith("effect/")).length).toBeGreaterThan(100)
  })
})
