/**
 * The parameters of the protected operations as the installed SDK's types have them, walked by the TypeScript compiler. Run it to
 * write them to `src/call/openai-parameters.json`, and which operation has which to `src/call/openai-operations.json`:
 * `node test/openaiParameters.ts`.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { join } from "node:path"
import { API, type Checker, type Type, TypeFlags, type TypeReference } from "typescript/unstable/sync"

export type Shape = "open" | { readonly [name: string]: Shape }

const root = fileURLToPath(new URL("..", import.meta.url))

/** What the request bodies of the operations are typed as. */
const source = `import type { OpenAI } from "openai"
import type { ResponseCompactParams, ResponseCreateParams } from "openai/resources/beta/responses/responses"
export type generate =
  | OpenAI.Chat.Completions.ChatCompletionCreateParams
  | OpenAI.Responses.ResponseCreateParams
  | OpenAI.Responses.ResponseCompactParams
  | ResponseCreateParams
  | ResponseCompactParams
export type complete = OpenAI.CompletionCreateParams
export type embed = OpenAI.EmbeddingCreateParams
export type All = generate | complete | embed
`
const operations = ["complete", "embed", "generate"] as const

/**
 * Every parameter, merged over the operations: members by name, `open` where the types let any key stand; and the names of each
 * operation's own.
 */
export const sdkParameters = (): {
  readonly parameters: Shape
  readonly operations: Readonly<Record<string, ReadonlyArray<string>>>
} => {
  mkdirSync(join(root, "node_modules/.cache"), { recursive: true })
  const folder = mkdtempSync(join(root, "node_modules/.cache/types-"))
  const compilerOptions = { module: "nodenext", strict: true, noEmit: true, skipLibCheck: true, types: [] }
  writeFileSync(join(folder, "all.ts"), source)
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["all.ts"] }))
  const api = new API({ cwd: folder })
  try {
    const project = api.updateSnapshot({ openProject: join(folder, "tsconfig.json") }).getProjects()[0]!
    const file = project.program.getSourceFile(join(folder, "all.ts"))!
    const shapeAt = (index: number): Shape =>
      sorted(shapeOf(project.checker.getTypeAtLocation(file.statements.at(index)!)!, project.checker) ?? {})
    const [generate = {}, complete = {}, embed = {}, parameters = {}] = [-4, -3, -2, -1].map(shapeAt)
    const shapes = { complete, embed, generate }
    return {
      parameters,
      operations: Object.fromEntries(operations.map((name) => [name, Object.keys(shapes[name])]))
    }
  } finally {
    api.close()
    rmSync(folder, { recursive: true })
  }
}

const shapeOf = (type: Type, checker: Checker, seen = new Map<Type, Shape>(), above: ReadonlyArray<Type> = []) => {
  const walk = (one: Type, inside: ReadonlyArray<Type>): Shape | undefined => {
    if (one.isUnionType() || one.isIntersectionType())
      return one.getTypes().reduce<Shape | undefined>((shape, part) => merged(shape, walk(part, inside)), undefined)
    if ((one.flags & (TypeFlags.Any | TypeFlags.Unknown)) !== 0) return "open"
    if ((one.flags & TypeFlags.Object) === 0) return undefined
    if (checker.isArrayType(one)) return walk(checker.getTypeArguments(one as TypeReference)[0]!, inside)
    // A type that holds itself, or any key, names nothing further.
    if (inside.includes(one) || checker.getIndexInfosOfType(one).length > 0) return "open"
    const known = seen.get(one)
    if (known !== undefined) return known
    const members = checker.getPropertiesOfType(one).map((member): readonly [string, Shape] => {
      const held = checker.getTypeOfSymbol(member)
      return [member.name, (held && walk(held, [...inside, one])) ?? {}]
    })
    const shape = Object.fromEntries(members)
    seen.set(one, shape)
    return shape
  }
  return walk(type, above)
}

const merged = (a: Shape | undefined, b: Shape | undefined): Shape | undefined => {
  if (a === undefined || b === undefined) return a ?? b
  if (a === "open" || b === "open") return "open"
  const both: Record<string, Shape> = { ...a }
  for (const [name, shape] of Object.entries(b)) both[name] = merged(both[name], shape) ?? shape
  return both
}

const sorted = (shape: Shape): Shape =>
  shape === "open"
    ? shape
    : Object.fromEntries(
        Object.entries(shape)
          .toSorted(([a], [b]) => (a < b ? -1 : 1))
          .map(([name, below]) => [name, sorted(below)])
      )

if (import.meta.main)
  for (const [name, value] of Object.entries(sdkParameters()))
    writeFileSync(join(root, `src/openai-${name}.json`), `${JSON.stringify(value, null, 2)}\n`)
