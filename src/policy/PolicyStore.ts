/**
 * The policies as they were configured: read from a folder, a file or values, checked whole, and kept by id. Whatever is
 * wrong is said with its file, line and column; a set with one error is not loaded at all.
 *
 * @since 0.1.0
 */
import { type DocumentNode, evaluate as valueOf, parse as parseJson, type ValueNode } from "@humanwhocodes/momoa"
import * as Result from "effect/Result"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { canonicalize, snapshot } from "../CanonicalJson.ts"
import { Configuration } from "../Errors.ts"
import { type Diagnostic, type Place, showDiagnostic, showPlace } from "./Diagnostic.ts"
import { type Fault, showPath } from "./Fault.ts"
import { type Document, parse } from "./Mapl.ts"

/** Where policies come from: a folder or file by its path, a document, or documents. */
export type PolicySource = string | Document | ReadonlyArray<Document>

/**
 * A set of policies that fits together. `revision` is `sha-256:` and the base64url SHA-256 of its canonical JSON (RFC 8785),
 * an array sorted by id.
 *
 * @category models
 */
export interface PolicySet {
  readonly revision: string
  readonly count: number
  readonly has: (id: string) => boolean
  readonly find: (id: string) => Document | undefined
  /** Every id, in the order in which the documents were read. */
  readonly ids: () => Iterable<string>
  /** Where a part of a document stands, by the keys and indices that lead there; the nearest thing around it. */
  readonly locate: (id: string, path: ReadonlyArray<PropertyKey>) => Place
}

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

/** A document that is read but not checked, or why it is none. `locate` says where a part of it stands. */
interface Draft {
  readonly value: unknown
  readonly fault?: { readonly code: string; readonly message: string; readonly place: Place }
  readonly locate: (path: ReadonlyArray<PropertyKey>) => Place
}

const readPath = (path: string): ReadonlyArray<Draft> => {
  const stats = attempt(path, () => Fs.statSync(path))
  if (!stats.isDirectory()) return readFile(path)
  const files = jsonFiles(path)
  if (files.length === 0)
    throw new Configuration({
      message: `The policy folder ${path} holds no *.json file (*.cases.json do not count). Add a policy, or leave the option "policies" out.`
    })
  return files.flatMap(readFile)
}

/** Every policy file of a folder, in order of their names. Links are followed, into each folder once. */
const jsonFiles = (folder: string, visited = new Set<string>()): ReadonlyArray<string> => {
  const real = attempt(folder, () => Fs.realpathSync(folder))
  if (visited.has(real)) return []
  visited.add(real)
  return (
    attempt(folder, () => Fs.readdirSync(folder))
      // Hidden entries are a tool's own: .git, or the versions behind a mounted configuration map.
      .filter((name) => !name.startsWith("."))
      .sort()
      .flatMap((name) => {
        const path = Path.join(folder, name)
        if (attempt(path, () => Fs.statSync(path)).isDirectory()) return jsonFiles(path, visited)
        return name.endsWith(".json") && !name.endsWith(".cases.json") ? [path] : []
      })
  )
}

const readFile = (path: string): ReadonlyArray<Draft> => {
  const text = attempt(path, () => Fs.readFileSync(path, "utf8")).replace(/^\uFEFF/u, "")
  const lines = text.split(/\r\n|\n|\r/u)
  const place = ({ column, line }: { readonly line: number; readonly column: number }): Place => ({
    file: path,
    line,
    column,
    text: lines[line - 1] ?? ""
  })
  const broken = (code: string, message: string, at: { readonly line: number; readonly column: number }): Draft => ({
    value: undefined,
    fault: { code, message, place: place(at) },
    locate: () => place(at)
  })
  const tree = parseTree(text)
  if (Result.isFailure(tree)) return [broken("not_json", `it is not JSON: ${tree.failure.reason}`, tree.failure)]
  const { body } = tree.success
  const twice = ambiguousKey(body)
  if (twice !== undefined) return [broken("ambiguous_key", twice.reason, twice.loc.start)]
  const nodes = body.type === "Array" ? body.elements.map((element) => element.value) : [body]
  if (nodes.length === 0) return [broken("empty", "an empty array holds no policy", { line: 1, column: 1 })]
  return nodes.map((node) => ({ value: valueOf(node), locate: (keys) => place(locationOf(node, keys).start) }))
}

