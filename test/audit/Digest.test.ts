import { assert, describe, it } from "@effect/vitest"
import * as Redacted from "effect/Redacted"
import * as Crypto from "node:crypto"
import { Content } from "../../src/base/Content.ts"
import { Chain, makeSalts, salted } from "../../src/audit/Digest.ts"

describe("Digest", () => {
  it("salts by HMAC-SHA-256 of call and field", () => {
    for (const length of [1, 32, 64]) {
      const key = Crypto.randomBytes(length)
      const salts = makeSalts(Redacted.make(key))
      for (const field of ["requested", "edits/überschrift/from", "x".repeat(10_000)])
        assert.deepStrictEqual(
          Buffer.from(salts("call-1", field)),
          Crypto.createHmac("sha256", key).update(`call-1/${field}`).digest()
        )
    }
    assert.throws(() => makeSalts(Redacted.make(new Uint8Array(65))), RangeError)
  })

  it("digests salt and content, short or long", () => {
    const salt = Crypto.randomBytes(32)
    for (const content of ["", "a", "é🙂", "é".repeat(40_000), "x".repeat(300_000)])
      assert.strictEqual(
        salted(salt, new Content(content)),
        `sha-256:${Crypto.createHash("sha256").update(salt).update(Crypto.createHash("sha256").update(content).digest()).digest("base64url")}`
      )
  })

  it("keeps where one chunk ends and the next begins apart", () => {
    const chain = (...chunks: ReadonlyArray<string>): string => {
      const made = new Chain(new Uint8Array(32))
      for (const chunk of chunks) made.add(chunk)
      return made.digest
    }
    assert.notStrictEqual(chain("ab", "c"), chain("a", "bc"))
    assert.notStrictEqual(chain("ab"), chain("ab", ""))
    assert.strictEqual(chain("é".repeat(50_000), "c"), chain("é".repeat(50_000), "c"))
  })
})
