/** What the `openai` package's own types name as models. */
import * as Fs from "node:fs"
import * as Path from "node:path"

/**
 * What looks like a model's name and is none: the voice designer's versions. `auto` would be known as a model, though other
 * servers give it another meaning.
 */
const noModels = new Map([["voices.model", new Set(["auto", "2026-10-08"])]])

/**
 * Every string that a union of model names has, with its places: the type's name (`ChatModel`), or the module's and the
 * property's (`completions.model`). A union of model names is what a `…Model`, `…Models`, `model` or `models` is, at any
 * depth, and any other that has one of the names found so.
 */
export const modelNames = (packageFolder: string): ReadonlyMap<string, ReadonlySet<string>> => {
  const unions = Fs.readdirSync(packageFolder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".d.ts") && !file.startsWith("src"))
    .flatMap((file) => unionsOf(file, Fs.readFileSync(Path.join(packageFolder, file), "utf8")))
  const names = new Map<string, Set<string>>()
  const add = ({ literals, place }: Union): void => {
    for (const literal of literals)
      if (noModels.get(place)?.has(literal) !== true) names.set(literal, (names.get(literal) ?? new Set()).add(place))
  }
  const [explicit, others] = [true, false].map((is) => unions.filter(({ ofModels }) => ofModels === is))
  explicit!.forEach(add)
  const found = new Set(names.keys())
  others!.filter(({ literals }) => literals.some((literal) => found.has(literal))).forEach(add)
  return names
}

interface Union {
  readonly place: string
  readonly ofModels: boolean
  readonly literals: ReadonlyArray<string>
}

const unionsOf = (file: string, source: string): ReadonlyArray<Union> => {
  const code = source
    .replaceAll(/\/\*.*?\*\//gsu, "")
    .replaceAll(/\/\/.*$/gmu, "")
    .replaceAll("string & {}", "string")
  return [...code.matchAll(/\b(type\s+)?(\w+)\??\s*[:=]\s*([^;{}]*['"][^;{}]*);/gu)].map(
    ([, type, name = "", union = ""]) => ({
      place: type === undefined ? `${Path.basename(file, ".d.ts")}.${name}` : name,
      ofModels: /models?$/iu.test(name),
      literals: [...union.matchAll(/(['"])(.*?)\1/gu)].map(([, , literal]) => literal!)
    })
  )
}
