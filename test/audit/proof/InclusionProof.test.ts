/**
 * A proof as text, with any single bit of it the other way: a proof holds its size by the checkpoint that is signed, and every
 * other thing by the hashes.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import {
  parseVerifierKey,
  signCheckpoint,
  verifierKey,
  formatVerifierKey
} from "../../../src/audit/proof/Checkpoint.ts"
import { inclusionProof, leafHash, rootOf } from "../../../src/audit/proof/MerkleTree.ts"
import { checkProof } from "../../../src/audit/proof/InclusionProof.ts"
import { canonicalize } from "../../../src/base/CanonicalJson.ts"
import { depth } from "../../depth.ts"
import { key } from "../logs.ts"

const origin = "secure-openai/0123456789abcdef"
const keys = [Result.getOrThrow(parseVerifierKey(formatVerifierKey(verifierKey(origin, key.publicKey))))]
const lines = Array.from({ length: 32 }, (_, seq) =>
  Buffer.from(canonicalize({ v: 1, seq, id: "x", ts: 1, boot: "b", kind: "log.open" }))
)
const leaves = lines.map((line) => leafHash(line))

const proofOf = (index: number, size: number): string => {
  const hashes = inclusionProof(leaves.slice(0, size), index).map((hash) => Buffer.from(hash).toString("base64"))
  const note = signCheckpoint({ origin, size, root: rootOf(leaves.slice(0, size)) }, key)
  return `${["c2sp.org/tlog-proof@v1", `index ${index}`, ...hashes].join("\n")}\n\n${note}`
}

/**
 * Asserts that the text, with a bit of it from byte `from` to `to` the other way, proves nothing; gives how many. Of five bits
 * that follow, one is tried, another at another index; the deep tests try each.
 */
const refuseFlips = (text: string, index: number, from: number, to: number): number => {
  const bytes = Buffer.from(text)
  const line = lines[index] ?? Buffer.alloc(0)
  const step = depth(5, 1)
  const first = 8 * from + (index % step)
  for (let bit = first; bit < 8 * to; bit += step) {
    const at = bit >> 3
    const byte = bytes[at] ?? 0
    bytes[at] = byte ^ (1 << (bit & 7))
    if (Result.isSuccess(checkProof(bytes.toString("utf8"), line, keys)))
      assert.fail(`bit ${bit} of the proof of ${index} is not missed: ${bytes.toString()}`)
    bytes[at] = byte
  }
  return Math.ceil((8 * to - first) / step)
}

describe("a proof, in every log of up to 32 records", { timeout: 300_000 }, () => {
  it("holds for its record, and for no other", () => {
    for (let size = 1; size <= 32; size++)
      for (let index = 0; index < size; index++) {
        const text = proofOf(index, size)
        for (const [at, line] of lines.entries())
          assert.strictEqual(
            Result.isSuccess(checkProof(text, line, keys)),
            at === index,
            `${at} for ${index} of ${size}`
          )
      }
  })

  it("is refused with any single bit of its first lines or of its hashes wrong", () => {
    let refused = 0
    for (let size = 1; size <= 32; size++)
      for (let index = 0; index < size; index++) {
        const text = proofOf(index, size)
        const second = text.indexOf("index")
        const hashes = text.indexOf("\n", second)
        // The hashes of every place in small logs, and of one in larger ones: MerkleTree's own test has them all.
        const from = index === 0 ? 0 : second
        refused += refuseFlips(
          text,
          index,
          from,
          size <= 6 || (size % 4 === 3 && index === size >> 1) ? text.indexOf("\n\n") + 2 : hashes
        )
      }
    assert.isAbove(refused, 50_000 / depth(5, 1))
  })

  it("is refused with any single bit of its checkpoint wrong, its size too", () => {
    let refused = 0
    for (let size = 1; size <= 32; size++) {
      const text = proofOf(size >> 1, size)
      refused += refuseFlips(text, size >> 1, text.indexOf("\n\n"), Buffer.byteLength(text))
    }
    assert.isAbove(refused, 50_000 / depth(5, 1))
  })
})
