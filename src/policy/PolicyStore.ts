/**
 * The policies as they were configured: read from a folder, a file or values, checked whole, and kept as text, by id.
 * Whatever is wrong is said with its file, line and column; a set with one error is not loaded at all.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Buffer from "node:buffer"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { maximumDepth, snapshot } from "../base/CanonicalJson.ts"
import { Configuration } from "../call/Errors.ts"
import { type Diagnostic, type Place, showDiagnostic, showPlace } from "./Diagnostic.ts"
import { type Fault, nearest, showPath } from "./Fault.ts"
import { IdIndex } from "./IdIndex.ts"
import { type Document, isResourceKey, parse } from "./Mapl.ts"
import { type Flaw, lastAtMost, PolicyFile } from "./PolicyFile.ts"
import { countMembers, ordinary } from "./Shape.ts"

/** Where policies come from: a folder or file by its path, a document, or documents. */
export type PolicySource = string | Document | ReadonlyArray<Document>

/**
 * A set of policies that fits together. `revision` is `sha-256:` and a base64url SHA-256: of files, that of the lines
 * `<hex SHA-256 of the file>  <its path in the folder>` in byte order of the paths, each with a line feed, as
 * `sha256sum` prints them; of values, that of their JSON text as one array.
 *
 * @category models
 */
export interface PolicySet {
  readonly revision: string
  readonly count: number
  readonly has: (id: string) => boolean
  /** A document, read from its text each time: nobody else is given the same object. */
  readonly find: (id: string) => Document | undefined
  /** Every id, in the order in which the documents were read. */
  readonly ids: () => Iterable<string>
  /** Where a part of a document stands, by the keys and indices that lead there; the nearest thing around it. */
  readonly locate: (id: string, path: ReadonlyArray<PropertyKey>) => Place
}

/** How long the text of one document may be, in bytes of UTF-8. */
const maximumSize = 1024 * 1024

/** How many patterns one document may have. */
const maximumPatterns = 100_000

/**
 * Loads policies. A folder is read with its subfolders: every `*.json` but `*.cases.json`, one document or an array of
 * them each. The failure lists everything that is wrong.
 *
 * @category constructors
 */
export const load = (source: PolicySource): Result.Result<PolicySet, Configuration> =>
  Result.flatMap(
    attempted(() => diagnose(source)),
    (diagnosed) => Result.mapError(diagnosed, invalid)
  )

/**
 * Reads policies as {@link load} does; the failure is data, an error each. Throws {@link Configuration} where the source
 * cannot be read at all.
 *
 * @category constructors
 */
export const diagnose = (source: PolicySource): Result.Result<PolicySet, ReadonlyArray<Diagnostic>> =>
  assemble(typeof source === "string" ? readPath(source) : readValues(isDocuments(source) ? source : [source]))

/** The revision of a folder or file as it is now, whether it would load or not. */
export const revisionAt = (path: string): Result.Result<string, Configuration> =>
  attempted(() => readFiles(path, () => {}))

const attempted = <A>(read: () => A): Result.Result<A, Configuration> => {
  try {
    return Result.succeed(read())
  } catch (error) {
    if (error instanceof Configuration) return Result.fail(error)
    throw error
  }
}

const isDocuments = (source: Document | ReadonlyArray<Document>): source is ReadonlyArray<Document> =>
  Array.isArray(source)

// ---------------------------------------------------------------------------------------------------------------------
// Reading
// ---------------------------------------------------------------------------------------------------------------------

/** What was read: the files, the digest of their bytes, and why some of it is no policy. */
interface Source {
  readonly files: ReadonlyArray<PolicyFile>
  readonly revision: string
  readonly errors: ReadonlyArray<Diagnostic>
}

const readPath = (path: string): Source => {
  const files: Array<PolicyFile> = []
  const errors: Array<Diagnostic> = []
  const revision = readFiles(path, (file, bytes) => {
    if (Buffer.isUtf8(bytes)) files.push(PolicyFile.ofText(file, withoutMark(decode(bytes))))
    else errors.push(notJson("it is not JSON: it is not UTF-8", { file, line: 1, column: 1, text: "" }))
  })
  return { files, revision, errors }
}

