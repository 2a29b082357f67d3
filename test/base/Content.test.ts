import { assert, describe, it } from "@effect/vitest"
import * as Crypto from "node:crypto"
import { Content } from "../../src/base/Content.ts"

const large = "Größe 😀 ".repeat(1_000_000)

describe("Content", () => {
  it.each(["", "a", "é🙂", large])("has the digest of its UTF-8, taken at once or in parts", async (text) => {
    const expected = Crypto.createHash("sha256").update(text).digest()
    assert.deepStrictEqual(Buffer.from(new Content(text).digest), expected)
    const content = new Content(text)
    await content.hash()
    assert.deepStrictEqual(Buffer.from(content.digest), expected)
    assert.strictEqual(content.spelledDigest, `sha-256:${expected.toString("base64url")}`)
    assert.strictEqual(content.bytes.toString(), text)
  })

  it("lets other work in between the parts of a large text", async () => {
    const content = new Content(large)
    let turns = 0
    let isOver = false
    const count = (): void => {
      turns++
      if (!isOver) setImmediate(count)
    }
    setImmediate(count)
    await content.hash()
    isOver = true
    assert.isAtLeast(turns, content.bytes.length / (4 * 1024 * 1024))
  })
})
