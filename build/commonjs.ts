/**
 * What `require("secure-openai")` gets, in `dist/cjs`: our modules and the ES-only packages below them in CommonJS files, one
 * an entry over one that both share, with `openai` left to the app, so that client and errors are of the classes that the app
 * requires. Beside them their types, and the licenses of what they contain. Runs after `tsc`, which emits the types.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { type OutputChunk, rolldown } from "rolldown"
import { licensesOf } from "./Licenses.ts"

const root = Path.resolve(import.meta.dirname, "..")
const dist = Path.join(root, "dist")
const target = Path.join(dist, "cjs")

/** Entries, by the path of their source below `src` and of what they become below `dist/cjs`, without extensions. */
const entries = ["index", "testing/index"]

/** Packages that have CommonJS files of their own, subpaths included; all others are ES-only, and are taken in. */
const external = /^(?:node:.*|(?:openai|@humanwhocodes\/momoa|lru-cache|re2js)(?:\/.*)?)$/

const bundle = async (): Promise<ReadonlyArray<OutputChunk>> => {
  const build = await rolldown({
    cwd: root,
    input: Object.fromEntries(entries.map((entry) => [entry, `src/${entry}.ts`])),
    platform: "node",
    external
  })
  const { output } = await build.write({
    dir: target,
    format: "cjs",
    exports: "named",
    entryFileNames: "[name].cjs",
    chunkFileNames: "[name].cjs",
    codeSplitting: { groups: [{ name: "library" }] },
    comments: { annotation: false, jsdoc: false, legal: true },
    sourcemap: true,
    // Our sources are in the package; of those of other packages only names and lines are told.
    sourcemapExcludeSources: true
  })
  await build.close()
  return output.filter((file) => file.type === "chunk")
}

/** A relative specifier in an emitted declaration, in each way that `tsc` writes one. */
const specifier = /((?:\bfrom|\bimport\()\s*")(\.{1,2}\/[^"]+)\.(?:ts|js)"/g

/** Copies the declarations that the entries reach, with names by which a CommonJS module finds them; gives their text. */
const declare = (): string => {
  const waiting = entries.map((entry) => `${entry}.d.ts`)
  const texts = new Map<string, string>()
  for (const path of waiting) {
    if (texts.has(path)) continue
    const text = Fs.readFileSync(Path.join(dist, path), "utf8")
      .replace(/^\/\/# sourceMappingURL=.*\n?/m, "")
      // What a module is imported for, and not for its names, is no part of the types.
      .replace(/^import "[^"]*";?\n/gm, "")
      .replace(specifier, (_all, before: string, named: string) => {
        waiting.push(Path.join(Path.dirname(path), `${named}.d.ts`))
        return `${before}${named}.cjs"`
      })
    texts.set(path, text)
    write(path.replace(/\.ts$/, ".cts"), text)
  }
  return [...texts.values()].join("\n")
}

/**
 * For `moduleResolution: node10`, the default of `module: commonjs` up to TypeScript 5.9, which knows no `exports` and so
 * does not find `effect/Schema`: declares such modules as the files that they are. Only that resolution reads these files.
 */
const declareForNode10 = (declarations: string): void => {
  const modules = new Set([...declarations.matchAll(/"effect\/([^"]+)"/g)].map(([, module = ""]) => module))
  const ambient = [...modules]
    .sort()
    .map((module) => `declare module "effect/${module}" {\n  export * from "effect/dist/${module}"\n}\n`)
  write("effect.node10.d.ts", ambient.join(""))
  for (const entry of entries) {
    const folder = Path.dirname(entry)
    const reference = `/// <reference path="${Path.relative(folder, "effect.node10.d.ts")}" />\n`
    write(`${folder}/node10.d.cts`, `${reference}export * from "./${Path.basename(entry)}.cjs"\n`)
  }
}

const write = (path: string, text: string): void => {
  const file = Path.join(target, path)
  Fs.mkdirSync(Path.dirname(file), { recursive: true })
  Fs.writeFileSync(file, text)
}

write("LICENSES.txt", licensesOf(await bundle()))
declareForNode10(declare())
