/**
 * Copies of checkpoints, kept where whoever can rewrite the log cannot reach: a log that is rebuilt whole, key and all, does
 * not extend a copy (`audit verify --since`). Copying never holds a call up; where it fails for too long, no more calls begin.
 */
import * as Result from "effect/Result"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import process from "node:process"
import { ConfigurationError } from "../../call/SdkErrors.ts"
import type { EnforcementUnavailable } from "../../call/Errors.ts"
import { now } from "../../base/EventLoop.ts"
import { makeFolders, orMissing, readPlain } from "../../base/Files.ts"
import { maximumText } from "./Segment.ts"
import { parseNote } from "../proof/Checkpoint.ts"
import type { SignedNote } from "./SignedTree.ts"
import type { CopyStatus } from "../LogStatus.ts"
import { hindered } from "../Unavailable.ts"
import { unknownOption } from "../../call/UnknownOption.ts"

/**
 * Where each newest checkpoint goes. A folder (made where it is missing) holds one file a log, `<16 hex digits of its
 * origin>.checkpoint`, replaced as a whole; the one that an earlier process left is kept beside it, for the log may be
 * another one since: `<16 hex digits>.<size>-<8 hex digits of its SHA-256>.checkpoint`. An `http:` or `https:` URL is sent the note by POST, as text. A function is given
 * the note; it fails by throwing or rejecting.
 */
export type CopyPlace = string | URL | ((note: string) => void | Promise<void>)

/** A place, and how long the log goes on without it. */
export interface CopyTarget {
  readonly to: CopyPlace
  /** Minutes for which a checkpoint may wait for its copy. Default 5. */
  readonly withinMinutes?: number | undefined
  /** Records that may be signed without a copy, where one could not be made. Default 100,000. */
  readonly withinRecords?: number | undefined
}

/** A place with the usual bounds, where it has none of its own. */
export const copyTargetOf = (checkpoints: CopyPlace | CopyTarget): CopyTarget =>
  typeof checkpoints === "object" && checkpoints !== null && "to" in checkpoints ? checkpoints : { to: checkpoints }

/** Throws a `ConfigurationError` for what is no target. */
export const requireTarget = ({ to, withinMinutes, withinRecords, ...unknown }: CopyTarget): void => {
  const what = "audit.checkpoints is a folder, an http(s) URL, a function, or { to, withinMinutes, withinRecords }"
  const [other] = Object.keys(unknown)
  if (other !== undefined) throw unknownOption(other, "audit.checkpoints", ["to", "withinMinutes", "withinRecords"])
  for (const bound of [withinMinutes, withinRecords])
    if (bound !== undefined && !(bound > 0)) throw new ConfigurationError(`${what}; its bounds are above 0.`)
  if (typeof to === "function") return
  if (!(to instanceof URL) && (typeof to !== "string" || to === "")) throw new ConfigurationError(`${what}.`)
  let url: URL | undefined
  try {
    url = urlOf(to)
  } catch (error) {
    throw new ConfigurationError(`${what}; ${JSON.stringify(to)} is not a URL.`, { cause: error })
  }
  if (url === undefined) return
  if (url.protocol !== "http:" && url.protocol !== "https:") throw new ConfigurationError(`${what}.`)
  if (url.username !== "" || url.password !== "")
    throw new ConfigurationError("audit.checkpoints: a URL with a user and password is not sent to; use a function.")
}

/** How long one attempt may take, in ms. */
const attemptTimeout = 10_000
/** How long to wait after a failed attempt, in ms; the newest checkpoint goes then. */
const retryDelay = 2_000
/** How long a log that closes waits for its last copy, in ms. */
const closingTimeout = 5_000

/** The copies of one log. */
export class Copies {
  readonly #copiers = new Map<unknown, Copier>()
  #newest: SignedNote | undefined

