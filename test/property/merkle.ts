/**
 * Every proof of every tree of up to so many leaves, 256 at most, checked by a second implementation that follows the definitions of RFC 6962
 * §2.1 word for word; and for smaller trees every single bit that a proof, an index, a size or a root can
 * have wrong.
 */
import * as Result from "effect/Result"
import * as Crypto from "node:crypto"
import { assert, describe, it } from "vitest"
import {
  consistencyProof,
  inclusionProof,
  leafHash,
  rootOf,
  verifyConsistency,
  verifyInclusion
} from "../../src/audit/proof/MerkleTree.ts"

type Hash = Uint8Array

const sha256 = (...parts: ReadonlyArray<Hash>): Hash =>
  Crypto.createHash("sha256").update(Buffer.concat(parts)).digest()
const node = (left: Hash, right: Hash): Hash => sha256(Uint8Array.of(1), left, right)

const leaves = Array.from({ length: 256 }, (_, i) => leafHash(`leaf ${i}`))

/** The largest power of two below n. */
const split = (n: number): number => 2 ** (Math.ceil(Math.log2(n)) - 1)

const memory = new Map<string, Hash>()
/** MTH(D[from:to]). */
const mth = (from: number, to: number): Hash => {
  const name = `${from}:${to}`
  const known = memory.get(name)
  if (known !== undefined) return known
  const n = to - from
  const leaf = leaves[from]
  const hash =
    n === 0 || leaf === undefined
      ? sha256()
      : n === 1
        ? leaf
        : node(mth(from, from + split(n)), mth(from + split(n), to))
  memory.set(name, hash)
  return hash
}

/** PATH(m, D[from:to]). */
const path = (m: number, from: number, to: number): ReadonlyArray<Hash> => {
  const n = to - from
  if (n === 1) return []
  const k = split(n)
  return m < k ? [...path(m, from, from + k), mth(from + k, to)] : [...path(m - k, from + k, to), mth(from, from + k)]
}

/** SUBPROOF(m, D[from:to], b). */
const subproof = (m: number, from: number, to: number, b: boolean): ReadonlyArray<Hash> => {
  const n = to - from
  if (m === n) return b ? [] : [mth(from, to)]
  const k = split(n)
  return m <= k
    ? [...subproof(m, from, from + k, b), mth(from + k, to)]
    : [...subproof(m - k, from + k, to, false), mth(from, from + k)]
}

/** The root that PATH(m, n) leads to, from the top down; undefined where it has too few or too many hashes. */
const rootByPath = (leaf: Hash, m: number, n: number, proof: ReadonlyArray<Hash>): Hash | undefined => {
  if (n === 1) return proof.length === 0 ? leaf : undefined
  const last = proof.at(-1)
  if (last === undefined) return undefined
  const k = split(n)
  const below = m < k ? rootByPath(leaf, m, k, proof.slice(0, -1)) : rootByPath(leaf, m - k, n - k, proof.slice(0, -1))
  return below && (m < k ? node(below, last) : node(last, below))
}

/** Old and new root that PROOF(m, n) leads to; `old` is the old root where the verifier knows it. */
const rootsByProof = (
  m: number,
  n: number,
  proof: ReadonlyArray<Hash>,
  old: Hash | undefined
): readonly [Hash, Hash] | undefined => {
  if (m === n) {
    const own = old ?? proof[0]
    return own !== undefined && proof.length === (old === undefined ? 1 : 0) ? [own, own] : undefined
  }
  const last = proof.at(-1)
  if (last === undefined) return undefined
  const k = split(n)
  const rest = proof.slice(0, -1)
  if (m <= k) {
    const below = rootsByProof(m, k, rest, old)
    return below && [below[0], node(below[1], last)]
  }
  const below = rootsByProof(m - k, n - k, rest, undefined)
  return below && [node(last, below[0]), node(last, below[1])]
}

