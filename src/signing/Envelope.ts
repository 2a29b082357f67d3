/**
 * The envelope: a compact JWS (RFC 7515) over what is asked, by whom, of whom and when. It binds one caller, one target,
 * one resource, one body and, for a user, one token, and it is good for a minute. A call that comes from another agent
 * carries that agent's envelope, its invocation; the next one names it as its parent.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Crypto from "node:crypto"
import { canonicalize, type Json, parseStrictObject } from "../CanonicalJson.ts"
import type { Call, IntentPolicy } from "../Call.ts"
import { type SigningKey, verify as verifySignature } from "../Keys.ts"
import { endpointAt, isOperation, operations } from "../Operation.ts"
import type { Principal } from "../Principal.ts"

/** How long an envelope is good for, in seconds. */
export const lifetime = 60

/** How far in the future `iat` may be, in seconds. */
export const clockTolerance = 30

/** How long an envelope may be, in characters. */
export const maximumLength = 64 * 1024

/** How many agents may stand between the first caller and the last. */
export const maximumDepth = 8

/** A prompt of more elements than this (a token array, say) has one digest, not one each. */
export const maximumPrompts = 128

/** Who acted for the subject, the latest first (RFC 8693 §4.1). */
export interface Actor {
  readonly sub: string
  readonly act?: Actor
}

const Actor: Schema.Codec<Actor> = Schema.Struct({
  sub: Schema.String,
  act: Schema.optionalKey(Schema.suspend((): Schema.Codec<Actor> => Actor))
})

const Name = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(512))
const Digest = Schema.String.check(Schema.isPattern(/^sha-256:[A-Za-z0-9_-]{43}$/))
const Hash = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{43}$/))
const Nonce = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{22}$/))

/**
 * What an envelope says. Times are in seconds since 1970; a digest is `sha-256:` and the base64url SHA-256.
 *
 * - `iss`, `aud`, `sub`: the agent that signed, the one that it is for, and the principal in whose name.
 * - `tool`, `htm`, `htu`: the resource, and where its provider is asked (RFC 9449 §4.2).
 * - `bdh`, `prm`, `int`: digests of the body, of each element of the prompt, and of each intent policy.
 * - `ath`: hash of the principal's token (RFC 9449 §4.2).
 * - `txn`, `prh`, `dep`: `jti` of the first envelope of the chain, hash of the parent's `header.payload`, and depth.
 */
export const EnvelopeClaims = Schema.Struct({
  iss: Name,
  aud: Name,
  sub: Name,
  act: Schema.optionalKey(Actor),
  iat: Schema.Int,
  exp: Schema.Int,
  jti: Nonce,
  tool: Name,
  htm: Schema.optionalKey(Schema.String),
  htu: Schema.optionalKey(Schema.String),
  bdh: Digest,
  ath: Schema.optionalKey(Hash),
  txn: Nonce,
  prh: Schema.optionalKey(Hash),
  dep: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: maximumDepth })),
  int: Schema.optionalKey(Schema.Array(Digest)),
  prm: Schema.optionalKey(Schema.Array(Digest))
})
export interface EnvelopeClaims extends Schema.Struct.Type<typeof EnvelopeClaims.fields> {}

/** A signed envelope: `digest` is the base64url SHA-256 of `header.payload`. */
export interface Envelope {
  readonly jws: string
  readonly kid: string
  readonly digest: string
  readonly claims: EnvelopeClaims
}

/** What an envelope is made of. */
export interface Statement {
  readonly key: SigningKey
  /** Agent id of the signer. */
  readonly iss: string
  /** Agent id of the target; for a provider, the origin of its URL. */
  readonly aud: string
  /** The principal's id. */
  readonly sub: string
  /** `tool:<app>/<operation>`. */
  readonly tool: string
  /** The body, as text. */
  readonly bytes: string
  /** Time of signing, in ms since 1970. */
  readonly now: number
  /** Method and URL, `POST https://host/path`. */
  readonly endpoint?: string | undefined
  /** The principal's `tokenHash`. */
  readonly tokenHash?: string | undefined
  readonly intents?: ReadonlyArray<IntentPolicy> | undefined
  /** Value of the parameter that holds the prompt. */
  readonly prompts?: Json | undefined
  /** The verified envelope that this one was made because of. */
  readonly parent?: Pick<Envelope, "claims" | "digest"> | undefined
}