  /** Copies to this place too, from the newest checkpoint on; a place that is known already stays as it is. */
  add(target: CopyTarget): void {
    const key = target.to instanceof URL ? target.to.href : target.to
    if (this.#copiers.has(key)) return
    const copier = new Copier(target)
    this.#copiers.set(key, copier)
    if (this.#newest !== undefined) copier.offer(this.#newest)
  }

  /** Takes in a checkpoint. At the `last` one of a process what can be done at once is done at once. */
  offer(note: SignedNote, last: boolean): void {
    this.#newest = note
    for (const copier of this.#copiers.values())
      if (last) copier.finish(note)
      else copier.offer(note)
  }

  /** Why no more calls may begin; undefined where every place is close enough behind. */
  overdue(): EnforcementUnavailable | undefined {
    for (const copier of this.#copiers.values()) if (copier.isOverdue) return copier.refusal
    return undefined
  }

  /** How each place stands. */
  get status(): ReadonlyArray<CopyStatus> {
    return [...this.#copiers.values()].map((copier) => copier.status)
  }

  /** Resolves once every copy is made, or after 5 s. */
  async settled(): Promise<void> {
    await Promise.all([...this.#copiers.values()].map((copier) => copier.settled()))
  }
}

/** One place. At any time the newest checkpoint is under way there, or it is there already. */
class Copier {
  readonly #target: { readonly to: CopyPlace; readonly withinMinutes: number; readonly withinRecords: number }
  readonly #name: string
  /** Waits for its turn: only ever the newest. */
  #next: SignedNote | undefined
  /** Since when a checkpoint has been waiting, in ms of the monotonic clock. */
  #behindSince: number | undefined
  /** Size of the last checkpoint that was copied. */
  #copied: number | undefined
  /** The last copy that was made. */
  #last: Pick<CopyStatus, "size" | "at"> = {}
  #offered = 0
  #running: Promise<void> | undefined
  #closing = false
  /** What an earlier process left in the folder is kept. */
  #kept = false
  /** A copy that takes its name now, and the name. */
  #naming: readonly [string, string] | undefined
  /** Ends the wait between two attempts. */
  #wake: () => void = () => {}
  #failure: string | undefined

  constructor({ to, withinMinutes, withinRecords }: CopyTarget) {
    this.#target = { to, withinMinutes: withinMinutes ?? 5, withinRecords: withinRecords ?? 100_000 }
    this.#name = typeof to === "function" ? "the function that is given checkpoints" : placeName(to)
  }

  offer(note: SignedNote): void {
    this.#next = note
    this.#offered = note.size
    this.#copied ??= note.size - 1
    this.#behindSince ??= performance.now()
    this.#running ??= this.#run()
  }

  finish(note: SignedNote): void {
    try {
      const { to } = this.#target
      if (typeof to === "function") void Promise.resolve(to(note.text)).catch(() => {})
      else if (urlOf(to) === undefined) {
        this.#nameNow()
        this.#keep(String(to), note)
        copyAtOnce(String(to), note)
      }
    } catch (error) {
      this.#failed(error)
    }
  }

  get isOverdue(): boolean {
    if (this.#behindSince === undefined || this.#failure === undefined) return false
    return (
      performance.now() - this.#behindSince > this.#target.withinMinutes * 60_000 ||
      this.#offered - (this.#copied ?? 0) > this.#target.withinRecords
    )
  }

  get status(): CopyStatus {
    const since = this.#behindSince
    return {
      to: this.#name,
      ...this.#last,
      ...(since !== undefined && { waitingSince: Math.round(now() - (performance.now() - since)) }),
      ...(this.#failure !== undefined && { error: this.#failure })
    }
  }

  get refusal(): EnforcementUnavailable {
    return hindered(
      "copies_overdue",
      `Checkpoints of the log have not been copied to ${this.#name} for too long (${this.#failure}), and no call is let through until they are. See to that place; it is tried every ${retryDelay / 1000} s. The bounds are audit: { checkpoints: { to, withinMinutes, withinRecords } }.`
    )
  }

  async settled(): Promise<void> {
    this.#closing = true
    this.#wake()
    let timer: NodeJS.Timeout | undefined
    await Promise.race([
      this.#running,
      new Promise<void>((resolve) => {
        timer = setTimeout(resolve, closingTimeout)
      })
    ])
    clearTimeout(timer)
  }

  async #run(): Promise<void> {
    for (;;) {
      const note = this.#next
      if (note === undefined) break
      this.#next = undefined
      try {
        await this.#copy(note)
        this.#copied = note.size
        this.#last = { size: note.size, at: now() }
        this.#behindSince = this.#next === undefined ? undefined : performance.now()
        if (this.#failure !== undefined) warn(`Checkpoints of the log are copied to ${this.#name} again.`)
        this.#failure = undefined
      } catch (error) {
        this.#failed(error)
        const isNewest = this.#next === undefined
        this.#next ??= note
        if (this.#closing && isNewest) break
        if (this.#closing) continue
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, retryDelay).unref()
          this.#wake = () => {
            clearTimeout(timer)
            resolve()
          }
        })
      }
    }
    this.#running = undefined
  }

  async #copy(note: SignedNote): Promise<void> {
    const late = new AbortController()
    const timer = setTimeout(
      () => late.abort(new Error(`it took longer than ${attemptTimeout / 1000} s`)),
      attemptTimeout
    ).unref()
    try {
      await Promise.race([
        new Promise((_, reject) => late.signal.addEventListener("abort", () => reject(late.signal.reason as Error))),
        this.#send(note, late.signal)
      ])
    } finally {
      clearTimeout(timer)
    }
  }

  #send(note: SignedNote, signal: AbortSignal): void | Promise<void> {
    const { to } = this.#target
    if (typeof to === "function") return to(note.text)
    const url = urlOf(to)
    if (url !== undefined) return post(url, note, signal)
    const folder = String(to)
    return copyToFolder(folder, note, async (draft, file) => {
      signal.throwIfAborted()
      this.#keep(folder, note)
      this.#naming = [draft, file]
      await Fs.promises.rename(draft, file)
      this.#naming = undefined
    })
  }

  /** A copy that takes its name in the background would take it after the last one: it takes it now, or has it. */
  #nameNow(): void {
    const naming = this.#naming
    if (naming !== undefined) orMissing(() => Fs.renameSync(...naming))
  }

  /** A log that was made anew, key and all, must not write over what tells. */
  #keep(folder: string, note: SignedNote): void {
    if (!this.#kept) keepEarlier(folder, note)
    this.#kept = true
  }

  #failed(error: unknown): void {
    const isFirst = this.#failure === undefined
    this.#failure = reasonOf(error)
    if (isFirst)
      warn(
        `A checkpoint of the log could not be copied to ${this.#name}: ${this.#failure}. It is tried again every ${retryDelay / 1000} s; after ${this.#target.withinMinutes} minutes or ${this.#target.withinRecords} records without a copy calls are refused.`
      )
  }
}

const post = async (url: URL, { text }: SignedNote, signal: AbortSignal): Promise<void> => {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "text/plain; charset=utf-8" },
    body: text,
    redirect: "error",
    signal
  })
  await response.body?.cancel()
  if (!response.ok) throw new Error(`it answered ${response.status}`)
}

