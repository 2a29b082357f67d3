/**
 * Where policies come from: a folder, a file or values. They are read and checked as a whole; a set with one error does not
 * load, and every error names its file, line and column. A folder or file may change later: {@link changesOf} reports that.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { Configuration } from "../call/Errors.ts"
import { type Diagnostic, showDiagnostic } from "./Diagnostic.ts"
import type { Document } from "./Mapl.ts"
import { assemble } from "./PolicyAssembly.ts"
import { readFiles, readPath, readValues } from "./PolicyReading.ts"
import type { PolicySet } from "./PolicySet.ts"
import { watching } from "./Watch.ts"

/** Where policies come from: a folder or file by its path, a document, or documents. */
export type PolicySource = string | Document | ReadonlyArray<Document>

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

/**
 * The changes of a folder or file since the set `revision` was read: one element for each, the first at once where the files
 * differ from that set already. Fails where the file system cannot watch the path.
 */
export const changesOf = <R>(path: string, revision: Effect.Effect<string, never, R>): Stream.Stream<void, Error, R> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const changes = yield* watching(path)
      const isSame = Result.getOrUndefined(revisionAt(path)) === (yield* revision)
      return isSame ? changes : Stream.concat(Stream.make(undefined), changes)
    })
  )

/** The revision of a folder or file as it is now, whether it loads or not. */
const revisionAt = (path: string): Result.Result<string, Configuration> => attempted(() => readFiles(path, () => {}))

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

const invalid = (errors: ReadonlyArray<Diagnostic>): Configuration =>
  new Configuration({
    message: `The policies do not load (${errors.length} ${errors.length === 1 ? "error" : "errors"}):\n${errors.map((error) => `  ${showDiagnostic(error)}`).join("\n")}`
  })
