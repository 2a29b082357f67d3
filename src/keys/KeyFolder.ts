/**
 * Keys in a folder: files that only their owner can read, made whole or not at all, and what a rotation leaves there. No
 * process that uses a key is disturbed by a rotation: it is prepared here, and taken up when keys are next opened.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import process from "node:process"
import { Configuration } from "../call/Errors.ts"
import { createFile, makeFolders, NotPlain, orMissing, readPlain } from "../base/Files.ts"
import { readMounted } from "./KeyMount.ts"

/** What is in the folder: `agent.pem`, `log.pem`, `salt`, and beside each what is to take its place. */
export type KeyName = "agent" | "log" | "salt"

const KeyEnd = Schema.Struct({
  use: Schema.Literals(["agent", "log", "salt"]),
  kid: Schema.String,
  /** `x` of the public JWK; a salt has none. */
  x: Schema.optionalKey(Schema.String),
  state: Schema.Literals(["retired", "revoked"])
})
/** A key that is in use no more, or will not be once its successor is taken up. */
export interface KeyEnd extends Schema.Struct.Type<typeof KeyEnd.fields> {}

/** The keys of a folder. */
export interface FolderKeys {
  readonly agent: Crypto.KeyObject
  readonly log: Crypto.KeyObject
  readonly nextLog: Crypto.KeyObject | undefined
  readonly salt: Uint8Array
  readonly ended: ReadonlyArray<KeyEnd>
}

/**
 * Opens the folder, made where it is missing, and takes up what a rotation prepared. Throws {@link Configuration} for a file
 * that others can read, that is no file of this user, or that holds no key or one that has ended; else what the disk throws.
 */
export const open = (directory: string): FolderKeys => openWith(directory, {})

/**
 * Opens a folder that others fill and that is only read, with some keys given in the place of its files. Nothing is made or
 * taken up: `log.next.pem` and `ended.json` count where they are there. Throws {@link Configuration} for a key that is missing,
 * or that is not private (see KeyMount); else what the disk throws.
 */
export const openMounted = (directory: string, given: GivenKeys): FolderKeys => {
  const textOf: TextOf = (path) => readMounted(directory, Path.basename(path))
  const ended = textOf(endedFile(directory))
  return gathered(directory, given, ended === undefined ? [] : endedIn(directory, ended), textOf)
}

/**
 * Opens a home's folder with some keys given in the place of its own, which are then not made; without a folder keys that are
 * not given are new. Throws as {@link open}.
 */
export const openWith = (directory: string | undefined, given: GivenKeys): FolderKeys => {
  if (directory === undefined) {
    const { agent = newKey(), log = newKey(), salt = Uint8Array.from(Crypto.randomBytes(32)) } = given
    return checked("this process", { agent, log, nextLog: undefined, salt, ended: [] }, given)
  }
  makeFolders(directory)
  requireFolder(directory)
  const ended = readEnded(directory)
  for (const name of ["agent", "salt"] as const) if (given[name] === undefined) takeUp(directory, name, ended)
  return gathered(directory, given, ended, (path, make) =>
    make !== undefined ? load(path, make) : orMissing(() => read(path))
  )
}

/** Keys that are given by their values. */
export interface GivenKeys {
  readonly agent?: Crypto.KeyObject | undefined
  readonly log?: Crypto.KeyObject | undefined
  readonly salt?: Uint8Array | undefined
}

/** Gives the text of a file, made where that is how; undefined where it is missing. */
type TextOf = (path: string, make?: () => string) => string | undefined

const gathered = (directory: string, given: GivenKeys, ended: ReadonlyArray<KeyEnd>, textOf: TextOf): FolderKeys => {
  const needed = (name: KeyName, make: () => string): string => {
    const text = textOf(at(directory, name), make)
    if (text === undefined)
      throw new Configuration({
        message: `${at(directory, name)} is not there. A folder of keys that is only read has agent.pem, log.pem and salt in it.`
      })
    return text
  }
  const agent = given.agent ?? privateKey(at(directory, "agent"), needed("agent", newPem))
  const log = given.log ?? privateKey(at(directory, "log"), needed("log", newPem))
  const salt = given.salt ?? saltIn(at(directory, "salt"), needed("salt", newSalt))
  const next = at(directory, "log", ".next")
  const nextText = given.log === undefined ? textOf(next) : undefined
  const nextLog = nextText === undefined ? undefined : privateKey(next, nextText)
  return checked(directory, { agent, log, nextLog, salt, ended }, given)
}

/** Where the agent key, the log key and its next one came from: an option, or a file of the folder. */
const sources = (place: string, hasNext: boolean, given: GivenKeys): ReadonlyArray<string> => [
  given.agent === undefined ? at(place, "agent") : "keys.agent (SECURE_OPENAI_AGENT_JWK)",
  given.log === undefined ? at(place, "log") : "keys.log (SECURE_OPENAI_LOG_JWK)",
  ...(hasNext ? [at(place, "log", ".next")] : [])
]