const hex = (hash: Hash | undefined): string => (hash === undefined ? "" : Buffer.from(hash).toString("hex"))
const spelt = (hashes: ReadonlyArray<Hash>): string => hashes.map(hex).join()

/** The hash with each of its 256 bits the other way. */
const flips = (hash: Hash): ReadonlyArray<Hash> =>
  Array.from({ length: 256 }, (_, bit) => hash.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte)))

/** The lists with one bit of one hash the other way. */
function* flipped(proof: ReadonlyArray<Hash>): Generator<ReadonlyArray<Hash>> {
  for (const [at, hash] of proof.entries())
    for (const other of flips(hash)) yield [...proof.slice(0, at), other, ...proof.slice(at + 1)]
}

/** The lists with a hash left out, doubled, or one more at either end. */
function* miscounted(proof: ReadonlyArray<Hash>): Generator<ReadonlyArray<Hash>> {
  yield [...proof, mth(0, 1)]
  yield [mth(0, 1), ...proof]
  for (const at of proof.keys()) {
    yield [...proof.slice(0, at), ...proof.slice(at + 1)]
    yield [...proof.slice(0, at + 1), ...proof.slice(at)]
  }
}

/** The number with each of its lower 32 bits the other way. */
const flippedNumbers = (n: number): ReadonlyArray<number> =>
  Array.from({ length: 32 }, (_, bit) => (n ^ (1 << bit)) >>> 0)

const holds = (result: Result.Result<void, string>): boolean => Result.isSuccess(result)

/** How many leaves the trees have at most: of right proofs, and of wrong ones. */
export interface Sizes {
  readonly right: number
  readonly wrong: number
  /** How many wrong proofs are tried at least, of each kind. */
  readonly refused: number
  /** How many proofs of either kind are right for a tree of another size too. */
  readonly alike: number
}

