/**
 * The reading of policies, from files or values: their texts, and the digest of their bytes.
 */
import * as Result from "effect/Result"
import * as Buffer from "node:buffer"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { snapshot } from "../base/CanonicalJson.ts"
import { Configuration } from "../call/Errors.ts"
import type { Diagnostic, SourcePlace } from "./Diagnostic.ts"
import { PolicyFile } from "./PolicyFile.ts"

/** What was read: the files, the digest of their bytes, and why some of it is no policy. */
export interface ReadPolicies {
  readonly files: ReadonlyArray<PolicyFile>
  readonly revision: string
  readonly errors: ReadonlyArray<Diagnostic>
}

/** Reads the policy files of a folder, or one file. Throws `Configuration` where the file system does not let it. */
export const readPath = (path: string): ReadPolicies => {
  const files: Array<PolicyFile> = []
  const errors: Array<Diagnostic> = []
  const revision = readFiles(path, (file, bytes) => {
    if (Buffer.isUtf8(bytes)) files.push(PolicyFile.ofText(file, withoutMark(decode(bytes))))
    else errors.push(notJson("it is not JSON: it is not UTF-8", { file, line: 1, column: 1, text: "" }))
  })
  return { files, revision, errors }
}

/** Reads the policy files of a folder, or the one of a path; gives the revision of their bytes. */
export const readFiles = (path: string, take: (file: string, bytes: Buffer.Buffer) => void): string => {
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

const notJson = (message: string, place: SourcePlace): Diagnostic => ({
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

/** A revision as text: `sha-256:` and the digest in base64url. */
export const revisionOf = (digest: Crypto.Hash): string => `sha-256:${digest.digest("base64url")}`

/** ASCII is kept outside of the heap, a byte each. */
const decode = (bytes: Buffer.Buffer): string => bytes.toString(Buffer.isAscii(bytes) ? "latin1" : "utf8")

const withoutMark = (text: string): string => (text.startsWith("\uFEFF") ? text.slice(1) : text)

/** Takes documents that the program passes as values, as their JSON texts. Throws `Configuration` for an empty list. */
export const readValues = (documents: ReadonlyArray<unknown>): ReadPolicies => {
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
