/**
 * Salted digests of content (audit format, "Digests of content"): what a record says of a prompt or an answer. The salt keeps
 * short content from being guessed, and differs for each call and field.
 */
import * as Redacted from "effect/Redacted"
import * as Crypto from "node:crypto"
import { type Content, spell } from "../base/Content.ts"

/** SHA-256 (FIPS 180-4) of bytes, or of a text's UTF-8, 32 bytes. */
export const sha256 = (data: string | Uint8Array): Uint8Array =>
  // By way of a string this takes a third of the time that node:crypto takes to give bytes.
  Buffer.from(Crypto.hash("sha256", data, "binary"), "latin1")

/** The salt of a field of a call: HMAC-SHA-256 of `<call>/<field>` by the secret salt key, 32 bytes. */
export type Salts = (call: string, field: string) => Uint8Array

/**
 * The salts that a salt key of at most 64 bytes gives. HMAC (RFC 2104) is two hashes, spelt out here: a Hmac object of
 * node:crypto costs several times as much as both.
 */
export const makeSalts = (key: Redacted.Redacted<Uint8Array>): Salts => {
  const inner = pad(Redacted.value(key), 0x36)
  const outer = pad(Redacted.value(key), 0x5c)
  return (call, field) => {
    const text = `${call}/${field}`
    const message = room(inner.length, text)
    message.set(inner)
    const hash = sha256(message.subarray(0, inner.length + message.write(text, inner.length)))
    const last = room(outer.length + hash.length, "")
    last.set(outer)
    last.set(hash, outer.length)
    return sha256(last.subarray(0, outer.length + hash.length))
  }
}

/** The key in a block of SHA-256, each byte mixed with `byte` (RFC 2104 §2). */
const pad = (key: Uint8Array, byte: number): Uint8Array => {
  if (key.length > 64) throw new RangeError("a salt key has at most 64 bytes")
  return Uint8Array.from({ length: 64 }, (_, i) => (key[i] ?? 0) ^ byte)
}

let scratch = Buffer.alloc(16_384)

/** A buffer with room for so many bytes and a text after them, until the next call. */
const room = (bytes: number, text: string): Buffer => {
  // UTF-8 has at most three bytes for a UTF-16 code unit.
  if (scratch.length < bytes + text.length * 3) scratch = Buffer.alloc(bytes + text.length * 3)
  return scratch
}

/** The rule that {@link salted} follows, as records and receipts name it (audit format, "Digests of content"). */
export const digests = 2

/**
 * The digest of a field, as a record spells it: `sha-256:` and the base64url SHA-256 of the field's salt and the SHA-256 of its
 * bytes. The bytes are hashed once, whatever is said of them.
 */
export const salted = (salt: Uint8Array, { digest }: Content): string => {
  const bytes = room(salt.length + digest.length, "")
  bytes.set(salt)
  bytes.set(digest, salt.length)
  return `sha-256:${Crypto.hash("sha256", bytes.subarray(0, salt.length + digest.length), "base64url")}`
}

/** The chain r₀ = SHA-256(salt), rᵢ = SHA-256(rᵢ₋₁ ‖ uint32be length ‖ data) over the chunks of a stream. */
export class Chain {
  /** A character for each byte: that is how node:crypto gives a hash at the least price, and how a buffer takes it. */
  #link: string
  constructor(salt: Uint8Array) {
    this.#link = Crypto.hash("sha256", salt, "binary")
  }
  /** Takes in the next chunk's data. */
  add(data: string): void {
    const bytes = room(36, data)
    const length = bytes.write(data, 36)
    bytes.write(this.#link, 0, 32, "latin1")
    bytes.writeUInt32BE(length, 32)
    this.#link = Crypto.hash("sha256", bytes.subarray(0, 36 + length), "binary")
  }
  /** The last link, as a record spells it. */
  get digest(): string {
    return spell(Buffer.from(this.#link, "latin1"))
  }
}
