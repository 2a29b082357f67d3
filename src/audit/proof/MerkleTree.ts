/**
 * The Merkle tree of RFC 6962 over SHA-256: an append-only list of leaves with one root for every size, a proof that a leaf
 * is in it (inclusion) and a proof that one size extends another (consistency). Verification follows RFC 9162, §2.1.3.2 and
 * §2.1.4.2. Sizes and indices are safe integers; hashes are 32 bytes.
 */
import * as Result from "effect/Result"
import { sha256 } from "../Digest.ts"

/** Length of a hash, in bytes. */
export const hashLength = 32

/** Root of the tree without leaves: SHA-256 of nothing (RFC 6962 §2.1). */
export const emptyRoot: Uint8Array = sha256("")

/** SHA-256(0x00 ‖ the leaf's bytes, or a text's UTF-8) (RFC 6962 §2.1). */
export const leafHash = (leaf: string | Uint8Array): Uint8Array =>
  sha256(typeof leaf === "string" ? `\u0000${leaf}` : Buffer.concat([Uint8Array.of(0), leaf]))

const scratch = Buffer.alloc(1 + 2 * hashLength, 1)

/** SHA-256(0x01 ‖ left ‖ right) (RFC 6962 §2.1). */
export const nodeHash = (left: Uint8Array, right: Uint8Array): Uint8Array => {
  scratch.set(left, 1)
  scratch.set(right, 1 + hashLength)
  return sha256(scratch)
}

/**
 * The right edge of a growing tree: the roots of the perfect subtrees that its leaves make, largest first, one for each bit
 * that is set in the size. Enough to append and to compute the root; not to prove.
 *
 * @category models
 */
export class Frontier {
  #size = 0
  readonly #roots: Array<Uint8Array> = []

  /** How many leaves were appended. */
  get size(): number {
    return this.#size
  }

