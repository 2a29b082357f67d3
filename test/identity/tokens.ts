/** Issuers and tokens for hostile tests: any header, any payload, really signed by any algorithm. */
import * as Crypto from "node:crypto"
import type { IssuerOptions } from "../../src/identity/Issuer.ts"
import type { Algorithm } from "../../src/identity/Jwk.ts"

export const now = 1_800_000_000_000
export const seconds = now / 1000

export type Parts = readonly [header: string, payload: string, signature: string]

const generate = (alg: Algorithm): Crypto.KeyPairKeyObjectResult => {
  if (alg.startsWith("RS") || alg.startsWith("PS")) return Crypto.generateKeyPairSync("rsa", { modulusLength: 2048 })
  if (alg === "ES256") return Crypto.generateKeyPairSync("ec", { namedCurve: "P-256" })
  if (alg === "ES384") return Crypto.generateKeyPairSync("ec", { namedCurve: "P-384" })
  if (alg === "ES512") return Crypto.generateKeyPairSync("ec", { namedCurve: "P-521" })
  return Crypto.generateKeyPairSync("ed25519")
}

export const signBy = (alg: string, key: Crypto.KeyObject, input: string): string => {
  const bytes = Buffer.from(input)
  if (alg.startsWith("Ed")) return Crypto.sign(null, bytes, key).toString("base64url")
  const hash = `sha${alg.slice(2)}`
  if (alg.startsWith("ES")) return Crypto.sign(hash, bytes, { key, dsaEncoding: "ieee-p1363" }).toString("base64url")
  const { RSA_PKCS1_PADDING, RSA_PKCS1_PSS_PADDING } = Crypto.constants
  return Crypto.sign(hash, bytes, {
    key,
    padding: alg.startsWith("PS") ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING,
    ...(alg.startsWith("PS") && { saltLength: Number(alg.slice(2)) / 8 })
  }).toString("base64url")
}

export const base64url = (text: string | Buffer): string => Buffer.from(text).toString("base64url")

/** An issuer that signs with one algorithm. */
export const makeSigner = (alg: Algorithm, name = "https://id.example") => {
  const { privateKey, publicKey } = generate(alg)
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "key-1" }
  const options: IssuerOptions = {
    issuer: name,
    audience: "https://api.example",
    algorithms: [alg],
    jwks: { keys: [jwk] }
  }
  const header = { alg, typ: "at+jwt", kid: "key-1" }
  const claims = { iss: name, aud: options.audience, sub: "alice", iat: seconds - 10, exp: seconds + 3600 }
  const sign = (head: string | Buffer, payload: string | Buffer): string => {
    const input = `${base64url(head)}.${base64url(payload)}`
    return `${input}.${signBy(alg, privateKey, input)}`
  }
  const token = (change: object = {}, changeHeader: object = {}): string =>
    sign(JSON.stringify({ ...header, ...changeHeader }), JSON.stringify({ ...claims, ...change }))
  return { alg, options, header, claims, privateKey, publicKey, jwk, sign, token }
}
