/**
 * A text that is sent or was received, with what is made of it once: its UTF-8 and the SHA-256 of that. Several stages ask
 * for both, and a body may be 20 MB long.
 */
import * as Crypto from "node:crypto"
import { anotherTurn } from "./EventLoop.ts"
import { inexactMembers, inexactNumbers } from "./JsonNumbers.ts"

/**
 * A text by its bytes.
 *
 * @category models
 */
export class Content {
  readonly text: string
  #bytes: Buffer | undefined
  #digest: Buffer | undefined
  #mayBeInexact: boolean | undefined
  #inexact: ReadonlyMap<string, string> | undefined
  #inexactMembers: ReadonlyMap<string, string> | undefined

  constructor(text: string) {
    this.text = text
  }

  /** The text that is written in these bytes of UTF-8. */
  static of(bytes: Buffer): Content {
    const content = new Content(bytes.toString("utf8"))
    content.#bytes = bytes
    return content
  }

  /** The text's UTF-8. Nobody writes into it. */
  get bytes(): Buffer {
    return (this.#bytes ??= Buffer.from(this.text))
  }

  /** SHA-256 (FIPS 180-4) of {@link bytes}, 32 bytes. */
  get digest(): Uint8Array {
    // By way of a string this takes a third of the time that node:crypto takes to give bytes.
    return (this.#digest ??= Buffer.from(Crypto.hash("sha256", this.bytes, "binary"), "latin1"))
  }

  /** {@link digest} as records and envelopes {@link spell} it. */
  get spelledDigest(): string {
    return spell(this.digest)
  }

  /** Of JSON: its numbers that readers take for different ones, by their paths, as they are written. */
  get inexact(): ReadonlyMap<string, string> {
    return (this.#inexact ??= this.#hasLongNumber ? inexactNumbers(this.bytes) : none)
  }

  /** The one at a path, if it is one. What is asked of members of the whole does not look inside of them. */
  inexactAt(path: string): string | undefined {
    if (/[.[]/u.test(path)) return this.inexact.get(path)
    return (this.#inexactMembers ??= this.#hasLongNumber ? inexactMembers(this.bytes) : none).get(path)
  }

  get #hasLongNumber(): boolean {
    return (this.#mayBeInexact ??= longNumber.test(this.text))
  }

  /** True where what is made of the text would hold up the event loop. */
  get isLarge(): boolean {
    return isLarge(this.text)
  }

  /** Takes the digest of a large text, a part of it in each turn of the event loop; of any other nothing is done. */
  async hash(): Promise<void> {
    if (!this.isLarge || this.#digest !== undefined) return
    const { bytes } = this
    const hash = Crypto.createHash("sha256")
    for (let from = 0; from < bytes.length; from += mostHashed) {
      await anotherTurn()
      hash.update(bytes.subarray(from, from + mostHashed))
    }
    this.#digest ??= hash.digest()
  }
}

/** What looks like a number that a double may not hold: one of 16 characters, or with an exponent. */
const longNumber = /[\d.-]{16}|\d[eE]/

const none: ReadonlyMap<string, string> = new Map()

/** `sha-256:` and the hash in base64url without padding. */
export const spell = (hash: Uint8Array): string => `sha-256:${Buffer.from(hash).toString("base64url")}`

/** True for a text that takes a while to read: what is made of it would hold up the event loop. */
export const isLarge = (text: string): boolean => text.length > mostAtOnce

/** How many UTF-16 code units are worked on in one go. */
const mostAtOnce = 1024 * 1024

/** How many bytes are hashed in one turn: 3 ms of work, and 20 where the processor has no instructions for it. */
const mostHashed = 4 * 1024 * 1024