  /** Adds a leaf by its hash. */
  append(leaf: Uint8Array): void {
    let root = leaf
    // Each bit that carries joins two perfect subtrees of one height.
    for (let rest = this.#size; rest % 2 === 1; rest = half(rest)) root = nodeHash(this.#roots.pop() ?? root, root)
    this.#roots.push(root)
    this.#size++
  }

  /** The root of the leaves so far (RFC 6962 §2.1). */
  root(): Uint8Array {
    return this.#roots.length === 0 ? emptyRoot : this.#roots.reduceRight((right, left) => nodeHash(left, right))
  }

  /**
   * The frontier in bytes, to go on with later: the size, 8 bytes, big-endian; then the roots of the perfect subtrees, largest
   * first, 32 bytes each.
   */
  save(): Uint8Array {
    const size = Buffer.alloc(sizeLength)
    size.writeBigUInt64BE(BigInt(this.#size))
    return Buffer.concat([size, ...this.#roots])
  }

  /**
   * The frontier that {@link save} wrote. Fails with what is wrong with the length or the size. Hashes have no form that could
   * be checked: where the bytes may have been changed, compare {@link root} with a root that was signed.
   */
  static restore(bytes: Uint8Array): Result.Result<Frontier, string> {
    if (bytes.length < sizeLength)
      return Result.fail(`a saved frontier has at least ${sizeLength} bytes, and this has ${bytes.length}`)
    const saved = Buffer.from(bytes)
    const size = Number(saved.readBigUInt64BE())
    if (!isSize(size)) return Result.fail(`a saved frontier has a size of at most 2^53 − 1, and this has ${size}`)
    const length = sizeLength + hashLength * subtreesOf(size)
    if (saved.length !== length)
      return Result.fail(`the saved frontier of ${size} leaves has ${length} bytes, and this has ${saved.length}`)
    const frontier = new Frontier()
    frontier.#size = size
    for (let at = sizeLength; at < length; at += hashLength) frontier.#roots.push(saved.subarray(at, at + hashLength))
    return Result.succeed(frontier)
  }
}

/** Length of the size in a saved frontier, in bytes. */
const sizeLength = 8

/** How many perfect subtrees a tree has: one for each bit that is set in its size. */
const subtreesOf = (size: number): number => {
  let count = 0
  for (let rest = size; rest > 0; rest = half(rest)) count += rest % 2
  return count
}

/** The leaves of a tree, by hash. */
export type Leaves = ReadonlyArray<Uint8Array>

/** The root of leaves `from` to `to` (exclusive) (RFC 6962 §2.1). Requires 0 ≤ from ≤ to ≤ the number of leaves. */
export const rootOf = (leaves: Leaves, from = 0, to = leaves.length): Uint8Array => {
  if (!(0 <= from && from <= to && to <= leaves.length))
    throw new RangeError(`no leaves ${from} to ${to} in a tree of ${leaves.length}`)
  const frontier = new Frontier()
  for (const leaf of leaves.slice(from, to)) frontier.append(leaf)
  return frontier.root()
}

/** Proof that leaf `index` is in the tree of all `leaves` (RFC 6962 §2.1.1). Requires 0 ≤ index < size. */
export const inclusionProof = (leaves: Leaves, index: number): ReadonlyArray<Uint8Array> => {
  if (!(0 <= index && index < leaves.length)) throw new RangeError(`no leaf ${index} in a tree of ${leaves.length}`)
  const proof: Array<Uint8Array> = []
  let from = 0
  let to = leaves.length
  while (to - from > 1) {
    const middle = from + split(to - from)
    if (index < middle) {
      proof.push(rootOf(leaves, middle, to))
      to = middle
    } else {
      proof.push(rootOf(leaves, from, middle))
      from = middle
    }
  }
  return proof.reverse()
}

/**
 * Proof that the tree of all `leaves` extends the tree of the first `size` of them (RFC 6962 §2.1.2). Requires
 * 0 < size ≤ the number of leaves; a proof from nothing would say nothing.
 */
export const consistencyProof = (leaves: Leaves, size: number): ReadonlyArray<Uint8Array> => {
  if (!(0 < size && size <= leaves.length)) throw new RangeError(`no proof from size ${size} to size ${leaves.length}`)
  const proof: Array<Uint8Array> = []
  let from = 0
  let to = leaves.length
  while (size < to) {
    const middle = from + split(to - from)
    if (size <= middle) {
      proof.push(rootOf(leaves, middle, to))
      to = middle
    } else {
      proof.push(rootOf(leaves, from, middle))
      from = middle
    }
  }
  // The verifier knows the old root itself; it must be told a subtree's.
  if (from > 0) proof.push(rootOf(leaves, from, to))
  return proof.reverse()
}

/**
 * Checks that `leaf` is leaf `index` of the tree with `size` leaves and `root` (RFC 9162 §2.1.3.2). Requires
 * 0 ≤ index < size. The failure says what does not hold. Some sizes have the same path: size and root are to be taken from
 * one signed checkpoint, which holds them together.
 */
export const verifyInclusion = (
  leaf: Uint8Array,
  index: number,
  size: number,
  proof: ReadonlyArray<Uint8Array>,
  root: Uint8Array
): Result.Result<void, string> => {
  if (!isSize(index) || !isSize(size) || index >= size) return Result.fail(`no leaf ${index} in a tree of ${size}`)
  const fault = wrongLength([leaf, root, ...proof])
  if (fault !== undefined) return Result.fail(fault)
  let place = index
  let last = size - 1
  let hash = leaf
  for (const sibling of proof) {
    if (last === 0) return Result.fail(`the proof has more than the hashes of leaf ${index} in a tree of ${size}`)
    if (place % 2 === 1 || place === last) {
      hash = nodeHash(sibling, hash)
      // An only child is carried up until it has a sibling to its left.
      while (place % 2 === 0 && place !== 0) [place, last] = [half(place), half(last)]
    } else {
      hash = nodeHash(hash, sibling)
    }
    place = half(place)
    last = half(last)
  }
  if (last !== 0) return Result.fail(`the proof has fewer than the hashes of leaf ${index} in a tree of ${size}`)
  return sameRoot(hash, root)
}

/**
 * Checks that the tree with `size` leaves and `root` extends the one with `oldSize` and `oldRoot` (RFC 9162 §2.1.4.2).
 * Requires 0 < oldSize ≤ size. The failure says what does not hold. Sizes and roots are to be taken from signed checkpoints, as
 * for {@link verifyInclusion}.
 */
export const verifyConsistency = (
  oldSize: number,
  size: number,
  proof: ReadonlyArray<Uint8Array>,
  oldRoot: Uint8Array,
  root: Uint8Array
): Result.Result<void, string> => {
  if (!isSize(oldSize) || !isSize(size) || oldSize === 0 || oldSize > size)
    return Result.fail(`no proof leads from size ${oldSize} to size ${size}`)
  const fault = wrongLength([oldRoot, root, ...proof])
  if (fault !== undefined) return Result.fail(fault)
  if (oldSize === size)
    return proof.length === 0 ? sameRoot(oldRoot, root) : Result.fail("the proof between equal sizes is not empty")
  let place = oldSize - 1
  let last = size - 1
  while (place % 2 === 1) [place, last] = [half(place), half(last)]
  // Where the old tree is one perfect subtree, its root is where the proof starts.
  const [first, ...rest] = isPowerOfTwo(oldSize) ? [oldRoot, ...proof] : proof
  if (first === undefined) return Result.fail(`the proof from size ${oldSize} to size ${size} is empty`)
  let oldHash = first
  let hash = first
  for (const sibling of rest) {
    if (last === 0) return Result.fail(`the proof has more than the hashes from size ${oldSize} to size ${size}`)
    if (place % 2 === 1 || place === last) {
      oldHash = nodeHash(sibling, oldHash)
      hash = nodeHash(sibling, hash)
      while (place % 2 === 0 && place !== 0) [place, last] = [half(place), half(last)]
    } else {
      hash = nodeHash(hash, sibling)
    }
    place = half(place)
    last = half(last)
  }
  if (last !== 0) return Result.fail(`the proof has fewer than the hashes from size ${oldSize} to size ${size}`)
  return Result.isFailure(sameRoot(oldHash, oldRoot)) ? sameRoot(oldHash, oldRoot) : sameRoot(hash, root)
}

/** True where both are the same bytes. */
export const sameHash = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

// Shifts are 32 bits wide in this language; sizes are not.
const half = (n: number): number => Math.floor(n / 2)

/** The largest power of two below n. Requires n > 1. */
const split = (n: number): number => {
  let k = 1
  while (k * 2 < n) k *= 2
  return k
}

const isPowerOfTwo = (n: number): boolean => n === 1 || split(n) * 2 === n

const isSize = (n: number): boolean => Number.isSafeInteger(n) && n >= 0

const wrongLength = (hashes: ReadonlyArray<Uint8Array>): string | undefined => {
  const wrong = hashes.find((hash) => hash.length !== hashLength)
  return wrong === undefined ? undefined : `a hash has ${wrong.length} bytes, not ${hashLength}`
}

const sameRoot = (computed: Uint8Array, given: Uint8Array): Result.Result<void, string> =>
  sameHash(computed, given)
    ? Result.void
    : Result.fail(`the root comes to ${base64(computed)}, and ${base64(given)} was given`)

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64")