/** Reads the policy files of a folder, or the one of a path; gives the revision of their bytes. */
const readFiles = (path: string, take: (file: string, bytes: Buffer.Buffer) => void): string => {
  const isFolder = attempt(path, () => Fs.statSync(path)).isDirectory()
  const paths = isFolder ? jsonFiles(path) : [path]
  if (paths.length === 0)
    throw new Configuration({
      message: `The policy folder ${path} holds no *.json file (*.cases.json do not count). Add a policy, or leave the option "policies" out.`
    })
  const digest = Crypto.createHash("sha256")
  for (const each of paths) {
    const bytes = attempt(each, () => readBytes(each))
    digest.update(checksumLine(bytes, isFolder ? Path.relative(path, each) : Path.basename(each)))
    take(each, bytes)
  }
  return revisionOf(digest)
}

const notJson = (message: string, place: Place): Diagnostic => ({
  severity: "error",
  code: "not_json",
  message,
  path: "",
  place
})

/** Every policy file of a folder, in byte order of their paths. Links are followed, into each folder once. */
const jsonFiles = (root: string): ReadonlyArray<string> => {
  const visited = new Set<string>()
  const files: Array<string> = []
  const visit = (folder: string): void => {
    const real = attempt(folder, () => Fs.realpathSync(folder))
    if (visited.has(real)) return
    visited.add(real)
    for (const name of attempt(folder, () => Fs.readdirSync(folder)).sort()) {
      // Hidden entries are a tool's own: .git, or the versions behind a mounted configuration map.
      if (name.startsWith(".")) continue
      const path = Path.join(folder, name)
      if (attempt(path, () => statThroughLink(path)).isDirectory()) visit(path)
      else if (name.endsWith(".json") && !name.endsWith(".cases.json")) files.push(path)
    }
  }
  visit(root)
  return files
    .map((path) => ({ path, bytes: Buffer.Buffer.from(path) }))
    .sort((a, b) => Buffer.Buffer.compare(a.bytes, b.bytes))
    .map(({ path }) => path)
}

const statThroughLink = (path: string): Fs.Stats => {
  const stats = Fs.statSync(path, { throwIfNoEntry: false })
  if (stats !== undefined) return stats
  throw new Error(`it is a link to ${Fs.readlinkSync(path)}, which does not exist`)
}

const readBytes = (path: string): Buffer.Buffer => {
  const stats = Fs.statSync(path)
  const { MAX_STRING_LENGTH: most } = Buffer.constants
  if (stats.isDirectory()) throw new Error("it is a folder")
  if (stats.size > most) throw new Error(`it has ${stats.size} bytes, and a file may have ${most}: split it`)
  return Fs.readFileSync(path)
}

/** A line as `sha256sum` prints it. */
const checksumLine = (bytes: Buffer.Buffer, path: string): string => {
  const name = path.replaceAll(Path.sep, "/")
  const isPlain = !/[\\\n]/u.test(name)
  const escaped = isPlain ? name : name.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")
  return `${isPlain ? "" : "\\"}${Crypto.hash("sha256", bytes, "hex")}  ${escaped}\n`
}

const revisionOf = (digest: Crypto.Hash): string => `sha-256:${digest.digest("base64url")}`

/** ASCII is kept outside of the heap, a byte each. */
const decode = (bytes: Buffer.Buffer): string => bytes.toString(Buffer.isAscii(bytes) ? "latin1" : "utf8")

const withoutMark = (text: string): string => (text.startsWith("\uFEFF") ? text.slice(1) : text)

