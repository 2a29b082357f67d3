/**
 * The tree of the records that are on the disk, and the checkpoints that are signed over it: soon after it has grown, in the
 * background, never over less than before. Beside each checkpoint lie the leaf hashes that it covers.
 */
import * as Path from "node:path"
import type { EnforcementUnavailable } from "../../call/Errors.ts"
import { orMissing } from "../../base/Files.ts"
import type { AnyKey } from "../../keys/Keys.ts"
import { signCheckpointBy } from "../proof/Checkpoint.ts"
import { closeQuietly, draftOf, type File, type FileSystem, replace } from "./Disk.ts"
import { type Frontier, hashLength } from "../proof/MerkleTree.ts"
import type { FoundLog, TreeHead } from "./Recovery.ts"
import type { LogStatus } from "../LogStatus.ts"
import { hindered, messageOf } from "../Unavailable.ts"

/** A checkpoint as it was written. */
export interface SignedNote {
  readonly origin: string
  readonly size: number
  readonly text: string
}

export interface SignedTreeOptions {
  /** The log's folder. */
  readonly path: string
  readonly disk: FileSystem
  /** The keys that sign, all of them. */
  readonly keys: ReadonlyArray<AnyKey<"log">>
  readonly found: FoundLog
  /** How long a durable record may wait for a checkpoint, in ms. */
  readonly delay: number
  /** How long calls go on while a key signs nothing: in ms, and in records. */
  readonly patience: { readonly ms: number; readonly records: number }
  /** The time, in ms since 1970. */
  readonly now: () => number
  /** Called with each checkpoint once it is on the disk; `last` where the process may end at once after it. */
  readonly signed: (note: SignedNote, last: boolean) => void
  /** Throws where this process may write no more. */
  readonly requireHeld: () => void
  /** Called with what fails in the background. */
  readonly failed: (error: unknown) => void
}

/** The tree of one boot, and its checkpoints. */
export class SignedTree {
  readonly #options: SignedTreeOptions
  readonly #frontier: Frontier
  /** True where a key is held elsewhere, and signs later or not at all. */
  readonly #isRemote: boolean
  #first: PromiseWithResolvers<void> | undefined = Promise.withResolvers()
  /** In the tree, not in the leaves file. */
  #unsaved: Array<Uint8Array>
  #saved: number
  /** Size of the newest checkpoint, and when this boot signed it, in ms since 1970. */
  #signed: number
  #signedAt: number | undefined
  #leaves: File | undefined
  #timer: NodeJS.Timeout | undefined
  #isSigning = false
  /** True while a checkpoint takes its name in the background. */
  #isNaming = false
  #isStopped = false
  /** What is written before it takes the checkpoint's name; no other process writes to it. */
  readonly #draft: string
  /** Since when a key signs nothing, in ms since 1970, and what it said. */
  #unsigned: { readonly since: number; readonly cause: unknown } | undefined

  constructor(options: SignedTreeOptions) {
    const { found, keys } = options
    this.#options = options
    this.#frontier = found.frontier
    this.#isRemote = keys.some((key) => "signLater" in key)
    this.#unsaved = [...found.unsaved]
    this.#saved = found.saved
    this.#signed = found.signed
    this.#draft = Path.join(options.path, draftOf("checkpoint", "draft"))
    this.#first?.promise.catch(() => {})
  }

  /** Settles once a checkpoint is signed, and rejects where a key cannot sign; undefined where one is. */
  get first(): Promise<void> | undefined {
    return this.#first?.promise
  }

  get head(): TreeHead {
    return { size: this.#frontier.size, root: this.#frontier.root() }
  }

  /** The newest checkpoint. */
  get checkpoint(): LogStatus["checkpoint"] {
    return { size: this.#signed, ...(this.#signedAt !== undefined && { at: this.#signedAt }) }
  }

  /** True where nothing of it is under way on the disk, or with a signer. */
  get isIdle(): boolean {
    return !this.#isSigning
  }

  /** Takes in the leaf hashes of what is on the disk. */
  add(leaves: ReadonlyArray<Uint8Array>): void {
    for (const leaf of leaves) {
      this.#frontier.append(leaf)
      this.#unsaved.push(leaf)
    }
  }

  /** Why a log of so many records takes no more calls until its checkpoints are signed again. */
  overdue(records: number): EnforcementUnavailable | undefined {
    const { now, patience, path } = this.#options
    const unsigned = this.#unsigned
    if (unsigned === undefined) return undefined
    return now() - unsigned.since > patience.ms || records - this.#signed > patience.records
      ? hindered(
          "checkpoints_overdue",
          `The log at ${path} takes no more calls until its checkpoints are signed again. ${messageOf(unsigned.cause)}`,
          unsigned.cause
        )
      : undefined
  }

  /** Signs what is new, in the background, a while from now. */
  signSoon(): void {
    if (!this.#isBehind) return
    this.#timer ??= setTimeout(() => this.sign(), this.#options.delay).unref()
  }

  /** Signs what is new, in the background. */
  sign(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#isSigning || !this.#isBehind) return
    this.#isSigning = true
    const size = this.#frontier.size
    this.#attempt(() => {
      const text = this.#text()
      if (typeof text === "string") return this.#write(text, size)
      // A boot that ended meanwhile signs no more.
      text.then(
        (later) =>
          this.#attempt(() => {
            if (!this.#isStopped) return this.#write(later, size)
            this.#isSigning = false
          }),
        (cause: unknown) => this.#notSigned(cause)
      )
    })
  }

