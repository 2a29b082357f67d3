/**
 * Compact JWS (RFC 7515) as this library writes and reads them: Ed25519 (RFC 9864), a header of `alg`, `kid` and `typ` and
 * nothing else, canonical base64url, unambiguous JSON.
 */
import * as Result from "effect/Result"
import * as Crypto from "node:crypto"
import { parseExactObject } from "../base/CanonicalJson.ts"
import { type AnyKey, type JwsType, signAs, type SigningKey, type UseOf } from "./Keys.ts"

/** A JWS that was signed: `digest` is the base64url SHA-256 of `header.payload`, the part that is unique. */
export interface SignedJws {
  readonly jws: string
  readonly digest: string
}

/** Signs claims, given as JSON text. Throws where the key is for another purpose; with a remote key the answer is a promise. */
export function sign<T extends JwsType>(key: SigningKey<UseOf[T]>, typ: T, claims: string): SignedJws
export function sign<T extends JwsType>(key: AnyKey<UseOf[T]>, typ: T, claims: string): SignedJws | Promise<SignedJws>
export function sign<T extends JwsType>(key: AnyKey<UseOf[T]>, typ: T, claims: string): SignedJws | Promise<SignedJws> {
  const signed = `${headerOf(key, typ)}.${Buffer.from(claims).toString("base64url")}`
  const whole = (signature: Uint8Array): SignedJws => ({
    jws: `${signed}.${Buffer.from(signature).toString("base64url")}`,
    digest: sha256(signed)
  })
  const signature = signAs(key, typ, Buffer.from(signed, "latin1"))
  return signature instanceof Promise ? signature.then(whole) : whole(signature)
}

/** A JWS as read. Nothing of it is to be believed before its signature is verified over `signed`. */
export interface ReadJws {
  readonly kid: string
  readonly claims: Readonly<Record<string, unknown>>
  /** `header.payload`. */
  readonly signed: string
  readonly digest: string
  readonly signature: Uint8Array
}

/** Reads a JWS of a type, of at most `maximumLength` characters. The failure is a clause that says what is wrong. */
export const read = (jws: unknown, typ: JwsType, maximumLength: number): Result.Result<ReadJws, string> => {
  if (typeof jws !== "string") return Result.fail("is no text")
  if (jws.length > maximumLength) return Result.fail(`is longer than ${maximumLength} characters`)
  const parts = jws.split(".")
  const [headerPart, payloadPart, signaturePart] = parts
  if (headerPart === undefined || payloadPart === undefined || signaturePart === undefined || parts.length !== 3)
    return Result.fail("is not a compact JWS")
  const header = parsePart(headerPart)
  const claims = parsePart(payloadPart)
  const signature = decode(signaturePart)
  if (header === undefined || claims === undefined || signature === undefined)
    return Result.fail("is not canonical base64url of unambiguous JSON")
  const { alg, kid } = header
  if (Object.keys(header).length !== 3 || alg !== "Ed25519" || header["typ"] !== typ || typeof kid !== "string")
    return Result.fail(`must have the header alg Ed25519, typ ${typ} and kid, and no other`)
  const signed = `${headerPart}.${payloadPart}`
  return Result.succeed({ kid, claims, signed, digest: sha256(signed), signature })
}

/** Whether a text has the shape of a compact JWS, whatever it says: three parts, the first of which is a JSON object. */
export const isCompact = (text: string): boolean => {
  const [header = "", ...others] = text.split(".")
  return others.length === 2 && parsePart(header) !== undefined
}

const headers = new WeakMap<object, Map<string, string>>()

const headerOf = (key: { readonly kid: string }, typ: JwsType): string => {
  let known = headers.get(key)
  if (known === undefined) headers.set(key, (known = new Map()))
  let header = known.get(typ)
  if (header === undefined) {
    header = Buffer.from(JSON.stringify({ alg: "Ed25519", kid: key.kid, typ })).toString("base64url")
    known.set(typ, header)
  }
  return header
}

const sha256 = (text: string): string => Crypto.hash("sha256", text, "base64url")

/** The bytes, if the text is the one base64url spelling of them (RFC 7515 §2, RFC 4648 §3.5). */
export const decode = (part: string): Buffer | undefined => {
  const bytes = Buffer.from(part, "base64url")
  return bytes.toString("base64url") === part ? bytes : undefined
}

const parsePart = (part: string): Readonly<Record<string, unknown>> | undefined => {
  const bytes = decode(part)
  if (bytes === undefined) return undefined
  const text = bytes.toString("utf8")
  const parsed = Buffer.from(text, "utf8").equals(bytes) ? parseExactObject(text) : Result.fail("")
  return Result.isSuccess(parsed) ? parsed.success : undefined
}