const readValues = (documents: ReadonlyArray<unknown>): Source => {
  if (documents.length === 0)
    throw new Configuration({
      message: `The option "policies" is an empty array. Add a policy, or leave the option out.`
    })
  const nameOf = (index: number): string => (documents.length === 1 ? "policies" : `policies[${index}]`)
  const texts: Array<string> = []
  const indices: Array<number> = []
  const errors: Array<Diagnostic> = []
  documents.forEach((document, index) => {
    const plain = snapshot(document)
    if (Result.isSuccess(plain)) {
      texts.push(JSON.stringify(plain.success))
      indices.push(index)
      return
    }
    errors.push(notJson(plain.failure, { file: nameOf(index), line: 0, column: 0, text: "" }))
  })
  const file = PolicyFile.ofValues(texts, (index) => nameOf(indices[index]!))
  return {
    files: texts.length === 0 ? [] : [file],
    revision: revisionOf(Crypto.createHash("sha256").update(file.text)),
    errors
  }
}

const attempt = <A>(path: string, read: () => A): A => {
  try {
    return read()
  } catch (cause) {
    throw new Configuration({
      message: `The policies at ${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}. Set "policies" to a folder or file that exists and that this process may read.`,
      cause
    })
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Fitting together
// ---------------------------------------------------------------------------------------------------------------------

/** How many documents are parsed at a time. */
const batchSize = 64

/** Where documents stand: `ordinals` counts them over all files, by the number of their id; `firsts` are the files' own. */
interface Shelf {
  readonly ids: IdIndex
  readonly ordinals: ArrayLike<number>
  readonly files: ReadonlyArray<PolicyFile>
  readonly firsts: ReadonlyArray<number>
}

/** A shelf and who extends whom: `parents` is the number in `names` of what a document extends, -1 for nothing. */
interface Tree extends Shelf {
  readonly ordinals: Array<number>
  readonly firsts: Array<number>
  readonly names: IdIndex
  readonly parents: Array<number>
}

const assemble = ({ errors: unread, files, revision }: Source): Result.Result<PolicySet, ReadonlyArray<Diagnostic>> => {
  const errors: Array<Diagnostic> = [...unread]
  const tree: Tree = { ids: new IdIndex(), ordinals: [], files, firsts: [], names: new IdIndex(), parents: [] }
  let first = 0
  for (const file of files) {
    tree.firsts.push(first)
    for (let begin = 0; begin < file.count; begin += batchSize) {
      const end = Math.min(begin + batchSize, file.count)
      const values = file.values(begin, end)
      for (let index = begin; index < end; index++) {
        const value = values?.[index - begin]
        if (!isOrdinary(value, file, index) || !enter(tree, value, first + index))
          errors.push(...check(tree, file, index, first + index))
      }
    }
    if (file.flaw !== undefined) errors.push(flawed(file, file.flaw, 0))
    first += file.count
  }
  errors.push(...missingParents(tree), ...cycles(tree))
  return errors.length > 0 ? Result.fail(errors) : Result.succeed(makeSet(tree, revision))
}

/** Gives a document its place; false where its id is taken. */
const enter = ({ ids, names, ordinals, parents }: Tree, document: Document, ordinal: number): boolean => {
  if (ids.add(document.policy_id) !== ordinals.length) return false
  ordinals.push(ordinal)
  parents.push(document.extends === undefined ? -1 : names.add(document.extends))
  return true
}

/** True for a document that is right; of any other only a closer look tells. One that nests deep is not ordinary. */
const isOrdinary = (value: unknown, file: PolicyFile, index: number): value is Document =>
  // A UTF-16 code unit is at most three bytes of UTF-8, a pattern at least three characters.
  file.length(index) <= Math.min(maximumSize / 3, 3 * maximumPatterns) && ordinary(value) === file.members[index]

/** What is wrong with a document, which is entered where nothing is. */
const check = (tree: Tree, file: PolicyFile, index: number, ordinal: number): ReadonlyArray<Diagnostic> => {
  const text = file.slice(index)
  const value = parsed(text)
  const limit = overLimit(text, file.depths[index]!, value)
  if (limit !== undefined) return [{ ...wrong(limit.code, idOf(value), file.begin(index)), message: limit.message }]
  if (value === undefined || countMembers(value) !== file.members[index]) {
    const flaw = file.flawOf(index)
    if (flaw !== undefined) return [flawed(file, flaw, index)]
  }
  const document = parse(value)
  if (Result.isFailure(document)) return document.failure.map((fault) => faulty(fault, value, file, index))
  if (enter(tree, document.success, ordinal)) return []
  const { policy_id: id } = document.success
  const first = locate(tree, id, ["policy_id"])
  return [
    {
      ...wrong("duplicate_id", id, file.locate(index, ["policy_id"])),
      message: `${JSON.stringify(id)} is there twice, first at ${showPlace(first)}`
    }
  ]
}

/** The value of a JSON text; `undefined` where it is none. */
const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const overLimit = (
  text: string,
  depth: number,
  value: unknown
): { readonly code: string; readonly message: string } | undefined => {
  const id = idOf(value) ?? "this policy"
  const size = Buffer.Buffer.byteLength(text)
  if (size > maximumSize)
    return {
      code: "too_long",
      message: `${id} has ${size} bytes, and a policy may have ${maximumSize} (1 MiB): move a part of it to a policy that it extends`
    }
  if (depth > maximumDepth)
    return {
      code: "too_deep",
      message: `${id} is nested ${depth} levels deep, and a policy may have ${maximumDepth}: flatten its values`
    }
  const patterns = countPatterns(value)
  return patterns > maximumPatterns
    ? {
        code: "too_many_patterns",
        message: `${id} has ${patterns} patterns, and a policy may have ${maximumPatterns}: use wildcards, or move some to a policy that it extends`
      }
    : undefined
}

/** How many resource patterns a value has that may be a document. */
const countPatterns = (value: unknown): number => {
  const { attestations, constraints, denied_resources, resources } = membersOf(value)
  const scopes = Array.isArray(attestations) ? attestations.map((entry) => membersOf(entry)["resources"]) : []
  const { denied_parameters, parameters, ...others } = membersOf(constraints)
  return (
    [resources, denied_resources, ...scopes].reduce<number>(
      (sum, list) => sum + (Array.isArray(list) ? list.length : 0),
      0
    ) +
    Object.keys(membersOf(parameters)).length +
    Object.keys(membersOf(denied_parameters)).length +
    Object.keys(others).filter(isResourceKey).length
  )
}

const membersOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? { ...value } : {}

const idOf = (value: unknown): string | undefined => {
  const { policy_id: id } = membersOf(value)
  return typeof id === "string" ? id : undefined
}

const wrong = (code: string, policy: string | undefined, place: Place): Omit<Diagnostic, "message"> => ({
  severity: "error",
  code,
  policy,
  path: "",
  place
})

const flawed = (file: PolicyFile, { at, code, message }: Flaw, index: number): Diagnostic => ({
  severity: "error",
  code,
  message,
  path: "",
  place: file.place(at, index)
})

const faulty = (fault: Fault, value: unknown, file: PolicyFile, index: number): Diagnostic => {
  const isNameless = fault.path.length === 1 && fault.path[0] === "policy_id" && fault.reason === "missing key"
  return {
    severity: "error",
    code: fault.unknownKey ? "unknown_key" : isNameless ? "missing_id" : "invalid_value",
    policy: idOf(value),
    path: isNameless ? "" : showPath(fault.unknownKey ? fault.path.slice(0, -1) : fault.path),
    message: isNameless
      ? `no policy_id: say what the policy is bound to, such as "policy_id": "user:alice"`
      : fault.reason,
    excerpt: fault.excerpt,
    place: file.locate(index, fault.path)
  }
}

/** Among so many ids at most a near one is looked for. */
const mostCompared = 10_000

const missingParents = (tree: Tree): ReadonlyArray<Diagnostic> => {
  const { ids, names, parents } = tree
  const isMissing = Array.from(names.ids(), (id) => ids.number(id) === -1)
  if (!isMissing.includes(true)) return []
  const known = ids.size > mostCompared ? [] : [...ids.ids()]
  return parents.flatMap((name, number) => {
    if (name === -1 || !isMissing[name]) return []
    const id = ids.id(number)
    const message = `${id} extends ${names.id(name)}, which is not among the policies`
    const meant = nearest(names.id(name), known)
    const hint = meant === undefined || meant === id ? undefined : `did you mean ${JSON.stringify(meant)}?`
    return [{ ...wrong("missing_parent", id, locate(tree, id, ["extends"])), message, hint }]
  })
}

/** One error for each document whose `extends` closes a circle. */
const cycles = (tree: Tree): ReadonlyArray<Diagnostic> => {
  const { ids, names, parents } = tree
  const numbers = Array.from(names.ids(), (id) => ids.number(id))
  const parentOf = (number: number): number => numbers[parents[number]!] ?? -1
  const [fresh, inChain, done] = [0, 1, 2]
  const state = new Uint8Array(parents.length)
  const closing: Array<number> = []
  for (let start = 0; start < parents.length; start++) {
    let [last, next] = [-1, start]
    while (next !== -1 && state[next] === fresh) {
      state[next] = inChain
      last = next
      next = parentOf(next)
    }
    if (last !== -1 && state[next] === inChain) closing.push(last)
    for (let each = start; each !== -1 && state[each] === inChain; each = parentOf(each)) state[each] = done
  }
  return closing.map((number) => {
    const [id, parent] = [ids.id(number), names.id(parents[number]!)]
    const circle: Array<string> = []
    for (let each = parentOf(number); each !== number; each = parentOf(each)) circle.push(ids.id(each))
    circle.push(id, parent)
    const message = `${id} extends ${parent}, which closes a cycle: ${inShort(circle).join(" → ")}`
    return { ...wrong("cycle", id, locate(tree, id, ["extends"])), message }
  })
}

/** How many policies of a cycle are named: more than anybody nests. */
const mostNamed = 100

const inShort = (circle: ReadonlyArray<string>): ReadonlyArray<string> =>
  circle.length <= mostNamed
    ? circle
    : [...circle.slice(0, mostNamed - 2), `${circle.length - mostNamed} more`, ...circle.slice(-2)]

const invalid = (errors: ReadonlyArray<Diagnostic>): Configuration =>
  new Configuration({
    message: `The policies do not load (${errors.length} ${errors.length === 1 ? "error" : "errors"}):\n${errors.map((error) => `  ${showDiagnostic(error)}`).join("\n")}`
  })

// ---------------------------------------------------------------------------------------------------------------------
// The set
// ---------------------------------------------------------------------------------------------------------------------

/** The file that a document is in, and its index there. */
const standing = ({ files, firsts, ids, ordinals }: Shelf, id: string): readonly [PolicyFile, number] | undefined => {
  const ordinal = ordinals[ids.number(id)]
  if (ordinal === undefined) return undefined
  const file = lastAtMost(firsts, ordinal)
  return [files[file]!, ordinal - firsts[file]!]
}

const locate = (shelf: Shelf, id: string, path: ReadonlyArray<PropertyKey>): Place => {
  const found = standing(shelf, id)
  return found === undefined ? { file: "", line: 0, column: 0, text: "" } : found[0].locate(found[1], path)
}

const makeSet = ({ files, firsts, ids, ordinals }: Shelf, revision: string): PolicySet => {
  const shelf = { files, firsts, ids: ids.seal(), ordinals: new Uint32Array(ordinals) }
  return {
    revision,
    count: ids.size,
    has: (id) => ids.number(id) !== -1,
    find: (id) => {
      const [file, index] = standing(shelf, id) ?? []
      return file === undefined || index === undefined ? undefined : (JSON.parse(file.slice(index)) as Document)
    },
    ids: () => ids.ids(),
    locate: (id, path) => locate(shelf, id, path)
  }
}

/** The set without policies. */
export const empty: PolicySet = makeSet(
  { files: [], firsts: [], ids: new IdIndex(), ordinals: [] },
  revisionOf(Crypto.createHash("sha256"))
)