/** Signs an envelope. Throws where the key does, or where an intent policy is not JSON. */
export const sign = (statement: Statement): Envelope => {
  const { key } = statement
  const claims = claimsOf(statement)
  const signed = `${headerOf(key)}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}`
  const signature = Buffer.from(key.sign(Buffer.from(signed, "latin1"))).toString("base64url")
  return { jws: `${signed}.${signature}`, kid: key.kid, digest: sha256(signed), claims }
}

/**
 * An agent's invocation: the envelope with which it makes a call of a service in its workspace, a compact JWS. `now` is in
 * ms since 1970, the present by default.
 */
export const signInvocation = (invocation: {
  readonly key: SigningKey
  readonly agentId: string
  readonly principal: Principal
  readonly call: Call
  readonly now?: number | undefined
}): string => {
  const { agentId, call, key, now = Date.now(), principal } = invocation
  return sign({ ...ofCall(call, principal), key, iss: agentId, aud: call.server, now }).jws
}

/** What every envelope over a call says, and its receiver expects of it. */
export const ofCall = (
  call: Call,
  principal: Principal
): Omit<Expectation, "publicKey" | "aud" | "now"> & Pick<Statement, "prompts"> => ({
  sub: principal.id,
  tool: call.resource,
  bytes: call.bytes,
  endpoint: call.endpoint,
  tokenHash: principal.tokenHash,
  intents: call.intents,
  prompts: isOperation(call.operation)
    ? call.params[endpointAt(operations[call.operation], call.endpoint).prompt]
    : undefined
})

const claimsOf = (statement: Statement): EnvelopeClaims => {
  const { aud, bytes, endpoint, intents = [], iss, parent, prompts, sub, tokenHash, tool } = statement
  const iat = Math.floor(statement.now / 1000)
  const jti = nonce()
  const target = endpoint === undefined ? undefined : httpTarget(endpoint)
  return {
    iss,
    aud,
    sub,
    ...(parent !== undefined && { act: actorOf(parent.claims) }),
    iat,
    exp: parent === undefined ? iat + lifetime : Math.min(iat + lifetime, parent.claims.exp),
    jti,
    tool,
    ...target,
    bdh: digest(bytes),
    ...(tokenHash !== undefined && { ath: tokenHash }),
    txn: parent === undefined ? jti : parent.claims.txn,
    ...(parent !== undefined && { prh: parent.digest }),
    dep: parent === undefined ? 0 : parent.claims.dep + 1,
    ...(intents.length > 0 && { int: intents.map(intentDigest) }),
    ...(prompts !== undefined && { prm: promptDigests(prompts) })
  }
}

const actorOf = ({ act, iss }: EnvelopeClaims): Actor => (act === undefined ? { sub: iss } : { sub: iss, act })

/** What the receiver of an invocation knows without it. */
export interface Expectation {
  /** The registered public key of that agent and id, 32 bytes. */
  readonly publicKey: (agentId: string, kid: string) => Uint8Array | undefined
  readonly aud: string
  readonly sub: string
  readonly tool: string
  readonly bytes: string
  readonly endpoint: string
  readonly tokenHash: string | undefined
  readonly intents: ReadonlyArray<IntentPolicy>
  /** Ms since 1970. */
  readonly now: number
}

/**
 * Verifies an invocation: its form, its signer, its signature, then each claim against what is known. The failure is a
 * clause that says what is wrong. Whether it was used before is for {@link Replay} to say.
 */
