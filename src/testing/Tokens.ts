/**
 * Access tokens for tests: a local issuer with a key of its own, whose tokens are really signed and really verified. No
 * network.
 */
import * as Crypto from "node:crypto"
import type { JsonWebKeySet } from "../identity/Jwks.ts"

/** An issuer for tests: `options` serves as the option `issuers`, and its tokens are verified as anyone's are. */
export interface TestIssuer {
  readonly options: { readonly issuer: string; readonly audience: string; readonly jwks: JsonWebKeySet }
  /** A signed token; `claims` are added to or replace the usual ones, and one that is `undefined` is left out. */
  readonly mint: (claims?: TokenClaims, options?: TokenOptions) => string
}

/** Claims of a token: `sub` is `alice` unless said otherwise. */
export type TokenClaims = Readonly<Record<string, unknown>>

/** How a token is made. */
export interface TokenOptions {
  /** Seconds from now to `exp`; negative for a token that has ended. Default 3600. */
  readonly expiresIn?: number
  /** Time of issue, in ms since 1970. Default: now. */
  readonly now?: number
  /** Header parameters to add or replace; one that is `undefined` is left out. */
  readonly header?: Readonly<Record<string, unknown>>
}

/** An issuer with a new Ed25519 key. */
export const makeIssuer = (issuer = "https://issuer.test", audience = "secure-openai-test"): TestIssuer => {
  const { privateKey, publicKey } = Crypto.generateKeyPairSync("ed25519")
  const kid = Crypto.randomUUID()
  return {
    options: {
      issuer,
      audience,
      jwks: { keys: [{ ...publicKey.export({ format: "jwk" }), kid, alg: "Ed25519", use: "sig" }] }
    },
    mint: (claims = {}, { expiresIn = 3600, header = {}, now = Date.now() } = {}) => {
      const iat = Math.floor(now / 1000)
      const signed = [
        { alg: "Ed25519", typ: "at+jwt", kid, ...header },
        { iss: issuer, aud: audience, sub: "alice", iat, exp: iat + expiresIn, jti: Crypto.randomUUID(), ...claims }
      ]
        .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
        .join(".")
      return `${signed}.${Crypto.sign(null, Buffer.from(signed), privateKey).toString("base64url")}`
    }
  }
}

const local = makeIssuer()

/** The issuer of {@link mintToken}: `new SecureOpenAI({ issuers: testIssuer, jwtToken: mintToken({ sub: "bob" }) })`. */
export const testIssuer: TestIssuer["options"] = local.options

/** A signed `at+jwt` (RFC 9068) of {@link testIssuer}, for `alice` unless `claims` say otherwise. */
export const mintToken = (claims?: TokenClaims, options?: TokenOptions): string => local.mint(claims, options)