  /** Signs what is new, at once, unless a key is held elsewhere. Throws what the disk throws. */
  signSync(last: boolean): void {
    if (this.#isRemote || this.#frontier.size <= this.#signed) return
    const text = this.#text()
    if (typeof text === "string") this.#writeSync(text, last)
  }

  /** The end of a log whose key is held elsewhere. What is not signed is signed when the log is opened again. */
  async signLast(): Promise<void> {
    if (!this.#isRemote) return
    try {
      this.#writeSync(await this.#text(), false)
    } catch {
      // It is there all the same.
    }
  }

  /** From here on nothing is begun in the background. */
  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  close(): void {
    if (this.#leaves !== undefined) closeQuietly(this.#leaves)
  }

  /** True while there is something to sign in the background. */
  get #isBehind(): boolean {
    return !this.#isStopped && this.#frontier.size > this.#signed
  }

  #text(): string | Promise<string> {
    const { found, keys } = this.#options
    const { root, size } = this.head
    // The tree only grows while this process holds the lock; nothing smaller than before is ever signed.
    if (size < this.#signed) throw new RangeError(`the log has shrunk from ${this.#signed} to ${size} records`)
    return signCheckpointBy({ origin: found.origin, size, root }, keys)
  }

  /** Leaf hashes, then the note under another name, then its own: each on the disk before the next. */
  #write(text: string, size: number): void {
    const { disk, path, requireHeld } = this.#options
    requireHeld()
    const note = disk.open(this.#draft)
    const then =
      (step: () => void) =>
      (error: Error | null): void =>
        this.#attempt(() => {
          if (error !== null) throw error
          step()
        })
    const whileOpen =
      (step: () => void) =>
      (error: Error | null): void => {
        if (error !== null) closeQuietly(note)
        then(step)(error)
      }
    const named = then(() => {
      this.#isSigning = false
      const told = this.#isWritten(text, size)
      // Where it was stopped meanwhile, the end of the boot signs and reports the last checkpoint.
      if (!this.#isStopped) this.#options.signed(told, false)
      this.signSoon()
    })
    const synced = whileOpen(() => {
      note.close()
      requireHeld()
      this.#isNaming = true
      disk.rename(this.#draft, Path.join(path, "checkpoint"), (error) => {
        this.#isNaming = false
        then(() => disk.syncFolder(path, named))(error)
      })
    })
    const written = whileOpen(() => note.sync(synced))
    const saved = whileOpen(() => note.write(Buffer.from(text), 0, written))
    note.truncate(0)
    const { hashes, position } = this.#takeUnsaved()
    this.#leavesFile().write(hashes, position, saved)
  }

  #writeSync(text: string, last: boolean): void {
    const { disk, path, requireHeld } = this.#options
    requireHeld()
    const { hashes, position } = this.#takeUnsaved()
    this.#leavesFile().writeSync(hashes, position)
    if (this.#isNaming) this.#nameNow()
    replace(disk, path, "checkpoint", text)
    this.#options.signed(this.#isWritten(text, this.#frontier.size), last)
  }

  /** At exit, what takes its name in the background would take it after the last one: it takes it now, or has it. */
  #nameNow(): void {
    const { disk, path } = this.#options
    orMissing(() => disk.renameSync(this.#draft, Path.join(path, "checkpoint")))
  }

  #isWritten(text: string, size: number): SignedNote {
    this.#signed = size
    this.#signedAt = this.#options.now()
    this.#unsigned = undefined
    this.#first?.resolve()
    this.#first = undefined
    return { origin: this.#options.found.origin, size, text }
  }

  /** Calls go on for a while; it is tried again. */
  #notSigned(cause: unknown): void {
    this.#isSigning = false
    this.#unsigned ??= { since: this.#options.now(), cause }
    this.#first?.reject(cause)
    this.signSoon()
  }

  #takeUnsaved(): { readonly hashes: Buffer; readonly position: number } {
    const hashes = Buffer.concat(this.#unsaved)
    const position = this.#saved * hashLength
    this.#saved += this.#unsaved.length
    this.#unsaved = []
    return { hashes, position }
  }

  #leavesFile(): File {
    if (this.#leaves === undefined) {
      const { disk, found, path, requireHeld } = this.#options
      this.#leaves = disk.open(Path.join(path, "leaves"))
      requireHeld()
      this.#leaves.truncate(found.saved * hashLength)
    }
    return this.#leaves
  }

  /** A step in the background; what fails there is told. */
  #attempt(step: () => void): void {
    try {
      step()
    } catch (cause) {
      this.#isSigning = false
      this.#options.failed(cause)
    }
  }
}
