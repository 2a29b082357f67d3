/**
 * The API reference: `npm run docs:api` writes `docs/api/*.md`, a page an entry, from the declarations that `tsc` emits and
 * their docstrings; `npm run docs:api -- --check` writes nothing and fails where the pages are not what the code gives.
 *
 * `docs/api/surface.json` holds a digest of each declaration without its comments, and one of the section "Unreleased" of the
 * changelog as it stood when the declarations last changed. Where a declaration changes, is added or is gone, and that section
 * is still the same, both commands fail: a change of the public API needs a line in the changelog.
 */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { parseAst } from "rolldown/parseAst"

const root = Path.resolve(import.meta.dirname, "..")
const pages = Path.join(root, "docs/api")
const surfaceFile = Path.join(pages, "surface.json")

/** Entries by what a program imports, and the names of their pages. */
const entries: ReadonlyArray<{ readonly specifier: string; readonly file: string; readonly page: string }> = [
  { specifier: "secure-openai", file: "index.d.ts", page: "secure-openai.md" },
  { specifier: "secure-openai/testing", file: "testing/index.d.ts", page: "testing.md" },
  { specifier: "secure-openai/ai", file: "ai/index.d.ts", page: "ai.md" }
]

// ---------------------------------------------------------------------------------------------------------------------
// Declarations
// ---------------------------------------------------------------------------------------------------------------------

/** A declaration as it is emitted. */
interface Declaration {
  readonly name: string
  readonly exported: boolean
  readonly doc: string
  readonly text: string
}

/** Where a name of a module comes from: a file below the folder of declarations, and its name there; `*` for all of them. */
interface Origin {
  readonly file: string
  readonly name: string
}

interface Module {
  /** The docstring at the top of the file. */
  readonly header: string
  readonly declarations: ReadonlyArray<Declaration>
  readonly exports: ReadonlyMap<string, Origin>
  readonly imports: ReadonlyMap<string, Origin>
}

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [member: string]: unknown
}

const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && typeof Reflect.get(value, "type") === "string"

const nodes = (value: unknown): ReadonlyArray<Node> => (Array.isArray(value) ? value.filter(isNode) : [])
const nameOf = (value: unknown): string => (isNode(value) ? String(value["name"] ?? value["value"]) : "")

/** The text of a docstring that ends right before a place; "" where there is none. */
const docBefore = (text: string, at: number): string => {
  const before = text.slice(0, at).trimEnd()
  if (!before.endsWith("*/")) return ""
  const start = before.lastIndexOf("/*")
  return before.startsWith("/**", start) ? docText(before.slice(start)) : ""
}

const docText = (comment: string): string =>
  comment
    .replace(/^\/\*\*\s?|\s*\*\/$/gu, "")
    .split("\n")
    .map((line) => line.replace(/^\s*\* ?/u, ""))
    .join("\n")
    .replaceAll(/\{@link (?:[^}|]*\|)?\s*([^}]+)\}/gu, "`$1`")
    .replaceAll(/^@category .*$\n?/gmu, "")
    .replaceAll(/^@example *$/gmu, "For example:\n")
    .trim()