/** The file of a log in a folder of copies. */
const fileOf = (folder: string, { origin }: SignedNote): string =>
  Path.join(folder, `${origin.slice(origin.indexOf("/") + 1)}.checkpoint`)

const draftOf = (file: string): string => `${file}.${process.pid}-${Crypto.randomBytes(6).toString("hex")}`

/** Keeps the copy that is there beside the one to come. Throws where it is of more records than the log has. */
const keepEarlier = (folder: string, note: SignedNote): void => {
  const file = fileOf(folder, note)
  const text = orMissing(() => readPlain(file, maximumText))?.toString("utf8")
  if (text === undefined || text === note.text) return
  const earlier = Result.getOrUndefined(parseNote(text))
  if (earlier !== undefined && earlier.size > note.size)
    throw new Error(
      `${file} is of ${earlier.size} records, and the log has ${note.size}: it has lost records, or was made anew. Run "secure-openai audit verify --since ${file}"; where that is known, move the file away`
    )
  // By its content: what was kept once is never written over.
  const digest = Crypto.createHash("sha256").update(text).digest("hex").slice(0, 8)
  Fs.renameSync(file, file.replace(/checkpoint$/, `${earlier?.size ?? "unread"}-${digest}.checkpoint`))
}

/** `name` gives the copy its name. */
const copyToFolder = async (
  folder: string,
  note: SignedNote,
  name: (draft: string, file: string) => Promise<void>
): Promise<void> => {
  const isThere = await Fs.promises.stat(folder).then(
    (found) => found.isDirectory(),
    () => false
  )
  if (!isThere) makeFolders(Path.resolve(folder))
  const file = fileOf(folder, note)
  const draft = draftOf(file)
  try {
    await Fs.promises.writeFile(draft, note.text, { mode: 0o600, flag: "wx", flush: true })
    await name(draft, file)
  } catch (error) {
    await Fs.promises.rm(draft, { force: true }).catch(() => {})
    throw error
  }
}

const copyAtOnce = (folder: string, note: SignedNote): void => {
  makeFolders(Path.resolve(folder))
  const file = fileOf(folder, note)
  const draft = draftOf(file)
  Fs.writeFileSync(draft, note.text, { mode: 0o600, flag: "wx", flush: true })
  Fs.renameSync(draft, file)
}

/** The URL that a place is; undefined for a folder. */
export const urlOf = (to: string | URL): URL | undefined =>
  to instanceof URL ? to : /^[a-z][a-z0-9+.-]*:\/\//i.test(to) ? new URL(to) : undefined

/** A URL may hold a secret in its query. */
const placeName = (to: string | URL): string => {
  const url = urlOf(to)
  return url === undefined ? String(to) : `${url.origin}${url.pathname}`
}

const reasonOf = (error: unknown): string => {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  return cause instanceof Error ? cause.message : String(cause)
}

const warn = (message: string): void => process.emitWarning(message, "SecureOpenAIWarning")
