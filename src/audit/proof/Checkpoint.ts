/**
 * A checkpoint: the size and root of the log at one moment, signed as a C2SP signed note (c2sp.org/signed-note,
 * c2sp.org/tlog-checkpoint), and the verifier key (`vkey`) that it is checked by.
 */
import * as Result from "effect/Result"
import * as Crypto from "node:crypto"
import { type AnyKey, type PublicKey, signAs, type SigningKey, verify as verifySignature } from "../../keys/Keys.ts"

/** Size and root of a log. */
export interface Checkpoint {
  /** Which log: `secure-openai/` and 16 hex digits. Also the name of its key. */
  readonly origin: string
  readonly size: number
  /** 32 bytes. */
  readonly root: Uint8Array
}

/** A checkpoint with its signatures, as read. */
export interface Note extends Checkpoint {
  /** What was signed. */
  readonly text: string
  readonly signatures: ReadonlyArray<Signature>
}

/** One signature line of a note. */
export interface Signature {
  readonly name: string
  /** 4 bytes. */
  readonly keyId: Uint8Array
  readonly signature: Uint8Array
}

/** An Ed25519 key that notes are verified by, under a name. */
export interface VerifierKey {
  readonly name: string
  /** 4 bytes. */
  readonly keyId: Uint8Array
  /** 32 bytes. */
  readonly publicKey: Uint8Array
}

/** Signature type Ed25519 of c2sp.org/signed-note. */
const ed25519 = 0x01

/** First 4 bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key) (c2sp.org/signed-note). */
export const keyId = (name: string, publicKey: Uint8Array): Uint8Array =>
  Crypto.createHash("sha256")
    .update(`${name}\n`)
    .update(Uint8Array.of(ed25519))
    .update(publicKey)
    .digest()
    .subarray(0, 4)

/** The key that verifies what `key` signs under `name`. */
export const verifierKey = (name: string, publicKey: Uint8Array): VerifierKey => ({
  name,
  keyId: keyId(name, publicKey),
  publicKey
})

/** `<name>+<hex key id>+<base64(0x01 ‖ public key)>`, without a newline (c2sp.org/signed-note). */
export const formatVerifierKey = (key: VerifierKey): string =>
  `${key.name}+${hex(key.keyId)}+${base64(Buffer.concat([Uint8Array.of(ed25519), key.publicKey]))}`

