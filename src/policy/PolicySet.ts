/**
 * A set of policies that fits together, kept as text, by id.
 */
import * as Crypto from "node:crypto"
import type { SourcePlace } from "./Diagnostic.ts"
import { IdIndex } from "./IdIndex.ts"
import type { Document } from "./Mapl.ts"
import type { PolicyFile } from "./PolicyFile.ts"
import { lastAtMost } from "./PolicyFile.ts"
import { revisionOf } from "./PolicyReading.ts"

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
  /** A document, read from its text each time: every call returns another object. */
  readonly find: (id: string) => Document | undefined
  /** Every id, in the order in which the documents were read. */
  readonly ids: () => Iterable<string>
  /** Where a part of a document stands, by the keys and indices that lead there; the nearest thing around it. */
  readonly locate: (id: string, path: ReadonlyArray<PropertyKey>) => SourcePlace
}

/** Where documents stand: `ordinals` counts them over all files, by the number of their id; `firsts` are the files' own. */
export interface Positions {
  readonly ids: IdIndex
  readonly ordinals: ArrayLike<number>
  readonly files: ReadonlyArray<PolicyFile>
  readonly firsts: ReadonlyArray<number>
}

/** The file that a document is in, and its index there. */
const positionOf = (
  { files, firsts, ids, ordinals }: Positions,
  id: string
): readonly [PolicyFile, number] | undefined => {
  const ordinal = ordinals[ids.number(id)]
  if (ordinal === undefined) return undefined
  const file = lastAtMost(firsts, ordinal)
  return [files[file]!, ordinal - firsts[file]!]
}

/** Where a part of a document stands, or the nearest thing around it; without a line where no document has the id. */
export const locate = (positions: Positions, id: string, path: ReadonlyArray<PropertyKey>): SourcePlace => {
  const found = positionOf(positions, id)
  return found === undefined ? { file: "", line: 0, column: 0, text: "" } : found[0].locate(found[1], path)
}

/** The set of documents that were placed, by id. */
export const makeSet = ({ files, firsts, ids, ordinals }: Positions, revision: string): PolicySet => {
  const positions = { files, firsts, ids: ids.seal(), ordinals: new Uint32Array(ordinals) }
  return {
    revision,
    count: ids.size,
    has: (id) => ids.number(id) !== -1,
    find: (id) => {
      const [file, index] = positionOf(positions, id) ?? []
      return file === undefined || index === undefined ? undefined : (JSON.parse(file.slice(index)) as Document)
    },
    ids: () => ids.ids(),
    locate: (id, path) => locate(positions, id, path)
  }
}

/** The set without policies. */
export const empty: PolicySet = makeSet(
  { files: [], firsts: [], ids: new IdIndex(), ordinals: [] },
  revisionOf(Crypto.createHash("sha256"))
)