export const verify = (jws: string, expected: Expectation): Result.Result<Envelope, string> => {
  if (jws.length > maximumLength) return Result.fail(`is longer than ${maximumLength} characters`)
  const parts = jws.split(".")
  const [headerPart, payloadPart, signaturePart] = parts
  if (headerPart === undefined || payloadPart === undefined || signaturePart === undefined || parts.length !== 3)
    return Result.fail("is not a compact JWS")
  const header = parsePart(headerPart)
  const payload = parsePart(payloadPart)
  const signature = decode(signaturePart)
  if (header === undefined || payload === undefined || signature === undefined)
    return Result.fail("is not canonical base64url of unambiguous JSON")
  const { alg, kid, typ } = header
  if (Object.keys(header).length !== 3 || alg !== "Ed25519" || typ !== type || typeof kid !== "string")
    return Result.fail(`must have the header alg Ed25519, typ ${type} and kid, and no other`)
  const decoded = decodeClaims(payload)
  if (Result.isFailure(decoded)) return Result.fail("lacks a claim, or has one of another form")
  const claims = decoded.success

  const publicKey = expected.publicKey(claims.iss, kid)
  if (publicKey === undefined) return Result.fail("is not by an agent that is registered with this key")
  const signed = `${headerPart}.${payloadPart}`
  if (!verifySignature(publicKey, Buffer.from(signed, "latin1"), signature))
    return Result.fail("was not signed by its agent")

  if (claims.aud !== expected.aud) return Result.fail("is for another agent")
  const fault = timeFault(claims, Math.floor(expected.now / 1000))
  if (fault !== undefined) return Result.fail(fault)
  if (claims.tool !== expected.tool) return Result.fail("is for another resource")
  if (claims.htu !== undefined || claims.htm !== undefined) {
    const target = httpTarget(expected.endpoint)
    if (target?.htm !== claims.htm || target?.htu !== claims.htu) return Result.fail("is for another endpoint")
  }
  if (claims.bdh !== digest(expected.bytes)) return Result.fail("is for other params")
  if (claims.ath !== expected.tokenHash) return Result.fail("is for another token")
  if (claims.sub !== expected.sub) return Result.fail("is for another principal")
  const takingPart = new Set(expected.intents.map(intentDigest))
  if (claims.int?.some((intent) => !takingPart.has(intent)) === true)
    return Result.fail("declares an intent policy that does not take part")
  if ((claims.dep === 0) !== (claims.prh === undefined) || (claims.dep === 0) !== (claims.txn === claims.jti))
    return Result.fail("does not say where in its chain it stands")
  return Result.succeed({ jws, kid, digest: sha256(signed), claims })
}

const timeFault = ({ exp, iat }: EnvelopeClaims, now: number): string | undefined => {
  if (exp <= iat || exp - iat > lifetime) return `must be good for 1 to ${lifetime} seconds`
  if (iat > now + clockTolerance) return "is from the future"
  return exp <= now ? "has expired" : undefined
}

// ---------------------------------------------------------------------------------------------------------------------
// Parts
// ---------------------------------------------------------------------------------------------------------------------

const type = "soai-invoke+jwt"

const decodeClaims = Schema.decodeUnknownResult(EnvelopeClaims, { onExcessProperty: "error" })

const headers = new WeakMap<SigningKey, string>()

const headerOf = (key: SigningKey): string => {
  const known = headers.get(key)
  if (known !== undefined) return known
  const header = Buffer.from(JSON.stringify({ alg: "Ed25519", kid: key.kid, typ: type })).toString("base64url")
  headers.set(key, header)
  return header
}

const sha256 = (text: string): string => Crypto.hash("sha256", text, "base64url")

/** `sha-256:` and the base64url SHA-256 of the text's UTF-8. */
export const digest = (text: string): string => `sha-256:${sha256(text)}`

const intents = new WeakMap<IntentPolicy, string>()

/** Digest of an intent policy's canonical JSON; taken once an object, for intents are kept by reference. */
const intentDigest = (intent: IntentPolicy): string => {
  const known = intents.get(intent)
  if (known !== undefined) return known
  const taken = digest(canonicalize(intent))
  intents.set(intent, taken)
  return taken
}

const promptDigests = (prompts: Json): Array<string> =>
  Array.isArray(prompts) && prompts.length <= maximumPrompts
    ? prompts.map((prompt: Json) => digest(canonicalize(prompt)))
    : [digest(canonicalize(prompts))]

/** Method and URL, where the endpoint is one of HTTP. */
const httpTarget = (endpoint: string): { readonly htm: string; readonly htu: string } | undefined => {
  const space = endpoint.indexOf(" ")
  const htu = endpoint.slice(space + 1)
  return /^https?:\/\//.test(htu) ? { htm: endpoint.slice(0, space), htu } : undefined
}

const nonceBytes = 16
const pool = Buffer.alloc(256 * nonceBytes)
let drawn = pool.length

/** 16 random bytes, base64url; drawn from the system 256 at a time. */
const nonce = (): string => {
  if (drawn === pool.length) {
    Crypto.randomFillSync(pool)
    drawn = 0
  }
  drawn += nonceBytes
  return pool.toString("base64url", drawn - nonceBytes, drawn)
}

const decode = (part: string): Buffer | undefined => {
  const bytes = Buffer.from(part, "base64url")
  return bytes.toString("base64url") === part ? bytes : undefined
}

const parsePart = (part: string): Record<string, unknown> | undefined => {
  const bytes = decode(part)
  if (bytes === undefined) return undefined
  const text = bytes.toString("utf8")
  const parsed = Buffer.from(text, "utf8").equals(bytes) ? parseStrictObject(text) : Result.fail("")
  return Result.isSuccess(parsed) ? parsed.success : undefined
}