/** Reads a vkey, without a newline. The failure says what is wrong. */
export const parseVerifierKey = (line: string): Result.Result<VerifierKey, string> => {
  const parts = /^([^+\p{White_Space}\p{Cc}\ufeff]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/u.exec(line)
  if (parts === null) return Result.fail("a vkey is <name>+<8 hex digits>+<base64>")
  const [, name = "", id = "", encoded = ""] = parts
  const bytes = fromBase64(encoded)
  if (bytes === undefined || bytes.length !== 33 || bytes[0] !== ed25519)
    return Result.fail("the vkey does not hold an Ed25519 public key")
  const key = verifierKey(name, Uint8Array.from(bytes.subarray(1)))
  return hex(key.keyId) === id ? Result.succeed(key) : Result.fail(`the vkey's id is ${hex(key.keyId)}, not ${id}`)
}

/** Reads a `vkey` file: one vkey a line, the newest last, each ended by a newline. */
export const parseVerifierKeys = (text: string): Result.Result<ReadonlyArray<VerifierKey>, string> => {
  if (!text.endsWith("\n")) return Result.fail("the last line does not end with a newline")
  return Result.all(text.slice(0, -1).split("\n").map(parseVerifierKey))
}

/** The text that is signed: origin, size and root, a line each (c2sp.org/tlog-checkpoint). */
export const checkpointText = ({ origin, root, size }: Checkpoint): string => `${origin}\n${size}\n${base64(root)}\n`

/** A signed checkpoint, as it is written. */
export const signCheckpoint = (checkpoint: Checkpoint, key: SigningKey<"log">): string =>
  noteOf(checkpoint, [key], [signAs(key, "checkpoint", Buffer.from(checkpointText(checkpoint))) as Uint8Array])

/**
 * A checkpoint signed by every key: while a log key rotates by the old and the new one. A promise where a key is held
 * elsewhere.
 */
export const signCheckpointBy = (
  checkpoint: Checkpoint,
  keys: ReadonlyArray<AnyKey<"log">>
): string | Promise<string> => {
  const text = Buffer.from(checkpointText(checkpoint))
  const signatures = keys.map((key) => signAs(key, "checkpoint", text))
  return signatures.every((signature) => signature instanceof Uint8Array)
    ? noteOf(checkpoint, keys, signatures)
    : Promise.all(signatures).then((all) => noteOf(checkpoint, keys, all))
}

const noteOf = (
  checkpoint: Checkpoint,
  keys: ReadonlyArray<PublicKey>,
  signatures: ReadonlyArray<Uint8Array>
): string => {
  const { origin } = checkpoint
  const lines = keys.map((key, i) => {
    const line = base64(Buffer.concat([keyId(origin, key.publicKey), signatures[i] ?? new Uint8Array()]))
    return `— ${origin} ${line}\n`
  })
  return `${checkpointText(checkpoint)}\n${lines.join("")}`
}

/** Reads a signed checkpoint. Nothing of it is to be believed before {@link verifyNote}. The failure says what is wrong. */
export const parseNote = (note: string): Result.Result<Note, string> => {
  const end = note.indexOf("\n\n")
  if (end < 0) return Result.fail("there is no empty line between text and signatures")
  const text = note.slice(0, end + 1)
  const [origin = "", decimal = "", encoded = "", ...more] = text.slice(0, -1).split("\n")
  if (!name.test(origin)) return Result.fail("the origin is empty or holds a space or a plus")
  const size = Number(decimal)
  if (!/^(0|[1-9][0-9]*)$/.test(decimal) || !Number.isSafeInteger(size)) return Result.fail("the size is not a number")
  const root = fromBase64(encoded)
  if (root === undefined || root.length !== 32) return Result.fail("the root is not 32 bytes in base64")
  if (more.length > 0) return Result.fail("there are more lines than origin, size and root")
  const lines = note.slice(end + 2)
  if (!lines.endsWith("\n")) return Result.fail("the last signature line does not end with a newline")
  return Result.map(Result.all(lines.slice(0, -1).split("\n").map(parseSignature)), (signatures) => ({
    origin,
    size,
    root: Uint8Array.from(root),
    text,
    signatures
  }))
}

const parseSignature = (line: string): Result.Result<Signature, string> => {
  const parts = /^— ([^+\p{White_Space}\p{Cc}\ufeff]+) ([A-Za-z0-9+/]+=*)$/u.exec(line)
  const bytes = parts === null ? undefined : fromBase64(parts[2] ?? "")
  return parts === null || bytes === undefined || bytes.length < 5
    ? Result.fail("a signature line is not “— <name> <base64>”")
    : Result.succeed({
        name: parts[1] ?? "",
        keyId: Uint8Array.from(bytes.subarray(0, 4)),
        signature: Uint8Array.from(bytes.subarray(4))
      })
}

/**
 * The keys among `keys` that signed the note under its origin. Signatures by other names and other keys do not count; a
 * signature of one of `keys` that does not verify spoils the note: then none did (c2sp.org/signed-note).
 */
export const signersOf = (note: Note, keys: ReadonlyArray<VerifierKey>): ReadonlyArray<VerifierKey> => {
  const signers: Array<VerifierKey> = []
  for (const { keyId, name, signature } of note.signatures) {
    if (name !== note.origin) continue
    const held = keys.filter((key) => key.name === name && Buffer.compare(keyId, key.keyId) === 0)
    if (held.length === 0) continue
    const signer = held.find((key) => verifySignature(key.publicKey, Buffer.from(note.text), signature))
    if (signer === undefined) return []
    signers.push(signer)
  }
  return signers
}

/** True where one of `keys` signed the note under its origin, as {@link signersOf} tells. */
export const verifyNote = (note: Note, keys: ReadonlyArray<VerifierKey>): boolean => signersOf(note, keys).length > 0

/** A name of a log or of another signer (c2sp.org/signed-note), without control characters and byte order marks. */
const name = /^[^+\p{White_Space}\p{Cc}\ufeff]+$/u

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64")

/** The bytes, where `text` is their one canonical base64 with padding (RFC 4648 §4). */
const fromBase64 = (text: string): Buffer | undefined => {
  const bytes = Buffer.from(text, "base64")
  return bytes.toString("base64") === text ? bytes : undefined
}
