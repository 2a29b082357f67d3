import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Crypto from "node:crypto"
import {
  consistencyProof,
  emptyRoot,
  Frontier,
  inclusionProof,
  leafHash,
  rootOf,
  verifyConsistency,
  verifyInclusion
} from "../../../src/audit/proof/MerkleTree.ts"

const sha256 = (...parts: ReadonlyArray<Uint8Array>): Buffer =>
  Crypto.createHash("sha256").update(Buffer.concat(parts)).digest()

/** The definition of RFC 6962 §2.1, word for word: what the tree is checked against. */
const naiveRoot = (leaves: ReadonlyArray<Uint8Array>): Uint8Array => {
  if (leaves.length === 0) return sha256()
  if (leaves.length === 1) return leaves[0]!
  let k = 1
  while (k * 2 < leaves.length) k *= 2
  return sha256(Uint8Array.of(1), naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)))
}

const leaves = Array.from({ length: 65 }, (_, i) => leafHash(`leaf ${i}`))
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

describe("MerkleTree", () => {
  it("gives the roots that Certificate Transparency's own tests expect", () => {
    const inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    const roots = [
      "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
      "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
      "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
      "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
      "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
      "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    ]
    const frontier = new Frontier()
    assert.strictEqual(hex(frontier.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    assert.strictEqual(hex(emptyRoot), hex(frontier.root()))
    for (const [i, input] of inputs.entries()) {
      frontier.append(leafHash(Buffer.from(input, "hex")))
      assert.strictEqual(hex(frontier.root()), roots[i])
    }
  })

  it("hashes a text as its UTF-8 bytes", () => {
    for (const text of ["", "a", "é", "🙂", "\u0000", "long ".repeat(1000)])
      assert.strictEqual(hex(leafHash(text)), hex(sha256(Uint8Array.of(0), Buffer.from(text))))
  })

  it("grows to the root of the definition, at every size", () => {
    const frontier = new Frontier()
    for (const [i, leaf] of leaves.entries()) {
      frontier.append(leaf)
      assert.strictEqual(frontier.size, i + 1)
      assert.strictEqual(hex(frontier.root()), hex(naiveRoot(leaves.slice(0, i + 1))))
    }
  })

  it("says what is wrong, with both sides of a mismatch", () => {
    const root = rootOf(leaves.slice(0, 4))
    const fault = (result: Result.Result<void, string>): string => Result.getOrElse(Result.flip(result), () => "")
    assert.include(fault(verifyInclusion(leaves[0]!, 4, 4, [], root)), "no leaf 4 in a tree of 4")
    assert.include(fault(verifyInclusion(leaves[0]!, 0, 4, [Uint8Array.of(1)], root)), "1 bytes")
    const wrong = fault(verifyInclusion(leaves[0]!, 0, 1, [], root))
    assert.include(wrong, Buffer.from(leaves[0]!).toString("base64"))
    assert.include(wrong, Buffer.from(root).toString("base64"))
    assert.include(fault(verifyConsistency(0, 4, [], emptyRoot, root)), "from size 0")
    assert.throws(() => inclusionProof([], 0), RangeError)
    assert.throws(() => consistencyProof(leaves, 0), RangeError)
  })

  it("counts beyond 32 bits", () => {
    // The last leaf of a tree of 2^40 + 1 hangs directly below the root.
    const left = leaves[0]!
    const root = sha256(Uint8Array.of(1), left, leaves[1]!)
    assert.isTrue(Result.isSuccess(verifyInclusion(leaves[1]!, 2 ** 40, 2 ** 40 + 1, [left], root)))
    assert.isTrue(Result.isSuccess(verifyConsistency(2 ** 40, 2 ** 40 + 1, [leaves[1]!], left, root)))
  })
})