/** The sources of the first key that is there twice. */
const twice = (names: ReadonlyArray<string>, parts: ReadonlyArray<string>): string => {
  const second = parts.findIndex((part, index) => parts.indexOf(part) < index)
  return [parts.indexOf(parts[second] ?? ""), second].map((index) => names[index]).join(" and ")
}

/** The keys, where each has one purpose and none has ended. */
const checked = (place: string, { agent, ended, log, nextLog, salt }: FolderKeys, given: GivenKeys): FolderKeys => {
  const parts = [agent, log, ...(nextLog === undefined ? [] : [nextLog])].map(publicPart)
  if (new Set(parts).size < parts.length)
    throw new Configuration({
      message: `${twice(sources(place, parts.length > 2, given), parts)} are one key. A key has one purpose: put another in the place of one of them.`
    })
  const current = { agent: thumbprint(publicPart(agent)), log: thumbprint(publicPart(log)), salt: saltId(salt) }
  const back = ended.find(({ kid, use }) => kid === current[use])
  // Where the end of a log key was cut short, both still sign.
  if (back !== undefined && (back.use !== "log" || nextLog === undefined))
    throw new Configuration({
      message: `${at(place, back.use)} holds what was ${back.state} before, and what ended does not come back. Put the newer one there${back.use === "log" ? "." : `, or run: secure-openai keys rotate ${back.use}`}`
    })
  return { agent, log, nextLog, salt, ended: ended.filter((key) => key !== back) }
}

/** What the folder holds, without making or changing anything. Throws as {@link open}, and where there is no such folder. */
export const list = (
  directory: string
): {
  readonly keys: ReadonlyArray<{
    readonly use: KeyName
    readonly kid: string
    readonly x?: string
    readonly state: string
  }>
} => {
  requireFolder(directory)
  const ended = readEnded(directory)
  const keys = (["agent", "log", "salt"] as const).flatMap((use) =>
    (["", ".next"] as const).flatMap((suffix) => {
      const path = at(directory, use, suffix)
      if (!Fs.existsSync(path)) return []
      const key = identify(use, read(path), path)
      if (suffix === ".next") return [{ use, ...key, state: "next" }]
      const end = ended.find(({ kid }) => kid === key.kid)?.state
      const until = Fs.existsSync(at(directory, use, ".next")) ? "active, until the next is taken up" : end
      return [{ use, ...key, state: (end && until) ?? "active" }]
    })
  )
  const present = new Set(keys.map(({ kid }) => kid))
  return { keys: [...keys, ...ended.filter(({ kid }) => !present.has(kid))] }
}

/**
 * Prepares a key to take the place of another one, which is then retired or, where it may be known to others, revoked. It is
 * taken up when the keys are next opened; a log key signs beside the old one until {@link finish}. Gives both ids. Done again
 * before that it changes nothing. Throws as {@link open}.
 */
export const rotate = (
  directory: string,
  use: KeyName,
  state: KeyEnd["state"]
): { readonly old: string; readonly next: string } => {
  if (!Fs.existsSync(at(directory, use))) open(directory)
  requireFolder(directory)
  const current = identify(use, read(at(directory, use)), at(directory, use))
  const path = at(directory, use, ".next")
  const next = identify(use, load(path, use === "salt" ? newSalt : newPem), path)
  if (use !== "log") addEnd(directory, { use, ...current, state })
  return { old: current.kid, next: next.kid }
}

/** Ends a rotation of the log key: the old one goes, and signs no more once the keys are opened again. */
export const finish = (directory: string, state: KeyEnd["state"]): { readonly old: string; readonly next: string } => {
  const path = at(directory, "log", ".next")
  requireFolder(directory)
  if (!Fs.existsSync(path))
    throw new Configuration({ message: `No rotation of the log key is under way in ${directory}.` })
  const next = identify("log", read(path), path)
  const current = identify("log", read(at(directory, "log")), at(directory, "log"))
  addEnd(directory, { use: "log", ...current, state })
  replaceBy(path, at(directory, "log"))
  return { old: current.kid, next: next.kid }
}

/** The public part of an Ed25519 private key: the `x` of its JWK. */
export const publicPart = (key: Crypto.KeyObject): string =>
  Crypto.createPublicKey(key).export({ format: "jwk" }).x ?? ""

/** RFC 7638 SHA-256 thumbprint of an Ed25519 public key, base64url. */
export const thumbprint = (x: string): string =>
  Crypto.createHash("sha256").update(`{"crv":"Ed25519","kty":"OKP","x":"${x}"}`).digest("base64url")

/** An id for a salt, from which nobody learns it. */
export const saltId = (salt: Uint8Array): string =>
  Crypto.createHmac("sha256", salt).update("secure-openai/kid").digest("base64url")

const at = (directory: string, name: KeyName, suffix: "" | ".next" = ""): string =>
  Path.join(directory, `${name}${suffix}${name === "salt" ? "" : ".pem"}`)