const readValues = (documents: ReadonlyArray<unknown>): ReadonlyArray<Draft> => {
  if (documents.length === 0)
    throw new Configuration({
      message: `The option "policies" is an empty array. Add a policy, or leave the option out.`
    })
  return documents.map((document, index) => {
    const place = { file: documents.length === 1 ? "policies" : `policies[${index}]`, line: 0, column: 0, text: "" }
    const locate = () => place
    const plain = snapshot(document)
    return Result.isFailure(plain)
      ? { value: undefined, fault: { code: "not_json", message: plain.failure, place }, locate }
      : { value: plain.success, locate }
  })
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

const parseTree = (
  text: string
): Result.Result<DocumentNode, { readonly line: number; readonly column: number; readonly reason: string }> => {
  try {
    return Result.succeed(parseJson(text))
  } catch (cause) {
    const { column, line } = { column: 1, line: 1, ...(typeof cause === "object" ? cause : {}) }
    const reason = cause instanceof Error ? cause.message.replace(/ ?\(\d+:\d+\)\.?$/u, "") : String(cause)
    return Result.fail({ line, column, reason })
  }
}

/** A key that parsers do not agree on. */
const ambiguousKey = (node: ValueNode): { readonly loc: ValueNode["loc"]; readonly reason: string } | undefined => {
  if (node.type === "Array") return firstOf(node.elements, (element) => ambiguousKey(element.value))
  if (node.type !== "Object") return undefined
  const seen = new Set<string>()
  return firstOf(node.members, ({ name, value }) => {
    const key = name.type === "String" ? name.value : name.name
    if (key === "__proto__") return { loc: name.loc, reason: "a key must not be __proto__" }
    if (seen.has(key)) return { loc: name.loc, reason: `the key ${JSON.stringify(key)} is there twice` }
    seen.add(key)
    return ambiguousKey(value)
  })
}

const firstOf = <A, B>(items: ReadonlyArray<A>, find: (item: A) => B | undefined): B | undefined => {
  for (const item of items) {
    const found = find(item)
    if (found !== undefined) return found
  }
  return undefined
}

/** Where the value at `path` stands: its key in an object, or the nearest thing around it. */
const locationOf = (root: ValueNode, path: ReadonlyArray<PropertyKey>): ValueNode["loc"] => {
  let node = root
  let loc = root.loc
  for (const step of path) {
    if (node.type === "Array" && typeof step === "number" && node.elements[step] !== undefined) {
      node = node.elements[step].value
      loc = node.loc
    } else if (node.type === "Object") {
      const member = node.members.find(({ name }) => (name.type === "String" ? name.value : name.name) === step)
      if (member === undefined) return loc
      node = member.value
      loc = member.name.loc
    } else return loc
  }
  return loc
}

// ---------------------------------------------------------------------------------------------------------------------
// Fitting together
// ---------------------------------------------------------------------------------------------------------------------

interface Placed {
  readonly document: Document
  readonly locate: Draft["locate"]
}

const assemble = (drafts: ReadonlyArray<Draft>): Result.Result<PolicySet, ReadonlyArray<Diagnostic>> => {
  const errors: Array<Diagnostic> = []
  const placed = new Map<string, Placed>()
  for (const { fault, locate, value } of drafts) {
    if (fault !== undefined) {
      errors.push({ severity: "error", path: "", ...fault })
      continue
    }
    const document = parse(value)
    if (Result.isFailure(document)) {
      errors.push(...document.failure.map((each) => faulty(each, value, locate)))
      continue
    }
    const { policy_id: id } = document.success
    const before = placed.get(id)
    if (before === undefined) placed.set(id, { document: document.success, locate })
    else
      errors.push({
        ...wrong("duplicate_id", locate, id, ["policy_id"]),
        message: `${JSON.stringify(id)} is there twice, first at ${showPlace(before.locate(["policy_id"]))}`
      })
  }
  errors.push(...missingParents(placed), ...cycles(placed))
  return errors.length > 0 ? Result.fail(errors) : Result.succeed(makeSet(placed))
}

const wrong = (
  code: string,
  locate: Draft["locate"],
  policy: string,
  path: ReadonlyArray<PropertyKey>
): Omit<Diagnostic, "message"> => ({ severity: "error", code, policy, path: "", place: locate(path) })

const faulty = (fault: Fault, value: unknown, locate: Draft["locate"]): Diagnostic => {
  const id = typeof value === "object" && value !== null && "policy_id" in value ? value.policy_id : undefined
  const isNameless = fault.path.length === 1 && fault.path[0] === "policy_id" && fault.reason === "missing key"
  return {
    severity: "error",
    code: fault.unknownKey ? "unknown_key" : isNameless ? "missing_id" : "invalid_value",
    policy: typeof id === "string" ? id : undefined,
    path: isNameless ? "" : showPath(fault.unknownKey ? fault.path.slice(0, -1) : fault.path),
    message: isNameless
      ? `no policy_id: say what the policy is bound to, such as "policy_id": "user:alice"`
      : fault.reason,
    excerpt: fault.excerpt,
    place: locate(fault.path)
  }
}

const missingParents = (placed: ReadonlyMap<string, Placed>): ReadonlyArray<Diagnostic> =>
  [...placed.values()].flatMap(({ document: { extends: parent, policy_id: id }, locate }) =>
    parent === undefined || placed.has(parent)
      ? []
      : [
          {
            ...wrong("missing_parent", locate, id, ["extends"]),
            message: `${id} extends ${parent}, which is not among the policies`
          }
        ]
  )

/** One error for each document whose `extends` closes a circle. */
const cycles = (placed: ReadonlyMap<string, Placed>): ReadonlyArray<Diagnostic> => {
  const done = new Set<string>()
  const errors: Array<Diagnostic> = []
  for (const start of placed.keys()) {
    const chain = new Set<string>()
    let id: string | undefined = start
    while (id !== undefined && !done.has(id)) {
      chain.add(id)
      const child: Placed | undefined = placed.get(id)
      const parent: string | undefined = child?.document.extends
      if (child !== undefined && parent !== undefined && chain.has(parent)) {
        errors.push({
          ...wrong("cycle", child.locate, id, ["extends"]),
          message: `${id} extends ${parent}, which extends ${id} in turn: a cycle`
        })
        break
      }
      id = parent
    }
    for (const each of chain) done.add(each)
  }
  return errors
}

const invalid = (errors: ReadonlyArray<Diagnostic>): Configuration =>
  new Configuration({
    message: `The policies do not load (${errors.length} ${errors.length === 1 ? "error" : "errors"}):\n${errors.map((error) => `  ${showDiagnostic(error)}`).join("\n")}`
  })

const makeSet = (placed: ReadonlyMap<string, Placed>): PolicySet => {
  const hash = Crypto.createHash("sha256").update("[")
  const ids = [...placed.keys()].sort()
  ids.forEach((id, index) => hash.update(`${index === 0 ? "" : ","}${canonicalize(placed.get(id)?.document)}`))
  return {
    revision: `sha-256:${hash.update("]").digest("base64url")}`,
    count: placed.size,
    has: (id) => placed.has(id),
    find: (id) => placed.get(id)?.document,
    ids: () => placed.keys(),
    locate: (id, path) => placed.get(id)?.locate(path) ?? { file: "", line: 0, column: 0, text: "" }
  }
}

/** The set without policies. */
export const empty: PolicySet = makeSet(new Map())