/** Without what is no part of a type for others: private members, and what stands in the file for its maker's sake. */
const publicText = (text: string): string =>
  text
    .replace(/^export /u, "")
    .replace(/^declare /u, "")
    .replaceAll(/^(?:[ \t]*\/\*\*(?:(?!\*\/)[^])*\*\/\n)?[ \t]*(?:#private;|private [^\n]*;)\n/gmu, "")
    .replaceAll(/import\("\.[^"]*"\)\./gu, "")

const readModule = (folder: string, file: string): Module => {
  const text = Fs.readFileSync(Path.join(folder, file), "utf8")
  const relative = (specifier: unknown): string | undefined => {
    const target = nameOf(specifier)
    if (!target.startsWith(".")) return undefined
    return Path.join(Path.dirname(file), target.replace(/\.(?:ts|js)$/u, ".d.ts"))
  }
  const declarations: Array<Declaration> = []
  const exports = new Map<string, Origin>()
  const imports = new Map<string, Origin>()
  const program: unknown = parseAst(text, { lang: "dts" }, file)
  for (const node of nodes(isNode(program) ? program["body"] : [])) {
    const from = relative(node["source"])
    if (node.type === "ImportDeclaration") {
      if (from === undefined) continue
      for (const each of nodes(node["specifiers"]))
        imports.set(nameOf(each["local"]), {
          file: from,
          name: each.type === "ImportNamespaceSpecifier" ? "*" : nameOf(each["imported"])
        })
    } else if (node.type === "ExportAllDeclaration") {
      if (from === undefined || !isNode(node["exported"])) throw new Error(`${file}: export * without a name`)
      exports.set(nameOf(node["exported"]), { file: from, name: "*" })
    } else {
      for (const each of nodes(node["specifiers"]))
        exports.set(
          nameOf(each["exported"]),
          from === undefined
            ? (imports.get(nameOf(each["local"])) ?? { file, name: nameOf(each["local"]) })
            : { file: from, name: nameOf(each["local"]) }
        )
      const declared = node.type === "ExportNamedDeclaration" ? node["declaration"] : node
      if (!isNode(declared)) continue
      const named = declared["id"] ?? nodes(declared["declarations"])[0]?.["id"]
      if (!isNode(named)) continue
      const exported = node.type === "ExportNamedDeclaration"
      const name = nameOf(named)
      declarations.push({
        name,
        exported,
        doc: docBefore(text, node.start),
        text: publicText(text.slice(node.start, node.end))
      })
      if (exported) exports.set(name, { file, name })
    }
  }
  const header = /^\s*(\/\*\*[^]*?\*\/)/u.exec(text)?.[1] ?? ""
  return { header: docText(header), declarations, exports, imports }
}

// ---------------------------------------------------------------------------------------------------------------------
// Entries
// ---------------------------------------------------------------------------------------------------------------------

/** What one name of an entry is: all that is declared under it. */
interface Item {
  readonly name: string
  readonly doc: string
  readonly signature: string
}

const withoutComments = (text: string): string =>
  text.replaceAll(/\/\*\*(?:(?!\*\/)[^])*\*\//gu, "").replaceAll(/\s+/gu, " ")

class Entry {
  readonly #modules = new Map<string, Module>()
  readonly #folder: string
  readonly header: string
  /** What the entry exports, by name; and what that uses, which has no name for a program. */
  readonly exported: ReadonlyArray<Item>
  readonly used: ReadonlyArray<Item>

  /** What is on this entry's page, by place of declaration and name there. */
  readonly listed: ReadonlySet<string>

  /** `elsewhere` is what another entry's page lists already. */
  constructor(folder: string, file: string, elsewhere: ReadonlySet<string>) {
    this.#folder = folder
    const entry = this.#module(file)
    this.header = entry.header
    const found = new Map<string, Origin>()
    for (const [name, origin] of entry.exports) {
      const { file: from, name: there } = this.#resolve(origin)
      if (there !== "*") found.set(name, { file: from, name: there })
      else for (const [inner, its] of this.#module(from).exports) found.set(`${name}.${inner}`, this.#resolve(its))
    }
    this.exported = [...found]
      .map(([name, origin]) => this.#item(name, origin))
      .sort((a, b) => (a.name.toLowerCase() < b.name.toLowerCase() ? -1 : 1))
    const seen = new Set([...found.values()].map(({ file: from, name }) => `${from}#${name}`))
    const waiting = [...found.values()]
    const used: Array<Item> = []
    for (const origin of waiting)
      for (const next of this.#uses(origin)) {
        const key = `${next.file}#${next.name}`
        if (seen.has(key) || elsewhere.has(key)) continue
        seen.add(key)
        waiting.push(next)
        used.push(this.#item(next.name, next))
      }
    this.listed = seen
    this.used = used.sort((a, b) => (a.name.toLowerCase() < b.name.toLowerCase() ? -1 : 1))
  }

  #module(file: string): Module {
    const known = this.#modules.get(file)
    if (known !== undefined) return known
    const read = readModule(this.#folder, file)
    this.#modules.set(file, read)
    return read
  }

  /** Where a name is declared, through the modules that hand it on. */
  #resolve(origin: Origin): Origin {
    if (origin.name === "*") return origin
    const next = this.#module(origin.file).exports.get(origin.name)
    return next === undefined || (next.file === origin.file && next.name === origin.name) ? origin : this.#resolve(next)
  }

  #declarations({ file, name }: Origin): ReadonlyArray<Declaration> {
    return this.#module(file).declarations.filter((each) => each.name === name || each.name === `${name}_base`)
  }

  #item(name: string, origin: Origin): Item {
    const declared = this.#declarations(origin)
    if (declared.length === 0) throw new Error(`${origin.file} does not declare ${origin.name}`)
    return {
      name,
      doc: declared.map(({ doc }) => doc).find((doc) => doc !== "") ?? "",
      signature: declared.map(({ text }) => text).join("\n")
    }
  }

  /** What of our own a declaration uses: names of its module, and those that this imports. */
  #uses(origin: Origin): ReadonlyArray<Origin> {
    const { declarations, imports } = this.#module(origin.file)
    const text = withoutComments(
      this.#declarations(origin)
        .map((each) => each.text)
        .join("\n")
    ).replaceAll(/"[^"]*"/gu, "")
    // A word before a colon is a member's or a parameter's name; one after a dot is another module's.
    const words = new Set(
      text.match(/(?<![\p{ID_Continue}$.])[\p{ID_Start}_$][\p{ID_Continue}$]*(?![\p{ID_Continue}$]|\s*\??:)/gu)
    )
    const used: Array<Origin> = []
    for (const word of words) {
      const imported = imports.get(word)
      if (imported !== undefined) {
        if (imported.name !== "*") used.push(this.#resolve(imported))
        else
          for (const [, member = ""] of text.matchAll(new RegExp(String.raw`\b${word}\.(\w+)`, "gu")))
            used.push(this.#resolve({ file: imported.file, name: member }))
      } else if (word !== origin.name && !word.endsWith("_base") && declarations.some(({ name }) => name === word))
        used.push({ file: origin.file, name: word })
    }
    return used
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Pages
// ---------------------------------------------------------------------------------------------------------------------

const section = ({ doc, name, signature }: Item): string =>
  [`### ${name}`, doc, `\`\`\`ts\n${signature}\n\`\`\``].filter((part) => part !== "").join("\n\n")

/** The headings' anchors, in order: where two read alike, the later ones are numbered. */
const anchorsOf = (names: ReadonlyArray<string>): ReadonlyArray<string> => {
  const counts = new Map<string, number>()
  return names.map((name) => {
    const anchor = name.toLowerCase().replaceAll(".", "")
    const earlier = counts.get(anchor) ?? 0
    counts.set(anchor, earlier + 1)
    return earlier === 0 ? anchor : `${anchor}-${earlier}`
  })
}

const pageOf = (specifier: string, { exported, header, used }: Entry): string => {
  const anchors = anchorsOf(exported.map(({ name }) => name))
  const contents = exported.map(({ name }, i) => `[${name}](#${anchors[i]})`).join(" · ")
  const others =
    used.length === 0 ? [] : ["## Types that these use", "A program cannot import these by name.", ...used.map(section)]
  return `${[
    `# ${specifier}`,
    "Made by `npm run docs:api` from the docstrings; do not edit.",
    header,
    ...(specifier === "secure-openai"
      ? []
      : ["Types that are not on this page are on [that of `secure-openai`](secure-openai.md)."]),
    "## Exports",
    contents,
    ...exported.map(section),
    ...others
  ].join("\n\n")}\n`
}

const digest = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 16)

interface Surface {
  /** Digest of the changelog's section "Unreleased". */
  readonly changelog: string
  /** By entry and name, the digest of what is declared, without comments. */
  readonly declarations: Readonly<Record<string, string>>
}

const surfaceOf = (all: ReadonlyMap<string, Entry>): Surface["declarations"] =>
  Object.fromEntries(
    [...all].flatMap(([specifier, { exported, used }]) =>
      [...exported, ...used].map(({ name, signature }) => [`${specifier} ${name}`, digest(withoutComments(signature))])
    )
  )

const unreleased = (): string => {
  const text = Fs.readFileSync(Path.join(root, "CHANGELOG.md"), "utf8")
  return digest(/^## Unreleased\n([^]*?)(?=^## |$(?![^]))/mu.exec(text)?.[1] ?? "")
}

const changes = (before: Surface["declarations"], after: Surface["declarations"]): ReadonlyArray<string> => [
  ...Object.keys(after)
    .filter((key) => before[key] !== after[key])
    .map((key) => `${key} ${before[key] === undefined ? "is new" : "has changed"}`),
  ...Object.keys(before)
    .filter((key) => after[key] === undefined)
    .map((key) => `${key} is gone`)
]

/** Runs `tsc` for the declarations alone, into a folder that is removed afterwards. */
const emitted = <A>(use: (folder: string) => A): A => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-api-"))
  try {
    const tsc = Path.join(root, "node_modules/typescript/bin/tsc")
    const options = ["-p", "tsconfig.build.json", "--outDir", folder, "--declarationMap", "false"]
    execFileSync(process.execPath, [tsc, ...options], { cwd: root, stdio: "inherit" })
    return use(folder)
  } finally {
    Fs.rmSync(folder, { recursive: true, force: true })
  }
}

const fail = (message: string): never => {
  console.error(message)
  process.exit(1)
}

const isCheck = process.argv.includes("--check")
const all = emitted((folder) => {
  const made = new Map<string, Entry>()
  const listed = new Set<string>()
  for (const { file, specifier } of entries) {
    const entry = new Entry(folder, file, listed)
    made.set(specifier, entry)
    for (const key of entry.listed) listed.add(key)
  }
  return made
})
const read = (file: string): string => (Fs.existsSync(file) ? Fs.readFileSync(file, "utf8") : "")
const before = JSON.parse(read(surfaceFile) || `{"changelog":"","declarations":{}}`) as Surface
const declarations = surfaceOf(all)
const changed = changes(before.declarations, declarations)
if (changed.length > 0 && before.changelog === unreleased())
  fail(
    `The public API changed, and the section "Unreleased" of CHANGELOG.md did not:\n  ${changed.join("\n  ")}\nAdd a line there, then run npm run docs:api.`
  )
const surface: Surface = changed.length > 0 ? { changelog: unreleased(), declarations } : before
const wanted = new Map(
  entries.map(({ page, specifier }) => [Path.join(pages, page), pageOf(specifier, all.get(specifier)!)])
).set(surfaceFile, `${JSON.stringify(surface, undefined, 2)}\n`)
const stale = [...wanted].filter(([file, text]) => read(file) !== text).map(([file]) => Path.relative(root, file))
if (isCheck) {
  if (stale.length > 0) fail(`Not what the code gives: ${stale.join(", ")}. Run npm run docs:api.`)
  console.log("The API reference is what the code gives.")
} else {
  Fs.mkdirSync(pages, { recursive: true })
  for (const [file, text] of wanted) Fs.writeFileSync(file, text)
  console.log(stale.length === 0 ? "Nothing changed." : `Written: ${stale.join(", ")}`)
}