const privateKey = (path: string, pem: string): Crypto.KeyObject => {
  const key = Result.getOrUndefined(Result.try(() => Crypto.createPrivateKey(pem)))
  if (key?.asymmetricKeyType === "ed25519") return key
  throw new Configuration({
    message: `${path} holds no Ed25519 private key in PKCS#8 PEM. Put the one there that it held; where that is lost, move the file away, and the next start makes another.`
  })
}

const identify = (use: KeyName, text: string, path: string): { readonly kid: string; readonly x?: string } => {
  if (use === "salt") return { kid: saltId(saltIn(path, text)) }
  const x = publicPart(privateKey(path, text))
  return { kid: thumbprint(x), x }
}

const newKey = (): Crypto.KeyObject => Crypto.generateKeyPairSync("ed25519").privateKey

const newPem = (): string => newKey().export({ format: "pem", type: "pkcs8" }).toString()

/** The salt that a text spells. `fault` begins the message of the `Configuration` that it throws for any other text: `salt is not`. */
export const saltOf = (text: string, fault: string): Uint8Array => {
  const salt = Buffer.from(text.trim(), "base64url")
  if (salt.length !== 32) throw new Configuration({ message: `${fault} 32 bytes in base64url.` })
  return Uint8Array.from(salt)
}

const saltIn = (path: string, text: string): Uint8Array => saltOf(text, `${path} does not hold`)

const newSalt = (): string => `${Crypto.randomBytes(32).toString("base64url")}\n`

/** Of several processes that come at once each sees the old key with its end, or the new one, which has none. */
const takeUp = (directory: string, name: KeyName, ended: ReadonlyArray<KeyEnd>): void => {
  const next = at(directory, name, ".next")
  if (!Fs.existsSync(next) || !Fs.existsSync(at(directory, name))) return
  const { kid } = identify(name, read(at(directory, name)), at(directory, name))
  if (ended.some((key) => key.use === name && key.kid === kid)) replaceBy(next, at(directory, name))
}

const replaceBy = (next: string, path: string): void => {
  orMissing(() => {
    read(next)
    Fs.renameSync(next, path)
  })
}

const endedFile = (directory: string): string => Path.join(directory, "ended.json")

const decodeEnded = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Array(KeyEnd)))

const readEnded = (directory: string): ReadonlyArray<KeyEnd> => {
  const path = endedFile(directory)
  return Fs.existsSync(path) ? endedIn(directory, read(path)) : []
}

const endedIn = (directory: string, text: string): ReadonlyArray<KeyEnd> => {
  const ended = decodeEnded(text)
  if (Result.isSuccess(ended)) return ended.success
  throw new Configuration({
    message: `${endedFile(directory)} does not list the keys that ended, in the form that "keys rotate" writes. Put back what it held: without it a key that was revoked could be used again.`
  })
}

const addEnd = (directory: string, key: KeyEnd): void => {
  const isIt = ({ kid, use }: KeyEnd): boolean => kid === key.kid && use === key.use
  const known = readEnded(directory)
  // What was revoked is not retired later.
  if (known.some((one) => isIt(one) && one.state === "revoked")) return
  const ended = known.filter((one) => !isIt(one))
  const draft = `${endedFile(directory)}.${process.pid}-${Crypto.randomBytes(6).toString("hex")}`
  createFile(draft, `${JSON.stringify([...ended, key], undefined, 2)}\n`)
  Fs.renameSync(draft, endedFile(directory))
}

/** The file's text; made with mode 0600 where it is missing. */
const load = (path: string, make: () => string): string => {
  if (Fs.lstatSync(path, { throwIfNoEntry: false }) === undefined) createFile(path, make())
  return read(path)
}

/** Reads a file of this user that nobody else can read or write. What is checked is what is read. */
const read = (path: string): string => {
  try {
    return readPlain(path, maximumKey, (stats) => requirePrivate(path, stats, "600")).toString("utf8")
  } catch (error) {
    throw plainOnly(error)
  }
}

/** How long a file of a key may be, in bytes. */
const maximumKey = 1024 * 1024

const plainOnly = (error: unknown): unknown =>
  error instanceof NotPlain
    ? new Configuration({
        message: `${error.message}, and keys are read from plain files alone. Put the file itself there.`
      })
    : error

const requireFolder = (directory: string): void => {
  const stats = Fs.statSync(directory)
  if (!stats.isDirectory()) throw new Error(`${directory} is no folder`)
  requirePrivate(directory, stats, "700")
}

const requirePrivate = (path: string, stats: Fs.Stats, mode: "600" | "700"): void => {
  if (process.platform === "win32") return
  const user = process.geteuid?.()
  if (user !== undefined && stats.uid !== user)
    throw new Configuration({
      message: `${path} belongs to the user ${stats.uid}, and this process runs as ${user}; run: chown ${user} ${path}`
    })
  if ((stats.mode & 0o077) !== 0)
    throw new Configuration({ message: `${path} can be read by others; run: chmod ${mode} ${path}` })
}