/** Declares the tests. */
export const proofs = ({ right, wrong: mostWrong, refused: least, alike }: Sizes): void => {
  describe("every Merkle proof", { timeout: 300_000 }, () => {
    it(`of inclusion, in every tree of up to ${right} leaves`, () => {
      let count = 0
      for (let n = 1; n <= right; n++) {
        const tree = leaves.slice(0, n)
        const root = rootOf(tree)
        assert.strictEqual(hex(root), hex(mth(0, n)))
        for (let i = 0; i < n; i++) {
          const leaf = mth(i, i + 1)
          const proof = inclusionProof(tree, i)
          if (spelt(proof) !== spelt(path(i, 0, n))) assert.fail(`${i} of ${n} is not PATH`)
          if (hex(rootByPath(leaf, i, n, proof)) !== hex(root)) assert.fail(`${i} of ${n} does not lead to the root`)
          if (!holds(verifyInclusion(leaf, i, n, proof, root))) assert.fail(`${i} of ${n} is refused`)
          count++
        }
      }
      assert.strictEqual(count, (right * (right + 1)) / 2)
    })

    it(`of consistency, between every two trees of up to ${right} leaves`, () => {
      let count = 0
      for (let n = 1; n <= right; n++) {
        const tree = leaves.slice(0, n)
        const root = mth(0, n)
        for (let m = 1; m <= n; m++) {
          const old = mth(0, m)
          const proof = consistencyProof(tree, m)
          if (spelt(proof) !== spelt(subproof(m, 0, n, true))) assert.fail(`${m} to ${n} is not PROOF`)
          if (spelt(rootsByProof(m, n, proof, old) ?? []) !== spelt([old, root]))
            assert.fail(`${m} to ${n} leads elsewhere`)
          if (!holds(verifyConsistency(m, n, proof, old, root))) assert.fail(`${m} to ${n} is refused`)
          count++
        }
      }
      assert.strictEqual(count, (right * (right + 1)) / 2)
    })

    it(`of inclusion is refused with any single bit wrong, or a hash too few or too many, up to ${mostWrong} leaves`, () => {
      let refused = 0
      const accepted: Array<string> = []
      for (let n = 1; n <= mostWrong; n++) {
        const root = mth(0, n)
        for (let i = 0; i < n; i++) {
          const leaf = mth(i, i + 1)
          const proof = path(i, 0, n)
          const refuse = (what: string, l: Hash, at: number, size: number, p: ReadonlyArray<Hash>, r: Hash): void => {
            if (holds(verifyInclusion(l, at, size, p, r))) assert.fail(`${i} of ${n} with ${what} is accepted`)
            refused++
          }
          for (const wrong of flipped(proof)) refuse("a bit of a hash", leaf, i, n, wrong, root)
          for (const wrong of miscounted(proof)) refuse("another number of hashes", leaf, i, n, wrong, root)
          for (const wrong of flips(leaf)) refuse("a bit of the leaf", wrong, i, n, proof, root)
          for (const wrong of flips(root)) refuse("a bit of the root", leaf, i, n, proof, wrong)
          for (const wrong of flippedNumbers(i)) refuse(`index ${wrong}`, leaf, wrong, n, proof, root)
          for (const wrong of flippedNumbers(n)) {
            // A path does not tell the size apart where it is the same path in both trees.
            const same = wrong <= 256 && i < wrong && hex(rootByPath(leaf, i, wrong, proof)) === hex(root)
            if (same) accepted.push(`${i} of ${n} as of ${wrong}`)
            else refuse(`size ${wrong}`, leaf, i, wrong, proof, root)
          }
        }
      }
      assert.isAbove(refused, least)
      // A path is the same in trees of several sizes: whoever checks a proof takes size and root from one signed checkpoint (Proof.ts).
      assert.deepStrictEqual(
        [accepted.length, accepted.slice(0, 3)],
        [alike, ["0 of 5 as of 7", "1 of 5 as of 7", "2 of 5 as of 7"]]
      )
    })

    it(`of consistency is refused with any single bit wrong, or a hash too few or too many, up to ${mostWrong} leaves`, () => {
      let refused = 0
      const accepted: Array<string> = []
      for (let n = 1; n <= mostWrong; n++) {
        const root = mth(0, n)
        for (let m = 1; m <= n; m++) {
          const old = mth(0, m)
          const proof = subproof(m, 0, n, true)
          const refuse = (what: string, from: number, to: number, p: ReadonlyArray<Hash>, a: Hash, b: Hash): void => {
            if (holds(verifyConsistency(from, to, p, a, b))) assert.fail(`${m} to ${n} with ${what} is accepted`)
            refused++
          }
          for (const wrong of flipped(proof)) refuse("a bit of a hash", m, n, wrong, old, root)
          for (const wrong of miscounted(proof)) refuse("another number of hashes", m, n, wrong, old, root)
          for (const wrong of flips(old)) refuse("a bit of the old root", m, n, proof, wrong, root)
          for (const wrong of flips(root)) refuse("a bit of the root", m, n, proof, old, wrong)
          for (const wrong of flippedNumbers(m)) {
            const roots = wrong >= 1 && wrong <= n ? rootsByProof(wrong, n, proof, old) : undefined
            if (roots !== undefined && spelt(roots) === spelt([old, root]))
              accepted.push(`${m} to ${n} as from ${wrong}`)
            else refuse(`old size ${wrong}`, wrong, n, proof, old, root)
          }
          for (const wrong of flippedNumbers(n)) {
            const roots = wrong >= m && wrong <= 256 ? rootsByProof(m, wrong, proof, old) : undefined
            if (roots !== undefined && spelt(roots) === spelt([old, root])) accepted.push(`${m} to ${n} as to ${wrong}`)
            else refuse(`size ${wrong}`, m, wrong, proof, old, root)
          }
        }
      }
      assert.isAbove(refused, least)
      assert.deepStrictEqual(
        [accepted.length, accepted.slice(0, 3)],
        [alike, ["1 to 5 as to 7", "2 to 5 as to 7", "3 to 5 as to 7"]]
      )
    })
  })
}
