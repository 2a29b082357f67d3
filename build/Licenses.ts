/** The licenses of the packages whose code the build takes into our files, as they ask to go with their code. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { OutputChunk } from "rolldown"

/** The packages whose modules are in the files, by their folders. */
const packagesIn = (chunks: ReadonlyArray<OutputChunk>): ReadonlyArray<string> => {
  const folders = new Set<string>()
  for (const id of chunks.flatMap(({ moduleIds }) => moduleIds)) {
    const folder = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id.replaceAll("\\", "/"))?.[0]
    if (folder !== undefined) folders.add(folder)
  }
  return [...folders].sort()
}

/** Name, version and license of each package in the files; throws where a package has no license file. */
export const licensesOf = (chunks: ReadonlyArray<OutputChunk>): string =>
  packagesIn(chunks)
    .map((folder) => {
      const { license, name, version } = JSON.parse(Fs.readFileSync(Path.join(folder, "package.json"), "utf8")) as {
        readonly [member: string]: unknown
      }
      const file = Fs.readdirSync(folder).find((each) => /^(licen[cs]e|copying)/i.test(each))
      if (file === undefined) throw new Error(`${String(name)} has no license file`)
      const text = Fs.readFileSync(Path.join(folder, file), "utf8").trim()
      return `${String(name)} ${String(version)} (${String(license)})\n\n${text}\n`
    })
    .join(`\n${"-".repeat(80)}\n\n`)
