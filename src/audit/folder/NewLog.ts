/**
 * What a log begins with: its origin, the file `vkey` with the keys that sign it, and a checkpoint of no records.
 */
import * as Result from "effect/Result"
import * as Crypto from "node:crypto"
import * as Path from "node:path"
import type { AnyKey } from "../../keys/Keys.ts"
import { formatVerifierKey, parseVerifierKeys, signCheckpointBy, verifierKey } from "../proof/Checkpoint.ts"
import { Frontier } from "../proof/MerkleTree.ts"
import { Quota } from "../Quota.ts"
import type { SigningKeys } from "../OpeningRecords.ts"
import { type FileSystem, replace } from "./Disk.ts"
import type { FoundLog } from "./Recovery.ts"
import { maximumText } from "./Segment.ts"

/** A checkpoint of an empty log under a new origin. */
export interface FirstCheckpoint {
  readonly origin: string
  readonly note: string
}

/** An origin for a log, which no other has. */
export const newOrigin = (): string => `secure-openai/${Crypto.randomBytes(8).toString("hex")}`

/** Signs the checkpoint of an empty log under a new origin. Rejects where a key cannot sign. */
export const signEmpty = async (keys: ReadonlyArray<AnyKey<"log">>): Promise<FirstCheckpoint> => {
  const origin = newOrigin()
  return { origin, note: await signCheckpointBy({ origin, size: 0, root: new Frontier().root() }, keys) }
}

/** Where an empty log is made. */
export interface NewLogOptions extends SigningKeys {
  readonly disk: FileSystem
  /** The log's folder. */
  readonly path: string
  /** Needed where a key is held elsewhere and cannot sign at once. */
  readonly first?: FirstCheckpoint | undefined
}

/** Makes an empty log: its key, then a checkpoint of nothing. The journal follows. Throws what the disk throws. */
export const create = ({ disk, first, key, next, path }: NewLogOptions): FoundLog => {
  const vkey = disk.read(Path.join(path, "vkey"), maximumText)
  const known = vkey === undefined ? undefined : Result.getOrUndefined(parseVerifierKeys(vkey.toString("utf8")))
  const origin =
    first?.origin ?? known?.find(({ publicKey }) => Buffer.compare(publicKey, key.publicKey) === 0)?.name ?? newOrigin()
  const frontier = new Frontier()
  const keys: ReadonlyArray<AnyKey<"log">> = keysOf({ key, next })
  const note = first?.note ?? signCheckpointBy({ origin, size: 0, root: frontier.root() }, keys)
  if (typeof note !== "string")
    throw new TypeError("a log whose key is held elsewhere is made with its first checkpoint")
  replace(disk, path, "vkey", verifierKeys(origin, keys))
  replace(disk, path, "checkpoint", note)
  return {
    origin,
    frontier,
    signed: 0,
    saved: 0,
    unsaved: [],
    segment: undefined,
    torn: Buffer.alloc(0),
    latest: 0,
    quota: new Quota(),
    crashed: undefined,
    open: []
  }
}

/** The keys that sign: while a log key rotates the old and the new one. */
export const keysOf = ({ key, next }: SigningKeys): ReadonlyArray<AnyKey<"log">> =>
  next === undefined ? [key] : [key, next]

/** The file `vkey`: a line for each key, the newest last. */
export const verifierKeys = (origin: string, keys: ReadonlyArray<AnyKey<"log">>): string =>
  keys.map(({ publicKey }) => `${formatVerifierKey(verifierKey(origin, publicKey))}\n`).join("")
