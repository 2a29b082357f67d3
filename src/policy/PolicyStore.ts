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
import { describe, type Document, type Fault, parse } from "./Mapl.ts"

/** Where policies come from: a folder or file by its path, a document, or documents. */
export type PolicySource = string | Document | ReadonlyArray<Document>

/**
 * A set of policies that fits together. `revision` is `sha-256:` and the base64url SHA-256 of its canonical JSON (RFC 8785),
 * an array sorted by id.
 *
 * @category models
 */
export interface PolicySet {
  readonly documents: ReadonlyMap<string, Document>
  readonly revision: string
  readonly count: number
}

/**
 * Loads policies. A folder is read with its subfolders: every `*.json` but `*.cases.json`, one document or an array of
 * them each. The failure lists everything that is wrong.
 *
 * @category constructors
 */
export const load = (source: PolicySource): Result.Result<PolicySet, Configuration> => {
  try {
    const drafts = typeof source === "string" ? readPath(source) : readValues(isDocuments(source) ? source : [source])
    return Result.succeed(assemble(drafts))
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

/** A document that is read but not checked. `locate` says where a part of it stands. */
interface Draft {
  readonly value: unknown
  readonly locate: (path: ReadonlyArray<PropertyKey>) => string
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
  const text = attempt(path, () => Fs.readFileSync(path, "utf8"))
  const tree = parseTree(path, text)
  const place = (node: ValueNode["loc"]): string => `${path}:${node.start.line}:${node.start.column}`
  const twice = ambiguousKey(tree.body)
  if (twice !== undefined) throw invalid([`${place(twice.loc)}: ${twice.reason}`])
  const nodes = tree.body.type === "Array" ? tree.body.elements.map((element) => element.value) : [tree.body]
  if (nodes.length === 0) throw invalid([`${path}:1:1: an empty array holds no policy`])
  return nodes.map((node) => ({ value: valueOf(node), locate: (keys) => place(locationOf(node, keys)) }))
}

const readValues = (documents: ReadonlyArray<unknown>): ReadonlyArray<Draft> => {
  if (documents.length === 0)
    throw new Configuration({
      message: `The option "policies" is an empty array. Add a policy, or leave the option out.`
    })
  return documents.map((document, index) => {
    const name = documents.length === 1 ? "policies" : `policies[${index}]`
    const plain = snapshot(document)
    if (Result.isFailure(plain)) throw invalid([`${name}: ${plain.failure}`])
    return { value: plain.success, locate: () => name }
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

const parseTree = (path: string, text: string): DocumentNode => {
  try {
    return parseJson(text.startsWith("\uFEFF") ? text.slice(1) : text)
  } catch (cause) {
    const { column, line } = { column: 1, line: 1, ...(typeof cause === "object" ? cause : {}) }
    const reason = cause instanceof Error ? cause.message.replace(/ ?\(\d+:\d+\)\.?$/u, "") : String(cause)
    throw invalid([`${path}:${line}:${column}: it is not JSON: ${reason}`])
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

const assemble = (drafts: ReadonlyArray<Draft>): PolicySet => {
  const errors: Array<string> = []
  const placed = new Map<string, Placed>()
  for (const { locate, value } of drafts) {
    const document = parse(value)
    if (Result.isFailure(document)) {
      errors.push(...document.failure.map((fault) => `${locate(fault.path)}: ${explain(fault)}`))
      continue
    }
    const { policy_id: id } = document.success
    const before = placed.get(id)
    if (before === undefined) placed.set(id, { document: document.success, locate })
    else
      errors.push(
        `${locate(["policy_id"])}: ${JSON.stringify(id)} is there twice, first at ${before.locate(["policy_id"])}`
      )
  }
  errors.push(...missingParents(placed), ...cycles(placed))
  if (errors.length > 0) throw invalid(errors)
  return makeSet(new Map([...placed].map(([id, { document }]) => [id, document])))
}

const explain = (fault: Fault): string =>
  fault.path.length === 1 && fault.path[0] === "policy_id" && fault.reason === "missing key"
    ? `no policy_id: say what the policy is bound to, such as "policy_id": "user:alice"`
    : describe(fault)

const missingParents = (placed: ReadonlyMap<string, Placed>): ReadonlyArray<string> =>
  [...placed.values()].flatMap(({ document: { extends: parent, policy_id: id }, locate }) =>
    parent === undefined || placed.has(parent)
      ? []
      : [`${locate(["extends"])}: ${id} extends ${parent}, which is not among the policies`]
  )

/** One error for each document whose `extends` closes a circle. */
const cycles = (placed: ReadonlyMap<string, Placed>): ReadonlyArray<string> => {
  const done = new Set<string>()
  const errors: Array<string> = []
  for (const start of placed.keys()) {
    const chain = new Set<string>()
    let id: string | undefined = start
    while (id !== undefined && !done.has(id)) {
      chain.add(id)
      const child: Placed | undefined = placed.get(id)
      const parent: string | undefined = child?.document.extends
      if (child !== undefined && parent !== undefined && chain.has(parent)) {
        errors.push(`${child.locate(["extends"])}: ${id} extends ${parent}, which extends ${id} in turn: a cycle`)
        break
      }
      id = parent
    }
    for (const each of chain) done.add(each)
  }
  return errors
}

const invalid = (errors: ReadonlyArray<string>): Configuration =>
  new Configuration({
    message: `The policies do not load (${errors.length} ${errors.length === 1 ? "error" : "errors"}):\n${errors.map((error) => `  ${error}`).join("\n")}`
  })

const makeSet = (documents: ReadonlyMap<string, Document>): PolicySet => {
  const hash = Crypto.createHash("sha256").update("[")
  const ids = [...documents.keys()].sort()
  ids.forEach((id, index) => hash.update(`${index === 0 ? "" : ","}${canonicalize(documents.get(id))}`))
  return { documents, revision: `sha-256:${hash.update("]").digest("base64url")}`, count: documents.size }
}

/** The set without policies. */
export const empty: PolicySet = makeSet(new Map())
