/**
 * Vets a published key before anything is verified with it: public, for signatures, of a kind and strength that its
 * algorithm asks for (RFC 7517, RFC 7518 §3.3, RFC 8037, RFC 8725 §3.5).
 */
import * as Result from "effect/Result"
import type { JWK } from "jose"
import { importJWK } from "jose/key/import"

/** Signature algorithms that an issuer may use: asymmetric ones (RFC 7518 §3.1, RFC 9864). */
export const algorithms = [
  "Ed25519",
  "EdDSA",
  "ES256",
  "ES384",
  "ES512",
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512"
] as const
export type Algorithm = (typeof algorithms)[number]

/** A key that was vetted, and imported when an algorithm first asks for it. */
export interface VettedKey {
  readonly kid: string
  /** The key for an algorithm; rejects where it does not fit, or is no point of its curve. */
  readonly for: (alg: Algorithm) => Promise<CryptoKey>
}

/** How long a key id may be, in UTF-16 units: longer than any in use, and short enough to be kept by the hundred. */
export const maximumKeyId = 512

/**
 * True for text of 1 to 512 UTF-16 units. What stands in it is the issuer's affair (RFC 7517 §4.5): it is only ever compared,
 * code unit by code unit, never a path or a query, and no message shows it.
 */
export const isKeyId = (value: unknown): value is string =>
  typeof value === "string" && value.length >= 1 && value.length <= maximumKeyId

/** How many bytes a coordinate has, no fewer (RFC 7518 §6.2.1.2). */
const coordinates: ReadonlyMap<unknown, number> = new Map([
  ["P-256", 32],
  ["P-384", 48],
  ["P-521", 66]
])

/** Least and most bits of an RSA modulus: below it is weak, above it only costs time. */
export const minimumBits = 2048
export const maximumBits = 8192

const privateMembers = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]

/** The key, or why it must not be used. */
export const vet = (value: unknown): Result.Result<VettedKey, string> => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return Result.fail("it is not an object")
  const jwk: Record<string, unknown> = { ...value }
  const { alg, kid } = jwk
  if (!isKeyId(kid)) return Result.fail(`its kid is missing or not text of 1 to ${maximumKeyId} characters`)
  const fault = faultOf(jwk)
  if (fault !== undefined) return Result.fail(fault)
  const imported = new Map<Algorithm, Promise<CryptoKey>>()
  return Result.succeed({
    kid,
    for: (asked) => {
      if (alg !== undefined && alg !== asked) return Promise.reject(new Error(`the key is not for ${asked}`))
      const known = imported.get(asked)
      if (known !== undefined) return known
      const { kty, crv, x, y, n, e } = jwk as Record<string, string>
      const members = kty === "RSA" ? { kty, n, e } : kty === "EC" ? { kty, crv, x, y } : { kty, crv, x }
      const key = importJWK(members as JWK, asked).then((found) => {
        if (!(found instanceof CryptoKey) || found.type !== "public") throw new Error("the key is not public")
        return found
      })
      imported.set(asked, key)
      return key
    }
  })
}

const faultOf = (jwk: Record<string, unknown>): string | undefined => {
  const held = privateMembers.find((name) => Object.hasOwn(jwk, name))
  if (held !== undefined)
    return "it holds private or shared key material: whoever publishes that has to replace the key"
  if (jwk["use"] !== undefined && jwk["use"] !== "sig") return `its use is not "sig"`
  const operations = jwk["key_ops"]
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes("verify")))
    return `its key_ops are without "verify"`
  switch (jwk["kty"]) {
    case "RSA":
      return rsaFault(jwk)
    case "EC":
      return ecFault(jwk)
    case "OKP":
      return okpFault(jwk)
    default:
      return "it is of a kind that no allowed algorithm uses"
  }
}

const ecFault = ({ crv, x, y }: Record<string, unknown>): string | undefined => {
  const length = coordinates.get(crv)
  if (length === undefined) return "it is on a curve that no allowed algorithm uses"
  const isWhole = (value: unknown) => isBytes(value) && Buffer.byteLength(value, "base64url") === length
  return isWhole(x) && isWhole(y) ? undefined : `a coordinate on ${String(crv)} has ${length} bytes`
}

const rsaFault = ({ e, n }: Record<string, unknown>): string | undefined => {
  if (e !== "AQAB") return "its RSA exponent is not 65537"
  if (!isBytes(n)) return "its RSA modulus is not base64url"
  const bytes = Buffer.from(n, "base64url")
  // Counted, not told from the length: zeros in front would lend a short modulus more bits than it has.
  const bits = BigInt(`0x${bytes.toString("hex")}`).toString(2).length
  if (bits < minimumBits || bits > maximumBits)
    return `its RSA modulus has ${bits} bits; ${minimumBits} to ${maximumBits} are allowed`
  return (bytes.at(-1) ?? 0) % 2 === 0 ? "its RSA modulus is even" : undefined
}

const okpFault = ({ crv, x }: Record<string, unknown>): string | undefined => {
  if (crv !== "Ed25519" || !isBytes(x)) return "it is on a curve that no allowed algorithm uses"
  const bytes = Buffer.from(x, "base64url")
  if (bytes.length !== 32) return "an Ed25519 key has 32 bytes"
  return isSmallOrder(bytes) ? "it is a point of small order, for which anyone can sign" : undefined
}

const prime = 2n ** 255n - 19n

/** The y of the points whose order divides 8, but for those that are 0, 1 or −1. */
const orderEight = [
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
].map((hex) => littleEndian(Buffer.from(hex, "hex")))

function littleEndian(bytes: Buffer): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`)
}

/** True for a point of small order, and for any y that is not reduced: no honest key has one (RFC 8032 §5.1.3). */
const isSmallOrder = (bytes: Buffer): boolean => {
  const unsigned = Buffer.from(bytes)
  unsigned[31] = (unsigned[31] ?? 0) & 0x7f
  const y = littleEndian(unsigned)
  return y >= prime || y === 0n || y === 1n || y === prime - 1n || orderEight.includes(y)
}

const isBytes = (value: unknown): value is string =>
  typeof value === "string" && value !== "" && Buffer.from(value, "base64url").toString("base64url") === value
