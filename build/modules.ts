/**
 * What `import "secure-openai"` and the command get, in `dist`: ES modules, one an entry over files that they share. Node reads
 * a few files instead of two hundred, and parses no comments. Small packages and what only the command needs are taken in.
 * `effect` and `openai` stay the app's, since services, layers and errors are of the app's classes; packages that read
 * untrusted text (`jose`, `re2js`, …) stay dependencies, so that an app's audit sees them and can update them. Runs after
 * `tsc`, which emits the types.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { type OutputChunk, rolldown } from "rolldown"
import { licensesOf } from "./Licenses.ts"

const root = Path.resolve(import.meta.dirname, "..")
const dist = Path.join(root, "dist")

/** Entries, by the path of their source below `src` and of what they become below `dist`, without extensions. */
const entries = ["index", "testing/index", "ai/index", "cli/main"]

const { dependencies, peerDependencies } = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8")) as {
  readonly dependencies: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
}
const installed = [...Object.keys(dependencies), ...Object.keys(peerDependencies)]
const isExternal = (id: string): boolean =>
  id.startsWith("node:") || installed.some((name) => id === name || id.startsWith(`${name}/`))

const bundle = async (): Promise<ReadonlyArray<OutputChunk>> => {
  const build = await rolldown({
    cwd: root,
    input: Object.fromEntries(entries.map((entry) => [entry, `src/${entry}.ts`])),
    platform: "node",
    external: isExternal
  })
  const { output } = await build.write({
    dir: dist,
    format: "esm",
    entryFileNames: "[name].js",
    chunkFileNames: "chunks/[name].js",
    // Each entry imports this file first: an old Node is refused before it reads what it cannot run.
    codeSplitting: { groups: [{ name: "NodeVersion", test: /base\/NodeVersion\.ts$/, priority: 1 }] },
    comments: { annotation: true, jsdoc: false, legal: true },
    sourcemap: true,
    // Our sources are in the package; of those of other packages only names and lines are told.
    sourcemapExcludeSources: true
  })
  await build.close()
  return output.filter((file) => file.type === "chunk")
}

Fs.writeFileSync(Path.join(dist, "LICENSES.txt"), licensesOf(await bundle()))
